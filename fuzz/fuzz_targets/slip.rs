//! A slip as it stands in the feed, what its age file holds, and the message that its parts make. An even first byte spoils a valid slip.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::key::SecretKey;
use sealdrop_core::phrase::{Phrase, ReporterKeys};
use sealdrop_core::report::Reporter;
use sealdrop_core::slip::clue::Seeker;
use sealdrop_core::slip::message::{Envelope, Message};
use sealdrop_core::slip::{self, PLAINTEXT, Part, PartKind, Slip};
use sealdrop_fuzz::edit;
use sealdrop_open::{Identity, open_slip};

struct World {
    keys: ReporterKeys,
    voice: SecretKey<sealdrop_core::key::VoiceRole>,
    part: Part,
    slip: Box<Slip>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let box_key = SecretKey::generate(&mut rng).to_public();
    let keys = Phrase::from_entropy(&[7; 16]).keys(&box_key);
    let envelope = Envelope {
        box_key,
        epoch: 1,
        conversation: keys.conversation,
        message: [2; 16],
        number: 1,
        member: "alice".into(),
        kind: PartKind::Note,
    };
    let message = Message {
        text: "hello".into(),
        ..Message::default()
    };
    let part = envelope.parts(&message).unwrap().remove(0);
    let reporter = Reporter {
        recipient: keys.identity.to_public(),
        clue: keys.clue.to_public(),
        voice: keys.voice.to_public(),
    };
    let voice = SecretKey::generate(&mut rng);
    let slip = slip::seal(&part, &reporter, &voice, &mut rng);
    World {
        keys,
        voice,
        part,
        slip,
    }
});

thread_local! {
    static IDENTITY: Identity = Identity::new(&WORLD.keys.identity);
}

fuzz_target!(|input: &[u8]| {
    if let Ok(message) = Message::parse(input) {
        let bytes = message.to_bytes();
        assert_eq!(bytes.and_then(|bytes| Message::parse(&bytes)), Ok(message));
    }
    let mut plain = [0; PLAINTEXT];
    let len = input.len().min(PLAINTEXT);
    plain[..len].copy_from_slice(&input[..len]);
    let voice = |_: &Part| Some(WORLD.voice.to_public());
    // Nobody signed what a fuzzer makes.
    assert!(Part::open(&plain, voice).is_err());

    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let mut slip = WORLD.slip.to_vec();
    if first % 2 == 1 {
        let len = rest.len().min(slip.len());
        slip[..len].copy_from_slice(&rest[..len]);
    } else {
        edit(&mut slip, rest);
    }
    slip.resize(slip::SLIP, 0);
    let slip: Box<Slip> = slip.try_into().unwrap();
    let _ = Seeker::new(&WORLD.keys.clue, &WORLD.part.box_key).finds(slip::split(&slip).0);
    let opened = IDENTITY.with(|identity| open_slip(&slip, identity, voice));
    assert!(
        opened.is_err() || slip[slip::clue::CLUE..] == WORLD.slip[slip::clue::CLUE..],
        "another slip opened"
    );
});
