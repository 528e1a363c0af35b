//! `cargo xtask try`: one report, from the reporter's file to the maintainer's screen, through the real programs.
//!
//! `run` reads as the story. What the programs print is shown as it is; what this one says is indented.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

mod disk;
mod stage;

use stage::{Stage, poll};

const REPORT: &str = "\
# Overflow in the PNG reader

A width of 0x7fffffff overflows the row buffer and lets a file write past it.

## Steps

1. Open the attached proof.png in the viewer.
2. See it end with a signal.

## Versions

2.4 to 2.6

## Credit

none
";
/// What stands in it.
const FIELDS: [(&str, &str); 5] = [
    ("title", "Overflow in the PNG reader"),
    (
        "description",
        "A width of 0x7fffffff overflows the row buffer and lets a file write past it.",
    ),
    (
        "steps",
        "1. Open the attached proof.png in the viewer.\n2. See it end with a signal.",
    ),
    ("versions", "2.4 to 2.6"),
    ("credit", "none"),
];
const ATTACHMENT: &str = "proof.png";
const ANSWER: &str = "Thank you. We can reproduce it, and work on a fix.";
const FOLLOW_UP: &str = "It also happens with a height of 0x7fffffff.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = match arguments.as_slice() {
        [] => None,
        [flag, dir] if flag == "--keep" => Some(PathBuf::from(dir)),
        _ => {
            eprintln!("Usage: cargo xtask try [--keep DIR]");
            return ExitCode::from(2);
        }
    };
    match run(keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(keep: Option<PathBuf>) -> Result<()> {
    let temporary = tempfile::Builder::new().prefix("sealdrop-try-").tempdir()?;
    let dir = match &keep {
        Some(dir) => empty_folder(dir)?,
        None => temporary.path().to_path_buf(),
    };
    // A real box has windows of six hours. This one's are short, so that the log need not be waited for.
    let window = if keep.is_some() { "20" } else { "5" };
    let mut stage = Stage::new(&dir)?;

    stage.heading(
        "A maintainer makes a box: its keys, sealed with a passphrase, and a recovery file",
    );
    fs::write(dir.join("passphrase"), "only for trying\n")?;
    let made = stage.desk(&["init", "--member", "alice", "--work-factor", "12"])?;
    let box_key = made
        .split_whitespace()
        .find(|word| word.starts_with("sdbox1"));
    let box_key = box_key.context("`sealdrop-desk init` named no box")?;

    stage.heading("An operator starts a server that is told nothing but the box");
    let server = stage.serve(box_key)?;
    let origin = server.origin().to_owned();
    stage.desk(&["publish", "--origin", &origin, "--window", window])?;
    let address = format!("{origin}#{box_key}");

    stage.heading(
        "A reporter seals a report with an attachment on their own machine, and leaves it",
    );
    fs::write(dir.join("report.md"), REPORT)?;
    let attachment = noise(150_000);
    fs::write(dir.join(ATTACHMENT), &attachment)?;
    let submit = [
        "submit",
        &address,
        "--from",
        "report.md",
        "--attach",
        ATTACHMENT,
        "--receipt",
        "receipt.json",
        "--save",
        "report.drop",
        "--yes",
    ];
    let told = stage.reporter(&submit)?;
    // What a reporter writes down.
    fs::write(dir.join("phrase"), phrase_in(&told)?)?;

    stage.heading("What the server's disk holds of it");
    let drop =
        fs::read(dir.join("report.drop")).context("`sealdrop submit --save` wrote no drop")?;
    let mut known: Vec<&[u8]> = FIELDS[..3]
        .iter()
        .map(|(_, text)| text.as_bytes())
        .collect();
    known.extend([ATTACHMENT.as_bytes(), &attachment[..32]]);
    disk::show(&dir.join("server"), &drop, &known)?;

    stage.heading("The maintainer fetches and opens it");
    stage.desk(&["sync"])?;
    stage.desk(&["inbox"])?;
    stage.desk(&["open", "1"])?;
    let opened = stage.desk_json(&["open", "1"])?;
    for (field, sent) in FIELDS {
        let opened = text_of(&opened, &format!("/messages/0/form/{field}"))?;
        ensure!(
            opened == sent,
            "the {field} that was opened is another: {opened}"
        );
    }
    stage.desk(&["attachments", "1", "-o", "opened"])?;
    let files = files_in(&dir.join("opened"))?;
    ensure!(
        files.len() == 1,
        "one attachment was sent, and these came out: {files:?}"
    );
    ensure!(
        fs::read(&files[0])? == attachment,
        "the attachment that was opened is another"
    );
    println!(
        "    Compared: every field, and {} bytes of attachment, are what was sent.",
        attachment.len()
    );

    stage.heading(
        "When the window is over the drop is in the log; the maintainer's machine cosigns it",
    );
    let check = ["check", "--receipt", "receipt.json", "--json"];
    poll("the log holds the drop", || {
        Ok(stage.quiet("sealdrop", &check)?.contains("\"logged\""))
    })?;
    stage.desk(&["sync"])?;
    stage.reporter(&[
        "check",
        "--receipt",
        "receipt.json",
        "-o",
        "receipt.tlog-proof",
    ])?;

    stage.heading("Without any network, the receipt proves what was delivered, and to whom");
    stage.reporter(&[
        "verify",
        "receipt.tlog-proof",
        "--address",
        &address,
        "--key",
        "receipt.json.key",
        "--drop",
        "report.drop",
    ])?;

    stage.heading("The maintainer answers; the answer leaves with the next sync, among decoys");
    stage.desk(&["ack", "1"])?;
    stage.desk(&["reply", "1", "--text", ANSWER])?;
    poll("every slip of the answers is on the server", || {
        stage.desk_json(&["sync"])?;
        Ok(stage.desk_json(&["outbox"])?.pointer("/waiting") == Some(&0.into()))
    })?;
    stage.desk(&["outbox"])?;

    stage
        .heading("The reporter comes back with nothing but the phrase, reads it, and writes again");
    let check = ["check", &address, "--phrase-file", "phrase"];
    poll("the feed holds the answer", || {
        Ok(stage.quiet("sealdrop", &check)?.contains(ANSWER))
    })?;
    stage.reporter(&check)?;
    let reply = ["reply", &address, "--phrase-file", "phrase"];
    stage.reporter(&[&reply[..], &["--text", FOLLOW_UP, "--yes"]].concat())?;
    stage.desk(&["sync"])?;
    let opened = stage.desk(&["open", "1"])?;
    ensure!(
        opened.contains(ANSWER) && opened.contains(FOLLOW_UP),
        "the conversation is not whole"
    );

    stage.heading("Next");
    next(&dir, &address, keep.is_some().then(|| server.keep()));
    Ok(())
}

/// Says which commands to type.
fn next(dir: &Path, address: &str, pid: Option<u32>) {
    let bin = |name: &str| sealdrop_tests::bin(name).display().to_string();
    let Some(pid) = pid else {
        println!("    All of it is gone again. To look around in a box that stays:\n");
        println!("  cargo xtask try --keep /tmp/sealdrop");
        println!("  {} submit --help", bin("sealdrop"));
        println!("  {} --help", bin("sealdrop-desk"));
        return;
    };
    let desk = format!(
        "{} --home {} --passphrase-file {}",
        bin("sealdrop-desk"),
        dir.join("desk").display(),
        dir.join("passphrase").display()
    );
    println!(
        "    The server runs on, as process {pid}; its windows last 20 seconds. Write a report yourself, and read it:\n"
    );
    println!("  {} submit '{address}'", bin("sealdrop"));
    println!("  {desk} sync");
    println!("  {desk} inbox");
    println!("  {desk} open 2");
    println!("\n    To end it and leave nothing:\n");
    println!("  kill {pid} && rm -r {}", dir.display());
}

/// The twelve words that `submit` showed, six to a line.
fn phrase_in(told: &str) -> Result<String> {
    let lines = told
        .lines()
        .skip_while(|line| !line.starts_with("Your phrase"));
    let words = lines.skip(2).take(2).flat_map(str::split_whitespace);
    let words: Vec<&str> = words.collect();
    ensure!(words.len() == 12, "`sealdrop submit` showed no phrase");
    Ok(words.join(" "))
}

fn empty_folder(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    if fs::read_dir(dir)?.next().is_some() {
        bail!(
            "{} is not empty: name a folder that is, or a new one",
            dir.display()
        );
    }
    Ok(dir.canonicalize()?)
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("no folder {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// A text of a JSON answer.
fn text_of(json: &serde_json::Value, pointer: &str) -> Result<String> {
    let text = json.pointer(pointer).and_then(serde_json::Value::as_str);
    Ok(text
        .with_context(|| format!("no {pointer} in {json}"))?
        .to_owned())
}

/// Bytes that look like an image's: every value, no pattern, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(&mut next).take(len).collect()
}

/// A command in the words of a reader: programs without their path.
fn words(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let arguments = command.get_args().map(|argument| {
        let argument = argument.to_string_lossy();
        if argument.contains(['#', ' ']) {
            format!("'{argument}'")
        } else {
            argument.into_owned()
        }
    });
    std::iter::once(program.to_string_lossy().into_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
