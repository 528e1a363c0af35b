//! Two machines of one member, who post one share between them: which one does, and how the other hands its answers over.

use std::io::Write as _;

use crate::answers::{message, posted, read, with_case};
use crate::bench::Bench;
use crate::server::WINDOW;

/// The window that this machine posted for last is the one before now, as if time had passed.
fn a_window_later(bench: &Bench, who: &str) {
    let path = bench.path(&format!("{who}/outbox/state.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    state["last"] = bench.past(1).into();
    std::fs::write(&path, state.to_string()).unwrap();
    let posted = |window| bench.path(&format!("{who}/outbox/posted-{window}.slips"));
    let _ = std::fs::rename(posted(bench.past(0)), posted(bench.past(1)));
    bench.server.lock().slips.clear();
}

#[test]
fn a_machine_that_comes_second_shows_nothing_and_no_answer_starves_or_is_doubled() {
    let (bench, reporter) = with_case();
    bench.join_device("courier");
    bench.desk("courier", &["sync"]).ok();
    bench
        .desk("ana", &["reply", "1", "--text", "patience"])
        .ok();
    let before = bench.server.lock().posts.len();
    for _ in 0..2 {
        let said = bench.json("ana", &["sync"]);
        let remark = said["answers"]["remarks"][0].as_str().unwrap();
        assert!(remark.contains("another machine of this member"), "{said}");
        assert!(remark.contains("bundle out --outbox"), "{said}");
        assert_eq!(said["answers"]["waiting"], 1);
    }
    assert_eq!(
        bench.server.lock().posts.len(),
        before,
        "the server sees no byte of it"
    );
    let outbox = bench.json("ana", &["outbox"]);
    assert_eq!(outbox["second"], 1, "a window counts once");
    let next = (bench.server.now() + 2) * WINDOW;
    assert_eq!(outbox["not_before"], next, "this window is lost");
    let said = bench.desk("ana", &["outbox"]).ok();
    assert!(
        said.contains("instead of this one in the last 1 window"),
        "{said}"
    );

    // It is handed over whole, twice for good measure, and goes out once.
    let bundle = bench.arg("b.tar");
    let given = bench.json("ana", &["bundle", "out", "--outbox", &bundle]);
    assert_eq!((&given["slips"], &given["kept"]), (&1.into(), &0.into()));
    bench.desk("courier", &["bundle", "in", &bundle]).ok();
    bench.desk("courier", &["bundle", "in", &bundle]).ok();
    a_window_later(&bench, "courier");
    bench.desk("courier", &["sync"]).ok();
    let roster = bench.server.roster();
    assert_eq!(read(&reporter, &roster, &posted(&bench)).len(), 1);
    assert_eq!(bench.json("courier", &["outbox"])["waiting"], 0);
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 0);

    // Or it comes first, and posts what it has.
    bench.desk("ana", &["reply", "1", "--text", "now"]).ok();
    a_window_later(&bench, "ana");
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(read(&reporter, &roster, &posted(&bench)).len(), 1);
    assert_eq!(bench.json("ana", &["outbox"])["second"], 0);
}

#[test]
fn what_the_server_saw_and_refused_is_sent_by_the_same_machine_alone() {
    let (bench, reporter) = with_case();
    bench.join_device("courier");
    bench.desk("courier", &["sync"]).ok();
    bench.desk("ana", &["reply", "1", "--text", "seen"]).ok();
    // The other machine posted after this one had asked: what it sends is refused, and seen.
    bench.server.lock().hides_posted = true;
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(said.contains("another machine of this member"), "{said}");
    bench.desk("ana", &["reply", "1", "--text", "unseen"]).ok();
    let bundle = bench.arg("b.tar");
    let given = bench.json("ana", &["bundle", "out", "--outbox", &bundle]);
    assert_eq!((&given["slips"], &given["kept"]), (&1.into(), &1.into()));
    // In the next window the same bytes go from here, decoys too.
    bench.server.lock().hides_posted = false;
    a_window_later(&bench, "ana");
    bench.desk("ana", &["sync"]).ok();
    let posts = bench.server.lock().posts.clone();
    assert_eq!(posts[posts.len() - 1], posts[posts.len() - 2]);
    let (_, said) = message(read(&reporter, &bench.server.roster(), &posted(&bench)));
    assert_eq!(said.text, "seen");
}

#[test]
fn server_invents_another_machine_to_hold_answers_back() {
    let (bench, _) = with_case();
    bench.desk("ana", &["reply", "1", "--text", "held"]).ok();
    let lie = (bench.server.now(), "ana".to_owned());
    bench.server.lock().slips.insert(lie, vec![1; 8 * 4096]);
    // By what it says when it is asked, then by refusing what comes.
    for hides_posted in [false, true] {
        bench.server.lock().hides_posted = hides_posted;
        let ran = bench.desk("ana", &["--json", "sync"]);
        assert_eq!(ran.code, 1);
        let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let fault = said["answers"]["faults"][0].as_str().unwrap();
        assert!(fault.contains("names no other machine"), "{said}");
        assert_eq!(said["answers"]["remarks"].as_array().unwrap().len(), 0);
        assert_eq!(said["answers"]["waiting"], 1);
        assert_eq!(said["log"]["cosigned"], true, "the log is as it should be");
    }
}

#[test]
fn a_machine_that_was_removed_after_it_had_posted_is_no_fault_until_the_window_is_over() {
    let (bench, _) = with_case();
    bench.join_device("courier");
    bench.desk("courier", &["sync"]).ok();
    bench.desk("ana", &["member", "remove", "ana/courier"]).ok();
    bench.desk("ana", &["publish"]).ok();
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(said.contains("another machine of this member"), "{said}");
    // The log has the new roster in a window that is over: nobody else can have posted in this one.
    bench.server.close(bench.past(1));
    bench
        .desk("ana", &["sync"])
        .fails(1, &["names no other machine"]);
}

#[test]
fn a_bundle_comes_on_standard_input_and_none_goes_into_a_pipe() {
    let (bench, _) = with_case();
    bench.join_device("courier");
    bench.desk("ana", &["reply", "1", "--text", "piped"]).ok();
    bench
        .desk("ana", &["bundle", "out", "--outbox", "-"])
        .fails(2, &["bundle in - < FILE"]);
    assert_eq!(bench.json("ana", &["outbox"])["waiting"], 1);
    let bundle = bench.arg("b.tar");
    bench
        .desk("ana", &["bundle", "out", "--outbox", &bundle])
        .ok();
    let bytes = std::fs::read(&bundle).unwrap();
    let take = |bytes: &[u8]| {
        let mut command = assert_cmd::Command::cargo_bin("sealdrop-desk").unwrap();
        command
            .env_clear()
            .env("SEALDROP_HOME", bench.path("courier"));
        command.args(["bundle", "in", "-"]).write_stdin(bytes);
        command.output().unwrap()
    };
    // A line that broke, and what a killed program left behind.
    let cut = take(&bytes[..bytes.len() - 1_500]);
    assert_eq!(cut.status.code(), Some(1));
    let said = String::from_utf8(cut.stderr).unwrap();
    assert!(said.contains("standard input is not a bundle"), "{said}");
    std::fs::write(bench.path("courier/incoming/0123"), "left").unwrap();
    assert!(take(&bytes).status.success());
    assert_eq!(
        std::fs::read_dir(bench.path("courier/incoming"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(bench.json("courier", &["outbox"])["waiting"], 1);
}

#[test]
fn what_is_no_bundle_is_refused_before_the_pipe_ends() {
    let (bench, _) = with_case();
    let mut child = bench.start_with_pipe("ana", &["bundle", "in", "-"]);
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&[b'x'; 4096]).unwrap();
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < patience, "it waits for more");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("standard input is not a bundle"), "{said}");
    drop(pipe);
    let incoming = bench.path("ana/incoming");
    assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 0);
    // What a kill left goes with the next sync.
    std::fs::write(incoming.join("0123"), "left").unwrap();
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 0);
}
