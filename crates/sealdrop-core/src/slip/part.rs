//! What a slip's age file holds: one part of a message, signed. docs/protocol.md, "Part".

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::PLAINTEXT;
use crate::encoding::{self, MAX_DECIMAL};
use crate::key::{BoxKey, PublicKey, SecretKey, VoiceRole};
use crate::phrase::ConversationId;

/// The most bytes of a message in one part. Every part but the last has as many.
pub const MAX_BODY: usize = 2_000;
/// The most parts of a message.
pub const MAX_PARTS: u64 = 64;
/// The first line of what a part's signature covers.
const SIGNED_PREFIX: &[u8] = b"sealdrop/slip/v1\n";
const SIGNATURE: usize = 64;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// The maintainers have the report; it lists the leaves of what they received.
    Ack,
    /// They ask something.
    Question,
    /// What state the report is in.
    Status,
    /// Dates that they propose or promise.
    Dates,
    /// Anything else in words.
    Note,
    /// They closed the report.
    Closed,
    /// A file.
    File,
}

impl PartKind {
    /// The word that stands in the part.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Question => "question",
            Self::Status => "status",
            Self::Dates => "dates",
            Self::Note => "note",
            Self::Closed => "closed",
            Self::File => "file",
        }
    }
}

/// One part of a message, as a slip holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The box that answers.
    pub box_key: BoxKey,
    /// The roster that holds the voice key of `member`.
    pub epoch: u64,
    /// Whom it answers.
    pub conversation: ConversationId,
    /// The message's id: random, the same in all of its parts.
    pub message: [u8; 16],
    /// The message's place among those of this member to this conversation: the feed does not keep the order within a window.
    pub number: u64,
    /// Which part, from 1.
    pub part: u64,
    /// Of how many, at most [`MAX_PARTS`].
    pub parts: u64,
    /// Who says it.
    pub member: String,
    /// What it is.
    pub kind: PartKind,
    /// Its piece of the message, at most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// Why the plaintext of a slip is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// Not the form that the specification asks for.
    #[error("not an answer as the protocol has it")]
    Malformed,
    /// Not signed by that key.
    #[error("not signed by the member it names")]
    NotSigned,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u64,
    #[serde(rename = "box")]
    box_key: String,
    epoch: u64,
    conversation: String,
    message: String,
    number: u64,
    part: u64,
    parts: u64,
    member: String,
    kind: PartKind,
}

impl Part {
    /// Length of the head, head, length of the body, body, signature, zeros: [`PLAINTEXT`] bytes.
    pub(super) fn to_plaintext(&self, voice: &SecretKey<VoiceRole>) -> Zeroizing<Vec<u8>> {
        let head = serde_json::to_vec(&Wire {
            version: 1,
            box_key: self.box_key.to_string(),
            epoch: self.epoch,
            conversation: self.conversation.to_string(),
            message: encoding::hex(&self.message),
            number: self.number,
            part: self.part,
            parts: self.parts,
            member: self.member.clone(),
            kind: self.kind,
        })
        .expect("strings and numbers are always JSON");
        let mut plain = Zeroizing::new(Vec::with_capacity(PLAINTEXT + 16));
        for field in [&head, &self.body] {
            plain.extend_from_slice(&(field.len() as u16).to_be_bytes());
            plain.extend_from_slice(field);
        }
        let signature = voice.sign(&signed(&plain));
        plain.extend_from_slice(&signature);
        assert!(
            plain.len() <= PLAINTEXT,
            "a head has at most 316 bytes, a body at most 2,000"
        );
        plain.resize(PLAINTEXT, 0);
        plain
    }

    /// Reads the plaintext of a slip. Whose voice it must be signed with follows from what it says: `voice` gives the key of this member in the roster
    /// of this epoch.
    ///
    /// # Errors
    /// As [`PartError`] says; [`PartError::NotSigned`] also if `voice` knows no such key.
    pub fn open(
        plain: &[u8; PLAINTEXT],
        voice: impl FnOnce(&Self) -> Option<PublicKey<VoiceRole>>,
    ) -> Result<Self, PartError> {
        let (part, end) = Self::parse(plain).ok_or(PartError::Malformed)?;
        let signature = plain[end..]
            .first_chunk::<SIGNATURE>()
            .ok_or(PartError::Malformed)?;
        if plain[end + SIGNATURE..].iter().any(|&byte| byte != 0) {
            return Err(PartError::Malformed);
        }
        let key = voice(&part).ok_or(PartError::NotSigned)?;
        if key.verify(&signed(&plain[..end]), signature) {
            Ok(part)
        } else {
            Err(PartError::NotSigned)
        }
    }

    /// The part, and where what is signed ends.
    fn parse(plain: &[u8]) -> Option<(Self, usize)> {
        let (head, rest) = field(plain)?;
        let (body, rest) = field(rest)?;
        let wire: Wire = serde_json::from_slice(head).ok()?;
        let fits = wire.version == 1
            && wire.epoch <= MAX_DECIMAL
            && wire.number <= MAX_DECIMAL
            && (1..=MAX_PARTS).contains(&wire.parts)
            && (1..=wire.parts).contains(&wire.part)
            && encoding::is_handle(&wire.member)
            && body.len() <= MAX_BODY
            && (body.len() == MAX_BODY || wire.part == wire.parts);
        fits.then_some(())?;
        let part = Self {
            box_key: BoxKey::parse(&wire.box_key).ok()?,
            epoch: wire.epoch,
            conversation: ConversationId(encoding::from_hex(&wire.conversation)?),
            message: encoding::from_hex(&wire.message)?,
            number: wire.number,
            part: wire.part,
            parts: wire.parts,
            member: wire.member,
            kind: wire.kind,
            body: body.to_vec(),
        };
        Some((part, plain.len() - rest.len()))
    }
}

fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

fn signed(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut signed = Zeroizing::new(SIGNED_PREFIX.to_vec());
    signed.extend_from_slice(plain);
    signed
}
