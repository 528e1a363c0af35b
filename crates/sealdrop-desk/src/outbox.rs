//! The outbox: finished slips on their way to the feed. docs/protocol.md, "Feed".
//!
//! | file in `outbox/` | holds |
//! | --- | --- |
//! | `<number>.slips` | the slips of one message that nobody has seen yet |
//! | `shown.slips` | slips, decoys among them, that the server may have seen and has not taken |
//! | `posted-<window>.slips` | those that it took in a window whose segment was not checked yet |
//! | `state.json` | the last window that was posted for, and which slips are decoys |
//!
//! What the server may have seen is sent again as it is, decoys too: if only the answers came again, they would stand out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;

use anyhow::{Context as _, Result};
use rand_core::CryptoRng;
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::key::BoxKey;
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::{self, SLIP, Slip};
use sealdrop_core::time::{Time, Window};
use serde::{Deserialize, Serialize};

use crate::home::Home;

const FOLDER: &str = "outbox";
const SHOWN: &str = "shown.slips";

type Slips = Vec<Box<Slip>>;

/// Slips that wait, in the order in which they go, and those that are on their way.
pub(crate) struct Outbox<'a> {
    home: &'a Home,
    shown: Slips,
    /// By file name.
    queue: BTreeMap<String, Slips>,
    posted: BTreeMap<Window, Slips>,
    state: State,
    /// The window for which the server says that it has this member's share.
    pub(crate) taken_for: Option<Window>,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    /// The last window that this machine has posted for.
    last: Option<u64>,
    /// Windows in which `shown` was posted, or was about to be, and no answer came that says what became of it.
    #[serde(default)]
    tried: BTreeSet<u64>,
    /// Hex digests of the decoys in `shown` and `posted`.
    decoys: HashSet<String>,
    /// Hex digests of the slips that came here in bundles.
    #[serde(default)]
    carried: BTreeSet<String>,
    /// Those of them that are out, with the window whose segment holds them.
    #[serde(default)]
    out: BTreeMap<String, u64>,
    /// Where another machine of the member posted in the place of this one.
    #[serde(default)]
    second: Second,
}

/// Windows since this machine last posted for which another one of the member did.
#[derive(Default, Serialize, Deserialize)]
struct Second {
    count: u64,
    last: Option<u64>,
}

/// When what waits will be out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forecast {
    /// Slips of answers that wait.
    pub(crate) waiting: u64,
    /// Slips that go in each window.
    pub(crate) share: u64,
    /// Windows until the last of them is out.
    pub(crate) windows: u64,
    /// When the last of these windows ends, if this machine posts in each.
    pub(crate) not_before: Time,
    /// In how many windows another machine of the member posted instead, since this one last did.
    pub(crate) second: u64,
}

impl<'a> Outbox<'a> {
    /// What is in `home`. What a crash left half done is finished.
    pub(crate) fn load(home: &'a Home) -> Result<Self> {
        let mut outbox = Self {
            home,
            shown: read(home, SHOWN)?,
            queue: BTreeMap::new(),
            posted: BTreeMap::new(),
            state: home.read_json(path("state.json"))?,
            taken_for: None,
        };
        let entries = match fs::read_dir(home.path(FOLDER)) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context("cannot read the outbox"),
        };
        for entry in entries.into_iter().flatten() {
            let name = entry.context("cannot read the outbox")?.file_name();
            let Some((name, stem)) = name
                .to_str()
                .and_then(|name| Some((name, name.strip_suffix(".slips")?)))
            else {
                continue;
            };
            if let Some(window) = stem.strip_prefix("posted-") {
                if let Ok(window) = window.parse() {
                    outbox.posted.insert(Window(window), read(home, name)?);
                }
            } else if stem.bytes().all(|byte| byte.is_ascii_digit()) {
                outbox.queue.insert(name.to_owned(), read(home, name)?);
            }
        }
        outbox.tidy()?;
        Ok(outbox)
    }

    /// Puts the slips of a message at the end, all or none.
    pub(crate) fn push(&mut self, slips: Slips) -> Result<()> {
        let last = self.queue.keys().next_back();
        let number = last.and_then(|name| name.strip_suffix(".slips")?.parse::<u64>().ok());
        let name = format!("{:012}.slips", number.map_or(0, |last| last + 1));
        self.home.write(path(&name), &slips.concat_bytes())?;
        self.queue.insert(name, slips);
        Ok(())
    }

    /// The slips that nobody has seen yet, in order: another machine may post them in the place of this one.
    pub(crate) fn unseen(&self) -> Vec<Box<Slip>> {
        self.queue.values().flatten().cloned().collect()
    }

    /// Takes slips over from another machine; those that came before are left out. Gives how many are new.
    pub(crate) fn take_in(&mut self, slips: Vec<Box<Slip>>) -> Result<u64> {
        let here = self.shown.iter().chain(self.queue.values().flatten());
        let here: HashSet<String> = here
            .chain(self.posted.values().flatten())
            .map(|slip| digest(slip))
            .collect();
        let mut seen = self.state.carried.clone();
        let mut new = slips;
        new.retain(|slip| {
            let digest = digest(slip);
            seen.insert(digest.clone()) && !here.contains(&digest)
        });
        let count = new.len() as u64;
        if count > 0 {
            self.push(new)?;
        }
        self.state.carried = seen;
        self.save_state()?;
        Ok(count)
    }

    /// Digests of all that was ever taken over, for the machine that made them; with the window whose segment holds it, once that was checked.
    pub(crate) fn carried(&self) -> BTreeMap<String, Option<u64>> {
        let carried = self.state.carried.iter();
        let out = |digest: &String| self.state.out.get(digest).copied();
        carried
            .map(|digest| (digest.clone(), out(digest)))
            .collect()
    }

    /// Another machine has these slips now.
    pub(crate) fn give_away(&mut self, digests: &BTreeMap<String, Option<u64>>) -> Result<u64> {
        let mut given = 0;
        for (name, slips) in &mut self.queue {
            let before = slips.len();
            slips.retain(|slip| !digests.contains_key(&digest(slip)));
            if slips.len() != before {
                given += (before - slips.len()) as u64;
                save(self.home, name, &slips.concat_bytes())?;
            }
        }
        self.queue.retain(|_, slips| !slips.is_empty());
        Ok(given)
    }

    /// Whether the open window's share has been posted.
    pub(crate) fn has_posted(&self, window: Window) -> bool {
        self.state.last.is_some_and(|last| last >= window.0)
    }

    /// The body for a window: `share` slips, the ones that wait first, decoys for the rest. They are on the disk when this returns, so that the same
    /// bytes are sent again until the server takes them. [`Outbox::tidy`] is to follow, once they are sent.
    ///
    /// As many decoys are made as there are places, so that the time it takes does not tell how many wait.
    pub(crate) fn compose(
        &mut self,
        window: Window,
        share: u64,
        box_key: &BoxKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>> {
        let share = usize::try_from(share).context("a share that no roster can have")?;
        if self.shown.len() < share {
            let missing = share - self.shown.len();
            let waiting: Slips = self
                .queue
                .values()
                .flatten()
                .take(missing)
                .cloned()
                .collect();
            let decoys: Slips = (0..share).map(|_| slip::decoy(box_key, rng)).collect();
            self.shown.extend(waiting);
            for decoy in decoys.into_iter().take(share - self.shown.len()) {
                self.state.decoys.insert(digest(&decoy));
                self.shown.push(decoy);
            }
        }
        self.state.tried.insert(window.0);
        // Which of them are decoys comes first: a decoy must never pass for an answer that waits.
        self.save_state()?;
        self.save_shown()?;
        Ok(self.shown[..share].to_vec().concat_bytes())
    }

    /// The server has taken the first `share` slips for a window.
    pub(crate) fn taken(&mut self, share: u64, window: Window) -> Result<()> {
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        let body = self.shown.drain(..share.min(self.shown.len())).collect();
        self.move_to(window, body)
    }

    /// These of the slips that the server was shown are in the segment of a window: it took them, and its answer was lost.
    pub(crate) fn was_taken(
        &mut self,
        window: Window,
        is_there: impl Fn(&[u8; 32]) -> bool,
    ) -> Result<()> {
        self.state.tried.remove(&window.0);
        let (there, rest): (Slips, Slips) = std::mem::take(&mut self.shown)
            .into_iter()
            .partition(|slip| is_there(&sha256(&slip[..])));
        self.shown = rest;
        if there.is_empty() {
            return self.save_state();
        }
        self.move_to(window, there)
    }

    fn move_to(&mut self, window: Window, body: Slips) -> Result<()> {
        let posted = self.posted.entry(window).or_default();
        posted.extend(body);
        self.home
            .write(posted_path(window), &posted.concat_bytes())?;
        self.save_shown()?;
        self.state.last = self.state.last.max(Some(window.0));
        self.state.tried.clear();
        self.state.second = Second::default();
        self.save_state()
    }

    /// Another machine of the member has posted for a window, so that nothing of this one's goes in it.
    pub(crate) fn came_second(&mut self, window: Window) -> Result<()> {
        let second = &mut self.state.second;
        if second.last != Some(window.0) {
            second.count += 1;
            second.last = Some(window.0);
        }
        self.save_state()
    }

    /// Whether something was sent for this window, and no answer came.
    pub(crate) fn has_tried(&self, window: Window) -> bool {
        self.state.tried.contains(&window.0)
    }

    /// Whether the next body is one that the server may have seen.
    pub(crate) fn sends_again(&self, share: u64) -> bool {
        self.shown.len() as u64 >= share
    }

    /// Windows whose segments were not checked yet, with what was posted for them.
    pub(crate) fn posted(&self) -> impl Iterator<Item = (Window, &[Box<Slip>])> {
        self.posted
            .iter()
            .map(|(window, slips)| (*window, slips.as_slice()))
    }

    /// Those of a window that are no decoys and not among `missing`: they are out. To be noted before [`Outbox::settle`].
    pub(crate) fn found(&self, window: Window, missing: &[[u8; 32]]) -> Vec<String> {
        let slips = self.posted.get(&window).into_iter().flatten();
        slips
            .map(|slip| sha256(&slip[..]))
            .filter(|digest| !missing.contains(digest) && !self.is_decoy(digest))
            .map(|digest| hex(&digest))
            .collect()
    }

    /// The segment of a window was checked: what it lacks waits again, in front.
    pub(crate) fn settle(&mut self, window: Window, missing: &[[u8; 32]]) -> Result<()> {
        for digest in self.found(window, missing) {
            if self.state.carried.contains(&digest) {
                self.state.out.insert(digest, window.0);
            }
        }
        // Before the slips go: whoever made them has no other word of it.
        self.save_state()?;
        let slips = self.posted.remove(&window).unwrap_or_default();
        let lost = slips
            .into_iter()
            .filter(|slip| missing.contains(&sha256(&slip[..])));
        self.shown.extend(lost);
        self.save_shown()?;
        self.home.remove(posted_path(window))?;
        self.save_state()
    }

    /// Whether the slip with this digest is one for nobody.
    pub(crate) fn is_decoy(&self, digest: &[u8; 32]) -> bool {
        self.state.decoys.contains(&hex(digest))
    }

    /// Digests of the slips of answers that wait.
    pub(crate) fn waiting(&self) -> HashSet<String> {
        let all = self.shown.iter().chain(self.queue.values().flatten());
        all.map(|slip| digest(slip))
            .filter(|digest| !self.state.decoys.contains(digest))
            .collect()
    }

    /// Digests of the slips that the server took, and the window in which it did.
    pub(crate) fn on_their_way(&self) -> BTreeMap<String, Window> {
        let slips = self
            .posted
            .iter()
            .flat_map(|(window, slips)| slips.iter().map(|slip| (digest(slip), *window)));
        slips.collect()
    }

    /// When what waits will be out, by the newest roster.
    pub(crate) fn forecast(&self, roster: &Roster, now: Time) -> Forecast {
        self.forecast_of(|_| true, roster, now)
    }

    /// The same for some of the slips, by their digests: those of one answer.
    pub(crate) fn forecast_of(
        &self,
        counts: impl Fn(&str) -> bool,
        roster: &Roster,
        now: Time,
    ) -> Forecast {
        let share = share(roster);
        let order = self.shown.iter().chain(self.queue.values().flatten());
        let counted: Vec<u64> = (1..)
            .zip(order.map(|slip| digest(slip)))
            .filter(|(_, digest)| counts(digest) && !self.state.decoys.contains(digest))
            .map(|(position, _)| position)
            .collect();
        let windows = counted.last().map_or(0, |last| last.div_ceil(share));
        let open = roster.window(now);
        let first = if self.has_posted(open) || self.state.second.last == Some(open.0) {
            Window(open.0 + 1)
        } else {
            open
        };
        let end = Window(first.0.saturating_add(windows).saturating_sub(1));
        Forecast {
            waiting: counted.len() as u64,
            share,
            windows,
            not_before: end.end(roster.window_length()),
            second: self.state.second.count,
        }
    }

    /// Nothing stands in two places: a slip that the server took does not wait, and one that it was shown is not news.
    pub(crate) fn tidy(&mut self) -> Result<()> {
        let posted: HashSet<&Slip> = self.posted.values().flatten().map(|slip| &**slip).collect();
        let before = self.shown.len();
        self.shown.retain(|slip| !posted.contains(&**slip));
        let is_changed = self.shown.len() != before;
        let seen: HashSet<&Slip> = self.shown.iter().map(|slip| &**slip).collect();
        let mut changed = Vec::new();
        for (name, slips) in &mut self.queue {
            let before = slips.len();
            slips.retain(|slip| !posted.contains(&**slip) && !seen.contains(&**slip));
            if slips.len() != before {
                changed.push((name.clone(), slips.concat_bytes()));
            }
        }
        for (name, bytes) in changed {
            save(self.home, &name, &bytes)?;
        }
        self.queue.retain(|_, slips| !slips.is_empty());
        if is_changed {
            self.save_shown()?;
        }
        if let Some(window) = self.posted.keys().next_back() {
            self.state.last = self.state.last.max(Some(window.0));
        }
        Ok(())
    }

    fn save_shown(&self) -> Result<()> {
        save(self.home, SHOWN, &self.shown.concat_bytes())
    }

    fn save_state(&mut self) -> Result<()> {
        let all = self.shown.iter().chain(self.posted.values().flatten());
        let here: HashSet<String> = all.map(|slip| digest(slip)).collect();
        self.state.decoys.retain(|decoy| here.contains(decoy));
        self.home.write_json(path("state.json"), &self.state)
    }
}

/// How many slips a member of this roster posts for a window.
pub(crate) fn share(roster: &Roster) -> u64 {
    slip::share(roster.draft().slips, roster.members().len())
}

/// Cuts bytes into slips; `None` if they are not whole ones.
pub(crate) fn cut(bytes: &[u8]) -> Option<Slips> {
    let (slips, rest) = bytes.as_chunks::<SLIP>();
    rest.is_empty()
        .then(|| slips.iter().map(|slip| Box::new(*slip)).collect())
}

/// Hex SHA-256 of a slip.
pub(crate) fn digest(slip: &Slip) -> String {
    hex(&sha256(slip))
}

/// One slip behind the other.
pub(crate) trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Slips {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|slip| slip.iter()).copied().collect()
    }
}

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn posted_path(window: Window) -> String {
    path(&format!("posted-{window}.slips"))
}

fn save(home: &Home, name: &str, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        home.remove(path(name))
    } else {
        home.write(path(name), bytes)
    }
}

fn read(home: &Home, name: &str) -> Result<Slips> {
    let bytes = home.read(path(name))?.unwrap_or_default();
    cut(&bytes).with_context(|| {
        format!(
            "{} is damaged: move it away, and write again what was in it",
            home.path(path(name)).display()
        )
    })
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
    use sealdrop_core::key::SecretKey;

    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path()).unwrap();
        (dir, home)
    }

    fn slips(numbers: std::ops::Range<u8>) -> Slips {
        numbers.map(|number| Box::new([number; SLIP])).collect()
    }

    fn compose(outbox: &mut Outbox<'_>, share: u64, seed: u8) -> Vec<u8> {
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let box_key = SecretKey::generate(&mut rng).to_public();
        let body = outbox
            .compose(Window(7), share, &box_key, &mut rng)
            .unwrap();
        outbox.tidy().unwrap();
        body
    }

    fn firsts(body: &[u8]) -> Vec<u8> {
        body.chunks(SLIP).map(|slip| slip[0]).collect()
    }

    #[test]
    fn slips_go_in_order_a_share_at_a_time() {
        let (_dir, home) = home();
        let mut outbox = Outbox::load(&home).unwrap();
        outbox.push(slips(1..4)).unwrap();
        outbox.push(slips(4..6)).unwrap();
        let mut sent = Vec::new();
        for window in 7..9 {
            let mut outbox = Outbox::load(&home).unwrap();
            assert!(!outbox.has_posted(Window(window)));
            sent.extend(firsts(&compose(&mut outbox, 2, 1)));
            outbox.taken(2, Window(window)).unwrap();
            assert!(outbox.has_posted(Window(window)));
        }
        assert_eq!(sent, [1, 2, 3, 4]);
        let outbox = Outbox::load(&home).unwrap();
        assert_eq!(outbox.waiting().len(), 1);
        assert_eq!(outbox.on_their_way().len(), 4);
    }

    #[test]
    fn as_much_is_made_for_answers_as_for_decoys() {
        // Every decoy takes randomness: what is left of it tells how many were made.
        let left = [0, 1, 4, 9].map(|waiting| {
            let (_dir, home) = home();
            Outbox::load(&home)
                .unwrap()
                .push(slips(0..waiting))
                .unwrap();
            let mut rng = ChaCha20Rng::from_seed([1; 32]);
            let box_key = SecretKey::generate(&mut rng).to_public();
            let mut outbox = Outbox::load(&home).unwrap();
            let body = outbox.compose(Window(7), 4, &box_key, &mut rng).unwrap();
            assert_eq!(body.len(), 4 * SLIP);
            rng.next_u64()
        });
        assert!(left.iter().all(|each| *each == left[0]));
    }

    #[test]
    fn an_interrupted_post_is_sent_again_with_the_same_bytes() {
        let (_dir, home) = home();
        Outbox::load(&home).unwrap().push(slips(1..2)).unwrap();
        let first = compose(&mut Outbox::load(&home).unwrap(), 4, 1);
        // What is written in between waits for the next window.
        Outbox::load(&home).unwrap().push(slips(2..3)).unwrap();
        let again = compose(&mut Outbox::load(&home).unwrap(), 4, 2);
        assert_eq!(first, again);
        let mut outbox = Outbox::load(&home).unwrap();
        assert_eq!(outbox.waiting().len(), 2, "decoys do not count");
        outbox.taken(4, Window(7)).unwrap();
        assert_eq!(Outbox::load(&home).unwrap().waiting().len(), 1);
    }

    #[test]
    fn a_crash_after_the_answer_doubles_nothing() {
        let (_dir, home) = home();
        Outbox::load(&home).unwrap().push(slips(1..3)).unwrap();
        let mut outbox = Outbox::load(&home).unwrap();
        let body = compose(&mut outbox, 4, 1);
        // The file of the window was written, and nothing after it.
        home.write(posted_path(Window(7)), &body).unwrap();
        let outbox = Outbox::load(&home).unwrap();
        assert!(outbox.has_posted(Window(7)));
        assert!(outbox.waiting().is_empty());
        assert_eq!(outbox.shown.len(), 0);
        assert_eq!(outbox.on_their_way().len(), 4);
    }

    #[test]
    fn what_the_server_lost_goes_first_with_its_decoys() {
        let (_dir, home) = home();
        Outbox::load(&home).unwrap().push(slips(1..3)).unwrap();
        let mut outbox = Outbox::load(&home).unwrap();
        let body = compose(&mut outbox, 4, 1);
        outbox.taken(4, Window(7)).unwrap();
        outbox.push(slips(9..10)).unwrap();
        let lost: Vec<[u8; 32]> = body.chunks(SLIP).skip(1).map(sha256).collect();
        let found = outbox.found(Window(7), &lost);
        assert_eq!(found, [hex(&sha256(&body[..SLIP]))]);
        outbox.settle(Window(7), &lost).unwrap();
        let mut outbox = Outbox::load(&home).unwrap();
        let again = compose(&mut outbox, 4, 2);
        assert_eq!(again[..3 * SLIP], body[SLIP..], "the decoys too");
        assert_eq!(again[3 * SLIP], 9);
    }

    #[test]
    fn what_is_found_in_a_segment_is_not_sent_again() {
        let (_dir, home) = home();
        Outbox::load(&home).unwrap().push(slips(1..3)).unwrap();
        let body = compose(&mut Outbox::load(&home).unwrap(), 4, 1);
        let mut outbox = Outbox::load(&home).unwrap();
        assert!(outbox.has_tried(Window(7)));
        let kept: Vec<[u8; 32]> = body.chunks(SLIP).map(sha256).collect();
        outbox
            .was_taken(Window(7), |digest| kept.contains(digest))
            .unwrap();
        let outbox = Outbox::load(&home).unwrap();
        assert!(outbox.waiting().is_empty() && !outbox.has_tried(Window(7)));
        assert_eq!(outbox.on_their_way().len(), 4);
        assert!(outbox.has_posted(Window(7)));
    }

    #[test]
    fn a_share_that_shrinks_loses_nothing() {
        let (_dir, home) = home();
        let mut outbox = Outbox::load(&home).unwrap();
        outbox.push(slips(1..4)).unwrap();
        let before = compose(&mut outbox, 4, 1);
        let after = compose(&mut outbox, 2, 2);
        assert_eq!(after, before[..2 * SLIP]);
        outbox.taken(2, Window(7)).unwrap();
        assert_eq!(compose(&mut outbox, 2, 3), before[2 * SLIP..]);
    }
}
