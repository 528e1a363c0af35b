//! From text to a policy that can be kept.

use std::ops::Deref;

use sealdrop_core::address::Address;
use toml::de::DeTable;

use crate::clock::Calendar;
use crate::fields;
use crate::finding::{Finding, Places, Severity, place};
use crate::schema::{ChannelKind, SafeHarborMode, Wire};

/// The largest policy in bytes. docs/protocol.md, "Roster".
pub const MAX_POLICY: usize = 262_144;

/// A policy that is consistent. What stands in it is in its [`Wire`], to which it derefs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    wire: Wire,
    pub(crate) places: Places,
}

impl Policy {
    /// Reads `policy.toml`.
    ///
    /// # Errors
    /// Everything that is wrong and found at once: all of it if the text is TOML of the right shape, else the first thing that is not.
    pub fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        if text.len() > MAX_POLICY {
            let found = at(
                text,
                0,
                "the policy is longer than 256 KiB",
                "shorten it, and link to the rest",
            );
            return Err(vec![found]);
        }
        let table = DeTable::parse(text).map_err(|error| vec![malformed(text, &error)])?;
        let places = Places::of(text, &table);
        let wire: Wire = toml::from_str(text).map_err(|error| vec![malformed(text, &error)])?;
        let mut checks = Checks {
            wire: &wire,
            places: &places,
            findings: Vec::new(),
        };
        checks.all();
        if checks.findings.is_empty() {
            Ok(Self { wire, places })
        } else {
            Err(checks.findings)
        }
    }

    /// The JSON Schema of `policy.toml`, for editors.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Wire).to_value()
    }
}

impl Deref for Policy {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

fn at(text: &str, start: usize, message: impl Into<String>, mend: impl Into<String>) -> Finding {
    let (line, column) = place(text, start);
    Finding {
        severity: Severity::Error,
        line,
        column,
        message: message.into(),
        mend: mend.into(),
    }
}

/// What the parser of TOML says, with what mends it.
fn malformed(text: &str, error: &toml::de::Error) -> Finding {
    let start = error.span().map_or(0, |span| span.start);
    let message = error.message().lines().collect::<Vec<_>>().join(" ");
    let quoted = || message.split('`').skip(1).step_by(2);
    let mend = if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let written = quoted().next().unwrap_or_default();
        match fields::nearest(written, quoted().skip(1)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "take it out, or see docs/policy.md for what there is".into(),
        }
    } else if message.starts_with("missing field") {
        "add it; docs/policy.md says what it is".into()
    } else {
        "docs/policy.md has an example of every part".into()
    };
    let short = message
        .split(", expected one of")
        .next()
        .unwrap_or(&message);
    at(text, start, short, mend)
}

/// What cannot be kept, whoever tries.
struct Checks<'a> {
    wire: &'a Wire,
    places: &'a Places,
    findings: Vec<Finding>,
}

impl Checks<'_> {
    fn wrong(&mut self, path: &str, message: impl Into<String>, mend: impl Into<String>) {
        let finding = self.places.finding(Severity::Error, path, message, mend);
        self.findings.push(finding);
    }

    fn all(&mut self) {
        if self.wire.schema != 1 {
            let message = format!(
                "schema {} is none that this program knows",
                self.wire.schema
            );
            self.wrong(
                "schema",
                message,
                "write `schema = 1`, or take a newer Sealdrop",
            );
            return;
        }
        self.project();
        self.channels();
        self.clocks();
        self.form();
        self.handles();
        self.promises();
    }

    fn project(&mut self) {
        let name = &self.wire.project.name;
        if name.trim().is_empty() || name.chars().any(char::is_control) || name.len() > 128 {
            self.wrong(
                "project.name",
                "the project has no name",
                "give it one, in one line",
            );
        }
        for (at, tag) in self.wire.project.languages.iter().enumerate() {
            let part = |part: &str| {
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
            };
            if !(tag.split('-').all(part) && tag.len() >= 2) {
                let message = format!("`{tag}` is no language tag");
                self.wrong(
                    &format!("project.languages.{at}"),
                    message,
                    "write en, de or pt-BR",
                );
            }
        }
        for (name, url) in [
            ("canonical", &self.wire.project.canonical),
            ("acknowledgments", &self.wire.project.acknowledgments),
            ("changes", &self.wire.project.changes),
        ] {
            if url.as_deref().is_some_and(|url| !is_web(url)) {
                self.wrong(
                    &format!("project.{name}"),
                    "it is no web address",
                    "write https://…",
                );
            }
        }
    }

    fn channels(&mut self) {
        if self.wire.channels.is_empty() {
            self.wrong(
                "project",
                "the policy names no way to report",
                "add one: [[channels]] with kind = \"sealdrop\" and the address that `sealdrop-desk address` prints",
            );
        }
        for (at, channel) in self.wire.channels.iter().enumerate() {
            let uri = &channel.uri;
            let path = format!("channels.{at}.uri");
            match channel.kind {
                ChannelKind::Sealdrop => {
                    if let Err(error) = uri.parse::<Address>() {
                        let message = format!("it is no drop address: {error}");
                        self.wrong(&path, message, "copy what `sealdrop-desk address` prints");
                    }
                }
                ChannelKind::Email => {
                    let mailbox = uri
                        .strip_prefix("mailto:")
                        .and_then(|to| to.split_once('@'));
                    let is_one = mailbox.is_some_and(|(name, host)| {
                        !name.is_empty() && host.contains('.') && !uri.contains(char::is_whitespace)
                    });
                    if !is_one {
                        let message = format!("`{uri}` is no address of e-mail");
                        self.wrong(&path, message, "write mailto:security@example.org");
                    }
                }
                ChannelKind::Github | ChannelKind::Web => {
                    if !is_web(uri) {
                        let message = format!("`{uri}` is no web address");
                        self.wrong(&path, message, "write https://…");
                    }
                }
            }
        }
    }

    fn clocks(&mut self) {
        let clocks = &self.wire.clocks;
        if Calendar::of(clocks).is_none() {
            match &clocks.tz {
                Some(zone) if jiff::tz::TimeZone::get(zone).is_err() => {
                    let message = format!("`{zone}` is no time zone");
                    self.wrong(
                        "clocks.tz",
                        message,
                        "write one of IANA's, such as Europe/Berlin",
                    );
                }
                _ => self.wrong(
                    "clocks.weekend",
                    "every day is a weekend, so no business day ever comes",
                    "leave a day out",
                ),
            }
        }
        if let Some(role) = &clocks.ack_by
            && !self.wire.roles.names.contains_key(role)
        {
            let message = format!("nobody has the role `{role}`");
            let mend = format!("add `{role} = \"…\"` to [roles.names], or take ack_by out");
            self.wrong("clocks.ack_by", message, mend);
        }
    }

    fn form(&mut self) {
        let form = &self.wire.form;
        for (at, rule) in form.require.iter().enumerate() {
            let path = format!("form.require.{at}");
            for name in rule.fields() {
                if name != ATTACHMENT {
                    self.field(&path, name);
                }
            }
            let needs_a_file = rule.fields().iter().all(|name| name == ATTACHMENT);
            if needs_a_file && !form.attachments {
                self.wrong(
                    &path,
                    "an attachment is required, and attachments are not allowed",
                    "set attachments = true, or require a field instead",
                );
            }
        }
        for (at, name) in form.ask.iter().enumerate() {
            self.field(&format!("form.ask.{at}"), name);
        }
        if form
            .max_bytes
            .is_some_and(|most| !(1_000..=1 << 20).contains(&most))
        {
            self.wrong(
                "form.max_bytes",
                "a report has room for 1,000 to 1,048,576 bytes of text",
                "choose a number between, or leave it out",
            );
        }
    }

    fn field(&mut self, path: &str, name: &str) {
        if fields::can_be_asked(name, &self.wire.form) {
            return;
        }
        let message = format!("no client knows how to ask for `{name}`");
        let known = fields::FIELDS.iter().map(|field| field.name);
        let mend = match fields::nearest(name, known) {
            Some(near) => format!(
                "did you mean `{near}`? A field of your own needs words: `{name} = \"…\"` in [form.prompt]"
            ),
            None => format!("give it words: `{name} = \"…\"` in [form.prompt]"),
        };
        self.wrong(path, message, mend);
    }

    fn handles(&mut self) {
        let checks = self.wire.checklist.iter().map(|check| check.id.as_str());
        let steps = self.wire.process.steps.iter().map(|step| step.id.as_str());
        let lists: [(&str, Vec<&str>); 2] = [
            ("checklist", checks.collect()),
            ("process.steps", steps.collect()),
        ];
        for (list, ids) in lists {
            for (at, id) in ids.iter().enumerate() {
                let path = format!("{list}.{at}.id");
                if !sealdrop_core::encoding::is_handle(id) {
                    let message = format!("`{id}` is no handle");
                    self.wrong(&path, message, "write 1 to 32 of a-z, 0-9 and -");
                } else if ids[..at].contains(id) {
                    self.wrong(
                        &path,
                        format!("`{id}` is there twice"),
                        "give one of them another id",
                    );
                }
            }
        }
    }

    fn promises(&mut self) {
        let harbor = &self.wire.safe_harbor;
        match harbor.mode {
            SafeHarborMode::Conditions if harbor.conditions.is_empty() => self.wrong(
                "safe_harbor.mode",
                "the safe harbour hangs on conditions, and there are none",
                "list them in `conditions`, or write mode = \"good-faith\"",
            ),
            SafeHarborMode::GoodFaith | SafeHarborMode::None if !harbor.conditions.is_empty() => {
                self.wrong(
                    "safe_harbor.conditions",
                    "there are conditions that nothing hangs on",
                    "write mode = \"conditions\", or take them out",
                )
            }
            SafeHarborMode::None if harbor.text.is_some() => self.wrong(
                "safe_harbor.text",
                "a safe harbour is described that there is not",
                "write mode = \"good-faith\" or \"conditions\"",
            ),
            _ => {}
        }
        let intake = &self.wire.intake;
        if intake.daily_cap == Some(0) {
            self.wrong(
                "intake.daily_cap",
                "no report a day is a pause",
                "write paused_until with the day on which you reopen",
            );
        }
        if intake.reason.is_some() && intake.paused_until.is_none() {
            self.wrong(
                "intake.reason",
                "a reason is given for a pause that there is not",
                "write paused_until, or take it out",
            );
        }
    }
}

/// The rule that an attachment meets: it is no field.
pub(crate) const ATTACHMENT: &str = "attachment";

fn is_web(url: &str) -> bool {
    let rest = url.strip_prefix("https://");
    rest.is_some_and(|rest| {
        !rest.is_empty() && !url.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}
