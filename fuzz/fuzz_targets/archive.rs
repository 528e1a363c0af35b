//! The tar archive inside a drop: an even first byte spoils a valid one, an odd one gives the whole plaintext.
//! What opens is exactly what a sealer writes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_fuzz::{ARCHIVE, assert_opens, edit, open, seal};
use sealdrop_open::NoAttachments;

fuzz_target!(|input: &[u8]| {
    assert_opens();
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    if first % 2 == 1 {
        let _ = open(&seal(rest), &mut NoAttachments);
        return;
    }
    let mut plain = ARCHIVE.clone();
    edit(&mut plain, rest);
    let opened = open(&seal(&plain), &mut NoAttachments);
    assert_eq!(
        opened.is_ok(),
        plain == *ARCHIVE,
        "the signature covers every byte, or its form does"
    );
});
