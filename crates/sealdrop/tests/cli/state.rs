//! `check --state`: what is remembered between two checks, and what is refused because of it.

use sealdrop_client::system;
use sealdrop_core::phrase::Phrase;
use serde_json::Value;

use crate::support::{Keys, LyingServer, Saying, WINDOW};
use crate::{Place, Run, is_private};

fn phrase() -> Phrase {
    Phrase::from_entropy(&[1; 16])
}

fn say(server: &LyingServer, text: &str) -> Vec<Box<sealdrop_core::slip::Slip>> {
    Saying::new(server, &phrase(), text).seal()
}

fn check(place: &Place, server: &LyingServer) -> Run {
    place.answers(server, &phrase(), &["--state", "s"])
}

fn texts(json: &Value) -> Vec<String> {
    let messages = json["messages"].as_array().unwrap();
    let text = |message: &Value| message["text"].as_str().unwrap().to_owned();
    messages.iter().map(text).collect()
}

#[test]
fn a_state_saves_fetching_what_was_read_and_shows_all_of_it() {
    let server = LyingServer::start();
    server.segment(3, &say(&server, "before"));
    let place = Place::new();
    check(&place, &server).succeeded(&["before", "Read: 1 segment of the feed"]);
    assert_eq!(place.files(), ["s"], "nothing else, and nothing half made");
    assert!(is_private(&place.path("s")));
    let (first, size) = (place.read("s"), place.read("s").len());
    server.segment(1, &say(&server, "since"));
    server.state().requests.clear();
    check(&place, &server).succeeded(&["before", "since", "Read: 2 segments (1 of them new)"]);
    let fetched = server.requests();
    let fetched = fetched.iter().filter(|r| r.starts_with("GET /v1/feed/"));
    assert_eq!(fetched.count(), 1);
    let json = place
        .answers(&server, &phrase(), &["--state", "s", "--json"])
        .json();
    assert_eq!(texts(&json), ["before", "since"]);
    assert_eq!(
        (&json["feed"]["segments"], &json["feed"]["fetched"]),
        (&2.into(), &0.into())
    );

    check(&place, &server).succeeded(&["since", "Read: 2 segments (none of them new)"]);

    // The size says nothing of mail, and nothing in it can be read.
    let second = place.read("s");
    assert_ne!(first, second);
    let other = Place::new();
    let run = other.answers(&server, &Phrase::from_entropy(&[2; 16]), &["--state", "s"]);
    run.succeeded(&["No answer yet."]);
    assert_eq!([second.len(), other.read("s").len()], [size; 2]);
}

#[test]
fn a_state_of_another_phrase_or_box_is_refused_and_left_alone() {
    let server = LyingServer::start();
    server.segment(1, &[]);
    let place = Place::new();
    check(&place, &server).succeeded(&[]);
    let before = place.read("s");
    let other = LyingServer::with_keys(Keys::new(40));
    server.state().requests.clear();
    let expected = [
        "s is not the state of this phrase with this box",
        "or another name",
    ];
    place
        .answers(&server, &Phrase::from_entropy(&[2; 16]), &["--state", "s"])
        .refused(2, &expected);
    check(&place, &other).refused(2, &expected);
    assert_eq!(place.read("s"), before);
    let mut damaged = before.clone();
    damaged[9_000] ^= 1;
    place.write("s", &damaged);
    check(&place, &server).refused(2, &expected);
    place.write("s", "a report that somebody wrote");
    check(&place, &server).refused(2, &expected);
    assert_eq!(place.read("s"), b"a report that somebody wrote");
    assert!(server.requests().is_empty() && other.requests().is_empty());
}

#[test]
fn a_state_that_cannot_be_written_is_said_before_anything_is_asked() {
    let server = LyingServer::start();
    let place = Place::new();
    let run = place.answers(&server, &phrase(), &["--state", "nowhere/s"]);
    run.refused(
        2,
        &["nowhere/s.new cannot be made", "the folder does not exist"],
    );
    assert!(server.requests().is_empty());
    let receipt = place.run(&["check", "--receipt", "r.json", "--state", "s"]);
    receipt.refused(2, &["cannot be used with"]);
}

#[test]
fn a_feed_that_shrank_or_changed_since_the_state_is_refused_and_names_the_segment() {
    let server = LyingServer::start();
    let window = server.segment(3, &say(&server, "before"));
    server.segment(2, &[]);
    let place = Place::new();
    check(&place, &server).succeeded(&["before"]);
    let before = place.read("s");
    let kept = server.state().segments.remove(&window).unwrap();
    let run = check(&place, &server);
    run.refused(
        1,
        &[
            &format!("the feed shrank: segment {window} was in it before, and has not expired"),
            "the state stays as it was",
            "by another way than this server",
            "unless the clock of this machine is wrong (it says ",
        ],
    );
    assert_eq!(run.out, "");
    server.state().add_segment(window, &[]);
    check(&place, &server).refused(
        1,
        &[&format!("segment {window} of the feed was changed: it is another than the one that was read before")],
    );
    assert_eq!(place.read("s"), before);
    // Without the state nobody can tell.
    place
        .answers(&server, &phrase(), &[])
        .succeeded(&["No answer yet."]);
    server.state().segments.insert(window, kept);
    check(&place, &server).succeeded(&["before"]);
}

#[test]
fn an_older_roster_or_log_than_the_state_has_seen_is_refused() {
    let server = LyingServer::start();
    server.segment(3, &say(&server, "before"));
    server.publish(|draft| draft.epoch = 4);
    let place = Place::new();
    check(&place, &server).succeeded(&["before"]);
    let newer = server.state().roster.clone();
    let older = server.state().older[0].clone();
    server.state().roster = older;
    check(&place, &server).refused(
        1,
        &[
            "the roster that the server shows is not the one that was seen before: the roster is older than one seen before",
            "by another way than this server",
        ],
    );
    place
        .answers(&server, &phrase(), &[])
        .succeeded(&["before"]);
    // One that has expired is read, and must not be older either.
    server.publish(|draft| {
        draft.expires = sealdrop_core::time::Time(system::now().0 - 10);
        draft.issued = sealdrop_core::time::Time(system::now().0 - 10 * WINDOW);
    });
    check(&place, &server).refused(1, &["is not the one that was seen before"]);
    // Another of the same epoch.
    server.publish(|draft| (draft.epoch, draft.expires) = (4, newer.expires()));
    check(&place, &server).refused(1, &["two rosters of one epoch"]);
    server.state().roster = newer;
    check(&place, &server).succeeded(&["before"]);

    server.state().closed -= 16;
    check(&place, &server).refused(
        1,
        &[
            "THE LOG HAS TWO HISTORIES",
            "the two checkpoints are the evidence",
        ],
    );
}
