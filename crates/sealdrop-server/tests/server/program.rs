//! The program: its ready message, its signals, its exit codes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};

use sealdrop_core::time::Time;

use crate::support::*;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealdrop-server"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// Starts it on a free port; gives the child, and the two lines of its ready message.
fn start(data: &str, box_key: &str) -> (Child, String, String) {
    let mut child = program()
        .args(["--data", data, "--box", box_key, "--listen", "127.0.0.1:0"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    let log = lines.next().unwrap().unwrap();
    (child, ready, log)
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_box_and_a_folder_are_all_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (team, data) = (Team::new(1), data.to_str().unwrap());
    let (mut child, ready, log) = start(data, &team.box_key().to_string());
    let addr = ready
        .strip_prefix("sealdrop-server ready on http://")
        .unwrap()
        .parse()
        .unwrap();
    let vkey = log.strip_prefix("log: ").unwrap();
    assert_eq!(
        send(addr, "GET", "/log/vkey", &[], b"").await.text(),
        format!("{vkey}\n")
    );
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "", "quiet success");
    let (mut child, _, again) = start(data, &team.box_key().to_string());
    assert_eq!(again, log);
    signal(&child, "INT");
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn the_server_crashes_and_nothing_accepted_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (team, data) = (Team::new(1), data.to_str().unwrap().to_owned());
    let box_key = team.box_key().to_string();
    let mut accepted: Vec<u64> = Vec::new();
    for round in 0..4u64 {
        let (mut child, ready, log) = start(&data, &box_key);
        let addr = ready
            .strip_prefix("sealdrop-server ready on http://")
            .unwrap()
            .parse()
            .unwrap();
        let mut draft = team.draft(log.strip_prefix("log: ").unwrap(), round + 1);
        draft.issued = sealdrop_server::system_clock()();
        draft.expires = Time(draft.issued.0 + 1_000);
        let roster = draft.sign(&team.secret).unwrap().note().to_string();
        assert_eq!(
            send(addr, "PUT", "/v1/box", &[], &publication(&roster, POLICY))
                .await
                .status,
            204
        );
        // What was promised is known by its digest: sent again, it has the same promise, in its first window.
        let tasks: Vec<_> = (0..40)
            .map(|i| {
                let seed = round * 100 + i;
                tokio::spawn(async move {
                    let reply = try_send(addr, &small(seed)).await?;
                    (reply.status == 201).then_some(seed)
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(20 + 30 * round)).await;
        signal(&child, "KILL");
        child.wait().unwrap();
        for task in tasks {
            accepted.extend(task.await.unwrap());
        }
    }
    let packs = files(&std::path::Path::new(&data).join("packs"));
    let bytes: Vec<u8> = packs
        .iter()
        .filter(|path| path.is_file())
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect();
    for seed in accepted {
        let drop = small(seed);
        let at = bytes
            .windows(64)
            .position(|window| *window == drop[5_000..5_064])
            .expect("an accepted drop is there");
        assert!(bytes[at - 5_000..at - 5_000 + drop.len()] == drop);
    }
    let (mut child, ..) = start(&data, &box_key);
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn mistakes_are_told_in_one_sentence_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (data, box_key) = (data.to_str().unwrap(), Team::new(1).box_key().to_string());
    let foreign = folder.path().to_str().unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(folder.path(), private).unwrap();
    std::fs::write(folder.path().join("bad.toml"), "listen = 5\n").unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let (bad, file) = (folder.path().join("bad.toml"), folder.path().join("file"));
    let (bad, file) = (bad.to_str().unwrap(), file.to_str().unwrap());
    let typo = box_key.replace(
        &box_key[20..21],
        if &box_key[20..21] == "q" { "p" } else { "q" },
    );
    let rows: &[(&[&str], i32, &str)] = &[
        (&[], 2, "no data folder. Give one with --data DIR"),
        (
            &["--data", data],
            2,
            "no box. Give the one that `sealdrop-desk init` printed, with --box sdbox1…",
        ),
        (&["--data", data, "--box", &typo], 2, "checksum"),
        (
            &["--data", data, "--box", "https://x.org#sdbox1"],
            2,
            "give only what follows the `#`",
        ),
        (
            &["--data", data, "--box", &box_key, "--tls-cert", "x"],
            2,
            "Give both, or neither",
        ),
        (
            &["--data", data, "--box", &box_key, "--max-store", "lots"],
            2,
            "Write it as 500M or 20G",
        ),
        (
            &["--data", data, "--box", &box_key, "--config", bad],
            2,
            "is not a configuration of sealdrop-server",
        ),
        (
            &[
                "--data",
                data,
                "--box",
                &box_key,
                "--config",
                "/nowhere.toml",
            ],
            2,
            "cannot read /nowhere.toml",
        ),
        (
            &["--data", data, "--box", &box_key, "--listen", "here"],
            2,
            "invalid value",
        ),
        (&["--frobnicate"], 2, "unexpected argument"),
        (
            &[
                "--data",
                foreign,
                "--box",
                &box_key,
                "--listen",
                "127.0.0.1:0",
            ],
            1,
            "not a folder of sealdrop-server",
        ),
        (
            &["--data", file, "--box", &box_key, "--listen", "127.0.0.1:0"],
            1,
            "is not a folder",
        ),
        (
            &["--data", data, "--box", &box_key, "--listen", "192.0.2.1:1"],
            1,
            "Give an address of this machine with --listen",
        ),
        (
            &[
                "--data",
                data,
                "--box",
                &box_key,
                "--listen",
                "127.0.0.1:0",
                "--tls-cert",
                file,
                "--tls-key",
                file,
            ],
            1,
            "there is no certificate in it",
        ),
    ];
    for (args, code, said) in rows {
        let output = run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
    assert!(!std::path::Path::new(data).exists(), "nothing was changed");
}

#[test]
fn settings_come_from_flags_then_environment_then_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("server.toml");
    let box_key = Team::new(1).box_key();
    std::fs::write(
        &config,
        format!(
            "data = {:?}\nbox = \"{box_key}\"\nlisten = \"192.0.2.1:1\"\n",
            data.to_str().unwrap()
        ),
    )
    .unwrap();
    let mut child = program()
        .args(["--json", "--config"])
        .arg(&config)
        .env("SEALDROP_LISTEN", "127.0.0.1:0")
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["ready"], true);
    assert!(
        ready["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert!(ready["log"].as_str().unwrap().starts_with("sdbox1"));
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());
    assert!(data.join("VERSION").exists());
}

#[test]
fn help_completions_and_man_page() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert!(help.contains("--data <DIR>") && help.contains("Examples:"));
    assert!(!run(&["completions", "bash"]).stdout.is_empty());
    assert!(
        String::from_utf8(run(&["man"]).stdout)
            .unwrap()
            .starts_with(".ie")
    );
}
