//! The clock and the system's randomness: the only place of the server that asks for either.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use getrandom::rand_core::{CryptoRng, UnwrapErr};
use sealdrop_core::time::Time;

/// Where the time comes from. Tests move it; [`system_clock`] is the real one.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the clock"
        )]
        let now = SystemTime::now();
        Time(
            now.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    })
}

/// The system's CSPRNG. It panics on a system that has none, as nothing can be done there.
pub(crate) fn rng() -> impl CryptoRng {
    UnwrapErr(getrandom::SysRng)
}

/// N bytes from the system's CSPRNG.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks for randomness"
    )]
    getrandom::fill(&mut bytes).expect("a system without randomness cannot run a server");
    bytes
}
