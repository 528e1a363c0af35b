//! The writer: one thread that does all that changes the store.
//!
//! Accepting a batch of drops is: append their records to the window's pack, sync it once, add them to the index, answer. If anything fails
//! on the way, the pack is cut back to where it was, and the batch is refused. If that fails too, or a sync fails for another reason than a
//! full disk, nobody knows what is on the disk: the store then refuses everything until a restart has looked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sealdrop_core::encoding;
use sealdrop_core::key::BoxKey;
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::tile::WIDTH;
use sealdrop_core::log::tree::Frontier;
use sealdrop_core::roster::Roster;
use sealdrop_core::time::{Time, Window};
use tokio::sync::mpsc;

use super::folder::{self, make_dir, owner_only, stamp_file};
use super::index::Index;
use super::{Body, Held, Job, NewDrop, Published, Rosters, Shared, pack};
use crate::error::Error;
use crate::system;

/// Leaves at the end of a window are a multiple of this. docs/protocol.md, "Checkpoint".
const PADDING: u64 = 16;
/// The most drops in one batch, and the most bytes.
const BATCH: usize = 512;
const BATCH_BYTES: u64 = 64 << 20;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) box_key: BoxKey,
    pub(super) index: Index,
    /// The windows whose segments are in the feed.
    pub(super) segments: BTreeSet<u64>,
    /// Something was deleted of which the index's WAL may still have a copy.
    pub(super) untidy: bool,
    /// The number of the next leaf.
    pub(super) next: u64,
    /// The edge of the published tree.
    pub(super) frontier: Frontier,
    /// The length of a window; `None` before the first roster.
    pub(super) window_length: Option<u64>,
    pub(super) open: Option<OpenWindow>,
    /// The latest window that was closed. None at or below it is ever opened again.
    pub(super) last_closed: Option<u64>,
    pub(super) heartbeat: Duration,
}

/// The window that leaves go to.
pub(super) struct OpenWindow {
    pub(super) number: u64,
    pub(super) pack: File,
    /// The length of the pack; after a failure there may be more bytes, of no meaning.
    pub(super) len: u64,
    /// Made, and not stored yet because storing it failed.
    pub(super) segment: Option<Arc<[u8]>>,
}

/// A leaf that is about to be appended.
struct Entry<'a> {
    leaf: Leaf,
    /// The body's pieces, in the pack.
    body: Vec<&'a [u8]>,
    apart: bool,
}

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no room. It passes.
    Full,
    /// The clock is behind the log. It passes.
    Clock,
    /// Something else; the writer has logged it.
    Fault,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Clock | Failure::Fault => Self::Busy,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            _ => {
                tracing::error!(%error, "the disk refuses");
                Self::Fault
            }
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            return Self::Full;
        }
        tracing::error!(%error, "the index refuses");
        Self::Fault
    }
}

impl Writer {
    /// Works until it is told to stop, or nobody is left to tell it.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        // However this thread ends, nobody may believe afterwards that something was stored.
        let _guard = FailOnExit(self.shared.clone());
        self.beat();
        let mut last_beat = Instant::now();
        let mut put_back = None;
        while let Some(job) = put_back.take().or_else(|| jobs.blocking_recv()) {
            match job {
                Job::Drop(first) => {
                    let (mut batch, mut bytes) = (vec![first], 0);
                    while batch.len() < BATCH && bytes < BATCH_BYTES {
                        match jobs.try_recv() {
                            Ok(Job::Drop(drop)) => {
                                bytes += drop.size;
                                batch.push(drop);
                            }
                            Ok(other) => {
                                put_back = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.take_drops(batch);
                }
                Job::Roster {
                    roster,
                    policy,
                    answer,
                } => {
                    let result = self.take_roster(*roster, policy);
                    let _ = answer.send(result);
                }
                Job::Release {
                    window,
                    note,
                    answer,
                } => {
                    let result = self.release(window, &note);
                    let _ = answer.send(result);
                }
                Job::Cosign {
                    size,
                    witness,
                    line,
                    answer,
                } => {
                    let result = self.index.durably(|w| w.cosignature(size, &witness, &line));
                    let _ = answer.send(result.map_err(|e| Failure::from(e).into()));
                }
                Job::Slips {
                    member,
                    slips,
                    answer,
                } => {
                    let _ = answer.send(self.take_slips(&member, &slips));
                }
                Job::Tick => {
                    let _ = self.turn();
                    self.expire();
                    if last_beat.elapsed() >= self.heartbeat {
                        last_beat = Instant::now();
                        self.beat();
                    }
                }
                Job::Stop => break,
            }
        }
        self.beat();
    }

    /// Stamps what is live, and tidies the index. Also done when nothing happened, so that it shows nothing.
    fn beat(&mut self) {
        self.tidy();
        let open = self.open.as_ref().map(|open| open.number);
        self.shared
            .folder
            .stamp_live(open, self.shared.stamp_time());
    }

    fn tidy(&mut self) {
        let result = if self.untidy {
            self.index.checkpoint_and_cut()
        } else {
            self.index.checkpoint()
        };
        match result {
            Ok(()) => self.untidy = false,
            Err(error) => tracing::warn!(%error, "the index cannot be tidied"),
        }
    }

    // Drops.

    fn take_drops(&mut self, batch: Vec<NewDrop>) {
        let held = match self.ready().and_then(|()| self.held_drops(&batch)) {
            Ok(held) => held,
            Err(error) => {
                for drop in batch {
                    let _ = drop.answer.send(Err(error));
                }
                return;
            }
        };
        let window = self.open.as_ref().expect("`ready` opened it").number;
        // New ones, by digest; and the same bytes again, whose leaf is there or is about to be.
        let (mut fresh, mut repeats) = (Vec::with_capacity(batch.len()), Vec::new());
        let mut leaves: HashMap<[u8; 32], Leaf> = HashMap::with_capacity(batch.len());
        let mut room = self.shared.room();
        for drop in batch {
            if leaves.contains_key(&drop.digest) {
                repeats.push(drop);
                continue;
            }
            // What is apart was counted, and found room, as it came.
            let takes = if matches!(drop.body, Body::Here(_)) {
                drop.size
            } else {
                0
            };
            match held.get(&drop.digest) {
                Some(leaf) => self.answer_repeat(drop, Ok(*leaf)),
                None if takes > room => {
                    let _ = drop.answer.send(Err(Error::Full));
                }
                None => {
                    room -= takes;
                    let leaf = Leaf {
                        kind: LeafKind::Drop,
                        digest: drop.digest,
                        size: drop.size,
                        window: Window(window),
                    };
                    leaves.insert(drop.digest, leaf);
                    fresh.push(drop);
                }
            }
        }
        let result = self.store_drops(window, &fresh, &leaves);
        for drop in fresh {
            // The client may have gone; its drop stays.
            let _ = drop.answer.send(result.map(|()| leaves[&drop.digest]));
        }
        for drop in repeats {
            let leaf = leaves[&drop.digest];
            self.answer_repeat(drop, result.map(|()| leaf));
        }
    }

    /// Answers for bytes that are stored already; a second copy of them goes.
    fn answer_repeat(&self, drop: NewDrop, result: Result<Leaf, Error>) {
        if let (Body::Apart(path), Ok(_)) = (&drop.body, &result) {
            self.shared.count(-(drop.size as i64));
            let _ = std::fs::remove_file(path);
        }
        let _ = drop.answer.send(result);
    }

    fn store_drops(
        &mut self,
        window: u64,
        fresh: &[NewDrop],
        leaves: &HashMap<[u8; 32], Leaf>,
    ) -> Result<(), Error> {
        if fresh.is_empty() {
            return Ok(());
        }
        let dir = self.shared.folder.window(window);
        let mut moved: Vec<(PathBuf, PathBuf)> = Vec::new();
        let entries: Vec<_> = fresh
            .iter()
            .map(|drop| Entry {
                leaf: leaves[&drop.digest],
                body: match &drop.body {
                    Body::Here(pieces) => pieces.iter().map(|piece| &piece[..]).collect(),
                    Body::Apart(_) => Vec::new(),
                },
                apart: matches!(drop.body, Body::Apart(_)),
            })
            .collect();
        let result = (|| {
            for drop in fresh {
                if let Body::Apart(path) = &drop.body {
                    let place = dir.join(encoding::hex(&drop.digest));
                    std::fs::rename(path, &place)?;
                    moved.push((path.clone(), place));
                }
            }
            if !moved.is_empty() {
                folder::stamp(&dir, self.shared.stamp_time());
                self.sync_names(&dir)?;
            }
            self.append(&entries, false, |_| Ok(()))
        })();
        if result.is_err() {
            // So that a resumable upload can be completed later.
            for (path, place) in moved {
                let _ = std::fs::rename(place, path);
            }
        } else {
            let mut held = self
                .shared
                .held
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            held.entry(window).or_default().drops = true;
        }
        result.map_err(Error::from)
    }

    /// Those of the drops whose bodies are here already, and their leaves.
    fn held_drops(&self, batch: &[NewDrop]) -> Result<HashMap<[u8; 32], Leaf>, Error> {
        let digests = batch.iter().map(|drop| &drop.digest);
        let mut held = self.index.find_drops(digests).map_err(Failure::from)?;
        held.retain(|_, leaf| self.shared.holds(leaf.window.0));
        Ok(held)
    }

    // Leaves.

    /// Appends entries to the pack of the open window: writes, syncs, indexes, all or none. `also` is written to the index in the same
    /// transaction, and `durably` syncs that too.
    fn append(
        &mut self,
        entries: &[Entry<'_>],
        durably: bool,
        also: impl FnOnce(&super::index::Writing<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Failure> {
        let time = self.shared.stamp_time();
        let Some(open) = &mut self.open else {
            return Err(Failure::Fault);
        };
        let heads: Vec<Vec<u8>> = (self.next..)
            .zip(entries)
            .map(|(number, entry)| {
                let body_len = entry.body.iter().map(|piece| piece.len() as u64).sum();
                pack::encode(number, &entry.leaf, body_len, entry.apart)
            })
            .collect();
        let mut slices = Vec::new();
        let (mut places, mut end) = (Vec::with_capacity(entries.len()), open.len);
        for (head, entry) in heads.iter().zip(entries) {
            slices.push(IoSlice::new(head));
            end += head.len() as u64;
            places.push((entry.leaf.kind == LeafKind::Drop && !entry.apart).then_some(end));
            for piece in &entry.body {
                slices.push(IoSlice::new(piece));
                end += piece.len() as u64;
            }
        }
        let disk = &self.shared.disk;
        let written = disk
            .write(&open.pack, open.len, &mut slices)
            .and_then(|()| {
                stamp_file(&open.pack, time);
                disk.sync(&open.pack)
            });
        let (first, number) = (self.next, open.number);
        let result = match written {
            Err(error) => Err(Failure::from(error)),
            Ok(()) => {
                let write = |w: &super::index::Writing<'_>| {
                    for ((leaf_number, entry), at) in (first..).zip(entries).zip(&places) {
                        w.leaf(leaf_number, &entry.leaf, *at)?;
                    }
                    w.indexed(number, end)?;
                    also(w)
                };
                let result = if durably {
                    self.index.durably(write)
                } else {
                    self.index.quickly(write)
                };
                result.map_err(Failure::from)
            }
        };
        match result {
            Ok(()) => {
                self.shared.count((end - open.len) as i64);
                open.len = end;
                self.next += entries.len() as u64;
                Ok(())
            }
            Err(failure) => {
                // Not told to anyone, so it may go. If it cannot, a restart would find it and take it in, in the place of others.
                let undone = open
                    .pack
                    .set_len(open.len)
                    .and_then(|()| disk.sync(&open.pack));
                if matches!(failure, Failure::Fault) || undone.is_err() {
                    self.fail();
                }
                Err(failure)
            }
        }
    }

    /// Makes the names in a folder durable. As with a pack, a failure is told once: the next sync would succeed, whatever was lost.
    fn sync_names(&self, dir: &Path) -> Result<(), Failure> {
        let synced = self.shared.disk.sync_dir(dir).map_err(Failure::from);
        if matches!(synced, Err(Failure::Fault)) {
            self.fail();
        }
        synced
    }

    /// Refuses everything from now on.
    fn fail(&self) {
        tracing::error!(
            "what is on the disk is unknown: nothing more is accepted. Look at the disk, then restart the server."
        );
        self.shared.failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn ready(&mut self) -> Result<(), Error> {
        if self.shared.failed.load(Ordering::Relaxed) {
            return Err(Error::Busy);
        }
        if self.window_length.is_none() {
            return Err(Error::NoRoster);
        }
        self.turn().map_err(Error::from)
    }

    // Windows.

    /// Closes the open window if its time is over, and opens the one of now. Without a roster there are none. Fails when the clock is behind
    /// the open window or the log, as nothing may be dated ahead or back.
    pub(super) fn turn(&mut self) -> Result<(), Failure> {
        let Some(length) = self.window_length else {
            return Ok(());
        };
        if self.shared.failed.load(Ordering::Relaxed) {
            return Err(Failure::Fault);
        }
        let now = (self.shared.clock)().window(length).0;
        if self.open.as_ref().is_some_and(|open| now < open.number) {
            return Err(Failure::Clock);
        }
        if self.open.as_ref().is_some_and(|open| now > open.number) {
            self.close()?;
        }
        if self.open.is_none() {
            if self.last_closed.is_some_and(|closed| now <= closed) {
                return Err(Failure::Clock);
            }
            self.open_window(now, length)?;
        }
        Ok(())
    }

    fn open_window(&mut self, number: u64, length: u64) -> Result<(), Failure> {
        let dir = self.shared.folder.window(number);
        let start = Window(number).start(length);
        make_dir(&dir)?;
        let pack = owner_only()
            .create(true)
            .truncate(false)
            .open(dir.join("pack"))?;
        pack.set_len(0)?;
        stamp_file(&pack, start);
        self.shared.disk.sync(&pack)?;
        self.sync_names(&dir)?;
        self.sync_names(&self.shared.folder.packs())?;
        self.index.durably(|w| w.open_window(number, self.next))?;
        self.open = Some(OpenWindow {
            number,
            pack,
            len: 0,
            segment: None,
        });
        self.shared.open_window.store(number, Ordering::Relaxed);
        self.shared.look_at_room();
        let mut held = self
            .shared
            .held
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        held.insert(number, Held::default());
        std::mem::drop(held);
        self.shared.folder.stamp_live(Some(number), start);
        Ok(())
    }

    /// Appends the window's segment and the pads, signs the log's checkpoint, and ends the window. docs/protocol.md, "Feed" and "Checkpoint".
    fn close(&mut self) -> Result<(), Failure> {
        let Some(number) = self.open.as_ref().map(|open| open.number) else {
            return Ok(());
        };
        let segment = self.make_segment()?;
        let mut entries = Vec::new();
        if let Some(segment) = &segment {
            entries.push(Entry {
                leaf: Leaf {
                    kind: LeafKind::Segment,
                    digest: encoding::sha256(segment),
                    size: segment.len() as u64,
                    window: Window(number),
                },
                body: vec![&segment[..]],
                apart: false,
            });
        }
        let pads = PADDING - (self.next + entries.len() as u64) % PADDING;
        entries.extend((0..pads).map(|_| Entry {
            leaf: Leaf::pad(system::random(), Window(number)),
            body: Vec::new(),
            apart: false,
        }));
        let (from, to) = (self.frontier.size(), self.next + entries.len() as u64);
        let mut leaves = self.index.leaves(from, self.next)?;
        leaves.extend(entries.iter().map(|entry| entry.leaf));
        debug_assert_eq!(leaves.len() as u64, to - from);
        let mut frontier = self.frontier.clone();
        let mut tiles: BTreeMap<(u8, u64), Vec<u8>> = BTreeMap::new();
        let mut failed = None;
        for leaf in &leaves {
            frontier.push_with(leaf.hash(), |level, index, hash| {
                if level % 8 != 0 {
                    return;
                }
                let id = (level / 8, index / u64::from(WIDTH));
                let tile = tiles
                    .entry(id)
                    .or_insert_with(|| match self.index.tile(id.0, id.1) {
                        Ok(tile) => tile.unwrap_or_default(),
                        Err(error) => {
                            failed = Some(error);
                            Vec::new()
                        }
                    });
                tile.extend_from_slice(hash);
            });
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let shared = self.shared.clone();
        let checkpoint = Checkpoint {
            origin: shared.log_vkey.name().into(),
            size: to,
            root: frontier.root(),
        };
        let note: Arc<str> = checkpoint.sign(&shared.log_key).to_string().into();
        self.append(&entries, true, |w| {
            for ((level, index), hashes) in &tiles {
                w.tile(*level, *index, hashes)?;
            }
            if let Some(segment) = &segment {
                w.segment(number, &entries[0].leaf.digest, segment)?;
            }
            w.checkpoint(to, Some(number), &note)?;
            w.close_window(number)
        })?;
        self.frontier = frontier;
        self.open = None;
        self.last_closed = Some(number);
        self.segments.insert(number);
        *shared
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Published {
            size: to,
            window: Some(number),
            note,
        };
        // Of who posted what.
        self.untidy = true;
        self.tidy();
        folder::stamp_files_in(&shared.folder.window(number), shared.stamp_time());
        Ok(())
    }

    /// Removes the bodies and the segments of windows whose retention is over. docs/protocol.md, "Windows".
    pub(super) fn expire(&mut self) {
        let rosters = self.shared.rosters();
        let Some(rosters) = rosters else { return };
        let (length, retention) = (rosters.current.window_length(), rosters.current.retention());
        let now: Time = (self.shared.clock)();
        let open = self.open.as_ref().map(|open| open.number);
        let is_over = |window: &u64| {
            Some(*window) != open && Window(*window).is_expired(length, retention, now)
        };
        let held = self
            .shared
            .held
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let bodies: BTreeSet<u64> = held.keys().copied().filter(is_over).collect();
        std::mem::drop(held);
        // Those of released windows too.
        let mut over: BTreeSet<u64> = self.segments.iter().copied().filter(is_over).collect();
        over.extend(&bodies);
        for window in over {
            let removed = self.index.durably(|w| {
                if bodies.contains(&window) {
                    w.remove_window(window, None)?;
                }
                w.expire_segment(window)
            });
            if let Err(error) = removed {
                let _ = Failure::from(error);
                return;
            }
            self.segments.remove(&window);
            if bodies.contains(&window) {
                self.remove(window);
            }
        }
    }

    /// Removes the packs of a window that the index says is gone.
    fn remove(&self, window: u64) {
        self.shared
            .held
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&window);
        let dir = self.shared.folder.window(window);
        let bytes = folder::folder_bytes(&dir).unwrap_or(0);
        let packs = self.shared.folder.packs();
        let removed =
            std::fs::remove_dir_all(&dir).and_then(|()| self.shared.disk.sync_dir(&packs));
        match removed {
            Ok(()) => self.shared.give_back(bytes),
            // The next start removes what is left.
            Err(error) => tracing::error!(%error, "the packs of a window cannot be removed"),
        }
        folder::stamp(&self.shared.folder.packs(), self.shared.stamp_time());
    }

    // What members and the desk do.

    fn take_roster(&mut self, roster: Roster, policy: String) -> Result<(), Error> {
        let before = self.shared.rosters();
        if roster.log_key() != &self.shared.log_vkey {
            return Err(Error::Conflict);
        }
        if let Some(before) = &before {
            let current = &before.current;
            if roster.digest() == current.digest() {
                return Ok(());
            }
            if roster.epoch() <= current.epoch()
                || roster.window_length() != current.window_length()
            {
                return Err(Error::Conflict);
            }
        }
        self.window_length = Some(roster.window_length());
        if let Err(error) = self.ready() {
            self.window_length = before.as_ref().map(|before| before.current.window_length());
            return Err(error);
        }
        let window = self.open.as_ref().expect("`ready` opened it").number;
        let note = roster.note().to_string();
        let leaf = Leaf {
            kind: LeafKind::Roster,
            digest: roster.digest(),
            size: note.len() as u64,
            window: Window(window),
        };
        let entry = Entry {
            leaf,
            body: vec![note.as_bytes(), policy.as_bytes()],
            apart: false,
        };
        self.append(&[entry], true, |w| {
            w.roster(roster.epoch(), &note, &policy)?;
            w.set_meta("window", &roster.window_length().to_string())
        })?;
        let previous = before.map(|before| before.current.clone());
        let rosters = Rosters::new(roster, previous, policy);
        *self
            .shared
            .rosters
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(rosters));
        self.shared
            .folder
            .stamp_live(Some(window), self.shared.stamp_time());
        Ok(())
    }

    /// docs/protocol.md, "Release".
    fn release(&mut self, released: u64, note: &str) -> Result<(), Error> {
        self.ready()?;
        let open = self.open.as_ref().expect("`ready` opened it").number;
        let row = self
            .index
            .window(released)
            .map_err(Failure::from)?
            .ok_or(Error::Conflict)?;
        if row.release.is_some() {
            return Ok(());
        }
        let rosters = self.shared.rosters();
        let rosters = rosters.ok_or(Error::NoRoster)?;
        let witnesses = self.index.witnesses_of(released).map_err(Failure::from)?;
        let collected = rosters.current.members().iter().all(|member| {
            let mut devices = rosters
                .current
                .devices()
                .iter()
                .filter(|device| device.member() == member.name);
            devices.any(|device| witnesses.contains(&device.witness.to_string()))
        });
        if !row.closed || row.gone || !collected {
            return Err(Error::Conflict);
        }
        let leaf = Leaf {
            kind: LeafKind::Release,
            digest: encoding::sha256(note.as_bytes()),
            size: note.len() as u64,
            window: Window(open),
        };
        let entry = Entry {
            leaf,
            body: vec![note.as_bytes()],
            apart: false,
        };
        self.append(&[entry], true, |w| w.remove_window(released, Some(note)))?;
        self.remove(released);
        Ok(())
    }
}

struct FailOnExit(Arc<Shared>);

impl Drop for FailOnExit {
    fn drop(&mut self) {
        self.0.failed.store(true, Ordering::Relaxed);
    }
}
