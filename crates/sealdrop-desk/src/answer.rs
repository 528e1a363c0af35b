//! `reply`, `ask`, `propose-date`, `met`, `status`, `close`, `ack` and `outbox`: what the maintainers say to a reporter. docs/protocol.md, "Slip".

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rand_core::Rng as _;
use sealdrop_client::{show, system};
use sealdrop_core::encoding::{hex, is_handle};
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::report::Kind;
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::message::{
    self, Date, Envelope, MAX_LEAVES, MAX_MESSAGE, MessageError, is_day,
};
use sealdrop_core::slip::{self, PartKind};
use serde_json::{Value, json};

use crate::context::{Answer, Context, heading, usage};
use crate::home::{Home, Profile};
use crate::inbox::{Desk, From};
use crate::judge::{Inbox, Verdicts};
use crate::keys::check_voice;
use crate::outbox::{Forecast, Outbox, digest};
use crate::rosters::Rosters;
use crate::sent::{Opened, Progress, Sent, by_conversation};
use crate::text;
use crate::words::Words;

/// The most bytes of a compressed file.
const MAX_ATTACHMENT: usize = 65_536;
/// The most bytes of it before.
const MAX_FILE: u64 = 16 << 20;
/// How hard a file is compressed.
const EFFORT: u8 = 9;

/// `reply`.
#[derive(clap::Args)]
pub(crate) struct Reply {
    /// The number of the case, from `inbox`
    case: u64,
    #[command(flatten)]
    words: Words,
    /// Send FILE, for instance a patch to test: at most 64 KiB once it is compressed, and 16 MiB before
    #[arg(long, value_name = "FILE")]
    attach: Option<PathBuf>,
    #[command(flatten)]
    from: From,
}

/// `ask`.
#[derive(clap::Args)]
pub(crate) struct Ask {
    /// The number of the case, from `inbox`
    case: u64,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    from: From,
}

/// `propose-date`.
#[derive(clap::Args)]
pub(crate) struct ProposeDate {
    /// The number of the case, from `inbox`
    case: u64,
    /// What is to happen, in one word: `fix`, `release`, `disclosure`
    #[arg(long, value_name = "WORD", default_value = "disclosure")]
    what: String,
    /// The day, in UTC
    #[arg(long, value_name = "YYYY-MM-DD")]
    on: String,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    bundle: From,
}

/// `met`.
#[derive(clap::Args)]
pub(crate) struct Met {
    /// The number of the case, from `inbox`
    case: u64,
    /// What has happened, in the word that the date was proposed with
    #[arg(value_name = "WORD")]
    what: String,
    /// The day on which it did, in UTC [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    on: Option<String>,
    /// The day that was promised, if another member proposed it, or another machine
    #[arg(long, value_name = "YYYY-MM-DD")]
    promised: Option<String>,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    bundle: From,
}

/// `status`.
#[derive(clap::Args)]
pub(crate) struct Status {
    /// The number of the case, from `inbox`
    case: u64,
    /// In one word, for instance `confirmed`, `fixing`, `fixed`, `disclosed`
    state: String,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    bundle: From,
}

/// `close`.
#[derive(clap::Args)]
pub(crate) struct Close {
    /// The number of the case, from `inbox`
    case: u64,
    /// Why, in one word, for instance `fixed`, `duplicate`, `not-a-bug`
    #[arg(long, value_name = "STATE", default_value = "closed")]
    state: String,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    bundle: From,
}

/// `ack`.
#[derive(clap::Args)]
pub(crate) struct Ack {
    /// The number of the case, from `inbox`
    case: u64,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    bundle: From,
}

pub(crate) fn reply(context: &Context, home: &Home, args: &Reply) -> Result<Answer> {
    let file = args.attach.as_deref().map(attachment).transpose()?;
    let mut case = Case::open(context, home, args.case, &args.from)?;
    let text = match file {
        Some(_) => args.words.optional(home)?,
        None => args.words.required(home)?,
    };
    let kind = match file {
        Some(_) => PartKind::File,
        None => PartKind::Note,
    };
    let said = message::Message {
        text,
        file,
        ..message::Message::default()
    };
    case.queue(kind, &said)
}

pub(crate) fn ask(context: &Context, home: &Home, args: &Ask) -> Result<Answer> {
    let mut case = Case::open(context, home, args.case, &args.from)?;
    let said = message::Message {
        text: args.words.required(home)?,
        ..message::Message::default()
    };
    case.queue(PartKind::Question, &said)
}

pub(crate) fn propose_date(context: &Context, home: &Home, args: &ProposeDate) -> Result<Answer> {
    check_word("--what", &args.what)?;
    check_day("--on", &args.on)?;
    if args.on < show::day(system::now()) {
        usage!("--on {}: that day is over", args.on);
    }
    let mut case = Case::open(context, home, args.case, &args.bundle)?;
    let date = Date {
        what: args.what.clone(),
        on: args.on.clone(),
        met: None,
    };
    let said = message::Message {
        text: args.words.optional(home)?,
        dates: vec![date],
        ..message::Message::default()
    };
    case.queue(PartKind::Dates, &said)
}

pub(crate) fn met(context: &Context, home: &Home, args: &Met) -> Result<Answer> {
    check_word("WORD", &args.what)?;
    let today = show::day(system::now());
    let on = args.on.as_ref().unwrap_or(&today);
    check_day("--on", on)?;
    if *on > today {
        usage!("--on {on}: that day is still to come, and nothing was met on it");
    }
    if let Some(promised) = &args.promised {
        check_day("--promised", promised)?;
    }
    let mut case = Case::open(context, home, args.case, &args.bundle)?;
    let promised = match &args.promised {
        Some(promised) => promised.clone(),
        None => case.promised(&args.what)?,
    };
    let date = Date {
        what: args.what.clone(),
        on: promised,
        met: Some(on.clone()),
    };
    let said = message::Message {
        text: args.words.optional(home)?,
        dates: vec![date],
        ..message::Message::default()
    };
    case.queue(PartKind::Dates, &said)
}

pub(crate) fn status(context: &Context, home: &Home, args: &Status) -> Result<Answer> {
    check_word("STATE", &args.state)?;
    let mut case = Case::open(context, home, args.case, &args.bundle)?;
    let said = with_state(&args.state, args.words.optional(home)?);
    case.queue(PartKind::Status, &said)
}

pub(crate) fn close(context: &Context, home: &Home, args: &Close) -> Result<Answer> {
    check_word("--state", &args.state)?;
    let mut case = Case::open(context, home, args.case, &args.bundle)?;
    let said = with_state(&args.state, args.words.optional(home)?);
    case.queue(PartKind::Closed, &said)
}

pub(crate) fn ack(context: &Context, home: &Home, args: &Ack) -> Result<Answer> {
    let mut case = Case::open(context, home, args.case, &args.bundle)?;
    let said = message::Message {
        text: args.words.optional(home)?,
        leaves: case.leaves()?,
        ..message::Message::default()
    };
    case.queue(PartKind::Ack, &said)
}

fn with_state(state: &str, text: String) -> message::Message {
    message::Message {
        text,
        state: Some(state.to_owned()),
        ..message::Message::default()
    }
}

fn check_day(name: &str, day: &str) -> Result<()> {
    if !is_day(day) {
        usage!(
            "{name} {}: not a day of the calendar, as in 2026-12-24",
            show::line(day)
        );
    }
    Ok(())
}

fn check_word(name: &str, word: &str) -> Result<()> {
    if !is_handle(word) {
        usage!(
            "{name} {}: one word of a-z, 0-9 and -, of at most 32 characters",
            show::line(word)
        );
    }
    Ok(())
}

/// A file, compressed as it is sent.
fn attachment(path: &Path) -> Result<message::File> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.len() <= 255);
    let Some(name) = name else {
        usage!(
            "--attach {}: not the name of a file, or longer than 255 bytes",
            path.display()
        );
    };
    let mut content = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut content))
        .with_context(|| format!("cannot read {}", path.display()))?;
    if content.len() as u64 > MAX_FILE {
        usage!(
            "--attach {}: more than {}, which is the most, however well it compresses: put it where the reporter can fetch it, and reply with the link",
            path.display(),
            show::bytes(MAX_FILE)
        );
    }
    let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&content, EFFORT);
    if zlib.len() > MAX_ATTACHMENT {
        usage!(
            "--attach {}: {} once it is compressed, and {} is the most: put it where the reporter can fetch it, and reply with the link",
            path.display(),
            show::bytes(zlib.len() as u64),
            show::bytes(MAX_ATTACHMENT as u64)
        );
    }
    Ok(message::File {
        name,
        size: content.len() as u64,
        zlib,
    })
}

/// The case that is being answered.
struct Case<'a> {
    home: &'a Home,
    desk: Desk<'a>,
    inbox: Inbox,
    number: u64,
    roster: Roster,
    voice: SecretKey<VoiceRole>,
}

impl<'a> Case<'a> {
    /// Looks for everything that an answer needs, before anybody writes one.
    fn open(context: &Context, home: &'a Home, number: u64, from: &From) -> Result<Self> {
        let mut desk = Desk::open(context, home, from)?;
        desk.require_identity()?;
        let voice = desk.take_voice().context(
            "the voice key is not on this machine: answer where it is, and carry the answer with `bundle out`",
        )?;
        let inbox = desk.sort(context)?;
        desk.case(&inbox, number)?;
        let roster = desk.rosters().expect_latest()?.clone();
        let name = home.profile()?.member;
        check_voice(
            &roster,
            &name,
            &voice,
            "no reporter would believe the answer",
        )?;
        Ok(Self {
            home,
            desk,
            inbox,
            number,
            roster,
            voice,
        })
    }

    /// The day that was promised for `what`, as this member said last from this machine.
    fn promised(&self, what: &str) -> Result<String> {
        let sent = by_conversation(self.home)?;
        let answers = self.desk.answers(&sent, self.number)?;
        let said = answers.into_iter().rev().filter_map(|(_, opened)| opened);
        let mut dates = said.flat_map(|opened| opened.said.dates);
        let date = dates.find(|date| date.what == what);
        let date = date.map(|date| date.on);
        date.with_context(|| format!(
            "no day was proposed for {what} in case {} from this machine: say which one was, with --promised YYYY-MM-DD",
            self.number
        ))
    }

    /// The leaves of the case's drops that are here whole and logged, in the order of the log.
    fn leaves(&self) -> Result<Vec<Leaf>> {
        let messages = self.desk.case(&self.inbox, self.number)?;
        let here = messages
            .iter()
            .filter(|message| message.drop.index.is_some() && self.desk.report(message).is_ok());
        let leaves: Vec<Leaf> = here
            .map(|message| Leaf {
                kind: LeafKind::Drop,
                digest: message.drop.digest,
                size: message.drop.size,
                window: message.drop.window,
            })
            .collect();
        if leaves.is_empty() {
            bail!(
                "no drop of case {} is in the log yet, so there is nothing to acknowledge: run `sealdrop-desk sync` when its window is over",
                self.number
            );
        }
        // The newest: the ones before were acknowledged by then.
        Ok(leaves[leaves.len().saturating_sub(MAX_LEAVES)..].to_vec())
    }

    /// Seals and signs a message, keeps a copy, and puts its slips at the end of the outbox.
    fn queue(&mut self, kind: PartKind, said: &message::Message) -> Result<Answer> {
        let messages = self.desk.case(&self.inbox, self.number)?;
        let newest = messages.last().context("a case has at least one message")?;
        // All drops of a conversation have the same keys: the conversation is named after them, and each is signed by them.
        let mut reports = messages
            .iter()
            .rev()
            .map(|message| self.desk.report(message));
        let report = match reports.next() {
            Some(Ok(report)) => report,
            Some(Err(error)) => reports.find_map(Result::ok).ok_or(error)?,
            None => bail!("case {} has no message", self.number),
        };
        let mut rng = system::rng();
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let envelope = Envelope {
            box_key: self.roster.box_key().clone(),
            epoch: self.roster.epoch(),
            conversation: report.conversation,
            message: id,
            number: Sent::next_number(
                self.home,
                &report.conversation.to_string(),
                self.roster.window(system::now()),
            )?,
            member: self.home.profile()?.member,
            kind,
        };
        let parts = envelope.parts(said).map_err(|error| match error {
            MessageError::TooLong => anyhow::anyhow!(
                "the answer has more than {}: shorten it, or attach it as a file, which is compressed",
                show::bytes(MAX_MESSAGE as u64)
            ),
            error => error.into(),
        })?;
        let slips: Vec<_> = parts
            .iter()
            .map(|part| slip::seal(part, &report.reporter, &self.voice, &mut rng))
            .collect();
        let own = self.desk.own_recipient().context("an identity is here")?;
        let digests: Vec<String> = slips.iter().map(|slip| digest(slip)).collect();
        // The copy comes first: what is out and not shown would be said twice.
        let after = hex(&newest.drop.digest);
        Sent::keep(
            self.home,
            &parts,
            digests,
            after,
            &own,
            &self.voice,
            &mut rng,
        )?;
        let mut outbox = Outbox::load(self.home)?;
        let before = outbox.waiting().len() as u64;
        outbox.push(slips)?;
        let forecast = outbox.forecast(&self.roster, system::now());
        let mut lines = vec![format!(
            "{} to case {}: queued as {}",
            kind.as_str(),
            self.number,
            slips_word(parts.len() as u64)
        )];
        if let Some(file) = &said.file {
            lines.push(format!(
                "{} ({}, {} compressed) will have arrived after {}",
                show::line(&file.name),
                show::bytes(file.size),
                show::bytes(file.zlib.len() as u64),
                windows_word(forecast.windows)
            ));
        }
        let profile = self.home.profile()?;
        lines.push(waiting_line(&forecast, &profile));
        if before > 0 {
            lines.push(format!(
                "{} of answers that were queued before go first; `sealdrop-desk outbox` says when each is out.",
                slips_word(before)
            ));
        }
        if messages.iter().any(|m| m.kind == Kind::Withdraw) {
            lines.push("The reporter has withdrawn this report, and may not look again.".into());
        }
        let mut value = forecast_json(&forecast);
        value["case"] = self.number.into();
        value["kind"] = kind.as_str().into();
        value["message"] = hex(&id).into();
        value["slips"] = parts.len().into();
        value["before"] = before.into();
        Ok(Answer::new(value, lines.join("\n")))
    }
}

/// `outbox`: what waits, answer by answer.
pub(crate) fn outbox(home: &Home) -> Result<Answer> {
    let profile = home.profile()?;
    let rosters = Rosters::load(home, &profile.box_key)?;
    let roster = rosters.expect_latest()?;
    let outbox = Outbox::load(home)?;
    let forecast = outbox.forecast(roster, system::now());
    let cases = Verdicts::load(home)?.cases;
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for sent in Sent::load_all(home)? {
        let progress = sent.progress(&outbox);
        if matches!(progress, Progress::Out(_)) {
            continue;
        }
        let case = cases.get(&sent.conversation);
        let to = match case {
            Some(case) => format!("to case {case}"),
            None => format!("to conversation {}", sent.conversation),
        };
        let own: HashSet<&str> = sent.slips.iter().map(|slip| &*slip.digest).collect();
        let own = outbox.forecast_of(|digest| own.contains(digest), roster, system::now());
        let when = match (own.waiting, &profile.device) {
            (0, _) | (_, None) => String::new(),
            _ => format!(", {}", out_after(&own)),
        };
        lines.push(format!(
            "{to}: {}{when}",
            progress_text(progress, sent.slips.len())
        ));
        values.push(json!({
            "case": case,
            "message": sent.message,
            "slips": sent.slips.len(),
            "progress": progress_json(progress),
            "windows": own.windows,
            "not_before": (own.waiting > 0).then_some(own.not_before.0),
        }));
    }
    lines.push(match (forecast.waiting, &profile.device) {
        (0, Some(_)) => format!(
            "Nothing waits. Each sync posts {} once per window all the same, as decoys.",
            slips_word(forecast.share)
        ),
        (0, None) => {
            "Nothing waits. This machine does not connect, and posts nothing itself.".into()
        }
        _ => waiting_line(&forecast, &profile),
    });
    if forecast.second > 0 && forecast.waiting > 0 {
        lines.push(format!(
            "Another machine of yours has posted instead of this one in the last {}. Hand what waits over to it: `bundle out --outbox FILE` here, `bundle in FILE` there.",
            windows_word(forecast.second)
        ));
    }
    let mut value = forecast_json(&forecast);
    value["answers"] = values.into();
    Ok(Answer::new(value, lines.join("\n")))
}

/// What the member said, for `open`.
pub(crate) fn show_sent(
    sent: &Sent,
    opened: Option<&Opened>,
    outbox: &Outbox<'_>,
) -> (Vec<String>, Value) {
    let progress = sent.progress(outbox);
    let mut far = progress_text(progress, sent.slips.len());
    if matches!(progress, Progress::Out(_)) && sent.slips.iter().any(|slip| slip.carried) {
        far.push_str(", as the machine says that posted it");
    }
    let mut value = json!({
        "message": sent.message,
        "after": sent.after,
        "slips": sent.slips.len(),
        "progress": progress_json(progress),
    });
    let Some(opened) = opened else {
        let line = heading(&format!("→ an answer, {far}"));
        let why = "cannot be shown: no identity here opens what is kept of it";
        value["error"] = why.into();
        return (vec![line, why.into()], value);
    };
    let said = &opened.said;
    let mut lines = vec![heading(&format!(
        "→ {} by {}, {far}",
        opened.kind.as_str(),
        opened.member
    ))];
    if let Some(state) = &said.state {
        lines.push(format!("state: {state}"));
    }
    lines.extend(said.dates.iter().map(|date| match &date.met {
        Some(met) => format!("{}: {}, met on {met}", date.what, date.on),
        None => format!("{}: {}", date.what, date.on),
    }));
    if !said.leaves.is_empty() {
        lines.push(format!(
            "received: {} of the drops above",
            said.leaves.len()
        ));
    }
    if let Some(file) = &said.file {
        lines.push(format!(
            "file: {} ({})",
            show::line(&file.name),
            show::bytes(file.size)
        ));
    }
    if !said.text.is_empty() {
        lines.push(text::block(&said.text).trim_end_matches('\n').to_owned());
    }
    value["kind"] = opened.kind.as_str().into();
    value["member"] = opened.member.clone().into();
    value["text"] = said.text.clone().into();
    value["state"] = said.state.clone().into();
    value["dates"] = json!(said.dates);
    value["leaves"] = said
        .leaves
        .iter()
        .map(|leaf| json!({ "digest": hex(&leaf.digest), "size": leaf.size, "window": leaf.window.0 }))
        .collect();
    value["file"] = said
        .file
        .as_ref()
        .map(|file| json!({ "name": file.name, "size": file.size }))
        .into();
    (lines, value)
}

/// How many slips wait, and until when, or that they are to be carried.
pub(crate) fn waiting_line(forecast: &Forecast, profile: &Profile) -> String {
    if profile.device.is_some() {
        return forecast_line(forecast);
    }
    format!(
        "{} here, and this machine does not connect: carry the slips with `bundle out FILE` to one of yours that does, and `bundle in FILE` there. It posts {} in each window.",
        wait_here(forecast.waiting),
        forecast.share
    )
}

/// How many slips wait, and until when.
pub(crate) fn forecast_line(forecast: &Forecast) -> String {
    format!(
        "{} in the outbox; each window takes {}: all are {}, if this machine posts in each of them",
        wait_here(forecast.waiting),
        forecast.share,
        out_after(forecast)
    )
}

/// `1 slip waits`, `2 slips wait`.
fn wait_here(count: u64) -> String {
    let verb = if count == 1 { "waits" } else { "wait" };
    format!("{} {verb}", slips_word(count))
}

fn out_after(forecast: &Forecast) -> String {
    format!(
        "out after {}, not before {}",
        windows_word(forecast.windows),
        show::minute(forecast.not_before)
    )
}

/// The same for programs.
pub(crate) fn forecast_json(forecast: &Forecast) -> Value {
    let is_waiting = forecast.waiting > 0;
    json!({
        "waiting": forecast.waiting,
        "share": forecast.share,
        "windows": forecast.windows,
        "not_before": is_waiting.then_some(forecast.not_before.0),
        "second": forecast.second,
    })
}

fn progress_text(progress: Progress, slips: usize) -> String {
    match progress {
        Progress::Waiting(left) => format!("{left} of {} in the outbox", slips_word(slips as u64)),
        Progress::Posted(window) => {
            format!("posted in window {window}, to be seen in the feed when that is over")
        }
        Progress::Out(window) => format!("in the feed since window {window}"),
        Progress::Carried => {
            "handed to the machine that posts it; a bundle from there says when it is out".into()
        }
        Progress::Lost => {
            "never sent: the program ended while it was queued; write it again".into()
        }
    }
}

fn progress_json(progress: Progress) -> Value {
    match progress {
        Progress::Waiting(left) => json!({ "waiting": left }),
        Progress::Posted(window) => json!({ "posted": window.0 }),
        Progress::Out(window) => json!({ "out": window.0 }),
        Progress::Carried => json!("carried"),
        Progress::Lost => json!("lost"),
    }
}

fn slips_word(count: u64) -> String {
    format!("{count} slip{}", if count == 1 { "" } else { "s" })
}

fn windows_word(count: u64) -> String {
    format!("{count} window{}", if count == 1 { "" } else { "s" })
}
