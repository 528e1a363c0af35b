//! From a SECURITY.md in prose to a draft of a policy. Every line of the draft says from which line of the prose it was guessed, and what was not read
//! stands at its end: a person completes it, this never does. docs/policy.md, "Import".

mod prose;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prose::{Sentence, date, length, mailboxes, sentences, url};

/// The most bytes of prose that are read; what is beyond is not.
pub const MAX_PROSE: usize = 1 << 20;

/// A draft, and how far it can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// `policy.toml`, with comments.
    pub toml: String,
    /// What a person has to decide before the draft is a policy.
    pub open: Vec<Remark>,
    /// Sentences that nothing was made of.
    pub unread: Vec<Remark>,
}

/// Something about a line of the prose.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Remark {
    /// Line of the prose, from 1.
    pub line: usize,
    /// What there is to say.
    pub message: String,
}

/// Drafts a policy from prose in Markdown.
#[must_use]
pub fn import(prose: &str) -> Draft {
    let mut reader = Reader::default();
    let mut end = MAX_PROSE.min(prose.len());
    while !prose.is_char_boundary(end) {
        end -= 1;
    }
    for sentence in sentences(&prose[..end]) {
        reader.read(&sentence);
    }
    reader.draft()
}

#[derive(Default)]
struct Reader {
    /// By table, lines of TOML with the line of prose that each comes from.
    tables: BTreeMap<&'static str, Vec<(String, usize, String)>>,
    channels: Vec<(String, usize)>,
    supported: Vec<(String, usize)>,
    routes: Vec<(String, usize)>,
    require: Vec<(&'static str, usize)>,
    conditions: Vec<(String, usize)>,
    steps: Vec<(String, usize)>,
    open: Vec<Remark>,
    unread: Vec<Remark>,
}

/// Words of a list of what to include, and the field that they mean. The first that is found counts.
const CONTENTS: [(&str, &[&str]); 9] = [
    ("proof-of-concept", &["steps|poc"]),
    ("reproduc", &["steps"]),
    ("impact", &["description", "impact"]),
    ("suggest", &["fix"]),
    ("component", &["versions", "component", "dependencies"]),
    ("version", &["versions"]),
    ("contact information", &[]),
    ("description", &["description"]),
    ("describe", &["description"]),
];

impl Reader {
    fn read(&mut self, sentence: &Sentence) {
        let (has, line) = (|words: &str| sentence.lower.contains(words), sentence.line);
        let before = self.count();
        if sentence.is_damaged {
            self.open(
                line,
                format!(
                    "the item is damaged (\"{}\"): look it up, nothing was made of it",
                    sentence.text
                ),
            );
            return;
        }
        if has("use this section to tell people") {
            self.open(line, "the words of a template are still there");
            return;
        }
        self.channels(sentence);
        self.contents(sentence);
        self.clocks(sentence);
        self.versions(sentence);
        self.elsewhere(sentence);
        self.publication(sentence);
        self.harbor(sentence);
        if has("last updated") {
            match date(&sentence.lower) {
                Some(day) => self.say("project", format!("last_updated = {day}"), sentence),
                None => self.open(line, "the day of the last update could not be read"),
            }
        }
        if has("canonical")
            && let Some(url) = url(&sentence.text)
        {
            self.say("project", format!("canonical = {}", quoted(&url)), sentence);
        }
        if has("pull request") && (has("process") || has("policy")) {
            self.open(
                line,
                "changes by pull request: put the URL into project.changes",
            );
        }
        let is_process = sentence.heading.contains("response process")
            || sentence.before.contains("involving the following steps");
        if sentence.is_item && is_process {
            self.steps.push((sentence.text.clone(), line));
        }
        let says_so_itself = has_any(
            &sentence.lower,
            &[
                "do not open a public issue",
                "do not create a public issue",
                "thank you",
            ],
        );
        if self.count() == before && !says_so_itself {
            self.unread.push(Remark {
                line,
                message: sentence.text.clone(),
            });
        }
    }

    fn count(&self) -> usize {
        let said: usize = self.tables.values().map(Vec::len).sum();
        let lists = [
            &self.channels,
            &self.supported,
            &self.routes,
            &self.conditions,
            &self.steps,
        ];
        said + self.require.len()
            + self.open.len()
            + lists.iter().map(|list| list.len()).sum::<usize>()
    }

    fn say(&mut self, table: &'static str, toml: String, sentence: &Sentence) {
        let lines = self.tables.entry(table).or_default();
        let key = |toml: &str| toml.split(" = ").next().map(str::to_owned);
        // What was said first counts.
        if !lines.iter().any(|(other, ..)| key(other) == key(&toml)) {
            lines.push((toml, sentence.line, sentence.text.clone()));
        }
    }

    fn open(&mut self, line: usize, message: impl Into<String>) {
        self.open.push(Remark {
            line,
            message: message.into(),
        });
    }

    fn channels(&mut self, sentence: &Sentence) {
        let (lower, line) = (&sentence.lower, sentence.line);
        if lower.contains("advisory system") || lower.contains("security advisory\" button") {
            let there = self
                .channels
                .iter()
                .any(|(toml, _)| toml.contains("github"));
            if !there {
                self.channels
                    .push(("kind = \"github\"\nuri = \"\"".into(), line));
                self.open(
                    line,
                    "GitHub's private reporting: put the repository's URL into the channel",
                );
            }
        }
        for mailbox in mailboxes(&sentence.text) {
            let uri = format!("uri = {}", quoted(&format!("mailto:{mailbox}")));
            if !self.channels.iter().any(|(toml, _)| toml.contains(&uri)) {
                let converts = if lower.contains("convert that to a github") {
                    "github-advisory"
                } else {
                    "case"
                };
                self.channels.push((
                    format!("kind = \"email\"\n{uri}\nconverts_to = \"{converts}\""),
                    line,
                ));
            }
        }
        let asks_for_mail = has_any(
            lower,
            &[
                "email our",
                "email the",
                "mail our",
                "send an email",
                "e-mail",
            ],
        );
        if asks_for_mail
            && mailboxes(&sentence.text).is_empty()
            && !lower.contains("acknowledge your email")
        {
            let what = if lower.contains("listed in") {
                "the contact is said to stand elsewhere: look it up, and write it here"
            } else {
                "mail is asked for, and no address is given: write yours"
            };
            self.open(line, what);
        }
        if lower.contains("pgp")
            && let Some(key) = url(&sentence.text)
        {
            self.open(line, format!("a PGP key is offered: put key = {} and encrypt = \"if-possible\" into the channel of mail", quoted(&key)));
        }
    }

    fn contents(&mut self, sentence: &Sentence) {
        let is_asked = has_any(
            &sentence.before,
            &[
                "following information",
                "relevant information",
                "follow these steps",
            ],
        );
        if sentence.is_item && is_asked {
            let found = CONTENTS
                .iter()
                .find(|(words, _)| sentence.lower.contains(words));
            if let Some((_, fields)) = found {
                self.require
                    .extend(fields.iter().map(|field| (*field, sentence.line)));
                if fields.is_empty() {
                    self.open(
                        sentence.line,
                        "the conversation itself is the contact: nothing is asked",
                    );
                }
            }
        }
        if sentence.has(&["external links", "links or attachments"])
            && sentence.lower.contains("avoid")
        {
            self.say("form", "links = false".into(), sentence);
            self.say("form", "attachments = false".into(), sentence);
        }
    }

    fn clocks(&mut self, sentence: &Sentence) {
        let lower = &sentence.lower;
        if !sentence.has(&["acknowledg", "timeline", "another"]) {
            return;
        }
        if let Some(at) = lower
            .find("within")
            .filter(|_| lower.contains("acknowledge"))
        {
            if let Some(clock) = length(&lower[at..]) {
                self.say("clocks", format!("ack = \"{clock}\""), sentence);
            }
        } else if lower.contains("acknowledge your report promptly") {
            self.say("clocks", "ack = \"prompt\"".into(), sentence);
        } else if lower.contains("cannot guarantee") && lower.contains("timeline") {
            self.say("clocks", "ack = \"none\"".into(), sentence);
        }
        let another = lower.find("another");
        if let Some(at) = another.filter(|_| lower.contains("detailed response"))
            && let Some(clock) = length(&lower[at..])
        {
            self.say("clocks", format!("detail = \"{clock}\""), sentence);
        }
        if lower.contains("the lead maintainer will acknowledge") {
            self.say("clocks", "ack_by = \"lead\"".into(), sentence);
            self.say(
                "roles.names",
                "lead = \"the lead maintainer\"".into(),
                sentence,
            );
        }
    }

    fn versions(&mut self, sentence: &Sentence) {
        let (lower, line) = (&sentence.lower, sentence.line);
        if sentence.text.starts_with('|') {
            let mut cells = sentence.text.trim_matches('|').split('|').map(str::trim);
            let (version, status) = (
                cells.next().unwrap_or_default(),
                cells.next().unwrap_or_default(),
            );
            let status = match status {
                ":white_check_mark:" | "✅" | "yes" => "supported",
                ":x:" | "❌" | "no" => "unsupported",
                _ => return,
            };
            self.supported.push((
                format!("match = {}\nstatus = \"{status}\"", quoted(version)),
                line,
            ));
        } else if lower.contains("`main` branch") {
            self.supported.push((
                "match = \"main\"\nclass = \"branch\"\nstatus = \"supported\"".into(),
                line,
            ));
        } else if lower.contains("current feature release") {
            self.supported.push((
                "match = \"the current feature release\"\nstatus = \"supported\"".into(),
                line,
            ));
        } else if lower.contains("backport") {
            self.supported.push(("match = \"the previous feature branch\"\nclass = \"branch\"\nstatus = \"on-request\"".into(), line));
        } else if lower.contains("older versions") {
            self.supported.push((
                "match = \"older versions\"\nstatus = \"sometimes\"".into(),
                line,
            ));
        } else if lower.contains("alpha and beta") {
            self.supported.push(("match = \"alpha and beta releases\"\nclass = \"pre-release\"\nstatus = \"no-promise\"".into(), line));
        }
    }

    fn elsewhere(&mut self, sentence: &Sentence) {
        let (lower, line) = (&sentence.lower, sentence.line);
        let mut route = |when: &str, to: &str| {
            self.routes
                .push((format!("when = \"{when}\"\nto = {}", quoted(to)), line))
        };
        if sentence.has(&["third-party", "third‑party"]) && lower.contains("report it") {
            route("third-party", "the maintainers of what it is in");
        } else if lower.contains("other projects or systems") {
            route("other-project", "the owners of that project or system");
        } else if sentence.has(&["non-security questions", "non‑security questions"]) {
            route("not-security", "an issue, or the mailing list");
        }
        if sentence.has(&["policy covers", "policy only covers"]) {
            self.say(
                "scope",
                format!("in = [{}]", quoted(&sentence.text)),
                sentence,
            );
        }
    }

    fn publication(&mut self, sentence: &Sentence) {
        let lower = &sentence.lower;
        let until = if lower.contains("until the advisory is published") {
            Some("advisory")
        } else if lower.contains("review and address the issue") {
            Some("addressed")
        } else if lower.contains("reasonable") && lower.contains("time") {
            Some("reasonable")
        } else {
            None
        };
        if let Some(until) = until {
            // The strictest that is said counts.
            if until == "advisory"
                && let Some(lines) = self.tables.get_mut("disclosure")
            {
                lines.retain(|(toml, ..)| !toml.starts_with("until"));
            }
            self.say("disclosure", format!("until = \"{until}\""), sentence);
        }
        if lower.contains("all contributors must refrain") {
            self.say("disclosure", "binds_team = true".into(), sentence);
        }
        if lower.contains("resolution timeline") {
            self.say("disclosure", "agree_on_date = true".into(), sentence);
        }
        if lower.contains("release notes") {
            self.say(
                "disclosure",
                "publish = [\"release-notes\", \"advisory\"]".into(),
                sentence,
            );
        } else if lower.contains("released to pypi") {
            self.say("disclosure", "publish = [\"release\"]".into(), sentence);
        }
        if lower.contains("cve id") && lower.contains("do not") {
            self.say("cve", "by = \"team\"".into(), sentence);
        }
        if has_any(
            lower,
            &[
                "give credit",
                "credit is given",
                "acknowledge your contributions",
                "publicly acknowledge",
            ],
        ) {
            self.say("credit", "offer = true".into(), sentence);
            if lower.contains("organization") {
                self.say("credit", "organisations = true".into(), sentence);
            }
        }
        if lower.contains("anonymous") {
            self.say("credit", "anonymous = true".into(), sentence);
        }
        if lower.contains("do not offer financial compensation") {
            self.say("bounty", "mode = \"none\"".into(), sentence);
        } else if lower.contains("case-by-case") {
            self.say("bounty", "mode = \"case-by-case\"".into(), sentence);
        }
        if lower.contains("assign it to a primary handler") {
            self.say("roles", "handler = true".into(), sentence);
        }
        if lower.contains("severity and impact") && !lower.contains("backport") {
            self.say("process", "severity = true".into(), sentence);
        }
        if lower.contains("mitigation") {
            self.say("process", "mitigation = true".into(), sentence);
        }
    }

    fn harbor(&mut self, sentence: &Sentence) {
        if !sentence.heading.contains("safe harb") {
            return;
        }
        if sentence.is_item {
            self.conditions.push((sentence.text.clone(), sentence.line));
        } else if has_any(
            &sentence.lower,
            &["will not initiate", "safe harbor for", "safe harbour for"],
        ) {
            self.say(
                "safe_harbor",
                format!("text = {}", quoted(&sentence.text)),
                sentence,
            );
        }
    }

    fn draft(mut self) -> Draft {
        let mut toml = String::from(
            "# A draft from prose. Every line below is a guess from the line that it names: check each, then delete the remarks.\nschema = 1\n",
        );
        if self.channels.is_empty() {
            self.open(1, "no way to report was found: add [[channels]]");
        }
        let out = &mut toml;
        let name = "\n[project]\nname = \"\"\n";
        out.push_str(name);
        self.open.push(Remark {
            line: 1,
            message: "put the project's name into project.name".into(),
        });
        let mut write_table = |table: &str, lines: &[(String, usize, String)], with_head: bool| {
            if with_head {
                let _ = writeln!(out, "\n[{table}]");
            }
            for (line, from, text) in lines {
                let _ = writeln!(out, "{line} # line {from}: {}", short(text));
            }
        };
        write_table(
            "project",
            self.tables.remove("project").as_deref().unwrap_or_default(),
            false,
        );
        for (table, lines) in &self.tables {
            if !matches!(*table, "form" | "safe_harbor" | "process") {
                write_table(table, lines, true);
            }
        }
        for (head, list) in [
            ("channels", &self.channels),
            ("supported", &self.supported),
            ("routes", &self.routes),
        ] {
            for (lines, from) in list {
                let _ = writeln!(toml, "\n[[{head}]] # line {from}\n{lines}");
            }
        }
        let form = self.tables.remove("form").unwrap_or_default();
        if !(form.is_empty() && self.require.is_empty()) {
            toml.push_str("\n[form]\n");
            let mut seen = Vec::new();
            self.require.retain(|(field, _)| {
                let is_new = !seen.contains(field);
                seen.push(*field);
                is_new
            });
            if !self.require.is_empty() {
                toml.push_str("require = [\n");
                for (field, from) in &self.require {
                    let _ = writeln!(toml, "  \"{field}\", # line {from}");
                }
                toml.push_str("]\n");
            }
            for (line, from, text) in &form {
                let _ = writeln!(toml, "{line} # line {from}: {}", short(text));
            }
        }
        list(
            &mut toml,
            "process",
            &self.tables.remove("process").unwrap_or_default(),
            "steps",
            &self.steps,
            |(number, text)| format!("{{ id = \"step-{number}\", text = {} }}", quoted(text)),
        );
        let mut harbor = self.tables.remove("safe_harbor").unwrap_or_default();
        if let Some((_, from, text)) = harbor.first().cloned() {
            let mode = if self.conditions.is_empty() {
                "good-faith"
            } else {
                "conditions"
            };
            harbor.insert(0, (format!("mode = \"{mode}\""), from, text));
        }
        list(
            &mut toml,
            "safe_harbor",
            &harbor,
            "conditions",
            &self.conditions,
            |(_, text)| quoted(text),
        );
        for (head, remarks) in [("To decide", &self.open), ("Not read", &self.unread)] {
            if !remarks.is_empty() {
                let _ = writeln!(toml, "\n# {head}:");
            }
            for remark in remarks {
                let _ = writeln!(toml, "# line {}: {}", remark.line, remark.message);
            }
        }
        Draft {
            toml,
            open: self.open,
            unread: self.unread,
        }
    }
}

/// A table with lines and one list.
fn list(
    toml: &mut String,
    table: &str,
    lines: &[(String, usize, String)],
    key: &str,
    items: &[(String, usize)],
    item: impl Fn((usize, &str)) -> String,
) {
    if lines.is_empty() && items.is_empty() {
        return;
    }
    let _ = writeln!(toml, "\n[{table}]");
    for (line, from, text) in lines {
        let _ = writeln!(toml, "{line} # line {from}: {}", short(text));
    }
    if !items.is_empty() {
        let _ = writeln!(toml, "{key} = [");
        for (number, (text, from)) in (1..).zip(items) {
            let _ = writeln!(toml, "  {}, # line {from}", item((number, text)));
        }
        toml.push_str("]\n");
    }
}

fn has_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|words| text.contains(words))
}

/// A string of TOML, on one line.
fn quoted(text: &str) -> String {
    toml::Value::String(text.split_whitespace().collect::<Vec<_>>().join(" ")).to_string()
}

/// What a remark has room for.
fn short(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
