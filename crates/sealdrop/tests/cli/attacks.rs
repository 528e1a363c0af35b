//! Rows of the threat model that the reporter's side must hold, against a server that lies.

use sealdrop_client::BoxFile;
use sealdrop_core::drop::{FileKey, Sealer, header, shape};
use sealdrop_core::encoding::sha256;
use sealdrop_core::key::SecretKey;
use sealdrop_core::log::checkpoint::log_vkey;
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::saved::{SavedKey, SavedReceipt};
use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::{Kind, Report};
use sealdrop_core::time::{Time, Window};

use crate::support::{Answer, Keys, LyingServer, POLICY};
use crate::{Place, Run};

/// Submits to a lying server, and holds that nothing was sealed or sent.
#[track_caller]
fn submit(server: &LyingServer) -> Run {
    let place = Place::new();
    let run = place.try_submit(server, &["--receipt", "r.json"]);
    assert_eq!(place.files(), [""; 0]);
    assert!(
        !run.out.contains("phrase"),
        "no phrase for a report that was not left"
    );
    run
}

/// The same, where not even a drop was sent.
#[track_caller]
fn refused_before_sealing(server: &LyingServer, pieces: &[&str]) {
    submit(server).refused(1, pieces);
    assert_eq!(server.requests(), ["GET /v1/box"]);
}

#[test]
fn server_swaps_a_members_key() {
    let server = LyingServer::start();
    let text = server.state().roster.note().to_string();
    let keys = server.keys();
    let swapped = text.replace(
        &keys.members[0].identity.to_public().to_string(),
        &Keys::new(99).members[0].identity.to_public().to_string(),
    );
    assert_ne!(swapped, text);
    let json = serde_json::json!({ "roster": swapped, "policy": POLICY }).to_string();
    server.lie_at("/v1/box", json);
    refused_before_sealing(
        &server,
        &[
            "is not signed by the box key of this address",
            "nothing was sealed or sent",
            "by another way than this server",
        ],
    );
}

#[test]
fn server_serves_a_roster_of_its_own_box() {
    let server = LyingServer::start();
    let strangers = Keys::new(40);
    let forged = strangers.sign(&strangers.draft(&server.address.origin));
    let file = BoxFile {
        roster: forged.note().clone(),
        policy: POLICY.into(),
    };
    server.lie_at("/v1/box", file.to_json());
    // Both fingerprints are named: the one of the address, and the one shown.
    let [expected, shown] =
        [&server.address.box_key, forged.box_key()].map(|key| key.fingerprint());
    refused_before_sealing(
        &server,
        &[&format!(
            "the address names the box with fingerprint {expected}, the roster that with {shown}"
        )],
    );
}

#[test]
fn server_serves_an_expired_roster() {
    let server = LyingServer::start();
    server.publish(|draft| {
        draft.expires = Time(draft.issued.0 + 10);
    });
    refused_before_sealing(
        &server,
        &[
            "the roster that the server shows expired on ",
            "set this machine's clock",
        ],
    );
}

#[test]
fn server_serves_a_roster_from_the_future() {
    let server = LyingServer::start();
    server.publish(|draft| {
        draft.issued = Time(draft.issued.0 + 200_000);
    });
    refused_before_sealing(&server, &["which is ahead of this machine's clock"]);
}

#[test]
fn server_relays_another_box() {
    // The roster is real, signed by the right key, and for another server.
    let server = LyingServer::start();
    server.publish(|draft| draft.origins = vec!["https://drop.example.org".parse().unwrap()]);
    refused_before_sealing(
        &server,
        &[
            "is for https://drop.example.org, not for http://127.0.0.1",
            "this server may be relaying another box",
        ],
    );
}

#[test]
fn server_shows_another_policy() {
    let server = LyingServer::start();
    server.state().policy = "Send us everything you have.\n".into();
    refused_before_sealing(
        &server,
        &["the policy that the server shows is not the one that the box key signed"],
    );
}

/// Submits to a server that takes the drop and does not promise it. It may show the drop to members all the same: phrase, file key and drop
/// stay, and so does what it signed.
#[track_caller]
fn taken_without_promise(server: &LyingServer, answers: bool) -> Run {
    let run = |args: &[&str]| {
        let place = Place::new();
        let files = ["--receipt", "r.json", "--save", "r.drop"];
        let run = place.try_submit(server, &[&files, args].concat());
        (place, run)
    };
    let (_, json) = run(&["--json"]);
    assert_eq!(json.code, Some(1));
    let json = json.json();
    assert_eq!(json["state"], "taken");
    assert!(Phrase::parse(json["phrase"].as_str().unwrap()).is_ok());
    assert_eq!(json["promise"].is_string(), answers);

    let (place, run) = run(&[]);
    for piece in [
        "Taken, but not promised.",
        "Your phrase, shown this once:",
        "Its secret part: r.json.key",
    ] {
        assert!(run.out.contains(piece), "{piece:?} in {:?}", run.out);
    }
    let key = SavedKey::parse(&place.read("r.json.key")).unwrap();
    assert_ne!(key.file_key.expose(), &[0; 16]);
    assert!(shape::check(&place.read("r.drop"), place.read("r.drop").len() as u64, 2).is_ok());
    assert_eq!(place.files().contains(&"r.json".to_owned()), answers);
    if answers {
        assert!(run.out.contains("Evidence: r.json"), "{}", run.out);
        let saved = SavedReceipt::parse(&place.read("r.json")).unwrap();
        assert!(saved.promise.text().starts_with("sealdrop/promise/v1"));
    }
    run
}

#[test]
fn server_promises_another_drop() {
    let server = LyingServer::start();
    server.lie(|request, state| {
        let promise = Promise::new([9; 32], request.body.len() as u64, Window(0))
            .sign(&state.keys.log_name(), &state.keys.log);
        (request.path == "/v1/drops").then(|| Answer {
            status: 201,
            ..Answer::bytes(promise.to_string())
        })
    });
    taken_without_promise(&server, true).refused(
        1,
        &["what it answered is no promise for it: the promise is for another drop"],
    );
}

#[test]
fn server_back_dates() {
    let server = LyingServer::start();
    let window = server.window();
    server.lie(move |request, state| {
        let promise = Promise::new(
            sha256(&request.body),
            request.body.len() as u64,
            // More than a day, which a clock may be wrong by.
            Window(window.0 - 26),
        )
        .sign(&state.keys.log_name(), &state.keys.log);
        (request.path == "/v1/drops").then(|| Answer {
            status: 201,
            ..Answer::bytes(promise.to_string())
        })
    });
    taken_without_promise(&server, true).refused(
        1,
        &[
            "the promise is for another time than now",
            "its server back-dates",
        ],
    );
}

#[test]
fn server_promises_with_another_key() {
    let server = LyingServer::start();
    let stranger = SecretKey::from_seed(&[99; 32]);
    let vkey = log_vkey(&server.address.box_key, &stranger.to_public());
    let window = server.window();
    server.lie(move |request, _| {
        let promise = Promise::new(sha256(&request.body), request.body.len() as u64, window)
            .sign(vkey.name(), &stranger);
        (request.path == "/v1/drops").then(|| Answer {
            status: 201,
            ..Answer::bytes(promise.to_string())
        })
    });
    taken_without_promise(&server, true).refused(1, &["the promise is not signed by the log key"]);
}

#[test]
fn server_says_accepted_without_a_promise() {
    let server = LyingServer::start();
    server.lie(|request, _| {
        (request.path == "/v1/drops").then(|| Answer {
            status: 201,
            ..Answer::bytes("Thank you!")
        })
    });
    taken_without_promise(&server, false).refused(
        1,
        &["the server's answer is not one of Sealdrop's (no promise)"],
    );
}

#[test]
fn server_forks_the_log_two_views() {
    let server = LyingServer::start();
    let place = Place::new();
    place.submit(&server, &["--receipt", "r.json"]);
    server.state().close_window();
    // Members were shown a log without this drop, and cosigned that.
    let keys = server.keys();
    let mut other = server.state().leaves.clone();
    other[0].digest = [1; 32];
    server.state().cosigned = vec![keys.checkpoint(&other, &["ada", "ben"])];
    let run = place.run(&["check", "--receipt", "r.json", "--json"]);
    run.refused(
        1,
        &[
            "THE LOG HAS TWO HISTORIES",
            "the two checkpoints are the evidence",
        ],
    );
    assert_eq!(run.json()["checkpoints"].as_array().unwrap().len(), 2);
}

#[test]
fn backup_restored_log_rolled_back() {
    let server = LyingServer::start();
    let place = Place::new();
    place.submit(&server, &["--receipt", "r.json"]);
    let log = SecretKey::from_seed(&[123; 32]);
    let box_key = server.address.box_key.clone();
    server.publish(|draft| {
        draft.epoch = 4;
        draft.log = log_vkey(&box_key, &log.to_public());
    });
    let vkey = log_vkey(&box_key, &log.to_public());
    let empty = sealdrop_core::log::checkpoint::Checkpoint::empty(vkey.name()).sign(&log);
    server.lie_at("/log/checkpoint", empty.to_string());
    place.run(&["check", "--receipt", "r.json"]).refused(
        1,
        &[
            "the server's log is not the one that made this promise",
            "the box has a new log since",
        ],
    );
}

/// Seals so that `ben` cannot open it, and has it logged and collected; gives a place with everything to prove it.
fn sealed_past_ben(server: &LyingServer) -> Place {
    let roster = server.state().roster.clone();
    let mut rng = sealdrop_client::system::rng();
    let phrase = Phrase::from_entropy(&[5; 16]);
    let keys = phrase.keys(roster.box_key());
    let mut report = Report::new(Kind::Report, &roster, &keys, &mut rng);
    report.form.insert("title".into(), "Overflow".into());
    let file_key = FileKey::from_bytes([6; 16]);
    let sealer = Sealer::new(&roster, &report, &keys.voice, &file_key, [7; 16]).unwrap();
    let mut drop = Vec::new();
    std::io::Read::read_to_end(&mut sealer.seal(|_| unreachable!()), &mut drop).unwrap();
    // In ben's place stands a stanza to somebody else, under a MAC that fits.
    let recipients = [
        roster.members()[0].recipient.clone(),
        Keys::new(99).members[0].identity.to_public(),
    ];
    let forged = header::seal(&file_key, &recipients);
    drop[..forged.len()].copy_from_slice(&forged);
    shape::check(&drop, drop.len() as u64, 2).expect("a server cannot tell");

    let place = Place::new();
    place.write("forged.drop", &drop);
    place.write("forged.key", SavedKey { file_key }.to_json().as_bytes());
    place
}

#[test]
fn reporter_seals_so_that_only_some_members_can_open() {
    let server = LyingServer::start();
    let place = sealed_past_ben(&server);
    let address = server.address.to_string();
    place
        .post(&server, &["forged.drop", "--receipt", "r.json"])
        .succeeded(&["Sent."]);
    assert!(SavedReceipt::parse(&place.read("r.json")).is_ok());
    server.state().close_window();
    server.state().cosign(&["ada", "ben"]);
    place
        .run(&["check", "--receipt", "r.json", "-o", "r.tlog-proof"])
        .succeeded(&["Collected by ada, ben."]);
    let run = place.run(&[
        "verify",
        "r.tlog-proof",
        "--address",
        &address,
        "--key",
        "forged.key",
        "--drop",
        "forged.drop",
        "--json",
    ]);
    run.refused(
        1,
        &[
            "NOT ADDRESSED TO ben: the drop was sealed so that they cannot open it",
            "it proves no delivery to them",
        ],
    );
    assert_eq!(run.json()["not_addressed_to"], serde_json::json!(["ben"]));
}

#[test]
fn server_swaps_the_bytes_of_a_tile() {
    let server = LyingServer::start();
    let place = Place::new();
    place.submit(&server, &["--receipt", "r.json"]);
    server.state().close_window();
    server.lie(|request, _| {
        request
            .path
            .starts_with("/log/tile/")
            .then(|| Answer::bytes(vec![0; 16 * 32]))
    });
    place
        .run(&["check", "--receipt", "r.json"])
        .refused(1, &["its tiles do not lead to its checkpoint"]);
}

#[test]
fn terminal_escapes_of_a_server_are_never_shown_raw() {
    let server = LyingServer::start();
    server.publish(|draft| draft.policy = sha256("Policy \u{1b}[2J\u{202e}gone\n".as_bytes()));
    server.state().policy = "Policy \u{1b}[2J\u{202e}gone\n".into();
    let run = Place::new().show_box(&server, &["--policy"]);
    run.succeeded(&["Policy \\x1b[2J\\u{202e}gone"]);
    assert!(!run.out.contains('\u{1b}'));
}
