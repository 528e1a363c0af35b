//! Ctrl-C while a drop is being opened: it ends the program, and is not held against the drop.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::bodies::Bodies;
use crate::ledger::Known;

/// The handlers that are installed, and what they share. They are installed once: a process cannot get the default back.
static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

struct Watch {
    flags: Flags,
    actions: Vec<SigId>,
}

#[derive(Clone)]
struct Flags {
    /// A signal came.
    asked: Arc<AtomicBool>,
    /// The next one ends the program at once.
    at_once: Arc<AtomicBool>,
}

/// While it lives, the first signal only says that the program is to end; the second ends it, whatever it is stuck in. Afterwards each does.
pub(crate) struct Stop(Flags);

impl Stop {
    pub(crate) fn watch() -> Result<Self> {
        let mut watch = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
        let flags = match &*watch {
            Some(watch) => watch.flags.clone(),
            None => {
                let new = Watch::install().context("cannot prepare for Ctrl-C")?;
                watch.insert(new).flags.clone()
            }
        };
        flags.asked.store(false, Ordering::SeqCst);
        flags.at_once.store(false, Ordering::SeqCst);
        Ok(Self(flags))
    }

    /// Whether the program is to end.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.at_once.store(true, Ordering::SeqCst);
    }
}

impl Watch {
    fn install() -> io::Result<Self> {
        let flags = Flags {
            asked: Arc::default(),
            at_once: Arc::default(),
        };
        let mut actions = Vec::new();
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // They run in this order.
            let at_once = Arc::clone(&flags.at_once);
            actions.push(signal_hook::flag::register_conditional_default(
                signal, at_once,
            )?);
            for flag in [&flags.at_once, &flags.asked] {
                actions.push(signal_hook::flag::register(signal, Arc::clone(flag))?);
            }
        }
        Ok(Self { flags, actions })
    }
}

/// Leaves signals to handlers that were installed since.
pub(crate) fn stand_down() {
    let mut watch = WATCH.lock().unwrap_or_else(PoisonError::into_inner);
    for action in watch.take().into_iter().flat_map(|watch| watch.actions) {
        signal_hook::low_level::unregister(action);
    }
}

/// Bodies whose reading ends with an error when the program is to end.
pub(crate) struct Stoppable<'a> {
    pub(crate) bodies: &'a dyn Bodies,
    pub(crate) stop: &'a Stop,
}

impl Bodies for Stoppable<'_> {
    fn open(&self, drop: &Known) -> Result<Option<Box<dyn Read>>> {
        let flags = self.stop.0.clone();
        let body = self.bodies.open(drop)?;
        Ok(body.map(|body| Box::new(Reader { body, flags }) as Box<dyn Read>))
    }
}

struct Reader {
    body: Box<dyn Read>,
    flags: Flags,
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.flags.asked.load(Ordering::SeqCst) {
            return Err(io::Error::other("stopped"));
        }
        self.body.read(out)
    }
}
