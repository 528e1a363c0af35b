//! A server that is lost and starts anew, by the steps of docs/operations.md, "Backup and restore".

use std::fs;
use std::process::Command;

use sealdrop_tests::{command, root, scratch, succeed, wait_until};

use crate::programs::{desk, make_box, serve};

/// What a program says and is refused with.
#[track_caller]
fn refused(program: &mut Command) -> String {
    let output = program.output().unwrap();
    assert!(!output.status.success(), "{program:?}");
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[test]
fn after_a_restore_reporters_and_desks_are_told_what_the_document_says() {
    let folder = scratch();
    let dir = folder.path();
    let box_key = make_box(dir);
    let server = serve(dir, "data", "127.0.0.1:0", &box_key);
    let origin = server.origin();
    succeed(desk(dir).args(["publish", "--origin", &origin, "--window", "1"]));
    let submit = ["submit", &format!("{origin}#{box_key}"), "--title", "t"];
    let more = ["--description", "d", "--receipt", "r.json", "--yes"];
    let mut reporter = command("sealdrop");
    succeed(reporter.current_dir(dir).args(submit).args(more));
    wait_until("the window is over, and the log has entries", || {
        let said = succeed(desk(dir).args(["--json", "sync"]));
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        said["log"]["size"].as_u64() > Some(0)
    });
    server.kill();

    let listen = origin.strip_prefix("http://").unwrap();
    let _server = serve(dir, "anew", listen, &box_key);
    assert!(refused(desk(dir).arg("publish")).contains("--new-log"));
    succeed(desk(dir).args(["publish", "--new-log"]));
    assert!(succeed(desk(dir).arg("sync")).contains("the box has a new log"));
    let mut check = command("sealdrop");
    let said = refused(
        check
            .current_dir(dir)
            .args(["check", "--receipt", "r.json"]),
    );
    let document = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for words in [
        "the server's log is not the one that made this promise",
        "the box has a new log since",
    ] {
        assert!(said.contains(words), "{said}");
        assert!(document.contains(words), "docs/operations.md: {words}");
    }
}
