//! Vectors of docs/protocol.md, "Roster".

use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::key::BoxKey;
use sealdrop_core::note::{Note, SignatureLine};
use sealdrop_core::recipient::{RECIPIENT_LEN, Recipient};
use sealdrop_core::roster::{Draft, Roster, RosterError, Seen};
use sealdrop_core::time::Time;

use crate::vector::{self, SUCCESS, Vector};
use crate::world::{self, NOW};

fn sign(text: &str) -> String {
    let secret = world::box_secret();
    Note::new(text)
        .unwrap()
        .sign(&secret.to_public().to_string(), &secret)
        .to_string()
}

fn outcome(vector: &Vector) -> String {
    let box_key = BoxKey::parse(vector.field("box")).unwrap();
    let origin = vector.field("origin").parse().unwrap();
    let now = Time(vector.number("now"));
    let seen = Seen {
        epoch: vector.number("seen-epoch"),
        digest: vector.hex("seen-digest"),
    };
    let verdict = Note::parse(&vector.body)
        .map_err(|_| RosterError::Malformed)
        .and_then(|note| Roster::verify(&note, &box_key, Some(&origin), now, seen));
    match verdict {
        Ok(roster) => {
            let names: Vec<_> = roster
                .members()
                .iter()
                .map(|member| member.name.as_str())
                .collect();
            assert_eq!(names.join(" "), vector.field("members"));
            assert_eq!(roster.epoch(), vector.number("epoch"));
            SUCCESS.into()
        }
        Err(RosterError::Malformed) => "malformed".into(),
        Err(RosterError::NotSigned) => "not signed by the box key".into(),
        Err(RosterError::AnotherBox) => "another box".into(),
        Err(RosterError::AnotherOrigin) => "another origin".into(),
        Err(RosterError::Expired) => "expired".into(),
        Err(RosterError::NotYetIssued) => "not yet issued".into(),
        Err(RosterError::Rollback) => "rollback".into(),
        Err(RosterError::TwoOfOneEpoch) => "two rosters of one epoch".into(),
        Err(RosterError::Duplicate) => "duplicate".into(),
        Err(RosterError::Recipient) => "recipient".into(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn vectors() {
    let text = world::draft().to_text();
    let note = world::roster().note().to_string();
    let good = Vector::new("good", SUCCESS, "two members, three devices", &note)
        .with("box", world::box_secret().to_public())
        .with("origin", world::ORIGIN)
        .with("now", NOW)
        .with("seen-epoch", 0)
        .with("seen-digest", hex(&[0; 32]))
        .with("epoch", 1)
        .with("members", "alice bob");
    let told = |name: &str, expect: &str, comment: &str, text: &str| {
        good.twin(name, expect, comment).body(sign(text))
    };
    let retold = |name: &str, expect: &str, comment: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{name}: no {from:?}");
        told(name, expect, comment, &text.replacen(from, to, 1))
    };
    let redrafted = |name: &str, expect: &str, comment: &str, change: &dyn Fn(&mut Draft)| {
        let mut draft = world::draft();
        change(&mut draft);
        told(name, expect, comment, &draft.to_text())
    };
    let line = |name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
            + "\n"
    };
    let low_order = {
        let mut bytes = *world::member("bob").recipient.as_bytes();
        bytes[RECIPIENT_LEN - 32..].fill(0);
        assert!(Recipient::from_bytes(&bytes).is_err());
        sealdrop_core::bech32::encode("age1pq", &bytes)
    };
    let stranger = world::secret::<sealdrop_core::key::BoxRole>("stranger");
    let named_as_box = {
        // The stranger's signature under the box's name and key ID.
        let vkey = sealdrop_core::roster::box_vkey(&world::box_secret().to_public());
        let mut note = Note::new(&*text).unwrap();
        note.push(SignatureLine::new(
            &vkey,
            stranger.sign(text.as_bytes()).to_vec(),
        ));
        note.to_string()
    };
    let vectors = [
        told(
            "unknown-x-line",
            SUCCESS,
            "lines that begin with x- are ignored",
            &format!("{text}x-colour: blue\n"),
        ),
        good.twin("seen-before", SUCCESS, "the same roster again")
            .with("seen-epoch", 1)
            .with("seen-digest", hex(&sha256(note.as_bytes()))),
        redrafted("newer", SUCCESS, "of a higher epoch than seen", &|d| {
            d.epoch = 2
        })
        .with("epoch", 2)
        .with("seen-epoch", 1),
        good.twin("last-second", SUCCESS, "a second before it expires")
            .with("now", NOW.0 + 30 * 86_400 - 1),
        good.twin("clock-behind", SUCCESS, "issued a day ahead of this clock")
            .with("now", NOW.0 - 2 * 86_400),
        good.twin("not-a-note", "malformed", "no signature lines")
            .body(&text),
        told(
            "no-first-line",
            "malformed",
            "another first line",
            &text.replacen("roster/v1", "roster/v2", 1),
        ),
        told(
            "unknown-line",
            "malformed",
            "a line that the specification does not know",
            &format!("{text}colour: blue\n"),
        ),
        retold(
            "order",
            "malformed",
            "two lines change places",
            &(line("issued") + &line("expires")),
            &(line("expires") + &line("issued")),
        ),
        retold(
            "missing-line",
            "malformed",
            "no line max-drop",
            &line("max-drop"),
            "",
        ),
        retold("no-origin", "malformed", "no origin", &line("origin"), ""),
        retold(
            "origin-spelling",
            "malformed",
            "an origin with its default port",
            "https://drop.example",
            "https://drop.example:443",
        ),
        redrafted("epoch-zero", "malformed", "epoch 0", &|d| d.epoch = 0),
        retold(
            "epoch-padded",
            "malformed",
            "a leading zero",
            "epoch: 1",
            "epoch: 01",
        ),
        redrafted(
            "ninety-one-days",
            "malformed",
            "valid for longer than 90 days",
            &|d| d.expires = Time(d.issued.0 + 7_776_001),
        ),
        redrafted(
            "backwards",
            "malformed",
            "expires before it is issued",
            &|d| d.expires = Time(d.issued.0 - 1),
        ),
        redrafted("window-zero", "malformed", "a window of 0 s", &|d| {
            d.window = 0
        }),
        redrafted(
            "window-long",
            "malformed",
            "a window of more than a week",
            &|d| d.window = 604_801,
        ),
        redrafted(
            "retention-short",
            "malformed",
            "kept for less than a window",
            &|d| d.retention = d.window - 1,
        ),
        redrafted("slips-many", "malformed", "65 slips in a window", &|d| {
            d.slips = 65
        }),
        redrafted(
            "max-drop-small",
            "malformed",
            "smaller than the smallest drop",
            &|d| d.max_drop = 67_194,
        ),
        redrafted("max-drop-large", "malformed", "larger than 8 GiB", &|d| {
            d.max_drop = 8_589_934_593
        }),
        redrafted("no-member", "malformed", "nobody", &|d| {
            d.members.clear();
            d.devices.clear();
        }),
        redrafted(
            "log-of-another-box",
            "malformed",
            "a log key under another name",
            &|d| {
                d.log =
                    sealdrop_core::note::Vkey::new("sdbox1other/log-00000000", d.log.key().clone());
            },
        ),
        redrafted(
            "device-of-nobody",
            "malformed",
            "a device of no member",
            &|d| d.devices.push(world::device("carol/desk")),
        ),
        retold(
            "role",
            "malformed",
            "a role that is no handle",
            "alice maintainer",
            "alice Maintainer",
        ),
        retold(
            "voice-name",
            "malformed",
            "a voice key under another name",
            "member: alice",
            "member: alicia",
        ),
        good.twin(
            "another-key",
            "not signed by the box key",
            "signed by a stranger",
        )
        .body(
            Note::new(&*text)
                .unwrap()
                .sign(&stranger.to_public().to_string(), &stranger)
                .to_string(),
        ),
        good.twin(
            "forged",
            "not signed by the box key",
            "a stranger's signature under the box's name",
        )
        .body(named_as_box),
        good.twin(
            "changed",
            "not signed by the box key",
            "changed after signing",
        )
        .body(note.replacen("slips: 4", "slips: 5", 1)),
        redrafted(
            "another-box",
            "another box",
            "signed by this box, about another",
            &|d| {
                d.box_key = world::secret::<sealdrop_core::key::BoxRole>("stranger").to_public();
                d.log = sealdrop_core::log::checkpoint::log_vkey(
                    &d.box_key,
                    &world::log_secret().to_public(),
                );
            },
        ),
        good.twin("another-origin", "another origin", "asked for elsewhere")
            .with("origin", "https://drop.test"),
        good.twin("expired", "expired", "in the second in which it expires")
            .with("now", NOW.0 + 30 * 86_400),
        good.twin(
            "not-yet-issued",
            "not yet issued",
            "more than a day ahead of this clock",
        )
        .with("now", NOW.0 - 2 * 86_400 - 1),
        good.twin("rollback", "rollback", "older than one seen")
            .with("seen-epoch", 2),
        good.twin(
            "two-of-one-epoch",
            "two rosters of one epoch",
            "another one of this epoch was seen",
        )
        .with("seen-epoch", 1),
        redrafted("member-twice", "duplicate", "one member twice", &|d| {
            d.members.push(world::member("alice"))
        }),
        redrafted(
            "recipient-twice",
            "duplicate",
            "two members with one recipient",
            &|d| d.members[1].recipient = d.members[0].recipient.clone(),
        ),
        redrafted(
            "voice-twice",
            "duplicate",
            "two members with one voice key",
            &|d| {
                d.members[1].voice =
                    sealdrop_core::note::Vkey::new("bob", d.members[0].voice.key().clone());
            },
        ),
        redrafted("device-twice", "duplicate", "one device twice", &|d| {
            d.devices.push(world::device("bob/laptop"))
        }),
        redrafted(
            "witness-twice",
            "duplicate",
            "two devices with one witness key: they could sign a fork",
            &|d| {
                d.devices[1].witness = sealdrop_core::note::Vkey::new(
                    "alice/laptop",
                    d.devices[0].witness.key().clone(),
                );
            },
        ),
        redrafted(
            "access-is-witness",
            "duplicate",
            "one key in two roles",
            &|d| {
                let key =
                    sealdrop_core::key::PublicKey::from_bytes(d.devices[0].access.key().as_bytes())
                        .unwrap();
                d.devices[0].witness = sealdrop_core::note::Vkey::new("alice/desk", key);
            },
        ),
        retold(
            "low-order",
            "recipient",
            "a recipient with an X25519 share of low order",
            &world::member("bob").recipient.to_string(),
            &low_order,
        ),
        retold(
            "classic",
            "recipient",
            "a classic age recipient",
            &world::member("bob").recipient.to_string(),
            "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
        ),
        good,
    ];
    vector::run("roster", &vectors, outcome);
}
