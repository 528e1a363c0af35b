//! A server that hides, changes, forgets or re-orders drops.

use sealdrop_client::{Client, Options};
use sealdrop_core::encoding::hex;
use sealdrop_core::key::{SecretKey, device_keys};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::cosignature;
use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::note::Vkey;
use sealdrop_core::report::Kind;
use sealdrop_core::time::{Time, Window};

use crate::bench::{Bench, Reporter};

/// A box with one drop, synced and cosigned.
fn synced() -> (Bench, [u8; 32]) {
    let bench = Bench::new();
    let digest = file(&bench, 1, "first", 9);
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    (bench, digest)
}

/// Someone reports in the window that was over `ago` windows ago.
fn file(bench: &Bench, seed: u8, title: &str, ago: u64) -> [u8; 32] {
    let roster = bench.server.roster();
    let drop = Reporter::new(seed, roster.box_key()).drop(&roster, Kind::Report, title);
    bench.server.accept(&drop, bench.past(ago))
}

/// A box with one drop, whose window expired before anyone synced.
fn expired() -> (Bench, [u8; 32]) {
    let bench = Bench::new();
    bench.desk("ana", &["publish", "--retention", "3600"]).ok();
    let gone = file(&bench, 1, "old", 9);
    bench.server.close(bench.past(9));
    bench.server.lock().bodies.remove(&gone);
    bench.server.lock().listed.clear();
    (bench, gone)
}

/// Sync fails, says this, and no further cosignature reached the server.
#[track_caller]
fn refuses(bench: &Bench, says: &[&str]) {
    let before = bench.server.lock().cosigned.len();
    bench.desk("ana", &["sync"]).fails(1, says);
    assert_eq!(
        bench.server.lock().cosigned.len(),
        before,
        "a cosignature was made"
    );
}

#[test]
fn an_honest_server_is_cosigned_once() {
    let (bench, _) = synced();
    let note = bench.server.lock().cosigned[0].clone();
    let witness = Vkey::parse(
        bench.json("ana", &["keys"])["card"]["devices"][0]["witness"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert!(cosignature::verify(&note, &witness).is_ok_and(|time| time > Time(0)));
    assert_eq!(Checkpoint::parse_unverified(&note).unwrap().size, 16);
    bench.desk("ana", &["sync"]).ok();
    assert_eq!(
        bench.server.lock().cosigned.len(),
        1,
        "nothing new, nothing to cosign"
    );
}

#[test]
fn a_cosignature_is_remembered_before_it_leaves() {
    let (bench, _) = synced();
    file(&bench, 2, "second", 8);
    bench.server.close(bench.past(8));
    let mut logs = std::fs::read_dir(bench.path("ana/log")).unwrap();
    let state = logs.next().unwrap().unwrap().path().join("state.json");
    bench.server.lock().watched = Some(state);
    bench.desk("ana", &["sync"]).ok();
    let seen = bench.server.lock().seen.clone();
    let seen: Vec<serde_json::Value> = seen
        .iter()
        .map(|state| serde_json::from_str(state).unwrap())
        .collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["cosigned"], 32, "{}", seen[0]);
    assert_eq!(seen[0]["posted"], false);
}

#[test]
fn server_drops_a_body_and_excuses_it() {
    let (bench, _) = synced();
    let gone = file(&bench, 2, "gone", 8);
    file(&bench, 3, "kept", 8);
    bench.server.close(bench.past(8));
    bench.server.lock().bodies.remove(&gone);
    refuses(&bench, &["missing body", &hex(&gone), "entry 16"]);
    // What is there is fetched all the same.
    assert!(bench.desk("ana", &["inbox"]).ok().contains("kept"));
    // It stays a fault until the body is there.
    refuses(&bench, &["missing body", &hex(&gone)]);
    // "It has expired" is no excuse before its time.
    let window = bench.past(8);
    bench.server.lock().expired.insert(window);
    refuses(&bench, &["missing body", &hex(&gone)]);
}

#[test]
fn server_answers_accepted_and_hides_the_leaf_from_one_member() {
    let (bench, _) = synced();
    let hidden = file(&bench, 2, "hidden", 8);
    bench.server.lock().hidden.insert(hidden);
    bench.server.close(bench.past(8));
    refuses(
        &bench,
        &["hidden drop", &hex(&hidden), &bench.past(8).to_string()],
    );
    // The listing forgets it too; this machine does not.
    bench.server.lock().listed.clear();
    refuses(&bench, &["hidden drop", &hex(&hidden)]);
}

#[test]
fn server_never_closes_the_window_of_a_drop() {
    let (bench, _) = synced();
    let hidden = file(&bench, 2, "hidden", 3);
    refuses(&bench, &["hidden drop", &hex(&hidden)]);
}

#[test]
fn a_drop_of_a_window_that_just_ended_is_not_hidden_yet() {
    let (bench, _) = synced();
    file(&bench, 2, "fresh", 1);
    file(&bench, 3, "open", 0);
    bench.desk("ana", &["sync"]).ok();
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("fresh") && inbox.contains("open") && inbox.contains("not yet in the log"),
        "{inbox}"
    );
}

#[test]
fn server_swaps_the_bytes_of_a_drop() {
    let (bench, _) = synced();
    let swapped = file(&bench, 2, "swapped", 8);
    bench.server.close(bench.past(8));
    bench.server.lock().bodies.get_mut(&swapped).unwrap()[5000] ^= 1;
    bench.desk("ana", &["doctor", "--no-report"]).ok();
    refuses(&bench, &["changed body", &hex(&swapped)]);
    bench
        .desk("ana", &["doctor", "--no-report"])
        .fails(1, &["not on this machine", &hex(&swapped)]);
    bench
        .server
        .lock()
        .bodies
        .get_mut(&swapped)
        .unwrap()
        .push(0);
    refuses(&bench, &["changed body", &hex(&swapped)]);
    let folder = bench.path(&format!("ana/drops/{}", bench.past(8)));
    assert!(!folder.exists(), "nothing of it is kept");
}

#[test]
fn backup_restored_log_rolled_back() {
    let (bench, _) = synced();
    file(&bench, 2, "second", 8);
    bench.server.close(bench.past(8));
    bench.desk("ana", &["sync"]).ok();
    {
        let mut state = bench.server.lock();
        state.leaves.truncate(16);
        state.size = 16;
    }
    refuses(
        &bench,
        &["rolled back", "has 16 entries, and had 32", "evidence"],
    );
    // The way out: a new log key, named by a new roster.
    {
        let mut state = bench.server.lock();
        state.log_key = SecretKey::from_seed(&[0x11; 32]);
        state.leaves.clear();
        state.size = 0;
    }
    bench
        .desk("ana", &["publish"])
        .fails(1, &["another log key", "--new-log"]);
    bench.desk("ana", &["publish", "--new-log"]).ok();
    bench.server.lock().listed.clear();
    bench.server.close(bench.past(7));
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("new log") && said.contains("restored"),
        "{said}"
    );
    assert!(
        bench.desk("ana", &["inbox"]).ok().contains("second"),
        "what was fetched is kept"
    );
    let again = bench.desk("ana", &["sync"]).ok();
    assert!(!again.contains("new log"), "it is said once");
}

#[test]
fn a_restored_server_has_forgotten_a_drop_that_it_listed() {
    let (bench, _) = synced();
    let forgotten = file(&bench, 2, "promised and forgotten", 1);
    bench.desk("ana", &["sync"]).ok();
    {
        let mut state = bench.server.lock();
        state.log_key = SecretKey::from_seed(&[0x11; 32]);
        state.leaves.clear();
        state.size = 0;
        state.listed.clear();
    }
    bench.desk("ana", &["publish", "--new-log"]).ok();
    bench.server.close(bench.past(0));
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("has forgotten drop") && said.contains(&hex(&forgotten)),
        "{said}"
    );
    assert!(
        bench
            .desk("ana", &["inbox"])
            .ok()
            .contains("promised and forgotten")
    );
    assert_eq!(bench.server.lock().cosigned.len(), 2);
}

#[test]
fn reports_are_fetched_even_from_a_log_that_is_refused() {
    let (bench, _) = synced();
    file(&bench, 2, "urgent", 0);
    bench.server.lock().leaves[15].digest = [7; 32];
    refuses(&bench, &["fork"]);
    assert!(bench.desk("ana", &["inbox"]).ok().contains("urgent"));
}

#[test]
fn server_forks_the_log() {
    let (bench, _) = synced();
    file(&bench, 2, "second", 8);
    bench.server.close(bench.past(8));
    bench.server.lock().leaves[3].digest = [7; 32];
    refuses(&bench, &["fork", "entry 3"]);
    let evidence = std::fs::read_dir(bench.path("ana/evidence"))
        .unwrap()
        .count();
    assert_eq!(evidence, 1, "the other checkpoint is kept");
}

#[test]
fn doctor_names_the_evidence_of_a_fork() {
    let (bench, _) = synced();
    let doctor = || bench.desk("ana", &["doctor", "--no-report"]);
    assert!(doctor().ok().contains("no refused checkpoint"));
    let good = bench.server.lock().leaves[15].digest;
    bench.server.lock().leaves[15].digest = [7; 32];
    refuses(&bench, &["fork"]);
    // The server is honest again; what it signed stays.
    bench.server.lock().leaves[15].digest = good;
    bench.desk("ana", &["sync"]).ok();
    let file = std::fs::read_dir(bench.path("ana/evidence"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let name = file.file_name().into_string().unwrap();
    doctor().fails(1, &["failed   evidence", &name, "A FORK", "other members"]);
    // An old state of the same log contradicts nothing.
    std::fs::write(file.path(), bench.server.lock().checkpoint().to_string()).unwrap();
    let said = doctor().ok();
    assert!(
        said.contains("warning  evidence") && said.contains("rolled back"),
        "{said}"
    );
    std::fs::remove_file(file.path()).unwrap();
    assert!(doctor().ok().contains("no refused checkpoint"));
}

#[test]
fn server_forks_the_log_and_shows_the_old_entries() {
    let (bench, _) = synced();
    file(&bench, 2, "second", 8);
    bench.server.close(bench.past(8));
    let mut state = bench.server.lock();
    state.entries = Some(state.leaves.clone());
    state.leaves[3].digest = [7; 32];
    drop(state);
    refuses(&bench, &["fork", "entry 3"]);
}

#[test]
fn server_signs_two_trees_of_one_size() {
    let (bench, _) = synced();
    bench.server.lock().leaves[15].digest = [7; 32];
    refuses(&bench, &["fork", "two different trees of 16"]);
}

#[test]
fn server_shows_entries_that_do_not_lead_to_its_root() {
    let (bench, _) = synced();
    file(&bench, 2, "second", 8);
    bench.server.close(bench.past(8));
    let mut state = bench.server.lock();
    let mut entries = state.leaves.clone();
    entries[20].digest = [7; 32];
    state.entries = Some(entries);
    drop(state);
    refuses(&bench, &["entries: those from 16 to 32"]);
}

#[test]
fn server_signs_a_checkpoint_with_another_key() {
    let (bench, _) = synced();
    bench.server.lock().log_key = SecretKey::from_seed(&[0x12; 32]);
    refuses(&bench, &["log signature"]);
}

#[test]
fn server_back_dates_or_reorders() {
    let (bench, _) = synced();
    file(&bench, 2, "late", 20);
    bench.server.close(bench.past(20));
    refuses(&bench, &["window order", "back-dated"]);
}

#[test]
fn server_moves_a_drop_to_another_window() {
    let (bench, _) = synced();
    let moved = file(&bench, 2, "moved", 8);
    bench.desk("ana", &["sync"]).fails(1, &["hidden drop"]);
    {
        let mut state = bench.server.lock();
        let drops = state.listed.remove(&bench.past(8)).unwrap();
        state.listed.insert(bench.past(7), drops);
    }
    bench.server.close(bench.past(7));
    refuses(
        &bench,
        &["hidden drop", &hex(&moved), &bench.past(8).to_string()],
    );
}

#[test]
fn server_dates_an_entry_ahead_of_now() {
    let (bench, _) = synced();
    bench.server.close(bench.server.now() + 1);
    refuses(&bench, &["window order", "has not begun"]);
}

#[test]
fn server_logs_a_roster_that_it_does_not_show() {
    let (bench, _) = synced();
    let window = bench.past(8);
    bench
        .server
        .lock()
        .push(LeafKind::Roster, [9; 32], 1000, window);
    bench.server.close(window);
    refuses(&bench, &["roster: entry 16", &hex(&[9; 32])]);
}

#[test]
fn server_serves_an_old_roster() {
    let (bench, _) = synced();
    bench.desk("ana", &["publish"]).ok();
    bench.server.lock().shown = Some(1);
    refuses(&bench, &["older than one seen before", "publish a new one"]);
}

#[test]
fn an_expired_window_may_be_missing() {
    let (bench, _) = expired();
    bench.desk("ana", &["sync"]).ok();
}

#[test]
fn a_released_window_may_be_missing_and_no_other() {
    let (bench, _) = synced();
    bench.join("ben");
    bench.desk("ben", &["sync"]).ok();
    let window = bench.past(9).to_string();
    let said = bench.desk("ana", &["release", &window]).ok();
    assert!(said.contains("removed the 1 drops"), "{said}");
    bench.server.close(bench.past(7));
    // A machine that was never there when the drops were, and has cosigned nothing: nothing else forbids it the excuse. It is given one that is for
    // another window.
    bench.join("cleo");
    let gone = file(&bench, 5, "gone", 6);
    bench.server.close(bench.past(6));
    let body = {
        let mut state = bench.server.lock();
        let note = state.released.values().next().unwrap().clone();
        state.released.insert(bench.past(6), note);
        state.bodies.remove(&gone).unwrap()
    };
    let (missing, before) = (
        ["missing body", &hex(&gone)],
        bench.server.lock().cosigned.len(),
    );
    bench.desk("cleo", &["sync"]).fails(1, &missing);
    assert_eq!(bench.server.lock().cosigned.len(), before);
    // The released window itself is no fault.
    bench.server.lock().bodies.insert(gone, body);
    let said = bench.desk("cleo", &["sync"]).ok();
    assert!(said.contains("never held"), "{said}");
}

#[test]
fn release_needs_every_drop_here() {
    let (bench, _) = synced();
    let window = bench.past(9);
    std::fs::remove_dir_all(bench.path(&format!("ana/drops/{window}"))).unwrap();
    bench
        .desk("ana", &["release", &window.to_string()])
        .fails(1, &["not every drop", "sync"]);
    bench
        .desk("ana", &["release", &bench.server.now().to_string()])
        .fails(1, &["is not over"]);
}

#[test]
fn windows_that_were_cosigned_are_not_asked_for_again() {
    let (bench, _) = synced();
    file(&bench, 2, "open", 0);
    bench.server.lock().requests.clear();
    bench.desk("ana", &["sync"]).ok();
    let requests = bench.server.lock().requests.clone();
    let lists: Vec<_> = requests
        .iter()
        .filter(|request| request.ends_with("/drops"))
        .collect();
    assert_eq!(lists.len(), 1, "{requests:?}");
}

#[test]
fn two_members_machines_sign_with_keys_of_their_own() {
    let (bench, _) = synced();
    bench.join("ben");
    bench.desk("ben", &["sync"]).ok();
    let [ana, ben] = ["ana", "ben"].map(|who| bench.json(who, &["keys"]));
    assert_ne!(ana["witness"], ben["witness"]);
    assert_ne!(ana["access"], ana["witness"]);
    let state = bench.server.lock();
    let names: Vec<_> = state
        .cosigned
        .iter()
        .map(|note| note.signatures().last().unwrap().name().to_owned())
        .collect();
    assert_eq!(names, ["ana/desk", "ben/desk"]);
}

#[test]
fn a_crash_in_the_middle_leaves_nothing_half_done() {
    let (bench, _) = synced();
    let drop = file(&bench, 2, "second", 8);
    bench.server.close(bench.past(8));
    // What a crash leaves: half a download, and entries behind the last state.
    let folder = bench.path(&format!("ana/drops/{}", bench.past(8)));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{}.part", hex(&drop))), b"half").unwrap();
    let log = std::fs::read_dir(bench.path("ana/log"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut entries = std::fs::read(log.join("entries")).unwrap();
    entries.extend_from_slice(b"drop 00ff");
    std::fs::write(log.join("entries"), entries).unwrap();
    bench.desk("ana", &["sync"]).ok();
    bench.desk("ana", &["sync"]).ok();
    assert!(bench.desk("ana", &["inbox"]).ok().contains("second"));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn former_member_keeps_keys() {
    let (bench, _) = synced();
    bench.join("ben");
    bench.desk("ben", &["sync"]).ok();
    bench.desk("ana", &["member", "remove", "ben"]).ok();
    let said = bench.desk("ana", &["publish"]).ok();
    assert!(said.contains("removed: ben"), "{said}");
    file(&bench, 4, "after ben left", 7);
    bench.server.close(bench.past(7));
    bench
        .desk("ben", &["sync"])
        .fails(1, &["does not name this machine", "ben/desk"]);
    bench.desk("ana", &["sync"]).ok();
    bench
        .desk("ana", &["bundle", "out", "--all", &bench.arg("b.tar")])
        .ok();
    let inbox = bench
        .desk("ben", &["inbox", "--bundle", &bench.arg("b.tar")])
        .ok();
    assert!(
        !inbox.contains("after ben left") && inbox.contains("not addressed to you"),
        "{inbox}"
    );
}

#[test]
fn a_log_of_many_tiles_is_checked_whole() {
    let (bench, _) = synced();
    let window = bench.past(8);
    for round in 0..40 {
        let mut state = bench.server.lock();
        state.push(LeafKind::Pad, [round; 32], 0, window);
        state.close(window);
    }
    let said = bench.json("ana", &["sync"]);
    assert_eq!(said["log"]["size"], 16 + 40 * 16, "{said}");
    bench.server.lock().leaves[300].digest = [0xee; 32];
    let window = bench.past(7);
    bench.server.close(window);
    refuses(&bench, &["fork", "entry 300"]);
}

#[test]
fn a_drop_sent_again_after_its_window_expired_is_opened() {
    let bench = Bench::new();
    bench.desk("ana", &["publish", "--retention", "18000"]).ok();
    let roster = bench.server.roster();
    let drop = Reporter::new(1, roster.box_key()).drop(&roster, Kind::Report, "sent twice");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    // The first one expired before this machine came; the second is here.
    bench.server.lock().listed.clear();
    bench.server.accept(&drop, bench.past(3));
    bench.server.lock().expired.insert(bench.past(9));
    bench.server.close(bench.past(3));
    let said = bench.json("ana", &["sync"]);
    assert_eq!(said["drops"], 1);
    assert_eq!(said["remarks"], serde_json::json!([]));
    assert_eq!(said["not_here"], serde_json::json!([]));
    let inbox = bench.desk("ana", &["inbox"]).ok();
    assert!(
        inbox.contains("sent twice") && !inbox.contains("not here") && !inbox.contains("replay"),
        "{inbox}"
    );
    assert!(
        bench
            .desk("ana", &["open", "1"])
            .ok()
            .contains("about sent twice")
    );
}

#[test]
fn a_newcomer_says_which_expired_drops_it_never_held() {
    let (bench, gone) = expired();
    let said = bench.desk("ana", &["sync"]).ok();
    assert!(
        said.contains("never held")
            && said.contains(&hex(&gone))
            && said.contains("1 drops up to there are not"),
        "{said}"
    );
    // It is not forgotten with the next sync.
    let said = bench.json("ana", &["sync"]);
    assert_eq!(said["not_here"][0]["digest"], hex(&gone));
    assert!(
        !bench
            .desk("ana", &["sync"])
            .ok()
            .contains("every drop up to there")
    );
}

#[test]
fn a_false_list_is_a_fault_until_it_is_settled() {
    let (bench, _) = synced();
    let never = [7; 32];
    let window = bench.past(1);
    bench
        .server
        .lock()
        .listed
        .insert(window, vec![(never, 67_195)]);
    refuses(&bench, &["missing body", "--forget-listed"]);
    bench.server.lock().hidden.insert(never);
    bench.server.close(window);
    refuses(&bench, &["hidden drop", "--forget-listed"]);
    bench
        .desk("ana", &["sync", "--forget-listed", "07"])
        .fails(2, &["not the digest"]);
    bench
        .desk("ana", &["sync", "--forget-listed", &"08".repeat(32)])
        .fails(2, &["not listed"]);
    let said = bench
        .desk("ana", &["sync", "--forget-listed", &hex(&never)])
        .ok();
    assert!(said.contains("settled by you"), "{said}");
    bench.desk("ana", &["sync"]).ok();
}

#[test]
fn release_says_why_a_window_cannot_go() {
    let (bench, _) = synced();
    bench.server.close(bench.past(7));
    bench.desk("ana", &["sync"]).ok();
    let refused = |window: u64, says: &[&str]| {
        let before = bench.server.lock().requests.len();
        bench
            .desk("ana", &["release", &window.to_string()])
            .fails(1, says);
        assert_eq!(bench.server.lock().requests.len(), before, "it was asked");
    };
    // Long ago, and never in the log.
    refused(3, &["there is no window 3"]);
    refused(bench.past(8), &["there is no window", "inbox"]);
    refused(bench.past(7), &["no drop came in window"]);
    refused(bench.past(6), &["does not reach window", "sync"]);
    // What only the server knows, and what this machine can say of it.
    bench.server.lock().refuses_releases = true;
    let window = bench.past(9).to_string();
    bench
        .desk("ana", &["release", &window])
        .fails(1, &["not every member has cosigned"]);
    bench.init("cellar", "ben", &["--offline", "--no-recovery"]);
    bench.add_card("cellar");
    bench.desk("ana", &["publish"]).ok();
    bench.desk("ana", &["release", &window]).fails(
        1,
        &["ben has no machine in roster 2 that could", "--device-only"],
    );
    let shortest = crate::server::WINDOW.to_string();
    bench
        .desk("ana", &["publish", "--retention", &shortest])
        .ok();
    refused(bench.past(9), &["has expired"]);
}

#[test]
fn server_logs_a_release_that_it_refused_to_excuse_a_body() {
    let (bench, _) = synced();
    let dropped = file(&bench, 2, "dropped", 8);
    // Ana's request would have been refused by an honest server: she has not cosigned the window.
    let window = bench.past(8);
    let client = Client::new(&bench.server.origin.parse().unwrap(), Options::default()).unwrap();
    let (access, _) = device_keys(&bench.seed("ana", "device_seed"));
    let member = client.member("ana/desk", &access);
    member.release(Window(window)).unwrap();
    {
        let mut state = bench.server.lock();
        let release = state.leaves.pop().unwrap();
        state.listed.insert(window, vec![(dropped, 67_195)]);
        state.close(window);
        state.leaves.push(sealdrop_core::log::leaf::Leaf {
            window: Window(window + 1),
            ..release
        });
        state.listed.remove(&window);
        state.close(window + 1);
    }
    refuses(&bench, &["missing body", &hex(&dropped)]);
}
