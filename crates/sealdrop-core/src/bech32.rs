//! Bech32 (BIP 173) without a length cap, as C2SP age.md uses it: a hybrid recipient has about 1,959 characters.

use bech32::primitives::decode::{CheckedHrpstring, UncheckedHrpstring};
use bech32::{Bech32, Checksum, Hrp};

/// Bech32's checksum with no limit on length. Beyond 90 characters its guarantee of detecting four errors is gone;
/// one error in 2^30 still passes.
enum Uncapped {}

impl Checksum for Uncapped {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32 as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = Bech32::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = usize::MAX;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}

/// Why a text is not the Bech32 that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Bech32Error {
    /// Not Bech32 at all, or another human-readable part.
    #[error("not of this kind")]
    Prefix,
    /// The checksum does not match: a slip in copying.
    #[error("the checksum does not match")]
    Checksum,
    /// Padding bits are not zero, or there are too many of them.
    #[error("not canonical")]
    Padding,
}

/// `data` as Bech32 under `hrp`, in the case of `hrp`.
#[must_use]
pub fn encode(hrp: &str, data: &[u8]) -> String {
    let parsed = Hrp::parse(hrp).expect("the callers' prefixes are valid");
    let encode = if is_lower(hrp) {
        bech32::encode_lower::<Uncapped>
    } else {
        bech32::encode_upper::<Uncapped>
    };
    encode(parsed, data).expect("there is no length cap")
}

/// The bytes of a Bech32 text under `hrp`. Lowercase only, except that `hrp` itself may be uppercase (age's secret keys); then all of it is.
///
/// # Errors
/// As [`Bech32Error`] says.
pub fn decode(hrp: &str, text: &str) -> Result<Vec<u8>, Bech32Error> {
    let body = text.strip_prefix(hrp).ok_or(Bech32Error::Prefix)?;
    let other_case = if is_lower(hrp) {
        u8::is_ascii_uppercase
    } else {
        u8::is_ascii_lowercase
    };
    if !body.starts_with('1') || body.as_bytes().iter().any(other_case) {
        return Err(Bech32Error::Prefix);
    }
    let unchecked = UncheckedHrpstring::new(text).map_err(|_| Bech32Error::Checksum)?;
    if unchecked.hrp().as_str() != hrp {
        return Err(Bech32Error::Prefix);
    }
    unchecked
        .validate_checksum::<Uncapped>()
        .map_err(|_| Bech32Error::Checksum)?;
    let checked = CheckedHrpstring::new::<Uncapped>(text).map_err(|_| Bech32Error::Checksum)?;
    checked
        .validate_segwit_padding()
        .map_err(|_| Bech32Error::Padding)?;
    Ok(checked.byte_iter().collect())
}

fn is_lower(hrp: &str) -> bool {
    hrp.bytes().any(|b| b.is_ascii_lowercase())
}
