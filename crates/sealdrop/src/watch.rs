//! `sealdrop watch`: looks for answers at a steady rhythm, and says only that there is something new.
//!
//! When it looks must say nothing of what it found: the times are drawn before, from the rhythm and from chance alone, and each look makes the requests of a
//! `check`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rand_core::Rng;
use sealdrop_client::feed::Known;
use sealdrop_client::{show, system};
use sealdrop_core::state::State;
use serde_json::{Map, Value};

use crate::cli::{Global, WatchArgs};
use crate::failure::Failure;
use crate::fields;
use crate::interrupt::{self, Interrupt};
use crate::network;
use crate::output::Output;
use crate::phrase;
use crate::reading::{Reader, Reading, Unread};
use crate::state::StateFile;

/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// The longest rhythm: a month, in which nothing has expired yet that was not seen.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// The feed grows once per window. More than so many looks in one find nothing sooner that matters, and each may fetch the whole feed.
const LOOKS_PER_WINDOW: u64 = 24;

pub(crate) fn run(args: &WatchArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let address = network::address(&args.address)?;
    let options = network::options(global)?;
    network::client(&address.origin, options.clone(), None)?;
    let keys = phrase::get(args.phrase_file.as_deref(), output)?.keys(&address.box_key);
    let file = args.state.as_deref();
    let file = file.map(|path| StateFile::open(path, &keys)).transpose()?;
    // Not before: what waits for a phrase on standard input is ended by Ctrl-C as anything is.
    let interrupt = Interrupt::catch();
    let reader = Reader {
        client: network::client(&address.origin, options, Some(&interrupt))?,
        address,
        keys,
    };
    let mut watch = Watch {
        reader: Arc::new(reader),
        state: file
            .as_ref()
            .and_then(StateFile::state)
            .cloned()
            .map(Arc::new),
        file,
        every: args.every,
        whole: None,
        remarks: BTreeSet::new(),
        is_failing: false,
        interrupt,
        output,
    };
    if args.once {
        return match watch.look()? {
            Err(unread) => Err(unread.failure),
            Ok(is_new) => {
                watch.say(Ok(is_new));
                Ok(())
            }
        };
    }
    let mut schedule = Schedule::new(args.every, system::rng());
    let mut due = Instant::now();
    loop {
        // Drawn before anything is known of what this look finds.
        due = schedule.after(due, Instant::now());
        let looked = watch.look()?;
        watch.say(looked);
        watch.wait_until(due)?;
    }
}

/// Reads `90m` and the like.
pub(crate) fn parse_rhythm(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds).map(Duration::from_secs)
    });
    match parsed {
        Some(every) if every > LONGEST => Err("at most 30d".into()),
        Some(every) if !every.is_zero() => Ok(every),
        _ => Err("write a number with s, m, h or d, for instance 90m".into()),
    }
}

/// When to look. It knows nothing of what was found.
struct Schedule<R> {
    every: Duration,
    rng: R,
}

impl<R: Rng> Schedule<R> {
    fn new(every: Duration, rng: R) -> Self {
        Self { every, rng }
    }

    /// The time from one look to the next: uniform from three quarters of the rhythm to five.
    fn pause(&mut self) -> Duration {
        let chance = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        self.every.mul_f64(0.75 + 0.5 * chance)
    }

    /// The look after the one that was due at `due`: the next of the times drawn that is not past `now`, so that a look that took long moves none.
    fn after(&mut self, due: Instant, now: Instant) -> Instant {
        let mut next = due + self.pause();
        while next < now {
            next += self.pause();
        }
        next
    }
}

struct Watch<'a> {
    reader: Arc<Reader>,
    /// What the last look left, in memory.
    state: Option<Arc<State>>,
    /// Where it is kept, if it is.
    file: Option<StateFile>,
    every: Duration,
    /// The messages that were there at the last look; `None` before the first.
    whole: Option<BTreeSet<[u8; 16]>>,
    /// What was said besides, once.
    remarks: BTreeSet<String>,
    /// Whether the last look failed, which was said.
    is_failing: bool,
    interrupt: Interrupt,
    output: &'a Output,
}

impl Watch<'_> {
    /// Looks once: whether there is something new, or what may pass. Everything else ends it.
    fn look(&mut self) -> Result<Result<bool, Unread>, Failure> {
        let reading = match self.read()? {
            Ok(reading) => reading,
            Err(unread) if unread.may_pass => return Ok(Err(unread)),
            Err(unread) => return Err(unread.failure),
        };
        let length = reading.the_box.roster().window_length();
        let least = Duration::from_secs(length.div_ceil(LOOKS_PER_WINDOW));
        if self.every < least {
            return Err(Failure::usage(format!(
                "--every: a window of this box is {length} s long, and something new comes once in one; {} s is the least",
                least.as_secs()
            ))
            .hint("the default, 6h, is for windows of six hours"));
        }
        let now = self
            .reader
            .conversation(&reading, &reading.feed.found)
            .whole();
        let before = self.whole.take().or_else(|| {
            // What the file knew when the program began.
            let state = self.state.as_ref().filter(|_| self.file.is_some())?;
            let is_known = |window| {
                state
                    .segments
                    .binary_search_by_key(&window, |leaf| leaf.window)
            };
            let found = reading.feed.found.iter();
            let known = found.filter(|found| is_known(found.window).is_ok());
            Some(self.reader.conversation(&reading, known).whole())
        });
        let is_new = before.is_some_and(|before| !now.is_subset(&before));
        let state = reading.to_state();
        if let Some(file) = &mut self.file {
            file.keep(state.clone(), &self.reader.keys)?;
        }
        self.state = Some(Arc::new(state));
        self.whole = Some(now);
        for remark in reading.remarks {
            if !self.remarks.contains(&remark) {
                self.output.note(&remark);
                self.remarks.insert(remark);
            }
        }
        Ok(Ok(is_new))
    }

    /// Reads the feed on a thread of its own, which Ctrl-C leaves behind: a connection that hangs holds nobody.
    fn read(&self) -> Result<Result<Reading, Unread>, Failure> {
        let (reader, state) = (self.reader.clone(), self.state.clone());
        let is_fetched_again = self.file.is_none();
        let (tell, told) = channel();
        thread::spawn(move || {
            let known = state.as_deref().map(|state| Known {
                state,
                is_fetched_again,
            });
            let reading = reader.read(known, None);
            // Before the answer, so that whoever has it holds the only keys.
            drop(reader);
            drop(tell.send(reading));
        });
        loop {
            let looked = told.recv_timeout(LOOK);
            // First, because what was cancelled ends with an error.
            if self.interrupt.is_set() {
                return Err(stopped());
            }
            match looked {
                Ok(reading) => return Ok(reading),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::refused(
                        "reading the feed failed: please report it",
                    ));
                }
            }
        }
    }

    /// One line if there is something new, or if it begins to fail. With `--json` one object for each look.
    fn say(&mut self, looked: Result<bool, Unread>) {
        let time = system::now();
        let is_new = looked.as_ref().is_ok_and(|is_new| *is_new);
        let error = looked.err().map(|unread| unread.failure.message);
        if let Some(error) = &error
            && !self.is_failing
        {
            self.output.note(&format!(
                "{}: {error}. It goes on at its rhythm, and says no more of this until it works again.",
                show::minute(time)
            ));
        }
        self.is_failing = error.is_some();
        let text = is_new.then(|| format!("{}  something new\n", show::minute(time)));
        let fields: Map<String, Value> = fields! {
            "time": time.0,
            "new": is_new,
            "error": error,
        };
        self.output.event(text.as_deref(), fields);
    }

    fn wait_until(&self, due: Instant) -> Result<(), Failure> {
        loop {
            if self.interrupt.is_set() {
                return Err(stopped());
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

fn stopped() -> Failure {
    Failure {
        exit: interrupt::EXIT,
        ..Failure::refused("stopped")
    }
}

#[cfg(test)]
mod tests {
    use rand_core::TryRng;

    use super::*;

    /// Counts, so that every time is known.
    struct Counting(u32);

    impl TryRng for Counting {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.0 = self.0.wrapping_add(0x1000_0001);
            Ok(self.0)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            unreachable!("a pause takes 32 bits")
        }

        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
            unreachable!("a pause takes 32 bits")
        }
    }

    const EVERY: Duration = Duration::from_secs(21_600);

    #[test]
    fn the_rhythm_is_kept_within_a_quarter_and_never_exactly() {
        let mut schedule = Schedule::new(EVERY, system::rng());
        let pauses: Vec<Duration> = (0..1_000).map(|_| schedule.pause()).collect();
        let [least, most] = [EVERY * 3 / 4, EVERY * 5 / 4];
        assert!(pauses.iter().all(|pause| (least..=most).contains(pause)));
        let third = EVERY / 6;
        let in_range = |from: Duration| {
            pauses
                .iter()
                .filter(|p| (from..from + third).contains(p))
                .count()
        };
        // Uniform: a third of them in each third, of 1,000 give or take far more than chance does.
        for from in [least, least + third, least + 2 * third] {
            assert!((200..470).contains(&in_range(from)), "{}", in_range(from));
        }
    }

    #[test]
    fn a_look_that_takes_long_or_fails_moves_no_other() {
        let start = Instant::now();
        let times = |took: &[Duration]| {
            let mut schedule = Schedule::new(EVERY, Counting(0));
            let mut due = start;
            took.iter()
                .map(|took| {
                    due = schedule.after(due, due + *took);
                    due
                })
                .collect::<Vec<_>>()
        };
        let quick = times(&[Duration::ZERO; 5]);
        assert_eq!(times(&[Duration::from_secs(9_000); 5]), quick);
        // One that takes longer than to the next skips that one, and the rest stay.
        let long = times(&[Duration::ZERO, EVERY * 3 / 2, Duration::ZERO]);
        assert_eq!(long, [quick[0], quick[2], quick[3]]);
    }

    #[test]
    fn a_rhythm_is_a_number_with_its_unit() {
        let seconds = |text| parse_rhythm(text).map(|every| every.as_secs());
        assert_eq!(seconds("45s"), Ok(45));
        assert_eq!(seconds("90m"), Ok(5_400));
        assert_eq!(seconds("6h"), Ok(21_600));
        assert_eq!(seconds("30d"), Ok(2_592_000));
        for bad in [
            "",
            "6",
            "h",
            "0s",
            "-1h",
            "1.5h",
            "31d",
            "6 h",
            "99999999999999999999d",
            "1w",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
