//! Drops that a desk leaves itself: self-tests and team events. They are sealed and sent as a reporter's are, under a phrase that is thrown away, so that
//! the server cannot tell them from reports.

use std::io::{self, Read};

use anyhow::{Context as _, Result};
use rand_core::CryptoRng;
use sealdrop_client::{Client, OnFailure, Sent, Source};
use sealdrop_core::drop::{FileKey, Sealer};
use sealdrop_core::log::promise::Promise;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::{Kind, Report};
use sealdrop_core::roster::Roster;
use sealdrop_core::time::{Time, Window};

use crate::remote;

/// A report to every member of `roster`, with what `fill` puts into its form, and the drop that carries it.
pub(crate) fn seal(
    roster: &Roster,
    rng: &mut impl CryptoRng,
    fill: impl FnOnce(&mut Report) -> Result<()>,
) -> Result<(Report, Vec<u8>)> {
    let keys = Phrase::generate(rng).keys(roster.box_key());
    let mut report = Report::new(Kind::Report, roster, &keys, rng);
    fill(&mut report)?;
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    let file_key = FileKey::generate(rng);
    let sealer = Sealer::new(roster, &report, &keys.voice, &file_key, nonce)
        .context("a report cannot be sealed to this roster")?;
    let mut sealed = Vec::new();
    let none = |_| -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(io::empty())) };
    sealer
        .seal(none)
        .read_to_end(&mut sealed)
        .context("a report cannot be sealed")?;
    Ok((report, sealed))
}

/// Leaves a drop through the public door.
pub(crate) fn send(client: &Client, sealed: &[u8]) -> Result<Sent> {
    let mut source = Bytes(sealed);
    let sent = client.send(&mut source, None, OnFailure::Forget, &mut |_| {});
    sent.map_err(|failed| failed.error)
        .context("a report cannot be filed")
}

/// The window that the server promised, if it is a promise for what was sent.
pub(crate) fn promised(client: &Client, sent: &Sent, roster: &Roster, now: Time) -> Result<Window> {
    let promise = Promise::verify(&sent.promise, roster.log_key());
    let promise = promise.context("the server's promise is refused")?;
    promise
        .check(&sent.digest, sent.size, roster.window(now))
        .context("the server's promise is refused")
        .map_err(|error| remote::clock_first(client, now, error))?;
    Ok(promise.leaf().window)
}

struct Bytes<'a>(&'a [u8]);

impl Source for Bytes<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0))
    }
}
