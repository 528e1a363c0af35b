//! Rosters: as they come, and with their text signed by the box key, since a fuzzer makes no signatures.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::note::Note;
use sealdrop_core::roster::{Roster, Seen, box_vkey};
use sealdrop_core::time::Time;
use sealdrop_fuzz::BOX;

fuzz_target!(|bytes: &[u8]| {
    let Ok(note) = Note::parse(bytes) else { return };
    let _ = Roster::verify_ignoring_expiry(&note, &BOX.to_public());
    let Ok(unsigned) = Note::new(note.text()) else {
        return;
    };
    let note = unsigned.sign(box_vkey(&BOX.to_public()).name(), &BOX);
    let Ok(roster) = Roster::verify_ignoring_expiry(&note, &BOX.to_public()) else {
        return;
    };
    assert!(
        note.text().starts_with(&roster.draft().to_text()),
        "only x- lines may follow"
    );
    let _ = Roster::verify(
        &note,
        &BOX.to_public(),
        roster.origins().first(),
        Time(1_767_618_123),
        Seen::default(),
    );
});
