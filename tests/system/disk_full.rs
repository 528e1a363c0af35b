//! A full disk gives 503 and recovers: nothing that was accepted is lost, and no restart is needed.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealdrop_tests::{scratch, skip, wait_until};

use crate::audit::{Audit, World};
use crate::site::{Site, now, rng};
use crate::wire::{Reply, call};

const WINDOW: u64 = 2;
/// The server keeps 64 MiB free; somebody else has 10, and 12 are left for drops.
const DISK: &str = "86m";
const OTHERS: u64 = 10 << 20;

#[test]
fn a_full_disk_gives_503_and_recovers() {
    let dir = scratch();
    let mount = dir.path().join("disk");
    fs::create_dir(&mount).unwrap();
    if !on_small_disk(&Command::new("true"), &mount)
        .status()
        .is_ok_and(|status| status.success())
    {
        return skip(
            "a_full_disk_gives_503_and_recovers",
            "needs root, to mount a small disk; --max-store is tested instead",
        );
    }
    let mut random = rng(2);
    let site = Site::new(&mut random);
    let mut command = on_small_disk(&site.server(&mount.join("data")), &mount);
    let (running, server) = site.start(&mut command);
    // The disk as the server sees it: the mount is in its namespace alone.
    let disk = PathBuf::from(format!("/proc/{}/root{}", running.pid(), mount.display()));
    write_zeros(&disk.join("of-others"), OTHERS).unwrap();
    let roster = site.publish(server, WINDOW);
    let world = World::new(site, roster, &mut random);

    fill(&world, server);
    assert!(
        world.ledger().accepted.len() > 50,
        "there was room for more"
    );
    refuses_politely(&world, server);

    // Not a byte is left, and still the clock goes on: the window that is open cannot be closed.
    let rest = write_zeros(&disk.join("rest"), u64::MAX);
    assert!(rest.is_err(), "the disk is full");
    let window = world.roster.window(now());
    wait_until("two windows have passed on a full disk", || {
        refuses_politely(&world, server);
        world.roster.window(now()).0 > window.0 + 2
    });
    let vkey = call(server, "GET", "/log/vkey", &[], None).unwrap();
    assert_eq!(vkey.status, 200);

    fs::remove_file(disk.join("rest")).unwrap();
    fs::remove_file(disk.join("of-others")).unwrap();
    wait_until("it accepts again", || submit(&world, server).status == 201);
    let before = world.ledger().accepted.len();
    fill(&world, server);
    assert!(
        world.ledger().accepted.len() > before + 20,
        "the room is not used"
    );

    let mut audit = Audit::default();
    audit.wait_until_all_is_logged(&world, server);
    audit.verify_receipts(&world);
    println!("{}", audit.summary(&world));
    assert!(running.terminate().success());
}

#[test]
fn a_full_store_gives_503_and_loses_nothing() {
    let dir = scratch();
    let mut random = rng(3);
    let site = Site::new(&mut random);
    let data = dir.path().join("data");
    let (running, server) = site.start(site.server(&data).args(["--max-store", "4M"]));
    let roster = site.publish(server, WINDOW);
    let world = World::new(site, roster, &mut random);
    fill(&world, server);
    refuses_politely(&world, server);
    drop(running);
    // With more room it goes on where it stood.
    let (running, server) = world
        .site
        .start(world.site.server(&data).args(["--max-store", "8M"]));
    assert_eq!(submit(&world, server).status, 201);
    let mut audit = Audit::default();
    audit.wait_until_all_is_logged(&world, server);
    println!("{}", audit.summary(&world));
    assert!(running.terminate().success());
}

/// The command, with a small disk at `mount` that nobody else sees.
fn on_small_disk(command: &Command, mount: &Path) -> Command {
    let script = format!("mount -t tmpfs -o size={DISK},mode=0700 tmpfs \"$0\" && exec \"$@\"");
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    wrapped.arg(mount).arg(command.get_program());
    wrapped.args(command.get_args());
    wrapped
}

/// Submits until there is no room for a small drop.
fn fill(world: &World, server: SocketAddr) {
    let mut refused = 0;
    while refused < 20 {
        match submit(world, server).status {
            201 => refused = 0,
            503 => refused += 1,
            other => panic!("neither accepted nor refused: {other}"),
        }
    }
}

fn submit(world: &World, server: SocketAddr) -> Reply {
    let number = world.number();
    let drop = world.take(number);
    let began = world.roster.window(now());
    let reply = call(server, "POST", "/v1/drops", &[], Some(&drop)).expect("the server answers");
    if reply.status == 201 {
        world.accepted(&reply, &drop, began);
    }
    reply
}

/// Each way to leave a drop is refused with 503 and `Retry-After`.
#[track_caller]
fn refuses_politely(world: &World, server: SocketAddr) {
    for kind in [1, 0] {
        let mut numbers = std::iter::repeat_with(|| world.number());
        let number = numbers.find(|number| number % 16 == kind);
        let drop = world.take(number.expect("there is no end of them"));
        let length = drop.len().to_string();
        let headers = [("upload-length", &*length), ("upload-complete", "?0")];
        let begin = || call(server, "POST", "/v1/uploads", &headers, Some(b""));
        // Whether an announced size fits is answered by what was there when the window began.
        wait_until("an upload is refused", || {
            begin().is_ok_and(|reply| reply.status == 503)
        });
        for reply in [call(server, "POST", "/v1/drops", &[], Some(&drop)), begin()] {
            let reply = reply.expect("the server answers");
            assert_eq!(reply.status, 503, "{}", reply.text());
            let retry = reply.header("retry-after").expect("it says when");
            assert!(retry.parse::<u64>().is_ok(), "{retry}");
            assert_eq!(
                reply.header("content-type"),
                Some("application/problem+json")
            );
        }
    }
}

fn write_zeros(path: &Path, len: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    std::io::copy(&mut std::io::repeat(0).take(len), &mut file)?;
    file.flush()
}
