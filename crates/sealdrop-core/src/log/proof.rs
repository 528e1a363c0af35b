//! Receipts: proof, to anybody and without a network, that a drop was logged and who collected it. C2SP tlog-proof;
//! docs/protocol.md, "Proof".

use std::fmt;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::cosignature;
use super::leaf::{Leaf, LeafKind};
use super::tree::{self, Hash, MAX_PROOF};
use crate::encoding;
use crate::key::{BoxKey, LogRole, WitnessRole};
use crate::note::{Note, NoteError, Vkey};
use crate::roster::{Roster, RosterError};
use crate::time::Time;

/// The largest proof file, in bytes: two notes, one of them in base64, a leaf and the hashes.
pub const MAX_PROOF_FILE: usize = 1_048_576;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// A C2SP tlog-proof, nothing of it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the application adds; not authenticated by the proof. Never `Some` and empty.
    pub extra: Option<Vec<u8>>,
    /// The number of the leaf.
    pub index: u64,
    /// The inclusion proof.
    pub proof: Vec<Hash>,
    /// The checkpoint, with the signature of the log and cosignatures.
    pub checkpoint: Note,
}

/// The bytes are not a C2SP tlog-proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a C2SP tlog-proof")]
pub struct TlogProofError;

impl TlogProof {
    /// Reads a proof file.
    ///
    /// # Errors
    /// [`TlogProofError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        Self::parse_inner(bytes).ok_or(TlogProofError)
    }

    fn parse_inner(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_PROOF_FILE {
            return None;
        }
        let (head, checkpoint) = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?;
        let mut lines = head.split('\n').peekable();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let extra = match lines.peek()?.strip_prefix("extra ") {
            Some(text) => {
                lines.next();
                let extra = encoding::from_base64(text)?;
                Some(extra).filter(|extra| !extra.is_empty())?.into()
            }
            None => None,
        };
        let index = encoding::from_decimal(lines.next()?.strip_prefix("index ")?)?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF {
                return None;
            }
            proof.push(encoding::from_base64_array(line)?);
        }
        let checkpoint = Note::parse(checkpoint.as_bytes()).ok()?;
        Some(Self {
            extra,
            index,
            proof,
            checkpoint,
        })
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", encoding::base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.proof {
            writeln!(f, "{}", encoding::base64(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// How far a drop has come, as far as its sender can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The log key promised it.
    Promised,
    /// It is under a checkpoint of the log.
    Logged,
    /// Members' devices cosigned that checkpoint: they hold it.
    Collected,
    /// Its promise is overdue and its leaf in no checkpoint; the promise is the evidence.
    Broken,
}

impl State {
    /// The word for it in output and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promised => "promised",
            Self::Logged => "logged",
            Self::Collected => "collected",
            Self::Broken => "broken",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tlog-proof for a drop that brings the roster with it, so that the address is all a verifier needs. Not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    leaf: Leaf,
    roster: Note,
    index: u64,
    proof: Vec<Hash>,
    checkpoint: Note,
}

/// A device that cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigner {
    /// The member whose device it is.
    pub member: String,
    /// The name of the device's key, `<member>/<device>`.
    pub device: String,
    /// When it cosigned, by its own clock.
    pub time: Time,
}

/// What a receipt proves, once its log key and witnesses are known to be the box's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    checkpoint: Checkpoint,
    cosigners: Vec<Cosigner>,
}

/// What a receipt proves to one who knows the box key. Made by [`Receipt::verify`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    leaf: Leaf,
    roster: Roster,
    logged: Logged,
}

/// Why a receipt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not a tlog-proof with a drop's leaf and a roster.
    #[error("not a receipt")]
    Malformed,
    /// The roster is not one of this box.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The checkpoint is not signed by the roster's log key.
    #[error("the checkpoint is not signed by the log of the roster")]
    LogSignature,
    /// The checkpoint's text is not one, or another log's.
    #[error("the checkpoint is not one of this log")]
    Checkpoint,
    /// The leaf is not under the checkpoint.
    #[error("the log does not hold this drop: the inclusion proof fails")]
    NotIncluded,
    /// A cosignature under the name of one of the roster's devices is not by its key.
    #[error("a cosignature does not verify")]
    Cosignature,
}

impl Receipt {
    /// A receipt from its parts: the leaf of a drop, the roster it was sealed to, and a checkpoint with all of its signatures under
    /// which it is number `index`, by the inclusion proof.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`] if the leaf is not a drop's.
    pub fn new(
        leaf: Leaf,
        roster: Note,
        index: u64,
        proof: Vec<Hash>,
        checkpoint: Note,
    ) -> Result<Self, ReceiptError> {
        if leaf.kind != LeafKind::Drop || proof.len() > MAX_PROOF {
            return Err(ReceiptError::Malformed);
        }
        Ok(Self {
            leaf,
            roster,
            index,
            proof,
            checkpoint,
        })
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let file = TlogProof::parse(bytes).map_err(|TlogProofError| ReceiptError::Malformed)?;
        let (leaf, roster) = file
            .extra
            .as_deref()
            .and_then(parse_extra)
            .ok_or(ReceiptError::Malformed)?;
        Self::new(leaf, roster, file.index, file.proof, file.checkpoint)
    }

    /// The leaf that the receipt speaks of, not yet verified.
    #[must_use]
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The roster's note, not yet verified.
    #[must_use]
    pub fn roster(&self) -> &Note {
        &self.roster
    }

    /// The number of the leaf in the log, not yet verified.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint's note, not yet verified.
    #[must_use]
    pub fn checkpoint(&self) -> &Note {
        &self.checkpoint
    }

    /// Verifies all of it, given only the box key of the address. A roster may be past its time, as a proof outlives it: show its dates.
    ///
    /// A cosignature that was made when the leaf's window had expired is left out: the body may be missing by then, so it is no evidence
    /// that a member holds the drop.
    ///
    /// # Errors
    /// As [`ReceiptError`] says.
    pub fn verify(&self, box_key: &BoxKey) -> Result<Proven, ReceiptError> {
        let roster = Roster::verify_ignoring_expiry(&self.roster, box_key)?;
        let witnesses = roster.devices().iter().map(|d| (d.member(), &d.witness));
        let mut logged = self.verify_logged(roster.log_key(), witnesses)?;
        let (length, retention, window) =
            (roster.window_length(), roster.retention(), self.leaf.window);
        logged
            .cosigners
            .retain(|cosigner| !window.is_expired(length, retention, cosigner.time));
        Ok(Proven {
            leaf: self.leaf,
            roster,
            logged,
        })
    }

    /// Verifies the log's part, given the log key and `(member, witness)` for each device of a roster that was verified.
    /// [`Receipt::verify`] does both, and leaves out the cosignatures that came too late.
    ///
    /// # Errors
    /// As [`ReceiptError`] says.
    pub fn verify_logged<'a>(
        &self,
        log: &Vkey<LogRole>,
        devices: impl IntoIterator<Item = (&'a str, &'a Vkey<WitnessRole>)>,
    ) -> Result<Logged, ReceiptError> {
        let checkpoint = Checkpoint::verify(&self.checkpoint, log)?;
        tree::verify_inclusion(
            &self.leaf.hash(),
            self.index,
            checkpoint.size,
            &self.proof,
            &checkpoint.root,
        )
        .map_err(|_| ReceiptError::NotIncluded)?;
        let mut cosigners = Vec::new();
        for (member, witness) in devices {
            match cosignature::verify(&self.checkpoint, witness) {
                Ok(time) => cosigners.push(Cosigner {
                    member: member.into(),
                    device: witness.name().into(),
                    time,
                }),
                Err(NoteError::Unsigned) => {}
                Err(_) => return Err(ReceiptError::Cosignature),
            }
        }
        Ok(Logged {
            checkpoint,
            cosigners,
        })
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra = format!("{}\n{}", self.leaf.to_text(), self.roster);
        let file = TlogProof {
            extra: Some(extra.into_bytes()),
            index: self.index,
            proof: self.proof.clone(),
            checkpoint: self.checkpoint.clone(),
        };
        file.fmt(f)
    }
}

impl Proven {
    /// The leaf of the drop.
    #[must_use]
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The roster it was sealed to.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Under which checkpoint it is, and who cosigned that.
    #[must_use]
    pub fn logged(&self) -> &Logged {
        &self.logged
    }
}

impl Logged {
    /// The checkpoint that covers the drop.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The devices that cosigned, in the order of the roster.
    #[must_use]
    pub fn cosigners(&self) -> &[Cosigner] {
        &self.cosigners
    }

    /// The members with at least one device that cosigned, each once.
    #[must_use]
    pub fn members(&self) -> Vec<&str> {
        let mut members: Vec<&str> = Vec::new();
        for cosigner in &self.cosigners {
            if !members.contains(&cosigner.member.as_str()) {
                members.push(&cosigner.member);
            }
        }
        members
    }

    /// [`State::Collected`] if any device cosigned, otherwise [`State::Logged`].
    #[must_use]
    pub fn state(&self) -> State {
        if self.cosigners.is_empty() {
            State::Logged
        } else {
            State::Collected
        }
    }
}

impl From<CheckpointError> for ReceiptError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::LogSignature => Self::LogSignature,
            CheckpointError::Malformed => Self::Checkpoint,
        }
    }
}

/// `leaf text || LF || roster note`. The leaf has no empty line, so the first one ends it.
fn parse_extra(extra: &[u8]) -> Option<(Leaf, Note)> {
    let (leaf, roster) = std::str::from_utf8(extra).ok()?.split_once("\n\n")?;
    let leaf = Leaf::parse(format!("{leaf}\n").as_bytes()).ok()?;
    Some((leaf, Note::parse(roster.as_bytes()).ok()?))
}
