//! `check` and `verify`: what a receipt becomes, and what it shows to others.

use sealdrop_core::drop::FileKey;
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::saved::{SavedKey, SavedReceipt};
use sealdrop_core::time::Window;

use crate::support::{Answer, Keys, LyingServer};
use crate::{Place, is_private};

/// A place with `r.json`, `r.json.key` and `r.drop` of a report that the server took.
fn submitted(server: &LyingServer) -> Place {
    let place = Place::new();
    place.submit(server, &["--receipt", "r.json", "--save", "r.drop"]);
    place
}

#[test]
fn promised_then_logged_then_collected_by_whom() {
    let server = LyingServer::start();
    let place = submitted(&server);
    let check = |args: &[&str]| place.run(&[&["check", "--receipt", "r.json"], args].concat());
    check(&[]).succeeded(&["Promised: the server promised to log it by "]);
    assert_eq!(check(&["--json"]).json()["state"], "promised");

    server.state().close_window();
    check(&[]).succeeded(&[
        "Logged: it is in the log, and no member's machine has collected it yet.",
        "Entry 0 of 16 in the log.",
    ]);

    // The proof stands beside the receipt, and a better one takes its place.
    let logged = place.read("r.json.tlog-proof");
    server.state().cosign(&["ben"]);
    check(&[]).succeeded(&["Proof: r.json.tlog-proof"]);
    assert_ne!(place.read("r.json.tlog-proof"), logged);
    place.write("r.json.tlog-proof", b"something else");
    check(&[]).refused(2, &["r.json.tlog-proof is not a proof of this drop"]);
    assert_eq!(place.read("r.json.tlog-proof"), b"something else");
    check(&["-o", "r.tlog-proof"]).succeeded(&[
        "Collected by ben.",
        "ben/desk on ",
        "Proof: r.tlog-proof",
    ]);
    std::fs::remove_file(place.path("r.json.tlog-proof")).unwrap();
    let json = check(&["--json"]).json();
    assert_eq!(
        (&json["state"], &json["collected_by"]),
        (&"collected".into(), &serde_json::json!(["ben"]))
    );

    let address = server.address.to_string();
    let verify = |args: &[&str]| place.run(&[&["verify", "r.tlog-proof"], args].concat());
    verify(&["--address", &address])
        .succeeded(&["Collected by ben: the log of box", "Roster 3, issued"]);
    verify(&[]).succeeded(&[
        "The box is the one that the file names itself",
        &server.address.box_key.to_string(),
    ]);
    verify(&[
        "--address",
        &address,
        "--key",
        "r.json.key",
        "--drop",
        "r.drop",
    ])
    .succeeded(&[
        "The drop is the one that was logged.",
        "It is the report “Overflow” with no attachments, addressed to every member: ada, ben.",
    ]);
    let json = verify(&[
        "--address",
        &address,
        "--key",
        "r.json.key",
        "--drop",
        "r.drop",
        "--json",
    ])
    .json();
    assert_eq!(
        (&json["title"], &json["address_checked"]),
        (&"Overflow".into(), &true.into())
    );
    assert_eq!(json["addressed_to"], serde_json::json!(["ada", "ben"]));
    assert_eq!(verify(&["--json"]).json()["address_checked"], false);

    // The proof stands in for the receipt, and sees what happened to the log since.
    place
        .run(&["check", &address, "--receipt", "r.tlog-proof"])
        .succeeded(&["Collected by ben."]);
    place
        .run(&["check", "--receipt", "r.tlog-proof"])
        .refused(2, &["a proof does not say which address it belongs to"]);
}

#[test]
fn server_answers_accepted_and_drops_the_body() {
    // The promise is real, and of a window that is long over; the log does not hold the drop.
    let server = LyingServer::start();
    let place = submitted(&server);
    server.state().leaves.clear();
    server.state().close_window();
    place
        .run(&["check", "--receipt", "r.json"])
        .succeeded(&["Promised"]);
    make_old(&place, &server, 2);
    let run = place.run(&["check", "--receipt", "r.json", "--json"]);
    run.refused(
        1,
        &[
            "BROKEN PROMISE",
            "r.json is the evidence: the server signed it",
        ],
    );
    assert_eq!(run.json()["state"], "broken");
}

#[test]
fn a_promise_is_broken_only_when_it_is_overdue() {
    let server = LyingServer::start();
    let place = submitted(&server);
    make_old(&place, &server, 1);
    place
        .run(&["check", "--receipt", "r.json"])
        .succeeded(&["Promised"]);
}

/// Makes the promise in `r.json` one of a window that was over so many windows ago.
fn make_old(place: &Place, server: &LyingServer, windows: u64) {
    let keys = server.keys();
    let mut saved = SavedReceipt::parse(&place.read("r.json")).unwrap();
    let leaf = *Promise::verify(&saved.promise, server.state().roster.log_key())
        .unwrap()
        .leaf();
    let old = Promise::new(leaf.digest, leaf.size, Window(server.window().0 - windows));
    saved.promise = old.sign(&keys.log_name(), &keys.log);
    place.write("r.json", saved.to_json());
}

#[test]
fn what_a_drop_says_cannot_be_proved_without_the_drop() {
    let server = LyingServer::start();
    let place = Place::new();
    let needed = "that needs the sealed drop too, which was not kept (--save FILE keeps it)";
    let run = place.try_submit(&server, &["--receipt", "r.json"]);
    run.succeeded(&[needed]);
    let run = place.try_submit(&server, &["--receipt", "s.json", "--save", "s.drop"]);
    assert!(!run.out.contains(needed), "{}", run.out);
    place
        .run(&["verify", "r.json", "--key", "r.json.key"])
        .refused(2, &["--key needs --drop", "`submit --save`"]);
}

#[test]
fn a_receipt_of_another_box_is_refused() {
    let server = LyingServer::start();
    let place = submitted(&server);
    let other = LyingServer::with_keys(Keys::new(40)).address.to_string();
    for command in [
        &["check", &other, "--receipt", "r.json"][..],
        &["verify", "r.json", "--address", &other],
    ] {
        place
            .run(command)
            .refused(1, &["r.json is a receipt of another box than this address"]);
    }
}

#[test]
fn a_changed_roster_is_not_called_that_of_another_box() {
    let server = LyingServer::start();
    let place = submitted(&server);
    let address = server.address.to_string();
    let receipt = String::from_utf8(place.read("r.json")).unwrap();
    let changed = receipt.replace("epoch: 3", "epoch: 4");
    assert_ne!(changed, receipt);
    place.write("r.json", changed);
    for args in [&[][..], &["--address", &address]] {
        place.run(&[&["verify", "r.json"], args].concat()).refused(
            1,
            &["r.json holds a roster that is not the one its box signed"],
        );
    }
}

#[test]
fn verify_says_what_it_knows_and_no_more() {
    let server = LyingServer::start();
    let place = submitted(&server);
    let verify = |args: &[&str]| place.run(&[&["verify", "r.json"], args].concat());
    verify(&["--drop", "r.drop"])
        .succeeded(&["The drop is the one that was promised to be logged."]);
    let remark = "its roster is not for https://elsewhere.example";
    let elsewhere = format!("https://elsewhere.example#{}", server.address.box_key);
    verify(&["--address", &elsewhere]).succeeded(&[remark]);
    let run = verify(&["--address", &server.address.to_string()]);
    assert!(!run.out.contains("its roster is not for"), "{}", run.out);
}

#[test]
fn a_receipt_of_another_report_is_refused() {
    let server = LyingServer::start();
    let (one, two) = (submitted(&server), submitted(&server));
    one.write("other.drop", two.read("r.drop"))
        .write("other.key", two.read("r.json.key"));
    let address = server.address.to_string();
    let verify = |key: &str, drop: &str| {
        one.run(&[
            "verify",
            "r.json",
            "--address",
            &address,
            "--key",
            key,
            "--drop",
            drop,
        ])
    };
    verify("r.json.key", "other.drop")
        .refused(1, &["other.drop is not the drop that this receipt is for"]);
    verify("other.key", "r.drop").refused(
        1,
        &["other.key does not open r.drop: it is the file key of another report"],
    );
    verify("r.json", "r.drop").refused(2, &["r.json is not a file key"]);
}

#[test]
fn a_wrong_file_key_proves_nothing() {
    let server = LyingServer::start();
    let place = submitted(&server);
    let wrong = SavedKey {
        file_key: FileKey::from_bytes([1; 16]),
    };
    place.write("wrong.key", wrong.to_json().as_bytes());
    let run = place.run(&["verify", "r.json", "--key", "wrong.key", "--drop", "r.drop"]);
    run.refused(1, &["wrong.key does not open r.drop"]);
}

#[test]
fn false_receipts_are_refused() {
    let server = LyingServer::start();
    let place = submitted(&server);
    server.state().close_window();
    server.state().cosign(&["ada"]);
    place
        .run(&["check", "--receipt", "r.json", "-o", "r.tlog-proof"])
        .succeeded(&["Collected"]);
    let proof = String::from_utf8(place.read("r.tlog-proof")).unwrap();
    let address = server.address.to_string();
    let lines: Vec<&str> = proof.lines().collect();
    let cut = |at: usize| [&lines[..at], &lines[at + 1..]].concat().join("\n") + "\n";
    for (name, text) in [
        ("index", proof.replace("index 0", "index 1")),
        ("hash", cut(3)),
        ("size", proof.replace("\n16\n", "\n17\n")),
    ] {
        place.write(name, text);
        place
            .run(&["verify", name, "--address", &address])
            .refused(1, &[&format!("{name} proves nothing")]);
    }
    place.write("empty", "");
    place
        .run(&["verify", "empty", "--address", &address])
        .refused(2, &["empty is neither a receipt nor a proof"]);
    // A promise that the log did not sign.
    let mut saved = SavedReceipt::parse(&place.read("r.json")).unwrap();
    let strangers = Keys::new(40);
    saved.promise = Promise::new([1; 32], 67_195, server.window())
        .sign(&server.keys().log_name(), &strangers.log);
    place.write("false.json", saved.to_json());
    place
        .run(&["verify", "false.json", "--address", &address])
        .refused(
            1,
            &["false.json is no receipt: the promise is not signed by the log key"],
        );
}

#[test]
fn a_proof_is_written_once_and_readable_by_its_owner() {
    let server = LyingServer::start();
    let place = submitted(&server);
    place
        .run(&["check", "--receipt", "r.json", "-o", "p"])
        .succeeded(&["Promised"]);
    assert!(
        !place.files().contains(&"p".to_owned()),
        "there is no proof yet"
    );
    server.state().close_window();
    place
        .run(&["check", "--receipt", "r.json", "-o", "p"])
        .succeeded(&["Logged"]);
    assert!(is_private(&place.path("p")));
    place
        .run(&["check", "--receipt", "r.json", "-o", "p"])
        .refused(2, &["p cannot be made: it exists already"]);
}

#[test]
fn a_server_that_is_down_is_not_a_broken_promise() {
    let server = LyingServer::start();
    let place = submitted(&server);
    make_old(&place, &server, 5);
    server.lie(|_, _| Some(Answer::new(503)));
    let run = place.run(&["check", "--receipt", "r.json"]);
    run.refused(1, &["the server is full or busy"]);
    assert!(!run.err.contains("BROKEN"));
}

#[test]
fn server_hides_the_cosignatures_that_a_proof_holds() {
    let server = LyingServer::start();
    let place = submitted(&server);
    server.state().close_window();
    server.state().cosign(&["ada"]);
    let check = |args: &[&str]| place.run(&[&["check", "--receipt", "r.json"], args].concat());
    check(&[]).succeeded(&["Collected by ada.", "Proof: r.json.tlog-proof"]);
    let collected = place.read("r.json.tlog-proof");

    server.state().cosigned.clear();
    server.state().close_window();
    check(&[]).succeeded(&[
        "Collected by ada.",
        "Proof: r.json.tlog-proof (kept as it was: the server shows none with more members)",
    ]);
    assert_eq!(place.read("r.json.tlog-proof"), collected);
    assert_eq!(check(&["--json"]).json()["state"], "collected");
    // What is written elsewhere is the better one too.
    check(&["-o", "p"]).succeeded(&["Collected by ada.", "Proof: p"]);
    assert_eq!(place.read("p"), collected);

    // One member in the place of another takes nothing away; more members do replace it.
    server.state().cosign(&["ben"]);
    check(&[]).succeeded(&["Collected by ada."]);
    assert_eq!(place.read("r.json.tlog-proof"), collected);
    server.state().cosign(&["ada", "ben"]);
    check(&[]).succeeded(&["Collected by ada, ben."]);
    assert_ne!(place.read("r.json.tlog-proof"), collected);
}

#[test]
fn server_forks_the_log_after_a_proof_was_written() {
    let server = LyingServer::start();
    let place = submitted(&server);
    server.state().close_window();
    let check = |args: &[&str]| place.run(&[&["check", "--receipt", "r.json"], args].concat());
    check(&[]).succeeded(&["Logged"]);
    let proof = place.read("r.json.tlog-proof");

    // The drop is in the other history as well.
    let mut state = server.state();
    state.leaves[1].digest = [0xee; 32];
    drop(state);
    for args in [&[][..], &["-o", "p"]] {
        check(args).refused(1, &["THE LOG HAS TWO HISTORIES", "r.json.tlog-proof"]);
    }
    assert_eq!(place.read("r.json.tlog-proof"), proof);
    assert!(!place.files().contains(&"p".to_owned()));
}

#[test]
fn a_damaged_proof_is_not_replaced() {
    let server = LyingServer::start();
    let place = submitted(&server);
    server.state().close_window();
    server.state().cosign(&["ada"]);
    let check = || place.run(&["check", "--receipt", "r.json"]);
    check().succeeded(&["Collected by ada."]);
    let proof = String::from_utf8(place.read("r.json.tlog-proof")).unwrap();
    let damaged = proof.replace("\n16\n", "\n17\n");
    place.write("r.json.tlog-proof", &damaged);
    check().refused(2, &["r.json.tlog-proof is not a proof of this drop"]);
    assert_eq!(place.read("r.json.tlog-proof"), damaged.into_bytes());
}
