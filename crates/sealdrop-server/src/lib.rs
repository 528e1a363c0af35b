//! Sealdrop's server: keeps drops that it cannot read, and a log of them that it cannot rewrite.
//!
//! Read first: [`Server::bind`] and [`Server::run`]; then `http::routes`, the table of all requests; then `store::writer`, by which a drop
//! becomes durable. docs/protocol.md, "HTTP", "Log" and "Limits", is what this crate implements.
//!
//! It has no type that could hold a plaintext or a private encryption key: it depends on `sealdrop-core`, and never on
//! `sealdrop-open` or `age`.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod config;
mod error;
mod http;
mod places;
mod serve;
mod store;
mod system;

pub use config::{Config, Limits, Tls};
pub use error::StartError;
pub use http::route_table;
pub use serve::Server;
pub use store::disk::{Disk, RealDisk};
pub use system::{Clock, system_clock};
