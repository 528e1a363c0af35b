//! The text of a report: from flags, a file, or the person in front of the program.
//!
//! Markdown: the first `# heading` is the title; `## Description`, `## Steps`, `## Versions` and `## Credit` begin those parts, in any order and
//! case, also as `## Steps to reproduce` and `## Affected versions`; all other text is description, as it stands. TOML: one key for each.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use sealdrop_core::report::{Kind, MAX_REPORT, MAX_TITLE};
use serde::Deserialize;

use crate::cli::ReportArgs;
use crate::failure::Failure;
use crate::files;

/// What was given so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Form {
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) steps: Option<String>,
    pub(crate) versions: Option<String>,
    /// A name, or `none`.
    pub(crate) credit: Option<String>,
}

/// The parts of a report, as its headings name them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Description,
    Steps,
    Versions,
    Credit,
}

impl Form {
    /// What the command line gives: `--from`, then the flags over it.
    pub(crate) fn from_args(args: &ReportArgs, kind: Kind) -> Result<Self, Failure> {
        let file = args
            .from
            .as_deref()
            .map(|path| read_file(path, kind))
            .transpose()?
            .unwrap_or_default();
        let form = Self {
            title: args.title.clone().or(file.title),
            description: args.description.clone().or(file.description),
            steps: args.steps.clone().or(file.steps),
            versions: args.versions.clone().or(file.versions),
            credit: args.credit.clone().or(file.credit),
        };
        form.without_empty().checked()
    }

    /// From a text. Only a report has parts; what follows it is all in one.
    pub(crate) fn from_text(text: &str, kind: Kind) -> Self {
        match kind {
            Kind::Report => Self::from_markdown(text),
            Kind::FollowUp | Kind::Withdraw => Self {
                description: Some(text.into()),
                ..Self::default()
            }
            .without_empty(),
        }
    }

    /// The form as a text, for an editor.
    pub(crate) fn to_text(&self, kind: Kind) -> String {
        match kind {
            Kind::Report => self.to_markdown(),
            Kind::FollowUp | Kind::Withdraw => self.description.clone().unwrap_or_default(),
        }
    }

    pub(crate) fn from_markdown(text: &str) -> Self {
        let mut form = Self::default();
        let mut part = Part::Description;
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            let marker = ["```", "~~~"]
                .into_iter()
                .find(|marker| line.trim_start().starts_with(marker));
            match (fence, marker) {
                (None, Some(_)) => fence = marker,
                (Some(open), Some(close)) if open == close => fence = None,
                _ => {}
            }
            if fence.is_none()
                && form.title.is_none()
                && let Some(title) = line.strip_prefix("# ")
            {
                form.title = Some(title.trim().into());
                continue;
            }
            if fence.is_none()
                && let Some(found) = line.strip_prefix("## ").and_then(part_named)
            {
                part = found;
                continue;
            }
            let text = match part {
                Part::Description => &mut form.description,
                Part::Steps => &mut form.steps,
                Part::Versions => &mut form.versions,
                Part::Credit => &mut form.credit,
            };
            let text = text.get_or_insert_default();
            text.push_str(line);
            text.push('\n');
        }
        form.without_empty()
    }

    /// The form as Markdown, for an editor.
    pub(crate) fn to_markdown(&self) -> String {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        format!(
            "# {}\n\n{}\n\n## Steps\n\n{}\n\n## Versions\n\n{}\n\n## Credit\n\n{}\n",
            part(&self.title),
            part(&self.description),
            part(&self.steps),
            part(&self.versions),
            self.credit.as_deref().unwrap_or("none")
        )
    }

    /// Nothing is only white space, and nothing ends in it.
    pub(crate) fn without_empty(self) -> Self {
        let tidy = |text: Option<String>| {
            text.map(|t| t.trim_end().trim_start_matches(['\n', '\r']).to_owned())
                .filter(|t| !t.trim().is_empty())
        };
        Self {
            title: tidy(self.title).map(|title| title.trim().to_owned()),
            description: tidy(self.description),
            steps: tidy(self.steps),
            versions: tidy(self.versions),
            credit: tidy(self.credit).map(|credit| credit.trim().to_owned()),
        }
    }

    /// What the protocol would refuse is refused before anything is asked.
    pub(crate) fn checked(self) -> Result<Self, Failure> {
        let length = self.title.as_ref().map_or(0, |title| title.chars().count());
        if length > MAX_TITLE {
            return Err(Failure::usage(format!(
                "the title has {length} characters, and {MAX_TITLE} is the most"
            ))
            .hint("shorten it; the description has room for the rest"));
        }
        if self
            .title
            .as_ref()
            .is_some_and(|title| title.contains('\n'))
        {
            return Err(Failure::usage("the title has more than one line")
                .hint("put the rest into the description"));
        }
        Ok(self)
    }

    /// The same for a form that nothing more is added to.
    pub(crate) fn completed(self, kind: Kind) -> Result<Self, Failure> {
        let missing = self.missing(kind);
        if missing.is_empty() {
            return self.checked();
        }
        Err(Failure::usage(format!(
            "the report has no {}",
            missing.join(" and no ")
        )))
    }

    /// The names of the parts that cannot be done without, and that are missing.
    pub(crate) fn missing(&self, kind: Kind) -> Vec<&'static str> {
        let parts = [
            ("title", &self.title),
            ("description", &self.description),
            ("text", &self.description),
        ];
        let needed = match kind {
            Kind::Report => &parts[..2],
            Kind::FollowUp => &parts[2..],
            Kind::Withdraw => &[],
        };
        needed
            .iter()
            .filter(|(_, text)| text.is_none())
            .map(|(name, _)| *name)
            .collect()
    }

    /// The fields of report.json's form. docs/protocol.md, "report.json".
    pub(crate) fn to_fields(&self, kind: Kind) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        let texts = [
            ("title", &self.title),
            ("description", &self.description),
            ("steps", &self.steps),
            ("versions", &self.versions),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                fields.insert(name.into(), text.clone());
            }
        }
        match self.credited() {
            Some(name) => {
                fields.insert("credit".into(), "named".into());
                fields.insert("credit-name".into(), name.into());
            }
            None if kind == Kind::Report => drop(fields.insert("credit".into(), "none".into())),
            // It says nothing of credit, so what the report said stands.
            None => {}
        }
        fields
    }

    /// The name to credit, if any. Nobody is named who did not ask for it.
    pub(crate) fn credited(&self) -> Option<&str> {
        self.credit
            .as_deref()
            .filter(|credit| !credit.eq_ignore_ascii_case("none"))
    }
}

fn read_file(path: &Path, kind: Kind) -> Result<Form, Failure> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin()
            .lock()
            .take(MAX_REPORT as u64 + 1)
            .read_to_end(&mut bytes);
        read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
        bytes
    } else {
        files::read(path, MAX_REPORT).map_err(|failure| match failure.hint {
            None => failure.hint("shorten it, and send the longest part with --attach"),
            Some(_) => failure,
        })?
    };
    if bytes.len() > MAX_REPORT {
        return Err(
            Failure::usage("the text on standard input is longer than 1 MiB")
                .hint("shorten it, and send the longest part with --attach"),
        );
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::usage(format!("{} is not text in UTF-8", path.display()))
            .hint("send it with --attach, and describe it in the report")
    })?;
    // Some editors begin a file with this mark, which would hide the title behind it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let is_toml = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    if is_toml && kind == Kind::Report {
        toml::from_str(text).map_err(|error| {
            Failure::usage(format!(
                "{} is not a report: {}",
                path.display(),
                error.message()
            ))
            .hint(
                "it has the keys title, description, steps, versions and credit, each with a text",
            )
        })
    } else {
        Ok(Form::from_text(text, kind))
    }
}

fn part_named(heading: &str) -> Option<Part> {
    match heading.trim().trim_end_matches(':').to_lowercase().as_str() {
        "description" => Some(Part::Description),
        "steps" | "steps to reproduce" => Some(Part::Steps),
        "versions" | "affected versions" => Some(Part::Versions),
        "credit" => Some(Part::Credit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_has_its_parts() {
        let form = Form::from_markdown(
            "# Overflow\nFirst.\n\n## Details\nMore.\n## Steps to reproduce\n1. open\n```\n## Credit\n# no title\n```\n## Versions\n2.4\n## Credit\nAda\n",
        );
        assert_eq!(form.title.as_deref(), Some("Overflow"));
        assert_eq!(
            form.description.as_deref(),
            Some("First.\n\n## Details\nMore.")
        );
        assert_eq!(
            form.steps.as_deref(),
            Some("1. open\n```\n## Credit\n# no title\n```")
        );
        assert_eq!(form.versions.as_deref(), Some("2.4"));
        assert_eq!(form.credited(), Some("Ada"));
    }

    #[test]
    fn markdown_survives_an_editor() {
        let form = Form {
            title: Some("T".into()),
            description: Some("D".into()),
            ..Form::default()
        };
        let read = Form::from_markdown(&form.to_markdown());
        assert_eq!(
            read,
            Form {
                credit: Some("none".into()),
                ..form
            }
        );
        assert_eq!(read.credited(), None);
    }

    #[test]
    fn an_empty_text_has_nothing() {
        assert_eq!(Form::from_markdown("\n \n"), Form::default());
        assert_eq!(
            Form::default().missing(Kind::Report),
            ["title", "description"]
        );
        assert_eq!(Form::default().missing(Kind::FollowUp), ["text"]);
        assert_eq!(Form::default().missing(Kind::Withdraw), [""; 0]);
    }

    #[test]
    fn a_follow_up_is_one_text_and_says_nothing_of_credit() {
        let text = "# Not a title\n\n## Steps\nMore.";
        let form = Form::from_text(&format!("\n{text}\n\n"), Kind::FollowUp);
        assert_eq!(form.to_text(Kind::FollowUp), text);
        let fields = form.to_fields(Kind::FollowUp);
        assert_eq!(
            fields,
            BTreeMap::from([("description".into(), text.into())])
        );
    }

    #[test]
    fn nobody_is_credited_who_did_not_ask() {
        let fields = Form {
            title: Some("T".into()),
            ..Form::default()
        }
        .to_fields(Kind::Report);
        assert_eq!(fields.get("credit").map(String::as_str), Some("none"));
        assert!(!fields.contains_key("credit-name"));
    }
}
