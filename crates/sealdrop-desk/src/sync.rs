//! `sync`: fetch, check, keep, cosign. docs/protocol.md, "Cosignature": each check there is a step here.

use sealdrop_client::show;
use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, bail};
use sealdrop_client::{BoxFile, Client, ClientError, Member, VerifiedBox};
use sealdrop_core::encoding::{from_hex, hex, sha256};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::cosignature::cosign;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::tile::bundles_between;
use sealdrop_core::note::Note;
use sealdrop_core::request::UnverifiedRequest;
use sealdrop_core::roster::Roster;
use sealdrop_core::time::{Time, Window};
use serde_json::json;

use crate::bodies::{self, Fetched};
use crate::context::{Answer, Context, usage};
use crate::destroyed::{Destroyed, sweep};
use crate::epochs::{epochs, reminders};
use crate::evidence::Kept;
use crate::home::{Home, Profile};
use crate::keyring::{Device, Keyring};
use crate::ledger::{Fault, Known, Ledger, Listed, known_drops};
use crate::outbox::Outbox;
use crate::posting::{self, Posting};
use crate::rosters::{Rosters, differences};
use crate::{bundle, publish, remote, text};

/// The largest log whose entries are all fetched to find where it forked.
const MAX_SEARCH: u64 = 1 << 20;

/// The largest log that is followed: its entries are some 2 GiB.
const MAX_LOG: u64 = 1 << 24;
/// The longest entry of Sealdrop's log is far below this.
const MAX_ENTRY: usize = 512;
/// After this many downloads that broke for good the server is taken to be down.
const MAX_BROKEN: u32 = 3;

/// What to settle before.
#[derive(clap::Args)]
pub(crate) struct Sync {
    /// Hold it no longer against the server that it listed this drop (64 hex digits) and neither gives nor logs it: only when the members have
    /// found out together that there was none, because a server that hides drops looks the same
    #[arg(long, value_name = "DIGEST")]
    forget_listed: Vec<String>,
}

/// Fetches what is new, checks the log, and cosigns it.
pub(crate) fn run(context: &Context, home: &Home, args: &Sync) -> Result<Answer> {
    let remarks = forget_listed(home, &args.forget_listed)?;
    let keyring = Keyring::unlock(context, home)?;
    Ok(with(context, home, &keyring, remarks)?.answer)
}

/// What came of a sync, for whoever runs many.
pub(crate) struct Synced {
    pub(crate) answer: Answer,
    /// Something that was to be sent did not arrive: it is worth trying again before the window is over.
    pub(crate) is_open: bool,
}

/// The same with a keyring that is open.
pub(crate) fn with(
    context: &Context,
    home: &Home,
    keyring: &Keyring,
    remarks: Vec<String>,
) -> Result<Synced> {
    let profile = home.profile()?;
    bundle::sweep_spools(home);
    let address = profile.address()?;
    let client = remote::client(context, &address.origin)?;
    let mut sync = Syncing {
        context,
        home,
        profile: &profile,
        client: &client,
        now: sealdrop_client::system::now(),
        rosters: Rosters::load(home, &profile.box_key)?,
        remarks,
        faults: Vec::new(),
    };
    sync.run(keyring)
}

/// Settles what a false list left behind.
fn forget_listed(home: &Home, digests: &[String]) -> Result<Vec<String>> {
    let (mut listed, mut remarks) = (Listed::load(home)?, Vec::new());
    for text in digests {
        let Some(digest) = from_hex(text) else {
            usage!(
                "--forget-listed: {} is not the digest of a drop",
                show::line(text)
            );
        };
        if !listed.forget(&digest) {
            usage!(
                "--forget-listed: {text} is not listed here, or is in the log; an entry of the log cannot be forgotten"
            );
        }
        remarks.push(format!(
            "settled by you: that the server listed drop {text} is not held against it any more"
        ));
    }
    if !remarks.is_empty() {
        listed.save(home)?;
    }
    Ok(remarks)
}

struct Syncing<'a> {
    context: &'a Context,
    home: &'a Home,
    profile: &'a Profile,
    client: &'a Client,
    now: Time,
    rosters: Rosters,
    /// What is worth knowing and no fault.
    remarks: Vec<String>,
    /// What forbids a cosignature and does not keep the rest from being fetched.
    faults: Vec<Fault>,
}

impl Syncing<'_> {
    fn run(&mut self, keyring: &Keyring) -> Result<Synced> {
        let mut outbox = Outbox::load(self.home)?;
        // The checkpoint comes first: every roster in the log up to there is then one that the server shows.
        let checkpoint = self.client.checkpoint();
        let roster = self.roster(keyring)?;
        let checkpoint = checkpoint.context("cannot fetch the log's checkpoint")?;
        let device = self.device(keyring, &roster)?;
        let (access, _) = device.keys();
        let member = self.client.member(&device.name, &access);

        let ledgers = Ledger::load_all(self.home)?;
        let mut listed = Listed::load(self.home)?;
        let now_listed = self.list(&member, &ledgers, &roster, &mut listed, &mut outbox)?;
        let mut ledger = self.ledger(ledgers, &roster, &now_listed, &mut listed)?;
        let new_entries = self.log(&mut ledger, &roster, &checkpoint, &member)?;
        let fetched = self.bodies(&member, &ledger, &listed, &roster)?;
        let mut cosigned = Ok(());
        if new_entries.is_some() {
            self.check_listed(&ledger, &mut listed, &roster)?;
            self.check_roster_leaves(&ledger);
            self.check_shown_rosters(&ledger, &mut listed, &roster);
            listed.save(self.home)?;
            if self.faults.is_empty() {
                cosigned = self.cosign(&mut ledger, device, &member);
            }
        }
        // Whatever the checks say: a server that hides a drop must not also keep the answers from going out.
        let posting = posting::run(
            self.home,
            outbox,
            self.client,
            &member,
            &self.rosters,
            new_entries.is_some().then_some(&ledger),
            self.now,
        )?;
        let removed = sweep(self.home)?;
        if removed > 0 {
            self.remarks.push(format!("removed the ciphertext of {removed} drop{} from this machine: their windows have expired, and nothing here opens them since their identity was destroyed", if removed == 1 { "" } else { "s" }));
        }
        let ledgers = Ledger::load_all(self.home)?;
        let epochs = epochs(&self.profile.recipients, &self.rosters, &ledgers);
        self.remarks
            .extend(reminders(&epochs, self.profile.holds_box_key, self.now));
        cosigned?;
        let new_entries = new_entries.unwrap_or(0);
        Ok(Synced {
            answer: self.answer(&roster, &ledger, &listed, new_entries, fetched, &posting)?,
            is_open: posting.is_open,
        })
    }

    /// The roster of now, kept; and the ones before it. A desk with the box key renews it when it is due.
    fn roster(&mut self, keyring: &Keyring) -> Result<Roster> {
        let mut file = self.client.fetch_box_unverified();
        let handed_in = publish::hand_in_newer(
            self.client,
            self.home,
            &self.profile.box_key,
            file.as_ref().ok(),
        );
        match handed_in {
            Ok(None) => {}
            Ok(Some(epoch)) => {
                self.remarks
                    .push(format!("handed in roster {epoch}, which waited here"));
                file = self.client.fetch_box_unverified();
            }
            Err(error) => self.remarks.push(format!(
                "the roster that waits here could not be handed in: {error:#}"
            )),
        }
        let file = self.explain_no_box(file)?;
        let (box_key, origin) = (&self.profile.box_key, self.client.origin());
        let current = remote::verify(file, box_key, origin, self.now, self.rosters.seen())
            .map_err(|error| remote::clock_first(self.client, self.now, error))?;
        let known = self.rosters.latest().map(|known| known.roster().clone());
        remote::fetch_history(
            self.client,
            box_key,
            self.home,
            &mut self.rosters,
            &current.roster,
        )?;
        let roster = current.roster.roster().clone();
        if let Some(known) = known
            && known.epoch() < roster.epoch()
        {
            self.remarks.extend(
                differences(Some(&known), &roster)
                    .into_iter()
                    .map(|line| format!("roster {}: {line}", roster.epoch())),
            );
        }
        self.rosters.add(self.home, current.roster)?;
        if let Some(secret) = &keyring.box_secret
            && roster.is_due(self.now)
        {
            let renewed =
                publish::renew(self.client, self.home, &mut self.rosters, secret, self.now);
            match renewed {
                Ok(renewed) => {
                    self.remarks.push(format!(
                        "renewed the roster: {} is good until {}",
                        renewed.epoch(),
                        show::time(renewed.expires())
                    ));
                    return Ok(renewed);
                }
                Err(error) => self
                    .remarks
                    .push(format!("the roster could not be renewed: {error:#}")),
            }
        }
        if current.has_expired {
            self.remarks.push(format!("roster {} expired on {}: reporters cannot use it; publish a new one on the machine with the box key", roster.epoch(), show::time(roster.expires())));
        } else if roster.is_due(self.now) {
            self.remarks.push(format!(
                "roster {} expires {}: sync or publish on the machine with the box key",
                roster.epoch(),
                text::in_days(self.now, roster.expires())
            ));
        }
        Ok(roster)
    }

    fn explain_no_box(&self, file: Result<BoxFile, ClientError>) -> Result<BoxFile> {
        file.map_err(|error| match error.status() {
            Some(404) => anyhow::anyhow!("the server at {} has no roster yet: run `sealdrop-desk publish` where the box key is", self.client.origin()),
            _ => error.into(),
        })
    }

    /// This machine's keys, if the roster names them.
    fn device<'k>(&self, keyring: &'k Keyring, roster: &Roster) -> Result<&'k Device> {
        let device = keyring.device()?;
        let (access, witness) = device.keys();
        let named = roster.devices().iter().find(|d| d.name() == device.name);
        match named {
            Some(named)
                if *named.access.key() == access.to_public()
                    && *named.witness.key() == witness.to_public() =>
            {
                Ok(device)
            }
            Some(named) => bail!(
                "roster {} names another access key for {} ({}) than the one here ({}): give the card from `sealdrop-desk keys --card` to whoever holds the box key",
                roster.epoch(),
                device.name,
                named.access.key().fingerprint(),
                access.to_public().fingerprint()
            ),
            None => bail!(
                "roster {} does not name this machine ({}, access key {}): give the card from `sealdrop-desk keys --card` to whoever holds the box key",
                roster.epoch(),
                device.name,
                access.to_public().fingerprint()
            ),
        }
    }

    /// Remembers every drop that the server lists and has not logged: it can no longer deny them. Gives those that it lists now.
    ///
    /// Windows that this machine has cosigned are closed: nothing can come to them, so they are not asked for again.
    fn list(
        &self,
        member: &Member<'_>,
        ledgers: &[Ledger],
        roster: &Roster,
        listed: &mut Listed,
        outbox: &mut Outbox<'_>,
    ) -> Result<HashSet<([u8; 32], Window)>> {
        let windows = member.windows().map_err(|error| match error.status() {
            Some(401) => remote::unwelcome(self.client, roster, self.now),
            _ => error.into(),
        })?;
        outbox.taken_for = windows.posted;
        listed.add_roster(roster, sealdrop_client::system::now());
        let logged = logged(ledgers);
        let ledger = ledgers.iter().find(|ledger| ledger.is_of(roster.log_key()));
        let closed = ledger.and_then(Ledger::cosigned_window);
        let mut now_listed = HashSet::new();
        for window in windows.windows.into_iter().filter(|w| Some(*w) > closed) {
            let listing = member
                .drops(window)
                .with_context(|| format!("cannot list window {window}"))?;
            for drop in &listing.drops {
                now_listed.insert((drop.digest, window));
                if !logged.contains(&(drop.digest, drop.size, window)) {
                    listed.add(&drop.digest, drop.size, window);
                }
            }
        }
        listed.save(self.home)?;
        Ok(now_listed)
    }

    /// What is kept of the log that the roster names. A new one after another is a restored server, which is said once.
    fn ledger(
        &mut self,
        ledgers: Vec<Ledger>,
        roster: &Roster,
        now_listed: &HashSet<([u8; 32], Window)>,
        listed: &mut Listed,
    ) -> Result<Ledger> {
        let before = ledgers.last().map(|ledger| ledger.id().to_owned());
        let (ledger, is_new) = Ledger::of(ledgers, roster.log_key());
        if is_new {
            let forgotten =
                listed.start_new_log(|drop| now_listed.contains(&(drop.digest, drop.window)));
            listed.save(self.home)?;
            self.remarks.push(format!(
                "the box has a new log ({}, before: {}): the server was restored or replaced, and what it forgot of the old log cannot be proved by it any more",
                ledger.id(), before.unwrap_or_default()
            ));
            self.remarks.extend(forgotten.iter().map(|drop| {
                format!(
                    "the new log has forgotten drop {} of window {}",
                    hex(&drop.digest),
                    drop.window
                )
            }));
        }
        Ok(ledger)
    }

    /// Checks 1 to 4. Gives how many entries are new; `None` if the log is refused, so that what the server lists is fetched all the same.
    fn log(
        &mut self,
        ledger: &mut Ledger,
        roster: &Roster,
        note: &Note,
        member: &Member<'_>,
    ) -> Result<Option<u64>> {
        let evidence = Kept::new(self.home, note)?;
        let extended = self.extend(ledger, roster, note, member);
        match extended.map_err(|error| error.downcast::<Fault>()) {
            Err(Ok(fault)) => {
                self.faults.push(fault);
                self.remarks.push(format!("the checkpoint that is refused is kept in {} as evidence: show it to the other members", evidence.path()));
                Ok(None)
            }
            other => {
                evidence.forget(self.home);
                match other {
                    Ok(new) => Ok(Some(new)),
                    Err(Err(error)) => Err(error),
                    Err(Ok(fault)) => Err(fault.into()),
                }
            }
        }
    }

    /// Checks 1 to 4, and keeps the entries. Gives how many are new.
    fn extend(
        &self,
        ledger: &mut Ledger,
        roster: &Roster,
        note: &Note,
        member: &Member<'_>,
    ) -> Result<u64> {
        let checkpoint = ledger.check_checkpoint(note, roster.log_key())?;
        if checkpoint.size == ledger.size() && ledger.is_kept() {
            return Ok(0);
        }
        if checkpoint.size > MAX_LOG {
            bail!(
                "the log has {} entries, more than this program follows: the server may be trying to exhaust it",
                checkpoint.size
            );
        }
        let (first, entries) = fetch_entries(member, ledger.size(), checkpoint.size)?;
        let new = match ledger.check_entries(&checkpoint, first, &entries, roster.window(self.now))
        {
            Err(fault @ Fault::Entries { .. }) => {
                bail!(self.find_fork(ledger, &checkpoint).unwrap_or(fault))
            }
            other => other?,
        };
        ledger.extend(self.home, &new, note)?;
        Ok(new.len() as u64)
    }

    /// The root does not fit. If the server's own tiles lead to it, the log was forked, and the first other leaf can be named.
    fn find_fork(&self, ledger: &Ledger, checkpoint: &Checkpoint) -> Option<Fault> {
        if checkpoint.size > MAX_SEARCH {
            return None;
        }
        ledger.find_fork(&self.client.leaf_hashes(checkpoint).ok()?)
    }

    /// Check 5: every body that is not here is fetched. Gives how many were.
    fn bodies(
        &mut self,
        member: &Member<'_>,
        ledger: &Ledger,
        listed: &Listed,
        roster: &Roster,
    ) -> Result<u64> {
        let mut released = HashMap::new();
        let ledgers = Ledger::load_all(self.home)?;
        let again: HashMap<_, _> = known_drops(self.home, &ledgers, listed)
            .into_iter()
            .filter(|drop| !drop.again.is_empty())
            .map(|drop| (drop.digest, drop.windows().collect::<Vec<_>>()))
            .collect();
        let destroyed = Destroyed::load(self.home, self.profile)?;
        let (mut fetched, mut broken) = (0, 0);
        let mut never_held = Vec::new();
        let mut seen = HashSet::new();
        // What was cosigned was here. If it is not any more, this machine has lost it, and it is fetched again.
        let cosigned = ledger.cosigned();
        let was_here = |leaf: &Leaf| bodies::has_window(self.home, leaf.window);
        let logged = (0..).zip(ledger.leaves()).filter(|(index, leaf)| {
            leaf.kind == LeafKind::Drop && (*index >= cosigned || was_here(leaf))
        });
        let logged = logged.map(|(index, leaf)| Known {
            digest: leaf.digest,
            size: leaf.size,
            window: leaf.window,
            index: Some(index),
            again: Vec::new(),
        });
        for mut drop in logged.chain(listed.drops()) {
            // The same bytes, sent again in another window, are held once.
            drop.again = again.get(&drop.digest).cloned().unwrap_or_default();
            if !seen.insert((drop.digest, drop.window)) || bodies::is_here(self.home, &drop) {
                continue;
            }
            // `destroy-epoch` removed what nothing opens any more, once its window had expired.
            let (length, retention) = (roster.window_length(), roster.retention());
            if destroyed.has(&drop) && drop.window.is_expired(length, retention, self.now) {
                continue;
            }
            let (digest, window) = (hex(&drop.digest), drop.window.0);
            match bodies::fetch(self.context, self.home, member, &drop)? {
                Fetched::Here => fetched += 1,
                Fetched::Changed => self.faults.push(Fault::ChangedBody { digest }),
                Fetched::Broken(error) if broken < MAX_BROKEN => {
                    broken += 1;
                    let why = error.to_string();
                    self.faults.push(Fault::BrokenBody { digest, why });
                }
                Fetched::Broken(error) => {
                    return Err(error).with_context(|| format!("cannot fetch drop {digest}"));
                }
                Fetched::Missing if drop.index.is_some_and(|index| index < cosigned) => {
                    self.remarks.push(format!("drop {digest} was on this machine and is gone, and the server does not have it any more: ask another member for a bundle"));
                }
                Fetched::Missing => {
                    let length = roster.window_length();
                    let may_be_missing =
                        drop.window.is_expired(length, roster.retention(), self.now)
                            || self.is_released(member, ledger, drop.window, &mut released)?;
                    if may_be_missing {
                        never_held.push(drop);
                    } else {
                        self.faults.push(match drop.index {
                            Some(index) => Fault::MissingBody {
                                index,
                                digest,
                                window,
                            },
                            None => Fault::MissingListed { digest, window },
                        });
                    }
                }
            }
        }
        // The same bytes may have come from another window since.
        never_held.retain(|drop| !bodies::is_here(self.home, drop));
        self.remarks.extend(never_held.iter().map(|drop| {
            format!(
                "this machine never held drop {}: its window {} expired or was released before",
                hex(&drop.digest),
                drop.window
            )
        }));
        Ok(fetched)
    }

    /// Whether a `release` leaf of the log names the window, by a member's own request: the server cannot make one up. It can keep one that it
    /// refused, and log it later; so it is an excuse only towards a machine that may not have cosigned the window before it was released: one
    /// that has cosigned nothing yet, or one of several of its member.
    fn is_released(
        &self,
        member: &Member<'_>,
        ledger: &Ledger,
        window: Window,
        known: &mut HashMap<Window, bool>,
    ) -> Result<bool> {
        if let Some(known) = known.get(&window) {
            return Ok(*known);
        }
        let note = match member.drops(window) {
            Ok(listing) => listing.released,
            Err(ClientError::Status { status: 404, .. }) => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot list window {window}"));
            }
        };
        let is_released = note.is_some_and(|note| {
            let digest = sha256(note.to_string().as_bytes());
            let mut leaves = ledger.leaves().iter();
            let at =
                leaves.position(|leaf| leaf.kind == LeafKind::Release && leaf.digest == digest);
            at.and_then(|at| self.roster_at(ledger, at))
                .is_some_and(|roster| {
                    released_by(note, roster) == Some(window)
                        && (ledger.cosigned() == 0 || self.is_one_of_several(roster))
                })
        });
        known.insert(window, is_released);
        Ok(is_released)
    }

    /// The roster that was in force when entry number `at` was logged.
    fn roster_at(&self, ledger: &Ledger, at: usize) -> Option<&Roster> {
        let mut before = ledger.leaves()[..at].iter().rev();
        let leaf = before.find(|leaf| leaf.kind == LeafKind::Roster)?;
        let mut rosters = self.rosters.iter().map(VerifiedBox::roster);
        rosters.find(|roster| roster.digest() == leaf.digest)
    }

    /// Whether the roster names another machine of this one's member, which may have cosigned in its place.
    fn is_one_of_several(&self, roster: &Roster) -> bool {
        let member = &self.profile.member;
        let devices = roster.devices().iter();
        devices.filter(|device| device.member() == member).count() > 1
    }

    /// Check 6: what was listed for a window that is over must be an entry of that window. A server that stops signing checkpoints hides
    /// drops too, so one window length after the end is the last moment.
    fn check_listed(
        &mut self,
        ledger: &Ledger,
        listed: &mut Listed,
        roster: &Roster,
    ) -> Result<()> {
        let logged = logged(&Ledger::load_all(self.home)?);
        let is_logged = |drop: &Known| logged.contains(&(drop.digest, drop.size, drop.window));
        listed.settle(is_logged);
        let is_here = |drop: &Known| bodies::is_here(self.home, drop);
        let unknown = listed.settle_imported(ledger.last_window(), is_logged, is_here);
        self.remarks.extend(unknown.iter().map(|drop| {
            format!(
                "a bundle that came here lists drop {} in window {}, which the log does not have: compare with the machine that made the bundle",
                hex(&drop.digest), drop.window
            )
        }));
        let length = roster.window_length();
        for drop in listed.drops() {
            let is_covered = ledger.last_window().is_some_and(|last| drop.window <= last);
            let is_overdue = self.now.0 > drop.window.end(length).0.saturating_add(length);
            if is_covered || is_overdue {
                self.faults.push(Fault::Hidden {
                    digest: hex(&drop.digest),
                    window: drop.window.0,
                });
            }
        }
        Ok(())
    }

    /// Check 7.
    fn check_roster_leaves(&mut self, ledger: &Ledger) {
        let leaves = (0..)
            .zip(ledger.leaves())
            .filter(|(_, leaf)| leaf.kind == LeafKind::Roster);
        let unknown = leaves.filter(|(index, leaf)| {
            *index >= ledger.cosigned() && !self.rosters.has_digest(&leaf.digest)
        });
        let faults: Vec<_> = unknown
            .map(|(index, leaf)| Fault::Roster {
                index,
                digest: hex(&leaf.digest),
            })
            .collect();
        self.faults.extend(faults);
    }

    /// Check 7, from the roster to its leaf. Without it a server could leave a newcomer's roster out of the log, and then drops that leave the newcomer out
    /// would count as older ("meant.rs").
    fn check_shown_rosters(&mut self, ledger: &Ledger, listed: &mut Listed, roster: &Roster) {
        let length = roster.window_length();
        let is_over = |window: Window| {
            let is_covered = ledger.last_window().is_some_and(|last| window <= last);
            is_covered || self.now.0 > window.end(length).0.saturating_add(length)
        };
        let faults = listed.unlogged_rosters(ledger, is_over);
        self.faults.extend(faults);
    }

    fn cosign(&mut self, ledger: &mut Ledger, device: &Device, member: &Member<'_>) -> Result<()> {
        let Some((mut note, checkpoint)) = ledger
            .checkpoint()
            .filter(|(_, checkpoint)| checkpoint.size > 0)
        else {
            return Ok(());
        };
        if ledger.cosigned() == ledger.size() && !ledger.is_unposted() {
            return Ok(());
        }
        ledger.set_cosigned(self.home)?;
        let (_, witness) = device.keys();
        note.push(cosign(&checkpoint, &device.name, &witness, self.now));
        match member.cosign(&note) {
            Ok(()) => ledger.set_posted(self.home),
            Err(error @ ClientError::Status { status: 409, .. }) => {
                Err(error).context("the server denies the checkpoint that it has just shown: tell its operator")
            }
            Err(error) => Err(error).context("the cosignature was made and could not be handed in: run `sealdrop-desk sync` again"),
        }
    }

    fn answer(
        &self,
        roster: &Roster,
        ledger: &Ledger,
        listed: &Listed,
        new_entries: u64,
        fetched: u64,
        posting: &Posting,
    ) -> Result<Answer> {
        let ledgers = Ledger::load_all(self.home)?;
        let drops = known_drops(self.home, &ledgers, listed);
        let not_here: Vec<_> = drops
            .iter()
            .filter(|drop| drop.index.is_some() && !bodies::is_here(self.home, drop))
            .collect();
        let drops = drops.len();
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        let is_cosigned = faults.is_empty() && ledger.size() > 0;
        let mut lines = self.remarks.clone();
        lines.push(format!("fetched {fetched} new, {drops} drops in all; {new_entries} new entries in the log, {} in all", ledger.size()));
        if faults.is_empty() {
            lines.push(match ledger.size() {
                0 => "nothing to cosign yet: the log's first window is not over".into(),
                size if not_here.is_empty() => format!(
                    "cosigned the log up to entry {size}: every drop up to there is on this machine"
                ),
                size => format!(
                    "cosigned the log up to entry {size}: {} drops up to there are not on this machine: their windows had expired or were released, or it has lost them (--json names them)",
                    not_here.len()
                ),
            });
        } else {
            lines.push(String::new());
            lines.extend(faults.iter().map(|fault| format!("FAULT  {fault}")));
            lines.push(format!("Nothing was cosigned. The server at {} may be hiding drops: tell the other members, and compare with what they have.", self.client.origin()));
            if self.faults.iter().any(Fault::is_about_a_list) {
                lines.push("A drop that the server listed falsely stays a fault until you settle it, when the members have looked into it: `sealdrop-desk sync --forget-listed DIGEST`.".into());
            }
        }
        lines.extend(posting.remarks.iter().cloned());
        lines.extend(posting.waiting_line());
        lines.extend(posting.faults.iter().map(|fault| format!("FAULT  {fault}")));
        let json = json!({
            "epoch": roster.epoch(),
            "expires": roster.expires().0,
            "log": { "name": roster.log_key().name(), "size": ledger.size(), "new": new_entries, "cosigned": is_cosigned },
            "fetched": fetched,
            "drops": drops,
            "not_here": not_here.iter().map(|drop| json!({ "digest": hex(&drop.digest), "window": drop.window.0, "index": drop.index })).collect::<Vec<_>>(),
            "remarks": self.remarks,
            "faults": faults,
            "answers": posting.to_json(),
        });
        Ok(Answer {
            failed: !self.faults.is_empty() || !posting.faults.is_empty(),
            ..Answer::new(json, lines.join("\n"))
        })
    }
}

/// The window that the request in the note releases, if a device of the roster signed it.
fn released_by(note: Note, roster: &Roster) -> Option<Window> {
    let request = UnverifiedRequest::from_note(note).ok()?;
    let mut devices = roster.devices().iter();
    let request = devices.find_map(|device| request.verify(&device.access).ok())?;
    request.releases()
}

/// Every drop that some log of the box has, with its size and window.
fn logged(ledgers: &[Ledger]) -> HashSet<([u8; 32], u64, Window)> {
    let leaves = ledgers
        .iter()
        .flat_map(Ledger::leaves)
        .filter(|leaf| leaf.kind == LeafKind::Drop);
    leaves
        .map(|leaf| (leaf.digest, leaf.size, leaf.window))
        .collect()
}

/// The entries from the bundle that holds number `from` on, and the number of the first.
fn fetch_entries(member: &Member<'_>, from: u64, to: u64) -> Result<(u64, Vec<Vec<u8>>)> {
    let mut entries = Vec::new();
    let mut first = None;
    for id in bundles_between(from, to) {
        first.get_or_insert(id.start());
        let bytes = member.bundle(id).with_context(|| {
            format!("cannot fetch the log's entries from number {}", id.start())
        })?;
        let parsed = id
            .parse(&bytes)
            .map_err(|_| Fault::NotAnEntry { index: id.start() })?;
        if let Some(long) = parsed.iter().position(|entry| entry.len() > MAX_ENTRY) {
            let index = id.start() + long as u64;
            return Err(Fault::NotAnEntry { index }.into());
        }
        entries.extend(parsed.into_iter().map(<[u8]>::to_vec));
    }
    Ok((first.unwrap_or(from), entries))
}
