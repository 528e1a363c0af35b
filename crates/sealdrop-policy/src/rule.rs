//! What a form requires: fields, or one of several. docs/policy.md, "Form".

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of these fields has to have a text: `description`, `steps|poc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Rule(#[schemars(with = "String")] Vec<String>);

impl Rule {
    /// The fields of which one is enough; at least one.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        &self.0
    }

    /// Whether one of them has a text.
    pub fn is_met(&self, has_text: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|field| has_text(field))
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<String> = text
            .split('|')
            .map(|field| field.trim().to_owned())
            .collect();
        match fields.iter().find(|field| !is_field(field)) {
            None => Ok(Self(fields)),
            Some(field) => Err(format!(
                "`{field}` is no name of a field: write 1 to 64 of a-z, 0-9 and -, and | between those of which one is enough"
            )),
        }
    }
}

impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("|"))
    }
}

/// Whether a report may have a field of this name. docs/protocol.md, "report.json".
pub(crate) fn is_field(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}
