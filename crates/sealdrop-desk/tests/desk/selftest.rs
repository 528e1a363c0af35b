//! Self-tests by `doctor` stand apart in every member's inbox, and nothing else can stand there.

use sealdrop_core::encoding::hex;
use sealdrop_core::key::{AccessRole, SecretKey, device_keys};
use sealdrop_core::note::Note;
use sealdrop_core::report::{Kind, Report};

use crate::bench::{Bench, Reporter};

const TITLE: &str = "Self-test by sealdrop-desk doctor; not a report";

fn text(report: &Report) -> String {
    format!(
        "sealdrop/self-test/v1\nbox: {}\nconversation: {}\nmessage: {}\n",
        report.box_key,
        report.conversation,
        hex(&report.message)
    )
}

#[test]
fn self_tests_of_one_member_take_no_number_in_the_inbox_of_another() {
    let bench = Bench::new();
    bench.join("ben");
    bench.desk("ana", &["doctor"]).ok();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "a real one");
    bench.server.accept(&drop, bench.past(0));
    bench.desk("ben", &["sync"]).ok();
    let inbox = bench.desk("ben", &["inbox"]).ok();
    assert!(
        inbox.starts_with("   1  ")
            && inbox.contains("a real one")
            && inbox.contains("1 self-test by `doctor` (--all lists them)")
            && !inbox.contains(TITLE),
        "{inbox}"
    );
    let all = bench.desk("ben", &["inbox", "--all"]).ok();
    assert!(all.contains("ana/desk"), "{all}");
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["self_tests"][0]["machine"], "ana/desk");
    assert_eq!(json["cases"].as_array().unwrap().len(), 1);
}

/// A report that claims to be a self-test is shown like any other.
#[track_caller]
fn is_shown(claim: impl FnOnce(&Bench, &mut Report)) {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let mut report = Report::new(
        Kind::Report,
        &roster,
        &reporter.keys,
        &mut sealdrop_client::system::rng(),
    );
    report.form.insert("title".into(), TITLE.into());
    claim(&bench, &mut report);
    let drop = reporter.seal(&roster, &report, &[]);
    bench.server.accept(&drop, bench.past(0));
    bench.desk("ana", &["sync"]).ok();
    let json = bench.json("ana", &["inbox"]);
    assert_eq!(json["cases"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["self_tests"], serde_json::json!([]));
}

#[test]
fn a_report_that_says_it_is_a_self_test_is_shown_as_a_report() {
    let ana = |bench: &Bench| -> SecretKey<AccessRole> {
        device_keys(&bench.seed("ana", "device_seed")).0
    };
    let put = |report: &mut Report, note: Note| {
        report.form.insert("self-test".into(), note.to_string());
    };
    is_shown(|_, report| {
        report.form.insert("self-test".into(), "yes".into());
    });
    // Signed by nobody whom the roster knows, though under the name of one.
    is_shown(|_, report| {
        let note = Note::new(text(report)).unwrap();
        let stranger = SecretKey::<AccessRole>::from_seed(&[5; 32]);
        put(report, note.sign("ana/desk", &stranger));
    });
    // The note of a real self-test, in another message.
    is_shown(|bench, report| {
        let mut other = report.clone();
        other.message = [7; 16];
        let note = Note::new(text(&other)).unwrap();
        put(report, note.sign("ana/desk", &ana(bench)));
    });
    // The note is right, and there is more than a self-test has.
    is_shown(|bench, report| {
        let note = Note::new(text(report)).unwrap();
        put(report, note.sign("ana/desk", &ana(bench)));
        report.form.insert("description".into(), "a hole".into());
    });
}

#[test]
fn a_conversation_that_goes_on_after_a_self_test_is_a_case() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let mut report = reporter.report(&roster, Kind::Report, TITLE, &[]);
    report.form.remove("description");
    let note = Note::new(text(&report)).unwrap();
    let (access, _) = device_keys(&bench.seed("ana", "device_seed"));
    let note = note.sign("ana/desk", &access);
    report.form.insert("self-test".into(), note.to_string());
    let drop = reporter.seal(&roster, &report, &[]);
    bench.server.accept(&drop, bench.past(0));
    bench.desk("ana", &["sync"]).ok();
    let json = bench.json("ana", &["inbox"]);
    assert_eq!(json["self_tests"].as_array().unwrap().len(), 1, "{json}");
    let more = reporter.drop(&roster, Kind::FollowUp, "and a hole");
    bench.server.accept(&more, bench.past(0));
    bench.desk("ana", &["sync"]).ok();
    let json = bench.json("ana", &["inbox"]);
    assert_eq!(json["cases"][0]["messages"], 2, "{json}");
    assert_eq!(json["self_tests"], serde_json::json!([]));
}

#[test]
fn a_forged_bundle_cannot_call_a_report_a_self_test() {
    let bench = Bench::new();
    bench.join_device("laptop");
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "not to be hidden");
    let digest = hex(&bench.server.accept(&drop, bench.past(0)));
    bench.desk("laptop", &["sync"]).ok();
    let opened = serde_json::json!({ "conversation": "00", "message": "00", "kind": "report", "epoch": 1, "self_test": "ana/desk" });
    let verdicts = serde_json::json!({ "drops": { &digest: { "opened": opened } }, "cases": {} });
    let bundle = bench.forge("forged.tar", &[("verdicts.json", verdicts)]);
    bench.desk("laptop", &["bundle", "in", &bundle]).ok();
    let json = bench.json("laptop", &["inbox"]);
    assert_eq!(json["self_tests"], serde_json::json!([]), "{json}");
    assert_eq!(json["quarantine"][0]["digest"], digest, "{json}");
    let text = bench.desk("laptop", &["inbox"]).ok();
    assert!(
        text.contains(&digest[..16]) && text.contains("as a bundle says"),
        "{text}"
    );
}

#[test]
fn self_tests_take_no_number_on_a_machine_that_cannot_open_them() {
    let bench = Bench::new();
    bench.join_device("laptop");
    bench.desk("ana", &["doctor"]).ok();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "a real one");
    bench.server.accept(&drop, bench.past(0));
    for who in ["ana", "laptop"] {
        bench.desk(who, &["sync"]).ok();
    }
    bench.desk("ana", &["inbox"]).ok();
    bench.carry("ana", "laptop");
    let json = bench.json("laptop", &["inbox"]);
    assert_eq!(json["cases"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["cases"][0]["case"], 1);
}
