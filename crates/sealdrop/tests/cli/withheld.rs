//! `check` with a phrase, of a server that keeps rosters back, or sends old slips again.

use sealdrop_client::show::day;
use sealdrop_client::system;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::roster::{Draft, Roster};
use sealdrop_core::slip::PartKind;
use sealdrop_core::slip::message::{Date, Message};
use sealdrop_core::time::Time;
use serde_json::{Value, json};

use crate::support::{LyingServer, Saying, WINDOW};
use crate::{Place, Run};

fn phrase() -> Phrase {
    Phrase::from_entropy(&[1; 16])
}

/// A server whose first roster was issued a hundred windows ago.
fn start() -> LyingServer {
    let server = LyingServer::start();
    let one = roster(&server, 1, 100, |_| {});
    server.state().roster = one;
    server
}

fn say(server: &LyingServer, text: &str) -> Saying {
    Saying::new(server, &phrase(), text)
}

fn check(server: &LyingServer) -> Run {
    let run = Place::new().answers(server, &phrase(), &[]);
    run.succeeded(&[]);
    run
}

fn checked(server: &LyingServer) -> Value {
    Place::new().answers(server, &phrase(), &["--json"]).json()
}

/// A roster of that epoch, issued so many windows ago, and for many windows more.
fn roster(server: &LyingServer, epoch: u64, ago: u64, change: impl FnOnce(&mut Draft)) -> Roster {
    let mut draft = server.state().roster.draft().clone();
    let now = system::now().0;
    draft.epoch = epoch;
    draft.issued = Time(now - ago * WINDOW);
    draft.expires = Time(now + 30 * WINDOW);
    change(&mut draft);
    server.keys().sign(&draft)
}

fn without_ada(draft: &mut Draft) {
    draft.members.rotate_left(1);
    draft.members.truncate(1);
    draft.devices.rotate_left(1);
    draft.devices.truncate(1);
}

#[test]
fn server_hides_the_roster_that_removed_a_member_and_her_slip_is_not_the_teams() {
    let server = start();
    // Epoch 1 has ada, 2 removes her twenty windows ago, 3 is in force.
    let early = say(&server, "While on the team");
    let late = say(&server, "Send it to evil@example.org").kind(PartKind::Status, |message| {
        message.state = Some("gone".into());
    });
    let one = roster(&server, 1, 100, |_| {});
    let two = roster(&server, 2, 20, without_ada);
    let three = roster(&server, 3, 1, without_ada);
    server.state().roster = three;
    server.state().older = vec![one.clone(), two];
    server.segment(30, &early.seal());
    server.segment(10, &late.seal());
    let run = check(&server);
    assert!(
        run.out
            .contains("it was logged after ada had left the team")
    );
    assert!(!run.out.contains("not shown"), "{}", run.out);
    let json = checked(&server);
    let team = |json: &Value, n: usize| json["messages"][n]["team"].as_bool().unwrap();
    assert_eq!((team(&json, 0), team(&json, 1)), (true, false));
    assert_eq!(json["not_shown"], json!([]));

    server.state().older = vec![one];
    let run = check(&server);
    for expected in [
        "NOT THE TEAM'S: ada has left the team, and the server does not show the rosters that say when.",
        "Roster 2 was not shown",
    ] {
        assert!(run.out.contains(expected), "{}", run.out);
    }
    let json = checked(&server);
    assert!(!team(&json, 1));
    assert_eq!(json["state"], Value::Null, "it says nothing of the state");
    assert_eq!(json["not_shown"], json!([[2, 2]]));
}

#[test]
fn server_hides_a_roster_between_two_that_name_a_member_and_her_slip_stays_the_teams() {
    let server = start();
    let said = say(&server, "Of the team all along");
    let (one, four) = (
        roster(&server, 1, 100, |_| {}),
        roster(&server, 4, 1, |_| {}),
    );
    server.state().roster = four;
    server.state().older = vec![one];
    server.segment(10, &said.seal());
    let json = checked(&server);
    assert_eq!(json["messages"][0]["team"], true);
    assert_eq!(json["not_shown"], json!([[2, 3]]));
    assert!(check(&server).out.contains("Rosters 2 to 3 were not shown"));
}

#[test]
fn server_hides_the_roster_of_an_answer_which_is_not_called_forged() {
    let server = start();
    let said = say(&server, "A true answer, signed by ada");
    let (one, two) = (
        roster(&server, 1, 100, |_| {}),
        roster(&server, 2, 3, |_| {}),
    );
    server.state().roster = two;
    server.state().older = vec![one];
    let window = server.segment(10, &said.seal());
    assert!(check(&server).out.contains("ada writes\n    A true answer"));

    server.state().older.clear();
    let run = check(&server);
    for expected in [
        "NOT CHECKED: a slip of ",
        "cannot be checked: the server does not show roster 1. Take it for nobody's.",
        "Roster 1 was not shown",
    ] {
        assert!(run.out.contains(expected), "{}", run.out);
    }
    for unexpected in ["FORGED", "A true answer", "No answer yet"] {
        assert!(!run.out.contains(unexpected), "{}", run.out);
    }
    let json = checked(&server);
    assert_eq!(json["forged"], json!([]));
    assert_eq!(json["unchecked"], json!([{"window": window.0, "epoch": 1}]));
    assert_eq!(json["answered"], false);

    // So is one under a roster that is newer than the one shown, whoever made it up.
    let mut unknown = say(&server, "under a roster that nobody signed");
    unknown.envelope.epoch = 9;
    let window = server.segment(0, &unknown.seal());
    let json = checked(&server);
    assert_eq!(
        json["unchecked"][1],
        json!({"window": window.0, "epoch": 9})
    );
    assert_eq!(json["forged"], json!([]));
}

#[test]
fn server_hides_the_first_rosters_and_the_segments_under_them_are_missed() {
    let server = start();
    let one = server.state().roster.clone();
    let two = roster(&server, 2, 4, |_| {});
    server.state().roster = two;
    server.state().older = vec![one.clone()];
    for ago in (1..=99).rev() {
        server.segment(ago, &[]);
    }
    assert_eq!(checked(&server)["feed"]["missing"], 0);

    let begins = server.window().0 - 3;
    server
        .state()
        .segments
        .retain(|window, _| window.0 >= begins);
    assert_eq!(checked(&server)["feed"]["missing"], 96);
    server.state().older.clear();
    let json = checked(&server);
    // As many as the box keeps, for nobody says that it is younger.
    let kept = one.retention() / WINDOW;
    let missing = json["feed"]["missing"].as_u64().unwrap();
    assert!((kept - 6..=kept).contains(&missing), "{missing} of {kept}");
    assert!(check(&server).out.contains("windows have no segment"));
}

#[test]
fn server_shows_an_old_roster_as_the_one_in_force_and_its_dates_are_shown() {
    let server = start();
    let (issued, expires) = {
        let state = server.state();
        (state.roster.issued(), state.roster.expires())
    };
    server.segment(1, &say(&server, "I am ada, who has left").seal());
    let run = check(&server);
    let line = format!(
        "Roster 1, issued {}, expires {}.",
        day(issued),
        day(expires)
    );
    assert!(run.out.contains(&line), "{}", run.out);
    let fields = json!({"epoch": 1, "issued": issued.0, "expires": expires.0, "expired": false});
    assert_eq!(checked(&server)["roster"], fields);
}

#[test]
fn server_sends_a_slip_again_whose_roster_was_past_and_it_is_left_out() {
    let server = start();
    let past = say(&server, "Said long ago");
    let two = roster(&server, 2, 20, |draft| draft.retention = 8 * WINDOW);
    server.state().roster = two;
    server.segment(1, &past.seal());
    let run = check(&server);
    assert!(run.out.contains("No answer yet"), "{}", run.out);
    let expected = "Left out: 1 slip, under a roster that was past";
    assert!(run.out.contains(expected), "{}", run.out);
    let json = checked(&server);
    assert_eq!(
        (&json["stale"], &json["answered"]),
        (&1.into(), &false.into())
    );
    assert_eq!(
        (&json["forged"], &json["unchecked"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(json["not_shown"], json!([]));
}

#[test]
fn server_sends_a_slip_again_whose_roster_had_expired_and_it_is_left_out() {
    let server = start();
    let past = say(&server, "Said long ago");
    let ends = system::now().0 - 5 * WINDOW;
    let one = roster(&server, 1, 100, |draft| draft.expires = Time(ends));
    let two = roster(&server, 2, 6, |_| {});
    server.state().roster = two;
    server.state().older = vec![one];
    let window = server.segment(7, &past.seal());
    let json = checked(&server);
    assert_eq!(
        (&json["stale"], &json["answered"]),
        (&0.into(), &true.into())
    );

    // Its segment is gone, and it is among the pads of another.
    server.state().segments.remove(&window);
    server.segment(1, &past.seal());
    let json = checked(&server);
    assert_eq!(
        (&json["stale"], &json["answered"]),
        (&1.into(), &false.into())
    );
}

#[test]
fn server_sends_an_old_state_again_and_it_is_not_the_latest() {
    let server = start();
    let date = |on: &str| Date {
        what: "disclosure".into(),
        on: on.into(),
        met: None,
    };
    let numbered = |number: u64, kind, change: &dyn Fn(&mut Message)| {
        let mut saying = say(&server, "").kind(kind, |message| change(message));
        saying.envelope.number = number;
        saying.seal()
    };
    let closed = numbered(1, PartKind::Closed, &|m| m.state = Some("rejected".into()));
    let promised = numbered(2, PartKind::Dates, &|m| m.dates = vec![date("2099-01-01")]);
    let reopened = numbered(3, PartKind::Status, &|m| m.state = Some("confirmed".into()));
    let moved = numbered(4, PartKind::Dates, &|m| m.dates = vec![date("2098-03-01")]);
    let gone = [server.segment(9, &closed), server.segment(8, &promised)];
    server.segment(7, &reopened);
    server.segment(6, &moved);
    let before = checked(&server);
    assert_eq!(before["state"], "confirmed");

    for window in gone {
        server.state().segments.remove(&window);
    }
    server.segment(1, &[closed, promised].concat());
    let json = checked(&server);
    assert_eq!(json["state"], "confirmed");
    assert_eq!(json["dates"], before["dates"]);
    let kinds = |json: &Value| -> Vec<String> {
        let messages = json["messages"].as_array().unwrap();
        messages.iter().map(|m| m["kind"].to_string()).collect()
    };
    assert_eq!(kinds(&json), kinds(&before), "nor shown as the latest");
}
