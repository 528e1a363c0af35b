//! When an agent syncs: once in each slot of the clock, at a moment drawn in it. docs/design.md, "The agent's schedule".
//!
//! Times are milliseconds since 1970, by the wall clock: it may jump, forwards when a machine wakes up, backwards when it is set. Nothing here
//! knows what waits in the outbox, so that no moment can tell.

use rand_core::CryptoRng;

/// A moment is drawn in the first three quarters of a slot; the rest is for trying again.
const DRAWN: (u64, u64) = (3, 4);
/// The first pause before trying again, as a part of the slot; it doubles each time.
const FIRST_PAUSE: u64 = 360;
/// The longest pause before trying again, as a part of the slot.
const LONGEST_PAUSE: u64 = 12;

/// The schedule of one run of the agent.
pub(crate) struct Schedule {
    /// Milliseconds of a slot; the first begins in 1970.
    slot: u64,
    /// What is to be done, and in which slot.
    next: Option<Next>,
    /// The slot that needs nothing more.
    done: Option<u64>,
}

struct Next {
    slot: u64,
    at: u64,
    failures: u32,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sync.
    Sync,
    /// Nothing, for so many milliseconds at most: then ask again.
    Wait(u64),
}

impl Schedule {
    /// One sync in each `seconds`; in the slot of `now` none if it is `done`.
    pub(crate) fn new(seconds: u64, now: u64, is_done: bool) -> Self {
        let slot = seconds.max(1).saturating_mul(1_000);
        Self {
            slot,
            next: None,
            done: is_done.then_some(now / slot),
        }
    }

    /// What to do at `now`. A slot that went by while the machine slept is not made up for; in that of now a moment is drawn in what is left of it.
    pub(crate) fn step(&mut self, now: u64, rng: &mut impl CryptoRng) -> Step {
        let slot = now / self.slot;
        let end = (slot + 1).saturating_mul(self.slot);
        if self.done == Some(slot) {
            return Step::Wait(end - now);
        }
        let next = match self.next.take() {
            Some(next) if next.slot == slot => next,
            _ => Next {
                slot,
                at: now + below((end - now) * DRAWN.0 / DRAWN.1, rng),
                failures: 0,
            },
        };
        let step = match next.at.saturating_sub(now) {
            0 => Step::Sync,
            left => Step::Wait(left),
        };
        self.next = Some(next);
        step
    }

    /// Whether the slot of what is to be done is not that of `now`.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.next
            .as_ref()
            .is_some_and(|next| next.slot != now / self.slot)
    }

    /// The sync came to its end, whatever it found. It is done for the slot that it was begun in, however long it took.
    pub(crate) fn done(&mut self) {
        if let Some(next) = self.next.take() {
            self.done = Some(next.slot);
        }
    }

    /// The sync failed: it is tried again, if its slot leaves the time. Gives for how many milliseconds not; `None` if it is given up.
    pub(crate) fn failed(&mut self, now: u64) -> Option<u64> {
        let next = self.next.as_mut()?;
        let pause = (self.slot / FIRST_PAUSE)
            .saturating_mul(1 << next.failures.min(16))
            .min(self.slot / LONGEST_PAUSE);
        next.failures += 1;
        next.at = now.saturating_add(pause.max(1));
        if next.at / self.slot == next.slot {
            return Some(pause);
        }
        self.done();
        None
    }
}

/// A number below `bound`, each as likely but for one part in 2^32; 0 if it is 0.
fn below(bound: u64, rng: &mut impl CryptoRng) -> u64 {
    rng.next_u64().checked_rem(bound).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    /// Six hours.
    const SLOT: u64 = 21_600_000;
    /// A moment at which a slot begins.
    const START: u64 = 80_000 * SLOT;

    fn rng(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    /// Follows the schedule from `now` to its next sync.
    #[track_caller]
    fn next_sync(schedule: &mut Schedule, mut now: u64, rng: &mut ChaCha20Rng) -> u64 {
        for _ in 0..3 {
            match schedule.step(now, rng) {
                Step::Sync => return now,
                Step::Wait(wait) => now += wait,
            }
        }
        panic!("no sync in sight at {now}");
    }

    #[test]
    fn one_sync_in_each_slot_anywhere_in_its_first_three_quarters() {
        let (mut schedule, mut rng) = (Schedule::new(SLOT / 1_000, START, false), rng(1));
        let (mut now, mut eighths) = (START, [0; 8]);
        for slot in 80_000..82_000 {
            now = next_sync(&mut schedule, now, &mut rng);
            assert_eq!(now / SLOT, slot);
            eighths[(now % SLOT * 8 / SLOT) as usize] += 1;
            // However long it takes.
            now += SLOT / 10;
            schedule.done();
        }
        // 2,000 in six equal parts: 333 each, give or take five times 17.
        assert!(
            eighths[..6].iter().all(|n| (250..420).contains(n)),
            "{eighths:?}"
        );
        assert_eq!(eighths[6..], [0, 0]);
    }

    #[test]
    fn a_failed_sync_is_tried_again_with_growing_pauses_until_its_slot_ends() {
        let (mut schedule, mut rng) = (Schedule::new(SLOT / 1_000, START, false), rng(2));
        let mut now = next_sync(&mut schedule, START, &mut rng);
        let mut pauses = Vec::new();
        while let Some(pause) = schedule.failed(now) {
            pauses.push(pause / 60_000);
            assert_eq!(schedule.step(now, &mut rng), Step::Wait(pause));
            now += pause;
            assert_eq!(schedule.step(now, &mut rng), Step::Sync);
        }
        assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 30]);
        assert!(pauses[5..].iter().all(|minutes| *minutes == 30));
        assert_eq!(now / SLOT, 80_000, "never beyond the slot");
        assert_eq!(next_sync(&mut schedule, now, &mut rng) / SLOT, 80_001);
        assert_eq!(schedule.failed(81_000 * SLOT), None, "and anew from there");
    }

    #[test]
    fn a_machine_that_slept_makes_up_for_no_slot() {
        let (mut schedule, mut rng) = (Schedule::new(SLOT / 1_000, START, false), rng(3));
        assert!(matches!(schedule.step(START, &mut rng), Step::Wait(_)));
        // It wakes up ten slots later, late in one: not at once, and once only.
        let woken = START + 10 * SLOT + SLOT / 2;
        assert!(matches!(schedule.step(woken, &mut rng), Step::Wait(_)));
        let at = next_sync(&mut schedule, woken, &mut rng);
        assert_eq!(at / SLOT, 80_010);
        schedule.done();
        assert_eq!(
            schedule.step(at, &mut rng),
            Step::Wait(START + 11 * SLOT - at)
        );
        // It slept within a slot, past the moment that was drawn: that moment is over, the slot is not.
        let mut schedule = Schedule::new(SLOT / 1_000, START, false);
        assert!(matches!(schedule.step(START, &mut rng), Step::Wait(_)));
        assert_eq!(schedule.step(START + SLOT - 1, &mut rng), Step::Sync);
    }

    #[test]
    fn a_sync_that_waited_beyond_its_slot_is_not_begun_in_the_next_and_no_second_one_comes() {
        let (mut schedule, mut rng) = (Schedule::new(SLOT / 1_000, START, false), rng(6));
        let now = next_sync(&mut schedule, START, &mut rng);
        assert!(!schedule.is_over(now));
        let late = START + SLOT + SLOT / 8;
        assert!(schedule.is_over(late));
        assert_eq!(schedule.failed(late), None);
        // The slot that it came into has a moment of its own, and one only.
        let at = next_sync(&mut schedule, late, &mut rng);
        assert!(at > late && at / SLOT == 80_001);
        schedule.done();
        let next = next_sync(&mut schedule, at, &mut rng);
        assert_eq!(next / SLOT, 80_002);
    }

    #[test]
    fn a_clock_that_is_set_back_neither_stops_the_agent_nor_hurries_it() {
        let (mut schedule, mut rng) = (Schedule::new(SLOT / 1_000, START, false), rng(4));
        let now = next_sync(&mut schedule, START, &mut rng);
        schedule.done();
        // By an hour, in the same slot: that one is done.
        assert!(matches!(
            schedule.step(now - 3_600, &mut rng),
            Step::Wait(_)
        ));
        // By a day: those slots are new to it.
        let before = START - 4 * SLOT;
        let at = next_sync(&mut schedule, before, &mut rng);
        assert_eq!(at / SLOT, before / SLOT);
    }

    #[test]
    fn a_slot_that_was_done_before_a_restart_is_left_alone() {
        let mut rng = rng(5);
        let now = START + SLOT / 3;
        let mut schedule = Schedule::new(SLOT / 1_000, now, true);
        assert_eq!(schedule.step(now, &mut rng), Step::Wait(SLOT - SLOT / 3));
        assert_eq!(next_sync(&mut schedule, now, &mut rng) / SLOT, 80_001);
        // One that was not is drawn anew in what is left of it.
        let mut schedule = Schedule::new(SLOT / 1_000, now, false);
        let at = next_sync(&mut schedule, now, &mut rng);
        assert!(at >= now && at / SLOT == 80_000);
    }
}
