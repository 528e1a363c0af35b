//! `init`: make the keys of a box, a member or a machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sealdrop_core::address::{Address, Origin};
use sealdrop_core::encoding::is_handle;
use sealdrop_core::key::{BoxKey, BoxSecret, SecretKey};
use sealdrop_core::phrase::Phrase;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_open::passphrase::{self, PassphraseError};
use serde_json::json;
use zeroize::Zeroizing;

use crate::card::Card;
use crate::context::{Answer, Context, Usage, heading, usage};
use crate::home::{Home, Profile};
use crate::keyring::{Device, Keyring, RECOVERY, write_recovery};
use crate::rosters::Pending;
use crate::secret;

/// Whose keys to make.
#[derive(clap::Args)]
pub(crate) struct Init {
    /// Your name in the roster, which everyone can read: 1 to 32 of a-z, 0-9 and -
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
    /// What you are to the project, in one such word; everyone can read it
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// The name of this machine in the roster; everyone can read it
    #[arg(long, value_name = "NAME", default_value = "desk")]
    device: String,
    /// Join an existing box instead of making one: its drop address, or only its `sdbox1…`
    #[arg(long, value_name = "ADDRESS")]
    join: Option<String>,
    /// Only keys to fetch and cosign with, no identity: for a machine that connects and must not read reports
    #[arg(long, requires = "join")]
    device_only: bool,
    /// No keys to fetch with: for a machine that never connects
    #[arg(long, conflicts_with = "device_only")]
    offline: bool,
    /// Where to write the recovery file [default: recovery.age in the home folder]
    #[arg(long, value_name = "FILE")]
    recovery: Option<PathBuf>,
    /// Make no recovery file: if this machine is lost, so are its keys
    #[arg(long, conflicts_with = "recovery")]
    no_recovery: bool,
    /// Take the keys from a recovery file; its code is asked for. With --join, also say where the box is served
    #[arg(long, value_name = "FILE", conflicts_with_all = ["device_only", "member"])]
    restore: Option<PathBuf>,
    /// Read the recovery code from a file instead
    #[arg(long, value_name = "FILE", requires = "restore")]
    recovery_code_file: Option<PathBuf>,
    /// The base-two logarithm of the work that opening the keyring takes [default: about a second]
    #[arg(long, value_name = "N")]
    work_factor: Option<u8>,
}

/// Makes the home folder and its keyring.
pub(crate) fn run(context: &Context, args: &Init) -> Result<Answer> {
    let (mut keyring, origin) = match &args.restore {
        Some(file) => restore(args, file)?,
        None => generate(args)?,
    };
    Home::check_unused(&context.home)?;
    let passphrase = secret::new_passphrase(context)?;
    let home = Home::create(&context.home)?;
    let profile = keyring.to_profile(origin);
    match fill(args, &home, &profile, &mut keyring, &passphrase) {
        Ok(recovery) => Ok(answer(args, &home, &profile, recovery)),
        Err(error) => {
            home.abandon();
            Err(error)
        }
    }
}

/// Writes everything that belongs to the keys. `desk.json`, which makes the folder a desk, comes last.
fn fill(
    args: &Init,
    home: &Home,
    profile: &Profile,
    keyring: &mut Keyring,
    passphrase: &str,
) -> Result<Option<(PathBuf, Zeroizing<String>)>> {
    let recovery = match &args.restore {
        Some(_) => None,
        None if args.no_recovery || args.device_only => None,
        None => Some(make_recovery(args, home, keyring)?),
    };
    let names = ["keyring.age", "pending.json", "desk.json"];
    let mut begun: Vec<_> = names.map(|name| home.path(name)).into();
    begun.retain(|path| !path.exists());
    begun.extend(recovery.iter().map(|(path, _)| path.clone()));
    let save = || -> Result<()> {
        if args.restore.is_some() && keyring.box_secret.is_some() && profile.device.is_some() {
            // The restored box key can name this new machine itself.
            Pending {
                add: vec![Card::of(profile)],
                remove: Vec::new(),
            }
            .save(home)?;
        }
        keyring.save(home, profile, passphrase, args.work_factor)
    };
    save().inspect_err(|_| {
        // These keys were never anybody's, and a recovery file of theirs would only be taken for one that helps.
        for path in &begun {
            let _ = std::fs::remove_file(path);
        }
    })?;
    Ok(recovery)
}

fn generate(args: &Init) -> Result<(Keyring, Option<Origin>)> {
    let mut rng = sealdrop_client::system::rng();
    let member = args.member.clone().unwrap_or_else(|| "maintainer".into());
    let role = args.role.clone().unwrap_or_else(|| {
        if args.join.is_some() {
            "member"
        } else {
            "lead"
        }
        .into()
    });
    for (what, name) in [
        ("--member", &member),
        ("--role", &role),
        ("--device", &args.device),
    ] {
        if !is_handle(name) {
            usage!("{what}: names are 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit");
        }
    }
    if args.join.is_some() && args.member.is_none() {
        usage!("--join needs --member NAME: the name by which the roster will know you");
    }
    let (box_key, box_secret, origin) = match &args.join {
        Some(text) => {
            let (box_key, origin) = join(text)?;
            (box_key, None, origin)
        }
        None => {
            let secret = BoxSecret::generate(&mut rng);
            (secret.to_public(), Some(secret), None)
        }
    };
    let has_identity = !args.device_only;
    let keyring = Keyring {
        box_key,
        box_secret,
        identities: has_identity
            .then(|| IdentitySeed::generate(&mut rng))
            .into_iter()
            .collect(),
        voice: has_identity.then(|| SecretKey::generate(&mut rng)),
        device: (!args.offline)
            .then(|| Device::generate(format!("{member}/{}", args.device), &mut rng)),
        member,
        role,
        recovery_code: None,
        shares: Vec::new(),
    };
    Ok((keyring, origin))
}

/// A drop address, or a bare box for one that is not published yet.
fn join(text: &str) -> Result<(BoxKey, Option<Origin>)> {
    if text.starts_with("sdbox1") {
        return Ok((
            BoxKey::parse(text).map_err(|error| Usage(format!("--join: {error}")))?,
            None,
        ));
    }
    let address: Address = text.parse().map_err(|error| {
        Usage(format!(
            "--join: {error}; copy the address again from the project's SECURITY.md"
        ))
    })?;
    Ok((address.box_key, Some(address.origin)))
}

/// The keys of a recovery file, with fresh keys for this machine: a device's keys are never on two machines.
fn restore(args: &Init, file: &Path) -> Result<(Keyring, Option<Origin>)> {
    let join = args.join.as_deref().map(join).transpose()?;
    let sealed = std::fs::read(file)
        .with_context(|| format!("cannot read the recovery file {}", file.display()))?;
    let typed = match &args.recovery_code_file {
        Some(path) => secret::read(path)?,
        None => secret::ask("Recovery code (12 words): ")?,
    };
    let code = Phrase::parse(&typed)
        .map_err(|error| anyhow::anyhow!("that is not a recovery code: {error}"))?
        .words();
    let plain = passphrase::open(&sealed, &code).map_err(|error| match error {
        PassphraseError::Wrong => anyhow::anyhow!(
            "this recovery code is for another file than {}",
            file.display()
        ),
        _ => anyhow::anyhow!("{} is not a recovery file, or is damaged", file.display()),
    })?;
    let mut keyring = Keyring::parse(&plain)
        .with_context(|| format!("{} is not a recovery file of this version", file.display()))?;
    keyring.recovery_code = Some(code);
    let name = format!("{}/{}", keyring.member, args.device);
    if !is_handle(&args.device) {
        usage!("--device: names are 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit");
    }
    keyring.device =
        (!args.offline).then(|| Device::generate(name, &mut sealdrop_client::system::rng()));
    let origin = match join {
        Some((box_key, _)) if box_key != keyring.box_key => {
            bail!(
                "{} holds the keys of another box ({}) than the address: check which box you mean",
                file.display(),
                keyring.box_key
            )
        }
        Some((_, origin)) => origin,
        None => None,
    };
    Ok((keyring, origin))
}

/// Writes the recovery file, with a fresh code of 12 words. The keyring keeps the code too, so that the file can be renewed when the keys change.
fn make_recovery(
    args: &Init,
    home: &Home,
    keyring: &mut Keyring,
) -> Result<(PathBuf, Zeroizing<String>)> {
    let path = args.recovery.clone();
    let path = path.unwrap_or_else(|| home.path(RECOVERY));
    if path.exists() {
        bail!(
            "{} exists already: choose another place for the recovery file",
            path.display()
        );
    }
    let code = Phrase::generate(&mut sealdrop_client::system::rng()).words();
    keyring.recovery_code = Some(code.clone());
    write_recovery(&path, keyring, &code)?;
    Ok((path, code))
}

fn answer(
    args: &Init,
    home: &Home,
    profile: &Profile,
    recovery: Option<(PathBuf, Zeroizing<String>)>,
) -> Answer {
    let card = Card::of(profile);
    let mut lines = vec![
        format!(
            "{} is ready, for box {}",
            home.dir().display(),
            profile.box_key
        ),
        String::new(),
    ];
    lines.extend(card.lines().iter().map(|line| format!("  {line}")));
    let mut json = json!({ "box": profile.box_key.to_string(), "home": home.dir(), "member": profile.member, "card": card });
    if let Some((path, code)) = recovery {
        lines.push(format!(
            "\n{}\n\n  {}\n",
            heading("The recovery code. It is shown only now:"),
            *code
        ));
        lines.push(format!("Write it on paper. With it and {} you get your keys back on another machine (`init --restore`); keep the two apart, and a copy of the file somewhere else than here.", path.display()));
        json["recovery"] = json!({ "file": path, "code": *code });
    }
    lines.push(String::new());
    lines.push(if args.restore.is_some() && profile.holds_box_key {
        next_of_restored(profile)
    } else if profile.holds_box_key {
        format!("Next: start the server with `sealdrop-server --data DIR --box {}`,\nthen run `sealdrop-desk publish --origin https://…`.", profile.box_key)
    } else {
        let name = if args.device_only { "machine" } else { "member" };
        format!("Next: give this {name} card to whoever holds the box key, who runs `sealdrop-desk member add CARD` and `publish`:\n\n{}", card.to_json())
    });
    Answer::new(json, lines.join("\n"))
}

/// A box whose key is restored was served before, as a rule: nothing about it begins anew.
fn next_of_restored(profile: &Profile) -> String {
    match (&profile.device, &profile.origin) {
        (None, _) => "Next: sign the next roster here with `sealdrop-desk publish --out FILE`, once `bundle in` has brought the present one.".into(),
        (_, Some(origin)) => format!("Next: run `sealdrop-desk publish`: the next roster at {origin} then names this machine's new keys."),
        (_, None) => "Next: run `sealdrop-desk publish --origin https://…`, with the address at which the box is served: the next roster then names this machine's new keys.".into(),
    }
}
