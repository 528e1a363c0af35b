//! Accepted means durable: success is sent after the sync, and a crash at any moment loses nothing that was accepted.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sealdrop_server::{Disk, RealDisk};

use crate::feed::{accepted, segment, slips};
use crate::support::*;

/// A disk that a test can hold up, fill, and break.
#[derive(Default)]
struct TestDisk {
    held: Mutex<bool>,
    changed: Condvar,
    /// Syncs begun.
    syncs: AtomicUsize,
    /// The next sync of a folder fails.
    loses_names: AtomicBool,
    /// Folders whose names were made durable.
    synced_dirs: Mutex<Vec<PathBuf>>,
    /// The next write writes half and finds the disk full.
    fills_up: AtomicBool,
    /// The next sync fails.
    breaks: AtomicBool,
    /// What is said to be free; 0 for what is.
    free: AtomicU64,
}

impl TestDisk {
    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.changed.notify_all();
    }
}

impl Disk for TestDisk {
    fn write(&self, file: &File, at: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        if self.fills_up.load(Ordering::SeqCst) {
            let half = slices.len().div_ceil(2);
            RealDisk.write(file, at, &mut slices[..half])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        RealDisk.write(file, at, slices)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.breaks.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("broken"));
        }
        let held = self.held.lock().unwrap();
        drop(self.changed.wait_while(held, |held| *held).unwrap());
        RealDisk.sync(file)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.synced_dirs.lock().unwrap().push(dir.to_owned());
        if self.loses_names.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("broken"));
        }
        RealDisk.sync_dir(dir)
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        match self.free.load(Ordering::SeqCst) {
            0 => RealDisk.free(path),
            free => Ok(free),
        }
    }
}

async fn world() -> (World, Arc<TestDisk>) {
    let disk = Arc::new(TestDisk::default());
    let shared = disk.clone();
    (World::with(1, |config| config.disk = shared).await, disk)
}

#[tokio::test]
async fn success_is_sent_after_the_sync_and_waiting_drops_share_one() {
    let (world, disk) = world().await;
    let addr = world.addr();
    for batch in [vec![small(1)], vec![large(2)]] {
        disk.hold(true);
        let before = disk.syncs.load(Ordering::SeqCst);
        let drop = batch[0].clone();
        let waiting =
            tokio::spawn(async move { send(addr, "POST", "/v1/drops", &[], &drop).await });
        until("the sync to begin", async || {
            disk.syncs.load(Ordering::SeqCst) > before
        })
        .await;
        // The bytes are written, not synced: no answer may come, however long the sync takes.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished());
        disk.hold(false);
        world.promise(&waiting.await.unwrap(), &batch[0]);
    }

    disk.hold(true);
    let before = disk.syncs.load(Ordering::SeqCst);
    let waiting: Vec<_> = (10..40)
        .map(|seed| {
            tokio::spawn(async move { send(addr, "POST", "/v1/drops", &[], &small(seed)).await })
        })
        .collect();
    until("the first sync to begin", async || {
        disk.syncs.load(Ordering::SeqCst) > before
    })
    .await;
    // Time for the others to arrive; those that do not only make another batch.
    tokio::time::sleep(Duration::from_millis(300)).await;
    disk.hold(false);
    for (seed, reply) in (10..40).zip(waiting) {
        world.promise(&reply.await.unwrap(), &small(seed));
    }
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs < 10, "{syncs} syncs for 30 drops");
    assert_eq!(world.listed(FIRST).await.len(), 32);
}

#[tokio::test]
async fn a_full_disk_gives_503_and_recovers() {
    let (mut world, disk) = world().await;
    world.leave(&small(1)).await;
    disk.fills_up.store(true, Ordering::SeqCst);
    for drop in [small(2), small(3), large(4)] {
        let reply = world.post("/v1/drops", &drop).await;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.header("retry-after").is_some());
    }
    assert!(
        world.fetch(FIRST, &small(1)).await.body == small(1),
        "what is there is served"
    );
    disk.fills_up.store(false, Ordering::SeqCst);
    world.leave(&small(3)).await;
    world.leave(&large(4)).await;

    // The reserve is kept free before anything is read.
    world.stop().await;
    world.config.limits.reserve = 1 << 20;
    world.start().await;
    disk.free.store((1 << 20) + 60_000, Ordering::SeqCst);
    assert_eq!(world.post("/v1/drops", &small(5)).await.status, 503);
    assert_eq!(
        send(
            world.addr(),
            "POST",
            "/v1/uploads",
            &[("Upload-Length", "67195"), ("Upload-Complete", "?0")],
            b""
        )
        .await
        .status,
        503
    );
    disk.free.store(0, Ordering::SeqCst);
    world.leave(&small(5)).await;

    world.restart().await;
    assert_eq!(world.listed(FIRST).await.len(), 4);
    for drop in [small(1), small(3), large(4), small(5)] {
        assert!(world.fetch(FIRST, &drop).await.body == drop);
    }
    assert!(files(&world.data().join("uploads")).is_empty());
}

#[tokio::test]
async fn a_store_that_is_full_gives_503_until_a_window_expires() {
    let world = World::with(1, |config| config.limits.max_store = Some(300_000)).await;
    let mut accepted = 0;
    while accepted < 10 && world.post("/v1/drops", &small(accepted)).await.status == 201 {
        accepted += 1;
    }
    assert_eq!(accepted, 4);
    assert_eq!(world.post("/v1/drops", &small(50)).await.status, 503);
    world.next_window().await;
    assert_eq!(
        world.post("/v1/drops", &small(50)).await.status,
        503,
        "nothing is evicted to make room"
    );
    world.hands.set(NOON + RETENTION + LENGTH);
    until("room", async || {
        world.post("/v1/drops", &small(50)).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_accepted_until_a_restart_has_looked() {
    let (mut world, disk) = world().await;
    world.config.ops_listen = Some("127.0.0.1:0".parse().unwrap());
    world.restart().await;
    world.leave(&small(1)).await;
    disk.breaks.store(true, Ordering::SeqCst);
    assert_eq!(world.post("/v1/drops", &small(2)).await.status, 503);
    assert_eq!(world.post("/v1/drops", &small(3)).await.status, 503);
    world.restart().await;
    disk.loses_names.store(true, Ordering::SeqCst);
    assert_eq!(world.post("/v1/drops", &large(2)).await.status, 503);
    assert_eq!(world.post("/v1/drops", &large(2)).await.status, 503);
    let ops = world.running.as_ref().unwrap().ops.unwrap();
    assert_eq!(send(ops, "GET", "/healthz", &[], b"").await.status, 503);
    assert!(world.fetch(FIRST, &small(1)).await.body == small(1));
    world.restart().await;
    world.leave(&small(3)).await;
    assert!(world.fetch(FIRST, &small(1)).await.body == small(1));
}

#[tokio::test]
async fn an_upload_whose_sync_failed_is_forgotten_and_never_accepted() {
    let (world, disk) = world().await;
    let drop = large(1);
    let length = drop.len().to_string();
    let headers = [("Upload-Length", &*length), ("Upload-Complete", "?0")];
    let begun = send(world.addr(), "POST", "/v1/uploads", &headers, b"").await;
    let path = begun.header("location").unwrap();
    let patch = async |from: usize, complete: &str, bytes: &[u8]| {
        let from = from.to_string();
        let headers = [
            ("Content-Type", "application/partial-upload"),
            ("Upload-Offset", &*from),
            ("Upload-Complete", complete),
        ];
        send(world.addr(), "PATCH", path, &headers, bytes).await
    };
    assert_eq!(patch(0, "?0", &drop[..100_000]).await.status, 204);
    disk.breaks.store(true, Ordering::SeqCst);
    let reply = patch(100_000, "?0", &drop[100_000..200_000]).await;
    assert_eq!(reply.status, 500);
    // The next sync would succeed, though the bytes before it may never reach the disk.
    assert_eq!(send(world.addr(), "HEAD", path, &[], b"").await.status, 404);
    assert_eq!(patch(200_000, "?1", &drop[200_000..]).await.status, 404);
    assert!(files(&world.data().join("uploads")).is_empty());
    assert_eq!(world.listed(FIRST).await.len(), 0);
    world.leave(&drop).await;
}

#[tokio::test]
async fn names_are_durable_before_success_is_sent() {
    let (world, disk) = world().await;
    let synced = || std::mem::take(&mut *disk.synced_dirs.lock().unwrap());
    let (packs, uploads) = (world.data().join("packs"), world.data().join("uploads"));
    let window = packs.join(FIRST.to_string());
    assert_eq!(synced(), [window.clone(), packs], "the window's own");
    world.leave(&small(1)).await;
    assert_eq!(synced(), [] as [PathBuf; 0], "nothing has a new name");
    world.leave(&large(2)).await;
    assert_eq!(synced(), std::slice::from_ref(&window));
    let drop = large(3);
    let length = drop.len().to_string();
    let headers = [("Upload-Length", &*length), ("Upload-Complete", "?0")];
    let begun = send(world.addr(), "POST", "/v1/uploads", &headers, b"").await;
    let path = begun.header("location").unwrap();
    let headers = [
        ("Content-Type", "application/partial-upload"),
        ("Upload-Offset", "0"),
        ("Upload-Complete", "?1"),
    ];
    let reply = send(world.addr(), "PATCH", path, &headers, &drop).await;
    world.promise(&reply, &drop);
    assert_eq!(synced(), [uploads, window]);
}

#[tokio::test]
async fn a_pack_torn_anywhere_loses_nothing_that_was_accepted() {
    let mut world = World::new().await;
    world.leave(&small(1)).await;
    world.stop().await;
    // The folder as the index knows it, and the pack as it was one drop later: what a crash leaves that came before the index was synced.
    let before = world.folder.path().join("before");
    copy_dir(&world.data(), &before);
    let known = std::fs::metadata(world.pack(FIRST)).unwrap().len() as usize;
    world.start().await;
    world.leave(&small(2)).await;
    world.stop().await;
    let pack = std::fs::read(world.pack(FIRST)).unwrap();

    let body = pack.len() - small(2).len();
    let cuts = (known..body)
        .step_by(9)
        .chain((body..pack.len()).step_by(9_973))
        .chain([pack.len() - 1]);
    for cut in cuts {
        let (data, packs) = (world.data(), format!("packs/{FIRST}/pack"));
        std::fs::remove_dir_all(&data).unwrap();
        copy_dir(&before, &data);
        std::fs::write(data.join(&packs), &pack[..cut]).unwrap();
        world.start().await;
        assert_eq!(world.listed(FIRST).await.len(), 1, "cut at {cut}");
        assert_eq!(
            std::fs::metadata(data.join(&packs)).unwrap().len() as usize,
            known
        );
        world.leave(&small(3)).await;
        world.stop().await;
    }

    // The whole record, synced: it may have been promised, so it is there.
    std::fs::remove_dir_all(world.data()).unwrap();
    copy_dir(&before, &world.data());
    std::fs::write(world.pack(FIRST), &pack).unwrap();
    world.start().await;
    assert_eq!(world.listed(FIRST).await.len(), 2);
    assert!(world.fetch(FIRST, &small(2)).await.body == small(2));
    world.next_window().await;
    crate::verifier::verify(&world).await;

    // A byte changed within it: not the drop that was sent.
    world.stop().await;
    std::fs::remove_dir_all(world.data()).unwrap();
    copy_dir(&before, &world.data());
    let mut changed = pack.clone();
    changed[body + 30_000] ^= 1;
    std::fs::write(world.pack(FIRST), &changed).unwrap();
    world.start().await;
    assert_eq!(world.listed(FIRST).await.len(), 1);
}

#[tokio::test]
async fn rosters_large_drops_and_releases_are_replayed_too() {
    let mut world = World::still(1);
    world.start().await;
    world.stop().await;
    // An index from before the first roster.
    let index = ["index.db", "index.db-wal", "index.db-shm"];
    let before = world.folder.path().join("before");
    copy_dir(&world.data(), &before);
    world.start().await;
    world.publish(1).await;
    world.leave(&large(1)).await;
    world.publish(2).await;
    world.leave(&small(2)).await;
    world.stop().await;
    for name in index {
        let _ = std::fs::remove_file(world.data().join(name));
        let _ = std::fs::copy(before.join(name), world.data().join(name));
    }
    // A body that no record names, as a crash between the two leaves it.
    let stray = world
        .data()
        .join(format!("packs/{FIRST}/{}", "ab".repeat(32)));
    std::fs::write(&stray, b"stray").unwrap();
    world.start().await;
    assert_eq!(world.get("/v1/box/1").await.status, 200);
    assert_eq!(world.get("/v1/box").await.json()["policy"], POLICY);
    assert!(world.fetch(FIRST, &large(1)).await.body == large(1));
    assert!(world.fetch(FIRST, &small(2)).await.body == small(2));
    assert!(!stray.exists());
    world.next_window().await;
    crate::verifier::verify(&world).await;
}

#[tokio::test]
async fn an_index_that_does_not_go_with_its_packs_is_refused() {
    let mut world = World::new().await;
    world.leave(&small(1)).await;
    world.stop().await;
    let pack = std::fs::read(world.pack(FIRST)).unwrap();
    std::fs::write(world.pack(FIRST), &pack[..pack.len() - 1]).unwrap();
    let error = world.try_start().await.unwrap_err().to_string();
    assert!(error.contains("a pack is shorter than it was"), "{error}");
    std::fs::remove_dir_all(world.pack(FIRST).parent().unwrap()).unwrap();
    let error = world.try_start().await.unwrap_err().to_string();
    assert!(error.contains("a pack is missing"), "{error}");
}

#[tokio::test]
async fn a_full_disk_refuses_slips_and_a_window_closes_once_it_can_with_those_promised() {
    let disk = Arc::new(TestDisk::default());
    let mut world = World::still(2);
    world.config.disk = disk.clone();
    world.config.limits.reserve = 1 << 20;
    world.team.slips = 2;
    world.start().await;
    world.publish(1).await;
    let (one, two) = (slips(1, 1), slips(1, 2));
    assert_eq!(accepted(&world, 0, &one).await, FIRST);
    // Within the reserve nothing more is taken, and the window closes in spite of it.
    disk.free.store((1 << 20) + 4_000, Ordering::SeqCst);
    let refused = world.as_member(1, "POST", "/v1/slips", &two).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["type"], "urn:sealdrop:error:full");
    assert_eq!(accepted(&world, 0, &one).await, FIRST, "it is there");
    world.next_window().await;
    let first = segment(&world, FIRST).await;
    assert!(
        first
            .as_chunks::<4_096>()
            .0
            .iter()
            .any(|slip| slip[..] == one)
    );

    // Where not even that fits, it closes later, with all that was promised.
    disk.free.store(0, Ordering::SeqCst);
    assert_eq!(accepted(&world, 1, &two).await, FIRST + 1);
    disk.fills_up.store(true, Ordering::SeqCst);
    world.hands.set((FIRST + 2) * LENGTH + 10);
    assert_eq!(
        world.post("/v1/drops", &drop_of(2, 65_536, 1)).await.status,
        503
    );
    let refused = world.as_member(0, "POST", "/v1/slips", &slips(1, 3)).await;
    assert_eq!(refused.status, 503);
    let path = format!("/v1/feed/{}", FIRST + 1);
    assert_eq!(world.get(&path).await.status, 404);
    // The clock goes back into the window, whose segment was made and not stored: what is taken now is in it too.
    world.hands.set((FIRST + 1) * LENGTH + 20);
    let late = slips(1, 4);
    assert_eq!(accepted(&world, 0, &late).await, FIRST + 1);
    world.hands.set((FIRST + 2) * LENGTH + 10);
    disk.fills_up.store(false, Ordering::SeqCst);
    until("the window to close", async || {
        world.get(&path).await.status == 200
    })
    .await;
    let second = segment(&world, FIRST + 1).await;
    let held = second.as_chunks::<4_096>().0;
    assert!(held.iter().any(|slip| slip[..] == two));
    assert!(held.iter().any(|slip| slip[..] == late));
    assert_eq!(world.get(&format!("/v1/feed/{FIRST}")).await.body, first);
}
