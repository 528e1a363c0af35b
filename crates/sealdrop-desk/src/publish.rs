//! `publish`: sign the next roster and take it to the server. docs/protocol.md, "Roster".

use sealdrop_client::show;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use sealdrop_client::{BoxFile, Client, ClientError, VerifiedBox};
use sealdrop_core::address::Origin;
use sealdrop_core::encoding::sha256;
use sealdrop_core::key::{BoxKey, BoxSecret, LogRole};
use sealdrop_core::log::checkpoint::log_name;
use sealdrop_core::note::Vkey;
use sealdrop_core::roster::{Draft, MAX_AHEAD, MAX_LIFE, Roster};
use sealdrop_core::time::Time;
use serde_json::json;

use crate::bundle;
use crate::card::Card;
use crate::context::{Answer, Context, Usage, usage};
use crate::home::{Home, Profile, check_free};
use crate::keyring::Keyring;
use crate::ledger::Listed;
use crate::rosters::{
    Pending, Rosters, differences, give_up_outgoing, outgoing, set_outgoing, used_epoch,
};
use crate::{limits, policy, remote};

/// How long a roster is good for.
const DAYS: u64 = 90;
const DEFAULT_WINDOW: u64 = 21_600;
const DEFAULT_RETENTION: u64 = 7_776_000;
const DEFAULT_SLIPS: u64 = 8;
const DEFAULT_MAX_DROP: u64 = 1 << 30;

/// What the next roster says; what is not given stays as it is.
#[derive(clap::Args)]
pub(crate) struct Publish {
    /// Where the box is served; give it again for each further address, for instance an onion service. The first is the one in `address`
    #[arg(long, value_name = "URL")]
    origin: Vec<String>,
    /// The server's log key (`curl ORIGIN/log/vkey`): needed on a machine that cannot ask the server, compared on one that can
    #[arg(long, value_name = "VKEY")]
    log_key: Option<String>,
    /// Accept that the server has another log key than the roster before, because it was restored or replaced
    #[arg(long)]
    new_log: bool,
    /// The policy: a policy.toml, which is checked first (`policy lint`), or a text that reporters are shown; up to 256 KiB
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Length of a window in seconds, at most a week; it can never change later [default: 21600]
    #[arg(long, value_name = "SECONDS", value_parser = limits::window)]
    window: Option<u64>,
    /// How long the server keeps drops after their window, in seconds, at most 366 days [default: 7776000]
    #[arg(long, value_name = "SECONDS", value_parser = limits::retention)]
    retention: Option<u64>,
    /// The largest drop, in bytes or such as 500M, at most 8G [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = limits::max_drop)]
    max_drop: Option<u64>,
    /// How long the roster is good for, in days, at most 90; a synced desk with the box key renews it at half of that
    #[arg(long, value_name = "DAYS", default_value_t = DAYS)]
    days: u64,
    /// Write a bundle with the signed roster to FILE instead, for a machine that connects: `bundle in FILE`, then `publish` there
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Publish {
    /// The roster as it is, with what `member add` and `member remove` have prepared.
    pub(crate) fn unchanged() -> Self {
        Self {
            origin: Vec::new(),
            log_key: None,
            new_log: false,
            policy: None,
            window: None,
            retention: None,
            max_drop: None,
            days: DAYS,
            out: None,
        }
    }

    fn changes_something(&self) -> bool {
        !self.origin.is_empty()
            || self.log_key.is_some()
            || self.policy.is_some()
            || self.window.is_some()
            || self.retention.is_some()
            || self.max_drop.is_some()
    }
}

/// Signs the next roster, and hands it to the server or writes it to a file.
pub(crate) fn run(context: &Context, home: &Home, args: &Publish) -> Result<Answer> {
    let profile = home.profile()?;
    let mut rosters = Rosters::load(home, &profile.box_key)?;
    if !profile.holds_box_key {
        return hand_in_outgoing(context, home, &profile, &mut rosters, args);
    }
    origins(args)?;
    if let Some(path) = &args.out {
        check_free(path)?;
    }
    let keyring = Keyring::unlock(context, home)?;
    let published = sign_next(context, home, args, &keyring)?;
    answer(
        &home.profile()?,
        published.before.as_ref(),
        &published.roster,
        &published.place,
    )
}

/// Signs the next roster with an open keyring, and hands it to the server. Gives its epoch.
pub(crate) fn next(
    context: &Context,
    home: &Home,
    args: &Publish,
    keyring: &Keyring,
) -> Result<u64> {
    Ok(sign_next(context, home, args, keyring)?.roster.epoch())
}

/// The origins given, as browsers show them. An origin has no slash at its end.
fn origins(args: &Publish) -> Result<Vec<Origin>> {
    let parse = |origin: &String| {
        let plain = origin.strip_suffix('/').unwrap_or(origin);
        let parsed = plain.parse::<Origin>();
        parsed.map_err(|error| Usage(format!("--origin {}: {error}", show::line(origin))).into())
    };
    args.origin.iter().map(parse).collect()
}

/// A roster that was signed, the one before it, and where it went.
struct Published {
    before: Option<Roster>,
    roster: Roster,
    place: String,
}

fn sign_next(
    context: &Context,
    home: &Home,
    args: &Publish,
    keyring: &Keyring,
) -> Result<Published> {
    let profile = home.profile()?;
    let mut rosters = Rosters::load(home, &profile.box_key)?;
    let origins = origins(args)?;
    let secret = keyring.box_secret()?;
    let now = sealdrop_client::system::now();
    let origin = origins.first().cloned().or_else(|| profile.origin.clone());
    let Some(origin) = origin else {
        usage!("say where the box is served: `sealdrop-desk publish --origin https://…`");
    };
    let client = match args.out {
        Some(_) => None,
        None => Some(remote::client(context, &origin)?),
    };
    if let Some(client) = &client {
        take_current(client, home, &profile, &mut rosters)?;
        remote::check_clock(client, now)?;
    }
    let before = rosters.latest().map(|known| known.roster().clone());
    let log = log_key(args, client.as_ref(), &profile, before.as_ref())?;
    let (draft, policy) = draft(home, args, &profile, &rosters, origins, &origin, log, now)?;
    let signed = sign(&draft, &policy, secret)?;
    let roster = signed.roster().clone();
    set_outgoing(home, Some(&signed))?;
    let place = match (&client, &args.out) {
        (Some(client), _) => {
            put(client, home, &signed)?;
            "the server has it".to_owned()
        }
        (None, Some(path)) => {
            bundle::write_roster(home, &profile, &signed, path)?;
            format!(
                "written to {}: carry it to a machine that connects, and run `bundle in` and `publish` there",
                path.display()
            )
        }
        (None, None) => unreachable!("without --out there is a client"),
    };
    rosters.add(home, signed)?;
    set_outgoing(home, None)?;
    Pending::default().save(home)?;
    let profile = Profile {
        origin: Some(origin),
        ..profile
    };
    home.write_profile(&profile)?;
    Ok(Published {
        before,
        roster,
        place,
    })
}

/// On a machine without the box key: takes to the server what was signed elsewhere.
fn hand_in_outgoing(
    context: &Context,
    home: &Home,
    profile: &Profile,
    rosters: &mut Rosters,
    args: &Publish,
) -> Result<Answer> {
    let Some(signed) = outgoing(home, &profile.box_key)? else {
        bail!(
            "the box key is not on this machine, and no signed roster waits here: sign one where the key is with `publish --out FILE`, and take it here with `bundle in FILE`"
        );
    };
    if args.changes_something() || args.out.is_some() {
        usage!(
            "the roster that waits here is signed and cannot be changed: run `sealdrop-desk publish` without options"
        );
    }
    let roster = signed.roster().clone();
    let Some(origin) = profile
        .origin
        .clone()
        .filter(|o| roster.origins().contains(o))
        .or_else(|| roster.origins().first().cloned())
    else {
        bail!("the signed roster names no origin");
    };
    let client = remote::client(context, &origin)?;
    let before = rosters.latest().map(|known| known.roster().clone());
    put_or_give_up(&client, home, &signed)?;
    rosters.add(home, signed)?;
    set_outgoing(home, None)?;
    let profile = Profile {
        origin: Some(origin),
        ..profile.clone()
    };
    home.write_profile(&profile)?;
    answer(&profile, before.as_ref(), &roster, "the server has it")
}

/// Hands in the roster that waits here, if the server's is older than that; forgets it if the server has it, or a newer one. Gives its epoch if
/// it was handed in.
pub(crate) fn hand_in_newer(
    client: &Client,
    home: &Home,
    box_key: &BoxKey,
    server: Option<&BoxFile>,
) -> Result<Option<u64>> {
    let Some(signed) = outgoing(home, box_key)? else {
        return Ok(None);
    };
    let served = server.and_then(|file| file.clone().verify_ignoring_expiry(box_key).ok());
    let epoch = signed.roster().epoch();
    let is_needed = served.is_none_or(|served| served.roster().epoch() < epoch);
    if is_needed {
        put_or_give_up(client, home, &signed)?;
    }
    set_outgoing(home, None)?;
    Ok(is_needed.then_some(epoch))
}

/// Signs the newest roster again with a new date, and hands it in. docs/protocol.md, "Roster": at half its life.
pub(crate) fn renew(
    client: &Client,
    home: &Home,
    rosters: &mut Rosters,
    secret: &BoxSecret,
    now: Time,
) -> Result<Roster> {
    let latest = rosters.latest().context("there is no roster to renew")?;
    remote::check_clock(client, now)?;
    let old = latest.roster().draft();
    let life = old.expires.0 - old.issued.0;
    let draft = Draft {
        epoch: next_epoch(home, rosters)?,
        issued: now,
        expires: Time(now.0 + life),
        ..old.clone()
    };
    let signed = sign(&draft, latest.policy(), secret)?;
    set_outgoing(home, Some(&signed))?;
    put(client, home, &signed)?;
    let roster = signed.roster().clone();
    rosters.add(home, signed)?;
    set_outgoing(home, None)?;
    Ok(roster)
}

/// An epoch that was never used: not by a roster seen, and not by one that was signed here and may have reached the server.
fn next_epoch(home: &Home, rosters: &Rosters) -> Result<u64> {
    let signed = outgoing(home, &home.profile()?.box_key)?;
    let signed = signed.map_or(0, |signed| signed.roster().epoch());
    let known = rosters.seen().epoch;
    Ok(known.max(signed).max(used_epoch(home)?) + 1)
}

fn sign(draft: &Draft, policy: &str, secret: &BoxSecret) -> Result<VerifiedBox> {
    let roster = draft.sign(secret).map_err(|error| {
        anyhow::anyhow!("this roster cannot be signed, because every client would refuse it: {error}; check --window, --retention, --max-drop, --days and the members")
    })?;
    let file = BoxFile {
        roster: roster.note().clone(),
        policy: policy.to_owned(),
    };
    Ok(file.verify_ignoring_expiry(&draft.box_key)?)
}

/// Hands a roster in. From then on the log owes it.
fn put(client: &Client, home: &Home, signed: &VerifiedBox) -> Result<()> {
    client
        .put_box(&signed.to_file())
        .map_err(|error| explain(client, signed.roster(), error))?;
    owe(home, signed)
}

fn owe(home: &Home, signed: &VerifiedBox) -> Result<()> {
    let mut listed = Listed::load(home)?;
    listed.add_roster(signed.roster(), sealdrop_client::system::now());
    listed.save(home)
}

/// The same for a roster that waited here. One that is refused and that this machine's clock does not find valid either waits no longer: it was
/// signed where the clock was wrong, or too long ago, and would be refused at every sync.
fn put_or_give_up(client: &Client, home: &Home, signed: &VerifiedBox) -> Result<()> {
    let roster = signed.roster();
    client.put_box(&signed.to_file()).map_err(|error| {
        let is_refused = error.status() == Some(403);
        let why = explain(client, roster, error);
        if !is_refused || misdated(roster, sealdrop_client::system::now()).is_none() {
            return why;
        }
        match give_up_outgoing(home, roster.epoch()) {
            Ok(()) => anyhow::anyhow!("{why:#}; it waits here no longer"),
            Err(error) => error,
        }
    })?;
    owe(home, signed)
}

/// What is wrong with a roster's dates, by this machine's clock.
fn misdated(roster: &Roster, now: Time) -> Option<String> {
    if roster.issued().0 > now.0.saturating_add(MAX_AHEAD) {
        return Some(format!(
            "is dated {}, and it is {} here: it was signed where the clock was wrong",
            show::minute(roster.issued()),
            show::minute(now)
        ));
    }
    let has_expired = now >= roster.expires();
    has_expired.then(|| format!("expired on {}", show::minute(roster.expires())))
}

/// Why the server refuses a roster: it says no more than its status. docs/protocol.md, "HTTP".
fn explain(client: &Client, roster: &Roster, error: ClientError) -> anyhow::Error {
    let (epoch, now) = (roster.epoch(), sealdrop_client::system::now());
    match error.status() {
        Some(403) => {}
        Some(409) => {
            return anyhow::anyhow!(
                "the server refuses the roster: it has a newer one, another log key, or another window length; sign a new one where the box key is, with --new-log if the server was restored"
            );
        }
        _ => return error.into(),
    }
    if let Some(wrong) = misdated(roster, now) {
        return anyhow::anyhow!(
            "roster {epoch} {wrong}; run `sealdrop-desk publish` where the box key is, to sign another"
        );
    }
    if let Err(differ) = remote::check_clock(client, now) {
        return differ.context(format!("the server refuses roster {epoch}"));
    }
    let box_key = roster.box_key();
    match client.log_vkey() {
        Ok(log) if log.name() != log_name(box_key, log.key()) => anyhow::anyhow!(
            "the server at {} is not for this box: start it with --box {box_key}",
            client.origin()
        ),
        _ => anyhow::anyhow!(
            "the server at {} refuses roster {epoch}: compare its version and its clock with this machine's, and read its log",
            client.origin()
        ),
    }
}

/// The rosters that are known here. A machine that connects and knows none fetches the one in force first, as it is after `init --join`.
pub(crate) fn known_or_fetched(
    context: &Context,
    home: &Home,
    profile: &Profile,
) -> Result<Rosters> {
    let mut rosters = Rosters::load(home, &profile.box_key)?;
    if let (None, Some(_), Some(origin)) = (rosters.latest(), &profile.device, &profile.origin) {
        let client = remote::client(context, origin)?;
        take_current(&client, home, profile, &mut rosters).with_context(|| {
            format!("no roster is known here yet, and the one in force cannot be had from {origin}")
        })?;
    }
    Ok(rosters)
}

/// What the server has now, if anything, so that the next roster builds on it.
fn take_current(
    client: &Client,
    home: &Home,
    profile: &Profile,
    rosters: &mut Rosters,
) -> Result<()> {
    let file = match client.fetch_box_unverified() {
        Ok(file) => file,
        Err(ClientError::Status { status: 404, .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // An old roster or another origin is what publishing is about to mend, so neither is refused here.
    let current = file
        .verify_ignoring_expiry(&profile.box_key)
        .context("the server has a roster that is not of your box: check --origin")?;
    if current.roster().epoch() > rosters.seen().epoch {
        remote::fetch_history(client, &profile.box_key, home, rosters, &current)?;
    }
    rosters.add(home, current)
}

fn log_key(
    args: &Publish,
    client: Option<&Client>,
    profile: &Profile,
    before: Option<&Roster>,
) -> Result<Vkey<LogRole>> {
    let known = before.map(Roster::log_key);
    let given = match &args.log_key {
        None => None,
        Some(text) => match Vkey::<LogRole>::parse(text.trim()) {
            Some(vkey) => Some(vkey),
            None => usage!(
                "--log-key is not a verifier key: copy the whole line that `curl ORIGIN/log/vkey` prints"
            ),
        },
    };
    let served = client.map(Client::log_vkey).transpose();
    let served = served.context("cannot fetch the server's log key")?;
    if let (Some(given), Some(served)) = (&given, &served)
        && given != served
    {
        bail!(
            "the server has another log key ({}) than the one given ({}): ask its operator which is right",
            served.key().fingerprint(),
            given.key().fingerprint()
        );
    }
    let Some(log) = given.or(served).or_else(|| known.cloned()) else {
        usage!(
            "give the server's log key with --log-key: on a machine that connects, `curl ORIGIN/log/vkey` prints it"
        );
    };
    if log.name() != log_name(&profile.box_key, log.key()) {
        bail!(
            "the server's log key is not one for this box: start the server with --box {}",
            profile.box_key
        );
    }
    if let Some(known) = known
        && *known != log
        && !args.new_log
    {
        bail!(
            "the server has another log key ({}) than roster {} names ({}): it was restored from a backup, or is another server; if you know why, publish with --new-log",
            log.key().fingerprint(),
            before.map_or(0, Roster::epoch),
            known.key().fingerprint()
        );
    }
    Ok(log)
}

#[expect(
    clippy::too_many_arguments,
    reason = "one caller, and a struct would only be unpacked again"
)]
fn draft(
    home: &Home,
    args: &Publish,
    profile: &Profile,
    rosters: &Rosters,
    origins: Vec<Origin>,
    origin: &Origin,
    log: Vkey<LogRole>,
    now: Time,
) -> Result<(Draft, String)> {
    if !(1..=MAX_LIFE / 86_400).contains(&args.days) {
        usage!("--days must be from 1 to 90");
    }
    let latest = rosters.latest();
    let mut draft = match latest {
        Some(latest) => latest.roster().draft().clone(),
        None => first(profile, origin, log.clone())?,
    };
    let policy = match (&args.policy, latest) {
        (Some(path), _) => policy::to_publish(path)?,
        (None, Some(latest)) => latest.policy().to_owned(),
        (None, None) => String::new(),
    };
    if let (Some(window), Some(latest)) = (args.window, latest)
        && window != latest.roster().window_length()
    {
        bail!(
            "the window of a log can never change: it is {} seconds",
            latest.roster().window_length()
        );
    }
    draft.epoch = next_epoch(home, rosters)?;
    draft.issued = now;
    draft.expires = Time(now.0 + args.days * 86_400);
    draft.window = args.window.unwrap_or(draft.window);
    draft.retention = args.retention.unwrap_or(draft.retention);
    draft.max_drop = args.max_drop.unwrap_or(draft.max_drop);
    if draft.retention < draft.window {
        usage!(
            "--retention must be at least as long as a window, which is {} seconds here",
            draft.window
        );
    }
    draft.policy = sha256(policy.as_bytes());
    draft.log = log;
    if !origins.is_empty() {
        draft.origins = origins;
    }
    Pending::load(home)?.apply(&mut draft)?;
    if draft.members.is_empty() {
        bail!("the box would have no members: add one with `sealdrop-desk member add CARD`");
    }
    Ok((draft, policy))
}

/// The first roster: whoever holds the box key, with this machine.
fn first(profile: &Profile, origin: &Origin, log: Vkey<LogRole>) -> Result<Draft> {
    let mut draft = Draft {
        box_key: profile.box_key.clone(),
        origins: vec![origin.clone()],
        epoch: 0,
        issued: Time(0),
        expires: Time(0),
        window: DEFAULT_WINDOW,
        retention: DEFAULT_RETENTION,
        slips: DEFAULT_SLIPS,
        max_drop: DEFAULT_MAX_DROP,
        policy: [0; 32],
        log,
        members: Vec::new(),
        devices: Vec::new(),
    };
    Card::of(profile).apply(&mut draft)?;
    Ok(draft)
}

fn answer(
    profile: &Profile,
    before: Option<&Roster>,
    roster: &Roster,
    place: &str,
) -> Result<Answer> {
    let changes = differences(before, roster);
    let address = profile.address()?;
    let mut lines = vec![format!("roster {} is signed: {place}", roster.epoch())];
    lines.extend(changes.iter().map(|line| format!("  {line}")));
    lines.push(format!(
        "good until {} UTC; log key {}",
        show::time(roster.expires()),
        roster.log_key().key().fingerprint()
    ));
    let known = before.map_or(&[][..], Roster::members);
    let is_new = |name: &str| !known.iter().any(|member| member.name == name);
    let members = roster.members().iter().map(|member| member.name.as_str());
    let new: Vec<&str> = members.filter(|name| is_new(name)).collect();
    if !known.is_empty() && !new.is_empty() {
        lines.push(format!(
            "\nOlder cases are not sealed to {}: `sealdrop-desk reseal --all` gives them.",
            new.join(", ")
        ));
    }
    lines.push(format!(
        "\nThe drop address, for SECURITY.md and security.txt:\n\n  {address}"
    ));
    let json = json!({
        "address": address.to_string(),
        "epoch": roster.epoch(),
        "expires": roster.expires().0,
        "log": roster.log_key().to_string(),
        "changes": changes,
        "place": place,
    });
    Ok(Answer::new(json, lines.join("\n")))
}
