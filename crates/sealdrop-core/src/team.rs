//! Team events: a member gives the others what opens older drops. docs/protocol.md, "Team event".
//!
//! Read first: [`TeamEvent::sign`] and [`TeamEvent::verify`].

use std::collections::HashSet;
use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::drop::FileKey;
use crate::encoding;
use crate::fields::Fields;
use crate::key::{BoxKey, SecretKey, VoiceRole};
use crate::note::{Note, Vkey};
use crate::phrase::ConversationId;
use crate::report::Report;
use crate::time::Window;

/// The most grants of one event. With so many its drop still has the smallest size, which is that of any short report.
pub const MAX_GRANTS: usize = 400;

const FIRST_LINE: &str = "sealdrop/team/v1";

/// What opens one drop, for somebody to whom it was not sealed.
pub struct Grant {
    /// SHA-256 of the drop.
    pub digest: [u8; 32],
    /// Its length in bytes.
    pub size: u64,
    /// The window in which the server took it.
    pub window: Window,
    /// Its file key. Whoever holds it reads that drop, and no other.
    pub file_key: FileKey,
}

/// The drop that carries an event. An event counts in that one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier<'a> {
    /// The box that it is sealed for.
    pub box_key: &'a BoxKey,
    /// Its conversation, made for this one drop.
    pub conversation: &'a ConversationId,
    /// Its message id.
    pub message: &'a [u8; 16],
}

/// A member's word on older drops. It has neither Debug nor Clone: it is as secret as the reports that it opens.
pub struct TeamEvent {
    /// 1 to [`MAX_GRANTS`], of as many drops.
    pub grants: Vec<Grant>,
}

/// Why a note is no team event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TeamError {
    /// Not the text that docs/protocol.md asks for, or more than one signature.
    #[error("not a team event")]
    Malformed,
    /// Not signed by the voice key asked for.
    #[error("not signed by this member")]
    Signature,
    /// Made for another drop than the one that carries it.
    #[error("for another drop")]
    AnotherDrop,
}

impl<'a> From<&'a Report> for Carrier<'a> {
    fn from(report: &'a Report) -> Self {
        Self {
            box_key: &report.box_key,
            conversation: &report.conversation,
            message: &report.message,
        }
    }
}

impl TeamEvent {
    /// As many events as these grants need.
    #[must_use]
    pub fn several(grants: Vec<Grant>) -> Vec<Self> {
        let (mut events, mut grants) = (Vec::new(), grants);
        while !grants.is_empty() {
            let rest = grants.split_off(grants.len().min(MAX_GRANTS));
            events.push(Self { grants });
            grants = rest;
        }
        events
    }

    /// Signs the event with the voice key of `member`, for the drop that will carry it. `carrier.message` must be fresh.
    ///
    /// # Errors
    /// [`TeamError::Malformed`] for no grant, more than [`MAX_GRANTS`], or two of one drop.
    pub fn sign(
        &self,
        carrier: Carrier<'_>,
        member: &str,
        key: &SecretKey<VoiceRole>,
    ) -> Result<Note, TeamError> {
        let text = self.to_text(carrier);
        Self::parse(&text, carrier)?;
        let note = Note::new(text.as_str()).map_err(|_| TeamError::Malformed)?;
        Ok(note.sign(member, key))
    }

    /// The event in a note, if the member with this voice key signed it for `carrier`. Which members may give something is the roster's to say.
    ///
    /// # Errors
    /// As [`TeamError`] says.
    pub fn verify(
        note: &Note,
        voice: &Vkey<VoiceRole>,
        carrier: Carrier<'_>,
    ) -> Result<Self, TeamError> {
        let text = note.verify(voice).map_err(|_| TeamError::Signature)?;
        if note.signatures().len() != 1 {
            return Err(TeamError::Malformed);
        }
        Self::parse(text, carrier)
    }

    fn to_text(&self, carrier: Carrier<'_>) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!(
            "{FIRST_LINE}\nbox: {}\nconversation: {}\nmessage: {}\n",
            carrier.box_key,
            carrier.conversation,
            encoding::hex(carrier.message)
        ));
        for grant in &self.grants {
            let key = Zeroizing::new(encoding::base64(grant.file_key.expose()));
            writeln!(
                text,
                "grant: {} {} {} {}",
                encoding::hex(&grant.digest),
                grant.size,
                grant.window,
                *key
            )
            .expect("a string takes everything");
        }
        text
    }

    fn parse(text: &str, carrier: Carrier<'_>) -> Result<Self, TeamError> {
        let (fields, grants) = Self::parse_lines(text).ok_or(TeamError::Malformed)?;
        let expected = [
            carrier.box_key.to_string(),
            carrier.conversation.to_string(),
            encoding::hex(carrier.message),
        ];
        if fields != expected {
            return Err(TeamError::AnotherDrop);
        }
        Ok(Self { grants })
    }

    fn parse_lines(text: &str) -> Option<([&str; 3], Vec<Grant>)> {
        let mut fields = Fields::new(text, FIRST_LINE)?;
        let head = [
            fields.take("box")?,
            fields.take("conversation")?,
            fields.take("message")?,
        ];
        let (mut grants, mut seen) = (Vec::new(), HashSet::new());
        while !fields.is_empty() {
            let grant = Grant::parse(fields.take("grant")?)?;
            if grants.len() == MAX_GRANTS || !seen.insert(grant.digest) {
                return None;
            }
            grants.push(grant);
        }
        (!grants.is_empty()).then_some((head, grants))
    }
}

impl Grant {
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split(' ');
        let (digest, size, window, key) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let key = Zeroizing::new(encoding::from_base64(key)?);
        let key = Zeroizing::new(<[u8; 16]>::try_from(key.as_slice()).ok()?);
        let grant = Self {
            digest: encoding::from_hex(digest)?,
            size: encoding::from_decimal(size)?,
            window: Window(encoding::from_decimal(window)?),
            file_key: FileKey::from_bytes(*key),
        };
        words.next().is_none().then_some(grant)
    }
}
