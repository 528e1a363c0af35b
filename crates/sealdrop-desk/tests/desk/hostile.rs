//! Drops made by hand: an age file of any plaintext, for any recipients.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use sealdrop_core::drop::archive::{BLOCK, END, REPORT, SIGNATURE, SIGNED_PREFIX, member_header};
use sealdrop_core::drop::{FileKey, header, size};
use sealdrop_core::encoding::sha256;
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::recipient::Recipient;

/// An age file with this plaintext, whatever it is.
pub(crate) fn age_file(
    file_key: &FileKey,
    nonce: [u8; 16],
    recipients: &[Recipient],
    plaintext: &[u8],
) -> Vec<u8> {
    let mut file = header::seal(file_key, recipients);
    file.extend_from_slice(&nonce);
    let mut key = [0; 32];
    hkdf::Hkdf::<sha2::Sha256>::new(Some(&nonce), file_key.expose())
        .expand(b"payload", &mut key)
        .unwrap();
    let cipher = ChaCha20Poly1305::new_from_slice(&key).unwrap();
    let chunks: Vec<&[u8]> = plaintext.chunks(size::CHUNK as usize).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&(i as u64).to_be_bytes());
        nonce[11] = u8::from(i + 1 == chunks.len());
        let mut chunk = chunk.to_vec();
        let tag = cipher
            .encrypt_inout_detached(&Nonce::from(nonce), b"", chunk.as_mut_slice().into())
            .unwrap();
        file.extend_from_slice(&chunk);
        file.extend_from_slice(&tag);
    }
    file
}

/// An archive in the making, which need not be one that a sealer writes.
pub(crate) struct Tar {
    pub(crate) bytes: Vec<u8>,
    signed: Vec<u8>,
}

impl Tar {
    pub(crate) fn new(report: &[u8]) -> Self {
        let mut tar = Self {
            bytes: Vec::new(),
            signed: SIGNED_PREFIX.to_vec(),
        };
        tar.member(REPORT, report);
        tar
    }

    pub(crate) fn member(&mut self, name: &str, content: &[u8]) {
        self.raw(&member_header(name, content.len() as u64).unwrap(), content);
    }

    /// A member with any header.
    pub(crate) fn raw(&mut self, header: &[u8; BLOCK], content: &[u8]) {
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(content);
        self.bytes
            .resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self.signed.extend_from_slice(&sha256(content));
    }

    /// Signs what is there, and pads it.
    pub(crate) fn finish(mut self, voice: &SecretKey<VoiceRole>) -> Vec<u8> {
        let signature = voice.sign(&self.signed);
        self.member(SIGNATURE, &signature);
        let padded = size::padded(self.bytes.len() as u64 + END);
        self.bytes.resize(padded as usize, 0);
        self.bytes
    }
}

/// Mends the checksum of a header that was changed.
pub(crate) fn with_checksum(mut header: [u8; BLOCK]) -> [u8; BLOCK] {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
