//! `post`: only what was sealed, only where it was sealed for, and further where it stopped.

use sealdrop_client::BoxFile;
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::saved::SavedReceipt;
use sealdrop_core::note::Note;
use sealdrop_core::time::{Time, Window};

use crate::Place;
use crate::offline::sealed;
use crate::support::{Answer, Keys, LyingServer, POLICY};

#[test]
fn an_interrupted_post_says_how_to_go_on() {
    let server = LyingServer::start();
    let place = Place::new();
    let address = server.address.to_string();
    place.write("core.bin", vec![9; 9_000_000]);
    place.show_box(&server, &["-o", "box.json"]).succeeded(&[]);
    let args = ["-o", "r.drop", "--attach", "core.bin"];
    place.seal(&server, &args).succeeded(&["Sealed"]);
    server.lie(|request, state| {
        let upload = state.uploads.values_mut().next()?;
        if request.method != "PATCH" || !upload.bytes.is_empty() {
            return None;
        }
        upload.bytes.extend_from_slice(&request.body[..4_000_000]);
        Some(Answer::new(500))
    });
    let run = place.post(&server, &["r.drop", "--json"]);
    let id = run.json()["resume"].as_str().unwrap().to_owned();
    assert!(id.starts_with(&format!("{}-", "01".repeat(16))), "{id}");
    run.refused(
        1,
        &[
            "status 500",
            &format!("sealdrop post '{address}' r.drop --resume {id}"),
        ],
    );
    place
        .post(&server, &["r.drop", "--resume", &"02".repeat(16)])
        .refused(
            1,
            &[
                "the server has forgotten this upload",
                "send the drop anew, without --resume",
            ],
        );
    place
        .post(&server, &["r.drop", "--resume", &id])
        .succeeded(&["Sent."]);
    let state = server.state();
    let offsets: Vec<_> = state
        .requests
        .iter()
        .filter_map(|request| request.header("upload-offset"))
        .collect();
    assert_eq!(offsets, ["0", "4000000"]);
}

#[test]
fn a_drop_that_changed_since_its_upload_began_is_not_gone_on_with() {
    let server = LyingServer::start();
    let place = Place::new();
    place.write("core.bin", vec![9; 9_000_000]);
    let post = |file: &str, args: &[&str]| place.post(&server, &[&[file, "--json"], args].concat());
    place.show_box(&server, &["-o", "box.json"]).succeeded(&[]);
    for name in ["r.drop", "other.drop"] {
        let args = ["--attach", "core.bin", "-o", name];
        place.seal(&server, &args).succeeded(&["Sealed"]);
    }
    server.lie(|request, state| {
        let upload = state.uploads.values_mut().next()?;
        let is_first = request.method == "PATCH" && upload.bytes.is_empty();
        upload.bytes.extend(request.body.iter().take(4_000_000));
        is_first.then(|| Answer::new(500))
    });
    let resume = post("r.drop", &[]).json()["resume"].clone();
    let resume = resume.as_str().unwrap();
    server.lie(|_, _| None);
    let sent = || server.state().uploads.values().next().unwrap().bytes.len();
    let before = (sent(), server.requests().len());
    let bytes = place.read("r.drop");
    let mut changed = bytes.clone();
    changed[3_000_000] ^= 1;
    place
        .write("r.drop", &changed)
        .write("long.drop", [&bytes[..], b"x"].concat());
    // Without it only the mark of the upload can tell.
    std::fs::remove_file(place.path("r.drop.box")).unwrap();
    let expected = "changed since the upload began, or the upload is of another file";
    for file in ["r.drop", "long.drop", "other.drop"] {
        let run = post(file, &["--resume", resume]);
        run.refused(2, &[file, expected, "send it anew, without --resume"]);
    }
    assert_eq!(
        (sent(), server.requests().len()),
        before,
        "no request was made"
    );
    // By the id alone it is known from the length, or afterwards.
    let id = &resume[..32];
    place.write("small.bin", vec![9; 8_500_000]);
    let args = ["--attach", "small.bin", "-o", "small.drop"];
    place.seal(&server, &args).succeeded(&["Sealed"]);
    post("small.drop", &["--resume", id]).refused(2, &[expected]);
    assert_eq!(sent(), before.0);
    post("r.drop", &["--resume", id]).refused(
        1,
        &["if r.drop changed since the upload began, that is the reason"],
    );
}

#[test]
fn a_drop_is_not_posted_to_another_box_that_its_shape_fits() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    let other = LyingServer::with_keys(Keys::new(40));
    let own = server.address.to_string();
    let [sealed_for, named] = [&server, &other].map(|s| s.address.box_key.fingerprint());
    place.show_box(&other, &["-o", "other.json"]).succeeded(&[]);
    let asked = other.requests().len();
    for given in [&[][..], &["--box", "other.json"]] {
        place.post(&other, &[&["r.drop"], given].concat()).refused(
            1,
            &[
                &format!("r.drop was sealed for another box ({sealed_for}) than the one that this address names ({named})"),
                &format!("nothing was sent: post it to the address that it was sealed for, '{own}'"),
            ],
        );
    }
    assert_eq!(other.requests().len(), asked, "not even a request was made");
}

#[test]
fn a_record_is_of_one_drop_only() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    let drop = place.read("r.drop");
    let mut other = drop.clone();
    other[100] ^= 1;
    let record = place.read("r.drop.box");
    for (bytes, record, expected) in [
        (
            &other,
            &record,
            "r.drop is not the drop that r.drop.box was written with",
        ),
        (
            &drop[..1000].to_vec(),
            &record,
            "r.drop is not the drop that",
        ),
        (
            &drop,
            &b"{}".to_vec(),
            "r.drop.box is not what `sealdrop seal` writes",
        ),
        (
            &drop,
            &place.read("box.json"),
            "r.drop.box is not what `sealdrop seal` writes",
        ),
    ] {
        place.write("r.drop", bytes).write("r.drop.box", record);
        place.post(&server, &["r.drop"]).refused(2, &[expected]);
    }
    assert!(server.state().bodies.is_empty());
    let seal = |name: &str| place.seal(&server, &["-o", name]);
    // Of a drop that is gone, a record is in nobody's way; anything else is.
    std::fs::remove_file(place.path("r.drop")).unwrap();
    seal("r.drop").refused(2, &["r.drop.box cannot be made: it exists already"]);
    place.write("r.drop.box", record);
    seal("r.drop").succeeded(&["Sealed"]);
    place.post(&server, &["r.drop"]).succeeded(&["Sent."]);
}

#[test]
fn a_drop_sealed_to_an_older_roster_is_not_posted() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    server.publish(|draft| {
        draft.epoch = 5;
        draft.members.truncate(1);
        draft.devices.truncate(1);
    });
    let mut four = server.keys().draft(&server.address.origin);
    four.epoch = 4;
    four.members.truncate(1);
    four.devices.truncate(1);
    server.lie_at("/v1/box/4", box_json(server.keys().sign(&four).note()));
    place.write("bare.drop", place.read("r.drop"));
    for args in [
        &["r.drop"][..],
        &["bare.drop"],
        &["bare.drop", "--box", "box.json"],
    ] {
        place.post(&server, args).refused(
            1,
            &[
                ".drop was sealed to another roster than the current one or the one before",
                "seal the report again",
            ],
        );
    }
    assert!(server.state().bodies.is_empty());
}

#[test]
fn a_drop_sealed_to_a_roster_that_expired_since_is_not_posted() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    std::fs::remove_file(place.path("r.drop.box")).unwrap();
    // The roster before has the same members, and its time is over.
    let mut before = server.state().roster.draft().clone();
    (before.epoch, before.expires) = (2, Time(sealdrop_client::system::now().0));
    before.issued = Time(before.expires.0 - 86_400);
    let before = box_json(server.keys().sign(&before).note());
    place.write("before.json", before.as_bytes());
    server.lie_at("/v1/box/2", before);
    server.publish(|draft| {
        draft.members.truncate(1);
        draft.devices.truncate(1);
    });
    for args in [&["r.drop", "--box", "before.json"][..], &["r.drop"]] {
        place
            .post(&server, args)
            .refused(1, &["to a roster that expired on", "seal the report again"]);
    }
    assert!(server.state().bodies.is_empty());
}

#[test]
fn a_changed_drop_is_not_posted() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    let whole = place.read("r.drop");
    place.write("cut.drop", &whole[..whole.len() - 1]);
    place
        .post(&server, &["cut.drop"])
        .refused(2, &["cut.drop is not a drop"]);
}

fn box_json(roster: &Note) -> String {
    BoxFile {
        roster: roster.clone(),
        policy: POLICY.into(),
    }
    .to_json()
}

#[test]
fn the_roster_before_is_found_though_epochs_skip_numbers() {
    // By --box, by the record, or by nothing but the shape.
    for (members, way) in [
        (2, "box"),
        (1, "box"),
        (2, "record"),
        (1, "record"),
        (1, "shape"),
    ] {
        let server = LyingServer::start();
        let place = sealed(&server, &[]);
        let three = box_json(server.state().roster.note());
        server.publish(|draft| {
            draft.epoch = 7;
            draft.members.truncate(members);
            draft.devices.truncate(members);
        });
        server.lie_at("/v1/box/3", three);
        let address = server.address.to_string();
        let args = ["r.drop", "--receipt", "r.json"];
        let given: &[&str] = match way {
            "box" => &["--box", "box.json"],
            _ => &[],
        };
        if way != "record" {
            std::fs::remove_file(place.path("r.drop.box")).unwrap();
        }
        let run = place.post(&server, &[&args, given].concat());
        run.succeeded(&["Sent."]);
        let is_guess = run.err.contains("only its shape says");
        assert_eq!(is_guess, way == "shape", "{}", run.err);
        // The receipt names the roster that was sealed to, so that it proves what was logged.
        let args = ["verify", "r.json", "--address", &address];
        let key = ["--key", "r.key", "--drop", "r.drop"];
        place
            .run(&[args, key].concat())
            .succeeded(&["addressed to every member: ada, ben."]);
    }
}

#[test]
fn server_replays_an_older_roster_at_post() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    for (epoch, piece) in [(2, "roster 2, an older one"), (3, "roster 3, another")] {
        server.publish(|draft| {
            draft.epoch = epoch;
            draft.expires = Time(draft.expires.0 + 1);
        });
        let args = ["r.drop", "--box", "box.json"];
        place
            .post(&server, &args)
            .refused(1, &[piece, "nothing was sent"]);
    }
    assert!(server.state().bodies.is_empty());
}

#[test]
fn a_posted_drop_keeps_the_evidence_of_a_false_promise() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    server.lie(|request, state| {
        let promise = Promise::new([9; 32], request.body.len() as u64, Window(0))
            .sign(&state.keys.log_name(), &state.keys.log);
        (request.path == "/v1/drops").then(|| Answer {
            status: 201,
            ..Answer::bytes(promise.to_string())
        })
    });
    place
        .post(&server, &["r.drop", "--receipt", "r.json"])
        .refused(
            1,
            &[
                "is no promise for it",
                "r.json holds what the server answered",
            ],
        );
    let saved = SavedReceipt::parse(&place.read("r.json")).unwrap();
    assert!(saved.promise.text().contains(&"09".repeat(32)));
}

#[test]
fn a_drop_that_was_damaged_since_is_not_sent() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    let mut bytes = place.read("r.drop");
    bytes[66_001] ^= 1;
    place.write("r.drop", bytes);
    let asked = server.requests().len();
    place
        .post(&server, &["r.drop"])
        .refused(2, &["r.drop is damaged", "nothing was sent: copy it again"]);
    assert_eq!(server.requests().len(), asked);
}
