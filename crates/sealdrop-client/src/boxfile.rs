//! The roster and policy of a box, as `GET /v1/box` gives them and as `sealdrop box` saves them. docs/protocol.md, "Roster".

use sealdrop_core::address::Origin;
use sealdrop_core::key::BoxKey;
use sealdrop_core::note::Note;
use sealdrop_core::roster::{Roster, Seen};
use sealdrop_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::ClientError;

/// The largest such JSON: a note and a policy, with room for JSON's escapes.
pub(crate) const MAX_BOX_FILE: usize = 2 << 20;

/// A roster and its policy, neither of them believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxFile {
    /// The signed roster.
    pub roster: Note,
    /// The policy's text.
    pub policy: String,
}

/// The bytes are not the JSON of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the roster and policy of a box")]
pub struct BoxFileError;

#[derive(Serialize, Deserialize)]
struct Wire {
    roster: String,
    policy: String,
}

impl BoxFile {
    /// Reads the JSON.
    ///
    /// # Errors
    /// [`BoxFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BoxFileError> {
        if bytes.len() > MAX_BOX_FILE {
            return Err(BoxFileError);
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| BoxFileError)?;
        let roster = Note::parse(wire.roster.as_bytes()).map_err(|_| BoxFileError)?;
        Ok(Self {
            roster,
            policy: wire.policy,
        })
    }

    /// The JSON, ending in a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let wire = Wire {
            roster: self.roster.to_string(),
            policy: self.policy.clone(),
        };
        let mut json = serde_json::to_string_pretty(&wire).expect("strings are always JSON");
        json.push('\n');
        json
    }

    /// Believes the roster, and the policy because the roster names its hash. `origin` is where it was asked for; `None` for a file.
    ///
    /// # Errors
    /// [`ClientError::Roster`] and [`ClientError::Policy`].
    pub fn verify(
        self,
        box_key: &BoxKey,
        origin: Option<&Origin>,
        now: Time,
        seen: Seen,
    ) -> Result<VerifiedBox, ClientError> {
        let roster = Roster::verify(&self.roster, box_key, origin, now, seen)?;
        self.with(roster)
    }

    /// Believes a roster of any time, for drops and proofs that outlive it. Never seal to the result.
    ///
    /// # Errors
    /// As [`BoxFile::verify`], without the checks of origin, time and epoch.
    pub fn verify_ignoring_expiry(self, box_key: &BoxKey) -> Result<VerifiedBox, ClientError> {
        let roster = Roster::verify_ignoring_expiry(&self.roster, box_key)?;
        self.with(roster)
    }

    fn with(self, roster: Roster) -> Result<VerifiedBox, ClientError> {
        if !roster.is_policy(self.policy.as_bytes()) {
            return Err(ClientError::Policy);
        }
        Ok(VerifiedBox {
            roster,
            policy: self.policy,
        })
    }
}

/// A roster that the box key signed, with the policy it names.
#[derive(Clone, Debug)]
pub struct VerifiedBox {
    roster: Roster,
    policy: String,
}

impl VerifiedBox {
    /// The roster.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The policy's text.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// As it was fetched, for `sealdrop box` or a keyring.
    #[must_use]
    pub fn to_file(&self) -> BoxFile {
        BoxFile {
            roster: self.roster.note().clone(),
            policy: self.policy.clone(),
        }
    }
}
