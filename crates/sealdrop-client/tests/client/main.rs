//! The client against a server that is honest, cut off, or lying.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod feed;
mod known;
mod limits;
mod log;
mod member;
mod network;
mod upload;

use std::io::{self, Read};
use std::time::Duration;

use sealdrop_client::{Client, Options, Source};
use support::LyingServer;

/// Impatient, so that tests end.
fn options() -> Options {
    Options {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        attempts: 3,
        pause: Duration::from_millis(5),
        ..Options::default()
    }
}

fn client(server: &LyingServer) -> Client {
    Client::new(&server.address.origin, options()).unwrap()
}

type Change = Box<dyn FnMut(usize, &mut Vec<u8>)>;

/// Bytes that are the same each time, unless told otherwise.
struct Bytes {
    bytes: Vec<u8>,
    opened: usize,
    /// Is called before each opening with how often it was opened.
    change: Change,
}

impl Bytes {
    fn new(len: usize) -> Self {
        let bytes = (0..len).map(|i| (i / 7 % 251) as u8).collect();
        Self {
            bytes,
            opened: 0,
            change: Box::new(|_, _| {}),
        }
    }
}

impl Source for Bytes {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
        (self.change)(self.opened, &mut self.bytes);
        self.opened += 1;
        Ok(Box::new(&self.bytes[..]))
    }
}
