//! An outside verifier of the log: written from C2SP signed-note, tlog-checkpoint and tlog-tiles and RFC 6962, with nothing of the server's or the core's code for
//! notes, trees and tiles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::support::*;

type Hash = [u8; 32];

/// A log that was verified.
pub(crate) struct Log {
    pub(crate) origin: String,
    pub(crate) leaves: Vec<Hash>,
    /// The texts of the entries.
    pub(crate) entries: Vec<String>,
}

/// Fetches the whole log and verifies it against its signed checkpoint.
pub(crate) async fn verify(world: &World) -> Log {
    let vkey = world.get("/log/vkey").await.text();
    let note = world.get("/log/checkpoint").await.text();
    let (origin, size, root) = checkpoint(&note, vkey.strip_suffix('\n').unwrap());
    assert_eq!(size % 16, 0, "padded");

    let mut leaves = Vec::new();
    for (path, width) in tiles(size) {
        let reply = world.get(&format!("/log/tile/0/{path}")).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert!(reply.header("cache-control").unwrap().contains("immutable"));
        assert_eq!(reply.body.len(), width * 32);
        leaves.extend(
            reply
                .body
                .chunks(32)
                .map(|hash| Hash::try_from(hash).unwrap()),
        );
    }
    assert_eq!(tree_hash(&leaves), root);

    // Each node of level 1 is the root over a full tile of level 0.
    for (path, _) in tiles(size / 256) {
        let reply = world.get(&format!("/log/tile/1/{path}")).await;
        let nodes: Vec<_> = reply.body.chunks(32).collect();
        for (node, leaves) in nodes.iter().zip(leaves.chunks(256)) {
            assert_eq!(*node, tree_hash(leaves));
        }
    }

    let mut entries = Vec::new();
    for (path, width) in tiles(size) {
        let reply = world
            .member("GET", &format!("/log/tile/entries/{path}"), b"")
            .await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        let mut bytes = &reply.body[..];
        for _ in 0..width {
            let (len, rest) = bytes.split_at(2);
            let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
            entries.push(String::from_utf8(rest[..len].to_vec()).unwrap());
            bytes = &rest[len..];
        }
        assert!(bytes.is_empty());
    }
    for (entry, leaf) in entries.iter().zip(&leaves) {
        assert_eq!(hash(&[&[0], entry.as_bytes()]), *leaf);
    }
    assert_eq!(entries.len(), leaves.len());
    let windows: Vec<u64> = entries
        .iter()
        .map(|entry| field(entry, "window").parse().unwrap())
        .collect();
    assert!(windows.is_sorted(), "windows never run backwards");
    Log {
        origin,
        leaves,
        entries,
    }
}

/// A field of an entry.
pub(crate) fn field<'a>(entry: &'a str, name: &str) -> &'a str {
    entry
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap()
}

impl Log {
    /// Checks that an earlier checkpoint is of the same log, and a prefix of it.
    pub(crate) fn extends(&self, earlier: &str, vkey: &str) {
        let (origin, size, root) = checkpoint(earlier, vkey);
        assert_eq!(origin, self.origin);
        assert_eq!(tree_hash(&self.leaves[..size]), root);
    }

    pub(crate) fn count(&self, kind: &str) -> usize {
        self.entries
            .iter()
            .filter(|entry| field(entry, "kind") == kind)
            .count()
    }
}

/// C2SP signed-note and tlog-checkpoint: origin, size and root of a note that the key signed.
fn checkpoint(note: &str, vkey: &str) -> (String, usize, Hash) {
    let mut parts = vkey.splitn(3, '+');
    let (name, id, key) = (
        parts.next().unwrap(),
        parts.next().unwrap(),
        STANDARD.decode(parts.next().unwrap()).unwrap(),
    );
    assert_eq!(key[0], 1, "Ed25519");
    let expected = &hash(&[name.as_bytes(), b"\n", &key])[..4];
    assert_eq!(
        id,
        expected
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    );
    let (text, signatures) = note.split_at(note.rfind("\n\n").unwrap() + 1);
    let line = signatures[1..]
        .lines()
        .find_map(|line| {
            line.strip_prefix("— ")?
                .strip_prefix(name)?
                .strip_prefix(' ')
        })
        .unwrap();
    let signature = STANDARD.decode(line).unwrap();
    assert_eq!(&signature[..4], expected);
    let key = VerifyingKey::from_bytes(key[1..].try_into().unwrap()).unwrap();
    key.verify_strict(
        text.as_bytes(),
        &Signature::from_slice(&signature[4..]).unwrap(),
    )
    .unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "no extension lines");
    assert_eq!(lines[0], name, "the origin is the name of the key");
    (
        lines[0].into(),
        lines[1].parse().unwrap(),
        STANDARD.decode(lines[2]).unwrap().try_into().unwrap(),
    )
}

/// Paths and widths of the tiles of a level of `nodes` nodes.
fn tiles(nodes: usize) -> Vec<(String, usize)> {
    (0..nodes.div_ceil(256))
        .map(|index| {
            assert!(index < 1000, "a test's log");
            match (nodes - index * 256).min(256) {
                256 => (format!("{index:03}"), 256),
                width => (format!("{index:03}.p/{width}"), width),
            }
        })
        .collect()
}

/// RFC 6962, section 2.1: MTH over leaf hashes.
fn tree_hash(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => hash(&[]),
        1 => leaves[0],
        n => {
            let k = n.next_power_of_two() / 2;
            hash(&[&[1], &tree_hash(&leaves[..k]), &tree_hash(&leaves[k..])])
        }
    }
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
