//! `--state FILE`: what the last reading of the feed left, sealed with the phrase. docs/protocol.md, "State".

use std::path::{Path, PathBuf};

use sealdrop_client::system;
use sealdrop_core::phrase::ReporterKeys;
use sealdrop_core::roster::Seen;
use sealdrop_core::state::{MAX_STATE, State, StateError};
use sealdrop_open::{OpenStateError, open_state};

use crate::failure::Failure;
use crate::files;

/// A state file, of one phrase and one box.
pub(crate) struct StateFile {
    path: PathBuf,
    state: Option<State>,
}

impl StateFile {
    /// Opens the state, if there is one. What is there and is none of this phrase and box is refused, and never written over.
    pub(crate) fn open(path: &Path, keys: &ReporterKeys) -> Result<Self, Failure> {
        let name = path.display();
        let state = match path.try_exists() {
            Ok(false) => None,
            _ => Some(files::read(path, MAX_STATE)?),
        };
        let state = state.map(|bytes| open_state(&bytes, keys)).transpose();
        let state = state.map_err(|error| match error {
            OpenStateError::State(StateError::Version) => {
                Failure::usage(format!("{name} was written by a newer sealdrop"))
                    .hint("use that version, or a later one")
            }
            _ => Failure::usage(format!(
                "{name} is not the state of this phrase with this box: it is of another phrase, of another box, or damaged"
            ))
            .hint(
                "nothing was fetched: give the file that belongs to both, or another name, and the whole feed is read again",
            ),
        })?;
        // What would fail at the end fails here.
        files::expect_new(&files::replacement(path))?;
        Ok(Self {
            path: path.into(),
            state,
        })
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Writes a newer state, whole or not at all.
    pub(crate) fn keep(&mut self, state: State, keys: &ReporterKeys) -> Result<(), Failure> {
        files::replace(&self.path, &state.seal(keys, &mut system::rng()))?;
        self.state = Some(state);
        Ok(())
    }
}

/// The newest roster that a state has seen.
pub(crate) fn seen(state: Option<&State>) -> Seen {
    state.map(|state| state.seen).unwrap_or_default()
}
