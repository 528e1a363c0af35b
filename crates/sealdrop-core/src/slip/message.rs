//! Messages: what the maintainers say, cut into parts and put together again. docs/protocol.md, "Message".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::part::{MAX_BODY, MAX_PARTS, Part, PartKind};
use crate::encoding;
use crate::key::BoxKey;
use crate::log::leaf::{Leaf, LeafKind};
use crate::phrase::ConversationId;
use crate::time::Window;

/// The most bytes of a message, over all of its parts.
pub const MAX_MESSAGE: usize = MAX_BODY * MAX_PARTS as usize;
/// The most leaves that an `ack` lists.
pub const MAX_LEAVES: usize = 256;
/// The most dates of a message.
pub const MAX_DATES: usize = 16;

/// What a message says. Which fields count depends on its [`PartKind`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// In words; may be empty.
    pub text: String,
    /// The drops that the maintainers received, in log order: with `ack`.
    pub leaves: Vec<Leaf>,
    /// The state that the report is in, a handle: with `status` and `closed`.
    pub state: Option<String>,
    /// What is to happen when: with `dates`.
    pub dates: Vec<Date>,
    /// A file: with `file`.
    pub file: Option<File>,
}

/// Something that is to happen on a day, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Date {
    /// A handle, such as `fix` or `disclosure`.
    pub what: String,
    /// The day that was promised: `YYYY-MM-DD`, in UTC. [`is_day`].
    pub on: String,
    /// The day on which it happened, in the same form; `None` until it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<String>,
}

/// A file from a maintainer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// 1 to 255 bytes of UTF-8, for display; never a path.
    pub name: String,
    /// The content, compressed as zlib (RFC 1950) has it.
    pub zlib: Vec<u8>,
    /// Bytes of the content once it is decompressed.
    pub size: u64,
}

/// Why a message cannot be sent, or what came is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not the JSON that the specification asks for.
    #[error("not a message as the protocol has it")]
    Malformed,
    /// More than [`MAX_MESSAGE`] bytes.
    #[error("the message has more than 128,000 bytes, even compressed")]
    TooLong,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leaves: Vec<WireLeaf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dates: Vec<Date>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<WireFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireLeaf {
    digest: String,
    size: u64,
    window: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFile {
    name: String,
    size: u64,
}

impl Message {
    /// The message's bytes: JSON, and for a file a line feed and the compressed content.
    ///
    /// # Errors
    /// A rule that [`Message::parse`] would find broken.
    pub fn to_bytes(&self) -> Result<Vec<u8>, MessageError> {
        self.check()?;
        let wire = Wire {
            text: self.text.clone(),
            leaves: self
                .leaves
                .iter()
                .map(|leaf| WireLeaf {
                    digest: encoding::hex(&leaf.digest),
                    size: leaf.size,
                    window: leaf.window.0,
                })
                .collect(),
            state: self.state.clone(),
            dates: self.dates.clone(),
            file: self.file.as_ref().map(|file| WireFile {
                name: file.name.clone(),
                size: file.size,
            }),
        };
        let mut bytes = serde_json::to_vec(&wire).expect("strings and numbers are always JSON");
        if let Some(file) = &self.file {
            bytes.push(b'\n');
            bytes.extend_from_slice(&file.zlib);
        }
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong);
        }
        Ok(bytes)
    }

    /// Reads what [`Message::to_bytes`] writes.
    ///
    /// # Errors
    /// As [`MessageError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong);
        }
        // JSON on one line has no line feed in it.
        let (json, zlib) = match bytes.iter().position(|&byte| byte == b'\n') {
            Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
            None => (bytes, None),
        };
        let wire: Wire = serde_json::from_slice(json).map_err(|_| MessageError::Malformed)?;
        let leaf = |leaf: WireLeaf| {
            Some(Leaf {
                kind: LeafKind::Drop,
                digest: encoding::from_hex(&leaf.digest)?,
                size: leaf.size,
                window: Window(leaf.window),
            })
        };
        let leaves: Option<Vec<_>> = wire.leaves.into_iter().map(leaf).collect();
        let file = match (wire.file, zlib) {
            (Some(file), Some(zlib)) => Some(File {
                name: file.name,
                size: file.size,
                zlib: zlib.to_vec(),
            }),
            (None, None) => None,
            _ => return Err(MessageError::Malformed),
        };
        let message = Self {
            text: wire.text,
            leaves: leaves.ok_or(MessageError::Malformed)?,
            state: wire.state,
            dates: wire.dates,
            file,
        };
        message.check()?;
        Ok(message)
    }

    fn check(&self) -> Result<(), MessageError> {
        let leaf = |leaf: &Leaf| {
            leaf.kind == LeafKind::Drop
                && leaf.size <= encoding::MAX_DECIMAL
                && leaf.window.0 <= encoding::MAX_DECIMAL
        };
        let fits = self.leaves.len() <= MAX_LEAVES
            && self.leaves.iter().all(leaf)
            && self.state.as_deref().is_none_or(encoding::is_handle)
            && self.dates.len() <= MAX_DATES
            && self.dates.iter().all(Date::is_sound)
            && self.file.as_ref().is_none_or(File::is_sound);
        if fits {
            Ok(())
        } else {
            Err(MessageError::Malformed)
        }
    }
}

impl Date {
    fn is_sound(&self) -> bool {
        encoding::is_handle(&self.what)
            && is_day(&self.on)
            && self.met.as_deref().is_none_or(is_day)
    }
}

/// Whether it is a day of the Gregorian calendar, as `YYYY-MM-DD`. docs/protocol.md, "Message".
#[must_use]
pub fn is_day(text: &str) -> bool {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
        digits.parse::<u32>().ok()
    };
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    text.len() == 10
        && text.as_bytes()[4] == b'-'
        && text.as_bytes()[7] == b'-'
        && (1..=days).contains(&day)
}

impl File {
    fn is_sound(&self) -> bool {
        (1..=255).contains(&self.name.len()) && self.size <= encoding::MAX_DECIMAL
    }
}

/// Who says what to whom: what all parts of a message have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The box that answers.
    pub box_key: BoxKey,
    /// The roster that holds the voice key of `member`.
    pub epoch: u64,
    /// Whom it answers.
    pub conversation: ConversationId,
    /// Random; the same one again is the same message.
    pub message: [u8; 16],
    /// Rises with each message of this member to this conversation; at most 2^53 − 1.
    pub number: u64,
    /// Who says it.
    pub member: String,
    /// What it is.
    pub kind: PartKind,
}

impl Envelope {
    /// Cuts a message into its parts.
    ///
    /// # Errors
    /// As [`Message::to_bytes`].
    pub fn parts(&self, message: &Message) -> Result<Vec<Part>, MessageError> {
        let bytes = message.to_bytes()?;
        let pieces: Vec<&[u8]> = bytes.chunks(MAX_BODY).collect();
        let parts = pieces.len() as u64;
        let part = |(piece, part): (&[u8], u64)| Part {
            box_key: self.box_key.clone(),
            epoch: self.epoch,
            conversation: self.conversation,
            message: self.message,
            number: self.number,
            part,
            parts,
            member: self.member.clone(),
            kind: self.kind,
            body: piece.to_vec(),
        };
        Ok(pieces.into_iter().zip(1..).map(part).collect())
    }

    fn of(part: &Part) -> Self {
        Self {
            box_key: part.box_key.clone(),
            epoch: part.epoch,
            conversation: part.conversation,
            message: part.message,
            number: part.number,
            member: part.member.clone(),
            kind: part.kind,
        }
    }
}

/// Parts of one message that have come so far.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// What they have in common.
    pub envelope: Envelope,
    /// How many there are.
    pub parts: u64,
    bodies: BTreeMap<u64, Vec<u8>>,
}

impl Assembly {
    /// Begins with one part; which one does not matter.
    #[must_use]
    pub fn new(part: Part) -> Self {
        Self {
            envelope: Envelope::of(&part),
            parts: part.parts,
            bodies: BTreeMap::from([(part.part, part.body)]),
        }
    }

    /// Adds a part; `false` if it is not of this message. A part that came before changes nothing.
    pub fn add(&mut self, part: Part) -> bool {
        let ours = Envelope::of(&part) == self.envelope && part.parts == self.parts;
        if ours {
            self.bodies.entry(part.part).or_insert(part.body);
        }
        ours
    }

    /// How many parts are here.
    #[must_use]
    pub fn here(&self) -> u64 {
        self.bodies.len() as u64
    }

    /// The message, once every part is here; `None` before.
    ///
    /// # Errors
    /// [`MessageError`] if what the parts make is no message.
    pub fn message(&self) -> Option<Result<Message, MessageError>> {
        (self.here() == self.parts).then(|| {
            let bytes: Vec<u8> = self.bodies.values().flatten().copied().collect();
            Message::parse(&bytes)
        })
    }
}
