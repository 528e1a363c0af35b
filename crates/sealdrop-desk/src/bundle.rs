//! Bundles: how drops reach a machine that never connects, and how signed rosters and verdicts come back.
//!
//! A bundle is a ustar archive. It is not signed: everything in it that is believed is signed or hashed itself. What is so by nothing but a note beside it, has that under its name and
//! `.note`: by the member's voice key for the slips that are to be posted, by a machine's access key for the word that they were taken over.
//!
//! | member | holds |
//! | --- | --- |
//! | `bundle.json` | version, box, origin |
//! | `rosters/<epoch>.json` | a roster and its policy, as `GET /v1/box` gives them |
//! | `outgoing.json` | the same, signed and not yet on the server |
//! | `log/<id>.json` | a log: key, checkpoint, entries |
//! | `listed.json`, `verdicts.json` | as in the home folder |
//! | `outbox.slips` | finished slips, for the machine that connects to post; sealed, so that it reads none; signed |
//! | `carried.json` | the digests of those that it took over, each with the window whose segment holds it, or null; signed |
//! | `drops/<window>/<digest>.age` | a drop |

use sealdrop_client::{show, system};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rand_core::Rng as _;
use sealdrop_client::{BoxFile, VerifiedBox};
use sealdrop_core::address::Origin;
use sealdrop_core::drop::archive::{BLOCK, member_header, parse_member_header};
use sealdrop_core::encoding::{from_decimal, from_hex, hex, sha256};
use sealdrop_core::key::{BoxKey, Role, SecretKey};
use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::slip::is_shaped;
use sealdrop_core::time::{Time, Window};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::bodies::{self, Bodies};
use crate::context::{Answer, Context, usage};
use crate::destroyed::sweep;
use crate::epochs::{epochs, reminders};
use crate::home::{Home, Profile, check_free, make_folder, new_file, unwritable};
use crate::judge::Verdicts;
use crate::keyring::Keyring;
use crate::ledger::{self, Known, Ledger, Listed, known_drops, parse_entries};
use crate::outbox::{ConcatBytes as _, Outbox, cut, digest};
use crate::rosters::{Rosters, outgoing, set_outgoing};
use crate::sent::Sent;

/// The largest member that is read into memory: the entries of some two million leaves.
const MAX_SMALL: u64 = 256 << 20;
/// The most slips that are taken over: a window has at most 64.
const MAX_SLIPS: usize = 4_096;

const FIRST_LINE: &str = "sealdrop/bundle/v1";
const OUTBOX: &str = "outbox.slips";
const CARRIED: &str = "carried.json";
/// The name of standard input.
const STDIN: &str = "-";
/// The largest bundle that is taken from standard input: whatever comes there is on the disk before it is looked at.
const MAX_SPOOL: u64 = 16 << 30;
/// The largest `bundle.json`.
const MAX_HEAD: u64 = 4096;
/// The folder of the home folder where what comes on standard input is kept meanwhile.
const SPOOL: &str = "incoming";

/// What goes into a bundle, and where it goes.
#[derive(clap::Args)]
pub(crate) struct Out {
    /// The bundle to write; a file that is there is not replaced
    file: PathBuf,
    /// Take every drop along, also those that were opened on this machine
    #[arg(long)]
    all: bool,
    /// Leave out drops that were opened elsewhere, as a bundle said that came here. Nobody signs for that: watch what `inbox --bundle` then misses
    #[arg(long, conflicts_with = "all")]
    new: bool,
    /// Hand the answers that wait here over to the machine that takes the bundle in, which posts them instead of this one. A machine that does not
    /// connect does so anyway. They are signed, for which the passphrase is asked
    #[arg(long)]
    outbox: bool,
}

/// `bundle out`: everything that another machine needs, except keys.
pub(crate) fn out(context: &Context, home: &Home, args: &Out) -> Result<Answer> {
    let profile = home.profile()?;
    if args.file == Path::new(STDIN) {
        usage!(
            "bundle out writes a file: what a pipe has taken may never arrive, and answers that were handed over would be lost. Write FILE, then `ssh MACHINE sealdrop-desk bundle in - < FILE`"
        );
    }
    let hands_over = args.outbox || profile.device.is_none();
    let to_sign = |outbox: &Outbox<'_>| {
        (hands_over && !outbox.unseen().is_empty()) || !outbox.carried().is_empty()
    };
    // What another machine is to post, or not to post any more, it must not take from whoever carries the bundle.
    let keyring = match to_sign(&Outbox::load(home)?) {
        true => Some(Keyring::unlock(context, home)?),
        false => None,
    };
    // While the passphrase was typed, an agent may have posted.
    let mut outbox = Outbox::load(home)?;
    let answers = match hands_over {
        true => outbox.unseen(),
        false => Vec::new(),
    };
    let carried = outbox.carried();
    let ledgers = Ledger::load_all(home)?;
    let listed = Listed::load(home)?;
    let verdicts = Verdicts::load(home)?;
    // An unsigned word must not keep a report from whoever can open it, unless the user asks for that.
    let has_verdict = |drop: &Known| {
        let digest = hex(&drop.digest);
        verdicts.drops.contains_key(&digest) || (args.new && verdicts.said.contains_key(&digest))
    };
    let (drops, left_out): (Vec<Known>, Vec<Known>) = known_drops(home, &ledgers, &listed)
        .into_iter()
        .filter(|drop| bodies::is_here(home, drop))
        .partition(|drop| args.all || !has_verdict(drop));
    let left_out = left_out.len();
    let mut writer = Writer::create(&args.file, &profile)?;
    for roster in Rosters::load(home, &profile.box_key)?.iter() {
        writer.roster(roster)?;
    }
    if let Some(signed) = outgoing(home, &profile.box_key)? {
        writer.small("outgoing.json", signed.to_file().to_json().as_bytes())?;
    }
    for ledger in &ledgers {
        writer.ledger(ledger)?;
    }
    writer.json("listed.json", &listed)?;
    writer.json("verdicts.json", &verdicts)?;
    if let Some(keyring) = keyring {
        if !answers.is_empty() {
            let voice = keyring.voice.as_ref().context("the voice key is not on this machine, so nobody could tell that these answers are yours: hand them over where they were written")?;
            let slips = answers.concat_bytes();
            writer.signed(OUTBOX, &slips, &profile.box_key, &keyring.member, voice)?;
        }
        if let Some(device) = keyring.device.as_ref().filter(|_| !carried.is_empty()) {
            let json = serde_json::to_vec(&carried).expect("our own state is always JSON");
            let (access, _) = device.keys();
            writer.signed(CARRIED, &json, &profile.box_key, &device.name, &access)?;
        }
    }
    let mut bytes = 0;
    for drop in &drops {
        let body = Bodies::open(home, drop)?;
        writer.drop(
            drop,
            &mut body
                .context("a drop vanished while it was being copied: run `bundle out` again")?,
        )?;
        bytes += drop.size;
    }
    writer.finish()?;
    if profile.device.is_some() {
        // Both must not post them. A machine that does not connect keeps them until it hears that the other has them.
        let digests = answers.iter().map(|slip| (digest(slip), None)).collect();
        outbox.give_away(&digests)?;
        Sent::were_carried(home, &digests)?;
    }
    let count = drops.len();
    let answers = answers.len();
    let kept = match args.outbox {
        true => outbox.waiting().len(),
        false => 0,
    };
    let json = json!({ "file": args.file, "drops": count, "bytes": bytes, "left_out": left_out, "slips": answers, "kept": kept });
    let left_out = match left_out {
        0 => String::new(),
        count => format!("; {count} with a verdict left out, which --all takes along"),
    };
    let next = match profile.device {
        Some(_) if args.outbox => "On the machine that posts: `sealdrop-desk bundle in FILE`.",
        Some(_) => {
            "On the machine with the identity: `sealdrop-desk inbox --bundle FILE`, then `open N --bundle FILE`."
        }
        None => "On the machine that connects: `sealdrop-desk bundle in FILE`.",
    };
    Ok(Answer::new(
        json,
        format!(
            "{}: {count} drops, {}{left_out}{}\n{next}",
            args.file.display(),
            show::bytes(bytes),
            match answers {
                0 => String::new(),
                count => format!("; {count} slips of answers"),
            } + &match kept {
                0 => String::new(),
                count => format!(
                    "; {count} more stay here, because the server may have seen them: this machine sends them"
                ),
            }
        ),
    ))
}

/// A bundle with nothing but a signed roster, and those before it.
pub(crate) fn write_roster(
    home: &Home,
    profile: &Profile,
    signed: &VerifiedBox,
    path: &Path,
) -> Result<()> {
    let mut writer = Writer::create(path, profile)?;
    for roster in Rosters::load(home, &profile.box_key)?.iter() {
        writer.roster(roster)?;
    }
    writer.small("outgoing.json", signed.to_file().to_json().as_bytes())?;
    writer.finish()
}

/// `bundle in`: takes over what another machine of the same box made.
pub(crate) fn take_in(home: &Home, file: &Path) -> Result<Answer> {
    let profile = home.profile()?;
    sweep_spools(home);
    let spool = match file == Path::new(STDIN) {
        true => Some(Spool::fill(home, &profile.box_key)?),
        false => None,
    };
    let bundle = match &spool {
        Some(spool) => Bundle::read(&spool.path, "standard input", &profile.box_key)?,
        None => Bundle::open(file, &profile.box_key)?,
    };
    bundle.import_public(home, system::now())?;
    let rosters = Rosters::load(home, &profile.box_key)?;
    let mut lines = Vec::new();
    let waiting = bundle
        .outgoing()?
        .filter(|signed| signed.roster().epoch() >= rosters.seen().epoch);
    if let Some(signed) = &waiting {
        let epoch = signed.roster().epoch();
        if rosters
            .get(epoch)
            .is_some_and(|known| known.digest() != signed.roster().digest())
        {
            bail!(
                "there are two different rosters of epoch {epoch}, both signed by the box key: find out who holds a copy of it, then publish a new roster"
            );
        }
        set_outgoing(home, Some(signed))?;
        lines.push(format!(
            "roster {} waits to be published: run `sealdrop-desk publish`",
            signed.roster().epoch()
        ));
    }
    let verdicts = bundle.import_verdicts(home, &profile)?;
    if verdicts > 0 {
        lines.push(format!("verdicts on {verdicts} more drops"));
    }
    let all = known_drops(home, &Ledger::load_all(home)?, &Listed::load(home)?);
    let (mut taken, mut refused) = (0, Vec::new());
    for drop in bundle.drops_in_order(&all) {
        if bodies::is_here(home, &drop) {
            continue;
        }
        let mut body = bundle
            .open(&drop)?
            .context("the bundle changed while it was being read")?;
        if bodies::take(home, &drop, &mut body)? {
            taken += 1
        } else {
            refused.push(hex(&drop.digest))
        }
    }
    lines.push(format!("bodies of {taken} more drops"));
    lines.extend(refused.iter().map(|digest| {
        format!("changed body: drop {digest} in the bundle has another hash; it was left out")
    }));
    let (slips, unsigned) = bundle.take_outbox(home, &profile, &rosters)?;
    if slips > 0 {
        lines.push(format!(
            "{slips} slips of answers, which the next syncs post"
        ));
    }
    if profile.device.is_none() {
        // No `sync` does it here.
        sweep(home)?;
        let rosters = Rosters::load(home, &profile.box_key)?;
        let epochs = epochs(&profile.recipients, &rosters, &Ledger::load_all(home)?);
        let now = sealdrop_client::system::now();
        lines.extend(reminders(&epochs, profile.holds_box_key, now));
    }
    lines.extend(unsigned.iter().cloned());
    let json = json!({
        "slips": slips,
        "roster": waiting.as_ref().map(|signed| signed.roster().epoch()),
        "verdicts": verdicts,
        "drops": taken,
        "refused": refused,
        "unsigned": unsigned,
    });
    Ok(Answer {
        failed: !refused.is_empty() || !unsigned.is_empty(),
        ..Answer::new(json, lines.join("\n"))
    })
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "sealdrop-bundle")]
    version: u64,
    #[serde(rename = "box")]
    box_key: String,
    origin: Option<String>,
}

impl Head {
    /// Refuses a bundle of another box, or of a later version.
    fn check(&self, name: &str, box_key: &BoxKey) -> Result<()> {
        if self.version > 1 {
            bail!("{name} was made by a newer sealdrop-desk: install that one");
        }
        if self.box_key != box_key.to_string() {
            bail!(
                "{name} is of another box ({}) than this desk ({box_key})",
                show::line(&self.box_key)
            );
        }
        Ok(())
    }
}

fn not_a_bundle(name: &str) -> String {
    format!("{name} is not a bundle, or is damaged: make it again with `bundle out`")
}

/// Removes what came on standard input to a program that was killed.
pub(crate) fn sweep_spools(home: &Home) {
    let left = fs::read_dir(home.path(SPOOL)).into_iter().flatten();
    for entry in left.flatten() {
        // Who still reads holds it.
        if File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Copies a bundle to its end, into the file at `path`. What does not begin as one of this box is refused before anything is kept, and what is longer than `limit` bytes then.
fn copy_bundle(
    mut from: impl Read,
    mut to: impl Write,
    path: &Path,
    box_key: &BoxKey,
    limit: u64,
) -> Result<()> {
    let name = "standard input";
    let mut begin = vec![0; BLOCK];
    let mut head = || -> Option<Head> {
        from.read_exact(&mut begin).ok()?;
        let (member, size) = parse_member_header(begin.as_slice().try_into().ok()?)?;
        if member != "bundle.json" || size > MAX_HEAD {
            return None;
        }
        let mut json = vec![0; size as usize];
        from.read_exact(&mut json).ok()?;
        begin.extend_from_slice(&json);
        serde_json::from_slice(&json).ok()
    };
    head()
        .with_context(|| not_a_bundle(name))?
        .check(name, box_key)?;
    let left = limit.saturating_sub(begin.len() as u64);
    let mut copy = || {
        to.write_all(&begin)?;
        io::copy(&mut from.by_ref().take(left), &mut to)
    };
    let copied = copy().map_err(|error| unwritable(path, error))?;
    if copied == left && from.read(&mut [0]).context("cannot read standard input")? > 0 {
        bail!(
            "what comes on standard input is more than {}: copy the bundle to a file, and run `bundle in FILE`",
            show::bytes(limit)
        );
    }
    Ok(())
}

/// What came on standard input, in a file that is gone with the value.
struct Spool {
    path: PathBuf,
    _lock: File,
}

impl Spool {
    /// Reads standard input to its end. The home folder is left to others: a pipe may take as long as it likes.
    fn fill(home: &Home, box_key: &BoxKey) -> Result<Self> {
        let folder = home.path(SPOOL);
        make_folder(&folder)?;
        let mut name = [0; 8];
        system::rng().fill_bytes(&mut name);
        let path = folder.join(hex(&name));
        let mut file = new_file(&path).map_err(|error| unwritable(&path, error))?;
        file.try_lock().context("cannot lock a new file")?;
        let spool = Self {
            _lock: file.try_clone().context("cannot keep what comes")?,
            path,
        };
        home.aside(|| {
            copy_bundle(
                io::stdin().lock(),
                &mut file,
                &spool.path,
                box_key,
                MAX_SPOOL,
            )
        })??;
        Ok(spool)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[derive(Serialize, Deserialize)]
struct LogFile {
    vkey: String,
    checkpoint: String,
    entries: String,
}

struct Writer {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    fn create(path: &Path, profile: &Profile) -> Result<Self> {
        check_free(path)?;
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&part);
        let file = file.map_err(|error| unwritable(path, error))?;
        let mut writer = Self {
            path: path.to_owned(),
            part,
            file: BufWriter::new(file),
        };
        let origin = profile.origin.as_ref().map(ToString::to_string);
        writer.json(
            "bundle.json",
            &Head {
                version: 1,
                box_key: profile.box_key.to_string(),
                origin,
            },
        )?;
        Ok(writer)
    }

    fn roster(&mut self, roster: &VerifiedBox) -> Result<()> {
        self.small(
            &format!("rosters/{}.json", roster.roster().epoch()),
            roster.to_file().to_json().as_bytes(),
        )
    }

    fn ledger(&mut self, ledger: &Ledger) -> Result<()> {
        let (Some((note, _)), Some(vkey)) = (ledger.checkpoint(), ledger.vkey()) else {
            return Ok(());
        };
        let file = LogFile {
            vkey: vkey.to_string(),
            checkpoint: note.to_string(),
            entries: ledger.to_entries(),
        };
        self.json(&format!("log/{}.json", ledger.id()), &file)
    }

    fn drop(&mut self, drop: &Known, body: &mut dyn Read) -> Result<()> {
        self.member(
            &format!("drops/{}/{}.age", drop.window, hex(&drop.digest)),
            drop.size,
            body,
        )
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        self.small(
            name,
            &serde_json::to_vec(value).expect("our own state is always JSON"),
        )
    }

    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.member(name, bytes.len() as u64, &mut &bytes[..])
    }

    /// A small member, and beside it a note that says whose it is.
    fn signed<R: Role>(
        &mut self,
        name: &str,
        bytes: &[u8],
        box_key: &BoxKey,
        signer: &str,
        key: &SecretKey<R>,
    ) -> Result<()> {
        let note = Note::new(signed_text(box_key, name, bytes));
        let note = note.expect("the text is lines of printable ASCII");
        self.small(name, bytes)?;
        let note = note.sign(signer, key).to_string();
        self.small(&format!("{name}.note"), note.as_bytes())
    }

    fn member(&mut self, name: &str, size: u64, body: &mut dyn Read) -> Result<()> {
        let header = member_header(name, size).context("too large for a bundle")?;
        let mut write = |file: &mut BufWriter<File>| -> io::Result<u64> {
            file.write_all(&header)?;
            let copied = io::copy(&mut body.take(size), file)?;
            let padding = size.next_multiple_of(BLOCK as u64) - size;
            file.write_all(&[0; BLOCK][..padding as usize])?;
            Ok(copied)
        };
        let copied = write(&mut self.file).map_err(|error| unwritable(&self.path, error))?;
        if copied != size {
            bail!("{name} became shorter while it was being copied: run `bundle out` again");
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let finish = |file: &mut BufWriter<File>| -> io::Result<()> {
            file.write_all(&[0; 2 * BLOCK])?;
            file.flush()?;
            file.get_ref().sync_all()
        };
        finish(&mut self.file)
            .and_then(|()| fs::rename(&self.part, &self.path))
            .map_err(|error| unwritable(&self.path, error))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `finish` there is no such file any more.
        let _ = fs::remove_file(&self.part);
    }
}

/// A bundle being read. Nothing in it is believed because it is there.
pub(crate) struct Bundle {
    path: PathBuf,
    name: String,
    head: Head,
    box_key: BoxKey,
    /// The small members.
    small: Vec<(String, Vec<u8>)>,
    /// Where the drops are, and the windows they are said to be of.
    drops: HashMap<[u8; 32], (Window, u64, u64)>,
    order: Vec<[u8; 32]>,
}

impl Bundle {
    pub(crate) fn open(path: &Path, box_key: &BoxKey) -> Result<Self> {
        Self::read(path, &path.display().to_string(), box_key)
    }

    /// Reads everything but the drops. It is called `name` where something is wrong with it.
    fn read(path: &Path, name: &str, box_key: &BoxKey) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read the bundle {name}"))?;
        let mut bundle = Self {
            path: path.to_owned(),
            name: name.to_owned(),
            head: Head {
                version: 0,
                box_key: String::new(),
                origin: None,
            },
            box_key: box_key.clone(),
            small: Vec::new(),
            drops: HashMap::new(),
            order: Vec::new(),
        };
        let not_a_bundle = || not_a_bundle(name);
        bundle
            .read_members(BufReader::new(file))
            .ok()
            .flatten()
            .with_context(not_a_bundle)?;
        let head = bundle
            .get("bundle.json")
            .and_then(|bytes| serde_json::from_slice::<Head>(bytes).ok());
        bundle.head = head.with_context(not_a_bundle)?;
        bundle.head.check(name, box_key)?;
        Ok(bundle)
    }

    fn read_members(&mut self, mut file: BufReader<File>) -> io::Result<Option<()>> {
        let total = file.get_ref().metadata()?.len();
        let mut at = 0;
        loop {
            let mut header = [0; BLOCK];
            file.read_exact(&mut header)?;
            at += BLOCK as u64;
            if header == [0; BLOCK] {
                return Ok(Some(()));
            }
            let Some((name, size)) = parse_member_header(&header) else {
                return Ok(None);
            };
            let padded = size.next_multiple_of(BLOCK as u64);
            if at + padded > total {
                return Ok(None);
            }
            if let Some(rest) = name.strip_prefix("drops/") {
                let Some((window, digest)) = parse_drop_name(rest) else {
                    return Ok(None);
                };
                if self.drops.insert(digest, (window, at, size)).is_none() {
                    self.order.push(digest);
                }
            } else {
                if size > MAX_SMALL {
                    return Ok(None);
                }
                let mut bytes = vec![0; size as usize];
                file.read_exact(&mut bytes)?;
                self.small.push((name.to_owned(), bytes));
            }
            at += padded;
            file.seek(SeekFrom::Start(at))?;
        }
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.small
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, bytes)| bytes.as_slice())
    }

    /// A member that one of these keys signed for this box. The inner error says that none did.
    fn get_signed<'k, R: Role>(
        &self,
        name: &str,
        mut keys: impl Iterator<Item = &'k Vkey<R>>,
    ) -> Option<Result<&[u8], NotSigned>> {
        let bytes = self.get(name)?;
        let note = self.get(&format!("{name}.note"));
        let is_signed = note
            .and_then(|note| Note::parse(note).ok())
            .is_some_and(|note| {
                let text = signed_text(&self.box_key, name, bytes);
                keys.any(|key| note.verify(key).is_ok_and(|signed| signed == text))
            });
        Some(if is_signed { Ok(bytes) } else { Err(NotSigned) })
    }

    fn in_folder<'b>(&'b self, folder: &'b str) -> impl Iterator<Item = &'b [u8]> {
        self.small
            .iter()
            .filter(move |(name, _)| name.starts_with(folder))
            .map(|(_, bytes)| bytes.as_slice())
    }

    /// Takes over what proves itself: rosters by the box key, logs by their keys and what is known of them, and what was listed.
    pub(crate) fn import_public(&self, home: &Home, now: Time) -> Result<()> {
        let damaged = || {
            format!(
                "{} holds a roster or log that is not of this box, or damaged: make it again",
                self.name
            )
        };
        let mut rosters = Rosters::load(home, &self.box_key)?;
        let newest = rosters.seen().epoch;
        for bytes in self.in_folder("rosters/") {
            let file = BoxFile::parse(bytes).with_context(damaged)?;
            rosters.add(
                home,
                file.verify_ignoring_expiry(&self.box_key)
                    .with_context(damaged)?,
            )?;
        }
        if let Some(latest) = rosters.latest()
            && latest.roster().epoch() > newest
            && home.profile()?.device.is_some()
        {
            // Perhaps the server does not have it yet: then the next sync hands it in, where it would otherwise refuse the server's older one.
            set_outgoing(home, Some(latest))?;
        }
        for bytes in self.in_folder("log/") {
            let file: LogFile = serde_json::from_slice(bytes).with_context(damaged)?;
            let vkey = Vkey::parse(&file.vkey).with_context(damaged)?;
            let note = Note::parse(file.checkpoint.as_bytes()).with_context(damaged)?;
            let leaves = parse_entries(file.entries.as_bytes()).with_context(damaged)?;
            let Some(roster) = rosters
                .iter()
                .map(VerifiedBox::roster)
                .find(|roster| *roster.log_key() == vkey)
            else {
                bail!(
                    "{} holds a log that no roster names: make it again",
                    self.name
                );
            };
            ledger::import(home, &vkey, &note, &leaves, roster.window(now))?;
        }
        if let Some(bytes) = self.get("listed.json") {
            let theirs: Listed = serde_json::from_slice(bytes).with_context(damaged)?;
            let mut ours = Listed::load(home)?;
            if let Some(latest) = rosters.latest() {
                ours.import(&theirs, latest.roster().window(now));
                ours.save(home)?;
            }
        }
        let profile = home.profile()?;
        if let (None, Some(origin)) = (&profile.origin, &self.head.origin) {
            let origin: Origin = origin.parse().with_context(damaged)?;
            if rosters
                .latest()
                .is_some_and(|latest| latest.roster().origins().contains(&origin))
            {
                home.write_profile(&Profile {
                    origin: Some(origin),
                    ..profile
                })?;
            }
        }
        Ok(())
    }

    /// Verdicts made elsewhere are news only where none can be made. Gives how many were new.
    fn import_verdicts(&self, home: &Home, profile: &Profile) -> Result<u64> {
        let Some(bytes) = self
            .get("verdicts.json")
            .filter(|_| profile.recipients.is_empty())
        else {
            return Ok(0);
        };
        let theirs: Verdicts = serde_json::from_slice(bytes)
            .with_context(|| format!("the verdicts in {} are damaged: make it again", self.name))?;
        let mut ours = Verdicts::load(home)?;
        let mut new = 0;
        for (digest, verdict) in theirs.drops {
            if from_hex::<32>(&digest).is_some() && !ours.drops.contains_key(&digest) {
                new += u64::from(ours.said.insert(digest, verdict).is_none());
            }
        }
        for (conversation, number) in theirs.cases {
            let is_free = !ours.cases.values().any(|used| *used == number);
            if is_free && number > 0 {
                ours.cases.entry(conversation).or_insert(number);
            } else {
                ours.case(&conversation);
            }
        }
        ours.save(home)?;
        Ok(new)
    }

    /// Takes over answers that wait, where there is a device to post them, and learns which ones another machine has taken over. Gives how many
    /// slips are new, and what was refused because the member, by the newest roster, did not sign it.
    ///
    /// Unsigned, a false bundle could fill this member's share for months with slips for nobody, or make a machine give up answers that nobody posts.
    fn take_outbox(
        &self,
        home: &Home,
        profile: &Profile,
        rosters: &Rosters,
    ) -> Result<(u64, Vec<String>)> {
        let mut outbox = Outbox::load(home)?;
        let (mut new, mut refused) = (0, Vec::new());
        let roster = rosters.latest().map(VerifiedBox::roster);
        let path = &self.name;
        let member = &profile.member;
        let devices = roster.into_iter().flat_map(|roster| roster.devices());
        let own = devices.filter(|device| device.member() == member);
        match self.get_signed(CARRIED, own.map(|device| &device.access)) {
            None => {}
            Some(Err(NotSigned)) => refused.push(format!(
                "that another machine took over answers is not believed: no machine of {member} signed it, and {path} may have been changed on its way; they stay here"
            )),
            Some(Ok(bytes)) => {
                let mut carried: BTreeMap<String, Option<u64>> = serde_json::from_slice(bytes)
                    .with_context(|| format!("the answers in {path} are damaged: make it again"))?;
                // Nothing is out in a window for which the log has no segment.
                let segments = segments(&Ledger::load_all(home)?);
                for window in carried.values_mut() {
                    *window = window.filter(|window| segments.contains(window));
                }
                outbox.give_away(&carried)?;
                Sent::were_carried(home, &carried)?;
            }
        }
        if profile.device.is_none() {
            return Ok((new, refused));
        }
        let members = roster.into_iter().flat_map(|roster| roster.members());
        let own = members.filter(|other| other.name == *member);
        match self.get_signed(OUTBOX, own.map(|member| &member.voice)) {
            None => {}
            Some(Err(NotSigned)) => refused.push(format!(
                "the answers in {path} were left out: they are not signed by the voice key of {member}, and it may have been changed on its way; make it again with `bundle out`"
            )),
            Some(Ok(bytes)) => {
                let slips = cut(bytes).filter(|slips| {
                    slips.len() <= MAX_SLIPS && slips.iter().all(|slip| is_shaped(slip))
                });
                new = outbox.take_in(slips.with_context(|| {
                    format!("the answers in {path} are damaged: make it again")
                })?)?;
            }
        }
        Ok((new, refused))
    }

    fn outgoing(&self) -> Result<Option<VerifiedBox>> {
        let Some(bytes) = self.get("outgoing.json") else {
            return Ok(None);
        };
        let refused = || {
            format!(
                "the roster in {} is not signed by the key of this box",
                self.name
            )
        };
        let file = BoxFile::parse(bytes).with_context(refused)?;
        Ok(Some(
            file.verify_ignoring_expiry(&self.box_key)
                .with_context(refused)?,
        ))
    }

    /// The drops of the bundle, in the order of `all`; behind them those that `all` does not know.
    pub(crate) fn drops_in_order(&self, all: &[Known]) -> Vec<Known> {
        let has = |drop: &&Known| {
            self.drops
                .get(&drop.digest)
                .is_some_and(|(_, _, size)| *size == drop.size)
        };
        let mut drops: Vec<Known> = all.iter().filter(has).cloned().collect();
        let known: HashSet<[u8; 32]> = drops.iter().map(|drop| drop.digest).collect();
        for digest in &self.order {
            let (window, _, size) = self.drops[digest];
            if !known.contains(digest) {
                drops.push(Known {
                    digest: *digest,
                    size,
                    window,
                    index: None,
                    again: Vec::new(),
                });
            }
        }
        drops
    }
}

impl Bodies for Bundle {
    fn open(&self, drop: &Known) -> Result<Option<Box<dyn Read>>> {
        let Some((_, at, size)) = self.drops.get(&drop.digest) else {
            return Ok(None);
        };
        let open = || -> io::Result<File> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(*at))?;
            Ok(file)
        };
        let file = open().with_context(|| format!("cannot read the bundle {}", self.name))?;
        Ok(Some(Box::new(file.take(*size))))
    }
}

/// None of the keys asked for signed a member.
struct NotSigned;

/// The windows for which the log has a segment.
fn segments(ledgers: &[Ledger]) -> HashSet<u64> {
    let leaves = ledgers.iter().flat_map(Ledger::leaves);
    let segments = leaves.filter(|leaf| leaf.kind == LeafKind::Segment);
    segments.map(|leaf| leaf.window.0).collect()
}

/// What is signed of a small member: its bytes, for this box and under this name.
fn signed_text(box_key: &BoxKey, name: &str, bytes: &[u8]) -> String {
    let digest = hex(&sha256(bytes));
    format!("{FIRST_LINE}\nbox: {box_key}\nname: {name}\ndigest: {digest}\n")
}

fn parse_drop_name(rest: &str) -> Option<(Window, [u8; 32])> {
    let (window, file) = rest.split_once('/')?;
    Some((
        Window(from_decimal(window)?),
        from_hex(file.strip_suffix(".age")?)?,
    ))
}

#[cfg(test)]
mod tests {
    use sealdrop_core::key::BoxSecret;

    use super::*;

    #[test]
    fn a_pipe_that_never_ends_or_is_no_bundle_does_not_fill_the_disk() {
        let key = BoxSecret::from_seed(&[1; 32]).to_public();
        let begin = |box_key: &str| {
            let json = format!(r#"{{"sealdrop-bundle": 1, "box": "{box_key}", "origin": null}}"#);
            let mut bytes = member_header("bundle.json", json.len() as u64)
                .unwrap()
                .to_vec();
            bytes.extend_from_slice(json.as_bytes());
            bytes
        };
        let copy = |begin: &[u8], rest: u64, kept: &mut Vec<u8>| {
            let from = begin.chain(io::repeat(7).take(rest));
            copy_bundle(from, kept, Path::new("kept"), &key, 10_000)
                .map_err(|error| error.to_string())
        };
        let mut kept = Vec::new();
        let others = begin("another");
        for (begin, says) in [(&b""[..], "not a bundle"), (&others, "of another box")] {
            let error = copy(begin, u64::MAX, &mut kept).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert_eq!(kept.len(), 0);
        }
        let own = begin(&key.to_string());
        let fits = 10_000 - own.len() as u64;
        copy(&own, fits, &mut kept).unwrap();
        assert_eq!(kept.len(), 10_000);
        kept.clear();
        let error = copy(&own, u64::MAX, &mut kept).unwrap_err();
        assert!(error.contains("bundle in FILE"), "{error}");
        assert_eq!(kept.len(), 10_000);
    }
}
