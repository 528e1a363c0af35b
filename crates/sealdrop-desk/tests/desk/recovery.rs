//! The box key is lost, and comes back from members' shares; nothing less brings it back, and nothing false does.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::key::{BoxSecret, SecretKey};
use sealdrop_core::recipient::{IdentitySeed, Recipient};
use sealdrop_core::recovery::{Share, Split, seal};
use sealdrop_core::time::Time;
use serde_json::{Value, json};

use crate::bench::Bench;

const TEAM: [&str; 5] = ["ana", "ben", "cleo", "dora", "emil"];

/// A box of five, whose key is split so that three restore it: each share is in `recovery-<name>.age`.
fn split() -> Bench {
    let bench = team();
    split_again(&bench, "shares");
    bench
}

fn team() -> Bench {
    let bench = Bench::new();
    for who in &TEAM[1..] {
        bench.init(who, who, &["--no-recovery"]);
        bench.add_card(who);
    }
    bench.desk("ana", &["publish"]).ok();
    for who in &TEAM[1..] {
        bench.desk(who, &["sync"]).ok();
    }
    bench
}

fn split_again(bench: &Bench, folder: &str) -> Value {
    let out = bench.arg(folder);
    let args = ["recovery", "split", "--of", "5", "--need", "3", "-o", &out];
    bench.json("ana", &args)
}

fn share(bench: &Bench, folder: &str, who: &str) -> String {
    bench.arg(&format!("{folder}/recovery-{who}.age"))
}

/// The machine that is to hold the box key has a card, to which these members give their shares.
fn give(bench: &Bench, to: &str, folder: &str, from: &[&str]) -> Vec<String> {
    let card = bench.desk(to, &["keys", "--card"]).ok();
    std::fs::write(bench.path("to.json"), card).unwrap();
    let give = |who: &&str| {
        let (card, out) = (
            bench.arg("to.json"),
            bench.arg(&format!("{who}-to-{to}-{folder}")),
        );
        let file = share(bench, folder, who);
        let args = [
            "recovery", "give", &file, "--to", &card, "-o", &out, "--yes",
        ];
        bench.desk(who, &args).ok();
        out
    };
    from.iter().map(give).collect()
}

fn join(files: &[String]) -> Vec<&str> {
    let files = files.iter().map(String::as_str);
    ["recovery", "join"].into_iter().chain(files).collect()
}

fn recipient(bench: &Bench, who: &str) -> Recipient {
    let keys = bench.json(who, &["keys"]);
    Recipient::parse(keys["card"]["member"]["recipient"].as_str().unwrap()).unwrap()
}

/// A share that someone made up, signed by this key, in a file that `who` can open.
fn forged(bench: &Bench, who: &str, secret: &BoxSecret, share: &Share) -> String {
    let text = share.to_text(secret);
    let sealed = seal(
        &text,
        &recipient(bench, who),
        &mut ChaCha20Rng::from_seed([1; 32]),
    );
    std::fs::write(bench.path("forged.age"), sealed).unwrap();
    bench.arg("forged.age")
}

#[test]
fn three_of_five_members_restore_the_box_key_and_sign_a_roster() {
    let bench = split();
    std::fs::remove_dir_all(bench.path("ana")).unwrap();
    // Ana starts anew, with nothing; three give her what they hold.
    bench.init("again", "ana", &["--no-recovery"]);
    let files = give(&bench, "again", "shares", &["ben", "dora", "emil"]);
    let said = bench.json("again", &join(&files));
    assert_eq!(
        (&said["holds_box_key"], &said["shares"]),
        (&json!(true), &json!([2, 4, 5]))
    );
    assert_eq!(bench.json("again", &["keys"])["holds_box_key"], true);
    let origin = bench.server.origin.clone();
    bench.desk("again", &["publish", "--origin", &origin]).ok();
    let roster = bench.server.roster();
    assert_eq!((roster.epoch(), roster.members().len()), (3, 5));
    let ana = roster.members().iter().find(|m| m.name == "ana").unwrap();
    assert_eq!(
        ana.recipient.fingerprint(),
        recipient(&bench, "again").fingerprint()
    );
    bench.desk("again", &["sync"]).ok();
    bench.desk("again", &join(&files)).fails(1, &["already"]);
}

/// Cleo, on a new machine that has seen no roster yet, does what docs/operations.md says, word for word.
#[test]
fn recipe_of_operations_md_for_a_lost_box_key_works_when_it_is_pasted() {
    let bench = split();
    std::fs::remove_dir_all(bench.path("ana")).unwrap();
    for who in ["ben", "dora", "emil"] {
        let keep = ["recovery", "keep", &share(&bench, "shares", who)];
        bench.desk(who, &keep).ok();
    }
    std::fs::remove_dir_all(bench.path("shares")).unwrap();
    bench.init("new", "cleo", &["--no-recovery"]);

    let recipes = include_str!("../../../../docs/operations.md");
    let (_, after) = recipes.split_once("**When the box key is lost**").unwrap();
    let lines = after.lines().skip_while(|line| !line.starts_with("    "));
    let lines: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).collect();
    let [card, give, join, publish, split] = lines[..] else {
        panic!("{lines:#?}");
    };
    paste(&bench, "new", card);
    for who in ["ben", "dora", "emil"] {
        let give = give.replace("from-ben", &format!("from-{who}"));
        let (command, _) = give.split_once('#').unwrap();
        // The one thing that a person answers.
        paste(&bench, who, &format!("{command} --yes"));
    }
    paste(&bench, "new", join);
    paste(&bench, "new", publish);
    let said = paste(&bench, "new", split);
    assert!(said.contains("any 3 of these 4"), "{said}");
    let roster = bench.server.roster();
    let members: Vec<_> = roster.members().iter().map(|m| &*m.name).collect();
    assert_eq!(members, TEAM[1..]);
    let cleo = roster.members().iter().find(|m| m.name == "cleo").unwrap();
    let here = recipient(&bench, "new").fingerprint();
    assert_eq!(cleo.recipient.fingerprint(), here);
}

/// A line of a recipe, as a shell runs it in somebody's terminal.
fn paste(bench: &Bench, who: &str, line: &str) -> String {
    let desk = assert_cmd::cargo::cargo_bin!("sealdrop-desk");
    let mut paths = vec![desk.parent().unwrap().to_owned()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let output = std::process::Command::new("sh")
        .args(["-ec", line])
        .current_dir(bench.dir.path())
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("SEALDROP_PASSPHRASE_FILE", bench.path("passphrase"))
        .env("SEALDROP_HOME", bench.path(who))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{said}{error}");
    said
}

#[test]
fn machine_that_knows_no_roster_fetches_the_one_in_force_before_it_lists_or_changes_it() {
    let bench = split();
    bench.init("new", "cleo", &["--no-recovery"]);
    let said = bench.desk("new", &["member", "list"]).ok();
    assert!(
        TEAM.iter().all(|who| said.contains(who)) && !said.contains("no roster"),
        "{said}"
    );
    // Without the box key it still may not change it.
    bench
        .desk("new", &["member", "remove", "ana"])
        .fails(1, &["only whoever holds the box key"]);

    bench.init("other", "dora", &["--no-recovery"]);
    let files = give(&bench, "other", "shares", &["ana", "ben", "emil"]);
    bench.server.lock().shown = Some(99);
    let said = bench.desk("other", &join(&files)).ok();
    assert!(said.contains("the box key is restored"), "{said}");
    bench.server.lock().shown = None;
    bench.desk("other", &["member", "remove", "ana"]).ok();
    bench
        .desk("other", &["member", "remove", "nobody"])
        .fails(1, &["no member or machine called nobody"]);
}

#[test]
fn a_member_joins_their_own_share_and_those_of_others() {
    let bench = split();
    bench
        .desk(
            "cleo",
            &["recovery", "keep", &share(&bench, "shares", "cleo")],
        )
        .ok();
    let files = give(&bench, "cleo", "shares", &["ana", "ben"]);
    bench
        .desk("cleo", &join(&files[..1]))
        .fails(1, &["2 here (number 1, 3), 1 missing"]);
    bench.desk("cleo", &join(&files)).ok();
    bench.desk("cleo", &["publish"]).ok();
    assert_eq!(bench.server.roster().epoch(), 3);
}

#[test]
fn the_text_that_the_stock_age_makes_of_a_share_counts_too() {
    let bench = split();
    let texts = ["ana", "ben", "emil"].map(|who| {
        let sealed = std::fs::read(bench.path(&format!("{who}/keyring.age"))).unwrap();
        let json = sealdrop_open::passphrase::open(&sealed, "correct horse").unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        let seed = IdentitySeed::parse(json["identities"][0].as_str().unwrap()).unwrap();
        let file = std::fs::read(share(&bench, "shares", who)).unwrap();
        let identity = sealdrop_open::Identity::new(&seed);
        let text = sealdrop_open::open_share(&file, &[identity]).unwrap();
        let path = bench.path(&format!("{who}.txt"));
        std::fs::write(&path, &*text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    bench
        .desk("dora", &join(&texts[..2]))
        .fails(1, &["1 missing"]);
    bench.desk("dora", &join(&texts)).ok();
}

#[test]
fn fewer_shares_restore_nothing_and_say_how_many_are_missing() {
    let bench = split();
    let before = std::fs::read(bench.path("ben/keyring.age")).unwrap();
    bench
        .desk("ben", &["recovery", "join"])
        .fails(1, &["no recovery share here", "recovery give"]);
    let own = share(&bench, "shares", "ben");
    bench
        .desk("ben", &["recovery", "join", &own])
        .fails(1, &["needs 3 of 5 shares: 1 here (number 2), 2 missing"]);
    let files = [vec![own], give(&bench, "ben", "shares", &["ana"])].concat();
    bench.desk("ben", &join(&files)).fails(
        1,
        &[
            "2 here (number 1, 2), 1 missing",
            "says nothing about the box key",
        ],
    );
    assert_eq!(
        std::fs::read(bench.path("ben/keyring.age")).unwrap(),
        before
    );
    assert_eq!(bench.json("ben", &["keys"])["holds_box_key"], false);
}

#[test]
fn a_doubled_share_counts_once_and_is_named() {
    let bench = split();
    let mut files = give(&bench, "ben", "shares", &["ana", "cleo"]);
    files.push(files[0].clone());
    bench.desk("ben", &join(&files)).fails(
        1,
        &[
            "share 1 again, which came from",
            "2 here (number 1, 3), 1 missing",
        ],
    );
    files.push(share(&bench, "shares", "ben"));
    let said = bench.json("ben", &join(&files));
    assert!(
        said["remarks"][0]
            .as_str()
            .unwrap()
            .contains("it counts once"),
        "{said}"
    );
}

#[test]
fn shares_of_two_splits_do_not_go_together() {
    let bench = split();
    let again = split_again(&bench, "later");
    let mut files = give(&bench, "ben", "shares", &["ana", "cleo"]);
    files.extend(give(&bench, "ben", "later", &["dora", "emil"]));
    let later = format!("split {}", again["split"].as_str().unwrap());
    bench
        .desk("ben", &join(&files))
        .fails(1, &[&later, "1 missing", "do not go together"]);
    // With one more of either it works, whatever else lies about.
    files.push(share(&bench, "later", "ben"));
    let said = bench.json("ben", &join(&files));
    assert_eq!(
        (&said["split"], &said["shares"]),
        (&again["split"], &json!([2, 4, 5]))
    );
}

#[test]
fn a_share_of_another_box_a_forged_and_a_damaged_one_are_named() {
    let bench = split();
    let good = give(&bench, "ben", "shares", &["ana", "cleo"]);
    let refused = |file: &str, why: &str| {
        let files = [good.clone(), vec![file.to_owned()]].concat();
        let missing = "2 here (number 1, 3), 1 missing";
        bench
            .desk("ben", &join(&files))
            .fails(1, &[file, why, missing]);
        bench
            .desk("ben", &["recovery", "keep", file])
            .fails(1, &[file, why]);
    };
    let other: BoxSecret = SecretKey::from_seed(&[9; 32]);
    let split = |box_key| Split {
        box_key,
        id: [1; 16],
        made: Time(1),
        need: 3,
        of: 5,
    };
    let foreign = Share::new(split(other.to_public()), 1, &[5; 32]);
    refused(
        &forged(&bench, "ben", &other, &foreign),
        "a share of another box",
    );
    // It names the right box, and the box key did not sign it.
    let false_one = Share::new(split(bench.box_secret().to_public()), 1, &[5; 32]);
    refused(
        &forged(&bench, "ben", &other, &false_one),
        "the box key did not sign it so",
    );
    // Sealed to somebody else, changed on its way, cut short, or something else altogether.
    refused(&share(&bench, "shares", "emil"), "sealed to somebody else");
    let whole = std::fs::read(share(&bench, "shares", "ben")).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (bytes, why) in [
        (&changed[..], "damaged"),
        (&whole[..whole.len() - 9], "damaged"),
        (b"\x7fELF", "not a recovery share"),
        (
            b"sealdrop/recovery/v1\nbox: ?\n",
            "not a recovery share, or damaged",
        ),
        (b"", "not a recovery share"),
    ] {
        std::fs::write(bench.path("odd.age"), bytes).unwrap();
        refused(&bench.arg("odd.age"), why);
    }
    refused(&bench.arg("nowhere.age"), "cannot be read");
    assert_eq!(bench.json("ben", &["keys"])["holds_box_key"], false);
}

#[test]
fn a_kept_share_outlives_the_identity_that_it_came_to() {
    let bench = split();
    let file = share(&bench, "shares", "ben");
    let said = bench.desk("ben", &["recovery", "keep", &file]).ok();
    assert!(
        said.contains("share 2 of 5") && said.contains("may be deleted"),
        "{said}"
    );
    assert_eq!(
        bench.json("ben", &["recovery", "keep", &file])["new"],
        false
    );
    let doctor = bench.desk("ben", &["doctor", "--no-report"]).ok();
    assert!(
        doctor.contains("ok       share        share 2 of 5"),
        "{doctor}"
    );
    bench.desk("ben", &["rotate"]).ok();
    bench.add_card("ben");
    bench.desk("ana", &["publish"]).ok();
    bench.desk("ben", &["sync"]).ok();
    let old = bench.json("ben", &["keys"])["recipients"][1]
        .as_str()
        .unwrap()
        .to_owned();
    bench
        .desk("ben", &["destroy-epoch", &old, "--before-time", "--yes"])
        .ok();
    bench
        .desk("ben", &["recovery", "join", &file])
        .fails(1, &["an identity that was destroyed", "2 missing"]);
    // What is in the keyring still goes to whoever restores the key.
    let card = bench.desk("dora", &["keys", "--card"]).ok();
    std::fs::write(bench.path("to.json"), card).unwrap();
    let (card, out) = (bench.arg("to.json"), bench.arg("from-ben"));
    bench
        .desk(
            "ben",
            &["recovery", "give", "--to", &card, "-o", &out, "--yes"],
        )
        .ok();
    let mut files = give(&bench, "dora", "shares", &["ana"]);
    files.extend([out, share(&bench, "shares", "dora")]);
    bench.desk("dora", &join(&files)).ok();
}

#[test]
fn a_share_is_given_only_after_a_word_and_to_a_card_of_this_box() {
    let bench = split();
    let (file, out) = (share(&bench, "shares", "ben"), bench.arg("out.age"));
    let card = bench.desk("cleo", &["keys", "--card"]).ok();
    std::fs::write(bench.path("to.json"), &card).unwrap();
    let to = bench.arg("to.json");
    let args = ["recovery", "give", &file, "--to", &to, "-o", &out];
    let fingerprint = recipient(&bench, "cleo").fingerprint();
    bench.desk("ben", &args).fails(
        2,
        &["holds the box key", "read out the fingerprint", "--yes"],
    );
    assert!(!bench.path("out.age").exists());
    let said = bench.desk("ben", &[&args[..], &["--yes"]].concat()).ok();
    assert!(said.contains(&fingerprint), "{said}");
    bench
        .desk("ben", &[&args[..], &["--yes"]].concat())
        .fails(1, &["exists already"]);
    let own: Value = serde_json::from_str(&card).unwrap();
    let other: BoxSecret = SecretKey::from_seed(&[9; 32]);
    let mut foreign = own.clone();
    foreign["box"] = other.to_public().to_string().into();
    std::fs::write(&to, foreign.to_string()).unwrap();
    bench
        .desk("ben", &args)
        .fails(1, &["a card for another box"]);
    bench
        .desk("dora", &["recovery", "give", "--to", &to, "-o", &out])
        .fails(1, &["another box"]);
    std::fs::write(&to, card).unwrap();
    bench
        .desk(
            "dora",
            &["recovery", "give", "--to", &to, "-o", &out, "--yes"],
        )
        .fails(1, &["no recovery share in your keyring"]);
}

#[test]
fn numbers_that_do_not_fit_are_said_and_nothing_is_written() {
    let bench = team();
    std::fs::create_dir(bench.path("shares")).unwrap();
    let out = bench.arg("shares");
    let split =
        |args: &[&str]| bench.desk("ana", &[&["recovery", "split", "-o", &out], args].concat());
    for (of, need, more, says) in [
        ("5", "1", &[][..], "at least 2"),
        ("5", "6", &[], "at most as many"),
        ("65", "3", &[], "there can be 64"),
        ("4", "3", &[], "has 5 members, and --of says 4"),
        (
            "3",
            "2",
            &["--member", "ana", "--member", "ben"],
            "names 2 members",
        ),
        (
            "2",
            "2",
            &["--member", "ana", "--member", "ana"],
            "each once",
        ),
        (
            "2",
            "2",
            &["--member", "ana", "--member", "zoe"],
            "no such member",
        ),
    ] {
        split(&[&["--of", of, "--need", need], more].concat()).fails(2, &[says]);
    }
    bench
        .desk("ben", &["recovery", "split", "--of", "5", "--need", "3"])
        .fails(1, &["the box key is not on this machine"]);
    // One is in the way: none is left behind.
    std::fs::write(bench.path("shares/recovery-dora.age"), "precious").unwrap();
    split(&["--of", "5", "--need", "3"]).fails(1, &["recovery-dora.age exists already"]);
    let left: Vec<_> = std::fs::read_dir(&out)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left, ["recovery-dora.age"]);
    assert!(!bench.path("ana/split.json").exists());
    let said = split(&[
        "--of", "3", "--need", "2", "--member", "emil", "--member", "ben", "--member", "cleo",
    ])
    .ok();
    assert!(
        said.contains("recovery-emil.age  for emil") && !said.contains("dora"),
        "{said}"
    );
}

#[test]
fn doctor_says_who_restores_the_box_key_and_who_has_left() {
    let bench = split();
    let doctor = || bench.desk("ana", &["doctor", "--no-report"]).ok();
    bench.desk("ana", &["sync"]).ok();
    let said = doctor();
    assert!(
        said.contains("ok       recovery     any 3 of ana, ben, cleo, dora, emil"),
        "{said}"
    );
    bench.desk("ana", &["member", "remove", "dora"]).ok();
    bench.desk("ana", &["publish"]).ok();
    let said = doctor();
    assert!(
        said.contains("warning  recovery") && said.contains("left with a share (dora)"),
        "{said}"
    );
}

#[test]
fn a_share_holds_neither_key_nor_other_shares() {
    let bench = split();
    let seed = bench.seed("ana", "box_secret");
    let identities = TEAM.map(|who| {
        let sealed = std::fs::read(bench.path(&format!("{who}/keyring.age"))).unwrap();
        let json = sealdrop_open::passphrase::open(&sealed, "correct horse").unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        let seed = IdentitySeed::parse(json["identities"][0].as_str().unwrap()).unwrap();
        sealdrop_open::Identity::new(&seed)
    });
    let mut all = Vec::new();
    for (at, who) in TEAM.iter().enumerate() {
        let file = std::fs::read(share(&bench, "shares", who)).unwrap();
        for (other, identity) in identities.iter().enumerate() {
            let opened = sealdrop_open::open_share(&file, std::slice::from_ref(identity));
            assert_eq!(opened.is_some(), at == other, "{who}");
            if let Some(text) = opened {
                let share = Share::parse(&text).ok().unwrap();
                assert_eq!(share.number, at as u64 + 1);
                assert_ne!(*share.expose(), seed);
                all.push(*share.expose());
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5);
}
