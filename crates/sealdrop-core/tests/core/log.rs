//! Vectors of docs/protocol.md, "Log": leaf, promise, checkpoint, cosignature, inclusion, consistency, tile and receipt.

use sealdrop_core::encoding::{self, base64, hex};
use sealdrop_core::key::LogRole;
use sealdrop_core::log::checkpoint::{Checkpoint, CheckpointError};
use sealdrop_core::log::cosignature;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::promise::{Promise, PromiseError};
use sealdrop_core::log::proof::{Receipt, ReceiptError, TlogProof};
use sealdrop_core::log::tile::{self, BundleId, TileError, TileId};
use sealdrop_core::log::tree::{self, Hash, ProofError};
use sealdrop_core::note::{Note, NoteError, Vkey};
use sealdrop_core::time::{Time, Window};

use crate::vector::{self, SUCCESS, Vector};
use crate::world::{self, NOW, WINDOW};

fn now() -> Window {
    NOW.window(WINDOW)
}

fn drop_leaf(label: &str) -> Leaf {
    Leaf {
        kind: LeafKind::Drop,
        digest: world::seed(label),
        size: 67_195,
        window: now(),
    }
}

/// A log of 32 entries in two windows: a roster, drops, and pads.
fn entries() -> Vec<Leaf> {
    let roster = world::roster().note().to_string();
    let mut leaves = vec![Leaf {
        kind: LeafKind::Roster,
        digest: encoding::sha256(roster.as_bytes()),
        size: roster.len() as u64,
        window: Window(now().0 - 1),
    }];
    for i in 1..32 {
        let window = Window(now().0 - u64::from(i < 16));
        leaves.push(match i {
            3 | 4 | 9 | 16 | 20 => Leaf {
                window,
                ..drop_leaf(&format!("drop {i}"))
            },
            _ => Leaf::pad(world::seed(&format!("pad {i}")), window),
        });
    }
    leaves
}

fn hashes() -> Vec<Hash> {
    entries().iter().map(Leaf::hash).collect()
}

fn checkpoint(size: usize) -> Checkpoint {
    Checkpoint {
        origin: world::log().name().into(),
        size: size as u64,
        root: tree::root(&hashes()[..size]),
    }
}

/// The checkpoint of all 32 entries, cosigned by these devices.
fn cosigned(devices: &[&str]) -> Note {
    let devices: Vec<_> = devices.iter().map(|device| (*device, NOW)).collect();
    cosigned_at(&devices)
}

fn cosigned_at(devices: &[(&str, Time)]) -> Note {
    let checkpoint = checkpoint(32);
    let mut note = checkpoint.sign(&world::log_secret());
    for (device, time) in devices {
        note.push(cosignature::cosign(
            &checkpoint,
            device,
            &world::witness(device),
            *time,
        ));
    }
    note
}

/// The same text signed again: a note whose only fault is in the text.
fn resign(text: &str) -> String {
    let log = world::log();
    let note = Note::new(text).unwrap();
    note.sign(log.name(), &world::log_secret()).to_string()
}

#[test]
fn leaf() {
    let pad = Leaf::pad(world::seed("pad"), now());
    let good = |name: &str, comment: &str, leaf: &Leaf| {
        Vector::new(name, SUCCESS, comment, leaf.to_text()).with("hash", hex(&leaf.hash()))
    };
    let kind = |kind| Leaf {
        kind,
        size: 1_234,
        ..drop_leaf("body")
    };
    let digest = hex(&drop_leaf("drop").digest);
    let drop = good("drop", "the leaf of a drop", &drop_leaf("drop"));
    let broken = |name: &str, comment: &str| drop.twin(name, "malformed", comment);
    let vectors = [
        good("pad", "a pad is 32 random bytes and size 0", &pad),
        good("roster", "the leaf of a roster", &kind(LeafKind::Roster)),
        good("release", "the leaf of a release", &kind(LeafKind::Release)),
        good("segment", "reserved for the feed", &kind(LeafKind::Segment)),
        broken("version", "another first line").replace("/v1", "/v2"),
        broken("kind-unknown", "a kind that does not exist").replace(": drop", ": slip"),
        broken("kind-capital", "kinds are lower case").replace(": drop", ": Drop"),
        broken("pad-size", "a pad with a size").replace(": drop", ": pad"),
        broken("digest-short", "31 bytes of digest").replace(&digest, &digest[2..]),
        broken("digest-capital", "hex is lower case").replace(&digest, &digest.to_uppercase()),
        broken("size-zeroes", "leading zero").replace("size: ", "size: 0"),
        broken("size-large", "above 2^53 - 1").replace("size: 67195", "size: 9007199254740992"),
        broken("size-sign", "a sign").replace("size: ", "size: +"),
        broken("order", "size and window are in the other order")
            .replace("size: 67195\nwindow: 81834", "window: 81834\nsize: 67195"),
        broken("window-missing", "no window").replace("window: 81834\n", ""),
        broken("extra-line", "a line more").replace("81834\n", "81834\nindex: 1\n"),
        broken("empty-line", "an empty line at the end").replace("81834\n", "81834\n\n"),
        broken("no-newline", "the last line has no LF").replace("81834\n", "81834"),
        broken("crlf", "a CR before LF").replace("drop\n", "drop\r\n"),
        broken("space", "two spaces").replace("kind: ", "kind:  "),
        broken("empty", "nothing at all").body(""),
        drop.clone(),
    ];
    vector::run("leaf", &vectors, |v| match Leaf::parse(&v.body) {
        Ok(leaf) => {
            assert_eq!(leaf.hash(), v.hex("hash"), "{}", v.name);
            assert_eq!(leaf.to_text().as_bytes(), v.body, "{}", v.name);
            SUCCESS.into()
        }
        Err(_) => "malformed".into(),
    });
}

#[test]
fn promise() {
    let leaf = drop_leaf("drop");
    let note = Promise::new(leaf.digest, leaf.size, leaf.window)
        .sign(world::log().name(), &world::log_secret());
    let good = Vector::new(
        "good",
        SUCCESS,
        "a promise for the drop just sent",
        note.to_string(),
    )
    .with("log", world::log())
    .with("digest", hex(&leaf.digest))
    .with("size", leaf.size)
    .with("window", now());
    let broken = |name: &str, expect: &str, comment: &str| good.twin(name, expect, comment);
    let text = note.text();
    let retold = |name: &str, comment: &str, from: &str, to: &str| {
        assert!(text.contains(from));
        let text = text.replacen(from, to, 1);
        good.twin(name, "malformed", comment).body(resign(&text))
    };
    let (earlier, later) = (now().0 - 1, now().0 + 1);
    let vectors = [
        broken("window-before", SUCCESS, "the clock is one window behind").with("window", earlier),
        broken("window-after", SUCCESS, "the clock is one window ahead").with("window", later),
        broken("back-dated", "back-dated", "two windows ago").with("window", later + 1),
        broken("post-dated", "back-dated", "two windows ahead").with("window", earlier - 1),
        broken(
            "another-digest",
            "another drop",
            "the digest of other bytes",
        )
        .with("digest", hex(&world::seed("another drop"))),
        broken("another-size", "another drop", "another size").with("size", 67_196),
        broken(
            "text-changed",
            "not signed",
            "the text was changed after signing",
        )
        .replace("67195", "67196"),
        broken("another-log", "not signed", "signed by another log's key").body(
            Promise::new(leaf.digest, leaf.size, leaf.window)
                .sign(
                    world::log().name(),
                    &world::secret::<LogRole>("another log"),
                )
                .to_string(),
        ),
        broken("no-signature", "not signed", "signed under another name").body(
            Promise::new(leaf.digest, leaf.size, leaf.window)
                .sign("example.com/log", &world::log_secret())
                .to_string(),
        ),
        broken("not-a-note", "malformed", "text without signatures").body(text),
        retold("leaf-line", "the first line of a leaf", "promise", "leaf"),
        retold("version", "another version", "/v1", "/v2"),
        retold("kind", "a promise is for a drop", ": drop", ": roster"),
        retold(
            "index",
            "a promise has no index",
            "window",
            "index: 3\nwindow",
        ),
        retold("size-zeroes", "leading zero", "size: ", "size: 0"),
        good.clone(),
    ];
    vector::run("promise", &vectors, |v| {
        let log: Vkey<LogRole> = Vkey::parse(v.field("log")).unwrap();
        let check = |note: Note| {
            let promise = Promise::verify(&note, &log)?;
            promise.check(
                &v.hex("digest"),
                v.number("size"),
                Window(v.number("window")),
            )
        };
        match Note::parse(&v.body)
            .map_err(|_| PromiseError::Malformed)
            .and_then(check)
        {
            Ok(()) => SUCCESS,
            Err(PromiseError::NotSigned) => "not signed",
            Err(PromiseError::AnotherDrop) => "another drop",
            Err(PromiseError::BackDated) => "back-dated",
            Err(_) => "malformed",
        }
        .into()
    });
}

#[test]
fn checkpoint_vectors() {
    let note = checkpoint(32).sign(&world::log_secret()).to_string();
    let good = Vector::new("good", SUCCESS, "32 entries", &note)
        .with("log", world::log())
        .with("size", 32)
        .with("root", hex(&checkpoint(32).root));
    let text = checkpoint(32).to_text();
    let root = base64(&checkpoint(32).root);
    let retold = |name: &str, comment: &str, from: &str, to: &str| {
        assert!(text.contains(from));
        let text = text.replacen(from, to, 1);
        good.twin(name, "malformed", comment).body(resign(&text))
    };
    let broken = |name: &str, expect: &str, comment: &str| good.twin(name, expect, comment);
    let empty = Checkpoint::empty(world::log().name());
    let vectors = [
        broken("empty-log", SUCCESS, "signed when the log is made")
            .with("size", 0)
            .with("root", hex(&empty.root))
            .body(empty.sign(&world::log_secret()).to_string()),
        broken("cosigned", SUCCESS, "unknown signatures are ignored")
            .body(cosigned(&["alice/desk"]).to_string()),
        broken(
            "size-changed",
            "log signature",
            "the text was changed after signing",
        )
        .replace("\n32\n", "\n33\n"),
        broken(
            "another-key",
            "log signature",
            "signed by another key under this name",
        )
        .body(
            checkpoint(32)
                .sign(&world::secret::<LogRole>("another log"))
                .to_string(),
        ),
        broken("unsigned", "log signature", "only a cosignature").body({
            let mut note = Note::new(text.clone()).unwrap();
            note.push(cosigned(&["alice/desk"]).signatures()[1].clone());
            note.to_string()
        }),
        broken(
            "two-signatures",
            "log signature",
            "the log's second signature does not verify",
        )
        .body(format!("{note}— {} {}\n", world::log().name(), {
            let line = note.trim_end().rsplit(' ').next().unwrap();
            let mut bytes = encoding::from_base64(line).unwrap();
            bytes[40] ^= 1;
            base64(&bytes)
        })),
        retold("origin", "another log's origin", "/log-", "/log-0"),
        retold("origin-empty", "no origin", world::log().name(), ""),
        retold("size-zeroes", "leading zero", "\n32\n", "\n032\n"),
        retold("size-missing", "no size", "\n32\n", "\n"),
        retold(
            "extension",
            "an extension line",
            &root,
            &format!("{root}\nextension"),
        ),
        retold(
            "root-short",
            "a root of 31 bytes",
            &root,
            &base64(&checkpoint(32).root[1..]),
        ),
        retold(
            "root-unpadded",
            "base64 without padding",
            &root,
            root.trim_end_matches('='),
        ),
        retold(
            "root-of-nothing",
            "size 0 with another root than that of the empty tree",
            "\n32\n",
            "\n0\n",
        ),
        retold(
            "blank-line",
            "an empty line at the end",
            &root,
            &format!("{root}\n"),
        ),
        good.clone(),
    ];
    vector::run("checkpoint", &vectors, |v| {
        let log = Vkey::parse(v.field("log")).unwrap();
        match Checkpoint::verify(&Note::parse(&v.body).unwrap(), &log) {
            Ok(checkpoint) => {
                assert_eq!(checkpoint.size, v.number("size"), "{}", v.name);
                assert_eq!(checkpoint.root, v.hex("root"), "{}", v.name);
                SUCCESS
            }
            Err(CheckpointError::LogSignature) => "log signature",
            Err(_) => "malformed",
        }
        .into()
    });
}

#[test]
fn cosignature_vectors() {
    let name = "alice/desk";
    let note = cosigned(&[name]);
    let good = Vector::new("good", SUCCESS, "a device's cosignature", note.to_string())
        .with("witness", world::device(name).witness)
        .with("time", NOW);
    let line = |bytes: Vec<u8>| {
        let mut broken = checkpoint(32).sign(&world::log_secret());
        broken.push(sealdrop_core::note::SignatureLine::new(
            &world::device(name).witness,
            bytes,
        ));
        broken.to_string()
    };
    let signature = note.signatures()[1].signature().to_vec();
    let changed = |at: usize| {
        let mut bytes = signature.clone();
        bytes[at] ^= 1;
        bytes
    };
    let over = |message: String| {
        let signed = world::witness(name).sign(message.as_bytes());
        [&NOW.0.to_be_bytes()[..], &signed].concat()
    };
    let text = checkpoint(32).to_text();
    let bad = |name: &str, comment: &str, bytes: Vec<u8>| {
        good.twin(name, "bad signature", comment).body(line(bytes))
    };
    let unsigned = |name: &str, comment: &str| good.twin(name, "not signed", comment);
    let far = Time(1 << 63);
    let vectors = [
        good.twin("other-devices", SUCCESS, "others cosigned as well")
            .body(cosigned(&["bob/laptop", name, "alice/laptop"]).to_string()),
        bad("time-changed", "another time than was signed", changed(7)),
        bad(
            "signature-changed",
            "a bit of the signature is flipped",
            changed(20),
        ),
        bad("short", "a byte too few", signature[..71].to_vec()),
        bad("long", "a byte too many", [&signature[..], &[0]].concat()),
        bad("no-time", "a plain signature", signature[8..].to_vec()),
        bad(
            "plain-message",
            "the signature is over the text alone",
            over(text.clone()),
        ),
        bad(
            "no-header",
            "the message has no first line",
            over(format!("time {NOW}\n{text}")),
        ),
        bad("time-large", "the time is above 2^63 - 1", {
            let message = format!("cosignature/v1\ntime {far}\n{text}");
            let signed = world::witness(name).sign(message.as_bytes());
            [&far.0.to_be_bytes()[..], &signed].concat()
        }),
        good.twin(
            "text-changed",
            "bad signature",
            "the checkpoint was changed",
        )
        .replace("\n32\n", "\n33\n"),
        unsigned("not-cosigned", "only the log signed")
            .body(checkpoint(32).sign(&world::log_secret()).to_string()),
        unsigned("another-device", "another device's cosignature")
            .body(cosigned(&["alice/laptop"]).to_string()),
        unsigned("another-name", "this key under another name").body({
            let mut note = checkpoint(32).sign(&world::log_secret());
            let key = world::witness(name);
            note.push(cosignature::cosign(
                &checkpoint(32),
                "mallory/desk",
                &key,
                NOW,
            ));
            note.to_string()
        }),
        good.clone(),
    ];
    vector::run("cosignature", &vectors, |v| {
        let witness = Vkey::parse(v.field("witness")).unwrap();
        match cosignature::verify(&Note::parse(&v.body).unwrap(), &witness) {
            Ok(time) => {
                assert_eq!(time.0, v.number("time"), "{}", v.name);
                SUCCESS
            }
            Err(NoteError::Unsigned) => "not signed",
            Err(_) => "bad signature",
        }
        .into()
    });
}

/// Hashes as a tlog-proof has them: base64, each in a line.
fn hash_lines(hashes: &[Hash]) -> String {
    hashes.iter().map(|hash| base64(hash) + "\n").collect()
}

fn parse_hash_lines(text: &str) -> Vec<Hash> {
    let parse = |line| encoding::from_base64_array(line).unwrap();
    text.lines().map(parse).collect()
}

fn proof_outcome(result: Result<(), ProofError>) -> String {
    match result {
        Ok(()) => SUCCESS,
        Err(ProofError::Size) => "size",
        Err(_) => "root",
    }
    .into()
}

#[test]
fn inclusion() {
    let all = hashes();
    let good = |index: u64, size: u64| {
        let proof = tree::inclusion_proof(index, size, tree::nodes_of(&all)).unwrap();
        let (name, comment) = (format!("{index}-of-{size}"), "an inclusion proof");
        Vector::new(&name, SUCCESS, comment, hash_lines(&proof))
            .with("leaf", hex(&all[index as usize]))
            .with("index", index)
            .with("size", size)
            .with("root", hex(&tree::root(&all[..size as usize])))
    };
    let mut vectors: Vec<Vector> = [
        (0, 1),
        (0, 2),
        (1, 2),
        (2, 3),
        (4, 5),
        (4, 7),
        (6, 7),
        (0, 16),
        (9, 16),
        (24, 25),
        (20, 32),
        (31, 32),
    ]
    .into_iter()
    .map(|(index, size)| good(index, size))
    .collect();
    let base = good(9, 21);
    let lines: Vec<&str> = base.text().lines().collect();
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    let broken = |name: &str, expect: &str, comment: &str| base.twin(name, expect, comment);
    vectors.extend([
        broken("leaf", "root", "another leaf").with("leaf", hex(&all[10])),
        broken("index", "root", "the index of another leaf").with("index", 8),
        broken("index-beyond", "size", "an index outside of the tree").with("index", 21),
        broken("size-larger", "size", "a size with a longer proof").with("size", 33),
        broken("size-smaller", "size", "a size with a shorter proof").with("size", 16),
        broken("size-zero", "size", "an empty tree holds nothing").with("size", 0),
        broken("root", "root", "the root of another size").with("root", hex(&tree::root(&all))),
        broken("hash-missing", "size", "the last hash is missing").body(joined(&lines[..4])),
        broken("hash-more", "size", "a hash too many")
            .body(joined(&[&lines[..], &lines[..1]].concat())),
        broken("hashes-swapped", "root", "two hashes in the other order")
            .body(joined(&[lines[1], lines[0], lines[2], lines[3], lines[4]])),
        broken("empty", "size", "no hashes").body(""),
        base.clone(),
    ]);
    vector::run("inclusion", &vectors, |v| {
        let proof = parse_hash_lines(v.text());
        let (index, size) = (v.number("index"), v.number("size"));
        proof_outcome(tree::verify_inclusion(
            &v.hex("leaf"),
            index,
            size,
            &proof,
            &v.hex("root"),
        ))
    });
}

#[test]
fn consistency() {
    let all = hashes();
    let good = |old: u64, new: u64| {
        let proof = tree::consistency_proof(old, new, tree::nodes_of(&all)).unwrap();
        let (name, comment) = (format!("{old}-to-{new}"), "a consistency proof");
        Vector::new(&name, SUCCESS, comment, hash_lines(&proof))
            .with("old-size", old)
            .with("new-size", new)
            .with("old-root", hex(&tree::root(&all[..old as usize])))
            .with("new-root", hex(&tree::root(&all[..new as usize])))
    };
    let mut vectors: Vec<Vector> = [
        (0, 0),
        (0, 16),
        (1, 1),
        (1, 2),
        (1, 32),
        (2, 3),
        (3, 7),
        (4, 7),
        (6, 8),
        (7, 15),
        (16, 32),
        (17, 31),
        (31, 32),
    ]
    .into_iter()
    .map(|(old, new)| good(old, new))
    .collect();
    let base = good(13, 27);
    let lines: Vec<&str> = base.text().lines().collect();
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    let broken = |name: &str, expect: &str, comment: &str| base.twin(name, expect, comment);
    let mut forked = all.clone();
    forked[5] = world::seed("forked");
    let fork = tree::consistency_proof(13, 27, tree::nodes_of(&forked)).unwrap();
    vectors.extend([
        broken("old-root", "root", "another old root").with("old-root", hex(&tree::root(&all))),
        broken("new-root", "root", "another new root").with("new-root", hex(&tree::root(&all))),
        broken("fork", "root", "the new tree has another leaf 5")
            .with("new-root", hex(&tree::root(&forked[..27])))
            .body(hash_lines(&fork)),
        broken("shrunk", "size", "the log got smaller").with("new-size", 12),
        broken("hash-missing", "size", "the last hash is missing")
            .body(joined(&lines[..lines.len() - 1])),
        broken("hash-more", "size", "a hash too many")
            .body(joined(&[&lines[..], &lines[..1]].concat())),
        broken("empty", "size", "no hashes").body(""),
        good(16, 16)
            .twin("same-size-other-root", "root", "two roots of one size")
            .with("old-root", hex(&all[0])),
        good(16, 16)
            .twin("same-size-hash", "size", "equal sizes need no hashes")
            .body(hash_lines(&all[..1])),
        good(0, 16)
            .twin(
                "from-nothing-other-root",
                "root",
                "the empty tree has one root",
            )
            .with("old-root", hex(&all[0])),
        base.clone(),
    ]);
    vector::run("consistency", &vectors, |v| {
        let proof = parse_hash_lines(v.text());
        proof_outcome(tree::verify_consistency(
            v.number("old-size"),
            v.number("new-size"),
            &proof,
            &v.hex("old-root"),
            &v.hex("new-root"),
        ))
    });
}

#[test]
fn tile_vectors() {
    let all = hashes();
    let bytes = tile::encode(&all);
    let texts: Vec<String> = entries().iter().map(Leaf::to_text).collect();
    let bundle = tile::encode_bundle(&texts).unwrap();
    let root = hex(&tree::root(&all));
    let good = Vector::new("tile", SUCCESS, "the leaf hashes of 32 entries", &bytes)
        .with("path", "tile/0/000.p/32")
        .with("root", &root);
    let entries = Vector::new("entries", SUCCESS, "the bundle of 32 entries", &bundle)
        .with("path", "tile/entries/000.p/32")
        .with("root", &root);
    // 256 leaves of which each is its number in eight bytes.
    let many: Vec<Hash> = (0..256_u64)
        .map(|i| tree::leaf_hash(&i.to_be_bytes()))
        .collect();
    let full = good
        .twin(
            "tile-full",
            SUCCESS,
            "256 leaf hashes, each of its number in eight bytes",
        )
        .with("path", "tile/0/x001/x234/067")
        .with("root", hex(&tree::root(&many)))
        .body(tile::encode(&many));
    let length = |name: &str, comment: &str| good.twin(name, "length", comment);
    let cut = |name: &str, comment: &str| entries.twin(name, "length", comment);
    let path =
        |name: &str, comment: &str, path: &str| good.twin(name, "path", comment).with("path", path);
    let entries_path = |name: &str, comment: &str, path: &str| {
        entries.twin(name, "path", comment).with("path", path)
    };
    let mut longer_entry = bundle.clone();
    longer_entry[1] += 1;
    let vectors = [
        full,
        length("tile-short", "a hash too few").body(&bytes[..31 * 32]),
        length("tile-long", "a byte too many").body([&bytes[..], &[0]].concat()),
        length("tile-cut", "a hash is cut").body(&bytes[..1_000]),
        good.twin("tile-root", "root", "the hashes lead to another root")
            .with("root", hex(&all[0])),
        path("path-width-zero", "an empty tile", "tile/0/000.p/0"),
        path(
            "path-width-full",
            "a full tile has no width",
            "tile/0/000.p/256",
        ),
        path("path-width-zeroes", "leading zero", "tile/0/000.p/032"),
        path("path-level-zeroes", "leading zero", "tile/00/000.p/32"),
        path("path-level-large", "levels end at 63", "tile/64/000.p/32"),
        path(
            "path-digits",
            "three digits in each element",
            "tile/0/00.p/32",
        ),
        path(
            "path-no-x",
            "only the last element has no x",
            "tile/0/001/000.p/32",
        ),
        path(
            "path-last-x",
            "the last element has no x",
            "tile/0/x001.p/32",
        ),
        path(
            "path-leading-x000",
            "one spelling of a number",
            "tile/0/x000/001.p/32",
        ),
        path(
            "path-slash",
            "paths here have no prefix",
            "/tile/0/000.p/32",
        ),
        cut("entries-short", "the last entry is cut").body(&bundle[..bundle.len() - 1]),
        cut("entries-few", "an entry too few").body(tile::encode_bundle(&texts[..31]).unwrap()),
        cut("entries-more", "a byte too many").body([&bundle[..], &[0]].concat()),
        entries
            .twin("entries-root", "root", "an entry was changed")
            .body({
                let mut changed = bundle.clone();
                let last = changed.len() - 2;
                changed[last] ^= 1;
                changed
            }),
        entries_path(
            "entries-path-level",
            "a bundle has no level",
            "tile/0/entries/000.p/32",
        ),
        entries_path(
            "entries-path-width",
            "an empty bundle",
            "tile/entries/000.p/0",
        ),
        good,
        entries.clone(),
    ];
    vector::run("tile", &vectors, |v| {
        match tile_root(v.field("path"), &v.body) {
            Ok(root) if root == v.hex("root") => SUCCESS,
            Ok(_) => "root",
            Err(TileError::Path) => "path",
            Err(_) => "length",
        }
        .into()
    });
}

/// The root over what the tile or bundle at this path holds.
fn tile_root(path: &str, bytes: &[u8]) -> Result<Hash, TileError> {
    if let Ok(bundle) = BundleId::parse_path(path) {
        assert_eq!(bundle.path(), path);
        let entries = bundle.parse(bytes)?;
        let leaves: Vec<Hash> = entries.into_iter().map(tree::leaf_hash).collect();
        return Ok(tree::root(&leaves));
    }
    let tile = TileId::parse_path(path)?;
    assert_eq!(tile.path(), path);
    Ok(tree::root(&tile.parse(bytes)?))
}

#[test]
fn receipt() {
    let box_key = world::box_secret().to_public();
    let all = hashes();
    let index = 20;
    let leaf = entries()[index];
    let expiry = leaf.window.end(world::WINDOW).0 + world::roster().retention();
    let proof = tree::inclusion_proof(20, 32, tree::nodes_of(&all)).unwrap();
    let roster = world::roster().note().clone();
    let make = |leaf: Leaf, roster: &Note, index: u64, proof: &[Hash], checkpoint: Note| {
        let receipt = Receipt::new(leaf, roster.clone(), index, proof.to_vec(), checkpoint);
        receipt.unwrap().to_string()
    };
    let with_checkpoint = |note| make(leaf, &roster, 20, &proof, note);
    let cosigners = ["alice/desk", "bob/laptop"];
    let good = Vector::new(
        "collected",
        SUCCESS,
        "cosigned by devices of both members",
        with_checkpoint(cosigned(&cosigners)),
    )
    .with("box", &box_key)
    .with("digest", hex(&leaf.digest))
    .with("state", "collected")
    .with("members", "alice bob");
    let text = good.text().to_owned();
    let extra_line = text.lines().nth(1).unwrap();
    let index_line = "index 20\n";
    let with_extra = |extra: &str| {
        let file = TlogProof::parse(text.as_bytes()).unwrap();
        let extra = Some(extra.as_bytes().to_vec());
        TlogProof { extra, ..file }.to_string()
    };
    let extra = format!("{}\n{roster}", leaf.to_text());
    let broken = |name: &str, expect: &str, comment: &str| good.twin(name, expect, comment);
    let malformed = |name: &str, comment: &str| good.twin(name, "malformed", comment);
    let other_box = world::secret("another box");
    let other_roster = {
        let mut draft = world::draft();
        draft.box_key = other_box.to_public();
        draft.log = sealdrop_core::log::checkpoint::log_vkey(
            &draft.box_key,
            &world::log_secret().to_public(),
        );
        draft.sign(&other_box).unwrap()
    };
    let mut bad_cosignature = cosigned(&["alice/desk"]).to_string();
    let line = cosigned(&["bob/laptop"]).signatures()[1].to_string();
    let mut bytes = encoding::from_base64(line.rsplit(' ').next().unwrap()).unwrap();
    bytes[30] ^= 1;
    bad_cosignature.push_str(&format!("— bob/laptop {}\n", base64(&bytes)));
    let fork = Checkpoint {
        root: world::seed("fork"),
        ..checkpoint(32)
    };
    let vectors = [
        broken("logged", SUCCESS, "no cosignature yet")
            .with("state", "logged")
            .with("members", "nobody")
            .body(with_checkpoint(cosigned(&[]))),
        broken("two-devices", SUCCESS, "two devices of one member")
            .with("members", "alice")
            .body(with_checkpoint(cosigned(&["alice/desk", "alice/laptop"]))),
        broken(
            "stranger",
            SUCCESS,
            "a cosignature by no device of the roster counts nothing",
        )
        .with("state", "logged")
        .with("members", "nobody")
        .body(with_checkpoint(cosigned(&["mallory/desk"]))),
        broken(
            "cosigned-after-expiry",
            SUCCESS,
            "alice cosigned in the last second before the window expired, bob when it had",
        )
        .with("members", "alice")
        .body(with_checkpoint(cosigned_at(&[
            ("alice/desk", Time(expiry - 1)),
            ("bob/laptop", Time(expiry)),
        ]))),
        broken("another-box", "roster", "verified for another box")
            .with("box", other_box.to_public()),
        broken(
            "another-roster",
            "roster",
            "the roster of another box, in which the same log signs",
        )
        .body(make(
            leaf,
            other_roster.note(),
            20,
            &proof,
            cosigned(&cosigners),
        )),
        broken(
            "roster-changed",
            "roster",
            "the roster was changed after signing",
        )
        .body(with_extra(&extra.replace("epoch: 1\n", "epoch: 2\n"))),
        broken(
            "log-key",
            "log signature",
            "the checkpoint is another key's",
        )
        .body(with_checkpoint(checkpoint(32).sign(&world::secret::<
            LogRole,
        >(
            "another log"
        )))),
        broken("forked", "not included", "a checkpoint of another view")
            .body(with_checkpoint(fork.sign(&world::log_secret()))),
        broken(
            "leaf-changed",
            "not included",
            "a leaf that is not in the log",
        )
        .body(with_extra(&extra.replacen("size: 67195", "size: 67196", 1))),
        broken("index-changed", "not included", "the index of another leaf")
            .replace(index_line, "index 21\n"),
        broken(
            "index-beyond",
            "not included",
            "an index outside of the tree",
        )
        .replace(index_line, "index 32\n"),
        broken("hash-missing", "not included", "a hash is missing").body(make(
            leaf,
            &roster,
            20,
            &proof[..4],
            cosigned(&cosigners),
        )),
        broken(
            "cosignature",
            "cosignature",
            "bob's cosignature does not verify",
        )
        .body(with_checkpoint(
            Note::parse(bad_cosignature.as_bytes()).unwrap(),
        )),
        malformed("version", "another first line").replace("@v1", "@v2"),
        malformed("no-extra", "no leaf and no roster").replace(&format!("{extra_line}\n"), ""),
        malformed("extra-empty", "an extra line with nothing in it").replace(extra_line, "extra "),
        malformed("extra-base64", "base64 without padding")
            .replace(extra_line, extra_line.trim_end_matches('=')),
        malformed("extra-no-roster", "only the leaf").body(with_extra(&leaf.to_text())),
        malformed("extra-pad", "the leaf of a pad").body(with_extra(&format!(
            "{}\n{roster}",
            entries()[21].to_text()
        ))),
        malformed("index-zeroes", "leading zero").replace(index_line, "index 020\n"),
        malformed("no-index", "no index").replace(index_line, ""),
        malformed("hash-short", "a hash of 31 bytes")
            .replace(&base64(&proof[0]), &base64(&proof[0][1..])),
        malformed("hashes-many", "65 hashes")
            .replace(&hash_lines(&proof), &hash_lines(&proof[..1]).repeat(65)),
        malformed("no-checkpoint", "nothing after the hashes")
            .body(text.split_once("\n\n").unwrap().0),
        malformed("crlf", "a CR before LF").replace(index_line, "index 20\r\n"),
        good.clone(),
    ];
    vector::run("receipt", &vectors, |v| {
        let box_key = sealdrop_core::key::BoxKey::parse(v.field("box")).unwrap();
        match Receipt::parse(&v.body).and_then(|receipt| receipt.verify(&box_key)) {
            Ok(proven) => {
                assert_eq!(proven.leaf().digest, v.hex("digest"), "{}", v.name);
                let logged = proven.logged();
                assert_eq!(logged.state().as_str(), v.field("state"), "{}", v.name);
                let members = logged.members().join(" ");
                let members = if members.is_empty() {
                    "nobody"
                } else {
                    &members
                };
                assert_eq!(members, v.field("members"), "{}", v.name);
                SUCCESS
            }
            Err(ReceiptError::Roster(_)) => "roster",
            Err(ReceiptError::LogSignature) => "log signature",
            Err(ReceiptError::NotIncluded) => "not included",
            Err(ReceiptError::Cosignature) => "cosignature",
            Err(_) => "malformed",
        }
        .into()
    });
}
