//! Vectors of docs/protocol.md, "Drop": a whole drop with fixed randomness, and its broken twins.

use sealdrop_core::drop::archive;
use sealdrop_core::encoding::{base64, from_base64, hex, sha256};
use sealdrop_core::key::BoxKey;
use sealdrop_core::note::Note;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::roster::Roster;
use sealdrop_open::{Context, Identity, Keys, OpenError};

use crate::byhand::Tar;
use crate::hostile::{recipients, seal_plaintext};
use crate::maker::{Collected, TestBox};
use crate::vector::{self, SUCCESS, Vector};

fn outcome(vector: &Vector) -> String {
    let box_key = BoxKey::parse(vector.field("box")).unwrap();
    let note = Note::parse(&from_base64(vector.field("roster")).unwrap()).unwrap();
    let roster = Roster::verify_ignoring_expiry(&note, &box_key).unwrap();
    let identity = Identity::new(&IdentitySeed::parse(vector.field("identity")).unwrap());
    let rosters = |epoch| (epoch == roster.epoch()).then(|| roster.clone());
    let context = Context {
        box_key: &box_key,
        roster: &rosters,
    };
    let keys = Keys::Identities(std::slice::from_ref(&identity));
    let mut collected = Collected::default();
    let len = vector.body.len() as u64;
    match sealdrop_open::open(&vector.body[..], len, keys, &context, &mut collected) {
        Ok(opened) => {
            assert_eq!(*opened.file_key.expose(), vector.hex("file-key"));
            assert_eq!(opened.report.form["title"], vector.field("title"));
            assert_eq!(sha256(&vector.body), vector.hex("digest"));
            assert_eq!(sha256(&collected.0[0].1), vector.hex("attachment-sha256"));
            SUCCESS.into()
        }
        Err(OpenError::Quarantine(reason)) => reason.to_string(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn vectors() {
    let team = TestBox::new(2);
    let attachment: &[u8] = b"\x7fELF and so on";
    let attachments = [("poc ä.bin", attachment)];
    let member = archive::attachment_member(0, "poc ä.bin");
    let report = team.report("It breaks.", &attachments);
    let json = report.to_json().unwrap();
    let drop = team.seal(&report, &attachments);
    let good = Vector::new(
        "good",
        SUCCESS,
        "a report with an attachment, to two members",
        &drop,
    )
    .with("box", team.roster.box_key())
    .with("roster", base64(team.roster.note().to_string().as_bytes()))
    .with("identity", &*IdentitySeed::from_bytes(&[2; 32]).to_age())
    .with("file-key", hex(&[4; 16]))
    .with("nonce", hex(&[8; 16]))
    .with("title", "A hole")
    .with("digest", hex(&sha256(&drop)))
    .with("attachment-sha256", hex(&sha256(attachment)));
    let bad = |name: &str, expect: &str, comment: &str, body: Vec<u8>| {
        good.twin(name, expect, comment).body(body)
    };
    let flipped = |name: &str, expect: &str, comment: &str, at: usize| {
        let mut body = drop.clone();
        body[at] = if body[at] == b'A' { b'B' } else { b'A' };
        bad(name, expect, comment, body)
    };
    let tar = || {
        Tar::new()
            .member(archive::REPORT, &json)
            .member(&member, attachment)
    };
    let sealed = |plain: &[u8]| seal_plaintext(&recipients(&team), plain);
    let header = 70 + 2 * 1557;
    let mut tail = tar().signed(&team.keys.voice).padded();
    *tail.last_mut().unwrap() = 1;
    let mut wide = tar().signed(&team.keys.voice).padded();
    wide.resize(131_072, 0);
    let mut link = archive::member_header(&member, attachment.len() as u64).unwrap();
    link[156] = b'2';
    let mut wrong_stanza = recipients(&team);
    wrong_stanza[1] = TestBox::with_seed(1, 60).roster.members()[0]
        .recipient
        .clone();
    let mut stranger = TestBox::new(2);
    stranger.keys =
        sealdrop_core::phrase::Phrase::from_entropy(&[66; 16]).keys(team.roster.box_key());
    let elsewhere = TestBox::with_seed(2, 40)
        .report("It breaks.", &attachments)
        .to_json()
        .unwrap();
    let mut later = team.report("It breaks.", &attachments);
    later.epoch = 4;
    let later = later.to_json().unwrap();
    let with_report = |json: &[u8]| {
        sealed(
            &Tar::new()
                .member(archive::REPORT, json)
                .member(&member, attachment)
                .signed(&team.keys.voice)
                .padded(),
        )
    };
    let twice = String::from_utf8(json.clone())
        .unwrap()
        .replace("\"title\":", "\"description\":");
    let vectors = [
        flipped("mac", "damaged", "the header's MAC", header - 10),
        flipped("chunk", "damaged", "a byte of the payload", header + 1000),
        flipped(
            "nonce",
            "damaged",
            "a byte of the payload nonce",
            header + 3,
        ),
        flipped(
            "stanza",
            "not addressed to you",
            "a byte of this member's stanza",
            22 + 1557 - 20,
        ),
        flipped("tag", "not a drop", "the type of a stanza", 22 + 4),
        bad(
            "truncated",
            "not a drop",
            "the last byte is missing",
            drop[..drop.len() - 1].to_vec(),
        ),
        bad(
            "appended",
            "not a drop",
            "a byte more",
            [&drop[..], b"\0"].concat(),
        ),
        bad("empty", "not a drop", "nothing", Vec::new()),
        bad(
            "fewer",
            "not addressed to member1",
            "sealed to the first member only",
            {
                seal_plaintext(
                    &recipients(&team)[..1],
                    &tar().signed(&team.keys.voice).padded(),
                )
            },
        ),
        bad(
            "wrong-stanza",
            "not addressed to member1",
            "a stanza for somebody else in the second member's place",
            seal_plaintext(&wrong_stanza, &tar().signed(&team.keys.voice).padded()),
        ),
        bad(
            "unsigned",
            "not a drop",
            "no report.sig",
            sealed(&tar().padded()),
        ),
        bad(
            "stranger",
            "bad signature",
            "signed with another conversation's key",
            sealed(&tar().signed(&stranger.keys.voice).padded()),
        ),
        bad(
            "non-zero-tail",
            "not a drop",
            "the last byte of the padding is not zero",
            sealed(&tail),
        ),
        bad(
            "wide",
            "bad padding",
            "padded to twice what its content needs",
            sealed(&wide),
        ),
        bad(
            "link",
            "not a drop",
            "a symbolic link",
            sealed(&tar_with(&json, &link, attachment, &team)),
        ),
        bad("path", "bad report", "a member outside attachments/", {
            sealed(
                &Tar::new()
                    .member(archive::REPORT, &json)
                    .member("../escape", attachment)
                    .signed(&team.keys.voice)
                    .padded(),
            )
        }),
        bad(
            "missing-attachment",
            "bad report",
            "an attachment that the report names is not there",
            sealed(&Tar::bare(&json, &team.keys.voice)),
        ),
        bad(
            "not-json",
            "bad report",
            "report.json is no JSON",
            with_report(b"no"),
        ),
        bad(
            "field-twice",
            "bad report",
            "a field of the form stands twice",
            with_report(twice.as_bytes()),
        ),
        bad(
            "another-box",
            "another box",
            "written to another box",
            with_report(&elsewhere),
        ),
        bad(
            "unknown-roster",
            "unknown roster",
            "sealed to an epoch that is not known",
            with_report(&later),
        ),
        good,
    ];
    vector::run("drop", &vectors, outcome);
}

fn tar_with(json: &[u8], header: &[u8; 512], content: &[u8], team: &TestBox) -> Vec<u8> {
    Tar::new()
        .member(archive::REPORT, json)
        .raw(header, content)
        .signed(&team.keys.voice)
        .padded()
}
