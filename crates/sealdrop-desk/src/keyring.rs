//! The keyring: the secret keys of one machine, sealed with a passphrase. docs/protocol.md, "Keys" and "Device keys".

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rand_core::CryptoRng;
use sealdrop_core::encoding;
use sealdrop_core::key::{
    AccessRole, BoxKey, BoxSecret, SecretKey, VoiceRole, WitnessRole, device_keys,
};
use sealdrop_core::note::Vkey;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_open::Identity;
use sealdrop_open::passphrase::{self, PassphraseError};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::context::Context;
use crate::home::{Home, Profile, write_whole};
use crate::secret;

const FILE: &str = "keyring.age";
/// Where a recovery file is, unless the user chose another place.
pub(crate) const RECOVERY: &str = "recovery.age";

/// The recovery code has 128 bits of its own, so scrypt need not slow guessing down.
const RECOVERY_WORK_FACTOR: u8 = 10;

/// Whichever keys this machine has. It has no Debug, Clone or Serialize.
pub(crate) struct Keyring {
    /// Which box they are of.
    pub(crate) box_key: BoxKey,
    /// Whose they are.
    pub(crate) member: String,
    /// What the member is to the box.
    pub(crate) role: String,
    /// Signs rosters.
    pub(crate) box_secret: Option<BoxSecret>,
    /// Open drops; the newest first. docs/protocol.md, "Recipient epochs".
    pub(crate) identities: Vec<IdentitySeed>,
    /// Signs what the member says.
    pub(crate) voice: Option<SecretKey<VoiceRole>>,
    /// This machine's keys.
    pub(crate) device: Option<Device>,
    /// The code of the recovery file, so that the file can be renewed when the keys change; `None` if there is none.
    pub(crate) recovery_code: Option<Zeroizing<String>>,
    /// Shares of the box key that were given to this member, as texts. docs/protocol.md, "Recovery".
    pub(crate) shares: Vec<Zeroizing<String>>,
}

/// The keyring of a home folder, opened to be changed.
pub(crate) struct Unlocked {
    pub(crate) keyring: Keyring,
    passphrase: Zeroizing<String>,
    work_factor: Option<u8>,
    /// The file as it was then.
    sealed: Vec<u8>,
}

impl Unlocked {
    /// Whether the keyring in `home` is still the one that was opened: others may have changed it while a person was asked.
    pub(crate) fn is_current(&self, home: &Home) -> Result<bool> {
        Ok(home.read(FILE)?.as_ref() == Some(&self.sealed))
    }

    /// Keeps the changed keys: the recovery file, then the keyring, then the public halves. Each is written whole, so a crash in between loses no key that
    /// was there before, and whoever opens the keyring next finishes what it left ([`Keyring::unlock`]).
    ///
    /// The recovery file comes first: what is taken out of the keyring must not stay in the file after a crash. Gives where it is.
    pub(crate) fn save(&self, home: &Home) -> Result<Option<PathBuf>> {
        let recovery = match &self.keyring.recovery_code {
            None => None,
            Some(code) => {
                let path = home.path(RECOVERY);
                write_recovery(&path, &self.keyring, code)?;
                Some(path)
            }
        };
        let profile = self.keyring.to_profile(home.profile()?.origin);
        self.keyring
            .save(home, &profile, &self.passphrase, self.work_factor)?;
        Ok(recovery)
    }
}

/// Seals box key, identities and voice key to the recovery code. The machine's own keys stay out: they are replaced, not restored.
pub(crate) fn write_recovery(path: &Path, keyring: &Keyring, code: &str) -> Result<()> {
    let plain = keyring.to_json_without_device();
    write_whole(
        path,
        &passphrase::seal(&plain, code, Some(RECOVERY_WORK_FACTOR)),
    )
}

/// The keys by which a machine asks and cosigns.
pub(crate) struct Device {
    /// `<member>/<device>`.
    pub(crate) name: String,
    seed: Zeroizing<[u8; 32]>,
}

impl Device {
    /// A device with fresh keys.
    pub(crate) fn generate(name: String, rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self { name, seed }
    }

    /// Its access and witness keys.
    pub(crate) fn keys(&self) -> (SecretKey<AccessRole>, SecretKey<WitnessRole>) {
        device_keys(&self.seed)
    }
}

impl Keyring {
    /// Asks for the passphrase and opens the keyring of `home`.
    pub(crate) fn unlock(context: &Context, home: &Home) -> Result<Self> {
        Ok(Self::unlock_to_change(context, home)?.keyring)
    }

    /// The same, to change what is in it. Public halves that a crash left behind the keyring follow it here.
    pub(crate) fn unlock_to_change(context: &Context, home: &Home) -> Result<Unlocked> {
        let path = home.path(FILE);
        let missing = || {
            format!(
                "the keyring {} is missing: put it back, or make a new one with `sealdrop-desk init --restore RECOVERY`",
                path.display()
            )
        };
        home.read(FILE)?.with_context(missing)?;
        let passphrase =
            home.aside(|| secret::passphrase(context, "Passphrase of the keyring: "))??;
        // It may have become another one meanwhile.
        let sealed = home.read(FILE)?.with_context(missing)?;
        let plain = passphrase::open(&sealed, &passphrase).map_err(|error| match error {
            PassphraseError::Wrong => anyhow::anyhow!("the passphrase does not open {}: type it again, or restore the keys with `sealdrop-desk init --restore RECOVERY`", path.display()),
            _ => anyhow::anyhow!("{} is not a keyring, or is damaged: restore it from a backup", path.display()),
        })?;
        let keyring = Self::parse(&plain)
            .with_context(|| format!("{} is not a keyring of this version", path.display()))?;
        let profile = home.profile()?;
        if keyring.box_key != profile.box_key {
            bail!(
                "{} holds the keys of another box ({}) than this folder: put the right file back",
                path.display(),
                keyring.box_key
            );
        }
        let as_in_keyring = keyring.to_profile(profile.origin.clone());
        if as_in_keyring != profile {
            home.write_profile(&as_in_keyring)?;
        }
        Ok(Unlocked {
            keyring,
            passphrase,
            work_factor: passphrase::work_factor(&sealed),
            sealed,
        })
    }

    /// Without what opens reports and signs answers: as much as a sync needs.
    pub(crate) fn for_syncing(mut self) -> Self {
        self.identities.clear();
        self.voice = None;
        self.recovery_code = None;
        self.shares.clear();
        self
    }

    /// Seals the keyring into `home`, and writes the public halves beside it.
    pub(crate) fn save(
        &self,
        home: &Home,
        profile: &Profile,
        passphrase: &str,
        work_factor: Option<u8>,
    ) -> Result<()> {
        home.write(
            FILE,
            &passphrase::seal(&self.to_json(), passphrase, work_factor),
        )?;
        home.write_profile(profile)
    }

    /// Reads what [`Keyring::to_json`] wrote.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        let mut wire: Wire = serde_json::from_slice(json).ok()?;
        if wire.version != 1 {
            return None;
        }
        let seed = |text: &str| encoding::from_base64_array::<32>(text).map(Zeroizing::new);
        let keyring = Self {
            box_key: BoxKey::parse(&wire.box_key).ok()?,
            member: std::mem::take(&mut wire.member),
            role: std::mem::take(&mut wire.role),
            box_secret: match &wire.box_secret {
                None => None,
                Some(text) => Some(BoxSecret::from_seed(&*seed(text)?)),
            },
            identities: wire
                .identities
                .iter()
                .map(|text| IdentitySeed::parse(text))
                .collect::<Option<_>>()?,
            voice: match &wire.voice {
                None => None,
                Some(text) => Some(SecretKey::from_seed(&*seed(text)?)),
            },
            device: match (&wire.device, &wire.device_seed) {
                (Some(name), Some(text)) => Some(Device {
                    name: name.clone(),
                    seed: seed(text)?,
                }),
                _ => None,
            },
            recovery_code: wire.recovery_code.take().map(Zeroizing::new),
            shares: wire.shares.drain(..).map(Zeroizing::new).collect(),
        };
        let fits = keyring
            .box_secret
            .as_ref()
            .is_none_or(|secret| secret.to_public() == keyring.box_key);
        fits.then_some(keyring)
    }

    /// The keys as JSON, for sealing. Identities are in the form that the stock `age` reads.
    pub(crate) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        self.to_json_with(self.device.as_ref())
    }

    /// What a recovery file holds: everything but the machine's own keys.
    pub(crate) fn to_json_without_device(&self) -> Zeroizing<Vec<u8>> {
        self.to_json_with(None)
    }

    fn to_json_with(&self, device: Option<&Device>) -> Zeroizing<Vec<u8>> {
        let base64 = |seed: &[u8; 32]| encoding::base64(seed);
        let wire = Wire {
            version: 1,
            box_key: self.box_key.to_string(),
            member: self.member.clone(),
            role: self.role.clone(),
            box_secret: self
                .box_secret
                .as_ref()
                .map(|secret| base64(&secret.to_seed())),
            identities: self
                .identities
                .iter()
                .map(|identity| identity.to_age().to_string())
                .collect(),
            voice: self.voice.as_ref().map(|voice| base64(&voice.to_seed())),
            device: device.map(|device| device.name.clone()),
            device_seed: device.map(|device| base64(&device.seed)),
            recovery_code: self.recovery_code.as_ref().map(|code| code.to_string()),
            shares: self.shares.iter().map(|share| share.to_string()).collect(),
        };
        Zeroizing::new(serde_json::to_vec_pretty(&wire).expect("texts are always JSON"))
    }

    /// The public halves.
    pub(crate) fn to_profile(&self, origin: Option<sealdrop_core::address::Origin>) -> Profile {
        Profile {
            box_key: self.box_key.clone(),
            origin,
            member: self.member.clone(),
            role: self.role.clone(),
            holds_box_key: self.box_secret.is_some(),
            recipients: self
                .identities
                .iter()
                .map(IdentitySeed::to_public)
                .collect(),
            voice: self
                .voice
                .as_ref()
                .map(|voice| Vkey::new(&self.member, voice.to_public())),
            device: self.device.as_ref().map(|device| {
                let (access, witness) = device.keys();
                (
                    Vkey::new(&device.name, access.to_public()),
                    Vkey::new(&device.name, witness.to_public()),
                )
            }),
        }
    }

    /// The identities, ready to open drops.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        self.identities.iter().map(Identity::new).collect()
    }

    /// The box key, or the sentence that says where it is to be found.
    pub(crate) fn box_secret(&self) -> Result<&BoxSecret> {
        self.box_secret.as_ref().context(
            "the box key is not on this machine: sign the roster where it is, with `publish --out FILE`, and take it here with `bundle in FILE`",
        )
    }

    /// This machine's device keys, or the sentence that says how to get some.
    pub(crate) fn device(&self) -> Result<&Device> {
        self.device.as_ref().context("this machine has no device keys, so it cannot ask the server: use one that was made without --offline, and carry drops here with `bundle out`")
    }
}

/// The keyring as JSON. It serializes secrets: only to be sealed at once, and wiped.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u64,
    #[serde(rename = "box")]
    box_key: String,
    member: String,
    role: String,
    box_secret: Option<String>,
    identities: Vec<String>,
    voice: Option<String>,
    device: Option<String>,
    device_seed: Option<String>,
    #[serde(default)]
    recovery_code: Option<String>,
    #[serde(default)]
    shares: Vec<String>,
}
