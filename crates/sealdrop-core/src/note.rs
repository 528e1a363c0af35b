//! Signed notes and verifier keys, after C2SP signed-note. docs/protocol.md, "Names of keys".

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::encoding;
use crate::key::{PublicKey, Role, SecretKey};

/// The largest note, in bytes.
pub const MAX_NOTE: usize = 262_144;
/// The most signature lines.
pub const MAX_SIGNATURES: usize = 64;

/// Why bytes are not a note, or not one to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Not a note, or larger than the limits.
    #[error("not a signed note")]
    Malformed,
    /// No signature by the key that was asked for.
    #[error("not signed by the expected key")]
    Unsigned,
    /// A signature that names the key and is not its own.
    #[error("a signature does not verify")]
    BadSignature,
}

/// A text with signatures, none of them believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// One signature line: who says to have signed, and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

impl Note {
    /// A note around `text`, which must end in a newline and hold no other control character. Sign it with [`Note::sign`].
    ///
    /// # Errors
    /// [`NoteError::Malformed`] for a text that no note can hold.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        let plain = text.ends_with('\n') && !text.bytes().any(|b| b < 0x20 && b != b'\n');
        if !plain || text.len() > MAX_NOTE {
            return Err(NoteError::Malformed);
        }
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Reads a note. Nothing of it may be believed before [`Note::verify`].
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        Self::parse_inner(bytes).ok_or(NoteError::Malformed)
    }

    fn parse_inner(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_NOTE {
            return None;
        }
        let whole = std::str::from_utf8(bytes).ok()?;
        let split = whole.rfind("\n\n")? + 1;
        let (text, lines) = (&whole[..split], whole[split + 1..].strip_suffix('\n')?);
        let mut note = Self::new(text).ok()?;
        for line in lines.split('\n') {
            note.signatures.push(SignatureLine::parse(line)?);
        }
        (note.signatures.len() <= MAX_SIGNATURES).then_some(note)
    }

    /// The signed text, ending in a newline. Untrusted until [`Note::verify`] has given it back.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a signature line made elsewhere, for instance a cosignature.
    pub fn push(&mut self, line: SignatureLine) {
        self.signatures.push(line);
    }

    /// Signs the text with `key` under `name`, by the plain Ed25519 signature of signed-note (type 0x01).
    #[must_use]
    pub fn sign<R: Role>(mut self, name: &str, key: &SecretKey<R>) -> Self {
        const {
            assert!(
                R::SIGNATURE_TYPE == 0x01,
                "cosignatures are made in log::cosignature"
            )
        };
        let vkey = Vkey::new(name, key.to_public());
        self.signatures.push(SignatureLine {
            id: vkey.id(),
            signature: key.sign(self.text.as_bytes()).to_vec(),
            name: vkey.name,
        });
        self
    }

    /// The text, if `vkey` signed it (type 0x01). Signatures by other keys are ignored.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`], or [`NoteError::BadSignature`] if any line that names the key does not verify.
    pub fn verify<R: Role>(&self, vkey: &Vkey<R>) -> Result<&str, NoteError> {
        let mut signed = false;
        for line in self.signatures_by(vkey) {
            let signature = line
                .signature
                .as_slice()
                .try_into()
                .map_err(|_| NoteError::BadSignature)?;
            if !vkey.key.verify(self.text.as_bytes(), signature) {
                return Err(NoteError::BadSignature);
            }
            signed = true;
        }
        if signed {
            Ok(&self.text)
        } else {
            Err(NoteError::Unsigned)
        }
    }

    /// The lines that carry the name and ID of `vkey`.
    pub fn signatures_by<R: Role>(&self, vkey: &Vkey<R>) -> impl Iterator<Item = &SignatureLine> {
        let id = vkey.id();
        self.signatures
            .iter()
            .filter(move |line| line.name == vkey.name && line.id == id)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl SignatureLine {
    /// A line from its parts: the key's name and ID, and what follows the ID in the signature.
    #[must_use]
    pub fn new<R: Role>(vkey: &Vkey<R>, signature: Vec<u8>) -> Self {
        Self {
            name: vkey.name.clone(),
            id: vkey.id(),
            signature,
        }
    }

    /// Reads `— name base64`, without the newline; `None` for anything else.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
        if !is_key_name(name) {
            return None;
        }
        let bytes = encoding::from_base64(signature)?;
        let (id, signature) = bytes.split_first_chunk()?;
        (!signature.is_empty()).then(|| Self {
            name: name.into(),
            id: *id,
            signature: signature.into(),
        })
    }

    /// The name of the key that is said to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signature, without the key ID.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.signature].concat();
        write!(f, "— {} {}", self.name, encoding::base64(&bytes))
    }
}

/// A verifier key: a public key with the name that its signatures carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey<R> {
    name: String,
    key: PublicKey<R>,
}

impl<R: Role> Vkey<R> {
    /// A verifier key. `name` must be one that signed-note allows; all of docs/protocol.md's are.
    #[must_use]
    pub fn new(name: impl Into<String>, key: PublicKey<R>) -> Self {
        let name = name.into();
        debug_assert!(is_key_name(&name), "key names hold no spaces and no plus");
        Self { name, key }
    }

    /// Reads `name+id+key`; `None` for anything else, an ID that does not match, or another signature type.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let bytes: [u8; 33] = encoding::from_base64_array(key)?;
        let (kind, key) = bytes.split_first_chunk::<1>()?;
        if !is_key_name(name) || kind[0] != R::SIGNATURE_TYPE {
            return None;
        }
        let vkey = Self {
            name: name.into(),
            key: PublicKey::from_bytes(key.try_into().ok()?).ok()?,
        };
        (encoding::from_hex(id)? == vkey.id()).then_some(vkey)
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &PublicKey<R> {
        &self.key
    }

    /// `SHA-256(name || LF || signature type || public key)[:4]`.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([b'\n', R::SIGNATURE_TYPE]);
        hash.update(self.key.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }
}

impl<R: Role> fmt::Display for Vkey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[R::SIGNATURE_TYPE][..], self.key.as_bytes()].concat();
        write!(
            f,
            "{}+{}+{}",
            self.name,
            encoding::hex(&self.id()),
            encoding::base64(&key)
        )
    }
}

/// Whether signed-note allows this key name: not empty, no Unicode space, no plus, no control character.
fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c == '+' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LogRole;

    /// The example of C2SP signed-note.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn vkey() -> Vkey<LogRole> {
        Vkey::parse(VKEY).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_verifies() {
        assert_eq!(vkey().to_string(), VKEY);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.verify(&vkey()), Ok("This is an example message.\n"));
        assert_eq!(note.to_string(), NOTE);
    }

    #[track_caller]
    fn check(note: &str, expected: NoteError) {
        assert_eq!(
            Note::parse(note.as_bytes()).and_then(|n| n.verify(&vkey()).map(drop)),
            Err(expected)
        );
    }

    #[test]
    fn damaged_notes_are_refused() {
        check(
            &NOTE.replace("example message", "exemplary message"),
            NoteError::BadSignature,
        );
        check(
            &NOTE.replace("example.com/foo U", "example.com/bar U"),
            NoteError::Unsigned,
        );
        check(&NOTE.replace("Uw2Q", "Uw2R"), NoteError::Unsigned);
        check(&NOTE.replace("aQM=\n", "aQM="), NoteError::Malformed);
        check(&NOTE.replace("aQM=", "aQM"), NoteError::Malformed);
        check(&NOTE.replace("aQM=", "aQN="), NoteError::Malformed);
        check(&NOTE.replace("— ", "- "), NoteError::Malformed);
        check(&NOTE.replace("This", "Th\u{7}is"), NoteError::Malformed);
        check("text\n", NoteError::Malformed);
        check("text\n\n", NoteError::Malformed);
        check("", NoteError::Malformed);
        let line = &NOTE[NOTE.find('—').unwrap()..];
        check(&format!("{NOTE}{}", line.repeat(64)), NoteError::Malformed);
        check(&"x".repeat(MAX_NOTE + 1), NoteError::Malformed);
    }

    #[test]
    fn one_bad_signature_by_a_known_key_refuses_the_note() {
        let line = &NOTE[NOTE.find('—').unwrap()..];
        check(
            &format!("{NOTE}{}", line.replace("kn8", "kn9")),
            NoteError::BadSignature,
        );
    }

    #[test]
    fn vkeys_of_another_type_or_id_are_refused() {
        assert!(Vkey::<crate::key::WitnessRole>::parse(VKEY).is_none());
        assert!(Vkey::<LogRole>::parse(&VKEY.replace("530d903a", "530d903b")).is_none());
        assert!(Vkey::<LogRole>::parse(&VKEY.replace("530d903a", "530D903A")).is_none());
        assert!(Vkey::<LogRole>::parse(&format!("{VKEY} ")).is_none());
    }
}
