//! Opening age files of one stanza: slips, states, and shares of a box key.

use std::io::{Cursor, Read as _};

use age::Decryptor;
use sealdrop_core::drop::{is_chunk_file, shape, size};
use zeroize::Zeroizing;

use crate::Identity;

/// Opens a share of a box key that was sealed to one of `identities`. `None` if it is no such file, or is sealed to somebody else: a file names nobody.
/// docs/protocol.md, "Recovery".
#[must_use]
pub fn open_share(file: &[u8], identities: &[Identity]) -> Option<Zeroizing<Vec<u8>>> {
    if !is_chunk_file(file) {
        return None;
    }
    identities
        .iter()
        .find_map(|identity| decrypt(file, identity))
}

/// Decrypts a file whose form was checked.
pub(crate) fn decrypt(file: &[u8], identity: &Identity) -> Option<Zeroizing<Vec<u8>>> {
    let mut reader = Decryptor::new_buffered(Cursor::new(file))
        .and_then(|decryptor| decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)))
        .ok()?;
    let payload = (file.len() as u64).checked_sub(shape::header_len(1) as u64 + size::NONCE)?;
    let len = payload.checked_sub(size::TAG * payload.div_ceil(size::CHUNK + size::TAG))?;
    // As long as the plaintext is: a buffer that grows leaves its former bytes behind.
    let mut plain = Zeroizing::new(vec![0; usize::try_from(len).ok()?]);
    reader.read_exact(&mut plain).ok()?;
    // To the end, where the last chunk's tag is checked.
    (reader.read(&mut [0]).ok()? == 0).then_some(plain)
}
