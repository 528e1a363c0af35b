//! `agent`: syncs once in each window, whatever happens. docs/design.md, "The agent's schedule".

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail};
use sealdrop_client::{show, system};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::context::{Answer, Context};
use crate::home::Home;
use crate::keyring::Keyring;
use crate::outbox::Outbox;
use crate::rosters::Rosters;
use crate::schedule::{Schedule, Step};
use crate::sync::{self, Synced};
use crate::text;

/// The longest sleep: a clock that was set, or a machine that woke up, is noticed after it.
const LONGEST_SLEEP: u64 = 30_000;
/// How often is looked whether another program has left the home folder.
const LOOK: u64 = 50;
/// How long it is looked, in milliseconds, before it is tried again as after any failure.
const LONGEST_LOOK: u64 = 10_000;
/// How long what is under way may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// The pauses of an agent that has never seen a roster, so that it knows no window.
const PAUSES: [u64; 2] = [1_000, 600_000];

pub(crate) const HELP: &str = "\
A sync that finds a fault in what the server shows, such as a hidden drop, is
loud about it, cosigns nothing, and fetches and posts all the same; the agent
goes on, and says it again with each sync until it is settled. A server that
cannot be reached is tried again, after a minute first, then after longer
pauses, until the window is over; the next one begins anew. What may have
arrived is sent again with the same bytes, also after a crash.

Of several machines of a member the first to post in a window is the one that
does: let one run the agent, and hand it the answers of the others:
  sealdrop-desk bundle out --outbox FILE
  ssh MACHINE sealdrop-desk bundle in - < FILE

Exit codes: 0 it was told to stop; 1 it could not begin, or it was told to stop
and the last sync had found a fault.";

/// How often.
#[derive(clap::Args)]
pub(crate) struct Agent {
    /// Sync once in each so many seconds, for instance to see reports sooner, and not once in each window. Slips are posted by the first sync of a
    /// window. More than a window counts as a window
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
}

/// Syncs until it is told to stop.
pub(crate) fn run(context: &Context, home: Home, args: &Agent) -> Result<Answer> {
    let keyring = Keyring::unlock(context, &home)?;
    keyring.device()?;
    home.profile()?.address()?;
    let mut agent = Running {
        context,
        keyring: keyring.for_syncing(),
        every: args.every,
        failed: Arc::default(),
    };
    let stop = Stop::watch(&context.cancelled, &agent.failed)?;
    let dir = home.dir().to_owned();
    let schedule = agent.schedule(&home)?;
    drop(home);
    agent.keep(&dir, schedule, &stop);
    // What there is to say was said, line by line.
    Ok(Answer {
        failed: agent.failed.load(Ordering::SeqCst),
        ..Answer::new(Value::Null, "")
    })
}

struct Running<'a> {
    context: &'a Context,
    /// What opens reports is not in it.
    keyring: Keyring,
    every: Option<u64>,
    /// The last sync found a fault.
    failed: Arc<AtomicBool>,
}

impl Running<'_> {
    /// The schedule of the newest roster; `None` before there is one.
    fn schedule(&self, home: &Home) -> Result<Option<Schedule>> {
        let rosters = Rosters::load(home, &self.keyring.box_key)?;
        let Some(latest) = rosters.latest() else {
            return Ok(None);
        };
        let roster = latest.roster();
        let window = roster.window_length();
        let slot = self.every.unwrap_or(window).min(window);
        self.context.remark(match slot == window {
            true => format!("One sync in each window of {slot} s, at a moment drawn in it."),
            false => format!("One sync in each {slot} s, at a moment drawn in them."),
        });
        // A new process in a window that was posted for waits for the next.
        let open = roster.window(system::now());
        let is_done = slot == window && Outbox::load(home)?.has_posted(open);
        let now = system::now_in_milliseconds();
        Ok(Some(Schedule::new(slot, now, is_done)))
    }

    fn keep(&mut self, dir: &Path, mut schedule: Option<Schedule>, stop: &Stop) {
        let [mut pause, longest] = PAUSES;
        while !stop.is_asked() {
            let step = match &mut schedule {
                Some(schedule) => schedule.step(system::now_in_milliseconds(), &mut system::rng()),
                None => Step::Sync,
            };
            if let Step::Wait(left) = step {
                stop.wait(left.min(LONGEST_SLEEP));
                continue;
            }
            let synced = self.sync(dir, &mut schedule, stop);
            if stop.is_asked() && synced.is_err() {
                return;
            }
            let is_over = synced.as_ref().is_ok_and(|synced| !synced.is_open);
            let again = match &mut schedule {
                Some(schedule) if is_over => {
                    schedule.done();
                    None
                }
                Some(schedule) => schedule.failed(system::now_in_milliseconds()),
                None => {
                    let before = pause;
                    pause = (pause * 2).min(longest);
                    Some(before)
                }
            };
            self.say(&synced, again);
            if schedule.is_none() {
                stop.wait(again.unwrap_or(longest));
            }
        }
    }

    /// One sync. The home folder is locked for its time alone.
    fn sync(&self, dir: &Path, schedule: &mut Option<Schedule>, stop: &Stop) -> Result<Synced> {
        let is_over = |schedule: &Option<Schedule>| {
            let now = system::now_in_milliseconds();
            schedule
                .as_ref()
                .is_some_and(|schedule| schedule.is_over(now))
        };
        let mut looks = 0..LONGEST_LOOK / LOOK;
        let home = loop {
            let home = Home::reopen(dir)?;
            match home {
                // A slot that went by meanwhile is not made up for: the next has a moment of its own.
                _ if is_over(schedule) => bail!(
                    "the moment went by while another sealdrop-desk worked in {}: nothing was fetched or posted",
                    dir.display()
                ),
                Some(home) => break home,
                None if looks.next().is_none() => bail!(
                    "another sealdrop-desk works in {}, and has not left it: nothing was fetched or posted",
                    dir.display()
                ),
                None if stop.wait(LOOK) => bail!("stopped"),
                None => {}
            }
        };
        let synced = sync::with(self.context, &home, &self.keyring, Vec::new())?;
        if schedule.is_none() {
            *schedule = self.schedule(&home)?;
        }
        Ok(synced)
    }

    /// One line for a sync, and one for each fault. How much waits is not in it: a journal is kept, and need not tell when somebody wrote.
    fn say(&self, synced: &Result<Synced>, again: Option<u64>) {
        let now = system::now();
        let json = match synced {
            Ok(synced) => {
                self.failed.store(synced.answer.failed, Ordering::SeqCst);
                let found = &synced.answer.json;
                let both = |name: &str| {
                    let lists = [&found[name], &found["answers"][name]];
                    let all = lists.into_iter().filter_map(Value::as_array).flatten();
                    all.cloned().collect::<Vec<_>>()
                };
                json!({
                    "time": now.0,
                    "fetched": found["fetched"],
                    "log": found["log"],
                    "posted": found["answers"]["posted"],
                    "remarks": both("remarks"),
                    "faults": both("faults"),
                    "again": again.map(|pause| pause.div_ceil(1_000)),
                })
            }
            Err(error) => json!({
                "time": now.0,
                "error": format!("{error:#}"),
                "again": again.map(|pause| pause.div_ceil(1_000)),
            }),
        };
        let mut out = io::stdout().lock();
        let said = if self.context.json {
            show::json(&json.to_string())
        } else {
            text::fit(
                &line(&show::minute(now), &json, synced.as_ref().err()),
                &out,
            )
        };
        // A reader that goes away is no reason to stop.
        let _ = writeln!(out, "{said}").and_then(|()| out.flush());
    }
}

/// The same for people.
fn line(time: &str, said: &Value, error: Option<&Error>) -> String {
    let again = match said["again"].as_u64() {
        Some(seconds) => format!("; tried again in {seconds} s"),
        None if error.is_some() => "; given up for this window".into(),
        None => String::new(),
    };
    if let Some(error) = error {
        return format!("{time}  failed: {error:#}{again}");
    }
    let list = |name: &str| {
        let texts = said[name].as_array().into_iter().flatten();
        texts.filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let posted = match said["posted"].as_u64() {
        Some(window) => format!("posted for window {window}"),
        None => "posted nothing".into(),
    };
    let cosigned = match (
        said["log"]["cosigned"].as_bool(),
        said["log"]["size"].as_u64(),
    ) {
        (Some(true), _) => " cosigned",
        (_, Some(0)) if list("faults").is_empty() => "",
        _ => " NOT COSIGNED",
    };
    let mut line = format!(
        "{time}  fetched {} new, log of {}{cosigned}, {posted}{again}",
        said["fetched"], said["log"]["size"]
    );
    for remark in list("remarks") {
        line += &format!("; {remark}");
    }
    for fault in list("faults") {
        line += &format!("\nFAULT  {fault}");
    }
    line
}

/// SIGTERM or Ctrl-C. A terminal that is closed ends the program where it is, unless it runs under `nohup`.
struct Stop {
    asked: Arc<AtomicBool>,
    wake: Receiver<()>,
}

impl Stop {
    /// From here on the first signal ends what is under way with the server at its next step, and the program after it. A second one, or a step
    /// that takes longer than [`GRACE`], ends the program where it is: nothing on the disk is ever half done.
    fn watch(asked: &Arc<AtomicBool>, failed: &Arc<AtomicBool>) -> Result<Self> {
        let prepare = || -> io::Result<UnixStream> {
            let (reader, writer) = UnixStream::pair()?;
            for signal in [SIGINT, SIGTERM] {
                signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
            }
            Ok(reader)
        };
        let mut signals = prepare().context("cannot prepare for being stopped")?;
        let (sleeper, wake) = channel();
        let (flag, failed) = (Arc::clone(asked), Arc::clone(failed));
        std::thread::spawn(move || {
            let mut one = [0];
            let _ = signals.read(&mut one);
            flag.store(true, Ordering::SeqCst);
            drop(sleeper);
            let _ = signals.set_read_timeout(Some(GRACE));
            let _ = signals.read(&mut one);
            std::process::exit(failed.load(Ordering::SeqCst).into());
        });
        Ok(Self {
            asked: Arc::clone(asked),
            wake,
        })
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits so many milliseconds, or until the program is to stop: then `true`.
    fn wait(&self, milliseconds: u64) -> bool {
        let woken = self.wake.recv_timeout(Duration::from_millis(milliseconds));
        woken != Err(RecvTimeoutError::Timeout)
    }
}
