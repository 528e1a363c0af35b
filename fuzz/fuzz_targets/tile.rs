//! Tiles, entry bundles and leaves: a first line with the path, then the bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::log::leaf::Leaf;
use sealdrop_core::log::tile::{BundleId, TileId, encode, encode_bundle};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(leaf) = Leaf::parse(bytes) {
        assert_eq!(leaf.to_text().as_bytes(), bytes);
    }
    let Some(split) = bytes.iter().position(|&byte| byte == b'\n') else {
        return;
    };
    let (path, bytes) = (&bytes[..split], &bytes[split + 1..]);
    let Ok(path) = std::str::from_utf8(path) else {
        return;
    };
    if let Ok(id) = TileId::parse_path(path) {
        assert_eq!(id.path(), path);
        if let Ok(hashes) = id.parse(bytes) {
            assert_eq!(encode(&hashes), bytes);
        }
    }
    if let Ok(id) = BundleId::parse_path(path) {
        assert_eq!(id.path(), path);
        let _ = id.start();
        if let Ok(entries) = id.parse(bytes) {
            assert_eq!(encode_bundle(&entries).as_deref(), Ok(bytes));
            for entry in entries {
                let _ = Leaf::parse(entry);
            }
        }
    }
});
