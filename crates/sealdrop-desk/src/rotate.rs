//! `rotate`: a new recipient epoch. docs/protocol.md, "Recipient epochs".

use anyhow::{Result, bail};
use sealdrop_core::recipient::IdentitySeed;
use serde_json::json;

use crate::card::Card;
use crate::context::{Answer, Context};
use crate::home::{Home, Profile};
use crate::keyring::{Keyring, Unlocked};
use crate::publish::{self, Publish};
use crate::rosters::{Pending, Rosters};

/// How the next roster gets it.
#[derive(clap::Args)]
pub(crate) struct Rotate {
    /// Where the box key is: leave the new recipient to the next `publish`, and publish nothing now
    #[arg(long)]
    no_publish: bool,
}

/// Where the new recipient is on its way into a roster.
enum Way {
    /// This roster names it already.
    Published(u64),
    /// It goes into what the next `publish` changes.
    Prepared {
        /// Why it was not published at once.
        why: String,
        /// Whether that was tried.
        failed: bool,
    },
    /// Its card goes to whoever holds the box key.
    Card,
}

/// Makes a fresh identity, in front of those that are there. They stay, and open what was sealed to them.
pub(crate) fn run(context: &Context, home: &Home, args: &Rotate) -> Result<Answer> {
    let mut unlocked = Keyring::unlock_to_change(context, home)?;
    let keyring = &mut unlocked.keyring;
    if keyring.identities.is_empty() {
        bail!(
            "there is no identity on this machine, so there is nothing to rotate: it was made with --device-only; run `sealdrop-desk rotate` on the machine that opens reports"
        );
    }
    let identity = IdentitySeed::generate(&mut sealdrop_client::system::rng());
    let fingerprint = identity.to_public().fingerprint();
    keyring.identities.insert(0, identity);
    let recovery = unlocked.save(home)?;
    let profile = home.profile()?;
    let card = Card::of(&profile);
    let way = way(context, home, args, &unlocked, &profile)?;
    let kept = profile.recipients.len() - 1;
    let mut lines = vec![format!(
        "your new recipient is {fingerprint}; {} kept, and {} what was sealed to {}",
        match kept {
            1 => "the one before is".to_owned(),
            _ => format!("the {kept} before are"),
        },
        if kept == 1 { "opens" } else { "open" },
        if kept == 1 { "it" } else { "them" },
    )];
    if let Some(path) = &recovery {
        lines.push(format!(
            "{} has it too, under the same code as before: put this file in the place of every copy that you keep elsewhere",
            path.display()
        ));
    } else {
        lines.push(
            "There is no recovery file: if this machine is lost, so is this identity.".into(),
        );
    }
    let mut failed = false;
    let (published, waits) = match way {
        Way::Published(epoch) => {
            lines.push(format!(
                "Roster {epoch} names it: new reports are sealed to it from now on."
            ));
            (Some(epoch), false)
        }
        Way::Prepared { why, failed: tried } => {
            failed = tried;
            lines.push(format!(
                "The next `sealdrop-desk publish` names it; {why}. Until then everything works as before."
            ));
            (None, true)
        }
        Way::Card => {
            lines.push(format!(
                "\nNext: give this member card (`keys --card` prints it again) to whoever holds the box key, who runs `sealdrop-desk member add CARD` and `publish`. Until then everything works as before.\n\n{}",
                card.to_json()
            ));
            (None, true)
        }
    };
    let json = json!({
        "recipient": fingerprint,
        "before": profile.recipients[1..].iter().map(|r| r.fingerprint()).collect::<Vec<_>>(),
        "published": published,
        "waits": waits,
        "recovery": recovery,
        "card": card,
    });
    Ok(Answer {
        failed,
        ..Answer::new(json, lines.join("\n"))
    })
}

fn way(
    context: &Context,
    home: &Home,
    args: &Rotate,
    unlocked: &Unlocked,
    profile: &Profile,
) -> Result<Way> {
    if unlocked.keyring.box_secret.is_none() {
        return Ok(Way::Card);
    }
    let prepared = |why: &str| Way::Prepared {
        why: why.into(),
        failed: false,
    };
    let rosters = Rosters::load(home, &profile.box_key)?;
    let Some(latest) = rosters.latest() else {
        return Ok(prepared("the box has no roster yet"));
    };
    let mut pending = Pending::load(home)?;
    let mut members = latest.roster().members().iter();
    let is_member = members.any(|member| member.name == profile.member);
    if !is_member || pending.remove.contains(&profile.member) {
        // Whoever holds the box key need not be a member. Nobody becomes or stays one by rotating.
        return Ok(Way::Card);
    }
    let own = Card {
        devices: Vec::new(),
        ..Card::of(profile)
    };
    pending.add.retain(|card| card.names() != own.names());
    let others_wait = !pending.is_empty();
    pending.add.push(own);
    pending.save(home)?;
    if args.no_publish {
        return Ok(prepared("nothing was published, as you asked"));
    }
    if others_wait {
        return Ok(prepared(
            "it was not published now, because it would take along what else waits (`member list`)",
        ));
    }
    if unlocked.keyring.device.is_none() {
        return Ok(prepared(
            "this machine does not connect, so run it with `--out FILE`",
        ));
    }
    let published = publish::next(context, home, &Publish::unchanged(), &unlocked.keyring);
    Ok(match published {
        Ok(epoch) => Way::Published(epoch),
        Err(error) => Way::Prepared {
            why: format!("it could not be published now: {error:#}"),
            failed: true,
        },
    })
}
