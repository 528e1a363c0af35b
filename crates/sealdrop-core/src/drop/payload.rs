//! The payload of a drop: STREAM, in chunks of 64 KiB. C2SP age.md, "Payload".

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::FileKey;
use super::size::{CHUNK, TAG};
use crate::encoding;

/// Bytes of a sealed chunk.
pub(super) const SEALED_CHUNK: usize = (CHUNK + TAG) as usize;

/// The cipher of one payload. `HKDF(ikm = file key, salt = nonce, info = "payload")`.
pub(crate) struct PayloadKey(ChaCha20Poly1305);

impl PayloadKey {
    pub(crate) fn new(file_key: &FileKey, nonce: &[u8; 16]) -> Self {
        let key = Zeroizing::new(encoding::hkdf::<32>(
            file_key.expose(),
            nonce,
            &[b"payload"],
        ));
        Self(ChaCha20Poly1305::new_from_slice(&*key).expect("the key has 32 bytes"))
    }

    /// Seals chunks in place, side by side. Each slot of [`SEALED_CHUNK`] bytes holds a chunk and room for its tag; the last slot may be shorter.
    /// `first` is the number of the first chunk; `last` says that the last slot ends the payload.
    pub(crate) fn seal(&self, slots: &mut [u8], first: u64, last: bool) {
        let count = slots.len().div_ceil(SEALED_CHUNK);
        slots
            .par_chunks_mut(SEALED_CHUNK)
            .enumerate()
            .for_each(|(i, slot)| {
                let (chunk, tag) = slot.split_at_mut(slot.len() - TAG as usize);
                let nonce = chunk_nonce(first + i as u64, last && i + 1 == count);
                let sealed = self.0.encrypt_inout_detached(&nonce, b"", chunk.into());
                tag.copy_from_slice(&sealed.expect("a chunk is far below the cipher's bound"));
            });
    }
}

/// Eleven bytes of big-endian counter, one that marks the final chunk.
fn chunk_nonce(counter: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce.into()
}
