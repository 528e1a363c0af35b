//! Slips: what a maintainer answers with. docs/protocol.md, "Slip".
//!
//! A slip is a [`clue`], by which the reporter finds it among all others, and an age file to the reporter's recipient, which holds one
//! [`Part`] of a [`message`]. [`seal`] makes one, [`decoy`] one for nobody; `sealdrop-open` opens them.

pub mod clue;
pub mod message;
mod part;

pub use part::{MAX_BODY, MAX_PARTS, Part, PartError, PartKind};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::drop::{self, shape, size};
use crate::key::{BoxKey, SecretKey, VoiceRole};
use crate::recipient::{IdentitySeed, Recipient};
use crate::report::Reporter;

/// Bytes of a slip.
pub const SLIP: usize = 4_096;
/// Bytes of its age file.
pub const FILE: usize = SLIP - clue::CLUE;
/// Bytes of the age file's plaintext.
pub const PLAINTEXT: usize =
    FILE - (size::HEADER_FIXED + size::STANZA + size::NONCE + size::TAG) as usize;

/// A slip, as it stands in the feed.
pub type Slip = [u8; SLIP];

/// Seals a part to a reporter, signed by a member's voice key.
///
/// The signature, the clue's ephemeral key, the file key and the payload nonce are this slip's alone: the same part sealed again is another slip.
#[must_use]
pub fn seal(
    part: &Part,
    reporter: &Reporter,
    voice: &SecretKey<VoiceRole>,
    rng: &mut impl CryptoRng,
) -> Box<Slip> {
    let plain = part.to_plaintext(voice);
    let clue = clue::make(&reporter.clue, &part.box_key, rng);
    assemble(&clue, &reporter.recipient, &plain, rng)
}

/// A slip for nobody: made as [`seal`] makes one, to keys that are thrown away.
#[must_use]
pub fn decoy(box_key: &BoxKey, rng: &mut impl CryptoRng) -> Box<Slip> {
    let mut secret = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *secret);
    let share = x25519_dalek::x25519(*secret, x25519_dalek::X25519_BASEPOINT_BYTES);
    let clue = clue::make(&share, box_key, rng);
    let recipient = IdentitySeed::generate(rng).to_public();
    assemble(&clue, &recipient, &[0; PLAINTEXT], rng)
}

fn assemble(
    clue: &clue::Clue,
    recipient: &Recipient,
    plain: &[u8],
    rng: &mut impl CryptoRng,
) -> Box<Slip> {
    let slip = [&clue[..], &drop::seal_to(recipient, plain, rng)].concat();
    slip.into_boxed_slice()
        .try_into()
        .expect("a plaintext of this length makes a slip of 4,096 bytes")
}

/// Clue and age file of a slip.
#[must_use]
pub fn split(slip: &Slip) -> (&clue::Clue, &[u8; FILE]) {
    let (clue, file) = slip
        .split_first_chunk()
        .expect("a slip is longer than a clue");
    (
        clue,
        file.try_into().expect("the rest of a slip has this length"),
    )
}

/// Whether the slip has the form of one: all that a server can tell. docs/protocol.md, "Slip".
#[must_use]
pub fn is_shaped(slip: &Slip) -> bool {
    shape::is_header(&split(slip).1[..shape::header_len(1)], 1)
}

/// How many slips a member posts for a window: as many as fit if every member does, at least one. docs/protocol.md, "Feed".
#[must_use]
pub fn share(slips: u64, members: usize) -> u64 {
    (slips / members.max(1) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::drop::header;
    use crate::key::SecretKey;

    #[test]
    fn a_decoy_has_the_form_of_every_slip() {
        assert_eq!(PLAINTEXT, 2_389);
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let box_key = SecretKey::generate(&mut rng).to_public();
        let slip = decoy(&box_key, &mut rng);
        let (_, file) = split(&slip);
        assert_eq!(shape::header_len(1), file.len() - 16 - PLAINTEXT - 16);
        assert!(file.starts_with(header::VERSION_LINE.as_bytes()));
        assert!(is_shaped(&slip));
        let mut broken = slip.clone();
        broken[clue::CLUE] ^= 1;
        assert!(!is_shaped(&broken));
        assert_ne!(slip, decoy(&box_key, &mut rng));
    }

    #[test]
    fn shares_fill_a_segment_and_nobody_has_none() {
        assert_eq!(
            [(8, 1), (8, 3), (8, 8), (8, 9), (1, 64)].map(|(slips, n)| share(slips, n)),
            [8, 2, 1, 1, 1]
        );
    }
}
