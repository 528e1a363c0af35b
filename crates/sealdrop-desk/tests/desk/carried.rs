//! Answers that go in bundles from the machine where they are written to the one that posts them, past whoever carries the bundle.

use std::collections::BTreeMap;

use sealdrop_core::drop::archive::{BLOCK, member_header, parse_member_header};
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::key::{SecretKey, VoiceRole, device_keys};
use sealdrop_core::note::Note;
use sealdrop_core::report::Kind;
use sealdrop_core::slip::SLIP;
use serde_json::json;

use crate::answers::bench;
use crate::bench::{Bench, Reporter};

/// Ben has a machine that never connects, where he answered a case twice, and one that does.
pub(crate) fn with_cellar() -> (Bench, Reporter) {
    let bench = bench();
    let init = |who: &str, more: &[&str]| {
        bench.init(who, "ben", more);
        bench.add_card(who);
    };
    init("cellar", &["--offline", "--no-recovery"]);
    init("laptop", &["--device-only", "--device", "laptop"]);
    bench.desk("ana", &["publish"]).ok();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let drop = reporter.drop(&roster, Kind::Report, "a bug");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.server.lock().slips_ago = 1;
    bench.desk("laptop", &["sync"]).ok();
    bench.server.lock().slips_ago = 0;
    let bundle = bench.arg("b.tar");
    bench.desk("laptop", &["bundle", "out", &bundle]).ok();
    let reply = ["reply", "1", "--bundle", &bundle, "--text", "from below"];
    let said = bench.desk("cellar", &reply).ok();
    assert!(said.contains("carry the slips with `bundle out"), "{said}");
    bench
        .desk("cellar", &["ack", "1", "--bundle", &bundle])
        .ok();
    (bench, reporter)
}

/// The members of a bundle.
fn members(bench: &Bench, name: &str) -> Vec<(String, Vec<u8>)> {
    let (bundle, mut members) = (std::fs::read(bench.path(name)).unwrap(), Vec::new());
    let mut at = 0;
    while let Some((name, size)) = parse_member_header(bundle[at..][..BLOCK].try_into().unwrap()) {
        let start = at + BLOCK;
        let content = bundle[start..][..size as usize].to_vec();
        members.push((name.to_owned(), content));
        at = start + (size as usize).next_multiple_of(BLOCK);
    }
    members
}

/// Somebody who carries a bundle makes another of it.
fn alter(bench: &Bench, name: &str, change: impl Fn(&str, &mut Vec<u8>) -> bool) {
    let mut bundle = Vec::new();
    for (name, mut content) in members(bench, name) {
        if change(&name, &mut content) {
            bundle.extend_from_slice(&member_header(&name, content.len() as u64).unwrap());
            bundle.extend_from_slice(&content);
            bundle.resize(bundle.len().next_multiple_of(BLOCK), 0);
        }
    }
    bundle.resize(bundle.len() + 2 * BLOCK, 0);
    std::fs::write(bench.path(name), bundle).unwrap();
}

#[test]
fn whoever_carries_a_bundle_cannot_put_slips_into_a_members_share() {
    let (bench, _) = with_cellar();
    let mut rng = sealdrop_client::system::rng();
    let garbage = sealdrop_core::slip::decoy(bench.server.roster().box_key(), &mut rng);
    let carry = |change: &dyn Fn(&str, &mut Vec<u8>) -> bool| {
        let bundle = bench.arg("altered.tar");
        bench.desk("cellar", &["bundle", "out", &bundle]).ok();
        alter(&bench, "altered.tar", change);
        let said = bench.desk("laptop", &["bundle", "in", &bundle]);
        std::fs::remove_file(bundle).unwrap();
        said
    };
    let refused = ["not signed by the voice key of ben", "bundle out"];
    // More slips, other slips, fewer slips, no signature, and one by the box's other member.
    carry(&|name, content| {
        if name == "outbox.slips" {
            content.extend_from_slice(&garbage[..]);
        }
        true
    })
    .fails(1, &refused);
    carry(&|name, content| {
        if name == "outbox.slips" {
            content[..SLIP].copy_from_slice(&garbage[..]);
        }
        true
    })
    .fails(1, &refused);
    carry(&|name, content| {
        if name == "outbox.slips" {
            content.truncate(SLIP);
        }
        true
    })
    .fails(1, &refused);
    carry(&|name, _| name != "outbox.slips.note").fails(1, &refused);
    let ana = SecretKey::<VoiceRole>::from_seed(&bench.seed("ana", "voice"));
    carry(&|name, content| {
        if name == "outbox.slips.note" {
            let text = Note::parse(content).unwrap().text().to_owned();
            for signer in ["ana", "ben"] {
                let note = Note::new(text.clone()).unwrap().sign(signer, &ana);
                *content = note.to_string().into_bytes();
            }
        }
        true
    })
    .fails(1, &refused);
    assert_eq!(bench.json("laptop", &["outbox"])["waiting"], 0);
    // As it was made, it is taken.
    let said = carry(&|_, _| true).ok();
    assert!(said.contains("2 slips of answers"), "{said}");
}

#[test]
fn whoever_carries_a_bundle_cannot_make_a_desk_give_up_its_answers() {
    let (bench, _) = with_cellar();
    let carried = bench.arg("to-laptop.tar");
    bench.desk("cellar", &["bundle", "out", &carried]).ok();
    let slips = members(&bench, "to-laptop.tar");
    let (_, slips) = slips
        .iter()
        .find(|(name, _)| name == "outbox.slips")
        .unwrap();
    let digest = |slip: &[u8]| (hex(&sha256(slip)), None::<u64>);
    let digests: BTreeMap<String, Option<u64>> = slips.chunks(SLIP).map(digest).collect();
    assert_eq!(digests.len(), 2);
    // The bundle never reaches the laptop, and a false one comes back.
    let refused = ["no machine of ben signed it", "they stay here"];
    let (access, _) = device_keys(&bench.seed("ana", "device_seed"));
    let text = format!(
        "sealdrop/bundle/v1\nbox: {}\nname: carried.json\ndigest: {}\n",
        bench.server.roster().box_key(),
        hex(&sha256(json!(digests).to_string().as_bytes()))
    );
    let note = |name: &str| Note::new(text.clone()).unwrap().sign(name, &access);
    for note in [None, Some(note("ana/desk")), Some(note("ben/laptop"))] {
        let false_one = bench.forge("false.tar", &[("carried.json", json!(digests))]);
        let mut bundle = std::fs::read(&false_one).unwrap();
        bundle.truncate(bundle.len() - 2 * BLOCK);
        if let Some(note) = note {
            let note = note.to_string();
            let header = member_header("carried.json.note", note.len() as u64);
            bundle.extend_from_slice(&header.unwrap());
            bundle.extend_from_slice(note.as_bytes());
            bundle.resize(bundle.len().next_multiple_of(BLOCK), 0);
        }
        bundle.resize(bundle.len() + 2 * BLOCK, 0);
        std::fs::write(&false_one, bundle).unwrap();
        bench
            .desk("cellar", &["bundle", "in", &false_one])
            .fails(1, &refused);
        assert_eq!(bench.json("cellar", &["outbox"])["waiting"], 2);
    }
    // The laptop's own word is believed.
    bench.desk("laptop", &["bundle", "in", &carried]).ok();
    bench.carry("laptop", "cellar");
    assert_eq!(bench.json("cellar", &["outbox"])["waiting"], 0);
}

#[test]
fn no_machine_makes_answers_out_in_a_window_without_a_segment() {
    let (bench, _) = with_cellar();
    bench.carry("laptop", "cellar");
    bench.carry("cellar", "laptop");
    let (access, _) = device_keys(&bench.seed("laptop", "device_seed"));
    let box_key = bench.server.roster().box_key().clone();
    let lie = |window: u64| {
        let bundle = bench.arg("back.tar");
        bench.desk("laptop", &["bundle", "out", &bundle]).ok();
        let carried = members(&bench, "back.tar");
        let carried = carried.iter().find(|(name, _)| name == "carried.json");
        let mut said: BTreeMap<String, Option<u64>> =
            serde_json::from_slice(&carried.unwrap().1).unwrap();
        assert_eq!(said.len(), 2);
        said.values_mut().for_each(|of| *of = Some(window));
        let said = json!(said).to_string().into_bytes();
        let text = format!(
            "sealdrop/bundle/v1\nbox: {box_key}\nname: carried.json\ndigest: {}\n",
            hex(&sha256(&said))
        );
        let note = Note::new(text).unwrap().sign("ben/laptop", &access);
        alter(&bench, "back.tar", |name, content| {
            match name {
                "carried.json" => *content = said.clone(),
                "carried.json.note" => *content = note.to_string().into_bytes(),
                _ => {}
            }
            true
        });
        bench.desk("cellar", &["bundle", "in", &bundle]).ok();
        std::fs::remove_file(bundle).unwrap();
        bench.json("cellar", &["open", "1"])["answers"][0]["progress"].clone()
    };
    assert_eq!(lie(bench.past(5)), "carried");
    // In one that has a segment it is the machine's word, and `open` says that it is.
    let window = bench.past(1);
    bench.server.close(window);
    bench.desk("laptop", &["sync"]).ok();
    assert_eq!(lie(window)["out"], window);
    let said = bench.desk("cellar", &["open", "1"]).ok();
    assert!(
        said.contains("as the machine says that posted it"),
        "{said}"
    );
}

#[test]
fn a_machine_that_cannot_sign_hands_no_answers_on() {
    let (bench, _) = with_cellar();
    bench.carry("cellar", "laptop");
    let bundle = bench.arg("on.tar");
    bench
        .desk("laptop", &["bundle", "out", "--outbox", &bundle])
        .fails(1, &["the voice key is not on this machine"]);
    assert!(!bench.path("on.tar").exists() && !bench.path("on.tar.part").exists());
    assert_eq!(bench.json("laptop", &["outbox"])["waiting"], 2);
}
