//! What will disappoint somebody: a policy that is consistent, and out of date, unfinished, or of another box.

use jiff::civil::Date;
use sealdrop_core::address::Address;

use crate::clock::Clock;
use crate::finding::{Finding, Severity};
use crate::policy::Policy;
use crate::schema::{ChannelKind, Text};

/// What a policy is held against.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The day, in UTC.
    pub today: Date,
    /// The drop address of the box that it is for, if it is known.
    pub address: Option<Address>,
}

/// Sentences that templates come with.
const BOILERPLATE: [&str; 5] = [
    "use this section to tell people",
    "tell them where to go, how often",
    "your project",
    "lorem ipsum",
    "todo:",
];
/// After so many days somebody should have looked at it again.
const STALE: i32 = 365;
/// A list that ends within so many days is about to.
const SOON: i32 = 60;

impl Policy {
    /// Everything about it that is worth a second look.
    #[must_use]
    pub fn lint(&self, around: &Surroundings) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut found = |severity, path: &str, message: String, mend: &str| {
            findings.push(self.places.finding(severity, path, message, mend));
        };
        self.dates(around, &mut found);
        self.address(around, &mut found);
        self.contacts(&mut found);
        self.words(&mut found);
        self.clocks_and_rules(&mut found);
        findings.sort_by_key(|finding| (finding.line, finding.column));
        findings
    }

    fn dates(&self, around: &Surroundings, found: &mut impl FnMut(Severity, &str, String, &str)) {
        let days_to = |day: Date| day.since(around.today).map_or(0, |span| span.get_days());
        match self.project.last_updated {
            Some(day) if days_to(day.0) < -STALE => found(
                Severity::Warning,
                "project.last_updated",
                format!("nobody has gone through it since {}", day.0),
                "read it once, and write the day of today",
            ),
            Some(day) if day.0 > around.today => found(
                Severity::Error,
                "project.last_updated",
                format!("{} has not come yet", day.0),
                "write the day on which it was last gone through",
            ),
            _ => {}
        }
        let counts = |clock: &Clock| matches!(clock, Clock::BusinessDays(_));
        let clocks = &self.clocks;
        let has_business_days = [clocks.ack, clocks.detail, clocks.update, clocks.embargo]
            .iter()
            .any(counts);
        if let Some(last) = clocks.holidays.iter().max().filter(|_| has_business_days) {
            let ends = match days_to(last.0) {
                ..0 => Some((Severity::Error, "ended with")),
                0..SOON => Some((Severity::Warning, "ends with")),
                _ => None,
            };
            if let Some((severity, ends)) = ends {
                let message = format!(
                    "the list of holidays {ends} {}: after it every working day counts",
                    last.0
                );
                found(
                    severity,
                    "clocks.holidays",
                    message,
                    "add those of next year",
                );
            }
        }
        if let Some(until) = self.intake.paused_until.filter(|day| day.0 <= around.today) {
            found(
                Severity::Warning,
                "intake.paused_until",
                format!("the pause was over on {}", until.0),
                "take it out, or name a day to come",
            );
        }
    }

    fn address(&self, around: &Surroundings, found: &mut impl FnMut(Severity, &str, String, &str)) {
        let Some(ours) = &around.address else { return };
        let mut names_a_box = false;
        for (at, channel) in self.channels.iter().enumerate() {
            let address = channel.uri.parse::<Address>();
            let Ok(address) = address.map_err(drop) else {
                continue;
            };
            if channel.kind != ChannelKind::Sealdrop {
                continue;
            }
            names_a_box = true;
            if address.box_key != ours.box_key {
                found(
                    Severity::Error,
                    &format!("channels.{at}.uri"),
                    "it is the address of another box".into(),
                    "copy what `sealdrop-desk address` prints",
                );
            }
        }
        if !names_a_box {
            found(
                Severity::Warning,
                "channels",
                "the policy does not name the box that it belongs to".into(),
                "put what `sealdrop-desk address` prints first among the channels",
            );
        }
    }

    /// Names that are set aside for examples (RFC 2606, RFC 6761): who copied them has not put in their own.
    fn contacts(&self, found: &mut impl FnMut(Severity, &str, String, &str)) {
        const NOBODY: [&str; 7] = [
            "example.com",
            "example.org",
            "example.net",
            "invalid",
            "example",
            "test",
            "localhost",
        ];
        for (at, channel) in self.channels.iter().enumerate() {
            let rest = channel
                .uri
                .split_once("://")
                .or_else(|| channel.uri.split_once('@'));
            let host = rest.map_or("", |(_, rest)| rest);
            let host = host.split(['/', '#', ':', '?']).next().unwrap_or_default();
            let is_nobodys = |name: &&str| {
                host.strip_suffix(*name)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            if NOBODY.iter().any(is_nobodys) {
                found(
                    Severity::Error,
                    &format!("channels.{at}.uri"),
                    format!("nobody is reached at {host}, a name for examples"),
                    "put your own address here",
                );
            }
        }
    }

    fn words(&self, found: &mut impl FnMut(Severity, &str, String, &str)) {
        let mut texts: Vec<(String, &Text)> = Vec::new();
        for (name, list) in [
            ("scope.in", &self.scope.inside),
            ("scope.out", &self.scope.outside),
        ] {
            texts.extend(
                list.iter()
                    .enumerate()
                    .map(|(at, text)| (format!("{name}.{at}"), text)),
            );
        }
        for (at, supported) in self.supported.iter().enumerate() {
            texts.push((format!("supported.{at}.match"), &supported.version));
            texts.extend(
                supported
                    .criteria
                    .iter()
                    .map(|text| (format!("supported.{at}.criteria"), text)),
            );
        }
        let prompts = self.form.prompt.iter();
        texts.extend(prompts.map(|(name, text)| (format!("form.prompt.{name}"), text)));
        for (path, text) in texts {
            let plain = text.to("en").to_lowercase();
            if let Some(left) = BOILERPLATE
                .iter()
                .find(|sentence| plain.contains(**sentence))
            {
                found(
                    Severity::Error,
                    &path,
                    format!("it still has the words of a template (\"{left}\")"),
                    "say what holds for this project, or take it out",
                );
            }
        }
    }

    fn clocks_and_rules(&self, found: &mut impl FnMut(Severity, &str, String, &str)) {
        let clocks = &self.clocks;
        if clocks.detail != Clock::None && clocks.ack == Clock::None {
            found(
                Severity::Warning,
                "clocks.detail",
                "it runs from the acknowledgement, for which no time is promised".into(),
                "promise one with `ack`, or leave it",
            );
        }
        for (at, rule) in self.form.require.iter().enumerate() {
            let names_a_file = rule
                .fields()
                .iter()
                .any(|name| name == crate::policy::ATTACHMENT);
            if names_a_file && !self.form.attachments {
                found(
                    Severity::Warning,
                    &format!("form.require.{at}"),
                    "an attachment would meet it, and attachments are not allowed".into(),
                    "take `attachment` out of the rule",
                );
            }
        }
    }
}
