//! Claims: a reporter ties a name to a conversation, once that is wanted. docs/protocol.md, "Claim".
//!
//! [`Claim::sign`] makes one, with nothing but the phrase; [`Claim::verify`] believes one.

use crate::encoding;
use crate::fields::Fields;
use crate::key::{BoxKey, VoiceRole};
use crate::note::{Note, NoteError, Vkey};
use crate::phrase::{ConversationId, ReporterKeys};

const FIRST_LINE: &str = "sealdrop/claim/v1";
/// The longest name, in characters.
pub const MAX_NAME: usize = 256;
/// The longest statement, in characters.
pub const MAX_STATEMENT: usize = 1_024;

/// "Whoever holds the phrase of this conversation gives this name." It unmasks: whoever sees it knows which conversation is whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The box of the conversation.
    pub box_key: BoxKey,
    /// The conversation.
    pub conversation: ConversationId,
    /// Whose it is said to be: one line of 1 to [`MAX_NAME`] characters.
    pub name: String,
    /// What else is said: one line of 1 to [`MAX_STATEMENT`] characters.
    pub statement: Option<String>,
}

/// Why a claim cannot be made, or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// Not a note of this form, or a name or statement that is empty, too long, or of more than one line.
    #[error("not a claim")]
    Malformed,
    /// `not signed`: not signed by the voice key that it names, or the signature is wrong.
    #[error("the claim's signature does not verify")]
    NotSigned,
    /// `another conversation`: the conversation does not follow from the voice key and the box.
    #[error("the conversation that the claim names is not that of the key that signed it")]
    AnotherConversation,
    /// `another box`.
    #[error("the claim is about a conversation with another box")]
    AnotherBox,
}

impl Claim {
    /// A claim on the conversation that `keys` have with `box_key`, signed.
    ///
    /// # Errors
    /// [`ClaimError::Malformed`] for a name or statement that no claim can hold.
    pub fn sign(
        keys: &ReporterKeys,
        box_key: &BoxKey,
        name: &str,
        statement: Option<&str>,
    ) -> Result<Note, ClaimError> {
        let fits = is_line(name, MAX_NAME) && statement.is_none_or(|s| is_line(s, MAX_STATEMENT));
        if !fits {
            return Err(ClaimError::Malformed);
        }
        let key_name = keys.conversation.to_string();
        let voice = Vkey::new(key_name.as_str(), keys.voice.to_public());
        let mut text = format!(
            "{FIRST_LINE}\nbox: {box_key}\nconversation: {key_name}\nvoice: {voice}\nname: {name}\n"
        );
        if let Some(statement) = statement {
            text.push_str(&format!("statement: {statement}\n"));
        }
        let note = Note::new(text).map_err(|_| ClaimError::Malformed)?;
        Ok(note.sign(&key_name, &keys.voice))
    }

    /// The claim that a note makes, if the voice key of the conversation signed it, and the conversation is one with `box_key`.
    ///
    /// It proves that somebody who holds the phrase signed that name, and not that the name is theirs: whoever is shown a phrase can claim too.
    ///
    /// # Errors
    /// As [`ClaimError`] says, in that order.
    pub fn verify(note: &Note, box_key: &BoxKey) -> Result<Self, ClaimError> {
        let (claim, voice) = parse(note.text()).ok_or(ClaimError::Malformed)?;
        if note.signatures().len() != 1 {
            return Err(ClaimError::Malformed);
        }
        note.verify(&voice).map_err(|error| match error {
            NoteError::Malformed => ClaimError::Malformed,
            NoteError::Unsigned | NoteError::BadSignature => ClaimError::NotSigned,
        })?;
        let follows = ConversationId::derive(&claim.box_key, voice.key());
        if claim.conversation != follows || voice.name() != follows.to_string() {
            return Err(ClaimError::AnotherConversation);
        }
        if claim.box_key != *box_key {
            return Err(ClaimError::AnotherBox);
        }
        Ok(claim)
    }
}

fn parse(text: &str) -> Option<(Claim, Vkey<VoiceRole>)> {
    let mut fields = Fields::new(text, FIRST_LINE)?;
    let box_key = BoxKey::parse(fields.take("box")?).ok()?;
    let conversation = ConversationId(encoding::from_hex(fields.take("conversation")?)?);
    let voice = Vkey::parse(fields.take("voice")?)?;
    let name = fields.take("name").filter(|name| is_line(name, MAX_NAME))?;
    let statement = match fields.is_empty() {
        true => None,
        false => Some(
            fields
                .take("statement")
                .filter(|statement| is_line(statement, MAX_STATEMENT))?
                .to_owned(),
        ),
    };
    fields.end()?;
    let claim = Claim {
        box_key,
        conversation,
        name: name.into(),
        statement,
    };
    Some((claim, voice))
}

/// Whether a text is one line of so many characters, without control characters and without white space around it.
fn is_line(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}
