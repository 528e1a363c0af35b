//! The types of `policy.toml`. docs/policy.md goes through them one by one; the JSON Schema is made from them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::rule::Rule;

/// A project's policy: what it asks of reporters, and what it promises them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wire {
    /// The version of this schema: 1.
    pub schema: u64,
    /// Whose policy it is.
    pub project: Project,
    /// Where to report, the preferred way first.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// What the policy is about.
    #[serde(default)]
    pub scope: Scope,
    /// Versions, in the order in which the form offers them.
    #[serde(default)]
    pub supported: Vec<Supported>,
    /// Who does what by when.
    #[serde(default)]
    pub clocks: Clocks,
    /// What a report holds.
    #[serde(default)]
    pub form: Form,
    /// What a reporter is to read before sealing. It warns, and never blocks.
    #[serde(default)]
    pub checklist: Vec<Check>,
    /// What belongs elsewhere.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Who has to be there for a case.
    #[serde(default)]
    pub roles: Roles,
    /// What the team does with a case, in order.
    #[serde(default)]
    pub process: Process,
    /// When it becomes public.
    #[serde(default)]
    pub disclosure: Disclosure,
    /// Who asks for a CVE id.
    #[serde(default)]
    pub cve: Cve,
    /// Who is named.
    #[serde(default)]
    pub credit: Credit,
    /// Whether there is money.
    #[serde(default)]
    pub bounty: Bounty,
    /// What the project promises not to do.
    #[serde(default)]
    pub safe_harbor: SafeHarbor,
    /// Whether reports are taken now, and how many.
    #[serde(default)]
    pub intake: Intake,
    /// What the law asks of the project.
    #[serde(default)]
    pub regulatory: Regulatory,
}

/// A text for people, in the policy's first language, or in several: `"…"`, or `{ en = "…", de = "…" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Text {
    /// In the policy's first language.
    Plain(String),
    /// By language tag (BCP 47).
    In(BTreeMap<String, String>),
}

impl Text {
    /// The text in this language; if it has none, in English; if not that either, in any.
    #[must_use]
    pub fn to(&self, language: &str) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::In(texts) => {
                let found = texts.get(language).or_else(|| texts.get("en"));
                found
                    .or_else(|| texts.values().next())
                    .map_or("", String::as_str)
            }
        }
    }
}

/// Whose policy it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The name, in one line.
    pub name: String,
    /// The URL at which the policy stands, if this is a copy.
    pub canonical: Option<String>,
    /// When a person last went through it: `YYYY-MM-DD`.
    pub last_updated: Option<Day>,
    /// The languages that reports may be written in, the preferred one first (BCP 47).
    #[serde(default)]
    pub languages: Vec<String>,
    /// A page that thanks those who reported.
    pub acknowledgments: Option<String>,
    /// Where changes to the policy are proposed.
    pub changes: Option<String>,
}

/// A day, `YYYY-MM-DD`, as a TOML date or a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Day(#[schemars(with = "String")] pub jiff::civil::Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Date(toml::value::Datetime),
            Text(String),
        }
        let text = match Either::deserialize(deserializer)? {
            Either::Date(date) => date.to_string(),
            Either::Text(text) => text,
        };
        let day = text.parse().ok().filter(|_| text.len() == 10);
        day.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is no day: write 2026-12-31"))
        })
    }
}

/// A way to report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// What kind of way it is.
    pub kind: ChannelKind,
    /// A drop address, `mailto:…`, or the page where one reports.
    pub uri: String,
    /// What kind of encryption the policy asks for.
    #[serde(default)]
    pub encrypt: Encrypt,
    /// Where the key is, for a way that is not encrypted by itself.
    pub key: Option<String>,
    /// What the team makes of it: `github-advisory` or `case`.
    pub converts_to: Option<ConvertsTo>,
}

/// A kind of way to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// A drop box.
    Sealdrop,
    /// E-mail.
    Email,
    /// GitHub's private vulnerability reporting.
    Github,
    /// A page of another kind.
    Web,
}

/// Whether a way is to be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encrypt {
    /// The policy asks for nothing.
    #[default]
    NotAsked,
    /// If the reporter can.
    IfPossible,
    /// Nothing else is taken.
    Always,
}

/// What the team makes of what comes this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConvertsTo {
    /// A case of the desk (`sealdrop-desk import`).
    Case,
    /// A draft of a GitHub security advisory.
    GithubAdvisory,
}

/// What the policy is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// What it covers.
    #[serde(default, rename = "in")]
    pub inside: Vec<Text>,
    /// What it does not.
    #[serde(default, rename = "out")]
    pub outside: Vec<Text>,
}

/// A version, a branch, or a range of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Supported {
    /// As the form shows it: `main`, `2.x`, `current feature release`.
    #[serde(rename = "match")]
    pub version: Text,
    /// Whether fixes are made for it.
    pub status: Status,
    /// What it is.
    #[serde(default)]
    pub class: Class,
    /// On what it depends, where it is `sometimes`.
    pub criteria: Option<Text>,
}

/// Whether fixes are made for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Yes.
    Supported,
    /// When it is feasible, as the criteria say.
    Sometimes,
    /// When a reporter asks, as the criteria say: the form asks.
    OnRequest,
    /// Reports are welcome, and nothing is promised.
    NoPromise,
    /// No.
    Unsupported,
}

/// What a version is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A release.
    #[default]
    Release,
    /// An alpha, a beta, a candidate.
    PreRelease,
    /// A branch of the repository.
    Branch,
}

/// Who does what by when. Where the policy promises no time, there is no countdown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clocks {
    /// From receipt to the acknowledgement by a person.
    #[serde(default)]
    pub ack: Clock,
    /// The role that has to acknowledge; anybody if it is not given.
    pub ack_by: Option<String>,
    /// From the acknowledgement to a detailed answer with the next steps.
    #[serde(default)]
    pub detail: Clock,
    /// From one word to the reporter to the next.
    #[serde(default)]
    pub update: Clock,
    /// From receipt to the day on which it may become public, whatever has been done.
    #[serde(default)]
    pub embargo: Clock,
    /// The time zone in which days begin (IANA); UTC if it is not given.
    pub tz: Option<String>,
    /// Days of the week that are no business days; Saturday and Sunday if it is not given.
    pub weekend: Option<Vec<Weekday>>,
    /// Days that are no business days.
    #[serde(default)]
    pub holidays: Vec<Day>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "there is nothing to say of them")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// What a report holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Form {
    /// Fields without which nothing is sealed: a name, or several with `|` between them, of which one is enough.
    pub require: Vec<Rule>,
    /// Fields that are asked for, and may be left out.
    pub ask: Vec<String>,
    /// What the form says at a field, instead of its own words; and the words for fields that are the policy's own.
    pub prompt: BTreeMap<String, Text>,
    /// Whether a text may have links.
    pub links: bool,
    /// Whether there may be attachments.
    pub attachments: bool,
    /// The most bytes of all texts together; 1 MiB, which is the protocol's bound, if it is not given.
    pub max_bytes: Option<u64>,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            require: Vec::new(),
            ask: Vec::new(),
            prompt: BTreeMap::new(),
            links: true,
            attachments: true,
            max_bytes: None,
        }
    }
}

/// Something a reporter is to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// A handle, by which the report says that it was met.
    pub id: String,
    /// What it is.
    pub text: Text,
    /// What is said when it is met.
    pub on_match: Text,
}

/// What belongs elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What is asked: whether the report is of this kind.
    pub when: RouteWhen,
    /// To whom it goes.
    pub to: Text,
    /// Where that is, if it is one place.
    pub uri: Option<String>,
    /// The text to send there.
    pub text: Option<Text>,
    /// Whether the team keeps an eye on it all the same.
    #[serde(default)]
    pub track: Track,
}

/// A kind of report that belongs elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouteWhen {
    /// It is in software of somebody else.
    ThirdParty,
    /// It is no matter of security.
    NotSecurity,
    /// It is of another project.
    OtherProject,
}

/// Whether the team keeps an eye on what was sent elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Track {
    /// No.
    #[default]
    No,
    /// If it is critical.
    Critical,
    /// Always.
    Yes,
}

/// Who has to be there for a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Whether every case has one member who coordinates it.
    #[serde(default)]
    pub handler: bool,
    /// Roles that the policy speaks of, with what they are called in it.
    #[serde(default)]
    pub names: BTreeMap<String, Text>,
}

/// What the team does with a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Tasks, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Whether severity (CVSS) has to be set before a fix is planned.
    #[serde(default)]
    pub severity: bool,
    /// Whether a mitigation counts as an outcome, beside a fix.
    #[serde(default)]
    pub mitigation: bool,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A handle.
    pub id: String,
    /// What is to be done.
    pub text: Text,
    /// Whether it is done once for each version that is supported.
    #[serde(default)]
    pub per_version: bool,
}

/// When it becomes public.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// Until when it is kept quiet.
    #[serde(default)]
    pub until: Until,
    /// Whether the team is bound by that, too, and not the reporter alone.
    #[serde(default)]
    pub binds_team: bool,
    /// Whether a date is agreed on once the report is confirmed.
    #[serde(default)]
    pub agree_on_date: bool,
    /// Where it is published.
    #[serde(default)]
    pub publish: Vec<Publish>,
}

/// Until when it is kept quiet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// The policy does not say.
    #[default]
    NotSaid,
    /// The team had reasonable time; it is agreed on.
    Reasonable,
    /// It was reviewed and addressed.
    Addressed,
    /// A fix is out.
    Fixed,
    /// The advisory is published.
    Advisory,
}

/// Where it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Publish {
    /// In the notes of the release.
    ReleaseNotes,
    /// As an advisory of the repository.
    Advisory,
    /// As a package on PyPI or elsewhere that has the fix.
    Release,
}

/// Who asks for a CVE id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cve {
    /// Who does.
    #[serde(default)]
    pub by: CveBy,
    /// Of which CNA, if it is always the same.
    pub cna: Option<String>,
}

/// Who asks for a CVE id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CveBy {
    /// The policy does not say.
    #[default]
    NotSaid,
    /// The team alone: the reporter must not.
    Team,
    /// Either.
    Either,
}

/// Who is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// Whether the project names those who reported. Nobody is named who did not say so, whatever this says.
    #[serde(default)]
    pub offer: bool,
    /// Whether an organisation may be named.
    #[serde(default)]
    pub organisations: bool,
    /// Whether the policy promises that one may stay anonymous.
    #[serde(default)]
    pub anonymous: bool,
}

/// Whether there is money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bounty {
    /// Whether, and how.
    #[serde(default)]
    pub mode: BountyMode,
    /// What decides.
    pub criteria: Option<Text>,
}

/// Whether there is money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BountyMode {
    /// The policy does not say.
    #[default]
    NotSaid,
    /// There is none.
    None,
    /// It is decided case by case.
    CaseByCase,
    /// There is a programme.
    Programme,
}

/// What the project promises not to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SafeHarbor {
    /// What it hangs on.
    #[serde(default)]
    pub mode: SafeHarborMode,
    /// What a reporter attests, one by one.
    #[serde(default)]
    pub conditions: Vec<Text>,
    /// The promise.
    pub text: Option<Text>,
}

/// What a safe harbour hangs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SafeHarborMode {
    /// There is none.
    #[default]
    None,
    /// Good faith: a text, and no conditions to attest.
    GoodFaith,
    /// Conditions, each attested in the report.
    Conditions,
}

/// Whether reports are taken now, and how many. The clients keep it: the server cannot see what a drop is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// Until when nothing is taken but what is exploited already.
    pub paused_until: Option<Day>,
    /// Why.
    pub reason: Option<Text>,
    /// How many reports are dealt with in a day; those beyond wait.
    pub daily_cap: Option<u64>,
    /// Whether the form asks if AI was used, and what it says of that.
    #[serde(default)]
    pub ai: Ai,
}

/// Whether the form asks if AI was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ai {
    /// It does not.
    #[default]
    NotAsked,
    /// It does.
    Asked,
}

/// What the law asks of the project (Regulation (EU) 2024/2847, Art. 14 and 24).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Regulatory {
    /// What the project is to the regulation.
    #[serde(default)]
    pub role: RegulatoryRole,
}

/// What the project is to the regulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegulatoryRole {
    /// Nothing.
    #[default]
    None,
    /// An open-source software steward.
    Steward,
    /// A manufacturer.
    Manufacturer,
}
