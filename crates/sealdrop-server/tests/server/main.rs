//! The server from outside: requests and answers, what survives a crash, what stays within its limits, and the log as a stranger verifies it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod boxes;
mod drops;
mod durable;
mod feed;
mod folder;
mod limits;
mod log;
mod members;
mod openapi;
mod policy;
mod program;
mod requests;
mod support;
mod tls;
mod uploads;
mod verifier;
mod windows;
