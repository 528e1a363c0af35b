//! Promises: the log key's word that a drop will be in the log. docs/protocol.md, "Promise".

use super::leaf::{Leaf, LeafKind};
use crate::key::{LogRole, SecretKey};
use crate::note::{Note, NoteError, Vkey};
use crate::roster::MAX_AHEAD;
use crate::time::{Time, Window};

const FIRST_LINE: &str = "sealdrop/promise/v1";

/// "This leaf will be in the log at the end of that window." It has no index, because an index counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    leaf: Leaf,
}

/// Why a promise is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromiseError {
    /// The log key has not signed it, or the signature is wrong.
    #[error("the promise is not signed by the log key")]
    NotSigned,
    /// The text is not a promise.
    #[error("not a promise")]
    Malformed,
    /// `another drop`: digest or size are not those of the bytes sent.
    #[error("the promise is for another drop")]
    AnotherDrop,
    /// `back-dated`: the window is neither this clock's nor a neighbour of it.
    #[error("the promise is for another time than now")]
    BackDated,
}

impl Promise {
    /// A promise for a drop. Sign and send it only after its bytes are durable and its leaf is assigned.
    #[must_use]
    pub fn new(digest: [u8; 32], size: u64, window: Window) -> Self {
        Self {
            leaf: Leaf {
                kind: LeafKind::Drop,
                digest,
                size,
                window,
            },
        }
    }

    /// The leaf that is promised.
    #[must_use]
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Signs it as the log called `log_name` ([`super::checkpoint::log_name`]).
    #[must_use]
    pub fn sign(&self, log_name: &str, key: &SecretKey<LogRole>) -> Note {
        Note::new(self.leaf.text_under(FIRST_LINE))
            .expect("it is lines of plain text")
            .sign(log_name, key)
    }

    /// The promise that `log` signed. Whether it is about one's own drop is for [`Promise::check`].
    ///
    /// # Errors
    /// [`PromiseError::NotSigned`] or [`PromiseError::Malformed`].
    pub fn verify(note: &Note, log: &Vkey<LogRole>) -> Result<Self, PromiseError> {
        let text = note.verify(log).map_err(|error| match error {
            NoteError::Malformed => PromiseError::Malformed,
            NoteError::Unsigned | NoteError::BadSignature => PromiseError::NotSigned,
        })?;
        let leaf = Leaf::parse_under(FIRST_LINE, text)
            .filter(|leaf| leaf.kind == LeafKind::Drop)
            .ok_or(PromiseError::Malformed)?;
        Ok(Self { leaf })
    }

    /// Checks that it is for the drop that was sent, in the window `now` by the sender's own clock or a neighbour of it.
    ///
    /// # Errors
    /// [`PromiseError::AnotherDrop`] or [`PromiseError::BackDated`].
    pub fn check(&self, digest: &[u8; 32], size: u64, now: Window) -> Result<(), PromiseError> {
        if self.leaf.digest != *digest || self.leaf.size != size {
            return Err(PromiseError::AnotherDrop);
        }
        if self.leaf.window.0.abs_diff(now.0) > 1 {
            return Err(PromiseError::BackDated);
        }
        Ok(())
    }

    /// Whether the window, of `length` seconds, is within a day of `now`: as near as a sender's clock, which may be wrong by that, can tell.
    #[must_use]
    pub fn is_near(&self, length: u64, now: Time) -> bool {
        let (start, end) = (self.leaf.window.start(length), self.leaf.window.end(length));
        start.0 <= now.0.saturating_add(MAX_AHEAD) && end.0.saturating_add(MAX_AHEAD) > now.0
    }

    /// Whether the window, of `length` seconds, is over by more than one window length. A promise that is overdue, and whose leaf is in no
    /// checkpoint, is broken. docs/protocol.md, "Proof".
    #[must_use]
    pub fn is_overdue(&self, length: u64, now: Time) -> bool {
        now.0 > self.leaf.window.end(length).0.saturating_add(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise() -> Promise {
        Promise::new([1; 32], 67_195, Window(100))
    }

    #[test]
    fn server_back_dates_a_promise() {
        let at = |window| promise().check(&[1; 32], 67_195, Window(window));
        for window in [99, 100, 101] {
            assert_eq!(at(window), Ok(()));
        }
        for window in [0, 98, 102, u64::MAX] {
            assert_eq!(at(window), Err(PromiseError::BackDated));
        }
    }

    #[test]
    fn server_promises_another_drop() {
        let check = |digest, size| promise().check(&[digest; 32], size, Window(100));
        assert_eq!(check(2, 67_195), Err(PromiseError::AnotherDrop));
        assert_eq!(check(1, 67_196), Err(PromiseError::AnotherDrop));
    }

    #[test]
    fn a_promise_is_near_within_a_day() {
        // Window 100 of 3,600 s is from 360,000 to 363,600.
        let near = |now| promise().is_near(3_600, Time(now));
        assert!(near(360_000 - 86_400) && near(362_000) && near(363_599 + 86_400));
        assert!(!near(359_999 - 86_400) && !near(363_600 + 86_400));
    }

    #[test]
    fn a_promise_is_overdue_a_window_after_its_own() {
        // Window 100 of 60 s ends at 6,060, and the next at 6,120.
        assert!(!promise().is_overdue(60, Time(6_120)));
        assert!(promise().is_overdue(60, Time(6_121)));
        let never = Promise::new([1; 32], 1, Window(u64::MAX));
        assert!(!never.is_overdue(u64::MAX, Time(u64::MAX)));
    }
}
