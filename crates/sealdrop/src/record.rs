//! `FILE.box` beside a sealed drop: the box and the roster that it was sealed to, which nobody can tell from the drop itself. `post` holds it
//! against the address before it sends anything. docs/protocol.md, "Padding", says why: a drop has one shape for all boxes of as many members.

use std::fs;
use std::path::{Path, PathBuf};

use sealdrop_client::{MAX_RECORD, RecordError, VerifiedBox};
use sealdrop_core::address::Address;

use crate::failure::Failure;
use crate::files::{self, NewFile};
use crate::output::Output;
use crate::post::FileSource;
use crate::progress::Progress;

/// What a drop was sealed for, and the file that says so.
pub(crate) struct Record {
    pub(crate) path: PathBuf,
    pub(crate) kept: sealdrop_client::Record,
}

impl Record {
    /// Makes the empty file for the record of a drop that was just made. What an older drop of that name left is in the way of nobody.
    pub(crate) fn create(drop: &Path) -> Result<NewFile, Failure> {
        let path = path(drop);
        if read(&path).is_ok_and(|record| record.is_some()) {
            let _ = fs::remove_file(&path);
        }
        NewFile::create(&path)
    }

    /// Whether it can be made later.
    pub(crate) fn expect_new(drop: &Path) -> Result<(), Failure> {
        let path = path(drop);
        match read(&path) {
            Ok(Some(_)) => Ok(()),
            _ => files::expect_new(&path),
        }
    }

    /// Writes the record of the drop at `drop`, which is whole, and keeps it.
    pub(crate) fn keep(
        mut file: NewFile,
        drop: &Path,
        address: &Address,
        the_box: &VerifiedBox,
    ) -> Result<(), Failure> {
        let mut source = FileSource::open(drop)?;
        let header = source.header_digest(the_box.roster().members().len())?;
        let kept = sealdrop_client::Record {
            address: address.clone(),
            header,
            digest: source.digest(|_| ())?,
            size: source.size,
            box_file: the_box.to_file(),
        };
        file.write(kept.to_json().as_bytes())?;
        file.keep().map(|_| ())
    }

    /// The record of a drop, if there is one, held against the drop and the address that it is to be posted to.
    pub(crate) fn check(
        source: &mut FileSource,
        address: &Address,
        output: &Output,
    ) -> Result<Option<Self>, Failure> {
        let Some(record) = read(&path(source.path()))? else {
            return Ok(None);
        };
        let drop = source.path().display().to_string();
        let kept = &record.kept;
        let members = kept
            .box_file
            .clone()
            .verify_ignoring_expiry(&kept.address.box_key)
            .map(|the_box| the_box.roster().members().len())
            .map_err(|_| foreign(&record.path))?;
        if source.size != kept.size || source.header_digest(members)? != kept.header {
            return Err(Failure::usage(format!(
                "{drop} is not the drop that {} was written with, or it changed since",
                record.path.display()
            ))
            .hint("give the file that `sealdrop seal -o` wrote, whole and unchanged, with what it wrote beside it"));
        }
        if kept.address.box_key != address.box_key {
            return Err(Failure::refused(format!(
                "{drop} was sealed for another box ({}) than the one that this address names ({}), whose members could not open it",
                kept.address.box_key.fingerprint(),
                address.box_key.fingerprint()
            ))
            .hint(format!(
                "nothing was sent: post it to the address that it was sealed for, '{}', or seal the report again for this one",
                kept.address
            )));
        }
        let progress = Progress::new("checking", source.size, output);
        if source.digest(|done| progress.set(done))? != kept.digest {
            return Err(Failure::usage(format!(
                "{drop} is damaged: it is not, byte for byte, what {} was written with",
                record.path.display()
            ))
            .hint("nothing was sent: copy it again from where it was sealed, or seal the report again"));
        }
        Ok(Some(record))
    }
}

/// `FILE.box` for `FILE`.
pub(crate) fn path(drop: &Path) -> PathBuf {
    files::beside(drop, ".box")
}

fn read(path: &Path) -> Result<Option<Record>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = files::read(path, MAX_RECORD)?;
    let kept = sealdrop_client::Record::parse(&bytes).map_err(|error| match error {
        RecordError::Version => Failure::usage(format!(
            "{} was written by a newer sealdrop",
            path.display()
        ))
        .hint("use that version, or a later one"),
        _ => foreign(path),
    })?;
    Ok(Some(Record {
        path: path.into(),
        kept,
    }))
}

fn foreign(path: &Path) -> Failure {
    Failure::usage(format!(
        "{} is not what `sealdrop seal` writes beside a drop",
        path.display()
    ))
    .hint("move it away, and say with --box what was sealed to")
}
