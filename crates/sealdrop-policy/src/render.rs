//! What a project publishes, from its policy: SECURITY.md and security.txt. docs/policy.md, "Published".

use std::fmt::Write as _;

use jiff::Timestamp;
use sealdrop_core::address::Address;
use sealdrop_core::time::Time;

use crate::clock::Clock;
use crate::fields;
use crate::policy::{ATTACHMENT, Policy};
use crate::schema::{
    BountyMode, ChannelKind, Class, CveBy, Encrypt, Publish, RouteWhen, SafeHarborMode, Status,
    Text, Track, Until,
};

/// What security.txt needs beside the policy.
#[derive(Clone, Debug)]
pub struct Served {
    /// Where it is served, without a path: `https://drop.example.org`.
    pub origin: String,
    /// The box's drop address, if there is a box.
    pub address: Option<Address>,
    /// When the file is to be fetched again; RFC 9116 wants it within a year.
    pub expires: Time,
}

impl Policy {
    /// SECURITY.md in English, or in the language of texts that are not in it.
    #[must_use]
    pub fn security_md(&self, address: Option<&Address>) -> String {
        let mut page = Page::default();
        page.text("# Security policy");
        self.reporting(&mut page, address);
        self.contents(&mut page);
        self.elsewhere(&mut page);
        self.versions(&mut page);
        self.promises(&mut page);
        self.publication(&mut page);
        self.reward(&mut page);
        self.harbor(&mut page);
        self.about(&mut page);
        page.text
    }

    /// security.txt as RFC 9116 has it: `Contact` in the policy's order, `Expires` once.
    #[must_use]
    pub fn security_txt(&self, served: &Served) -> String {
        let mut text = String::new();
        let mut field = |name: &str, value: &str| {
            let _ = writeln!(text, "{name}: {value}");
        };
        let ours = served.address.as_ref().map(ToString::to_string);
        let named: Vec<&str> = self
            .channels
            .iter()
            .map(|channel| channel.uri.as_str())
            .collect();
        // The box that serves this is a way to report, whether the policy says so or not.
        for contact in ours
            .iter()
            .map(String::as_str)
            .filter(|ours| !named.contains(ours))
        {
            field("Contact", contact);
        }
        for contact in &named {
            field("Contact", contact);
        }
        let expires = i64::try_from(served.expires.0).ok();
        let expires = expires.and_then(|at| Timestamp::from_second(at).ok());
        let expires = expires.unwrap_or(Timestamp::MAX);
        field(
            "Expires",
            &expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        );
        for key in self
            .channels
            .iter()
            .filter_map(|channel| channel.key.as_ref())
        {
            field("Encryption", key);
        }
        if let Some(page) = &self.project.acknowledgments {
            field("Acknowledgments", page);
        }
        if !self.project.languages.is_empty() {
            field("Preferred-Languages", &self.project.languages.join(", "));
        }
        field(
            "Canonical",
            &format!("{}/.well-known/security.txt", served.origin),
        );
        let policy = format!("{}/SECURITY.md", served.origin);
        field(
            "Policy",
            self.project.canonical.as_deref().unwrap_or(&policy),
        );
        text
    }

    fn reporting(&self, page: &mut Page, address: Option<&Address>) {
        page.head("Reporting a vulnerability");
        page.text(&format!(
            "**Please do not open a public issue** for a vulnerability in {}. Report it in private:",
            self.project.name
        ));
        let named = |address: &Address| {
            let address = address.to_string();
            self.channels.iter().any(|channel| channel.uri == address)
        };
        if let Some(address) = address.filter(|address| !named(address)) {
            page.item(&drop_box(&address.to_string()));
        }
        for channel in &self.channels {
            page.item(&match channel.kind {
                ChannelKind::Sealdrop => drop_box(&channel.uri),
                ChannelKind::Email => {
                    let mailbox = channel.uri.strip_prefix("mailto:").unwrap_or(&channel.uri);
                    let mut line = format!("by e-mail to [{mailbox}]({})", channel.uri);
                    line.push_str(&encryption(channel.encrypt, channel.key.as_deref()));
                    line
                }
                ChannelKind::Github => {
                    format!("as a [draft security advisory]({}) on GitHub", channel.uri)
                }
                ChannelKind::Web => format!("at <{}>", channel.uri),
            });
        }
        if let Some(day) = self.intake.paused_until {
            let reason = self
                .intake
                .reason
                .as_ref()
                .map_or(String::new(), |text| format!(" ({})", one(text)));
            page.text(&format!(
                "**New reports are taken again from {} on**{reason}. What is exploited already is always taken.",
                day.0
            ));
        }
    }

    fn contents(&self, page: &mut Page) {
        let words = |name: &str| match self.form.prompt.get(name) {
            Some(text) => one(text),
            None if name == ATTACHMENT => "an attachment".into(),
            None => fields::known(name).map_or(name.to_owned(), |field| field.asks.to_owned()),
        };
        let form = &self.form;
        if !form.require.is_empty() {
            page.head("What a report needs");
            for rule in &form.require {
                let either: Vec<_> = rule.fields().iter().map(|name| words(name)).collect();
                page.item(&either.join("; or "));
            }
        }
        if !form.ask.is_empty() {
            page.text("It helps to add:");
            form.ask.iter().for_each(|name| page.item(&words(name)));
        }
        let refused: Vec<&str> = [(form.links, "links"), (form.attachments, "attachments")]
            .iter()
            .filter(|(allowed, _)| !allowed)
            .map(|(_, what)| *what)
            .collect();
        if !refused.is_empty() {
            page.text(&format!(
                "Please put everything into the text: no {}.",
                refused.join(", no ")
            ));
        }
        if !self.checklist.is_empty() {
            page.head("Before you report");
            for check in &self.checklist {
                page.item(&format!("{} {}", one(&check.text), one(&check.on_match)));
            }
        }
    }

    fn elsewhere(&self, page: &mut Page) {
        let scope = &self.scope;
        if !(scope.inside.is_empty() && scope.outside.is_empty() && self.routes.is_empty()) {
            page.head("Scope");
        }
        for (says, list) in [
            ("Covered:", &scope.inside),
            ("Not covered:", &scope.outside),
        ] {
            if !list.is_empty() {
                page.text(says);
                list.iter().for_each(|text| page.item(&one(text)));
            }
        }
        for route in &self.routes {
            let what = match route.when {
                RouteWhen::ThirdParty => "Vulnerabilities in software of others",
                RouteWhen::NotSecurity => "What is no matter of security",
                RouteWhen::OtherProject => "Vulnerabilities in other projects",
            };
            let to = match &route.uri {
                Some(uri) => format!("[{}]({uri})", one(&route.to)),
                None => one(&route.to),
            };
            let track = match route.track {
                Track::No => "",
                Track::Critical => " We follow critical ones, and update when there is a fix.",
                Track::Yes => " We follow it, and update when there is a fix.",
            };
            page.text(&format!("{what}: please go to {to}.{track}"));
        }
    }

    fn versions(&self, page: &mut Page) {
        if self.supported.is_empty() {
            return;
        }
        page.head("Supported versions");
        page.row(&["version", "security fixes"]);
        page.row(&["---", "---"]);
        for supported in &self.supported {
            let status = match supported.status {
                Status::Supported => "yes",
                Status::Sometimes => "sometimes",
                Status::OnRequest => "on request",
                Status::NoPromise => "no promise",
                Status::Unsupported => "no",
            };
            let class = match supported.class {
                Class::PreRelease => " (pre-release)",
                Class::Release | Class::Branch => "",
            };
            let criteria = supported
                .criteria
                .as_ref()
                .map_or(String::new(), |text| format!(". {}", one(text)));
            let version = format!("{}{class}", one(&supported.version));
            page.row(&[&version, &format!("{status}{criteria}")]);
        }
    }

    fn promises(&self, page: &mut Page) {
        page.head("What to expect");
        let clocks = &self.clocks;
        let who = match &clocks.ack_by {
            Some(role) => self.roles.names.get(role).map_or(role.clone(), one),
            None => "a maintainer".into(),
        };
        let who = capital(&who);
        page.text(&match clocks.ack {
            Clock::None => {
                format!("{who} will acknowledge your report. No time is promised for it.")
            }
            Clock::Prompt => format!("{who} will acknowledge your report promptly."),
            clock => format!("{who} will acknowledge your report within {}.", long(clock)),
        });
        if let Some(long) = time(clocks.detail) {
            page.text(&format!(
                "A detailed answer with the next steps follows within another {long}."
            ));
        }
        if let Some(long) = time(clocks.update) {
            page.text(&format!("You hear from us at least every {long}."));
        }
        if self.roles.handler {
            page.text("Every report has one person who coordinates it.");
        }
        if !self.process.steps.is_empty() {
            page.text("What we do:");
            let each = |per_version| {
                if per_version {
                    " (for every version concerned)"
                } else {
                    ""
                }
            };
            for (number, step) in (1..).zip(&self.process.steps) {
                page.step(
                    number,
                    &format!("{}{}", one(&step.text), each(step.per_version)),
                );
            }
        }
    }

    fn publication(&self, page: &mut Page) {
        page.head("Disclosure");
        let disclosure = &self.disclosure;
        let until = match disclosure.until {
            Until::NotSaid => "Please talk to us before you publish anything.",
            Until::Reasonable => "Please give us reasonable time before you publish anything.",
            Until::Addressed => {
                "Please keep it to yourself until we have reviewed and addressed it."
            }
            Until::Fixed => "Please keep it to yourself until a fix is out.",
            Until::Advisory => "Please keep it to yourself until the advisory is published.",
        };
        page.text(until);
        if disclosure.binds_team {
            page.text("The same binds everybody who contributes to the project.");
        }
        if disclosure.agree_on_date {
            page.text("Once the report is confirmed we agree on a timeline with you.");
        }
        if let Some(long) = time(self.clocks.embargo) {
            page.text(&format!(
                "It may be published {long} after your report, whatever has been done by then."
            ));
        }
        if !disclosure.publish.is_empty() {
            let places = disclosure.publish.iter().map(|place| match place {
                Publish::ReleaseNotes => "in the release notes",
                Publish::Advisory => "as a security advisory",
                Publish::Release => "with a release that has the fix",
            });
            page.text(&format!(
                "We publish it {}.",
                places.collect::<Vec<_>>().join(" and ")
            ));
        }
        match self.cve.by {
            CveBy::NotSaid => {}
            CveBy::Team => page.text("We ask for the CVE id. Please do not ask for one yourself."),
            CveBy::Either => page.text("You or we may ask for a CVE id; tell us if you did."),
        }
    }

    fn reward(&self, page: &mut Page) {
        let credit = &self.credit;
        let bounty = match self.bounty.mode {
            BountyMode::NotSaid => None,
            BountyMode::None => Some("We pay no rewards.".to_owned()),
            BountyMode::CaseByCase => Some(
                "There is no formal bounty programme. Rewards are decided case by case".to_owned(),
            ),
            BountyMode::Programme => Some("There is a bounty programme".to_owned()),
        };
        if !credit.offer && !credit.anonymous && bounty.is_none() {
            return;
        }
        page.head("Credit and rewards");
        if credit.offer {
            let whom = if credit.organisations {
                "you or your organisation"
            } else {
                "you"
            };
            page.text(&format!(
                "We name {whom} in the advisory, if you say that you want it."
            ));
        }
        if credit.anonymous {
            page.text("You may stay anonymous.");
        }
        if let Some(mut says) = bounty {
            if let Some(criteria) = &self.bounty.criteria {
                let _ = write!(says, ", by these criteria: {}", one(criteria));
            }
            if !says.ends_with('.') {
                says.push('.');
            }
            page.text(&says);
        }
    }

    fn harbor(&self, page: &mut Page) {
        let harbor = &self.safe_harbor;
        if harbor.mode == SafeHarborMode::None {
            return;
        }
        page.head("Safe harbour");
        if let Some(text) = &harbor.text {
            page.text(&one(text));
        }
        harbor
            .conditions
            .iter()
            .for_each(|condition| page.item(&one(condition)));
    }

    fn about(&self, page: &mut Page) {
        let project = &self.project;
        let mut says = Vec::new();
        says.extend(
            project
                .canonical
                .as_ref()
                .map(|url| format!("The policy stands at <{url}>.")),
        );
        says.extend(
            project
                .changes
                .as_ref()
                .map(|url| format!("Propose changes at <{url}>.")),
        );
        says.extend(
            project
                .last_updated
                .map(|day| format!("Last gone through on {}.", day.0)),
        );
        if !says.is_empty() {
            page.head("About this policy");
            page.text(&says.join(" "));
        }
    }
}

/// Markdown. Blocks have an empty line between them, and lines of one list or table have none.
#[derive(Default)]
struct Page {
    text: String,
    last: Option<Block>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Item,
    Step,
    Row,
}

impl Page {
    fn add(&mut self, block: Block, line: &str) {
        if self.last.is_some() && (self.last != Some(block) || block == Block::Text) {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.text.push('\n');
        self.last = Some(block);
    }

    fn head(&mut self, text: &str) {
        self.add(Block::Text, &format!("## {text}"));
    }

    fn text(&mut self, text: &str) {
        self.add(Block::Text, text);
    }

    fn item(&mut self, text: &str) {
        self.add(Block::Item, &format!("- {text}"));
    }

    fn step(&mut self, number: u64, text: &str) {
        self.add(Block::Step, &format!("{number}. {text}"));
    }

    /// What is in a cell ends at a bar.
    fn row(&mut self, cells: &[&str]) {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        self.add(Block::Row, &format!("| {} |", cells.join(" | ")));
    }
}

/// A text in one line: what is published is a list, and a line break would end an item.
fn one(text: &Text) -> String {
    text.to("en")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn drop_box(address: &str) -> String {
    format!(
        "in our drop box, encrypted on your machine, without an account, anonymously if you like:\n  `{address}`"
    )
}

fn encryption(asked: Encrypt, key: Option<&str>) -> String {
    let key = key.map_or(String::new(), |key| format!(" with [our key]({key})"));
    match asked {
        Encrypt::NotAsked => String::new(),
        Encrypt::IfPossible => format!(", encrypted{key} if you can"),
        Encrypt::Always => format!(", encrypted{key}"),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// How long a clock runs, in words; `None` where nothing is promised.
fn time(clock: Clock) -> Option<String> {
    (!matches!(clock, Clock::None | Clock::Prompt)).then(|| long(clock))
}

fn long(clock: Clock) -> String {
    let many = |count: u16, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    match clock {
        Clock::None | Clock::Prompt => "no time".into(),
        Clock::Hours(hours) => many(hours, "hour"),
        Clock::Days(days) => many(days, "day"),
        Clock::BusinessDays(days) => many(days, "business day"),
    }
}
