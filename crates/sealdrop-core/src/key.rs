//! Ed25519 keys, typed by their role. docs/protocol.md, "Keys" and "Names of keys".
//!
//! The role of a key is in its type here, and in the bytes that it signs: a roster and a request begin with different first lines.

use std::fmt;
use std::marker::PhantomData;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::bech32::{self, Bech32Error};
use crate::encoding;

mod sealed {
    pub trait Sealed {}
}

/// What a key is for.
pub trait Role: sealed::Sealed + 'static {
    /// The signature type byte of C2SP signed-note.
    const SIGNATURE_TYPE: u8;
}

macro_rules! role {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Role for $name { const SIGNATURE_TYPE: u8 = $kind; }
    )*};
}

role! {
    /// Signs rosters. Its public half is in the address.
    BoxRole = 0x01;
    /// Signs what a member, or a reporter, says.
    VoiceRole = 0x01;
    /// Signs a device's requests.
    AccessRole = 0x01;
    /// Cosigns checkpoints for a device (C2SP tlog-cosignature).
    WitnessRole = 0x04;
    /// Signs checkpoints and promises.
    LogRole = 0x01;
}

/// A public key that strict verification accepts: a canonical point, not of small order. 32 bytes.
pub struct PublicKey<R> {
    key: VerifyingKey,
    role: PhantomData<fn() -> R>,
}

/// A private key. 32 bytes; wiped when dropped. It has no Debug, Clone or Serialize.
pub struct SecretKey<R> {
    key: SigningKey,
    role: PhantomData<fn() -> R>,
}

/// The public key of a box.
pub type BoxKey = PublicKey<BoxRole>;
/// The private key of a box.
pub type BoxSecret = SecretKey<BoxRole>;

/// The bytes are no Ed25519 public key, or one of small order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable Ed25519 public key")]
pub struct InvalidKey;

impl<R: Role> PublicKey<R> {
    /// A key from its 32 bytes.
    ///
    /// # Errors
    /// Non-canonical and small-order points are refused, because two verifiers could disagree about their signatures.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, InvalidKey> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| InvalidKey)?;
        if key.is_weak() || key.to_edwards().compress().to_bytes() != *bytes {
            return Err(InvalidKey);
        }
        Ok(Self {
            key,
            role: PhantomData,
        })
    }

    /// The 32 bytes of RFC 8032.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether `signature` (64 bytes) is this key's over `message`, by strict verification.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key
            .verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    }

    /// The key's fingerprint. docs/protocol.md, "Roster".
    #[must_use]
    pub fn fingerprint(&self) -> String {
        encoding::fingerprint(self.as_bytes())
    }
}

impl<R> Clone for PublicKey<R> {
    fn clone(&self) -> Self {
        Self {
            key: self.key,
            role: PhantomData,
        }
    }
}

impl<R> PartialEq for PublicKey<R> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<R> Eq for PublicKey<R> {}

impl<R> fmt::Debug for PublicKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({})",
            encoding::fingerprint(self.key.as_bytes())
        )
    }
}

impl<R: Role> SecretKey<R> {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self::from_seed(&seed)
    }

    /// The key whose private half is these 32 bytes (RFC 8032, section 5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self {
            key: SigningKey::from_bytes(seed),
            role: PhantomData,
        }
    }

    /// The 32 bytes of the private half, for a keyring that is about to be sealed.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn to_public(&self) -> PublicKey<R> {
        PublicKey {
            key: self.key.verifying_key(),
            role: PhantomData,
        }
    }

    /// Signs a message whose first line names its purpose. docs/protocol.md, "Keys".
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

/// The two keys of a device, from its one seed of 32 bytes. docs/protocol.md, "Device keys".
#[must_use]
pub fn device_keys(seed: &[u8; 32]) -> (SecretKey<AccessRole>, SecretKey<WitnessRole>) {
    let derive = |info: &[u8]| Zeroizing::new(encoding::hkdf::<32>(seed, &[], &[info]));
    (
        SecretKey::from_seed(&derive(b"sealdrop/v1/access")),
        SecretKey::from_seed(&derive(b"sealdrop/v1/witness")),
    )
}

/// The human-readable part of a box key.
const BOX_HRP: &str = "sdbox";

/// Why a text is not a box key. docs/protocol.md, "Address".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoxKeyError {
    /// `not a box`: it does not begin with `sdbox1`, or is not lowercase Bech32.
    #[error("not a box: it must begin with `sdbox1`, in lower case")]
    NotABox,
    /// `box checksum`.
    #[error("the checksum of the box does not match: a character is wrong or missing")]
    Checksum,
    /// `box length`: not 32 bytes.
    #[error("the box is too short or too long")]
    Length,
    /// `box key`: not a usable Ed25519 key.
    #[error("the box is not a usable key")]
    Key,
}

impl BoxKey {
    /// A box from its Bech32, `sdbox1…`.
    ///
    /// # Errors
    /// As [`BoxKeyError`] says, one check after another.
    pub fn parse(text: &str) -> Result<Self, BoxKeyError> {
        let bytes = bech32::decode(BOX_HRP, text).map_err(|error| match error {
            Bech32Error::Prefix => BoxKeyError::NotABox,
            Bech32Error::Checksum => BoxKeyError::Checksum,
            Bech32Error::Padding => BoxKeyError::Length,
        })?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| BoxKeyError::Length)?;
        Self::from_bytes(&bytes).map_err(|InvalidKey| BoxKeyError::Key)
    }
}

impl fmt::Display for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(BOX_HRP, self.as_bytes()))
    }
}
