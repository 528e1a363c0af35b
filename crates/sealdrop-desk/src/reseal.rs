//! `reseal`: gives every member what opens older cases, in team events. docs/protocol.md, "Team event".

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sealdrop_client::{Client, Record, VerifiedBox, show, system};
use sealdrop_core::address::Address;
use sealdrop_core::drop::{FileKey, shape};
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::recipient::Recipient;
use sealdrop_core::roster::Roster;
use sealdrop_core::team::{Grant, MAX_GRANTS, TeamEvent};
use serde_json::{Value, json};

use crate::bodies;
use crate::card::member_lines;
use crate::context::{Answer, Context};
use crate::home::{Home, Profile, check_free, new_file, unwritable};
use crate::inbox::{Desk, From, counted};
use crate::judge::Message;
use crate::keys::check_voice;
use crate::ledger::{Known, Listed};
use crate::rosters::Rosters;
use crate::team::{self, is_sealed_to_all};
use crate::{filing, remote};

/// Which cases, and how.
#[derive(clap::Args)]
pub(crate) struct Reseal {
    /// The numbers of the cases, from `inbox`
    #[arg(value_name = "CASE", required_unless_present = "all")]
    cases: Vec<u64>,
    /// Every case
    #[arg(long, conflicts_with = "cases")]
    all: bool,
    /// Give what every member can open already, too
    #[arg(long)]
    again: bool,
    /// Do not ask first
    #[arg(short, long)]
    yes: bool,
    /// Send nothing, and write the team event to FILE, and to FILE.box what it is sealed for: for `sealdrop post ADDRESS FILE` on a machine that connects
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    from: From,
}

/// What is to be given, and what is not.
#[derive(Default)]
struct Gift {
    grants: Vec<Grant>,
    lines: Vec<String>,
    cases: Vec<Value>,
    /// How many drops every member can open without it.
    needless: usize,
    /// Drops that do not open here: digest in hex, and why.
    not_given: Vec<(String, String)>,
}

pub(crate) fn run(context: &Context, home: &Home, args: &Reseal) -> Result<Answer> {
    let profile = home.profile()?;
    let client = match &args.out {
        Some(path) => {
            check_free(path)?;
            check_free(&record_path(path))?;
            None
        }
        None if profile.device.is_none() => bail!(
            "this machine does not connect: write the event to a file with -o FILE, and send that with `sealdrop post ADDRESS FILE` on one that does"
        ),
        None => Some(take_current(context, home, &profile)?),
    };
    let mut desk = Desk::open(context, home, &args.from)?;
    desk.require_identity()?;
    let voice = desk.take_voice().context(
        "the voice key is not on this machine, and nobody would believe an event without it: reseal where it is",
    )?;
    let inbox = desk.sort(context)?;
    let roster = desk.rosters().expect_latest()?.clone();
    check_voice(
        &roster,
        &profile.member,
        &voice,
        "no member would take anything from the event",
    )?;
    if system::now() >= roster.expires() {
        bail!(
            "roster {} expired on {}, and members may have gone since: take in a newer one, with `bundle in` or `sync`",
            roster.epoch(),
            show::time(roster.expires())
        );
    }

    let numbers: BTreeSet<u64> = match args.all {
        true => inbox.cases.keys().copied().collect(),
        false => args.cases.iter().copied().collect(),
    };
    let mut gift = Gift::default();
    for number in numbers {
        gift.add(&desk, number, desk.case(&inbox, number)?, &roster, args)?;
    }
    if gift.grants.is_empty() {
        return Ok(gift.answer(&roster, &[], None));
    }
    if args.out.is_some() && gift.grants.len() > MAX_GRANTS {
        bail!(
            "these are {} drops, and one event gives at most {MAX_GRANTS}: name fewer cases, and write one file after the other",
            gift.grants.len()
        );
    }
    context.remark(gift.question(&roster));
    context.confirm(home, "Give it to all of them?", args.yes)?;
    let latest = Rosters::load(home, &profile.box_key)?.seen();
    if latest != roster.seen() {
        bail!(
            "roster {} came while you were asked, and it may name other members: nothing was given; run this again",
            latest.epoch
        );
    }

    let mut events = Vec::new();
    for event in TeamEvent::several(std::mem::take(&mut gift.grants)) {
        let (_, sealed) = filing::seal(&roster, &mut system::rng(), |report| {
            team::mark(report, &event, &profile.member, &voice)
        })?;
        match (&client, &args.out) {
            (_, Some(path)) => {
                let the_box = desk.rosters().latest().context("a roster is known here")?;
                write(path, &sealed, &profile.address()?, the_box)?;
            }
            (Some(client), None) => events.push(post(client, home, &roster, &sealed)?),
            (None, None) => bail!("there is neither a server nor a file for the event"),
        }
    }
    Ok(gift.answer(&roster, &events, args.out.as_deref()))
}

/// Fetches the roster in force, so that nobody who has left is given anything, and nobody who has come is left out. It asks as a reporter does: this machine
/// does not say its name beside what it then sends.
fn take_current(context: &Context, home: &Home, profile: &Profile) -> Result<Client> {
    let client = remote::client(context, &profile.address()?.origin)?;
    let mut rosters = Rosters::load(home, &profile.box_key)?;
    let current = client
        .fetch_box(&profile.box_key, system::now(), rosters.seen())
        .context("the roster in force cannot be had, and the event must be sealed to it")?;
    remote::fetch_history(&client, &profile.box_key, home, &mut rosters, &current)?;
    rosters.add(home, current)?;
    Ok(client)
}

impl Gift {
    /// Adds a case's drops, by opening each whole.
    fn add(
        &mut self,
        desk: &Desk<'_>,
        number: u64,
        messages: &[Message],
        roster: &Roster,
        args: &Reseal,
    ) -> Result<()> {
        let members = roster.members().iter();
        let recipients: Vec<Recipient> = members.map(|m| m.recipient.clone()).collect();
        let (mut title, mut given) = (None, 0);
        for message in messages {
            let opens = is_sealed_to_all(message.epoch, &recipients, desk.rosters())
                || desk
                    .grants()
                    .reach(&message.drop, &recipients, desk.rosters());
            if opens && !args.again {
                self.needless += 1;
                continue;
            }
            match desk.whole(message) {
                Ok(whole) => {
                    title = title.or_else(|| whole.report.form.get("title").cloned());
                    self.grants.push(grant(&message.drop, whole.file_key));
                    given += 1;
                }
                Err(error) => {
                    let digest = hex(&message.drop.digest);
                    self.not_given.push((digest, format!("{error:#}")));
                }
            }
        }
        if given > 0 {
            let title = title.map_or("(no title)".into(), |title| show::line(&title));
            let drops = counted(given, "drop");
            self.lines.push(format!("{number:>4}  {title}  [{drops}]"));
            self.cases.push(json!({ "case": number, "drops": given }));
        }
        Ok(())
    }

    fn question(&self, roster: &Roster) -> String {
        let members = roster.members().iter();
        let members = members.flat_map(member_lines);
        let members: Vec<String> = members.map(|line| format!("  {line}")).collect();
        format!(
            "{}\nwill be readable to every member of roster {}, for as long as they keep what they get:\n{}",
            self.lines.join("\n"),
            roster.epoch(),
            members.join("\n")
        )
    }

    fn answer(&self, roster: &Roster, events: &[Known], out: Option<&Path>) -> Answer {
        let mut lines = Vec::new();
        let members: Vec<&str> = roster.members().iter().map(|m| m.name.as_str()).collect();
        match (self.lines.is_empty(), out) {
            (true, _) => lines.push("nothing was given".into()),
            (false, Some(path)) => lines.push(format!(
                "{}: a team event for {}; take it, and the file that ends in .box, to a machine that connects, and send it with `sealdrop post ADDRESS FILE`",
                path.display(),
                members.join(", ")
            )),
            (false, None) => lines.push(format!(
                "given to {}, in {}; their next `sync` fetches it, and `inbox` shows the cases",
                members.join(", "),
                counted(events.len(), "team event")
            )),
        }
        if self.needless > 0 {
            lines.push(format!(
                "{} left out: every member of roster {} can open it already (--again gives it all the same)",
                counted(self.needless, "drop"),
                roster.epoch()
            ));
        }
        let not_given = self.not_given.iter();
        lines.extend(not_given.map(|(digest, why)| format!("NOT GIVEN  drop {digest}: {why}")));
        let members = roster.members().iter();
        let members =
            members.map(|m| json!({ "name": m.name, "recipient": m.recipient.fingerprint() }));
        let events = events.iter().map(
            |event| json!({ "digest": hex(&event.digest), "size": event.size, "window": event.window.0 }),
        );
        let not_given = self.not_given.iter();
        let not_given = not_given.map(|(digest, why)| json!({ "digest": digest, "reason": why }));
        let json = json!({
            "epoch": roster.epoch(),
            "members": members.collect::<Vec<_>>(),
            "cases": self.cases,
            "left_out": self.needless,
            "not_given": not_given.collect::<Vec<_>>(),
            "events": events.collect::<Vec<_>>(),
            "file": out,
        });
        Answer {
            failed: !self.not_given.is_empty(),
            ..Answer::new(json, lines.join("\n"))
        }
    }
}

fn grant(drop: &Known, file_key: FileKey) -> Grant {
    Grant {
        digest: drop.digest,
        size: drop.size,
        window: drop.window,
        file_key,
    }
}

/// Sends an event and keeps it here, so that what it gives is known here too.
fn post(client: &Client, home: &Home, roster: &Roster, sealed: &[u8]) -> Result<Known> {
    let sent = filing::send(client, sealed)?;
    let drop = Known {
        digest: sent.digest,
        size: sent.size,
        window: filing::promised(client, &sent, roster, system::now())?,
        index: None,
        again: Vec::new(),
    };
    bodies::take(home, &drop, &mut &sealed[..])?;
    let mut listed = Listed::load(home)?;
    listed.add(&drop.digest, drop.size, drop.window);
    listed.save(home)?;
    Ok(drop)
}

/// Where `sealdrop post` looks for what a drop was sealed for.
fn record_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".box");
    name.into()
}

/// Writes an event, and beside it what it is sealed for: both or neither.
fn write(path: &Path, sealed: &[u8], address: &Address, the_box: &VerifiedBox) -> Result<()> {
    let members = the_box.roster().members().len();
    let record = Record {
        address: address.clone(),
        header: sha256(&sealed[..shape::header_len(members)]),
        digest: sha256(sealed),
        size: sealed.len() as u64,
        box_file: the_box.to_file(),
    };
    write_new(path, sealed)?;
    let written = write_new(&record_path(path), record.to_json().as_bytes());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = new_file(path).map_err(|error| unwritable(path, error))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        unwritable(path, error)
    })
}
