//! The part of `sync` that answers: it posts this member's share of slips, whatever they hold, and checks that the server kept the ones before.
//! docs/protocol.md, "Feed".

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use sealdrop_client::{Client, ClientError, Member, Problem, VerifiedBox, system};
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::roster::Roster;
use sealdrop_core::slip::SLIP;
use sealdrop_core::time::{Time, Window};
use serde_json::{Value, json};

use crate::answer::forecast_line;
use crate::home::{Home, Profile};
use crate::judge::Verdicts;
use crate::ledger::Ledger;
use crate::outbox::{Forecast, Outbox, share};
use crate::rosters::Rosters;
use crate::sent::Sent;

/// The largest segment: 64 slips.
const MAX_SEGMENT: usize = 64 * SLIP;

/// What came of it.
pub(crate) struct Posting {
    /// The window that the server posts them in; `None` if nothing was posted now.
    pub(crate) posted: Option<Window>,
    /// The share of the open window is still to come, and may be posted if it is tried again.
    pub(crate) is_open: bool,
    /// What waits afterwards.
    pub(crate) forecast: Forecast,
    /// What is worth knowing and no fault.
    pub(crate) remarks: Vec<String>,
    /// What the server did with answers that it took.
    pub(crate) faults: Vec<String>,
}

impl Posting {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "posted": self.posted.map(|window| window.0),
            "waiting": self.forecast.waiting,
            "share": self.forecast.share,
            "windows": self.forecast.windows,
            "remarks": self.remarks,
            "faults": self.faults,
        })
    }

    /// What to say of the slips that wait; nothing if none do.
    pub(crate) fn waiting_line(&self) -> Option<String> {
        (self.forecast.waiting > 0).then(|| forecast_line(&self.forecast))
    }
}

/// Checks the segments of windows that this machine posted in, then posts for the open one.
///
/// `ledger` is `None` if the log was refused: then it says nothing of what the server kept. It needs the device's keys and the outbox,
/// and nothing that opens or signs.
///
/// What depends on whether answers wait is done before the first request of a sync or after its last, which is the post: the server could
/// otherwise tell by the pause.
pub(crate) fn run(
    home: &Home,
    mut outbox: Outbox<'_>,
    client: &Client,
    member: &Member<'_>,
    rosters: &Rosters,
    ledger: Option<&Ledger>,
    now: Time,
) -> Result<Posting> {
    let roster = rosters.expect_latest()?;
    let (mut remarks, mut faults, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let windows: Vec<Window> = outbox.posted().map(|(window, _)| window).collect();
    for (window, ledger) in windows.into_iter().zip(ledger.iter().cycle()) {
        match look(client, &outbox, ledger, roster, window, now) {
            Found::NotYet => {}
            Found::Refused(why) => faults.push(why),
            Found::Expired => {
                remarks.push(format!(
                    "answers: window {window} expired before this machine saw whether the server kept what it took in it"
                ));
                kept.push(window);
            }
            Found::Missing(missing) if missing.is_empty() => kept.push(window),
            Found::Missing(missing) => {
                faults.push(not_kept(home, &outbox, window, &missing)?);
                settle(home, &mut outbox, window, &missing)?;
            }
        }
    }
    // What went out without an answer may have arrived all the same. Slips that stand in two segments show everybody that they are of one hand.
    let segments = ledger.into_iter().flat_map(Ledger::leaves);
    for leaf in segments.filter(|leaf| leaf.kind == LeafKind::Segment) {
        if outbox.has_tried(leaf.window) {
            match fetch(client, leaf) {
                Ok(kept) => outbox.was_taken(leaf.window, |digest| kept.contains(digest))?,
                Err(why) => faults.push(why),
            }
        }
    }
    let post = post(&mut outbox, member, roster, now, &mut remarks)?;
    if let Post::Second(open) = post {
        outbox.came_second(open)?;
        if has_another_machine(&home.profile()?, rosters, ledger, open) {
            remarks.push(format!(
                "answers: another machine of this member has posted in window {open}; what waits here goes when this machine comes first, or from there: `bundle out --outbox FILE` here, `bundle in FILE` there"
            ));
        } else {
            faults.push(format!(
                "answers: the server says that another machine of this member has posted in window {open}, and the roster names no other machine: either this home was copied or restored from a backup, or the server holds the answers back; what waits here goes with the next window that it leaves free"
            ));
        }
    }
    for window in kept {
        settle(home, &mut outbox, window, &[])?;
    }
    Ok(Posting {
        posted: post.window(),
        is_open: matches!(post, Post::Failed),
        forecast: outbox.forecast(roster, now),
        remarks,
        faults,
    })
}

fn settle(
    home: &Home,
    outbox: &mut Outbox<'_>,
    window: Window,
    missing: &[[u8; 32]],
) -> Result<()> {
    Sent::are_out(home, &outbox.found(window, missing), window)?;
    outbox.settle(window, missing)
}

/// What the log and the feed say of a window that this machine posted in.
enum Found {
    /// The window is not over.
    NotYet,
    /// It is too late to see.
    Expired,
    /// The server does not give the segment that it logged.
    Refused(String),
    /// These of the slips are not in the segment.
    Missing(Vec<[u8; 32]>),
}

fn look(
    client: &Client,
    outbox: &Outbox<'_>,
    ledger: &Ledger,
    roster: &Roster,
    window: Window,
    now: Time,
) -> Found {
    let posted = outbox.posted().find(|(of, _)| *of == window);
    let slips = posted.map(|(_, slips)| slips).unwrap_or_default();
    let of_window = |kind: Option<LeafKind>| {
        let mut leaves = ledger.leaves().iter();
        leaves.find(|leaf| leaf.window == window && kind.is_none_or(|kind| leaf.kind == kind))
    };
    let length = roster.window_length();
    if window.is_expired(length, roster.retention(), now) {
        return Found::Expired;
    }
    let Some(leaf) = of_window(Some(LeafKind::Segment)) else {
        // All leaves of a closed window are logged together; a server that closes none hides them too.
        let is_over = of_window(None).is_some() || ledger.last_window() > Some(window);
        let is_overdue = now.0 > window.end(length).0.saturating_add(length);
        return if is_over || is_overdue {
            Found::Missing(slips.iter().map(|slip| sha256(&slip[..])).collect())
        } else {
            Found::NotYet
        };
    };
    let kept = match fetch(client, leaf) {
        Ok(kept) => kept,
        Err(why) => return Found::Refused(why),
    };
    let mut missing: Vec<_> = slips.iter().map(|slip| sha256(&slip[..])).collect();
    missing.retain(|digest| !kept.contains(digest));
    Found::Missing(missing)
}

/// The digests of the slips in a segment that the log has.
fn fetch(client: &Client, leaf: &Leaf) -> Result<HashSet<[u8; 32]>, String> {
    let window = leaf.window;
    let segment = client
        .get(&format!("/v1/feed/{window}"), MAX_SEGMENT)
        .map_err(|error| format!("answers: the segment of window {window}, in which this machine posted, could not be fetched: {error}"))?;
    if segment.len() as u64 != leaf.size || sha256(&segment) != leaf.digest {
        return Err(format!(
            "answers: what the server gives as the segment of window {window} is not what it logged: reporters may be shown another one"
        ));
    }
    Ok(segment.chunks(SLIP).map(sha256).collect())
}

/// Names what the server took and did not keep.
fn not_kept(
    home: &Home,
    outbox: &Outbox<'_>,
    window: Window,
    missing: &[[u8; 32]],
) -> Result<String> {
    let cases = Verdicts::load(home)?.cases;
    let mut parts = HashMap::new();
    for sent in Sent::load_all(home)? {
        let case = cases.get(&sent.conversation).copied();
        for (part, slip) in (1..).zip(&sent.slips) {
            let of = sent.slips.len();
            let name = match case {
                Some(case) => format!("part {part} of {of} of an answer to case {case}"),
                None => format!("part {part} of {of} of answer {}", sent.message),
            };
            parts.insert(slip.digest.clone(), name);
        }
    }
    let names: Vec<String> = missing
        .iter()
        .map(|digest| {
            let digest_hex = hex(digest);
            match parts.remove(&digest_hex) {
                _ if outbox.is_decoy(digest) => format!("decoy {}", &digest_hex[..16]),
                Some(part) => format!("{} ({part})", &digest_hex[..16]),
                None => digest_hex[..16].to_owned(),
            }
        })
        .collect();
    Ok(format!(
        "answers: the server did not keep the answer: of the slips that it took from this machine in window {window} these are not in its segment: {}. They wait again",
        names.join(", ")
    ))
}

/// What became of the open window's share.
enum Post {
    /// The server took it for this window.
    Taken(Window),
    /// The server has a share of the member for this window, and not from here.
    Second(Window),
    /// Nothing is to be done before the next window.
    Done,
    /// It is worth trying again in this one.
    Failed,
}

impl Post {
    fn window(&self) -> Option<Window> {
        match self {
            Self::Taken(window) => Some(*window),
            Self::Second(_) | Self::Done | Self::Failed => None,
        }
    }
}

/// Posts the share of the open window, if that was not done. A server that does not take it is a remark: the same bytes go with the next sync.
fn post(
    outbox: &mut Outbox<'_>,
    member: &Member<'_>,
    roster: &Roster,
    now: Time,
    remarks: &mut Vec<String>,
) -> Result<Post> {
    let open = roster.window(now);
    if outbox.has_posted(open) {
        return Ok(Post::Done);
    }
    // Nothing is shown in vain: what the server has not seen can still be handed over.
    if outbox.taken_for == Some(open) && !outbox.has_tried(open) {
        return Ok(Post::Second(open));
    }
    let share = share(roster);
    let is_second = outbox.sends_again(share);
    let body = outbox.compose(open, share, roster.box_key(), &mut system::rng())?;
    let answer = member.post_slips(&body);
    outbox.tidy()?;
    let error = match answer {
        Ok(window) if window.0.abs_diff(open.0) <= 1 => {
            outbox.taken(share, window)?;
            // It had them already, since the window before: this window's share is still to come.
            if is_second && window < open && !outbox.sends_again(share) {
                return post(outbox, member, roster, now, remarks);
            }
            return Ok(Post::Taken(window));
        }
        Ok(window) => {
            remarks.push(format!(
                "answers: the server says that it took them in window {window}, and it is window {open} by this machine's clock: set the clock, or tell its operator; they wait for the next sync"
            ));
            return Ok(Post::Done);
        }
        Err(error) => error,
    };
    remarks.push(match error {
        // It posted between this sync's first request and this one.
        ClientError::Status { status: 409, .. } => return Ok(Post::Second(open)),
        ClientError::Status { status: 404 | 405, .. } => {
            "answers: the server does not take any: it is older than this program; they wait".into()
        }
        ClientError::Status { problem: Some(Problem::Full), .. } => {
            "answers: the window's segment is full; they go in the next".into()
        }
        ClientError::Status { status: 422, .. } => {
            remarks.push("answers: the server refuses what this machine posted as no slips; it may have another roster: run `sealdrop-desk sync` again".into());
            return Ok(Post::Failed);
        }
        error => {
            remarks.push(format!("answers: could not be posted, and are sent again, the same bytes, with the next sync: {error}"));
            return Ok(Post::Failed);
        }
    });
    Ok(Post::Done)
}

/// Whether another machine of the member may have posted in the window `open`: a roster that may be in force in it names one. A roster that the log has
/// in an earlier window has ended those before it.
fn has_another_machine(
    profile: &Profile,
    rosters: &Rosters,
    ledger: Option<&Ledger>,
    open: Window,
) -> bool {
    let leaves = ledger.into_iter().flat_map(Ledger::leaves);
    let logged: HashSet<[u8; 32]> = leaves
        .filter(|leaf| leaf.kind == LeafKind::Roster && leaf.window < open)
        .map(|leaf| leaf.digest)
        .collect();
    let rosters: Vec<&Roster> = rosters.iter().map(VerifiedBox::roster).collect();
    let first = rosters
        .iter()
        .rposition(|roster| logged.contains(&roster.digest()));
    let in_force = rosters.iter().skip(first.unwrap_or(0));
    let own = profile.device.as_ref().map(|(access, _)| access);
    in_force
        .flat_map(|roster| roster.devices())
        .any(|device| device.member() == profile.member && Some(&device.access) != own)
}
