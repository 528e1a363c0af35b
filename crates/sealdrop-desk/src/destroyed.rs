//! What destroyed identities leave behind: which they were, and which drops nothing here opens any more. docs/protocol.md, "Recipient epochs".

use std::collections::HashMap;

use anyhow::Result;
use sealdrop_client::{show, system};
use sealdrop_core::encoding::hex;
use sealdrop_core::recipient::Recipient;
use sealdrop_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::bodies;
use crate::home::{Home, Profile};
use crate::ledger::{Known, Ledger, Listed, known_drops};
use crate::rosters::Rosters;

const FILE: &str = "destroyed.json";

/// The identities that were destroyed here.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Destroyed {
    epochs: Vec<Gone>,
    /// By digest: when the identity that opened the drop was destroyed.
    #[serde(skip)]
    drops: HashMap<String, Time>,
}

#[derive(Serialize, Deserialize)]
struct Gone {
    /// `age1pq1…`
    recipient: String,
    /// When it was destroyed.
    on: u64,
    /// Digests of the drops that nothing else here opened.
    drops: Vec<String>,
}

impl Destroyed {
    /// What was destroyed. One that is still in the keyring is left out: its destruction was cut off before it came to that.
    pub(crate) fn load(home: &Home, profile: &Profile) -> Result<Self> {
        let mut destroyed: Self = home.read_json(FILE)?;
        let held: Vec<String> = profile.recipients.iter().map(ToString::to_string).collect();
        destroyed
            .epochs
            .retain(|gone| !held.contains(&gone.recipient));
        for gone in &destroyed.epochs {
            let drops = gone.drops.iter().map(|drop| (drop.clone(), Time(gone.on)));
            destroyed.drops.extend(drops);
        }
        Ok(destroyed)
    }

    /// Notes, durably, that identities are about to be destroyed, with the drops that nothing opens then.
    pub(crate) fn note(
        &mut self,
        home: &Home,
        recipients: &[Recipient],
        drops: &[Known],
    ) -> Result<()> {
        let mut drops: Vec<String> = drops.iter().map(|drop| hex(&drop.digest)).collect();
        for recipient in recipients {
            self.epochs.push(Gone {
                recipient: recipient.to_string(),
                on: system::now().0,
                drops: std::mem::take(&mut drops),
            });
        }
        home.write_json(FILE, self)
    }

    /// Takes drops off the list that a member gave again, durably.
    pub(crate) fn forget<'a>(
        &mut self,
        home: &Home,
        given: impl Iterator<Item = &'a Known>,
    ) -> Result<()> {
        let before = self.drops.len();
        for drop in given {
            self.drops.remove(&hex(&drop.digest));
        }
        if self.drops.len() == before {
            return Ok(());
        }
        let lost = &self.drops;
        for gone in &mut self.epochs {
            gone.drops.retain(|drop| lost.contains_key(drop));
        }
        home.write_json(FILE, self)
    }

    /// Why a drop cannot be read, if that is because its identity was destroyed.
    pub(crate) fn why(&self, drop: &Known) -> Option<String> {
        let on = self.drops.get(&hex(&drop.digest))?;
        Some(format!(
            "it was sealed to an identity that was destroyed here on {}",
            &show::time(*on)[..10]
        ))
    }

    /// Whether the drop was sealed to an identity that was destroyed.
    pub(crate) fn has(&self, drop: &Known) -> bool {
        self.drops.contains_key(&hex(&drop.digest))
    }

    /// The recipients of the identities that were destroyed.
    pub(crate) fn recipients(&self) -> impl Iterator<Item = Recipient> {
        let gone = self.epochs.iter();
        gone.filter_map(|gone| Recipient::parse(&gone.recipient).ok())
    }
}

/// Removes the bodies of drops that nothing here opens any more, once the log check needs them no longer: their windows have expired, and this machine has
/// cosigned the log beyond them, or never cosigns. Gives how many went.
pub(crate) fn sweep(home: &Home) -> Result<u64> {
    let profile = home.profile()?;
    let destroyed = Destroyed::load(home, &profile)?;
    if destroyed.drops.is_empty() {
        return Ok(0);
    }
    let rosters = Rosters::load(home, &profile.box_key)?;
    let Some(roster) = rosters.latest().map(|latest| latest.roster()) else {
        return Ok(0);
    };
    let ledgers = Ledger::load_all(home)?;
    let cosigned = ledgers.iter().find(|log| log.is_of(roster.log_key()));
    let cosigned = cosigned.and_then(Ledger::cosigned_window);
    let (length, retention, now) = (roster.window_length(), roster.retention(), system::now());
    let mut removed = 0;
    for drop in known_drops(home, &ledgers, &Listed::load(home)?) {
        let is_over = drop.windows().all(|window| {
            window.is_expired(length, retention, now)
                && (profile.device.is_none() || Some(window) <= cosigned)
        });
        if is_over && destroyed.has(&drop) && bodies::remove(home, &drop)? {
            removed += 1;
        }
    }
    Ok(removed)
}
