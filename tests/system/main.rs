//! Whole-system tests: the real programs, the machine's own tools, and a server that lies.
//!
//! Each module is `cfg(test)`, which it is anyway, because clippy then knows that its helpers are tests too.

#[cfg(test)]
mod cctv;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod site;
#[cfg(test)]
mod wire;
