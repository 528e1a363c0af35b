//! The desk as people use it, against servers that lie and reports that attack. Names are those of the attacks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod hostile;
mod inbox;
mod joining;
mod keys;
mod offline;
mod selftest;
mod server;
mod sync;
