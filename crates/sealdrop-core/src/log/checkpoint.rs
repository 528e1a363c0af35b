//! Checkpoints: the signed size and root of the log. C2SP tlog-checkpoint; docs/protocol.md, "Checkpoint".

use super::tree::{self, Hash};
use crate::encoding;
use crate::key::{BoxKey, LogRole, PublicKey, SecretKey};
use crate::note::{Note, NoteError, Vkey};

/// The size and root of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root of the tree of that size.
    pub root: Hash,
}

/// Why a checkpoint is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// `log signature`: the log key has not signed it, or the signature is wrong.
    #[error("the checkpoint is not signed by the log key")]
    LogSignature,
    /// The text is not three lines of origin, size and root, or has another log's origin.
    #[error("not a checkpoint of this log")]
    Malformed,
}

impl From<NoteError> for CheckpointError {
    fn from(error: NoteError) -> Self {
        match error {
            NoteError::Malformed => Self::Malformed,
            NoteError::Unsigned | NoteError::BadSignature => Self::LogSignature,
        }
    }
}

impl Checkpoint {
    /// The checkpoint of a log without leaves, which is signed when the log is made.
    #[must_use]
    pub fn empty(origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            size: 0,
            root: tree::empty_root(),
        }
    }

    /// The note's text: origin, size, root.
    #[must_use]
    pub fn to_text(&self) -> String {
        let root = encoding::base64(&self.root);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// Signs it as the log whose name is the origin. A log must never sign two that are not one tree's.
    #[must_use]
    pub fn sign(&self, key: &SecretKey<LogRole>) -> Note {
        Note::new(self.to_text())
            .expect("an origin is the name of a key")
            .sign(&self.origin, key)
    }

    /// The checkpoint that `log` signed. Cosignatures and unknown signatures are ignored here.
    ///
    /// # Errors
    /// As [`CheckpointError`] says.
    pub fn verify(note: &Note, log: &Vkey<LogRole>) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse_text(note.verify(log)?).ok_or(CheckpointError::Malformed)?;
        if checkpoint.origin != log.name() {
            return Err(CheckpointError::Malformed);
        }
        Ok(checkpoint)
    }

    /// Reads the text of a checkpoint whose signatures are not checked, for instance to find the size that a note speaks of.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse_unverified(note: &Note) -> Result<Self, CheckpointError> {
        Self::parse_text(note.text()).ok_or(CheckpointError::Malformed)
    }

    fn parse_text(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let checkpoint = Self {
            origin: lines.next().filter(|origin| !origin.is_empty())?.into(),
            size: encoding::from_decimal(lines.next()?)?,
            root: encoding::from_base64_array(lines.next()?)?,
        };
        let plausible = checkpoint.size > 0 || checkpoint.root == tree::empty_root();
        (lines.next().is_none() && plausible).then_some(checkpoint)
    }
}

/// The name of a log's key: `<sdbox1…>/log-<hex(SHA-256(log public key)[:4])>`. docs/protocol.md, "Names of keys".
#[must_use]
pub fn log_name(box_key: &BoxKey, log: &PublicKey<LogRole>) -> String {
    let id = encoding::hex(&encoding::sha256(log.as_bytes())[..4]);
    format!("{box_key}/log-{id}")
}

/// The vkey of a box's log.
#[must_use]
pub fn log_vkey(box_key: &BoxKey, log: &PublicKey<LogRole>) -> Vkey<LogRole> {
    Vkey::new(log_name(box_key, log), log.clone())
}
