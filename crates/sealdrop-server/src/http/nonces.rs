//! The nonces of members' requests, so that each request is accepted once, also across a restart. docs/protocol.md, "Requests of members".
//!
//! They are kept on disk by window and without a time: 16 bytes each, appended. That a server refuses what was signed before its own
//! start is not enough by itself, as a member's clock may be ahead.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
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

struct Seen {
    nonces: HashSet<[u8; 16]>,
    file: File,
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
                let (nonces, torn) = bytes.as_chunks::<16>();
                if !torn.is_empty() {
                    file.set_len((bytes.len() - torn.len()) as u64)?;
                    io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
                }
                windows.insert(
                    window,
                    Seen {
                        nonces: nonces.iter().copied().collect(),
                        file,
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
    pub(super) fn remember(&self, nonce: [u8; 16], window: u64) -> Result<(), Error> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.values().any(|seen| seen.nonces.contains(&nonce)) {
            return Err(Error::NotAMember);
        }
        let seen = match windows.entry(window) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let path = self.dir.join(window.to_string());
                let file = owner_only()
                    .create(true)
                    .truncate(false)
                    .open(path)
                    .map_err(|_| Error::Full)?;
                entry.insert(Seen {
                    nonces: HashSet::new(),
                    file,
                })
            }
        };
        seen.file.write_all(&nonce).map_err(|_| Error::Full)?;
        seen.nonces.insert(nonce);
        Ok(())
    }

    /// Forgets the windows whose requests are too old to be accepted anyway.
    pub(super) fn forget(&self, open: u64, length: u64, now: Time) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
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
