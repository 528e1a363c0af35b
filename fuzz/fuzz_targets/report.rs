//! report.json: what parses is written and read again unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::report::Report;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = Report::parse(bytes) {
        // Written with other white space it may pass the limit that it was just below.
        if let Ok(json) = report.to_json() {
            assert_eq!(Report::parse(&json), Ok(report));
        }
    }
});
