//! Who was on the team when: the rosters that were in force while the feed was written. docs/protocol.md, "Reading slips".

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use sealdrop_core::key::{PublicKey, VoiceRole};
use sealdrop_core::roster::Roster;
use sealdrop_core::time::Time;

/// Rosters of one box, each once, by epoch, from the newest back. A server may keep some back.
#[derive(Clone, Debug)]
pub struct Rosters {
    by_epoch: BTreeMap<u64, Roster>,
    /// When the oldest window began that is of interest.
    since: Time,
}

/// Whose voice a slip is, by the time at which it was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The team's.
    Team,
    /// Of somebody who had left it.
    Left,
    /// Of somebody who left it at some time between two rosters, and those between them were not shown.
    Unclear,
}

impl Rosters {
    pub(crate) fn new(newest: Roster, since: Time) -> Self {
        Self {
            by_epoch: BTreeMap::from([(newest.epoch(), newest)]),
            since,
        }
    }

    pub(crate) fn add(&mut self, roster: Roster) {
        self.by_epoch.insert(roster.epoch(), roster);
    }

    /// The oldest that is here.
    pub(crate) fn oldest(&self) -> &Roster {
        self.by_epoch
            .values()
            .next()
            .expect("there is one from the beginning")
    }

    /// When the box began, or what is `kept` of it if that is later, or if its first roster is not here: whoever hides that must not hide what was answered under it.
    pub(crate) fn begin(&self, kept: Time) -> Time {
        match self.oldest() {
            first if first.epoch() == 1 => first.issued().max(kept),
            _ => kept,
        }
    }

    /// Whether none that is older was in force in a window of interest.
    pub(crate) fn reach_back(&self) -> bool {
        self.oldest().epoch() == 1 || self.oldest().issued() <= self.since
    }

    /// The roster of an epoch, if it was shown.
    #[must_use]
    pub fn of(&self, epoch: u64) -> Option<&Roster> {
        self.by_epoch.get(&epoch)
    }

    /// The voice key of a member in the roster of an epoch.
    #[must_use]
    pub fn voice(&self, epoch: u64, member: &str) -> Option<PublicKey<VoiceRole>> {
        voice(self.of(epoch)?, member)
    }

    /// The epochs of which the server shows no roster and that may have been in force in a window of interest, rising.
    #[must_use]
    pub fn not_shown(&self) -> Vec<RangeInclusive<u64>> {
        let mut next = if self.reach_back() {
            self.oldest().epoch()
        } else {
            1
        };
        let mut gaps = Vec::new();
        for epoch in self.by_epoch.keys() {
            if next < *epoch {
                gaps.push(next..=*epoch - 1);
            }
            next = epoch + 1;
        }
        gaps
    }

    /// Whether what is signed under `epoch` is too old to be new in the window that began at `start`: the roster had expired by then, or was out of force before
    /// every window of interest.
    #[must_use]
    pub fn is_past(&self, epoch: u64, start: Time) -> bool {
        match self.of(epoch) {
            Some(roster) => roster.expires() <= start,
            None => self.reach_back() && epoch < self.oldest().epoch(),
        }
    }

    /// Whose voice it is that `member` signed under `epoch` and that was logged in the window that began at `start`. The roster in force then must name the same key,
    /// or be older than the one of `epoch`; and so must the next one that is here, if those between the two are not.
    #[must_use]
    pub fn standing(&self, epoch: u64, member: &str, start: Time) -> Standing {
        let signed = self.voice(epoch, member);
        let names = |roster: &Roster| {
            signed.is_some() && (roster.epoch() < epoch || voice(roster, member) == signed)
        };
        let by_date = self.by_epoch.values().rev();
        let in_force = by_date
            .clone()
            .find(|roster| roster.issued() <= start)
            .unwrap_or(self.oldest());
        let next = self.by_epoch.range(in_force.epoch() + 1..).next();
        let behind_gap = next.filter(|(next, _)| **next > in_force.epoch() + 1);
        match behind_gap {
            _ if !names(in_force) => Standing::Left,
            Some((_, next)) if !names(next) => Standing::Unclear,
            _ => Standing::Team,
        }
    }
}

fn voice(roster: &Roster, member: &str) -> Option<PublicKey<VoiceRole>> {
    let member = roster.members().iter().find(|other| other.name == member)?;
    Some(member.voice.key().clone())
}
