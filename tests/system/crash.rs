//! Accepted means durable (architecture, invariant 5): the server is killed at random moments, and audited from outside.
//!
//! `cargo xtask soak` runs more rounds of the same, with `SEALDROP_CRASH_ROUNDS` and `SEALDROP_CRASH_SEED`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rand_chacha::rand_core::Rng as _;
use sealdrop_core::time::Window;
use sealdrop_tests::scratch;

use crate::audit::{Audit, World, verify};
use crate::site::{Site, now, rng};
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
    let world = World::new(site, roster, &mut random);
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
    audit.check_feed(&world, server);
    audit.look_at_every_byte(&world, server);
    check_that_nothing_is_left_over(&data);
    println!("at the end: {}", audit.summary(&world));
    assert!(running.terminate().success());
}

impl World {
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
            scope.spawn(|| while self.post_slips(addr).is_some() {});
            thread::sleep(life);
            killed.store(true, Ordering::SeqCst);
            server.kill();
        });
    }

    /// Sends the next drop. `None` once the server is gone.
    fn submit(&self, server: SocketAddr, killed: &AtomicBool) -> Option<()> {
        let number = self.number();
        let drop = self.take(number);
        let began = self.roster.window(now());
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

    /// Posts a share of slips: the one whose answer was lost with the server, or else another. `None` once the server is gone.
    fn post_slips(&self, server: SocketAddr) -> Option<()> {
        let again = self.ledger().unanswered.clone();
        let share = again.unwrap_or_else(|| self.share(self.number()));
        self.ledger().unanswered = Some(share.clone());
        let reply = self.site.signed(server, "POST", "/v1/slips", Some(&share));
        let reply = reply.ok()?;
        self.ledger().unanswered = None;
        match reply.status {
            200 => {
                let window = reply.json()["window"].as_u64().expect("a number");
                self.ledger().posted.push((Window(window), share));
            }
            409 => {}
            _ => panic!("{}", reply.text()),
        }
        thread::sleep(Duration::from_millis(20));
        Some(())
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

/// What a crash leaves behind is put in order by the next start: large bodies stand with their windows or not at all.
fn check_that_nothing_is_left_over(data: &Path) {
    for entry in std::fs::read_dir(data.join("uploads")).expect("the folder is there") {
        let name = entry.expect("it can be read").file_name();
        let name = name.to_str().expect("it is plain");
        assert!(!name.starts_with("tmp-"), "{name} is left over");
    }
}
