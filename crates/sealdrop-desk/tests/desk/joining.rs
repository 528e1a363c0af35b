//! What came before a member joined was never meant for them, and nothing hostile hides behind that.

use sealdrop_core::encoding::hex;
use sealdrop_core::recipient::{IdentitySeed, Recipient};
use sealdrop_core::report::Kind;
use sealdrop_core::roster::Roster;

use crate::bench::{Bench, Reporter};
use crate::byhand::{Tar, age_file};

/// A report under `roster` that is sealed to these alone.
fn sealed_to(recipients: &[Recipient], roster: &Roster, seed: u8) -> Vec<u8> {
    let mut reporter = Reporter::new(seed, roster.box_key());
    let report = reporter.report(roster, Kind::Report, "hostile", &[]);
    let tar = Tar::bare(&report.to_json().unwrap(), &reporter.keys.voice);
    age_file(&reporter.file_key(), recipients, &tar)
}

fn stranger(seed: u8) -> Recipient {
    IdentitySeed::from_bytes(&[seed; 32]).to_public()
}

/// Ana's box with an old report in its log, which ben has joined since.
fn joined() -> (Bench, [u8; 32]) {
    let bench = Bench::new();
    let old = bench.server.roster();
    let drop = Reporter::new(1, old.box_key()).drop(&old, Kind::Report, "long ago");
    let digest = bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.join("ben");
    bench.server.close(bench.past(8));
    (bench, digest)
}

#[test]
fn reports_from_before_a_member_joined_are_counted_and_listed_on_demand() {
    let (bench, digest) = joined();
    let roster = bench.server.roster();
    let drop = Reporter::new(2, roster.box_key()).drop(&roster, Kind::Report, "for both");
    bench.server.accept(&drop, bench.past(7));
    bench.server.close(bench.past(7));
    bench.desk("ben", &["sync"]).ok();
    let inbox = bench.desk("ben", &["inbox"]).ok();
    let short = &hex(&digest)[..16];
    assert!(
        inbox.contains("for both")
            && inbox.contains("1 report from before you joined")
            && !inbox.contains("quarantine")
            && !inbox.contains(short),
        "{inbox}"
    );
    assert!(bench.desk("ben", &["inbox", "--all"]).ok().contains(short));
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["not_for_you"][0]["digest"], hex(&digest));
    assert_eq!(json["quarantine"], serde_json::json!([]));
    // Ana was a member then: to her it is a report as any other.
    bench.desk("ana", &["sync"]).ok();
    assert!(bench.desk("ana", &["inbox"]).ok().contains("long ago"));
}

#[test]
fn a_drop_that_leaves_a_member_out_is_not_taken_for_one_from_before_they_joined() {
    let (bench, _) = joined();
    let roster = bench.server.roster();
    let ana = roster.members()[0].recipient.clone();
    // It has ben's place in its header, and somebody else's key there.
    let shaped = sealed_to(&[ana.clone(), stranger(9)], &roster, 3);
    let shaped = bench.server.accept(&shaped, bench.past(7));
    // It may be late, sealed to the roster before ben's, or be made to look so: that is said, and it stays in sight.
    let late = sealed_to(std::slice::from_ref(&ana), &roster, 4);
    let late = bench.server.accept(&late, bench.past(7));
    bench.server.close(bench.past(7));
    bench.desk("ana", &["publish"]).ok();
    bench.server.close(bench.past(6));
    // Both rosters for which the server takes drops name ben now.
    let after = bench
        .server
        .accept(&sealed_to(&[ana], &roster, 5), bench.past(5));
    bench.server.close(bench.past(5));
    bench.desk("ben", &["sync"]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["not_for_you"].as_array().unwrap().len(), 1, "{json}");
    let found: Vec<_> = json["quarantine"].as_array().unwrap().iter().collect();
    let digests: Vec<_> = found.iter().map(|drop| drop["digest"].clone()).collect();
    assert_eq!(digests, [hex(&shaped), hex(&late), hex(&after)]);
    assert_eq!(found[0]["reason"], "not addressed to you");
    assert!(
        found[1]["reason"]
            .as_str()
            .unwrap()
            .contains("may be sealed to roster 1"),
        "{json}"
    );
    assert_eq!(found[2]["reason"], "not addressed to you");
}

/// The server took all rosters that ana waits to see in the log `ago` windows ago.
fn taken(bench: &Bench, ago: u64) {
    let path = bench.path("ana/listed.json");
    let mut listed: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let rosters = listed["rosters"].as_array_mut().unwrap();
    assert!(!rosters.is_empty());
    for roster in rosters {
        roster["window"] = bench.past(ago).into();
    }
    std::fs::write(&path, listed.to_string()).unwrap();
}

#[test]
fn server_leaves_a_newcomers_roster_out_of_the_log() {
    let (bench, _) = joined();
    bench.desk("ana", &["sync"]).ok();
    bench.join("cleo");
    let roster = bench.server.roster().digest();
    bench.server.lock().hidden.insert(roster);
    // Its window is open: it may be logged yet.
    bench.desk("ana", &["sync"]).ok();
    taken(&bench, 5);
    bench.server.close(bench.past(5));
    let before = bench.server.lock().cosigned.len();
    let refused = [
        "roster: the server showed roster 3",
        &bench.past(5).to_string(),
    ];
    bench.desk("ana", &["sync"]).fails(1, &refused);
    assert_eq!(bench.server.lock().cosigned.len(), before);
    // Neither another roster nor a late entry makes it good.
    bench.desk("ana", &["publish"]).ok();
    bench.desk("ana", &["sync"]).fails(1, &refused);
    bench.server.lock().hidden.clear();
    bench.server.close(bench.past(4));
    bench.desk("ana", &["sync"]).fails(1, &refused);
}

#[test]
fn server_logs_a_newcomers_roster_late() {
    let (bench, _) = joined();
    bench.desk("ana", &["sync"]).ok();
    // Nobody syncs before it is logged; ana knows from publishing.
    bench.join("cleo");
    taken(&bench, 5);
    bench.server.close(bench.past(4));
    bench
        .desk("ana", &["sync"])
        .fails(1, &["roster: the server showed roster 3"]);
}

#[test]
fn a_roster_that_is_logged_in_its_window_is_no_fault() {
    let (bench, _) = joined();
    bench.desk("ana", &["sync"]).ok();
    bench.join("cleo");
    taken(&bench, 5);
    bench.server.close(bench.past(5));
    bench.server.close(bench.past(4));
    bench.desk("ana", &["sync"]).ok();
    bench.desk("cleo", &["sync"]).ok();
}

#[test]
fn a_drop_of_a_shape_that_no_roster_then_had_stays_in_sight() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let ana = roster.members()[0].recipient.clone();
    let odd = sealed_to(&[ana, stranger(8), stranger(9)], &roster, 3);
    let odd = bench.server.accept(&odd, bench.past(9));
    bench.server.close(bench.past(9));
    bench.join("ben");
    bench.server.close(bench.past(8));
    bench.desk("ben", &["sync"]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["quarantine"][0]["digest"], hex(&odd), "{json}");
    assert_eq!(json["not_for_you"], serde_json::json!([]));
}

#[test]
fn before_the_log_tells_when_a_drop_came_it_stays_in_sight() {
    let bench = Bench::new();
    let old = bench.server.roster();
    bench.server.close(bench.past(9));
    let drop = Reporter::new(1, old.box_key()).drop(&old, Kind::Report, "this morning");
    let digest = bench.server.accept(&drop, bench.past(0));
    bench.join("ben");
    bench.desk("ben", &["sync"]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["quarantine"][0]["digest"], hex(&digest), "{json}");
    let reason = json["quarantine"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("may be sealed to roster 1"), "{reason}");
}
