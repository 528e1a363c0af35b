//! Vectors of docs/protocol.md, "Team event".

use sealdrop_core::drop::FileKey;
use sealdrop_core::drop::{Sealer, size};
use sealdrop_core::encoding::{base64, from_hex, hex};
use sealdrop_core::key::{BoxKey, BoxRole, SecretKey, VoiceRole};
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::phrase::{ConversationId, Phrase};
use sealdrop_core::report::{Kind, Report};
use sealdrop_core::team::{Carrier, Grant, MAX_GRANTS, TeamError, TeamEvent};
use sealdrop_core::time::Window;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::vector::{self, SUCCESS, Vector};
use crate::world;

const MESSAGE: [u8; 16] = [2; 16];

fn voice(member: &str) -> SecretKey<VoiceRole> {
    world::secret(&format!("{member} voice"))
}

fn conversation() -> ConversationId {
    let keys = Phrase::from_entropy(&[9; 16]).keys(&world::box_secret().to_public());
    keys.conversation
}

fn grant(label: &str) -> Grant {
    Grant {
        digest: world::seed(label),
        size: 67_195,
        window: Window(81_000),
        file_key: FileKey::from_bytes(*world::seed(&format!("{label} key")).first_chunk().unwrap()),
    }
}

fn event(labels: &[&str]) -> TeamEvent {
    TeamEvent {
        grants: labels.iter().map(|label| grant(label)).collect(),
    }
}

fn note() -> Note {
    let box_key = world::box_secret().to_public();
    let carrier = Carrier {
        box_key: &box_key,
        conversation: &conversation(),
        message: &MESSAGE,
    };
    let event = event(&["first", "second"]);
    event.sign(carrier, "alice", &voice("alice")).unwrap()
}

#[test]
fn vectors() {
    let good = Vector::new("good", SUCCESS, "alice gives two drops", note().to_string())
        .with("box", world::box_secret().to_public())
        .with("voice", world::member("alice").voice)
        .with("conversation", conversation())
        .with("message", hex(&MESSAGE))
        .with("grants", 2);
    let broken = |name: &str, expect: &str, comment: &str| good.twin(name, expect, comment);
    let retold = |name: &str, comment: &str, from: &str, to: &str| {
        let text = note().text().to_owned();
        assert!(text.contains(from), "{from:?}");
        let note = Note::new(text.replacen(from, to, 1)).unwrap();
        let note = note.sign("alice", &voice("alice"));
        good.twin(name, "malformed", comment).body(note.to_string())
    };
    let lines: Vec<String> = note().text().lines().map(str::to_owned).collect();
    let (first, second) = (format!("{}\n", lines[4]), format!("{}\n", lines[5]));
    let digest = hex(&world::seed("first"));
    let key = base64(grant("first").file_key.expose());
    let other = |label: &str| world::secret::<VoiceRole>(label);
    let vectors = [
        broken("another-member", "signature", "another member's voice key")
            .with("voice", world::member("bob").voice),
        broken(
            "another-name",
            "signature",
            "signed under another member's name",
        )
        .body({
            let note = Note::new(note().text()).unwrap();
            note.sign("bob", &voice("alice")).to_string()
        }),
        broken("stranger", "signature", "signed by a key of nobody").body({
            let note = Note::new(note().text()).unwrap();
            note.sign("alice", &other("stranger")).to_string()
        }),
        broken(
            "text-changed",
            "signature",
            "the text was changed after signing",
        )
        .replace("67195", "67196"),
        broken("two-signatures", "malformed", "two signatures")
            .body(note().sign("bob", &voice("bob")).to_string()),
        broken("another-box", "another drop", "made for another box")
            .with("box", world::secret::<BoxRole>("other box").to_public()),
        broken(
            "another-conversation",
            "another drop",
            "taken from another drop",
        )
        .with("conversation", "00".repeat(16)),
        broken(
            "another-message",
            "another drop",
            "taken from another drop of the conversation",
        )
        .with("message", "00".repeat(16)),
        broken("not-a-note", "malformed", "text without a signature").body(note().text()),
        retold("version", "another first line", "/v1\n", "/v2\n"),
        retold("nothing", "no grant", &format!("{first}{second}"), ""),
        retold("twice", "two grants of one drop", &second, &first),
        retold(
            "digest-short",
            "a digest of 31 bytes",
            &digest,
            &digest[2..],
        ),
        retold(
            "digest-capitals",
            "a digest in capitals",
            &digest,
            &digest.to_uppercase(),
        ),
        retold("size-zeroes", "leading zero", " 67195", " 067195"),
        retold(
            "key-short",
            "a file key of 15 bytes",
            &key,
            &base64(&[7; 15]),
        ),
        retold("key-loose", "base64 without padding", "==\n", "\n"),
        retold("five-words", "a word more", " 67195", " 67195 1"),
        retold(
            "unknown-line",
            "a line of another name",
            "grant: ",
            "take: ",
        ),
        broken("too-many", "malformed", "401 grants").body({
            let grants: String = (0..=MAX_GRANTS)
                .map(|n| first.replace(&digest, &hex(&world::seed(&n.to_string()))))
                .collect();
            let text = note().text().replace(&format!("{first}{second}"), &grants);
            let note = Note::new(text).unwrap();
            note.sign("alice", &voice("alice")).to_string()
        }),
        good.clone(),
    ];
    vector::run("team", &vectors, outcome);
}

fn outcome(v: &Vector) -> String {
    let carrier = Carrier {
        box_key: &BoxKey::parse(v.field("box")).unwrap(),
        conversation: &ConversationId(from_hex(v.field("conversation")).unwrap()),
        message: &v.hex("message"),
    };
    let Ok(note) = Note::parse(&v.body) else {
        return "malformed".into();
    };
    let voice = Vkey::parse(v.field("voice")).unwrap();
    match TeamEvent::verify(&note, &voice, carrier) {
        Ok(event) => {
            assert_eq!(event.grants.len() as u64, v.number("grants"));
            assert!(
                event
                    .sign(carrier, "alice", &self::voice("alice"))
                    .is_ok_and(|again| again == note)
            );
            SUCCESS.into()
        }
        Err(TeamError::Signature) => "signature".into(),
        Err(TeamError::AnotherDrop) => "another drop".into(),
        Err(_) => "malformed".into(),
    }
}

#[test]
fn the_largest_event_is_of_the_size_of_any_short_report() {
    let roster = world::roster();
    let keys = Phrase::from_entropy(&[9; 16]).keys(roster.box_key());
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let mut report = Report::new(Kind::Report, &roster, &keys, &mut rng);
    let grants = (0..MAX_GRANTS).map(|n| Grant {
        size: (1 << 53) - 1,
        window: Window((1 << 53) - 1),
        ..grant(&n.to_string())
    });
    let event = TeamEvent {
        grants: grants.collect(),
    };
    let name = "a".repeat(32);
    let note = event.sign(Carrier::from(&report), &name, &voice("alice"));
    report.form.insert("title".into(), "t".repeat(256));
    let note = note.unwrap().to_string();
    report.form.insert("team-event".into(), note);
    let sealer = Sealer::new(
        &roster,
        &report,
        &keys.voice,
        &FileKey::from_bytes([1; 16]),
        [2; 16],
    );
    assert_eq!(
        sealer.unwrap().len(),
        size::file(roster.members().len(), size::CHUNK)
    );
}

#[test]
fn what_nobody_would_read_is_not_signed() {
    let box_key = world::box_secret().to_public();
    let carrier = Carrier {
        box_key: &box_key,
        conversation: &conversation(),
        message: &MESSAGE,
    };
    let sign = |event: TeamEvent| event.sign(carrier, "alice", &voice("alice"));
    assert_eq!(sign(event(&[])), Err(TeamError::Malformed));
    assert_eq!(sign(event(&["one", "one"])), Err(TeamError::Malformed));
    let many: Vec<String> = (0..=MAX_GRANTS).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(sign(event(&many)), Err(TeamError::Malformed));
    assert!(sign(event(&many[1..])).is_ok());
}

#[test]
fn what_is_too_much_for_one_event_goes_into_several() {
    let lengths = |count: usize| {
        let grants = (0..count).map(|n| grant(&n.to_string())).collect();
        let events = TeamEvent::several(grants).into_iter();
        events.map(|event| event.grants.len()).collect::<Vec<_>>()
    };
    assert_eq!(lengths(0), [0; 0]);
    assert_eq!(lengths(1), [1]);
    assert_eq!(lengths(MAX_GRANTS), [MAX_GRANTS]);
    assert_eq!(lengths(2 * MAX_GRANTS + 1), [MAX_GRANTS, MAX_GRANTS, 1]);
}
