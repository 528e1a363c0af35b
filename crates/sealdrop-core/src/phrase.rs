//! The reporter's phrase and the keys that follow from it. docs/protocol.md, "Phrase".

use std::fmt;

use bip39::{Language, Mnemonic};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::encoding;
use crate::key::{BoxKey, PublicKey, SecretKey, VoiceRole};
use crate::recipient::IdentitySeed;

/// Twelve words: 16 bytes of entropy. It has no Debug or Display; [`Phrase::words`] shows it, once.
pub struct Phrase(Zeroizing<[u8; 16]>);

/// Why a text is not a phrase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhraseError {
    /// Not twelve words.
    #[error("a phrase has 12 words, this one has {0}")]
    Count(usize),
    /// A word that is not in the list. It holds a word of the list, never the word typed.
    #[error("word {position} is not in the word list; the nearest is \u{201c}{nearest}\u{201d}")]
    UnknownWord {
        /// Which word, from 1.
        position: usize,
        /// The nearest word of the list.
        nearest: &'static str,
    },
    /// Every word is in the list, and the checksum does not match.
    #[error("the words do not belong together: one is wrong, or two are swapped")]
    Checksum,
}

impl Phrase {
    /// A fresh phrase.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut entropy = Zeroizing::new([0; 16]);
        rng.fill_bytes(&mut *entropy);
        Self(entropy)
    }

    /// The phrase of this entropy, for vectors.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; 16]) -> Self {
        Self(Zeroizing::new(*entropy))
    }

    /// Reads twelve words, in any case, with any white space between.
    ///
    /// # Errors
    /// As [`PhraseError`] says.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let lower = Zeroizing::new(text.to_lowercase());
        let words: Vec<&str> = lower.split_whitespace().collect();
        if words.len() != 12 {
            return Err(PhraseError::Count(words.len()));
        }
        let list = Language::English.word_list();
        for (position, word) in words.iter().enumerate() {
            if list.binary_search(word).is_err() {
                return Err(PhraseError::UnknownWord {
                    position: position + 1,
                    nearest: nearest_word(word),
                });
            }
        }
        let joined = Zeroizing::new(words.join(" "));
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &joined)
            .map_err(|_| PhraseError::Checksum)?;
        let entropy = Zeroizing::new(mnemonic.to_entropy());
        Ok(Self(Zeroizing::new(
            entropy
                .as_slice()
                .try_into()
                .expect("twelve words are 16 bytes"),
        )))
    }

    /// The twelve words, separated by single spaces.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mnemonic = Mnemonic::from_entropy_in(Language::English, &*self.0)
            .expect("16 bytes are twelve words");
        Zeroizing::new(mnemonic.to_string())
    }

    /// The keys of the conversation that this phrase has with `box_key`.
    #[must_use]
    pub fn keys(&self, box_key: &BoxKey) -> ReporterKeys {
        let derive = |usage: &[u8]| {
            Zeroizing::new(encoding::hkdf::<32>(
                &*self.0,
                box_key.as_bytes(),
                &[b"sealdrop/v1/", usage],
            ))
        };
        let voice = SecretKey::from_seed(&derive(b"voice"));
        ReporterKeys {
            identity: IdentitySeed::from_bytes(&derive(b"age")),
            clue: ClueSecret(derive(b"clue")),
            state: IdentitySeed::from_bytes(&derive(b"state")),
            conversation: ConversationId::derive(box_key, &voice.to_public()),
            voice,
        }
    }
}

/// The word of the list with the fewest edits to `word`, two letters that changed places being one; the first of them on a tie. Long input counts only by
/// its beginning.
fn nearest_word(word: &str) -> &'static str {
    let word: String = word.chars().take(32).collect();
    let list = Language::English.word_list();
    list.iter()
        .copied()
        .min_by_key(|candidate| strsim::osa_distance(&word, candidate))
        .expect("the word list is not empty")
}

/// The keys of one conversation, all derived from the phrase and the box.
pub struct ReporterKeys {
    /// Opens what the maintainers answer.
    pub identity: IdentitySeed,
    /// Finds the answers in the feed.
    pub clue: ClueSecret,
    /// Opens what the reporter's own program keeps. Its recipient is given to nobody.
    pub state: IdentitySeed,
    /// Signs what the reporter says.
    pub voice: SecretKey<VoiceRole>,
    /// The conversation that the voice key makes.
    pub conversation: ConversationId,
}

/// The X25519 private key of a conversation's clues. 32 bytes.
pub struct ClueSecret(Zeroizing<[u8; 32]>);

impl ClueSecret {
    /// The public half.
    #[must_use]
    pub fn to_public(&self) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(*self.0)).to_bytes()
    }

    /// The 32 bytes of the private half.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Which conversation a drop belongs to. 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub [u8; 16]);

impl ConversationId {
    /// `SHA-256("sealdrop/v1/conversation" || box public key || voice public key)[:16]`.
    #[must_use]
    pub fn derive(box_key: &BoxKey, voice: &PublicKey<VoiceRole>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"sealdrop/v1/conversation");
        hash.update(box_key.as_bytes());
        hash.update(voice.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        Self(*hash.first_chunk().expect("32 is more than 16"))
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encoding::hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str =
        "legal winner thank year wave sausage worth useful legal winner thank yellow";

    #[test]
    fn a_phrase_reads_back_in_any_case_and_spacing() {
        let phrase = Phrase::parse(WORDS).unwrap();
        assert_eq!(*phrase.0, [0x7f; 16]);
        assert_eq!(*phrase.words(), WORDS);
        assert!(Phrase::parse(&WORDS.to_uppercase().replace(' ', "\n  ")).is_ok());
    }

    #[track_caller]
    fn check(text: &str, expected: &PhraseError) {
        assert_eq!(Phrase::parse(text).err().as_ref(), Some(expected));
    }

    #[test]
    fn phrase_typed_with_a_slip_of_the_finger() {
        let unknown = |typed: &str, nearest| {
            let error = PhraseError::UnknownWord {
                position: 6,
                nearest,
            };
            check(&WORDS.replace("sausage", typed), &error);
        };
        unknown("sausge", "sausage");
        // Two letters that changed places, the commonest slip.
        unknown("saeson", "season");
        unknown("veiw", "view");
        unknown("jewle", "jewel");
        check(&WORDS.replace("yellow", "year"), &PhraseError::Checksum);
        check("legal winner", &PhraseError::Count(2));
        check("", &PhraseError::Count(0));
    }
}
