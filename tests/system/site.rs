//! A box with one member, and the real server in front of it: what tests of the store need, without any client of ours.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sealdrop_core::drop::{FileKey, Sealer, size};
use sealdrop_core::encoding::{self, sha256};
use sealdrop_core::key::{
    AccessRole, BoxKey, BoxSecret, LogRole, SecretKey, VoiceRole, WitnessRole, device_keys,
};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::cosignature;
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::phrase::Phrase;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::report::{Attachment, Kind, Report};
use sealdrop_core::request::{HEADER, Request};
use sealdrop_core::roster::{Device, Draft, Member, Roster};
use sealdrop_core::time::{Time, Window};
use sealdrop_tests::{Running, command};

use crate::wire::{Reply, call};

/// The roster's origin. Requests are signed for it wherever the server listens, as behind a proxy, so that a restart may change the port.
const ORIGIN: &str = "https://drop.example.org";
const DEVICE: &str = "alice/laptop";

/// The keys of everyone but the server.
pub(crate) struct Site {
    pub(crate) box_key: BoxKey,
    pub(crate) identity: IdentitySeed,
    secret: BoxSecret,
    voice: SecretKey<VoiceRole>,
    access: SecretKey<AccessRole>,
    witness: SecretKey<WitnessRole>,
}

impl Site {
    pub(crate) fn new(rng: &mut ChaCha20Rng) -> Self {
        let secret = BoxSecret::generate(rng);
        let mut device = [0; 32];
        rng.fill_bytes(&mut device);
        let (access, witness) = device_keys(&device);
        Self {
            box_key: secret.to_public(),
            identity: IdentitySeed::generate(rng),
            voice: SecretKey::generate(rng),
            secret,
            access,
            witness,
        }
    }

    /// The server, not started yet, on a free port of 127.0.0.1.
    pub(crate) fn server(&self, data: &Path) -> Command {
        let mut server = command("sealdrop-server");
        server.arg("--data").arg(data);
        server.args(["--box", &self.box_key.to_string()]);
        server.args(["--listen", "127.0.0.1:0"]);
        server
    }

    /// Starts the server and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self, server: &mut Command) -> (Running, SocketAddr) {
        let running = Running::start(server, "ready");
        let origin = running.origin();
        let addr = origin.strip_prefix("http://").expect("it has no TLS");
        let addr = addr.parse().expect("it says its address");
        (running, addr)
    }

    /// Publishes the first roster, with windows of so many seconds.
    #[track_caller]
    pub(crate) fn publish(&self, server: SocketAddr, window: u64) -> Roster {
        let policy = "Report here.";
        let vkey = call(server, "GET", "/log/vkey", &[], None).expect("the server answers");
        let log: Vkey<LogRole> = Vkey::parse(vkey.text().trim_end()).expect("it is a vkey");
        let mut draft = self.draft(log, window, sha256(policy.as_bytes()));
        // For programs, which sign for where they connect to.
        let here = format!("http://{server}").parse();
        draft.origins.push(here.expect("it is an origin"));
        let roster = draft.sign(&self.secret).expect("the roster is sound");
        let body = serde_json::json!({ "roster": roster.note().to_string(), "policy": policy });
        let body = body.to_string();
        let reply = call(server, "PUT", "/v1/box", &[], Some(body.as_bytes()));
        let reply = reply.expect("the server answers");
        assert_eq!(reply.status, 204, "{}", reply.text());
        roster
    }

    fn draft(&self, log: Vkey<LogRole>, window: u64, policy: [u8; 32]) -> Draft {
        let issued = now();
        Draft {
            box_key: self.box_key.clone(),
            origins: vec![ORIGIN.parse().expect("it is an origin")],
            epoch: 1,
            issued,
            expires: Time(issued.0 + 86_400),
            window,
            retention: 86_400,
            slips: 8,
            max_drop: 1 << 30,
            policy,
            log,
            members: vec![Member {
                name: "alice".into(),
                role: "lead".into(),
                recipient: self.identity.to_public(),
                voice: Vkey::new("alice", self.voice.to_public()),
            }],
            devices: vec![Device {
                access: Vkey::new(DEVICE, self.access.to_public()),
                witness: Vkey::new(DEVICE, self.witness.to_public()),
            }],
        }
    }

    /// A signed GET of the member.
    pub(crate) fn get(&self, server: SocketAddr, path: &str) -> std::io::Result<Reply> {
        self.signed(server, "GET", path, None)
    }

    /// A signed request of the member.
    pub(crate) fn signed(
        &self,
        server: SocketAddr,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> std::io::Result<Reply> {
        let mut nonce = [0; 16];
        #[expect(
            clippy::disallowed_methods,
            reason = "a nonce must differ from those of runs before"
        )]
        getrandom::fill(&mut nonce).expect("the system has randomness");
        let request = Request {
            origin: ORIGIN.into(),
            method: method.into(),
            path: path.into(),
            body: sha256(body.unwrap_or_default()),
            time: now(),
            nonce,
        };
        let signed = request
            .sign(DEVICE, &self.access)
            .expect("it can be signed");
        call(server, method, path, &[(HEADER, &signed)], body)
    }

    /// A checkpoint with the member's cosignature alone.
    #[track_caller]
    pub(crate) fn cosigned(&self, checkpoint: &Note) -> Note {
        let checkpoint = Checkpoint::parse_unverified(checkpoint).expect("it is a checkpoint");
        let line = cosignature::cosign(&checkpoint, DEVICE, &self.witness, now());
        let mut note = Note::new(checkpoint.to_text()).expect("it is a text");
        note.push(line);
        note
    }

    /// What a window holds: digests and sizes in log order.
    #[track_caller]
    pub(crate) fn listing(&self, server: SocketAddr, window: Window) -> Vec<([u8; 32], u64)> {
        let reply = self.get(server, &format!("/v1/windows/{window}/drops"));
        let reply = reply.expect("the server answers");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let json = reply.json();
        let drops = json["drops"].as_array().expect("there is a list").iter();
        drops
            .map(|drop| {
                let digest = drop["digest"].as_str().and_then(encoding::from_hex);
                let size = drop["size"].as_u64();
                (digest.expect("a digest"), size.expect("a size"))
            })
            .collect()
    }

    /// The windows that the server holds.
    #[track_caller]
    pub(crate) fn windows(&self, server: SocketAddr) -> Vec<Window> {
        let reply = self.get(server, "/v1/windows").expect("the server answers");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let json = reply.json();
        let windows = json["windows"].as_array().expect("there is a list").iter();
        windows
            .map(|window| Window(window.as_u64().expect("a number")))
            .collect()
    }

    /// The bytes of a drop.
    #[track_caller]
    pub(crate) fn body(&self, server: SocketAddr, window: Window, digest: &[u8; 32]) -> Vec<u8> {
        let path = format!("/v1/windows/{window}/drops/{}", encoding::hex(digest));
        let reply = self.get(server, &path).expect("the server answers");
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.body
    }
}

/// Drops as many as a test needs, all of one size: one that was sealed, under as many payload nonces. The server cannot tell, and
/// each has bytes of its own.
#[derive(Clone)]
pub(crate) struct Supply {
    sealed: Arc<[u8]>,
    nonce_at: usize,
}

impl Supply {
    /// Drops with an attachment of so many bytes.
    pub(crate) fn new(roster: &Roster, attachment: usize, rng: &mut ChaCha20Rng) -> Self {
        let keys = Phrase::generate(rng).keys(roster.box_key());
        let mut report = Report::new(Kind::Report, roster, &keys, rng);
        report.form.insert("title".into(), "A hole".into());
        report.attachments.push(Attachment {
            name: "proof.bin".into(),
            size: attachment as u64,
        });
        let sealed = seal(
            roster,
            &report,
            &keys.voice,
            &FileKey::generate(rng),
            vec![7; attachment],
        );
        let nonce_at = usize::try_from(size::header(roster.members().len())).expect("it is small");
        Self {
            sealed: sealed.into(),
            nonce_at,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.sealed.len() as u64
    }

    /// Drop number `n`.
    pub(crate) fn drop(&self, n: u64) -> Vec<u8> {
        let mut drop = self.sealed.to_vec();
        drop[self.nonce_at..self.nonce_at + 8].copy_from_slice(&n.to_be_bytes());
        drop
    }
}

/// A report with one attachment, sealed.
pub(crate) fn seal(
    roster: &Roster,
    report: &Report,
    voice: &SecretKey<VoiceRole>,
    file_key: &FileKey,
    attachment: Vec<u8>,
) -> Vec<u8> {
    use std::io::{Cursor, Read};
    let nonce: [u8; 16] = sha256(file_key.expose())[..16]
        .try_into()
        .expect("16 of 32");
    let sealer = Sealer::new(roster, report, voice, file_key, nonce).expect("the report is sound");
    let mut drop = Vec::new();
    let mut content = Some(attachment);
    let mut sealed = sealer.seal(move |_| {
        let content = content.take().expect("there is one attachment");
        Ok(Box::new(Cursor::new(content)) as Box<dyn Read + Send>)
    });
    sealed.read_to_end(&mut drop).expect("memory can be read");
    drop
}

/// The promise in an answer, which must be a 201.
#[track_caller]
pub(crate) fn note_of(reply: &Reply) -> Note {
    assert_eq!(reply.status, 201, "{}", reply.text());
    Note::parse(&reply.body).expect("the answer is a note")
}

/// A seeded generator.
pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The machine's clock.
pub(crate) fn now() -> Time {
    #[expect(
        clippy::disallowed_methods,
        reason = "the server under test has the machine's clock"
    )]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH);
    Time(since.expect("it is after 1970").as_secs())
}
