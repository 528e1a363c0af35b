//! The age hybrid identity: opens `mlkem768x25519` stanzas. C2SP age.md; docs/protocol.md, "Keys".

use std::cell::RefCell;

use age::DecryptError;
use age_core::format::Stanza;
use age_core::secrecy::ExposeSecret as _;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable as _, Kem as KemTrait, OpModeR};
use sealdrop_core::drop::FileKey;
use sealdrop_core::encoding;
use sealdrop_core::recipient::{
    self, BODY_LEN, ENC_LEN, IdentitySeed, Recipient, STANZA_INFO, STANZA_TAG,
};
use zeroize::Zeroizing;

/// A member's identity. Release 0.11 of the `age` crate knows no hybrid recipients; this is its public trait, written from the specification.
pub struct Identity {
    key: <XWing as KemTrait>::PrivateKey,
    recipient: Recipient,
}

impl Identity {
    /// The identity that a seed makes.
    #[must_use]
    pub fn new(seed: &IdentitySeed) -> Self {
        let key = <XWing as KemTrait>::PrivateKey::from_bytes(seed.expose())
            .expect("any 32 bytes are a seed");
        Self {
            key,
            recipient: seed.to_public(),
        }
    }

    /// Its public half.
    #[must_use]
    pub fn to_public(&self) -> &Recipient {
        &self.recipient
    }

    fn unwrap(
        &self,
        enc: &[u8; ENC_LEN],
        body: &[u8; BODY_LEN],
    ) -> Option<age_core::format::FileKey> {
        let enc = <XWing as KemTrait>::EncappedKey::from_bytes(enc).ok()?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.key,
            &enc,
            STANZA_INFO,
            body,
            b"",
        );
        let opened = Zeroizing::new(opened.ok()?);
        let file_key: [u8; 16] = opened.as_slice().try_into().ok()?;
        Some(age_core::format::FileKey::new(Box::new(file_key)))
    }
}

impl age::Identity for Identity {
    /// `None` for a stanza of another type or for another identity; an error for a malformed one, which refuses the file.
    fn unwrap_stanza(&self, stanza: &Stanza) -> Unwrapped {
        if stanza.tag != STANZA_TAG {
            return None;
        }
        match parse(stanza) {
            Some((enc, body)) => self.unwrap(&enc, &body).map(Ok),
            None => Some(Err(DecryptError::InvalidHeader)),
        }
    }
}

/// The parts of a hybrid stanza: two arguments, an *enc* of the right length whose X25519 share is not of low order, and a body of exactly 32
/// bytes (a longer one would let a sender learn which of several identities opened it).
fn parse(stanza: &Stanza) -> Option<(Box<[u8; ENC_LEN]>, [u8; BODY_LEN])> {
    let [enc] = stanza.args.as_slice() else {
        return None;
    };
    let enc: Box<[u8; ENC_LEN]> = encoding::from_raw_base64(enc.as_bytes())?.try_into().ok()?;
    let share = enc.last_chunk().expect("enc is longer than a share");
    let body = stanza.body.as_slice().try_into().ok()?;
    (!recipient::is_low_order(share)).then_some((enc, body))
}

/// What a drop's header held: the stanzas, and the file key that one of them gave.
pub(crate) struct Header {
    pub(crate) stanzas: Vec<recipient::Stanza>,
    pub(crate) file_key: FileKey,
}

/// What age's `Identity` trait answers.
type Unwrapped = Option<Result<age_core::format::FileKey, DecryptError>>;

type Unwrap<'a> = dyn Fn(&[Stanza]) -> Unwrapped + 'a;

/// Keeps the header while the `age` crate opens a file, so that the stanzas can be recomputed.
pub(crate) struct Capture<'a> {
    unwrap: Box<Unwrap<'a>>,
    header: RefCell<Option<Header>>,
}

impl<'a> Capture<'a> {
    pub(crate) fn identities(identities: &'a [Identity]) -> Self {
        Self::new(move |stanzas| {
            identities
                .iter()
                .find_map(|i| age::Identity::unwrap_stanzas(i, stanzas))
        })
    }

    pub(crate) fn file_key(file_key: &'a FileKey) -> Self {
        Self::new(|_| {
            Some(Ok(age_core::format::FileKey::new(Box::new(
                *file_key.expose(),
            ))))
        })
    }

    fn new(unwrap: impl Fn(&[Stanza]) -> Unwrapped + 'a) -> Self {
        Self {
            unwrap: Box::new(unwrap),
            header: RefCell::new(None),
        }
    }

    /// The header, after the file was opened.
    pub(crate) fn into_header(self) -> Option<Header> {
        self.header.into_inner()
    }
}

impl age::Identity for Capture<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Unwrapped {
        (self.unwrap)(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Unwrapped {
        let file_key = match (self.unwrap)(stanzas)? {
            Ok(file_key) => file_key,
            Err(error) => return Some(Err(error)),
        };
        let ours = |stanza: &Stanza| {
            let (enc, body) = parse(stanza).filter(|_| stanza.tag == STANZA_TAG)?;
            Some(recipient::Stanza { enc: *enc, body })
        };
        let Some(stanzas) = stanzas.iter().map(ours).collect() else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        let copy = FileKey::from_bytes(*file_key.expose_secret());
        *self.header.borrow_mut() = Some(Header {
            stanzas,
            file_key: copy,
        });
        Some(Ok(file_key))
    }
}
