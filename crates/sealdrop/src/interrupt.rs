//! Ctrl-C, and a terminal that is closed: the first asks the operation under way to stop and to clean up, a second Ctrl-C ends the
//! program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;

/// What a shell gives a program that Ctrl-C ended.
pub(crate) const EXIT: u8 = 130;

/// Whether signals that an editor's time once took over do again what they do to any program: a handler cannot be taken back.
static AS_USUAL: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// What a caught signal sets.
static CAUGHT: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Whether signals are caught.
static CATCHING: AtomicBool = AtomicBool::new(false);

/// Whether to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From here on Ctrl-C no longer ends the program in the middle of something.
    pub(crate) fn catch() -> Self {
        let flag = CAUGHT.clone();
        CATCHING.store(true, Ordering::SeqCst);
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset, and sets it.
            let result =
                signal_hook::flag::register_conditional_shutdown(signal, EXIT.into(), flag.clone())
                    .and_then(|_| signal_hook::flag::register(signal, flag.clone()));
            // Without the handler Ctrl-C ends the program as it always does.
            drop(result);
        }
        // A closed terminal may say so twice, from the shell and from the system, and nobody is there to be impatient.
        on_hangup(&flag);
        AS_USUAL.store(false, Ordering::SeqCst);
        Self(flag)
    }

    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether a signal was caught that asks the program to stop.
pub(crate) fn is_over() -> bool {
    CAUGHT.load(Ordering::Relaxed)
}

/// What to say when it was.
pub(crate) fn stopped() -> Failure {
    Failure {
        exit: EXIT,
        ..Failure::refused("stopped: nothing was left with the server or on this machine")
    }
}

/// While it lives, Ctrl-C is for a child such as an editor, which gets it too, and does not end this program; and what would end this
/// program only asks it to stop, so that it removes what is on the disk.
pub(crate) struct Editing(Interrupt);

impl Editing {
    pub(crate) fn start() -> Self {
        AS_USUAL.store(false, Ordering::SeqCst);
        let flag = Arc::new(AtomicBool::new(false));
        let usual = |signal| {
            // Without the handler the signal ends the program as it always does.
            drop(signal_hook::flag::register_conditional_default(
                signal,
                AS_USUAL.clone(),
            ));
        };
        usual(SIGINT);
        usual(SIGTERM);
        drop(signal_hook::flag::register(SIGTERM, flag.clone()));
        #[cfg(unix)]
        if !hangup_is_ignored() {
            usual(SIGHUP);
        }
        on_hangup(&flag);
        Self(Interrupt(flag))
    }

    /// Whether to end the child, and then this program.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_set()
    }
}

impl Drop for Editing {
    fn drop(&mut self) {
        AS_USUAL.store(!CATCHING.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

#[cfg(unix)]
fn on_hangup(flag: &Arc<AtomicBool>) {
    if !hangup_is_ignored() {
        drop(signal_hook::flag::register(SIGHUP, flag.clone()));
    }
}

#[cfg(not(unix))]
fn on_hangup(_: &Arc<AtomicBool>) {}

/// Whether somebody started the program with `nohup`, which must go on working. Asked once, as our own handler would hide it.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    static IGNORED: LazyLock<bool> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        ignored.is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
    });
    *IGNORED
}
