//! `submit`, from the command line to what a member opens.

use rustix::process::{Pid, Signal, kill_process};
use sealdrop_core::encoding::hex;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::Kind;

use crate::support::{Answer, LyingServer};
use crate::{Place, REPORT, is_private, open};

#[test]
fn a_report_arrives_whole() {
    let server = LyingServer::start();
    let place = Place::new();
    let binary: Vec<u8> = (0..200_000_u32).map(|i| i.wrapping_mul(i) as u8).collect();
    place
        .write("poc.bin", &binary)
        .write("empty", "")
        .write("log.txt", "line\n");
    let json = place.submit(
        &server,
        &[
            "--steps",
            "1. open\n2. run",
            "--versions",
            "2.4",
            "--credit",
            "Grace H.",
            "--attach",
            "poc.bin",
            "empty",
            "log.txt",
        ],
    );
    for member in [0, 1] {
        let (opened, attachments) = open(&server, member);
        let report = opened.report;
        assert_eq!(report.kind, Kind::Report);
        assert_eq!(report.form["title"], "Overflow");
        assert_eq!(report.form["description"], "It overflows.");
        assert_eq!(report.form["steps"], "1. open\n2. run");
        assert_eq!(report.form["versions"], "2.4");
        assert_eq!(
            (
                report.form["credit"].as_str(),
                report.form["credit-name"].as_str()
            ),
            ("named", "Grace H.")
        );
        let names: Vec<_> = report.attachments.iter().map(|a| a.name.as_str()).collect();
        assert_eq!(names, ["poc.bin", "empty", "log.txt"]);
        assert_eq!(
            attachments
                .iter()
                .map(|(_, bytes)| bytes.len())
                .collect::<Vec<_>>(),
            [200_000, 0, 5]
        );
        assert_eq!(attachments[0].1, binary);
        let phrase = Phrase::parse(json["phrase"].as_str().unwrap()).unwrap();
        assert_eq!(
            report.conversation,
            phrase.keys(&server.address.box_key).conversation
        );
    }
    assert_eq!(json["state"], "promised");
    assert_eq!(json["members"], serde_json::json!(["ada", "ben"]));
    let digest = server
        .state()
        .bodies
        .keys()
        .next()
        .map(|digest| hex(digest))
        .unwrap();
    assert_eq!(json["digest"], digest);
    assert_eq!(server.requests(), ["GET /v1/box", "POST /v1/drops"]);
}

#[test]
fn a_large_report_goes_by_resumable_upload_and_survives_a_broken_connection() {
    let server = LyingServer::start();
    server.state().cut_patch_after = vec![1 << 20];
    let place = Place::new();
    let binary: Vec<u8> = (0..9_000_000_u32).map(|i| (i >> 3) as u8).collect();
    place.write("core.bin", &binary);
    place.submit(&server, &["--attach", "core.bin"]);
    assert_eq!(open(&server, 0).1[0].1, binary);
    assert!(
        server
            .requests()
            .iter()
            .any(|request| request.starts_with("HEAD "))
    );
}

#[test]
fn a_report_comes_from_markdown_toml_or_standard_input() {
    let markdown = "# Overflow\n\nIn the reader.\n\n## Steps\n1. open\n\n## Credit\nnone\n";
    let toml = "title = \"Overflow\"\ndescription = \"In the reader.\"\nsteps = \"1. open\"\n";
    for (from, input) in [("report.md", ""), ("report.toml", ""), ("-", markdown)] {
        let server = LyingServer::start();
        let place = Place::new();
        place
            .write("report.md", markdown)
            .write("report.toml", toml);
        let run = place.run_with(
            &[
                "submit",
                &server.address.to_string(),
                "--from",
                from,
                "--yes",
                "--versions",
                "9",
            ],
            input,
        );
        run.succeeded(&["Sent."]);
        let form = open(&server, 0).0.report.form;
        assert_eq!(
            (form["title"].as_str(), form["description"].as_str()),
            ("Overflow", "In the reader."),
            "{from}"
        );
        assert_eq!(
            (
                form["steps"].as_str(),
                form["versions"].as_str(),
                form["credit"].as_str()
            ),
            ("1. open", "9", "none")
        );
    }
}

#[test]
fn a_report_is_written_in_an_editor() {
    let server = LyingServer::start();
    let place = Place::new();
    let script = "printf '# From the editor\\n\\nText.\\n' > \"$1\"";
    let output = place.edited(&server, script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(open(&server, 0).0.report.form["title"], "From the editor");
    assert_eq!(
        place.files(),
        ["editor.sh"],
        "what was written is gone again"
    );
}

#[test]
fn a_draft_is_removed_when_the_program_is_ended_while_the_editor_runs() {
    for signal in [Signal::HUP, Signal::TERM] {
        let server = LyingServer::start();
        let place = Place::new();
        let mut command = place.edited(&server, ": > ready\nexec sleep 600");
        let mut child = command.spawn().unwrap();
        wait_for(|| place.files().contains(&"ready".to_owned()));
        assert_eq!(place.files().len(), 3, "the draft's folder is there");
        kill_process(Pid::from_child(&child), signal).unwrap();
        wait_for(|| place.files() == ["editor.sh", "ready"]);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(server.state().bodies.is_empty());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_knows_a_phrase_leaves_no_core_dump() {
    let server = LyingServer::start();
    let place = Place::new();
    let script = "cat /proc/$PPID/limits > limits; printf '# T\\n\\nText.\\n' > \"$1\"";
    let output = place.edited(&server, script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let limits = String::from_utf8(place.read("limits")).unwrap();
    let core = limits.lines().find(|line| line.contains("core")).unwrap();
    let limits: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(limits, ["Max", "core", "file", "size", "0", "0", "bytes"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_hangup_does_not_end_what_nohup_started() {
    let server = LyingServer::start();
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_sealdrop");
    place
        .write(
            "editor.sh",
            "#!/bin/sh\nkill -HUP $PPID\nprintf '# T\\n\\nText.\\n' > \"$1\"\n",
        )
        .write(
            "run.sh",
            format!("exec nohup '{program}' submit \"$1\" --edit --yes\n"),
        );
    let mut command = std::process::Command::new("sh");
    command
        .args(["run.sh", &server.address.to_string()])
        .current_dir(place.folder.path())
        .env("EDITOR", "sh editor.sh")
        .env_remove("VISUAL")
        .env("XDG_RUNTIME_DIR", place.folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(server.state().bodies.len(), 1);
}

#[track_caller]
fn wait_for(condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 20, "it does not come");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn nothing_is_sealed_unseen() {
    let server = LyingServer::start();
    let place = Place::new();
    let unasked = &REPORT[..4];
    let run = place.run_for(&server, "submit", unasked);
    run.refused(
        2,
        &[
            "there is no terminal to show the report on before it is sealed",
            "add --yes",
        ],
    );
    assert_eq!(server.requests(), ["GET /v1/box"]);
}

#[test]
fn the_review_shows_who_receives_it() {
    let server = LyingServer::start();
    let place = Place::new();
    let report = ["--title", "T\x1b[31m", "--description", "D", "--yes"];
    let run = place.run_for(&server, "submit", &report);
    run.succeeded(&[
        "Sent.",
        "2 members can open it",
        "Your phrase, shown this once:",
        "cannot be recovered",
    ]);
    let members = server.keys();
    for member in &members.members {
        assert!(run.err.contains(&format!(
            "{} (lead)  {}",
            member.name,
            member.identity.to_public().fingerprint()
        )));
    }
    for piece in [
        "roster 3, issued ",
        ", expires ",
        "credit: none",
        "No receipt will be kept",
        "T\\x1b[31m",
        "The drop will be 68,752 bytes long",
    ] {
        assert!(run.err.contains(piece), "{piece:?} in {:?}", run.err);
    }
    assert!(
        !run.err.contains('\x1b') && !run.out.contains('\x1b'),
        "no colour but on a terminal"
    );
}

#[test]
fn the_phrase_is_shown_once_and_kept_nowhere() {
    let server = LyingServer::start();
    let place = Place::new();
    let json = place.submit(&server, &["--receipt", "r.json", "--save", "r.drop"]);
    let phrase = json["phrase"].as_str().unwrap();
    let words: Vec<&str> = phrase.split(' ').collect();
    assert_eq!(words.len(), 12);
    assert_eq!(place.files(), ["r.drop", "r.json", "r.json.key"]);
    for name in place.files() {
        let bytes = place.read(&name);
        assert!(
            !bytes
                .windows(phrase.len())
                .any(|window| window == phrase.as_bytes()),
            "{name}"
        );
        assert!(is_private(&place.path(&name)), "{name}");
    }
    assert_eq!(
        place.read("r.drop"),
        *server.state().bodies.values().next().unwrap()
    );
}

#[test]
fn nothing_is_said_of_no_receipt_where_there_is_one() {
    let server = LyingServer::start();
    let run = Place::new().try_submit(&server, &["--receipt", "r.json"]);
    assert!(!run.err.contains("No receipt"), "{}", run.err);
}

#[test]
fn nothing_is_left_on_disk_unless_asked() {
    let server = LyingServer::start();
    let place = Place::new();
    place.submit(&server, &[]);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_failed_submit_leaves_nothing_behind_unless_asked() {
    let server = LyingServer::start();
    server.lie(|request, _| (request.method == "POST").then(|| Answer::new(422)));
    let place = Place::new();
    let run = place.try_submit(&server, &["--receipt", "r.json"]);
    run.refused(
        1,
        &[
            "sealed to an older roster",
            "the report was not kept; with --save FILE it would be",
        ],
    );
    assert!(!run.out.contains("phrase"));
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_second_run_never_overwrites_the_receipt_of_the_first() {
    let server = LyingServer::start();
    let place = Place::new();
    place.submit(&server, &["--receipt", "r.json"]);
    let before = place.read("r.json");
    let run = place.try_submit(&server, &["--receipt", "r.json"]);
    run.refused(2, &["r.json cannot be made: it exists already"]);
    assert_eq!(place.read("r.json"), before);
    assert_eq!(server.state().bodies.len(), 1);
}

#[test]
fn a_stopped_submit_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        stop_submit(signal);
    }
}

fn stop_submit(signal: Signal) {
    let server = LyingServer::start();
    let (heard, wait) = std::sync::mpsc::channel();
    // The server never lets the upload end: it takes a while, in which the program is stopped.
    server.lie(move |request, _| {
        if request.method == "PATCH" || request.method == "HEAD" {
            let _ = heard.send(());
            return Some(Answer::new(503));
        }
        None
    });
    let place = Place::new();
    place.write("core.bin", vec![7; 9_000_000]);
    let args = ["--attach", "core.bin", "--receipt", "r.json"];
    let mut command = place.submit_command(&server, &[&REPORT[..], &args].concat());
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait.recv_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    kill_process(Pid::from_child(&child), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("stopped: nothing was left with the server or on this machine")
    );
    assert_eq!(place.files(), ["core.bin"]);
    assert!(server.state().uploads.is_empty());
}

#[test]
fn first_report_and_a_long_one_are_one_request_of_one_shape() {
    let server = LyingServer::start();
    let place = Place::new();
    place.write("50k.txt", "x".repeat(50_000));
    place.submit(&server, &[]);
    place.submit(&server, &["--attach", "50k.txt"]);
    let state = server.state();
    let sent: Vec<_> = state
        .requests
        .iter()
        .filter(|request| request.method == "POST")
        .collect();
    let names = |i: usize| {
        sent[i]
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(sent.len(), 2);
    assert_eq!(
        (sent[0].path.as_str(), names(0), sent[0].body.len()),
        (sent[1].path.as_str(), names(1), sent[1].body.len())
    );
}

#[test]
fn a_draft_is_in_memory_where_there_is_such_a_place() {
    if !std::path::Path::new("/dev/shm").is_dir() {
        return;
    }
    let server = LyingServer::start();
    let place = Place::new();
    let script = "echo \"$1\" > where; printf '# T\\n\\nText.\\n' > \"$1\"";
    let mut command = place.edited(&server, script);
    let output = command.env_remove("XDG_RUNTIME_DIR").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let draft = String::from_utf8(place.read("where")).unwrap();
    assert!(draft.starts_with("/dev/shm/sealdrop-"), "{draft}");
    assert!(!std::path::Path::new(draft.trim()).exists());
}
