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
