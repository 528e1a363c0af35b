//! The age header of a drop: one stanza for each member, and the MAC. C2SP age.md; docs/protocol.md, "Header".

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::FileKey;
use crate::encoding::{self, raw_base64};
use crate::recipient::{Recipient, STANZA_TAG, Stanza};

/// The first line of every age file.
pub const VERSION_LINE: &str = "age-encryption.org/v1\n";
/// What the MAC line begins with; the MAC covers the header up to here.
pub(super) const MAC_MARK: &str = "---";

/// The header that addresses `file_key` to these recipients, in this order. [`size::header`](super::size::header) bytes.
#[must_use]
pub fn seal(file_key: &FileKey, recipients: &[Recipient]) -> Vec<u8> {
    let mut header = String::from(VERSION_LINE);
    for recipient in recipients {
        write_stanza(&mut header, &recipient.seal_stanza(file_key));
    }
    header.push_str(MAC_MARK);
    let mac = mac(file_key, header.as_bytes());
    header.push(' ');
    header.push_str(&raw_base64(&mac));
    header.push('\n');
    header.into_bytes()
}

fn write_stanza(header: &mut String, stanza: &Stanza) {
    header.push_str("-> ");
    header.push_str(STANZA_TAG);
    header.push(' ');
    header.push_str(&raw_base64(&stanza.enc));
    header.push('\n');
    // 32 bytes are 43 characters: one line, shorter than 64, so it is also the final line.
    header.push_str(&raw_base64(&stanza.body));
    header.push('\n');
}

/// HMAC-SHA-256 under HKDF(ikm = file key, salt = empty, info = "header").
fn mac(file_key: &FileKey, header: &[u8]) -> [u8; 32] {
    let key = zeroize::Zeroizing::new(encoding::hkdf::<32>(file_key.expose(), &[], &[b"header"]));
    let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes keys of any length");
    mac.update(header);
    mac.finalize().into_bytes().into()
}
