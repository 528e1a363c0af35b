//! Tor, really: a private network of it, and the programs through an onion service. docs/operations.md, "TLS, a proxy,
//! an onion service".

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use sealdrop_tests::{command, root, scratch, skip, succeed, tool, wait_up_to};

use crate::programs::{desk, make_box, serve};
use crate::tor_network::TorNetwork;

/// In seconds: an upload is forgotten one or two of them after it began.
const WINDOW: &str = "30";
/// Circuits take their time.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_conversation_and_a_broken_upload_go_through_tor() {
    if tool("tor").is_none() || tool("tor-gencert").is_none() {
        return skip(
            "a_conversation_and_a_broken_upload_go_through_tor",
            "needs tor",
        );
    }
    let folder = scratch();
    let dir = folder.path();
    let box_key = make_box(dir);
    let server = serve(dir, "data", "127.0.0.1:0", &box_key);
    let local = server.origin();

    let mut network = TorNetwork::start();
    let port = local.rsplit(':').next().unwrap().parse().unwrap();
    let onion = network.publish(port);
    let proxy = network.connect();
    let origins = ["--origin", &local, "--origin", &onion];
    succeed(
        desk(dir)
            .args(["publish", "--window", WINDOW])
            .args(origins),
    );
    let address = format!("{onion}#{box_key}");
    let reporter = |arguments: &[&str]| {
        let mut sealdrop = command("sealdrop");
        sealdrop
            .current_dir(dir)
            .args(["--proxy", &proxy, "--json"]);
        sealdrop.args(arguments);
        sealdrop
    };

    let report = ["--title", "Over Tor", "--description", "d", "--steps", "s"];
    let rest = ["--versions", "1", "--credit", "none", "--yes"];
    let submit = ["submit", &address, "--receipt", "r.json"];
    let told = succeed(reporter(&submit).args(report).args(rest));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    fs::write(dir.join("phrase"), told["phrase"].as_str().unwrap()).unwrap();
    succeed(desk(dir).arg("sync"));
    succeed(desk(dir).args(["reply", "1", "--text", "Which version?"]));

    // A large one, whose circuit breaks in the middle.
    let large = dir.join("large.bin");
    fs::File::create(&large).unwrap().set_len(24 << 20).unwrap();
    let attach = ["--attach", "large.bin", "--receipt", "large.json"];
    let mut submit = reporter(&["submit", &address]);
    let submit = submit.args(report).args(rest).args(attach);
    let sending = submit.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let sending = sending.unwrap();
    // Name and length of the only upload: `<window>-<id>-<length>`, and more once it is complete.
    let upload = || {
        let mut uploads = fs::read_dir(dir.join("data/uploads")).unwrap();
        let upload = uploads.next()?.ok()?;
        assert!(uploads.next().is_none(), "there is one upload");
        Some((
            upload.file_name().into_string().unwrap(),
            upload.metadata().ok()?.len(),
        ))
    };
    wait_up_to(PATIENCE, "a part of the upload arrived", || {
        upload().is_some_and(|(_, len)| len > 2 << 20)
    });
    network.disconnect();
    let (begun, len) = upload().unwrap();
    assert!(len < 24 << 20, "it broke in the middle");
    network.connect();
    let output = sending.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (ended, _) = upload().unwrap();
    assert!(
        ended.starts_with(&begun) && ended != begun,
        "{ended} goes on with {begun}"
    );
    wait_up_to(PATIENCE, "the drop is in the log", || {
        succeed(desk(dir).arg("sync"));
        let said = reporter(&["check", "--receipt", "r.json"]).output();
        let said: serde_json::Value = serde_json::from_slice(&said.unwrap().stdout).unwrap();
        said["state"] == "logged" || said["state"] == "collected"
    });
    let conversation = ["check", &address, "--phrase-file", "phrase"];
    wait_up_to(PATIENCE, "the answer is in the feed", || {
        succeed(desk(dir).arg("sync"));
        succeed(&mut reporter(&conversation)).contains("Which version?")
    });
    let reply = ["reply", &address, "--phrase-file", "phrase", "--yes"];
    succeed(reporter(&reply).args(["--text", "Version 1"]));
    succeed(desk(dir).arg("sync"));
    assert!(succeed(desk(dir).args(["open", "1"])).contains("Version 1"));
    let inbox = succeed(desk(dir).args(["--json", "inbox"]));
    assert!(inbox.matches("Over Tor").count() >= 2, "{inbox}");
}

#[test]
fn tor_accepts_the_torrc_for_a_real_server() {
    if tool("tor").is_none() {
        return skip("tor_accepts_the_torrc_for_a_real_server", "needs tor");
    }
    let folder = scratch();
    let torrc = fs::read_to_string(root().join("contrib/torrc")).unwrap();
    let dir = folder.path().to_str().unwrap();
    let file = folder.path().join("torrc");
    fs::write(&file, torrc.replace("/var/lib/tor", dir)).unwrap();
    let mut verify = Command::new("tor");
    verify.args(["--verify-config", "--defaults-torrc", "/dev/null", "-f"]);
    assert!(succeed(verify.arg(&file)).contains("Configuration was valid"));
}

/// Only the proxy is spoken to: no resolver, no other address, whatever the name is.
#[test]
fn no_lookup_leaves_the_client_with_tor() {
    if tool("strace").is_none() {
        return skip("no_lookup_leaves_the_client_with_tor", "needs strace");
    }
    let folder = scratch();
    let trace = folder.path().join("trace");
    let key = "sdbox1f493sp30s5p9nr0qgh98k60svl6elya3dca0sue6nz9dcg6p7hyqzec9fp";
    for host in ["https://drop.example.org", "http://abcdefghijklmnop.onion"] {
        let mut traced = Command::new("strace");
        traced
            .args(["-f", "-qq", "-e", "trace=network", "-o"])
            .arg(&trace)
            .arg(sealdrop_tests::bin("sealdrop"))
            .args(["--tor", "--json", "box", &format!("{host}#{key}")])
            .stdin(Stdio::null());
        let output = traced.output().unwrap();
        let trace = fs::read_to_string(&trace).unwrap();
        if trace.is_empty() {
            return skip(
                "no_lookup_leaves_the_client_with_tor",
                "strace may not trace here",
            );
        }
        let opened: Vec<&str> = trace
            .lines()
            .filter(|line| line.contains("connect(") || line.contains("sendto("))
            .collect();
        let proxy = r#"sin_port=htons(9050), sin_addr=inet_addr("127.0.0.1")"#;
        assert!(opened.iter().any(|line| line.contains(proxy)), "{trace}");
        for line in opened {
            let to_proxy = line.contains(proxy) || !line.contains("sa_family=");
            assert!(to_proxy, "{line}");
        }
        assert!(
            !trace.contains("AF_UNIX") && !trace.contains("htons(53)"),
            "{trace}"
        );
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("error"),
            "no Tor listens on 9050 here: {said}"
        );
    }
}
