//! The nonces of members' requests, so that each request is accepted once, also across a restart. docs/protocol.md, "Requests of members".
//!
//! They are kept on disk by window and without a time: 16 bytes each, appended. That a server refuses what was signed before its own
//! start is not enough by itself, as a member's clock may be ahead.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sealdrop_core::encoding::from_decimal;
use sealdrop_core::request::NONCE_MEMORY;
use sealdrop_core::time::{Time, Window};

use crate::error::Error;
use crate::store::folder::owner_only;

pub(crate) struct Nonces {
    dir: PathBuf,
    windows: Mutex<BTreeMap<u64, Seen>>,
}

#[derive(Default)]
struct Seen {
    nonces: HashSet<[u8; 16]>,
    file: Option<File>,
    /// How many nonces the file holds.
    kept: u64,
}

impl Seen {
    /// Writes behind the last whole nonce, so that one which failed half-way is written over.
    fn append(&mut self, nonce: &[u8; 16], dir: &Path, window: u64) -> io::Result<()> {
        let at = self.kept * 16;
        self.file(dir, window)?.write_all_at(nonce, at)?;
        self.kept += 1;
        Ok(())
    }

    fn file(&mut self, dir: &Path, window: u64) -> io::Result<&File> {
        let path = dir.join(window.to_string());
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(owner_only().create(true).truncate(false).open(path)?)),
        }
    }
}

impl Nonces {
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        let mut windows = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if let Some(window) = entry.file_name().to_str().and_then(from_decimal) {
                let mut file = owner_only().open(entry.path())?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                let (nonces, _torn) = bytes.as_chunks::<16>();
                windows.insert(
                    window,
                    Seen {
                        nonces: nonces.iter().copied().collect(),
                        file: Some(file),
                        kept: nonces.len() as u64,
                    },
                );
            }
        }
        Ok(Self {
            dir,
            windows: Mutex::new(windows),
        })
    }

    /// Remembers a nonce that a member signed; [`Error::NotAMember`] if it was seen before.
    ///
    /// On a full disk it is remembered until a restart only: members must be able to fetch then, and to make room by releasing a window.
    pub(super) fn remember(&self, nonce: [u8; 16], window: u64) -> Result<(), Error> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.values().any(|seen| seen.nonces.contains(&nonce)) {
            return Err(Error::NotAMember);
        }
        let seen = windows.entry(window).or_default();
        if let Err(error) = seen.append(&nonce, &self.dir, window) {
            tracing::warn!(%error, "a nonce cannot be kept");
        }
        seen.nonces.insert(nonce);
        Ok(())
    }

    /// Makes the file of the open window, so that its birth does not say when the first request came, and forgets the windows whose
    /// requests are too old to be accepted anyway.
    pub(super) fn turn(&self, open: u64, length: u64, now: Time) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        // What fails here fails, and is told, with the first request.
        let _ = windows.entry(open).or_default().file(&self.dir, open);
        windows.retain(|&window, _| {
            let keep = window >= open
                || now.0 <= Window(window).end(length).0.saturating_add(NONCE_MEMORY);
            if !keep {
                let _ = fs::remove_file(self.dir.join(window.to_string()));
            }
            keep
        });
    }
}
