//! Opening, against what `sealdrop-core` seals and against what an attacker would send.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, in one binary"
)]

mod byhand;
mod hostile;
mod maker;
mod roundtrip;
mod sealed;
mod slips;
mod state;
#[expect(
    unreachable_pub,
    dead_code,
    reason = "shared with the core's tests, which use all of it"
)]
#[path = "../../../sealdrop-core/tests/core/vector.rs"]
mod vector;
mod vectors;
