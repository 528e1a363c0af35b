//! Opening a drop. docs/protocol.md, "Opening".

use std::io::{self, BufReader, Cursor, Read};

use age::{DecryptError, Decryptor};
use sealdrop_core::drop::{FileKey, archive, shape, size};
use sealdrop_core::key::BoxKey;
use sealdrop_core::report::Report;
use sealdrop_core::roster::{MAX_MEMBERS, Roster};

use crate::identity::{Capture, Header, Identity};
use crate::unpack::{Attachments, Unpack, damaged};

/// What opens a drop.
#[derive(Clone, Copy)]
pub enum Keys<'a> {
    /// A member's identities, of one epoch or several.
    Identities(&'a [Identity]),
    /// The file key itself, saved by the reporter.
    FileKey(&'a FileKey),
}

/// What a drop is held against.
pub struct Context<'a> {
    /// The box it must be written to.
    pub box_key: &'a BoxKey,
    /// The roster of an epoch, if it is known. Rosters that have expired count: a drop outlives its roster.
    pub roster: &'a dyn Fn(u64) -> Option<Roster>,
}

/// A drop that passed every check but the one for replay, which needs a memory.
pub struct Opened {
    /// What the reporter wrote.
    pub report: Report,
    /// Opens this drop alone; with it anyone can check the addressing.
    pub file_key: FileKey,
}

/// Why a drop stands apart from the inbox. docs/protocol.md, "Opening".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Quarantine {
    /// No stanza opens under these identities.
    #[error("not addressed to you")]
    NotAddressedToYou,
    /// The header's MAC or a chunk does not verify.
    #[error("damaged")]
    Damaged,
    /// Not an age file of the form of a drop, or not the archive that a sealer writes.
    #[error("not a drop")]
    NotADrop,
    /// report.json is not as specified, or not what the archive holds.
    #[error("bad report")]
    BadReport,
    /// Written to another box and relayed to this one.
    #[error("another box")]
    AnotherBox,
    /// Sealed to a roster that nobody here has seen.
    #[error("unknown roster")]
    UnknownRoster,
    /// Not padded to the length that its content has.
    #[error("bad padding")]
    BadPadding,
    /// Sealed so that these members cannot open it.
    #[error("not addressed to {}", .0.join(", "))]
    NotAddressedTo(Vec<String>),
    /// Not signed by the conversation's own key.
    #[error("bad signature")]
    BadSignature,
}

/// Why a drop could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The drop is at fault.
    #[error(transparent)]
    Quarantine(#[from] Quarantine),
    /// This machine is: the file could not be read, or an attachment not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Opens the drop in `file`, `len` bytes long, and makes every check of docs/protocol.md, "Opening", but the one for replay.
///
/// Attachments go to `sink` as they come; nothing of them may be believed before this returns `Ok`. Memory does not grow with `len`.
///
/// # Errors
/// [`OpenError::Quarantine`] if a check fails, [`OpenError::Io`] if the file cannot be read or the sink not be written.
pub fn open(
    file: impl Read,
    len: u64,
    keys: Keys<'_>,
    context: &Context<'_>,
    sink: &mut dyn Attachments,
) -> Result<Opened, OpenError> {
    let Outer {
        header,
        plain,
        padded,
    } = decrypt(file, len, keys)?;
    let mut unpack = Unpack::new(plain);
    let (report, report_len) = unpack.report()?;
    if report.box_key != *context.box_key {
        return Err(Quarantine::AnotherBox.into());
    }
    let roster = (context.roster)(report.epoch).ok_or(Quarantine::UnknownRoster)?;
    check_addressing(&header, &roster)?;
    let sizes = report.attachments.iter().map(|attachment| attachment.size);
    let archive_len = archive::archive_len(report_len, sizes).ok_or(Quarantine::BadReport)?;
    if size::padded(archive_len) != padded {
        return Err(Quarantine::BadPadding.into());
    }
    unpack.attachments(&report, sink)?;
    unpack.signature_and_end(&report, padded)?;
    Ok(Opened {
        report,
        file_key: header.file_key,
    })
}

/// The report of a drop, with none of the checks behind its first member: its signature is *not* verified.
///
/// Only for a drop that [`open`] has accepted before, to show its title without reading a gigabyte again.
///
/// # Errors
/// As [`open`].
pub fn peek(file: impl Read, len: u64, keys: Keys<'_>) -> Result<Report, OpenError> {
    let (report, _) = Unpack::new(decrypt(file, len, keys)?.plain).report()?;
    Ok(report)
}

/// A drop with its header opened.
struct Outer<P> {
    header: Header,
    plain: P,
    padded: u64,
}

fn decrypt(file: impl Read, len: u64, keys: Keys<'_>) -> Result<Outer<impl Read>, OpenError> {
    let mut file = BufReader::with_capacity(size::CHUNK as usize, file);
    // Only a header of the one form that drops have reaches the general parser, so its length is bounded.
    let mut head = Vec::new();
    file.by_ref()
        .take(size::header(MAX_MEMBERS))
        .read_to_end(&mut head)?;
    let members = (1..=MAX_MEMBERS)
        .find(|&n| shape::check(&head, len, n).is_ok())
        .ok_or(Quarantine::NotADrop)?;
    let padded = size::padded_of_file(members, len).ok_or(Quarantine::NotADrop)?;
    let capture = match keys {
        Keys::Identities(identities) => Capture::identities(identities),
        Keys::FileKey(file_key) => Capture::file_key(file_key),
    };
    let plain = Decryptor::new_buffered(Cursor::new(head).chain(file))
        .and_then(|decryptor| decryptor.decrypt(std::iter::once(&capture as &dyn age::Identity)))
        .map_err(header_error)?;
    let header = capture.into_header().ok_or(Quarantine::NotADrop)?;
    Ok(Outer {
        header,
        plain,
        padded,
    })
}

fn header_error(error: DecryptError) -> OpenError {
    match error {
        DecryptError::NoMatchingKeys => Quarantine::NotAddressedToYou.into(),
        DecryptError::Io(error) => damaged(error),
        DecryptError::InvalidHeader | DecryptError::UnknownFormat => Quarantine::NotADrop.into(),
        _ => Quarantine::Damaged.into(),
    }
}

/// Recomputes every stanza: a drop that some member cannot open proves nothing. docs/protocol.md, "Verifiable addressing".
fn check_addressing(header: &Header, roster: &Roster) -> Result<(), Quarantine> {
    let members = roster.members();
    if header.stanzas.len() > members.len() {
        return Err(Quarantine::NotADrop);
    }
    let missed: Vec<String> = members
        .iter()
        .enumerate()
        .filter(|(i, member)| {
            header.stanzas.get(*i) != Some(&member.recipient.seal_stanza(&header.file_key))
        })
        .map(|(_, member)| member.name.clone())
        .collect();
    if missed.is_empty() {
        Ok(())
    } else {
        Err(Quarantine::NotAddressedTo(missed))
    }
}
