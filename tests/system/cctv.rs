//! C2SP's test vectors for age, against the reader that opens drops: the `age` crate with our hybrid identity.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::Command;

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor};
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_open::Identity;
use sealdrop_tests::{node, scratch, skip, succeed};

/// Vectors that this reader treats otherwise, and why that is right here.
const EXCEPTIONS: [(&str, &str); 7] = [
    // The `age` crate still reads the stanzas without a last line that age's drafts had. A drop's header never reaches it
    // before `drop::shape` has found exactly the lines that a sealer writes.
    ("stanza_missing_body", DRAFT),
    ("stanza_missing_final_line", DRAFT),
    ("armor_garbage_leading", NOT_ARMOR),
    ("armor_lowercase", NOT_ARMOR),
    ("armor_whitespace_begin", NOT_ARMOR),
    ("armor_wrong_type", NOT_ARMOR),
    (
        "armor_whitespace_outside",
        "refused: white space before the armor. Drops are never armored",
    ),
];
const DRAFT: &str = "accepted: a stanza of age's drafts. `drop::shape` refuses it in a drop";
const NOT_ARMOR: &str =
    "refused as a header failure: what does not begin as armor is read as binary";

#[test]
fn our_reader_conforms_to_c2sps_age_vectors() {
    let Some(node) = node() else {
        return skip(
            "our_reader_conforms_to_c2sps_age_vectors",
            "needs Node and npm's cctv-age",
        );
    };
    let dir = scratch();
    succeed(
        Command::new("node")
            .arg("vectors.mjs")
            .arg(dir.path())
            .current_dir(node),
    );
    let exceptions = BTreeMap::from(EXCEPTIONS);
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let vector = Vector::parse(&fs::read(entry.path()).unwrap());
        let got = vector.decrypt();
        count += 1;
        if (got == vector.expected()) == exceptions.contains_key(name.as_str()) {
            wrong.push(format!("{name}: expected {}, got {got}", vector.expected()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(count, 143, "the package has another number of vectors");
}

struct Vector {
    fields: Vec<(String, String)>,
    file: Vec<u8>,
}

impl Vector {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(2)
            .position(|pair| pair == b"\n\n")
            .expect("a vector has a header");
        let header = std::str::from_utf8(&bytes[..end]).unwrap();
        let fields: Vec<(String, String)> = header
            .lines()
            .map(|line| line.split_once(": ").expect("name: value"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut vector = Self {
            fields,
            file: bytes[end + 2..].to_vec(),
        };
        if vector.field("compressed") == Some("zlib") {
            let mut file = Vec::new();
            flate2::read::ZlibDecoder::new(&vector.file[..])
                .read_to_end(&mut file)
                .unwrap();
            vector.file = file;
        }
        vector
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    fn expected(&self) -> &str {
        self.field("expect")
            .expect("every vector says what to expect")
    }

    fn identities(&self) -> Vec<Box<dyn age::Identity>> {
        let keys = self
            .fields
            .iter()
            .filter(|(name, _)| name == "identity")
            .map(|(_, key)| key);
        let mut identities: Vec<Box<dyn age::Identity>> = keys
            .map(|key| match IdentitySeed::parse(key) {
                Some(seed) => Box::new(Identity::new(&seed)) as Box<dyn age::Identity>,
                None => Box::new(
                    key.parse::<age::x25519::Identity>()
                        .expect("a classic identity"),
                ),
            })
            .collect();
        for (_, passphrase) in self.fields.iter().filter(|(name, _)| name == "passphrase") {
            let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.clone()));
            identity.set_max_work_factor(22);
            identities.push(Box::new(identity));
        }
        identities
    }

    fn decrypt(&self) -> &'static str {
        let identities = self.identities();
        let identities = identities.iter().map(|identity| &**identity);
        if self.field("armored") == Some("yes") {
            let decryptor = match Decryptor::new(ArmoredReader::new(&self.file[..])) {
                // The armor is read through `io::Error`s only.
                Err(DecryptError::Io(_)) if self.expected() == "armor failure" => {
                    return "armor failure";
                }
                Err(error) => return header_outcome(&error),
                Ok(decryptor) => decryptor,
            };
            match decryptor.decrypt(identities) {
                Err(error) => header_outcome(&error),
                Ok(reader) => match self.payload(reader) {
                    "payload failure" if self.expected() == "armor failure" => "armor failure",
                    other => other,
                },
            }
        } else {
            match Decryptor::new_buffered(&self.file[..])
                .and_then(|decryptor| decryptor.decrypt(identities))
            {
                Err(error) => header_outcome(&error),
                Ok(reader) => self.payload(reader),
            }
        }
    }

    /// Reads the payload; what was released before a failure must hash to what the vector says too.
    fn payload(&self, mut reader: impl std::io::Read) -> &'static str {
        let mut plaintext = Vec::new();
        let ended = reader.read_to_end(&mut plaintext);
        let hash_fits = self
            .field("payload")
            .is_none_or(|expected| hex(&sha256(&plaintext)) == expected);
        match ended {
            Ok(_) if hash_fits => "success",
            Ok(_) => "success with another payload",
            Err(_) => "payload failure",
        }
    }
}

fn header_outcome(error: &DecryptError) -> &'static str {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed => "no match",
        DecryptError::InvalidMac => "HMAC failure",
        DecryptError::InvalidHeader
        | DecryptError::UnknownFormat
        | DecryptError::ExcessiveWork { .. } => "header failure",
        DecryptError::Io(_) => "header failure",
        DecryptError::DecryptionFailed => "no match",
    }
}
