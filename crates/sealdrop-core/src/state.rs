//! What a reporter's program may keep between two checks, sealed with the phrase. docs/protocol.md, "State".
//!
//! [`State::seal`] writes one; `sealdrop-open` opens one. A state holds no text: the slips in it are sealed as they were in the feed.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::drop::{self, size};
use crate::encoding;
use crate::log::leaf::{Leaf, LeafKind};
use crate::note::Note;
use crate::phrase::ReporterKeys;
use crate::roster::Seen;
use crate::slip::Slip;
use crate::time::Window;

/// The largest state that is read, in bytes of the file.
pub const MAX_STATE: usize = 256 << 20;
/// The smallest padded plaintext, so that the size says nothing of how many answers there are: room for some 180 slips in an ordinary box.
const MIN_PADDED: u64 = size::MAX_POWER;

const VERSION: u64 = 1;

/// What was read of a feed the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The newest roster.
    pub seen: Seen,
    /// Its retention, in seconds.
    pub retention: u64,
    /// The newest checkpoint of the log, as the log key signed it.
    pub checkpoint: Note,
    /// The segments that the feed listed, rising.
    pub segments: Vec<Leaf>,
    /// The slips in them whose clue is the conversation's, with their windows.
    pub slips: Vec<(Window, Box<Slip>)>,
}

/// Why bytes are not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Not this JSON.
    #[error("not a state")]
    Malformed,
    /// Written by a newer version.
    #[error("a state of a newer version")]
    Version,
}

#[derive(Deserialize)]
struct VersionJson {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateJson {
    version: u64,
    epoch: u64,
    roster: String,
    retention: u64,
    checkpoint: String,
    /// Window, digest and size of each.
    segments: Vec<(u64, String, u64)>,
    slips: Vec<(u64, String)>,
}

impl State {
    /// The age file: to the recipient that nobody but the phrase knows, so that nobody else can make one either. Its length is the same for every state of a
    /// box with few answers.
    #[must_use]
    pub fn seal(&self, keys: &ReporterKeys, rng: &mut impl CryptoRng) -> Vec<u8> {
        drop::seal_to(&keys.state.to_public(), &self.to_padded(), rng)
    }

    /// JSON, a line feed, and spaces.
    fn to_padded(&self) -> Zeroizing<Vec<u8>> {
        let json = StateJson {
            version: VERSION,
            epoch: self.seen.epoch,
            roster: encoding::hex(&self.seen.digest),
            retention: self.retention,
            checkpoint: self.checkpoint.to_string(),
            segments: self
                .segments
                .iter()
                .map(|leaf| (leaf.window.0, encoding::hex(&leaf.digest), leaf.size))
                .collect(),
            slips: self
                .slips
                .iter()
                .map(|(window, slip)| (window.0, encoding::base64(&slip[..])))
                .collect(),
        };
        let mut bytes = serde_json::to_vec(&json).expect("numbers and texts are always JSON");
        bytes.push(b'\n');
        let padded = size::padded((bytes.len() as u64).max(MIN_PADDED));
        bytes.resize(padded as usize, b' ');
        Zeroizing::new(bytes)
    }

    /// Reads the plaintext. Whoever made it holds the phrase, so nothing in it is an attack; it may be another version's.
    ///
    /// # Errors
    /// As [`StateError`] says.
    pub fn parse(plain: &[u8]) -> Result<Self, StateError> {
        let version: VersionJson =
            serde_json::from_slice(plain).map_err(|_| StateError::Malformed)?;
        if version.version > VERSION {
            return Err(StateError::Version);
        }
        let json: StateJson = serde_json::from_slice(plain).map_err(|_| StateError::Malformed)?;
        json.parse().ok_or(StateError::Malformed)
    }
}

impl StateJson {
    fn parse(self) -> Option<State> {
        let segment = |(window, digest, size): (u64, String, u64)| {
            Some(Leaf {
                kind: LeafKind::Segment,
                digest: encoding::from_hex(&digest)?,
                size,
                window: Window(window),
            })
        };
        let slip = |(window, slip): (u64, String)| {
            let slip: Box<Slip> = encoding::from_base64(&slip)?
                .into_boxed_slice()
                .try_into()
                .ok()?;
            Some((Window(window), slip))
        };
        let segments: Vec<Leaf> = self
            .segments
            .into_iter()
            .map(segment)
            .collect::<Option<_>>()?;
        segments
            .is_sorted_by(|a, b| a.window < b.window)
            .then_some(())?;
        Some(State {
            seen: Seen {
                epoch: self.epoch,
                digest: encoding::from_hex(&self.roster)?,
            },
            retention: self.retention,
            checkpoint: Note::parse(self.checkpoint.as_bytes()).ok()?,
            segments,
            slips: self.slips.into_iter().map(slip).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::key::{LogRole, SecretKey};
    use crate::phrase::Phrase;
    use crate::slip;

    fn state(segments: u64, slips: usize) -> State {
        let box_key = SecretKey::from_seed(&[1; 32]).to_public();
        let mut rng = ChaCha20Rng::from_seed([2; 32]);
        let log: SecretKey<LogRole> = SecretKey::from_seed(&[3; 32]);
        State {
            seen: Seen {
                epoch: 4,
                digest: [5; 32],
            },
            retention: 7_776_000,
            checkpoint: Note::new("a checkpoint\n").unwrap().sign("log", &log),
            segments: (0..segments)
                .map(|n| Leaf {
                    kind: LeafKind::Segment,
                    digest: [n as u8; 32],
                    size: 32_768,
                    window: Window(80_000 + n),
                })
                .collect(),
            slips: (0..slips)
                .map(|n| (Window(80_000 + n as u64), slip::decoy(&box_key, &mut rng)))
                .collect(),
        }
    }

    #[test]
    fn a_state_reads_back() {
        for state in [state(0, 0), state(9, 3)] {
            let plain = state.to_padded();
            assert_eq!(State::parse(&plain), Ok(state));
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let plain = state(2, 1).to_padded();
        let text = std::str::from_utf8(&plain).unwrap().trim_end();
        let with = |from: &str, to: &str| State::parse(text.replacen(from, to, 1).as_bytes());
        assert!(with("", "").is_ok());
        assert_eq!(
            with("\"version\":1", "\"version\":2"),
            Err(StateError::Version)
        );
        for (from, to) in [
            ("\"epoch\"", "\"epochs\""),
            ("80001", "79999"),
            ("[[80000,\"0000", "[[80000,\"000"),
            ("a checkpoint", "a\\u0000checkpoint"),
            ("{\"version", "[\"version"),
        ] {
            assert_eq!(with(from, to), Err(StateError::Malformed), "{from} to {to}");
        }
    }

    /// The size of the file does not say whether there is mail.
    #[test]
    fn a_state_has_one_size_with_mail_and_without() {
        let box_key = SecretKey::from_seed(&[1; 32]).to_public();
        let keys = Phrase::from_entropy(&[1; 16]).keys(&box_key);
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let mut size = |segments, slips| state(segments, slips).seal(&keys, &mut rng).len();
        let sizes = [(0, 0), (360, 0), (360, 1), (360, 180)].map(|(a, b)| size(a, b));
        assert_eq!(sizes, [1_050_475; 4]);
        assert_eq!(
            size(360, 190),
            1_050_475 + 32_768 + 16,
            "more is seen to be more"
        );
    }
}
