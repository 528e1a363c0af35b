//! The HTTP client that Sealdrop's command-line programs share. docs/protocol.md, "HTTP".
//!
//! Read first: [`Client`], one method for each request; [`VerifiedBox`], by which a roster comes to be believed; and
//! [`Client::send`], which leaves a drop and goes on after a broken connection.
//!
//! Nothing that a server answers is believed here because it came from the server: answers are notes, tiles and bodies whose
//! signatures and hashes the caller checks with `sealdrop-core`, and every answer has a limit of bytes and of time.
//!
//! Every request runs on a connection of its own, without cookies, cache, redirects, conditional requests, TLS resumption or
//! headers that would mark a client; over a proxy with SOCKS credentials of its own, which only the requests of one
//! [operation](Client::operation) share.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod boxfile;
mod client;
mod error;
pub mod feed;
mod http;
mod lanes;
mod lookup;
mod member;
mod options;
mod record;
mod rosters;
pub mod show;
pub mod system;
mod upload;

pub use boxfile::{BoxFile, BoxFileError, VerifiedBox};
pub use client::Client;
pub use error::{ClientError, Problem};
pub use lookup::{Found, Log, LookupError};
pub use member::{Listed, Listing, Member, Windows};
pub use options::{Options, Proxy, ProxyError, Roots, RootsError};
pub use record::{MAX_RECORD, Record, RecordError};
pub use rosters::{Rosters, Standing};
pub use upload::{Blocks, Event, Mark, OnFailure, SendError, Sent, Source, UploadId};
