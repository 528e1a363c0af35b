//! The server, as the desk reaches it.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use sealdrop_client::show;
use sealdrop_client::{BoxFile, Client, ClientError, Options, Proxy, Roots, VerifiedBox};
use sealdrop_core::address::Origin;
use sealdrop_core::key::BoxKey;
use sealdrop_core::request::MAX_SKEW;
use sealdrop_core::roster::{MAX_AHEAD, Roster, RosterError, Seen};
use sealdrop_core::time::Time;

use crate::context::{Context, Usage};
use crate::rosters::Rosters;

/// How to reach servers, from the command line.
pub(crate) fn options(context: &Context) -> Result<Options> {
    let mut options = match &context.proxy {
        None => Options::default(),
        Some(text) => Options::through(
            Proxy::parse(text).map_err(|error| Usage(format!("--proxy: {error}")))?,
        ),
    };
    options.cancelled = Arc::clone(&context.cancelled);
    if let Some(path) = &context.roots {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        options.roots =
            Roots::from_pem(&pem).map_err(|error| Usage(format!("{}: {error}", path.display())))?;
    }
    Ok(options)
}

/// A client of the box's server.
pub(crate) fn client(context: &Context, origin: &Origin) -> Result<Client> {
    Ok(Client::new(origin, options(context)?)?)
}

/// Refuses to date anything when this machine and the server differ by more than a day: a roster dated in the future is one that nobody takes.
pub(crate) fn check_clock(client: &Client, now: Time) -> Result<()> {
    compare_clocks(client, now, MAX_AHEAD).map(drop)
}

/// The server's time, if it says one; refused if it differs from this machine's by more than so many seconds.
pub(crate) fn compare_clocks(client: &Client, now: Time, most: u64) -> Result<Option<Time>> {
    let Ok(Some(there)) = client.server_time() else {
        return Ok(None);
    };
    if now.0.abs_diff(there.0) > most {
        bail!(
            "this machine's clock says {} and the server's {}: set the one that is wrong, then run this again",
            show::minute(now),
            show::minute(there)
        );
    }
    Ok(Some(there))
}

/// An error that a wrong clock may be the cause of: if the clocks differ by more than the server lets a request differ, that is said first.
pub(crate) fn clock_first(client: &Client, now: Time, error: anyhow::Error) -> anyhow::Error {
    match compare_clocks(client, now, MAX_SKEW) {
        Ok(_) => error,
        Err(differ) => error.context(format!("{differ:#}")),
    }
}

/// A roster fetched by a member, who must be able to collect drops even when it has expired.
pub(crate) struct Current {
    /// The roster and policy.
    pub(crate) roster: VerifiedBox,
    /// Nobody seals to it any more.
    pub(crate) has_expired: bool,
}

/// Verifies what `GET /v1/box` gave, by every check of docs/protocol.md, "Roster"; only expiry is reported instead of refused.
pub(crate) fn verify(
    file: BoxFile,
    box_key: &BoxKey,
    origin: &Origin,
    now: Time,
    seen: Seen,
) -> Result<Current> {
    match file.clone().verify(box_key, Some(origin), now, seen) {
        Ok(roster) => Ok(Current {
            roster,
            has_expired: false,
        }),
        Err(ClientError::Roster(RosterError::Expired)) => {
            let old = Roster::verify_ignoring_expiry(&file.roster, box_key)?;
            let before = Time(old.expires().0.saturating_sub(1));
            let roster = file
                .verify(box_key, Some(origin), before, seen)
                .map_err(refused)?;
            Ok(Current {
                roster,
                has_expired: true,
            })
        }
        Err(error) => Err(refused(error)),
    }
}

fn refused(error: ClientError) -> anyhow::Error {
    let next = match &error {
        ClientError::Roster(RosterError::Rollback) => {
            "the server shows an old roster, perhaps from a restored backup: publish a new one from the machine with the box key"
        }
        ClientError::Roster(RosterError::TwoOfOneEpoch) => {
            "someone else holds the box key, or two copies of it were used: publish a new roster, and find out which"
        }
        ClientError::Roster(RosterError::AnotherOrigin) => {
            "publish a roster that names this address, with `publish --origin …`"
        }
        ClientError::Roster(RosterError::NotSigned | RosterError::AnotherBox) => {
            "this server serves another box than yours; check the address"
        }
        ClientError::Roster(RosterError::NotYetIssued) => {
            "it is dated more than a day after this machine's clock: set the clock, or, if it is right, tell whoever holds the box key"
        }
        ClientError::Roster(_) => "tell whoever holds the box key",
        _ => return error.into(),
    };
    anyhow::anyhow!("the server's roster is refused: {error}; {next}")
}

/// Why the server answers 401 to a machine that `roster`, the newest one here, names, and what to do about it.
pub(crate) fn unwelcome(client: &Client, roster: &Roster, now: Time) -> anyhow::Error {
    // A roster that has expired by a wrong clock needs no new one.
    if let Err(differ) = compare_clocks(client, now, MAX_SKEW) {
        return differ.context("the server refuses this machine's requests");
    }
    let (epoch, here) = (roster.epoch(), show::minute(now));
    let why = if now < roster.issued() {
        format!(
            "this machine's clock says {here}, which is before roster {epoch} was issued ({}): set it",
            show::minute(roster.issued())
        )
    } else if now >= roster.expires() {
        format!(
            "roster {epoch} expired on {}: `sealdrop-desk publish`, on the machine with the box key, renews it",
            show::minute(roster.expires())
        )
    } else {
        format!(
            "it may have another roster than {epoch}, which `sealdrop-desk keys` shows, or another time than this machine ({here}), by more than two minutes"
        )
    };
    anyhow::anyhow!("the server refuses this machine's requests: {why}")
}

/// Takes over the rosters that the server has between the newest one known and `current`: old drops were sealed to them.
pub(crate) fn fetch_history(
    client: &Client,
    box_key: &BoxKey,
    home: &crate::home::Home,
    rosters: &mut Rosters,
    current: &VerifiedBox,
) -> Result<()> {
    /// Epochs may leap; nobody publishes this many in one life of a box.
    const MOST: u64 = 10_000;
    let newest = current.roster().epoch();
    let first = (rosters.seen().epoch + 1).max(newest.saturating_sub(MOST));
    for epoch in first..newest {
        match client.fetch_box_at(epoch) {
            Ok(file) => {
                let old = file.verify_ignoring_expiry(box_key).map_err(refused)?;
                if old.roster().epoch() != epoch {
                    bail!(
                        "the server shows another roster than that of epoch {epoch}: tell its operator"
                    );
                }
                rosters.add(home, old)?;
            }
            Err(ClientError::Status { status: 404, .. }) => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot fetch the roster of epoch {epoch}"));
            }
        }
    }
    Ok(())
}
