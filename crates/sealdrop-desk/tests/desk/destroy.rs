//! The end of a recipient epoch: what is stolen afterwards opens nothing of it, and nothing else suffers.

use std::path::Path;

use sealdrop_core::encoding::hex;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::report::Kind;
use sealdrop_open::{Identity, Keys, peek};
use serde_json::{Value, json};

use crate::bench::{Bench, Reporter};
use crate::epochs::{fingerprints, issued_earlier, report, roster, states};
use crate::server::WINDOW;

/// Ana's box, whose first epoch is due. Case 1 is of that epoch alone; case 2 went on in the next; both were answered in the first.
struct Due {
    bench: Bench,
    /// The fingerprint of the old identity.
    old: String,
    /// The drops that were sealed to it, and the one that was not.
    first: [[u8; 32]; 2],
    second: [u8; 32],
}

fn due() -> Due {
    due_after(|_| ())
}

/// The same, with something done in the first epoch, after the answers.
fn due_after(before: impl FnOnce(&Bench)) -> Due {
    let bench = Bench::new();
    bench.desk("ana", &["publish", "--retention", "3600"]).ok();
    issued_earlier(&bench, 1, 30 * WINDOW, &["ana"]);
    let lone = report(&bench, 1, 2, "only then", 20);
    let mut reporter = Reporter::new(2, roster(&bench, 2).box_key());
    let begun = reporter.drop(&roster(&bench, 2), Kind::Report, "then and now");
    let begun = bench.server.accept(&begun, bench.past(20));
    bench.server.close(bench.past(20));
    bench.desk("ana", &["sync"]).ok();
    for (case, text) in [("1", "first answer"), ("2", "second answer")] {
        bench.desk("ana", &["reply", case, "--text", text]).ok();
    }
    before(&bench);
    bench.desk("ana", &["rotate"]).ok();
    bench.desk("ana", &["publish"]).ok();
    issued_earlier(&bench, 3, 30 * WINDOW, &["ana"]);
    bench.server.close(bench.past(19));
    let more = reporter.drop(&roster(&bench, 4), Kind::FollowUp, "more");
    let second = bench.server.accept(&more, bench.past(18));
    bench.server.close(bench.past(18));
    bench.desk("ana", &["sync"]).ok();
    let old = fingerprints(&bench, "ana")[1].as_str().unwrap().to_owned();
    assert_eq!(states(&bench, "ana"), ["in-use", "due"]);
    Due {
        bench,
        old,
        first: [lone, begun],
        second,
    }
}

/// The identities in a file that a passphrase or a code opens.
fn identities(file: &Path, passphrase: &str) -> Vec<Identity> {
    let sealed = std::fs::read(file).unwrap();
    let json = sealdrop_open::passphrase::open(&sealed, passphrase).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let seeds = json["identities"].as_array().unwrap().iter();
    seeds
        .map(|seed| Identity::new(&IdentitySeed::parse(seed.as_str().unwrap()).unwrap()))
        .collect()
}

/// Which of these drops, as the server has them, someone with a home folder, its passphrase and the recovery code opens.
fn opened(bench: &Bench, home: &str, drops: &[[u8; 32]]) -> Vec<bool> {
    let code = std::fs::read_to_string(bench.path("ana-code")).unwrap();
    let code = Phrase::parse(&code).unwrap().words();
    let mut stolen = identities(&bench.path(&format!("{home}/keyring.age")), "correct horse");
    stolen.extend(identities(
        &bench.path(&format!("{home}/recovery.age")),
        &code,
    ));
    let state = bench.server.lock();
    drops
        .iter()
        .map(|digest| {
            let body = &state.bodies[digest];
            peek(&body[..], body.len() as u64, Keys::Identities(&stolen)).is_ok()
        })
        .collect()
}

fn steal(bench: &Bench, as_name: &str) {
    let mut copy = std::process::Command::new("cp");
    copy.arg("-r")
        .arg(bench.path("ana"))
        .arg(bench.path(as_name));
    assert!(copy.status().unwrap().success());
}

#[test]
fn a_case_that_was_resealed_stays_readable_when_its_epoch_is_destroyed() {
    let due = due();
    let bench = &due.bench;
    bench.desk("ana", &["reseal", "1", "--yes"]).ok();
    bench.desk("ana", &["sync"]).ok();
    let said = bench.json("ana", &["destroy-epoch", "--yes"]);
    assert_eq!((&said["cases"], &said["drops"]), (&json!([]), &json!(1)));
    assert_eq!(said["cases_in_part"], json!([2]));
    let shown = bench.desk("ana", &["open", "1"]).ok();
    for part in ["only then", "first answer", "resealed to you by"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    // The ciphertext is still needed, whatever expires.
    bench.desk("ana", &["sync"]).ok();
    bench.desk("ana", &["open", "1"]).ok();
    // An identity alone does not open it: the event does.
    steal(bench, "after");
    let all = [due.first[0], due.first[1], due.second];
    assert_eq!(opened(bench, "after", &all), [false, false, true]);
}

#[test]
fn what_was_resealed_in_an_epoch_goes_with_it() {
    let due = due_after(|bench| {
        bench.desk("ana", &["reseal", "1", "--again", "--yes"]).ok();
        bench.desk("ana", &["sync"]).ok();
    });
    let bench = &due.bench;
    let said = bench.json("ana", &["destroy-epoch", "--yes"]);
    assert_eq!(said["cases"], json!([1]));
    let shown = bench.desk("ana", &["open", "1"]).ok();
    assert!(shown.contains("nobody can read drop"), "{shown}");
}

#[test]
fn a_home_stolen_afterwards_opens_nothing_of_a_destroyed_epoch() {
    let due = due();
    let bench = &due.bench;
    let all = [due.first[0], due.first[1], due.second];
    steal(bench, "before");
    assert_eq!(opened(bench, "before", &all), [true, true, true]);
    bench.desk("ana", &["destroy-epoch", "--yes"]).ok();
    steal(bench, "after");
    assert_eq!(opened(bench, "after", &all), [false, false, true]);
    let inbox = bench.desk("before", &["inbox"]).ok();
    assert!(
        inbox.contains("only then") && inbox.contains("then and now"),
        "{inbox}"
    );
    // Even with the ciphertext of before, and all that the desk ever wrote.
    for entry in std::fs::read_dir(bench.path("before/drops")).unwrap() {
        let entry = entry.unwrap();
        let to = bench.path("after/drops").join(entry.file_name());
        std::fs::create_dir_all(&to).unwrap();
        for drop in std::fs::read_dir(entry.path()).unwrap() {
            let drop = drop.unwrap();
            std::fs::copy(drop.path(), to.join(drop.file_name())).unwrap();
        }
    }
    let inbox = bench.desk("after", &["inbox", "--all"]).ok();
    assert!(
        !inbox.contains("only then") && !inbox.contains("then and now"),
        "{inbox}"
    );
    assert!(inbox.contains("destroyed here on"), "{inbox}");
    bench.desk("after", &["open", "1"]).ok();
    let shown = bench.desk("after", &["open", "1"]).ok();
    assert!(
        !shown.contains("first answer") && shown.contains("nobody can read drop"),
        "{shown}"
    );
}

#[test]
fn what_becomes_unreadable_is_named_and_cases_that_stay_keep_their_answers() {
    let due = due();
    let bench = &due.bench;
    let said = bench.json("ana", &["destroy-epoch", "--yes"]);
    assert_eq!(said["destroyed"], json!([due.old]));
    assert_eq!((&said["drops"], &said["answers"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&said["cases"], &said["cases_in_part"]),
        (&json!([1]), &json!([2]))
    );
    assert_eq!(said["answers_resealed"], 1);
    assert_eq!(fingerprints(bench, "ana").len(), 1);
    let shown = bench.desk("ana", &["open", "2"]).ok();
    assert!(
        shown.contains("second answer") && shown.contains("about more"),
        "{shown}"
    );
    assert!(
        shown.contains("destroyed here on") && !shown.contains("about then and now"),
        "{shown}"
    );
    // An answer still goes where the case lives, and says why where it does not.
    bench.desk("ana", &["reply", "2", "--text", "third"]).ok();
    bench
        .desk("ana", &["reply", "1", "--text", "too late"])
        .fails(1, &["sealed to an identity that was destroyed"]);
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("1 case that nothing opens any more"),
        "{inbox}"
    );
    assert!(!inbox.contains("   1  "), "{inbox}");
}

#[test]
fn the_log_is_content_without_the_ciphertext_of_a_destroyed_epoch() {
    let due = due();
    let bench = &due.bench;
    let said = bench.json("ana", &["destroy-epoch", "--yes"]);
    assert_eq!(said["removed"], 2);
    let left = |digest: &[u8; 32]| {
        let name = format!("{}.age", hex(digest));
        let mut windows = std::fs::read_dir(bench.path("ana/drops")).unwrap();
        windows.any(|window| window.unwrap().path().join(&name).exists())
    };
    assert_eq!(due.first.map(|digest| left(&digest)), [false, false]);
    assert!(left(&due.second));
    // The server has them no more; nobody asks for them, and nothing is called lost.
    bench.server.lock().requests.clear();
    for digest in due.first {
        bench.server.lock().bodies.remove(&digest);
    }
    bench.server.close(bench.past(17));
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        !said.contains("is gone") && !said.contains("never held"),
        "{said}"
    );
    let asked = bench.server.lock().requests.join("\n");
    assert!(
        due.first.iter().all(|digest| !asked.contains(&hex(digest))),
        "{asked}"
    );
    let doctor = bench.desk("ana", &["doctor"]).ok();
    assert!(doctor.contains("ok       log"), "{doctor}");
    bench.desk("ana", &["inbox"]).ok();
    bench.carry("ana", "ana");
}

#[test]
fn ciphertext_that_the_log_check_may_need_stays_until_its_window_has_expired() {
    let bench = Bench::new();
    report(&bench, 1, 1, "soon", 9);
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    bench.desk("ana", &["rotate"]).ok();
    let old = fingerprints(&bench, "ana")[1].as_str().unwrap().to_owned();
    bench
        .desk("ana", &["destroy-epoch", &old, "--yes"])
        .fails(1, &["is not due", "--before-time"]);
    let args = ["destroy-epoch", &old, "--before-time", "--yes"];
    bench
        .desk("ana", &args[..3])
        .fails(2, &["reports may still come that only", "--yes"]);
    assert_eq!(bench.json("ana", &args)["removed"], 0);
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(!said.contains("removed"), "{said}");
    let count = || std::fs::read_dir(bench.path("ana/drops")).unwrap().count();
    assert_eq!(count(), 1);
    // What comes late for the destroyed one is no report from before ana joined.
    report(&bench, 2, 1, "late", 8);
    bench.server.close(bench.past(8));
    bench.desk("ana", &["sync"]).ok();
    let inbox = bench.json("ana", &["inbox"]);
    assert_eq!(inbox["not_for_you"], json!([]));
    assert_eq!(inbox["quarantine"][0]["reason"], "not addressed to you");
    bench.desk("ana", &["publish", "--retention", "3600"]).ok();
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("removed the ciphertext of 1 drop from"),
        "{said}"
    );
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        !said.contains("removed") && !said.contains("is gone"),
        "{said}"
    );
}

#[test]
fn the_present_identity_and_one_in_use_are_not_destroyed() {
    let due = due();
    let bench = &due.bench;
    let before = std::fs::read(bench.path("ana/keyring.age")).unwrap();
    let new = fingerprints(bench, "ana")[0].as_str().unwrap().to_owned();
    let destroy = |args: &[&str]| bench.desk("ana", &[&["destroy-epoch"], args].concat());
    for more in [&["--yes"][..], &["--yes", "--before-time"]] {
        destroy(&[&[new.as_str()], more].concat()).fails(1, &["present identity", "rotate"]);
    }
    destroy(&["0000-0000-0000-0000-0000", "--yes"]).fails(2, &["no identity 0000", "keys"]);
    destroy(&["--before-time", "--yes"]).fails(2, &["FINGERPRINT"]);
    // Nobody to ask: what would go is said, and nothing goes.
    destroy(&[]).fails(2, &["whole cases: 1", "what is old in them: 2", "--yes"]);
    assert_eq!(
        std::fs::read(bench.path("ana/keyring.age")).unwrap(),
        before
    );
    bench.desk("ana", &["rotate", "--no-publish"]).ok();
    let newest = fingerprints(bench, "ana")[0].as_str().unwrap().to_owned();
    destroy(&[&newest, "--yes", "--before-time"]).fails(1, &["present identity"]);
    destroy(&[&new, "--yes", "--before-time"])
        .fails(1, &["until a roster names the new recipient"]);
    bench.desk("ana", &["rotate", "--no-publish"]).ok();
    destroy(&[&newest, "--yes"]).fails(1, &["card that no roster has taken in yet"]);
    assert_eq!(fingerprints(bench, "ana").len(), 4);
}

#[test]
fn nothing_is_destroyed_that_is_not_due() {
    let bench = Bench::new();
    bench.desk("ana", &["rotate"]).ok();
    let said = bench.desk("ana", &["destroy-epoch", "--yes"]).ok();
    assert!(
        said.contains("No identity is due") && said.contains("can be destroyed from"),
        "{said}"
    );
    assert_eq!(fingerprints(&bench, "ana").len(), 2);
    // Nor when the roster that named it was superseded once: the server takes drops for the one before.
    issued_earlier(&bench, 1, 30 * WINDOW, &["ana"]);
    bench.server.close(bench.past(20));
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(states(&bench, "ana"), ["in-use", "old"]);
}

#[test]
fn a_crash_before_the_keyring_is_written_loses_nothing_and_is_gone_on_with() {
    let due = due();
    let bench = &due.bench;
    steal(bench, "crashed");
    bench.desk("ana", &["destroy-epoch", "--yes"]).ok();
    // All that is written before the keyring is there, and nothing else.
    for name in [
        "destroyed.json",
        "recovery.age",
        "answers/000001.slips",
        "answers/000002.slips",
    ] {
        let to = bench.path("crashed").join(name);
        std::fs::copy(bench.path("ana").join(name), to).unwrap();
    }
    let inbox = bench.desk("crashed", &["inbox"]).ok();
    assert!(
        inbox.contains("only then") && inbox.contains("then and now"),
        "{inbox}"
    );
    for (case, text) in [("1", "first answer"), ("2", "second answer")] {
        assert!(bench.desk("crashed", &["open", case]).ok().contains(text));
    }
    let said = bench.desk("crashed", &["keys"]).ok();
    assert!(said.contains("it can be destroyed now"), "{said}");
    let said = bench.json("crashed", &["destroy-epoch", "--yes"]);
    assert_eq!((&said["drops"], &said["removed"]), (&json!(2), &json!(2)));
    assert_eq!(opened(bench, "crashed", &due.first), [false, false]);
}

#[test]
fn a_due_epoch_is_remarked_upon() {
    let due = due();
    for args in [&["sync"][..], &["doctor", "--no-report"]] {
        let said = due.bench.desk("ana", args).ok();
        assert!(
            said.contains(&format!("your old recipient {}", due.old))
                && said.contains("`sealdrop-desk destroy-epoch`"),
            "{said}"
        );
    }
    due.bench.desk("ana", &["destroy-epoch", "--yes"]).ok();
    let said = due.bench.desk("ana", &["sync"]).ok();
    assert!(!said.contains("old recipient"), "{said}");
}

#[test]
fn a_question_leaves_the_home_to_others_and_what_came_meanwhile_is_not_destroyed_unseen() {
    let due = due();
    let bench = &due.bench;
    // A sync that changes nothing is no matter; a report that would be lost is, and so is another keyring.
    let meanwhile: [fn(&Bench); 3] = [
        |bench| {
            report(bench, 7, 2, "came late", 10);
            bench.server.close(bench.past(10));
        },
        |bench| {
            bench.desk("ana", &["rotate"]).ok();
        },
        |_| (),
    ];
    for (turn, meanwhile) in meanwhile.iter().enumerate() {
        let mut terminal = bench.on_terminal("ana", &["destroy-epoch", &due.old]);
        terminal.answer("for good: ", "");
        assert!(bench.is_free("ana"));
        meanwhile(bench);
        bench.desk("ana", &["sync"]).ok();
        terminal.answer("", "yes\n");
        let (code, shown) = terminal.end();
        let changed = turn < 2;
        assert_eq!(code, Some(changed.into()), "{shown}");
        assert_eq!(shown.contains("something changed"), changed, "{shown}");
        let known = fingerprints(bench, "ana");
        assert_eq!(known.contains(&json!(due.old)), changed);
    }
}
