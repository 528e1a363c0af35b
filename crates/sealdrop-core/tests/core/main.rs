//! The core against `testdata/vectors`. `SEALDROP_BLESS=1 cargo test -p sealdrop-core --test core` writes the vectors anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests, in one binary"
)]

mod hostile;
mod log;
mod request;
mod vector;
mod world;
