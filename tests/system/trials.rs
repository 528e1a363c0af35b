//! Trials: the real programs do one thing or another, hundreds of times, and whoever sits at the server sees every byte of it and tries to tell which it
//! was. docs/leakage.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use sealdrop_core::slip::SLIP;
use sealdrop_tests::{Running, command, scratch, succeed, wait_until};
use serde_json::Value;

use crate::learner::{Sample, labels, learn};
use crate::programs::{desk, make_box, serve};
use crate::recorder::{Exchange, Recorder};

/// A box whose server is reached through a recorder.
struct Watched {
    folder: tempfile::TempDir,
    recorder: Recorder,
    address: String,
    _server: Running,
}

impl Watched {
    fn start(window: u64) -> Self {
        let folder = scratch();
        let dir = folder.path();
        let box_key = make_box(dir);
        let server = serve(dir, "data", "127.0.0.1:0", &box_key);
        let origin = server.origin();
        let recorder = Recorder::start(origin.trim_start_matches("http://").parse().unwrap());
        let origin = recorder.origin();
        let window = window.to_string();
        succeed(desk(dir).args(["publish", "--origin", &origin, "--window", &window]));
        recorder.take();
        Self {
            address: format!("{origin}#{box_key}"),
            folder,
            recorder,
            _server: server,
        }
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn desk(&self) -> Command {
        desk(self.dir())
    }

    /// Runs the reporter's program for this box, with the phrase in a file, if one is named.
    fn sealdrop(&self, verb: &str, phrase: Option<&str>, args: &[&str]) -> Value {
        let mut sealdrop = command("sealdrop");
        sealdrop
            .current_dir(self.dir())
            .args(["--json", verb, &self.address])
            .args(args);
        if let Some(phrase) = phrase {
            sealdrop.args(["--phrase-file", phrase]);
        }
        serde_json::from_str(&succeed(&mut sealdrop)).unwrap()
    }

    /// What the desk says in JSON.
    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&succeed(self.desk().arg("--json").args(args))).unwrap()
    }

    /// The number of the case with this title.
    fn case(&self, title: &str) -> u64 {
        let inbox = self.json(&["inbox"]);
        let mut cases = inbox["cases"].as_array().unwrap().iter();
        let case = cases.find(|case| case["title"] == title);
        case.unwrap_or_else(|| panic!("{title} is not in {inbox}"))["case"]
            .as_u64()
            .unwrap()
    }

    /// A member who is in the roster, and never comes.
    fn add_member(&self, name: &str) {
        let mut init = self.desk();
        init.args(["--json", "init", "--join", &self.address, "--member", name]);
        init.args(["--home", name, "--work-factor", "2"]);
        succeed(&mut init);
        let card = succeed(self.desk().args(["keys", "--card", "--home", name]));
        fs::write(self.dir().join("card"), card).unwrap();
        succeed(self.desk().args(["member", "add", "card"]));
        succeed(self.desk().arg("publish"));
    }

    /// Every slip of the feed, as anybody can fetch it.
    fn segments(&self) -> Vec<Vec<u8>> {
        self.recorder.take();
        self.sealdrop("check", Some("a"), &[]);
        let seen = self.recorder.take();
        let segments = seen
            .iter()
            .filter(|exchange| exchange.request().starts_with("GET /v1/feed/"));
        let slips = segments.flat_map(|exchange| exchange.answered().chunks(SLIP));
        slips.map(<[u8]>::to_vec).collect()
    }

    /// Files a report, keeps its phrase in a file of that name, and gives the digest of the drop.
    fn report(&self, name: &str) -> String {
        let report = ["--title", name, "--description", "d", "--yes"];
        let sent = self.sealdrop("submit", None, &report);
        fs::write(self.dir().join(name), sent["phrase"].as_str().unwrap()).unwrap();
        sent["digest"].as_str().unwrap().into()
    }
}

/// Does the trials, as many at once as there are boxes, and gives for each box what each was and what came of it.
fn trials<T: Send>(
    boxes: &[Watched],
    labels: &[usize],
    trial: impl Fn(&Watched, usize) -> T + Sync,
) -> Vec<Vec<(usize, T)>> {
    let share = labels.len().div_ceil(boxes.len());
    thread::scope(|scope| {
        let run = |(watched, labels): (_, &[usize])| {
            let one = |label: &usize| (*label, trial(watched, *label));
            labels.iter().map(one).collect::<Vec<_>>()
        };
        let pairs = boxes.iter().zip(labels.chunks(share));
        let running: Vec<_> = pairs.map(|pair| scope.spawn(move || run(pair))).collect();
        let done = running.into_iter().map(|running| running.join().unwrap());
        done.collect()
    })
}

#[test]
fn the_server_cannot_tell_a_report_a_follow_up_and_a_withdrawal_apart() {
    const KINDS: usize = 4;
    let boxes = [Watched::start(3_600), Watched::start(3_600)];
    for watched in &boxes {
        for name in ["a", "b"] {
            watched.report(name);
        }
        watched.recorder.take();
    }
    let long = "y".repeat(40_000);
    let results = trials(&boxes, &labels(240, KINDS, 1), |watched, kind| {
        let report = ["--title", "t", "--description", &long, "--yes"];
        match kind {
            0 => watched.sealdrop("submit", None, &report),
            1 => watched.sealdrop("reply", Some("a"), &["--text", "Yes", "--yes"]),
            2 => watched.sealdrop("reply", Some("b"), &["--text", &long, "--yes"]),
            _ => watched.sealdrop("withdraw", Some("a"), &["--yes"]),
        };
        watched.recorder.take()
    });
    let mut samples = Vec::new();
    for of_box in results {
        let shapes = |seen: &[Exchange]| -> Vec<_> {
            let shapes = seen.iter().map(Exchange::shape);
            shapes
                .map(|(head, sent, got)| (head.to_owned(), sent, got))
                .collect()
        };
        let first = shapes(&of_box[0].1);
        assert_eq!(first.len(), 2, "the box and the drop: {first:?}");
        for (label, mut seen) in of_box {
            assert_eq!(shapes(&seen), first, "kind {label}");
            let bytes = seen.pop().unwrap().body;
            samples.push(Sample { label, bytes });
        }
    }
    let score = learn(&samples, KINDS);
    assert!(!score.tells_apart(), "{score:?}");
}

#[test]
fn the_server_cannot_tell_who_reads_nor_whether_there_is_mail() {
    /// Answered, answered otherwise, not answered, never used.
    const PHRASES: [&str; 4] = ["a", "b", "c", "d"];
    let boxes = [Watched::start(5), Watched::start(5)];
    thread::scope(|scope| {
        for watched in &boxes {
            scope.spawn(|| converse(watched));
        }
    });
    let results = trials(&boxes, &labels(240, PHRASES.len(), 2), |watched, who| {
        let shown = watched.sealdrop("check", Some(PHRASES[who]), &[]);
        assert_eq!(shown["answered"], who < 2, "{shown}");
        watched.recorder.take()
    });
    let mut compared = 0;
    for of_box in results {
        // A window that ends between two readers lets both see more: what they ask for follows from what they were shown.
        let mut alike: BTreeMap<_, Vec<(usize, Vec<Exchange>)>> = BTreeMap::new();
        for (who, mut seen) in of_box {
            seen.sort();
            let shown = |what| seen.iter().find(|exchange| exchange.request() == what);
            let shown = ["GET /v1/feed", "GET /log/checkpoint"].map(|what| shown(what).cloned());
            alike.entry(shown).or_default().push((who, seen));
        }
        for readers in alike.into_values() {
            let (first, rest) = readers.split_first().unwrap();
            let others = rest.iter().filter(|(who, _)| *who != first.0).count();
            for (who, seen) in rest {
                // Not the shape alone: every byte.
                assert_eq!(*seen, first.1, "reader {who} beside {}", first.0);
            }
            compared += others;
        }
    }
    assert!(compared > 120, "only {compared} pairs of different readers");
}

/// Three reports, of which two are answered, and the feed has the answers.
fn converse(watched: &Watched) {
    for name in ["a", "b", "c"] {
        watched.report(name);
    }
    let never = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    fs::write(watched.dir().join("d"), never).unwrap();
    wait_until("the reports are in the log", || {
        succeed(watched.desk().arg("sync"));
        let inbox = watched.json(&["inbox"]);
        let mut cases = inbox["cases"].as_array().unwrap().iter();
        cases.all(|case| case["logged"] == true)
    });
    let case = |name: &str| watched.case(name).to_string();
    succeed(
        watched
            .desk()
            .args(["reply", &case("a"), "--text", "Thank you."]),
    );
    succeed(watched.desk().args(["ack", &case("b")]));
    wait_until("the answers are in the feed", || {
        succeed(watched.desk().arg("sync"));
        let answered = |who| watched.sealdrop("check", Some(who), &[])["answered"] == true;
        ["a", "b"].into_iter().all(answered)
    });
    watched.recorder.take();
}

#[test]
fn the_server_and_outsiders_cannot_tell_answers_from_decoys() {
    /// Slips that wait when the desk posts its four: none, one, all.
    const WAITING: [u64; 3] = [0, 1, 4];
    let boxes: [Watched; 6] = std::array::from_fn(|_| Watched::start(1));
    for watched in &boxes {
        watched.add_member("ben");
        watched.report("a");
        succeed(watched.desk().arg("sync"));
        watched.recorder.take();
    }
    let results = trials(&boxes, &labels(120, WAITING.len(), 3), |watched, kind| {
        let text = "z".repeat(if kind == 2 { 7_000 } else { 100 });
        if kind > 0 {
            succeed(watched.desk().args(["reply", "1", "--text", &text]));
        }
        let outbox: Value = watched.json(&["outbox"]);
        assert_eq!(outbox["waiting"], WAITING[kind], "{outbox}");
        let mut seen = Vec::new();
        wait_until("the desk posts", || {
            watched.recorder.take();
            succeed(watched.desk().arg("sync"));
            seen = watched.recorder.take();
            seen.iter().any(|exchange| exchange.request() == POST)
        });
        seen
    });
    let (mut syncs, mut bodies, mut slips) = (Vec::new(), Vec::new(), Vec::new());
    for (watched, of_box) in boxes.iter().zip(results) {
        let mut posted = BTreeMap::new();
        let mut heads = BTreeMap::new();
        for (kind, seen) in of_box {
            let post = seen.iter().filter(|exchange| exchange.request() == POST);
            let post = post.collect::<Vec<_>>();
            assert_eq!(post.len(), 1, "once in a window");
            let (head, sent, got) = post[0].shape();
            *heads.entry((head.len(), sent, got)).or_insert(0) += 1;
            let requests: Vec<String> = seen.iter().map(unnumbered).collect();
            let bytes = requests.join("\n").into_bytes();
            syncs.push(Sample { label: kind, bytes });
            for slip in post[0].body.chunks(SLIP) {
                posted.insert(slip.to_vec(), kind);
            }
            let bytes = post[0].body.clone();
            bodies.push(Sample { label: kind, bytes });
        }
        assert_eq!(
            heads.len(),
            1,
            "every post looks like every other: {heads:?}"
        );
        slips.extend(watched.segments().into_iter().filter_map(|bytes| {
            let label = match posted.get(&bytes) {
                Some(0) => 0,
                // Of a mixture nobody but the desk knows which is which.
                Some(1) => return None,
                Some(_) => 1,
                None => 2,
            };
            Some(Sample { label, bytes })
        }));
    }
    // Decoys of the desk's, answers, and decoys of the server's.
    let of = |label| slips.iter().filter(|slip| slip.label == label).count();
    assert!((0..3).all(|label| of(label) >= 100), "too few of a kind");
    for (what, samples) in [("sync", &syncs), ("body", &bodies), ("slip", &slips)] {
        let score = learn(samples, WAITING.len());
        assert!(!score.tells_apart(), "{what}: {score:?}");
    }
}

const POST: &str = "POST /v1/slips";

/// A request without the numbers in it, which grow with time, and the names of its headers.
fn unnumbered(exchange: &Exchange) -> String {
    let names = exchange.head.lines().skip(1);
    let names = names
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name);
    let names: Vec<_> = names.collect();
    let digits = |c: char| c.is_ascii_digit();
    let path: Vec<_> = exchange
        .request()
        .split(digits)
        .map(str::to_owned)
        .collect();
    format!(
        "{} {} {}",
        path.join("N"),
        names.join(","),
        exchange.body.len()
    )
}
