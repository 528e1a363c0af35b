//! An agent in a process of its own, with windows of an hour and `--every 1`: what fails is tried again after milliseconds, and the rest is
//! done once a second. What it does from window to window is in tests/system/agent.rs.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use sealdrop_core::report::Kind;
use sealdrop_core::slip::SLIP;
use serde_json::Value;

use crate::answers::{SHARE, message, posted, read, with_case};
use crate::bench::{Bench, Reporter, run_with};

/// How long a line may take before a test calls the agent hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// An agent that was started, killed with the value.
struct Agent {
    child: Child,
    lines: Receiver<String>,
}

impl Agent {
    fn start(bench: &Bench, who: &str, args: &[&str]) -> Self {
        let args = ["--json", "agent", "--every", "1"].iter().chain(args);
        let mut child = bench.start(who, &args.copied().collect::<Vec<_>>());
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// What it says next.
    #[track_caller]
    fn says(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line in time");
        serde_json::from_str(&line).expect("one object in a line")
    }

    /// The first of its next lines of which this holds.
    #[track_caller]
    fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let mut next = (0..30).map(|_| self.says());
        next.find(|said| holds(said)).expect("such a line soon")
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Asks it to stop, and gives its exit code and what it still said.
    fn stop(mut self) -> (Option<i32>, Vec<String>) {
        self.signal("TERM");
        let code = self.child.wait().unwrap().code();
        (code, self.lines.iter().collect())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ana's box with a case, and a machine of hers that reads nothing.
fn with_courier() -> (Bench, Reporter) {
    let (bench, reporter) = with_case();
    bench.join_device("courier");
    (bench, reporter)
}

/// What the server was asked, from here on.
fn requests(bench: &Bench) -> usize {
    bench.server.lock().requests.len()
}

#[test]
fn an_agent_posts_what_came_in_a_bundle_beside_it_and_ends_when_asked() {
    let (bench, reporter) = with_courier();
    bench.server.lock().refuses_members = true;
    let agent = Agent::start(&bench, "courier", &[]);
    agent.says();
    // The home is free between syncs: other commands do not wait, and are not waited for.
    bench
        .desk("ana", &["reply", "1", "--text", "by courier"])
        .ok();
    let bundle = bench.arg("b.tar");
    bench
        .desk("ana", &["bundle", "out", "--outbox", &bundle])
        .ok();
    bench.desk("courier", &["bundle", "in", &bundle]).ok();
    bench.server.lock().refuses_members = false;
    agent.until(|said| said["posted"] == bench.server.now());
    let parts = read(&reporter, &bench.server.roster(), &posted(&bench));
    assert_eq!(message(parts).1.text, "by courier");
    let (code, rest) = agent.stop();
    assert_eq!(code, Some(0));
    assert!(
        rest.iter().all(|line| line.contains("\"time\"")),
        "{rest:?}"
    );
}

#[test]
fn an_agent_whose_post_was_taken_and_not_answered_sends_the_same_again_also_after_a_kill() {
    let (bench, reporter) = with_courier();
    bench.server.lock().slips.clear();
    bench.server.lock().posts.clear();
    bench.desk("ana", &["reply", "1", "--text", "once"]).ok();
    let bundle = bench.arg("b.tar");
    bench
        .desk("ana", &["bundle", "out", "--outbox", &bundle])
        .ok();
    bench.desk("courier", &["bundle", "in", &bundle]).ok();
    bench.server.lock().refuses_slips = Some((500, true));
    for _ in 0..2 {
        let mut agent = Agent::start(&bench, "courier", &[]);
        let said = agent.until(|said| !said["again"].is_null());
        assert_eq!(said["posted"], Value::Null);
        agent.until(|said| !said["again"].is_null());
        agent.child.kill().unwrap();
    }
    bench.server.lock().refuses_slips = None;
    let agent = Agent::start(&bench, "courier", &[]);
    agent.until(|said| said["posted"] == bench.server.now());
    agent.says();
    assert_eq!(agent.stop().0, Some(0));
    let posts = bench.server.lock().posts.clone();
    assert!(posts.len() >= 5, "{}", posts.len());
    assert!(posts.iter().all(|post| *post == posts[0]), "the same bytes");
    assert_eq!(posts[0].len(), SHARE * SLIP);
    let parts = read(&reporter, &bench.server.roster(), &posted(&bench));
    assert_eq!(parts.len(), 1);
    assert_eq!(bench.json("courier", &["outbox"])["waiting"], 0);
}

#[test]
fn server_hides_a_drop_from_an_agent_which_says_so_each_time_and_goes_on() {
    let (bench, mut reporter) = with_courier();
    let roster = bench.server.roster();
    let hidden = reporter.drop(&roster, Kind::FollowUp, "hidden");
    let digest = bench.server.accept(&hidden, bench.past(8));
    bench.server.lock().hidden.insert(digest);
    bench.server.close(bench.past(8));
    let agent = Agent::start(&bench, "courier", &[]);
    for _ in 0..2 {
        let said = agent.says();
        let fault = said["faults"][0].as_str().unwrap();
        assert!(fault.contains("hidden drop"), "{said}");
        assert_eq!(said["log"]["cosigned"], false);
        assert_eq!(
            said["again"],
            Value::Null,
            "it is no matter of trying again"
        );
    }
    // Reports come before the log, and answers are not held back by it.
    let fresh = reporter.drop(&roster, Kind::FollowUp, "fresh");
    bench.server.accept(&fresh, bench.past(0));
    agent.until(|said| said["fetched"] == 1 && !said["faults"].as_array().unwrap().is_empty());
    assert_eq!(posted(&bench).len(), SHARE);
    let mut cosigned = bench.server.lock().cosigned.clone();
    cosigned.retain(|note| note.to_string().contains("ana/courier"));
    assert!(cosigned.is_empty());
    assert_eq!(agent.stop().0, Some(1), "the last sync found a fault");
}

#[test]
fn a_server_that_refuses_or_is_gone_is_tried_again_with_growing_pauses() {
    let (bench, _) = with_courier();
    bench.server.lock().refuses_members = true;
    let agent = Agent::start(&bench, "courier", &[]);
    for _ in 0..3 {
        let said = agent.says();
        assert!(
            said["error"]
                .as_str()
                .unwrap()
                .contains("refuses this machine"),
            "{said}"
        );
        assert!(said["again"].is_number(), "{said}");
    }
    bench.server.lock().refuses_members = false;
    agent.until(|said| said["error"].is_null() && !said["posted"].is_null());
    assert_eq!(agent.stop().0, Some(0), "what failed before is over");
}

/// An agent whose server does not answer it.
fn in_a_sync() -> (Bench, Agent) {
    let (bench, _) = with_courier();
    let before = requests(&bench);
    bench.server.lock().stalls = true;
    let agent = Agent::start(&bench, "courier", &[]);
    while requests(&bench) == before {
        std::thread::sleep(Duration::from_millis(5));
    }
    (bench, agent)
}

#[test]
fn a_second_signal_ends_an_agent_whose_server_says_nothing() {
    let (bench, mut agent) = in_a_sync();
    agent.signal("TERM");
    agent.signal("INT");
    assert_eq!(agent.child.wait().unwrap().code(), Some(0));
    bench.server.lock().stalls = false;
    bench.desk("courier", &["sync"]).ok();
}

#[test]
fn a_signal_in_a_sync_ends_the_agent_once_the_server_answers() {
    let (bench, mut agent) = in_a_sync();
    agent.signal("TERM");
    bench.server.lock().stalls = false;
    assert_eq!(agent.child.wait().unwrap().code(), Some(0));
    assert!(agent.lines.iter().count() <= 1, "it begins no other sync");
    bench.desk("courier", &["sync"]).ok();
}

#[test]
fn an_agent_says_before_it_begins_what_it_lacks() {
    let (bench, _) = with_case();
    bench.init("cellar", "ben", &["--offline", "--no-recovery"]);
    bench
        .desk("cellar", &["agent"])
        .fails(1, &["no device keys"]);
    std::fs::write(bench.path("wrong"), "another\n").unwrap();
    bench
        .desk("ana", &["--passphrase-file", &bench.arg("wrong"), "agent"])
        .fails(1, &["does not open"]);
    bench
        .desk("ana", &["agent", "--every", "0"])
        .fails(2, &["--every"]);
}

#[test]
fn a_machine_without_a_roster_begins_at_once_and_keeps_the_schedule_from_then_on() {
    let (bench, _) = with_case();
    bench.init("courier", "ana", &["--device-only", "--device", "courier"]);
    // It is not in the roster yet.
    let agent = Agent::start(&bench, "courier", &[]);
    let said = agent.says();
    assert!(
        said["error"]
            .as_str()
            .unwrap()
            .contains("does not name this machine"),
        "{said}"
    );
    bench.add_card("courier");
    bench.desk("ana", &["publish"]).ok();
    let said = agent.until(|said| said["error"].is_null());
    assert_eq!(said["posted"], bench.server.now(), "{said}");
    assert_eq!(agent.stop().0, Some(0));
}

#[test]
fn what_an_agent_prints_is_one_line_a_sync_and_tells_nothing_of_what_waits() {
    let (bench, _) = with_courier();
    let said = ["silent", "speaking"].map(|which| {
        bench.server.lock().slips.clear();
        let _ = std::fs::remove_dir_all(bench.path("courier/outbox"));
        if which == "speaking" {
            bench
                .desk("ana", &["reply", "1", "--text", &"long ".repeat(9_000)])
                .ok();
            let bundle = bench.arg("b.tar");
            bench
                .desk("ana", &["bundle", "out", "--outbox", &bundle])
                .ok();
            bench.desk("courier", &["bundle", "in", &bundle]).ok();
        }
        let agent = Agent::start(&bench, "courier", &[]);
        let mut said = agent.until(|said| !said["posted"].is_null());
        for name in ["time", "fetched", "log"] {
            said[name] = Value::Null;
        }
        said
    });
    assert_eq!(said[0], said[1]);
}

#[test]
fn the_home_is_left_to_others_while_a_person_writes() {
    let (bench, reporter) = with_case();
    // The editor runs a sync, as an agent would; it would wait for ever if `reply` held the home meanwhile.
    let desk = assert_cmd::cargo::cargo_bin!("sealdrop-desk");
    let script = format!(
        "echo written >> \"$1\"; timeout 30 {} sync > {}",
        desk.display(),
        bench.arg("said")
    );
    std::fs::write(bench.path("editor"), script).unwrap();
    let editor = format!("sh {}", bench.arg("editor"));
    let env = [("EDITOR", &*editor), ("PATH", "/usr/bin:/bin")];
    run_with(bench.dir.path(), "ana", &["reply", "1", "--edit"], &env, "").ok();
    let said = std::fs::read_to_string(bench.path("said")).unwrap();
    assert!(said.contains("cosigned"), "{said}");
    // It posted decoys then; what was written meanwhile waits behind them, once.
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 1);
    assert_eq!(
        read(&reporter, &bench.server.roster(), &posted(&bench)).len(),
        0
    );
}

#[test]
fn an_agent_that_cannot_get_into_its_home_says_so_and_makes_up_for_nothing() {
    let (bench, _) = with_courier();
    let held = std::fs::File::open(bench.path("courier/lock")).unwrap();
    bench.desk("courier", &["sync"]).ok();
    let agent = Agent::start(&bench, "courier", &[]);
    agent.says();
    held.lock().unwrap();
    let before = requests(&bench);
    for _ in 0..2 {
        let said = agent.until(|said| !said["error"].is_null());
        let error = said["error"].as_str().unwrap();
        assert!(error.contains("another sealdrop-desk"), "{said}");
        assert_eq!(said["again"], Value::Null, "its moment is over: {said}");
    }
    assert_eq!(requests(&bench), before);
    held.unlock().unwrap();
    agent.until(|said| said["error"].is_null());
    assert_eq!(agent.stop().0, Some(0));
}
