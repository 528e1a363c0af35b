//! Whole-system tests: the real programs, the machine's own tools, and a server that lies.
//!
//! Each module is `cfg(test)`, which it is anyway, because clippy then knows that its helpers are tests too.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod cctv;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod learner;
#[cfg(test)]
#[expect(
    dead_code,
    reason = "shared with the tests of opening, which use all of it"
)]
#[path = "../../crates/sealdrop-open/tests/open/maker.rs"]
mod maker;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod restore;
#[cfg(test)]
#[path = "../../crates/sealdrop-open/tests/open/sealed.rs"]
mod sealed;
#[cfg(test)]
mod site;
#[cfg(test)]
mod tor;
#[cfg(test)]
mod tor_network;
#[cfg(test)]
mod trials;
#[cfg(test)]
mod watched;
#[cfg(test)]
mod wire;
