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
use payload::{PayloadKey, SEALED_CHUNK};

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

/// An age file of these bytes to one recipient, with a fresh file key and a fresh nonce: what slips, states and shares of a box key are.
/// `plain` is not empty.
pub(crate) fn seal_to(recipient: &Recipient, plain: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    let file_key = FileKey::generate(rng);
    let mut nonce = [0; size::NONCE as usize];
    rng.fill_bytes(&mut nonce);
    let mut slots = Zeroizing::new(Vec::with_capacity(
        plain.len().div_ceil(size::CHUNK as usize) * SEALED_CHUNK,
    ));
    for chunk in plain.chunks(size::CHUNK as usize) {
        slots.extend_from_slice(chunk);
        slots.extend_from_slice(&[0; size::TAG as usize]);
    }
    PayloadKey::new(&file_key, &nonce).seal(&mut slots, 0, true);
    let mut file = header::seal(&file_key, std::slice::from_ref(recipient));
    file.extend_from_slice(&nonce);
    file.extend_from_slice(&slots);
    file
}

/// Whether these bytes have the form of what `seal_to` makes of at most [`size::CHUNK`] bytes. Nothing else reaches the general parser.
#[must_use]
pub fn is_chunk_file(file: &[u8]) -> bool {
    let fixed = shape::header_len(1) + (size::NONCE + size::TAG) as usize;
    (fixed..=fixed + size::CHUNK as usize).contains(&file.len())
        && shape::is_header(&file[..shape::header_len(1)], 1)
}
