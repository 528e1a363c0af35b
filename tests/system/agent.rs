//! `sealdrop-desk agent` from window to window, with the real server: both may end at any moment.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand_chacha::rand_core::Rng as _;
use sealdrop_tests::{Running, command, scratch, succeed, wait_until};
use serde_json::Value;

use crate::programs::{desk, make_box, serve};
use crate::site::rng;
use crate::wire::call;

/// In seconds.
const WINDOW: &str = "2";
/// Bytes of a slip.
const SLIP: usize = 4_096;

/// `sealdrop-desk` on the machine that is always on, and reads nothing.
fn courier(dir: &Path) -> Command {
    let mut desk = command("sealdrop-desk");
    desk.current_dir(dir)
        .args(["--home", "courier", "--passphrase-file", "passphrase"]);
    desk
}

fn json(program: &mut Command) -> Value {
    serde_json::from_str(&succeed(program)).unwrap()
}

/// The windows that an agent said it posted for, in the order in which it said so.
fn posted(agent: &Running) -> Vec<u64> {
    let output = agent.output();
    let windows = output.lines().filter_map(|line| {
        let (_, rest) = line.split_once("posted for window ")?;
        rest.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    });
    windows.collect()
}

/// Every slip of the feed.
fn feed(server: SocketAddr) -> Vec<Vec<u8>> {
    let get = |path: &str| call(server, "GET", path, &[], None).unwrap().body;
    let list: Value = serde_json::from_slice(&get("/v1/feed")).unwrap();
    let windows = list["segments"].as_array().unwrap().iter();
    let segments = windows.map(|segment| get(&format!("/v1/feed/{}", segment["window"])));
    segments
        .flat_map(|segment| segment.chunks(SLIP).map(<[u8]>::to_vec).collect::<Vec<_>>())
        .collect()
}

#[test]
fn an_agent_brings_an_answer_out_once_through_kills_and_a_server_that_was_down() {
    let folder = scratch();
    let dir = folder.path();
    let box_key = make_box(dir);
    let server = serve(dir, "data", "127.0.0.1:0", &box_key);
    let origin = server.origin();
    let listen = origin.strip_prefix("http://").unwrap().to_owned();
    succeed(desk(dir).args(["publish", "--origin", &origin, "--window", WINDOW]));
    let address = format!("{origin}#{box_key}");
    let join = [
        "init",
        "--join",
        &address,
        "--member",
        "maintainer",
        "--work-factor",
        "2",
    ];
    succeed(
        courier(dir)
            .args(join)
            .args(["--device-only", "--device", "courier"]),
    );
    fs::write(
        dir.join("card"),
        succeed(courier(dir).args(["keys", "--card"])),
    )
    .unwrap();
    succeed(desk(dir).args(["member", "add", "card"]));
    succeed(desk(dir).arg("publish"));

    let mut submit = command("sealdrop");
    submit
        .current_dir(dir)
        .args(["--json", "submit", &address, "--yes"]);
    let sent = json(submit.args(["--title", "t", "--description", "d"]));
    fs::write(dir.join("phrase"), sent["phrase"].as_str().unwrap()).unwrap();
    wait_until("the report is on the machine that reads", || {
        succeed(desk(dir).arg("sync"));
        json(desk(dir).args(["--json", "inbox"]))["cases"][0]["case"] == 1
    });
    // Of more slips than one window takes.
    let mut text = vec![0; 16_000];
    let mut random = rng(7);
    random.fill_bytes(&mut text);
    let text: String = text
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect();
    fs::write(dir.join("text"), &text).unwrap();
    succeed(desk(dir).args(["reply", "1", "--from", "text"]));
    succeed(desk(dir).args(["bundle", "out", "--outbox", "answers.tar"]));

    // Nobody answers. What is carried there comes beside the agent.
    assert!(server.terminate().success());
    let down = Running::start(courier(dir).arg("agent"), "failed: ");
    let carried = File::open(dir.join("answers.tar")).unwrap();
    succeed(courier(dir).args(["bundle", "in", "-"]).stdin(carried));
    down.kill();
    let server = serve(dir, "data", &listen, &box_key);
    for _ in 0..8 {
        let mut agent = courier(dir);
        agent.args(["agent", "--every", "1"]);
        let quiet = agent.stdout(Stdio::null()).stderr(Stdio::null());
        let mut agent = quiet.spawn().unwrap();
        let life = Duration::from_millis(u64::from(random.next_u32() % 900));
        std::thread::sleep(life);
        agent.kill().unwrap();
        agent.wait().unwrap();
    }
    let agent = Running::start(courier(dir).arg("agent"), "fetched ");
    let check = |arguments: &[&str]| {
        let mut check = command("sealdrop");
        check.current_dir(dir).args(["--json", "check", &address]);
        json(check.args(["--phrase-file", "phrase"]).args(arguments))
    };
    wait_until("the reporter has the answer", || {
        check(&[])["messages"][0]["text"] == text
    });
    wait_until("it has posted in three windows", || {
        posted(&agent).len() >= 3
    });
    let windows = posted(&agent);
    assert!(
        windows.is_sorted_by(|a, b| a < b),
        "once in each: {windows:?}"
    );
    let output = agent.output();
    assert!(agent.terminate().success(), "{output}");

    assert_eq!(check(&[])["messages"].as_array().unwrap().len(), 1);
    let slips = feed(listen.parse().unwrap());
    let different: HashSet<_> = slips.iter().collect();
    assert_eq!(
        different.len(),
        slips.len(),
        "no slip stands in two segments"
    );
    assert_eq!(json(courier(dir).args(["--json", "outbox"]))["waiting"], 0);
    assert!(server.terminate().success());
}
