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

/// Why one checkpoint is not a later one of the same log as another. docs/protocol.md, "Cosignature".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtendError {
    /// The origins differ: the server took a new log key, so the old log has ended.
    #[error("another log")]
    AnotherLog,
    /// `rolled back`: it has fewer entries than before.
    #[error("the log was rolled back: it has fewer entries than before")]
    RolledBack,
    /// `fork`: what was in the log is not there as it was, or the proof does not show that it is.
    #[error("the log was forked: it does not hold what it held before")]
    Fork,
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

    /// Checks that this checkpoint's log holds all that the log of `old` held, in the same places. Both must be verified; `proof` is
    /// [`tree::consistency_proof`]'s.
    ///
    /// # Errors
    /// As [`ExtendError`] says. Two signed checkpoints of which neither extends the other are the evidence against a log: keep both.
    pub fn extends(&self, old: &Self, proof: &[Hash]) -> Result<(), ExtendError> {
        if self.origin != old.origin {
            return Err(ExtendError::AnotherLog);
        }
        if self.size < old.size {
            return Err(ExtendError::RolledBack);
        }
        tree::verify_consistency(old.size, self.size, proof, &old.root, &self.root)
            .map_err(|_| ExtendError::Fork)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(leaves: &[Hash]) -> Checkpoint {
        Checkpoint {
            origin: "log".into(),
            size: leaves.len() as u64,
            root: tree::root(leaves),
        }
    }

    fn leaves(view: u8) -> Vec<Hash> {
        (0..32)
            .map(|i| tree::leaf_hash(&[i, if i < 10 { 0 } else { view }]))
            .collect()
    }

    fn proof(leaves: &[Hash], old: u64) -> Vec<Hash> {
        tree::consistency_proof(old, leaves.len() as u64, tree::nodes_of(leaves)).unwrap()
    }

    #[test]
    fn a_grown_log_extends_the_old() {
        let (old, new) = (checkpoint(&leaves(0)[..16]), checkpoint(&leaves(0)));
        assert_eq!(new.extends(&old, &proof(&leaves(0), 16)), Ok(()));
        assert_eq!(new.extends(&new, &[]), Ok(()));
        assert_eq!(old.extends(&Checkpoint::empty("log"), &[]), Ok(()));
    }

    #[test]
    fn server_forks_the_log_into_two_views() {
        let seen = checkpoint(&leaves(1)[..16]);
        let other = checkpoint(&leaves(2));
        for view in [1, 2] {
            let proof = proof(&leaves(view), 16);
            assert_eq!(other.extends(&seen, &proof), Err(ExtendError::Fork));
        }
        let other = checkpoint(&leaves(2)[..16]);
        assert_eq!(other.extends(&seen, &[]), Err(ExtendError::Fork));
    }

    #[test]
    fn backup_restored_log_rolled_back() {
        let (old, new) = (checkpoint(&leaves(0)[..16]), checkpoint(&leaves(0)));
        let proof = proof(&leaves(0), 16);
        assert_eq!(old.extends(&new, &proof), Err(ExtendError::RolledBack));
        let empty = Checkpoint::empty("log");
        assert_eq!(empty.extends(&old, &[]), Err(ExtendError::RolledBack));
        let renamed = Checkpoint {
            origin: "another".into(),
            ..new
        };
        assert_eq!(renamed.extends(&old, &proof), Err(ExtendError::AnotherLog));
    }

    #[test]
    fn a_log_is_named_after_its_box_and_key() {
        let box_key = crate::key::BoxSecret::from_seed(&[1; 32]).to_public();
        let name = |seed| log_name(&box_key, &SecretKey::from_seed(&[seed; 32]).to_public());
        assert!(name(2).starts_with(&format!("{box_key}/log-")));
        assert_eq!(name(2).len(), 64 + 5 + 8);
        assert_ne!(name(2), name(3));
    }
}
