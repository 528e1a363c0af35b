//! What a member answers, and what becomes of it: in the outbox, on the wire, in the feed, and with the reporter.

use std::os::unix::fs::PermissionsExt as _;

use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::report::Kind;
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::clue::Seeker;
use sealdrop_core::slip::message::{Assembly, Message};
use sealdrop_core::slip::{self, Part, PartKind, SLIP, Slip};
use sealdrop_open::{Identity, open_slip};

use crate::bench::{Bench, Reporter, run_with};
use crate::byhand::{Tar, age_file};
use crate::carried::with_cellar;
use crate::server::WINDOW;

/// The share of a box of one member.
pub(crate) const SHARE: usize = 8;

/// A box, at a moment at which the window of now will not end within the test.
pub(crate) fn bench() -> Bench {
    while sealdrop_client::system::now().0 % WINDOW > WINDOW - 20 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Bench::new()
}

/// A box with one case, synced; the first sync has posted decoys for the window before this one.
pub(crate) fn with_case() -> (Bench, Reporter) {
    let bench = bench();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let drop = reporter.drop(&roster, Kind::Report, "a bug");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.server.lock().slips_ago = 1;
    bench.desk("ana", &["sync"]).ok();
    bench.server.lock().slips_ago = 0;
    (bench, reporter)
}

pub(crate) fn slips(bytes: &[u8]) -> Vec<Slip> {
    assert_eq!(bytes.len() % SLIP, 0);
    bytes
        .chunks(SLIP)
        .map(|slip| slip.try_into().unwrap())
        .collect()
}

/// What a reporter finds among slips: parts with the member's signature, and how many slips had their clue.
pub(crate) fn read(reporter: &Reporter, roster: &Roster, all: &[Slip]) -> Vec<Part> {
    let seeker = Seeker::new(&reporter.keys.clue, roster.box_key());
    let identity = Identity::new(&reporter.keys.identity);
    let mine = all.iter().filter(|slip| seeker.finds(slip::split(slip).0));
    mine.map(|slip| {
        open_slip(slip, &identity, |part| {
            let mut members = roster.members().iter();
            let member = members.find(|member| member.name == part.member)?;
            Some(member.voice.key().clone())
        })
        .unwrap()
    })
    .collect()
}

pub(crate) fn message(parts: Vec<Part>) -> (PartKind, Message) {
    let mut parts = parts.into_iter();
    let mut assembly = Assembly::new(parts.next().unwrap());
    for part in parts {
        assert!(assembly.add(part));
    }
    (assembly.envelope.kind, assembly.message().unwrap().unwrap())
}

/// The slips that the server holds of ana, for the window of now.
pub(crate) fn posted(bench: &Bench) -> Vec<Slip> {
    let state = bench.server.lock();
    slips(&state.slips[&(bench.server.now(), "ana".to_owned())])
}

/// The slips in ana's outbox that nobody has seen yet.
pub(crate) fn waiting(bench: &Bench) -> Vec<Slip> {
    let entries = std::fs::read_dir(bench.path("ana/outbox")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        stem.bytes().all(|byte| byte.is_ascii_digit())
    });
    paths.sort();
    paths
        .iter()
        .flat_map(|path| slips(&std::fs::read(path).unwrap()))
        .collect()
}

/// What is said to the case by this command, as the reporter reads it after one sync.
fn says(args: &[&str]) -> (PartKind, Message) {
    let (bench, reporter) = with_case();
    bench.desk("ana", args).ok();
    bench.desk("ana", &["sync"]).ok();
    message(read(&reporter, &bench.server.roster(), &posted(&bench)))
}

#[test]
fn a_reply_reaches_the_reporter_signed() {
    let (bench, reporter) = with_case();
    let said = bench.json("ana", &["reply", "1", "--text", "Thank you.\n\n"]);
    assert_eq!(
        (&said["slips"], &said["waiting"], &said["windows"]),
        (&1.into(), &1.into(), &1.into())
    );
    let synced = bench.json("ana", &["sync"]);
    assert_eq!(synced["answers"]["posted"], bench.server.now());
    assert_eq!(synced["answers"]["waiting"], 0);
    let all = posted(&bench);
    assert_eq!(all.len(), SHARE);
    let parts = read(&reporter, &bench.server.roster(), &all);
    assert_eq!(parts.len(), 1, "the others are decoys");
    assert_eq!(parts[0].conversation, reporter.keys.conversation);
    assert_eq!(parts[0].member, "ana");
    let (kind, said) = message(parts);
    assert_eq!((kind, said.text.as_str()), (PartKind::Note, "Thank you."));
}

#[test]
fn each_command_says_what_it_means() {
    let (kind, said) = says(&["ask", "1", "--text", "Which version?"]);
    assert_eq!(
        (kind, said.text.as_str()),
        (PartKind::Question, "Which version?")
    );
    let (kind, said) = says(&["propose-date", "1", "--on", "2099-12-24"]);
    assert_eq!(kind, PartKind::Dates);
    assert_eq!(
        (said.dates[0].what.as_str(), said.dates[0].on.as_str()),
        ("disclosure", "2099-12-24")
    );
    let met = [
        "met",
        "1",
        "fix",
        "--on",
        "2020-02-28",
        "--promised",
        "2020-03-01",
    ];
    let (kind, said) = says(&met);
    assert_eq!(kind, PartKind::Dates);
    let date = &said.dates[0];
    assert_eq!(
        (date.what.as_str(), date.on.as_str()),
        ("fix", "2020-03-01")
    );
    assert_eq!(date.met.as_deref(), Some("2020-02-28"));
    let (kind, said) = says(&["status", "1", "fixing", "--text", "nearly"]);
    assert_eq!(
        (kind, said.state.as_deref(), said.text.as_str()),
        (PartKind::Status, Some("fixing"), "nearly")
    );
    let (kind, said) = says(&["close", "1", "--state", "duplicate"]);
    assert_eq!(
        (kind, said.state.as_deref()),
        (PartKind::Closed, Some("duplicate"))
    );
}

#[test]
fn an_ack_names_the_drops_that_are_here_in_log_order() {
    let (bench, mut reporter) = with_case();
    let roster = bench.server.roster();
    let more = [Kind::FollowUp, Kind::FollowUp].map(|kind| reporter.drop(&roster, kind, "more"));
    for drop in &more {
        bench.server.accept(drop, bench.past(8));
    }
    bench.server.close(bench.past(8));
    // This one is listed, and in no log yet.
    let open = reporter.drop(&roster, Kind::FollowUp, "fresh");
    bench.server.accept(&open, bench.past(0));
    bench.desk("ana", &["sync"]).ok();
    bench.desk("ana", &["ack", "1"]).ok();
    let state = bench.server.lock();
    let (kind, said) = message(read(&reporter, &roster, &waiting(&bench)));
    assert_eq!(kind, PartKind::Ack);
    let digests: Vec<_> = said.leaves.iter().map(|leaf| leaf.digest).collect();
    let logged: Vec<_> = state
        .leaves
        .iter()
        .filter(|leaf| said.leaves.contains(leaf))
        .map(|leaf| leaf.digest)
        .collect();
    assert_eq!(digests, logged);
    assert_eq!(digests[1..], [sha256(&more[0]), sha256(&more[1])]);
}

#[test]
fn a_case_that_is_in_no_log_is_not_acknowledged() {
    let bench = bench();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "fresh");
    bench.server.accept(&drop, bench.past(0));
    bench.desk("ana", &["sync"]).ok();
    bench
        .desk("ana", &["ack", "1"])
        .fails(1, &["in the log yet", "sync"]);
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 0);
}

#[test]
fn a_file_comes_out_as_it_went_in_and_the_desk_says_when() {
    let (bench, reporter) = with_case();
    // Hardly compressible, so that it needs more windows than one.
    let patch: Vec<u8> = (0..1_000_u32)
        .flat_map(|n| sha256(&n.to_be_bytes()))
        .collect();
    std::fs::write(bench.path("fix.patch"), &patch).unwrap();
    let said = bench.json("ana", &["reply", "1", "--attach", &bench.arg("fix.patch")]);
    let (slips_, windows) = (
        said["slips"].as_u64().unwrap(),
        said["windows"].as_u64().unwrap(),
    );
    assert_eq!(windows, slips_.div_ceil(SHARE as u64));
    assert!(windows > 1);
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains(&format!("{slips_} slips wait"))
            && inbox.contains(&format!("after {windows} windows")),
        "{inbox}"
    );
    // Every slip of it stands in the outbox; what is posted of it is the first of them.
    bench.desk("ana", &["sync"]).ok();
    let mut all = posted(&bench);
    assert_eq!(
        bench.json("ana", &["outbox"])["waiting"],
        slips_ - SHARE as u64
    );
    all.extend(waiting(&bench));
    let (kind, said) = message(read(&reporter, &bench.server.roster(), &all));
    assert_eq!(kind, PartKind::File);
    let file = said.file.unwrap();
    assert_eq!(
        (file.name.as_str(), file.size),
        ("fix.patch", patch.len() as u64)
    );
    let content = miniz_oxide::inflate::decompress_to_vec_zlib(&file.zlib).unwrap();
    assert_eq!(content, patch);
}

#[test]
fn a_file_that_stays_large_is_refused() {
    let (bench, _) = with_case();
    let noise: Vec<u8> = (0..2_100_u32)
        .flat_map(|n| sha256(&n.to_be_bytes()))
        .collect();
    std::fs::write(bench.path("noise"), &noise).unwrap();
    bench
        .desk("ana", &["reply", "1", "--attach", &bench.arg("noise")])
        .fails(2, &["65,536 bytes is the most"]);
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 0);
}

#[test]
fn a_file_over_the_limit_before_compression_is_refused_by_that_limit() {
    let (bench, _) = with_case();
    let path = bench.path("zeros");
    let zeros = std::fs::File::create(&path).unwrap();
    zeros.set_len((16 << 20) + 1).unwrap();
    let refused = bench.desk("ana", &["reply", "1", "--attach", &bench.arg("zeros")]);
    assert!(!refused.err.contains("65,536"), "{}", refused.err);
    refused.fails(2, &["more than 16,777,216 bytes", "the link"]);
    zeros.set_len(16 << 20).unwrap();
    bench
        .desk("ana", &["reply", "1", "--attach", &bench.arg("zeros")])
        .ok();
}

#[test]
fn each_answer_says_when_it_is_out_and_what_goes_before_it() {
    let (bench, _) = with_case();
    let patch: Vec<u8> = (0..1_000_u32)
        .flat_map(|n| sha256(&n.to_be_bytes()))
        .collect();
    std::fs::write(bench.path("fix.patch"), &patch).unwrap();
    let first = bench
        .desk("ana", &["reply", "1", "--text", "see below"])
        .ok();
    assert!(!first.contains("go first"), "{first}");
    let file = bench.json("ana", &["reply", "1", "--attach", &bench.arg("fix.patch")]);
    assert_eq!(file["before"], 1);
    let before = file["slips"].as_u64().unwrap() + 1;
    let late = bench.desk("ana", &["ask", "1", "--text", "does it?"]).ok();
    assert!(
        late.contains(&format!(
            "{before} slips of answers that were queued before"
        )),
        "{late}"
    );
    let windows = |position: u64| position.div_ceil(SHARE as u64);
    let outbox = bench.json("ana", &["outbox"]);
    let after = |answer: usize| outbox["answers"][answer]["windows"].clone();
    assert_eq!(after(0), 1);
    assert_eq!(after(1), windows(before));
    assert_eq!(after(2), windows(before + 1));
    assert_eq!(outbox["windows"], windows(before + 1));
    let said = bench.desk("ana", &["outbox"]).ok();
    assert!(
        said.contains("1 slip in the outbox, out after 1 window, not before"),
        "{said}"
    );
}

#[test]
fn mistakes_queue_nothing() {
    let (bench, _) = with_case();
    bench
        .desk("ana", &["reply", "7", "--text", "x"])
        .fails(1, &["no case 7"]);
    bench
        .desk("ana", &["reply", "1", "--text", " \n"])
        .fails(2, &["there is no text"]);
    bench
        .desk("ana", &["propose-date", "1", "--on", "2026-02-30"])
        .fails(2, &["not a day"]);
    bench
        .desk("ana", &["propose-date", "1", "--on", "2020-01-01"])
        .fails(2, &["that day is over"]);
    bench
        .desk("ana", &["met", "1", "fix", "--on", "2026-02-30"])
        .fails(2, &["not a day"]);
    bench
        .desk("ana", &["met", "1", "fix", "--on", "2099-01-01"])
        .fails(2, &["still to come"]);
    bench
        .desk("ana", &["met", "1", "fix"])
        .fails(1, &["no day was proposed for fix", "--promised"]);
    bench
        .desk("ana", &["status", "1", "Nearly Done"])
        .fails(2, &["one word"]);
    let long = "x".repeat(128_000);
    std::fs::write(bench.path("long"), long).unwrap();
    bench
        .desk("ana", &["reply", "1", "--from", &bench.arg("long")])
        .fails(1, &["128,000 bytes", "attach"]);
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 0);
}

#[test]
fn text_comes_from_a_file_and_from_standard_input() {
    let (bench, reporter) = with_case();
    std::fs::write(bench.path("text"), "from a file\n").unwrap();
    bench
        .desk("ana", &["reply", "1", "--from", &bench.arg("text")])
        .ok();
    run_with(bench.dir.path(), "ana", &["ask", "1"], &[], "from a pipe\n").ok();
    run_with(bench.dir.path(), "ana", &["reply", "1"], &[], "").fails(2, &["there is no text"]);
    bench.desk("ana", &["sync"]).ok();
    let parts = read(&reporter, &bench.server.roster(), &posted(&bench));
    let texts: Vec<_> = parts
        .into_iter()
        .map(|part| message(vec![part]).1.text)
        .collect();
    assert_eq!(
        texts,
        ["from a file", "from a pipe"],
        "in the order in which they were written"
    );
}

#[test]
fn a_date_that_was_met_keeps_the_day_that_was_promised_last() {
    let (bench, reporter) = with_case();
    for day in ["2099-01-31", "2099-02-28"] {
        bench.desk("ana", &["propose-date", "1", "--on", day]).ok();
    }
    bench
        .desk(
            "ana",
            &["propose-date", "1", "--what", "fix", "--on", "2098-01-01"],
        )
        .ok();
    bench
        .desk("ana", &["met", "1", "disclosure", "--on", "2026-11-20"])
        .ok();
    let shown = bench.desk("ana", &["open", "1"]).ok();
    assert!(
        shown.contains("disclosure: 2099-02-28, met on 2026-11-20"),
        "{shown}"
    );
    let json = bench.json("ana", &["open", "1"]);
    assert_eq!(json["answers"][3]["dates"][0]["met"], "2026-11-20");
    assert_eq!(json["answers"][1]["dates"][0].get("met"), None);
    let parts = read(&reporter, &bench.server.roster(), &waiting(&bench));
    let (_, said) = message(vec![
        parts.into_iter().max_by_key(|part| part.number).unwrap(),
    ]);
    assert_eq!(said.dates[0].on, "2099-02-28");
}

#[test]
fn canned_texts_are_listed_sent_and_opened_in_the_editor() {
    let (bench, reporter) = with_case();
    let none = bench.desk("ana", &["canned"]).ok();
    assert!(none.contains("canned/thanks.txt"), "{none}");
    let folder = bench.path("ana/canned");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in [
        ("thanks.txt", "Thank you.\n\nWe look at it.\n"),
        ("no-bug.txt", "It is \x1b[31mmeant.\n"),
        ("Not A Name.txt", "x"),
        ("thanks.txt~", "x"),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let listed = bench.desk("ana", &["canned"]).ok();
    assert_eq!(
        listed,
        "no-bug  It is \\x1b[31mmeant.\nthanks  Thank you.\n"
    );
    let listed = bench.json("ana", &["canned"])["texts"].clone();
    assert_eq!(listed.as_object().unwrap().len(), 2);
    assert_eq!(listed["thanks"], "Thank you.\n\nWe look at it.");

    bench
        .desk("ana", &["close", "1", "--canned", "thanks"])
        .ok();
    std::fs::write(bench.path("editor"), "echo Soon. >> \"$1\"").unwrap();
    let editor = format!("sh {}", bench.arg("editor"));
    let env = [("EDITOR", &*editor), ("PATH", "/usr/bin:/bin")];
    let args = ["reply", "1", "--canned", "thanks", "--edit"];
    run_with(bench.dir.path(), "ana", &args, &env, "").ok();
    let parts = read(&reporter, &bench.server.roster(), &waiting(&bench));
    let texts: Vec<_> = parts
        .into_iter()
        .map(|part| message(vec![part]).1.text)
        .collect();
    assert_eq!(
        texts,
        [
            "Thank you.\n\nWe look at it.",
            "Thank you.\n\nWe look at it.\nSoon."
        ]
    );

    for (name, says) in [
        ("nothing", "no text called nothing"),
        ("../passphrase", "one word"),
    ] {
        let args = ["reply", "1", "--canned", name];
        bench.desk("ana", &args).fails(2, &[says]);
    }
    bench
        .desk("ana", &["reply", "1", "--canned", "thanks", "--text", "x"])
        .fails(2, &["cannot be used with"]);
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 2);
}

#[test]
fn what_is_written_in_an_editor_is_gone_afterwards() {
    let (bench, reporter) = with_case();
    let tmp = bench.path("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let editor = bench.path("editor");
    std::fs::write(
        &editor,
        "#!/bin/sh\necho more >> \"$1\"\ncp \"$1\" \"$1~\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o700)).unwrap();
    let env = [
        ("EDITOR", editor.to_str().unwrap()),
        ("XDG_RUNTIME_DIR", tmp.to_str().unwrap()),
        ("PATH", "/usr/bin:/bin"),
    ];
    let edit = |env: &[(&str, &str)]| {
        let args = ["reply", "1", "--edit", "--text", "canned\n"];
        run_with(bench.dir.path(), "ana", &args, env, "")
    };
    edit(&env).ok();
    let (_, said) = message(read(&reporter, &bench.server.roster(), &waiting(&bench)));
    assert_eq!(said.text, "canned\nmore");
    edit(&env[1..]).fails(2, &["set EDITOR"]);
    edit(&[("EDITOR", "false"), env[1], env[2]]).fails(1, &["nothing was queued"]);
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 1);
}

#[test]
fn a_ctrl_c_in_the_editor_queues_nothing_and_leaves_nothing() {
    let (bench, _) = with_case();
    let tmp = bench.path("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let script = "echo text >> \"$1\"; kill -INT $PPID";
    std::fs::write(bench.path("editor"), script).unwrap();
    let env = [
        ("EDITOR", &*format!("sh {}", bench.arg("editor"))),
        ("XDG_RUNTIME_DIR", tmp.to_str().unwrap()),
        ("PATH", "/usr/bin:/bin"),
    ];
    run_with(bench.dir.path(), "ana", &["reply", "1", "--edit"], &env, "")
        .fails(1, &["stopped: nothing was queued"]);
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
}

#[test]
fn a_sync_posts_as_many_slips_whether_anything_waits_or_not() {
    let [silent, speaking] = [false, true].map(|speaks| {
        let (bench, _) = with_case();
        let before = bench.server.lock().requests.len();
        if speaks {
            bench.desk("ana", &["reply", "1", "--text", "hello"]).ok();
        }
        bench.desk("ana", &["sync"]).ok();
        // And once is all there is in a window.
        bench.desk("ana", &["reply", "1", "--text", "again"]).ok();
        bench.desk("ana", &["sync"]).ok();
        let state = bench.server.lock();
        let lengths: Vec<usize> = state.posts.iter().map(Vec::len).collect();
        (state.requests[before..].to_vec(), lengths)
    });
    assert_eq!(silent, speaking);
    assert_eq!(silent.1, [SHARE * SLIP; 2], "one for each window");
}

#[test]
fn a_post_that_failed_is_sent_again_with_the_same_bytes() {
    let (bench, _) = with_case();
    bench.desk("ana", &["reply", "1", "--text", "first"]).ok();
    // The server took it, and its answer was lost.
    bench.server.lock().refuses_slips = Some((500, true));
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("the same bytes, with the next sync"),
        "{said}"
    );
    bench.desk("ana", &["reply", "1", "--text", "second"]).ok();
    bench.server.lock().refuses_slips = None;
    bench.desk("ana", &["sync"]).ok();
    let posts = bench.server.lock().posts.clone();
    assert_eq!(posts.len(), 3);
    assert_eq!(posts[1], posts[2]);
    assert_eq!(
        bench.json("ana", &["outbox"])["waiting"],
        1,
        "the second waits"
    );
}

#[test]
fn a_post_whose_window_closed_before_it_was_answered_goes_into_one_segment() {
    // With and without the log's word for it: the server knows the bytes, and so does the segment.
    for closes in [false, true] {
        let (bench, _) = with_case();
        let _ = std::fs::remove_dir_all(bench.path("ana/outbox"));
        bench.server.lock().slips.clear();
        bench.desk("ana", &["reply", "1", "--text", "first"]).ok();
        {
            let mut state = bench.server.lock();
            state.slips_ago = 1;
            state.refuses_slips = Some((500, true));
        }
        bench.desk("ana", &["sync"]).ok();
        let window = bench.past(1);
        // The desk tried in this window, by its clock; make it the one before.
        let path = bench.path("ana/outbox/state.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(&bench.server.now().to_string(), &window.to_string());
        std::fs::write(&path, text).unwrap();
        {
            let mut state = bench.server.lock();
            state.slips_ago = 0;
            state.refuses_slips = None;
            if closes {
                state.close(window);
            }
        }
        bench.desk("ana", &["reply", "1", "--text", "second"]).ok();
        let said = bench.json("ana", &["sync"]);
        assert_eq!(said["answers"]["posted"], bench.server.now());
        assert_eq!(said["answers"]["waiting"], 0, "the second went as well");
        let state = bench.server.lock();
        let [before, now] = [window, bench.server.now()]
            .map(|window| slips(&state.slips[&(window, "ana".to_owned())]));
        assert!(now.iter().all(|slip| !before.contains(slip)), "{closes}");
        drop(state);
        let answers = bench.json("ana", &["open", "1"])["answers"].clone();
        assert_eq!(answers[0]["progress"]["posted"], window, "{answers}");
        assert_eq!(answers[1]["progress"]["posted"], bench.server.now());
        bench.desk("ana", &["sync"]).ok();
        let out = bench.json("ana", &["open", "1"])["answers"][0]["progress"].clone();
        assert_eq!(out["out"] == window, closes);
    }
}

#[test]
fn a_server_without_the_endpoint_or_with_a_full_segment_is_no_failed_sync() {
    let (bench, _) = with_case();
    bench
        .desk("ana", &["reply", "1", "--text", "patience"])
        .ok();
    for (status, says) in [
        (404, "does not take any"),
        (405, "does not take any"),
        (422, "another roster"),
        (401, "could not be posted"),
        (503, "segment is full"),
    ] {
        bench.server.lock().refuses_slips = Some((status, false));
        let said = bench.desk("ana", &["sync"]).ok();
        assert!(
            said.contains(says) && said.contains("1 slip"),
            "{status}: {said}"
        );
    }
    bench.server.lock().refuses_slips = None;
    let said = bench.json("ana", &["sync"]);
    assert_eq!(said["answers"]["waiting"], 0);
    let posts = &bench.server.lock().posts;
    assert!(
        posts[1..].iter().all(|post| *post == posts[1]),
        "the same bytes each time"
    );
}

#[test]
fn a_server_that_names_a_window_far_away_has_not_taken_anything() {
    let (bench, _) = with_case();
    bench.desk("ana", &["reply", "1", "--text", "now"]).ok();
    let far = bench.server.now() + 1000;
    bench.server.lock().says_window = Some(far);
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("set the clock") && said.contains("1 slip"),
        "{said}"
    );
}

#[test]
fn what_the_feed_holds_is_seen_there() {
    let (bench, _) = with_case();
    bench.desk("ana", &["reply", "1", "--text", "kept"]).ok();
    let open = |bench: &Bench| bench.json("ana", &["open", "1"])["answers"][0]["progress"].clone();
    assert_eq!(open(&bench)["waiting"], 1);
    bench.desk("ana", &["sync"]).ok();
    let window = bench.server.now();
    assert_eq!(open(&bench)["posted"], window);
    bench.server.close(window - 1);
    bench.server.close(window);
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(open(&bench)["out"], window);
    let fetched = |bench: &Bench| {
        let state = bench.server.lock();
        let feed = state.requests.iter().filter(|r| r.contains("/v1/feed/"));
        feed.count()
    };
    assert_eq!(
        fetched(&bench),
        2,
        "both windows that it posted in, decoys or not"
    );
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(fetched(&bench), 2, "once");
}

#[test]
fn server_loses_an_answer_that_it_took() {
    let (bench, reporter) = with_case();
    bench
        .desk("ana", &["reply", "1", "--text", "precious"])
        .ok();
    bench.desk("ana", &["sync"]).ok();
    let window = bench.server.now();
    let lost = posted(&bench);
    {
        // It keeps the decoys of the window before, and none of this one's; the case is named.
        let mut state = bench.server.lock();
        state.close(window - 1);
        let kept = lost[SHARE - 1];
        state.slips.insert((window, "ana".into()), kept.to_vec());
        state.close(window);
    }
    let ran = bench.desk("ana", &["sync"]);
    let name = &hex(&sha256(&lost[0]))[..16];
    ran.fails(
        1,
        &[
            "FAULT",
            "the server did not keep the answer",
            name,
            "part 1 of 1 of an answer to case 1",
        ],
    );
    assert!(
        !bench.server.lock().cosigned.is_empty(),
        "the log is cosigned all the same: drops are another matter"
    );
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 1);
    // It goes again, with the decoys that were lost too, so that the server learns nothing from what comes twice.
    std::fs::write(bench.path("ana/outbox/state.json"), {
        let text = std::fs::read_to_string(bench.path("ana/outbox/state.json")).unwrap();
        let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
        state["last"] = (window - 1).into();
        state.to_string()
    })
    .unwrap();
    bench.server.lock().slips.clear();
    bench.desk("ana", &["sync"]).ok();
    let again = posted(&bench);
    assert_eq!(again[..SHARE - 1], lost[..SHARE - 1]);
    assert_ne!(again[SHARE - 1], lost[SHARE - 1]);
    let (_, said) = message(read(&reporter, &bench.server.roster(), &again));
    assert_eq!(said.text, "precious");
}

#[test]
fn server_shows_another_segment_than_it_logged() {
    let (bench, _) = with_case();
    let window = bench.past(1);
    bench.server.close(window);
    let good = bench.server.lock().segments[&window].clone();
    let mut bad = good.clone();
    bad[5] ^= 1;
    bench.server.lock().segments.insert(window, bad);
    bench
        .desk("ana", &["sync"])
        .fails(1, &["is not what it logged", &window.to_string()]);
    bench.server.lock().segments.remove(&window);
    bench
        .desk("ana", &["sync"])
        .fails(1, &["could not be fetched"]);
    bench.server.lock().segments.insert(window, good);
    bench.desk("ana", &["sync"]).ok();
}

#[test]
fn server_logs_a_window_without_a_segment() {
    let (bench, _) = with_case();
    let window = bench.past(1);
    bench.server.lock().slips.clear();
    bench.server.close(window);
    bench
        .desk("ana", &["sync"])
        .fails(1, &["did not keep the answer", "decoy "]);
    // It is said once; the decoys go again.
    bench.desk("ana", &["sync"]).ok();
}

#[test]
fn a_log_that_is_refused_says_nothing_of_what_was_kept_and_stops_no_answer() {
    let (bench, reporter) = with_case();
    {
        let mut state = bench.server.lock();
        state.slips.clear();
        state.close(sealdrop_client::system::now().0 / WINDOW - 1);
        state.log_key = sealdrop_core::key::SecretKey::from_seed(&[0x11; 32]);
    }
    bench
        .desk("ana", &["reply", "1", "--text", "all the same"])
        .ok();
    let ran = bench.desk("ana", &["sync"]);
    assert!(!ran.out.contains("did not keep"), "{}", ran.out);
    ran.fails(1, &["log signature"]);
    let roster = bench.server.roster();
    assert_eq!(read(&reporter, &roster, &posted(&bench)).len(), 1);
}

#[test]
fn a_case_shows_both_sides_and_no_text_is_at_rest() {
    let (bench, mut reporter) = with_case();
    bench
        .desk(
            "ana",
            &["status", "1", "confirmed", "--text", "CANARY\x1b[2J one"],
        )
        .ok();
    let roster = bench.server.roster();
    let more = reporter.drop(&roster, Kind::FollowUp, "more of it");
    bench.server.accept(&more, bench.past(8));
    bench.server.close(bench.past(8));
    bench.desk("ana", &["sync"]).ok();
    bench
        .desk(
            "ana",
            &[
                "propose-date",
                "1",
                "--on",
                "2099-01-31",
                "--text",
                "CANARY two",
            ],
        )
        .ok();
    let shown = bench.desk("ana", &["open", "1"]).ok();
    let at = |text: &str| {
        shown
            .find(text)
            .unwrap_or_else(|| panic!("{text} is not in {shown}"))
    };
    assert!(at("about a bug") < at("state: confirmed"));
    assert!(at("  CANARY\\x1b[2J one") < at("about more of it"));
    assert!(at("about more of it") < at("disclosure: 2099-01-31"));
    assert!(at("disclosure: 2099-01-31") < at("  CANARY two"));
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("2 messages, 2 answers, confirmed"),
        "{inbox}"
    );
    let mut folders = vec![bench.path("ana")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            for canary in ["CANARY", "confirmed", "2099-01-31"] {
                assert!(
                    !bytes.windows(canary.len()).any(|w| w == canary.as_bytes()),
                    "{canary} in {}",
                    path.display()
                );
            }
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0);
        }
    }
}

#[test]
fn only_the_drops_of_the_conversation_say_to_whom_an_answer_goes() {
    let (bench, reporter) = with_case();
    let roster = bench.server.roster();
    // Mallory claims the conversation, with keys of her own; and replays what the reporter sent.
    let mut mallory = Reporter::new(66, roster.box_key());
    let report = mallory.report(&roster, Kind::FollowUp, "send it to me", &[]);
    let json = String::from_utf8(report.to_json().unwrap()).unwrap();
    let json = json.replace(
        &report.conversation.to_string(),
        &reporter.keys.conversation.to_string(),
    );
    let recipients = [roster.members()[0].recipient.clone()];
    let tar = Tar::bare(json.as_bytes(), &mallory.keys.voice);
    let forged = age_file(&mallory.file_key(), &recipients, &tar);
    bench.server.accept(&forged, bench.past(8));
    bench.server.close(bench.past(8));
    bench
        .desk("ana", &["reply", "1", "--text", "for the reporter"])
        .ok();
    bench.desk("ana", &["sync"]).ok();
    bench
        .desk("ana", &["reply", "1", "--text", "and this"])
        .ok();
    let inbox = bench.json("ana", &["inbox"]);
    assert_eq!(inbox["quarantine"][0]["reason"], "bad signature");
    assert_eq!(inbox["cases"][0]["messages"], 1);
    let all = posted(&bench);
    for of in [&all, &waiting(&bench)] {
        assert_eq!(read(&reporter, &roster, of).len(), 1);
        assert_eq!(read(&mallory, &roster, of).len(), 0);
    }
}

#[test]
fn a_withdrawal_threads_into_its_case_and_answers_still_go() {
    let (bench, mut reporter) = with_case();
    let roster = bench.server.roster();
    let report = reporter.report(&roster, Kind::Withdraw, "never mind", &[]);
    for _ in 0..2 {
        let drop = reporter.seal(&roster, &report, &[]);
        bench.server.accept(&drop, bench.past(8));
    }
    bench.server.close(bench.past(8));
    bench.desk("ana", &["sync"]).ok();
    let inbox = bench.json("ana", &["inbox"]);
    assert_eq!(inbox["cases"][0]["messages"], 2);
    assert_eq!(inbox["quarantine"][0]["reason"], "replay");
    assert_eq!(inbox["cases"].as_array().unwrap().len(), 1);
    assert_eq!(inbox["cases"][0]["withdrawn"], true);
    let said = bench
        .desk("ana", &["close", "1", "--state", "withdrawn"])
        .ok();
    assert!(said.contains("has withdrawn this report"), "{said}");
    let shown = bench.desk("ana", &["open", "1"]).ok();
    assert!(shown.contains("state: withdrawn"), "{shown}");
}

#[test]
fn a_machine_without_an_identity_posts_decoys() {
    let (bench, _) = with_case();
    bench.join_device("courier");
    bench.desk("courier", &["sync"]).ok();
    let state = bench.server.lock();
    assert_eq!(state.posts.last().unwrap().len(), SHARE * SLIP);
    drop(state);
    bench
        .desk("courier", &["reply", "1", "--text", "x"])
        .fails(1, &["no identity on this machine"]);
    // The member's share is out: the other machine waits for the next window.
    bench.desk("ana", &["reply", "1", "--text", "later"]).ok();
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(said.contains("another machine of this member"), "{said}");
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 1);
}

#[test]
fn the_post_is_the_last_request_of_a_sync() {
    // Whatever it does for an answer afterwards, it does where nobody can take its time.
    let (bench, mut reporter) = with_case();
    let roster = bench.server.roster();
    let more = reporter.drop(&roster, Kind::FollowUp, "more");
    bench.server.accept(&more, bench.past(1));
    bench.server.close(bench.past(1));
    bench.desk("ana", &["reply", "1", "--text", "hello"]).ok();
    bench.desk("ana", &["sync"]).ok();
    let requests = bench.server.lock().requests.clone();
    let at = |of: &str| requests.iter().rposition(|request| request.starts_with(of));
    assert_eq!(
        at("POST /v1/slips"),
        Some(requests.len() - 1),
        "{requests:?}"
    );
    assert!(at("POST /log/cosign") < at("GET /v1/feed/"));
}

#[test]
fn a_former_member_answers_nothing() {
    let bench = bench();
    bench.join("ben");
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "a bug");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.desk("ben", &["sync"]).ok();
    bench.desk("ben", &["reply", "1", "--text", "hello"]).ok();
    bench.desk("ana", &["member", "remove", "ben"]).ok();
    bench.desk("ana", &["publish"]).ok();
    bench.carry("ana", "ben");
    bench
        .desk("ben", &["reply", "1", "--text", "hello again"])
        .fails(1, &["does not name ben", "no reporter would believe"]);
    assert_eq!(bench.json("ben", &["outbox"])["waiting"], 1);
}

#[test]
fn an_offline_machine_answers_and_the_connected_one_posts() {
    let (bench, reporter) = with_cellar();
    let (roster, bundle) = (bench.server.roster(), bench.arg("b.tar"));
    // Carried twice, it is posted once.
    bench.carry("cellar", "laptop");
    let again = bench.carry("cellar", "laptop");
    assert!(!again.contains("slips of answers"), "{again}");
    assert_eq!(bench.json("laptop", &["outbox"])["waiting"], 2);
    bench.desk("laptop", &["sync"]).ok();
    let all = {
        let state = bench.server.lock();
        slips(&state.slips[&(bench.server.now(), "ben".to_owned())])
    };
    assert_eq!(all.len(), SHARE / 2, "of two members");
    let parts = read(&reporter, &roster, &all);
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|part| part.member == "ben"));

    // The cellar hears of it, and keeps what it said.
    bench.carry("laptop", "cellar");
    let outbox = bench.json("cellar", &["outbox"]);
    assert_eq!(outbox["waiting"], 0);
    assert_eq!(outbox["answers"][0]["progress"], "carried");
    let shown = bench
        .desk("cellar", &["open", "1", "--bundle", &bundle])
        .ok();
    assert!(shown.contains("from below"), "{shown}");
}

#[test]
fn a_bundle_that_comes_back_says_which_answers_are_out() {
    let (bench, _) = with_cellar();
    let progress = || bench.json("cellar", &["open", "1"])["answers"][0]["progress"].clone();
    bench.carry("laptop", "cellar");
    bench.carry("cellar", "laptop");
    bench.carry("laptop", "cellar");
    assert_eq!(progress(), "carried");
    bench.desk("laptop", &["sync"]).ok();
    bench.carry("laptop", "cellar");
    assert_eq!(progress(), "carried", "posted, and in no segment yet");
    let window = bench.server.now();
    bench.server.close(window - 1);
    bench.server.close(window);
    bench.desk("laptop", &["sync"]).ok();
    assert_eq!(progress(), "carried", "nobody has told the cellar");
    bench.carry("laptop", "cellar");
    assert_eq!(progress()["out"], window);
    let said = bench.desk("cellar", &["open", "1"]).ok();
    assert!(
        said.contains(&format!(
            "in the feed since window {window}, as the machine says"
        )),
        "{said}"
    );
    let outbox = bench.json("cellar", &["outbox"]);
    assert_eq!(outbox["answers"], serde_json::json!([]));
}

#[test]
fn a_machine_that_connects_and_handed_its_answers_over_hears_that_they_are_out() {
    let (bench, _) = with_case();
    bench.join_device("courier");
    bench
        .desk("ana", &["reply", "1", "--text", "take this"])
        .ok();
    let bundle = bench.arg("over.tar");
    bench
        .desk("ana", &["bundle", "out", "--outbox", &bundle])
        .ok();
    bench.desk("courier", &["bundle", "in", &bundle]).ok();
    bench.desk("courier", &["sync"]).ok();
    let window = bench.server.now();
    bench.server.close(window - 1);
    bench.server.close(window);
    bench.desk("courier", &["sync"]).ok();
    bench.desk("ana", &["sync"]).ok();
    let said = bench.desk("ana", &["open", "1"]).ok();
    assert!(said.contains("a bundle from there says when"), "{said}");
    bench.carry("courier", "ana");
    let open = bench.json("ana", &["open", "1"]);
    assert_eq!(open["answers"][0]["progress"]["out"], window);
}

#[test]
fn a_machine_hands_its_answers_over_once() {
    let (bench, reporter) = with_case();
    bench.join_device("courier");
    bench
        .desk("ana", &["reply", "1", "--text", "take this"])
        .ok();
    let bundle = bench.arg("b.tar");
    let kept = bench.json("ana", &["bundle", "out", &bundle]);
    assert_eq!(kept["slips"], 0, "it posts them itself");
    let bundle = bench.arg("with-outbox.tar");
    let given = bench.json("ana", &["bundle", "out", "--outbox", &bundle]);
    assert_eq!(given["slips"], 1);
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 0);
    assert_eq!(
        bench.json("courier", &["bundle", "in", &bundle])["slips"],
        1
    );
    bench.desk("courier", &["sync"]).ok();
    let roster = bench.server.roster();
    assert_eq!(read(&reporter, &roster, &posted(&bench)).len(), 1);
}

#[test]
fn server_logs_two_segments_for_one_window_and_nothing_is_cosigned() {
    // Whichever comes first: members could look at the one and reporters be shown the other.
    for true_one_first in [true, false] {
        let (bench, _) = with_case();
        bench.desk("ana", &["reply", "1", "--text", "kept"]).ok();
        bench.desk("ana", &["sync"]).ok();
        let window = bench.server.now();
        let index = {
            let mut state = bench.server.lock();
            let another = |state: &mut crate::server::State| {
                state.push(LeafKind::Segment, [7; 32], (SHARE * SLIP) as u64, window);
            };
            if !true_one_first {
                another(&mut state);
            }
            state.close(window);
            if true_one_first {
                another(&mut state);
                state.size = state.leaves.len() as u64;
            }
            let segments = state.leaves.iter().rev();
            let last = segments.take_while(|leaf| leaf.kind != LeafKind::Segment);
            state.leaves.len() - 1 - last.count()
        };
        let cosigned = bench.server.lock().cosigned.len();
        // It is a fault of this log from then on.
        for _ in 0..2 {
            let says = format!("two segments: entry {index} is a second one of window {window}");
            bench
                .desk("ana", &["sync"])
                .fails(1, &[&says, "Nothing was cosigned"]);
        }
        assert_eq!(bench.server.lock().cosigned.len(), cosigned);
    }
}
