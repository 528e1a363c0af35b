//! Keys, rosters and bad input: one clear sentence with what to do next, and nothing changed.

use sealdrop_core::note::Note;
use sealdrop_core::roster::Draft;
use sealdrop_core::time::Time;
use serde_json::Value;

use crate::bench::{Bench, run, run_with};

#[test]
fn wrong_passphrase() {
    let bench = Bench::new();
    std::fs::write(bench.path("passphrase"), "battery staple\n").unwrap();
    for command in [&["sync"][..], &["inbox"], &["publish"], &["doctor"]] {
        bench
            .desk("ana", command)
            .fails(1, &["the passphrase does not open", "keyring.age"]);
    }
    std::fs::write(bench.path("passphrase"), "").unwrap();
    bench
        .desk("new", &["init"])
        .fails(1, &["passphrase is empty"]);
    assert!(!bench.path("new").exists());
}

#[test]
fn a_passphrase_that_is_soon_guessed_gets_a_word() {
    let bench = Bench::new();
    let init = |passphrase: &str, who: &str| {
        std::fs::write(bench.path("passphrase"), passphrase).unwrap();
        bench.desk(who, &["init", "--work-factor", "2"])
    };
    init("a\n", "new").fails(1, &["this short (1)", "six random words"]);
    assert!(!bench.path("new").exists());
    let short = init("horse 12\n", "new");
    assert_eq!(short.code, 0, "{}", short.err);
    assert!(short.err.contains("is short"), "{}", short.err);
    let good = init("correct horse battery staple\n", "newer");
    assert_eq!((good.code, good.err.as_str()), (0, ""));
}

#[test]
fn missing_keyring_or_home() {
    let bench = Bench::new();
    std::fs::rename(bench.path("ana/keyring.age"), bench.path("elsewhere")).unwrap();
    bench
        .desk("ana", &["sync"])
        .fails(1, &["keyring", "is missing", "--restore"]);
    bench
        .desk("nobody", &["sync"])
        .fails(1, &["there is no desk in", "init"]);
    std::fs::write(bench.path("ana/keyring.age"), "not a keyring").unwrap();
    bench
        .desk("ana", &["sync"])
        .fails(1, &["is not a keyring, or is damaged"]);
}

#[test]
fn a_home_that_may_not_be_read_is_not_called_empty() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let mode = |mode| {
        let to = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(bench.path("ana"), to).unwrap();
    };
    mode(0o000);
    let is_root = std::fs::read_dir(bench.path("ana")).is_ok();
    let ran = bench.desk("ana", &["keys"]);
    let init = bench.desk("ana", &["init"]);
    mode(0o700);
    // Nothing is unreadable to root.
    if !is_root {
        ran.fails(1, &["permission denied"]);
        init.fails(1, &["permission denied"]);
    }
    // The same path, for every user: what is no folder has nothing in it that could be read.
    let ran = bench.desk("passphrase", &["keys"]);
    assert_eq!(ran.code, 1);
    assert!(!ran.err.contains("run `sealdrop-desk init`"), "{}", ran.err);
}

#[test]
fn an_init_that_fails_leaves_nothing() {
    let bench = Bench::new();
    // Something is in the keyring's way, which shows when the recovery file is written already.
    std::fs::create_dir_all(bench.path("new/keyring.age/full")).unwrap();
    bench
        .desk("new", &["init", "--work-factor", "2"])
        .fails(1, &["cannot write", "keyring.age"]);
    let left: Vec<_> = std::fs::read_dir(bench.path("new"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["keyring.age"]);
}

#[test]
fn what_is_written_out_replaces_nothing() {
    let bench = Bench::new();
    let victim = bench.arg("victim");
    std::fs::write(&victim, "precious").unwrap();
    for args in [
        &["bundle", "out", &victim][..],
        &["address", "--svg", &victim],
        &["publish", "--out", &victim],
    ] {
        bench.desk("ana", args).fails(1, &["exists already"]);
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert!(!bench.path("ana/outgoing.json").exists());
}

#[test]
fn init_never_replaces_keys() {
    let bench = Bench::new();
    let before = std::fs::read(bench.path("ana/keyring.age")).unwrap();
    bench
        .desk("ana", &["init"])
        .fails(1, &["already has a keyring"]);
    assert_eq!(
        std::fs::read(bench.path("ana/keyring.age")).unwrap(),
        before
    );
}

#[test]
fn secrets_are_owner_only_and_not_in_plain_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    assert_eq!(
        std::fs::metadata(bench.path("ana"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    for entry in std::fs::read_dir(bench.path("ana")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
        if entry.path().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(
                !String::from_utf8_lossy(&bytes).contains("SECRET-KEY"),
                "{}",
                entry.path().display()
            );
        }
    }
}

#[test]
fn an_exported_identity_is_owner_only_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let (file, path) = (bench.arg("identity.txt"), bench.path("identity.txt"));
    let export = |who: &str| bench.desk(who, &["keys", "export-identity", "-o", &file]);
    let said = export("ana").ok();
    assert!(
        said.contains("no passphrase protects it") && !said.contains("SECRET-KEY"),
        "{said}"
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.lines().last().unwrap();
    assert!(line.starts_with("AGE-SECRET-KEY-PQ-1"));
    export("ana").fails(1, &["exists already"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(bench.path("elsewhere"), &path).unwrap();
    export("ana").fails(1, &["exists already"]);
    std::fs::remove_file(&path).unwrap();
    bench.join_device("laptop");
    export("laptop").fails(1, &["no identity on this machine"]);
    std::fs::write(bench.path("passphrase"), "battery staple\n").unwrap();
    export("ana").fails(1, &["the passphrase does not open"]);
    assert!(!path.exists() && !bench.path("elsewhere").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_knows_an_identity_leaves_no_core_dump() {
    let bench = Bench::new();
    let lock = std::fs::File::open(bench.path("ana/lock")).unwrap();
    lock.lock().unwrap();
    let mut waiting = std::process::Command::new(assert_cmd::cargo::cargo_bin("sealdrop-desk"))
        .args(["--home", &bench.arg("ana"), "keys"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stderr = waiting.stderr.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut line).unwrap();
    assert!(line.contains("waiting for another"), "{line}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", waiting.id())).unwrap();
    lock.unlock().unwrap();
    assert!(waiting.wait().unwrap().success());
    let core = limits.lines().find(|line| line.contains("core")).unwrap();
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(words, ["Max", "core", "file", "size", "0", "0", "bytes"]);
}

#[test]
fn address_typed_with_a_slip_of_the_finger() {
    let bench = Bench::new();
    let good = bench.address();
    let join = |address: &str| bench.desk("ben", &["init", "--join", address, "--member", "ben"]);
    let (last, typo) = (
        good.chars().last().unwrap(),
        if good.ends_with('q') { 'p' } else { 'q' },
    );
    assert_ne!(last, typo);
    join(&format!("{}{typo}", &good[..good.len() - 1])).fails(2, &["checksum"]);
    join(&good.replace("sdbox1", "sdbax1")).fails(2, &["not a box"]);
    join(good.split('#').next().unwrap()).fails(2, &["has no box"]);
    join(&good.replace("http://127.0.0.1", "http://drop.example.org")).fails(2, &["https://"]);
    assert!(!bench.path("ben").exists());
}

#[test]
fn usage_mistakes_exit_with_2() {
    let bench = Bench::new();
    bench
        .desk("x", &["init", "--member", "Ana Maria"])
        .fails(2, &["--member"]);
    bench
        .desk("ana", &["publish", "--origin", "drop.example.org"])
        .fails(2, &["--origin", "https://"]);
    bench
        .desk("ana", &["publish", "--days", "91"])
        .fails(2, &["--days"]);
    bench
        .desk("ana", &["sync", "--proxy", "socks5://127.0.0.1:9050"])
        .fails(2, &["socks5h://"]);
    bench.desk("ana", &["open", "one"]).fails(2, &[]);
    bench.desk("ana", &["frobnicate"]).fails(2, &[]);
}

#[test]
fn with_json_a_failure_is_one_object_on_standard_output() {
    let bench = Bench::new();
    for (args, code, says) in [
        (&["open", "7"][..], 1, "there is no case 7"),
        (&["publish", "--days", "91"], 2, "--days"),
        (&["open", "one"], 2, "'one'"),
        (&["--frobnicate"], 2, "--frobnicate"),
    ] {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        let ran = bench.desk("ana", &args);
        assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{args:?}");
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(json["error"].as_str().unwrap().contains(says), "{json}");
        assert_eq!(json["exit"], code);
    }
}

#[test]
fn publish_refuses_what_clients_would_refuse() {
    let bench = Bench::new();
    for (option, value, says) in [
        ("--window", "0", "from 1 to 604800"),
        ("--retention", "1", "at least as long as a window"),
        ("--retention", "31622401", "to 31622400 seconds (366 days)"),
        ("--max-drop", "5", "from 67195 to 8589934592"),
        ("--max-drop", "ten", "from 67195 to 8589934592"),
    ] {
        bench
            .desk("ana", &["publish", option, value])
            .fails(2, &[option, says]);
    }
    bench
        .desk("ana", &["publish", "--window", "7200"])
        .fails(1, &["can never change"]);
    bench
        .desk("ana", &["publish", "--policy", &bench.arg("nothing.md")])
        .fails(1, &["cannot read the policy"]);
    bench
        .desk("ana", &["member", "remove", "ana"])
        .fails(1, &["no members left", "member add CARD"]);
    assert_eq!(bench.server.roster().epoch(), 1);
}

#[test]
fn an_origin_may_be_pasted_with_its_slash() {
    let bench = Bench::new();
    let origin = bench.server.origin.clone();
    bench
        .desk("ana", &["publish", "--origin", &format!("{origin}/")])
        .ok();
    assert_eq!(bench.server.roster().epoch(), 2);
    let address = bench.json("ana", &["address"])["address"].to_string();
    assert!(address.contains(&format!("{origin}#")), "{address}");
}

#[test]
fn publish_shows_what_it_changes() {
    let bench = Bench::new();
    std::fs::write(bench.path("policy.md"), "# Policy\n").unwrap();
    let (policy, own) = (bench.arg("policy.md"), bench.server.origin.clone());
    let onion = format!("http://{}.onion", "a".repeat(56));
    let args = ["publish", "--origin", &own, "--origin", &onion];
    let more = ["--policy", &policy, "--max-drop", "10M"];
    let said = bench.desk("ana", &[&args[..], &more].concat()).ok();
    for part in [
        &*format!("added: origin {onion}"),
        "changed: the policy",
        "the largest drop has 10485760 bytes, not 1073741824",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("log key is"), "{said}");
    let said = bench.desk("ana", &["publish", "--origin", &own]).ok();
    assert!(said.contains(&format!("removed: origin {onion}")), "{said}");
    let said = bench.desk("ana", &["publish"]).ok();
    assert!(!said.contains("changed:"), "{said}");
}

#[test]
fn policy_and_limits_stay_from_roster_to_roster() {
    let bench = Bench::new();
    std::fs::write(bench.path("policy.md"), "# Policy\nBe kind.\n").unwrap();
    bench
        .desk(
            "ana",
            &[
                "publish",
                "--policy",
                &bench.arg("policy.md"),
                "--max-drop",
                "10M",
                "--days",
                "30",
            ],
        )
        .ok();
    bench.desk("ana", &["publish"]).ok();
    let roster = bench.server.roster();
    assert_eq!((roster.epoch(), roster.max_drop()), (3, 10 << 20));
    assert!(roster.is_policy(b"# Policy\nBe kind.\n"));
}

#[test]
fn a_member_joins_and_leaves() {
    let bench = Bench::new();
    bench.join("ben");
    let list = bench.json("ana", &["member", "list"]);
    assert_eq!(list["members"][1]["name"], "ben");
    assert_eq!(
        list["members"][1]["recipient"],
        bench.json("ben", &["keys"])["recipients"][0]
    );
    assert_eq!(list["devices"][1]["name"], "ben/desk");
    bench.desk("ben", &["sync"]).ok();
    assert_eq!(bench.json("ben", &["keys"])["in_roster"], true);
    bench
        .desk("ben", &["member", "remove", "ana"])
        .fails(1, &["box key"]);
    bench
        .desk("ben", &["publish"])
        .fails(1, &["box key is not on this machine"]);
    bench
        .desk("ana", &["member", "remove", "nobody"])
        .fails(1, &["no member or machine called nobody"]);
    bench.desk("ana", &["member", "remove", "ben/desk"]).ok();
    bench.desk("ana", &["publish"]).ok();
    let roster = bench.server.roster();
    assert_eq!((roster.members().len(), roster.devices().len()), (2, 1));
}

#[test]
fn a_key_of_another_box_is_refused() {
    let bench = Bench::new();
    run(
        bench.dir.path(),
        "other",
        &["init", "--member", "eve", "--work-factor", "2"],
    )
    .ok();
    let card = bench.desk("other", &["keys", "--card"]).ok();
    std::fs::write(bench.path("card.json"), card).unwrap();
    bench
        .desk("ana", &["member", "add", &bench.arg("card.json")])
        .fails(1, &["another box"]);
    bench
        .desk("ana", &["member", "add", &bench.arg("passphrase")])
        .fails(1, &["not a member card"]);
    std::fs::copy(
        bench.path("other/keyring.age"),
        bench.path("ana/keyring.age"),
    )
    .unwrap();
    bench
        .desk("ana", &["sync"])
        .fails(1, &["keys of another box"]);
    bench
        .desk("other", &["publish", "--origin", &bench.server.origin])
        .fails(1, &["not of your box"]);
}

#[test]
fn server_that_is_not_there() {
    let bench = Bench::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    bench
        .desk("ana", &["publish", "--origin", &format!("http://{free}")])
        .fails(1, &["refuses the connection"]);
    assert_eq!(bench.json("ana", &["keys"])["epoch"], 1, "nothing changed");
    bench.desk("ana", &["sync"]).ok();
}

#[test]
fn a_data_folder_of_a_newer_version_is_refused() {
    let bench = Bench::new();
    let path = bench.path("ana/desk.json");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("\"version\": 1", "\"version\": 9");
    std::fs::write(&path, text).unwrap();
    bench
        .desk("ana", &["sync"])
        .fails(1, &["newer sealdrop-desk"]);
}

#[test]
fn recovery_file_brings_the_keys_back() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    let made = run(
        dir,
        "first",
        &[
            "--json",
            "init",
            "--work-factor",
            "2",
            "--recovery",
            &bench.arg("r.age"),
        ],
    )
    .ok();
    let made: Value = serde_json::from_str(&made).unwrap();
    let code = made["recovery"]["code"].as_str().unwrap();
    std::fs::write(bench.path("code"), code).unwrap();
    let restore = |who: &str| {
        run(
            dir,
            who,
            &[
                "init",
                "--restore",
                &bench.arg("r.age"),
                "--recovery-code-file",
                &bench.arg("code"),
                "--work-factor",
                "2",
            ],
        )
    };
    restore("second").ok();
    let [first, second] = ["first", "second"].map(|who| bench.json(who, &["keys"]));
    for same in ["box", "recipients", "voice", "holds_box_key"] {
        assert_eq!(first[same], second[same]);
    }
    assert_ne!(
        first["witness"], second["witness"],
        "a machine's keys are never on two machines"
    );
    std::fs::write(bench.path("code"), code.replacen(' ', " abandon ", 1)).unwrap();
    restore("third").fails(1, &["not a recovery code"]);
    std::fs::write(
        bench.path("code"),
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
    )
    .unwrap();
    restore("third").fails(1, &["for another file"]);
    assert!(!bench.path("third/desk.json").exists());
}

#[test]
fn lost_keyring_is_restored_and_goes_on() {
    let bench = Bench::new();
    let args = [
        "init",
        "--restore",
        &bench.arg("ana/recovery.age"),
        "--recovery-code-file",
        &bench.arg("ana-code"),
        "--join",
        &bench.address(),
        "--work-factor",
        "2",
    ];
    let said = bench.desk("again", &args).ok();
    assert!(
        said.contains("Next: run `sealdrop-desk publish`") && !said.contains("start the server"),
        "{said}"
    );
    bench.desk("again", &["publish"]).ok();
    let roster = bench.server.roster();
    assert_eq!(
        (
            roster.epoch(),
            roster.members().len(),
            roster.devices().len()
        ),
        (2, 1, 1)
    );
    bench.desk("again", &["sync"]).ok();
    // The lost machine's keys are worth nothing now.
    bench
        .desk("ana", &["sync"])
        .fails(1, &["another access key"]);
}

#[test]
fn doctor_files_a_self_test_and_opens_it() {
    let bench = Bench::new();
    let said = bench.desk("ana", &["doctor"]).ok();
    assert!(said.contains("filed, fetched and opened"), "{said}");
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("1 self-test by `doctor`") && inbox.contains("The inbox is empty"),
        "{inbox}"
    );
}

#[test]
fn a_roster_with_less_than_30_days_is_an_alarm() {
    let bench = Bench::new();
    let doctor = |days: &str| {
        bench.desk("ana", &["publish", "--days", days]).ok();
        bench.desk("ana", &["doctor", "--no-report"]).ok()
    };
    let said = doctor("29");
    assert!(
        said.contains("warning") && said.contains("and then nobody can report"),
        "{said}"
    );
    let said = doctor("31");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn an_expired_roster_is_named_and_renewed_where_the_box_key_is() {
    let bench = Bench::new();
    bench.join("ben");
    let now = sealdrop_client::system::now().0;
    let day = 86_400;
    let old = bench.server.roster();
    let draft = Draft {
        epoch: 3,
        issued: Time(now - 80 * day),
        expires: Time(now - 10 * day),
        ..old.draft().clone()
    };
    bench.serve_roster(3, draft.sign(&bench.box_secret()).unwrap().note().clone());
    // Ben can still collect, and is told; a reporter could not seal.
    let said = bench.desk("ben", &["sync"]).ok();
    assert!(
        said.contains("roster 3 expired") && said.contains("publish a new one"),
        "{said}"
    );
    bench.desk("ben", &["doctor"]).fails(
        1,
        &[
            "a reporter could not use",
            "expired",
            "whoever holds the box key must run",
        ],
    );
    bench
        .desk("ana", &["doctor"])
        .fails(1, &["expired", "run `sealdrop-desk publish`"]);
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(said.contains("renewed the roster: 4"), "{said}");
    assert_eq!(bench.server.roster().epoch(), 4);
    assert_eq!(bench.server.roster().members(), old.members());
    // Past half its life is enough.
    let draft = Draft {
        epoch: 5,
        issued: Time(now - 50 * day),
        expires: Time(now + 40 * day),
        ..old.draft().clone()
    };
    bench.serve_roster(5, draft.sign(&bench.box_secret()).unwrap().note().clone());
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(bench.server.roster().epoch(), 6);
}

#[test]
fn the_clock_is_blamed_only_where_it_may_be_wrong() {
    let bench = Bench::new();
    bench.join("ben");
    bench.server.lock().refuses_members = true;
    let (now, day) = (sealdrop_client::system::now().0, 86_400);
    let said = |epoch: u64, issued: u64, expires: u64| {
        let draft = Draft {
            epoch,
            issued: Time(issued),
            expires: Time(expires),
            ..bench.server.roster().draft().clone()
        };
        let roster = draft.sign(&bench.box_secret()).unwrap();
        bench.serve_roster(epoch, roster.note().clone());
        let ran = bench.desk("ben", &["sync"]);
        assert_eq!(ran.code, 1);
        ran.err
    };
    let expired = said(3, now - 80 * day, now - 10 * day);
    let date = sealdrop_client::show::day(Time(now - 10 * day));
    assert!(
        expired.contains(&format!("roster 3 expired on {date}"))
            && expired.contains("publish")
            && !expired.contains("clock"),
        "{expired}"
    );
    let behind = said(4, now + 3600, now + 10 * day);
    assert!(
        behind.contains("clock says") && behind.contains("before roster 4 was issued"),
        "{behind}"
    );
    let far_behind = said(5, now + 3 * day, now + 10 * day);
    assert!(far_behind.contains("set the clock"), "{far_behind}");
}

#[test]
fn a_roster_signed_with_a_wrong_clock_does_not_stay() {
    let bench = Bench::new();
    let now = sealdrop_client::system::now().0;
    let day = 86_400;
    let draft = Draft {
        epoch: 2,
        issued: Time(now + 100 * day),
        expires: Time(now + 190 * day),
        ..bench.server.roster().draft().clone()
    };
    let signed = draft.sign(&bench.box_secret()).unwrap();
    let file = sealdrop_client::BoxFile {
        roster: signed.note().clone(),
        policy: String::new(),
    };
    std::fs::write(bench.path("ana/outgoing.json"), file.to_json()).unwrap();
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("signed where the clock was wrong")
            && said.contains("waits here no longer")
            && !said.contains("--box"),
        "{said}"
    );
    assert!(!bench.path("ana/outgoing.json").exists());
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(!said.contains("handed in"), "{said}");
    // Somebody may have that roster: there is no second one of its epoch.
    bench.desk("ana", &["publish"]).ok();
    assert_eq!(bench.server.roster().epoch(), 3);
}

#[test]
fn a_clock_that_is_far_ahead_is_not_called_an_expired_roster() {
    let bench = Bench::new();
    let (now, day) = (sealdrop_client::system::now().0, 86_400);
    let draft = Draft {
        epoch: 2,
        issued: Time(now - 80 * day),
        expires: Time(now - 10 * day),
        ..bench.server.roster().draft().clone()
    };
    bench.serve_roster(2, draft.sign(&bench.box_secret()).unwrap().note().clone());
    bench.server.lock().clock = Some(now - 20 * day);
    bench.server.lock().refuses_members = true;
    let ran = bench.desk("ana", &["sync"]);
    assert!(!ran.err.contains("renews it"), "{}", ran.err);
    ran.fails(1, &["refuses this machine's requests", "set the one that"]);
}

#[test]
fn a_clock_that_is_off_by_a_day_is_named_before_anything_else() {
    let bench = Bench::new();
    let (now, day) = (sealdrop_client::system::now().0, 86_400);
    for there in [now - day, now + day] {
        bench.server.lock().clock = Some(there);
        bench.server.lock().refuses_members = true;
        let synced = bench.desk("ana", &["sync"]);
        assert!(!synced.err.contains("roster"), "{}", synced.err);
        synced.fails(1, &["this machine's clock says", "and the server's"]);
        let said = bench.desk("ana", &["doctor"]);
        let mut failed = said.out.lines().filter(|line| line.starts_with("failed"));
        let first = failed.next().unwrap_or_default();
        assert!(first.starts_with("failed   clock "), "{}", said.out);
        assert!(!said.out.contains("promise"), "{}", said.out);
        said.fails(1, &["this machine's clock says", "and the server's"]);
    }
    // Dated by a clock that is right, the roster is one of the day after tomorrow to one that is not.
    let draft = Draft {
        epoch: 2,
        issued: Time(now + 2 * day),
        expires: Time(now + 40 * day),
        ..bench.server.roster().draft().clone()
    };
    bench.serve_roster(2, draft.sign(&bench.box_secret()).unwrap().note().clone());
    bench.server.lock().clock = Some(now + 2 * day);
    let synced = bench.desk("ana", &["sync"]);
    assert!(
        synced
            .err
            .contains("sealdrop-desk: this machine's clock says"),
        "{}",
        synced.err
    );
    bench.server.lock().clock = Some(now + 60);
    let said = bench.desk("ana", &["doctor", "--no-report"]);
    assert!(said.out.contains("\nok       clock "), "{}", said.out);
}

#[test]
fn nothing_is_dated_while_the_clocks_differ() {
    let bench = Bench::new();
    let (now, day) = (sealdrop_client::system::now().0, 86_400);
    let draft = Draft {
        epoch: 2,
        issued: Time(now - 50 * day),
        expires: Time(now + 40 * day),
        ..bench.server.roster().draft().clone()
    };
    bench.serve_roster(2, draft.sign(&bench.box_secret()).unwrap().note().clone());
    bench.server.lock().clock = Some(now - 10 * day);
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("could not be renewed") && said.contains("set the one that is wrong"),
        "{said}"
    );
    bench
        .desk("ana", &["publish"])
        .fails(1, &["clock says", "and the server's"]);
    assert_eq!(bench.server.roster().epoch(), 2);
    assert!(!bench.path("ana/outgoing.json").exists());
    bench.server.lock().clock = Some(now + 60);
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(bench.server.roster().epoch(), 3);
}

#[test]
fn server_serves_one_member_twice() {
    let bench = Bench::new();
    let text = bench
        .server
        .roster()
        .draft()
        .to_text()
        .replace("epoch: 1", "epoch: 2");
    let member = text
        .lines()
        .find(|line| line.starts_with("member: "))
        .unwrap();
    let text = text.replace(member, &format!("{member}\n{member}"));
    let secret = bench.box_secret();
    let name = secret.to_public().to_string();
    bench.serve_roster(2, Note::new(text).unwrap().sign(&name, &secret));
    bench
        .desk("ana", &["sync"])
        .fails(1, &["refused", "stands twice"]);
}

#[test]
fn server_adds_a_member_to_the_roster() {
    let bench = Bench::new();
    let eve = sealdrop_core::key::BoxSecret::from_seed(&[0x66; 32]);
    let text = bench
        .server
        .roster()
        .draft()
        .to_text()
        .replace("epoch: 1", "epoch: 2");
    let name = bench.box_secret().to_public().to_string();
    bench.serve_roster(2, Note::new(text).unwrap().sign(&name, &eve));
    bench
        .desk("ana", &["sync"])
        .fails(1, &["not signed by the box key"]);
    bench
        .desk("ana", &["doctor"])
        .fails(1, &["not signed by the box key"]);
}

#[test]
fn the_log_key_that_the_operator_gave_is_compared() {
    let bench = Bench::new();
    let other = {
        let state = bench.server.lock();
        let key = sealdrop_core::key::SecretKey::from_seed(&[0x55; 32]).to_public();
        sealdrop_core::log::checkpoint::log_vkey(&state.box_key, &key).to_string()
    };
    let own = bench.json("ana", &["publish"])["log"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.desk("ana", &["publish", "--log-key", &own]).ok();
    bench
        .desk("ana", &["publish", "--log-key", &other])
        .fails(1, &["another log key", "than the one given"]);
    bench
        .desk("ana", &["publish", "--log-key", "nonsense"])
        .fails(2, &["--log-key"]);
}

#[test]
fn a_card_that_changes_someones_keys_says_so() {
    let bench = Bench::new();
    bench.join("ben");
    let before = bench.json("ben", &["keys"])["recipients"][0]
        .as_str()
        .unwrap()
        .to_owned();
    std::fs::rename(bench.path("ben"), bench.path("old-ben")).unwrap();
    bench.init("ben", "ben", &["--no-recovery"]);
    let said = bench.add_card("ben");
    assert!(
        said.contains("instead of ben's recipient") && said.contains(&before),
        "{said}"
    );
    assert!(
        bench
            .desk("ana", &["publish"])
            .ok()
            .contains("changed: ben")
    );
    bench
        .desk("old-ben", &["sync"])
        .fails(1, &["another access key"]);
}

#[test]
fn a_card_given_twice_stands_once() {
    let bench = Bench::new();
    bench.init("ben", "ben", &["--no-recovery"]);
    bench.add_card("ben");
    bench.add_card("ben");
    let list = bench.desk("ana", &["member", "list"]).ok();
    assert_eq!(list.matches("adds ben (member)").count(), 1, "{list}");
    // A machine's card is another one, and both stay.
    bench.init("laptop", "ben", &["--device-only", "--device", "laptop"]);
    bench.add_card("laptop");
    let list = bench.desk("ana", &["member", "list"]).ok();
    for name in ["adds ben (member)", "adds ben/desk", "adds ben/laptop"] {
        assert_eq!(list.matches(name).count(), 1, "{list}");
    }
}

#[test]
fn a_new_member_is_named_to_the_others() {
    let bench = Bench::new();
    bench.join("ben");
    bench.desk("ben", &["sync"]).ok();
    bench.join("cleo");
    let cleo = bench.json("cleo", &["keys"])["recipients"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let said = bench.desk("ben", &["sync"]).ok();
    assert!(
        said.contains("added: cleo") && said.contains(&cleo),
        "{said}"
    );
}

#[test]
fn help_fits_a_terminal() {
    let bench = Bench::new();
    for args in [
        &["--help"][..],
        &["publish", "--help"],
        &["init", "--help"],
        &["reply", "--help"],
        &["bundle", "out", "--help"],
    ] {
        // The name of a temporary folder would stand there as a word of its own.
        let args = [&["--home", "h"], args].concat();
        let help = run_with(
            bench.dir.path(),
            "x",
            &args,
            &[("SEALDROP_HOME", "h"), ("SEALDROP_PASSPHRASE_FILE", "p")],
            "",
        )
        .ok();
        let long: Vec<_> = help.lines().filter(|l| l.chars().count() > 80).collect();
        assert!(long.is_empty(), "{args:?}: {long:#?}");
    }
}

#[test]
fn address_completions_and_manuals() {
    let bench = Bench::new();
    let shown = bench.desk("ana", &["address"]).ok();
    assert!(shown.starts_with(&bench.address()) && shown.contains('█'));
    bench
        .desk("ana", &["address", "--svg", &bench.arg("code.svg")])
        .ok();
    assert!(
        std::fs::read_to_string(bench.path("code.svg"))
            .unwrap()
            .contains("<svg")
    );
    assert!(
        bench
            .desk("x", &["completions", "bash"])
            .ok()
            .contains("sealdrop-desk")
    );
    assert!(bench.desk("x", &["man"]).ok().contains(".TH"));
    let help = bench.desk("x", &["--help"]).ok();
    for part in [
        "A new box:",
        "keys --card > card.json",
        "sync",
        "Exit codes",
    ] {
        assert!(help.contains(part), "{help}");
    }
}
