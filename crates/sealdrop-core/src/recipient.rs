//! Hybrid recipients and their stanzas: `age1pq1…`, `mlkem768x25519`. C2SP age.md; docs/protocol.md, "Keys" and "Drop".

use std::fmt;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable as _, Kem as KemTrait, OpModeS, Serializable as _};
use std::convert::Infallible;

use rand_core::{CryptoRng, TryCryptoRng, TryRng};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::bech32;
use crate::drop::FileKey;
use crate::encoding;

/// The human-readable part of a recipient.
const RECIPIENT_HRP: &str = "age1pq";
/// The human-readable part of an identity.
const IDENTITY_HRP: &str = "AGE-SECRET-KEY-PQ-";
/// The first argument of a stanza.
pub const STANZA_TAG: &str = "mlkem768x25519";
/// HPKE's info for that stanza.
pub const STANZA_INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// Length of a recipient: an ML-KEM-768 encapsulation key (1,184) and an X25519 share (32).
pub const RECIPIENT_LEN: usize = 1216;
/// Length of the encapsulated key *enc*: an ML-KEM-768 ciphertext (1,088) and an X25519 share (32).
pub const ENC_LEN: usize = 1120;
/// Length of a stanza's body: the file key (16) and a tag (16).
pub const BODY_LEN: usize = 32;

/// The public half of an age hybrid identity. 1,216 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient {
    key: <XWing as KemTrait>::PublicKey,
    bytes: Box<[u8; RECIPIENT_LEN]>,
}

/// The text or the bytes are no usable hybrid recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable `age1pq1…` recipient")]
pub struct InvalidRecipient;

impl Recipient {
    /// A recipient from `age1pq1…`.
    ///
    /// # Errors
    /// [`InvalidRecipient`]: not Bech32 of this kind, not 1,216 bytes, or refused by [`Recipient::from_bytes`].
    pub fn parse(text: &str) -> Result<Self, InvalidRecipient> {
        let bytes = bech32::decode(RECIPIENT_HRP, text).map_err(|_| InvalidRecipient)?;
        Self::from_bytes(bytes.as_slice().try_into().map_err(|_| InvalidRecipient)?)
    }

    /// A recipient from its bytes.
    ///
    /// # Errors
    /// [`InvalidRecipient`]: the ML-KEM key is not reduced, or the X25519 share is of low order (its secrets would be known to all).
    pub fn from_bytes(bytes: &[u8; RECIPIENT_LEN]) -> Result<Self, InvalidRecipient> {
        let key =
            <XWing as KemTrait>::PublicKey::from_bytes(bytes).map_err(|_| InvalidRecipient)?;
        let share: [u8; 32] = *bytes
            .last_chunk()
            .expect("a recipient is longer than a share");
        if is_low_order(&share) {
            return Err(InvalidRecipient);
        }
        Ok(Self {
            key,
            bytes: Box::new(*bytes),
        })
    }

    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; RECIPIENT_LEN] {
        &self.bytes
    }

    /// The recipient's fingerprint. docs/protocol.md, "Roster".
    #[must_use]
    pub fn fingerprint(&self) -> String {
        encoding::fingerprint(&*self.bytes)
    }

    /// The stanza that addresses `file_key` to this recipient, by the deterministic encapsulation of
    /// docs/protocol.md, "Verifiable addressing". The same file key gives the same bytes.
    #[must_use]
    pub fn seal_stanza(&self, file_key: &FileKey) -> Stanza {
        let mut randomness = Randomness(
            Zeroizing::new(encoding::hkdf(
                file_key.expose(),
                &encoding::sha256(&*self.bytes),
                &[b"sealdrop/v1/stanza"],
            )),
            0,
        );
        let (enc, body) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &self.key,
            STANZA_INFO,
            file_key.expose(),
            b"",
            &mut randomness,
        )
        .expect(
            "X-Wing encapsulates to every key that parsed, and 16 bytes are not too many to seal",
        );
        assert_eq!(
            randomness.1, 64,
            "X-Wing takes exactly 64 bytes, or every stanza would be unverifiable"
        );
        Stanza {
            enc: enc
                .to_bytes()
                .as_slice()
                .try_into()
                .expect("X-Wing's enc has this length"),
            body: body.as_slice().try_into().expect("16 bytes and a tag"),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT_HRP, &*self.bytes))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.fingerprint())
    }
}

/// One `mlkem768x25519` stanza of an age header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// The encapsulated key.
    pub enc: [u8; ENC_LEN],
    /// The sealed file key.
    pub body: [u8; BODY_LEN],
}

/// The seed of an age hybrid identity: 32 bytes. It names the recipient here; opening lives in `sealdrop-open`.
pub struct IdentitySeed(Zeroizing<[u8; 32]>);

impl IdentitySeed {
    /// A fresh identity.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self(seed)
    }

    /// The identity whose seed is these bytes.
    #[must_use]
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*seed))
    }

    /// Reads `AGE-SECRET-KEY-PQ-1…`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = bech32::decode(IDENTITY_HRP, text).ok()?;
        let seed = bytes
            .as_slice()
            .try_into()
            .ok()
            .map(|seed| Self::from_bytes(&seed));
        bytes.zeroize();
        seed
    }

    /// `AGE-SECRET-KEY-PQ-1…`, as the stock `age` reads it.
    #[must_use]
    pub fn to_age(&self) -> Zeroizing<String> {
        Zeroizing::new(bech32::encode(IDENTITY_HRP, &*self.0))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The recipient of this identity.
    #[must_use]
    pub fn to_public(&self) -> Recipient {
        let secret =
            <XWing as KemTrait>::PrivateKey::from_bytes(&*self.0).expect("any 32 bytes are a seed");
        let key = XWing::sk_to_pk(&secret);
        let bytes = key
            .to_bytes()
            .as_slice()
            .try_into()
            .expect("X-Wing's keys have this length");
        Recipient {
            key,
            bytes: Box::new(bytes),
        }
    }
}

/// Whether an X25519 share is of low order, so that every secret with it is zero.
#[must_use]
pub fn is_low_order(share: &[u8; 32]) -> bool {
    // Any clamped scalar is a multiple of the cofactor, so one product tells.
    let shared = x25519_dalek::x25519([0x40; 32], *share);
    bool::from(shared.ct_eq(&[0; 32]))
}

/// An RNG that gives 64 fixed bytes, once, to an encapsulation that must be reproducible.
struct Randomness(Zeroizing<[u8; 64]>, usize);

impl TryRng for Randomness {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let end = self.1 + out.len();
        out.copy_from_slice(
            self.0
                .get(self.1..end)
                .expect("X-Wing takes 64 bytes and no more"),
        );
        self.1 = end;
        Ok(())
    }
}

impl TryCryptoRng for Randomness {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example identity of C2SP age.md begins and ends so.
    const IDENTITY: &str =
        "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR";
    const RECIPIENT_ENDS: [&str; 2] = [
        "age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5zrqtzdxz95paef6caq5aapdm",
        "9pyyzk3tlhl53k2ykx3qheyty7saeq0d3fzv49zc0k",
    ];

    #[test]
    fn the_example_of_the_specification() {
        let identity = IdentitySeed::parse(IDENTITY).unwrap();
        assert_eq!(*identity.to_age(), IDENTITY);
        let recipient = identity.to_public().to_string();
        assert_eq!(recipient.len(), 1959);
        assert!(recipient.starts_with(RECIPIENT_ENDS[0]), "{recipient}");
        assert!(recipient.ends_with(RECIPIENT_ENDS[1]), "{recipient}");
        assert_eq!(Recipient::parse(&recipient).unwrap().to_string(), recipient);
    }

    #[test]
    fn low_order_points_in_a_recipient_are_refused() {
        let good = *IdentitySeed::from_bytes(&[7; 32]).to_public().as_bytes();
        assert!(Recipient::from_bytes(&good).is_ok());
        for low in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            let mut bad = good;
            bad[RECIPIENT_LEN - 32..].copy_from_slice(&low);
            assert!(Recipient::from_bytes(&bad).is_err());
        }
    }

    #[test]
    fn a_stanza_depends_on_the_file_key_and_recipient_alone() {
        let [alice, bob] = [1, 2].map(|n| IdentitySeed::from_bytes(&[n; 32]).to_public());
        let [one, two] = [1, 2].map(|n| FileKey::from_bytes([n; 16]));
        assert_eq!(alice.seal_stanza(&one), alice.seal_stanza(&one));
        assert_ne!(alice.seal_stanza(&one).enc, bob.seal_stanza(&one).enc);
        assert_ne!(alice.seal_stanza(&one).enc, alice.seal_stanza(&two).enc);
    }
}
