//! Recipient epochs: since when each identity of a member is in use, and from when on it can be destroyed. docs/protocol.md, "Recipient epochs".

use std::collections::HashMap;

use sealdrop_client::show;
use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::recipient::Recipient;
use sealdrop_core::roster::Roster;
use sealdrop_core::time::{Time, Window};
use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::rosters::Rosters;
use crate::text;

/// After so long in use a recipient is worth a reminder, in seconds.
const LONG: u64 = 30 * 86_400;

/// One identity of a member, as the rosters and logs known here tell of it.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) recipient: Recipient,
    /// When the first roster that names it was issued; `None` if none does.
    pub(crate) since: Option<Time>,
    /// The rosters that name it.
    pub(crate) rosters: Vec<u64>,
    pub(crate) state: State,
}

/// Where an identity is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The newest roster names it: reports are sealed to it.
    InUse,
    /// The newest of the keyring, and the newest roster does not name it yet.
    Waits,
    /// No roster names it. It may stand on a card that is on its way to whoever holds the box key.
    Unnamed,
    /// Nothing that was sealed to it can be accepted any more, or held by the server, from this time on.
    Ends(Time),
}

impl Epoch {
    /// Whether it can be destroyed without loss of anything that the server may still take or hold.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        matches!(self.state, State::Ends(from) if from <= now)
    }

    /// What `keys` says of it.
    pub(crate) fn line(&self, now: Time) -> String {
        let since = self.since.map_or(String::new(), |since| {
            format!(" since {}", &show::time(since)[..10])
        });
        let rosters = match self.rosters.as_slice() {
            [] => String::new(),
            [one] => format!("in roster {one}{since}; "),
            [first, .., last] => format!("in rosters {first} to {last}{since}; "),
        };
        let state = match self.state {
            State::InUse => "in use".into(),
            State::Waits => "waits for the next roster".into(),
            State::Unnamed => "kept: it may stand on a card that no roster has taken in yet".into(),
            State::Ends(from) if from <= now => {
                "kept for old drops; it can be destroyed now: `sealdrop-desk destroy-epoch`".into()
            }
            State::Ends(from) if from.0 - now.0 < 86_400 => format!(
                "kept for old drops; it can be destroyed from {} on",
                show::minute(from)
            ),
            State::Ends(from) => format!(
                "kept for old drops; it can be destroyed from {} on, {}",
                &show::time(Time(from.0 + 86_399))[..10],
                text::in_days(now, from)
            ),
        };
        format!("{rosters}{state}")
    }

    /// The same for programs.
    pub(crate) fn to_json(&self, now: Time) -> Value {
        let (state, from) = match self.state {
            State::InUse => ("in-use", None),
            State::Waits => ("waits", None),
            State::Unnamed => ("unnamed", None),
            State::Ends(from) => ("old", Some(from.0)),
        };
        json!({
            "recipient": self.recipient.fingerprint(),
            "since": self.since.map(|since| since.0),
            "rosters": self.rosters,
            "state": state,
            "destroy_from": from,
            "due": self.is_due(now),
        })
    }
}

/// The epochs of these recipients, which are in the order of the keyring: the newest first.
pub(crate) fn epochs(
    recipients: &[Recipient],
    rosters: &Rosters,
    ledgers: &[Ledger],
) -> Vec<Epoch> {
    let taken = taken(rosters, ledgers);
    let newest = rosters.latest().map(|latest| latest.roster());
    let in_use = newest.and_then(|roster| recipients.iter().position(|r| names(roster, r)));
    let epoch = |(position, recipient): (usize, &Recipient)| {
        let naming: Vec<&Roster> = rosters
            .iter()
            .map(|known| known.roster())
            .filter(|roster| names(roster, recipient))
            .collect();
        let ends = naming.iter().map(|roster| {
            let after = rosters.iter().map(|known| known.roster());
            let after = after.filter(|later| later.epoch() > roster.epoch());
            let retention = after.map(Roster::retention).max();
            // An upload that began in the last window may end in the one after.
            let last = Window(last_window(roster, &taken).0.saturating_add(1));
            let end = last.end(roster.window_length()).0;
            Time(end.saturating_add(retention.unwrap_or(roster.retention())))
        });
        let ends = ends.max();
        let is_newer_in_use = in_use.is_some_and(|used| used < position);
        let state = match (ends, newest) {
            (_, Some(newest)) if names(newest, recipient) => State::InUse,
            (Some(ends), _) => State::Ends(ends),
            (None, _) if position == 0 => State::Waits,
            // A card with it would be older than the one that the newest roster took in.
            (None, Some(newest)) if is_newer_in_use => State::Ends(newest.issued()),
            (None, _) => State::Unnamed,
        };
        Epoch {
            recipient: recipient.clone(),
            since: naming.first().map(|first| first.issued()),
            rosters: naming.iter().map(|roster| roster.epoch()).collect(),
            state,
        }
    };
    recipients.iter().enumerate().map(epoch).collect()
}

/// What a member is reminded of, softly.
pub(crate) fn reminders(epochs: &[Epoch], holds_box_key: bool, now: Time) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(newest) = epochs.first() {
        let fingerprint = newest.recipient.fingerprint();
        match (newest.state, newest.since) {
            (State::Waits, _) => lines.push(format!(
                "your new recipient {fingerprint} waits for the next roster ({}); until then reports come to the one before, and open as ever",
                if holds_box_key {
                    "`sealdrop-desk publish`"
                } else {
                    "whoever holds the box key needs your card, `keys --card`"
                }
            )),
            (State::InUse, Some(since)) if now.0.saturating_sub(since.0) > LONG => lines.push(format!(
                "your recipient {fingerprint} has been in use for {} days: `sealdrop-desk rotate` begins a new one",
                (now.0 - since.0) / 86_400
            )),
            _ => {}
        }
    }
    let due = epochs.iter().skip(1).filter(|epoch| epoch.is_due(now));
    lines.extend(due.map(|epoch| {
        format!(
            "nothing new can come to your old recipient {} any more: `sealdrop-desk destroy-epoch` ends it, and shows first what can be read no longer",
            epoch.recipient.fingerprint()
        )
    }));
    lines
}

fn names(roster: &Roster, recipient: &Recipient) -> bool {
    let mut members = roster.members().iter();
    members.any(|member| member.recipient == *recipient)
}

/// The rosters that a server took, in the order of their epochs, and in which window by the log. One dated later than its leaf counts from its date.
fn taken(rosters: &Rosters, ledgers: &[Ledger]) -> Vec<(u64, Window)> {
    let mut logged: HashMap<[u8; 32], Window> = HashMap::new();
    let leaves = ledgers.iter().flat_map(Ledger::leaves);
    for leaf in leaves.filter(|leaf| leaf.kind == LeafKind::Roster) {
        let window = logged.entry(leaf.digest).or_insert(leaf.window);
        *window = leaf.window.max(*window);
    }
    let rosters = rosters.iter().map(|known| known.roster());
    rosters
        .filter_map(|roster| {
            let window = *logged.get(&roster.digest())?;
            Some((roster.epoch(), window.max(roster.window(roster.issued()))))
        })
        .collect()
}

/// The last window in which the server takes a new drop for this roster: a server takes them for the roster in force and the one before it, and no program
/// begins to send one whose roster has expired.
fn last_window(roster: &Roster, taken: &[(u64, Window)]) -> Window {
    let expired = roster.window(roster.expires());
    let mut after = taken.iter().filter(|(epoch, _)| *epoch > roster.epoch());
    after
        .nth(1)
        .map_or(expired, |(_, window)| (*window).min(expired))
}
