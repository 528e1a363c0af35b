//! Opening the state that a reporter's program kept. docs/protocol.md, "State".

use sealdrop_core::drop::shape;
use sealdrop_core::phrase::ReporterKeys;
use sealdrop_core::state::{MAX_STATE, State, StateError};

use crate::{Identity, chunk};

/// Why a file is not the state of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStateError {
    /// Not an age file to this conversation's own recipient, or not all of one: of another phrase, of another box, damaged, or something else.
    #[error("not sealed with this phrase for this box, or damaged")]
    NotYours,
    /// It opens, and what it holds is refused.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Opens the state that [`State::seal`] made with the same phrase and box.
///
/// # Errors
/// As [`OpenStateError`] says.
pub fn open_state(file: &[u8], keys: &ReporterKeys) -> Result<State, OpenStateError> {
    // Only a file of the form that states have, which is that of a drop for one, reaches the general parser.
    if file.len() > MAX_STATE || shape::check(file, file.len() as u64, 1).is_err() {
        return Err(OpenStateError::NotYours);
    }
    let plain = chunk::decrypt(file, &Identity::new(&keys.state));
    Ok(State::parse(&plain.ok_or(OpenStateError::NotYours)?)?)
}
