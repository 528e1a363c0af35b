//! Vectors of docs/protocol.md, "Claim": a name that the phrase signed, and every way in which it is not.

use sealdrop_core::claim::{Claim, ClaimError, MAX_NAME, MAX_STATEMENT};
use sealdrop_core::key::{BoxKey, BoxSecret};
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::phrase::{Phrase, ReporterKeys};

use crate::vector::{self, SUCCESS, Vector};
use crate::world;

fn keys(label: &str) -> ReporterKeys {
    let phrase = Phrase::from_entropy(world::seed(label).first_chunk().unwrap());
    phrase.keys(&world::box_secret().to_public())
}

/// A claim whose text was changed before it was signed, by the phrase's own voice key.
fn signed(keys: &ReporterKeys, from: &str, to: &str) -> String {
    let text = text(keys);
    assert!(text.contains(from));
    let note = Note::new(text.replacen(from, to, 1)).unwrap();
    note.sign(&keys.conversation.to_string(), &keys.voice)
        .to_string()
}

fn text(keys: &ReporterKeys) -> String {
    let box_key = world::box_secret().to_public();
    let note = Claim::sign(keys, &box_key, "Jane Doe", Some("I found it.")).unwrap();
    note.text().to_owned()
}

#[test]
fn claim() {
    let keys = keys("phrase");
    let box_key = world::box_secret().to_public();
    let other_box = world::secret::<sealdrop_core::key::BoxRole>("another box").to_public();
    let note = Claim::sign(&keys, &box_key, "Jane Doe", Some("I found it.")).unwrap();
    let id = keys.conversation.to_string();
    let voice = Vkey::new(id.as_str(), keys.voice.to_public()).to_string();
    let good = Vector::new("good", SUCCESS, "a name and a statement", note.to_string())
        .with("box", &box_key)
        .with("conversation", &id)
        .with("name", "Jane Doe")
        .with("statement", "I found it.");
    let bare = Claim::sign(&keys, &box_key, "J. Müller", None).unwrap();
    let bare = Vector::new(
        "no-statement",
        SUCCESS,
        "a name alone, not all of it ASCII",
        bare.to_string(),
    )
    .with("box", &box_key)
    .with("conversation", &id)
    .with("name", "J. Müller");
    let broken = |name: &str, comment: &str, from: &str, to: &str| {
        good.twin(name, "malformed", comment)
            .body(signed(&keys, from, to))
    };
    let stranger = self::keys("another phrase");
    let stranger_id = stranger.conversation.to_string();
    let stranger_voice = Vkey::new(stranger_id.as_str(), stranger.voice.to_public()).to_string();
    let line = note.to_string().lines().last().unwrap().to_owned() + "\n";
    let vectors = [
        good.twin("another-box", "another box", "held against another box")
            .with("box", &other_box),
        good.twin(
            "another-conversation",
            "another conversation",
            "it names a conversation that is another phrase's",
        )
        .body(signed(
            &keys,
            &format!("conversation: {id}"),
            &format!("conversation: {stranger_id}"),
        )),
        good.twin(
            "box-replaced",
            "another conversation",
            "another box stands in it, under which the key is another conversation's",
        )
        .body(signed(&keys, &box_key.to_string(), &other_box.to_string())),
        good.twin(
            "another-key-name",
            "another conversation",
            "the voice key goes by the name of another conversation",
        )
        .body({
            let renamed = Vkey::new(stranger_id.as_str(), keys.voice.to_public()).to_string();
            let text = text(&keys).replace(&voice, &renamed);
            Note::new(text)
                .unwrap()
                .sign(&stranger_id, &keys.voice)
                .to_string()
        }),
        good.twin(
            "another-voice",
            "not signed",
            "it names a voice key that did not sign",
        )
        .body(signed(&keys, &voice, &stranger_voice)),
        good.twin(
            "name-changed",
            "not signed",
            "the name was changed after it was signed",
        )
        .replace("name: Jane", "name: John"),
        good.twin(
            "signature-by-another",
            "not signed",
            "signed by another phrase",
        )
        .body(
            Note::new(text(&keys))
                .unwrap()
                .sign(&id, &stranger.voice)
                .to_string(),
        ),
        good.twin("two-signatures", "malformed", "a signature line more")
            .body(format!("{note}{line}")),
        broken("version", "a later version", "claim/v1", "claim/v2"),
        broken(
            "another-kind",
            "a text of another kind",
            "sealdrop/claim/v1",
            "sealdrop/self-test/v1",
        ),
        broken("no-name", "the name is missing", "name: Jane Doe\n", ""),
        broken(
            "name-empty",
            "an empty name",
            "name: Jane Doe\n",
            "name: \n",
        ),
        broken(
            "name-blank",
            "white space around the name",
            "Jane Doe\n",
            "Jane Doe \n",
        ),
        broken(
            "name-control",
            "a control character in the name",
            "Jane",
            "Ja\u{9b}2Jne",
        ),
        broken(
            "name-long",
            "a name of 257 characters",
            "Jane Doe",
            &"ö".repeat(MAX_NAME + 1),
        ),
        broken(
            "statement-long",
            "a statement of 1,025 characters",
            "I found it.",
            &"ö".repeat(MAX_STATEMENT + 1),
        ),
        broken(
            "order",
            "statement before name",
            "name: Jane Doe\nstatement: I found it.\n",
            "statement: I found it.\nname: Jane Doe\n",
        ),
        broken(
            "a-line-more",
            "a line that version 1 does not have",
            "it.\n",
            "it.\nhandle: jd\n",
        ),
        broken("voice-bare", "the voice key is no vkey", &voice, "AAAA"),
        good.twin("no-signature", "malformed", "the text alone")
            .body(text(&keys)),
        bare,
        good,
    ];
    vector::run("claim", &vectors, |vector| {
        let box_key = BoxKey::parse(vector.field("box")).unwrap();
        let verified = Note::parse(&vector.body)
            .map_err(|_| ClaimError::Malformed)
            .and_then(|note| Claim::verify(&note, &box_key));
        match verified {
            Ok(claim) => {
                assert_eq!(claim.box_key, box_key);
                assert_eq!(claim.conversation.to_string(), vector.field("conversation"));
                assert_eq!(claim.name, vector.field("name"));
                assert_eq!(claim.statement.as_deref(), vector.optional("statement"));
                SUCCESS
            }
            Err(ClaimError::AnotherBox) => "another box",
            Err(ClaimError::AnotherConversation) => "another conversation",
            Err(ClaimError::NotSigned) => "not signed",
            Err(_) => "malformed",
        }
        .into()
    });
}

#[test]
fn a_name_that_no_claim_can_hold_is_not_signed() {
    let box_secret: BoxSecret = world::box_secret();
    let (keys, box_key) = (keys("phrase"), box_secret.to_public());
    let sign = |name: &str, statement: Option<&str>| {
        Claim::sign(&keys, &box_key, name, statement).map(drop)
    };
    for bad in ["", " ", "two\nlines", "tab\there", "\u{1b}[31m", " x"] {
        assert_eq!(sign(bad, None), Err(ClaimError::Malformed), "{bad:?}");
        assert_eq!(sign("J", Some(bad)), Err(ClaimError::Malformed), "{bad:?}");
    }
    for (name, statement) in [(257, 1), (1, 1_025)] {
        let statement = "y".repeat(statement);
        let signed = sign(&"x".repeat(name), Some(&statement));
        assert_eq!(signed, Err(ClaimError::Malformed));
    }
    // A name cannot smuggle in a line of its own.
    assert!(sign("Jane\nstatement: and John", None).is_err());
    assert!(sign(&"x".repeat(256), Some(&"y".repeat(1_024))).is_ok());
}

/// A member who knows everything of a conversation but the phrase cannot claim it.
#[test]
fn member_of_the_team_claims_a_reporters_conversation_and_fails() {
    let (keys, box_key) = (keys("phrase"), world::box_secret().to_public());
    let alice = world::secret::<sealdrop_core::key::VoiceRole>("alice voice");
    let id = keys.conversation.to_string();
    let text = text(&keys);
    let by_alice = Note::new(text.clone()).unwrap().sign(&id, &alice);
    assert_eq!(
        Claim::verify(&by_alice, &box_key),
        Err(ClaimError::NotSigned)
    );
    let voice = Vkey::new(id.as_str(), keys.voice.to_public()).to_string();
    let own = Vkey::new(id.as_str(), alice.to_public()).to_string();
    let by_alice = Note::new(text.replace(&voice, &own))
        .unwrap()
        .sign(&id, &alice);
    assert_eq!(
        Claim::verify(&by_alice, &box_key),
        Err(ClaimError::AnotherConversation)
    );
}
