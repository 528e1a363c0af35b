//! Shares of a box key: what each of several members keeps, so that some of them together restore it. docs/protocol.md, "Recovery".
//!
//! A share is a small text that the box key signed, so that each says for itself whether it is whole and of which split it is. Splitting and joining are with
//! the maintainer's program.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::drop;
use crate::encoding::{base64, from_base64_array, from_decimal, from_hex, hex};
use crate::fields::Fields;
use crate::key::{BoxKey, BoxSecret};
use crate::recipient::Recipient;
use crate::time::Time;

/// The first line of a share.
pub const FIRST_LINE: &str = "sealdrop/recovery/v1";
/// The most members that a box key is split among.
pub const MAX_SHARES: u64 = 64;
/// The fewest shares that a split may need: one alone would be the key itself.
pub const MIN_NEED: u64 = 2;
/// The longest text of a share, in bytes.
pub const MAX_TEXT: usize = 1_024;

/// What all shares of one split have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The box whose key was split.
    pub box_key: BoxKey,
    /// Random; tells splits apart, because shares of two do not go together.
    pub id: [u8; 16],
    /// When it was made.
    pub made: Time,
    /// How many shares restore the key.
    pub need: u64,
    /// How many there are.
    pub of: u64,
}

/// One of the shares of a split. It is a secret: it has no Debug and no Clone.
pub struct Share {
    /// What it is a share of.
    pub split: Split,
    /// Which one, from 1: the point of the polynomial.
    pub number: u64,
    share: Zeroizing<[u8; 32]>,
}

/// Why bytes are no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// Not the text of docs/protocol.md, "Recovery".
    #[error("not a recovery share, or damaged")]
    Malformed,
    /// The box key that it names did not sign it as it is.
    #[error("a recovery share that was changed: the box key did not sign it so")]
    NotSigned,
}

impl Split {
    /// Whether a split can have these numbers. docs/protocol.md, "Recovery".
    #[must_use]
    pub fn is_possible(need: u64, of: u64) -> bool {
        (MIN_NEED..=of).contains(&need) && of <= MAX_SHARES
    }
}

impl Share {
    /// Share `number` of a split.
    #[must_use]
    pub fn new(split: Split, number: u64, share: &[u8; 32]) -> Self {
        Self {
            split,
            number,
            share: Zeroizing::new(*share),
        }
    }

    /// The 32 bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.share
    }

    /// The share as text, with the signature of the box key, which is at hand when a key is split.
    #[must_use]
    pub fn to_text(&self, secret: &BoxSecret) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT));
        let share = Zeroizing::new(base64(&*self.share));
        let split = &self.split;
        text.extend([FIRST_LINE, "\n"]);
        for (name, value) in [
            ("box", &*split.box_key.to_string()),
            ("split", &hex(&split.id)),
            ("made", &split.made.to_string()),
            ("need", &split.need.to_string()),
            ("of", &split.of.to_string()),
            ("number", &self.number.to_string()),
            ("share", &share),
        ] {
            text.extend([name, ": ", value, "\n"]);
        }
        let check = base64(&secret.sign(text.as_bytes()));
        text.extend(["check: ", &check, "\n"]);
        text
    }

    /// Reads the text of a share, and checks that the box key which it names signed it. Whether that is the right box is for the caller to see.
    ///
    /// # Errors
    /// As [`ShareError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, ShareError> {
        let text = std::str::from_utf8(bytes).ok();
        let text = text.filter(|text| text.len() <= MAX_TEXT);
        let (share, signed, check) = text.and_then(parse).ok_or(ShareError::Malformed)?;
        if share.split.box_key.verify(signed.as_bytes(), &check) {
            Ok(share)
        } else {
            Err(ShareError::NotSigned)
        }
    }
}

/// The share, what of the text is signed, and the signature.
fn parse(text: &str) -> Option<(Share, &str, [u8; 64])> {
    let mut fields = Fields::new(text, FIRST_LINE)?;
    let split = Split {
        box_key: BoxKey::parse(fields.take("box")?).ok()?,
        id: from_hex(fields.take("split")?)?,
        made: Time(from_decimal(fields.take("made")?)?),
        need: from_decimal(fields.take("need")?)?,
        of: from_decimal(fields.take("of")?)?,
    };
    let number = from_decimal(fields.take("number")?)?;
    let share = Zeroizing::new(from_base64_array::<32>(fields.take("share")?)?);
    let check = fields.take("check")?;
    fields.end()?;
    let is_possible = Split::is_possible(split.need, split.of) && (1..=split.of).contains(&number);
    let signed = text.strip_suffix(&format!("check: {check}\n"))?;
    let share = Share {
        split,
        number,
        share,
    };
    is_possible.then_some((share, signed, from_base64_array(check)?))
}

/// Seals the text of a share to a member: an age file with one stanza, which the stock `age` opens.
#[must_use]
pub fn seal(text: &str, recipient: &Recipient, rng: &mut impl CryptoRng) -> Vec<u8> {
    drop::seal_to(recipient, text.as_bytes(), rng)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::SecretKey;

    fn secret() -> BoxSecret {
        SecretKey::from_seed(&[7; 32])
    }

    fn share() -> Share {
        let split = Split {
            box_key: secret().to_public(),
            id: [0xab; 16],
            made: Time(1_767_531_723),
            need: 3,
            of: 5,
        };
        Share::new(split, 2, &[9; 32])
    }

    #[test]
    fn a_share_comes_out_as_it_went_in() {
        let text = share().to_text(&secret());
        assert!(text.starts_with("sealdrop/recovery/v1\nbox: sdbox1"));
        let read = Share::parse(text.as_bytes()).ok().unwrap();
        assert_eq!(
            (&read.split, read.number, read.expose()),
            (&share().split, 2, &[9; 32])
        );
        assert!(text.len() < MAX_TEXT);
    }

    #[test]
    fn numbers_that_no_split_has_are_refused() {
        for (need, of, number) in [
            (1, 5, 1),
            (0, 5, 1),
            (6, 5, 1),
            (2, 65, 1),
            (3, 5, 0),
            (3, 5, 6),
        ] {
            let mut bad = share();
            (bad.split.need, bad.split.of, bad.number) = (need, of, number);
            let text = bad.to_text(&secret());
            let refused = Share::parse(text.as_bytes()).err();
            assert_eq!(refused, Some(ShareError::Malformed), "{need} {of} {number}");
        }
    }

    #[test]
    fn a_share_that_the_box_key_did_not_sign_is_refused() {
        let forged = share().to_text(&SecretKey::from_seed(&[8; 32]));
        let refused = Share::parse(forged.as_bytes()).err();
        assert_eq!(refused, Some(ShareError::NotSigned));
    }

    #[test]
    fn a_share_has_one_spelling() {
        let text = share().to_text(&secret());
        for bad in [
            text.trim_end().to_owned(),
            format!("{}\n", *text),
            format!(" {}", *text),
            text.replace('\n', "\r\n"),
            text.replace("need: 3", "need: 03"),
            text.replace("split: ab", "split: AB"),
            text.replace("v1", "v2"),
            text.repeat(2),
            "a".repeat(MAX_TEXT + 1),
            String::new(),
        ] {
            let refused = Share::parse(bad.as_bytes()).err();
            assert_eq!(refused, Some(ShareError::Malformed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(Share::parse(&bytes).is_err());
        }

        #[test]
        fn a_share_with_one_byte_changed_is_refused(at in 0_usize..340, bit in 0_u32..8) {
            let mut text = share().to_text(&secret()).as_bytes().to_vec();
            let at = at % text.len();
            text[at] ^= 1 << bit;
            prop_assert!(Share::parse(&text).is_err());
        }
    }
}
