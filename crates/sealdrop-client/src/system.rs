//! The one place at which the client and the programs read the clock and the system's randomness. Everything else takes them as
//! arguments, so that tests can give their own.

use std::time::{SystemTime, UNIX_EPOCH};

use rand_core::{CryptoRng, UnwrapErr};
use sealdrop_core::time::Time;

/// The time now, by the system's clock. A clock before 1970 reads as 0, at which every roster is not yet issued.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the function that programs call for the time"
)]
pub fn now() -> Time {
    Time(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}

/// The system's generator.
///
/// It panics if the system has no randomness to give: no key may be made then, and there is nothing to fall back on.
#[must_use]
pub fn rng() -> impl CryptoRng {
    UnwrapErr(getrandom::SysRng)
}
