//! States: opened by the phrase that made them, and by nobody else.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::key::{BoxKey, LogRole, SecretKey};
use sealdrop_core::note::Note;
use sealdrop_core::phrase::{Phrase, ReporterKeys};
use sealdrop_core::roster::Seen;
use sealdrop_core::state::{State, StateError};
use sealdrop_core::time::Window;
use sealdrop_open::{OpenStateError, open_state};

fn box_key(n: u8) -> BoxKey {
    SecretKey::from_seed(&[n; 32]).to_public()
}

fn keys(phrase: u8, in_box: u8) -> ReporterKeys {
    Phrase::from_entropy(&[phrase; 16]).keys(&box_key(in_box))
}

fn state() -> State {
    let log: SecretKey<LogRole> = SecretKey::from_seed(&[3; 32]);
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    State {
        seen: Seen {
            epoch: 1,
            digest: [1; 32],
        },
        retention: 100,
        checkpoint: Note::new("x\n").unwrap().sign("log", &log),
        segments: Vec::new(),
        slips: vec![(Window(7), sealdrop_core::slip::decoy(&box_key(1), &mut rng))],
    }
}

fn sealed() -> Vec<u8> {
    state().seal(&keys(1, 1), &mut ChaCha20Rng::from_seed([5; 32]))
}

#[test]
fn a_state_opens_with_its_phrase_and_box_and_with_no_other() {
    let file = sealed();
    assert_eq!(open_state(&file, &keys(1, 1)), Ok(state()));
    for other in [keys(2, 1), keys(1, 2)] {
        assert_eq!(open_state(&file, &other), Err(OpenStateError::NotYours));
    }
    // The identity that answers are sealed to, which members know the recipient of, is another.
    let mut swapped = keys(1, 1);
    std::mem::swap(&mut swapped.state, &mut swapped.identity);
    assert_eq!(open_state(&file, &swapped), Err(OpenStateError::NotYours));
}

#[test]
fn a_state_that_was_changed_cut_or_lengthened_is_refused() {
    let file = sealed();
    let refused = |file: &[u8]| {
        assert_eq!(open_state(file, &keys(1, 1)), Err(OpenStateError::NotYours));
    };
    for at in [0, 30, 1_600, 1_630, 70_000, file.len() - 1] {
        let mut changed = file.clone();
        changed[at] ^= 1;
        refused(&changed);
    }
    // Cut where a chunk ends, too.
    let header = 70 + 1_557 + 16;
    for len in [0, 10, header, header + 65_552, file.len() - 1] {
        refused(&file[..len]);
    }
    refused(&[&file[..], b"\n"].concat());
    refused(b"{}");
}

#[test]
fn a_state_of_a_newer_version_says_so() {
    // Only the phrase's holder can seal one, so it is a matter of versions alone.
    let newer = State::parse(br#"{"version":2,"more":true}"#);
    assert_eq!(newer, Err(StateError::Version));
}
