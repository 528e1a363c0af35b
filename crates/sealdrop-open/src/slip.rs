//! Opening slips. docs/protocol.md, "Slip".

use sealdrop_core::key::{PublicKey, VoiceRole};
use sealdrop_core::slip::{self, PLAINTEXT, Part, PartError, Slip};
use zeroize::Zeroizing;

use crate::Identity;

/// Why a slip whose clue is a conversation's is not shown as an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlipError {
    /// Not an age file of the form of a slip, or one that this identity does not open: somebody copied the clue.
    #[error("not sealed to this conversation")]
    NotSealedToYou,
    /// It opens, and what it holds is refused.
    #[error(transparent)]
    Part(#[from] PartError),
}

/// Opens a slip that a [`Seeker`](slip::clue::Seeker) found. `voice` gives the voice key of the member whom the part names, in the roster of the
/// epoch that it names; `None` if there is none.
///
/// Whether the part is of this box and conversation is for the caller to see: [`Part::box_key`], [`Part::conversation`].
///
/// # Errors
/// As [`SlipError`] says.
pub fn open_slip(
    slip: &Slip,
    identity: &Identity,
    voice: impl FnOnce(&Part) -> Option<PublicKey<VoiceRole>>,
) -> Result<Part, SlipError> {
    // Only a header of the one form that slips have reaches the general parser.
    if !slip::is_shaped(slip) {
        return Err(SlipError::NotSealedToYou);
    }
    let plain = decrypt(slip::split(slip).1, identity).ok_or(SlipError::NotSealedToYou)?;
    Ok(Part::open(&plain, voice)?)
}

fn decrypt(file: &[u8; slip::FILE], identity: &Identity) -> Option<Zeroizing<[u8; PLAINTEXT]>> {
    let plain = crate::chunk::decrypt(file, identity)?;
    Some(Zeroizing::new(plain.as_slice().try_into().ok()?))
}
