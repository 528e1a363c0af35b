//! Drops made by hand, as an attacker with a writer of their own makes them.

use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use sealdrop_core::drop::archive::{BLOCK, END, REPORT, SIGNATURE, SIGNED_PREFIX, member_header};
use sealdrop_core::drop::{FileKey, header, size};
use sealdrop_core::encoding::sha256;
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::recipient::Recipient;

/// An age file with this plaintext, whatever it is. The `age` crate is not used: header and payload come from the core's own pieces.
pub(crate) fn age_file(
    (file_key, nonce): &(FileKey, [u8; 16]),
    recipients: &[Recipient],
    plaintext: &[u8],
) -> Vec<u8> {
    let mut file = header::seal(file_key, recipients);
    file.extend_from_slice(nonce);
    let mut key = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(Some(nonce), file_key.expose())
        .expand(b"payload", &mut key)
        .unwrap();
    let cipher = chacha20poly1305::ChaCha20Poly1305::new_from_slice(&key).unwrap();
    let chunks: Vec<&[u8]> = plaintext.chunks(size::CHUNK as usize).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&(i as u64).to_be_bytes());
        nonce[11] = u8::from(i + 1 == chunks.len());
        file.extend_from_slice(&cipher.encrypt(&nonce.into(), *chunk).unwrap());
    }
    file
}

/// An archive in the making, which need not be one that a sealer writes.
pub(crate) struct Tar {
    bytes: Vec<u8>,
    to_sign: Vec<u8>,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            to_sign: SIGNED_PREFIX.to_vec(),
        }
    }

    /// The archive of a report without attachments.
    pub(crate) fn bare(report: &[u8], voice: &SecretKey<VoiceRole>) -> Vec<u8> {
        Self::new().member(REPORT, report).signed(voice).padded()
    }

    pub(crate) fn member(self, name: &str, content: &[u8]) -> Self {
        let header = member_header(name, content.len() as u64).unwrap();
        self.raw(&header, content)
    }

    /// A member with any header.
    pub(crate) fn raw(mut self, header: &[u8; BLOCK], content: &[u8]) -> Self {
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(content);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self.to_sign.extend_from_slice(&sha256(content));
        self
    }

    /// Signs what is there.
    pub(crate) fn signed(self, voice: &SecretKey<VoiceRole>) -> Self {
        let signature = voice.sign(&self.to_sign);
        self.member(SIGNATURE, &signature)
    }

    pub(crate) fn padded(mut self) -> Vec<u8> {
        let padded = size::padded(self.bytes.len() as u64 + END);
        self.bytes.resize(padded as usize, 0);
        self.bytes
    }
}
