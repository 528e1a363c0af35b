//! Drops: what a reporter sends. docs/protocol.md, "Drop".
//!
//! [`Sealer`] writes one; [`shape::check`] is all that a server can tell about one; `sealdrop-open` reads one.

pub mod archive;
pub mod header;
pub mod payload;
pub mod seal;
pub mod shape;
pub mod size;

pub use seal::{SealError, Sealed, Sealer};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::recipient::Recipient;

/// The 16 bytes that open one drop. Fresh for each; whoever holds them reads that drop and can recompute its stanzas.
pub struct FileKey(Zeroizing<[u8; 16]>);

impl FileKey {
    /// A fresh file key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 16]);
        rng.fill_bytes(&mut *key);
        Self(key)
    }

    /// The file key with these bytes: from a vector, from a saved key, or unwrapped from a stanza.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The 16 bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

/// An age file with one stanza and one chunk: what a slip is beside its clue, and how a share of a box key is sealed. `plain` has at most
/// [`size::CHUNK`] bytes, and room for a tag, or growing leaves it behind. File key and payload nonce are fresh.
pub(crate) fn seal_chunk(
    recipient: &Recipient,
    mut plain: Zeroizing<Vec<u8>>,
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    assert!(
        plain.len() as u64 <= size::CHUNK,
        "slips and shares are far shorter than a chunk"
    );
    let file_key = FileKey::generate(rng);
    let mut nonce = [0; size::NONCE as usize];
    rng.fill_bytes(&mut nonce);
    let mut file = header::seal(&file_key, std::slice::from_ref(recipient));
    file.extend_from_slice(&nonce);
    let len = plain.len() + size::TAG as usize;
    plain.resize(len, 0);
    payload::PayloadKey::new(&file_key, &nonce).seal(&mut plain, 0, true);
    file.extend_from_slice(&plain);
    file
}

/// Whether these bytes have the form of what `seal_chunk` makes. Nothing else reaches the general parser.
#[must_use]
pub fn is_chunk_file(file: &[u8]) -> bool {
    let fixed = shape::header_len(1) + (size::NONCE + size::TAG) as usize;
    (fixed..=fixed + size::CHUNK as usize).contains(&file.len())
        && shape::is_header(&file[..shape::header_len(1)], 1)
}
