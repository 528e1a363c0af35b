//! Rosters: who receives a box's drops. docs/protocol.md, "Roster".
//!
//! A [`Note`] becomes a [`Roster`] by [`Roster::verify`] alone; there is no other way to make one.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::address::Origin;
use crate::drop::size;
use crate::encoding::{self, from_decimal};
use crate::key::{AccessRole, BoxKey, BoxRole, BoxSecret, LogRole, VoiceRole, WitnessRole};
use crate::note::{Note, NoteError, Vkey};
use crate::recipient::Recipient;
use crate::time::{Time, Window};

/// The first line of a roster.
pub const FIRST_LINE: &str = "sealdrop/roster/v1";
/// The longest life of a roster: 90 days, in seconds.
pub const MAX_LIFE: u64 = 90 * 86_400;
/// How far ahead of a verifier's clock `issued` may be, in seconds.
pub const MAX_AHEAD: u64 = 86_400;
/// The largest policy, in bytes.
pub const MAX_POLICY: usize = 262_144;
/// The most members.
pub const MAX_MEMBERS: usize = 64;
/// The most devices.
pub const MAX_DEVICES: usize = 256;

/// A roster that the box key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    draft: Draft,
    note: Note,
}

/// The content of a roster, before it is signed. Anyone can make one; it proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The box whose roster this is.
    pub box_key: BoxKey,
    /// Where the box is served. 1 to 8.
    pub origins: Vec<Origin>,
    /// Rises with each roster. 1 or more.
    pub epoch: u64,
    /// When it was made.
    pub issued: Time,
    /// From when on nobody may seal to it.
    pub expires: Time,
    /// Length of a window, in seconds.
    pub window: u64,
    /// How long drops are kept after their window's end, in seconds.
    pub retention: u64,
    /// Slips per window.
    pub slips: u64,
    /// The largest drop, in bytes of the file.
    pub max_drop: u64,
    /// SHA-256 of the policy.
    pub policy: [u8; 32],
    /// The server's log key.
    pub log: Vkey<LogRole>,
    /// In the order of their stanzas. 1 to 64.
    pub members: Vec<Member>,
    /// The machines of the members. Up to 256.
    pub devices: Vec<Device>,
}

/// Someone who receives drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// A handle, unique in the roster.
    pub name: String,
    /// A handle.
    pub role: String,
    /// Drops are sealed to it.
    pub recipient: Recipient,
    /// Signs what the member says.
    pub voice: Vkey<VoiceRole>,
}

/// A machine of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Signs its requests.
    pub access: Vkey<AccessRole>,
    /// Cosigns its checkpoints.
    pub witness: Vkey<WitnessRole>,
}

impl Device {
    /// `<member>/<device>`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.access.name()
    }

    /// The member whose machine it is.
    #[must_use]
    pub fn member(&self) -> &str {
        self.name()
            .split_once('/')
            .map_or(self.name(), |(member, _)| member)
    }
}

/// Why a roster is refused. docs/protocol.md, "Roster", gives each check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// Not a note, not a roster, or a value out of its range.
    #[error("the roster is malformed")]
    Malformed,
    /// The box key did not sign it.
    #[error("the roster is not signed by the box key")]
    NotSigned,
    /// It names another box than the one that signed it.
    #[error("the roster is another box's")]
    AnotherBox,
    /// It does not name the origin that it came from.
    #[error("the roster is for another origin")]
    AnotherOrigin,
    /// Its time is over.
    #[error("the roster has expired")]
    Expired,
    /// It was issued more than a day ahead of this clock.
    #[error("the roster was issued in the future")]
    NotYetIssued,
    /// Its epoch is below one already seen.
    #[error("the roster is older than one seen before")]
    Rollback,
    /// Another roster of the same epoch was seen before.
    #[error("two rosters of one epoch")]
    TwoOfOneEpoch,
    /// A member or a key stands twice.
    #[error("a member or a key stands twice in the roster")]
    Duplicate,
    /// A member's recipient is not usable.
    #[error("a recipient in the roster is not usable")]
    Recipient,
}

/// What a client remembers of the rosters of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The highest epoch, 0 for none.
    pub epoch: u64,
    /// SHA-256 of that roster's note.
    pub digest: [u8; 32],
}

impl Roster {
    /// Believes a roster: the box key signed it, it is of this box, this origin and this time, and it is not older than one seen before.
    ///
    /// `origin` is where it was asked for; `None` only where there is no server (a proof, a file).
    ///
    /// # Errors
    /// As [`RosterError`] says.
    pub fn verify(
        note: &Note,
        box_key: &BoxKey,
        origin: Option<&Origin>,
        now: Time,
        seen: Seen,
    ) -> Result<Self, RosterError> {
        let roster = Self::verify_ignoring_expiry(note, box_key)?;
        let draft = &roster.draft;
        if origin.is_some_and(|origin| !draft.origins.contains(origin)) {
            return Err(RosterError::AnotherOrigin);
        }
        if now >= draft.expires {
            return Err(RosterError::Expired);
        }
        if draft.issued.0 > now.0.saturating_add(MAX_AHEAD) {
            return Err(RosterError::NotYetIssued);
        }
        roster.check_seen(seen)?;
        Ok(roster)
    }

    /// Checks that it is not older than one seen before, nor another of its epoch.
    ///
    /// # Errors
    /// [`RosterError::Rollback`] and [`RosterError::TwoOfOneEpoch`].
    pub fn check_seen(&self, seen: Seen) -> Result<(), RosterError> {
        if self.draft.epoch < seen.epoch {
            return Err(RosterError::Rollback);
        }
        if self.draft.epoch == seen.epoch && self.digest() != seen.digest {
            return Err(RosterError::TwoOfOneEpoch);
        }
        Ok(())
    }

    /// Believes a roster of any time: for proofs and old drops, which outlive it. Never seal to the result.
    ///
    /// # Errors
    /// As [`RosterError`] says, without the checks of origin, time and epoch.
    pub fn verify_ignoring_expiry(note: &Note, box_key: &BoxKey) -> Result<Self, RosterError> {
        let text = note
            .verify(&box_vkey(box_key))
            .map_err(|error| match error {
                NoteError::Unsigned | NoteError::BadSignature => RosterError::NotSigned,
                _ => RosterError::Malformed,
            })?;
        // Another line would change the note's digest, and so make two rosters of one epoch out of one.
        if note.signatures().len() != 1 {
            return Err(RosterError::Malformed);
        }
        let draft = Draft::parse(text)?;
        if draft.box_key != *box_key {
            return Err(RosterError::AnotherBox);
        }
        Ok(Self {
            draft,
            note: note.clone(),
        })
    }

    /// The signed note.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// SHA-256 of the note's bytes: the digest of its leaf.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        encoding::sha256(self.note.to_string().as_bytes())
    }

    /// What to remember so that an older one is refused.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            epoch: self.draft.epoch,
            digest: self.digest(),
        }
    }

    /// The content, from which the next roster can be made.
    #[must_use]
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The box.
    #[must_use]
    pub fn box_key(&self) -> &BoxKey {
        &self.draft.box_key
    }

    /// Where the box is served.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.draft.origins
    }

    /// The roster's number.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.draft.epoch
    }

    /// When it was made.
    #[must_use]
    pub fn issued(&self) -> Time {
        self.draft.issued
    }

    /// From when on nobody may seal to it.
    #[must_use]
    pub fn expires(&self) -> Time {
        self.draft.expires
    }

    /// Length of a window, in seconds.
    #[must_use]
    pub fn window_length(&self) -> u64 {
        self.draft.window
    }

    /// How long drops are kept after their window's end, in seconds.
    #[must_use]
    pub fn retention(&self) -> u64 {
        self.draft.retention
    }

    /// The largest drop, in bytes.
    #[must_use]
    pub fn max_drop(&self) -> u64 {
        self.draft.max_drop
    }

    /// SHA-256 of the policy.
    #[must_use]
    pub fn policy_hash(&self) -> &[u8; 32] {
        &self.draft.policy
    }

    /// Whether these are the policy's bytes.
    #[must_use]
    pub fn is_policy(&self, policy: &[u8]) -> bool {
        policy.len() <= MAX_POLICY && encoding::sha256(policy) == self.draft.policy
    }

    /// The server's log key.
    #[must_use]
    pub fn log_key(&self) -> &Vkey<LogRole> {
        &self.draft.log
    }

    /// The members, in the order of their stanzas.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.draft.members
    }

    /// The members' machines.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.draft.devices
    }

    /// The window of `now`.
    #[must_use]
    pub fn window(&self, now: Time) -> Window {
        now.window(self.draft.window)
    }

    /// Whether a desk that holds the box key should renew it: more than half its life is over.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        now.0 >= self.draft.issued.0 / 2 + self.draft.expires.0 / 2
    }
}

/// The verifier key of a box: its name is the box itself. docs/protocol.md, "Names of keys".
#[must_use]
pub fn box_vkey(box_key: &BoxKey) -> Vkey<BoxRole> {
    Vkey::new(box_key.to_string(), box_key.clone())
}

impl Draft {
    /// Signs the roster.
    ///
    /// # Errors
    /// What a verifier would refuse: a value out of range, a duplicate, a key that is not the box's.
    pub fn sign(&self, secret: &BoxSecret) -> Result<Roster, RosterError> {
        let box_key = secret.to_public();
        let note = Note::new(self.to_text()).map_err(|_| RosterError::Malformed)?;
        Roster::verify_ignoring_expiry(&note.sign(&box_key.to_string(), secret), &box_key)
    }

    /// The text of the note.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nbox: {}\n", self.box_key);
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{name}: {value}").expect("a String takes all that is written");
        };
        for origin in &self.origins {
            line("origin", origin);
        }
        line("epoch", &self.epoch);
        line("issued", &self.issued);
        line("expires", &self.expires);
        line("window", &self.window);
        line("retention", &self.retention);
        line("slips", &self.slips);
        line("max-drop", &self.max_drop);
        line("policy", &encoding::hex(&self.policy));
        line("log", &self.log);
        for Member {
            name,
            role,
            recipient,
            voice,
        } in &self.members
        {
            line("member", &format_args!("{name} {role} {recipient} {voice}"));
        }
        for Device { access, witness } in &self.devices {
            line("device", &format_args!("{access} {witness}"));
        }
        text
    }

    fn parse(text: &str) -> Result<Self, RosterError> {
        let mut lines = Lines(
            text.strip_suffix('\n')
                .ok_or(RosterError::Malformed)?
                .split('\n')
                .peekable(),
        );
        if lines.0.next() != Some(FIRST_LINE) {
            return Err(RosterError::Malformed);
        }
        let draft = Self {
            box_key: lines.one("box", |v| BoxKey::parse(v).ok())?,
            // An origin that is not in its one spelling would compare unequal to itself.
            origins: lines.many("origin", |v| {
                v.parse::<Origin>()
                    .ok()
                    .filter(|o| o.as_str() == v)
                    .ok_or(RosterError::Malformed)
            })?,
            epoch: lines.one("epoch", from_decimal)?,
            issued: lines.one("issued", from_decimal).map(Time)?,
            expires: lines.one("expires", from_decimal).map(Time)?,
            window: lines.one("window", from_decimal)?,
            retention: lines.one("retention", from_decimal)?,
            slips: lines.one("slips", from_decimal)?,
            max_drop: lines.one("max-drop", from_decimal)?,
            policy: lines.one("policy", encoding::from_hex)?,
            log: lines.one("log", Vkey::parse)?,
            members: lines.many("member", parse_member)?,
            devices: lines.many("device", |v| parse_device(v).ok_or(RosterError::Malformed))?,
        };
        if !lines
            .0
            .all(|line| line.starts_with("x-") && line.contains(": "))
        {
            return Err(RosterError::Malformed);
        }
        draft.check()?;
        Ok(draft)
    }

    fn check(&self) -> Result<(), RosterError> {
        let life = self.expires.0.checked_sub(self.issued.0);
        let in_range = (1..=8).contains(&self.origins.len())
            && self.epoch >= 1
            && life.is_some_and(|life| (1..=MAX_LIFE).contains(&life))
            && (1..=604_800).contains(&self.window)
            && (self.window..=31_622_400).contains(&self.retention)
            && (1..=64).contains(&self.slips)
            && (size::file(1, size::MIN_PADDED)..=size::MAX_DROP).contains(&self.max_drop)
            && self.log.name() == crate::log::checkpoint::log_name(&self.box_key, self.log.key())
            && (1..=MAX_MEMBERS).contains(&self.members.len())
            && self.devices.len() <= MAX_DEVICES
            && self
                .devices
                .iter()
                .all(|d| self.members.iter().any(|m| m.name == d.member()));
        if !in_range {
            return Err(RosterError::Malformed);
        }
        let ed25519 = [*self.box_key.as_bytes(), *self.log.key().as_bytes()]
            .into_iter()
            .chain(self.members.iter().map(|m| *m.voice.key().as_bytes()))
            .chain(
                self.devices
                    .iter()
                    .flat_map(|d| [*d.access.key().as_bytes(), *d.witness.key().as_bytes()]),
            );
        let unique = all_unique(ed25519)
            && all_unique(self.members.iter().map(|m| &m.name))
            && all_unique(self.members.iter().map(|m| m.recipient.as_bytes()))
            && all_unique(self.devices.iter().map(Device::name))
            && all_unique(&self.origins);
        if unique {
            Ok(())
        } else {
            Err(RosterError::Duplicate)
        }
    }
}

fn all_unique<T: Eq + std::hash::Hash>(items: impl IntoIterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    items.into_iter().all(|item| seen.insert(item))
}

/// The `name: value` lines of a roster, taken in order.
struct Lines<'a>(std::iter::Peekable<std::str::Split<'a, char>>);

impl<'a> Lines<'a> {
    fn next_named(&mut self, name: &str) -> Option<&'a str> {
        let value = |line: &&'a str| {
            line.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(": "))
        };
        let found = self.0.peek().and_then(value)?;
        self.0.next();
        Some(found)
    }

    fn one<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, RosterError> {
        self.next_named(name)
            .and_then(parse)
            .ok_or(RosterError::Malformed)
    }

    fn many<T>(
        &mut self,
        name: &str,
        mut parse: impl FnMut(&'a str) -> Result<T, RosterError>,
    ) -> Result<Vec<T>, RosterError> {
        let mut all = Vec::new();
        while let Some(value) = self.next_named(name) {
            all.push(parse(value)?);
        }
        Ok(all)
    }
}

fn parse_member(value: &str) -> Result<Member, RosterError> {
    let fields: Vec<&str> = value.split(' ').collect();
    let [name, role, recipient, voice] = fields[..] else {
        return Err(RosterError::Malformed);
    };
    let voice = Vkey::parse(voice)
        .filter(|vkey| vkey.name() == name)
        .ok_or(RosterError::Malformed)?;
    if !encoding::is_handle(name) || !encoding::is_handle(role) {
        return Err(RosterError::Malformed);
    }
    let recipient = Recipient::parse(recipient).map_err(|_| RosterError::Recipient)?;
    Ok(Member {
        name: name.into(),
        role: role.into(),
        recipient,
        voice,
    })
}

fn parse_device(value: &str) -> Option<Device> {
    let (access, witness) = value.split_once(' ')?;
    let (access, witness): (Vkey<AccessRole>, Vkey<WitnessRole>) =
        (Vkey::parse(access)?, Vkey::parse(witness)?);
    let (member, device) = access.name().split_once('/')?;
    let fits = encoding::is_handle(member)
        && encoding::is_handle(device)
        && access.name() == witness.name();
    fits.then_some(Device { access, witness })
}
