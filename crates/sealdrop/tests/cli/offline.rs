//! `box` and `seal`: sealing where there is no network.

use sealdrop_core::time::Time;

use crate::support::{Keys, LyingServer};
use crate::{Place, is_private, open};

/// A place with `box.json` and a sealed `r.drop`.
pub(crate) fn sealed(server: &LyingServer, args: &[&str]) -> Place {
    let place = Place::new();
    place
        .show_box(server, &["-o", "box.json"])
        .succeeded(&["Saved: box.json"]);
    let asked = server.requests().len();
    let files = ["-o", "r.drop", "--key", "r.key"];
    let run = place.seal(server, &[&files, args].concat());
    run.succeeded(&["Sealed to 2 members", "Your phrase", "sealdrop post"]);
    assert_eq!(server.requests().len(), asked, "sealing needs no network");
    for name in ["r.drop", "r.drop.box", "r.key"] {
        assert!(is_private(&place.path(name)), "{name}");
    }
    place
}

#[test]
fn a_report_sealed_offline_arrives_and_is_proved() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    let address = server.address.to_string();
    place
        .post(
            &server,
            &["r.drop", "--box", "box.json", "--receipt", "r.json"],
        )
        .succeeded(&["Sent.", "Receipt: r.json"]);
    assert_eq!(open(&server, 1).0.report.form["title"], "T");
    place
        .run(&[
            "verify",
            "r.json",
            "--address",
            &address,
            "--key",
            "r.key",
            "--drop",
            "r.drop",
        ])
        .succeeded(&[
            "Promised",
            "It is the report “T” with no attachments, addressed to every member: ada, ben.",
        ]);
}

#[test]
fn an_expired_roster_is_not_sealed_to() {
    let server = LyingServer::start();
    let place = Place::new();
    place.show_box(&server, &["-o", "box.json"]).succeeded(&[]);
    server.publish(|draft| {
        draft.issued = Time(1_000_000);
        draft.expires = Time(2_000_000);
    });
    let run = place.try_submit(&server, &[]);
    run.refused(
        1,
        &[
            "the roster that the server shows expired on 1970-01-24 03:33 UTC",
            "ask the project to publish a new one",
        ],
    );
    assert_eq!(server.requests().last().unwrap(), "GET /v1/box");
}

#[test]
fn a_box_file_of_another_box_is_refused() {
    let server = LyingServer::start();
    let place = sealed(&server, &[]);
    let mut other = LyingServer::with_keys(Keys::new(40));
    other.address.origin = server.address.origin.clone();
    let fingerprint = server.address.box_key.fingerprint();
    place.seal(&other, &["-o", "other.drop"]).refused(
        1,
        &[
            "the roster that the file holds is not signed by the box key of this address",
            &fingerprint,
        ],
    );
    assert!(!place.files().contains(&"other.drop".to_owned()));
}

#[test]
fn members_added_and_removed_are_named_with_fingerprints() {
    let server = LyingServer::start();
    let place = Place::new();
    place
        .show_box(&server, &["-o", "box.json"])
        .succeeded(&["ada (lead)", "ben (lead)"]);
    place
        .show_box(&server, &["--since", "box.json"])
        .succeeded(&["The members are the same as in the file."]);
    let keys = server.keys();
    let stranger = Keys::new(77).members[0].identity.to_public();
    let [old, new, ben] = [
        keys.members[0].identity.to_public(),
        stranger.clone(),
        keys.members[1].identity.to_public(),
    ]
    .map(|r| r.fingerprint());
    server.publish(|draft| {
        draft.epoch = 4;
        draft.members.truncate(1);
        draft.devices.truncate(1);
        draft.members[0].recipient = stranger;
    });
    let run = place.show_box(&server, &["--since", "box.json"]);
    run.succeeded(&[
        &format!("removed: ben {ben}"),
        &format!("changed: ada {old} to {new}"),
    ]);
}

#[test]
fn server_replays_an_older_roster() {
    let server = LyingServer::start();
    let place = Place::new();
    place.show_box(&server, &["-o", "box.json"]).succeeded(&[]);
    server.publish(|draft| draft.epoch = 2);
    place.show_box(&server, &["--since", "box.json"]).refused(
        1,
        &["roster 2, which is older than the one in the file (3)"],
    );
    server.publish(|draft| {
        draft.epoch = 3;
        draft.members.truncate(1);
        draft.devices.truncate(1);
    });
    place
        .show_box(&server, &["--since", "box.json"])
        .refused(1, &["another roster 3 than the one in the file"]);
}

#[test]
fn the_policy_is_shown_and_saved() {
    let server = LyingServer::start();
    let place = Place::new();
    place
        .show_box(&server, &["--policy"])
        .succeeded(&["We answer within three days."]);
    let json = place.show_box(&server, &["--json"]).json();
    assert_eq!(json["policy"], "We answer within three days.\n");
    assert_eq!(json["members"][1]["name"], "ben");
}
