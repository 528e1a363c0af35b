//! The data folder: who may read it, which version wrote it, one server at a time, and the times that its files show.
//!
//! ```text
//! VERSION               the layout's number
//! lock                  held by the running server
//! log.key               the private half of the log key
//! index.db*             SQLite: the index over the packs, the log's tiles, checkpoints, rosters, the feed
//! packs/<window>/pack   drops and other leaves, appended
//! packs/<window>/<hex>  one large drop
//! uploads/              resumable uploads under way
//! nonces/<window>       nonces of members' requests
//! ```
//!
//! Nothing here may tell a time finer than a window (docs/protocol.md, "Windows"), and that includes what the file system writes down by
//! itself. Access and modification times of a pack are set to the start of the window ([`stamp_file`]) before each sync, so that the true
//! ones do not reach the disk. The time of the last inode change (ctime) cannot be set by anyone, so all live files are stamped at a fixed
//! rhythm, whatever the traffic ([`Folder::stamp_live`]): their ctime then says only that the server was running. What was written since the
//! last beat, a few seconds ago, can be told from the rest until the next; a stop ends with a beat. Bodies are read without an access time
//! (`O_NOATIME`). The time of birth (btime), where the file system keeps one, cannot be set either: packs and nonces have a file from the
//! beginning of the window, but a large drop and a resumable upload is a file born as it arrives (docs/leakage.md, "Known and accepted").

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags, Timespec, Timestamps};
use sealdrop_core::encoding;
use sealdrop_core::key::{LogRole, SecretKey};
use sealdrop_core::time::Time;
use zeroize::Zeroizing;

use crate::error::StartError;
use crate::system;

/// The layout that this program writes. A folder of a higher number is refused.
const VERSION: u64 = 1;
const SUBFOLDERS: [&str; 3] = ["packs", "uploads", "nonces"];
const LOG_KEY_LINE: &str = "sealdrop/log-key/v1";

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Its lock is released when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Opens `root`, making it if it does not exist.
    pub(crate) fn open(root: &Path) -> Result<Self, StartError> {
        let at = |what: &'static str| move |error| StartError::io(what, root, error);
        if !root.exists() {
            DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(root)
                .map_err(at("make the data folder"))?;
            // One that may not be read cannot be synced; its owner made it for us, and its names are theirs to keep.
            let above = root.parent().filter(|path| !path.as_os_str().is_empty());
            let _ = sync_dir(above.unwrap_or(Path::new(".")));
        }
        let metadata = fs::metadata(root).map_err(at("read the data folder"))?;
        if !metadata.is_dir() {
            return Err(StartError::NotAFolder(root.into()));
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(StartError::AnothersFolder(root.into()));
        }
        let empty = fs::read_dir(root)
            .map_err(at("read the data folder"))?
            .next()
            .is_none();
        if metadata.mode() & 0o077 != 0 {
            if !empty {
                return Err(StartError::OpenFolder(root.into(), metadata.mode() & 0o777));
            }
            fs::set_permissions(root, fs::Permissions::from_mode(0o700))
                .map_err(at("close the data folder to others"))?;
        }
        let version = root.join("VERSION");
        if empty || is_unfinished(root).map_err(at("read the data folder"))? {
            let lock = lock(root)?;
            for dir in SUBFOLDERS {
                make_dir(&root.join(dir)).map_err(at("make a folder in"))?;
            }
            let key = root.join("log.key");
            // Under the lock nobody else is about to write it.
            if is_empty_file(&key) {
                fs::remove_file(&key).map_err(at("remove the empty log key of"))?;
            }
            // It comes last: it says that the folder is whole. Its name is made durable with that of the log key.
            write_whole(&version, format!("{VERSION}\n").as_bytes()).map_err(at("write to"))?;
            return Ok(Self {
                root: root.into(),
                _lock: lock,
            });
        }
        match fs::read_to_string(&version) {
            Ok(text) => match text.strip_suffix('\n').and_then(encoding::from_decimal) {
                Some(VERSION) => {}
                Some(found) => return Err(StartError::NewerFolder(root.into(), found)),
                None => return Err(StartError::ForeignFolder(root.into())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StartError::ForeignFolder(root.into()));
            }
            Err(error) => return Err(StartError::io("read the version of", root, error)),
        }
        let lock = lock(root)?;
        Ok(Self {
            root: root.into(),
            _lock: lock,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.db")
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    /// The folder of one window's packs.
    pub(crate) fn window(&self, window: u64) -> PathBuf {
        self.packs().join(window.to_string())
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn nonces(&self) -> PathBuf {
        self.root.join("nonces")
    }

    /// The log key; made, and synced to the disk, if there is none yet.
    pub(crate) fn log_key(&self) -> Result<SecretKey<LogRole>, StartError> {
        let path = self.root.join("log.key");
        match File::open(&path) {
            Ok(file) => read_log_key(file)
                .map_err(|e| StartError::io("read", &path, e))?
                .ok_or(StartError::BadLogKey(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let seed = Zeroizing::new(system::random::<32>());
                let text = Zeroizing::new(format!(
                    "{LOG_KEY_LINE}\n{}\n",
                    &*Zeroizing::new(encoding::hex(&*seed))
                ));
                write_whole(&path, text.as_bytes())
                    .and_then(|()| sync_dir(&self.root))
                    .map_err(|e| StartError::io("write", &path, e))?;
                Ok(SecretKey::from_seed(&seed))
            }
            Err(error) => Err(StartError::io("read", &path, error)),
        }
    }

    /// Sets the access and modification times of everything that is still written to, and of the folders above, to `time`.
    /// `window` is the open window, if any.
    pub(crate) fn stamp_live(&self, window: Option<u64>, time: Time) {
        stamp_files_in(&self.root, time);
        stamp_files_in(&self.uploads(), time);
        stamp_files_in(&self.nonces(), time);
        if let Some(window) = window {
            stamp_files_in(&self.window(window), time);
        }
        stamp(&self.packs(), time);
    }

    /// The bytes that packs and uploads take.
    pub(crate) fn bytes_used(&self) -> io::Result<u64> {
        let mut used = folder_bytes(&self.uploads())?;
        for entry in fs::read_dir(self.packs())? {
            used += folder_bytes(&entry?.path())?;
        }
        Ok(used)
    }
}

/// Sets access and modification time of one file or folder. Failure is no reason to refuse a drop, so it is not told.
pub(crate) fn stamp(path: &Path, time: Time) {
    let at = Timespec {
        tv_sec: time.0.min(i64::MAX as u64) as i64,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: at,
        last_modification: at,
    };
    let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// The same for a file that is open.
pub(crate) fn stamp_file(file: &File, time: Time) {
    let at = Timespec {
        tv_sec: time.0.min(i64::MAX as u64) as i64,
        tv_nsec: 0,
    };
    let _ = rustix::fs::futimens(
        file,
        &Timestamps {
            last_access: at,
            last_modification: at,
        },
    );
}

/// Stamps a folder and the files in it.
pub(crate) fn stamp_files_in(dir: &Path, time: Time) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            stamp(&entry.path(), time);
        }
    }
    stamp(dir, time);
}

pub(crate) fn folder_bytes(dir: &Path) -> io::Result<u64> {
    fs::read_dir(dir)?.try_fold(0, |sum, entry| Ok(sum + entry?.metadata()?.len()))
}

/// Makes a folder that only the owner reads; one that exists is fine.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// How every file of the folder is opened for writing: for the owner alone.
pub(crate) fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Opens a body for reading, without leaving a trace of when.
pub(crate) fn open_quietly(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOATIME.bits().cast_signed())
        .open(path)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a file under another name first, so that a full disk or a crash never leaves a part of it under its own.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let write = || {
        let mut file = owner_only().create(true).truncate(true).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&part);
    })
}

/// Whether everything in the folder is what a first start leaves that was interrupted, by a full disk for example: nothing in it is of use.
fn is_unfinished(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_leftover = match entry.file_name().to_str() {
            Some("VERSION" | "lock") => is_empty_file(&path),
            Some("VERSION.part" | "log.part") => kind.is_file(),
            Some("log.key") => {
                kind.is_file()
                    && (is_empty_file(&path) || read_log_key(File::open(&path)?)?.is_some())
            }
            Some(name) if SUBFOLDERS.contains(&name) => {
                kind.is_dir() && fs::read_dir(&path)?.next().is_none()
            }
            _ => false,
        };
        if !is_leftover {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_empty_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == 0)
}

/// The key in an open `log.key`; `None` if that is not what it is.
fn read_log_key(file: File) -> io::Result<Option<SecretKey<LogRole>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    file.take(256).read_to_end(&mut bytes)?;
    let seed = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| {
            text.strip_prefix(LOG_KEY_LINE)?
                .strip_prefix('\n')?
                .strip_suffix('\n')
        })
        .and_then(encoding::from_hex)
        .map(Zeroizing::new);
    Ok(seed.map(|seed| SecretKey::from_seed(&seed)))
}

fn lock(root: &Path) -> Result<File, StartError> {
    let path = root.join("lock");
    let file = owner_only()
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| StartError::io("open the lock of", root, error))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::InUse(root.into())),
        Err(error) => Err(StartError::io("lock", root, error.into())),
    }
}
