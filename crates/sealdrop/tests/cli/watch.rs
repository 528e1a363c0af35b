//! `watch`: that there is something new, at a rhythm that says nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sealdrop_client::system;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::slip::Slip;
use sealdrop_core::time::Window;
use serde_json::Value;

use crate::support::{Answer, LyingServer, Saying};
use crate::{Place, Run};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

fn phrase() -> Phrase {
    Phrase::from_entropy(&[1; 16])
}

/// A server of a box whose windows are short enough for a rhythm of a second. The log is of this window.
fn server() -> LyingServer {
    let server = LyingServer::start();
    server.publish(|draft| (draft.epoch, draft.window) = (4, 24));
    server.state().close_window();
    server
}

/// Puts the segment of the window so many before the one of now into the feed.
fn segment(server: &LyingServer, ago: u64, slips: &[Box<Slip>]) {
    let window = Window(system::now().window(24).0 - ago);
    server.state().add_segment(window, slips);
}

fn say(server: &LyingServer, text: &str) -> Vec<Box<Slip>> {
    Saying::new(server, &phrase(), text).seal()
}

/// A program that looks until it is told to end.
struct Watching {
    child: Child,
    lines: Receiver<String>,
    err: ChildStderr,
}

impl Watching {
    fn start(place: &Place, server: &LyingServer, args: &[&str]) -> Self {
        let address = server.address.to_string();
        let fixed = ["watch", &address, "--every", "1s", "--phrase-file", "-"];
        let mut command = place.command(&[&fixed, args].concat());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(phrase().words().as_bytes()).unwrap();
        drop(stdin);
        let out: ChildStdout = child.stdout.take().unwrap();
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                drop(tell.send(line));
            }
        });
        let err = child.stderr.take().unwrap();
        Self { child, lines, err }
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) -> Run {
        let start = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let code = self.child.wait().unwrap().code();
        assert!(start.elapsed() < Duration::from_secs(3), "it ends at once");
        self.run(code)
    }

    /// Waits until it ends by itself.
    fn end(mut self) -> Run {
        let code = self.child.wait().unwrap().code();
        self.run(code)
    }

    fn run(mut self, code: Option<i32>) -> Run {
        let mut err = String::new();
        self.err.read_to_string(&mut err).unwrap();
        let out = self.lines.iter().map(|line| line + "\n").collect();
        Run { code, out, err }
    }
}

/// Waits until the feed was asked for so often.
#[track_caller]
fn wait_for_looks(server: &LyingServer, looks: usize) {
    let start = Instant::now();
    while looks_of(server).len() < looks {
        assert!(
            start.elapsed() < PATIENCE,
            "waited in vain for {looks} looks"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// The requests of each look. Those of the last may not be complete.
fn looks_of(server: &LyingServer) -> Vec<Vec<String>> {
    let requests = server.requests();
    let starts = |request: &String| request == "GET /v1/feed";
    let mut looks: Vec<Vec<String>> = Vec::new();
    for request in requests {
        if starts(&request) {
            looks.push(Vec::new());
        }
        looks.last_mut().unwrap().push(request);
    }
    looks
}

#[test]
fn watch_says_only_that_there_is_something_new() {
    let server = server();
    segment(&server, 3, &say(&server, "the secret answer"));
    let place = Place::new();
    let watching = Watching::start(&place, &server, &[]);
    wait_for_looks(&server, 2);
    // What was there before is not new, and neither is what is for others.
    segment(&server, 2, &[]);
    wait_for_looks(&server, 4);
    segment(&server, 1, &say(&server, "another secret answer"));
    let line = watching.line();
    wait_for_looks(&server, looks_of(&server).len() + 2);
    let run = watching.interrupt();
    assert!(line.ends_with(" UTC  something new"), "{line}");
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(130), ""),
        "said once: {}",
        run.err
    );
    assert!(
        !run.err.contains("secret") && run.err.starts_with("error: stopped"),
        "{}",
        run.err
    );
    assert!(
        place.files().is_empty(),
        "nothing is written that was not asked for"
    );
}

#[test]
fn each_look_makes_the_requests_of_a_check_with_mail_and_without() {
    let server = server();
    segment(&server, 3, &say(&server, "before"));
    segment(&server, 2, &[]);
    let place = Place::new();
    place
        .answers(&server, &phrase(), &[])
        .succeeded(&["before"]);
    let check = server.requests();
    server.state().requests.clear();
    let watching = Watching::start(&place, &server, &[]);
    wait_for_looks(&server, 4);
    watching.interrupt();
    for look in &looks_of(&server)[..3] {
        assert_eq!(*look, check);
    }

    // With a state, those of a check with a state: first all, then what is new.
    server.state().requests.clear();
    place
        .answers(&server, &phrase(), &["--state", "c"])
        .succeeded(&["before"]);
    place
        .answers(&server, &phrase(), &["--state", "c"])
        .succeeded(&["before"]);
    let checks = looks_of(&server);
    server.state().requests.clear();
    let watching = Watching::start(&place, &server, &["--state", "w"]);
    wait_for_looks(&server, 4);
    watching.interrupt();
    assert_eq!(looks_of(&server)[..2], checks);
    assert_eq!(looks_of(&server)[2], checks[1]);
}

#[test]
fn a_network_that_fails_is_said_once_and_ends_nothing() {
    let server = server();
    segment(&server, 3, &[]);
    let place = Place::new();
    let watching = Watching::start(&place, &server, &["--json"]);
    let object = || -> Value { serde_json::from_str(&watching.line()).unwrap() };
    let first = object();
    assert_eq!(
        (&first["new"], &first["error"]),
        (&false.into(), &Value::Null)
    );
    // 500 is not tried again within a look.
    server.lie(|_, _| Some(Answer::new(500)));
    let mut failed = object();
    while failed["error"].is_null() {
        failed = object();
    }
    assert_eq!(object()["error"], failed["error"]);
    server.lie(|_, _| None);
    segment(&server, 1, &say(&server, "after all"));
    let mut next = object();
    while !next["error"].is_null() {
        next = object();
    }
    if next["new"] == false {
        next = object();
    }
    assert_eq!(next["new"], true);
    let run = watching.interrupt();
    let said = "the server failed with status 500";
    assert_eq!(run.err.matches(said).count(), 1, "{}", run.err);
    let last: Value = serde_json::from_str(run.out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["exit"], &last["error"]),
        (&130.into(), &"stopped".into())
    );
}

#[test]
fn a_feed_that_cannot_be_believed_ends_the_watch() {
    let server = server();
    segment(&server, 3, &[]);
    segment(&server, 2, &[]);
    let place = Place::new();
    let watching = Watching::start(&place, &server, &[]);
    wait_for_looks(&server, 2);
    let gone = *server.state().segments.keys().next().unwrap();
    server.state().segments.remove(&gone);
    let run = watching.end();
    // Between two looks the feed shrank; in the middle of one what is listed is not there.
    run.refused(
        1,
        &[
            &format!("segment {gone}"),
            "by another way than this server",
        ],
    );
    assert_eq!(run.out, "");
}

#[test]
fn one_look_with_a_state_is_for_a_timer_of_ones_own() {
    let server = server();
    segment(&server, 3, &say(&server, "before"));
    let place = Place::new();
    let address = server.address.to_string();
    let once = |more: &[&str]| {
        let fixed = ["watch", &address, "--phrase-file", "-", "--once"];
        place.run_with(&[&fixed, more].concat(), &phrase().words())
    };
    once(&[]).refused(2, &["--state <FILE>"]);
    let run = once(&["--state", "s"]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(0), ""),
        "the first is what others are compared with"
    );
    let json = once(&["--state", "s", "--json"]).json();
    assert_eq!(json["new"], false);
    segment(&server, 1, &say(&server, "since"));
    once(&["--state", "s"]).succeeded(&["  something new\n"]);
    let run = once(&["--state", "s"]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(0), ""),
        "it was told of"
    );
    place
        .answers(&server, &phrase(), &["--state", "s"])
        .succeeded(&["before", "since"]);
    server.lie(|_, _| Some(Answer::new(500)));
    once(&["--state", "s"]).refused(1, &["the server failed with status 500"]);
}

#[test]
fn a_rhythm_that_is_too_short_for_the_box_is_refused() {
    let server = LyingServer::start();
    server.state().close_window();
    let place = Place::new();
    let address = server.address.to_string();
    let every = |every: &str| {
        let args = ["watch", &address, "--phrase-file", "-", "--every", every];
        place.run_with(&args, &phrase().words())
    };
    every("149s").refused(
        2,
        &["a window of this box is 3600 s long", "150 s is the least"],
    );
    every("6").refused(2, &["--every <TIME>", "90m"]);
    every("0s").refused(2, &["--every <TIME>"]);
}

#[test]
fn ctrl_c_ends_a_watch_at_once_while_a_server_hangs() {
    let server = server();
    let place = Place::new();
    server.before(|_| thread::sleep(Duration::from_secs(60)));
    let watching = Watching::start(&place, &server, &[]);
    // Until the request is under way: a connection is there.
    let start = Instant::now();
    while server.state().connections == 0 {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(watching.interrupt().code, Some(130));
}
