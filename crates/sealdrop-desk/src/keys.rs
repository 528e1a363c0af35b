//! `keys` and `address`: the public side of this machine.

use sealdrop_client::show;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use sealdrop_core::address::Address;
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::roster::Roster;
use serde_json::json;
use zeroize::Zeroizing;

use crate::card::Card;
use crate::context::{Answer, Context};
use crate::epochs::epochs;
use crate::home::{Home, Profile, check_free, new_file, write_whole};
use crate::keyring::Keyring;
use crate::ledger::Ledger;
use crate::rosters::Rosters;
use crate::text;

/// Fingerprints of the keys here, and whether the roster has them.
pub(crate) fn run(home: &Home, card_only: bool) -> Result<Answer> {
    let profile = home.profile()?;
    let card = Card::of(&profile);
    if card_only {
        return Ok(Answer::verbatim(
            json!(card),
            card.to_json().trim_end().to_owned(),
        ));
    }
    let rosters = Rosters::load(home, &profile.box_key)?;
    let roster = rosters.latest().map(|latest| latest.roster());
    let now = sealdrop_client::system::now();
    let mut lines = vec![format!(
        "box        {}{}",
        profile.box_key,
        if profile.holds_box_key {
            "  (its key is here)"
        } else {
            ""
        }
    )];
    let epochs = epochs(&profile.recipients, &rosters, &Ledger::load_all(home)?);
    let stands = roster.map_or(Standing::Named, |roster| recipient(roster, &profile));
    for (position, epoch) in epochs.iter().enumerate() {
        let state = match roster {
            None => "no roster known yet".into(),
            Some(roster) if position == 0 && stands == Standing::NotNamed => not_named(roster),
            Some(_) => epoch.line(now),
        };
        lines.push(format!(
            "recipient  {}  {} ({}), {state}",
            epoch.recipient.fingerprint(),
            profile.member,
            profile.role
        ));
    }
    if let Some(voice) = &profile.voice {
        let state = named(roster, |r| r.members().iter().any(|m| m.voice == *voice));
        lines.push(format!(
            "voice      {}  {}, {state}",
            voice.key().fingerprint(),
            voice.name()
        ));
    }
    if let Some((access, witness)) = &profile.device {
        let state = named(roster, |r| {
            r.devices()
                .iter()
                .any(|d| d.access == *access && d.witness == *witness)
        });
        lines.push(format!(
            "access     {}  {}, {state}",
            access.key().fingerprint(),
            access.name()
        ));
        lines.push(format!(
            "witness    {}  {}, {state}",
            witness.key().fingerprint(),
            witness.name()
        ));
    }
    match roster {
        Some(roster) if now >= roster.expires() => lines.push(format!(
            "\nroster {} EXPIRED on {} UTC: publish a new one on the machine with the box key",
            roster.epoch(),
            show::time(roster.expires())
        )),
        Some(roster) => lines.push(format!(
            "\nroster {} expires {}, on {} UTC",
            roster.epoch(),
            text::in_days(now, roster.expires()),
            show::time(roster.expires())
        )),
        None => lines.push("\nno roster is known here yet".into()),
    }
    let json = json!({
        "box": profile.box_key.to_string(),
        "holds_box_key": profile.holds_box_key,
        "member": profile.member,
        "recipients": profile.recipients.iter().map(|r| r.fingerprint()).collect::<Vec<_>>(),
        "epochs": epochs.iter().map(|epoch| epoch.to_json(now)).collect::<Vec<_>>(),
        "voice": profile.voice.as_ref().map(|v| v.key().fingerprint()),
        "access": profile.device.as_ref().map(|(a, _)| a.key().fingerprint()),
        "witness": profile.device.as_ref().map(|(_, w)| w.key().fingerprint()),
        "in_roster": roster.map(|roster| is_named(roster, &profile)),
        "epoch": roster.map(Roster::epoch),
        "expires": roster.map(|r| r.expires().0),
        "card": card,
    });
    Ok(Answer::new(json, lines.join("\n")))
}

/// The identities as the stock `age` reads them, in a file of their own: drops open without Sealdrop.
pub(crate) fn export_identity(context: &Context, home: &Home, out: &Path) -> Result<Answer> {
    let keyring = Keyring::unlock(context, home)?;
    if keyring.identities.is_empty() {
        bail!(
            "there is no identity on this machine: it was made with --device-only; export it where the identity is"
        );
    }
    let mut text = Zeroizing::new(String::new());
    for identity in &keyring.identities {
        let (line, public) = (identity.to_age(), identity.to_public());
        // Room for all of it first: a string that grows leaves its former bytes behind.
        let head = format!("# {} of {}\n", public.fingerprint(), keyring.box_key);
        let mut longer = String::with_capacity(text.len() + head.len() + line.len() + 1);
        longer.extend([&text, head.as_str(), &line, "\n"]);
        text = Zeroizing::new(longer);
    }
    let mut file = new_file(out).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::anyhow!(
            "{} exists already: choose another name with -o",
            out.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot write {}", out.display())),
    })?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = std::fs::remove_file(out);
        return Err(error).with_context(|| format!("cannot write {}", out.display()));
    }
    let drops = home.path("drops/WINDOW/DIGEST.age");
    let count = keyring.identities.len();
    let warning = format!(
        "{} holds your identity, and no passphrase protects it: whoever reads this file can open every report that was ever sealed to you. Keep it off disks that are copied or synced, and delete it when you are done.",
        out.display()
    );
    // The commands are to be copied.
    let said = format!(
        "{}\n\nOpen a drop (Go's age 1.3 or later; `open N --json` names window and digest):\n\n  age -d -i {out} -o report.tar {drops}\n  tar xf report.tar",
        text::fit(&warning, &io::stdout()),
        out = out.display(),
        drops = drops.display()
    );
    Ok(Answer::verbatim(
        json!({ "file": out, "identities": count }),
        said,
    ))
}

/// What a roster says of a member's identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It names the newest, or there is none here.
    Named,
    /// It names an older one: the newest waits for the next roster.
    Waits,
    /// It names none of them.
    NotNamed,
}

/// Which of the identities here the roster names for their member.
pub(crate) fn recipient(roster: &Roster, profile: &Profile) -> Standing {
    let mut members = roster.members().iter();
    let member = members.find(|member| member.name == profile.member);
    let named = member.map(|member| &member.recipient);
    match profile.recipients.split_first() {
        None => Standing::Named,
        Some((newest, _)) if named == Some(newest) => Standing::Named,
        Some((_, older)) if named.is_some_and(|named| older.contains(named)) => Standing::Waits,
        Some(_) => Standing::NotNamed,
    }
}

/// Whether the roster has the keys that are here. A new recipient that waits for the next roster is no fault.
pub(crate) fn is_named(roster: &Roster, profile: &Profile) -> bool {
    let recipient = recipient(roster, profile) != Standing::NotNamed;
    let voice = profile
        .voice
        .as_ref()
        .is_none_or(|voice| roster.members().iter().any(|m| m.voice == *voice));
    let device = profile.device.as_ref().is_none_or(|(access, witness)| {
        roster
            .devices()
            .iter()
            .any(|d| d.access == *access && d.witness == *witness)
    });
    recipient && voice && device
}

/// That the roster names the member with this voice key; `so` says what comes of it if not.
pub(crate) fn check_voice(
    roster: &Roster,
    name: &str,
    voice: &SecretKey<VoiceRole>,
    so: &str,
) -> Result<()> {
    match roster.members().iter().find(|m| m.name == *name) {
        Some(member) if *member.voice.key() == voice.to_public() => Ok(()),
        Some(_) => bail!(
            "roster {} names another voice key for {name} than the one here, so {so}: give the card from `sealdrop-desk keys --card` to whoever holds the box key",
            roster.epoch()
        ),
        None => bail!("roster {} does not name {name}, so {so}", roster.epoch()),
    }
}

fn named(roster: Option<&Roster>, has: impl FnOnce(&Roster) -> bool) -> String {
    match roster {
        None => "no roster known yet".into(),
        Some(roster) if has(roster) => format!("in roster {}", roster.epoch()),
        Some(roster) => not_named(roster),
    }
}

fn not_named(roster: &Roster) -> String {
    format!(
        "NOT in roster {}: give the card (`keys --card`) to whoever holds the box key",
        roster.epoch()
    )
}

/// The drop address, and a code of it.
pub(crate) fn address(home: &Home, svg_file: Option<&Path>) -> Result<Answer> {
    let drop_address = home.profile()?.address()?;
    let address = drop_address.to_string();
    if let Some(path) = svg_file {
        check_free(path)?;
        write_whole(path, svg(&drop_address)?.as_bytes())?;
        return Ok(Answer::new(
            json!({ "address": address, "svg": path }),
            format!("{address}\n\n{}", path.display()),
        ));
    }
    let code = code(&drop_address)?;
    let picture = code.render::<unicode::Dense1x2>().build();
    let picture = if std::io::stdout().is_terminal() {
        // Black on white whatever the terminal's colours are: not every camera reads the reverse.
        picture
            .lines()
            .map(|line| format!("\x1b[30;107m{line}\x1b[0m\n"))
            .collect()
    } else {
        picture
    };
    Ok(Answer::new(
        json!({ "address": address }),
        format!("{address}\n\n{picture}"),
    ))
}

/// The code of a drop address as a picture.
pub(crate) fn svg(address: &Address) -> Result<String> {
    let code = code(address)?;
    let mut picture = code.render::<svg::Color<'_>>();
    Ok(picture.min_dimensions(256, 256).build())
}

fn code(address: &Address) -> Result<QrCode> {
    QrCode::with_error_correction_level(address.to_string(), EcLevel::M)
        .context("the address is too long for a code")
}
