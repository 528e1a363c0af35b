//! Whom a drop that does not open here can have been meant for. Its header names nobody; the log says which rosters were in force when it came.
//!
//! A server takes a drop for the current roster or the one before (docs/protocol.md, "Padding"). If neither of the two names an identity that is here, no
//! honest reporter can have sealed it to one of them. This is asked only of a drop that opens under no identity here, so it hides nothing from anyone who
//! could read it, and what it sets apart is counted and can be listed.

use sealdrop_core::drop::size::padded_of_file;
use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::recipient::Recipient;
use sealdrop_core::roster::Roster;

use crate::ledger::{Known, Ledger};
use crate::rosters::Rosters;

/// Whom a drop can have been meant for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// Not for the identities here: no roster that it can have been sealed to names one.
    ForOthers,
    /// Perhaps for them: of the two rosters, the one of this epoch does not name one, and the drop has the length of one for it.
    PerhapsForOthers { epoch: u64 },
    /// For them, so that something is wrong with it; or nothing is known.
    ForUs,
}

/// Whom `drop` can have been meant for, by the log's order: a list that is not in the log is the server's word alone, and what came with it counts as
/// [`Meant::ForUs`] unless its window is still open.
pub(crate) fn meant(
    drop: &Known,
    ours: &[Recipient],
    rosters: &Rosters,
    ledgers: &[Ledger],
) -> Meant {
    let names_us = |roster: &Roster| {
        let mut members = roster.members().iter();
        members.any(|member| ours.contains(&member.recipient))
    };
    // Keys that no roster ever named are the wrong keys, which is another matter.
    if !rosters.iter().any(|known| names_us(known.roster())) {
        return Meant::ForUs;
    }
    let Some(in_force) = in_force(drop, rosters, ledgers) else {
        return Meant::ForUs;
    };
    let mut others = in_force.iter().filter(|roster| {
        !names_us(roster) && padded_of_file(roster.members().len(), drop.size).is_some()
    });
    match others.next() {
        None => Meant::ForUs,
        Some(other) if in_force.iter().any(|roster| names_us(roster)) => Meant::PerhapsForOthers {
            epoch: other.epoch(),
        },
        Some(_) => Meant::ForOthers,
    }
}

/// The rosters that the server may have taken the drop for. `None` if that is not known; never empty.
pub(crate) fn in_force<'r>(
    drop: &Known,
    rosters: &'r Rosters,
    ledgers: &[Ledger],
) -> Option<Vec<&'r Roster>> {
    let logged = drop.index.and_then(|index| {
        let index = usize::try_from(index).ok()?;
        let is_it = |ledger: &&Ledger| {
            ledger.leaves().get(index).map(|leaf| leaf.digest) == Some(drop.digest)
        };
        Some((ledgers.iter().find(is_it)?, index))
    });
    let (ledger, until) = match logged {
        Some((ledger, index)) => (ledger, index),
        None => {
            let ledger = ledgers.last()?;
            let is_open = ledger.last_window().is_none_or(|last| drop.window > last);
            (ledger, is_open.then_some(ledger.leaves().len())?)
        }
    };
    let leaves = ledger.leaves()[..until].iter().rev();
    let last_two = leaves.filter(|leaf| leaf.kind == LeafKind::Roster).take(2);
    let mut in_force = last_two
        .map(|leaf| {
            let mut known = rosters.iter().map(|known| known.roster());
            known.find(|roster| roster.digest() == leaf.digest)
        })
        .collect::<Option<Vec<_>>>()?;
    let newest = in_force.first()?.epoch();
    if logged.is_none() {
        // In an open window there may be rosters that are not in the log yet.
        let known = rosters.iter().map(|known| known.roster());
        in_force.extend(known.filter(|roster| roster.epoch() > newest));
    }
    Some(in_force)
}
