//! One reading of the feed, as `check` and `watch` make it: the same requests, whatever is found. docs/protocol.md, "Reading slips".

use sealdrop_client::feed::{Feed, FeedError, FoundSlip, Known};
use sealdrop_client::{Client, ClientError, LookupError, VerifiedBox, show, system};
use sealdrop_core::address::Address;
use sealdrop_core::phrase::ReporterKeys;
use sealdrop_core::slip::clue::Seeker;
use sealdrop_core::state::State;

use crate::check;
use crate::conversation::Conversation;
use crate::failure::Failure;
use crate::network;
use crate::output::Output;
use crate::progress::Progress;
use crate::state;

/// What reads the feed for one conversation.
pub(crate) struct Reader {
    pub(crate) client: Client,
    pub(crate) address: Address,
    pub(crate) keys: ReporterKeys,
}

/// The feed as it is now.
pub(crate) struct Reading {
    pub(crate) the_box: VerifiedBox,
    pub(crate) feed: Feed,
    /// What is to be said besides: the roster has expired, or the log is another.
    pub(crate) remarks: Vec<String>,
}

/// Why it could not be read.
pub(crate) struct Unread {
    pub(crate) failure: Failure,
    /// Whether the same may work some other time: it is the network, and not what the server says.
    pub(crate) may_pass: bool,
}

impl Reader {
    /// Reads the feed. Which requests are made follows from the box and from `known` alone.
    ///
    /// `output` is where a bar is drawn.
    pub(crate) fn read(
        &self,
        known: Option<Known<'_>>,
        output: Option<&Output>,
    ) -> Result<Reading, Unread> {
        let client = self.client.operation();
        let listing = client.feed_listing()?;
        let file = client.fetch_box_unverified().map_err(FeedError::Client)?;
        let seen = state::seen(known.map(|known| known.state));
        let (the_box, expired) = network::believe_to_read(file, &self.address, seen)?;
        let seeker = Seeker::new(&self.keys.clue, &self.address.box_key);
        let bar = output.map(|output| Progress::new("reading the feed", listing.bytes(), output));
        let mut progress = |bytes| {
            if let Some(bar) = &bar {
                bar.set(bytes);
            }
        };
        let now = system::now();
        let feed = client.read_feed(&listing, &the_box, &seeker, now, known, &mut progress)?;
        let another_log = feed.is_another_log.then(|| {
            "The box has another log than when the state was written, as after restoring a backup: the whole feed was read anew, and what it may have \
             lost since cannot be told.".to_owned()
        });
        Ok(Reading {
            the_box,
            feed,
            remarks: expired.into_iter().chain(another_log).collect(),
        })
    }

    /// What these slips of a reading say.
    pub(crate) fn conversation<'f>(
        &self,
        reading: &Reading,
        slips: impl IntoIterator<Item = &'f FoundSlip>,
    ) -> Conversation {
        let length = reading.the_box.roster().window_length();
        let rosters = &reading.feed.rosters;
        Conversation::read(slips, rosters, &self.keys, &self.address.box_key, length)
    }
}

impl Reading {
    /// What the next reading may know of this one.
    pub(crate) fn to_state(&self) -> State {
        self.feed.to_state(self.the_box.roster())
    }
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            may_pass: false,
        }
    }
}

impl From<FeedError> for Unread {
    fn from(error: FeedError) -> Self {
        let may_pass = match &error {
            FeedError::Client(error) | FeedError::Log(LookupError::Client(error)) => {
                may_pass(error)
            }
            _ => false,
        };
        Self {
            failure: failure(error),
            may_pass,
        }
    }
}

/// Whether it is the network, or the server's health. A connection that is not secure is often one through a network that asks to log in first.
fn may_pass(error: &ClientError) -> bool {
    error.is_transient()
        || matches!(error, ClientError::Tls { .. })
        || error.status().is_some_and(|status| status >= 500)
}

/// What a feed that cannot be believed means, and what to do.
fn failure(error: FeedError) -> Failure {
    const OTHER_WAY: &str = "tell the project, by another way than this server";
    let message = error.to_string();
    match error {
        FeedError::Client(error) if error.status() == Some(404) => {
            Failure::refused("this server has no feed of answers")
                .hint("its version of Sealdrop is older than that; ask the project for another way to hear from it")
        }
        FeedError::Client(error) | FeedError::Log(LookupError::Client(error)) => error.into(),
        FeedError::Log(LookupError::Fork { one, other }) => check::forked(&one, &other),
        FeedError::Log(LookupError::AnotherLog) => {
            Failure::refused("the server's log is not the one that the box's roster names")
                .hint(OTHER_WAY)
        }
        FeedError::Ahead(_) => Failure::refused(message).hint(format!(
            "set the clock of this machine (it says {}); if it is right, {OTHER_WAY}",
            show::minute(system::now())
        )),
        FeedError::Shrank(_) => Failure::refused(message).hint(format!(
            "nothing of the feed was shown, and the state stays as it was: {OTHER_WAY}, unless the clock of this machine is wrong (it says {})",
            show::minute(system::now())
        )),
        FeedError::Replaced(_) => Failure::refused(message).hint(format!(
            "nothing of the feed was shown, and the state stays as it was: {OTHER_WAY}"
        )),
        _ => Failure::refused(message).hint(format!(
            "nothing of the feed was believed or shown: {OTHER_WAY}"
        )),
    }
}
