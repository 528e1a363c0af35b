//! What somebody wrote is not lost when it cannot be sent.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use sealdrop_core::drop::shape;
use sealdrop_core::phrase::Phrase;

use crate::support::{Answer, LyingServer};
use crate::terminal::Terminal;
use crate::{Place, REPORT, is_private, open};

/// A server that refuses every drop with a status.
fn refusing(status: u16) -> LyingServer {
    let server = LyingServer::start();
    refuse(&server, status);
    server
}

fn refuse(server: &LyingServer, status: u16) {
    server.lie(move |request, _| (request.method == "POST").then(|| Answer::new(status)));
}

/// Runs a command that the program printed, in a shell, as a person would.
#[track_caller]
fn type_command(place: &Place, command: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_sealdrop"));
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(place.folder.path())
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
}

/// That the only drop on the server is of the conversation of these words.
#[track_caller]
fn check_phrase(server: &LyingServer, words: &str) {
    let phrase = Phrase::parse(words).unwrap();
    let keys = phrase.keys(&server.address.box_key);
    assert_eq!(open(server, 1).0.report.conversation, keys.conversation);
}

#[test]
fn a_report_that_cannot_be_sent_is_kept_and_its_phrase_with_it() {
    for (status, saved) in [(403, "r.drop"), (413, "my report.drop"), (500, "-r.drop")] {
        let server = refusing(status);
        let place = Place::new();
        let save = format!("--save={saved}");
        let run = place.try_submit(&server, &["--json", "--receipt", "r.json", &save]);
        run.refused(1, &["the report was kept, sealed: send it later"]);
        let json = run.json();
        assert_eq!(
            (&json["state"], &json["saved"]),
            (&"kept".into(), &saved.into())
        );
        assert_eq!(
            place.files(),
            [saved, &format!("{saved}.box"), "r.json.key"]
        );
        for name in place.files() {
            assert!(is_private(&place.path(&name)), "{name}");
        }
        server.lie(|_, _| None);
        type_command(&place, json["post"].as_str().unwrap());
        check_phrase(&server, json["phrase"].as_str().unwrap());
        let args = ["verify", "r.json", "--key", "r.json.key", "--drop"];
        let saved = format!("./{saved}");
        place
            .run(&[&args[..], &[&saved]].concat())
            .succeeded(&["It is the report “T”"]);
    }
}

#[test]
fn a_report_that_finds_the_box_full_is_kept_at_once() {
    let server = LyingServer::start();
    server.lie(|request, _| {
        let body = r#"{"type":"urn:sealdrop:error:full","title":"","status":503}"#;
        let answer = Answer {
            status: 503,
            ..Answer::bytes(body)
        };
        let answer = answer.header("content-type", "application/problem+json");
        (request.method == "POST").then(|| answer.header("retry-after", 300))
    });
    let place = Place::new();
    let run = place.try_submit(&server, &["--save", "r.drop"]);
    run.refused(1, &["the box is full: ", "the report was kept, sealed"]);
    assert_eq!(server.requests(), ["GET /v1/box", "POST /v1/drops"]);
}

#[test]
fn a_report_for_an_older_roster_is_kept_and_said_to_be_of_little_use() {
    let server = refusing(422);
    let place = Place::new();
    let run = place.try_submit(&server, &["--save", "r.drop"]);
    run.refused(
        1,
        &[
            "sealed to an older roster",
            "sealed again, which gives it another phrase",
        ],
    );
    assert!(run.out.contains("Your phrase"));
    assert_eq!(place.files(), ["r.drop", "r.drop.box"]);
}

#[test]
fn what_was_written_in_an_editor_is_kept_though_nobody_can_be_asked() {
    let server = refusing(500);
    let place = Place::new();
    place.write("report.drop", "another");
    let mut command = place.edited(&server, "printf '# T\\n\\nText.\\n' > \"$1\"");
    let output = command.arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["saved"], "report-2.drop");
    assert_eq!(place.read("report.drop"), b"another");
    server.lie(|_, _| None);
    type_command(&place, json["post"].as_str().unwrap());
    check_phrase(&server, json["phrase"].as_str().unwrap());
}

/// Types a report until it is to be sent.
fn type_report(place: &Place, server: &LyingServer, args: &[&str]) -> Terminal {
    review_report(place, server, args, "y\r")
}

/// Types a report, and what is answered to its review.
fn review_report(place: &Place, server: &LyingServer, args: &[&str], agreed: &str) -> Terminal {
    let mut terminal = Terminal::start(place.submit_command(server, args));
    terminal
        .answer("Title:", "Typed\r")
        .answer("Description", "Much.\n.\n")
        .answer("Steps", ".\n")
        .answer("Affected versions:", "\r")
        .answer("Name to credit:", "\r")
        .answer("Seal it and go on?", agreed);
    terminal
}

/// The words that were shown.
fn shown_phrase(shown: &str) -> String {
    let (_, shown) = shown.split_once("Your phrase, shown this once:").unwrap();
    let (phrase, _) = shown.split_once("Write it down").unwrap();
    let plain: Vec<&str> = phrase.split("\u{1b}[1m").collect();
    plain.concat().replace("\u{1b}[0m", "")
}

#[test]
fn a_typed_report_that_is_refused_is_offered_to_be_kept() {
    let server = refusing(500);
    let place = Place::new();
    place.write("taken", "another");
    let mut terminal = type_report(&place, &server, &[]);
    // A name that is taken costs nothing.
    terminal
        .answer("Keep the report, sealed, to send it later, as:", "taken\r")
        .answer("taken cannot be made: it exists already", "")
        .answer("Keep the report, sealed, to send it later, as:", "\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert_eq!(place.files(), ["report.drop", "report.drop.box", "taken"]);
    assert!(is_private(&place.path("report.drop")));
    assert_eq!(shown.matches("Your phrase").count(), 1);
    server.lie(|_, _| None);
    let address = server.address.to_string();
    let command = format!("sealdrop post '{address}' report.drop");
    assert!(shown.contains(&format!("  {command}\r\n")), "{shown}");
    type_command(&place, &command);
    check_phrase(&server, &shown_phrase(&shown));
    assert_eq!(open(&server, 0).0.report.form["title"], "Typed");
}

#[test]
fn a_report_that_is_not_to_be_kept_leaves_nothing_and_shows_no_phrase() {
    for (key, code) in [("\u{1b}", 1), ("\u{3}", 130)] {
        let server = refusing(500);
        let place = Place::new();
        let mut terminal = type_report(&place, &server, &["--receipt", "r.json"]);
        terminal.answer("Keep the report, sealed, to send it later, as:", key);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, Some(code), "{shown}");
        assert_eq!(place.files(), [""; 0]);
        assert!(!shown.contains("Your phrase"));
    }
}

#[test]
fn a_typed_report_outlives_an_attachment_that_vanished() {
    let server = LyingServer::start();
    let place = Place::new();
    place.write("core.bin", vec![7; 9_000_000]);
    let path = place.path("core.bin");
    let mut there = true;
    server.lie(move |request, _| {
        if request.path == "/v1/uploads" && std::mem::take(&mut there) {
            fs::remove_file(&path).unwrap();
        }
        None
    });
    let mut terminal = type_report(&place, &server, &["--attach", "core.bin"]);
    let question = "Try again, with the attachments and the members as they are then?";
    terminal.answer("core.bin cannot be read", "");
    terminal.answer(question, "y\r");
    terminal.answer("the attachment core.bin cannot be read", "");
    place.write("core.bin", vec![8; 9_000_000]);
    terminal
        .answer(question, "y\r")
        .answer("Seal it and go on?", "y\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    check_phrase(&server, &shown_phrase(&shown));
    let (opened, attachments) = open(&server, 0);
    assert_eq!(opened.report.form["title"], "Typed");
    assert_eq!(attachments[0].1, vec![8; 9_000_000]);
}

#[test]
fn a_typed_report_is_sealed_anew_when_the_members_changed_meanwhile() {
    let server = refusing(422);
    let place = Place::new();
    let mut terminal = type_report(&place, &server, &[]);
    terminal.answer("sealed to an older roster", "");
    server.publish(|draft| {
        draft.epoch = 4;
        draft.members.truncate(1);
        draft.devices.truncate(1);
    });
    server.lie(|_, _| None);
    terminal
        .answer("Try again, with", "y\r")
        .answer("roster 4", "")
        .answer("Seal it and go on?", "y\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let drop = server.state().bodies.values().next().unwrap().clone();
    assert!(shape::check(&drop, drop.len() as u64, 1).is_ok());
    assert_eq!(open(&server, 0).0.report.form["title"], "Typed");
}

/// Ends the program at each question of after the review, where what it does is under its own control.
fn at_each_question(end: impl Fn(Terminal) -> Option<i32>) {
    let early = [
        ("Title:", "Typed\r"),
        ("Description", "Much.\n.\n"),
        ("Steps", ".\n"),
        ("Affected versions:", "\r"),
        ("Name to credit:", "\r"),
        ("Seal it and go on?", "y\r"),
    ];
    for late in ["Keep the report, sealed", "Try again, with the attachments"] {
        let server = refusing(500);
        let place = Place::new();
        let mut args = vec!["--receipt", "r.json"];
        if late == "Try again, with the attachments" {
            args.extend(["--attach", "gone.bin"]);
            place.write("gone.bin", [7; 100]);
        }
        let mut terminal = Terminal::start(place.submit_command(&server, &args));
        for (question, answer) in early {
            if question.starts_with("Seal it") && args.len() > 2 {
                terminal.answer(question, "");
                fs::remove_file(place.path("gone.bin")).unwrap();
                terminal.answer("", answer);
            } else {
                terminal.answer(question, answer);
            }
        }
        terminal.answer(late, "");
        assert_eq!(end(terminal), Some(130), "{late}");
        assert_eq!(place.files(), [""; 0], "{late}");
    }
}

#[test]
fn a_closed_terminal_ends_the_program_at_each_question() {
    at_each_question(Terminal::close);
    let server = LyingServer::start();
    for question in ["Title:", "Affected versions:"] {
        let place = Place::new();
        let mut terminal = Terminal::start(place.submit_command(&server, &[]));
        if question != "Title:" {
            terminal
                .answer("Title:", "T\r")
                .answer("Description", "D\n.\n")
                .answer("Steps", ".\n");
        }
        terminal.answer(question, "");
        assert_eq!(terminal.close(), Some(130), "{question}");
    }
}

#[test]
fn one_signal_ends_the_program_at_each_late_question() {
    at_each_question(|terminal| terminal.signal(Signal::TERM));
    at_each_question(|terminal| terminal.signal(Signal::HUP));
}

#[test]
fn too_much_for_the_box_is_said_before_a_report_is_typed() {
    let server = LyingServer::start();
    server.publish(|draft| draft.max_drop = 200_000);
    let place = Place::new();
    place.write("big.bin", vec![0; 300_000]);
    let command = place.submit_command(&server, &["--attach", "big.bin"]);
    let (code, shown) = Terminal::start(command).end();
    assert_eq!(code, Some(1));
    assert!(!shown.contains("Title:") && shown.contains("more than this box takes"));
}

/// The program with little room: what is larger than a limit cannot be written, as on a full disk.
fn with_limit(place: &Place, server: &LyingServer, limit: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; {limit}; exec \"$0\" \"$@\"");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_sealdrop"), "submit"])
        .arg(server.address.to_string())
        .args(REPORT)
        .args(["--json", "--receipt", "r.json"])
        .current_dir(place.folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command
}

#[test]
fn a_disk_without_room_for_the_receipt_is_noticed_before_anything_is_sent() {
    let server = LyingServer::start();
    let place = Place::new();
    let output = with_limit(&place, &server, "ulimit -f 1").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(server.requests(), ["GET /v1/box"]);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_receipt_that_cannot_be_written_is_shown_instead() {
    let server = LyingServer::start();
    let place = Place::new();
    let (started, child) = std::sync::mpsc::channel();
    let child = std::sync::Mutex::new(child);
    server.lie(move |request, _| {
        if request.method == "POST" {
            let limit = Rlimit {
                current: Some(0),
                maximum: Some(0),
            };
            let child = child.lock().unwrap().recv().unwrap();
            prlimit(Some(child), Resource::Fsize, limit).unwrap();
        }
        None
    });
    let child = with_limit(&place, &server, "true").spawn().unwrap();
    started.send(Pid::from_child(&child)).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["receipt", "key"] {
        assert!(json[name].is_null(), "{json}");
    }
    assert_eq!(json["state"], "promised");
    assert!(
        json["promise"].as_str().unwrap().contains("digest"),
        "{json}"
    );
    assert_eq!(place.files(), [""; 0]);
}

/// What is asked when somebody wrote a report and did not want to go on.
const WHAT_NOW: &str = "What shall become of what you wrote?";

/// Begins a report in an editor, which is this script.
fn edit_with(place: &Place, server: &LyingServer, script: &str) -> Terminal {
    place.write("editor.sh", script);
    let mut command = place.submit_command(server, &["--edit"]);
    command
        .env("EDITOR", "sh editor.sh")
        .env_remove("VISUAL")
        .env("XDG_RUNTIME_DIR", place.folder.path());
    Terminal::start(command)
}

#[test]
fn a_report_that_is_not_agreed_to_can_be_edited_again() {
    let server = LyingServer::start();
    let place = Place::new();
    let script = "printf '# T\\n\\nText.\\n' > \"$1\"; echo once >> edits; wc -l < edits >> \"$1\"";
    let mut terminal = edit_with(&place, &server, script);
    terminal
        .answer("Seal it and go on?", "\r")
        .answer(WHAT_NOW, "\r")
        .answer("Seal it and go on?", "y\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(open(&server, 0).0.report.form["description"], "Text.\n2");
}

#[test]
fn a_report_that_is_not_agreed_to_can_be_kept() {
    for no in ["\r", "\u{3}"] {
        let server = LyingServer::start();
        let place = Place::new();
        let mut terminal = review_report(&place, &server, &[], no);
        terminal
            .answer(WHAT_NOW, "\u{1b}[B\r")
            .answer("Keep the report, sealed", "\r");
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(130), "{shown}");
        assert_eq!(server.requests(), ["GET /v1/box"]);
        assert_eq!(place.files(), ["report.drop", "report.drop.box"]);
        let address = server.address.to_string();
        type_command(&place, &format!("sealdrop post '{address}' report.drop"));
        check_phrase(&server, &shown_phrase(&shown));
    }
}

#[test]
fn a_report_that_is_to_be_dropped_leaves_nothing() {
    for keys in ["\u{1b}[B\u{1b}[B\r", "\u{3}"] {
        let server = LyingServer::start();
        let place = Place::new();
        let mut terminal = review_report(&place, &server, &["--receipt", "r.json"], "\r");
        terminal.answer(WHAT_NOW, keys);
        assert_eq!(terminal.end().0, Some(130));
        assert_eq!(place.files(), [""; 0]);
    }
}

#[test]
fn what_an_editor_wrote_before_it_failed_is_not_lost() {
    let server = LyingServer::start();
    let place = Place::new();
    let script = "printf '# T\\n\\nText.\\n' > \"$1\"; exit 1";
    let mut terminal = edit_with(&place, &server, script);
    terminal
        .answer("ended with an error", "")
        .answer(WHAT_NOW, "\u{1b}[B\r")
        .answer("Seal it and go on?", "y\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(open(&server, 0).0.report.form["title"], "T");
}
