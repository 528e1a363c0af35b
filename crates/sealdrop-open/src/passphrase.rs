//! Files sealed with a passphrase (age's scrypt recipient): keyrings and recovery files.

use std::io::{Read as _, Write as _};

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor};
use zeroize::Zeroizing;

/// The largest file that [`open`] reads, in bytes of plaintext.
const MAX_PLAINTEXT: u64 = 1 << 20;
/// The most work that [`open`] does for a file: scrypt with N = 2^22, some 4 GiB of memory.
const MAX_WORK_FACTOR: u8 = 22;

/// Why a file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// The passphrase is another one, or the file was changed: the two look alike.
    #[error("the passphrase does not open it")]
    Wrong,
    /// Not a file sealed with a passphrase, or cut short.
    #[error("not a file sealed with a passphrase")]
    Malformed,
}

/// Seals a small secret. `work_factor` is the base-two logarithm of scrypt's N; `None` takes about a second of this machine's work.
///
/// The stock `age -d` opens the result.
#[must_use]
pub fn seal(plaintext: &[u8], passphrase: &str, work_factor: Option<u8>) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
    if let Some(log_n) = work_factor {
        recipient.set_work_factor(log_n.clamp(1, MAX_WORK_FACTOR));
    }
    let mut sealed = Vec::new();
    Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .and_then(|encryptor| {
            let mut writer = encryptor.wrap_output(&mut sealed)?;
            writer.write_all(plaintext)?;
            Ok(writer.finish()?)
        })
        .expect("one recipient, and a Vec that takes all that is written");
    sealed
}

/// The base-two logarithm of scrypt's N in a file that [`seal`] made: `None` if it is none, or takes more work than [`open`] does.
#[must_use]
pub fn work_factor(sealed: &[u8]) -> Option<u8> {
    let stanza = sealed.split(|byte| *byte == b'\n').nth(1)?;
    let words = std::str::from_utf8(stanza)
        .ok()?
        .strip_prefix("-> scrypt ")?;
    let log_n = words.split(' ').nth(1)?.parse().ok()?;
    (1..=MAX_WORK_FACTOR).contains(&log_n).then_some(log_n)
}

/// Opens what [`seal`] sealed.
///
/// # Errors
/// As [`PassphraseError`] says.
pub fn open(sealed: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    let decryptor = Decryptor::new_buffered(sealed).map_err(|_| PassphraseError::Malformed)?;
    if !decryptor.is_scrypt() {
        return Err(PassphraseError::Malformed);
    }
    let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let reader = decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .map_err(|error| match error {
            DecryptError::InvalidHeader | DecryptError::ExcessiveWork { .. } => {
                PassphraseError::Malformed
            }
            _ => PassphraseError::Wrong,
        })?;
    let mut plaintext = Zeroizing::new(Vec::new());
    reader
        .take(MAX_PLAINTEXT)
        .read_to_end(&mut plaintext)
        .map_err(|_| PassphraseError::Malformed)?;
    Ok(plaintext)
}
