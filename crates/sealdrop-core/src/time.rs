//! Times and windows. docs/protocol.md, "Conventions" and "Windows".

use std::fmt;

/// A POSIX time in whole seconds. The core never reads a clock: callers pass the time in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The window of `length` seconds that this time lies in. `length` of zero counts as one second.
    #[must_use]
    pub fn window(self, length: u64) -> Window {
        Window(self.0 / length.max(1))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a window: `floor(time / length)`. docs/protocol.md, "Windows".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(pub u64);

impl Window {
    /// The first second of the window.
    #[must_use]
    pub fn start(self, length: u64) -> Time {
        Time(self.0.saturating_mul(length))
    }

    /// The first second after the window.
    #[must_use]
    pub fn end(self, length: u64) -> Time {
        Time(self.0.saturating_add(1).saturating_mul(length))
    }

    /// Whether the window's drops have expired at `now`: `retention` seconds have passed since its end.
    #[must_use]
    pub fn is_expired(self, length: u64, retention: u64, now: Time) -> bool {
        now.0 >= self.end(length).0.saturating_add(retention)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
