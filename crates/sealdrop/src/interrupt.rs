//! Ctrl-C: the first asks the operation under way to stop and to clean up, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;

/// What a shell gives a program that Ctrl-C ended.
pub(crate) const EXIT: u8 = 130;

/// Whether to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From here on Ctrl-C no longer ends the program in the middle of something.
    pub(crate) fn catch() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset, and sets it.
            let result =
                signal_hook::flag::register_conditional_shutdown(signal, EXIT.into(), flag.clone())
                    .and_then(|_| signal_hook::flag::register(signal, flag.clone()));
            // Without the handler Ctrl-C ends the program as it always does.
            drop(result);
        }
        Self(flag)
    }

    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What to say when it was.
pub(crate) fn stopped() -> Failure {
    Failure {
        exit: EXIT,
        ..Failure::refused("stopped: nothing was left with the server or on this machine")
    }
}

/// While it lives, Ctrl-C is for a child such as an editor, which gets it too, and does not end this program.
pub(crate) struct Ignored(Option<SigId>);

impl Ignored {
    pub(crate) fn start() -> Self {
        Self(signal_hook::flag::register(SIGINT, Arc::default()).ok())
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        self.0.take().map(signal_hook::low_level::unregister);
    }
}
