//! The header of a member's request, and its note.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::encoding::{base64, sha256};
use sealdrop_core::key::device_keys;
use sealdrop_core::note::Note;
use sealdrop_core::request::UnverifiedRequest;
use sealdrop_fuzz::ROSTER;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    check(text);
    check(&base64(bytes));
    // The text signed by a device, since a fuzzer makes no signatures.
    if let Ok(note) = Note::new(text) {
        let (access, _) = device_keys(&sha256(b"alice/desk"));
        check(&base64(
            note.sign("alice/desk", &access).to_string().as_bytes(),
        ));
    }
});

fn check(value: &str) {
    let Ok(request) = UnverifiedRequest::parse(value) else {
        return;
    };
    let _ = request.key_name();
    if let Ok(request) = request.verify(&ROSTER.devices()[0].access) {
        let _ = request.releases();
        assert!(Note::new(request.to_text()).is_ok());
    }
}
