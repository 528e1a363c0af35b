//! `claim`: a name and a conversation, signed by the phrase.

use sealdrop_core::claim::Claim;
use sealdrop_core::note::Note;
use sealdrop_core::phrase::Phrase;

use crate::support::LyingServer;
use crate::terminal::Terminal;
use crate::{Place, Run, is_private};

fn phrase() -> Phrase {
    Phrase::from_entropy(&[1; 16])
}

fn claim(place: &Place, server: &LyingServer, args: &[&str]) -> Run {
    let address = server.address.to_string();
    let fixed = ["claim", &address, "--phrase-file", "-"];
    place.run_with(&[&fixed, args].concat(), &phrase().words())
}

#[test]
fn a_claim_ties_a_name_to_the_conversation_and_asks_no_server() {
    let server = LyingServer::start();
    let place = Place::new();
    let run = claim(&place, &server, &["--name", " Jane Doe ", "--yes"]);
    run.succeeded(&["sealdrop/claim/v1\n", "\nname: Jane Doe\n\n— "]);
    assert!(run.err.contains("It unmasks you."), "{}", run.err);
    let box_key = &server.address.box_key;
    let keys = phrase().keys(box_key);
    let believed = Claim::verify(&Note::parse(run.out.as_bytes()).unwrap(), box_key).unwrap();
    assert_eq!(
        (believed.name.as_str(), believed.conversation),
        ("Jane Doe", keys.conversation)
    );
    assert!(place.files().is_empty());

    let statement = [
        "--name",
        "J",
        "--statement",
        "I found it.",
        "-o",
        "c",
        "--yes",
        "--json",
    ];
    let json = claim(&place, &server, &statement).json();
    assert_eq!(json["claim"].as_str().unwrap().as_bytes(), place.read("c"));
    assert_eq!(
        (&json["file"], &json["statement"]),
        (&"c".into(), &"I found it.".into())
    );
    assert_eq!(json["conversation"], keys.conversation.to_string());
    assert!(is_private(&place.path("c")));
    claim(&place, &server, &["--name", "J", "-o", "c", "--yes"])
        .refused(2, &["c cannot be made: it exists already"]);
    assert!(server.requests().is_empty(), "no network at all");
}

#[test]
fn nothing_is_signed_that_was_not_agreed_to_or_that_no_claim_can_hold() {
    let server = LyingServer::start();
    let place = Place::new();
    claim(&place, &server, &["--name", "Jane", "-o", "c"]).refused(
        2,
        &[
            "no terminal to show the claim on before it is signed",
            "--yes",
        ],
    );
    for bad in ["", "two\nlines", "\u{9b}2J", &"x".repeat(257)] {
        claim(&place, &server, &["--name", bad, "-o", "c", "--yes"])
            .refused(2, &["a claim holds a name of 1 to 256 characters"]);
    }
    place
        .run_for(&server, "claim", &["--yes"])
        .refused(2, &["--name <NAME>"]);
    assert!(place.files().is_empty());
}

#[test]
fn a_claim_is_shown_before_it_is_signed() {
    let server = LyingServer::start();
    let place = Place::new();
    place.write("phrase", phrase().words().as_bytes());
    let address = server.address.to_string();
    let args = [
        "claim",
        &address,
        "--phrase-file",
        "phrase",
        "--name",
        "Jane",
        "-o",
        "c",
    ];
    for (answer, code) in [("n", 130), ("y", 0)] {
        let mut terminal = Terminal::start(place.command(&args));
        terminal
            .answer("name: Jane", "")
            .answer("It unmasks you.", "")
            .answer("Sign it?", &format!("{answer}\r"));
        let (ended, shown) = terminal.end();
        assert_eq!(ended, Some(code), "{shown}");
        assert_eq!(place.path("c").exists(), code == 0);
    }
}
