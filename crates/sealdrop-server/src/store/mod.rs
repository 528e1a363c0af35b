//! The store: packs that are appended to by one thread, and an index over them.
//!
//! All that changes the store is a [`Job`] for the writer thread. It takes the drops that are waiting, appends all of them, syncs once, and
//! answers all of them. When a method here that stores something returns `Ok`, the thing is durable, and it is in the log.
//!
//! Reading goes past the writer. The functions that read use SQLite and files, so call them where blocking is allowed
//! ([`Store::read`]).

pub(crate) mod disk;
pub(crate) mod folder;
pub(crate) mod index;
mod pack;
mod recover;
mod slips;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use bytes::Bytes;
use sealdrop_core::encoding;
use sealdrop_core::key::{BoxKey, LogRole, SecretKey};
use sealdrop_core::log::leaf::Leaf;
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::tile::{BundleId, TileId};
use sealdrop_core::note::Vkey;
use sealdrop_core::roster::Roster;
use sealdrop_core::time::Window;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, StartError};
use crate::http::Pages;
use crate::system::Clock;
use disk::Disk;
use folder::Folder;
use index::{DropRow, Index, SegmentRow};

/// How finely an outsider may learn how full the store was, at most.
const STEP: u64 = 64 << 20;

/// What the store needs to be told.
pub(crate) struct Options {
    pub(crate) data: PathBuf,
    pub(crate) box_key: BoxKey,
    pub(crate) clock: Clock,
    pub(crate) disk: Arc<dyn Disk>,
    /// The most bytes of packs and uploads.
    pub(crate) max_store: Option<u64>,
    /// Bytes of the disk that always stay free.
    pub(crate) reserve: u64,
    /// How often live files are stamped and the index tidied.
    pub(crate) heartbeat: std::time::Duration,
}

/// A handle to the store. Dropping the last one does not stop the writer; [`Store::stop`] does.
pub(crate) struct Store {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    reader: Mutex<Index>,
}

/// What the writer tells everyone else.
pub(crate) struct Shared {
    pub(crate) folder: Folder,
    disk: Arc<dyn Disk>,
    clock: Clock,
    log_key: SecretKey<LogRole>,
    log_vkey: Vkey<LogRole>,
    max_store: Option<u64>,
    reserve: u64,
    /// The current roster and the one before.
    rosters: RwLock<Option<Arc<Rosters>>>,
    published: RwLock<Published>,
    /// The windows whose bodies are here.
    held: RwLock<BTreeMap<u64, Held>>,
    /// Bytes of packs and uploads.
    used: AtomicU64,
    /// The same when the open window began or the server started, less what closed windows gave back since.
    used_before: AtomicU64,
    /// Set when a sync failed or the writer ended: what is on the disk is then unknown until a restart looks.
    failed: AtomicBool,
    open_window: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    drops: bool,
}

/// The roster in force, and the one before it.
pub(crate) struct Rosters {
    pub(crate) current: Roster,
    pub(crate) previous: Option<Roster>,
    /// The answer to `GET /v1/box`.
    pub(crate) policy: String,
    /// What is published of it, once somebody has asked.
    pages: OnceLock<Option<Pages>>,
}

impl Rosters {
    pub(crate) fn new(current: Roster, previous: Option<Roster>, policy: String) -> Self {
        Self {
            current,
            previous,
            policy,
            pages: OnceLock::new(),
        }
    }

    /// What is published of the policy in force; `None` if it is prose.
    pub(crate) fn pages(&self) -> Option<&Pages> {
        let pages = self
            .pages
            .get_or_init(|| Pages::of(&self.current, &self.policy));
        pages.as_ref()
    }
}

/// The latest checkpoint.
#[derive(Clone, Default)]
pub(crate) struct Published {
    pub(crate) size: u64,
    /// The window that it closed; `None` before the first. The feed goes up to it, so that whoever has seen a segment finds it in the log.
    pub(crate) window: Option<u64>,
    pub(crate) note: Arc<str>,
}

/// The bytes of a drop that is to be stored.
pub(crate) enum Body {
    /// In memory, in pieces; goes into the window's pack.
    Here(Vec<Bytes>),
    /// A file in `uploads/`, complete and synced; becomes a pack of its own. It stays where it is if storing fails.
    Apart(PathBuf),
}

/// What the writer does, one at a time, drops in batches.
pub(crate) enum Job {
    Drop(NewDrop),
    Roster {
        roster: Box<Roster>,
        policy: String,
        answer: Answer<()>,
    },
    Release {
        window: u64,
        note: String,
        answer: Answer<()>,
    },
    Cosign {
        size: u64,
        witness: String,
        line: String,
        answer: Answer<()>,
    },
    Slips {
        member: String,
        slips: Vec<u8>,
        answer: Answer<Window>,
    },
    /// Closes and expires windows if their time has come.
    Tick,
    Stop,
}

pub(crate) struct NewDrop {
    digest: [u8; 32],
    size: u64,
    body: Body,
    answer: Answer<Leaf>,
}

type Answer<T> = oneshot::Sender<Result<T, Error>>;

impl Store {
    /// Opens the data folder, replays what a crash left behind, and starts the writer.
    pub(crate) fn open(options: Options) -> Result<Self, StartError> {
        let (writer, reader) = recover::open(options)?;
        let shared = writer.shared.clone();
        let (jobs, waiting) = mpsc::channel(1024);
        let writer = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer.run(waiting))
            .map_err(|error| StartError::io("start the writer for", shared.folder.root(), error))?;
        Ok(Self {
            shared,
            jobs,
            writer: Mutex::new(Some(writer)),
            reader: Mutex::new(reader),
        })
    }

    pub(crate) fn log_vkey(&self) -> &Vkey<LogRole> {
        &self.shared.log_vkey
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.shared.folder.uploads()
    }

    /// The time that files show.
    pub(crate) fn stamp_time(&self) -> sealdrop_core::time::Time {
        self.shared.stamp_time()
    }

    pub(crate) fn nonces(&self) -> PathBuf {
        self.shared.folder.nonces()
    }

    /// The rosters in force; `None` before the first.
    pub(crate) fn rosters(&self) -> Option<Arc<Rosters>> {
        self.shared.rosters()
    }

    /// The window that is open; of no meaning before the first roster.
    pub(crate) fn open_window(&self) -> u64 {
        self.shared.open_window.load(Ordering::Relaxed)
    }

    pub(crate) fn published(&self) -> Published {
        self.shared
            .published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn is_healthy(&self) -> bool {
        !self.shared.failed.load(Ordering::Relaxed) && !self.jobs.is_closed()
    }

    /// Whether `more` bytes, which are here, would go beyond the disk's reserve or the store's limit. For a size that was only announced,
    /// use [`Store::is_full_for_announced`].
    pub(crate) fn is_full_for(&self, more: u64) -> bool {
        more > self.shared.room()
    }

    /// Whether `more` bytes would not have fitted when the open window began, roughly. An answer by this does not count what came since, as
    /// one by [`Store::is_full_for`] would for anybody who announces sizes and sends nothing. docs/leakage.md, "Known and accepted".
    pub(crate) fn is_full_for_announced(&self, more: u64) -> bool {
        let shared = &self.shared;
        let before = shared.used_before.load(Ordering::Relaxed);
        // What the store took since is not free any more, and is counted as if it were; what others freed on the disk is seen at once.
        let free = shared.disk.free(shared.folder.root()).unwrap_or(u64::MAX);
        let all = free.saturating_add(shared.used.load(Ordering::Relaxed));
        let free = all.saturating_sub(before);
        // A power of two, so that it does not move with the few bytes of index that a drop takes.
        let step = 1
            << (shared.max_store.unwrap_or(all) / 64)
                .clamp(1, STEP)
                .ilog2();
        let used = before.div_ceil(step).saturating_mul(step);
        shared
            .max_store
            .is_some_and(|max| used.saturating_add(more) > max)
            || free / step * step < shared.reserve.saturating_add(more)
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.shared.disk
    }

    /// Counts bytes of uploads that came, or went.
    pub(crate) fn count_upload(&self, bytes: i64) {
        self.shared.count(bytes);
    }

    /// Stores a drop whose digest and shape were checked.
    pub(crate) async fn put(&self, digest: [u8; 32], size: u64, body: Body) -> Result<Leaf, Error> {
        self.job(|answer| {
            Job::Drop(NewDrop {
                digest,
                size,
                body,
                answer,
            })
        })
        .await
    }

    /// Takes a roster that the box key signed, with the policy that it names.
    pub(crate) async fn put_roster(&self, roster: Roster, policy: String) -> Result<(), Error> {
        self.job(|answer| Job::Roster {
            roster: Box::new(roster),
            policy,
            answer,
        })
        .await
    }

    /// Removes the bodies of a closed window at a member's request.
    pub(crate) async fn release(&self, window: u64, note: String) -> Result<(), Error> {
        self.job(|answer| Job::Release {
            window,
            note,
            answer,
        })
        .await
    }

    /// Keeps a verified cosignature of the checkpoint of this size.
    pub(crate) async fn cosign(
        &self,
        size: u64,
        witness: String,
        line: String,
    ) -> Result<(), Error> {
        self.job(|answer| Job::Cosign {
            size,
            witness,
            line,
            answer,
        })
        .await
    }

    /// Takes a member's share of slips for the open window; the window whose segment will hold them. Their shape was checked.
    pub(crate) async fn post_slips(&self, member: String, slips: Vec<u8>) -> Result<Window, Error> {
        self.job(|answer| Job::Slips {
            member,
            slips,
            answer,
        })
        .await
    }

    /// Lets the writer look at the clock.
    pub(crate) async fn tick(&self) {
        let _ = self.jobs.send(Job::Tick).await;
    }

    /// Finishes what was begun, and ends the writer.
    pub(crate) async fn stop(&self) {
        let _ = self.jobs.send(Job::Stop).await;
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }

    async fn job<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, Error> {
        let (answer, waiting) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| Error::Busy)?;
        waiting.await.map_err(|_| Error::Busy)?
    }

    /// The promise for a leaf, signed.
    pub(crate) fn promise(&self, leaf: &Leaf) -> String {
        Promise::new(leaf.digest, leaf.size, leaf.window)
            .sign(self.shared.log_vkey.name(), &self.shared.log_key)
            .to_string()
    }

    /// Runs `read` where it may block.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || read(&store))
            .await
            .map_err(|_| Error::Internal)?
    }

    fn ask<T>(&self, query: impl FnOnce(&Index) -> rusqlite::Result<T>) -> Result<T, Error> {
        let index = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        query(&index).map_err(|error| {
            tracing::error!(%error, "the index cannot be read");
            Error::Internal
        })
    }

    /// Note and policy of the roster of an epoch.
    pub(crate) fn roster(&self, epoch: u64) -> Result<(String, String), Error> {
        self.ask(|index| index.roster(epoch))?
            .ok_or(Error::NotFound)
    }

    /// The open window, if it has this member's share of slips.
    pub(crate) fn posted_by(&self, member: &str) -> Result<Option<u64>, Error> {
        // In this order: a window that closes in between has no slips of members any more.
        let window = self.open_window();
        let has_posted = self.ask(|index| index.has_slips_of(member))?;
        Ok(has_posted.then_some(window))
    }

    /// The windows whose drops are still here, rising.
    pub(crate) fn windows(&self) -> Vec<u64> {
        let held = self
            .shared
            .held
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        held.iter()
            .filter(|(_, held)| held.drops)
            .map(|(window, _)| *window)
            .collect()
    }

    /// The drops of a window in log order, and the request that released it.
    pub(crate) fn drops_of(&self, window: u64) -> Result<(Vec<Leaf>, Option<String>), Error> {
        let row = self
            .ask(|index| index.window(window))?
            .ok_or(Error::NotFound)?;
        if row.gone && row.release.is_none() {
            return Err(Error::Gone);
        }
        let leaves = self.ask(|index| index.leaves(row.first, index.end_of_window(window)?))?;
        let drops = leaves
            .into_iter()
            .filter(|leaf| leaf.kind == sealdrop_core::log::leaf::LeafKind::Drop)
            .collect();
        Ok((drops, row.release))
    }

    /// The file that holds a drop's bytes, where in it they begin, and how many they are.
    pub(crate) fn body(&self, window: u64, digest: &[u8; 32]) -> Result<(File, u64, u64), Error> {
        let DropRow { leaf, at } = self
            .ask(|index| index.find_drop_in(window, digest))?
            .ok_or(Error::NotFound)?;
        if !self.shared.holds(window) {
            return Err(Error::Gone);
        }
        let dir = self.shared.folder.window(window);
        let path = if at.is_some() {
            dir.join("pack")
        } else {
            dir.join(encoding::hex(digest))
        };
        match folder::open_quietly(&path) {
            Ok(file) => Ok((file, at.unwrap_or(0), leaf.size)),
            // The window went between the look and the opening.
            Err(_) if !self.shared.holds(window) => Err(Error::Gone),
            Err(error) => {
                tracing::error!(%error, "a pack cannot be read");
                Err(Error::Internal)
            }
        }
    }

    /// The segments that have not expired, rising.
    pub(crate) fn segments(&self) -> Result<Vec<SegmentRow>, Error> {
        self.published().window.map_or_else(
            || Ok(Vec::new()),
            |last| self.ask(|index| index.segments(last)),
        )
    }

    /// The bytes of a window's segment.
    pub(crate) fn segment(&self, window: u64) -> Result<Vec<u8>, Error> {
        if self.published().window.is_none_or(|last| window > last) {
            return Err(Error::NotFound);
        }
        self.ask(|index| index.segment(window))?
            .ok_or(Error::NotFound)?
            .ok_or(Error::Gone)
    }

    /// The bytes of a tile of the published tree.
    pub(crate) fn tile(&self, tile: TileId) -> Result<Vec<u8>, Error> {
        let has = TileId::in_tree(tile.level, tile.index, self.published().size)
            .ok_or(Error::NotFound)?;
        if tile.width > has.width {
            return Err(Error::NotFound);
        }
        let mut hashes = self
            .ask(|index| index.tile(tile.level, tile.index))?
            .ok_or(Error::Internal)?;
        hashes.truncate(usize::from(tile.width) * 32);
        Ok(hashes)
    }

    /// The entries of a bundle of the published log.
    pub(crate) fn bundle(&self, bundle: BundleId) -> Result<Vec<Leaf>, Error> {
        let has = BundleId::in_tree(bundle.index, self.published().size).ok_or(Error::NotFound)?;
        if bundle.width > has.width {
            return Err(Error::NotFound);
        }
        self.ask(|index| index.leaves(bundle.start(), bundle.start() + u64::from(bundle.width)))
    }

    /// The published checkpoint of this size.
    pub(crate) fn checkpoint(&self, size: u64) -> Result<Option<String>, Error> {
        self.ask(|index| index.checkpoint_of(size))
    }

    /// The latest cosigned checkpoints with their cosignature lines, newest first.
    pub(crate) fn cosigned(&self) -> Result<Vec<(String, Vec<String>)>, Error> {
        self.ask(|index| index.cosigned(64))
    }
}

impl Shared {
    /// The rosters in force; `None` before the first.
    fn rosters(&self) -> Option<Arc<Rosters>> {
        self.rosters
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many bytes the store may still take.
    fn room(&self) -> u64 {
        // A disk that does not say how much is free is taken at its word when it refuses a write.
        let free = self.disk.free(self.folder.root()).unwrap_or(u64::MAX);
        let by_disk = free.saturating_sub(self.reserve);
        let used = self.used.load(Ordering::Relaxed);
        self.max_store
            .map_or(by_disk, |max| max.saturating_sub(used).min(by_disk))
    }

    /// From now on announced sizes are judged by what is here now.
    fn look_at_room(&self) {
        let used = self.used.load(Ordering::Relaxed);
        self.used_before.store(used, Ordering::Relaxed);
    }

    /// A closed window's packs of this size went.
    fn give_back(&self, bytes: u64) {
        for count in [&self.used, &self.used_before] {
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used.saturating_sub(bytes))
            });
        }
    }

    fn count(&self, bytes: i64) {
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used.saturating_add_signed(bytes))
            });
    }

    fn holds(&self, window: u64) -> bool {
        self.held
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&window)
    }

    /// Where the open window begins: the time that live files show.
    fn stamp_time(&self) -> sealdrop_core::time::Time {
        let length = self
            .rosters
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|r| r.current.window_length());
        length.map_or(sealdrop_core::time::Time(0), |length| {
            Window(self.open_window.load(Ordering::Relaxed)).start(length)
        })
    }
}
