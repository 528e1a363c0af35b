//! Recipient epochs: a new identity is begun, and nothing that was sealed to the ones before is lost until they are destroyed.

use sealdrop_client::BoxFile;
use sealdrop_core::report::Kind;
use sealdrop_core::roster::Roster;
use sealdrop_core::time::Time;
use serde_json::{Value, json};

use crate::bench::{Bench, Reporter};

const DAY: u64 = 86_400;

/// The roster of an epoch, as the server has it.
pub(crate) fn roster(bench: &Bench, epoch: u64) -> Roster {
    let state = bench.server.lock();
    Roster::verify_ignoring_expiry(&state.boxes[&epoch].roster, &state.box_key).unwrap()
}

/// The rosters from this epoch on were issued, and expire, so many seconds earlier; whoever is named here knows them. None of them is in the log yet.
pub(crate) fn issued_earlier(bench: &Bench, from: u64, seconds: u64, who: &[&str]) {
    let secret = bench.box_secret();
    let epochs: Vec<u64> = bench.server.lock().boxes.keys().copied().collect();
    for epoch in epochs.into_iter().filter(|epoch| *epoch >= from) {
        let mut draft = roster(bench, epoch).draft().clone();
        draft.issued = Time(draft.issued.0 - seconds);
        draft.expires = Time(draft.expires.0 - seconds);
        let mut state = bench.server.lock();
        let file = BoxFile {
            roster: draft.sign(&secret).unwrap().note().clone(),
            policy: state.boxes[&epoch].policy.clone(),
        };
        for desk in who {
            let rosters = bench.path(desk).join("rosters");
            if rosters.is_dir() {
                std::fs::write(rosters.join(format!("{epoch}.json")), file.to_json()).unwrap();
            }
        }
        state.boxes.insert(epoch, file);
    }
    for desk in who {
        let _ = std::fs::remove_file(bench.path(desk).join("listed.json"));
    }
}

/// Someone reports under the roster of an epoch, in the window that was over `ago` windows ago.
pub(crate) fn report(bench: &Bench, seed: u8, epoch: u64, title: &str, ago: u64) -> [u8; 32] {
    let roster = roster(bench, epoch);
    let drop = Reporter::new(seed, roster.box_key()).drop(&roster, Kind::Report, title);
    bench.server.accept(&drop, bench.past(ago))
}

/// What `keys` says of each identity, the newest first.
pub(crate) fn states(bench: &Bench, who: &str) -> Vec<String> {
    let keys = bench.json(who, &["keys"]);
    let epochs = keys["epochs"].as_array().unwrap().clone();
    epochs
        .iter()
        .map(|epoch| match &epoch["due"] {
            Value::Bool(true) => "due".into(),
            _ => epoch["state"].as_str().unwrap().to_owned(),
        })
        .collect()
}

/// The fingerprints of someone's identities, the newest first.
pub(crate) fn fingerprints(bench: &Bench, who: &str) -> Vec<Value> {
    let keys = bench.json(who, &["keys"]);
    keys["recipients"].as_array().unwrap().clone()
}

#[test]
fn reports_of_every_epoch_open_after_a_rotation() {
    let bench = Bench::new();
    report(&bench, 1, 1, "to the first", 9);
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    let said = bench.json("ana", &["rotate"]);
    assert_eq!(said["published"], 2);
    assert_eq!(said["recipient"], fingerprints(&bench, "ana")[0]);
    let named = roster(&bench, 2).members()[0].recipient.fingerprint();
    assert_eq!(said["recipient"], named);
    assert_eq!(states(&bench, "ana"), ["in-use", "old"]);
    report(&bench, 2, 2, "to the second", 8);
    // The server takes drops for the roster before, too.
    report(&bench, 3, 1, "late to the first", 8);
    bench.server.close(bench.past(8));
    bench.desk("ana", &["sync"]).ok();
    let inbox = bench.desk("ana", &["inbox"]).ok();
    for title in ["to the first", "to the second", "late to the first"] {
        assert!(inbox.contains(title), "{inbox}");
    }
    assert!(!inbox.contains("quarantine"), "{inbox}");
}

#[test]
fn rotating_twice_before_publishing_loses_nothing() {
    let bench = Bench::new();
    for _ in 0..2 {
        let said = bench.json("ana", &["rotate", "--no-publish"]);
        assert_eq!(
            (&said["published"], &said["waits"]),
            (&Value::Null, &json!(true))
        );
    }
    assert_eq!(bench.server.roster().epoch(), 1);
    assert_eq!(states(&bench, "ana"), ["waits", "unnamed", "in-use"]);
    let last = fingerprints(&bench, "ana")[0].clone();
    // Everything works as before, and nothing is called wrong.
    report(&bench, 1, 1, "meanwhile", 9);
    bench.server.close(bench.past(9));
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(said.contains("waits for the next roster"), "{said}");
    assert!(bench.desk("ana", &["inbox"]).ok().contains("meanwhile"));
    let keys = bench.desk("ana", &["keys"]).ok();
    assert!(
        keys.contains("waits for the next roster") && !keys.contains("NOT"),
        "{keys}"
    );
    assert_eq!(bench.json("ana", &["keys"])["in_roster"], true);
    let doctor = bench.desk("ana", &["doctor"]).ok();
    assert!(
        doctor.contains("ok       recipient") && doctor.contains("waits for the next roster"),
        "{doctor}"
    );
    bench.desk("ana", &["publish"]).ok();
    let named = roster(&bench, 2).members()[0].recipient.fingerprint();
    assert_eq!(last, named);
    // What no roster ever named and a newer one has overtaken can go at once.
    assert_eq!(states(&bench, "ana"), ["in-use", "due", "old"]);
    report(&bench, 2, 2, "afterwards", 8);
    bench.server.close(bench.past(8));
    bench.desk("ana", &["sync"]).ok();
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("meanwhile") && inbox.contains("afterwards"),
        "{inbox}"
    );
}

#[test]
fn a_member_without_the_box_key_rotates_and_hands_over_a_card() {
    let bench = Bench::new();
    bench.join("ben");
    let before = fingerprints(&bench, "ben");
    let said = bench.desk("ben", &["rotate"]).ok();
    assert!(
        said.contains("sealdrop-card") && said.contains("member add CARD"),
        "{said}"
    );
    assert_eq!(bench.server.roster().epoch(), 2);
    report(&bench, 1, 2, "meanwhile", 9);
    bench.server.close(bench.past(9));
    let said = bench.desk("ben", &["sync"]).ok();
    assert!(said.contains("waits for the next roster"), "{said}");
    let said = bench.desk("ben", &["doctor"]).ok();
    assert!(
        said.contains("ok       keys") && !said.contains("failed"),
        "{said}"
    );
    let said = bench.add_card("ben");
    assert!(
        said.contains(&format!(
            "instead of ben's recipient {}",
            before[0].as_str().unwrap()
        )),
        "{said}"
    );
    bench.desk("ana", &["publish"]).ok();
    bench.desk("ben", &["sync"]).ok();
    assert_eq!(states(&bench, "ben"), ["in-use", "old"]);
    assert_eq!(fingerprints(&bench, "ben")[1], before[0]);
    assert!(bench.desk("ben", &["inbox"]).ok().contains("meanwhile"));
}

#[test]
fn a_machine_without_an_identity_does_not_rotate() {
    let bench = Bench::new();
    bench.join_device("laptop");
    let before = std::fs::read(bench.path("laptop/keyring.age")).unwrap();
    for command in ["rotate", "destroy-epoch"] {
        bench
            .desk("laptop", &[command])
            .fails(1, &["no identity on this machine", "--device-only"]);
    }
    assert_eq!(
        std::fs::read(bench.path("laptop/keyring.age")).unwrap(),
        before
    );
}

#[test]
fn a_rotation_that_cannot_be_published_waits_and_says_so() {
    let bench = Bench::new();
    bench.server.lock().clock = Some(sealdrop_client::system::now().0 + 10 * DAY);
    bench.desk("ana", &["rotate"]).fails(
        1,
        &["could not be published now", "next `sealdrop-desk publish`"],
    );
    assert_eq!(bench.server.roster().epoch(), 1);
    assert_eq!(states(&bench, "ana"), ["waits", "in-use"]);
    bench.server.lock().clock = None;
    bench.desk("ana", &["publish"]).ok();
    assert_eq!(states(&bench, "ana"), ["in-use", "old"]);
}

#[test]
fn a_rotation_publishes_nothing_else_that_waits() {
    let bench = Bench::new();
    bench.init("ben", "ben", &["--no-recovery"]);
    bench.add_card("ben");
    let said = bench.desk("ana", &["rotate"]).ok();
    assert!(said.contains("take along what else waits"), "{said}");
    assert_eq!(bench.server.roster().epoch(), 1);
    bench.desk("ana", &["publish"]).ok();
    let roster = bench.server.roster();
    assert_eq!((roster.epoch(), roster.members().len()), (2, 2));
    assert_eq!(states(&bench, "ana"), ["in-use", "old"]);
}

#[test]
fn a_crash_between_keyring_and_profile_loses_no_identity() {
    let bench = Bench::new();
    let profile = std::fs::read(bench.path("ana/desk.json")).unwrap();
    bench.desk("ana", &["rotate", "--no-publish"]).ok();
    let after = fingerprints(&bench, "ana");
    assert_eq!(after.len(), 2);
    // The power fails when the keyring is written and the public halves are not, and once more within the next write.
    std::fs::write(bench.path("ana/desk.json"), profile).unwrap();
    std::fs::write(bench.path("ana/keyring.age.new"), b"half a key").unwrap();
    std::fs::remove_file(bench.path("ana/pending.json")).unwrap();
    assert_eq!(fingerprints(&bench, "ana").len(), 1);
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(fingerprints(&bench, "ana"), after);
    bench.desk("ana", &["rotate"]).ok();
    assert_eq!(fingerprints(&bench, "ana")[1..], after);
    assert_eq!(states(&bench, "ana"), ["in-use", "due", "old"]);
}

#[test]
fn the_recovery_file_is_renewed_under_the_same_code() {
    let bench = Bench::new();
    let before = std::fs::read(bench.path("ana/recovery.age")).unwrap();
    let said = bench.desk("ana", &["rotate"]).ok();
    assert!(said.contains("under the same code"), "{said}");
    assert_ne!(
        std::fs::read(bench.path("ana/recovery.age")).unwrap(),
        before
    );
    let (file, code) = (bench.arg("ana/recovery.age"), bench.arg("ana-code"));
    let args = ["init", "--restore", &file, "--recovery-code-file", &code];
    bench
        .desk("again", &[&args[..], &["--work-factor", "2"]].concat())
        .ok();
    assert_eq!(fingerprints(&bench, "again"), fingerprints(&bench, "ana"));
    // And so is that of the restored machine, which never made one.
    bench.desk("again", &["rotate", "--no-publish"]).ok();
    assert!(bench.path("again/recovery.age").exists());
    bench.init("ben", "ben", &["--no-recovery"]);
    let said = bench.desk("ben", &["rotate"]).ok();
    assert!(said.contains("There is no recovery file"), "{said}");
    assert!(!bench.path("ben/recovery.age").exists());
}

#[test]
fn a_recipient_in_use_for_long_is_remarked_upon() {
    let bench = Bench::new();
    issued_earlier(&bench, 1, 29 * DAY, &["ana"]);
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(!said.contains("rotate"), "{said}");
    issued_earlier(&bench, 1, 2 * DAY, &["ana"]);
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("in use for 31 days") && said.contains("`sealdrop-desk rotate`"),
        "{said}"
    );
    let said = bench.desk("ana", &["doctor", "--no-report"]).ok();
    assert!(said.contains("warning  recipient"), "{said}");
    bench.desk("ana", &["rotate"]).ok();
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(!said.contains("in use for"), "{said}");
}

#[test]
fn an_offline_machine_rotates_and_is_reminded_when_a_bundle_comes() {
    let bench = Bench::new();
    bench.init("cellar", "ben", &["--offline", "--no-recovery"]);
    bench.add_card("cellar");
    bench.init("laptop", "ben", &["--device-only", "--device", "laptop"]);
    bench.add_card("laptop");
    bench.desk("ana", &["publish"]).ok();
    report(&bench, 1, 2, "for the cellar", 9);
    bench.server.close(bench.past(9));
    bench.desk("laptop", &["sync"]).ok();
    bench.carry("laptop", "cellar");
    bench.desk("cellar", &["rotate"]).ok();
    assert_eq!(states(&bench, "cellar"), ["waits", "in-use"]);
    let said = bench.carry("laptop", "cellar");
    assert!(said.contains("waits for the next roster"), "{said}");
    let said = bench.desk("cellar", &["doctor"]).ok();
    assert!(said.contains("ok       recipient"), "{said}");
    bench.add_card("cellar");
    bench.desk("ana", &["publish"]).ok();
    report(&bench, 2, 3, "never carried", 8);
    bench.server.close(bench.past(8));
    bench.desk("laptop", &["sync"]).ok();
    // The log comes without the body.
    let bundle = bench.arg("late.tar");
    bench.desk("laptop", &["bundle", "out", &bundle]).ok();
    let newest = bench.server.lock().listed[&bench.past(8)][0].0;
    bench.strip("late.tar", &sealdrop_core::encoding::hex(&newest));
    let said = bench.desk("cellar", &["bundle", "in", &bundle]).ok();
    assert!(!said.contains("waits"), "{said}");
    assert_eq!(states(&bench, "cellar"), ["in-use", "old"]);
    // What was never carried here may need the identity: that is said before it goes.
    let old = fingerprints(&bench, "cellar")[1]
        .as_str()
        .unwrap()
        .to_owned();
    bench
        .desk("cellar", &["destroy-epoch", &old, "--before-time"])
        .fails(
            2,
            &[
                "whole cases: 1",
                "perhaps a drop that is not on this machine",
            ],
        );
}

#[test]
fn whoever_is_about_to_leave_does_not_come_back_by_rotating() {
    let bench = Bench::new();
    bench.join("ben");
    bench.desk("ana", &["member", "remove", "ana"]).ok();
    let said = bench.desk("ana", &["rotate"]).ok();
    assert!(said.contains("member add CARD"), "{said}");
    bench.desk("ana", &["publish"]).ok();
    let roster = bench.server.roster();
    let members: Vec<_> = roster.members().iter().map(|m| m.name.as_str()).collect();
    assert_eq!(members, ["ben"]);
}
