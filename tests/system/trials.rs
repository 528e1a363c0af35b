//! Trials: the real programs do one thing or another, hundreds of times, and whoever sits at the server sees every byte of it and tries to tell which it
//! was. docs/leakage.md.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use sealdrop_core::slip::SLIP;
use sealdrop_tests::{succeed, wait_until};

use crate::learner::{borrow, kinds, learn};
use crate::recorder::Exchange;
use crate::watched::Watched;

/// Does the trials, as many at once as there are boxes, and gives for each box what kind each was and what came of it.
fn trials<T: Send>(
    boxes: &[Watched],
    kinds: &[usize],
    trial: impl Fn(&Watched, usize) -> T + Sync,
) -> Vec<Vec<(usize, T)>> {
    let share = kinds.len().div_ceil(boxes.len());
    let trial = &trial;
    thread::scope(|scope| {
        let run = |(watched, kinds): (_, &[usize])| {
            let one = |kind: &usize| (*kind, trial(watched, *kind));
            kinds.iter().map(one).collect::<Vec<_>>()
        };
        let pairs = boxes.iter().zip(kinds.chunks(share));
        let running: Vec<_> = pairs.map(|pair| scope.spawn(move || run(pair))).collect();
        let done = running.into_iter().map(|running| running.join().unwrap());
        done.collect()
    })
}

/// Whether the learner tells these apart.
#[track_caller]
fn assert_alike(what: &str, one: &[Vec<u8>], other: &[Vec<u8>]) {
    let score = learn(&borrow(one), &borrow(other));
    assert!(!score.tells_apart(), "{what}: {score:?}");
}

#[test]
fn the_server_cannot_tell_a_report_a_follow_up_and_a_withdrawal_apart() {
    let boxes = [Watched::start(3_600), Watched::start(3_600)];
    for watched in &boxes {
        for name in ["a", "b"] {
            watched.report(name);
        }
        watched.recorder.take();
    }
    let long = "y".repeat(40_000);
    // Reports are as many as two of the others.
    let results = trials(&boxes, &kinds(400, 5, 1), |watched, kind| {
        let report = ["--title", "t", "--description", &long, "--yes"];
        match kind {
            0 => watched.sealdrop("reply", Some("a"), &["--text", "Yes", "--yes"]),
            1 => watched.sealdrop("reply", Some("b"), &["--text", &long, "--yes"]),
            2 => watched.sealdrop("withdraw", Some("a"), &["--yes"]),
            _ => watched.sealdrop("submit", None, &report),
        };
        watched.recorder.take()
    });
    let mut bodies: [Vec<Vec<u8>>; 4] = Default::default();
    for of_box in results {
        let shapes = |seen: &[Exchange]| -> Vec<_> {
            let shapes = seen.iter().map(Exchange::shape);
            shapes
                .map(|(head, sent, got)| (head.to_owned(), sent, got))
                .collect()
        };
        let first = shapes(&of_box[0].1);
        assert_eq!(first.len(), 2, "the box and the drop: {first:?}");
        for (kind, mut seen) in of_box {
            assert_eq!(shapes(&seen), first, "kind {kind}");
            bodies[kind.min(3)].push(seen.pop().unwrap().body);
        }
    }
    let [reply, other_reply, withdrawal, report] = bodies;
    assert_alike("two conversations", &reply, &other_reply);
    assert_alike("reply and withdrawal", &other_reply, &withdrawal);
    let first_of_each = reply.into_iter().zip(withdrawal);
    let later: Vec<_> = first_of_each
        .flat_map(|(one, other)| [one, other])
        .collect();
    assert_alike("report and what came later", &report, &later);
}

#[test]
fn the_server_cannot_tell_who_reads_nor_whether_there_is_mail() {
    /// Answered, answered otherwise, not answered, never used.
    const PHRASES: [&str; 4] = ["a", "b", "c", "d"];
    let boxes = [Watched::start(5), Watched::start(5)];
    thread::scope(|scope| {
        for watched in &boxes {
            scope.spawn(|| watched.converse());
        }
    });
    let results = trials(&boxes, &kinds(240, PHRASES.len(), 2), |watched, who| {
        let shown = watched.sealdrop("check", Some(PHRASES[who]), &[]);
        assert_eq!(shown["answered"], who < 2, "{shown}");
        watched.recorder.take()
    });
    let mut compared = 0;
    for of_box in results {
        // A window that ends between two readers lets both see more: what they ask for follows from what they were shown.
        let mut alike: BTreeMap<_, Vec<(usize, Vec<Exchange>)>> = BTreeMap::new();
        for (who, mut seen) in of_box {
            seen.iter_mut().for_each(Exchange::forget_clock);
            seen.sort();
            let shown = |what| seen.iter().find(|exchange| exchange.request() == what);
            let shown = ["GET /v1/feed", "GET /log/checkpoint"].map(|what| shown(what).cloned());
            alike.entry(shown).or_default().push((who, seen));
        }
        for readers in alike.into_values() {
            let (first, rest) = readers.split_first().unwrap();
            for (who, seen) in rest {
                let requests = |seen: &[Exchange]| -> Vec<_> {
                    seen.iter().map(|exchange| exchange.head.clone()).collect()
                };
                assert_eq!(requests(seen), requests(&first.1), "{who} and {}", first.0);
                // Not the requests alone: every byte.
                assert!(
                    *seen == first.1,
                    "{who} and {} saw different things",
                    first.0
                );
            }
            compared += rest.iter().filter(|(who, _)| *who != first.0).count();
        }
    }
    assert!(compared > 120, "only {compared} pairs of different readers");
}

#[test]
fn the_server_and_outsiders_cannot_tell_answers_from_decoys() {
    let boxes: [Watched; 6] = std::array::from_fn(|_| Watched::start(1));
    for watched in &boxes {
        watched.add_member("ben");
        watched.report("a");
        succeed(watched.desk().arg("sync"));
        watched.recorder.take();
    }
    // What fills the desk's share of four, or nothing.
    let text = "z".repeat(7_000);
    let results = trials(&boxes, &kinds(120, 2, 3), |watched, kind| {
        if kind == 1 {
            succeed(watched.desk().args(["reply", "1", "--text", &text]));
        }
        let outbox = watched.json(&["outbox"]);
        assert_eq!(outbox["waiting"], [0, 4][kind], "{outbox}");
        let mut seen = Vec::new();
        wait_until("the desk posts", || {
            watched.recorder.take();
            succeed(watched.desk().arg("sync"));
            seen = watched.recorder.take();
            seen.iter().any(|exchange| exchange.request() == POST)
        });
        seen
    });
    let mut syncs: [Vec<Vec<u8>>; 2] = Default::default();
    let mut bodies = syncs.clone();
    let (mut answers, mut decoys, mut servers) = (Vec::new(), Vec::new(), Vec::new());
    for (watched, of_box) in boxes.iter().zip(results) {
        let mut posted = BTreeMap::new();
        let mut shapes = BTreeSet::new();
        for (kind, seen) in of_box {
            let posts = seen.iter().filter(|exchange| exchange.request() == POST);
            let [post] = posts.collect::<Vec<_>>()[..] else {
                panic!("it posts once in a window");
            };
            let (head, sent, got) = post.shape();
            shapes.insert((head.len(), sent, got));
            posted.extend(post.body.chunks(SLIP).map(|slip| (slip.to_vec(), kind)));
            bodies[kind].push(post.body.clone());
            let requests: Vec<String> = seen.iter().map(unnumbered).collect();
            syncs[kind].push(requests.join("\n").into_bytes());
        }
        assert_eq!(shapes.len(), 1, "a post unlike the others: {shapes:?}");
        for slip in watched.feed() {
            match posted.get(&slip) {
                Some(0) => decoys.push(slip),
                Some(_) => answers.push(slip),
                None => servers.push(slip),
            }
        }
    }
    assert_alike("a sync", &syncs[0], &syncs[1]);
    assert_alike("a post", &bodies[0], &bodies[1]);
    assert_alike("answer and decoy", &answers, &decoys);
    assert_alike("answer and decoy of the server's", &answers, &servers);
    assert_alike("decoys of the desk's and the server's", &decoys, &servers);
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
