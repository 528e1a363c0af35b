//! Cosignatures: a member's device says of a checkpoint, *I hold every body up to here*. C2SP tlog-cosignature, Ed25519 (type 0x04);
//! docs/protocol.md, "Cosignature".

use super::checkpoint::Checkpoint;
use crate::key::{SecretKey, WitnessRole};
use crate::note::{Note, NoteError, SignatureLine, Vkey};
use crate::time::Time;

/// The largest timestamp: 2^63 − 1.
const MAX_TIME: u64 = i64::MAX as u64;

/// The signature line by which the device called `name` (`<member>/<device>`) cosigns at `now`; add it with [`Note::push`].
///
/// Make one only after every check of docs/protocol.md, "Cosignature", and never for two checkpoints that are not one tree's.
#[must_use]
pub fn cosign(
    checkpoint: &Checkpoint,
    name: &str,
    key: &SecretKey<WitnessRole>,
    now: Time,
) -> SignatureLine {
    let now = Time(now.0.min(MAX_TIME));
    let signature = key.sign(&message(&checkpoint.to_text(), now));
    let bytes = [&now.0.to_be_bytes()[..], &signature].concat();
    SignatureLine::new(&Vkey::new(name, key.to_public()), bytes)
}

/// When `witness` cosigned this checkpoint; the latest time, should there be several. The note's other signatures are ignored: verify the log's
/// with [`Checkpoint::verify`].
///
/// # Errors
/// [`NoteError::Unsigned`] if the witness has not, [`NoteError::BadSignature`] if any line that names its key does not verify.
pub fn verify(note: &Note, witness: &Vkey<WitnessRole>) -> Result<Time, NoteError> {
    let mut latest = None;
    for line in note.signatures_by(witness) {
        latest = latest.max(Some(verify_line(note, witness, line)?));
    }
    latest.ok_or(NoteError::Unsigned)
}

fn verify_line(
    note: &Note,
    witness: &Vkey<WitnessRole>,
    line: &SignatureLine,
) -> Result<Time, NoteError> {
    let (time, signature) = line
        .signature()
        .split_first_chunk()
        .ok_or(NoteError::BadSignature)?;
    let time = Time(u64::from_be_bytes(*time));
    let signature = signature.try_into().map_err(|_| NoteError::BadSignature)?;
    let valid = time.0 <= MAX_TIME && witness.key().verify(&message(note.text(), time), signature);
    valid.then_some(time).ok_or(NoteError::BadSignature)
}

/// What is signed. It does not name the signer, so a witness key must have one name only.
fn message(text: &str, time: Time) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::device_keys;

    fn checkpoint(root: u8) -> Checkpoint {
        Checkpoint {
            origin: "log".into(),
            size: 16,
            root: [root; 32],
        }
    }

    fn note(checkpoint: &Checkpoint, lines: Vec<SignatureLine>) -> Note {
        let mut note = Note::new(checkpoint.to_text()).unwrap();
        lines.into_iter().for_each(|line| note.push(line));
        Note::parse(note.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn two_machines_of_a_member_sign_different_views() {
        let (desk, laptop) = (device_keys(&[1; 32]).1, device_keys(&[2; 32]).1);
        let vkeys = [&desk, &laptop].map(|key| Vkey::new("alice/x", key.to_public()));
        let views = [checkpoint(1), checkpoint(2)];
        let by_desk = note(
            &views[0],
            vec![cosign(&views[0], "alice/x", &desk, Time(5))],
        );
        let by_laptop = note(
            &views[1],
            vec![cosign(&views[1], "alice/x", &laptop, Time(6))],
        );
        // Each signature is one machine's, whatever it calls itself: neither can be taken for the other's.
        assert_eq!(verify(&by_desk, &vkeys[0]), Ok(Time(5)));
        assert_eq!(verify(&by_desk, &vkeys[1]), Err(NoteError::Unsigned));
        assert_eq!(verify(&by_laptop, &vkeys[1]), Ok(Time(6)));
        assert_eq!(verify(&by_laptop, &vkeys[0]), Err(NoteError::Unsigned));
    }

    #[test]
    fn the_latest_of_several_counts_and_all_must_verify() {
        let key = device_keys(&[1; 32]).1;
        let vkey = Vkey::new("alice/x", key.to_public());
        let (view, other) = (checkpoint(1), checkpoint(2));
        let line = |view, time| cosign(view, "alice/x", &key, Time(time));
        let several = note(&view, vec![line(&view, 5), line(&view, 9), line(&view, 7)]);
        assert_eq!(verify(&several, &vkey), Ok(Time(9)));
        let mixed = note(&view, vec![line(&view, 5), line(&other, 9)]);
        assert_eq!(verify(&mixed, &vkey), Err(NoteError::BadSignature));
    }
}
