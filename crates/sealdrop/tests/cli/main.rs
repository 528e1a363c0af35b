//! The program as people and scripts run it, against a server that is honest or lying.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "../../../sealdrop-client/tests/support/mod.rs"]
mod support;

mod answers;
mod attachments;
mod attacks;
mod claim;
mod clock;
mod evidence;
mod json;
mod keep;
mod offline;
mod post;
mod reply;
mod state;
mod submit;
mod terminal;
mod usage;
mod watch;
mod withheld;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::Attachment;
use sealdrop_core::roster::Roster;
use sealdrop_open::{Attachments, Context, Identity, Keys, Opened};
use serde_json::Value;
use support::LyingServer;
use tempfile::TempDir;

/// A folder of its own to run the program in.
struct Place {
    folder: TempDir,
}

/// A short report, that nobody is asked about.
const REPORT: [&str; 5] = ["--title", "T", "--description", "D", "--yes"];

/// What a run left.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealdrop"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("USER", "grace")
            .env_remove("LOGNAME")
            .env_remove("RUST_BACKTRACE");
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, "")
    }

    /// With text on standard input.
    fn run_with(&self, args: &[&str], input: &str) -> Run {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that refuses at once does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Run {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Checks with a phrase for what was answered.
    fn answers(&self, server: &LyingServer, phrase: &Phrase, args: &[&str]) -> Run {
        let address = server.address.to_string();
        let fixed = ["check", &address, "--phrase-file", "-"];
        self.run_with(&[&fixed, args].concat(), &phrase.words())
    }

    /// Runs a command for the server's box.
    fn run_for(&self, server: &LyingServer, command: &str, args: &[&str]) -> Run {
        self.run(&[&[command, &server.address.to_string()], args].concat())
    }

    /// Submits a short report with `args` added.
    fn try_submit(&self, server: &LyingServer, args: &[&str]) -> Run {
        self.run_for(server, "submit", &[&REPORT, args].concat())
    }

    /// Seals a short report to what is in `box.json`.
    fn seal(&self, server: &LyingServer, args: &[&str]) -> Run {
        let sealed_to = ["--box", "box.json"];
        self.run_for(server, "seal", &[&sealed_to, &REPORT[..], args].concat())
    }

    fn post(&self, server: &LyingServer, args: &[&str]) -> Run {
        self.run_for(server, "post", args)
    }

    fn show_box(&self, server: &LyingServer, args: &[&str]) -> Run {
        self.run_for(server, "box", args)
    }

    /// `submit` before it is started.
    fn submit_command(&self, server: &LyingServer, args: &[&str]) -> Command {
        self.command(&[&["submit", &server.address.to_string()], args].concat())
    }

    /// The same with a report that a script writes in place of an editor. Drafts go to this folder.
    fn edited(&self, server: &LyingServer, script: &str) -> Command {
        self.write("editor.sh", format!("#!/bin/sh\n{script}\n"));
        let mut command = self.submit_command(server, &["--edit", "--yes"]);
        command
            .env("EDITOR", "sh editor.sh")
            .env_remove("VISUAL")
            .env("XDG_RUNTIME_DIR", self.folder.path());
        command
    }

    /// Submits a report with `args` added, which must succeed; gives the JSON.
    #[track_caller]
    fn submit(&self, server: &LyingServer, args: &[&str]) -> Value {
        let report = ["--title", "Overflow", "--description", "It overflows."];
        let fixed = [&report[..], &["--yes", "--json"]].concat();
        let run = self.run_for(server, "submit", &[&fixed, args].concat());
        assert_eq!(run.code, Some(0), "{}", run.err);
        run.json()
    }
}

impl Run {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|_| panic!("one JSON object: {:?}", self.out))
    }

    /// That it was refused with this code, and these pieces in what it said.
    #[track_caller]
    fn refused(&self, code: i32, pieces: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for piece in pieces {
            assert!(self.err.contains(piece), "{piece:?} in {:?}", self.err);
        }
    }

    #[track_caller]
    fn succeeded(&self, pieces: &[&str]) {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        for piece in pieces {
            assert!(self.out.contains(piece), "{piece:?} in {:?}", self.out);
        }
    }
}

/// Keeps attachments in memory.
#[derive(Default)]
struct Kept(Vec<(String, Vec<u8>)>);

impl Attachments for Kept {
    fn writer(
        &mut self,
        _: usize,
        member: &str,
        _: &Attachment,
    ) -> io::Result<Option<Box<dyn io::Write + '_>>> {
        self.0.push((member.into(), Vec::new()));
        Ok(self
            .0
            .last_mut()
            .map(|(_, bytes)| Box::new(bytes) as Box<dyn io::Write>))
    }
}

/// Opens the only drop that the server holds, as `member` would.
#[track_caller]
fn open(server: &LyingServer, member: usize) -> (Opened, Vec<(String, Vec<u8>)>) {
    let state = server.state();
    assert_eq!(state.bodies.len(), 1);
    let body = state.bodies.values().next().unwrap();
    open_bytes(body, &state.roster, &state.keys.members[member].identity)
}

#[track_caller]
fn open_bytes(
    body: &[u8],
    roster: &Roster,
    identity: &sealdrop_core::recipient::IdentitySeed,
) -> (Opened, Vec<(String, Vec<u8>)>) {
    let identities = [Identity::new(identity)];
    let known = |epoch| (epoch == roster.epoch()).then(|| roster.clone());
    let context = Context {
        box_key: roster.box_key(),
        roster: &known,
    };
    let mut kept = Kept::default();
    let opened = sealdrop_open::open(
        body,
        body.len() as u64,
        Keys::Identities(&identities),
        &context,
        &mut kept,
    );
    (
        opened.map_err(|error| error.to_string()).expect("it opens"),
        kept.0,
    )
}

/// Whether nobody but the owner can read a file.
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path)
        .unwrap()
        .permissions()
        .mode()
        .trailing_zeros()
        >= 6
}
