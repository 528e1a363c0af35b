//! The server from outside: requests and answers, what survives a crash, what stays within its limits, and the log as a stranger verifies it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod drops;
mod support;
