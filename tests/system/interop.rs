//! Standard tools open everything (architecture, invariant 7): drops are opened with implementations that nobody here wrote.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::note::Note;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::recipient::{IdentitySeed, Recipient};
use sealdrop_core::state::State;
use sealdrop_open::Identity;
use sealdrop_tests::{command, go_age, node, scratch, skip, succeed, tool};

use crate::maker::TestBox;

/// A drop for two members, its attachment, and the second one's identity.
struct Fixture {
    dir: tempfile::TempDir,
    identity: IdentitySeed,
    attachment: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let identity = IdentitySeed::from_bytes(&[3; 32]);
        let attachment: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let drop = seal(
            [
                IdentitySeed::from_bytes(&[2; 32]).to_public(),
                identity.to_public(),
            ],
            &attachment,
        );
        let dir = scratch();
        fs::write(dir.path().join("drop.age"), drop).unwrap();
        fs::write(dir.path().join("identity.txt"), &*identity.to_age()).unwrap();
        Self {
            dir,
            identity,
            attachment,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    #[track_caller]
    fn check_tar(&self, tar: &Path) {
        let list = succeed(Command::new("tar").arg("tf").arg(tar));
        assert_eq!(list, "report.json\nattachments/001-poc.bin\nreport.sig\n");
        let report = succeed(Command::new("tar").arg("xOf").arg(tar).arg("report.json"));
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["form"]["title"], "A hole");
        let out = self.path("extracted");
        fs::create_dir(&out).unwrap();
        succeed(Command::new("tar").arg("xf").arg(tar).arg("-C").arg(&out));
        assert!(fs::read(out.join("attachments/001-poc.bin")).unwrap() == self.attachment);
    }
}

/// A drop for two members, with an attachment.
fn seal(recipients: [Recipient; 2], attachment: &[u8]) -> Vec<u8> {
    let team = TestBox::of(recipients, 1);
    let files = [("poc.bin", attachment)];
    team.seal(&team.report("It breaks.", &files), &files)
}

#[test]
fn go_age_opens_the_state_that_a_reporters_program_keeps() {
    let Some(age) = go_age() else {
        return skip(
            "go_age_opens_the_state_that_a_reporters_program_keeps",
            "needs Go age 1.3 or later",
        );
    };
    let team = TestBox::new(1);
    let keys = Phrase::from_entropy(&[1; 16]).keys(team.roster.box_key());
    let state = State {
        seen: team.roster.seen(),
        retention: 7_776_000,
        checkpoint: Note::new("a checkpoint\n").unwrap().sign("x", &keys.voice),
        segments: Vec::new(),
        slips: Vec::new(),
    };
    let dir = scratch();
    let file = dir.path().join("state");
    fs::write(
        &file,
        state.seal(&keys, &mut ChaCha20Rng::from_seed([1; 32])),
    )
    .unwrap();
    let identity = dir.path().join("identity.txt");
    fs::write(&identity, &*keys.state.to_age()).unwrap();
    let plain = succeed(
        Command::new(age)
            .arg("-d")
            .arg("-i")
            .arg(&identity)
            .arg(&file),
    );
    let json: serde_json::Value = serde_json::from_str(&plain).unwrap();
    assert_eq!(
        (&json["version"], &json["retention"]),
        (&1.into(), &7_776_000.into())
    );
    assert_eq!(plain.len(), 1_048_576);
}

#[test]
fn go_age_decrypts_a_drop_and_gnu_tar_lists_it() {
    let Some(age) = go_age() else {
        return skip(
            "go_age_decrypts_a_drop_and_gnu_tar_lists_it",
            "needs Go age 1.3 or later",
        );
    };
    let fixture = Fixture::new();
    let tar = fixture.path("report.tar");
    succeed(
        Command::new(age)
            .args(["-d", "-i"])
            .arg(fixture.path("identity.txt"))
            .arg("-o")
            .arg(&tar)
            .arg(fixture.path("drop.age")),
    );
    fixture.check_tar(&tar);
    if let Some(bsdtar) = tool("bsdtar") {
        let list = succeed(Command::new(bsdtar).arg("tf").arg(&tar));
        assert_eq!(list, "report.json\nattachments/001-poc.bin\nreport.sig\n");
    } else {
        skip("bsdtar lists an opened drop", "needs libarchive-tools");
    }
    let script =
        "import sys, tarfile\nfor m in tarfile.open(sys.argv[1]): print(m.name, m.size, m.isreg())";
    let list = succeed(Command::new("python3").args(["-c", script]).arg(&tar));
    assert!(
        list.ends_with("attachments/001-poc.bin 800000 True\nreport.sig 64 True\n"),
        "{list}"
    );
}

#[test]
fn go_age_opens_a_drop_with_the_identity_that_the_desk_exports() {
    let Some(age) = go_age() else {
        return skip(
            "go_age_opens_a_drop_with_the_identity_that_the_desk_exports",
            "needs Go age 1.3 or later",
        );
    };
    let fixture = Fixture::new();
    fs::write(fixture.path("passphrase"), "correct horse\n").unwrap();
    let desk = |args: &[&str]| {
        let mut desk = command("sealdrop-desk");
        desk.current_dir(fixture.dir.path()).args([
            "--json",
            "--home",
            "desk",
            "--passphrase-file",
            "passphrase",
        ]);
        succeed(desk.args(args))
    };
    let made = desk(&["init", "--work-factor", "2", "--no-recovery"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let ours = Recipient::parse(made["card"]["member"]["recipient"].as_str().unwrap()).unwrap();
    let other = fixture.identity.to_public();
    let drop = seal([ours, other], &fixture.attachment);
    fs::write(fixture.path("drop.age"), drop).unwrap();
    desk(&["keys", "export-identity", "-o", "exported.txt"]);
    // As docs/operations.md says.
    let mut age = Command::new(age);
    age.current_dir(fixture.dir.path()).args([
        "-d",
        "-i",
        "exported.txt",
        "-o",
        "report.tar",
        "drop.age",
    ]);
    succeed(&mut age);
    fixture.check_tar(&fixture.path("report.tar"));
}

#[test]
fn typage_decrypts_a_drop() {
    let Some(node) = node() else {
        return skip(
            "typage_decrypts_a_drop",
            "needs Node and npm's age-encryption",
        );
    };
    let fixture = Fixture::new();
    let tar = fixture.path("report.tar");
    let mut command = Command::new("node");
    command
        .arg("typage.mjs")
        .arg("decrypt")
        .arg(&*fixture.identity.to_age());
    succeed(
        command
            .arg(fixture.path("drop.age"))
            .arg(&tar)
            .current_dir(node),
    );
    fixture.check_tar(&tar);
}

#[test]
fn we_open_what_typage_and_go_age_seal_to_a_hybrid_recipient() {
    let fixture = Fixture::new();
    let (plain, sealed) = (fixture.path("plain"), fixture.path("sealed"));
    fs::write(&plain, &fixture.attachment).unwrap();
    let recipient = fixture.identity.to_public().to_string();
    let check = || {
        let identity = Identity::new(&fixture.identity);
        let file = fs::read(&sealed).unwrap();
        let decryptor = age::Decryptor::new_buffered(&file[..]).unwrap();
        let mut opened = Vec::new();
        let identities = std::iter::once(&identity as &dyn age::Identity);
        decryptor
            .decrypt(identities)
            .unwrap()
            .read_to_end(&mut opened)
            .unwrap();
        assert!(opened == fixture.attachment);
    };
    match node() {
        Some(node) => {
            let mut command = Command::new("node");
            command
                .args(["typage.mjs", "encrypt", &recipient])
                .arg(&plain)
                .arg(&sealed);
            succeed(command.current_dir(node));
            check();
        }
        None => skip(
            "we_open_what_typage_seals",
            "needs Node and npm's age-encryption",
        ),
    }
    match go_age() {
        Some(age) => {
            succeed(
                Command::new(age)
                    .args(["-r", &recipient, "-o"])
                    .arg(&sealed)
                    .arg(&plain),
            );
            check();
        }
        None => skip("we_open_what_go_age_seals", "needs Go age 1.3 or later"),
    }
}
