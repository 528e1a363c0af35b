//! Team events: a newcomer reads older cases, and nobody else can make the desk believe or hide anything by them.

use sealdrop_core::drop::FileKey;
use sealdrop_core::encoding::{base64, hex, sha256};
use sealdrop_core::key::{SecretKey, VoiceRole, device_keys};
use sealdrop_core::note::Note;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::report::{Kind, Report};
use sealdrop_core::roster::Roster;
use sealdrop_core::team::{Carrier, Grant, TeamEvent};
use sealdrop_core::time::Window;
use serde_json::{Value, json};

use crate::bench::{Bench, Reporter};
use crate::byhand::{Tar, age_file};
use crate::sealed;

const TITLE: &str = "Team event by sealdrop-desk; not a report";

/// Ana's box with an old case of two messages, which she has opened. Ben has joined since.
struct Joined {
    bench: Bench,
    reporter: Reporter,
    /// The first of the two messages.
    drop: Vec<u8>,
    file_key: FileKey,
}

impl Joined {
    fn new() -> Self {
        let bench = Bench::new();
        let old = bench.server.roster();
        let mut reporter = Reporter::new(1, old.box_key());
        let files: [(&str, &[u8]); 1] = [("poc.txt", b"boom")];
        let report = reporter.report(&old, Kind::Report, "long ago", &files);
        let sealing = reporter.file_key();
        let drop = sealed::seal(&old, &report, &reporter.keys.voice, &sealing, &files);
        bench.server.accept(&drop, bench.past(9));
        let more = reporter.drop(&old, Kind::FollowUp, "more of it");
        bench.server.accept(&more, bench.past(9));
        bench.server.close(bench.past(9));
        bench.desk("ana", &["sync"]).ok();
        bench.desk("ana", &["inbox"]).ok();
        bench.join("ben");
        bench.server.close(bench.past(8));
        Self {
            bench,
            reporter,
            drop,
            file_key: sealing.0,
        }
    }

    /// What opens the first message.
    fn grant(&self) -> Grant {
        Grant {
            digest: sha256(&self.drop),
            size: self.drop.len() as u64,
            window: Window(self.bench.past(9)),
            file_key: FileKey::from_bytes(*self.file_key.expose()),
        }
    }

    /// An event that `who` signs and anybody leaves, `ago` windows ago.
    fn leave(&self, who: &str, roster: &Roster, ago: u64, seed: u8, grants: Vec<Grant>) {
        let (mut reporter, mut report) = bare(roster, seed);
        let event = TeamEvent { grants };
        let note = event.sign(Carrier::from(&report), who, &voice(&self.bench, who));
        put(&mut report, &note.unwrap());
        let drop = reporter.seal(roster, &report, &[]);
        self.bench.server.accept(&drop, self.bench.past(ago));
    }
}

fn voice(bench: &Bench, who: &str) -> SecretKey<VoiceRole> {
    SecretKey::from_seed(&bench.seed(who, "voice"))
}

/// A report that nobody has written anything into.
fn bare(roster: &Roster, seed: u8) -> (Reporter, Report) {
    let mut reporter = Reporter::new(seed, roster.box_key());
    let mut report = reporter.report(roster, Kind::Report, TITLE, &[]);
    report.form.remove("description");
    (reporter, report)
}

fn put(report: &mut Report, note: &Note) {
    report.form.insert("team-event".into(), note.to_string());
}

#[test]
fn a_newcomer_reads_resealed_cases_in_order_and_is_told_by_whom() {
    let Joined { bench, .. } = Joined::new();
    bench.desk("ben", &["sync"]).ok();
    let before = bench.json("ben", &["inbox"]);
    assert_eq!(before["cases"], json!([]));
    assert_eq!(before["not_for_you"].as_array().unwrap().len(), 2);

    let said = bench.desk("ana", &["reseal", "1", "--yes"]);
    for part in ["long ago", "2 drops", "ana (", "ben (", "recipient "] {
        assert!(said.err.contains(part), "{part:?} is not in {}", said.err);
    }
    let said = said.ok();
    assert!(
        said.contains("given to ana, ben, in 1 team event"),
        "{said}"
    );

    bench.desk("ben", &["sync"]).ok();
    let inbox = bench.json("ben", &["inbox"]);
    assert_eq!(inbox["cases"].as_array().unwrap().len(), 1, "{inbox}");
    assert_eq!(inbox["cases"][0]["title"], "long ago");
    assert_eq!(inbox["cases"][0]["messages"], 2);
    assert_eq!(inbox["cases"][0]["resealed"], true);
    assert_eq!(inbox["not_for_you"], json!([]));
    assert_eq!(inbox["quarantine"], json!([]));
    let case = bench.desk("ben", &["open", "1"]).ok();
    let (first, second) = (case.find("long ago"), case.find("more of it"));
    assert!(first.is_some() && first < second, "{case}");
    assert_eq!(case.matches("resealed to you by ana").count(), 2, "{case}");
    let folder = bench.arg("files");
    bench.desk("ben", &["attachments", "1", "-o", &folder]).ok();
    let attachment = std::fs::read(bench.path("files/001-poc.txt")).unwrap();
    assert_eq!(attachment, b"boom");

    // He answers, and gives it to the next one, who has it when the event is in the log too.
    bench
        .desk("ben", &["reply", "1", "--text", "mine now"])
        .ok();
    bench.join("cleo");
    bench.desk("ben", &["reseal", "--all", "--yes"]).ok();
    bench.server.close(bench.past(0));
    bench.desk("cleo", &["sync"]).ok();
    let case = bench.desk("cleo", &["open", "1"]).ok();
    assert_eq!(case.matches("resealed to you by ben").count(), 2, "{case}");
}

#[test]
fn a_team_event_takes_no_number_and_is_named_on_demand() {
    let Joined { bench, .. } = Joined::new();
    bench.desk("ana", &["reseal", "1", "--yes"]).ok();
    for who in ["ana", "ben"] {
        bench.desk(who, &["sync"]).ok();
        let inbox = bench.desk(who, &["inbox"]).ok();
        assert!(
            inbox.contains("1 team event") && !inbox.contains("ana gave") && !inbox.contains(TITLE),
            "{inbox}"
        );
        let all = bench.desk(who, &["inbox", "--all"]).ok();
        assert!(all.contains("ana gave 2 drops, of case 1"), "{all}");
        let json = bench.json(who, &["inbox"]);
        assert_eq!(json["cases"].as_array().unwrap().len(), 1);
        let event = &json["team_events"][0];
        assert_eq!(event["member"], "ana");
        assert_eq!(event["gives"].as_array().unwrap().len(), 2);
        assert_eq!(
            (&event["refused"], &event["ignored"]),
            (&json!(null), &json!([]))
        );
    }
    // Ana's own identity opens it, and that comes first.
    let case = bench.desk("ana", &["open", "1"]).ok();
    assert!(!case.contains("resealed"), "{case}");
}

#[test]
fn a_team_event_is_to_the_server_a_report_as_any_other() {
    let Joined {
        bench,
        mut reporter,
        ..
    } = Joined::new();
    bench.desk("ana", &["sync"]).ok();
    bench.server.lock().requests.clear();
    bench.desk("ana", &["reseal", "1", "--yes"]).ok();
    // What a reporter asks for, in that order; nothing that a member signs.
    let asked = ["GET /v1/box", "POST /v1/drops"];
    assert_eq!(bench.server.lock().requests, asked);
    let roster = bench.server.roster();
    let report = reporter.drop(&roster, Kind::Report, "a real one");
    let listed = bench.server.lock().listed[&bench.past(0)].clone();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].1, report.len() as u64);
}

#[test]
fn what_all_members_can_open_is_not_given_again() {
    let Joined { bench, .. } = Joined::new();
    bench.desk("ana", &["reseal", "1", "--yes"]).ok();
    let drops = || bench.server.lock().bodies.len();
    let before = drops();
    for _ in 0..2 {
        let said = bench.desk("ana", &["reseal", "--all", "--yes"]).ok();
        assert!(said.contains("nothing was given"), "{said}");
        bench.desk("ana", &["sync"]).ok();
    }
    assert_eq!(drops(), before);
    bench.desk("ana", &["reseal", "1", "--again", "--yes"]).ok();
    assert_eq!(drops(), before + 1);
}

#[test]
fn reseal_asks_first_and_gives_nothing_without_an_answer() {
    let Joined { bench, .. } = Joined::new();
    let before = bench.server.lock().bodies.len();
    let asks = ["will be readable to every member of roster 2", "say --yes"];
    bench.desk("ana", &["reseal", "1"]).fails(2, &asks);
    bench
        .desk("ana", &["--json", "reseal", "1"])
        .fails(2, &["--yes"]);
    bench.desk("ana", &["reseal"]).fails(2, &["<CASE>"]);
    bench
        .desk("ana", &["reseal", "7", "--yes"])
        .fails(1, &["no case 7"]);
    assert_eq!(bench.server.lock().bodies.len(), before);
}

#[test]
fn what_does_not_open_here_is_named_and_the_rest_is_given() {
    let joined = Joined::new();
    let bench = &joined.bench;
    let digest = hex(&sha256(&joined.drop));
    let file = format!("ana/drops/{}/{digest}.age", bench.past(9));
    std::fs::remove_file(bench.path(&file)).unwrap();
    let not_given = format!("NOT GIVEN  drop {digest}: ");
    let says = ["in 1 team event", &not_given, "is not on this machine"];
    bench.desk("ana", &["reseal", "1", "--yes"]).fails(1, &says);
    bench.desk("ben", &["sync"]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["cases"][0]["title"], "more of it", "{json}");
    assert_eq!(json["not_for_you"][0]["digest"], digest);
}

#[test]
fn publishing_a_newcomer_says_how_to_give_them_the_older_cases() {
    let Joined { bench, .. } = Joined::new();
    bench.init("cleo", "cleo", &["--no-recovery"]);
    bench.add_card("cleo");
    let said = bench.desk("ana", &["publish"]).ok();
    assert!(
        said.contains("not sealed to cleo: `sealdrop-desk reseal"),
        "{said}"
    );
    let said = bench.desk("ana", &["publish"]).ok();
    assert!(!said.contains("reseal"), "{said}");
}

#[test]
fn nobody_who_left_is_given_anything() {
    let Joined { bench, .. } = Joined::new();
    bench.join("cleo");
    bench.desk("ben", &["sync"]).ok();
    bench.desk("ana", &["reseal", "1", "--yes"]).ok();
    bench.desk("ben", &["sync"]).ok();
    // Ben's desk has not heard yet that cleo has gone.
    bench.desk("ana", &["member", "remove", "cleo"]).ok();
    bench.desk("ana", &["publish"]).ok();
    let given = bench.json("ben", &["reseal", "1", "--again", "--yes"]);
    assert_eq!(given["epoch"], 4);
    let names: Vec<&Value> = given["members"].as_array().unwrap().iter().collect();
    let names: Vec<&str> = names.iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ana", "ben"]);
    let event = given["events"][0]["digest"].as_str().unwrap();
    bench.desk("ana", &["sync"]).ok();
    let bundle = bench.arg("b.tar");
    bench.desk("ana", &["bundle", "out", "--all", &bundle]).ok();
    let json = bench.json("cleo", &["inbox", "--bundle", &bundle]);
    let events = json["team_events"].as_array().unwrap();
    assert!(
        events.iter().all(|known| known["digest"] != event),
        "{json}"
    );
    assert!(json["quarantine"].to_string().contains(event), "{json}");
}

/// A report that claims to be a team event is shown like any other, and gives nothing.
#[track_caller]
fn is_shown(claim: impl FnOnce(&Bench, &mut Report, TeamEvent)) {
    let joined = Joined::new();
    let bench = &joined.bench;
    let roster = bench.server.roster();
    let (mut reporter, mut report) = bare(&roster, 5);
    let grants = vec![joined.grant()];
    claim(bench, &mut report, TeamEvent { grants });
    let drop = reporter.seal(&roster, &report, &[]);
    bench.server.accept(&drop, bench.past(0));
    bench.desk("ben", &["sync"]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["cases"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["team_events"], json!([]));
    assert_eq!(json["not_for_you"].as_array().unwrap().len(), 2);
}

#[test]
fn a_report_that_says_it_is_a_team_event_is_shown_as_a_report() {
    is_shown(|_, report, _| {
        report.form.insert("team-event".into(), "yes".into());
    });
    // Signed by nobody whom the roster knows, though under the name of one.
    is_shown(|_, report, event| {
        let stranger = SecretKey::<VoiceRole>::from_seed(&[5; 32]);
        let note = event.sign(Carrier::from(&*report), "ana", &stranger);
        put(report, &note.unwrap());
    });
    // The note of a real event, in another message.
    is_shown(|bench, report, event| {
        let mut other = report.clone();
        other.message = [7; 16];
        let note = event.sign(Carrier::from(&other), "ana", &voice(bench, "ana"));
        put(report, &note.unwrap());
    });
    // The note is right, and there is more than an event has.
    is_shown(|bench, report, event| {
        let note = event.sign(Carrier::from(&*report), "ana", &voice(bench, "ana"));
        put(report, &note.unwrap());
        report.form.insert("description".into(), "a hole".into());
    });
    // Signed by a device, which speaks for nobody.
    is_shown(|bench, report, event| {
        let (access, _) = device_keys(&bench.seed("ana", "device_seed"));
        let note = event.sign(Carrier::from(&*report), "ana", &voice(bench, "ana"));
        let note = Note::new(note.unwrap().text()).unwrap();
        put(report, &note.sign("ana/desk", &access));
    });
}

#[test]
fn an_event_in_a_conversation_with_more_is_a_report_and_gives_nothing() {
    let joined = Joined::new();
    let bench = &joined.bench;
    let roster = bench.server.roster();
    joined.leave("ana", &roster, 0, 5, vec![joined.grant()]);
    bench.desk("ben", &["sync"]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["team_events"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["cases"][0]["title"], "long ago");
    let (mut reporter, _) = bare(&roster, 5);
    reporter.file_key();
    let more = reporter.drop(&roster, Kind::FollowUp, "and a hole");
    bench.server.accept(&more, bench.past(0));
    bench.desk("ben", &["sync"]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["team_events"], json!([]), "{json}");
    assert_eq!(json["not_for_you"].as_array().unwrap().len(), 2);
    let shown: Vec<&Value> = json["cases"].as_array().unwrap().iter().collect();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["messages"], 2);
}

#[test]
fn grants_that_are_wrong_are_ignored_and_named() {
    let joined = Joined::new();
    let bench = &joined.bench;
    let roster = bench.server.roster();
    type Change = fn(&mut Grant);
    let wrong = |change: Change| {
        let mut grant = joined.grant();
        change(&mut grant);
        grant
    };
    let wrongs: [(Change, &str); 4] = [
        (
            |g| g.file_key = FileKey::from_bytes([1; 16]),
            "the key does not open it",
        ),
        (|g| g.digest = [1; 32], "no such drop is known here"),
        (|g| g.size += 1, "another size"),
        (|g| g.window.0 -= 1, "another window"),
    ];
    for (seed, (change, _)) in (20..).zip(wrongs) {
        joined.leave("ana", &roster, 0, seed, vec![wrong(change)]);
    }
    bench.desk("ben", &["sync"]).ok();
    for _ in 0..2 {
        let json = bench.json("ben", &["inbox"]);
        assert_eq!(json["cases"], json!([]), "{json}");
        assert_eq!(json["not_for_you"].as_array().unwrap().len(), 2);
        let said: Vec<&str> = (0..wrongs.len())
            .map(|n| {
                json["team_events"][n]["ignored"][0]["reason"]
                    .as_str()
                    .unwrap()
            })
            .collect();
        for ((_, why), said) in wrongs.iter().zip(said) {
            assert!(said.contains(why), "{said}");
        }
    }
    let inbox = bench.desk("ben", &["inbox"]).ok();
    let digest = &hex(&joined.grant().digest)[..16];
    let line = format!("nothing is taken for drop {digest}: the key does not open it");
    assert!(inbox.contains(&line), "{inbox}");
    // A right one opens it all the same.
    joined.leave("ana", &roster, 0, 30, vec![joined.grant()]);
    bench.desk("ben", &["sync"]).ok();
    assert_eq!(
        bench.json("ben", &["inbox"])["cases"][0]["title"],
        "long ago"
    );
}

#[test]
fn a_former_members_event_does_not_count() {
    let joined = Joined::new();
    let bench = &joined.bench;
    bench.join("cleo");
    bench.server.close(bench.past(7));
    let with_ben = bench.server.roster();
    bench.desk("ana", &["member", "remove", "ben"]).ok();
    bench.desk("ana", &["publish"]).ok();
    bench.server.close(bench.past(6));
    // The server takes drops for the roster before, too, and ben still has his voice key.
    joined.leave("ben", &with_ben, 5, 40, vec![joined.grant()]);
    bench.server.close(bench.past(5));
    bench.desk("cleo", &["sync"]).ok();
    let json = bench.json("cleo", &["inbox"]);
    assert_eq!(json["cases"], json!([]), "{json}");
    assert_eq!(json["not_for_you"].as_array().unwrap().len(), 2);
    let refused = json["team_events"][0]["refused"].as_str().unwrap();
    assert!(
        refused.contains("ben was no member when it came"),
        "{refused}"
    );
    let inbox = bench.desk("cleo", &["inbox"]).ok();
    assert!(inbox.contains("ben was no member"), "{inbox}");
}

#[test]
fn what_a_member_gave_before_leaving_still_counts() {
    let joined = Joined::new();
    let bench = &joined.bench;
    bench.join("cleo");
    bench.server.close(bench.past(7));
    let with_ben = bench.server.roster();
    joined.leave("ben", &with_ben, 6, 40, vec![joined.grant()]);
    bench.desk("ana", &["member", "remove", "ben"]).ok();
    bench.server.close(bench.past(6));
    bench.desk("ana", &["publish"]).ok();
    bench.server.close(bench.past(5));
    bench.desk("cleo", &["sync"]).ok();
    let case = bench.desk("cleo", &["open", "1"]).ok();
    assert!(case.contains("resealed to you by ben"), "{case}");
}

#[test]
fn a_granted_drop_is_judged_like_any_other() {
    let joined = Joined::new();
    let bench = &joined.bench;
    // Sealed by a reporter so that ben cannot open it; cleo comes later.
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(50, roster.box_key());
    let report = reporter.report(&roster, Kind::Report, "hostile", &[]);
    let tar = Tar::bare(&report.to_json().unwrap(), &reporter.keys.voice);
    let sealing = reporter.file_key();
    let ana = roster.members()[0].recipient.clone();
    let stranger = IdentitySeed::from_bytes(&[9; 32]).to_public();
    let drop = age_file(&sealing, &[ana, stranger], &tar);
    let digest = bench.server.accept(&drop, bench.past(7));
    bench.join("cleo");
    bench.server.close(bench.past(7));
    let grant = Grant {
        digest,
        size: drop.len() as u64,
        window: Window(bench.past(7)),
        file_key: sealing.0,
    };
    joined.leave("ana", &bench.server.roster(), 0, 51, vec![grant]);
    bench.desk("cleo", &["sync"]).ok();
    let json = bench.json("cleo", &["inbox"]);
    assert_eq!(json["cases"], json!([]), "{json}");
    assert_eq!(json["quarantine"][0]["digest"], hex(&digest));
    assert_eq!(json["quarantine"][0]["reason"], "not addressed to ben");
}

#[test]
fn a_resealed_drop_that_is_not_here_is_named_and_comes_by_bundle() {
    let joined = Joined::new();
    let bench = &joined.bench;
    bench.desk("ana", &["publish", "--retention", "18000"]).ok();
    bench.server.close(bench.past(7));
    let old = bench.past(9);
    bench.server.lock().expired.insert(old);
    bench.server.lock().listed.remove(&old);
    bench.desk("ana", &["reseal", "1", "--yes"]).ok();
    bench.desk("ben", &["sync"]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["cases"], json!([]), "{json}");
    assert_eq!(
        json["resealed_not_here"].as_array().unwrap().len(),
        2,
        "{json}"
    );
    let inbox = bench.desk("ben", &["inbox"]).ok();
    let says = [
        "2 drops resealed to you and not here",
        &format!("window {old}"),
        "ana can give you with",
        "bundle out --all",
    ];
    assert!(says.iter().all(|part| inbox.contains(part)), "{inbox}");

    let bundle = bench.arg("b.tar");
    bench.desk("ana", &["bundle", "out", "--all", &bundle]).ok();
    // In the bundle alone, and for good.
    let case = bench.desk("ben", &["open", "1", "--bundle", &bundle]).ok();
    assert!(case.contains("long ago"), "{case}");
    bench.desk("ben", &["bundle", "in", &bundle]).ok();
    let json = bench.json("ben", &["inbox"]);
    assert_eq!(json["cases"][0]["messages"], 2, "{json}");
    assert_eq!(json["resealed_not_here"], json!([]));
}

#[test]
fn what_was_given_outlives_the_server() {
    let joined = Joined::new();
    let bench = &joined.bench;
    joined.leave("ana", &bench.server.roster(), 7, 60, vec![joined.grant()]);
    bench.server.close(bench.past(7));
    bench.desk("ben", &["sync"]).ok();
    // Everything expires, the event too, before ben has looked.
    bench.desk("ana", &["publish", "--retention", "3600"]).ok();
    bench.server.close(bench.past(6));
    bench.server.lock().bodies.clear();
    bench.server.lock().listed.clear();
    bench.desk("ben", &["sync"]).ok();
    let case = bench.desk("ben", &["open", "1"]).ok();
    assert!(case.contains("resealed to you by ana"), "{case}");
}

#[test]
fn a_machine_without_a_network_writes_the_event_to_a_file() {
    let Joined { bench, .. } = Joined::new();
    bench.desk("ana", &["sync"]).ok();
    let file = bench.arg("event.age");
    let before = bench.server.lock().requests.len();
    let said = bench
        .desk("ana", &["reseal", "1", "--yes", "-o", &file])
        .ok();
    assert!(said.contains("sealdrop post"), "{said}");
    assert_eq!(bench.server.lock().requests.len(), before);
    bench
        .desk("ana", &["reseal", "1", "--yes", "-o", &file])
        .fails(1, &["exists already"]);
    let drop = std::fs::read(&file).unwrap();
    let record = std::fs::read(bench.path("event.age.box")).unwrap();
    let record = sealdrop_client::Record::parse(&record).unwrap();
    assert_eq!(record.address.to_string(), bench.address());
    assert_eq!(record.digest, sha256(&drop));
    bench.server.accept(&drop, bench.past(0));
    bench.desk("ben", &["sync"]).ok();
    assert_eq!(
        bench.json("ben", &["inbox"])["cases"][0]["title"],
        "long ago"
    );
}

#[test]
fn a_forged_bundle_cannot_call_a_report_a_team_event() {
    let Joined { bench, .. } = Joined::new();
    bench.join_device("laptop");
    let roster = bench.server.roster();
    let drop = Reporter::new(2, roster.box_key()).drop(&roster, Kind::Report, "not to be hidden");
    let digest = hex(&bench.server.accept(&drop, bench.past(0)));
    bench.desk("laptop", &["sync"]).ok();
    let opened = json!({ "conversation": "00", "message": "00", "kind": "report", "epoch": 1, "team_event": "ana" });
    let verdicts = json!({ "drops": { &digest: { "opened": opened } }, "cases": {} });
    let bundle = bench.forge("forged.tar", &[("verdicts.json", verdicts)]);
    bench.desk("laptop", &["bundle", "in", &bundle]).ok();
    let json = bench.json("laptop", &["inbox"]);
    assert_eq!(json["team_events"], json!([]), "{json}");
    assert_eq!(json["quarantine"][0]["digest"], digest, "{json}");
}

#[test]
fn what_members_give_is_not_at_rest_in_the_clear() {
    let joined = Joined::new();
    let bench = &joined.bench;
    bench.desk("ana", &["reseal", "1", "--yes"]).ok();
    bench.desk("ben", &["sync"]).ok();
    let case = bench.desk("ben", &["open", "1"]).ok();
    assert!(case.contains("long ago"), "{case}");
    let key = joined.file_key.expose();
    let forms = [key.to_vec(), hex(key).into(), base64(key).into_bytes()];
    let mut folders = vec![bench.path("ana"), bench.path("ben")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let has = |form: &Vec<u8>| bytes.windows(form.len()).any(|window| window == form);
            assert!(!forms.iter().any(has), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 10);
}

#[test]
fn a_roster_that_comes_while_reseal_asks_is_not_passed_over() {
    let bench = Bench::new();
    bench.join("ben");
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let drop = reporter.drop(&roster, Kind::Report, "a bug");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    let bodies = bench.server.lock().bodies.len();
    let mut terminal = bench.on_terminal("ana", &["reseal", "1", "--again"]);
    terminal.answer("[y/N] ", "");
    assert!(bench.is_free("ana"));
    bench.desk("ana", &["member", "remove", "ben"]).ok();
    bench.desk("ana", &["publish"]).ok();
    terminal.answer("", "y\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("nothing was given"), "{shown}");
    assert_eq!(bench.server.lock().bodies.len(), bodies);
}
