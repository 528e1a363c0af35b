//! Opening what `sealdrop-core` seals. A crate of its own, so that the server can be built without it:
//! features unify across a workspace, crates do not.
//!
//! Read first: [`open`], which takes a drop apart and makes every check of docs/protocol.md, "Opening";
//! [`Identity`], by which the `age` crate opens hybrid stanzas.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod chunk;
mod identity;
mod open;
pub mod passphrase;
mod slip;
mod state;
mod unpack;

pub use chunk::open_share;
pub use identity::Identity;
pub use open::{Context, Keys, OpenError, Opened, Quarantine, open, peek};
pub use slip::{SlipError, open_slip};
pub use state::{OpenStateError, open_state};
pub use unpack::{Attachments, NoAttachments};
