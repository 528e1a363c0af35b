//! What the tests share: a desk in a temporary folder, and reports sealed as a reporter would.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_client::BoxFile;
use sealdrop_core::drop::FileKey;
use sealdrop_core::drop::archive::{BLOCK, member_header, parse_member_header};
use sealdrop_core::encoding::from_base64_array;
use sealdrop_core::key::{BoxKey, BoxSecret};
use sealdrop_core::note::Note;
use sealdrop_core::phrase::{Phrase, ReporterKeys};
use sealdrop_core::report::{Kind, Report};
use sealdrop_core::roster::Roster;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sealed;
use crate::server::{Server, WINDOW};
use crate::terminal::Terminal;

/// Desks of one box, and its server.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) server: Server,
}

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The exit code, and that what was said holds each of these.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &[&str]) {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{all}");
        for part in says {
            assert!(all.contains(part), "{part:?} is not in:\n{all}");
        }
    }
}

impl Bench {
    /// A box of ana alone, published.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("passphrase"), "correct horse\n").unwrap();
        let made = run(
            dir.path(),
            "ana",
            &["--json", "init", "--member", "ana", "--work-factor", "2"],
        )
        .ok();
        let made: Value = serde_json::from_str(&made).unwrap();
        std::fs::write(
            dir.path().join("ana-code"),
            made["recovery"]["code"].as_str().unwrap(),
        )
        .unwrap();
        let server = Server::start(BoxKey::parse(made["box"].as_str().unwrap()).unwrap());
        let bench = Self { dir, server };
        bench
            .desk(
                "ana",
                &[
                    "publish",
                    "--origin",
                    &bench.server.origin,
                    "--window",
                    &WINDOW.to_string(),
                ],
            )
            .ok();
        bench
    }

    /// Runs a desk command of someone.
    pub(crate) fn desk(&self, who: &str, args: &[&str]) -> Ran {
        run(self.dir.path(), who, args)
    }

    /// Starts a desk command of someone.
    pub(crate) fn start(&self, who: &str, args: &[&str]) -> std::process::Child {
        let mut command = self.command(who, args);
        let piped = std::process::Stdio::piped;
        command.stdout(piped()).stderr(piped()).spawn().unwrap()
    }

    /// The same with something to come on standard input.
    pub(crate) fn start_with_pipe(&self, who: &str, args: &[&str]) -> std::process::Child {
        let mut command = self.command(who, args);
        let piped = std::process::Stdio::piped;
        command.stdin(piped()).stdout(piped()).stderr(piped());
        command.spawn().unwrap()
    }

    /// The same with somebody in front of it.
    pub(crate) fn on_terminal(&self, who: &str, args: &[&str]) -> Terminal {
        Terminal::start(self.command(who, args))
    }

    /// Whether nobody works in the home of someone.
    pub(crate) fn is_free(&self, who: &str) -> bool {
        let lock = std::fs::File::open(self.path(who).join("lock")).unwrap();
        lock.try_lock().is_ok()
    }

    fn command(&self, who: &str, args: &[&str]) -> std::process::Command {
        let mut command =
            std::process::Command::new(assert_cmd::cargo::cargo_bin!("sealdrop-desk"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("SEALDROP_PASSPHRASE_FILE", self.path("passphrase"))
            .env("SEALDROP_HOME", self.path(who));
        command.args(args);
        command
    }

    pub(crate) fn json(&self, who: &str, args: &[&str]) -> Value {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        serde_json::from_str(&self.desk(who, &args).ok()).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn address(&self) -> String {
        format!("{}#{}", self.server.origin, self.server.lock().box_key)
    }

    /// Someone joins the box, and the roster is published.
    pub(crate) fn join(&self, who: &str) {
        self.init(who, who, &["--no-recovery"]);
        self.add_card(who);
        self.desk("ana", &["publish"]).ok();
    }

    /// Ana gets another machine, without an identity, and the roster is published.
    pub(crate) fn join_device(&self, who: &str) {
        self.init(who, "ana", &["--device-only", "--device", who]);
        self.add_card(who);
        self.desk("ana", &["publish"]).ok();
    }

    /// A member makes keys for this box in a folder of their own.
    pub(crate) fn init(&self, folder: &str, member: &str, more: &[&str]) {
        let address = self.address();
        let mut args = vec!["init", "--join", &address, "--member", member];
        args.extend(["--work-factor", "2"].iter().chain(more));
        self.desk(folder, &args).ok();
    }

    /// Ana takes someone's card in, and is told what the next roster will change.
    pub(crate) fn add_card(&self, who: &str) -> String {
        let card = self.desk(who, &["keys", "--card"]).ok();
        std::fs::write(self.path("card.json"), card).unwrap();
        self.desk("ana", &["member", "add", &self.arg("card.json")])
            .ok()
    }

    /// Someone makes a bundle, and someone else takes it in.
    pub(crate) fn carry(&self, from: &str, to: &str) -> String {
        let file = self.arg("carried.tar");
        self.desk(from, &["bundle", "out", &file]).ok();
        let said = self.desk(to, &["bundle", "in", &file]).ok();
        std::fs::remove_file(file).unwrap();
        said
    }

    /// A bundle with these members, beside those that every bundle has.
    pub(crate) fn forge(&self, name: &str, members: &[(&str, Value)]) -> String {
        let head = json!({ "sealdrop-bundle": 1, "box": self.server.lock().box_key.to_string(), "origin": null });
        let mut bytes = Vec::new();
        for (name, value) in [("bundle.json", head)].iter().chain(members) {
            let content = value.to_string().into_bytes();
            bytes.extend_from_slice(&member_header(name, content.len() as u64).unwrap());
            bytes.extend_from_slice(&content);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        std::fs::write(self.path(name), bytes).unwrap();
        self.arg(name)
    }

    /// Somebody who carries a bundle takes a drop out of it.
    pub(crate) fn strip(&self, name: &str, digest: &str) {
        let bundle = std::fs::read(self.path(name)).unwrap();
        let (mut stripped, mut at) = (Vec::new(), 0);
        while let Some((name, size)) =
            parse_member_header(bundle[at..][..BLOCK].try_into().unwrap())
        {
            let end = at + BLOCK + (size as usize).next_multiple_of(BLOCK);
            if !name.contains(digest) {
                stripped.extend_from_slice(&bundle[at..end]);
            }
            at = end;
        }
        stripped.extend_from_slice(&[0; 2 * BLOCK]);
        assert!(stripped.len() < bundle.len());
        std::fs::write(self.path(name), stripped).unwrap();
    }

    /// The private key of the box, from ana's keyring: for rosters that no desk would sign.
    pub(crate) fn box_secret(&self) -> BoxSecret {
        BoxSecret::from_seed(&self.seed("ana", "box_secret"))
    }

    /// One of the secrets in someone's keyring.
    pub(crate) fn seed(&self, who: &str, name: &str) -> [u8; 32] {
        let sealed = std::fs::read(self.path(&format!("{who}/keyring.age"))).unwrap();
        let json = sealdrop_open::passphrase::open(&sealed, "correct horse").unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        from_base64_array(json[name].as_str().unwrap()).unwrap()
    }

    /// The server has this roster now, with the policy of the one before.
    pub(crate) fn serve_roster(&self, epoch: u64, roster: Note) {
        let mut state = self.server.lock();
        let policy = state.boxes.last_key_value().unwrap().1.policy.clone();
        state.boxes.insert(epoch, BoxFile { roster, policy });
    }

    /// A window that is over, counted back from now.
    pub(crate) fn past(&self, ago: u64) -> u64 {
        self.server.now() - ago
    }
}

pub(crate) fn run(dir: &Path, who: &str, args: &[&str]) -> Ran {
    run_with(dir, who, args, &[], "")
}

/// The same, with more in the environment and something on standard input.
pub(crate) fn run_with(
    dir: &Path,
    who: &str,
    args: &[&str],
    env: &[(&str, &str)],
    input: &str,
) -> Ran {
    let mut command = Command::cargo_bin("sealdrop-desk").unwrap();
    command
        .env_clear()
        .env("HOME", dir)
        .env("SEALDROP_PASSPHRASE_FILE", dir.join("passphrase"))
        .env("SEALDROP_HOME", dir.join(who));
    command.envs(env.iter().copied()).write_stdin(input);
    let output = command.args(args).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A reporter with a phrase of their own.
pub(crate) struct Reporter {
    pub(crate) keys: ReporterKeys,
    rng: ChaCha20Rng,
}

impl Reporter {
    pub(crate) fn new(seed: u8, box_key: &BoxKey) -> Self {
        Self {
            keys: Phrase::from_entropy(&[seed; 16]).keys(box_key),
            rng: ChaCha20Rng::from_seed([seed; 32]),
        }
    }

    pub(crate) fn report(
        &mut self,
        roster: &Roster,
        kind: Kind,
        title: &str,
        files: &[(&str, &[u8])],
    ) -> Report {
        let mut report = Report::new(kind, roster, &self.keys, &mut self.rng);
        report.form.insert("title".into(), title.into());
        report
            .form
            .insert("description".into(), format!("about {title}"));
        report.attachments = sealed::attachments(files);
        report
    }

    pub(crate) fn seal(
        &mut self,
        roster: &Roster,
        report: &Report,
        files: &[(&str, &[u8])],
    ) -> Vec<u8> {
        let sealing = self.file_key();
        sealed::seal(roster, report, &self.keys.voice, &sealing, files)
    }

    pub(crate) fn file_key(&mut self) -> (FileKey, [u8; 16]) {
        use rand_chacha::rand_core::Rng as _;
        let mut nonce = [0; 16];
        self.rng.fill_bytes(&mut nonce);
        (FileKey::generate(&mut self.rng), nonce)
    }

    /// A whole drop with a title and no attachments.
    pub(crate) fn drop(&mut self, roster: &Roster, kind: Kind, title: &str) -> Vec<u8> {
        let report = self.report(roster, kind, title, &[]);
        self.seal(roster, &report, &[])
    }
}
