//! The rosters that this desk has seen, and the one that it will sign next. docs/protocol.md, "Roster".

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail};
use sealdrop_client::{BoxFile, VerifiedBox};
use sealdrop_core::key::BoxKey;
use sealdrop_core::roster::{Draft, Roster, Seen};
use serde::{Deserialize, Serialize};

use crate::card::{Card, device_line, member_lines};
use crate::home::Home;

const PENDING: &str = "pending.json";
const OUTGOING: &str = "outgoing.json";
const USED: &str = "used.json";

/// Every roster seen, by epoch. Each was verified when it was loaded.
#[derive(Default)]
pub(crate) struct Rosters(BTreeMap<u64, VerifiedBox>);

impl Rosters {
    /// Loads what is kept in `home`.
    pub(crate) fn load(home: &Home, box_key: &BoxKey) -> Result<Self> {
        let mut rosters = BTreeMap::new();
        let folder = home.path("rosters");
        let Ok(entries) = fs::read_dir(&folder) else {
            return Ok(Self::default());
        };
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot read {}", folder.display()))?
                .path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let damaged = || format!("{} is damaged: restore it from a backup", path.display());
            let roster = BoxFile::parse(&bytes)
                .with_context(damaged)?
                .verify_ignoring_expiry(box_key)
                .with_context(damaged)?;
            rosters.insert(roster.roster().epoch(), roster);
        }
        Ok(Self(rosters))
    }

    /// The newest.
    pub(crate) fn latest(&self) -> Option<&VerifiedBox> {
        self.0.values().next_back()
    }

    /// The newest, or the sentence that says how to get one.
    pub(crate) fn expect_latest(&self) -> Result<&Roster> {
        let latest = self.latest().map(VerifiedBox::roster);
        latest.context("no roster of this box is known here: run `sealdrop-desk sync`, or `publish` on the machine with the box key")
    }

    /// What to refuse older ones by.
    pub(crate) fn seen(&self) -> Seen {
        self.latest()
            .map(|latest| latest.roster().seen())
            .unwrap_or_default()
    }

    /// The roster of an epoch.
    pub(crate) fn get(&self, epoch: u64) -> Option<&Roster> {
        self.0.get(&epoch).map(VerifiedBox::roster)
    }

    /// Whether a roster with this digest is known.
    pub(crate) fn has_digest(&self, digest: &[u8; 32]) -> bool {
        self.0
            .values()
            .any(|known| known.roster().digest() == *digest)
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &VerifiedBox> {
        self.0.values()
    }

    /// Keeps a roster, durably. One that is there already is not replaced: two of an epoch are a fraud or a mistake.
    pub(crate) fn add(&mut self, home: &Home, roster: VerifiedBox) -> Result<()> {
        let epoch = roster.roster().epoch();
        match self.get(epoch) {
            Some(known) if known.digest() == roster.roster().digest() => return Ok(()),
            Some(_) => bail!(
                "there are two different rosters of epoch {epoch}, both signed by the box key: find out who holds a copy of it, then publish a new roster"
            ),
            None => {}
        }
        home.write(
            format!("rosters/{epoch}.json"),
            roster.to_file().to_json().as_bytes(),
        )?;
        self.0.insert(epoch, roster);
        Ok(())
    }
}

/// What the next roster changes, until it is published.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// Members and devices that come, or change their keys.
    pub(crate) add: Vec<Card>,
    /// Names of members and devices that go.
    pub(crate) remove: Vec<String>,
}

impl Pending {
    pub(crate) fn load(home: &Home) -> Result<Self> {
        home.read_json(PENDING)
    }

    pub(crate) fn save(&self, home: &Home) -> Result<()> {
        if self.is_empty() {
            home.remove(PENDING)
        } else {
            home.write_json(PENDING, self)
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// Makes the changes. Removing comes first, so that someone can be replaced.
    pub(crate) fn apply(&self, draft: &mut Draft) -> Result<()> {
        for name in &self.remove {
            draft.members.retain(|m| m.name != *name);
            draft
                .devices
                .retain(|d| d.name() != name && d.member() != name);
        }
        self.add.iter().try_for_each(|card| card.apply(draft))
    }
}

/// The roster that is signed and waits to be taken to the server.
pub(crate) fn outgoing(home: &Home, box_key: &BoxKey) -> Result<Option<VerifiedBox>> {
    let Some(bytes) = home.read(OUTGOING)? else {
        return Ok(None);
    };
    let damaged = || {
        format!(
            "{} is damaged: delete it and sign the roster again",
            home.path(OUTGOING).display()
        )
    };
    let roster = BoxFile::parse(&bytes)
        .with_context(damaged)?
        .verify_ignoring_expiry(box_key)
        .with_context(damaged)?;
    Ok(Some(roster))
}

/// Keeps a signed roster until the server has it.
pub(crate) fn set_outgoing(home: &Home, roster: Option<&VerifiedBox>) -> Result<()> {
    match roster {
        Some(roster) => home.write(OUTGOING, roster.to_file().to_json().as_bytes()),
        None => home.remove(OUTGOING),
    }
}

/// Gives up the roster that waits. Its epoch stays used: a server that was shown it could keep it, and a second one of that epoch would look like fraud.
pub(crate) fn give_up_outgoing(home: &Home, epoch: u64) -> Result<()> {
    home.write_json(USED, &epoch.max(used_epoch(home)?))?;
    set_outgoing(home, None)
}

/// The highest epoch that was signed here and given up; 0 if none was.
pub(crate) fn used_epoch(home: &Home) -> Result<u64> {
    home.read_json(USED)
}

/// What a new roster changes, one line each; fingerprints let people check it. Its dates are no change.
pub(crate) fn differences(old: Option<&Roster>, new: &Roster) -> Vec<String> {
    let (old_members, old_devices) =
        old.map_or((&[][..], &[][..]), |old| (old.members(), old.devices()));
    let mut lines = Vec::new();
    for member in new.members().iter().filter(|m| !old_members.contains(m)) {
        let was = old_members.iter().any(|m| m.name == member.name);
        let verb = if was { "changed" } else { "added" };
        lines.extend(member_lines(member).map(|line| format!("{verb}: {}", line.trim_start())));
    }
    for member in old_members
        .iter()
        .filter(|m| !new.members().iter().any(|n| n.name == m.name))
    {
        lines.push(format!(
            "removed: {} ({})  recipient {}",
            member.name,
            member.role,
            member.recipient.fingerprint()
        ));
    }
    for device in new.devices().iter().filter(|d| !old_devices.contains(d)) {
        lines.push(format!("added: {}", device_line(device)));
    }
    for device in old_devices
        .iter()
        .filter(|d| !new.devices().iter().any(|n| n.name() == d.name()))
    {
        lines.push(format!("removed: {}", device_line(device)));
    }
    lines.extend(old.into_iter().flat_map(|old| terms(old, new)));
    lines
}

/// What it changes about the box itself.
fn terms(old: &Roster, new: &Roster) -> Vec<String> {
    let mut lines = Vec::new();
    let (was, is) = (old.origins(), new.origins());
    let added = is.iter().filter(|origin| !was.contains(origin));
    lines.extend(added.map(|origin| format!("added: origin {origin}")));
    let removed = was.iter().filter(|origin| !is.contains(origin));
    lines.extend(removed.map(|origin| format!("removed: origin {origin}")));
    if let (Some(was), Some(is)) = (was.first(), is.first())
        && was != is
        && new.origins().contains(was)
    {
        lines.push(format!("changed: the first origin is {is}, not {was}"));
    }
    let (was, is) = (old.draft(), new.draft());
    if was.retention != is.retention {
        lines.push(format!(
            "changed: drops are kept for {} seconds, not {}",
            is.retention, was.retention
        ));
    }
    if was.max_drop != is.max_drop {
        lines.push(format!(
            "changed: the largest drop has {} bytes, not {}",
            is.max_drop, was.max_drop
        ));
    }
    if was.policy != is.policy {
        lines.push("changed: the policy".into());
    }
    if was.log != is.log {
        lines.push(format!(
            "changed: the log key is {}, not {}",
            is.log.key().fingerprint(),
            was.log.key().fingerprint()
        ));
    }
    lines
}
