//! Looking a drop up in the log without telling the server which. docs/protocol.md, "Proof".

use std::collections::{BTreeSet, HashSet};

use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::cosignature;
use sealdrop_core::log::leaf::Leaf;
use sealdrop_core::log::proof::{Proven, Receipt, ReceiptError};
use sealdrop_core::log::tree::{self, Frontier, Hash, OutOfRange};
use sealdrop_core::note::{Note, NoteError};
use sealdrop_core::roster::Roster;

use crate::{Client, ClientError};

/// A drop in the log, with the proof.
#[derive(Clone, Debug)]
pub struct Found {
    /// The proof, to be written to a `.tlog-proof`. It has been verified.
    pub receipt: Receipt,
    /// What it proves.
    pub proven: Proven,
}

/// Why the log cannot be believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The connection, or an answer that is none.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The newest checkpoint is not signed by the log key of the roster.
    #[error("the server's checkpoint is not signed by the log that made the promise")]
    AnotherLog,
    /// Two checkpoints, both signed by the log key, that are not one tree's, or the newest is smaller than one seen before. They are the evidence.
    #[error(
        "the log was forked or rolled back: two checkpoints signed by its key contradict each other"
    )]
    Fork {
        /// One of them.
        one: Box<Note>,
        /// The other.
        other: Box<Note>,
    },
    /// A cosignature that does not verify, or a proof that fails.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

/// All leaf hashes of a log, of which every checkpoint that is known was found to be of one tree.
pub struct Log {
    leaves: Vec<Hash>,
    /// The newest is the last.
    checkpoints: Vec<(Checkpoint, Note)>,
}

impl Client {
    /// Looks for `leaf` in the log whose key `roster` names, under the checkpoint that the devices of most members have cosigned, otherwise
    /// under the newest. `None` if the log does not hold it.
    ///
    /// `known` are checkpoints seen before, for instance that of an older proof: the log must still hold their trees.
    ///
    /// The whole log is fetched, hashes only, so the server does not learn which leaf is looked for.
    ///
    /// # Errors
    /// As [`LookupError`] says.
    pub fn look_up(
        &self,
        leaf: &Leaf,
        roster: &Roster,
        known: &[Note],
    ) -> Result<Option<Found>, LookupError> {
        self.read_log(roster, known)?.find(leaf, roster)
    }

    /// Fetches the whole log whose key `roster` names, hashes only, to look for any number of leaves. `known` as in [`Client::look_up`].
    ///
    /// # Errors
    /// As [`LookupError`] says.
    pub fn read_log(&self, roster: &Roster, known: &[Note]) -> Result<Log, LookupError> {
        // In this order: an honest server's newest checkpoint is never behind one that it listed before.
        let cosigned = self.cosigned()?;
        let newest_note = self.checkpoint()?;
        let newest = Checkpoint::verify(&newest_note, roster.log_key())
            .map_err(|_| LookupError::AnotherLog)?;
        // Checkpoints of a log that came before this one prove nothing about it.
        let ours = |note: &Note| {
            let checkpoint = Checkpoint::verify(note, roster.log_key()).ok()?;
            Some((checkpoint, note.clone()))
        };
        let mut checkpoints: Vec<_> = cosigned.iter().chain(known).filter_map(ours).collect();
        let contradiction = |one: &Note| LookupError::Fork {
            one: Box::new(one.clone()),
            other: Box::new(newest_note.clone()),
        };
        let is_behind = |(checkpoint, _): &&(Checkpoint, Note)| {
            checkpoint.size > newest.size
                || (checkpoint.size == newest.size && checkpoint.root != newest.root)
        };
        if let Some((_, note)) = checkpoints.iter().find(is_behind) {
            return Err(contradiction(note));
        }
        let leaves = self.leaf_hashes(&newest)?;
        checkpoints.push((newest, newest_note.clone()));
        if let Some(note) = contradicting(&leaves, &checkpoints) {
            return Err(contradiction(note));
        }
        Ok(Log {
            leaves,
            checkpoints,
        })
    }
}

impl Log {
    /// Looks for `leaf`, as [`Client::look_up`] does, with no further request.
    ///
    /// # Errors
    /// As [`LookupError`] says.
    pub fn find(&self, leaf: &Leaf, roster: &Roster) -> Result<Option<Found>, LookupError> {
        let hash = leaf.hash();
        let Some(index) = self.leaves.iter().position(|other| *other == hash) else {
            return Ok(None);
        };
        let covering = self
            .checkpoints
            .iter()
            .filter(|(checkpoint, _)| (index as u64) < checkpoint.size);
        let mut best: Option<(usize, &Checkpoint, &Note)> = None;
        for (checkpoint, note) in covering {
            let members = cosigners(note, roster, leaf)?;
            if best.as_ref().is_none_or(|(most, ..)| members > *most) {
                best = Some((members, checkpoint, note));
            }
        }
        best.map(|(_, checkpoint, note)| {
            prove(leaf, roster, index as u64, checkpoint, note, &self.leaves)
        })
        .transpose()
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn newest(&self) -> &Note {
        let (_, note) = self
            .checkpoints
            .last()
            .expect("a log has a newest checkpoint");
        note
    }

    /// The first of these leaves that the log does not hold.
    #[must_use]
    pub fn first_missing<'a>(&self, leaves: &'a [Leaf]) -> Option<&'a Leaf> {
        let wanted: HashSet<Hash> = leaves.iter().map(Leaf::hash).collect();
        let here: HashSet<&Hash> = self
            .leaves
            .iter()
            .filter(|hash| wanted.contains(*hash))
            .collect();
        leaves.iter().find(|leaf| !here.contains(&leaf.hash()))
    }
}

/// The first note whose checkpoint is not of the tree of these leaves.
fn contradicting<'a>(leaves: &[Hash], checkpoints: &'a [(Checkpoint, Note)]) -> Option<&'a Note> {
    let mut rising: Vec<_> = checkpoints.iter().collect();
    rising.sort_by_key(|(checkpoint, _)| checkpoint.size);
    let mut tree = Frontier::new();
    for (checkpoint, note) in rising {
        let grown = &leaves[tree.size() as usize..checkpoint.size as usize];
        grown.iter().for_each(|leaf| tree.push(*leaf));
        if tree.root() != checkpoint.root {
            return Some(note);
        }
    }
    None
}

/// How many members' devices cosigned before the leaf's window expired: as [`Receipt::verify`] counts.
fn cosigners(note: &Note, roster: &Roster, leaf: &Leaf) -> Result<usize, ReceiptError> {
    let mut members = BTreeSet::new();
    let (length, retention) = (roster.window_length(), roster.retention());
    for device in roster.devices() {
        match cosignature::verify(note, &device.witness) {
            Ok(time) if leaf.window.is_expired(length, retention, time) => {}
            Ok(_) => drop(members.insert(device.member())),
            Err(NoteError::Unsigned) => {}
            Err(_) => return Err(ReceiptError::Cosignature),
        }
    }
    Ok(members.len())
}

/// The receipt for leaf `index` under one checkpoint, verified as anybody would.
fn prove(
    leaf: &Leaf,
    roster: &Roster,
    index: u64,
    checkpoint: &Checkpoint,
    note: &Note,
    leaves: &[Hash],
) -> Result<Found, LookupError> {
    let node = |level: u8, index: u64| {
        let start = (index as usize) << level;
        leaves
            .get(start..start + (1 << level))
            .map(tree::root)
            .ok_or(OutOfRange)
    };
    let proof = tree::inclusion_proof(index, checkpoint.size, node)
        .expect("the index is below the size, and all leaves are here");
    let receipt = Receipt::new(*leaf, roster.note().clone(), index, proof, note.clone())?;
    let proven = receipt.verify(roster.box_key())?;
    Ok(Found { receipt, proven })
}
