//! Failures as the person in front of the program sees them.

use sealdrop_client::ClientError;
use serde_json::{Map, Value};

/// Refused, or failed: nothing was changed, unless the sentence says so.
pub(crate) const REFUSED: u8 = 1;
/// The command line or an input file is not one that the program understands.
pub(crate) const USAGE: u8 = 2;

/// One sentence, what to do next, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: u8,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// More for `--json`, for instance the upload that can be resumed.
    pub(crate) fields: Map<String, Value>,
}

impl Failure {
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self {
            exit: REFUSED,
            message: message.into(),
            hint: None,
            fields: Map::new(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: USAGE,
            ..Self::refused(message)
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// One more thing to do.
    pub(crate) fn also(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = Some(match self.hint.take() {
            Some(first) => format!("{first}\n{hint}"),
            None => hint,
        });
        self
    }

    /// What `--json` shows of the result as well.
    pub(crate) fn with(mut self, fields: Map<String, Value>) -> Self {
        self.fields.extend(fields);
        self
    }

    pub(crate) fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }
}

/// Its texts say what to do next, so there is no hint to add.
impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::refused(error.to_string())
    }
}
