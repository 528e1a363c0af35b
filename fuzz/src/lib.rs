//! A box with fixed keys, and drops for it that targets spoil. The box is the one of `testdata/vectors`, whose seeds
//! anyone can compute, so that rosters and proofs from there verify here.

use std::sync::LazyLock;

use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use sealdrop_core::drop::{FileKey, archive, header, size};
use sealdrop_core::encoding::sha256;
use sealdrop_core::key::{BoxSecret, LogRole, Role, SecretKey, device_keys};
use sealdrop_core::log::checkpoint::log_vkey;
use sealdrop_core::note::Vkey;
use sealdrop_core::phrase::{Phrase, ReporterKeys};
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::report::{Attachment, Kind, Report, Reporter};
use sealdrop_core::roster::{Device, Draft, Member, Roster};
use sealdrop_core::time::Time;
use sealdrop_open::{Attachments, Context, Keys, NoAttachments, OpenError, Opened};
use sha2::Sha256;

/// The secret key whose seed is SHA-256 of `label`.
pub fn secret<R: Role>(label: &str) -> SecretKey<R> {
    SecretKey::from_seed(&sha256(label.as_bytes()))
}

/// The box's own key.
pub static BOX: LazyLock<BoxSecret> = LazyLock::new(|| secret("box"));

/// The box's roster: one member, one device.
pub static ROSTER: LazyLock<Roster> = LazyLock::new(|| {
    let log: SecretKey<LogRole> = secret("log");
    let (access, witness) = device_keys(&sha256(b"alice/desk"));
    let draft = Draft {
        box_key: BOX.to_public(),
        origins: vec!["https://drop.example".parse().expect("it is an origin")],
        epoch: 1,
        issued: Time(1_767_531_723),
        expires: Time(1_770_210_123),
        window: 21_600,
        retention: 7_776_000,
        slips: 4,
        max_drop: 1_073_741_824,
        policy: sha256(b"policy"),
        log: log_vkey(&BOX.to_public(), &log.to_public()),
        members: vec![Member {
            name: "alice".into(),
            role: "maintainer".into(),
            recipient: IdentitySeed::from_bytes(&sha256(b"alice identity")).to_public(),
            voice: Vkey::new("alice", secret("alice voice").to_public()),
        }],
        devices: vec![Device {
            access: Vkey::new("alice/desk", access.to_public()),
            witness: Vkey::new("alice/desk", witness.to_public()),
        }],
    };
    draft.sign(&BOX).expect("the roster is a valid one")
});

/// The file key of every drop here.
pub fn file_key() -> FileKey {
    FileKey::from_bytes([7; 16])
}

static REPORTER: LazyLock<ReporterKeys> =
    LazyLock::new(|| Phrase::from_entropy(&[1; 16]).keys(&BOX.to_public()));

/// The plaintext of a valid drop with two attachments, without its padding.
pub static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let attachments: [(&str, &[u8]); 2] = [("proof of concept.py", b"print(1)\n"), ("empty", b"")];
    let report = Report {
        kind: Kind::Report,
        box_key: BOX.to_public(),
        epoch: 1,
        policy: sha256(b"policy"),
        conversation: REPORTER.conversation,
        message: [2; 16],
        reporter: Reporter {
            recipient: REPORTER.identity.to_public(),
            clue: REPORTER.clue.to_public(),
            voice: REPORTER.voice.to_public(),
        },
        form: [("title".into(), "A title".into())].into(),
        attachments: attachments
            .iter()
            .map(|(name, content)| Attachment {
                name: (*name).into(),
                size: content.len() as u64,
            })
            .collect(),
    };
    let json = report.to_json().expect("the report is a valid one");
    let (mut tar, mut signed) = (Vec::new(), archive::SIGNED_PREFIX.to_vec());
    append(&mut tar, archive::REPORT, &json);
    signed.extend(sha256(&json));
    for (index, (name, content)) in attachments.into_iter().enumerate() {
        append(&mut tar, &archive::attachment_member(index, name), content);
        signed.extend(sha256(content));
    }
    append(&mut tar, archive::SIGNATURE, &REPORTER.voice.sign(&signed));
    tar.extend([0; archive::END as usize]);
    tar
});

fn append(tar: &mut Vec<u8>, name: &str, content: &[u8]) {
    tar.extend(archive::member_header(name, content.len() as u64).expect("the name is short"));
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(archive::BLOCK), 0);
}

/// A drop whose plaintext is `plain`, padded as the protocol says.
pub fn seal(plain: &[u8]) -> Vec<u8> {
    let mut plain = plain.to_vec();
    plain.resize(size::padded(plain.len() as u64) as usize, 0);
    static HEADER: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let recipients: Vec<_> = ROSTER
            .members()
            .iter()
            .map(|member| member.recipient.clone())
            .collect();
        header::seal(&file_key(), &recipients)
    });
    let nonce = [3; 16];
    let mut key = [0; 32];
    hkdf::Hkdf::<Sha256>::new(Some(&nonce), file_key().expose())
        .expand(b"payload", &mut key)
        .expect("32 bytes are few");
    let cipher = ChaCha20Poly1305::new(&key.into());
    let mut file = HEADER.clone();
    file.extend(nonce);
    let chunks: Vec<&[u8]> = plain.chunks(size::CHUNK as usize).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&(i as u64).to_be_bytes());
        nonce[11] = u8::from(i + 1 == chunks.len());
        file.extend(
            cipher
                .encrypt(&Nonce::from(nonce), *chunk)
                .expect("a chunk is short"),
        );
    }
    file
}

/// Opens a drop with the file key, as far as it goes.
pub fn open(file: &[u8], sink: &mut dyn Attachments) -> Result<Opened, OpenError> {
    let roster = |epoch| (epoch == 1).then(|| ROSTER.clone());
    let context = Context {
        box_key: &BOX.to_public(),
        roster: &roster,
    };
    sealdrop_open::open(
        file,
        file.len() as u64,
        Keys::FileKey(&file_key()),
        &context,
        sink,
    )
}

/// Spoils `bytes` as the fuzzer says: groups of three bytes, two for where and one for what.
pub fn edit(bytes: &mut [u8], edits: &[u8]) {
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]]));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = edit[2];
        }
    }
}

/// That the fixed drop opens: otherwise a target would only see refusals.
pub fn assert_opens() {
    static CHECKED: LazyLock<()> = LazyLock::new(|| {
        open(&seal(&ARCHIVE), &mut NoAttachments)
            .map(drop)
            .expect("the fixed drop is a valid one");
    });
    LazyLock::force(&CHECKED);
}
