//! What a box's own people can check of a server from outside: each drop that was accepted, and the log.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use rand_chacha::ChaCha20Rng;
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::proof::{Receipt, State};
use sealdrop_core::log::tile::BundleId;
use sealdrop_core::log::tree;
use sealdrop_core::note::Note;
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::{self, SLIP};
use sealdrop_core::time::Window;
use sealdrop_tests::wait_until;

use crate::site::{Site, Supply, note_of, now};
use crate::wire::{Reply, call};

/// A box, and all that submitters know of what they sent to it.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) roster: Roster,
    small: Supply,
    large: Supply,
    share: Vec<u8>,
    next: AtomicU64,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// All that was ever begun to be sent, by digest.
    pub(crate) tried: HashMap<[u8; 32], u64>,
    /// All that got a 201, with what was promised.
    pub(crate) accepted: Vec<Leaf>,
    /// Checkpoints seen from outside, in the order seen.
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// Large drops cut off: number, path of the upload.
    pub(crate) broken: Vec<(u64, String)>,
    pub(crate) resumed: usize,
    /// Shares of slips that got a 200, with the window it named.
    pub(crate) posted: Vec<(Window, Vec<u8>)>,
    /// A share that was sent, and whose answer never came.
    pub(crate) unanswered: Option<Vec<u8>>,
}

impl World {
    pub(crate) fn new(site: Site, roster: Roster, rng: &mut ChaCha20Rng) -> Self {
        Self {
            small: Supply::new(&roster, 1_000, rng),
            large: Supply::new(&roster, 900_000, rng),
            share: (0..roster.draft().slips)
                .flat_map(|_| slip::decoy(roster.box_key(), rng).to_vec())
                .collect(),
            roster,
            site,
            next: AtomicU64::new(0),
            ledger: Mutex::default(),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no submitter panics")
    }

    /// A number that no other drop has.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The bytes of a drop, which are noted as about to be sent. Every 16th is large.
    pub(crate) fn take(&self, number: u64) -> Vec<u8> {
        let drop = self.bytes(number);
        self.ledger().tried.insert(sha256(&drop), number);
        drop
    }

    pub(crate) fn bytes(&self, number: u64) -> Vec<u8> {
        let supply = if number.is_multiple_of(16) {
            &self.large
        } else {
            &self.small
        };
        supply.drop(number)
    }

    /// The only member's share of slips, with clues of its own. The server cannot tell that they are nobody's.
    pub(crate) fn share(&self, number: u64) -> Vec<u8> {
        let mut share = self.share.clone();
        for slip in share.as_chunks_mut::<SLIP>().0 {
            slip[..8].copy_from_slice(&number.to_be_bytes());
        }
        share
    }

    fn len(&self, number: u64) -> u64 {
        if number.is_multiple_of(16) {
            self.large.size()
        } else {
            self.small.size()
        }
    }

    /// Notes a drop that got a 201, if its promise is for these bytes and a window since `began`.
    #[track_caller]
    pub(crate) fn accepted(&self, reply: &Reply, drop: &[u8], began: Window) {
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
}

/// What an auditor who never forgets has seen.
#[derive(Default)]
pub(crate) struct Audit {
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
    pub(crate) fn look(&mut self, world: &World, server: SocketAddr) {
        self.extend(world, server);
        // Nothing new comes to a window before the latest: those are looked at again at the end.
        let latest = self.listed.values().max().copied();
        self.list(world, server, latest.unwrap_or(Window(0)));
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

    /// Lists the windows from `from` on, and finds there all that was listed there before.
    fn list(&mut self, world: &World, server: SocketAddr, from: Window) {
        let mut now = HashMap::new();
        let windows = world.site.windows(server);
        for window in windows.into_iter().filter(|window| *window >= from) {
            for (digest, size) in world.site.listing(server, window) {
                let number = world.ledger().tried.get(&digest).copied();
                let number = number.expect("only what was sent is listed");
                assert_eq!(size, world.len(number));
                let twice = now.insert(digest, window);
                assert_eq!(twice, None, "{} is listed twice", hex(&digest));
            }
        }
        for (digest, window) in &self.listed {
            let there = *window < from || now.get(digest) == Some(window);
            assert!(there, "{} went", hex(digest));
        }
        self.listed.extend(now);
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

    pub(crate) fn wait_until_all_is_logged(&mut self, world: &World, server: SocketAddr) {
        let last = {
            let ledger = world.ledger();
            let drops = ledger.accepted.iter().map(|leaf| leaf.window);
            drops.chain(ledger.posted.iter().map(|post| post.0)).max()
        };
        wait_until("the last window is closed", || {
            self.extend(world, server);
            self.closed() >= last
        });
        self.look(world, server);
    }

    /// Every closed window has one segment, which is the one in the log, and holds all that was posted for it.
    pub(crate) fn check_feed(&self, world: &World, server: SocketAddr) {
        let windows: BTreeSet<Window> = self.entries.iter().map(|leaf| leaf.window).collect();
        let mut segments = HashMap::new();
        for leaf in &self.entries {
            if leaf.kind == LeafKind::Segment {
                let reply = call(
                    server,
                    "GET",
                    &format!("/v1/feed/{}", leaf.window),
                    &[],
                    None,
                );
                let segment = reply.expect("the server answers").body;
                assert_eq!(leaf.digest, sha256(&segment), "another segment was logged");
                let slips = segment.as_chunks::<SLIP>().0;
                assert_eq!(slips.len() as u64, world.roster.draft().slips);
                assert!(slips.is_sorted());
                let twice = segments.insert(leaf.window, slips.to_vec());
                assert_eq!(twice, None, "a window has two segments");
            }
        }
        assert_eq!(windows, segments.keys().copied().collect());
        let ledger = world.ledger();
        assert!(!ledger.posted.is_empty(), "nothing was posted");
        for (window, share) in &ledger.posted {
            for slip in share.as_chunks::<SLIP>().0 {
                let found = segments[window].iter().filter(|held| *held == slip);
                assert_eq!(found.count(), 1, "slips of window {window} are gone");
            }
        }
    }

    /// Receipts as `sealdrop check` would write them; that all drops are in the log is known by now.
    pub(crate) fn verify_receipts(&self, world: &World) {
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

    pub(crate) fn look_at_every_byte(&mut self, world: &World, server: SocketAddr) {
        self.read.clear();
        self.list(world, server, Window(0));
        self.read_new(world, server);
    }

    pub(crate) fn summary(&self, world: &World) -> String {
        let ledger = world.ledger();
        format!(
            "{} begun, {} accepted, {} listed, {} resumed, {} posts, {} entries, {} checkpoints seen",
            ledger.tried.len(),
            ledger.accepted.len(),
            self.listed.len(),
            ledger.resumed,
            ledger.posted.len(),
            self.entries.len(),
            ledger.checkpoints.len()
        )
    }
}

/// The checkpoint in an answer.
#[track_caller]
pub(crate) fn verify(reply: &Reply, roster: &Roster) -> Checkpoint {
    let note = Note::parse(&reply.body).expect("a checkpoint is a note");
    Checkpoint::verify(&note, roster.log_key()).expect("the log signed it")
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
