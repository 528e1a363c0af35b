//! The Sealdrop protocol, without I/O.
//!
//! Everything here is a function of its arguments: callers pass in the time, the randomness and the bytes. The document
//! that this crate implements is `docs/protocol.md`; doc comments cite its headings.
//!
//! Read first: [`Roster::verify`](roster::Roster::verify), by which a client comes to believe in a set of recipients;
//! [`drop::Sealer`], which seals a report to them; and [`log::proof::Receipt`], which proves that it was accepted.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod address;
pub mod bech32;
pub mod claim;
pub mod drop;
pub mod encoding;
mod fields;
pub mod key;
pub mod log;
pub mod note;
pub mod phrase;
pub mod recipient;
pub mod recovery;
pub mod report;
pub mod request;
pub mod roster;
pub mod slip;
pub mod state;
pub mod team;
pub mod time;
