//! Reports that attack whoever opens them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command};

use sealdrop_core::drop::archive::{BLOCK, REPORT, attachment_member, member_header};
use sealdrop_core::encoding::hex;
use sealdrop_core::key::BoxSecret;
use sealdrop_core::recipient::Recipient;
use sealdrop_core::report::Kind;
use sealdrop_core::roster::{Roster, box_vkey};

use crate::bench::{Bench, Reporter};
use crate::byhand::{Tar, age_file};

const PAST: u64 = 9;

fn recipients(roster: &Roster) -> Vec<Recipient> {
    roster
        .members()
        .iter()
        .map(|member| member.recipient.clone())
        .collect()
}

/// Puts drops into one closed window, and syncs.
fn deliver(bench: &Bench, drops: &[Vec<u8>]) -> Vec<String> {
    let digests = drops
        .iter()
        .map(|drop| hex(&bench.server.accept(drop, bench.past(PAST))))
        .collect();
    bench.server.close(bench.past(PAST));
    bench.desk("ana", &["sync"]).ok();
    digests
}

/// This drop is quarantined for this reason, and the report behind it is shown.
#[track_caller]
fn check(make: impl FnOnce(&Bench, &Roster, &mut Reporter) -> Vec<u8>, reason: &str) {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let hostile = make(&bench, &roster, &mut Reporter::new(1, roster.box_key()));
    let honest = Reporter::new(2, roster.box_key()).drop(&roster, Kind::Report, "an honest report");
    let digests = deliver(&bench, &[hostile, honest]);
    let inbox = bench.json("ana", &["inbox"]);
    assert_eq!(inbox["quarantine"][0]["digest"], digests[0], "{inbox}");
    assert_eq!(inbox["quarantine"][0]["reason"], reason);
    assert_eq!(inbox["cases"].as_array().unwrap().len(), 1);
    let text = bench.desk("ana", &["inbox"]).ok();
    assert!(
        text.contains("an honest report")
            && text.contains("1 in quarantine")
            && text.contains(reason),
        "{text}"
    );
}

/// The same, for a drop made by hand around a good report.
#[track_caller]
fn check_tar(make: impl FnOnce(Tar) -> Tar, reason: &str) {
    check(
        |_, roster, reporter| {
            let report = reporter.report(roster, Kind::Report, "hostile", &[]);
            let tar = make(Tar::new().member(REPORT, &report.to_json().unwrap()));
            let tar = tar.signed(&reporter.keys.voice).padded();
            age_file(&reporter.file_key(), &recipients(roster), &tar)
        },
        reason,
    );
}

#[test]
fn a_drop_made_by_hand_opens_if_it_is_right() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let report = reporter.report(&roster, Kind::Report, "by hand", &[("poc", b"12345")]);
    let tar = Tar::new()
        .member(REPORT, &report.to_json().unwrap())
        .member(&attachment_member(0, "poc"), b"12345")
        .signed(&reporter.keys.voice)
        .padded();
    deliver(
        &bench,
        &[age_file(&reporter.file_key(), &recipients(&roster), &tar)],
    );
    assert!(bench.desk("ana", &["inbox"]).ok().contains("by hand"));
}

#[test]
fn damaged_drop_is_quarantined() {
    check(
        |_, roster, reporter| {
            let mut drop = reporter.drop(roster, Kind::Report, "damaged");
            let last = drop.len() - 1;
            drop[last] ^= 1;
            drop
        },
        "damaged",
    );
    check(|_, _, _| vec![b'x'; 67_195], "not a drop");
}

#[test]
fn server_relays_another_boxs_drops_into_this_one() {
    check(
        |_, roster, reporter| {
            // Another box may name our recipient in its roster, so that its drops open here.
            let secret = BoxSecret::from_seed(&[0x77; 32]);
            let other = secret.to_public();
            let log = sealdrop_core::key::SecretKey::from_seed(&[0x78; 32]).to_public();
            let mut draft = roster.draft().clone();
            draft.box_key = other.clone();
            draft.log = sealdrop_core::log::checkpoint::log_vkey(&other, &log);
            let theirs = draft.sign(&secret).unwrap();
            assert_eq!(box_vkey(theirs.box_key()), box_vkey(&other));
            let _ = reporter;
            Reporter::new(9, &other).drop(&theirs, Kind::Report, "relayed")
        },
        "another box",
    );
}

#[test]
fn drop_sealed_to_someone_else_is_not_addressed_to_you() {
    check(
        |_, roster, reporter| {
            let stranger = sealdrop_core::recipient::IdentitySeed::from_bytes(&[9; 32]).to_public();
            let report = reporter.report(roster, Kind::Report, "lost", &[]);
            let tar = Tar::bare(&report.to_json().unwrap(), &reporter.keys.voice);
            age_file(&reporter.file_key(), &[stranger], &tar)
        },
        "not addressed to you",
    );
}

#[test]
fn reporter_seals_so_that_only_some_members_can_open() {
    let bench = Bench::new();
    bench.join("ben");
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let stranger = sealdrop_core::recipient::IdentitySeed::from_bytes(&[9; 32]).to_public();
    let report = reporter.report(&roster, Kind::Report, "only ana", &[]);
    let tar = Tar::bare(&report.to_json().unwrap(), &reporter.keys.voice);
    let ana = roster.members()[0].recipient.clone();
    let two = age_file(&reporter.file_key(), &[ana.clone(), stranger], &tar);
    let one = age_file(&reporter.file_key(), &[ana], &tar);
    deliver(&bench, &[two, one]);
    let inbox = bench.json("ana", &["inbox"]);
    assert_eq!(inbox["cases"].as_array().unwrap().len(), 0);
    for found in inbox["quarantine"].as_array().unwrap() {
        assert_eq!(found["reason"], "not addressed to ben");
    }
    assert_eq!(inbox["quarantine"].as_array().unwrap().len(), 2);
}

#[test]
fn member_of_the_team_writes_into_a_conversation_as_the_reporter() {
    // Whoever has the report has every public key in it, and no private one.
    check(
        |_, roster, reporter| {
            let report = reporter.report(roster, Kind::FollowUp, "forged", &[]);
            let mallory = Reporter::new(66, roster.box_key());
            let tar = Tar::bare(&report.to_json().unwrap(), &mallory.keys.voice);
            age_file(&reporter.file_key(), &recipients(roster), &tar)
        },
        "bad signature",
    );
}

#[test]
fn stranger_forges_a_follow_up_into_a_conversation() {
    // The stranger signs with a key of their own and claims the conversation's id.
    check(
        |_, roster, reporter| {
            let mut stranger = Reporter::new(66, roster.box_key());
            let report = stranger.report(roster, Kind::FollowUp, "forged", &[]);
            let json = String::from_utf8(report.to_json().unwrap()).unwrap();
            let json = json.replace(
                &report.conversation.to_string(),
                &reporter.keys.conversation.to_string(),
            );
            let tar = Tar::bare(json.as_bytes(), &stranger.keys.voice);
            age_file(&reporter.file_key(), &recipients(roster), &tar)
        },
        "bad signature",
    );
}

#[test]
fn stranger_replays_a_drop() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let report = reporter.report(&roster, Kind::Report, "once", &[]);
    let [first, again] = [(); 2].map(|()| reporter.seal(&roster, &report, &[]));
    assert_ne!(first, again, "sealed afresh, so the server cannot tell");
    deliver(&bench, &[first, again]);
    let inbox = bench.json("ana", &["inbox"]);
    assert_eq!(
        inbox["cases"].as_array().unwrap().len(),
        1,
        "one case, not two"
    );
    assert_eq!(inbox["cases"][0]["messages"], 1);
    assert_eq!(inbox["quarantine"][0]["reason"], "replay");
}

#[test]
fn reporter_takes_another_ones_message_id_to_make_it_a_replay() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let [mut first, mut second] = [1, 2].map(|seed| Reporter::new(seed, roster.box_key()));
    let honest = second.report(&roster, Kind::Report, "an honest report", &[]);
    let mut hostile = first.report(&roster, Kind::Report, "came first", &[]);
    hostile.message = honest.message;
    let drops = [
        first.seal(&roster, &hostile, &[]),
        second.seal(&roster, &honest, &[]),
    ];
    deliver(&bench, &drops);
    let inbox = bench.json("ana", &["inbox"]);
    assert_eq!(inbox["cases"].as_array().unwrap().len(), 2, "{inbox}");
    assert_eq!(inbox["quarantine"], serde_json::json!([]));
}

/// Mends the checksum of a header that was changed.
fn with_checksum(mut header: [u8; BLOCK]) -> [u8; BLOCK] {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[test]
fn a_tar_with_dot_dot_links_devices_and_nuls() {
    let name = |name: &str| member_header(name, 0).unwrap();
    check_tar(|tar| tar.member("../../evil", b"x"), "not a drop");
    check_tar(|tar| tar.member("/etc/passwd", b"x"), "not a drop");
    check_tar(|tar| tar.member(REPORT, b"{}"), "not a drop");
    for kind in [b'1', b'2', b'3', b'4', b'5', b'6', b'L', b'x'] {
        check_tar(
            |tar| {
                let mut header = name("attachments/001-x");
                header[156] = kind;
                header[157..164].copy_from_slice(b"../evil");
                tar.raw(&with_checksum(header), b"")
            },
            "not a drop",
        );
    }
    check_tar(
        |tar| {
            let mut header = name("attachments/001-x");
            header[15] = 0;
            header[16] = b'y';
            tar.raw(&with_checksum(header), b"")
        },
        "not a drop",
    );
}

#[test]
fn sizes_out_of_bounds_are_quarantined() {
    let announced = |announce: u64, hold: &'static [u8]| {
        move |_: &Bench, roster: &Roster, reporter: &mut Reporter| {
            let mut report = reporter.report(roster, Kind::Report, "sizes", &[("a", hold)]);
            report.attachments[0].size = announce;
            let tar = Tar::new()
                .member(REPORT, &report.to_json().unwrap())
                .member(&attachment_member(0, "a"), hold)
                .signed(&reporter.keys.voice)
                .padded();
            age_file(&reporter.file_key(), &recipients(roster), &tar)
        }
    };
    check(announced(6, b"12345"), "bad report");
    check(announced(1 << 50, b"12345"), "bad report");
    check(
        |_, roster, reporter| {
            let report = reporter.report(roster, Kind::Report, "padding", &[]);
            let mut tar = Tar::bare(&report.to_json().unwrap(), &reporter.keys.voice);
            tar.resize(131_072, 0);
            age_file(&reporter.file_key(), &recipients(roster), &tar)
        },
        "bad padding",
    );
    check(
        |_, roster, reporter| {
            let report = reporter.report(roster, Kind::Report, "tail", &[]);
            let mut tar = Tar::bare(&report.to_json().unwrap(), &reporter.keys.voice);
            *tar.last_mut().unwrap() = 1;
            age_file(&reporter.file_key(), &recipients(roster), &tar)
        },
        "not a drop",
    );
}

#[test]
fn roster_that_nobody_has_seen() {
    check(
        |_, roster, reporter| {
            let mut report = reporter.report(roster, Kind::Report, "epoch", &[]);
            report.epoch = 99;
            let tar = Tar::bare(&report.to_json().unwrap(), &reporter.keys.voice);
            age_file(&reporter.file_key(), &recipients(roster), &tar)
        },
        "unknown roster",
    );
}

#[test]
fn terminal_escapes_in_text_are_shown_as_text() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let files: &[(&str, &[u8])] = &[("\x1b]0;owned\x07/../..\u{202e}gpj.exe", b"MZ")];
    let mut report = reporter.report(
        &roster,
        Kind::Report,
        "\x1b[2J\u{9b}31m\rCase 7\nfake",
        files,
    );
    report.form.insert(
        "x-unknown".into(),
        "line one\n\x08\x08case 9\u{2066}".into(),
    );
    let drop = reporter.seal(&roster, &report, files);
    deliver(&bench, &[drop]);
    for shown in [
        bench.desk("ana", &["inbox"]).ok(),
        bench.desk("ana", &["open", "1"]).ok(),
    ] {
        let raw = shown
            .chars()
            .find(|c| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{2069}').contains(c));
        assert_eq!(raw, None, "{shown:?}");
    }
    let shown = bench.desk("ana", &["open", "1"]).ok();
    for part in [
        "\\x1b[2J\\x9b31m",
        "\\x1b]0;owned\\x07",
        "\\u{202e}gpj.exe",
        "x-unknown:\n  line one\n  \\x08\\x08case 9",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    bench
        .desk("ana", &["attachments", "1", "-o", &bench.arg("out")])
        .ok();
    let names: Vec<_> = std::fs::read_dir(bench.path("out"))
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["001-__0_owned__.._.._gpj.exe"]);
}

#[test]
fn attachments_come_out_whole_and_replace_nothing() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let big: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let files: &[(&str, &[u8])] = &[("poc.bin", &big), ("empty", b"")];
    let report = reporter.report(&roster, Kind::Report, "files", files);
    let first = reporter.seal(&roster, &report, files);
    let more: &[(&str, &[u8])] = &[("poc.bin", b"second")];
    let follow_up = reporter.report(&roster, Kind::FollowUp, "more", more);
    let second = reporter.seal(&roster, &follow_up, more);
    deliver(&bench, &[first, second]);
    let inbox = bench.json("ana", &["inbox"]);
    assert_eq!(
        inbox["cases"][0]["messages"], 2,
        "a follow-up threads into its case"
    );
    let out = bench.arg("out");
    bench.desk("ana", &["attachments", "1", "-o", &out]).ok();
    assert_eq!(std::fs::read(bench.path("out/001-poc.bin")).unwrap(), big);
    assert_eq!(std::fs::read(bench.path("out/002-empty")).unwrap(), b"");
    assert_eq!(
        std::fs::read(bench.path("out/message-2/001-poc.bin")).unwrap(),
        b"second"
    );

    let again = bench.desk("ana", &["attachments", "1", "-o", &out]);
    assert!(!again.err.contains("cannot open drop"), "{}", again.err);
    again.fails(1, &["001-poc.bin", "exists already"]);
    assert_eq!(std::fs::read(bench.path("out/001-poc.bin")).unwrap(), big);
    let count = std::fs::read_dir(bench.path("out")).unwrap().count();
    assert_eq!(count, 3, "nothing is left of the attempt");

    // A link that lies in wait is not followed.
    std::fs::create_dir(bench.path("trap")).unwrap();
    symlink(bench.path("victim"), bench.path("trap/001-poc.bin")).unwrap();
    bench
        .desk("ana", &["attachments", "1", "-o", &bench.arg("trap")])
        .fails(1, &["exists already"]);
    assert!(!bench.path("victim").exists());
    bench
        .desk("ana", &["attachments", "1", "-o", &bench.arg("passphrase")])
        .fails(2, &["not a folder"]);
}

#[test]
fn no_text_of_a_report_is_at_rest() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "CANARY-TITLE");
    deliver(&bench, &[drop]);
    assert!(bench.desk("ana", &["inbox"]).ok().contains("CANARY-TITLE"));
    assert!(
        bench
            .desk("ana", &["open", "1"])
            .ok()
            .contains("about CANARY-TITLE")
    );
    let mut folders = vec![bench.path("ana")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(
                    !bytes.windows(6).any(|window| window == b"CANARY"),
                    "{}",
                    path.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 5);
}

#[test]
fn case_whose_report_is_missing_says_so() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let more = reporter.drop(&roster, Kind::FollowUp, "and also");
    deliver(&bench, &[more]);
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(inbox.contains("the report itself is not here"), "{inbox}");
    assert_eq!(
        bench.json("ana", &["inbox"])["cases"][0]["has_report"],
        false
    );
    let said = bench.desk("ana", &["open", "1"]).ok();
    assert!(
        said.contains("and also") && said.contains("The report that this follows is not here"),
        "{said}"
    );
    let report = reporter.drop(&roster, Kind::Report, "the bug");
    bench.server.accept(&report, bench.past(PAST - 1));
    bench.server.close(bench.past(PAST - 1));
    bench.desk("ana", &["sync"]).ok();
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(!inbox.contains("not here"), "{inbox}");
    let said = bench.desk("ana", &["open", "1"]).ok();
    assert!(
        said.contains("the bug") && !said.contains("not here"),
        "{said}"
    );
    assert_eq!(
        bench.json("ana", &["inbox"])["cases"][0]["has_report"],
        true
    );
}

#[test]
fn withdrawn_reports_are_marked() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let drops =
        [Kind::Report, Kind::Withdraw].map(|kind| reporter.drop(&roster, kind, "never mind"));
    deliver(&bench, &drops);
    assert!(bench.desk("ana", &["inbox"]).ok().contains("withdrawn"));
    assert!(
        bench
            .desk("ana", &["open", "1"])
            .ok()
            .contains("has withdrawn")
    );
    bench.desk("ana", &["open", "2"]).fails(1, &["no case 2"]);
}

#[test]
fn a_file_that_changes_on_the_disk_is_shown_as_such() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "fragile");
    let digests = deliver(&bench, &[drop]);
    let path = bench.path(&format!(
        "ana/drops/{}/{}.age",
        bench.past(PAST),
        digests[0]
    ));
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[66_000] ^= 1;
    std::fs::write(&path, bad).unwrap();
    assert!(
        bench
            .desk("ana", &["inbox"])
            .ok()
            .contains("changed: not the bytes")
    );
    std::fs::write(&path, good).unwrap();
    assert!(
        bench.desk("ana", &["inbox"]).ok().contains("fragile"),
        "such a verdict is not kept"
    );
}

#[test]
fn a_file_that_fails_later_does_not_hide_the_others() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drops = [1, 2].map(|seed| {
        Reporter::new(seed, roster.box_key()).drop(&roster, Kind::Report, &format!("report {seed}"))
    });
    let digests = deliver(&bench, &drops);
    bench.desk("ana", &["inbox"]).ok();
    let path = bench.path(&format!(
        "ana/drops/{}/{}.age",
        bench.past(PAST),
        digests[0]
    ));
    // Another report under the same name: it opens, and is not the one that was judged.
    let other = Reporter::new(7, roster.box_key()).drop(&roster, Kind::Report, "slipped in");
    for bytes in [other, drops[0][..100].to_vec()] {
        std::fs::write(&path, bytes).unwrap();
        let inbox = bench.desk("ana", &["inbox"]).ok();
        assert!(
            inbox.contains("report 2") && !inbox.contains("slipped in"),
            "{inbox}"
        );
        let shown = bench.desk("ana", &["open", "1"]).ok();
        assert!(
            shown.contains("cannot be shown") && !shown.contains("slipped in"),
            "{shown}"
        );
        bench
            .desk("ana", &["attachments", "1", "-o", &bench.arg("out")])
            .fails(1, &[]);
    }
    // The advice that it gives helps.
    std::fs::remove_file(&path).unwrap();
    bench.desk("ana", &["sync"]).ok();
    assert!(
        bench
            .desk("ana", &["open", "1"])
            .ok()
            .contains("about report 1")
    );
    std::fs::remove_file(&path).unwrap();
    bench.server.lock().bodies.clear();
    assert!(
        bench
            .desk("ana", &["sync"])
            .ok()
            .contains("ask another member")
    );
}

#[test]
fn a_report_that_stops_the_desk_is_quarantined() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drops = [1, 2].map(|seed| {
        Reporter::new(seed, roster.box_key()).drop(&roster, Kind::Report, &format!("report {seed}"))
    });
    let digests = deliver(&bench, &drops);
    // What is left when the program was killed while it opened the first, for the second time.
    std::fs::write(bench.path("ana/opening"), format!("{} 2", digests[0])).unwrap();
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("report 2") && inbox.contains("stopped this program 2 times"),
        "{inbox}"
    );
    // That is kept, until somebody asks to look again.
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(inbox.contains("stopped this program 2 times"), "{inbox}");
    let kept = std::fs::read_to_string(bench.path("ana/inbox.json")).unwrap();
    let inbox = bench.desk("ana", &["inbox", "--again"]).ok();
    assert!(
        inbox.contains("report 1") && !inbox.contains("quarantine"),
        "{inbox}"
    );
    // Or until there is another version of this program.
    let version = format!("\"program\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let compact: String = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    let older = compact.replace("\"program\": ", "\"program\":");
    assert!(older.contains(&version), "{older}");
    let older = older.replace(&version, "\"program\":\"0.0.1\"");
    std::fs::write(bench.path("ana/inbox.json"), older).unwrap();
    assert!(bench.desk("ana", &["inbox"]).ok().contains("report 1"));
}

/// A report whose file is a pipe, which gives it as slowly as a test likes; and the report.
fn slow() -> (Bench, PathBuf, Vec<u8>) {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "takes its time");
    let digests = deliver(&bench, std::slice::from_ref(&drop));
    let path = bench.path(&format!(
        "ana/drops/{}/{}.age",
        bench.past(PAST),
        digests[0]
    ));
    std::fs::remove_file(&path).unwrap();
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    (bench, path, drop)
}

/// Presses Ctrl-C.
fn interrupt(child: &Child) {
    let kill = format!("kill -INT {}", child.id());
    let killed = Command::new("sh").args(["-c", &kill]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn an_interruption_is_not_held_against_a_report() {
    let (bench, path, drop) = slow();
    for _ in 0..3 {
        let child = bench.start("ana", &["inbox"]);
        let mut pipe = OpenOptions::new().write(true).open(&path).unwrap();
        pipe.write_all(&drop[..3000]).unwrap();
        assert!(bench.path("ana/opening").exists());
        interrupt(&child);
        // It stops at the next piece, whether it takes that or not.
        let _ = pipe.write_all(&drop[3000..]);
        std::mem::drop(pipe);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("stopped by you"), "{said}");
        assert!(!bench.path("ana/opening").exists());
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &drop).unwrap();
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("takes its time") && !inbox.contains("quarantine"),
        "{inbox}"
    );
}

#[test]
fn a_report_that_wedges_the_desk_is_quarantined() {
    let (bench, path, drop) = slow();
    for _ in 0..2 {
        let mut child = bench.start("ana", &["inbox"]);
        let mut pipe = OpenOptions::new().write(true).open(&path).unwrap();
        pipe.write_all(&drop[..3000]).unwrap();
        // Until it waits for more, which nothing but its end can end.
        let stat = format!("/proc/{}/stat", child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
            std::thread::yield_now();
        }
        // One Ctrl-C does nothing, so there is another.
        let status = loop {
            interrupt(&child);
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
        };
        assert_eq!(status.code(), None, "killed");
        assert!(bench.path("ana/opening").exists());
    }
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(inbox.contains("stopped this program 2 times"), "{inbox}");
}

#[test]
fn json_moves_no_cursor() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drop =
        Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "\u{9b}2J\x1b[2J\u{202e}");
    deliver(&bench, &[drop]);
    let shown = bench.desk("ana", &["--json", "open", "1"]).ok();
    assert!(
        !shown
            .chars()
            .any(|c| c.is_control() && c != '\n' || c == '\u{202e}'),
        "{shown:?}"
    );
    let parsed: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        parsed["messages"][0]["form"]["title"],
        "\u{9b}2J\x1b[2J\u{202e}"
    );
}

#[test]
fn wrong_key() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "for the old key");
    deliver(&bench, &[drop]);
    // Ana starts again with other keys, and has no recovery file.
    bench.init("ana-again", "ana", &["--no-recovery", "--device", "new"]);
    bench
        .desk("ana", &["bundle", "out", "--all", &bench.arg("b.tar")])
        .ok();
    let [old, new] = ["ana", "ana-again"].map(|who| {
        bench.json(who, &["keys"])["recipients"][0]
            .as_str()
            .unwrap()
            .to_owned()
    });
    let said = bench
        .desk("ana-again", &["inbox", "--bundle", &bench.arg("b.tar")])
        .ok();
    for part in [&old[..], &new, "keys --card", "init --restore"] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}
