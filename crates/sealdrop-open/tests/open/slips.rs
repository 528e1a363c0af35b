//! Slips: messages cut into parts, sealed, found and opened. Vectors of docs/protocol.md, "Slip".

use sealdrop_core::encoding::{base64, from_base64, hex};
use sealdrop_core::key::{BoxKey, PublicKey, SecretKey, VoiceRole};
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::note::Note;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::clue::{CLUE, Seeker};
use sealdrop_core::slip::message::{Assembly, Date, Envelope, File, Message};
use sealdrop_core::slip::{self, PLAINTEXT, Part, PartError, PartKind, SLIP, Slip};
use sealdrop_core::time::Window;
use sealdrop_open::{Identity, SlipError, open_slip};

use crate::byhand::age_file;
use crate::maker::{TestBox, file_key, rng};
use crate::vector::{self, SUCCESS, Vector};

fn voice() -> SecretKey<VoiceRole> {
    SecretKey::generate(&mut rng(150))
}

fn envelope(team: &TestBox, kind: PartKind) -> Envelope {
    Envelope {
        box_key: team.roster.box_key().clone(),
        epoch: team.roster.epoch(),
        conversation: team.keys.conversation,
        message: [6; 16],
        number: 3,
        member: "member0".into(),
        kind,
    }
}

fn voice_in(roster: &Roster) -> impl Fn(&Part) -> Option<PublicKey<VoiceRole>> {
    |part| {
        let member = roster.members().iter().find(|m| m.name == part.member)?;
        (part.epoch == roster.epoch()).then(|| member.voice.key().clone())
    }
}

fn seal(team: &TestBox, kind: PartKind, message: &Message) -> Vec<Box<Slip>> {
    let reporter = team.report("", &[]).reporter;
    let parts = envelope(team, kind).parts(message).unwrap();
    let seal = |part: &Part| slip::seal(part, &reporter, &voice(), &mut rng(9 + part.part as u8));
    parts.iter().map(seal).collect()
}

fn text(text: &str) -> Message {
    Message {
        text: text.into(),
        ..Message::default()
    }
}

#[test]
fn a_message_in_parts_is_found_among_others_and_put_together() {
    let team = TestBox::new(1);
    let other = TestBox::with_seed(1, 40);
    let message = Message {
        text: "ä".repeat(3_000),
        leaves: vec![Leaf {
            kind: LeafKind::Drop,
            digest: [3; 32],
            size: 67_195,
            window: Window(7),
        }],
        state: Some("triaged".into()),
        dates: vec![Date {
            what: "disclosure".into(),
            on: "2026-12-24".into(),
            met: Some("2026-12-23".into()),
        }],
        file: Some(File {
            name: "fix.patch".into(),
            size: 9,
            zlib: b"any\nbytes".to_vec(),
        }),
    };
    let mut feed = seal(&team, PartKind::File, &message);
    assert_eq!(feed.len(), 4);
    feed.extend(seal(&other, PartKind::Note, &text("for another")));
    let box_key = team.roster.box_key();
    feed.push(slip::decoy(box_key, &mut rng(77)));
    feed.sort();
    let seeker = Seeker::new(&team.keys.clue, box_key);
    let identity = Identity::new(&team.keys.identity);
    let found: Vec<_> = feed
        .iter()
        .filter(|slip| seeker.finds(slip::split(slip).0))
        .map(|slip| open_slip(slip, &identity, voice_in(&team.roster)).unwrap())
        .collect();
    assert_eq!(found.len(), 4);
    let mut assembly = Assembly::new(found[0].clone());
    for part in &found {
        assert!(assembly.message().is_none() || assembly.here() == 4);
        assert!(assembly.add(part.clone()));
    }
    assert_eq!(assembly.message(), Some(Ok(message)));
    let mut foreign = found[0].clone();
    foreign.kind = PartKind::Note;
    assert!(!assembly.add(foreign));
}

#[test]
fn a_clue_names_nobody_else_and_is_of_one_box() {
    let team = TestBox::new(1);
    let slip = &seal(&team, PartKind::Note, &text("hello"))[0];
    let clue = slip::split(slip).0;
    let finds = |phrase: u8, box_key: &BoxKey, of: &BoxKey| {
        let keys = Phrase::from_entropy(&[phrase; 16]).keys(of);
        Seeker::new(&keys.clue, box_key).finds(clue)
    };
    let (ours, theirs) = (
        team.roster.box_key(),
        TestBox::with_seed(1, 40).roster.box_key().clone(),
    );
    assert!(finds(7, ours, ours));
    assert!(!finds(8, ours, ours), "another phrase");
    assert!(!finds(7, &theirs, ours), "another box");
    for bit in 0..CLUE * 8 {
        let mut broken = *clue;
        broken[bit / 8] ^= 1 << (bit % 8);
        // X25519 ignores the top bit of a share; the salt does not.
        assert!(!Seeker::new(&team.keys.clue, ours).finds(&broken), "{bit}");
    }
}

#[test]
fn low_order_points_in_a_clue_are_for_nobody() {
    let team = TestBox::new(1);
    for first in [0, 1] {
        let mut clue = [0; CLUE];
        clue[0] = first;
        assert!(!Seeker::new(&team.keys.clue, team.roster.box_key()).finds(&clue));
    }
}

fn outcome(vector: &Vector) -> String {
    let box_key = BoxKey::parse(vector.field("box")).unwrap();
    let note = Note::parse(&from_base64(vector.field("roster")).unwrap()).unwrap();
    let roster = Roster::verify_ignoring_expiry(&note, &box_key).unwrap();
    let keys = Phrase::parse(vector.field("phrase"))
        .unwrap()
        .keys(&box_key);
    let slip: &Slip = vector.body[..].try_into().unwrap();
    if !Seeker::new(&keys.clue, &box_key).finds(slip::split(slip).0) {
        return "not ours".into();
    }
    match open_slip(slip, &Identity::new(&keys.identity), voice_in(&roster)) {
        Ok(part) if part.box_key != box_key || part.conversation != keys.conversation => {
            "relayed".into()
        }
        Ok(part) => {
            assert_eq!(part.kind.as_str(), vector.field("kind"));
            assert_eq!(hex(&part.message), vector.field("message"));
            let message = Assembly::new(part).message().unwrap().unwrap();
            assert_eq!(message.text, vector.field("text"));
            SUCCESS.into()
        }
        Err(SlipError::NotSealedToYou) => "copied clue".into(),
        Err(SlipError::Part(PartError::Malformed)) => "malformed".into(),
        Err(SlipError::Part(PartError::NotSigned)) => "forged".into(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn vectors() {
    let team = TestBox::new(1);
    let words = Phrase::from_entropy(&[7; 16]).words();
    let message = text("Can you send the version?");
    let slip = seal(&team, PartKind::Question, &message).remove(0);
    let good = Vector::new("good", SUCCESS, "a question, in one part", &slip[..])
        .with("box", team.roster.box_key())
        .with("roster", base64(team.roster.note().to_string().as_bytes()))
        .with("phrase", &*words)
        .with("kind", "question")
        .with("message", hex(&[6; 16]))
        .with("text", &message.text);
    // The same clue over another age file, as somebody makes it who knows the reporter's public keys.
    let with_plaintext = |plain: &[u8]| {
        let recipient = team.keys.identity.to_public();
        let mut bytes = slip::split(&slip).0.to_vec();
        bytes.extend(age_file(&file_key(), &[recipient], plain));
        assert_eq!(bytes.len(), SLIP);
        bytes
    };
    let plain = plaintext(&team, &slip);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut plain = plain.clone();
        change(&mut plain);
        with_plaintext(&plain)
    };
    let flipped = |at: usize| {
        let mut slip = slip.clone();
        slip[at] ^= 1;
        slip.to_vec()
    };
    let forged = {
        let part = envelope(&team, PartKind::Question).parts(&message).unwrap();
        let reporter = team.report("", &[]).reporter;
        slip::seal(
            &part[0],
            &reporter,
            &SecretKey::generate(&mut rng(99)),
            &mut rng(10),
        )
    };
    let relayed = {
        let mut part = envelope(&team, PartKind::Question).parts(&message).unwrap();
        part[0].conversation.0[0] ^= 1;
        let reporter = team.report("", &[]).reporter;
        slip::seal(&part[0], &reporter, &voice(), &mut rng(10))
    };
    let copied = {
        let mut copy = slip::decoy(team.roster.box_key(), &mut rng(11));
        copy[..CLUE].copy_from_slice(&slip[..CLUE]);
        copy
    };
    let vectors = [
        good.twin("decoy", "not ours", "a slip for nobody")
            .body(&slip::decoy(team.roster.box_key(), &mut rng(12))[..]),
        good.twin("another-phrase", "not ours", "somebody else looks")
            .with("phrase", &*Phrase::from_entropy(&[8; 16]).words()),
        good.twin("clue", "not ours", "one bit of the tag")
            .body(flipped(40)),
        good.twin("copied-clue", "copied clue", "our clue on a decoy")
            .body(&copied[..]),
        good.twin("chunk", "copied clue", "one bit of the payload")
            .body(flipped(SLIP - 20)),
        good.twin("stanza", "copied clue", "a stanza of another type")
            .body(flipped(CLUE + 25)),
        good.twin("forged", "forged", "signed by another key")
            .body(&forged[..]),
        good.twin("text-changed", "forged", "one bit of the text")
            .body(changed(&|plain| *find(plain, b"version?") ^= 1)),
        good.twin("relayed", "relayed", "signed for another conversation")
            .body(&relayed[..]),
        good.twin("tail", "malformed", "bytes after the signature")
            .body(changed(&|plain| plain[PLAINTEXT - 1] = 1)),
        good.twin("part", "malformed", "part 0")
            .body(changed(&|plain| *find(plain, b"1,\"parts\"") = b'0')),
        good.twin("length", "malformed", "a head longer than there is")
            .body(changed(&|plain| plain[0] = 255)),
        good,
    ];
    vector::run("slip", &vectors, outcome);
}

/// The byte at which `what` begins.
fn find<'a>(plain: &'a mut [u8], what: &[u8]) -> &'a mut u8 {
    let at = plain.windows(what.len()).position(|w| w == what).unwrap();
    &mut plain[at]
}

/// The plaintext of a slip, by the `age` crate alone.
fn plaintext(team: &TestBox, slip: &Slip) -> Vec<u8> {
    let identity = Identity::new(&team.keys.identity);
    let decryptor = age::Decryptor::new_buffered(&slip::split(slip).1[..]).unwrap();
    let mut reader = decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .unwrap();
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut plain).unwrap();
    plain
}
