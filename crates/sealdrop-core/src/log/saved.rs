//! What `sealdrop submit --receipt` writes before the checkpoint is public. docs/protocol.md, "Proof".

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::drop::FileKey;
use crate::encoding;
use crate::note::Note;

/// The largest such file, in bytes.
pub const MAX_SAVED: usize = 1_048_576;

const VERSION: u64 = 1;

/// The receipt file: the promise, and what is needed to turn it into a [`super::proof::Receipt`] later. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedReceipt {
    /// The drop address, as it was given.
    pub address: String,
    /// The server's promise, not verified.
    pub promise: Note,
    /// The roster that was sealed to, not verified.
    pub roster: Note,
}

/// The file beside it: with the file key, the drop's sender can show *what* was logged, and so can whoever reads this file. Keep it owner-only.
pub struct SavedKey {
    /// The drop's file key.
    pub file_key: FileKey,
}

/// Why such a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// Not this JSON, or larger than the limit.
    #[error("not a receipt file")]
    Malformed,
    /// Written by a newer version.
    #[error("a receipt file of a newer version")]
    Version,
}

#[derive(Serialize, Deserialize)]
struct VersionJson {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptJson {
    version: u64,
    address: String,
    promise: String,
    roster: String,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyJson {
    version: u64,
    file_key: String,
}

impl SavedReceipt {
    /// The file's bytes: JSON, ending in a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        write(&ReceiptJson {
            version: VERSION,
            address: self.address.clone(),
            promise: self.promise.to_string(),
            roster: self.roster.to_string(),
        })
    }

    /// Reads the file. Its notes are still to be verified, and its address is not to be trusted over the one that the reader knows.
    ///
    /// # Errors
    /// As [`SavedError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, SavedError> {
        let json: ReceiptJson = read(bytes)?;
        let note = |text: &str| Note::parse(text.as_bytes()).map_err(|_| SavedError::Malformed);
        Ok(Self {
            promise: note(&json.promise)?,
            roster: note(&json.roster)?,
            address: json.address,
        })
    }
}

impl SavedKey {
    /// The file's bytes: JSON, ending in a newline. Secret.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        Zeroizing::new(write(&KeyJson {
            version: VERSION,
            file_key: encoding::base64(self.file_key.expose()),
        }))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// As [`SavedError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, SavedError> {
        let json: KeyJson = read(bytes)?;
        let key = encoding::from_base64(&json.file_key).map(Zeroizing::new);
        let key = key.and_then(|key| Some(Zeroizing::new(<[u8; 16]>::try_from(&**key).ok()?)));
        Ok(Self {
            file_key: FileKey::from_bytes(*key.ok_or(SavedError::Malformed)?),
        })
    }
}

fn write(json: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(json).expect("strings and numbers are JSON");
    text.push('\n');
    text
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SavedError> {
    if bytes.len() > MAX_SAVED {
        return Err(SavedError::Malformed);
    }
    let VersionJson { version } =
        serde_json::from_slice(bytes).map_err(|_| SavedError::Malformed)?;
    match version {
        VERSION => serde_json::from_slice(bytes).map_err(|_| SavedError::Malformed),
        0 => Err(SavedError::Malformed),
        _ => Err(SavedError::Version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "text\n\n— name AAAAAAA=\n";

    fn receipt() -> SavedReceipt {
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        SavedReceipt {
            address: "https://drop.example#sdbox1".into(),
            promise: note.clone(),
            roster: note,
        }
    }

    #[test]
    fn a_receipt_file_reads_back() {
        let json = receipt().to_json();
        assert_eq!(SavedReceipt::parse(json.as_bytes()), Ok(receipt()));
    }

    #[test]
    fn a_key_file_reads_back() {
        let key = SavedKey {
            file_key: FileKey::from_bytes([2; 16]),
        };
        let read = SavedKey::parse(key.to_json().as_bytes()).ok().unwrap();
        assert_eq!(read.file_key.expose(), &[2; 16]);
    }

    #[track_caller]
    fn check(json: &str, expected: SavedError) {
        assert_eq!(SavedReceipt::parse(json.as_bytes()), Err(expected));
    }

    #[test]
    fn other_files_are_refused() {
        let good = receipt().to_json();
        check("", SavedError::Malformed);
        check("[]", SavedError::Malformed);
        check(&good.replace(": 1,", ": 0,"), SavedError::Malformed);
        check(&good.replace(": 1,", ": 2,"), SavedError::Version);
        check(&good.replace(": 1,", ": \"1\","), SavedError::Malformed);
        check(&good.replace("address", "adress"), SavedError::Malformed);
        check(&good.replace("text\\n", "text"), SavedError::Malformed);
        check(&format!("{good}x"), SavedError::Malformed);
        let key = |text: &str| SavedKey::parse(text.as_bytes()).err();
        let json = |file_key| format!(r#"{{"version":1,"file_key":"{file_key}"}}"#);
        assert_eq!(key(&json("AAAAAAAAAAAAAAAAAAAAAA==")), None);
        assert_eq!(
            key(&json("AAAAAAAAAAAAAAAAAAAAAA")),
            Some(SavedError::Malformed)
        );
        assert_eq!(
            key(&json("AAAAAAAAAAAAAAAAAAAA")),
            Some(SavedError::Malformed)
        );
    }
}
