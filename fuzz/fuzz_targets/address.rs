//! Addresses and origins: what parses has one spelling.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::address::{Address, Origin};
use sealdrop_core::key::BoxKey;

fuzz_target!(|text: &str| {
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Ok(origin) = text.parse::<Origin>() {
        let _ = (origin.is_onion(), origin.is_loopback(), origin.host());
        assert_eq!(origin.to_string().parse(), Ok(origin));
    }
    if let Ok(key) = BoxKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
});
