//! A conversation between the real programs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use sealdrop_tests::{command, scratch, succeed, wait_until};
use serde_json::{Value, json};

use crate::programs::{desk, make_box, serve};
use crate::watched::Watched;

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

    // What is remembered is not fetched again, and is all there.
    let all = conversation("check", &["--state", "state"]);
    let again = conversation("check", &["--state", "state"]);
    assert_eq!(all["feed"]["fetched"], all["feed"]["segments"]);
    assert!(again["feed"]["fetched"].as_u64() < all["feed"]["fetched"].as_u64());
    assert_eq!(again["messages"], all["messages"]);
    let looked = conversation("watch", &["--once", "--state", "state"]);
    assert_eq!(
        (&looked["new"], &looked["error"]),
        (&false.into(), &Value::Null)
    );

    // And who it was.
    conversation("claim", &["--name", "Jane Doe", "-o", "claim", "--yes"]);
    let claim = reporter.join("claim");
    let claimed = json(desk(dir).args(["--json", "verify-claim"]).arg(&claim));
    assert_eq!(
        (&claimed["case"], &claimed["name"]),
        (&1.into(), &"Jane Doe".into())
    );

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

/// Segments, listing, rosters and log are bytes that never say who asks: a file server or a CDN can give them out.
#[test]
fn a_plain_file_server_can_serve_a_reader() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let files = format!("http://{}", listener.local_addr().unwrap());
    let mut watched = Watched::start(2);
    let origin = watched.recorder.origin();
    let origins = ["--origin", &origin, "--origin", &files];
    succeed(watched.desk().arg("publish").args(origins));
    watched.converse();
    watched.sealdrop("check", Some("a"), &[]);
    let saved: BTreeMap<String, Vec<u8>> = watched
        .recorder
        .take()
        .into_iter()
        .map(|seen| (seen.request(), seen.answered().to_vec()))
        .collect();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4_096];
            let len = client.read(&mut head).unwrap();
            let line = String::from_utf8_lossy(&head[..len]);
            let wanted = line.split(" HTTP/1.1").next().unwrap_or_default();
            let answer = match saved.get(wanted) {
                Some(file) => [
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len()).as_bytes(),
                    file,
                ]
                .concat(),
                None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            };
            client.write_all(&answer).unwrap();
        }
    });
    watched.address = watched.address.replace(&origin, &files);
    let shown = watched.sealdrop("check", Some("a"), &[]);
    assert_eq!(shown["messages"][0]["text"], "Thank you.", "{shown}");
    assert_eq!(watched.recorder.take(), [], "the server was asked nothing");
}
