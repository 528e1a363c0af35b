//! The drops themselves, as they came, in `drops/<window>/<digest>.age`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use sealdrop_client::{ClientError, Listed, Member};
use sealdrop_core::encoding::hex;
use sealdrop_core::time::Window;

use crate::context::Context;
use crate::home::{Home, make_folder, unwritable};
use crate::ledger::Known;

/// From this size on a download shows how far it is.
const LARGE: u64 = 4 << 20;

/// Where the ciphertext of drops comes from: this home folder, or a bundle.
pub(crate) trait Bodies {
    /// The file of a drop; `None` if it is not here. Its bytes are not checked yet.
    fn open(&self, drop: &Known) -> Result<Option<Box<dyn Read>>>;
}

impl Bodies for Home {
    fn open(&self, drop: &Known) -> Result<Option<Box<dyn Read>>> {
        for window in drop.windows() {
            let path = path(self, window, &drop.digest);
            match File::open(&path) {
                Ok(file) => return Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot read {}", path.display()));
                }
            }
        }
        Ok(None)
    }
}

fn path(home: &Home, window: Window, digest: &[u8; 32]) -> PathBuf {
    home.path(format!("drops/{window}/{}.age", hex(digest)))
}

/// Whether the drop is here whole, in whichever of its windows. Its hash was checked when it was put here, and is again when it is opened;
/// a disk that changes a file in between, and leaves its length, is not seen here.
pub(crate) fn is_here(home: &Home, drop: &Known) -> bool {
    drop.windows().any(|window| {
        fs::metadata(path(home, window, &drop.digest))
            .is_ok_and(|file| file.is_file() && file.len() == drop.size)
    })
}

/// Removes the file of a drop, durably, from whichever of its windows it is in, and a folder that is empty then. Gives whether it was here.
pub(crate) fn remove(home: &Home, drop: &Known) -> Result<bool> {
    let mut was_here = false;
    for window in drop.windows() {
        let path = path(home, window, &drop.digest);
        match fs::remove_file(&path) {
            Ok(()) => {
                was_here = true;
                let folder = path.parent().expect("the path has a folder");
                File::open(folder)
                    .and_then(|folder| folder.sync_all())
                    .map_err(|error| unwritable(folder, error))?;
                let _ = fs::remove_dir(folder);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
        }
    }
    Ok(was_here)
}

/// Whether drops of this window have been here.
pub(crate) fn has_window(home: &Home, window: Window) -> bool {
    home.path(format!("drops/{window}")).is_dir()
}

/// What became of a download.
pub(crate) enum Fetched {
    /// It is here now, durable, with the digest and size asked for.
    Here,
    /// The server does not have it (404), or no more (410).
    Missing,
    /// The server gave other bytes.
    Changed,
    /// The connection broke, again and again, or the answer was none of Sealdrop's.
    Broken(ClientError),
}

/// Downloads a drop. Nothing is left of it unless its hash is right.
pub(crate) fn fetch(
    context: &Context,
    home: &Home,
    member: &Member<'_>,
    drop: &Known,
) -> Result<Fetched> {
    let listed = Listed {
        digest: drop.digest,
        size: drop.size,
    };
    let bar = progress(context, drop.size);
    let mut result = Ok(());
    let stored = store(home, drop, |file| {
        let mut sink = BufWriter::new(bar.wrap_write(file));
        result = member.download(drop.window, &listed, &mut sink);
        Ok(result.is_ok() && sink.flush().map(|()| true)?)
    });
    bar.finish_and_clear();
    match result {
        Ok(()) => stored.map(|_| Fetched::Here),
        Err(ClientError::Status {
            status: 404 | 410, ..
        }) => Ok(Fetched::Missing),
        Err(ClientError::ChangedBody | ClientError::TooLong) => Ok(Fetched::Changed),
        Err(ClientError::Local(error)) => {
            Err(unwritable(&path(home, drop.window, &drop.digest), error))
        }
        Err(error) => Ok(Fetched::Broken(error)),
    }
}

/// Takes a drop from a bundle. `false`, and nothing is left of it, if its hash or size is not right.
pub(crate) fn take(home: &Home, drop: &Known, body: &mut dyn Read) -> Result<bool> {
    store(home, drop, |file| {
        let mut reader = Hashing::new(body.take(drop.size + 1));
        let copied = io::copy(&mut reader, file)?;
        Ok(copied == drop.size && reader.digest() == drop.digest)
    })
}

/// Lets `write` write the file of a drop beside its place, and moves it there, durable, if it says that the bytes are right.
fn store(
    home: &Home,
    drop: &Known,
    write: impl FnOnce(&mut File) -> io::Result<bool>,
) -> Result<bool> {
    let path = path(home, drop.window, &drop.digest);
    let folder = path.parent().expect("the path has a folder");
    make_folder(folder)?;
    let part = path.with_extension("part");
    let store = || -> io::Result<bool> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        Ok(file_is_right(&mut file, write)? && {
            fs::rename(&part, &path)?;
            File::open(folder)?.sync_all()?;
            true
        })
    };
    let stored = store();
    if !matches!(stored, Ok(true)) {
        let _ = fs::remove_file(&part);
        // Only an empty folder goes: that there is one says that drops of this window were here.
        let _ = fs::remove_dir(folder);
    }
    stored.map_err(|error| unwritable(&path, error))
}

fn file_is_right(
    file: &mut File,
    write: impl FnOnce(&mut File) -> io::Result<bool>,
) -> io::Result<bool> {
    let right = write(file)?;
    file.sync_all()?;
    Ok(right)
}

fn progress(context: &Context, size: u64) -> ProgressBar {
    if !context.is_chatty() || size < LARGE {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {eta} left")
        .expect("the template is fixed");
    ProgressBar::new(size).with_style(style)
}

/// A reader that hashes what it passes on.
pub(crate) struct Hashing<R> {
    inner: R,
    hash: sha2::Sha256,
}

impl<R> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            hash: sha2::Digest::new(),
        }
    }

    /// SHA-256 of what was read so far.
    pub(crate) fn digest(&self) -> [u8; 32] {
        sha2::Digest::finalize(self.hash.clone()).into()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        sha2::Digest::update(&mut self.hash, &out[..n]);
        Ok(n)
    }
}
