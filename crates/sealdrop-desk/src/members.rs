//! `member add|remove|list`. docs/protocol.md, "Roster".

use sealdrop_client::show;
use std::path::Path;

use anyhow::{Result, bail};
use sealdrop_core::roster::Roster;
use serde_json::json;

use crate::card::{Card, device_line, member_lines};
use crate::context::{Answer, Context};
use crate::home::Home;
use crate::publish;
use crate::rosters::{Pending, Rosters};

/// A new box has none, and a machine that never connects cannot ask.
const NO_ROSTER: &str = "no roster is known here yet: `sealdrop-desk publish` makes the first one of a box; on a machine that does not connect, `bundle in` brings the one in force";

/// Takes a card into the next roster.
pub(crate) fn add(context: &Context, home: &Home, path: &Path) -> Result<Answer> {
    let profile = home.profile()?;
    let card = Card::read(path)?;
    if card.box_key != profile.box_key {
        bail!(
            "{} is a card for another box ({}): ask for one made with `init --join` and your address",
            path.display(),
            card.box_key
        );
    }
    require_box_key(profile.holds_box_key)?;
    let rosters = publish::known_or_fetched(context, home, &profile)?;
    let mut pending = Pending::load(home)?;
    // A card given again, or a newer one for the same keys' places, takes the place of the one before.
    pending.add.retain(|before| before.names() != card.names());
    pending.add.push(card.clone());
    check(&rosters, &pending)?;
    pending.save(home)?;
    let mut lines = card.lines();
    lines.extend(replaced(&rosters, &card));
    let text = format!(
        "The next roster will have:\n{}\n\nCompare these fingerprints with their owner over another channel, then run `sealdrop-desk publish`.",
        lines
            .iter()
            .map(|line| format!("  {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    Ok(Answer::new(
        json!({ "card": card, "fingerprints": lines }),
        text,
    ))
}

/// Who loses keys by a card: a name that is there already gets the card's.
fn replaced(rosters: &Rosters, card: &Card) -> Vec<String> {
    let Some(roster) = rosters.latest().map(|latest| latest.roster()) else {
        return Vec::new();
    };
    let member = card.member.as_ref().and_then(|new| {
        let old = roster.members().iter().find(|old| old.name == new.name)?;
        let recipient = old.recipient.fingerprint();
        (old != new).then(|| format!("instead of {}'s recipient {recipient}", old.name))
    });
    let devices = card.devices.iter().filter_map(|new| {
        let old = roster
            .devices()
            .iter()
            .find(|old| old.name() == new.name())?;
        let access = old.access.key().fingerprint();
        (old != new).then(|| format!("instead of {}'s access key {access}", old.name()))
    });
    member.into_iter().chain(devices).collect()
}

/// Takes a member or a machine out of the next roster.
pub(crate) fn remove(context: &Context, home: &Home, name: &str) -> Result<Answer> {
    let profile = home.profile()?;
    require_box_key(profile.holds_box_key)?;
    let rosters = publish::known_or_fetched(context, home, &profile)?;
    let mut pending = Pending::load(home)?;
    let named = |card: &Card| {
        card.member.as_ref().is_some_and(|m| m.name == name)
            || card
                .devices
                .iter()
                .any(|d| d.name() == name || d.member() == name)
    };
    let was_pending = pending.add.iter().any(named);
    pending.add.retain(|card| !named(card));
    let is_there = rosters.latest().is_some_and(|latest| {
        let roster = latest.roster();
        roster.members().iter().any(|m| m.name == name)
            || roster.devices().iter().any(|d| d.name() == name)
    });
    if !is_there && !was_pending {
        bail!(
            "the roster has no member or machine called {}: `sealdrop-desk member list` shows them",
            show::line(name)
        );
    }
    if is_there && !pending.remove.iter().any(|n| n == name) {
        pending.remove.push(name.to_owned());
    }
    check(&rosters, &pending)?;
    pending.save(home)?;
    let text = format!(
        "The next roster will not have {name}: run `sealdrop-desk publish`.\nReports sealed before that stay readable with {name}'s keys; {name} can no longer fetch them."
    );
    Ok(Answer::new(json!({ "removed": name }), text))
}

/// The roster, and what the next one will change.
pub(crate) fn list(context: &Context, home: &Home) -> Result<Answer> {
    let profile = home.profile()?;
    let rosters = publish::known_or_fetched(context, home, &profile)?;
    let pending = Pending::load(home)?;
    let mut lines = Vec::new();
    let roster = rosters.latest().map(|latest| latest.roster());
    match roster {
        Some(roster) => {
            lines.push(format!(
                "roster {}, issued {}, good until {} UTC",
                roster.epoch(),
                show::time(roster.issued()),
                show::time(roster.expires())
            ));
            lines.extend(
                roster
                    .members()
                    .iter()
                    .flat_map(member_lines)
                    .map(|line| format!("  {line}")),
            );
            lines.extend(
                roster
                    .devices()
                    .iter()
                    .map(|device| format!("  {}", device_line(device))),
            );
        }
        None => lines.push(NO_ROSTER.into()),
    }
    if !pending.is_empty() {
        lines.push("the next `publish`:".into());
        lines.extend(
            pending
                .remove
                .iter()
                .map(|name| format!("  removes {name}")),
        );
        lines.extend(
            pending
                .add
                .iter()
                .flat_map(Card::lines)
                .map(|line| format!("  adds {line}")),
        );
    }
    let members = |roster: &Roster| {
        roster
            .members()
            .iter()
            .map(|m| json!({ "name": m.name, "role": m.role, "recipient": m.recipient.fingerprint(), "voice": m.voice.key().fingerprint() }))
            .collect::<Vec<_>>()
    };
    let devices = |roster: &Roster| {
        roster
            .devices()
            .iter()
            .map(|d| json!({ "name": d.name(), "access": d.access.key().fingerprint(), "witness": d.witness.key().fingerprint() }))
            .collect::<Vec<_>>()
    };
    let json = json!({
        "epoch": roster.map(Roster::epoch),
        "issued": roster.map(|r| r.issued().0),
        "expires": roster.map(|r| r.expires().0),
        "members": roster.map(members),
        "devices": roster.map(devices),
        "pending": pending,
    });
    Ok(Answer::new(json, lines.join("\n")))
}

fn require_box_key(holds_box_key: bool) -> Result<()> {
    if !holds_box_key {
        bail!(
            "only whoever holds the box key can change the roster, and it is not on this machine: give the card to them"
        );
    }
    Ok(())
}

/// Whether the next roster can be made, as far as that shows before it is signed.
fn check(rosters: &Rosters, pending: &Pending) -> Result<()> {
    let Some(latest) = rosters.latest() else {
        return Ok(());
    };
    let mut draft = latest.roster().draft().clone();
    pending.apply(&mut draft)?;
    if draft.members.is_empty() {
        bail!(
            "the box would have no members left: add whoever follows first, with `sealdrop-desk member add CARD`, then remove this one"
        );
    }
    let mut recipients: Vec<_> = draft
        .members
        .iter()
        .map(|m| m.recipient.fingerprint())
        .collect();
    recipients.sort();
    if recipients.windows(2).any(|pair| pair[0] == pair[1]) {
        bail!("two members would have the same recipient: each needs keys of their own");
    }
    Ok(())
}
