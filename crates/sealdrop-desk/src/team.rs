//! Team events: drops in which a member gives the others what opens older ones. docs/protocol.md, "Team event".
//!
//! What they give is nowhere on the disk but in the events themselves, which are sealed to the members' identities as every drop is.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::{Context as _, Result};
use sealdrop_core::drop::FileKey;
use sealdrop_core::encoding::hex;
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::note::Note;
use sealdrop_core::recipient::Recipient;
use sealdrop_core::report::Report;
use sealdrop_core::roster::Roster;
use sealdrop_core::team::{Carrier, Grant, TeamEvent};
use sealdrop_core::time::Window;
use serde_json::{Value, json};

use crate::home::Home;
use crate::inbox::{counted, drop_line};
use crate::judge::{Inbox, Message, Opener, Verdict};
use crate::ledger::{Known, Ledger};
use crate::meant::in_force;
use crate::rosters::Rosters;
use crate::selftest::only_field;

/// The field of the form that holds the note.
const FIELD: &str = "team-event";
/// All that a reader of another program is told.
const TITLE: &str = "Team event by sealdrop-desk; not a report";

/// Makes a report a team event of `member`.
pub(crate) fn mark(
    report: &mut Report,
    event: &TeamEvent,
    member: &str,
    key: &SecretKey<VoiceRole>,
) -> Result<()> {
    let note = event.sign(Carrier::from(&*report), member, key);
    let note = note.context("these grants do not make an event")?;
    report.form.insert("title".into(), TITLE.into());
    report.form.insert(FIELD.into(), note.to_string());
    Ok(())
}

/// The event in a report and the member who made it, if a member of `roster`, the one it is sealed to, signed it.
///
/// A report with anything more in it than an event has is none, so that nothing can be hidden behind one.
pub(crate) fn made_by(report: &Report, roster: &Roster) -> Option<(String, TeamEvent)> {
    let note = Note::parse(only_field(report, TITLE, FIELD)?.as_bytes()).ok()?;
    roster.members().iter().find_map(|member| {
        let event = TeamEvent::verify(&note, &member.voice, Carrier::from(report)).ok()?;
        Some((member.name.clone(), event))
    })
}

/// The team events among the drops of these verdicts, in the order of the log, and what they give.
///
/// One in a conversation that has another message is none, and neither is one that only opened because a member gave its file key: that would be a word on
/// somebody else's word. An event may be in this folder while a bundle is being read.
pub(crate) fn read<'v>(
    home: &Home,
    opener: &Opener<'_>,
    ledgers: &[Ledger],
    drops: &[Known],
    verdicts: impl Iterator<Item = (&'v Known, &'v Verdict)> + Clone,
) -> (Grants, Vec<Event>) {
    let mut messages: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (_, verdict) in verdicts.clone() {
        if let Verdict::Opened {
            conversation,
            message,
            ..
        } = verdict
        {
            messages.entry(conversation).or_default().insert(message);
        }
    }
    let at_home = Opener {
        bodies: home,
        ..*opener
    };
    let known: HashMap<_, _> = drops.iter().map(|drop| (drop.digest, drop)).collect();
    let (mut grants, mut events, mut seen) = (Grants::default(), Vec::new(), HashSet::new());
    for (drop, verdict) in verdicts {
        let Verdict::Opened {
            conversation,
            epoch,
            team_event: Some(member),
            resealed: false,
            ..
        } = verdict
        else {
            continue;
        };
        let is_alone = messages.get(&**conversation).is_some_and(|m| m.len() == 1);
        if !is_alone || !seen.insert(conversation) {
            continue;
        }
        let report = match opener.report(drop) {
            Ok(Some(report)) => Some(report),
            _ => at_home.report(drop).ok().flatten(),
        };
        let roster = opener.rosters.get(*epoch);
        let event = report
            .zip(roster)
            .and_then(|(report, roster)| Some((made_by(&report, roster)?, roster)));
        events.push(match event {
            Some((made, roster)) => {
                let then = (opener.rosters, ledgers);
                grants.take(drop, made, roster, &known, then)
            }
            None => Event::unread(drop, member),
        });
    }
    (grants, events)
}

/// What members gave, by the digest of the drop that it opens.
#[derive(Default)]
pub(crate) struct Grants(HashMap<[u8; 32], Vec<Given>>);

/// One grant that counts.
pub(crate) struct Given {
    /// The member who gave it.
    pub(crate) by: String,
    /// The event that it stood in.
    pub(crate) event: [u8; 32],
    pub(crate) file_key: FileKey,
    /// The epoch of the roster that the event is sealed to.
    epoch: u64,
}

/// An event, and what became of it here.
pub(crate) struct Event {
    /// The drop that carries it.
    pub(crate) drop: Known,
    pub(crate) member: String,
    /// The drops that it gives: digest in hex, size, and the window.
    pub(crate) gives: Vec<(String, u64, Window)>,
    /// Why nothing of it counts.
    pub(crate) refused: Option<String>,
    /// Grants that are ignored: the drop's digest in hex, and why.
    pub(crate) ignored: Vec<(String, String)>,
}

impl Event {
    /// One that was read before, and is not here any more or does not open.
    fn unread(drop: &Known, member: &str) -> Self {
        Self {
            drop: drop.clone(),
            member: member.to_owned(),
            gives: Vec::new(),
            refused: Some("it cannot be read here any more, so nothing is taken from it".into()),
            ignored: Vec::new(),
        }
    }
}

impl Grants {
    /// What opens `drop`, in the order of the log.
    pub(crate) fn of(&self, drop: &Known) -> &[Given] {
        self.0.get(&drop.digest).map_or(&[], Vec::as_slice)
    }

    /// Whether an event gives `drop` that each of these opens.
    pub(crate) fn reach(&self, drop: &Known, recipients: &[Recipient], rosters: &Rosters) -> bool {
        let mut given = self.of(drop).iter();
        given.any(|given| is_sealed_to_all(given.epoch, recipients, rosters))
    }

    /// Takes from an event what counts: it was sealed to an identity here, whoever signed it was a member when it came, and it gives drops that are
    /// known, with their size and window. Whether the keys are right shows when they are tried.
    fn take(
        &mut self,
        drop: &Known,
        (member, event): (String, TeamEvent),
        sealed_to: &Roster,
        known: &HashMap<[u8; 32], &Known>,
        (rosters, ledgers): (&Rosters, &[Ledger]),
    ) -> Event {
        let gives = |grant: &Grant| (hex(&grant.digest), grant.size, grant.window);
        let mut made = Event {
            drop: drop.clone(),
            gives: event.grants.iter().map(gives).collect(),
            refused: None,
            ignored: Vec::new(),
            member,
        };
        if !was_member(&made.member, drop, sealed_to, rosters, ledgers) {
            made.refused = Some(format!(
                "{} was no member when it came, so nothing is taken from it",
                made.member
            ));
            return made;
        }
        for grant in event.grants {
            let why = match known.get(&grant.digest) {
                None => "no such drop is known here",
                Some(known) if known.size != grant.size => "the drop has another size",
                Some(known) if known.windows().all(|window| window != grant.window) => {
                    "the drop is of another window"
                }
                Some(_) => {
                    self.0.entry(grant.digest).or_default().push(Given {
                        by: made.member.clone(),
                        event: drop.digest,
                        file_key: grant.file_key,
                        epoch: sealed_to.epoch(),
                    });
                    continue;
                }
            };
            made.ignored.push((hex(&grant.digest), why.to_owned()));
        }
        made
    }
}

/// What `inbox` says of team events: how many there are, what of them does not count, and which of the drops that they give are not here.
pub(crate) fn lines(inbox: &Inbox, grants: &Grants, window: u64, all: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if !inbox.events.is_empty() {
        let hint = if all { ":" } else { " (--all lists them)" };
        lines.push(format!(
            "\n{}, in which members gave each other what opens older drops{hint}",
            counted(inbox.events.len(), "team event")
        ));
    }
    for event in &inbox.events {
        if all || event.refused.is_some() || !event.ignored.is_empty() {
            let given = counted(event.gives.len(), "drop");
            lines.push(format!(
                "{}  {} gave {given}{}",
                drop_line(&event.drop, window),
                event.member,
                cases_of(event, inbox)
            ));
        }
        lines.extend(event.refused.iter().map(|why| format!("      {why}")));
        let ignored = event.ignored.iter();
        lines.extend(ignored.map(|(digest, why)| {
            format!("      nothing is taken for drop {}: {why}", &digest[..16])
        }));
    }
    if !inbox.missing_resealed.is_empty() {
        let missing = &inbox.missing_resealed;
        let given = missing.iter().flat_map(|drop| grants.of(drop));
        let by: BTreeSet<&str> = given.map(|given| given.by.as_str()).collect();
        let windows: BTreeSet<u64> = missing.iter().map(|drop| drop.window.0).collect();
        let windows: Vec<String> = windows.iter().map(u64::to_string).collect();
        lines.push(format!(
            "\n{} resealed to you and not here, of {} {}: run `sealdrop-desk sync`; what the server has no more, {} can give you with `sealdrop-desk bundle out --all FILE`, for `bundle in FILE` here",
            counted(missing.len(), "drop"),
            if windows.len() == 1 { "window" } else { "windows" },
            windows.join(", "),
            by.into_iter().collect::<Vec<_>>().join(" or ")
        ));
    }
    lines
}

/// Of which cases the drops are that an event gives, as far as they open here.
fn cases_of(event: &Event, inbox: &Inbox) -> String {
    let gives: HashSet<&str> = event.gives.iter().map(|(digest, ..)| &**digest).collect();
    let has_one = |messages: &[Message]| {
        let mut messages = messages.iter();
        messages.any(|message| gives.contains(&*hex(&message.drop.digest)))
    };
    let cases = inbox.cases.iter().filter(|(_, of)| has_one(of));
    let numbers: Vec<String> = cases.map(|(number, _)| number.to_string()).collect();
    match numbers.len() {
        0 => String::new(),
        1 => format!(", of case {}", numbers[0]),
        _ => format!(", of cases {}", numbers.join(", ")),
    }
}

/// The same for programs.
pub(crate) fn to_json(events: &[Event]) -> Vec<Value> {
    let event = |event: &Event| {
        let gives = event.gives.iter().map(
            |(digest, size, window)| json!({ "digest": digest, "size": size, "window": window.0 }),
        );
        let ignored = event.ignored.iter();
        let ignored = ignored.map(|(digest, why)| json!({ "digest": digest, "reason": why }));
        json!({
            "digest": hex(&event.drop.digest),
            "window": event.drop.window.0,
            "index": event.drop.index,
            "member": event.member,
            "gives": gives.collect::<Vec<_>>(),
            "refused": event.refused,
            "ignored": ignored.collect::<Vec<_>>(),
        })
    };
    events.iter().map(event).collect()
}

/// Whether what is sealed to the roster of `epoch` opens for each of these.
pub(crate) fn is_sealed_to_all(epoch: u64, recipients: &[Recipient], rosters: &Rosters) -> bool {
    rosters.get(epoch).is_some_and(|roster| {
        let members = roster.members();
        let mut recipients = recipients.iter();
        recipients.all(|recipient| members.iter().any(|m| m.recipient == *recipient))
    })
}

/// Whether the roster that was in force when `drop` came names the member of `sealed_to` with the same voice key, or is no newer. While the log does not
/// say when it came, the newest roster known here counts.
fn was_member(
    member: &str,
    drop: &Known,
    sealed_to: &Roster,
    rosters: &Rosters,
    ledgers: &[Ledger],
) -> bool {
    let voice = |roster: &Roster| {
        let mut members = roster.members().iter();
        let found = members.find(|m| m.name == member);
        found.map(|m| m.voice.clone())
    };
    let then = in_force(drop, rosters, ledgers)
        .and_then(|rosters| rosters.into_iter().max_by_key(|roster| roster.epoch()))
        .or_else(|| rosters.latest().map(|latest| latest.roster()));
    then.is_some_and(|then| then.epoch() <= sealed_to.epoch() || voice(then) == voice(sealed_to))
}
