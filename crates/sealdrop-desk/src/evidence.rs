//! Checkpoints that were refused, kept in `evidence/`: whoever signed them cannot take them back.

use std::fs;

use anyhow::{Context as _, Result, bail};
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::note::Note;

use crate::doctor::Finding;
use crate::home::Home;
use crate::ledger::Ledger;

const FOLDER: &str = "evidence";

/// A checkpoint that is kept aside until it is known to be good. It stays if nobody says so, also when the program dies in between.
pub(crate) struct Kept {
    path: std::path::PathBuf,
}

impl Kept {
    pub(crate) fn new(home: &Home, note: &Note) -> Result<Self> {
        let bytes = note.to_string();
        let name = format!(
            "{FOLDER}/checkpoint-{}.note",
            hex(&sha256(bytes.as_bytes())[..8])
        );
        home.write(&name, bytes.as_bytes())?;
        Ok(Self {
            path: home.path(name),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// The checkpoint is good.
    pub(crate) fn forget(self, home: &Home) {
        let _ = fs::remove_file(self.path);
        let _ = fs::remove_dir(home.path(FOLDER));
    }
}

/// Whether there is evidence, what it shows, and what to do with it.
pub(crate) fn check(home: &Home) -> Result<Finding> {
    let folder = home.path(FOLDER);
    let ledgers = Ledger::load_all(home)?;
    let (mut found, mut is_grave) = (Vec::new(), false);
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = entry.context("cannot read the folder of evidence")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let shown = shows(&bytes, &ledgers);
        is_grave |= shown.is_err();
        found.push(format!("{name}: {}", shown.unwrap_or_else(|grave| grave)));
    }
    if found.is_empty() {
        return Ok(Finding::Good("no refused checkpoint is kept here".into()));
    }
    found.sort();
    let text = format!(
        "refused checkpoints are kept in {}: {}. Show them to the other members by another way than the server, and compare with what `sealdrop-desk doctor` says on their machines; move them away when it is settled",
        folder.display(),
        found.join("; ")
    );
    if is_grave {
        bail!(text);
    }
    Ok(Finding::Warning(text))
}

/// What a checkpoint shows, beside the log that this machine has checked: `Err` if that is a fault of the server.
fn shows(bytes: &[u8], ledgers: &[Ledger]) -> Result<String, String> {
    let checkpoint = Note::parse(bytes)
        .ok()
        .and_then(|note| Some((Checkpoint::parse_unverified(&note).ok()?, note)));
    let Some((Checkpoint { origin, size, root }, note)) = checkpoint else {
        return Ok("not a checkpoint".into());
    };
    let signed = ledgers.iter().find(|ledger| {
        let vkey = ledger.vkey().filter(|vkey| vkey.name() == origin);
        vkey.is_some_and(|vkey| Checkpoint::verify(&note, &vkey).is_ok())
    });
    let Some(ledger) = signed else {
        return Err(format!(
            "{size} entries, signed by no log of this box that is known here"
        ));
    };
    match ledger.root_of(size) {
        None => Err(format!(
            "{size} entries, signed by the log, and the {} that are here did not lead to it: a fork, or entries that break the log's rules",
            ledger.size()
        )),
        Some(ours) if ours != root => Err(format!(
            "A FORK: the log signed another tree of {size} entries than the one that is here, and both signatures are its own"
        )),
        Some(_) => Ok(format!(
            "{size} entries, the same as here: the server was rolled back then, or what was wrong has passed"
        )),
    }
}
