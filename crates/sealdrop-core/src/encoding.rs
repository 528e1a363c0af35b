//! The strict text encodings of docs/protocol.md, "Conventions": one encoding for each value, everything else refused.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// The largest number that a decimal may give: 2^53 − 1, which a JavaScript number holds exactly.
pub const MAX_DECIMAL: u64 = (1 << 53) - 1;

/// Bytes as lowercase hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Exactly N bytes from lowercase hex; `None` for any other text.
#[must_use]
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(out)
}

/// Bytes as padded base64.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes from padded, canonical base64; `None` for any other text.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Exactly N bytes from padded, canonical base64.
#[must_use]
pub fn from_base64_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    from_base64(text)?.try_into().ok()
}

/// Bytes as raw (unpadded) base64, as age headers have it.
#[must_use]
pub fn raw_base64(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Bytes from raw, canonical base64; `None` for any other text.
#[must_use]
pub fn from_raw_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

/// A decimal without sign or leading zeroes, at most [`MAX_DECIMAL`].
#[must_use]
pub fn from_decimal(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    let plain = !digits.is_empty() && digits.len() <= 16 && digits.iter().all(u8::is_ascii_digit);
    if !plain || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    text.parse().ok().filter(|&n| n <= MAX_DECIMAL)
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// HKDF-SHA-256 to N bytes. N is at most 8,160, which every caller here is far below.
pub(crate) fn hkdf<const N: usize>(ikm: &[u8], salt: &[u8], info: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    hkdf::Hkdf::<Sha256>::new(Some(salt), ikm)
        .expand_multi_info(info, &mut out)
        .expect("N is below HKDF's bound of 255 hashes");
    out
}

/// Whether `text` is a handle: 1 to 32 of `a-z`, `0-9`, `-`, beginning with a letter or digit.
/// docs/protocol.md, "Names of keys".
#[must_use]
pub fn is_handle(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The fingerprint of a key: 10 bytes of its SHA-256 in hex, in groups of four. docs/protocol.md, "Roster".
#[must_use]
pub fn fingerprint(key: &[u8]) -> String {
    let hex = hex(&sha256(key)[..10]);
    [&hex[..4], &hex[4..8], &hex[8..12], &hex[12..16], &hex[16..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_one_spelling() {
        assert_eq!(from_decimal("0"), Some(0));
        assert_eq!(from_decimal("9007199254740991"), Some(MAX_DECIMAL));
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "9007199254740992",
            "99999999999999999999",
            "١",
        ] {
            assert_eq!(from_decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn base64_is_canonical() {
        assert_eq!(from_base64("AAE="), Some(vec![0, 1]));
        for bad in ["AAE", "AAF=", "AA E=", "AAE=\n", "AAE=="] {
            assert_eq!(from_base64(bad), None, "{bad:?}");
        }
        assert_eq!(from_raw_base64(b"AAE"), Some(vec![0, 1]));
        for bad in ["AAE=", "AAF"] {
            assert_eq!(from_raw_base64(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn hex_is_lowercase_and_exact() {
        assert_eq!(from_hex::<2>("00ff"), Some([0, 255]));
        for bad in ["00FF", "00f", "00ff0", "0g00"] {
            assert_eq!(from_hex::<2>(bad), None, "{bad:?}");
        }
    }
}
