//! A conversation between the real programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealdrop_tests::{command, scratch, succeed, wait_until};
use serde_json::{Value, json};

use crate::programs::{desk, make_box, serve};

fn sealdrop(dir: &Path) -> Command {
    let mut sealdrop = command("sealdrop");
    sealdrop.current_dir(dir);
    sealdrop
}

fn json(program: &mut Command) -> Value {
    serde_json::from_str(&succeed(program)).unwrap()
}

#[test]
fn an_answer_goes_from_the_desk_through_the_feed_to_the_phrase_and_a_reply_back() {
    let folder = scratch();
    let dir = folder.path();
    let box_key = make_box(dir);
    let server = serve(dir, "data", "127.0.0.1:0", &box_key);
    let origin = server.origin();
    succeed(desk(dir).args(["publish", "--origin", &origin, "--window", "2"]));
    let address = format!("{origin}#{box_key}");
    let submit = ["--json", "submit", &address, "--title", "t", "--yes"];
    let sent = json(sealdrop(dir).args(submit).args(["--description", "d"]));

    wait_until("the report is in the log", || {
        succeed(desk(dir).arg("sync"));
        json(desk(dir).args(["--json", "inbox"]))["cases"][0]["logged"] == true
    });
    // More than goes into one window.
    let patch: Vec<u8> = (0..5_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    fs::write(dir.join("fix.patch"), &patch).unwrap();
    succeed(desk(dir).args(["ack", "1"]));
    succeed(desk(dir).args(["reply", "1", "--attach", "fix.patch", "--text", "Try this."]));
    let progress = |answer: usize| {
        let mut open = desk(dir);
        json(open.args(["--json", "open", "1"]))["answers"][answer]["progress"]["out"].clone()
    };
    assert!(json(desk(dir).args(["--json", "outbox"]))["windows"].as_u64() > Some(1));
    wait_until("both answers are in the feed", || {
        succeed(desk(dir).arg("sync"));
        !progress(0).is_null() && !progress(1).is_null()
    });

    // The reporter, with nothing but the twelve words and the address.
    let elsewhere = scratch();
    let reporter = elsewhere.path();
    fs::write(reporter.join("phrase"), sent["phrase"].as_str().unwrap()).unwrap();
    let conversation = |command: &str, args: &[&str]| {
        let mut program = sealdrop(reporter);
        program.args(["--json", command, &address, "--phrase-file", "phrase"]);
        json(program.args(args))
    };
    let shown = conversation("check", &["-o", "files", "--receipt-dir", "proofs"]);
    assert_eq!(shown["state"], "received");
    assert_eq!(shown["forged"], json!([]));
    let messages = shown["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2);
    let of_kind = |kind: &str| messages.iter().find(|m| m["kind"] == kind).unwrap();
    let leaf = &of_kind("ack")["leaves"][0];
    assert_eq!(
        (&leaf["digest"], &leaf["state"]),
        (&sent["digest"], &"collected".into())
    );
    let proof = leaf["proof"].as_str().unwrap();
    succeed(sealdrop(reporter).args(["verify", proof, "--address", &address]));
    let answer = of_kind("file");
    assert_eq!(
        (&answer["text"], &answer["team"]),
        (&"Try this.".into(), &true.into())
    );
    assert_eq!(answer["file"]["name"], "fix.patch");
    let saved = answer["file"]["saved"].as_str().unwrap();
    assert!(fs::read(reporter.join(saved)).unwrap() == patch);

    // Nobody else sees any of it.
    let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    fs::write(reporter.join("phrase"), words).unwrap();
    assert_eq!(conversation("check", &[])["answered"], false);
    fs::write(reporter.join("phrase"), sent["phrase"].as_str().unwrap()).unwrap();

    // And back: both land in the case.
    conversation("reply", &["--text", "It works.", "--yes"]);
    conversation("withdraw", &["--yes"]);
    succeed(desk(dir).arg("sync"));
    let cases = json(desk(dir).args(["--json", "inbox"]));
    assert_eq!(cases["cases"].as_array().unwrap().len(), 1);
    let case = json(desk(dir).args(["--json", "open", "1"]));
    let messages = case["messages"].as_array().unwrap();
    let mut kinds: Vec<_> = messages
        .iter()
        .map(|m| m["kind"].as_str().unwrap())
        .collect();
    // Two in one window have no order until they are in the log.
    kinds.sort_unstable();
    assert_eq!(kinds, ["follow-up", "report", "withdrawal"]);
    let text = |message: &Value| message["form"]["description"] == "It works.";
    assert!(messages.iter().any(text));
}
