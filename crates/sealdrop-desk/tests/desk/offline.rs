//! Machines that never connect.

use sealdrop_core::encoding::hex;
use sealdrop_core::report::Kind;

use crate::bench::{Bench, Reporter, run};
use crate::server::{Server, WINDOW};

#[test]
fn drops_go_to_the_machine_with_the_identity_and_verdicts_come_back() {
    let bench = Bench::new();
    // Ben's identity never connects; his laptop has no identity.
    let init = |who: &str, more: &[&str]| {
        bench.init(who, "ben", more);
        bench.add_card(who);
    };
    init("cellar", &["--offline", "--no-recovery"]);
    init("laptop", &["--device-only", "--device", "laptop"]);
    bench.desk("ana", &["publish"]).ok();
    let before = bench.server.lock().bodies.len();
    let said = bench.desk("cellar", &["doctor"]).ok();
    assert!(
        said.contains("cannot be checked") && said.contains("no report was filed"),
        "{said}"
    );
    assert_eq!(bench.server.lock().bodies.len(), before);
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let files: &[(&str, &[u8])] = &[("poc", b"bytes")];
    let report = reporter.report(&roster, Kind::Report, "for the cellar", files);
    let good = reporter.seal(&roster, &report, files);
    bench.server.accept(&good, bench.past(9));
    bench
        .server
        .accept(&vec![b'x'; 67_195 + 1557], bench.past(9));
    bench.server.close(bench.past(9));

    bench.desk("laptop", &["sync"]).ok();
    let inbox = bench.desk("laptop", &["inbox"]).ok();
    assert!(inbox.contains("2 not opened"), "{inbox}");
    bench
        .desk("laptop", &["open", "1"])
        .fails(1, &["no identity on this machine", "bundle out"]);
    bench
        .desk("laptop", &["bundle", "out", &bench.arg("out.tar")])
        .ok();

    bench
        .desk("cellar", &["sync"])
        .fails(1, &["no device keys", "bundle out"]);
    let before = bench.server.lock().requests.len();
    let bundle = bench.arg("out.tar");
    let inbox = bench.desk("cellar", &["inbox", "--bundle", &bundle]).ok();
    assert!(
        inbox.contains("for the cellar") && inbox.contains("1 in quarantine"),
        "{inbox}"
    );
    assert!(
        bench
            .desk("cellar", &["open", "1", "--bundle", &bundle])
            .ok()
            .contains("about for the cellar")
    );
    bench
        .desk(
            "cellar",
            &[
                "attachments",
                "1",
                "--bundle",
                &bundle,
                "-o",
                &bench.arg("files"),
            ],
        )
        .ok();
    assert_eq!(
        std::fs::read(bench.path("files/001-poc")).unwrap(),
        b"bytes"
    );
    bench.carry("cellar", "laptop");
    assert_eq!(
        bench.server.lock().requests.len(),
        before,
        "it did not connect"
    );
    let inbox = bench.desk("laptop", &["inbox"]).ok();
    assert!(
        inbox.contains("no identity here to read it") && inbox.contains("1 in quarantine"),
        "{inbox}"
    );
    // What has a verdict need not be carried again, if one trusts what brought it.
    let again = bench.arg("again.tar");
    let out = bench.json("laptop", &["bundle", "out", "--new", &again]);
    assert_eq!(out["drops"], 0);
    let inbox = bench.json("cellar", &["inbox", "--bundle", &again]);
    assert_eq!(inbox["missing"], 0, "it has opened them: {inbox}");
}

#[test]
fn a_machine_that_never_connects_is_told_to_carry_not_to_sync() {
    let bench = Bench::new();
    bench.init("cellar", "ben", &["--offline", "--no-recovery"]);
    bench.add_card("cellar");
    bench.desk("ana", &["publish"]).ok();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let drop = reporter.drop(&roster, Kind::Report, "far away");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    bench.desk("ana", &["inbox"]).ok();
    // Ana has opened it, so it is known in the cellar and stays behind.
    bench.carry("ana", "cellar");
    let inbox = bench.desk("cellar", &["inbox"]);
    assert!(
        !inbox.out.contains("run `sealdrop-desk sync`"),
        "{}",
        inbox.out
    );
    inbox.fails(1, &["NOT HERE", "bundle out --all"]);
    std::fs::remove_dir_all(bench.path("ana/drops")).unwrap();
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("run `sealdrop-desk sync`, which fetches"),
        "{inbox}"
    );
}

#[test]
fn outbox_of_a_machine_that_never_connects_does_not_speak_of_its_syncs() {
    let (bench, _) = with_cellar(&["one"]);
    let bundle = bench.arg("b.tar");
    bench.desk("ana", &["bundle", "out", &bundle]).ok();
    bench.desk("cellar", &["bundle", "in", &bundle]).ok();
    let outbox = || bench.desk("cellar", &["outbox"]).ok();
    let said = outbox();
    assert!(
        said.contains("Nothing waits") && said.contains("does not connect"),
        "{said}"
    );
    assert!(!said.contains("sync"), "{said}");
    bench.desk("cellar", &["reply", "1", "--text", "x"]).ok();
    let said = outbox();
    assert!(
        said.contains("1 slip waits") && said.contains("`bundle out FILE`"),
        "{said}"
    );
    assert!(!said.contains("out after"), "{said}");
}

#[test]
fn the_box_key_signs_rosters_without_a_network() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("passphrase"), "correct horse\n").unwrap();
    let run = |who: &str, args: &[&str]| run(dir.path(), who, args);
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let made = run(
        "vault",
        &[
            "--json",
            "init",
            "--member",
            "ana",
            "--offline",
            "--work-factor",
            "2",
            "--no-recovery",
        ],
    )
    .ok();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let box_text = made["box"].as_str().unwrap();
    let server = Server::start(sealdrop_core::key::BoxKey::parse(box_text).unwrap());
    run(
        "laptop",
        &[
            "init",
            "--join",
            box_text,
            "--member",
            "ana",
            "--device-only",
            "--work-factor",
            "2",
        ],
    )
    .ok();
    std::fs::write(path("card.json"), run("laptop", &["keys", "--card"]).ok()).unwrap();
    run("vault", &["member", "add", &path("card.json")]).ok();
    let log = {
        let state = server.lock();
        sealdrop_core::log::checkpoint::log_vkey(&state.box_key, &state.log_key.to_public())
            .to_string()
    };
    let window = WINDOW.to_string();
    let sign = [
        "publish",
        "--origin",
        &server.origin,
        "--window",
        &window,
        "--out",
        &path("roster.tar"),
    ];
    run("vault", &sign).fails(2, &["--log-key", "/log/vkey"]);
    let sign: Vec<&str> = sign
        .iter()
        .copied()
        .chain(["--log-key", log.as_str()])
        .collect();
    run("vault", &sign).ok();
    run("laptop", &["publish"]).fails(1, &["bundle in"]);
    let said = run("laptop", &["bundle", "in", &path("roster.tar")]).ok();
    assert!(said.contains("roster 1 waits"), "{said}");
    run("laptop", &["publish"]).ok();
    assert_eq!(server.roster().epoch(), 1);
    assert_eq!(server.roster().devices().len(), 1);
    run("laptop", &["sync"]).ok();
}

#[test]
fn bundles_that_lie() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "in a bundle");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    let bundle = bench.arg("b.tar");
    bench.desk("ana", &["bundle", "out", "--all", &bundle]).ok();
    let good = std::fs::read(&bundle).unwrap();
    // A body that changed on the way.
    let mut bad = good.clone();
    let body = good.len() - 10_000;
    bad[body] ^= 1;
    std::fs::write(&bundle, &bad).unwrap();
    let inbox = bench.desk("ana", &["inbox", "--bundle", &bundle]).ok();
    assert!(inbox.contains("changed: not the bytes"), "{inbox}");
    std::fs::remove_dir_all(bench.path("ana/drops")).unwrap();
    bench
        .desk("ana", &["bundle", "in", &bundle])
        .fails(1, &["changed body"]);
    // Cut short, and another box's.
    std::fs::write(&bundle, &good[..good.len() / 2]).unwrap();
    bench
        .desk("ana", &["inbox", "--bundle", &bundle])
        .fails(1, &["not a bundle, or is damaged"]);
    std::fs::write(&bundle, &good).unwrap();
    run(
        bench.dir.path(),
        "other",
        &["init", "--work-factor", "2", "--no-recovery"],
    )
    .ok();
    bench
        .desk("other", &["inbox", "--bundle", &bundle])
        .fails(1, &["of another box"]);
    bench.desk("ana", &["bundle", "in", &bundle]).ok();
    assert!(bench.desk("ana", &["inbox"]).ok().contains("in a bundle"));
}

#[test]
fn a_forged_bundle_raises_no_fault() {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "honest");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    let never =
        serde_json::json!({ "digest": "07".repeat(32), "size": 67_195, "window": bench.past(9) });
    let list = serde_json::json!({ "drops": [never], "forgotten": [never] });
    let bundle = bench.forge("forged.tar", &[("listed.json", list)]);
    bench.desk("ana", &["bundle", "in", &bundle]).ok();
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(said.contains("compare with the machine"), "{said}");
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(!said.contains("compare with the machine"), "{said}");
    assert!(!bench.desk("ana", &["inbox"]).ok().contains("not here"));
}

#[test]
fn a_forked_log_in_a_bundle_is_refused() {
    // The same server shows ben another log: as long as ana's, longer, and shorter.
    for (more_for_ana, more_for_ben) in [(0, 0), (0, 1), (1, 0)] {
        let bench = Bench::new();
        bench.join("ben");
        let roster = bench.server.roster();
        let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "shown to both");
        bench.server.accept(&drop, bench.past(9));
        bench.server.close(bench.past(9));
        let fork = bench.server.lock().leaves.clone();
        let close = |more: u64| (0..more).for_each(|n| bench.server.close(bench.past(8 - n)));
        close(more_for_ana);
        bench.desk("ana", &["sync"]).ok();
        {
            let mut state = bench.server.lock();
            state.leaves = fork;
            state.leaves[15].digest = [7; 32];
            state.size = state.leaves.len() as u64;
        }
        close(more_for_ben);
        bench.desk("ben", &["sync"]).ok();
        let bundle = bench.arg("b.tar");
        bench.desk("ben", &["bundle", "out", &bundle]).ok();
        let before = state_of(&bench);
        for command in [
            &["bundle", "in", &bundle][..],
            &["inbox", "--bundle", &bundle],
        ] {
            bench.desk("ana", command).fails(1, &["fork"]);
            assert_eq!(state_of(&bench), before, "what ana has of the log stays");
        }
    }
}

/// What ana has of the log.
fn state_of(bench: &Bench) -> Vec<u8> {
    let mut logs = std::fs::read_dir(bench.path("ana/log")).unwrap();
    let log = logs.next().unwrap().unwrap().path();
    std::fs::read(log.join("entries")).unwrap()
}

#[test]
fn verdicts_of_a_forged_bundle_do_not_reach_the_machine_with_the_identity() {
    let bench = Bench::new();
    bench.join_device("laptop");
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "not to be hidden");
    let digest = sealdrop_core::encoding::hex(&bench.server.accept(&drop, bench.past(9)));
    bench.server.close(bench.past(9));
    bench.desk("laptop", &["sync"]).ok();
    bench.desk("ana", &["sync"]).ok();
    let verdicts = serde_json::json!({ "drops": { digest: { "quarantined": { "reason": "damaged" } } }, "cases": {} });
    let bundle = bench.forge("forged.tar", &[("verdicts.json", verdicts)]);
    bench.desk("laptop", &["bundle", "in", &bundle]).ok();
    // The drop is carried all the same.
    let out = bench.json("laptop", &["bundle", "out", &bench.arg("out.tar")]);
    assert_eq!(out["drops"], 1);
    // Whoever trusts verdicts is told what they cost.
    let out = bench
        .desk("laptop", &["bundle", "out", "--new", &bench.arg("new.tar")])
        .ok();
    assert!(out.contains("1 with a verdict left out"), "{out}");
    // Were an identity to come to this machine, it would look for itself.
    std::fs::copy(
        bench.path("laptop/inbox.json"),
        bench.path("ana/inbox.json"),
    )
    .unwrap();
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(inbox.contains("not to be hidden"), "{inbox}");
}

/// Ana's box with ben in it, whose only machine never connects; and these reports in its log, which ana has fetched.
fn with_cellar(titles: &[&str]) -> (Bench, Vec<String>) {
    let bench = Bench::new();
    bench.init("cellar", "ben", &["--offline", "--no-recovery"]);
    bench.add_card("cellar");
    bench.desk("ana", &["publish"]).ok();
    let roster = bench.server.roster();
    let drops = (1..).zip(titles).map(|(seed, title)| {
        Reporter::new(seed, roster.box_key()).drop(&roster, Kind::Report, title)
    });
    let drops = drops.map(|drop| hex(&bench.server.accept(&drop, bench.past(9))));
    let drops = drops.collect();
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    (bench, drops)
}

#[test]
fn a_drop_that_was_taken_out_of_a_bundle_is_missed() {
    let (bench, drops) = with_cellar(&["one", "two", "three"]);
    let bundle = bench.arg("b.tar");
    bench.desk("ana", &["bundle", "out", &bundle]).ok();
    bench.strip("b.tar", &drops[1]);
    let inbox = ["inbox", "--bundle", &bundle];
    bench
        .desk("cellar", &inbox)
        .fails(1, &["one", "three", "1 drop in the log", &drops[1][..16]]);
    let json = bench.desk("cellar", &["--json", "inbox", "--bundle", &bundle]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["missing_drops"][0]["digest"], drops[1], "{json}");
    // So it is when the bundle is taken in, by a machine that cannot ask the server.
    bench.desk("cellar", &["bundle", "in", &bundle]).ok();
    bench
        .desk("cellar", &["inbox"])
        .fails(1, &["1 drop in the log", &drops[1][..16]]);
    // What was opened here once is not missed in later bundles.
    std::fs::remove_file(&bundle).unwrap();
    bench.desk("ana", &["bundle", "out", "--all", &bundle]).ok();
    let said = bench.desk("cellar", &inbox).ok();
    assert!(said.contains("two") && !said.contains("NOT HERE"), "{said}");
    bench.strip("b.tar", &drops[1]);
    bench.desk("cellar", &inbox).ok();
}

#[test]
fn drops_that_can_come_no_more_are_counted_and_not_missed() {
    let bench = Bench::new();
    bench.desk("ana", &["publish", "--retention", "18000"]).ok();
    let report = |title: &str, ago: u64| {
        let roster = bench.server.roster();
        let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, title);
        bench.server.accept(&drop, bench.past(ago));
        bench.server.close(bench.past(ago));
    };
    report("from before ben joined", 9);
    bench.init("cellar", "ben", &["--offline", "--no-recovery"]);
    bench.add_card("cellar");
    bench.desk("ana", &["publish"]).ok();
    bench.server.close(bench.past(8));
    report("expired before anyone came", 7);
    bench.server.lock().bodies.clear();
    bench.server.lock().listed.clear();
    bench.desk("ana", &["sync"]).ok();
    let bundle = bench.arg("b.tar");
    bench.desk("ana", &["bundle", "out", &bundle]).ok();
    let json = bench.json("cellar", &["inbox", "--bundle", &bundle]);
    assert_eq!(json["not_for_you"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["expired"], 1, "{json}");
    assert_eq!(json["missing"], 0);
}

#[test]
fn a_replay_in_a_later_bundle_is_one() {
    let (bench, first) = with_cellar(&[]);
    assert!(first.is_empty());
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let report = reporter.report(&roster, Kind::Report, "once", &[]);
    let [first, again] = [(); 2].map(|()| reporter.seal(&roster, &report, &[]));
    let first = hex(&bench.server.accept(&first, bench.past(8)));
    bench.server.close(bench.past(8));
    bench.desk("ana", &["sync"]).ok();
    let bundle = bench.arg("b.tar");
    bench.desk("ana", &["bundle", "out", &bundle]).ok();
    let inbox = ["inbox", "--bundle", &bundle];
    assert_eq!(bench.json("cellar", &inbox)["cases"][0]["messages"], 1);
    let again = hex(&bench.server.accept(&again, bench.past(7)));
    bench.server.close(bench.past(7));
    bench.desk("ana", &["sync"]).ok();
    std::fs::remove_file(&bundle).unwrap();
    bench.desk("ana", &["bundle", "out", &bundle]).ok();
    bench.strip("b.tar", &first);
    let json = bench.json("cellar", &inbox);
    assert_eq!(json["quarantine"][0]["digest"], again, "{json}");
    assert_eq!(json["quarantine"][0]["reason"], "replay");
    assert_eq!(json["cases"], serde_json::json!([]));
    // The log says which came first, in whatever order bundles come.
    bench.init("attic", "ben", &["--offline", "--no-recovery"]);
    for file in ["keyring.age", "desk.json"] {
        std::fs::copy(
            bench.path(&format!("cellar/{file}")),
            bench.path(&format!("attic/{file}")),
        )
        .unwrap();
    }
    bench
        .desk("attic", &inbox)
        .fails(1, &["once", "NOT HERE", &first[..16]]);
    std::fs::remove_file(&bundle).unwrap();
    bench.desk("ana", &["bundle", "out", "--all", &bundle]).ok();
    bench.strip("b.tar", &again);
    let json = bench.json("attic", &inbox);
    assert_eq!(json["cases"][0]["messages"], 1, "{json}");
    assert_eq!(json["quarantine"], serde_json::json!([]));
}

#[test]
fn a_replay_in_a_later_bundle_is_one_before_the_log_has_either() {
    let (bench, _) = with_cellar(&[]);
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let report = reporter.report(&roster, Kind::Report, "once", &[]);
    let bundle = bench.arg("b.tar");
    let mut carry = |ago: u64| {
        let drop = reporter.seal(&roster, &report, &[]);
        let digest = hex(&bench.server.accept(&drop, bench.past(ago)));
        bench.desk("ana", &["sync"]).ok();
        std::fs::remove_file(&bundle).ok();
        bench.desk("ana", &["bundle", "out", &bundle]).ok();
        digest
    };
    let inbox = || bench.json("cellar", &["inbox", "--bundle", &bundle]);
    let first = carry(1);
    assert_eq!(inbox()["cases"][0]["messages"], 1);
    let again = carry(0);
    bench.strip("b.tar", &first);
    let json = inbox();
    assert_eq!(json["quarantine"][0]["digest"], again, "{json}");
    assert_eq!(json["quarantine"][0]["reason"], "replay");
}

#[test]
fn a_roster_that_came_before_its_publication_is_handed_in() {
    let bench = Bench::new();
    bench.desk("ana", &["sync"]).ok();
    bench.join_device("laptop");
    bench.desk("laptop", &["sync"]).ok();
    // The next one is signed without a network, and travels by the wrong bundle first.
    bench
        .desk("ana", &["publish", "--out", &bench.arg("r.tar")])
        .ok();
    bench.carry("ana", "laptop");
    let said = bench
        .desk("laptop", &["bundle", "in", &bench.arg("r.tar")])
        .ok();
    assert!(said.contains("roster 3 waits"), "{said}");
    let said = bench.desk("laptop", &["sync"]).ok();
    assert!(said.contains("handed in roster 3"), "{said}");
    assert_eq!(bench.server.roster().epoch(), 3);
    let said = bench.desk("laptop", &["sync"]).ok();
    assert!(!said.contains("handed in"), "{said}");
    bench
        .desk("ana", &["publish", "--out", &bench.arg("r4.tar")])
        .ok();
    bench
        .desk("ana", &["bundle", "out", &bench.arg("v.tar")])
        .ok();
    bench
        .desk("laptop", &["inbox", "--bundle", &bench.arg("v.tar")])
        .ok();
    bench.desk("laptop", &["sync"]).ok();
    assert_eq!(bench.server.roster().epoch(), 4);
}
