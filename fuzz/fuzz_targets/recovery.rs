//! A share of a box key, as text and as the file that it comes in. What parses has one spelling.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sealdrop_core::drop::is_chunk_file;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::recovery::Share;
use sealdrop_fuzz::BOX;
use sealdrop_open::{Identity, open_share};

static IDENTITY: LazyLock<Identity> =
    LazyLock::new(|| Identity::new(&IdentitySeed::from_bytes(&[1; 32])));

fuzz_target!(|bytes: &[u8]| {
    if let Ok(share) = Share::parse(bytes)
        && share.split.box_key == BOX.to_public()
    {
        assert_eq!(share.to_text(&BOX).as_bytes(), bytes);
    }
    let opened = open_share(bytes, std::slice::from_ref(&*IDENTITY));
    assert!(opened.is_none() || is_chunk_file(bytes));
});
