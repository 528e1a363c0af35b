//! Drops for tests, sealed as a reporter's program does it.

use std::io::{Cursor, Read};

use sealdrop_core::drop::{FileKey, Sealer};
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::report::{Attachment, Report};
use sealdrop_core::roster::Roster;

/// What a report says of these files.
pub(crate) fn attachments(files: &[(&str, &[u8])]) -> Vec<Attachment> {
    let attachment = |(name, bytes): &(&str, &[u8])| Attachment {
        name: (*name).into(),
        size: bytes.len() as u64,
    };
    files.iter().map(attachment).collect()
}

/// The drop of a report with these files.
pub(crate) fn seal(
    roster: &Roster,
    report: &Report,
    voice: &SecretKey<VoiceRole>,
    (file_key, nonce): &(FileKey, [u8; 16]),
    files: &[(&str, &[u8])],
) -> Vec<u8> {
    let sealer = Sealer::new(roster, report, voice, file_key, *nonce).unwrap();
    let open = |i: usize| Ok(Box::new(Cursor::new(files[i].1.to_vec())) as Box<dyn Read + Send>);
    let mut drop = Vec::new();
    sealer.seal(open).read_to_end(&mut drop).unwrap();
    assert_eq!(drop.len() as u64, sealer.len());
    drop
}
