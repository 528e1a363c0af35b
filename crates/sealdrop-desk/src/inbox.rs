//! `inbox`, `open` and `attachments`: what reporters wrote.

use sealdrop_client::show;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Result, bail};
use sealdrop_core::encoding::hex;
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::recipient::Recipient;
use sealdrop_core::report::{Kind, Report};
use sealdrop_open::{Identity, NoAttachments, Quarantine};
use serde_json::{Value, json};

use crate::answer::{forecast_json, show_sent, waiting_line};
use crate::bodies::{self, Bodies};
use crate::bundle::Bundle;
use crate::context::{Answer, Context, heading, usage};
use crate::destroyed::Destroyed;
use crate::home::{Home, Profile, new_file, unwritable};
use crate::judge::{Inbox, Message, Opener, Sink, Verdicts, Whole, sort};
use crate::keyring::Keyring;
use crate::ledger::{Known, Ledger, Listed, known_drops};
use crate::meant::{Meant, meant};
use crate::outbox::Outbox;
use crate::rosters::Rosters;
use crate::sent::{Answers, Opened, Sent, by_conversation};
use crate::team::{self, Grants};
use crate::text;

/// Where the drops come from.
#[derive(clap::Args)]
pub(crate) struct From {
    /// Read drops from a bundle that `bundle out` made, instead of from this machine
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
}

impl From {
    /// This machine's own drops.
    pub(crate) fn here() -> Self {
        Self { bundle: None }
    }
}

/// Everything that opening drops needs, for the length of a command.
pub(crate) struct Desk<'a> {
    home: &'a Home,
    profile: Profile,
    rosters: Rosters,
    ledgers: Vec<Ledger>,
    identities: Vec<Identity>,
    voice: Option<SecretKey<VoiceRole>>,
    drops: Vec<Known>,
    /// Drops that a bundle does not carry.
    elsewhere: HashSet<[u8; 32]>,
    bodies: Box<dyn Bodies + 'a>,
    verdicts: Verdicts,
    destroyed: Destroyed,
    /// What members gave, once the drops are sorted.
    grants: Grants,
    is_bundle: bool,
}

/// What a part of the identities here can read.
pub(crate) struct Readable {
    /// Digests of the drops that it opens.
    pub(crate) staying: HashSet<[u8; 32]>,
    /// The drops that only the rest opens.
    pub(crate) lost: Vec<Known>,
    /// How many are not here, and may come yet.
    pub(crate) elsewhere: usize,
}

impl<'a> Desk<'a> {
    pub(crate) fn open(context: &Context, home: &'a Home, from: &From) -> Result<Self> {
        let profile = home.profile()?;
        // Only a machine with an identity needs its keyring to read: one without shows what others have found.
        let (identities, voice) = if profile.recipients.is_empty() {
            (Vec::new(), None)
        } else {
            let keyring = Keyring::unlock(context, home)?;
            (keyring.identities(), keyring.voice)
        };
        Self::with_keys(home, from, identities, voice)
    }

    /// The same with the keys of a keyring that is open already.
    pub(crate) fn with_keys(
        home: &'a Home,
        from: &From,
        identities: Vec<Identity>,
        voice: Option<SecretKey<VoiceRole>>,
    ) -> Result<Self> {
        let profile = home.profile()?;
        let bundle = from
            .bundle
            .as_ref()
            .map(|path| Bundle::open(path, &profile.box_key))
            .transpose()?;
        if let Some(bundle) = &bundle {
            bundle.import_public(home, sealdrop_client::system::now())?;
        }
        let is_bundle = bundle.is_some();
        let ledgers = Ledger::load_all(home)?;
        let all = known_drops(home, &ledgers, &Listed::load(home)?);
        let (mut drops, mut elsewhere) = (all, HashSet::new());
        let bodies: Box<dyn Bodies + 'a> = match bundle {
            Some(bundle) => {
                let carried = bundle.drops_in_order(&drops);
                elsewhere = drops.iter().map(|drop| drop.digest).collect();
                for drop in carried {
                    if !elsewhere.remove(&drop.digest) {
                        drops.push(drop);
                    }
                }
                Box::new(bundle)
            }
            None => Box::new(BorrowedHome(home)),
        };
        let rosters = Rosters::load(home, &profile.box_key)?;
        Ok(Self {
            home,
            rosters,
            ledgers,
            identities,
            voice,
            drops,
            elsewhere,
            bodies,
            verdicts: Verdicts::load(home)?,
            destroyed: Destroyed::load(home, &profile)?,
            grants: Grants::default(),
            is_bundle,
            profile,
        })
    }

    fn opener(&self) -> Opener<'_> {
        Opener {
            box_key: &self.profile.box_key,
            rosters: &self.rosters,
            identities: &self.identities,
            grants: &self.grants,
            bodies: &*self.bodies,
        }
    }

    /// Sorts all drops, and keeps what was found.
    pub(crate) fn sort(&mut self, context: &Context) -> Result<Inbox> {
        let mut verdicts = std::mem::take(&mut self.verdicts);
        let inbox = sort(
            self.home,
            &self.opener(),
            &self.ledgers,
            &mut verdicts,
            &self.drops,
            |drop| self.elsewhere.contains(&drop.digest),
            |drop| {
                if context.is_chatty() && drop.size > 64 << 20 {
                    context.remark(format_args!(
                        "opening a drop of {}…",
                        show::bytes(drop.size)
                    ));
                }
            },
        );
        // What was judged before something failed is kept all the same.
        verdicts.save(self.home)?;
        self.verdicts = verdicts;
        let mut inbox = inbox?;
        self.grants = std::mem::take(&mut inbox.grants);
        // What was given again is not lost, and its ciphertext is needed.
        let grants = &self.grants;
        let is_given = |drop: &Known| !grants.of(drop).is_empty();
        let given = self.drops.iter().filter(|drop| is_given(drop));
        self.destroyed.forget(self.home, given)?;
        self.set_apart(&mut inbox);
        Ok(inbox)
    }

    /// What does not open here and was not meant to is no attack.
    fn set_apart(&self, inbox: &mut Inbox) {
        let not_ours = Quarantine::NotAddressedToYou.to_string();
        let ours: Vec<Recipient> = self
            .identities
            .iter()
            .map(|identity| identity.to_public().clone())
            // What was sealed to one that was destroyed was meant for this member all the same.
            .chain(self.destroyed.recipients())
            .collect();
        let mut rest = Vec::new();
        for (drop, mut reason) in std::mem::take(&mut inbox.quarantine) {
            if reason == not_ours {
                match meant(&drop, &ours, &self.rosters, &self.ledgers) {
                    Meant::ForOthers => {
                        inbox.for_others.push(drop);
                        continue;
                    }
                    Meant::PerhapsForOthers { epoch } => {
                        reason.push_str(&format!(
                            ", and perhaps never meant for you: it may be sealed to roster {epoch}, which does not name you; ask a member whether it opens"
                        ));
                    }
                    Meant::ForUs => {}
                }
            }
            rest.push((drop, reason));
        }
        inbox.quarantine = rest;
        for drop in std::mem::take(&mut inbox.missing) {
            let is_expired = self.has_expired(&drop);
            if self.is_bundle && bodies::is_here(self.home, &drop) {
                // It is no loss that the bundle does not carry it too.
            } else if !self.grants.of(&drop).is_empty() {
                inbox.missing_resealed.push(drop);
            } else if meant(&drop, &ours, &self.rosters, &self.ledgers) == Meant::ForOthers {
                inbox.for_others.push(drop);
            } else if is_expired {
                inbox.expired.push(drop);
            } else {
                inbox.missing.push(drop);
            }
        }
    }

    /// Whether all windows of a drop have expired.
    fn has_expired(&self, drop: &Known) -> bool {
        let roster = self.rosters.latest().map(|latest| latest.roster());
        let now = sealdrop_client::system::now();
        roster.is_some_and(|roster| {
            let (length, retention) = (roster.window_length(), roster.retention());
            let mut windows = drop.windows();
            windows.all(|window| window.is_expired(length, retention, now))
        })
    }

    /// Whether no `sync` on this machine could tell why a drop is not here. Then the log says which there must be, and nobody else does: a bundle is not
    /// signed, and what carries it can take drops out.
    fn is_carried(&self) -> bool {
        self.is_bundle || self.profile.device.is_none()
    }

    /// The key that signs answers, once.
    pub(crate) fn take_voice(&mut self) -> Option<SecretKey<VoiceRole>> {
        self.voice.take()
    }

    /// The member's own recipient, the one of now.
    pub(crate) fn own_recipient(&self) -> Option<Recipient> {
        let first = self.identities.first()?;
        Some(first.to_public().clone())
    }

    /// The identities, the newest first.
    pub(crate) fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The number of a conversation's case.
    pub(crate) fn case_number(&self, conversation: &str) -> Option<u64> {
        self.verdicts.cases.get(conversation).copied()
    }

    /// Which drops stay readable when only `staying` of the identities do, and which do not.
    ///
    /// What a member gave counts, if one of `staying` opens the team event that it stands in.
    pub(crate) fn readable(&self, staying: &[Identity]) -> Result<Readable> {
        let mut readable = Readable {
            staying: HashSet::new(),
            lost: Vec::new(),
            elsewhere: 0,
        };
        let nothing = Grants::default();
        let later = Opener {
            identities: staying,
            grants: &nothing,
            ..self.opener()
        };
        let judged = self.drops.iter().filter_map(|drop| {
            let verdict = self.verdicts.drops.get(&hex(&drop.digest))?;
            Some((drop, verdict))
        });
        let (grants, _) = team::read(self.home, &later, &self.ledgers, &self.drops, judged);
        let later = Opener {
            grants: &grants,
            ..later
        };
        let now = self.opener();
        for drop in &self.drops {
            if later.is_readable(drop)? {
                readable.staying.insert(drop.digest);
            } else if now.is_readable(drop)? {
                readable.lost.push(drop.clone());
            } else if !bodies::is_here(self.home, drop) && !self.destroyed.has(drop) {
                // A machine that connects can get no more of a window that has expired.
                readable.elsewhere += usize::from(self.is_carried() || !self.has_expired(drop));
            }
        }
        Ok(readable)
    }

    /// Whether nothing here opens any message of a case, because the identities were destroyed.
    fn is_destroyed(&self, messages: &[Message]) -> Result<bool> {
        let opener = self.opener();
        for message in messages {
            if !self.destroyed.has(&message.drop) || opener.is_readable(&message.drop)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What members gave that counts, once the drops are sorted.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The rosters known here.
    pub(crate) fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    /// What this member said in the case, oldest first, with what could be opened of it.
    pub(crate) fn answers(
        &self,
        answers: &Answers,
        number: u64,
    ) -> Result<Vec<(Sent, Option<Opened>)>> {
        let mut cases = self.verdicts.cases.iter();
        let conversation = cases.find(|(_, case)| **case == number);
        let sent = conversation.and_then(|(conversation, _)| answers.get(conversation));
        sent.into_iter()
            .flatten()
            .map(|sent| {
                let opened = sent.open(self.home, &self.identities, &self.rosters)?;
                Ok((sent.clone(), opened))
            })
            .collect()
    }

    pub(crate) fn require_identity(&self) -> Result<()> {
        if self.identities.is_empty() {
            bail!(
                "there is no identity on this machine: run `bundle out FILE` here, and `open --bundle FILE` on the machine that has one"
            );
        }
        Ok(())
    }

    pub(crate) fn case<'i>(&self, inbox: &'i Inbox, number: u64) -> Result<&'i [Message]> {
        match inbox.cases.get(&number) {
            Some(messages) => Ok(messages),
            None => bail!(
                "there is no case {number} here: `sealdrop-desk inbox` shows the ones there are"
            ),
        }
    }

    /// The report of a message, as [`Desk::whole`] opens it.
    pub(crate) fn report(&self, message: &Message) -> Result<Report> {
        Ok(self.whole(message)?.report)
    }

    /// A message, with its hash and its signature verified again: a verdict is about a digest, and a file may have changed since.
    pub(crate) fn whole(&self, message: &Message) -> Result<Whole> {
        let digest = hex(&message.drop.digest);
        let opened = self
            .opener()
            .open_whole(&message.drop, &mut NoAttachments)?;
        match (opened, self.destroyed.why(&message.drop)) {
            (Some(Ok(whole)), _) => Ok(whole),
            (_, Some(why)) => {
                bail!("nobody can read drop {digest} here any more: {why}; ask another member")
            }
            (Some(Err(reason)), None) => bail!(
                "drop {digest} was good before, and now: {reason}; delete its file and {}",
                self.how_to_get()
            ),
            (None, None) => bail!(
                "drop {digest} is not on this machine: {}, or name the bundle that holds it with --bundle",
                self.how_to_get()
            ),
        }
    }

    /// The report of a message for the list. From this machine's own disk the beginning of the file will do; a bundle was in other hands.
    fn title_page(&self, message: &Message) -> Result<Report> {
        if self.is_bundle {
            return self.report(message);
        }
        if let Some(why) = self.destroyed.why(&message.drop)
            && !self.opener().is_readable(&message.drop)?
        {
            bail!("cannot be read any more: {why}");
        }
        match self.opener().report(&message.drop)? {
            Some(report) if hex(&report.message) == message.id => Ok(report),
            Some(_) => bail!(
                "changed on this disk: delete {} and {}",
                hex(&message.drop.digest),
                self.how_to_get()
            ),
            None => bail!("not on this machine: {}", self.how_to_get()),
        }
    }

    /// How drops that are known here and not here come: a machine without device keys cannot fetch them.
    fn how_to_get(&self) -> &'static str {
        match self.profile.device {
            Some(_) => "run `sealdrop-desk sync`, which fetches what is missing or names it",
            None => {
                "run `sealdrop-desk bundle out --all FILE` on the machine that connects, and `bundle in FILE` here"
            }
        }
    }

    /// If no drop opens, the keys here are probably the wrong ones, which is to be said plainly.
    fn wrong_key_hint(&self, inbox: &Inbox) -> Option<String> {
        let not_ours = inbox
            .quarantine
            .iter()
            .filter(|(_, reason)| *reason == Quarantine::NotAddressedToYou.to_string())
            .count();
        if not_ours == 0 || !inbox.cases.is_empty() {
            return None;
        }
        let held: Vec<String> = self
            .identities
            .iter()
            .map(|identity| identity.to_public().fingerprint())
            .collect();
        Some(format!(
            "{not_ours} drops are not addressed to you: {}",
            self.expected_key(&held)
        ))
    }

    fn expected_key(&self, held: &[String]) -> String {
        let latest = self.rosters.latest().map(|latest| latest.roster());
        let expected = latest.and_then(|roster| {
            roster
                .members()
                .iter()
                .find(|m| m.name == self.profile.member)
                .map(|m| (roster.epoch(), m))
        });
        let held = held.join(", ");
        match expected {
            Some((epoch, member)) if held.contains(&member.recipient.fingerprint()) => format!(
                "this machine holds {held}, which roster {epoch} names; they were sealed before it did, and then a member who has them can give them to you with `sealdrop-desk reseal`, or to someone else"
            ),
            Some((epoch, member)) => format!(
                "roster {epoch} expects {} for {}, and this machine holds {held}; give the card from `sealdrop-desk keys --card` to whoever holds the box key, or restore the old keys with `sealdrop-desk init --restore RECOVERY`",
                member.recipient.fingerprint(),
                member.name
            ),
            None => format!(
                "no roster here names {}, and this machine holds {held}; give the card from `sealdrop-desk keys --card` to whoever holds the box key",
                self.profile.member
            ),
        }
    }
}

/// A [`Home`] that someone else owns, as a source of bodies.
struct BorrowedHome<'a>(&'a Home);

impl Bodies for BorrowedHome<'_> {
    fn open(&self, drop: &Known) -> Result<Option<Box<dyn io::Read>>> {
        Bodies::open(self.0, drop)
    }
}

/// `inbox`: one line for each case.
pub(crate) fn list(
    context: &Context,
    home: &Home,
    all: bool,
    again: bool,
    from: &From,
) -> Result<Answer> {
    let mut desk = Desk::open(context, home, from)?;
    if again {
        desk.require_identity()?;
        let drops = desk.drops.iter();
        let here = drops.filter(|drop| !desk.elsewhere.contains(&drop.digest));
        desk.verdicts.forget_failures(here);
    }
    let inbox = desk.sort(context)?;
    let window = desk
        .rosters
        .latest()
        .map_or(1, |latest| latest.roster().window_length());
    let (mut lines, mut cases) = (Vec::new(), Vec::new());
    let (sent, mut destroyed) = (by_conversation(home)?, 0);
    for (number, messages) in &inbox.cases {
        let Some(first) = messages.first() else {
            continue;
        };
        if desk.is_destroyed(messages)? {
            destroyed += 1;
            if !all {
                continue;
            }
        }
        let withdrawn = messages
            .iter()
            .any(|message| message.kind == Kind::Withdraw);
        let resealed = messages.iter().any(|message| message.resealed);
        let has_report = has_report(messages);
        // One drop that cannot be shown, for whatever reason, must not hide the others.
        let report = (!desk.identities.is_empty()).then(|| desk.title_page(first));
        let title = report.as_ref().map(|report| match report {
            Ok(report) => title_of(report),
            Err(error) => format!("({error:#})"),
        });
        let report = report.and_then(Result::ok);
        let answers = desk.answers(&sent, *number)?;
        let said = answers.iter().rev().filter_map(|(_, said)| said.as_ref());
        let state = said.filter_map(|opened| opened.said.state.clone()).next();
        let since = first.drop.window.start(window);
        cases.push(json!({
            "case": number,
            "title": report.as_ref().and_then(|report| report.form.get("title")),
            "messages": messages.len(),
            "window": first.drop.window.0,
            "logged": messages.iter().all(|message| message.drop.index.is_some()),
            "withdrawn": withdrawn,
            "has_report": has_report,
            "resealed": resealed,
            "answers": answers.len(),
            "state": state,
        }));
        let mut notes = vec![format!(
            "{} {}",
            messages.len(),
            if messages.len() == 1 {
                "message"
            } else {
                "messages"
            }
        )];
        if !answers.is_empty() {
            notes.push(counted(answers.len(), "answer"));
        }
        notes.extend(state);
        if withdrawn {
            notes.push("withdrawn".into());
        }
        if !has_report {
            notes.push("the report itself is not here".into());
        }
        if resealed {
            notes.push("resealed to you".into());
        }
        if messages.iter().any(|message| message.drop.index.is_none()) {
            notes.push("not yet in the log".into());
        }
        let title = title.unwrap_or_else(|| "(no identity here to read it)".into());
        lines.push(format!(
            "{number:>4}  {}  {}  [{}]",
            show::time(since),
            heading(&title),
            notes.join(", ")
        ));
    }
    if lines.is_empty() {
        lines.push("The inbox is empty.".into());
    }
    for (drop, reason) in &inbox.quarantine {
        if lines.last().is_none_or(|line| !line.starts_with("   -")) {
            lines.push(format!(
                "\n{} in quarantine, kept and not shown:",
                inbox.quarantine.len()
            ));
        }
        lines.push(format!(
            "{}  {}",
            drop_line(drop, window),
            show::line(reason)
        ));
    }
    lines.extend(desk.wrong_key_hint(&inbox).map(|hint| format!("\n{hint}")));
    if !inbox.self_tests.is_empty() {
        lines.push(format!(
            "\n{} by `doctor`{}",
            counted(inbox.self_tests.len(), "self-test"),
            if all {
                ", with the machine that signed each:"
            } else {
                " (--all lists them)"
            }
        ));
    }
    for (drop, machine) in inbox.self_tests.iter().filter(|_| all) {
        lines.push(format!("{}  {machine}", drop_line(drop, window)));
    }
    lines.extend(team::lines(&inbox, &desk.grants, window, all));
    if !inbox.for_others.is_empty() {
        let hint = if all { ":" } else { " (--all lists them)" };
        lines.push(format!(
            "\n{} from before you joined, or after you left: no roster named your keys when they came, so they are not sealed to you; a member who has them can give them to you with `sealdrop-desk reseal`{hint}",
            counted(inbox.for_others.len(), "report")
        ));
    }
    for drop in inbox.for_others.iter().filter(|_| all) {
        lines.push(drop_line(drop, window));
    }
    if destroyed > 0 && !all {
        lines.push(format!(
            "\n{} that nothing opens any more, because the identity was destroyed here (--all lists them)",
            counted(destroyed, "case")
        ));
    }
    let mut rest = |count: u64, what: &str| {
        if count > 0 {
            lines.push(format!("\n{count} {what}"));
        }
    };
    let missing = format!("known from the log and not here: {}", desk.how_to_get());
    rest(
        if desk.is_carried() {
            0
        } else {
            inbox.missing.len() as u64
        },
        &missing,
    );
    rest(
        inbox.expired.len() as u64,
        "known from the log and never here: their windows have expired; a member who has them can carry them here with `sealdrop-desk bundle out --all`",
    );
    rest(
        inbox.unopened,
        "not opened: there is no identity here; carry them to the machine that has one with `sealdrop-desk bundle out`",
    );
    if desk.is_carried()
        && let Some(last) = desk.ledgers.last().and_then(Ledger::last_window)
    {
        // Whoever carries bundles can keep back the newest; only the user can tell that it is time for one.
        lines.push(format!(
            "\nThe log that came here ends {}.",
            show::time(last.end(window))
        ));
    }
    let is_short = desk.is_carried() && !inbox.missing.is_empty();
    if is_short {
        lines.push(format!(
            "\nNOT HERE: {} in the log, and neither {} nor ever opened on this machine:",
            counted(inbox.missing.len(), "drop"),
            if desk.is_bundle {
                "in this bundle"
            } else {
                "in this folder"
            }
        ));
        lines.extend(inbox.missing.iter().map(|drop| drop_line(drop, window)));
        lines.push("Somebody may have taken them out on the way. On the machine that connects: `sealdrop-desk sync`, then `bundle out --all`.".into());
    }
    let latest = desk.rosters.latest().map(|latest| latest.roster());
    let forecast = match latest {
        Some(roster) => Some(Outbox::load(home)?.forecast(roster, sealdrop_client::system::now())),
        None => None,
    };
    if let Some(forecast) = forecast.filter(|forecast| forecast.waiting > 0) {
        lines.push(format!("\n{}", waiting_line(&forecast, &desk.profile)));
    }
    let quarantine: Vec<Value> = inbox
        .quarantine
        .iter()
        .map(|(drop, reason)| json!({ "digest": hex(&drop.digest), "size": drop.size, "window": drop.window.0, "index": drop.index, "reason": reason }))
        .collect();
    let self_tests: Vec<Value> = inbox
        .self_tests
        .iter()
        .map(|(drop, machine)| json!({ "digest": hex(&drop.digest), "window": drop.window.0, "index": drop.index, "machine": machine }))
        .collect();
    let plain = |drop: &Known| json!({ "digest": hex(&drop.digest), "size": drop.size, "window": drop.window.0, "index": drop.index });
    let missing: Vec<Value> = inbox.missing.iter().map(plain).collect();
    let for_others: Vec<Value> = inbox.for_others.iter().map(plain).collect();
    let resealed_not_here: Vec<Value> = inbox.missing_resealed.iter().map(plain).collect();
    let json = json!({ "cases": cases, "self_tests": self_tests, "team_events": team::to_json(&inbox.events), "resealed_not_here": resealed_not_here, "quarantine": quarantine, "not_for_you": for_others, "missing": missing.len(), "missing_drops": missing, "expired": inbox.expired.len(), "destroyed": destroyed, "unopened": inbox.unopened, "outbox": forecast.as_ref().map(forecast_json) });
    Ok(Answer {
        failed: is_short,
        ..Answer::new(json, lines.join("\n"))
    })
}

/// Whether the report that a case is about is among what opened. Anybody with the phrase can send a follow-up before the report comes, or without one.
fn has_report(messages: &[Message]) -> bool {
    let mut messages = messages.iter();
    messages.any(|message| message.kind == Kind::Report)
}

/// `1 report`, `2 reports`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A drop that has no case.
pub(crate) fn drop_line(drop: &Known, window: u64) -> String {
    format!(
        "   -  {}  {}  {}",
        show::time(drop.window.start(window)),
        &hex(&drop.digest)[..16],
        show::bytes(drop.size)
    )
}

/// `open N`: the case, message by message.
pub(crate) fn open(context: &Context, home: &Home, number: u64, from: &From) -> Result<Answer> {
    let mut desk = Desk::open(context, home, from)?;
    desk.require_identity()?;
    let inbox = desk.sort(context)?;
    let messages = desk.case(&inbox, number)?;
    let window = desk
        .rosters
        .latest()
        .map_or(1, |latest| latest.roster().window_length());
    let (mut lines, mut values) = (vec![format!("Case {number}")], Vec::new());
    let (outbox, mut answers) = (
        Outbox::load(home)?,
        desk.answers(&by_conversation(home)?, number)?,
    );
    let mut answered = Vec::new();
    let mut say = |lines: &mut Vec<String>, sent: &Sent, opened: Option<&Opened>| {
        let (said, value) = show_sent(sent, opened, &outbox);
        lines.push(String::new());
        lines.extend(said);
        answered.push(value);
    };
    for (position, message) in (1..).zip(messages) {
        let logged = message
            .drop
            .index
            .map_or("not yet in the log".into(), |index| {
                format!("entry {index} of the log")
            });
        let since = message.drop.window.start(window);
        let kind = kind_name(message.kind);
        let whole = desk.whole(message);
        let by = whole.as_ref().ok().and_then(|w| w.resealed_by.as_deref());
        lines.push(String::new());
        lines.push(heading(&format!(
            "{position}. {kind}, {} to {} UTC, {logged}, sealed to roster {}{}",
            show::time(since),
            &show::time(message.drop.window.end(window))[11..],
            message.epoch,
            by.map_or(String::new(), |by| format!(", resealed to you by {by}"))
        )));
        let by = by.map(str::to_owned);
        let report = match whole.map(|whole| whole.report) {
            Ok(report) => report,
            Err(error) => {
                lines.push(format!("cannot be shown: {error:#}"));
                let digest = hex(&message.drop.digest);
                values
                    .push(json!({ "kind": kind, "digest": digest, "error": format!("{error:#}") }));
                for (sent, opened) in take_after(&mut answers, message) {
                    say(&mut lines, &sent, opened.as_ref());
                }
                continue;
            }
        };
        if position == 1 {
            lines[0] = format!("Case {number}  conversation {}", report.conversation);
        }
        for (name, value) in ordered(&report) {
            lines.push(format!(
                "{name}:\n{}",
                text::block(value).trim_end_matches('\n')
            ));
        }
        for (i, attachment) in (1..).zip(&report.attachments) {
            lines.push(format!(
                "attachment {i}: {} ({})",
                show::line(&attachment.name),
                show::bytes(attachment.size)
            ));
        }
        values.push(json!({
            "kind": kind,
            "digest": hex(&message.drop.digest),
            "window": message.drop.window.0,
            "index": message.drop.index,
            "epoch": message.epoch,
            "resealed_by": by,
            "policy": hex(&report.policy),
            "form": report.form,
            "attachments": report.attachments,
        }));
        for (sent, opened) in take_after(&mut answers, message) {
            say(&mut lines, &sent, opened.as_ref());
        }
    }
    for (sent, opened) in answers {
        say(&mut lines, &sent, opened.as_ref());
    }
    if !has_report(messages) {
        lines.push(format!(
            "\nThe report that this follows is not here: it may be still to come, have expired, or not open here (`inbox` says what did not). To look for it, {}.",
            desk.how_to_get()
        ));
    }
    if messages
        .iter()
        .any(|message| message.kind == Kind::Withdraw)
    {
        lines.push("\nThe reporter has withdrawn this report.".into());
    }
    Ok(Answer::new(
        json!({ "case": number, "has_report": has_report(messages), "messages": values, "answers": answered }),
        lines.join("\n"),
    ))
}

/// Takes the answers that were written when this message was the newest.
fn take_after(
    answers: &mut Vec<(Sent, Option<Opened>)>,
    message: &Message,
) -> Vec<(Sent, Option<Opened>)> {
    let digest = hex(&message.drop.digest);
    let (now, later) = std::mem::take(answers)
        .into_iter()
        .partition(|(sent, _)| sent.after == digest);
    *answers = later;
    now
}

/// The fields that version 1 knows, in their order, then the unknown ones.
fn ordered(report: &Report) -> Vec<(&str, &str)> {
    const KNOWN: [&str; 6] = [
        "title",
        "description",
        "steps",
        "versions",
        "credit",
        "credit-name",
    ];
    let known = KNOWN
        .iter()
        .filter_map(|name| report.form.get_key_value(*name));
    let unknown = report
        .form
        .iter()
        .filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    known
        .chain(unknown)
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

fn title_of(report: &Report) -> String {
    match report.form.get("title").map(|title| title.trim()) {
        Some(title) if !title.is_empty() => show::line(title),
        _ => "(no title)".into(),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Report => "report",
        Kind::FollowUp => "follow-up",
        Kind::Withdraw => "withdrawal",
    }
}

/// `attachments N -o DIR`: writes them out under their safe names. Nothing appears under its name before the whole drop was verified, and nothing
/// is ever overwritten.
pub(crate) fn attachments(
    context: &Context,
    home: &Home,
    number: u64,
    out: &Path,
    from: &From,
) -> Result<Answer> {
    let mut desk = Desk::open(context, home, from)?;
    desk.require_identity()?;
    let inbox = desk.sort(context)?;
    let messages = desk.case(&inbox, number)?;
    if out.exists() && !out.is_dir() {
        usage!("-o {}: not a folder", out.display());
    }
    let mut written = Vec::new();
    for (position, message) in (1..).zip(messages) {
        if desk.title_page(message)?.attachments.is_empty() {
            continue;
        }
        // The files of the report itself are in the folder, those of later messages in one of their own.
        let folder = if position == 1 {
            out.to_owned()
        } else {
            out.join(format!("message-{position}"))
        };
        written.extend(write_attachments(&desk, message, &folder)?);
    }
    let text = match written.len() {
        0 => format!("case {number} has no attachments"),
        _ => written
            .iter()
            .map(|(path, size)| format!("{}  {}", path.display(), show::bytes(*size)))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    let files: Vec<Value> = written
        .iter()
        .map(|(path, size)| json!({ "path": path, "size": size }))
        .collect();
    Ok(Answer::new(json!({ "case": number, "files": files }), text))
}

fn write_attachments(
    desk: &Desk<'_>,
    message: &Message,
    folder: &Path,
) -> Result<Vec<(PathBuf, u64)>> {
    if fs::symlink_metadata(folder).is_ok_and(|found| !found.is_dir()) && !folder.is_dir() {
        bail!(
            "{} is not a folder: choose another with -o",
            folder.display()
        );
    }
    let is_new = !folder.exists();
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
    let written = write_into(desk, message, folder);
    if written.is_err() && is_new {
        // Only if nothing is in it.
        let _ = fs::remove_dir(folder);
    }
    written
}

fn write_into(desk: &Desk<'_>, message: &Message, folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut staged = Staged { files: Vec::new() };
    let failed = Rc::new(RefCell::new(None));
    let mut sink = Sink(|_: usize, member: &str| {
        let name = member.rsplit('/').next().unwrap_or(member);
        let path = folder.join(name);
        match staged.create(&path) {
            Ok(file) => Ok(Written {
                file,
                path,
                failed: Rc::clone(&failed),
            }),
            Err(error) => {
                *failed.borrow_mut() = Some(error);
                Err(io::Error::other("an attachment cannot be written"))
            }
        }
    });
    let opened = desk.opener().open_whole(&message.drop, &mut sink);
    // A disk that is full says nothing about the drop.
    if let Some(error) = failed.take() {
        return Err(error);
    }
    match opened? {
        Some(Ok(_)) => staged.publish(),
        Some(Err(reason)) => bail!(
            "drop {} does not open any more ({reason}): nothing was written",
            hex(&message.drop.digest)
        ),
        None => bail!(
            "drop {} is not on this machine: {}",
            hex(&message.drop.digest),
            desk.how_to_get()
        ),
    }
}

/// A file that remembers why it could not be written: what opens drops takes every error for one of the drop.
struct Written {
    file: File,
    path: PathBuf,
    failed: Rc<RefCell<Option<anyhow::Error>>>,
}

impl Written {
    fn noting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            *self.failed.borrow_mut() = Some(unwritable(&self.path, error));
            kind.into()
        })
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.noting(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.flush();
        self.noting(flushed)
    }
}

/// Files that are being written beside their places. What is not published is removed.
struct Staged {
    files: Vec<(PathBuf, PathBuf)>,
}

impl Staged {
    /// Claims the name, so that nothing that is there is touched, and gives a file beside it.
    fn create(&mut self, path: &Path) -> Result<File> {
        let taken = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => anyhow::anyhow!(
                "{} exists already: choose an empty folder with -o",
                path.display()
            ),
            _ => unwritable(path, error),
        };
        // `create_new` follows no link and replaces no file.
        new_file(path).map_err(taken)?;
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        match new_file(&part) {
            Ok(file) => {
                self.files.push((path.to_owned(), part));
                Ok(file)
            }
            Err(error) => {
                let _ = fs::remove_file(path);
                Err(taken(error))
            }
        }
    }

    fn publish(mut self) -> Result<Vec<(PathBuf, u64)>> {
        let mut published = Vec::new();
        while let Some((path, part)) = self.files.first().cloned() {
            let moved = File::open(&part).and_then(|file| {
                file.sync_all()?;
                fs::rename(&part, &path)?;
                Ok(file.metadata()?.len())
            });
            let size = moved.map_err(|error| unwritable(&path, error))?;
            self.files.remove(0);
            published.push((path, size));
        }
        Ok(published)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (path, part) in &self.files {
            let _ = fs::remove_file(part);
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_not_a_bad_drop() {
        let failed = Rc::new(RefCell::new(None));
        let mut written = Written {
            file: File::options().write(true).open("/dev/full").unwrap(),
            path: "case/001-poc".into(),
            failed: Rc::clone(&failed),
        };
        assert!(written.write_all(b"bytes").is_err());
        let said = failed.take().unwrap().to_string();
        assert!(
            said.contains("case/001-poc") && said.contains("the disk is full"),
            "{said}"
        );
    }
}
