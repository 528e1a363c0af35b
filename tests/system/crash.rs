//! Accepted means durable (architecture, invariant 5): the server is killed at random moments, and audited from outside.
//!
//! `cargo xtask soak` runs more rounds of the same, with `SEALDROP_CRASH_ROUNDS` and `SEALDROP_CRASH_SEED`.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rand_chacha::rand_core::Rng as _;
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::proof::{Receipt, State};
use sealdrop_core::log::tile::BundleId;
use sealdrop_core::log::tree;
use sealdrop_core::note::Note;
use sealdrop_core::roster::Roster;
use sealdrop_core::time::Window;
use sealdrop_tests::{scratch, wait_until};

use crate::site::{Site, Supply, note_of, now, rng};
use crate::wire::{Reply, call};

/// Long enough that a broken upload is taken up again before it is forgotten.
const WINDOW: u64 = 2;
const SUBMITTERS: u64 = 6;
/// A `PATCH` of a large drop.
const PIECE: usize = 300_000;

#[test]
fn kill_9_at_any_moment_loses_nothing_that_was_accepted() {
    let setting = |name, default| {
        let value = std::env::var(name).ok();
        value.map_or(default, |value| value.parse().expect("it is a number"))
    };
    let rounds = setting("SEALDROP_CRASH_ROUNDS", 10);
    let seed = setting("SEALDROP_CRASH_SEED", 1);
    println!("SEALDROP_CRASH_SEED={seed} SEALDROP_CRASH_ROUNDS={rounds}");

    let dir = scratch();
    let data = dir.path().join("data");
    let mut random = rng(seed);
    let site = Site::new(&mut random);
    let (mut running, mut server) = site.start(&mut site.server(&data));
    let roster = site.publish(server, WINDOW);
    let world = World {
        small: Supply::new(&roster, 1_000, &mut random),
        large: Supply::new(&roster, 900_000, &mut random),
        roster,
        site,
        next: AtomicU64::new(0),
        ledger: Mutex::default(),
    };
    let mut audit = Audit::default();
    for round in 1..=rounds {
        let life = Duration::from_millis(u64::from(random.next_u32() % 700));
        world.submit_until_killed(running, server, life);
        if random.next_u32().is_multiple_of(4) {
            let life = Duration::from_millis(u64::from(random.next_u32() % 40));
            kill_while_it_starts(&mut world.site.server(&data), life);
        }
        (running, server) = world.site.start(&mut world.site.server(&data));
        world.resume_uploads(server);
        audit.look(&world, server);
        println!("round {round}: {}", audit.summary(&world));
    }
    audit.wait_until_all_is_logged(&world, server);
    audit.verify_receipts(&world);
    audit.look_at_every_byte(&world, server);
    check_that_nothing_is_left_over(&data);
    println!("at the end: {}", audit.summary(&world));
    assert!(running.terminate().success());
}

/// The submitters' side.
struct World {
    site: Site,
    roster: Roster,
    small: Supply,
    large: Supply,
    next: AtomicU64,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// All that was ever begun to be sent, by digest.
    tried: HashMap<[u8; 32], u64>,
    /// All that got a 201, with what was promised.
    accepted: Vec<Leaf>,
    /// Checkpoints seen from outside, in the order seen.
    checkpoints: Vec<Checkpoint>,
    /// Large drops cut off: number, path of the upload.
    broken: Vec<(u64, String)>,
    resumed: usize,
}

impl World {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no submitter panics")
    }

    /// Every 16th drop is large.
    fn bytes(&self, number: u64) -> Vec<u8> {
        let supply = if number.is_multiple_of(16) {
            &self.large
        } else {
            &self.small
        };
        supply.drop(number)
    }

    fn len(&self, number: u64) -> u64 {
        if number.is_multiple_of(16) {
            self.large.size()
        } else {
            self.small.size()
        }
    }

    fn submit_until_killed(
        &self,
        server: sealdrop_tests::Running,
        addr: SocketAddr,
        life: Duration,
    ) {
        let killed = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..SUBMITTERS {
                scope.spawn(|| while self.submit(addr, &killed).is_some() {});
            }
            scope.spawn(|| while self.see_checkpoint(addr).is_some() {});
            thread::sleep(life);
            killed.store(true, Ordering::SeqCst);
            server.kill();
        });
    }

    /// Sends the next drop. `None` once the server is gone.
    fn submit(&self, server: SocketAddr, killed: &AtomicBool) -> Option<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let drop = self.bytes(number);
        let began = self.roster.window(now());
        self.ledger().tried.insert(sha256(&drop), number);
        let reply = if number.is_multiple_of(32) {
            self.upload(server, number, &drop)
        } else {
            call(server, "POST", "/v1/drops", &[], Some(&drop)).ok()
        };
        let Some(reply) = reply else {
            assert!(killed.load(Ordering::SeqCst), "the server went by itself");
            return None;
        };
        self.accepted(&reply, &drop, began);
        Some(())
    }

    fn accepted(&self, reply: &Reply, drop: &[u8], began: Window) {
        let promise = Promise::verify(&note_of(reply), self.roster.log_key());
        let promise = promise.expect("the log signed the promise");
        let leaf = *promise.leaf();
        assert!(
            leaf.digest == sha256(drop) && leaf.size == drop.len() as u64,
            "another drop"
        );
        let ended = self.roster.window(now());
        assert!((began..=ended).contains(&leaf.window), "back-dated");
        self.ledger().accepted.push(leaf);
    }

    fn upload(&self, server: SocketAddr, number: u64, drop: &[u8]) -> Option<Reply> {
        let length = drop.len().to_string();
        let headers = [("upload-length", &*length), ("upload-complete", "?0")];
        let begun = call(server, "POST", "/v1/uploads", &headers, Some(b"")).ok()?;
        let path = begun.header("location").expect("an upload has a place");
        let reply = patch_all(server, path, drop, 0);
        if reply.is_none() {
            self.ledger().broken.push((number, path.to_owned()));
        }
        reply
    }

    /// Takes broken uploads up where the server says they stand.
    fn resume_uploads(&self, server: SocketAddr) {
        let broken = std::mem::take(&mut self.ledger().broken);
        for (number, path) in broken {
            let stands = call(server, "HEAD", &path, &[], None).expect("the server answers");
            if stands.status == 404 {
                // Forgotten by now, or the server died before the name was on the disk. Nothing was promised.
                continue;
            }
            let header = |name| stands.header(name).expect("the server says how it stands");
            let offset: usize = header("upload-offset").parse().expect("it is a number");
            let drop = self.bytes(number);
            assert!(offset <= drop.len());
            let reply = patch_all(server, &path, &drop, offset).expect("the server answers");
            // It may have been complete before the crash, and only its answer lost.
            self.accepted(&reply, &drop, Window(0));
            self.ledger().resumed += 1;
        }
    }

    fn see_checkpoint(&self, server: SocketAddr) -> Option<()> {
        let reply = call(server, "GET", "/log/checkpoint", &[], None).ok()?;
        let checkpoint = verify(&reply, &self.roster);
        self.ledger().checkpoints.push(checkpoint);
        thread::sleep(Duration::from_millis(20));
        Some(())
    }
}

/// Sends what is left of a drop; the answer to the last piece. `None` once the server is gone.
fn patch_all(server: SocketAddr, path: &str, drop: &[u8], mut from: usize) -> Option<Reply> {
    loop {
        let end = (from + PIECE).min(drop.len());
        let offset = from.to_string();
        let complete = if end == drop.len() { "?1" } else { "?0" };
        let headers = [
            ("content-type", "application/partial-upload"),
            ("upload-offset", &*offset),
            ("upload-complete", complete),
        ];
        let reply = call(server, "PATCH", path, &headers, Some(&drop[from..end])).ok()?;
        if end == drop.len() {
            return Some(reply);
        }
        assert_eq!(reply.status, 204, "{}", reply.text());
        from = end;
    }
}

fn kill_while_it_starts(server: &mut Command, life: Duration) {
    let server = server.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = server.spawn().expect("the server starts");
    thread::sleep(life);
    child.kill().expect("it is ours to kill");
    child.wait().expect("it is ours to wait for");
}

#[track_caller]
fn verify(reply: &Reply, roster: &Roster) -> Checkpoint {
    let note = Note::parse(&reply.body).expect("a checkpoint is a note");
    Checkpoint::verify(&note, roster.log_key()).expect("the log signed it")
}

/// What an auditor who never forgets has seen.
#[derive(Default)]
struct Audit {
    /// The entries of the log.
    entries: Vec<Leaf>,
    /// The latest checkpoint.
    note: Option<Note>,
    /// Each drop that was ever listed, and where.
    listed: HashMap<[u8; 32], Window>,
    /// Those of which every byte was looked at once.
    read: HashSet<[u8; 32]>,
    /// How many of the accepted drops, and of the seen checkpoints, were looked at.
    accepted: usize,
    checkpoints: usize,
}

impl Audit {
    fn look(&mut self, world: &World, server: SocketAddr) {
        self.extend(world, server);
        self.list(world, server);
        let accepted = world.ledger().accepted[self.accepted..].to_vec();
        self.accepted += accepted.len();
        for leaf in &accepted {
            assert_eq!(
                self.listed.get(&leaf.digest),
                Some(&leaf.window),
                "{} was accepted and is not listed in window {}",
                hex(&leaf.digest),
                leaf.window
            );
        }
        self.read_new(world, server);
        self.check_entries(world);
    }

    /// Every byte of what was not looked at before: nothing that is listed is half there, whether it was accepted or not.
    fn read_new(&mut self, world: &World, server: SocketAddr) {
        for (digest, window) in &self.listed {
            if self.read.insert(*digest) {
                let number = world.ledger().tried[digest];
                let body = world.site.body(server, *window, digest);
                assert!(body == world.bytes(number), "{} differs", hex(digest));
            }
        }
    }

    fn list(&mut self, world: &World, server: SocketAddr) {
        let mut now = HashMap::new();
        for window in world.site.windows(server) {
            for (digest, size) in world.site.listing(server, window) {
                let number = world.ledger().tried.get(&digest).copied();
                let number = number.expect("only what was sent is listed");
                assert_eq!(size, world.len(number));
                let twice = now.insert(digest, window);
                assert_eq!(twice, None, "{} is listed twice", hex(&digest));
            }
        }
        for (digest, window) in &self.listed {
            assert_eq!(now.get(digest), Some(window), "{} went", hex(digest));
        }
        self.listed = now;
    }

    /// Fetches the new entries, and computes every root that was ever signed from them.
    fn extend(&mut self, world: &World, server: SocketAddr) {
        let reply = call(server, "GET", "/log/checkpoint", &[], None).expect("the server answers");
        let checkpoint = verify(&reply, &world.roster);
        self.note = Some(Note::parse(&reply.body).expect("it was parsed before"));
        let have = self.entries.len() as u64;
        assert!(checkpoint.size >= have, "the log was rolled back");
        let first = have / 256;
        self.entries
            .truncate(usize::try_from(first * 256).expect("it fits"));
        for index in first.. {
            let Some(id) = BundleId::in_tree(index, checkpoint.size) else {
                break;
            };
            let reply = world.site.get(server, &format!("/log/{}", id.path()));
            let reply = reply.expect("the server answers");
            assert_eq!(reply.status, 200, "{}", reply.text());
            for entry in id.parse(&reply.body).expect("it is a bundle") {
                self.entries
                    .push(Leaf::parse(entry).expect("it is an entry"));
            }
        }
        let hashes: Vec<[u8; 32]> = self.entries.iter().map(leaf_hash).collect();
        assert!(
            root(&hashes) == checkpoint.root,
            "not the entries of its root"
        );
        let mut seen = world.ledger();
        for old in &seen.checkpoints[self.checkpoints..] {
            let size = usize::try_from(old.size).expect("it fits");
            assert!(size <= hashes.len(), "the log was rolled back");
            assert!(root(&hashes[..size]) == old.root, "the log was forked");
        }
        // Those of the next round must extend this one.
        seen.checkpoints.push(checkpoint);
        self.checkpoints = seen.checkpoints.len() - 1;
    }

    /// The entries agree with the listings, and hold what was promised for windows that are closed.
    fn check_entries(&self, world: &World) {
        assert!(
            self.entries.is_sorted_by_key(|leaf| leaf.window),
            "windows run backwards"
        );
        assert!(
            self.entries.len().is_multiple_of(16),
            "the log is not padded"
        );
        let mut logged = HashMap::new();
        for leaf in self
            .entries
            .iter()
            .filter(|leaf| leaf.kind == LeafKind::Drop)
        {
            let twice = logged.insert(leaf.digest, leaf);
            assert_eq!(twice, None, "a drop is in the log twice");
            assert_eq!(
                self.listed.get(&leaf.digest),
                Some(&leaf.window),
                "logged and not listed"
            );
        }
        let Some(closed) = self.closed() else {
            return;
        };
        for leaf in &world.ledger().accepted {
            let there = logged.get(&leaf.digest) == Some(&leaf);
            assert!(
                there || leaf.window > closed,
                "{} is hidden",
                hex(&leaf.digest)
            );
        }
        for (digest, window) in &self.listed {
            let there = logged.contains_key(digest);
            assert!(
                there || *window > closed,
                "{} is listed and not logged",
                hex(digest)
            );
        }
    }

    /// The latest window that the log has closed.
    fn closed(&self) -> Option<Window> {
        self.entries.last().map(|leaf| leaf.window)
    }

    fn wait_until_all_is_logged(&mut self, world: &World, server: SocketAddr) {
        let last = world.ledger().accepted.iter().map(|leaf| leaf.window).max();
        wait_until("the last window is closed", || {
            self.extend(world, server);
            self.closed() >= last
        });
        self.look(world, server);
    }

    /// Receipts as `sealdrop check` would write them; that all drops are in the log is known by now.
    fn verify_receipts(&self, world: &World) {
        let hashes: Vec<[u8; 32]> = self.entries.iter().map(leaf_hash).collect();
        let (size, nodes) = (hashes.len() as u64, tree::nodes_of(&hashes));
        let ledger = world.ledger();
        for leaf in ledger
            .accepted
            .iter()
            .rev()
            .step_by(ledger.accepted.len() / 100 + 1)
        {
            let index = self.entries.iter().position(|entry| entry == leaf);
            let index = index.expect("it is in the log") as u64;
            let proof = tree::inclusion_proof(index, size, &nodes).expect("it is in the tree");
            let note = self.note.clone().expect("there is a checkpoint");
            let roster = world.roster.note().clone();
            let receipt = Receipt::new(*leaf, roster, index, proof, note);
            let proven = receipt.and_then(|receipt| receipt.verify(&world.site.box_key));
            assert_eq!(
                proven.expect("the receipt verifies").logged().state(),
                State::Logged
            );
        }
    }

    fn look_at_every_byte(&mut self, world: &World, server: SocketAddr) {
        self.read.clear();
        self.list(world, server);
        self.read_new(world, server);
    }

    fn summary(&self, world: &World) -> String {
        let ledger = world.ledger();
        format!(
            "{} begun, {} accepted, {} listed, {} resumed, {} entries, {} checkpoints seen",
            ledger.tried.len(),
            ledger.accepted.len(),
            self.listed.len(),
            ledger.resumed,
            self.entries.len(),
            ledger.checkpoints.len()
        )
    }
}

/// RFC 6962, section 2.1, word for word and not by the code under test.
fn root(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [] => sha256(b""),
        [one] => *one,
        _ => {
            let split = hashes.len().next_power_of_two() / 2;
            let (left, right) = hashes.split_at(split);
            sha256(&[&[1][..], &root(left), &root(right)].concat())
        }
    }
}

fn leaf_hash(leaf: &Leaf) -> [u8; 32] {
    sha256(&[&[0][..], leaf.to_text().as_bytes()].concat())
}

/// What a crash leaves behind is put in order by the next start: large bodies stand with their windows or not at all.
fn check_that_nothing_is_left_over(data: &Path) {
    for entry in std::fs::read_dir(data.join("uploads")).expect("the folder is there") {
        let name = entry.expect("it can be read").file_name();
        let name = name.to_str().expect("it is plain");
        assert!(!name.starts_with("tmp-"), "{name} is left over");
    }
}
