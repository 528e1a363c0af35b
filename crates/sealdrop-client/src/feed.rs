//! Reading the feed, whole, so that nobody learns whose answers are looked for. docs/protocol.md, "Feed" and "Reading slips".
//!
//! [`Client::feed_listing`], then [`Client::read_feed`]: which requests they make, and in which order, follows from the box and from when the feed was
//! read before, if a [`State`] says so. What the slips that were found say is for the caller to open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use sealdrop_core::encoding::{self, MAX_DECIMAL};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::roster::{MAX_AHEAD, Roster};
use sealdrop_core::slip::clue::Seeker;
use sealdrop_core::slip::{self, SLIP, Slip};
use sealdrop_core::state::State;
use sealdrop_core::time::{Time, Window};
use serde::Deserialize;

use crate::rosters::Rosters;
use crate::{Client, ClientError, Log, LookupError, VerifiedBox, lanes};

/// The most slips of a window. docs/protocol.md, "Roster".
const MAX_SLIPS: u64 = 64;
/// The largest listing in bytes: over 100,000 segments.
const MAX_LISTING: usize = 16 << 20;
/// The most epochs that are asked for on the way back to the oldest segment.
const MAX_EPOCHS: u64 = 4_096;

/// Why the feed cannot be believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The connection, or an answer that is none.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The log, in which every segment must be.
    #[error(transparent)]
    Log(#[from] LookupError),
    /// The listing is not strictly rising, or has a segment of a size that none has.
    #[error("segment {0} of the feed's listing is out of order, or has a size that no segment has")]
    Listing(Window),
    /// More segments than the box keeps.
    #[error("the feed lists more segments than this box keeps; none was fetched")]
    TooMany,
    /// A segment of a window that has not begun, by more than a clock may be wrong.
    #[error(
        "segment {0} of the feed is of a window that is more than a day ahead of this machine's clock"
    )]
    Ahead(Window),
    /// It is listed, and is not there.
    #[error("segment {0} of the feed is listed, and is not there")]
    Missing(Window),
    /// The bytes are not those whose digest was listed.
    #[error("segment {0} of the feed was changed: its bytes are not those that were listed")]
    Changed(Window),
    /// The log does not hold it: it is not what others were shown.
    #[error("segment {0} of the feed is not in the log: it is not the one that others are shown")]
    NotLogged(Window),
    /// It was listed before, has not expired, and is not listed any more.
    #[error("the feed shrank: segment {0} was in it before, and has not expired")]
    Shrank(Window),
    /// It was listed before with another digest.
    #[error("segment {0} of the feed was changed: it is another than the one that was read before")]
    Replaced(Window),
    /// An older roster that the box key did not sign, or of another epoch.
    #[error("the roster of epoch {0} is not one that the box signed")]
    Roster(u64),
}

/// What `GET /v1/feed` listed. Nothing of it is verified but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing(Vec<Leaf>);

/// A slip whose clue is the conversation's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSlip {
    /// The window of its segment.
    pub window: Window,
    /// The slip, not opened yet.
    pub slip: Box<Slip>,
}

/// What was read before.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The state that it left.
    pub state: &'a State,
    /// Whether the segments that it knows are fetched all the same, so that the requests are those of a client without a state.
    pub is_fetched_again: bool,
}

/// The feed: every segment fetched, or known from before, as listed, and in the log.
pub struct Feed {
    /// The rosters that were in force in live windows.
    pub rosters: Rosters,
    /// The first window of which there is to be a segment: of what is kept, and of the life of the box.
    pub begins: Window,
    /// The leaves of the segments, in the order of the log.
    pub segments: Vec<Leaf>,
    /// How many of them were fetched now.
    pub fetched: usize,
    /// The slips that the seeker found, in the order of the log.
    pub found: Vec<FoundSlip>,
    /// The log, in which further leaves can be looked for without a request.
    pub log: Log,
    /// The log that was known from before is not the box's any more, as after restoring a backup: nothing of it was held against this one.
    pub is_another_log: bool,
}

impl Client {
    /// `GET /v1/feed`: the segments that are there.
    ///
    /// # Errors
    /// Those of the connection and the server; [`FeedError::Listing`].
    pub fn feed_listing(&self) -> Result<Listing, FeedError> {
        let get = || self.get("/v1/feed", MAX_LISTING);
        let bytes = match get() {
            // Whoever has no network, or has not started Tor, is told at once.
            Err(error) if !error.is_unreached() => self.patiently(&AtomicBool::new(false), get)?,
            first => first?,
        };
        Listing::parse(&bytes)
    }

    /// Fetches every segment of `listing`, whole, and the rosters that were in force meanwhile, and keeps the slips that `seeker` finds. Of what is `known`
    /// from before only what is new is fetched, and what is not new must be as it was.
    ///
    /// `the_box` is the roster of now, verified, and fetched after the listing, so that it is not older. `progress` is told how many bytes are here.
    ///
    /// # Errors
    /// As [`FeedError`] says, before any slip is given out.
    pub fn read_feed(
        &self,
        listing: &Listing,
        the_box: &VerifiedBox,
        seeker: &Seeker<'_>,
        now: Time,
        known: Option<Known<'_>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Feed, FeedError> {
        let roster = the_box.roster();
        let length = roster.window_length();
        let segments = &listing.0;
        listing.check(roster, now)?;
        let ours = |known: &Known<'_>| {
            Checkpoint::verify(&known.state.checkpoint, roster.log_key()).is_ok()
        };
        let is_another_log = known.as_ref().is_some_and(|known| !ours(known));
        let known = known.filter(ours);
        if let Some(Known { state, .. }) = known {
            listing.check_against(state, roster, now)?;
        }
        // What is kept goes back so far, whatever the server lists.
        let kept = Time(now.0.saturating_sub(roster.retention()));
        let first = segments.first().map(|leaf| leaf.window.start(length));
        let rosters = self.rosters_since(roster, first.map_or(kept, |first| first.min(kept)))?;
        let begins = Window(rosters.begin(kept).window(length).0 + 1);

        let mut before = known
            .filter(|known| !known.is_fetched_again)
            .map_or_else(HashMap::new, |known| slips_of(known.state));
        let is_new = |leaf: &&Leaf| !before.contains_key(&leaf.window);
        let missing: Vec<&Leaf> = segments.iter().filter(is_new).collect();
        let mut bytes_here = listing.bytes() - missing.iter().map(|leaf| leaf.size).sum::<u64>();
        progress(bytes_here);
        let fetch = |index: usize, over: &AtomicBool| {
            let leaf: &Leaf = missing[index];
            let found = self
                .segment(leaf, roster, now, over)?
                .map(|bytes| find(seeker, &bytes));
            Ok::<_, FeedError>((leaf, found))
        };
        let fetched = lanes::side_by_side(missing.len(), fetch, |(leaf, _)| {
            bytes_here += leaf.size;
            progress(bytes_here);
        })?;
        let fetched = fetched.into_iter();
        before.extend(fetched.filter_map(|(leaf, found)| Some((leaf.window, found?))));
        let (mut here, mut found) = (Vec::with_capacity(segments.len()), Vec::new());
        for leaf in segments {
            if let Some(slips) = before.remove(&leaf.window) {
                here.push(*leaf);
                let window = leaf.window;
                found.extend(slips.into_iter().map(|slip| FoundSlip { window, slip }));
            }
        }
        // Last, so that an honest server's newest checkpoint is not behind what it listed.
        let checkpoint = known.map(|known| known.state.checkpoint.clone());
        let log = self.read_log(roster, checkpoint.as_slice())?;
        if let Some(leaf) = log.first_missing(&here) {
            return Err(FeedError::NotLogged(leaf.window));
        }
        Ok(Feed {
            rosters,
            begins,
            segments: here,
            fetched: missing.len(),
            found,
            log,
            is_another_log,
        })
    }

    /// A segment, whole and as it was listed; `None` if it has expired since.
    fn segment(
        &self,
        leaf: &Leaf,
        roster: &Roster,
        now: Time,
        over: &AtomicBool,
    ) -> Result<Option<Vec<u8>>, FeedError> {
        let (length, at) = (roster.window_length(), leaf.window);
        let limit = (MAX_SLIPS * SLIP as u64).min(leaf.size) as usize;
        let soon = Time(now.0.saturating_add(length));
        let get = || self.get(&format!("/v1/feed/{at}"), limit);
        match self.patiently(over, get) {
            Ok(bytes) if encoding::sha256(&bytes) == leaf.digest => Ok(Some(bytes)),
            Ok(_) | Err(ClientError::TooLong) => Err(FeedError::Changed(at)),
            Err(error) => match error.status() {
                Some(410) if at.is_expired(length, roster.retention(), soon) => Ok(None),
                Some(404 | 410) => Err(FeedError::Missing(at)),
                _ => Err(error.into()),
            },
        }
    }

    /// The rosters back to the one that was in force at `oldest`.
    fn rosters_since(&self, current: &Roster, oldest: Time) -> Result<Rosters, FeedError> {
        let mut rosters = Rosters::new(current.clone(), oldest);
        for epoch in (1..current.epoch()).rev().take(MAX_EPOCHS as usize) {
            if rosters.reach_back() {
                break;
            }
            let file = match self.patiently(&AtomicBool::new(false), || self.fetch_box_at(epoch)) {
                Ok(file) => file,
                // It was given up, or never was (epochs rise by one or more), or is hidden.
                Err(error) if error.status() == Some(404) => continue,
                Err(error) => return Err(error.into()),
            };
            let roster = file
                .verify_ignoring_expiry(current.box_key())
                .ok()
                .map(|older| older.roster().clone())
                .filter(|older| older.epoch() == epoch)
                .ok_or(FeedError::Roster(epoch))?;
            rosters.add(roster);
        }
        Ok(rosters)
    }

    /// A feed is hundreds of requests, and one that breaks is made again, unless it is `over` for another reason.
    pub(crate) fn patiently<T>(
        &self,
        over: &AtomicBool,
        attempt: impl Fn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let (mut pause, mut left) = (self.http.options.pause, self.http.options.attempts);
        loop {
            match attempt() {
                Err(error) if error.is_transient() && left > 0 => {
                    left -= 1;
                    self.pause_unless(over, &mut pause)?;
                    if over.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }
}

/// The slips of a segment that are the seeker's.
fn find(seeker: &Seeker<'_>, segment: &[u8]) -> Vec<Box<Slip>> {
    let (slips, _) = segment.as_chunks::<SLIP>();
    let ours = slips
        .iter()
        .filter(|slip| seeker.finds(slip::split(slip).0));
    ours.map(|slip| Box::new(*slip)).collect()
}

/// The slips that a state holds of each segment that it knows.
fn slips_of(state: &State) -> HashMap<Window, Vec<Box<Slip>>> {
    let mut slips: HashMap<Window, Vec<Box<Slip>>> = state
        .segments
        .iter()
        .map(|leaf| (leaf.window, Vec::new()))
        .collect();
    for (window, slip) in &state.slips {
        if let Some(of_window) = slips.get_mut(window) {
            of_window.push(slip.clone());
        }
    }
    slips
}

impl Feed {
    /// What the next reading needs of this one, which was of the box with `roster`.
    #[must_use]
    pub fn to_state(&self, roster: &Roster) -> State {
        State {
            seen: roster.seen(),
            retention: roster.retention(),
            checkpoint: self.log.newest().clone(),
            segments: self.segments.clone(),
            slips: self
                .found
                .iter()
                .map(|found| (found.window, found.slip.clone()))
                .collect(),
        }
    }
}

impl Listing {
    /// What no honest server lists, by the clock of this machine, which may be wrong by a day to either side.
    fn check(&self, roster: &Roster, now: Time) -> Result<(), FeedError> {
        let length = roster.window_length();
        let most = (roster.retention() + 2 * MAX_AHEAD) / length + 2;
        if self.0.len() as u64 > most {
            return Err(FeedError::TooMany);
        }
        let ahead = |leaf: &&Leaf| leaf.window.start(length).0 > now.0.saturating_add(MAX_AHEAD);
        match self.0.iter().find(ahead) {
            Some(leaf) => Err(FeedError::Ahead(leaf.window)),
            None => Ok(()),
        }
    }

    /// That every segment that was known is listed as it was, unless it may have expired by now, if only by a clock that is a day ahead of this one.
    fn check_against(&self, state: &State, roster: &Roster, now: Time) -> Result<(), FeedError> {
        let retention = roster.retention().min(state.retention);
        let now = Time(now.0.saturating_add(MAX_AHEAD));
        for known in &state.segments {
            let at = known.window;
            match self.0.binary_search_by_key(&at, |leaf| leaf.window) {
                Ok(index) if self.0[index] != *known => return Err(FeedError::Replaced(at)),
                Ok(_) => {}
                Err(_) if at.is_expired(roster.window_length(), retention, now) => {}
                Err(_) => return Err(FeedError::Shrank(at)),
            }
        }
        Ok(())
    }

    /// Reads the JSON.
    ///
    /// # Errors
    /// [`FeedError::Listing`] names the segment that is out of order or has a wrong size.
    pub fn parse(bytes: &[u8]) -> Result<Self, FeedError> {
        #[derive(Deserialize)]
        struct Wire {
            segments: Vec<WireSegment>,
        }
        #[derive(Deserialize)]
        struct WireSegment {
            window: u64,
            digest: String,
            size: u64,
        }
        const MALFORMED: ClientError = ClientError::Malformed("not a feed");
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| MALFORMED)?;
        let mut segments: Vec<Leaf> = Vec::with_capacity(wire.segments.len());
        for segment in wire.segments {
            let window = Window(segment.window);
            let slips = segment.size / SLIP as u64;
            let fits = segment.size % SLIP as u64 == 0
                && (1..=MAX_SLIPS).contains(&slips)
                && window.0 <= MAX_DECIMAL
                && segments.last().is_none_or(|last| last.window < window);
            if !fits {
                return Err(FeedError::Listing(window));
            }
            segments.push(Leaf {
                kind: LeafKind::Segment,
                digest: encoding::from_hex(&segment.digest).ok_or(MALFORMED)?,
                size: segment.size,
                window,
            });
        }
        Ok(Self(segments))
    }

    /// How many segments it lists.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of them all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|leaf| leaf.size).sum()
    }

    /// Whether it lists none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
