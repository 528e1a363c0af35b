//! The entries of the log. docs/protocol.md, "Leaf".

use std::fmt;

use super::tree::{self, Hash};
use crate::encoding::{self, MAX_DECIMAL};
use crate::fields::Fields;
use crate::time::Window;

const FIRST_LINE: &str = "sealdrop/leaf/v1";

/// What an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeafKind {
    /// A drop that the server accepted.
    Drop,
    /// A roster that the server took.
    Roster,
    /// The slips of a window. docs/protocol.md, "Feed".
    Segment,
    /// A member's request to remove the bodies of a window.
    Release,
    /// Nothing: it hides how many of the others there are.
    Pad,
}

impl LeafKind {
    const ALL: [Self; 5] = [
        Self::Drop,
        Self::Roster,
        Self::Segment,
        Self::Release,
        Self::Pad,
    ];

    /// The word that stands in the entry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Roster => "roster",
            Self::Segment => "segment",
            Self::Release => "release",
            Self::Pad => "pad",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for LeafKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leaf {
    /// What it stands for.
    pub kind: LeafKind,
    /// SHA-256 of the body: the file of a drop, the note of a roster or release, the bytes of a segment. For a pad, 32 random bytes.
    pub digest: [u8; 32],
    /// The length of the body in bytes; 0 for a pad. At most [`MAX_DECIMAL`].
    pub size: u64,
    /// The window in which the server took it. At most [`MAX_DECIMAL`].
    pub window: Window,
}

/// The bytes are not an entry in its one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an entry of the log")]
pub struct LeafError;

impl Leaf {
    /// A pad. `random` must be 32 fresh random bytes: without entropy an outsider recognises pads, and counts the rest.
    #[must_use]
    pub fn pad(random: [u8; 32], window: Window) -> Self {
        Self {
            kind: LeafKind::Pad,
            digest: random,
            size: 0,
            window,
        }
    }

    /// The entry's text, five lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.text_under(FIRST_LINE)
    }

    /// The entry's four fields under another first line, as a promise has them.
    pub(super) fn text_under(&self, first_line: &str) -> String {
        debug_assert!(self.size <= MAX_DECIMAL && self.window.0 <= MAX_DECIMAL);
        format!(
            "{first_line}\nkind: {}\ndigest: {}\nsize: {}\nwindow: {}\n",
            self.kind,
            encoding::hex(&self.digest),
            self.size,
            self.window
        )
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`LeafError`] for anything but what [`Leaf::to_text`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let text = std::str::from_utf8(bytes).map_err(|_| LeafError)?;
        Self::parse_under(FIRST_LINE, text).ok_or(LeafError)
    }

    pub(super) fn parse_under(first_line: &str, text: &str) -> Option<Self> {
        let mut fields = Fields::new(text, first_line)?;
        let leaf = Self {
            kind: LeafKind::parse(fields.take("kind")?)?,
            digest: encoding::from_hex(fields.take("digest")?)?,
            size: encoding::from_decimal(fields.take("size")?)?,
            window: Window(encoding::from_decimal(fields.take("window")?)?),
        };
        fields.end()?;
        (leaf.kind != LeafKind::Pad || leaf.size == 0).then_some(leaf)
    }

    /// `SHA-256(0x00 || text)`.
    #[must_use]
    pub fn hash(&self) -> Hash {
        tree::leaf_hash(self.to_text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(kind: LeafKind, size: u64) -> Leaf {
        Leaf {
            kind,
            digest: [7; 32],
            size,
            window: Window(81_000),
        }
    }

    #[test]
    fn every_kind_reads_back() {
        for kind in LeafKind::ALL {
            let leaf = leaf(kind, if kind == LeafKind::Pad { 0 } else { 67_195 });
            assert_eq!(Leaf::parse(leaf.to_text().as_bytes()), Ok(leaf));
        }
    }

    #[test]
    fn a_pad_has_no_size() {
        let text = leaf(LeafKind::Drop, 1).to_text().replace("drop", "pad");
        assert_eq!(Leaf::parse(text.as_bytes()), Err(LeafError));
    }

    #[test]
    fn an_entry_has_one_spelling() {
        let good = leaf(LeafKind::Drop, 10).to_text();
        for bad in [
            good.replace("size: 10", "size: 010"),
            good.replace("size: 10", "size:10"),
            good.replace("drop", "Drop"),
            good.replace("07", "0G"),
            good.replace("/v1", "/v2"),
            good.replace('\n', "\r\n"),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            format!("{good}x-more: 1\n"),
            String::new(),
        ] {
            assert_eq!(Leaf::parse(bad.as_bytes()), Err(LeafError), "{bad:?}");
        }
        assert_eq!(Leaf::parse(&[0xff; 8]), Err(LeafError));
    }
}
