//! The home folder: owner-only, written whole or not at all, one program at a time.
//!
//! | file | holds |
//! | --- | --- |
//! | `desk.json` | which box this is, and the public halves of the keys here ([`Profile`]) |
//! | `keyring.age` | the keys, sealed with a passphrase |
//! | `rosters/<epoch>.json` | every roster seen |
//! | `outgoing.json` | a roster that is signed and not yet on the server |
//! | `used.json` | the highest epoch of a roster that was signed here and given up |
//! | `pending.json` | what the next roster will change |
//! | `log/log-<id>/` | the entries of the log as checked, and the last checkpoint |
//! | `listed.json` | drops the server has shown that are in no checkpoint yet |
//! | `drops/<window>/<digest>.age` | drops as they came |
//! | `opening` | the drop being opened, if the program died of it |
//! | `incoming/` | bundles that come on standard input, until they are taken in |
//! | `evidence/` | checkpoints that were refused |
//! | `outbox/` | finished slips on their way to the feed |
//! | `canned/<name>.txt` | texts that are sent often, written by the user |
//! | `answers/` | what this member said, sealed to their own recipient; how far each slip has come |
//! | `recovery.age` | the keys but this machine's, sealed with the recovery code |
//! | `split.json` | among whom the box key was split last; no share |
//! | `destroyed.json` | which identities were destroyed, and the drops that nothing opens since |
//! | `inbox.json` | verdicts and case numbers; no text of a report |

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sealdrop_core::address::{Address, Origin};
use sealdrop_core::key::{AccessRole, BoxKey, VoiceRole, WitnessRole};
use sealdrop_core::note::Vkey;
use sealdrop_core::recipient::Recipient;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the folder's layout.
const VERSION: u64 = 1;

/// A home folder, locked while this lives.
pub(crate) struct Home {
    dir: PathBuf,
    lock: File,
}

impl Home {
    /// Refuses a folder that is a desk already: its keys may be the only ones.
    pub(crate) fn check_unused(dir: &Path) -> Result<()> {
        let path = dir.join("desk.json");
        if path
            .try_exists()
            .map_err(|error| unreadable(&path, error))?
        {
            bail!(
                "{} already has a keyring: choose another folder with --home, or use the one there",
                dir.display()
            );
        }
        Ok(())
    }

    /// Makes an empty folder for `init`.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        Self::check_unused(dir)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| unwritable(dir, error))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} owner-only", dir.display()))?;
        Self::lock(dir)
    }

    /// Takes back what [`Self::create`] made, when `init` failed: the lock, and the folder if nothing else is in it.
    pub(crate) fn abandon(self) {
        let _ = fs::remove_file(self.path("lock"));
        let _ = fs::remove_dir(&self.dir);
    }

    /// Opens the folder that `init` made.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("desk.json");
        if !path
            .try_exists()
            .map_err(|error| unreadable(&path, error))?
        {
            bail!(
                "there is no desk in {}: run `sealdrop-desk init`, or name its folder with --home",
                dir.display()
            );
        }
        let home = Self::lock(dir)?;
        home.profile()?;
        Ok(home)
    }

    /// The same for a folder that was open before; `None` while another program works in it.
    pub(crate) fn reopen(dir: &Path) -> Result<Option<Self>> {
        let lock = Self::lock_file(dir)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", dir.display()));
            }
        }
        Ok(Some(Self {
            dir: dir.to_owned(),
            lock,
        }))
    }

    fn lock(dir: &Path) -> Result<Self> {
        let home = Self {
            dir: dir.to_owned(),
            lock: Self::lock_file(dir)?,
        };
        home.take_lock()?;
        Ok(home)
    }

    fn lock_file(dir: &Path) -> Result<File> {
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path);
        lock.map_err(|error| unwritable(&path, error))
    }

    fn take_lock(&self) -> Result<()> {
        let dir = self.dir.display();
        if self.lock.try_lock().is_err() {
            eprintln!("waiting for another sealdrop-desk that works in {dir}");
            let locked = self.lock.lock();
            locked.with_context(|| format!("cannot lock {dir}"))?;
        }
        Ok(())
    }

    /// Leaves the folder to others while a person is waited for. What was read of it before may have changed afterwards.
    pub(crate) fn aside<T>(&self, wait: impl FnOnce() -> T) -> Result<T> {
        let unlocked = self.lock.unlock();
        unlocked.with_context(|| format!("cannot unlock {}", self.dir.display()))?;
        let value = wait();
        self.take_lock()?;
        Ok(value)
    }

    /// Where `name` is in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bytes of a file; `None` if there is none.
    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, error)),
        }
    }

    /// A JSON file; its default if there is none.
    pub(crate) fn read_json<T: DeserializeOwned + Default>(
        &self,
        name: impl AsRef<Path>,
    ) -> Result<T> {
        let name = name.as_ref();
        match self.read(name)? {
            None => Ok(T::default()),
            Some(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} is damaged: restore it from a backup",
                    self.path(name).display()
                )
            }),
        }
    }

    /// Writes a file whole: after a crash there is the old one or the new one.
    pub(crate) fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        write_whole(&self.path(name), bytes)
    }

    /// Writes a JSON file whole.
    pub(crate) fn write_json(&self, name: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec_pretty(value).expect("our own state is always JSON");
        self.write(name, &json)
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: impl AsRef<Path>) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Which box this is, and whose desk.
    pub(crate) fn profile(&self) -> Result<Profile> {
        let path = self.path("desk.json");
        let bytes = fs::read(&path).map_err(|error| unreadable(&path, error))?;
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let damaged = || format!("{} is damaged: restore it from a backup", path.display());
        let Version { version } = serde_json::from_slice(&bytes).with_context(damaged)?;
        if version > VERSION {
            bail!(
                "{} was written by a newer sealdrop-desk (version {version} of its layout, this one knows {VERSION}): install that one",
                self.dir.display()
            );
        }
        let wire: ProfileWire = serde_json::from_slice(&bytes).with_context(damaged)?;
        wire.parse().with_context(damaged)
    }

    /// Keeps the profile.
    pub(crate) fn write_profile(&self, profile: &Profile) -> Result<()> {
        self.write_json("desk.json", &ProfileWire::from(profile))
    }
}

/// Writes a file whole, owner-only, and makes it durable.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    make_folder(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        unwritable(path, error)
    })
}

/// Why something cannot be written, and what to do about it.
pub(crate) fn unwritable(path: &Path, error: io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            anyhow::anyhow!("cannot write {path}: the disk is full; make room and run this again")
        }
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "cannot write {path}: this user may not; give the folder to this user, or choose another"
        ),
        io::ErrorKind::ReadOnlyFilesystem => anyhow::anyhow!(
            "cannot write {path}: it is on a disk that is read-only; choose another place"
        ),
        _ => anyhow::Error::new(error).context(format!("cannot write {path}")),
    }
}

/// Why something cannot be read, and what to do about it.
fn unreadable(path: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "cannot read {}: permission denied; run this as the user that it belongs to, or give it to this one",
            path.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot read {}", path.display())),
    }
}

/// A new file, owner-only. Nothing that is there is replaced, and no link is followed.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Refuses a place for a new file where something is, be it a link that leads nowhere.
pub(crate) fn check_free(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        bail!("{} exists already: choose another name", path.display());
    }
    Ok(())
}

/// Makes a folder inside the home folder.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| unwritable(folder, error))
}

/// Which box this desk belongs to, and the public halves of the keys in its keyring. Nothing here is secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    /// The box.
    pub(crate) box_key: BoxKey,
    /// Where it is served; `None` before the first `publish`.
    pub(crate) origin: Option<Origin>,
    /// The member whose desk it is.
    pub(crate) member: String,
    /// The member's role.
    pub(crate) role: String,
    /// Whether the box key is here.
    pub(crate) holds_box_key: bool,
    /// The recipients whose identities are here.
    pub(crate) recipients: Vec<Recipient>,
    /// The voice key, if it is here.
    pub(crate) voice: Option<Vkey<VoiceRole>>,
    /// The device's keys, if this machine connects.
    pub(crate) device: Option<(Vkey<AccessRole>, Vkey<WitnessRole>)>,
}

impl Profile {
    /// The drop address, once the box has an origin.
    pub(crate) fn address(&self) -> Result<Address> {
        let origin = self.origin.clone();
        let origin = origin.context(
            "the box has no address yet: run `sealdrop-desk publish --origin https://…`",
        )?;
        Ok(Address {
            origin,
            box_key: self.box_key.clone(),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct ProfileWire {
    version: u64,
    #[serde(rename = "box")]
    box_key: String,
    origin: Option<String>,
    member: String,
    role: String,
    holds_box_key: bool,
    recipients: Vec<String>,
    voice: Option<String>,
    access: Option<String>,
    witness: Option<String>,
}

impl From<&Profile> for ProfileWire {
    fn from(profile: &Profile) -> Self {
        let device = profile.device.as_ref();
        Self {
            version: VERSION,
            box_key: profile.box_key.to_string(),
            origin: profile.origin.as_ref().map(ToString::to_string),
            member: profile.member.clone(),
            role: profile.role.clone(),
            holds_box_key: profile.holds_box_key,
            recipients: profile.recipients.iter().map(ToString::to_string).collect(),
            voice: profile.voice.as_ref().map(ToString::to_string),
            access: device.map(|(access, _)| access.to_string()),
            witness: device.map(|(_, witness)| witness.to_string()),
        }
    }
}

impl ProfileWire {
    fn parse(self) -> Option<Profile> {
        let device = match (self.access, self.witness) {
            (Some(access), Some(witness)) => Some((Vkey::parse(&access)?, Vkey::parse(&witness)?)),
            _ => None,
        };
        Some(Profile {
            box_key: BoxKey::parse(&self.box_key).ok()?,
            origin: self.origin.map(|origin| origin.parse()).transpose().ok()?,
            member: self.member,
            role: self.role,
            holds_box_key: self.holds_box_key,
            recipients: self
                .recipients
                .iter()
                .map(|r| Recipient::parse(r))
                .collect::<Result<_, _>>()
                .ok()?,
            voice: self
                .voice
                .map(|voice| Vkey::parse(&voice).ok_or(()))
                .transpose()
                .ok()?,
            device,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_nothing_and_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("place");
        // A folder that is in the way fails last, when the new file is already there.
        fs::create_dir_all(place.join("full")).unwrap();
        assert!(write_whole(&place, b"bytes").is_err());
        assert!(!dir.path().join("place.new").exists());
        for (kind, says) in [
            (io::ErrorKind::StorageFull, "the disk is full; make room"),
            (io::ErrorKind::PermissionDenied, "choose another"),
            (io::ErrorKind::ReadOnlyFilesystem, "read-only"),
        ] {
            let error = unwritable(&place, kind.into()).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_folder_of_a_newer_version_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path()).unwrap();
        home.write("desk.json", br#"{"version": 2, "what": "is new"}"#)
            .unwrap();
        drop(home);
        let error = Home::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("newer sealdrop-desk"), "{error}");
    }
}
