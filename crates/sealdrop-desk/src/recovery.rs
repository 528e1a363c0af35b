//! `recovery split|keep|give|join`: the box key, restored by some of the members together. docs/protocol.md, "Recovery".

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sealdrop_client::{show, system};
use sealdrop_core::recovery::{MAX_SHARES, MIN_NEED, Split, seal};
use sealdrop_core::roster::{Member, Roster};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::card::Card;
use crate::context::{Answer, Context, usage};
use crate::home::{Home, new_file, unwritable};
use crate::keyring::Keyring;
use crate::keys::is_named;
use crate::rosters::{Pending, Rosters};
use crate::shares::{Collected, kept, named, read, short, to_json};
use crate::{publish, secret, shamir};

/// The last split that was made here: no secrets.
const FILE: &str = "split.json";
/// How the box key is restored when whoever holds it is gone.
#[derive(clap::Subcommand)]
pub(crate) enum Recovery {
    /// Where the box key is: split it into shares, one for each of several members
    ///
    /// Each share is an age file that only its member opens. Any --need of them restore the box key; fewer say nothing about it. Shares of two splits do not go
    /// together, and an old split stays good: whoever held a share keeps it.
    Split(Among),
    /// Take the share that was given to you into your keyring, where it outlives your identities
    Keep {
        /// The share, as it came
        file: PathBuf,
    },
    /// Give your share to the member who restores the box key, sealed to the card of their machine
    Give(Give),
    /// Restore the box key on this machine, from the shares that members gave
    ///
    /// A share that `recovery keep` has put into the keyring here counts too.
    Join {
        /// The shares, sealed to you
        files: Vec<PathBuf>,
    },
}

/// Among whom.
#[derive(clap::Args)]
pub(crate) struct Among {
    /// How many shares to make
    #[arg(long, value_name = "N")]
    of: u64,
    /// How many of them restore the box key: at least 2
    #[arg(long, value_name = "N")]
    need: u64,
    /// A member who gets one; give it again for each [default: all, if there are as many as --of says]
    #[arg(long, value_name = "NAME")]
    member: Vec<String>,
    /// The folder for the shares; it is made if it is not there
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// To whom.
#[derive(clap::Args)]
pub(crate) struct Give {
    /// The card of the member who restores the box key, from `sealdrop-desk keys --card` on that machine
    #[arg(long, value_name = "CARD")]
    to: PathBuf,
    /// Where to write the share, sealed to them
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// The share as it came to you [default: the newest that `recovery keep` has taken]
    file: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(context: &Context, home: &Home, command: &Recovery) -> Result<Answer> {
    match command {
        Recovery::Split(args) => split(context, home, args),
        Recovery::Keep { file } => keep(context, home, file),
        Recovery::Give(args) => give(context, home, args),
        Recovery::Join { files } => join(context, home, files),
    }
}

/// Who holds the shares of the last split.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Made {
    split: String,
    made: u64,
    /// How many restore the key.
    pub(crate) need: u64,
    /// Names, in the order of the shares' numbers.
    pub(crate) members: Vec<String>,
}

impl Made {
    /// The last split that was made here, if one was.
    pub(crate) fn load(home: &Home) -> Result<Option<Self>> {
        let made: Self = home.read_json(FILE)?;
        Ok((!made.members.is_empty()).then_some(made))
    }
}

fn split(context: &Context, home: &Home, args: &Among) -> Result<Answer> {
    if !Split::is_possible(args.need, args.of) {
        usage!(
            "--need {} --of {}: at least {MIN_NEED} shares must be needed, at most as many as there are, and there can be {MAX_SHARES}",
            args.need,
            args.of
        );
    }
    let profile = home.profile()?;
    let rosters = Rosters::load(home, &profile.box_key)?;
    let members = choose(rosters.expect_latest()?, args)?;
    let keyring = Keyring::unlock(context, home)?;
    let secret = keyring.box_secret.as_ref().context(
        "the box key is not on this machine, so it cannot be split here: do it where the key is",
    )?;
    let mut rng = system::rng();
    let shares = shamir::split(secret, args.need, args.of, system::now(), &mut rng)?;
    fs::create_dir_all(&args.out).map_err(|error| unwritable(&args.out, error))?;
    let mut files = Files::default();
    for (member, share) in members.iter().zip(&shares) {
        let path = args.out.join(format!("recovery-{}.age", member.name));
        let sealed = seal(&share.to_text(secret), &member.recipient, &mut rng);
        files.write(path, &sealed)?;
    }
    let id = shares.first().map(|share| short(&share.split));
    let made = Made {
        split: id.clone().unwrap_or_default(),
        made: system::now().0,
        need: args.need,
        members: members.iter().map(|member| member.name.clone()).collect(),
    };
    home.write_json(FILE, &made)?;
    let paths = files.keep();
    let mut lines = vec![format!(
        "the box key is split: any {} of these {} shares restore it (split {})",
        args.need, args.of, made.split
    )];
    lines.extend(members.iter().zip(&paths).map(|(member, path)| {
        format!(
            "  {}  for {}, recipient {}",
            path.display(),
            member.name,
            member.recipient.fingerprint()
        )
    }));
    lines.push("\nSend each to its member, by whatever way: nobody else opens it. They run `sealdrop-desk recovery keep FILE`. Then delete the files here.\nShares of an earlier split still restore the key.".into());
    let shares: Vec<_> = members
        .iter()
        .zip(&paths)
        .zip(1..)
        .map(|((member, path), number)| {
            json!({ "number": number, "member": member.name, "recipient": member.recipient.fingerprint(), "file": path })
        })
        .collect();
    Ok(Answer::new(
        json!({ "split": id, "need": args.need, "of": args.of, "shares": shares }),
        lines.join("\n"),
    ))
}

/// The members who get a share, in the order of the roster.
fn choose<'r>(roster: &'r Roster, args: &Among) -> Result<Vec<&'r Member>> {
    let all = roster.members();
    let of = usize::try_from(args.of)?;
    if args.member.is_empty() {
        if all.len() != of {
            usage!(
                "roster {} has {} members, and --of says {}: give --of {}, or name those who get a share with --member",
                roster.epoch(),
                all.len(),
                args.of,
                all.len()
            );
        }
        return Ok(all.iter().collect());
    }
    for name in &args.member {
        if !all.iter().any(|member| member.name == *name) {
            usage!(
                "--member {}: roster {} has no such member; `sealdrop-desk member list` shows them",
                show::line(name),
                roster.epoch()
            );
        }
    }
    let chosen: Vec<&Member> = all
        .iter()
        .filter(|member| args.member.contains(&member.name))
        .collect();
    if chosen.len() != of || args.member.len() != of {
        usage!(
            "--of says {}, and --member names {} members: they must be as many, each once",
            args.of,
            chosen.len()
        );
    }
    Ok(chosen)
}

fn keep(context: &Context, home: &Home, file: &Path) -> Result<Answer> {
    let mut unlocked = Keyring::unlock_to_change(context, home)?;
    let identities = unlocked.keyring.identities();
    let (share, text) = read(file, &identities, &unlocked.keyring.box_key)
        .map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
    let shares = &mut unlocked.keyring.shares;
    let is_new = !shares.iter().any(|kept| **kept == *text);
    let recovery = if is_new {
        shares.push(text);
        unlocked.save(home)?
    } else {
        None
    };
    let mut lines = vec![format!(
        "{} is in your keyring{}; {} may be deleted",
        named(&share),
        if is_new { "" } else { " already" },
        file.display()
    )];
    lines.extend(recovery.as_ref().map(|path| {
        format!(
            "{} has it too, under the same code as before",
            path.display()
        )
    }));
    lines.push("It says nothing by itself. Give it to nobody until the box key is lost and you have spoken with whoever restores it: `sealdrop-desk recovery give`.".into());
    let json = json!({ "share": to_json(&share), "new": is_new, "recovery": recovery });
    Ok(Answer::new(json, lines.join("\n")))
}

fn give(context: &Context, home: &Home, args: &Give) -> Result<Answer> {
    let card = Card::read(&args.to)?;
    let keyring = Keyring::unlock(context, home)?;
    if card.box_key != keyring.box_key {
        bail!(
            "{} is a card for another box ({}): your share is of {}",
            args.to.display(),
            card.box_key,
            keyring.box_key
        );
    }
    let Some(member) = &card.member else {
        bail!(
            "{} is the card of a machine without an identity, to which nothing can be sealed: ask for one of the machine that opens reports",
            args.to.display()
        );
    };
    let (share, text) = match &args.file {
        Some(file) => read(file, &keyring.identities(), &keyring.box_key)
            .map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?,
        None => kept(&keyring)
            .max_by_key(|(share, _)| share.split.made)
            .context(
                "there is no recovery share in your keyring: name the file that was given to you",
            )?,
    };
    let fingerprint = member.recipient.fingerprint();
    if !args.yes {
        let question = format!(
            "Whoever has {} such shares holds the box key, and decides who reads reports.\nSpeak with {} over another channel, and have them read out the fingerprint of their recipient (`sealdrop-desk keys` shows it).\nType that fingerprint to give {} to them: ",
            share.split.need,
            member.name,
            named(&share)
        );
        secret::confirm(home, &question, &[&fingerprint])?;
    }
    let mut files = Files::default();
    files.write(
        args.out.clone(),
        &seal(&text, &member.recipient, &mut system::rng()),
    )?;
    files.keep();
    Ok(Answer::new(
        json!({ "share": to_json(&share), "to": member.name, "recipient": fingerprint, "file": args.out }),
        format!(
            "{} is in {}, sealed to {} (recipient {fingerprint}): send it to them; they run `sealdrop-desk recovery join` with the files of {} members",
            named(&share),
            args.out.display(),
            member.name,
            share.split.need
        ),
    ))
}

fn join(context: &Context, home: &Home, files: &[PathBuf]) -> Result<Answer> {
    let mut unlocked = Keyring::unlock_to_change(context, home)?;
    let keyring = &mut unlocked.keyring;
    if keyring.box_secret.is_some() {
        bail!("the box key is on this machine already: there is nothing to restore");
    }
    let identities = keyring.identities();
    let mut here = Collected::default();
    for (share, _) in kept(keyring) {
        here.add("your keyring", share);
    }
    for file in files {
        let name = file.display().to_string();
        match read(file, &identities, &keyring.box_key) {
            Ok((share, _)) => here.add(&name, share),
            Err(why) => here.remarks.push(format!("{name}: {why}")),
        }
    }
    let Some(shares) = here.enough() else {
        bail!("{}", here.missing().join("\n"));
    };
    let numbers: Vec<u64> = shares.iter().map(|share| share.number).collect();
    let split = shares[0].split.clone();
    let Some(secret) = shamir::join(&shares) else {
        bail!(
            "the shares of split {} do not make the key of this box: they were made wrongly; use those of another split",
            short(&split)
        );
    };
    keyring.box_secret = Some(secret);
    let recovery = unlocked.save(home)?;

    let profile = home.profile()?;
    // The key is in the keyring by now, whatever the server answers.
    let mut remarks = here.remarks.clone();
    let rosters = publish::known_or_fetched(context, home, &profile).unwrap_or_else(|error| {
        remarks.push(format!("{error:#}"));
        Rosters::default()
    });
    let is_known = rosters
        .latest()
        .is_some_and(|latest| is_named(latest.roster(), &profile));
    if !is_known {
        // The restored box key can name this machine itself.
        let card = Card::of(&profile);
        let mut pending = Pending::load(home)?;
        pending.add.retain(|before| before.names() != card.names());
        pending.add.push(card);
        pending.save(home)?;
    }
    let mut lines = remarks.clone();
    lines.push(format!(
        "the box key is restored, from shares {} of split {}: this machine holds it now",
        numbers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        short(&split)
    ));
    lines.extend(recovery.as_ref().map(|path| {
        format!(
            "{} has it too, under the same code as before",
            path.display()
        )
    }));
    lines.push(match (&profile.device, &profile.origin) {
        (None, _) => "Next: sign a roster here with `sealdrop-desk publish --out FILE`, once `bundle in` has brought the present one.".into(),
        (_, Some(origin)) => format!("Next: `sealdrop-desk member list` shows who is in the roster at {origin}; take out the machine that is lost with `member remove NAME`, then run `sealdrop-desk publish`."),
        (_, None) => "Next: run `sealdrop-desk publish --origin https://…`, with the address at which the box is served.".into(),
    });
    lines.push("Then split the key again, with `sealdrop-desk recovery split`: the one who lost it may have held a share.".into());
    let json = json!({
        "box": profile.box_key.to_string(),
        "holds_box_key": true,
        "split": short(&split),
        "shares": numbers,
        "remarks": remarks,
        "recovery": recovery,
    });
    Ok(Answer::new(json, lines.join("\n")))
}

/// Files that are being written; all go again unless they are kept. None replaces one that is there.
#[derive(Default)]
struct Files(Vec<PathBuf>);

impl Files {
    fn write(&mut self, path: PathBuf, bytes: &[u8]) -> Result<()> {
        let mut file = new_file(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => anyhow::anyhow!(
                "{} exists already: choose another place with -o",
                path.display()
            ),
            _ => unwritable(&path, error),
        })?;
        self.0.push(path.clone());
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|error| unwritable(&path, error))
    }

    fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
