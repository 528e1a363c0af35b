//! What is wrong with a policy: where, why, and what mends it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy is not taken.
    Error,
    /// It is taken, and will disappoint somebody.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Self { line, column, .. } = self;
        write!(
            f,
            "{line}:{column}: {severity}: {}; {}",
            self.message, self.mend
        )
    }
}

/// Where each value of a policy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    text: String,
    /// By path: `clocks.ack`, `channels.0.uri`.
    starts: BTreeMap<String, usize>,
}

impl Places {
    pub(crate) fn of(text: &str, table: &Spanned<DeTable<'_>>) -> Self {
        let mut places = Self {
            text: text.to_owned(),
            starts: BTreeMap::new(),
        };
        places.add_table("", table.get_ref());
        places
    }

    /// Where a value stands; if it does not, where the table does that it belongs into.
    fn start(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(start) = self.starts.get(path) {
                return *start;
            }
            let Some((parent, _)) = path.rsplit_once('.') else {
                return 0;
            };
            path = parent;
        }
    }

    pub(crate) fn finding(
        &self,
        severity: Severity,
        path: &str,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        let (line, column) = place(&self.text, self.start(path));
        Finding {
            severity,
            line,
            column,
            message: message.into(),
            mend: mend.into(),
        }
    }

    fn add_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = match path {
                "" => key.get_ref().to_string(),
                _ => format!("{path}.{}", key.get_ref()),
            };
            // A table is best found by its name.
            self.add(path, key.span(), value);
        }
    }

    fn add(&mut self, path: String, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(&path, table),
            DeValue::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    self.add(format!("{path}.{at}"), value.span(), value);
                }
            }
            _ => {}
        }
        self.starts.insert(path, span.start);
    }
}

/// Line and column of a byte.
pub(crate) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}
