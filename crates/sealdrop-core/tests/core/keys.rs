//! Vectors of docs/protocol.md, "Keys" and "Phrase": what derives from a phrase, a device seed and an identity.

use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::key::{BoxKey, device_keys};
use sealdrop_core::phrase::{Phrase, PhraseError};
use sealdrop_core::recipient::IdentitySeed;

use crate::vector::{self, SUCCESS, Vector};
use crate::world;

#[test]
fn phrase() {
    let box_key = world::box_secret().to_public();
    let phrase = Phrase::from_entropy(world::seed("phrase").first_chunk().unwrap());
    let words = phrase.words();
    let keys = phrase.keys(&box_key);
    let good = Vector::new(
        "good",
        SUCCESS,
        "a phrase and the keys of its conversation",
        words.as_bytes(),
    )
    .with("box", &box_key)
    .with("identity", &*keys.identity.to_age())
    .with(
        "recipient-sha256",
        hex(&sha256(keys.identity.to_public().as_bytes())),
    )
    .with("clue", hex(&keys.clue.to_public()))
    .with("state", &*keys.state.to_age())
    .with("voice", hex(keys.voice.to_public().as_bytes()))
    .with("conversation", keys.conversation);
    let list: Vec<&str> = words.split(' ').collect();
    let mut swapped = list.clone();
    swapped.swap(0, 1);
    let vectors = [
        good.twin("loose", SUCCESS, "another case, other white space")
            .body(format!("  {}\n", list.join("\t\n").to_uppercase())),
        good.twin("unknown-word", "unknown word 3", "a slip of the finger")
            .body(words.replacen(list[2], &format!("{}x", list[2]), 1)),
        good.twin("swapped", "checksum", "two words swapped")
            .body(swapped.join(" ")),
        good.twin("eleven", "11 words", "a word is missing")
            .body(list[..11].join(" ")),
        good.twin("empty", "0 words", "nothing").body(""),
        good,
    ];
    vector::run("phrase", &vectors, |vector| {
        match Phrase::parse(vector.text()) {
            Ok(phrase) => {
                let keys = phrase.keys(&BoxKey::parse(vector.field("box")).unwrap());
                assert_eq!(*keys.identity.to_age(), vector.field("identity"));
                assert_eq!(
                    sha256(keys.identity.to_public().as_bytes()),
                    vector.hex("recipient-sha256")
                );
                assert_eq!(keys.clue.to_public(), vector.hex("clue"));
                assert_eq!(*keys.state.to_age(), vector.field("state"));
                assert_eq!(*keys.voice.to_public().as_bytes(), vector.hex("voice"));
                assert_eq!(keys.conversation.0, vector.hex("conversation"));
                SUCCESS.into()
            }
            Err(PhraseError::Checksum) => "checksum".into(),
            Err(PhraseError::Count(count)) => format!("{count} words"),
            Err(PhraseError::UnknownWord { position, .. }) => format!("unknown word {position}"),
            Err(other) => panic!("{other}"),
        }
    });
}

#[test]
fn device() {
    let [alice, bob] = ["alice/desk", "bob/laptop"].map(|name| {
        let (access, witness) = device_keys(&world::seed(name));
        Vector::new(
            &name.replace('/', "-"),
            SUCCESS,
            "the two keys of a device",
            "",
        )
        .with("seed", hex(&world::seed(name)))
        .with("access", hex(access.to_public().as_bytes()))
        .with("witness", hex(witness.to_public().as_bytes()))
    });
    let vectors = [
        alice
            .twin("one-key", "witness", "one key for both purposes")
            .with("witness", alice.field("access")),
        alice
            .twin(
                "another-device",
                "access",
                "the access key of another device",
            )
            .with("access", bob.field("access")),
        alice,
        bob,
    ];
    vector::run("device", &vectors, |vector| {
        let (access, witness) = device_keys(&vector.hex("seed"));
        if *access.to_public().as_bytes() != vector.hex("access") {
            return "access".into();
        }
        if *witness.to_public().as_bytes() != vector.hex("witness") {
            return "witness".into();
        }
        SUCCESS.into()
    });
}

#[test]
fn identity() {
    let seed = IdentitySeed::from_bytes(&world::seed("alice identity"));
    let good = Vector::new(
        "good",
        SUCCESS,
        "an identity and its recipient",
        seed.to_age().as_bytes(),
    )
    .with("recipient", seed.to_public());
    let text = seed.to_age();
    let vectors = [
        good.twin("lower-case", "malformed", "an identity in lower case")
            .body(text.to_lowercase()),
        good.twin("typo", "malformed", "one character is missing")
            .body(&text[..text.len() - 1]),
        good,
    ];
    vector::run("identity", &vectors, |vector| {
        match IdentitySeed::parse(vector.text()) {
            Some(seed) => {
                assert_eq!(seed.to_public().to_string(), vector.field("recipient"));
                SUCCESS.into()
            }
            None => "malformed".into(),
        }
    });
}
