//! `check` with a phrase: what the maintainers answered, and what somebody else put into the feed.

use miniz_oxide::deflate::compress_to_vec_zlib;
use sealdrop_client::{show, system};
use sealdrop_core::key::SecretKey;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::phrase::{ConversationId, Phrase};
use sealdrop_core::slip::clue::CLUE;
use sealdrop_core::slip::message::{Date, File};
use sealdrop_core::slip::{self, PartKind};
use sealdrop_core::time::{Time, Window};
use serde_json::{Value, json};

use crate::support::{LyingServer, Saying, WINDOW};
use crate::terminal::Terminal;
use crate::{Place, is_private};

fn phrase() -> Phrase {
    Phrase::from_entropy(&[1; 16])
}

fn say(server: &LyingServer, text: &str) -> Saying {
    Saying::new(server, &phrase(), text)
}

fn ago(server: &LyingServer, windows: u64) -> Window {
    Window(server.window().0 - windows)
}

/// The JSON of a check that works.
#[track_caller]
fn checked(server: &LyingServer) -> Value {
    let run = Place::new().answers(server, &phrase(), &["--json"]);
    run.succeeded(&[]);
    run.json()
}

#[track_caller]
fn texts(json: &Value) -> Vec<&str> {
    let messages = json["messages"].as_array().unwrap();
    let text = |message: &'_ Value| message["text"].as_str().map(str::to_owned);
    let texts = messages.iter().map(|m| text(m).unwrap().leak() as &str);
    texts.collect()
}

#[test]
fn the_conversation_is_shown_in_order_with_who_signed_what_state_and_dates() {
    let server = LyingServer::start();
    server.publish(|draft| draft.epoch = 1);
    let date = |what: &str, on: &str, met: Option<&str>| Date {
        what: what.into(),
        on: on.into(),
        met: met.map(str::to_owned),
    };
    let ack = say(&server, "Thank you.").kind(PartKind::Ack, |_| {});
    let question = say(&server, "Which version?\n\x1b[31mOr all?").kind(PartKind::Question, |_| {});
    let status = say(&server, "").kind(PartKind::Status, |m| m.state = Some("fixing".into()));
    let dates = say(&server, "").kind(PartKind::Dates, |m| {
        m.dates = vec![
            date("disclosure", "2099-02-01", None),
            date("fix", "2020-01-01", None),
            date("patch", "2020-03-01", None),
            date("release", "2020-02-01", None),
        ];
    });
    let moved = say(&server, "").kind(PartKind::Dates, |m| {
        m.dates = vec![
            date("fix", "2098-12-01", None),
            date("patch", "2020-03-01", Some("2020-02-28")),
        ];
    });
    for (n, saying) in [(5, ack), (4, question), (3, status), (2, dates), (1, moved)] {
        server.segment(n, &saying.seal());
    }
    let place = Place::new();
    let run = place.answers(&server, &phrase(), &[]);
    run.succeeded(&[
        "State: fixing, since ",
        "Date: release promised for 2020-02-01, overdue\n\
         Date: patch promised for 2020-03-01, met on 2020-02-28\n\
         Date: fix promised for 2098-12-01\n\
         Date: disclosure promised for 2099-02-01\n",
        "    patch on 2020-03-01, met on 2020-02-28\n",
        "ada has your report\n    Thank you.\n",
        "ada asks\n    Which version?\n    \\x1b[31mOr all?\n",
        "ada says what state it is in\n    state: fixing\n",
        "Read: 5 segments of the feed, from ",
    ]);
    let order = ["has your report", "asks", "what state", "names dates"].map(|t| run.out.find(t));
    assert!(order.is_sorted(), "{}", run.out);
    assert!(!run.out.contains("no segment"), "{}", run.out);
    assert!(place.files().is_empty(), "{:?}", place.files());

    let json = checked(&server);
    assert_eq!(
        (&json["answered"], &json["state"]),
        (&true.into(), &"fixing".into())
    );
    let dates = json!([
        {"what": "release", "on": "2020-02-01", "met": null, "state": "overdue"},
        {"what": "patch", "on": "2020-03-01", "met": "2020-02-28", "state": "met"},
        {"what": "fix", "on": "2098-12-01", "met": null, "state": "promised"},
        {"what": "disclosure", "on": "2099-02-01", "met": null, "state": "promised"},
    ]);
    assert_eq!(json["dates"], dates);
    let first = &json["messages"][0];
    let window = ago(&server, 5);
    assert_eq!(
        (&first["member"], &first["kind"]),
        (&"ada".into(), &"ack".into())
    );
    assert_eq!(
        (&first["window"], &first["time"]),
        (&window.0.into(), &window.end(WINDOW).0.into())
    );
    assert_eq!(first["team"], true);
}

#[test]
fn no_answer_and_an_unknown_phrase_look_the_same_to_all() {
    let server = LyingServer::start();
    server.state().close_window();
    let place = Place::new();
    let unknown = "No answer yet. A phrase that was never used with this box looks the same.\n";
    place
        .answers(&server, &phrase(), &[])
        .succeeded(&[unknown, "Read: the feed, which is empty."]);

    let mut asked = Vec::new();
    server.segment(1, &say(&server, "Hello").seal());
    for n in [1, 2] {
        server.state().requests.clear();
        let run = place.answers(&server, &Phrase::from_entropy(&[n; 16]), &[]);
        let expected = if n == 1 {
            "ada writes\n    Hello"
        } else {
            unknown
        };
        run.succeeded(&[expected]);
        asked.push(server.requests());
    }
    assert_eq!(asked[0], asked[1], "a server cannot tell who has mail");

    // A phrase of another box is unknown here: its keys are others.
    let other = LyingServer::with_keys(crate::support::Keys::new(40));
    let slips = Saying::new(&other, &phrase(), "to another box").seal();
    server.segment(0, &slips);
    assert_eq!(texts(&checked(&server)), ["Hello"]);
}

#[test]
fn a_slip_that_no_member_signed_is_shown_as_forged() {
    let server = LyingServer::start();
    let window = ago(&server, 1);
    let mut slips = say(&server, "We drop the case").forged().seal();
    let mut stranger = say(&server, "I am on the team");
    stranger.envelope.member = "eve".into();
    slips.extend(stranger.seal());
    server.state().add_segment(window, &slips);
    let run = Place::new().answers(&server, &phrase(), &[]);
    run.succeeded(&[
        "FORGED: a slip of ",
        "came for you that no member signed. It is not the team's.",
    ]);
    assert!(
        !run.out.contains("drop the case") && !run.out.contains("I am on"),
        "{}",
        run.out
    );
    let json = checked(&server);
    assert_eq!(json["forged"], json!([window.0, window.0]));
    assert_eq!(json["answered"], false);
}

#[test]
fn a_slip_of_a_removed_member_is_shown_as_not_the_teams() {
    let server = LyingServer::start();
    // The box had ben until three windows ago, and ada alone since.
    let now = system::now().0;
    let old = say(&server, "Signed when I was there").kind(PartKind::Status, |m| {
        m.state = Some("gone".into());
    });
    server.publish(|draft| {
        draft.epoch = 4;
        draft.issued = Time(now - 3 * WINDOW);
        draft.members.rotate_left(1);
        draft.members.truncate(1);
        draft.devices.rotate_left(1);
        draft.devices.truncate(1);
    });
    let keys = server.keys();
    let mut draft = server.state().older[0].draft().clone();
    draft.issued = Time(now - 100 * WINDOW);
    server.state().older = vec![keys.sign(&draft)];
    let mut early = say(&server, "While on the team");
    early.envelope.epoch = 3;
    server.segment(5, &early.seal());
    server.segment(1, &old.seal());
    let run = Place::new().answers(&server, &phrase(), &[]);
    run.succeeded(&["NOT THE TEAM'S: it was logged after ada had left the team."]);
    let json = checked(&server);
    let team = |n: usize| json["messages"][n]["team"].as_bool().unwrap();
    assert_eq!((team(0), team(1)), (true, false));
    assert_eq!(json["state"], Value::Null, "it says nothing of the state");
}

#[test]
fn a_replayed_or_copied_or_relayed_slip_changes_nothing() {
    let server = LyingServer::start();
    let slips = say(&server, "Once").seal();
    server.segment(4, &slips);
    // The same slip again, and the same part sealed anew.
    server.segment(3, &slips);
    // Its clue, before what is for another.
    let mut copied = slip::decoy(&server.address.box_key, &mut system::rng());
    copied[..CLUE].copy_from_slice(&slips[0][..CLUE]);
    server.segment(2, &[copied]);
    // What a member said in another conversation or box, sealed again to this reporter.
    let mut relayed = say(&server, "to another conversation");
    relayed.envelope.conversation = ConversationId([9; 16]);
    let mut foreign = say(&server, "to another box");
    foreign.envelope.box_key = SecretKey::from_seed(&[77; 32]).to_public();
    let sealed = [relayed.seal(), foreign.seal()].concat();
    server.segment(1, &sealed);
    let json = checked(&server);
    assert_eq!(texts(&json), ["Once"]);
    assert_eq!(json["forged"], json!([]));
    assert_eq!(json["messages"][0]["window"], ago(&server, 4).0);
}

#[test]
fn a_message_in_parts_is_shown_when_all_are_there() {
    let server = LyingServer::start();
    let text = "x".repeat(5_000);
    let saying = say(&server, &text);
    let slips = saying.seal();
    assert_eq!(slips.len(), 3);
    server.segment(3, &slips[1..]);
    let place = Place::new();
    let run = place.answers(&server, &phrase(), &[]);
    run.succeeded(&["a message by ada, 2 of 3 parts so far"]);
    let json = checked(&server);
    let incomplete = &json["incomplete"][0];
    assert_eq!(
        (&incomplete["parts_here"], &incomplete["parts"]),
        (&2.into(), &3.into())
    );
    assert_eq!(json["answered"], false);

    server.segment(2, &slips[..1]);
    let json = checked(&server);
    assert_eq!(texts(&json), [text]);
    assert_eq!(
        json["messages"][0]["window"],
        ago(&server, 3).0,
        "that of its first part"
    );
    assert_eq!(json["incomplete"], json!([]));

    // Parts that make no message are said to.
    let mut broken = say(&server, "");
    broken.message.text = "y".repeat(2_500);
    let (mut one, mut other) = (broken.seal(), broken.seal());
    other.remove(0);
    one.truncate(1);
    server.segment(1, &[one, other].concat());
    assert_eq!(texts(&checked(&server)).len(), 2);
}

#[test]
fn messages_of_one_window_are_in_the_order_of_their_numbers() {
    let server = LyingServer::start();
    let texts_said = ["one", "two", "three", "four"];
    let mut slips = Vec::new();
    for (number, text) in (1..).zip(texts_said) {
        let mut saying = say(&server, text);
        saying.envelope.number = number;
        slips.extend(saying.seal());
    }
    server.segment(1, &slips);
    assert_eq!(texts(&checked(&server)), texts_said);
}

#[test]
fn a_file_is_written_only_where_it_was_asked_for_and_a_bomb_nowhere() {
    let server = LyingServer::start();
    let file = |name: &str, content: &[u8], size: usize| {
        let file = File {
            name: name.into(),
            zlib: compress_to_vec_zlib(content, 9),
            size: size as u64,
        };
        say(&server, "Try this").kind(PartKind::File, |m| m.file = Some(file))
    };
    let slips = file("../fix.patch", b"--- a\n+++ b\n", 12).seal();
    server.segment(2, &slips);
    let bomb = file("bomb", &vec![0; 17 << 20], 17 << 20).seal();
    server.segment(1, &bomb[..8]);
    server.segment(0, &bomb[8..]);
    let place = Place::new();
    let run = place.answers(&server, &phrase(), &[]);
    run.succeeded(&["file: ../fix.patch (12 bytes): -o DIR writes it"]);
    assert!(place.files().is_empty());

    for _ in 0..2 {
        let run = place.answers(&server, &phrase(), &["-o", "files", "--json"]);
        let json = run.json();
        let saved = json["messages"][0]["file"]["saved"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            saved.ends_with("_fix.patch") && saved.starts_with("files/"),
            "{saved}"
        );
        assert_eq!(place.read(&saved), b"--- a\n+++ b\n");
        assert!(is_private(&place.path(&saved)) && is_private(&place.path("files")));
        assert_eq!(json["messages"][1]["file"]["saved"], Value::Null);
    }
    assert_eq!(std::fs::read_dir(place.path("files")).unwrap().count(), 1);
    let run = place.answers(&server, &phrase(), &["-o", "files"]);
    run.succeeded(&["bomb (17,825,792 bytes): it is not what it says it is, and is not written"]);
}

#[test]
fn an_acknowledgement_gives_a_proof_of_each_drop_and_asks_nothing_more() {
    let server = LyingServer::start();
    let leaf = |n: u8| Leaf {
        kind: LeafKind::Drop,
        digest: [n; 32],
        size: 67_195,
        window: ago(&server, 2),
    };
    server.state().leaves.push(leaf(1));
    server.state().close_window();
    server.state().cosign(&["ben"]);
    let ack = say(&server, "").kind(PartKind::Ack, |m| m.leaves = vec![leaf(1), leaf(2)]);
    server.segment(1, &ack.seal());
    let place = Place::new();
    place
        .answers(&server, &phrase(), &[])
        .succeeded(&["(67,195 bytes), collected\n", ", not in the log\n"]);
    let without = server.requests();
    server.state().requests.clear();
    let run = place.answers(&server, &phrase(), &["--receipt-dir", "proofs", "--json"]);
    assert_eq!(server.requests(), without);
    let json = run.json();
    let leaves = &json["messages"][0]["leaves"];
    assert_eq!(
        (&leaves[0]["state"], &leaves[1]["proof"]),
        (&"collected".into(), &Value::Null)
    );
    let proof = leaves[0]["proof"].as_str().unwrap();
    assert_eq!(proof, "proofs/0101010101010101.tlog-proof");
    let address = server.address.to_string();
    place
        .run(&["verify", proof, "--address", &address])
        .succeeded(&["Collected by ben"]);
    // A later check finds it there.
    place
        .answers(&server, &phrase(), &["--receipt-dir", "proofs"])
        .succeeded(&[proof]);
    place.write(proof, "something else");
    let run = place.answers(&server, &phrase(), &["--receipt-dir", "proofs"]);
    run.refused(
        2,
        &[
            "is not a proof of this drop, and is not overwritten",
            "another folder",
        ],
    );
    assert!(run.out.contains("ada has your report"), "the rest is shown");
}

#[test]
fn a_feed_that_was_changed_or_has_gaps_is_not_shown_in_silence() {
    let server = LyingServer::start();
    server.publish(|draft| draft.epoch = 1);
    let slips = say(&server, "Hello").seal();
    server.segment(6, &slips);
    server.segment(4, &[]);
    let place = Place::new();
    let run = place.answers(&server, &phrase(), &[]);
    run.succeeded(&[
        "Hello",
        "1 window has no segment: the server was down then, or hides what was answered.",
        "The last 2 windows have none: ",
        "or the clock of this machine is wrong (it says ",
    ]);
    assert_eq!(checked(&server)["feed"]["missing"], 3);
    // The box is older than the first that is listed.
    let begun = ago(&server, 9);
    let mut draft = server.state().roster.draft().clone();
    draft.issued = begun.start(WINDOW);
    let born = server.keys().sign(&draft);
    server.publish(|draft| draft.epoch = 2);
    server.state().older = vec![born];
    assert_eq!(checked(&server)["feed"]["missing"], 3 + 2);

    let window = ago(&server, 6);
    server.state().segments.get_mut(&window).unwrap()[3_000] ^= 1;
    let run = place.answers(&server, &phrase(), &[]);
    run.refused(
        1,
        &[
            &format!("segment {window} of the feed is not in the log"),
            "by another way than this server",
        ],
    );
    assert_eq!(run.out, "");
}

#[test]
fn an_expired_roster_forbids_sealing_and_not_reading() {
    let server = LyingServer::start();
    let now = system::now().0;
    server.publish(|draft| {
        draft.issued = Time(now - 100_000);
        draft.expires = Time(now - 10);
    });
    server.segment(1, &say(&server, "Hello").seal());
    let run = Place::new().answers(&server, &phrase(), &[]);
    run.succeeded(&["ada writes\n    Hello"]);
    assert!(
        run.err.contains("The box's roster expired on ") && run.err.contains("clock"),
        "{}",
        run.err
    );
    assert!(run.out.contains("Roster 3, issued "), "{}", run.out);
    assert!(run.out.contains(", EXPIRED "), "{}", run.out);
    assert_eq!(checked(&server)["roster"]["expired"], true);
}

#[test]
fn a_phrase_with_a_typo_names_the_word_and_no_request_is_made() {
    let server = LyingServer::start();
    let place = Place::new();
    let words = phrase().words().to_string();
    let third = words.split(' ').nth(2).unwrap().to_owned();
    let address = server.address.to_string();
    let check = |input: &str| place.run_with(&["check", &address, "--phrase-file", "-"], input);
    check(&words.replacen(&third, &format!("{third}x"), 1)).refused(
        2,
        &[
            "standard input holds no phrase: word 3 is not in the word list",
            &third,
        ],
    );
    let mut swapped: Vec<&str> = words.split(' ').collect();
    swapped.swap(0, 11);
    check(&swapped.join(" ")).refused(2, &["the words do not belong together"]);
    check("").refused(2, &["a phrase has 12 words, this one has 0"]);
    let run = place.run(&["check", &address]);
    run.refused(
        2,
        &[
            "there is no terminal to ask for the phrase on",
            "never as an argument",
        ],
    );
    assert!(server.requests().is_empty());
    place.run(&["check"]).refused(2, &["ADDRESS"]);
}

#[test]
fn terminal_escapes_in_an_answer_are_escapes_in_the_json_too() {
    let server = LyingServer::start();
    let text = "a\u{9b}31mred\u{9d}0;title\u{9c}\u{202e}x\u{7f}\u{e0001}\x1b[2J\nä";
    server.segment(1, &say(&server, text).seal());
    let run = Place::new().answers(&server, &phrase(), &["--json"]);
    assert_eq!(texts(&run.json()), [text]);
    let raw = run.out.trim_end();
    assert!(raw.contains(r"a\u009b31mred\u009d0;title\u009c\u202ex\u007f\udb40\udc01\u001b[2J\nä"));
    assert!(!raw.chars().any(show::is_hidden), "{raw:?}");
}

#[test]
fn a_members_long_lines_on_a_terminal_do_not_look_like_another_member() {
    let server = LyingServer::start();
    let header = "2026-11-20 16:00 UTC  ben writes";
    let text = format!("ok{}{header}\u{a0}", " ".repeat(74));
    let name = format!("{}{header}", "\u{a0}".repeat(60));
    let file = File {
        zlib: compress_to_vec_zlib(b"x", 9),
        size: 1,
        name,
    };
    let saying = say(&server, &text).kind(PartKind::File, |m| m.file = Some(file));
    server.segment(1, &saying.seal());
    let place = Place::new();
    let mut terminal = Terminal::start(place.command(&["check", &server.address.to_string()]));
    terminal.answer("Word 1 of 12:", &format!("{}\r", *phrase().words()));
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let begin = shown.find("sends a file").expect("the message");
    let end = shown.find("Read: ").expect("the end");
    let lines: Vec<&str> = shown[begin..end].lines().skip(1).collect();
    assert!(lines.len() > 4, "{lines:?}");
    let is_behind = |line: &&str| line.trim_end().is_empty() || line.starts_with("    ");
    assert!(lines.iter().all(is_behind), "{lines:?}");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{lines:?}"
    );
    assert!(shown.contains("ben writes"), "{shown}");
}

#[test]
fn a_phrase_is_typed_on_a_terminal_and_never_shown() {
    let server = LyingServer::start();
    server.segment(1, &say(&server, "Hello").seal());
    let place = Place::new();
    let words = phrase().words().to_string();
    let words: Vec<&str> = words.split(' ').collect();
    let mut terminal = Terminal::start(place.command(&["check", &server.address.to_string()]));
    terminal
        .answer("Word 1 of 12:", &format!("{}\r", words[0]))
        .answer("Word 2 of 12:", "abandom\r")
        .answer(
            "Word 2 is not in the word list; the nearest is \u{201c}abandon\u{201d}",
            "",
        )
        .answer("Word 2 of 12:", &format!("{}\r", words[1..7].join(" ")))
        .answer("Word 8 of 12:", &format!("{}\r", words[7..].join("  ")));
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Hello"), "{shown}");
    for word in words {
        assert!(!shown.contains(word), "{word} in {shown}");
    }
}
