//! `doctor`: is everything as it must be, all the way from a reporter's side to an opened report?

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, bail};
use sealdrop_client::{Client, ClientError};
use sealdrop_core::encoding::hex;
use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::request::MAX_SKEW;
use sealdrop_core::roster::{Roster, RosterError, Seen};
use sealdrop_core::time::Time;
use serde_json::{Value, json};

use crate::bodies::{self, Fetched};
use crate::context::{Answer, Context};
use crate::epochs::{State, epochs, reminders};
use crate::home::{Home, Profile};
use crate::judge::{Opener, Verdict, Verdicts};
use crate::keyring::Keyring;
use crate::keys::is_named;
use crate::ledger::{Known, Ledger, Listed, known_drops};
use crate::recovery::Made;
use crate::rosters::Rosters;
use crate::shares::{kept, named};
use crate::team::Grants;
use crate::{certificate, evidence, filing, remote, selftest, text};

/// A roster is worth a warning from here on: a synced desk with the box key would have renewed it long before.
const SOON: u64 = 30 * 86_400;

/// Makes every check, and says what each came to.
pub(crate) fn run(context: &Context, home: &Home, no_report: bool) -> Result<Answer> {
    let mut checks = Checks::default();
    let profile = home.profile()?;
    let keyring = Keyring::unlock(context, home)?;
    checks.add("keyring", Ok(Finding::Good("opens".into())));
    for (share, _) in kept(&keyring) {
        checks.add("share", Ok(Finding::Good(named(&share))));
    }
    let now = sealdrop_client::system::now();
    if keyring.device.is_none() {
        let rosters = Rosters::load(home, &profile.box_key)?;
        checks.add("device keys", Ok(without_device(&rosters, now)));
        if let Some(found) = check_epochs(home, &profile, &rosters, now)? {
            checks.add("recipient", Ok(found));
        }
        return Ok(checks.into_answer());
    }
    if keyring.identities.is_empty() {
        checks.add("identity", Ok(Finding::Good("none, as on every machine made with --device-only: whether reports open can be checked only where the identity is".into())));
    }
    let address = profile.address()?;
    let client = remote::client(context, &address.origin)?;
    // First: what a wrong clock does shows in other checks as something else.
    let clock = check_clock(&client, now);
    let is_right = clock.is_ok();
    checks.add("clock", clock);
    checks.add(
        "certificate",
        certificate::check(context, &address.origin, now),
    );
    let mut rosters = Rosters::load(home, &profile.box_key)?;
    let roster = checks.take(
        "roster",
        check_roster(&client, home, &profile, &mut rosters, now),
    );
    if let Some(roster) = roster {
        let named = check_keys(&roster, &profile);
        let is_named = named.is_ok();
        checks.add("keys", named);
        if let Some(found) = check_epochs(home, &profile, &rosters, now)? {
            checks.add("recipient", Ok(found));
        }
        if profile.holds_box_key {
            checks.add("recovery", check_recovery(home, &roster));
        }
        checks.add("log", check_log(&client, home, &roster, now));
        checks.add("evidence", evidence::check(home));
        // A machine that the roster does not name, or whose requests come at a wrong time, could never collect the report.
        if !no_report && is_named && is_right {
            checks.add(
                "report",
                check_report(context, home, &client, &keyring, &rosters, &roster, now),
            );
        }
    }
    Ok(checks.into_answer())
}

/// What can be said on a machine that never asks a server.
fn without_device(rosters: &Rosters, now: Time) -> Finding {
    let roster = rosters.latest().map_or_else(
        || "no roster is known here: take one in with `bundle in`".into(),
        |latest| expiry(latest.roster(), now),
    );
    Finding::Warning(format!(
        "none here, so the server, its log and the way of a report cannot be checked, and no report was filed: run `sealdrop-desk doctor` on a machine that was made without --offline ({roster})"
    ))
}

fn expiry(roster: &Roster, now: Time) -> String {
    format!(
        "roster {} expires {}",
        roster.epoch(),
        text::in_days(now, roster.expires())
    )
}

/// What a check came to, if it did not fail.
pub(crate) enum Finding {
    Good(String),
    Warning(String),
}

#[derive(Default)]
struct Checks {
    lines: Vec<String>,
    values: Vec<Value>,
    failed: bool,
}

impl Checks {
    fn add(&mut self, name: &str, found: Result<Finding>) {
        let (state, text) = match found {
            Ok(Finding::Good(text)) => ("ok", text),
            Ok(Finding::Warning(text)) => ("warning", text),
            Err(error) => ("failed", format!("{error:#}")),
        };
        self.failed |= state == "failed";
        self.lines.push(format!("{state:<8} {name:<12} {text}"));
        self.values
            .push(json!({ "check": name, "state": state, "text": text }));
    }

    fn take<T>(&mut self, name: &str, found: Result<(T, Finding)>) -> Option<T> {
        match found {
            Ok((value, finding)) => {
                self.add(name, Ok(finding));
                Some(value)
            }
            Err(error) => {
                self.add(name, Err(error));
                None
            }
        }
    }

    fn into_answer(self) -> Answer {
        let json = json!({ "healthy": !self.failed, "checks": self.values });
        Answer {
            failed: self.failed,
            ..Answer::new(json, self.lines.join("\n"))
        }
    }
}

/// Whether the server would take this machine's requests for ones of now.
fn check_clock(client: &Client, now: Time) -> Result<Finding> {
    let there = remote::compare_clocks(client, now, MAX_SKEW)?;
    Ok(Finding::Good(match there {
        Some(_) => "within two minutes of the server's".into(),
        None => "the server does not say its time".into(),
    }))
}

/// The roster that a reporter would get, by a reporter's rules.
fn check_roster(
    client: &Client,
    home: &Home,
    profile: &Profile,
    rosters: &mut Rosters,
    now: Time,
) -> Result<(Roster, Finding)> {
    let fetched = client
        .fetch_box(&profile.box_key, now, Seen::default())
        .map_err(|error| explain_expired(error, profile))
        .context("a reporter could not use what the server shows")?;
    let roster = fetched.roster().clone();
    if roster.epoch() < rosters.seen().epoch {
        bail!(
            "the server shows roster {} and you have published {}: publish again",
            roster.epoch(),
            rosters.seen().epoch
        );
    }
    remote::fetch_history(client, &profile.box_key, home, rosters, &fetched)?;
    rosters.add(home, fetched)?;
    let until = expiry(&roster, now);
    let finding = if roster.expires().0.saturating_sub(now.0) < SOON {
        Finding::Warning(format!(
            "{until}, and then nobody can report: publish a new one on the machine with the box key"
        ))
    } else {
        Finding::Good(until)
    };
    Ok((roster, finding))
}

/// Expiry is the one refusal that a new roster always mends.
fn explain_expired(error: ClientError, profile: &Profile) -> anyhow::Error {
    if !matches!(error, ClientError::Roster(RosterError::Expired)) {
        return error.into();
    }
    if profile.holds_box_key {
        anyhow::anyhow!("{error}: run `sealdrop-desk publish`")
    } else {
        anyhow::anyhow!(
            "{error}: whoever holds the box key must run `sealdrop-desk publish`; until then nobody can report"
        )
    }
}

fn check_keys(roster: &Roster, profile: &Profile) -> Result<Finding> {
    if !is_named(roster, profile) {
        bail!(
            "roster {} does not have the keys of this machine: `sealdrop-desk keys` shows which; give the card to whoever holds the box key",
            roster.epoch()
        );
    }
    Ok(Finding::Good(format!(
        "roster {} has the keys of this machine",
        roster.epoch()
    )))
}

/// How old the member's recipient is, and what is to be done about it. `None` without an identity.
fn check_epochs(
    home: &Home,
    profile: &Profile,
    rosters: &Rosters,
    now: Time,
) -> Result<Option<Finding>> {
    let epochs = epochs(&profile.recipients, rosters, &Ledger::load_all(home)?);
    let Some(newest) = epochs.first() else {
        return Ok(None);
    };
    let (fingerprint, mut lines) = (
        newest.recipient.fingerprint(),
        reminders(&epochs, profile.holds_box_key, now),
    );
    let is_good = lines.is_empty() || (lines.len() == 1 && newest.state == State::Waits);
    lines.insert(0, format!("{fingerprint}: {}", newest.line(now)));
    if is_good {
        lines.truncate(1);
        return Ok(lines.pop().map(Finding::Good));
    }
    Ok(Some(Finding::Warning(lines.join("; "))))
}

/// Who could restore the box key if this machine were lost, as far as is known here.
fn check_recovery(home: &Home, roster: &Roster) -> Result<Finding> {
    let Some(made) = Made::load(home)? else {
        return Ok(Finding::Good("the box key was not split on this machine: `sealdrop-desk recovery split` shares it among members, for the day this one is lost".into()));
    };
    let is_member = |name: &&String| roster.members().iter().any(|m| m.name == **name);
    let (still, gone): (Vec<_>, Vec<_>) = made.members.iter().partition(|name| is_member(name));
    let list = |names: &[&String]| {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        names.join(", ")
    };
    let who = format!("any {} of {} restore the box key", made.need, list(&still));
    Ok(if gone.is_empty() {
        Finding::Good(who)
    } else {
        Finding::Warning(format!(
            "{who}, and so does whoever has left with a share ({}): split it again for the members of now; the shares of before stay good",
            list(&gone)
        ))
    })
}

fn check_log(client: &Client, home: &Home, roster: &Roster, now: Time) -> Result<Finding> {
    let note = client
        .checkpoint()
        .context("cannot fetch the log's checkpoint")?;
    let (ledger, _) = Ledger::of(Ledger::load_all(home)?, roster.log_key());
    let checkpoint = ledger.check_checkpoint(&note, roster.log_key())?;
    let lost = check_held(home, &ledger, roster, now)?;
    if lost > 0 {
        return Ok(Finding::Warning(format!(
            "{lost} drops that were cosigned and have not expired are not on this machine: run `sealdrop-desk sync`, which fetches them again if the server still has them"
        )));
    }
    let ahead = checkpoint.size - ledger.size();
    Ok(match ahead {
        0 => Finding::Good(format!(
            "{} entries, all of them checked here",
            checkpoint.size
        )),
        _ => Finding::Good(format!(
            "{} entries, {ahead} not yet checked here: run `sealdrop-desk sync`",
            checkpoint.size
        )),
    })
}

/// Whether the last `sync` left a fault, or did not come to its end. Gives how many drops were cosigned and are not here any more.
fn check_held(home: &Home, ledger: &Ledger, roster: &Roster, now: Time) -> Result<usize> {
    let drops = (0..).zip(ledger.leaves());
    let logged: HashMap<_, u64> = drops
        .filter(|(_, leaf)| leaf.kind == LeafKind::Drop)
        .map(|(index, leaf)| (leaf.digest, index))
        .collect();
    let listed = Listed::load(home)?;
    let owed: HashSet<_> = listed.drops().map(|drop| drop.digest).collect();
    let (length, retention) = (roster.window_length(), roster.retention());
    let (mut missing, mut lost) = (Vec::new(), 0);
    for drop in known_drops(home, &Ledger::load_all(home)?, &listed) {
        let has_expired = drop
            .windows()
            .all(|window| window.is_expired(length, retention, now));
        if has_expired || bodies::is_here(home, &drop) {
            continue;
        }
        match logged.get(&drop.digest) {
            // One of a window that never was here had been released before this machine came.
            Some(&index) if index < ledger.cosigned() => {
                lost += usize::from(
                    drop.windows()
                        .any(|window| bodies::has_window(home, window)),
                );
            }
            Some(_) => missing.push(drop.digest),
            None if owed.contains(&drop.digest) => missing.push(drop.digest),
            // An older log's, which this server does not owe.
            None => {}
        }
    }
    if let Some(first) = missing.first() {
        bail!(
            "{} drops that the server logged or listed are not on this machine (the first is {}): run `sealdrop-desk sync`, which says why",
            missing.len(),
            hex(first)
        );
    }
    let (size, cosigned) = (ledger.size(), ledger.cosigned());
    if cosigned < size {
        bail!(
            "{size} entries are known here and only {cosigned} are cosigned: run `sealdrop-desk sync`, which says why"
        );
    }
    if ledger.is_unposted() {
        bail!(
            "the server has not taken the last cosignature of this machine: run `sealdrop-desk sync`"
        );
    }
    Ok(lost)
}

/// Files a report as a stranger would, finds it in the listing, and opens it.
fn check_report(
    context: &Context,
    home: &Home,
    client: &Client,
    keyring: &Keyring,
    rosters: &Rosters,
    roster: &Roster,
    now: Time,
) -> Result<Finding> {
    let mut rng = sealdrop_client::system::rng();
    let device = keyring.device()?;
    let (access, _) = device.keys();
    let (report, sealed) = filing::seal(roster, &mut rng, |report| {
        selftest::mark(report, &device.name, &access);
        Ok(())
    })?;
    let sent = filing::send(client, &sealed)?;
    let digest = hex(&sent.digest);
    let mut verdicts = Verdicts::load(home)?;
    verdicts.synthetic.push(digest.clone());
    verdicts.save(home)?;
    let window = filing::promised(client, &sent, roster, now)?;

    let member = client.member(&device.name, &access);
    let listing = member
        .drops(window)
        .context("the report was filed, and cannot be listed by this machine")?;
    if !listing.drops.iter().any(|drop| drop.digest == sent.digest) {
        bail!("the server promised the report and does not list it (drop {digest})");
    }
    let mut listed = Listed::load(home)?;
    listed.add(&sent.digest, sent.size, window);
    listed.save(home)?;
    let drop = Known {
        digest: sent.digest,
        size: sent.size,
        window,
        index: None,
        again: Vec::new(),
    };
    match bodies::fetch(context, home, &member, &drop)? {
        Fetched::Here => {}
        Fetched::Missing => {
            bail!("the server lists the report and does not give it (drop {digest})")
        }
        Fetched::Broken(error) => {
            return Err(error).with_context(|| format!("cannot fetch the report (drop {digest})"));
        }
        Fetched::Changed => bail!("the server gives other bytes than were filed (drop {digest})"),
    }
    let identities = keyring.identities();
    if identities.is_empty() {
        return Ok(Finding::Good(
            "a self-test was filed and fetched; there is no identity here to open it".into(),
        ));
    }
    let opener = Opener {
        box_key: roster.box_key(),
        rosters,
        identities: &identities,
        grants: &Grants::default(),
        bodies: home,
    };
    let (verdict, _) = opener
        .judge(&drop)?
        .context("the report vanished from this disk")?;
    match verdict {
        Verdict::Opened {
            message, self_test, ..
        } if message == hex(&report.message) && self_test.as_deref() == Some(&*device.name) => Ok(
            Finding::Good("a self-test was filed, fetched and opened".into()),
        ),
        Verdict::Opened { .. } => bail!("another report came out than went in"),
        Verdict::Quarantined { reason, .. } => {
            bail!("the report was filed and fetched, and does not open here: {reason}")
        }
    }
}
