//! All that a server can tell about a drop: its length and the form of its header. docs/protocol.md, "Padding".

use super::header::{MAC_MARK, VERSION_LINE};
use super::size;
use crate::encoding::from_raw_base64;
use crate::recipient::{BODY_LEN, ENC_LEN, STANZA_TAG};

/// Why a body is not shaped as a drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The formula gives this length for no padded length.
    #[error("not a length that a drop can have")]
    Length,
    /// The header is not exactly one well formed stanza for each member.
    #[error("not the header of a drop for this roster")]
    Header,
}

/// The number of bytes at the start of a body that [`check`] needs.
#[must_use]
pub fn header_len(members: usize) -> usize {
    size::header(members) as usize
}

/// Checks a body of `file_len` bytes that begins with `head` ([`header_len`] bytes or more) for a roster of `members` members.
///
/// It says nothing of whom the drop is sealed to: nobody without the file key can. docs/protocol.md, "Verifiable addressing".
///
/// # Errors
/// As [`ShapeError`] says.
pub fn check(head: &[u8], file_len: u64, members: usize) -> Result<(), ShapeError> {
    size::padded_of_file(members, file_len).ok_or(ShapeError::Length)?;
    let header = head.get(..header_len(members)).ok_or(ShapeError::Header)?;
    if is_header(header, members) {
        Ok(())
    } else {
        Err(ShapeError::Header)
    }
}

/// Whether this is a header of exactly so many well formed stanzas.
pub(crate) fn is_header(header: &[u8], members: usize) -> bool {
    check_header(header, members).is_some()
}

fn check_header(header: &[u8], members: usize) -> Option<()> {
    let text = std::str::from_utf8(header)
        .ok()?
        .strip_prefix(VERSION_LINE)?;
    let mut lines = text.strip_suffix('\n')?.split('\n');
    for _ in 0..members {
        let enc = lines
            .next()?
            .strip_prefix("-> ")?
            .strip_prefix(STANZA_TAG)?
            .strip_prefix(' ')?;
        decodes_to(enc, ENC_LEN)?;
        decodes_to(lines.next()?, BODY_LEN)?;
    }
    decodes_to(lines.next()?.strip_prefix(MAC_MARK)?.strip_prefix(' ')?, 32)?;
    lines.next().is_none().then_some(())
}

fn decodes_to(text: &str, len: usize) -> Option<()> {
    (from_raw_base64(text.as_bytes())?.len() == len).then_some(())
}
