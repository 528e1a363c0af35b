//! Slips of the open window, and the segment that they become. docs/protocol.md, "Feed".
//!
//! What a member posts stands in the index until the window closes, because it may not stand in a pack: there it would stay beside the segment, and
//! say whose was what. The segment is a record of the pack like others, so that one sync holds for it, the pads and what the checkpoint is signed
//! over. Its bytes are in the index too: a release removes the pack, and reporters read on.

use std::sync::Arc;

use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::note::Note;
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::{self, SLIP, Slip};
use sealdrop_core::time::Window;

use super::writer::{Failure, Writer};
use crate::error::Error;
use crate::system;

impl Writer {
    /// Keeps a member's share of slips for the open window's segment; the same bytes again are answered alike, also if their window has closed
    /// since. When this returns, they are durable.
    pub(super) fn take_slips(&mut self, member: &str, slips: &[u8]) -> Result<Window, Error> {
        self.ready()?;
        let window = self.open.as_ref().expect("`ready` opened it").number;
        let rosters = self.shared.rosters().ok_or(Error::NoRoster)?;
        let roster = &rosters.current;
        if !roster.members().iter().any(|known| known.name == member) {
            return Err(Error::NotAMember);
        }
        let posted = self.index.slips().map_err(Failure::from)?;
        let before = posted.iter().find(|(name, _)| name == member);
        if before.is_some_and(|(_, before)| before == slips) {
            return Ok(Window(window));
        }
        if let Some(closed) = self.last_closed
            && self.is_in_segment(closed, slips)?
        {
            return Ok(Window(closed));
        }
        if before.is_some() {
            return Err(Error::Conflict);
        }
        // Made before a crash, and not closed yet because the clock went back: what came now would be in no segment.
        if self.index.has_segment(window).map_err(Failure::from)? {
            return Err(Error::Busy);
        }
        let share = slip::share(roster.draft().slips, roster.members().len());
        if slips.len() as u64 != share * SLIP as u64 {
            return Err(Error::NotSlips);
        }
        let taken: usize = posted.iter().map(|(_, slips)| slips.len()).sum();
        let full = taken + slips.len() > self.places(window)? * SLIP;
        if full || slips.len() as u64 > self.shared.room() {
            return Err(Error::Full);
        }
        self.index
            .durably(|w| w.post_slips(member, slips))
            .map_err(Failure::from)?;
        if let Some(open) = &mut self.open {
            open.segment = None;
        }
        Ok(Window(window))
    }

    /// Whether all of these slips are in the segment of a closed window. They are no secret then.
    fn is_in_segment(&self, window: u64, slips: &[u8]) -> Result<bool, Error> {
        let segment = self.index.segment(window).map_err(Failure::from)?;
        let segment = segment.flatten().unwrap_or_default();
        let (segment, _) = segment.as_chunks::<SLIP>();
        let (slips, _) = slips.as_chunks::<SLIP>();
        Ok(slips.iter().all(|slip| segment.binary_search(slip).is_ok()))
    }

    /// The segment of the open window, which is over; `None` if it has one, as after a crash. The same again if it could not be stored.
    ///
    /// As many decoys are made as there are places, so that the time it takes does not tell how many slips were posted.
    pub(super) fn make_segment(&mut self) -> Result<Option<Arc<[u8]>>, Failure> {
        let Some(open) = &self.open else {
            return Ok(None);
        };
        if self.index.has_segment(open.number)? {
            return Ok(None);
        }
        if open.segment.is_some() {
            return Ok(open.segment.clone());
        }
        let places = self.places(open.number)?;
        if places == 0 {
            return Ok(None);
        }
        let mut rng = system::rng();
        let mut decoys: Vec<_> = (0..places)
            .map(|_| slip::decoy(&self.box_key, &mut rng))
            .collect();
        let posted = self.index.slips()?;
        let posted = posted.iter().flat_map(|(_, slips)| slips.as_chunks().0);
        let mut slips: Vec<&Slip> = posted.collect();
        decoys.truncate(places.saturating_sub(slips.len()));
        slips.extend(decoys.iter().map(|slip| &**slip));
        slips.sort_unstable();
        let mut segment = Vec::with_capacity(slips.len() * SLIP);
        for slip in slips {
            segment.extend_from_slice(slip);
        }
        let segment: Arc<[u8]> = segment.into();
        if let Some(open) = &mut self.open {
            open.segment = Some(segment.clone());
        }
        Ok(Some(segment))
    }

    /// How many slips the segment of the open window has: the most that a roster in force in it says. 0 if there was none.
    fn places(&self, window: u64) -> Result<usize, Failure> {
        let first = self.index.window(window)?.map_or(0, |row| row.first);
        let leaves = self.index.leaves(first, self.next)?;
        let new = leaves
            .iter()
            .filter(|leaf| leaf.kind == LeafKind::Roster)
            .count();
        // Each is of a later epoch than the one before, and the window began under another.
        let notes = self.index.latest_rosters(new + 1)?;
        let slips = notes.iter().filter_map(|(note, _)| {
            let note = Note::parse(note.as_bytes()).ok()?;
            let roster = Roster::verify_ignoring_expiry(&note, &self.box_key).ok()?;
            Some(roster.draft().slips as usize)
        });
        Ok(slips.max().unwrap_or(0))
    }
}
