//! A box whose server is reached through a [`Recorder`].

use std::fs;
use std::path::Path;
use std::process::Command;

use sealdrop_core::slip::SLIP;
use sealdrop_tests::{Running, command, scratch, succeed, wait_until};
use serde_json::Value;

use crate::programs::{desk, make_box, serve};
use crate::recorder::Recorder;

/// A box whose server is reached through a recorder.
pub(crate) struct Watched {
    folder: tempfile::TempDir,
    pub(crate) recorder: Recorder,
    pub(crate) address: String,
    _server: Running,
}

impl Watched {
    #[track_caller]
    pub(crate) fn start(window: u64) -> Self {
        let folder = scratch();
        let dir = folder.path();
        let box_key = make_box(dir);
        let server = serve(dir, "data", "127.0.0.1:0", &box_key);
        let origin = server.origin();
        let recorder = Recorder::start(origin.trim_start_matches("http://").parse().unwrap());
        let origin = recorder.origin();
        let window = window.to_string();
        succeed(desk(dir).args(["publish", "--origin", &origin, "--window", &window]));
        recorder.take();
        Self {
            address: format!("{origin}#{box_key}"),
            folder,
            recorder,
            _server: server,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn desk(&self) -> Command {
        desk(self.dir())
    }

    /// Runs the reporter's program for this box, with the phrase in a file, if one is named.
    pub(crate) fn sealdrop(&self, verb: &str, phrase: Option<&str>, args: &[&str]) -> Value {
        let mut sealdrop = command("sealdrop");
        sealdrop
            .current_dir(self.dir())
            .args(["--json", verb, &self.address])
            .args(args);
        if let Some(phrase) = phrase {
            sealdrop.args(["--phrase-file", phrase]);
        }
        serde_json::from_str(&succeed(&mut sealdrop)).unwrap()
    }

    /// What the desk says in JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&succeed(self.desk().arg("--json").args(args))).unwrap()
    }

    /// The number of the case with this title.
    pub(crate) fn case(&self, title: &str) -> u64 {
        let inbox = self.json(&["inbox"]);
        let mut cases = inbox["cases"].as_array().unwrap().iter();
        let case = cases.find(|case| case["title"] == title);
        case.unwrap_or_else(|| panic!("{title} is not in {inbox}"))["case"]
            .as_u64()
            .unwrap()
    }

    /// A member who is in the roster, and never comes.
    pub(crate) fn add_member(&self, name: &str) {
        let mut init = self.desk();
        init.args(["--json", "init", "--join", &self.address, "--member", name]);
        init.args(["--home", name, "--work-factor", "2"]);
        succeed(&mut init);
        let card = succeed(self.desk().args(["keys", "--card", "--home", name]));
        fs::write(self.dir().join("card"), card).unwrap();
        succeed(self.desk().args(["member", "add", "card"]));
        succeed(self.desk().arg("publish"));
    }

    /// Every slip of the feed, as anybody can fetch it.
    pub(crate) fn feed(&self) -> Vec<Vec<u8>> {
        self.recorder.take();
        self.sealdrop("check", Some("a"), &[]);
        let seen = self.recorder.take();
        let segments = seen
            .iter()
            .filter(|exchange| exchange.request().starts_with("GET /v1/feed/"));
        let slips = segments.flat_map(|exchange| exchange.answered().chunks(SLIP));
        slips.map(<[u8]>::to_vec).collect()
    }

    /// Files a report, keeps its phrase in a file of that name, and gives the digest of the drop.
    pub(crate) fn report(&self, name: &str) -> String {
        let report = ["--title", name, "--description", "d", "--yes"];
        let sent = self.sealdrop("submit", None, &report);
        fs::write(self.dir().join(name), sent["phrase"].as_str().unwrap()).unwrap();
        sent["digest"].as_str().unwrap().into()
    }

    /// Three reports, of which two are answered, and the feed has the answers.
    pub(crate) fn converse(&self) {
        for name in ["a", "b", "c"] {
            self.report(name);
        }
        let never = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        fs::write(self.dir().join("d"), never).unwrap();
        wait_until("the reports are in the log", || {
            succeed(self.desk().arg("sync"));
            let inbox = self.json(&["inbox"]);
            let mut cases = inbox["cases"].as_array().unwrap().iter();
            cases.all(|case| case["logged"] == true)
        });
        let case = |name: &str| self.case(name).to_string();
        succeed(
            self.desk()
                .args(["reply", &case("a"), "--text", "Thank you."]),
        );
        succeed(self.desk().args(["ack", &case("b")]));
        wait_until("the answers are in the feed", || {
            succeed(self.desk().arg("sync"));
            let answered = |who| self.sealdrop("check", Some(who), &[])["answered"] == true;
            ["a", "b"].into_iter().all(answered)
        });
        self.recorder.take();
    }
}
