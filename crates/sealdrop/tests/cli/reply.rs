//! `reply` and `withdraw`: the same conversation, and to the server the same as any report.

use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::Kind;

use crate::support::{LyingServer, Saying};
use crate::terminal::Terminal;
use crate::{Place, Run, open};

fn phrase() -> Phrase {
    Phrase::from_entropy(&[1; 16])
}

/// Runs a command for the box with the phrase on standard input.
fn run(place: &Place, server: &LyingServer, command: &str, args: &[&str]) -> Run {
    let address = server.address.to_string();
    let fixed = [command, &address, "--phrase-file", "-"];
    place.run_with(&[&fixed, args].concat(), &phrase().words())
}

#[test]
fn a_reply_is_signed_by_the_phrase_and_belongs_to_its_conversation() {
    let server = LyingServer::start();
    let place = Place::new();
    place
        .write("crash.log", "boom")
        .write("answer.txt", "# All versions\n\n## Steps\nnone\n");
    let args = ["--from", "answer.txt", "--attach", "crash.log", "--yes"];
    let run = run(&place, &server, "reply", &args);
    run.succeeded(&["Sent. The server promised to log it by "]);
    assert!(!run.out.contains("Your phrase"), "it is not shown again");
    let words = phrase().words();
    let shown = |text: &str| text.contains(words.as_str());
    assert!(!shown(&run.out) && !shown(&run.err));
    let (opened, files) = open(&server, 1);
    let keys = phrase().keys(&server.address.box_key);
    assert_eq!(opened.report.kind, Kind::FollowUp);
    assert_eq!(opened.report.conversation, keys.conversation);
    let form: Vec<_> = opened.report.form.into_iter().collect();
    let text = "# All versions\n\n## Steps\nnone";
    assert_eq!(form, [("description".to_owned(), text.to_owned())]);
    assert_eq!(files[0].1, b"boom");
}

#[test]
fn a_withdrawal_is_of_its_own_kind_and_needs_no_text() {
    let server = LyingServer::start();
    let place = Place::new();
    let refused = run(&place, &server, "withdraw", &[]);
    refused.refused(2, &["there is no terminal", "--yes"]);
    let run = run(&place, &server, "withdraw", &["--yes", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.json().get("phrase").is_none());
    let (opened, _) = open(&server, 0);
    assert_eq!(opened.report.kind, Kind::Withdraw);
    assert!(opened.report.form.is_empty());
}

#[test]
fn report_reply_and_withdrawal_are_the_same_requests_of_the_same_size() {
    let server = LyingServer::start();
    let place = Place::new();
    server.segment(0, &Saying::new(&server, &phrase(), "Hi").seal());
    let mut asked = Vec::new();
    let mut note = |run: Run| {
        assert_eq!(run.code, Some(0), "{}", run.err);
        let requests = std::mem::take(&mut server.state().requests);
        let seen = |r: &crate::support::Request| {
            let names: Vec<_> = r.headers.iter().map(|(name, _)| name.clone()).collect();
            (r.method.clone(), r.path.clone(), names, r.body.len())
        };
        asked.push(requests.iter().map(seen).collect::<Vec<_>>());
    };
    note(place.try_submit(&server, &[]));
    note(run(
        &place,
        &server,
        "reply",
        &["--text", &"y".repeat(40_000), "--yes"],
    ));
    note(run(&place, &server, "withdraw", &["--yes"]));
    let paths: Vec<_> = asked[0]
        .iter()
        .map(|r| format!("{} {}", r.0, r.1))
        .collect();
    assert_eq!(paths, ["GET /v1/box", "POST /v1/drops"]);
    assert!(asked.iter().all(|other| *other == asked[0]), "{asked:?}");
}

#[test]
fn a_reply_that_cannot_be_made_is_refused_before_anything_is_sent() {
    let server = LyingServer::start();
    let place = Place::new();
    run(&place, &server, "reply", &["--yes"]).refused(2, &["the report has no text", "--text"]);
    run(&place, &server, "reply", &["--from", "-", "--yes"]).refused(
        2,
        &["--phrase-file and --from cannot both be standard input"],
    );
    let address = server.address.to_string();
    place
        .run(&["reply", &address, "--text", "T", "--yes"])
        .refused(2, &["there is no terminal to ask for the phrase on"]);
    assert!(server.state().bodies.is_empty());
}

#[test]
fn a_reply_that_cannot_be_sent_is_kept_in_its_conversation() {
    let server = LyingServer::start();
    let place = Place::new();
    server
        .lie(|request, _| (request.path == "/v1/drops").then(|| crate::support::Answer::new(500)));
    let args = ["--text", "T", "--yes", "--save", "r.drop"];
    let failed = run(&place, &server, "reply", &args);
    failed.refused(1, &["send it later with the command above"]);
    assert!(!failed.out.contains("Your phrase"));
    server.lie(|_, _| None);
    place.post(&server, &["r.drop"]).succeeded(&["Sent."]);
    assert_eq!(open(&server, 0).0.report.kind, Kind::FollowUp);
}

#[test]
fn a_reply_and_a_withdrawal_are_asked_for_on_a_terminal() {
    let server = LyingServer::start();
    let place = Place::new();
    let words = phrase().words().to_string();
    let address = server.address.to_string();
    let mut terminal = Terminal::start(place.command(&["reply", &address]));
    terminal
        .answer("Word 1 of 12:", &format!("{words}\r"))
        .answer("What do you want to say?", "")
        .answer("full stop", "It is 2.4.\n.\n")
        .answer("Reply", "")
        .answer("Seal it and go on?", "y\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(open(&server, 0).0.report.form["description"], "It is 2.4.");

    let mut terminal = Terminal::start(place.command(&["withdraw", &address]));
    terminal
        .answer("Word 1 of 12:", &format!("{words}\r"))
        .answer("Why, if you want to say so?", "")
        .answer("full stop", ".\n")
        .answer("Withdraw the report?", "n\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(server.state().bodies.len(), 1, "nothing was withdrawn");
}
