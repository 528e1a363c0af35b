//! Accepted means durable (architecture, invariant 5), seen from outside: what the real server asks of the system, call by call.
//!
//! A test that kills a process cannot notice a sync that is missing, since what was written is still in the system's memory. So strace
//! watches the server, and every success that it sends is held against all that it wrote, and all names that it made, until then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sealdrop_core::note::Note;
use sealdrop_tests::{PATIENCE, scratch, skip, tool};

use crate::audit::World;
use crate::site::{Site, Supply, rng};
use crate::wire::call;

/// As long as the retention: none ends during the test, so that whatever is written is for a request.
const WINDOW: u64 = 86_400;
/// A `PATCH` of a large drop.
const PIECE: usize = 400_000;
const CALLS: &str = "trace=openat,mkdir,rename,renameat,renameat2,unlink,unlinkat,ftruncate,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync";

/// A success that the server sends.
struct Success {
    what: &'static str,
    status: u16,
    /// Part of it is in the index alone.
    in_index: bool,
}

#[test]
fn success_is_sent_after_bytes_and_names_are_synced() {
    let test = "success_is_sent_after_bytes_and_names_are_synced";
    let dir = scratch();
    let here = dir.path().canonicalize().expect("it is there");
    let (data, trace) = (here.join("data"), here.join("trace"));
    let Some(strace) = strace(&here) else {
        skip(test, "strace is not installed, or may not trace here");
        return;
    };
    let mut random = rng(7);
    let site = Site::new(&mut random);
    let mut command = traced(&strace, &trace, &site.server(&data));
    let (running, server) = site.start(&mut command);
    let mut sent = vec![];
    let mut success = |what, status, in_index| {
        sent.push(Success {
            what,
            status,
            in_index,
        });
    };
    let roster = site.publish(server, WINDOW);
    success("the log's vkey", 200, false);
    success("a roster", 204, true);
    let [small, middle, large] =
        [1_000, 200_000, 1_500_000].map(|len| Supply::new(&roster, len, &mut random));
    let world = World::new(site, roster, &mut random);
    for (what, supply) in [
        ("a small drop", &small),
        ("a middle drop", &middle),
        ("a large drop", &large),
    ] {
        let reply = call(server, "POST", "/v1/drops", &[], Some(&supply.drop(1)));
        assert_eq!(reply.expect("the server answers").status, 201);
        success(what, 201, false);
    }
    for what in upload(server, &large.drop(2)) {
        success(what, if what == PATCHED { 204 } else { 201 }, false);
    }
    let share = world.share(1);
    let posted = world.site.signed(server, "POST", "/v1/slips", Some(&share));
    assert_eq!(posted.expect("the server answers").status, 200);
    success("slips", 200, true);
    let checkpoint = call(server, "GET", "/log/checkpoint", &[], None);
    let checkpoint = Note::parse(&checkpoint.expect("the server answers").body);
    success("the checkpoint", 200, false);
    let cosigned = world.site.cosigned(&checkpoint.expect("it is a note"));
    let cosigned = cosigned.to_string();
    let body = Some(cosigned.as_bytes());
    let posted = world.site.signed(server, "POST", "/log/cosign", body);
    assert_eq!(posted.expect("the server answers").status, 204);
    success("a cosignature", 204, true);
    assert!(running.terminate().success());

    let calls = read_trace(&trace);
    check(&calls, &data, &sent);
    for what in ["pack", "uploads/", "index.db-wal"] {
        let written = |call: &Call| call.writes_to().is_some_and(|path| path.contains(what));
        assert!(calls.iter().any(written), "no write to {what} was seen");
    }
}

const PATCHED: &str = "a piece of an upload";

/// Sends a drop in pieces; the successes that it got.
fn upload(server: SocketAddr, drop: &[u8]) -> Vec<&'static str> {
    let length = drop.len().to_string();
    let headers = [("upload-length", &*length), ("upload-complete", "?0")];
    let begun = call(server, "POST", "/v1/uploads", &headers, Some(b""));
    let begun = begun.expect("the server answers");
    let path = begun.header("location").expect("an upload has a place");
    let mut got = vec!["an upload's beginning"];
    for (number, piece) in drop.chunks(PIECE).enumerate() {
        let from = number * PIECE;
        let last = from + piece.len() == drop.len();
        let offset = from.to_string();
        let headers = [
            ("content-type", "application/partial-upload"),
            ("upload-offset", &*offset),
            ("upload-complete", if last { "?1" } else { "?0" }),
        ];
        let reply = call(server, "PATCH", path, &headers, Some(piece));
        let reply = reply.expect("the server answers");
        assert_eq!(reply.status, if last { 201 } else { 204 });
        got.push(if last { "an upload's end" } else { PATCHED });
    }
    got
}

/// Holds every success against what came before it.
fn check(calls: &[Call], data: &Path, sent: &[Success]) {
    let answers: Vec<_> = calls
        .iter()
        .filter_map(|call| Some((call, call.answer()?)))
        .collect();
    let expected: Vec<_> = sent.iter().map(|success| success.status).collect();
    let statuses: Vec<_> = answers.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, expected);
    for ((answer, _), success) in answers.into_iter().zip(sent) {
        let mut left = Left::default();
        for call in calls.iter().filter(|call| call.ended < answer.began) {
            left.take(call);
        }
        let is_ours = |path: &&String| Path::new(path).starts_with(data);
        let bytes = left.written.keys().filter(is_ours).filter(|path| {
            if path.contains("/index.db") {
                success.in_index && path.ends_with("-wal")
            } else {
                !is_disposable(Path::new(path))
            }
        });
        let names = left.named.iter().filter(is_ours);
        let names = names.filter(|path| !is_disposable(Path::new(path)));
        let missing: Vec<_> = bytes.chain(names).collect();
        assert!(
            missing.is_empty(),
            "{} was answered, and not synced is: {missing:?}",
            success.what
        );
    }
}

/// What may be lost: the lock, SQLite's shared memory, nonces (a request older than the start is refused), files that are not complete, and the
/// marker of a complete upload.
fn is_disposable(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.expect("it is plain");
    let dir = path.parent().and_then(|dir| dir.file_name());
    name == "lock"
        || name.ends_with("-shm")
        || name.starts_with("tmp-")
        || dir.is_some_and(|dir| dir == "nonces")
        || dir.is_some_and(|dir| dir == "uploads") && name.split('-').count() == 5
}

/// What would be lost if the power failed.
#[derive(Default)]
struct Left {
    /// Files with bytes, and when they last got any.
    written: BTreeMap<String, usize>,
    named: BTreeSet<String>,
    /// Every name that was made and not removed. What is opened again is not made again.
    known: BTreeSet<String>,
}

impl Left {
    fn take(&mut self, call: &Call) {
        if !call.succeeded {
            return;
        }
        if let Some(path) = call.writes_to() {
            self.written.insert(path.to_owned(), call.ended);
        }
        let paths = call.named();
        match &*call.name {
            "openat" if call.text.contains("O_CREAT") => self.name(paths[0]),
            "mkdir" => self.name(paths[0]),
            "unlink" | "unlinkat" => self.forget(paths[0]),
            "rename" | "renameat" | "renameat2" => {
                let when = self.written.get(paths[0]).copied();
                self.forget(paths[0]);
                self.forget(paths[1]);
                self.name(paths[1]);
                if let Some(when) = when {
                    self.written.insert(paths[1].into(), when);
                }
            }
            "fsync" | "fdatasync" => {
                let Some(synced) = call.file() else { return };
                if self.written.get(synced).is_some_and(|&w| w < call.began) {
                    self.written.remove(synced);
                }
                let in_it = |path: &String| Path::new(path).parent() == Some(Path::new(synced));
                self.named.retain(|path| !in_it(path));
            }
            _ => {}
        }
    }

    fn name(&mut self, path: &str) {
        if self.known.insert(path.into()) {
            self.named.insert(path.into());
        }
    }

    fn forget(&mut self, path: &str) {
        self.known.remove(path);
        self.named.remove(path);
        self.written.remove(path);
    }
}

/// One call of the system.
struct Call {
    name: String,
    /// Arguments and result as strace writes them.
    text: String,
    /// The lines in which it began and ended.
    began: usize,
    ended: usize,
    succeeded: bool,
}

impl Call {
    /// The file that is the first argument.
    fn file(&self) -> Option<&str> {
        let (number, rest) = self.text.split_once('<')?;
        number.parse::<u32>().ok()?;
        rest.split_once('>').map(|(path, _)| path)
    }

    fn writes_to(&self) -> Option<&str> {
        let writes = ["write", "writev", "pwrite64", "pwritev", "pwritev2"];
        self.file()
            .filter(|path| writes.contains(&&*self.name) && path.starts_with('/'))
    }

    /// The paths that are arguments by name.
    fn named(&self) -> Vec<&str> {
        self.text.split('"').skip(1).step_by(2).collect()
    }

    /// The status of the answer that begins in this call.
    fn answer(&self) -> Option<u16> {
        let (_, after) = self.text.split_once("\"HTTP/1.1 ")?;
        after.get(..3)?.parse().ok()
    }
}

/// The calls in the order in which they ended.
fn read_trace(path: &Path) -> Vec<Call> {
    let text = whole_trace(path, PATIENCE).expect("strace sees its end");
    let mut begun = BTreeMap::new();
    let mut calls = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (thread, line) = line.trim_start().split_once(' ').unwrap_or_default();
        let line = line.trim_start();
        let (began, whole) = if let Some(rest) = line.strip_prefix("<... ") {
            let (_, rest) = rest.split_once(" resumed>").expect("strace's form");
            let Some((began, first)) = begun.remove(thread) else {
                continue;
            };
            (began, format!("{first}{rest}"))
        } else if let Some(first) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (number, first.to_owned()));
            continue;
        } else {
            (number, line.to_owned())
        };
        // Signals and exits have no arguments.
        let Some((name, text)) = whole.split_once('(') else {
            continue;
        };
        let Some((_, result)) = text.rsplit_once(" = ") else {
            continue;
        };
        calls.push(Call {
            name: name.into(),
            text: text.into(),
            began,
            ended: number,
            succeeded: !result.starts_with('-') && !result.starts_with('?'),
        });
    }
    calls
}

/// A trace with its last line: strace goes on for a moment after what it watches has ended.
fn whole_trace(path: &Path, patience: Duration) -> Option<String> {
    let start = Instant::now();
    while start.elapsed() < patience {
        let text = fs::read_to_string(path).unwrap_or_default();
        // The first thread is the one by which the process ends.
        let first = text.split(' ').next().unwrap_or_default();
        let is_end = |line: &str| {
            let thread = line.strip_suffix(" +++ exited with 0 +++");
            thread.is_some_and(|thread| thread.trim_end() == first)
        };
        if text.lines().any(is_end) {
            return Some(text);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

/// strace, if it is there and may trace.
fn strace(dir: &Path) -> Option<PathBuf> {
    let strace = tool("strace")?;
    let probe = dir.join("probe");
    let nothing = Command::new(tool("true")?);
    let output = traced(&strace, &probe, &nothing).output().ok()?;
    let traces = output.status.success() && whole_trace(&probe, Duration::from_secs(5)).is_some();
    traces.then_some(strace)
}

/// The same command, watched. It stays the process that was started: strace runs beside it.
fn traced(strace: &Path, trace: &Path, command: &Command) -> Command {
    let mut traced = Command::new(strace);
    traced.args(["-D", "-f", "-y", "-s", "24", "-e", CALLS, "-o"]);
    traced.arg(trace).arg("--").arg(command.get_program());
    traced.args(command.get_args());
    traced.env_clear();
    traced.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    traced
}
