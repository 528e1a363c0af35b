//! A conversation between the real programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealdrop_core::address::Address;
use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::note::Note;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::clue::Seeker;
use sealdrop_core::slip::message::Assembly;
use sealdrop_core::slip::{self, Part, PartKind, SLIP, Slip};
use sealdrop_open::{Identity, open_slip};
use sealdrop_tests::{Running, command, scratch, succeed, wait_until};
use serde_json::Value;

use crate::wire::call;

fn desk(dir: &Path) -> Command {
    let mut desk = command("sealdrop-desk");
    desk.current_dir(dir)
        .args(["--home", "desk", "--passphrase-file", "passphrase"]);
    desk
}

fn json(program: &mut Command) -> Value {
    serde_json::from_str(&succeed(program)).unwrap()
}

/// Every slip of the feed, in the order of its windows.
fn feed(server: std::net::SocketAddr) -> Vec<Slip> {
    let get = |path: &str| {
        let reply = call(server, "GET", path, &[], None).unwrap();
        assert_eq!(reply.status, 200, "{path}");
        reply
    };
    let listing = get("/v1/feed").json();
    let segments = listing["segments"].as_array().unwrap().iter();
    let segments = segments.map(|segment| get(&format!("/v1/feed/{}", segment["window"])).body);
    segments
        .flat_map(|segment| segment.as_chunks::<SLIP>().0.to_vec())
        .collect()
}

#[test]
fn an_answer_goes_from_the_desk_through_the_feed_to_the_phrase() {
    let folder = scratch();
    let dir = folder.path();
    fs::write(dir.join("passphrase"), "correct horse\n").unwrap();
    let made = json(desk(dir).args(["--json", "init", "--work-factor", "2", "--no-recovery"]));
    let box_key = made["box"].as_str().unwrap();
    let mut server = command("sealdrop-server");
    server.current_dir(dir).args([
        "--data",
        "data",
        "--listen",
        "127.0.0.1:0",
        "--box",
        box_key,
    ]);
    let server = Running::start(&mut server, "ready on ");
    let origin = server.origin();
    succeed(desk(dir).args(["publish", "--origin", &origin, "--window", "2"]));
    let address = format!("{origin}#{box_key}");
    let submit = ["--json", "submit", &address, "--title", "t", "--yes"];
    let mut reporter = command("sealdrop");
    reporter.current_dir(dir).args(submit);
    let sent = json(reporter.args(["--description", "d"]));
    let phrase = Phrase::parse(sent["phrase"].as_str().unwrap()).unwrap();

    wait_until("the report is in the log", || {
        succeed(desk(dir).arg("sync"));
        json(desk(dir).args(["--json", "inbox"]))["cases"][0]["logged"] == true
    });
    // More than goes into one window.
    let patch: Vec<u8> = (0..5_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    fs::write(dir.join("fix.patch"), &patch).unwrap();
    succeed(desk(dir).args(["ack", "1"]));
    succeed(desk(dir).args(["reply", "1", "--attach", "fix.patch", "--text", "Try this."]));
    let progress = |answer: usize| {
        let mut open = desk(dir);
        json(open.args(["--json", "open", "1"]))["answers"][answer]["progress"]["out"].clone()
    };
    assert!(json(desk(dir).args(["--json", "outbox"]))["windows"].as_u64() > Some(1));
    wait_until("both answers are in the feed", || {
        succeed(desk(dir).arg("sync"));
        !progress(0).is_null() && !progress(1).is_null()
    });

    // The reporter, from twelve words and the address.
    let address: Address = address.parse().unwrap();
    let keys = phrase.keys(&address.box_key);
    let listen = origin.strip_prefix("http://").unwrap().parse().unwrap();
    let shown = call(listen, "GET", "/v1/box", &[], None).unwrap().json();
    let note = Note::parse(shown["roster"].as_str().unwrap().as_bytes()).unwrap();
    let roster = Roster::verify_ignoring_expiry(&note, &address.box_key).unwrap();
    let seeker = Seeker::new(&keys.clue, &address.box_key);
    let identity = Identity::new(&keys.identity);
    let voice = |part: &Part| {
        let mut members = roster.members().iter();
        let member = members.find(|member| member.name == part.member)?;
        Some(member.voice.key().clone())
    };
    let all = feed(listen);
    let mine = all.iter().filter(|slip| seeker.finds(slip::split(slip).0));
    let mut said: Vec<Assembly> = Vec::new();
    for slip in mine {
        let part = open_slip(slip, &identity, voice).unwrap();
        assert_eq!(part.conversation, keys.conversation);
        if !said.iter_mut().any(|message| message.add(part.clone())) {
            said.push(Assembly::new(part));
        }
    }
    let find = |kind: PartKind| {
        let message = said.iter().find(|message| message.envelope.kind == kind);
        message.unwrap().message().unwrap().unwrap()
    };
    assert_eq!(said.len(), 2);
    let leaves = find(PartKind::Ack).leaves;
    assert_eq!((leaves.len(), leaves[0].kind), (1, LeafKind::Drop));
    let answer = find(PartKind::File);
    assert_eq!(answer.text, "Try this.");
    let file = answer.file.unwrap();
    assert_eq!(file.name, "fix.patch");
    let mut content = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(&file.zlib[..]);
    std::io::Read::read_to_end(&mut reader, &mut content).unwrap();
    assert!(content == patch);
}
