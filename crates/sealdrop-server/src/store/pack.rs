//! Packs: the leaves of a window and their bodies, one record after another. They are the truth of the store; the index is made from them.
//!
//! A record, all numbers big-endian:
//!
//! ```text
//!  0   "sdr1"
//!  4   1: the body is a file of its own, named by its digest; otherwise 0
//!  5   0
//!  6   length of the leaf's text, 2 bytes
//!  8   the leaf's number in the log, 8 bytes
//! 16   length of the body that follows, 8 bytes
//! 24   SHA-256(bytes 0 to 23 || text)[:8]
//! 32   the leaf's text (docs/protocol.md, "Leaf"), then the body
//! ```
//!
//! The body of a roster is its note and then its policy. A body is whole if it has the digest that its leaf gives; so a record torn by a
//! crash is told from a whole one, and cut off. Only the last batch can be torn, and nobody was told that it was accepted.

use std::fs::File;
use std::io;
use std::path::Path;

use sealdrop_core::encoding;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sha2::{Digest as _, Sha256};

use super::disk::read_up_to;

const MAGIC: &[u8; 4] = b"sdr1";
const HEAD: usize = 32;
/// The longest text of a leaf, with room.
const MAX_TEXT: usize = 256;

/// A record as it stands in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) leaf: Leaf,
    /// The body is a file of its own.
    pub(super) apart: bool,
    /// Where the body begins, and how long it is.
    pub(super) body_at: u64,
    pub(super) body_len: u64,
}

impl Record {
    /// Where the next record begins.
    pub(super) fn end(&self) -> u64 {
        self.body_at + self.body_len
    }
}

/// Head and text of a record; the body follows.
pub(super) fn encode(number: u64, leaf: &Leaf, body_len: u64, apart: bool) -> Vec<u8> {
    let text = leaf.to_text();
    let mut record = Vec::with_capacity(HEAD + text.len());
    record.extend_from_slice(MAGIC);
    record.extend_from_slice(&[u8::from(apart), 0]);
    record.extend_from_slice(&(text.len() as u16).to_be_bytes());
    record.extend_from_slice(&number.to_be_bytes());
    record.extend_from_slice(&body_len.to_be_bytes());
    let check = check(&record, text.as_bytes());
    record.extend_from_slice(&check);
    record.extend_from_slice(text.as_bytes());
    record
}

fn check(head: &[u8], text: &[u8]) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(head)
        .chain_update(text)
        .finalize()
        .into();
    *hash.first_chunk().expect("8 of 32 bytes")
}

/// The record that begins at `at`; `None` if there is no whole head there.
pub(super) fn read(pack: &File, at: u64) -> io::Result<Option<Record>> {
    let mut bytes = [0; HEAD + MAX_TEXT];
    let n = read_up_to(pack, &mut bytes, at)?;
    Ok(parse(&bytes[..n], at))
}

fn parse(bytes: &[u8], at: u64) -> Option<Record> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (fields, sum) = head.split_at(24);
    if fields[..4] != *MAGIC || fields[4] > 1 || fields[5] != 0 {
        return None;
    }
    let text = rest.get(..usize::from(u16::from_be_bytes([fields[6], fields[7]])))?;
    if check(fields, text) != *sum {
        return None;
    }
    Some(Record {
        number: u64::from_be_bytes(fields[8..16].try_into().ok()?),
        leaf: Leaf::parse(text).ok()?,
        apart: fields[4] == 1,
        body_at: at + (HEAD + text.len()) as u64,
        body_len: u64::from_be_bytes(fields[16..24].try_into().ok()?),
    })
}

/// Whether the body that the record announces is there and is the leaf's. `dir` is the window's folder.
pub(super) fn body_is_whole(pack: &File, record: &Record, dir: &Path) -> io::Result<bool> {
    let leaf = &record.leaf;
    if record.apart {
        // Synced under its name before the record was written.
        let file = std::fs::metadata(dir.join(encoding::hex(&leaf.digest)));
        return Ok(record.body_len == 0 && file.is_ok_and(|file| file.len() == leaf.size));
    }
    let hashed = match leaf.kind {
        LeafKind::Pad => return Ok(record.body_len == 0),
        LeafKind::Roster => record.body_len >= leaf.size,
        _ => record.body_len == leaf.size,
    };
    let end = record.body_at.checked_add(record.body_len);
    if !hashed || end.is_none_or(|end| end > pack.metadata().map_or(0, |m| m.len())) {
        return Ok(false);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 65_536];
    let (mut at, mut left) = (record.body_at, leaf.size);
    while left > 0 {
        let want = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        if read_up_to(pack, &mut buffer[..want], at)? < want {
            return Ok(false);
        }
        hash.update(&buffer[..want]);
        at += want as u64;
        left -= want as u64;
    }
    Ok(<[u8; 32]>::from(hash.finalize()) == leaf.digest)
}

#[cfg(test)]
mod tests {
    use sealdrop_core::time::Window;

    use super::*;

    fn leaf(body: &[u8]) -> Leaf {
        Leaf {
            kind: LeafKind::Drop,
            digest: encoding::sha256(body),
            size: body.len() as u64,
            window: Window(3),
        }
    }

    #[test]
    fn a_record_reads_back() {
        let leaf = leaf(b"body");
        let bytes = encode(7, &leaf, 4, false);
        let record = parse(&bytes, 100).unwrap();
        assert_eq!((record.number, record.leaf, record.apart), (7, leaf, false));
        assert_eq!(record.end(), 100 + bytes.len() as u64 + 4);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_head_is_noticed() {
        let bytes = encode(7, &leaf(b"body"), 4, false);
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut], 0), None, "{cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&broken, 0), None, "{bit}");
        }
    }
}
