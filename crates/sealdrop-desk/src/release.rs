//! `release`: the drops of a window go before their time. docs/protocol.md, "Release".

use anyhow::{Result, bail};
use sealdrop_core::time::Window;
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
    let of_window: Vec<_> = drops
        .iter()
        .filter(|drop| drop.windows().any(|of| of == window))
        .collect();
    if of_window.iter().any(|drop| !bodies::is_here(home, drop)) {
        bail!(
            "not every drop of window {window} is on this machine: run `sealdrop-desk sync` first"
        );
    }
    let rosters = Rosters::load(home, &profile.box_key)?;
    let roster = rosters.expect_latest()?;
    if window >= roster.window(sealdrop_client::system::now()) {
        bail!(
            "window {window} is not over: the current one is {}",
            roster.window(sealdrop_client::system::now())
        );
    }
    let keyring = Keyring::unlock(context, home)?;
    let device = keyring.device()?;
    let (access, _) = device.keys();
    let client = remote::client(context, &address.origin)?;
    client.member(&device.name, &access).release(window).map_err(|error| match error.status() {
        Some(409) => anyhow::anyhow!("the server keeps window {window}: not every member has cosigned it yet; ask them to run `sealdrop-desk sync`"),
        Some(401) => remote::unwelcome(roster, sealdrop_client::system::now()),
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
