//! The one place at which the client and the programs read the clock and the system's randomness, and tell the system what it must not do
//! with their memory. Everything else takes time and randomness as arguments, so that tests can give their own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand_core::{CryptoRng, UnwrapErr};
use sealdrop_core::time::Time;

/// The time now, by the system's clock. A clock before 1970 reads as 0, at which every roster is not yet issued.
#[must_use]
pub fn now() -> Time {
    Time(since_1970().as_secs())
}

/// The same in milliseconds, for programs that wait for a moment.
#[must_use]
pub fn now_in_milliseconds() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the functions above are those that programs call for the time"
)]
fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

/// The system's generator.
///
/// It panics if the system has no randomness to give: no key may be made then, and there is nothing to fall back on.
#[must_use]
pub fn rng() -> impl CryptoRng {
    UnwrapErr(getrandom::SysRng)
}

/// Keeps what is in memory, such as a phrase or an identity, out of core dumps, and on Linux from debuggers of the same user. For the first
/// line of `main`: what was dumped before stays.
///
/// It is the best that the program can do itself: where the system refuses, the program goes on. It does not reach memory that is swapped out.
pub fn no_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = setrlimit(Resource::Core, none);
    }
    // A core that is piped to a program, as most distributions have it, is written whatever the limit is.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn secrets_in_memory_are_not_dumped() {
        super::no_core_dumps();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }
}
