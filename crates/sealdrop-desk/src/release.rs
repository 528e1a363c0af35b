//! `release`: the drops of a window go before their time. docs/protocol.md, "Release".

use anyhow::{Result, bail};
use sealdrop_core::roster::Roster;
use sealdrop_core::time::{Time, Window};
use serde_json::json;

use crate::bodies;
use crate::context::{Answer, Context};
use crate::home::Home;
use crate::keyring::Keyring;
use crate::ledger::{Ledger, Listed, known_drops};
use crate::remote;
use crate::rosters::Rosters;

/// Asks the server to remove a window's bodies, if this machine holds them.
pub(crate) fn run(context: &Context, home: &Home, window: u64) -> Result<Answer> {
    let profile = home.profile()?;
    let address = profile.address()?;
    let window = Window(window);
    let ledgers = Ledger::load_all(home)?;
    let drops = known_drops(home, &ledgers, &Listed::load(home)?);
    let rosters = Rosters::load(home, &profile.box_key)?;
    let roster = rosters.expect_latest()?;
    check_window(window, roster, &ledgers, sealdrop_client::system::now())?;
    let of_window: Vec<_> = drops
        .iter()
        .filter(|drop| drop.windows().any(|of| of == window))
        .collect();
    if of_window.is_empty() {
        bail!("no drop came in window {window}: there is nothing to release");
    }
    if of_window.iter().any(|drop| !bodies::is_here(home, drop)) {
        bail!(
            "not every drop of window {window} is on this machine: run `sealdrop-desk sync` first"
        );
    }
    let keyring = Keyring::unlock(context, home)?;
    let device = keyring.device()?;
    let (access, _) = device.keys();
    let client = remote::client(context, &address.origin)?;
    client
        .member(&device.name, &access)
        .release(window)
        .map_err(|error| match error.status() {
            Some(409) => not_collected(window, roster),
            Some(401) => remote::unwelcome(&client, roster, sealdrop_client::system::now()),
            _ => error.into(),
        })?;
    let count = of_window.len();
    let text = format!(
        "the server has removed the {count} drops of window {window}; they are on this machine"
    );
    Ok(Answer::new(
        json!({ "window": window.0, "drops": count }),
        text,
    ))
}

/// The server would say no more than that it refuses.
fn check_window(window: Window, roster: &Roster, ledgers: &[Ledger], now: Time) -> Result<()> {
    let current = roster.window(now);
    if window >= current {
        bail!("window {window} is not over: the current one is {current}");
    }
    let ledger = ledgers.iter().find(|ledger| ledger.is_of(roster.log_key()));
    let last = ledger.and_then(Ledger::last_window);
    if last.is_none_or(|last| window > last) {
        bail!(
            "the log does not reach window {window} yet, as far as this machine knows: run `sealdrop-desk sync` first"
        );
    }
    // A server that runs logs something in every window.
    let mut leaves = ledgers.iter().flat_map(Ledger::leaves);
    if !leaves.any(|leaf| leaf.window == window) {
        bail!(
            "there is no window {window}: the log has no entry of it; `sealdrop-desk --json inbox` names the window of each case"
        );
    }
    if window.is_expired(roster.window_length(), roster.retention(), now) {
        bail!("window {window} has expired: the server has removed its drops already");
    }
    Ok(())
}

/// Who is still to cosign, as far as the roster tells.
fn not_collected(window: Window, roster: &Roster) -> anyhow::Error {
    let devices = roster.devices();
    let without: Vec<&str> = roster
        .members()
        .iter()
        .map(|member| member.name.as_str())
        .filter(|member| devices.iter().all(|device| device.member() != *member))
        .collect();
    if without.is_empty() {
        return anyhow::anyhow!(
            "the server keeps window {window}: not every member has cosigned it yet; ask them to run `sealdrop-desk sync`"
        );
    }
    anyhow::anyhow!(
        "the server keeps window {window}: every member must cosign it first, and {} has no machine in roster {} that could; one made with `init --join ADDRESS --device-only` can, and reads nothing",
        without.join(", "),
        roster.epoch()
    )
}
