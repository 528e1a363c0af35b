//! The log as this desk has checked it: every entry, the checkpoint above them, and how far it has cosigned. docs/protocol.md, "Cosignature".

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result, bail};
use sealdrop_core::encoding::{from_decimal, from_hex, hex};
use sealdrop_core::key::LogRole;
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::tree::{Frontier, Hash};
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::roster::Roster;
use sealdrop_core::time::{Time, Window};
use serde::{Deserialize, Serialize};

use crate::bodies;
use crate::home::{Home, make_folder};

/// Why a log is refused. Each names the index or digest; docs/protocol.md, "Cosignature", numbers the checks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("log signature: the checkpoint is not signed by the log key that the roster names")]
    LogSignature,
    #[error(
        "rolled back: the log has {now} entries, and had {before} when this machine last looked; a restored server must take a new log key"
    )]
    RolledBack { before: u64, now: u64 },
    #[error(
        "fork: entry {index} of the log is another than the one that this machine has; the server shows different logs to different people, or at different times"
    )]
    Fork { index: u64 },
    #[error("fork: the log has two different trees of {size} entries")]
    ForkedRoot { size: u64 },
    #[error("entries: those from {from} to {to} do not lead to the root that the server signed")]
    Entries { from: u64, to: u64 },
    #[error("entries: number {index} is not an entry of Sealdrop's log")]
    NotAnEntry { index: u64 },
    #[error(
        "window order: entry {index} is of window {window}, after one of window {before}; an entry was back-dated"
    )]
    Backwards {
        index: u64,
        window: u64,
        before: u64,
    },
    #[error(
        "window order: entry {index} is of window {window}, which has not begun; check this machine's clock"
    )]
    Ahead { index: u64, window: u64 },
    #[error(
        "two segments: entry {index} is a second one of window {window}; members could be shown the one and reporters the other, so that answers do not arrive"
    )]
    TwoSegments { index: u64, window: u64 },
    #[error(
        "missing body: the server does not give drop {digest} (entry {index}), and its window {window} has neither expired nor been released"
    )]
    MissingBody {
        index: u64,
        digest: String,
        window: u64,
    },
    #[error("missing body: the server lists drop {digest} in window {window} and does not give it")]
    MissingListed { digest: String, window: u64 },
    #[error("broken body: drop {digest} could not be fetched: {why}")]
    BrokenBody { digest: String, why: String },
    #[error("changed body: what the server gives as drop {digest} has another size or hash")]
    ChangedBody { digest: String },
    #[error(
        "hidden drop: {digest} was listed in window {window}, which is over, and is not among the log's entries of that window"
    )]
    Hidden { digest: String, window: u64 },
    #[error("roster: entry {index} is a roster that the server does not show (digest {digest})")]
    Roster { index: u64, digest: String },
    #[error(
        "roster: the server showed roster {epoch} in window {window}, which is over, and the log has it neither in that window nor before; drops that leave out whom it names could be passed off as older"
    )]
    UnloggedRoster { epoch: u64, window: u64 },
}

impl Fault {
    /// Whether nothing but the server's own list to this device speaks of the drop: `sync --forget-listed` settles it.
    pub(crate) fn is_about_a_list(&self) -> bool {
        matches!(self, Self::MissingListed { .. } | Self::Hidden { .. })
    }
}

/// A log, as far as it has been checked.
pub(crate) struct Ledger {
    /// `log-<id>`, the part of the name that tells logs of one box apart.
    id: String,
    state: State,
    leaves: Vec<Leaf>,
    frontier: Frontier,
}

#[derive(Clone, Serialize, Deserialize)]
struct State {
    version: u64,
    /// Logs of a box in the order in which this desk met them.
    order: u64,
    vkey: String,
    size: u64,
    /// Length of the file of entries; what is behind was being written when the power failed.
    bytes: u64,
    checkpoint: Option<String>,
    /// How many entries this machine has cosigned.
    cosigned: u64,
    /// Whether the server has that cosignature.
    posted: bool,
}

impl Ledger {
    /// All logs that this desk has met, oldest first.
    pub(crate) fn load_all(home: &Home) -> Result<Vec<Self>> {
        let mut ledgers = Vec::new();
        for entry in fs::read_dir(home.path("log")).into_iter().flatten() {
            let id = entry.context("cannot read the folder of logs")?.file_name();
            if let Some(id) = id.to_str()
                && home.path("log").join(id).join("state.json").exists()
            {
                ledgers.push(Self::load(home, id)?);
            }
        }
        ledgers.sort_by_key(|ledger| ledger.state.order);
        Ok(ledgers)
    }

    fn load(home: &Home, id: &str) -> Result<Self> {
        let folder = home.path("log").join(id);
        let parse = || -> Option<Self> {
            let state: State =
                serde_json::from_slice(&fs::read(folder.join("state.json")).ok()?).ok()?;
            let mut bytes = fs::read(folder.join("entries")).unwrap_or_default();
            bytes.truncate(usize::try_from(state.bytes).ok()?);
            let leaves =
                parse_entries(&bytes).filter(|leaves| leaves.len() as u64 == state.size)?;
            let frontier: Frontier = leaves.iter().map(Leaf::hash).collect();
            let ledger = Self {
                id: id.to_owned(),
                state,
                leaves,
                frontier,
            };
            let root = ledger.checkpoint().map(|(_, checkpoint)| checkpoint.root);
            root.is_none_or(|root| root == ledger.frontier.root())
                .then_some(ledger)
        };
        parse().with_context(|| {
            format!(
                "what is kept of the log in {} is damaged: restore it from a backup",
                folder.display()
            )
        })
    }

    /// The ledger of the log that `vkey` signs: the one among `ledgers`, or an empty one. The second value says that it is new while others were known.
    pub(crate) fn of(ledgers: Vec<Self>, vkey: &Vkey<LogRole>) -> (Self, bool) {
        let order = ledgers.len() as u64;
        match ledgers.into_iter().find(|ledger| ledger.is_of(vkey)) {
            Some(ledger) => (ledger, false),
            None => (Self::empty(vkey, order), order > 0),
        }
    }

    fn empty(vkey: &Vkey<LogRole>, order: u64) -> Self {
        let id = vkey
            .name()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let state = State {
            version: 1,
            order,
            vkey: vkey.to_string(),
            size: 0,
            bytes: 0,
            checkpoint: None,
            cosigned: 0,
            posted: true,
        };
        Self {
            id,
            state,
            leaves: Vec::new(),
            frontier: Frontier::new(),
        }
    }

    /// The log key.
    pub(crate) fn vkey(&self) -> Option<Vkey<LogRole>> {
        Vkey::parse(&self.state.vkey)
    }

    /// `log-<id>`.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The entries.
    pub(crate) fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// How many entries there are.
    pub(crate) fn size(&self) -> u64 {
        self.state.size
    }

    /// How many of them this machine has cosigned.
    pub(crate) fn cosigned(&self) -> u64 {
        self.state.cosigned
    }

    /// The window of the last entry that this machine has cosigned.
    pub(crate) fn cosigned_window(&self) -> Option<Window> {
        let last = usize::try_from(self.cosigned().checked_sub(1)?).ok()?;
        self.leaves.get(last).map(|leaf| leaf.window)
    }

    /// Whether it is the log that this key signs.
    pub(crate) fn is_of(&self, vkey: &Vkey<LogRole>) -> bool {
        self.state.vkey == vkey.to_string()
    }

    /// Whether a cosignature was made that the server does not have.
    pub(crate) fn is_unposted(&self) -> bool {
        !self.state.posted
    }

    /// The window of the last entry.
    pub(crate) fn last_window(&self) -> Option<Window> {
        self.leaves.last().map(|leaf| leaf.window)
    }

    /// Whether anything of this log is kept already.
    pub(crate) fn is_kept(&self) -> bool {
        self.state.checkpoint.is_some()
    }

    /// The checkpoint above the entries.
    pub(crate) fn checkpoint(&self) -> Option<(Note, Checkpoint)> {
        let note = Note::parse(self.state.checkpoint.as_ref()?.as_bytes()).ok()?;
        let checkpoint = Checkpoint::parse_unverified(&note).ok()?;
        Some((note, checkpoint))
    }

    /// The root of the first `size` entries, if so many are here.
    pub(crate) fn root_of(&self, size: u64) -> Option<Hash> {
        let first = self.leaves.get(..usize::try_from(size).ok()?)?;
        Some(first.iter().map(Leaf::hash).collect::<Frontier>().root())
    }

    /// Checks 1 and 2 of docs/protocol.md, "Cosignature", as far as they need no entries.
    pub(crate) fn check_checkpoint(
        &self,
        note: &Note,
        vkey: &Vkey<LogRole>,
    ) -> Result<Checkpoint, Fault> {
        let checkpoint = Checkpoint::verify(note, vkey).map_err(|_| Fault::LogSignature)?;
        if checkpoint.size < self.size() {
            return Err(Fault::RolledBack {
                before: self.size(),
                now: checkpoint.size,
            });
        }
        if checkpoint.size == self.size() && checkpoint.root != self.frontier.root() {
            return Err(Fault::ForkedRoot {
                size: checkpoint.size,
            });
        }
        Ok(checkpoint)
    }

    /// Checks 2 to 4: `entries` are the texts from number `first` on, which may begin before what is known. Gives the new ones.
    ///
    /// Whether the root does not fit because of the new entries or because of the old is for the caller to find out: [`Ledger::find_fork`].
    pub(crate) fn check_entries(
        &self,
        checkpoint: &Checkpoint,
        first: u64,
        entries: &[Vec<u8>],
        now: Window,
    ) -> Result<Vec<Leaf>, Fault> {
        let (mut new, mut frontier) = (Vec::new(), self.frontier.clone());
        let mut before = self.last_window();
        let is_segment = |leaf: &&Leaf| leaf.kind == LeafKind::Segment;
        // Windows never run backwards: between two segments of one window there is none of another.
        let mut segment_of = self.leaves.iter().rfind(is_segment).map(|leaf| leaf.window);
        for (index, entry) in (first..).zip(entries) {
            let leaf = Leaf::parse(entry).map_err(|_| Fault::NotAnEntry { index })?;
            if index < self.size() {
                if self.leaves[index as usize] != leaf {
                    return Err(Fault::Fork { index });
                }
                continue;
            }
            if let Some(before) = before.filter(|&before| leaf.window < before) {
                return Err(Fault::Backwards {
                    index,
                    window: leaf.window.0,
                    before: before.0,
                });
            }
            if leaf.window > now {
                return Err(Fault::Ahead {
                    index,
                    window: leaf.window.0,
                });
            }
            if leaf.kind == LeafKind::Segment
                && segment_of.replace(leaf.window) == Some(leaf.window)
            {
                return Err(Fault::TwoSegments {
                    index,
                    window: leaf.window.0,
                });
            }
            before = Some(leaf.window);
            frontier.push(leaf.hash());
            new.push(leaf);
        }
        if frontier.root() != checkpoint.root || self.size() + new.len() as u64 != checkpoint.size {
            return Err(Fault::Entries {
                from: self.size(),
                to: checkpoint.size,
            });
        }
        Ok(new)
    }

    /// The first of our entries that is another one in `hashes`, the leaves of the server's tree.
    pub(crate) fn find_fork(&self, hashes: &[Hash]) -> Option<Fault> {
        let differs = |(index, leaf): (usize, &Leaf)| {
            (hashes.get(index) != Some(&leaf.hash())).then_some(index as u64)
        };
        self.leaves
            .iter()
            .enumerate()
            .find_map(differs)
            .map(|index| Fault::Fork { index })
    }

    /// Keeps entries that were checked, and the checkpoint above them, durably.
    pub(crate) fn extend(&mut self, home: &Home, new: &[Leaf], note: &Note) -> Result<()> {
        let folder = home.path("log").join(&self.id);
        make_folder(&folder)?;
        let path = folder.join("entries");
        let text: String = new.iter().map(entry_line).collect();
        let append = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&path)?;
            file.set_len(self.state.bytes)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        append().with_context(|| format!("cannot write {}", path.display()))?;
        self.state.bytes += text.len() as u64;
        self.state.size += new.len() as u64;
        self.state.checkpoint = Some(note.to_string());
        self.leaves.extend_from_slice(new);
        for leaf in new {
            self.frontier.push(leaf.hash());
        }
        self.save(home)
    }

    /// Notes that all entries are about to be cosigned. It must be durable before the cosignature leaves this machine: otherwise a crash could
    /// make it sign both sides of a fork.
    pub(crate) fn set_cosigned(&mut self, home: &Home) -> Result<()> {
        self.state.cosigned = self.state.size;
        self.state.posted = false;
        self.save(home)
    }

    /// Notes that the server has the cosignature.
    pub(crate) fn set_posted(&mut self, home: &Home) -> Result<()> {
        self.state.posted = true;
        self.save(home)
    }

    fn save(&self, home: &Home) -> Result<()> {
        home.write_json(format!("log/{}/state.json", self.id), &self.state)
    }

    /// The entries as a bundle carries them.
    pub(crate) fn to_entries(&self) -> String {
        self.leaves.iter().map(entry_line).collect()
    }
}

/// Reads what [`Ledger::to_entries`] wrote.
pub(crate) fn parse_entries(bytes: &[u8]) -> Option<Vec<Leaf>> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines().map(parse_entry_line).collect()
}

fn entry_line(leaf: &Leaf) -> String {
    format!(
        "{} {} {} {}\n",
        leaf.kind,
        hex(&leaf.digest),
        leaf.size,
        leaf.window
    )
}

fn parse_entry_line(line: &str) -> Option<Leaf> {
    let mut words = line.split(' ');
    let kinds = [
        LeafKind::Drop,
        LeafKind::Roster,
        LeafKind::Segment,
        LeafKind::Release,
        LeafKind::Pad,
    ];
    let kind = words.next()?;
    let leaf = Leaf {
        kind: kinds.into_iter().find(|k| k.as_str() == kind)?,
        digest: from_hex(words.next()?)?,
        size: from_decimal(words.next()?)?,
        window: Window(from_decimal(words.next()?)?),
    };
    words.next().is_none().then_some(leaf)
}

/// A drop that this desk knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// SHA-256 of the file.
    pub(crate) digest: [u8; 32],
    /// Length of the file.
    pub(crate) size: u64,
    /// The window in which the server took it.
    pub(crate) window: Window,
    /// Its number in the log; `None` while it is only listed.
    pub(crate) index: Option<u64>,
    /// Other windows in which the server took the same bytes again. The body may be here as one of those alone.
    pub(crate) again: Vec<Window>,
}

impl Known {
    /// Every window of it, the first one first.
    pub(crate) fn windows(&self) -> impl Iterator<Item = Window> {
        std::iter::once(self.window).chain(self.again.iter().copied())
    }
}

/// All drops in the order of the log, then those listed and not yet logged. A drop that stands in two logs or windows counts once, and knows
/// all of its windows.
///
/// What is known from an unsigned list alone counts only with its body: such a list may name what never was.
pub(crate) fn known_drops(home: &Home, ledgers: &[Ledger], listed: &Listed) -> Vec<Known> {
    let mut seen = HashMap::new();
    let mut all: Vec<Known> = Vec::new();
    let mut add = |known: Known| match seen.entry(known.digest) {
        Entry::Vacant(entry) => {
            entry.insert(all.len());
            all.push(known);
        }
        Entry::Occupied(entry) => {
            let first = &mut all[*entry.get()];
            if first.windows().all(|window| window != known.window) {
                first.again.push(known.window);
            }
        }
    };
    for ledger in ledgers {
        for (index, leaf) in (0..).zip(&ledger.leaves) {
            if leaf.kind == LeafKind::Drop {
                add(Known {
                    digest: leaf.digest,
                    size: leaf.size,
                    window: leaf.window,
                    index: Some(index),
                    again: Vec::new(),
                });
            }
        }
    }
    let loose = listed.forgotten.iter().chain(&listed.imported);
    loose
        .chain(&listed.settled)
        .filter_map(ListedDrop::parse)
        .filter(|drop| bodies::is_here(home, drop))
        .for_each(&mut add);
    listed.drops().for_each(&mut add);
    all
}

/// Drops that the server has listed to this device and that are in no checkpoint yet.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// In the order in which they were listed.
    drops: Vec<ListedDrop>,
    /// Those that an older log promised and that the present one, of a restored server, does not know.
    #[serde(default)]
    forgotten: Vec<ListedDrop>,
    /// Those that only a bundle lists. A bundle is not signed, so they are never held against the server.
    #[serde(default)]
    imported: Vec<ListedDrop>,
    /// Those that the members have looked into, and that are not held against the server any more.
    #[serde(default)]
    settled: Vec<ListedDrop>,
    /// Rosters that the server showed or took as the one in force, and that were not seen in its log.
    #[serde(default)]
    rosters: Vec<ShownRoster>,
    /// What is in `drops`.
    #[serde(skip)]
    index: HashSet<ListedDrop>,
}

/// A roster that must be in the log of this name when `window` is over.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ShownRoster {
    log: String,
    digest: String,
    epoch: u64,
    window: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct ListedDrop {
    digest: String,
    size: u64,
    window: u64,
}

impl ListedDrop {
    fn new(digest: &[u8; 32], size: u64, window: Window) -> Self {
        Self {
            digest: hex(digest),
            size,
            window: window.0,
        }
    }

    fn parse(&self) -> Option<Known> {
        Some(Known {
            digest: from_hex(&self.digest)?,
            size: self.size,
            window: Window(self.window),
            index: None,
            again: Vec::new(),
        })
    }
}

impl Listed {
    pub(crate) fn load(home: &Home) -> Result<Self> {
        let listed: Self = home.read_json("listed.json")?;
        Ok(listed.indexed())
    }

    fn indexed(mut self) -> Self {
        self.index = self.drops.iter().cloned().collect();
        self
    }

    pub(crate) fn save(&self, home: &Home) -> Result<()> {
        home.write_json("listed.json", self)
    }

    /// Remembers that the server listed a drop to this device.
    pub(crate) fn add(&mut self, digest: &[u8; 32], size: u64, window: Window) {
        let drop = ListedDrop::new(digest, size, window);
        if !self.settled.contains(&drop) && self.index.insert(drop.clone()) {
            self.drops.push(drop);
        }
    }

    /// Remembers what a bundle lists, of windows up to `now`.
    pub(crate) fn import(&mut self, theirs: &Self, now: Window) {
        let mut ours: HashSet<ListedDrop> = self.imported.iter().cloned().collect();
        for drop in theirs.drops.iter().chain(&theirs.imported) {
            let is_good = drop.parse().is_some_and(|known| known.window <= now);
            if is_good && !self.index.contains(drop) && ours.insert(drop.clone()) {
                self.imported.push(drop.clone());
            }
        }
    }

    /// Once the log covers the window of what a bundle lists, it is in the log, or the list was false or the server hid it: which of them, one
    /// machine cannot tell. Gives those that are not in the log; only those whose body is here are still known.
    pub(crate) fn settle_imported(
        &mut self,
        last: Option<Window>,
        mut is_logged: impl FnMut(&Known) -> bool,
        is_here: impl Fn(&Known) -> bool,
    ) -> Vec<Known> {
        let mut unknown = Vec::new();
        let mut kept = Vec::new();
        for drop in self.imported.drain(..) {
            match drop.parse() {
                Some(known) if is_logged(&known) => {}
                Some(known) if Some(known.window) <= last => {
                    if is_here(&known) {
                        self.forgotten.push(drop);
                    }
                    unknown.push(known);
                }
                Some(_) => kept.push(drop),
                None => {}
            }
        }
        self.imported = kept;
        unknown
    }

    /// From now on a drop that was listed, and that is neither given nor logged, is no fault any more. `false` if it is not listed.
    pub(crate) fn forget(&mut self, digest: &[u8; 32]) -> bool {
        let digest = hex(digest);
        let (gone, kept): (Vec<_>, Vec<_>) =
            self.drops.drain(..).partition(|drop| drop.digest == digest);
        let is_listed = !gone.is_empty();
        self.settled.extend(gone);
        self.drops = kept;
        self.index = self.drops.iter().cloned().collect();
        is_listed
    }

    pub(crate) fn drops(&self) -> impl Iterator<Item = Known> {
        self.drops.iter().filter_map(ListedDrop::parse)
    }

    /// Remembers that the server had a roster in force at `now`, by the clock of this machine.
    pub(crate) fn add_roster(&mut self, roster: &Roster, now: Time) {
        // Clocks differ by 120 s at most, or the server refuses this machine's requests.
        let window = roster.window(Time(now.0.saturating_add(120)));
        let shown = ShownRoster {
            log: roster.log_key().to_string(),
            digest: hex(&roster.digest()),
            epoch: roster.epoch(),
            window: window.0,
        };
        if !self
            .rosters
            .iter()
            .any(|known| known.digest == shown.digest)
        {
            self.rosters.push(shown);
        }
    }

    /// The rosters that the server showed, and that its log ought to have and does not; `is_over` says of which windows. What the log has is not kept
    /// in mind any more: it cannot go from there.
    pub(crate) fn unlogged_rosters(
        &mut self,
        ledger: &Ledger,
        is_over: impl Fn(Window) -> bool,
    ) -> Vec<Fault> {
        let Some(vkey) = ledger.vkey() else {
            return Vec::new();
        };
        let leaves = ledger.leaves().iter();
        let leaves = leaves.filter(|leaf| leaf.kind == LeafKind::Roster);
        let logged: HashMap<String, u64> = leaves
            .rev()
            .map(|leaf| (hex(&leaf.digest), leaf.window.0))
            .collect();
        // Another log owes nothing of what this one did not take.
        self.rosters.retain(|shown| {
            let at = logged.get(&shown.digest);
            shown.log == vkey.to_string() && at.is_none_or(|at| *at > shown.window)
        });
        let faults = self.rosters.iter();
        let faults = faults.filter(|shown| is_over(Window(shown.window)));
        faults
            .map(|shown| Fault::UnloggedRoster {
                epoch: shown.epoch,
                window: shown.window,
            })
            .collect()
    }

    /// Forgets those for which `done` says so.
    pub(crate) fn settle(&mut self, mut done: impl FnMut(&Known) -> bool) {
        self.drops
            .retain(|drop| drop.parse().is_some_and(|known| !done(&known)));
        self.index = self.drops.iter().cloned().collect();
    }

    /// A new log owes nothing of what an older one listed, unless its server lists it again. Gives those that it does not.
    pub(crate) fn start_new_log(
        &mut self,
        mut is_listed_again: impl FnMut(&Known) -> bool,
    ) -> Vec<Known> {
        let (kept, forgotten): (Vec<_>, Vec<_>) = self
            .drops
            .drain(..)
            .partition(|drop| drop.parse().is_some_and(|known| is_listed_again(&known)));
        self.drops = kept;
        self.index = self.drops.iter().cloned().collect();
        let known = forgotten.iter().filter_map(ListedDrop::parse).collect();
        self.forgotten.extend(forgotten);
        known
    }
}

/// Takes over a log from a bundle, with checks 1 to 4.
pub(crate) fn import(
    home: &Home,
    vkey: &Vkey<LogRole>,
    note: &Note,
    leaves: &[Leaf],
    now: Window,
) -> Result<()> {
    let (mut ledger, _) = Ledger::of(Ledger::load_all(home)?, vkey);
    let checkpoint = match ledger.check_checkpoint(note, vkey) {
        // A bundle that was made before the last one brings nothing new, and must still be of the same tree.
        Err(Fault::RolledBack { .. }) => {
            let ours: Vec<Leaf> =
                ledger.leaves()[..leaves.len().min(ledger.leaves().len())].to_vec();
            if ours != leaves {
                bail!(Fault::Fork {
                    index: first_difference(&ours, leaves)
                });
            }
            return Ok(());
        }
        other => other?,
    };
    let texts: Vec<Vec<u8>> = leaves
        .iter()
        .map(|leaf| leaf.to_text().into_bytes())
        .collect();
    let new = ledger.check_entries(&checkpoint, 0, &texts, now)?;
    ledger.extend(home, &new, note)
}

fn first_difference(a: &[Leaf], b: &[Leaf]) -> u64 {
    a.iter().zip(b).take_while(|(a, b)| a == b).count() as u64
}
