//! The receipt file and its key file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::log::saved::{SavedKey, SavedReceipt};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(receipt) = SavedReceipt::parse(bytes) {
        assert_eq!(
            SavedReceipt::parse(receipt.to_json().as_bytes()),
            Ok(receipt)
        );
    }
    if let Ok(key) = SavedKey::parse(bytes) {
        assert!(SavedKey::parse(key.to_json().as_bytes()).is_ok());
    }
});
