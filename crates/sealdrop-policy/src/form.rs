//! What a form asks, and whether a report has it. docs/policy.md, "Form".

use std::collections::BTreeMap;

use serde::Serialize;

use crate::fields::{self, Kind};
use crate::policy::{ATTACHMENT, Policy};

/// The most bytes of text that a report has room for. docs/protocol.md, "report.json".
pub const MAX_TEXT: u64 = 1 << 20;

/// One question of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The field's name in report.json.
    pub field: &'a str,
    /// What it asks: the policy's own words, or else those of the program.
    pub asks: &'a str,
    /// Whether these are the policy's own words, which no program translates.
    pub is_own: bool,
    /// What it takes.
    pub kind: Kind,
    /// Whether nothing is sealed without it.
    pub need: Need<'a>,
}

/// Whether a field can be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// It can.
    Optional,
    /// It cannot.
    Required,
    /// One of these is enough, this one among them; `attachment` is any attachment.
    OneOf(&'a [String]),
}

/// Why a report does not fit the form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "rule")]
pub enum Violation {
    /// None of these fields has a text.
    Missing {
        /// The fields, `attachment` among them if an attachment would do.
        one_of: Vec<String>,
    },
    /// A text has a link, and the policy wants none.
    Link {
        /// The field.
        field: String,
    },
    /// There is an attachment, and the policy wants none.
    Attachment,
    /// The texts together are longer than the policy allows.
    TooLong {
        /// Bytes.
        bytes: u64,
        /// The most.
        most: u64,
    },
    /// A field has something other than it takes.
    Malformed {
        /// The field.
        field: String,
        /// What it takes.
        takes: String,
    },
}

impl Policy {
    /// The questions in the order in which a form asks them: title first, then what is required, then the rest.
    #[must_use]
    pub fn questions(&self, language: &str) -> Vec<Question<'_>> {
        let form = &self.form;
        let mut questions: Vec<Question<'_>> = Vec::new();
        let mut add = |field, need| {
            if !questions.iter().any(|other| other.field == field) {
                questions.push(self.question(field, need, language));
            }
        };
        add("title", Need::Required);
        for rule in &form.require {
            for field in rule.fields().iter().filter(|field| *field != ATTACHMENT) {
                let need = match rule.fields() {
                    [_] => Need::Required,
                    several => Need::OneOf(several),
                };
                add(field, need);
            }
        }
        // Nobody could act on a report without it.
        add("description", Need::Required);
        form.ask.iter().for_each(|field| add(field, Need::Optional));
        questions
    }

    fn question<'a>(&'a self, field: &'a str, need: Need<'a>, language: &str) -> Question<'a> {
        let own = self.form.prompt.get(field).map(|text| text.to(language));
        let known = fields::known(field);
        Question {
            field,
            asks: own.or(known.map(|known| known.asks)).unwrap_or(field),
            is_own: own.is_some(),
            kind: known.map_or(Kind::Text, |known| known.kind),
            need,
        }
    }

    /// What a report lacks or has too much of; nothing if it fits.
    #[must_use]
    pub fn violations(
        &self,
        texts: &BTreeMap<String, String>,
        attachments: usize,
    ) -> Vec<Violation> {
        let form = &self.form;
        let has_text = |field: &str| match field {
            ATTACHMENT => attachments > 0,
            _ => texts.get(field).is_some_and(|text| !text.trim().is_empty()),
        };
        let unmet = form.require.iter().filter(|rule| !rule.is_met(has_text));
        let mut found: Vec<Violation> = unmet
            .map(|rule| Violation::Missing {
                one_of: rule.fields().to_vec(),
            })
            .collect();
        if attachments > 0 && !form.attachments {
            found.push(Violation::Attachment);
        }
        if !form.links {
            let linked = texts.iter().filter(|(_, text)| has_link(text));
            found.extend(linked.map(|(field, _)| Violation::Link {
                field: field.clone(),
            }));
        }
        let bytes: u64 = texts.values().map(|text| text.len() as u64).sum();
        let most = form.max_bytes.unwrap_or(MAX_TEXT);
        if bytes > most {
            found.push(Violation::TooLong { bytes, most });
        }
        found.extend(
            texts
                .iter()
                .filter_map(|(field, text)| malformed(field, text)),
        );
        found
    }
}

fn malformed(field: &str, text: &str) -> Option<Violation> {
    let takes = match fields::known(field)?.kind {
        Kind::Text => return None,
        Kind::Line(most) if text.chars().count() > most => format!("at most {most} characters"),
        Kind::Line(_) if text.contains(['\n', '\r']) => "one line".into(),
        Kind::Choice(choices) if !choices.contains(&text) => choices.join(", "),
        Kind::Day if text.parse::<jiff::civil::Date>().is_err() || text.len() != 10 => {
            "a day, 2026-12-31".into()
        }
        Kind::Line(_) | Kind::Choice(_) | Kind::Day => return None,
    };
    Some(Violation::Malformed {
        field: field.into(),
        takes,
    })
}

/// Whether there is a web address in a text: something with a scheme, or that begins as one does.
fn has_link(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let schemes = ["http://", "https://", "ftp://", "www."];
    schemes.iter().any(|scheme| {
        lower.match_indices(scheme).any(|(at, _)| {
            let before = lower[..at].chars().next_back();
            let after = lower[at + scheme.len()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
        })
    })
}
