//! Signed notes: what parses is written again byte for byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::key::{LogRole, WitnessRole};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::cosignature;
use sealdrop_core::log::promise::Promise;
use sealdrop_core::note::{Note, Vkey};
use sealdrop_fuzz::ROSTER;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(vkey) = Vkey::<LogRole>::parse(text) {
            assert_eq!(vkey.to_string(), text);
        }
        let _ = Vkey::<WitnessRole>::parse(text);
    }
    let Ok(note) = Note::parse(bytes) else { return };
    assert_eq!(note.to_string().as_bytes(), bytes);
    let _ = Promise::verify(&note, ROSTER.log_key());
    let _ = Checkpoint::verify(&note, ROSTER.log_key());
    let _ = cosignature::verify(&note, &ROSTER.devices()[0].witness);
    if let Ok(checkpoint) = Checkpoint::parse_unverified(&note) {
        assert_eq!(checkpoint.to_text(), note.text());
    }
});
