//! `report.json`: what a drop says. docs/protocol.md, "report.json".

use std::collections::BTreeMap;
use std::fmt;

use rand_core::CryptoRng;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::drop::archive::MAX_ATTACHMENTS;
use crate::encoding::{self, MAX_DECIMAL};
use crate::key::{BoxKey, PublicKey, VoiceRole};
use crate::phrase::{ConversationId, ReporterKeys};
use crate::recipient::Recipient;
use crate::roster::Roster;

/// The largest `report.json`, in bytes.
pub const MAX_REPORT: usize = 1 << 20;
/// The most fields of a form.
pub const MAX_FIELDS: usize = 64;
/// The longest title, in characters.
pub const MAX_TITLE: usize = 256;

/// What a drop is to its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The first of a conversation, or another report in it.
    Report,
    /// More about a report.
    FollowUp,
    /// The reporter takes the report back.
    Withdraw,
}

/// The public keys of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// Answers are sealed to it.
    pub recipient: Recipient,
    /// The X25519 share by which answers are found. Not of low order.
    pub clue: [u8; 32],
    /// The reporter's statements are signed by it.
    pub voice: PublicKey<VoiceRole>,
}

/// An attachment as the reporter named it. The name is for display only; see [`archive::attachment_member`](crate::drop::archive::attachment_member).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// 1 to 255 bytes of UTF-8, not to be trusted.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// A report, follow-up or withdrawal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it is to its conversation.
    pub kind: Kind,
    /// The box it was written to.
    pub box_key: BoxKey,
    /// The epoch of the roster it was sealed to.
    pub epoch: u64,
    /// SHA-256 of the policy that the roster named.
    pub policy: [u8; 32],
    /// Follows from the box and the voice key.
    pub conversation: ConversationId,
    /// Random; the same one again is a replay.
    pub message: [u8; 16],
    /// The conversation's public keys.
    pub reporter: Reporter,
    /// Field names to texts.
    pub form: BTreeMap<String, String>,
    /// In the order of their members in the archive.
    pub attachments: Vec<Attachment>,
}

/// A report breaks a rule of docs/protocol.md, "report.json".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Not the JSON that the specification asks for.
    #[error("report.json is not as the protocol says")]
    Malformed,
    /// More than [`MAX_REPORT`] bytes.
    #[error("the text is longer than 1 MiB; put it into an attachment")]
    TooLong,
    /// The title is longer than [`MAX_TITLE`] characters.
    #[error("the title is longer than 256 characters")]
    Title,
    /// A field name is not 1 to 64 of `a-z`, `0-9`, `-`, or there are more than [`MAX_FIELDS`].
    #[error("the form has too many fields, or one with a name that is not allowed")]
    Field,
    /// An attachment has a name or size that is not allowed, or there are more than 999.
    #[error(
        "there are more than 999 attachments, or one has no name or a name of more than 255 bytes"
    )]
    Attachment,
    /// The conversation id does not follow from the voice key and the box.
    #[error("the conversation is not that of the key that signs")]
    Conversation,
}

impl Report {
    /// A report of `keys`' conversation under `roster`, with a fresh message id and nothing in it yet.
    pub fn new(kind: Kind, roster: &Roster, keys: &ReporterKeys, rng: &mut impl CryptoRng) -> Self {
        let mut message = [0; 16];
        rng.fill_bytes(&mut message);
        Self {
            kind,
            box_key: roster.box_key().clone(),
            epoch: roster.epoch(),
            policy: *roster.policy_hash(),
            conversation: keys.conversation,
            message,
            reporter: Reporter {
                recipient: keys.identity.to_public(),
                clue: keys.clue.to_public(),
                voice: keys.voice.to_public(),
            },
            form: BTreeMap::new(),
            attachments: Vec::new(),
        }
    }

    /// The bytes of `report.json`.
    ///
    /// # Errors
    /// A rule that [`Report::parse`] would find broken.
    pub fn to_json(&self) -> Result<Vec<u8>, ReportError> {
        self.check()?;
        let json = serde_json::to_vec_pretty(&Wire::from(self))
            .expect("strings and numbers are always JSON");
        if json.len() > MAX_REPORT {
            Err(ReportError::TooLong)
        } else {
            Ok(json)
        }
    }

    /// Reads `report.json`. The signature is not checked here: `sealdrop-open` has the archive.
    ///
    /// # Errors
    /// As [`ReportError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() > MAX_REPORT {
            return Err(ReportError::TooLong);
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| ReportError::Malformed)?;
        let report = wire.into_report().ok_or(ReportError::Malformed)?;
        report.check()?;
        Ok(report)
    }

    fn check(&self) -> Result<(), ReportError> {
        let is_name = |name: &String| {
            (1..=64).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if self.form.len() > MAX_FIELDS || !self.form.keys().all(is_name) {
            return Err(ReportError::Field);
        }
        if self
            .form
            .get("title")
            .is_some_and(|title| title.chars().count() > MAX_TITLE)
        {
            return Err(ReportError::Title);
        }
        let fits = |a: &Attachment| (1..=255).contains(&a.name.len()) && a.size <= MAX_DECIMAL;
        if self.attachments.len() > MAX_ATTACHMENTS || !self.attachments.iter().all(fits) {
            return Err(ReportError::Attachment);
        }
        if self.conversation != ConversationId::derive(&self.box_key, &self.reporter.voice) {
            return Err(ReportError::Conversation);
        }
        Ok(())
    }
}

/// `report.json` field by field.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u64,
    kind: Kind,
    #[serde(rename = "box")]
    box_key: String,
    epoch: u64,
    policy: String,
    conversation: String,
    message: String,
    reporter: WireReporter,
    form: Form,
    attachments: Vec<Attachment>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireReporter {
    recipient: String,
    clue: String,
    voice: String,
}

impl From<&Report> for Wire {
    fn from(report: &Report) -> Self {
        Self {
            version: 1,
            kind: report.kind,
            box_key: report.box_key.to_string(),
            epoch: report.epoch,
            policy: encoding::hex(&report.policy),
            conversation: report.conversation.to_string(),
            message: encoding::hex(&report.message),
            reporter: WireReporter {
                recipient: report.reporter.recipient.to_string(),
                clue: encoding::base64(&report.reporter.clue),
                voice: encoding::base64(report.reporter.voice.as_bytes()),
            },
            form: Form(report.form.clone()),
            attachments: report.attachments.clone(),
        }
    }
}

impl Wire {
    fn into_report(self) -> Option<Report> {
        let clue = encoding::from_base64_array(&self.reporter.clue)?;
        let usable = self.version == 1
            && self.epoch <= MAX_DECIMAL
            && !crate::recipient::is_low_order(&clue);
        usable.then_some(())?;
        Some(Report {
            kind: self.kind,
            box_key: BoxKey::parse(&self.box_key).ok()?,
            epoch: self.epoch,
            policy: encoding::from_hex(&self.policy)?,
            conversation: ConversationId(encoding::from_hex(&self.conversation)?),
            message: encoding::from_hex(&self.message)?,
            reporter: Reporter {
                recipient: Recipient::parse(&self.reporter.recipient).ok()?,
                clue,
                voice: PublicKey::from_bytes(&encoding::from_base64_array(&self.reporter.voice)?)
                    .ok()?,
            },
            form: self.form.0,
            attachments: self.attachments,
        })
    }
}

/// The form, refusing a field that stands twice: two readers could show two texts.
struct Form(BTreeMap<String, String>);

impl Serialize for Form {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Form;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
                let mut form = BTreeMap::new();
                while let Some((name, text)) = map.next_entry()? {
                    if form.insert(name, text).is_some() {
                        return Err(A::Error::custom("a field stands twice"));
                    }
                }
                Ok(Form(form))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
