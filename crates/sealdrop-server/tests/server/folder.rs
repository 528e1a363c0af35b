//! The data folder: whose it is, what it shows, and when it is refused. docs/protocol.md, "Windows".

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::support::*;

#[tokio::test]
async fn the_data_folder_is_the_owners_alone() {
    let mut world = World::new().await;
    world.leave(&small(1)).await;
    world.leave(&large(2)).await;
    world.next_window().await;
    world.leave(&small(3)).await;
    let begun = send(
        world.addr(),
        "POST",
        "/v1/uploads",
        &[("Upload-Length", "67195"), ("Upload-Complete", "?0")],
        b"",
    )
    .await;
    assert_eq!(begun.status, 201);
    assert_eq!(world.listed(FIRST).await.len(), 2);
    let mut paths = files(&world.data());
    paths.push(world.data());
    assert!(paths.len() > 12, "{paths:?}");
    for path in paths {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            mode,
            if path.is_dir() { 0o700 } else { 0o600 },
            "{}",
            path.display()
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn nothing_at_rest_is_finer_than_a_window_file_times_included() {
    // Large drops show no time even before the heartbeat.
    let world = World::with(1, |config| {
        config.limits.heartbeat = std::time::Duration::from_secs(3_600);
    })
    .await;
    until("the nonces of a window that nobody read in", async || {
        world.data().join(format!("nonces/{FIRST}")).exists()
    })
    .await;
    world.leave(&large(1)).await;
    let drop = large(2);
    for (end, complete, status) in [(100_000, "?0", 204), (drop.len(), "?1", 201)] {
        let length = drop.len().to_string();
        let begun = send(
            world.addr(),
            "POST",
            "/v1/uploads",
            &[("Upload-Length", &length), ("Upload-Complete", "?0")],
            b"",
        )
        .await;
        let headers = [
            ("Content-Type", "application/partial-upload"),
            ("Upload-Offset", "0"),
            ("Upload-Complete", complete),
        ];
        let path = begun.header("location").unwrap();
        let reply = send(world.addr(), "PATCH", path, &headers, &drop[..end]).await;
        assert_eq!(reply.status, status);
    }
    let mut paths = files(&world.data().join("packs"));
    assert_eq!(paths.len(), 4, "{paths:?}");
    paths.extend(files(&world.data().join("uploads")));
    assert_eq!(paths.len(), 6, "{paths:?}");
    paths.push(world.data().join("uploads"));
    for path in paths {
        let times = fs::metadata(&path).unwrap();
        assert_eq!(
            (times.mtime() as u64, times.mtime_nsec()),
            (FIRST * LENGTH, 0),
            "{}",
            path.display()
        );
    }

    let mut world = World::new().await;
    world.leave(&small(1)).await;
    world.leave(&large(2)).await;
    assert_eq!(world.listed(FIRST).await.len(), 2);
    assert!(world.fetch(FIRST, &small(1)).await.body == small(1));
    let coarse = |window: u64| {
        let mut paths = files(&world.data());
        paths.push(world.data());
        paths.iter().all(|path| {
            let times = fs::metadata(path).unwrap();
            let at = |time: i64, nanos: i64| {
                nanos == 0 && (time as u64).is_multiple_of(LENGTH) && time as u64 / LENGTH <= window
            };
            // The test itself reads the folders, which moves their access times.
            let read = path.is_dir() || at(times.atime(), times.atime_nsec());
            at(times.mtime(), times.mtime_nsec()) && read
        })
    };
    until("all files to be stamped", async || coarse(FIRST)).await;
    // The one time that cannot be set moves whether or not anything happens.
    let changed = || {
        fs::metadata(world.pack(FIRST))
            .map(|pack| (pack.ctime(), pack.ctime_nsec()))
            .unwrap()
    };
    let before = changed();
    until("the heartbeat", async || changed() != before).await;
    let now = world.next_window().await;
    world.leave(&small(3)).await;
    until("all files to be stamped", async || coarse(now)).await;
    // Reading leaves no trace of when. No beat stamps a closed window, and where access times are kept at all (`relatime`), one that is not
    // later than the modification moves with the next reading.
    for drop in [small(1), large(2)] {
        assert!(world.fetch(FIRST, &drop).await.body == drop);
    }
    for path in files(&world.data().join("packs").join(FIRST.to_string())) {
        let times = fs::metadata(&path).unwrap();
        assert_eq!(
            (times.mtime() as u64, times.atime() as u64),
            (FIRST * LENGTH, FIRST * LENGTH),
            "{}",
            path.display()
        );
    }
    world.stop().await;
    assert!({
        let mut paths = files(&world.data());
        paths.push(world.data());
        paths
            .iter()
            .all(|path| (fs::metadata(path).unwrap().mtime() as u64).is_multiple_of(LENGTH))
    });
}

#[tokio::test]
async fn nothing_at_rest_says_when_within_its_window_a_drop_came() {
    // Two servers, the same drop, at the beginning and at the end of the window.
    let (early, late) = (World::new().await, World::new().await);
    late.hands.set(NOON + 2_000);
    early.leave(&small(1)).await;
    late.leave(&small(1)).await;
    let pack = |world: &World| fs::read(world.pack(FIRST)).unwrap();
    let body = |pack: &[u8]| pack[pack.len() - small(1).len() - 180..].to_vec();
    assert!(body(&pack(&early)) == body(&pack(&late)));
    for world in [&early, &late] {
        let moments = [NOON.to_string(), (NOON + 2_000).to_string()];
        for path in files(&world.data())
            .into_iter()
            .filter(|path| path.is_file())
        {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(
                !moments.iter().any(|moment| text.contains(moment)),
                "{}",
                path.display()
            );
        }
    }
}

#[tokio::test]
async fn folders_that_cannot_be_used_are_refused_with_what_to_do_and_stay_as_they_are() {
    let mut world = World::new().await;
    let running = world.config.clone();
    let refusal = async |config: &sealdrop_server::Config| match sealdrop_server::Server::bind(
        config.clone(),
    )
    .await
    {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    };
    assert!(
        refusal(&running)
            .await
            .contains("in use by another sealdrop-server")
    );
    world.stop().await;

    let data = world.data();
    let mut other = running.clone();
    other.box_key = Team::new(2).box_key();
    assert!(
        refusal(&other)
            .await
            .contains(&format!("Start with --box {}", running.box_key))
    );

    fs::write(data.join("VERSION"), "2\n").unwrap();
    let before = fs::read(data.join("index.db")).unwrap();
    assert!(
        refusal(&running)
            .await
            .contains("newer sealdrop-server (layout 2")
    );
    assert_eq!(fs::read(data.join("index.db")).unwrap(), before);
    fs::write(data.join("VERSION"), "1\n").unwrap();

    fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(
        refusal(&running)
            .await
            .contains("can be read by others (mode 750)")
    );
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();

    let key = fs::read(data.join("log.key")).unwrap();
    fs::remove_file(data.join("log.key")).unwrap();
    assert!(refusal(&running).await.contains("is not a log key"));
    assert!(
        !data.join("log.key").exists(),
        "a log is never silently begun anew"
    );
    fs::write(data.join("log.key"), &key).unwrap();

    let mut foreign = running.clone();
    foreign.data = world.folder.path().join("foreign");
    fs::create_dir(&foreign.data).unwrap();
    fs::set_permissions(&foreign.data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(foreign.data.join("thesis.tex"), "x").unwrap();
    assert!(
        refusal(&foreign)
            .await
            .contains("not a folder of sealdrop-server")
    );
    foreign.data = foreign.data.join("thesis.tex");
    assert!(refusal(&foreign).await.contains("is not a folder"));

    world.start().await;
    let mut taken = running.clone();
    taken.data = world.folder.path().join("another");
    taken.listen = world.addr();
    assert!(
        refusal(&taken)
            .await
            .contains("Stop the program that uses this port")
    );
    assert!(!taken.data.exists());
}

#[tokio::test]
async fn the_log_key_is_made_once() {
    let mut world = World::still(1);
    world.start().await;
    let log = world.log().to_owned();
    world.restart().await;
    assert_eq!(world.log(), log);
    assert!(log.starts_with(&format!("{}/log-", world.team.box_key())));
}

#[tokio::test]
async fn a_first_start_on_a_full_disk_does_not_ruin_the_folder() {
    let mut key = None;
    for left in ["VERSION", "VERSION.part", "log.key", "key", "foreign"] {
        let mut world = World::still(1);
        let data = world.data();
        for dir in ["", "packs", "uploads", "nonces"] {
            fs::create_dir(data.join(dir)).unwrap();
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(data.join("lock"), "").unwrap();
        match left {
            "key" => fs::write(data.join("log.key"), key.as_ref().unwrap()).unwrap(),
            "foreign" => fs::write(data.join("packs/thesis.tex"), "x").unwrap(),
            name => fs::write(data.join(name), "").unwrap(),
        }
        if left == "foreign" {
            let refused = world.try_start().await.err().unwrap().to_string();
            assert!(refused.contains("not a folder of sealdrop-server"));
            continue;
        }
        world.start().await;
        let log = world.log().to_owned();
        world.restart().await;
        assert_eq!(world.log(), log, "{left}");
        assert_eq!(fs::read(data.join("VERSION")).unwrap(), b"1\n");
        assert!(!data.join("VERSION.part").exists());
        let made = fs::read(data.join("log.key")).unwrap();
        if left == "key" {
            assert_eq!(Some(&made), key.as_ref(), "a log key is never thrown away");
        }
        key = Some(made);
        world.stop().await;
    }
}
