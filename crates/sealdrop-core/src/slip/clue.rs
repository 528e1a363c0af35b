//! Clues: how a reporter finds their slips without opening every one. docs/protocol.md, "Clue".
//!
//! A clue names nobody: without the private half of the reporter's clue key, its tag is as random as its share.

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

use crate::encoding;
use crate::key::BoxKey;
use crate::phrase::ClueSecret;

/// Bytes of a clue: an X25519 share (32) and a tag (16).
pub const CLUE: usize = 48;

/// The first bytes of a slip.
pub type Clue = [u8; CLUE];

/// A clue for whoever holds the private half of `reporter`, which [`Report::parse`](crate::report::Report::parse) has found not to be of low order.
pub(super) fn make(reporter: &[u8; 32], box_key: &BoxKey, rng: &mut impl CryptoRng) -> Clue {
    let mut secret = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *secret);
    let share = x25519(*secret, X25519_BASEPOINT_BYTES);
    let tag = tag(
        &Zeroizing::new(x25519(*secret, *reporter)),
        &share,
        reporter,
        box_key,
    );
    let mut clue = [0; CLUE];
    clue[..32].copy_from_slice(&share);
    clue[32..].copy_from_slice(&tag);
    clue
}

/// Looks for the slips of one conversation.
pub struct Seeker<'a> {
    secret: &'a ClueSecret,
    public: [u8; 32],
    box_key: &'a BoxKey,
}

impl<'a> Seeker<'a> {
    /// Looks with a conversation's clue key, in the feed of the box.
    #[must_use]
    pub fn new(secret: &'a ClueSecret, box_key: &'a BoxKey) -> Self {
        Self {
            secret,
            public: secret.to_public(),
            box_key,
        }
    }

    /// Whether the slip with this clue is for this conversation. A share of low order is for nobody.
    #[must_use]
    pub fn finds(&self, clue: &Clue) -> bool {
        let (share, tagged) = clue
            .split_first_chunk::<32>()
            .expect("a clue is longer than a share");
        let shared = Zeroizing::new(x25519(*self.secret.expose(), *share));
        if bool::from(shared.ct_eq(&[0; 32])) {
            return false;
        }
        tag(&shared, share, &self.public, self.box_key)
            .ct_eq(tagged)
            .into()
    }
}

/// ChaCha20-Poly1305's tag of nothing, under HKDF(ikm = shared secret, salt = share || public, info = "sealdrop/v1/clue" || box).
fn tag(shared: &[u8; 32], share: &[u8; 32], public: &[u8; 32], box_key: &BoxKey) -> [u8; 16] {
    let mut salt = [0; 64];
    salt[..32].copy_from_slice(share);
    salt[32..].copy_from_slice(public);
    let key = Zeroizing::new(encoding::hkdf::<32>(
        shared,
        &salt,
        &[b"sealdrop/v1/clue", box_key.as_bytes()],
    ));
    ChaCha20Poly1305::new_from_slice(&*key)
        .expect("the key has 32 bytes")
        .encrypt_inout_detached(&Nonce::default(), b"", (&mut [][..]).into())
        .expect("nothing is not too long to seal")
        .into()
}
