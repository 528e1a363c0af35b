//! The core against `testdata/vectors`. `SEALDROP_BLESS=1 cargo test -p sealdrop-core --test core` writes the vectors anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests, in one binary"
)]

mod address;
mod claim;
mod hostile;
mod keys;
mod log;
mod message;
mod recovery;
mod request;
mod roster;
mod sealing;
mod size;
mod team;
mod vector;
mod world;
