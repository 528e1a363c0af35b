//! Files that the program writes: owner-only, never over another, and gone again if what they are for fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use sealdrop_client::show;

use crate::failure::Failure;

/// A file that is being made. Unless [`NewFile::keep`] is called it is removed again.
pub(crate) struct NewFile {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl NewFile {
    /// Makes an empty file that nobody else can read. It must not exist.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options
            .open(path)
            .map_err(|error| cannot_create(path, &error))?;
        Ok(Self {
            path: path.into(),
            file,
            kept: false,
        })
    }

    /// The same, with room on the disk for so many bytes, for what has to be written when it is too late to fail.
    pub(crate) fn reserve(path: &Path, len: usize) -> Result<Self, Failure> {
        let mut new = Self::create(path)?;
        // Written, not only allocated: not every file system can do that, and some compress zeros away.
        let filler: Vec<u8> = (0..len).map(|i| b'a' + (i * i % 23) as u8).collect();
        new.write(&filler)?;
        let synced = new.file.sync_all().and_then(|()| new.file.rewind());
        synced.map_err(|error| new.failed(&error))?;
        Ok(new)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file
            .write_all(bytes)
            .map_err(|error| cannot_write(&self.path, &error))
    }

    /// A writer, for what comes piece by piece.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// The file stays, and is on the disk when this returns.
    pub(crate) fn keep(mut self) -> Result<PathBuf, Failure> {
        let parent = parent(&self.path);
        let synced = self
            .file
            .stream_position()
            // What was reserved and not needed.
            .and_then(|len| self.file.set_len(len))
            .and_then(|()| self.file.sync_all())
            .and_then(|()| File::open(parent)?.sync_all());
        // Some file systems cannot sync a folder; that the file itself was synced is what counts.
        match synced {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                Err(cannot_write(&self.path, &error))
            }
            _ => {
                self.kept = true;
                Ok(self.path.clone())
            }
        }
    }

    pub(crate) fn failed(&self, error: &io::Error) -> Failure {
        cannot_write(&self.path, error)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes a file, or puts a newer one in the place of what the program wrote there before. Whoever reads it meanwhile gets the one or the other.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut new = NewFile::create(&replacement(path))?;
    new.write(bytes)?;
    let written = new.keep()?;
    fs::rename(&written, path).map_err(|error| {
        let _ = fs::remove_file(&written);
        cannot_write(path, &error)
    })
}

/// Where what is to take a file's place is written first.
pub(crate) fn replacement(path: &Path) -> PathBuf {
    beside(path, ".new")
}

/// Whether a file can be made there later, so that a long way is not gone for nothing.
pub(crate) fn expect_new(path: &Path) -> Result<(), Failure> {
    drop(NewFile::create(path)?);
    Ok(())
}

/// That what is going to be written does not get in its own way: options and the files that they name.
pub(crate) fn expect_different(files: &[(&str, &Path)]) -> Result<(), Failure> {
    for (i, (option, path)) in files.iter().enumerate() {
        let same = |(_, other): &&(&str, &Path)| place(other) == place(path);
        if let Some((other, _)) = files[..i].iter().find(same) {
            return Err(Failure::usage(format!(
                "{other} and {option} would both write {}",
                path.display()
            ))
            .hint("give two names"));
        }
    }
    Ok(())
}

/// The path without what says the same in another way, as far as it exists.
fn place(path: &Path) -> PathBuf {
    let folder = fs::canonicalize(parent(path)).unwrap_or_else(|_| parent(path).into());
    folder.join(path.file_name().unwrap_or_default())
}

/// A small file that the program was told to read, at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot_read(path, &error))?;
    if bytes.len() > limit {
        return Err(Failure::usage(format!(
            "{} is larger than such a file can be ({})",
            path.display(),
            show::bytes(limit as u64)
        )));
    }
    Ok(bytes)
}

pub(crate) fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::usage(format!(
        "{} cannot be read: {}",
        path.display(),
        reason(error)
    ));
    match error.kind() {
        io::ErrorKind::NotFound => failure.hint("check the spelling, and the folder you are in"),
        io::ErrorKind::PermissionDenied => {
            failure.hint("its permissions do not let you; copy it to where you can read it")
        }
        io::ErrorKind::IsADirectory => failure.hint("give the name of a file in it"),
        _ => failure,
    }
}

fn cannot_create(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::usage(format!(
        "{} cannot be made: {}",
        path.display(),
        reason(error)
    ));
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            failure.hint("nothing is overwritten; give another name, or move that file away")
        }
        io::ErrorKind::NotFound => failure.hint("the folder does not exist; make it first"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failure.hint("you may not write to that folder; give a name in one of your own")
        }
        _ => failure,
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::refused(format!(
        "{} cannot be written: {}",
        path.display(),
        reason(error)
    ));
    match error.kind() {
        io::ErrorKind::StorageFull => failure.hint("the disk is full; free some space and repeat"),
        _ => failure,
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The error without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::AlreadyExists => "it exists already",
        io::ErrorKind::IsADirectory => "it is a folder",
        io::ErrorKind::StorageFull => "the disk is full",
        _ => return error.to_string(),
    };
    text.into()
}

/// `name.ending`, or the first of `name-2.ending`, … that is not taken.
pub(crate) fn free_name(name: &str, ending: &str) -> String {
    let mut free = format!("{name}.{ending}");
    let mut number = 1;
    while Path::new(&free).symlink_metadata().is_ok() {
        number += 1;
        free = format!("{name}-{number}.{ending}");
    }
    free
}

/// `FILE.key` for `FILE`.
pub(crate) fn key_path(receipt: &Path) -> PathBuf {
    beside(receipt, ".key")
}

/// `FILE.tlog-proof` for `FILE`.
pub(crate) fn proof_path(receipt: &Path) -> PathBuf {
    beside(receipt, ".tlog-proof")
}

/// The name with an ending more.
pub(crate) fn beside(receipt: &Path, ending: &str) -> PathBuf {
    let mut name = receipt.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_nobody_may_write_to_has_its_hint() {
        let failure = cannot_create(
            Path::new("/r.json"),
            &io::ErrorKind::PermissionDenied.into(),
        );
        assert_eq!(failure.message, "/r.json cannot be made: permission denied");
        assert!(failure.hint.unwrap().contains("a name in one of your own"));
    }
}
