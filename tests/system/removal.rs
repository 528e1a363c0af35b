//! What is left to a member who was removed, between the real programs: nothing that comes after, and everything from before.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use sealdrop_core::drop::FileKey;
use sealdrop_core::encoding::{from_base64_array, from_hex, sha256};
use sealdrop_core::key::{AccessRole, BoxKey, SecretKey, VoiceRole, device_keys};
use sealdrop_core::note::Note;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::report::{Kind, Report};
use sealdrop_core::request::{HEADER, Request};
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::decoy;
use sealdrop_core::team::{Carrier, Grant, TeamEvent};
use sealdrop_core::time::Window;
use sealdrop_open::{Context, Identity, Keys, NoAttachments, OpenError, Quarantine, open};
use sealdrop_tests::{Running, command, scratch, succeed};
use serde_json::{Value, json};

use crate::programs::{desk, make_box, serve};
use crate::sealed;
use crate::site::{now, rng};
use crate::wire::call;

fn json(program: &mut Command) -> Value {
    serde_json::from_str(&succeed(program)).unwrap()
}

/// A box of ana, who published it, and of those who joined; each has a folder.
struct Team {
    folder: tempfile::TempDir,
    server: Running,
    box_key: BoxKey,
}

/// The keys of a member, as they stand in the keyring.
struct Former {
    identity: Identity,
    voice: SecretKey<VoiceRole>,
    access: SecretKey<AccessRole>,
}

impl Team {
    fn new() -> Self {
        let folder = scratch();
        let ana = folder.path().join("ana");
        fs::create_dir(&ana).unwrap();
        let box_key = make_box(&ana);
        let server = serve(folder.path(), "data", "127.0.0.1:0", &box_key);
        let origin = server.origin();
        succeed(desk(&ana).args(["publish", "--origin", &origin, "--window", "86400"]));
        Self {
            folder,
            server,
            box_key: BoxKey::parse(&box_key).unwrap(),
        }
    }

    fn desk(&self, who: &str) -> Command {
        desk(&self.folder.path().join(who))
    }

    fn address(&self) -> String {
        format!("{}#{}", self.server.origin(), self.box_key)
    }

    fn socket(&self) -> SocketAddr {
        let origin = self.server.origin();
        origin.strip_prefix("http://").unwrap().parse().unwrap()
    }

    fn join(&self, who: &str) {
        let dir = self.folder.path().join(who);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("passphrase"), "correct horse\n").unwrap();
        let init = ["init", "--join", &self.address(), "--member", who];
        let more = ["--work-factor", "2", "--no-recovery"];
        succeed(self.desk(who).args(init).args(more));
        let card = succeed(self.desk(who).args(["keys", "--card"]));
        fs::write(self.folder.path().join("ana/card.json"), card).unwrap();
        succeed(self.desk("ana").args(["member", "add", "card.json"]));
        succeed(self.desk("ana").arg("publish"));
    }

    /// Somebody reports something. Gives the digest of the drop.
    fn report(&self, title: &str) -> String {
        let mut sealdrop = command("sealdrop");
        sealdrop.current_dir(self.folder.path());
        let address = self.address();
        let submit = ["--json", "submit", &address, "--title", title, "--yes"];
        let sent = json(sealdrop.args(submit).args(["--description", "d"]));
        sent["digest"].as_str().unwrap().into()
    }

    fn roster(&self, epoch: u64) -> Roster {
        let path = format!("/v1/box/{epoch}");
        let reply = call(self.socket(), "GET", &path, &[], None).unwrap();
        let note = Note::parse(reply.json()["roster"].as_str().unwrap().as_bytes()).unwrap();
        Roster::verify_ignoring_expiry(&note, &self.box_key).unwrap()
    }

    fn keys(&self, who: &str) -> Former {
        let keyring = fs::read(self.folder.path().join(who).join("desk/keyring.age")).unwrap();
        let keyring = sealdrop_open::passphrase::open(&keyring, "correct horse").unwrap();
        let keyring: Value = serde_json::from_slice(&keyring).unwrap();
        let seed = |value: &Value| from_base64_array::<32>(value.as_str().unwrap()).unwrap();
        let identity = keyring["identities"][0].as_str().unwrap();
        Former {
            identity: Identity::new(&IdentitySeed::parse(identity).unwrap()),
            voice: SecretKey::from_seed(&seed(&keyring["voice"])),
            access: device_keys(&seed(&keyring["device_seed"])).0,
        }
    }

    /// The status that the server answers a request with which the machine of `who` signed, whatever the desk there thinks of it.
    fn asks(&self, who: &str, method: &str, path: &str, body: Option<&[u8]>) -> u16 {
        let mut nonce = [0; 16];
        #[expect(
            clippy::disallowed_methods,
            reason = "a nonce must differ from those before"
        )]
        getrandom::fill(&mut nonce).expect("the system has randomness");
        let request = Request {
            origin: self.server.origin(),
            method: method.into(),
            path: path.into(),
            body: sha256(body.unwrap_or_default()),
            time: now(),
            nonce,
        };
        let key = self.keys(who).access;
        let signed = request.sign(&format!("{who}/desk"), &key).unwrap();
        let headers = [(HEADER, signed.as_str())];
        let reply = call(self.socket(), method, path, &headers, body).unwrap();
        reply.status
    }
}

/// A drop as it lies in somebody's folder, and its window.
fn body(home: &Path, digest: &str) -> (Vec<u8>, u64) {
    for window in fs::read_dir(home.join("desk/drops")).unwrap() {
        let window = window.unwrap();
        if let Ok(body) = fs::read(window.path().join(format!("{digest}.age"))) {
            return (body, window.file_name().to_str().unwrap().parse().unwrap());
        }
    }
    panic!("drop {digest} is not there");
}

#[test]
fn removed_member_fetches_nothing_opens_nothing_new_and_gives_nothing() {
    let team = Team::new();
    team.join("ben");
    let before = team.report("before ben left");
    team.join("cleo");
    succeed(team.desk("ben").arg("sync"));
    assert_eq!(
        json(team.desk("ben").args(["--json", "inbox"]))["cases"][0]["title"],
        "before ben left"
    );
    let ben = team.keys("ben");
    let known = team.roster(3);
    let share = usize::try_from(known.draft().slips / 3).unwrap();
    let slips: Vec<u8> = (0..share)
        .flat_map(|_| decoy(&team.box_key, &mut rng(7)).to_vec())
        .collect();
    let (_, window) = body(&team.folder.path().join("ben"), &before);
    let listing = format!("/v1/windows/{window}/drops");
    let drop = format!("{listing}/{before}");
    assert_eq!(team.asks("ben", "GET", &drop, None), 200);

    succeed(team.desk("ana").args(["member", "remove", "ben"]));
    succeed(team.desk("ana").arg("publish"));

    // Access ends at once, and not because his program says so.
    let output = team.desk("ben").arg("sync").output().unwrap();
    assert!(!output.status.success());
    for path in ["/v1/windows", &listing, &drop, "/log/tile/entries/000"] {
        assert_eq!(team.asks("ben", "GET", path, None), 401, "{path}");
    }
    for path in ["/v1/slips", "/log/cosign"] {
        assert_eq!(team.asks("ben", "POST", path, Some(&slips)), 401, "{path}");
    }
    assert_eq!(team.asks("cleo", "GET", &drop, None), 200);
    let release = format!("/v1/windows/{window}/release");
    assert_eq!(team.asks("ben", "POST", &release, Some(&[])), 401);

    // What comes now is not sealed to him, whoever brings it to him.
    let after = team.report("after ben left");
    succeed(team.desk("ana").arg("sync"));
    succeed(team.desk("ana").args(["bundle", "out", "--all", "b.tar"]));
    let bundle = team.folder.path().join("ana/b.tar");
    let (sealed, _) = body(&team.folder.path().join("ana"), &after);
    let rosters = |epoch: u64| Some(team.roster(epoch));
    let context = Context {
        box_key: &team.box_key,
        roster: &rosters,
    };
    let read = |bytes: &[u8]| {
        let keys = std::slice::from_ref(&ben.identity);
        let len = bytes.len() as u64;
        open(
            bytes,
            len,
            Keys::Identities(keys),
            &context,
            &mut NoAttachments,
        )
    };
    assert!(matches!(
        read(&sealed),
        Err(OpenError::Quarantine(Quarantine::NotAddressedToYou))
    ));
    let inbox = ["--json", "inbox", "--bundle"];
    let inbox = json(team.desk("ben").args(inbox).arg(&bundle));
    let titles: Vec<&Value> = inbox["cases"].as_array().unwrap().iter().collect();
    assert_eq!(titles.len(), 1, "{inbox}");
    // He may still hold what was his.
    assert_eq!(titles[0]["title"], "before ben left");

    // What he gives to a newcomer does not count, though it is sealed to a roster with him in it.
    let (old, window) = body(&team.folder.path().join("ben"), &before);
    let opened = read(&old).unwrap();
    let grant = Grant {
        digest: from_hex(&before).unwrap(),
        size: old.len() as u64,
        window: Window(window),
        file_key: opened.file_key,
    };
    let event = TeamEvent {
        grants: vec![grant],
    };
    let keys = Phrase::generate(&mut rng(8)).keys(&team.box_key);
    let mut report = Report::new(Kind::Report, &known, &keys, &mut rng(9));
    let note = event.sign(Carrier::from(&report), "ben", &ben.voice);
    let title = "Team event by sealdrop-desk; not a report";
    report.form.insert("title".into(), title.into());
    report
        .form
        .insert("team-event".into(), note.unwrap().to_string());
    let sealing = (FileKey::generate(&mut rng(10)), [11; 16]);
    let drop = sealed::seal(&known, &report, &keys.voice, &sealing, &[]);
    let reply = call(team.socket(), "POST", "/v1/drops", &[], Some(&drop)).unwrap();
    assert_eq!(reply.status, 201);
    succeed(team.desk("cleo").arg("sync"));
    let inbox = json(team.desk("cleo").args(["--json", "inbox"]));
    let refused = inbox["team_events"][0]["refused"].as_str().unwrap();
    assert!(refused.contains("ben was no member"), "{refused}");
    let cases: Vec<&Value> = inbox["cases"].as_array().unwrap().iter().collect();
    assert_eq!(cases.len(), 1, "{inbox}");
    assert_eq!(cases[0]["title"], "after ben left");

    // A member's does.
    succeed(team.desk("ana").args(["reseal", "--all", "--yes"]));
    succeed(team.desk("cleo").arg("sync"));
    let inbox = json(team.desk("cleo").args(["--json", "inbox"]));
    let titles: Vec<&Value> = inbox["cases"].as_array().unwrap().iter().collect();
    assert_eq!(titles.len(), 2, "{inbox}");
    let is_old = |case: &&&Value| case["title"] == "before ben left";
    let case = titles.iter().find(is_old).unwrap();
    assert_eq!(case["resealed"], json!(true));
}
