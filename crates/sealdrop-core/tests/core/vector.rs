//! Reads, writes and runs test vectors. docs/protocol.md, "Test vectors"; `testdata/vectors/README.md` lists subjects and fields.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What `expect` says when nothing is wrong.
pub const SUCCESS: &str = "success";

/// One vector: `name: value` lines, an empty line, then bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    pub name: String,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Vector {
    pub fn new(name: &str, expect: &str, comment: &str, body: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.into(),
            fields: vec![
                ("expect".into(), expect.into()),
                ("comment".into(), comment.into()),
            ],
            body: body.as_ref().into(),
        }
    }

    /// Adds a field, or replaces one: broken twins are made from the good one.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        match self.fields.iter_mut().find(|(n, _)| n == name) {
            Some(field) => field.1 = value,
            None => self.fields.push((name.into(), value)),
        }
        self
    }

    /// The same with another name, expectation and comment.
    pub fn twin(&self, name: &str, expect: &str, comment: &str) -> Self {
        let mut twin = self.clone();
        twin.name = name.into();
        twin.with("expect", expect).with("comment", comment)
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().into();
        self
    }

    /// The same with `from` replaced in the body, which is text and holds it.
    pub fn replace(self, from: &str, to: &str) -> Self {
        let text = self.text().to_owned();
        assert!(text.contains(from), "{}: no {from:?} to break", self.name);
        self.body(text.replacen(from, to, 1))
    }

    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        self.optional(name)
            .unwrap_or_else(|| panic!("{}: no field {name}", self.name))
    }

    pub fn optional(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(n, _)| n == name);
        field.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        self.field(name).parse().unwrap()
    }

    #[track_caller]
    pub fn hex<const N: usize>(&self, name: &str) -> [u8; N] {
        sealdrop_core::encoding::from_hex(self.field(name)).unwrap()
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn parse(name: &str, bytes: &[u8]) -> Self {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let fields: Vec<(String, String)> = head
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        assert_eq!((&*fields[0].0, &*fields[1].0), ("expect", "comment"));
        Self {
            name: name.into(),
            fields,
            body: bytes[end + 2..].into(),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.fields {
            assert!(!value.contains('\n'), "{}: {name} is one line", self.name);
            bytes.extend_from_slice(format!("{name}: {value}\n").as_bytes());
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Runs a subject: the committed vectors are exactly `generated`, and `outcome` of each is what it expects. With `SEALDROP_BLESS=1` they are
/// written first.
#[track_caller]
pub fn run(subject: &str, generated: &[Vector], outcome: impl Fn(&Vector) -> String) {
    let folder = folder(subject);
    let generated: BTreeMap<&str, Vec<u8>> = generated
        .iter()
        .map(|vector| (vector.name.as_str(), vector.to_bytes()))
        .collect();
    if std::env::var_os("SEALDROP_BLESS").is_some() {
        bless(&folder, &generated);
    }
    let committed = committed(&folder);
    let names: Vec<&str> = committed.keys().map(String::as_str).collect();
    let expected: Vec<&str> = generated.keys().copied().collect();
    assert_eq!(names, expected, "{subject}: SEALDROP_BLESS=1 writes them");
    for (name, bytes) in &committed {
        assert!(
            *bytes == generated[name.as_str()],
            "{subject}/{name} is not what is generated; SEALDROP_BLESS=1 writes it"
        );
        let vector = Vector::parse(name, bytes);
        assert_eq!(vector.to_bytes(), *bytes, "{subject}/{name}");
        assert_eq!(
            outcome(&vector),
            vector.field("expect"),
            "{subject}/{name}: {}",
            vector.field("comment")
        );
    }
}

/// One committed vector.
#[track_caller]
pub fn read(subject: &str, name: &str) -> Vector {
    Vector::parse(name, &fs::read(folder(subject).join(name)).unwrap())
}

fn folder(subject: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/vectors")
        .join(subject)
}

fn committed(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn bless(folder: &Path, generated: &BTreeMap<&str, Vec<u8>>) {
    fs::create_dir_all(folder).unwrap();
    for name in committed(folder).keys() {
        if !generated.contains_key(name.as_str()) {
            fs::remove_file(folder.join(name)).unwrap();
        }
    }
    for (name, bytes) in generated {
        fs::write(folder.join(name), bytes).unwrap();
    }
}
