//! The fields of a form that this version knows. docs/policy.md, "Form"; docs/protocol.md, "report.json".

use crate::rule::is_field;
use crate::schema::Form;

/// What kind of answer a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line, of at most so many characters.
    Line(usize),
    /// As many lines as it takes.
    Text,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A day, `YYYY-MM-DD`.
    Day,
}

/// A field that every client knows how to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in report.json.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it asks, in English.
    pub asks: &'static str,
}

const YES_NO: Kind = Kind::Choice(&["yes", "no"]);

/// All of them, in the order in which a form asks.
pub const FIELDS: &[Field] = &[
    field("title", Kind::Line(256), "One line that says what it is"),
    field("description", Kind::Text, "What is wrong"),
    field("impact", Kind::Text, "What it allows, and to whom"),
    field("why", Kind::Text, "Why it is a matter of security"),
    field(
        "steps",
        Kind::Text,
        "How to reproduce it, with code and configuration",
    ),
    field(
        "poc",
        Kind::Text,
        "A proof of concept, or the name of the attachment that is one",
    ),
    field("versions", Kind::Line(1_024), "Which versions are affected"),
    field("component", Kind::Line(1_024), "Which component"),
    field(
        "dependencies",
        Kind::Line(1_024),
        "Which dependencies, in which versions",
    ),
    field("location", Kind::Line(1_024), "Which file and function"),
    field("fix", Kind::Text, "How it could be fixed, or a patch"),
    field("cwe", Kind::Line(64), "Its kind of weakness, as in CWE-79"),
    field("cvss", Kind::Line(256), "Its severity, as a CVSS vector"),
    field(
        "exploited",
        Kind::Choice(&["no", "suspected", "evidence"]),
        "Whether it is exploited already",
    ),
    field("public", YES_NO, "Whether it is public already"),
    field("others", Kind::Text, "Who else was told"),
    field(
        "cve",
        Kind::Line(64),
        "The CVE id, if there is one or one was asked for",
    ),
    field(
        "backport",
        Kind::Text,
        "Whether you need it in an older version, and why",
    ),
    field(
        "disclosure",
        Kind::Day,
        "The day on which you want to publish",
    ),
    field(
        "contact",
        Kind::Line(1_024),
        "How to reach you, beside this conversation",
    ),
    field("bounty", YES_NO, "Whether you would take a reward"),
    field("ai", Kind::Text, "What AI was used for, if it was"),
];

const fn field(name: &'static str, kind: Kind, asks: &'static str) -> Field {
    Field { name, kind, asks }
}

/// The field of this name, if it is one that every client knows.
#[must_use]
pub fn known(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// Whether a form can ask for it: it is known, or the policy has words for it.
pub(crate) fn can_be_asked(name: &str, form: &Form) -> bool {
    known(name).is_some() || (is_field(name) && form.prompt.contains_key(name))
}

/// The known name that is nearest to what was written, if one is near.
pub(crate) fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.map(|name| (strsim::damerau_levenshtein(written, name), name));
    let (far, name) = near.min_by_key(|(far, _)| *far)?;
    (far <= 2.max(written.len() / 3)).then_some(name)
}
