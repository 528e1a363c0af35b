//! What a sealed drop that is kept was sealed for, which nobody can tell from the drop itself: `FILE.box` beside it. docs/protocol.md, "Proof".

use sealdrop_core::address::Address;
use sealdrop_core::encoding;
use serde::{Deserialize, Serialize};

use crate::BoxFile;

/// The largest such JSON.
pub const MAX_RECORD: usize = 4 << 20;

/// The box and the roster that a drop was sealed to, and which drop it is. Nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is to go.
    pub address: Address,
    /// SHA-256 of its header, which no two drops share.
    pub header: [u8; 32],
    /// SHA-256 of all of it: a damaged one opens to nobody.
    pub digest: [u8; 32],
    /// Its length in bytes.
    pub size: u64,
    /// The roster and policy.
    pub box_file: BoxFile,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not this JSON.
    #[error("not what is written beside a sealed drop")]
    Malformed,
    /// Written by a newer version.
    #[error("written by a newer version")]
    Version,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u64,
    address: String,
    header: String,
    digest: String,
    size: u64,
    #[serde(rename = "box")]
    box_file: serde_json::Value,
}

impl Record {
    /// The JSON, ending in a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let box_file = self.box_file.to_json();
        let wire = Wire {
            version: 1,
            address: self.address.to_string(),
            header: encoding::hex(&self.header),
            digest: encoding::hex(&self.digest),
            size: self.size,
            box_file: serde_json::from_str(&box_file).expect("it was made as JSON"),
        };
        let mut json = serde_json::to_string_pretty(&wire).expect("strings are always JSON");
        json.push('\n');
        json
    }

    /// Reads the JSON.
    ///
    /// # Errors
    /// As [`RecordError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| RecordError::Malformed)?;
        if wire.version > 1 {
            return Err(RecordError::Version);
        }
        let parse = || {
            Some(Self {
                address: wire.address.parse().ok()?,
                header: encoding::from_hex(&wire.header)?,
                digest: encoding::from_hex(&wire.digest)?,
                size: wire.size,
                box_file: BoxFile::parse(wire.box_file.to_string().as_bytes()).ok()?,
            })
        };
        parse().ok_or(RecordError::Malformed)
    }
}
