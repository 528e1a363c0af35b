//! The desk as people use it, against servers that lie and reports that attack. Names are those of the attacks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod answers;
mod bench;
#[path = "../../../sealdrop-open/tests/open/byhand.rs"]
mod byhand;
mod carried;
mod claim;
mod destroy;
mod epochs;
mod inbox;
mod joining;
mod keys;
mod machines;
mod offline;
mod policy;
mod recovery;
#[path = "../../../sealdrop-open/tests/open/sealed.rs"]
mod sealed;
mod selftest;
mod server;
mod sync;
mod team;
#[path = "../../../sealdrop/tests/cli/terminal.rs"]
#[allow(
    dead_code,
    clippy::panic,
    reason = "the reporter's tests do more with it"
)]
mod terminal;
