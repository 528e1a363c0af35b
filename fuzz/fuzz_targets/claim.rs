//! Claims, from whoever says to be a reporter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::claim::Claim;
use sealdrop_core::note::Note;
use sealdrop_fuzz::BOX;

fuzz_target!(|bytes: &[u8]| {
    let Ok(note) = Note::parse(bytes) else { return };
    if let Ok(claim) = Claim::verify(&note, &BOX.to_public()) {
        // What is believed stands in it as it was signed.
        assert!(note.text().contains(&format!("\nname: {}\n", claim.name)));
    }
});
