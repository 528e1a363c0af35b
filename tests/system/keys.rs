//! The life of keys, with the real programs and the stock `age`: an epoch ends, and a lost box key comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use sealdrop_tests::{command, go_age, scratch, skip, succeed, wait_until};
use serde_json::{Value, json};

use crate::programs::serve;

/// `sealdrop-desk` of one of several people in `dir`.
fn desk(dir: &Path, who: &str, args: &[&str]) -> Command {
    let mut desk = command("sealdrop-desk");
    desk.current_dir(dir)
        .args(["--json", "--home", who, "--passphrase-file", "passphrase"])
        .args(args);
    desk
}

fn say(dir: &Path, who: &str, args: &[&str]) -> Value {
    serde_json::from_str(&succeed(&mut desk(dir, who, args))).unwrap()
}

/// Ana makes a box, and the server is started for it.
fn begin(dir: &Path) -> (String, sealdrop_tests::Running, String) {
    fs::write(dir.join("passphrase"), "correct horse\n").unwrap();
    let init = ["init", "--work-factor", "2", "--member", "ana"];
    let made = say(dir, "ana", &[&init[..], &["--no-recovery"]].concat());
    let box_key = made["box"].as_str().unwrap().to_owned();
    let server = serve(dir, "data", "127.0.0.1:0", &box_key);
    let origin = server.origin();
    let publish = ["publish", "--origin", &origin, "--window", "1"];
    say(dir, "ana", &publish);
    let address = format!("{origin}#{box_key}");
    (address, server, origin)
}

fn join_box(dir: &Path, home: &str, member: &str, address: &str) {
    let init = ["init", "--work-factor", "2", "--no-recovery"];
    let join = ["--join", address, "--member", member];
    say(dir, home, &[&init[..], &join].concat());
}

fn submit(dir: &Path, address: &str, title: &str) {
    let mut reporter = command("sealdrop");
    let args = ["submit", address, "--title", title, "--description", "d"];
    succeed(reporter.current_dir(dir).args(args).arg("--yes"));
}

/// Whether the stock `age` opens a file with the identities in another.
fn opens(age: &Path, dir: &Path, identities: &str, file: &Path) -> Option<Vec<u8>> {
    let mut age = Command::new(age);
    age.current_dir(dir)
        .args(["-d", "-i", identities])
        .arg(file);
    let output = age.output().unwrap();
    output.status.success().then_some(output.stdout)
}

/// The drop files in ana's home, the oldest window first.
fn drops(dir: &Path) -> Vec<PathBuf> {
    let windows = fs::read_dir(dir.join("ana/drops")).unwrap();
    let files = windows.flat_map(|window| fs::read_dir(window.unwrap().path()).unwrap());
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn go_age_opens_nothing_of_a_destroyed_epoch() {
    let Some(age) = go_age() else {
        return skip(
            "go_age_opens_nothing_of_a_destroyed_epoch",
            "needs Go age 1.3 or later",
        );
    };
    let folder = scratch();
    let dir = folder.path();
    let (address, _server, _) = begin(dir);
    submit(dir, &address, "to the first");
    say(dir, "ana", &["sync"]);
    let [first] = &drops(dir)[..] else {
        panic!("there is one drop");
    };
    let rotated = say(dir, "ana", &["rotate"]);
    assert_eq!(rotated["published"], 2);
    let old = rotated["before"][0].as_str().unwrap();
    submit(dir, &address, "to the second");
    say(dir, "ana", &["sync"]);
    let all = drops(dir);
    let second = all.iter().find(|drop| *drop != first).unwrap();
    say(dir, "ana", &["keys", "export-identity", "-o", "before.txt"]);
    for drop in [first, second] {
        assert!(opens(&age, dir, "before.txt", drop).is_some());
    }

    let destroy = ["destroy-epoch", old, "--before-time", "--yes"];
    let said = say(dir, "ana", &destroy);
    assert_eq!((&said["drops"], &said["cases"]), (&json!(1), &json!([1])));
    say(dir, "ana", &["keys", "export-identity", "-o", "after.txt"]);
    assert!(opens(&age, dir, "after.txt", first).is_none());
    assert!(opens(&age, dir, "after.txt", second).is_some());
    // What was exported before is a copy like any other, as docs/operations.md says.
    assert!(opens(&age, dir, "before.txt", first).is_some());
    wait_until(
        "the log holds both, and the desk is content with it",
        || {
            let synced = say(dir, "ana", &["sync"]);
            assert_eq!(synced["faults"], json!([]));
            let cases = say(dir, "ana", &["inbox"])["cases"].clone();
            cases[0]["case"] == 2 && cases[0]["logged"] == true
        },
    );
}

#[test]
fn kill_9_at_any_moment_of_a_rotation_or_a_destruction_loses_no_identity() {
    let folder = scratch();
    let dir = folder.path();
    fs::write(dir.join("passphrase"), "correct horse\n").unwrap();
    say(dir, "ana", &["init", "--work-factor", "2"]);
    let held = || {
        let file = dir.join("identities.txt");
        say(
            dir,
            "ana",
            &["keys", "export-identity", "-o", "identities.txt"],
        );
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(file).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("# "));
        let fingerprint = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
        lines.map(fingerprint).collect::<Vec<String>>()
    };
    let (mut before, mut finished) = (held(), 0);
    let kill_after = |args: &[&str], life: Duration| {
        let mut changing = desk(dir, "ana", args);
        changing.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = changing.spawn().unwrap();
        thread::sleep(life);
        child.kill().unwrap();
        child.wait().unwrap();
    };
    for round in 0..24 {
        kill_after(&["rotate"], Duration::from_millis(round * 2));
        let now = held();
        assert!(now.ends_with(&before), "{before:?} then {now:?}");
        finished += usize::from(now.len() > before.len());
        before = now;
    }
    say(dir, "ana", &["rotate"]);
    let mut before = held();
    assert!(before.len() == finished + 2);
    for round in 0..12 {
        // None of them was ever in a roster. The newest stays.
        let Some(old) = before.get(1).cloned() else {
            break;
        };
        let args = ["destroy-epoch", &old, "--before-time", "--yes"];
        kill_after(&args, Duration::from_millis(round * 3));
        let now = held();
        let rest: Vec<String> = before
            .iter()
            .filter(|held| **held != old)
            .cloned()
            .collect();
        assert!(now == before || now == rest, "{before:?} then {now:?}");
        before = now;
    }
    say(dir, "ana", &["rotate"]);
}

#[test]
fn three_of_five_members_restore_a_lost_box_key_and_publish() {
    let folder = scratch();
    let dir = folder.path();
    let (address, _server, origin) = begin(dir);
    let others = ["ben", "cleo", "dora", "emil"];
    let card = |who: &str| {
        let card = succeed(&mut desk(dir, who, &["keys", "--card"]));
        fs::write(dir.join("card.json"), card).unwrap();
    };
    for who in others {
        join_box(dir, who, who, &address);
        card(who);
        say(dir, "ana", &["member", "add", "card.json"]);
    }
    say(dir, "ana", &["publish"]);
    say(
        dir,
        "ana",
        &["recovery", "split", "--of", "5", "--need", "3"],
    );
    if let Some(age) = go_age() {
        say(dir, "ben", &["keys", "export-identity", "-o", "ben.txt"]);
        let share = opens(&age, dir, "ben.txt", Path::new("recovery-ben.age")).unwrap();
        let text = String::from_utf8(share).unwrap();
        assert!(text.starts_with("sealdrop/recovery/v1\nbox: sdbox1"));
        assert!(text.contains("need: 3\nof: 5\nnumber: 2\n"), "{text}");
        assert!(opens(&age, dir, "ben.txt", Path::new("recovery-cleo.age")).is_none());
    } else {
        skip("go_age_opens_a_recovery_share", "needs Go age 1.3 or later");
    }
    submit(dir, &address, "before the loss");
    for who in others {
        say(dir, who, &["sync"]);
        let file = format!("recovery-{who}.age");
        say(dir, who, &["recovery", "keep", &file]);
        fs::remove_file(dir.join(file)).unwrap();
    }
    // Everything of ana's is gone.
    fs::remove_dir_all(dir.join("ana")).unwrap();
    fs::remove_file(dir.join("recovery-ana.age")).unwrap();
    card("dora");
    for who in ["ben", "cleo"] {
        let give = ["recovery", "give", "--to", "card.json", "--yes", "-o"];
        say(dir, who, &[&give[..], &[&format!("from-{who}")]].concat());
    }
    let missing = desk(dir, "dora", &["recovery", "join", "from-ben"])
        .output()
        .unwrap();
    assert!(!missing.status.success());
    assert!(
        String::from_utf8(missing.stdout)
            .unwrap()
            .contains("1 missing")
    );
    let joined = say(dir, "dora", &["recovery", "join", "from-ben", "from-cleo"]);
    assert_eq!(joined["holds_box_key"], true);
    say(dir, "dora", &["member", "remove", "ana"]);
    let published = say(dir, "dora", &["publish"]);
    assert_eq!(
        (&published["epoch"], &published["address"]),
        (&json!(3), &json!(address))
    );
    assert_eq!(say(dir, "dora", &["sync"])["epoch"], 3);
    // Ana joins again, with new keys, and reports go on: the address is the same.
    join_box(dir, "again", "ana", &address);
    card("again");
    say(dir, "dora", &["member", "add", "card.json"]);
    say(dir, "dora", &["publish"]);
    submit(dir, &address, "after the loss");
    for who in ["again", "emil"] {
        say(dir, who, &["sync"]);
        let inbox = say(dir, who, &["inbox"]);
        let titles = inbox["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(|case| &case["title"]);
        assert!(
            titles.into_iter().any(|title| title == "after the loss"),
            "{inbox}"
        );
    }
    assert!(address.starts_with(&origin));
}
