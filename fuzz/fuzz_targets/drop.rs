//! A drop as it comes from a server: its shape, its age header, its chunks. An even first byte spoils a valid one.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sealdrop_core::drop::shape;
use sealdrop_core::encoding::sha256;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_fuzz::{ARCHIVE, assert_opens, edit, open, seal};
use sealdrop_open::{Identity, Keys, NoAttachments, peek};

static DROP: LazyLock<Vec<u8>> = LazyLock::new(|| seal(&ARCHIVE));

thread_local! {
    static ALICE: [Identity; 1] = [Identity::new(&IdentitySeed::from_bytes(&sha256(b"alice identity")))];
}

fuzz_target!(|input: &[u8]| {
    assert_opens();
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let file = if first % 2 == 1 {
        rest.to_vec()
    } else {
        let mut file = DROP.clone();
        edit(&mut file, rest);
        file
    };
    for members in [1, 2, 64] {
        let _ = shape::check(&file, file.len() as u64, members);
    }
    let opened = open(&file, &mut NoAttachments);
    assert!(
        opened.is_err() || file == *DROP,
        "another drop opened under the same file key"
    );
    ALICE.with(|identities| {
        let _ = peek(&*file, file.len() as u64, Keys::Identities(identities));
    });
});
