//! What this member said, kept so that a case shows both sides. Nothing of it is on the disk in the clear: a copy of every slip is sealed to
//! the member's own recipient, as drops are.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use anyhow::{Context as _, Result};
use rand_core::CryptoRng;
use sealdrop_core::encoding::{MAX_DECIMAL, hex};
use sealdrop_core::key::{SecretKey, VoiceRole};
use sealdrop_core::recipient::Recipient;
use sealdrop_core::report::Reporter;
use sealdrop_core::slip::message::{Assembly, Message};
use sealdrop_core::slip::{self, Part, PartKind, Slip};
use sealdrop_core::time::Window;
use sealdrop_open::{Identity, open_slip};
use serde::{Deserialize, Serialize};

use crate::home::Home;
use crate::outbox::{ConcatBytes as _, Outbox, cut};
use crate::rosters::Rosters;

const FOLDER: &str = "answers";

/// An answer, without its text.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Hex of the message id.
    pub(crate) message: String,
    /// Hex of the conversation id.
    pub(crate) conversation: String,
    /// Hex digest of the newest drop of the case when it was written.
    pub(crate) after: String,
    /// In the order of the parts.
    pub(crate) slips: Vec<SentSlip>,
    #[serde(skip)]
    number: u64,
}

/// One slip of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SentSlip {
    /// Hex SHA-256.
    pub(crate) digest: String,
    /// The window whose segment holds it, once that was checked.
    pub(crate) window: Option<u64>,
    /// Whether it went to another machine, which posts it.
    #[serde(default)]
    pub(crate) carried: bool,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// So many of its slips wait here.
    Waiting(u64),
    /// The server took all of them; that it kept them will be seen when this window is over.
    Posted(Window),
    /// All are in the feed; the last since this window.
    Out(Window),
    /// What is not out went to another machine.
    Carried,
    /// Not in the outbox and never sent: the program died while it was written.
    Lost,
}

/// An answer, opened.
pub(crate) struct Opened {
    pub(crate) kind: PartKind,
    pub(crate) member: String,
    pub(crate) said: Message,
}

impl Sent {
    /// Keeps a copy of an answer: its `parts`, sealed to `own`, and the digests of the slips that are on their way.
    pub(crate) fn keep(
        home: &Home,
        parts: &[Part],
        digests: Vec<String>,
        after: String,
        own: &Recipient,
        voice: &SecretKey<VoiceRole>,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let first = parts.first().context("an answer has at least one part")?;
        let number = Self::load_all(home)?.last().map_or(1, |s| s.number + 1);
        home.write(slips_path(number), &copies(parts, own, voice, rng))?;
        let sent = Self {
            message: hex(&first.message),
            conversation: first.conversation.to_string(),
            after,
            slips: digests
                .into_iter()
                .map(|digest| SentSlip {
                    digest,
                    window: None,
                    carried: false,
                })
                .collect(),
            number,
        };
        sent.save(home)
    }

    /// The number of the next message to a conversation: the window of now, and how many went before. So it rises on two machines of a member that know nothing of
    /// each other, and says no more of the time than the feed does. Counted for each conversation: a number over all would tell a reporter how many others there are.
    pub(crate) fn next_number(home: &Home, conversation: &str, now: Window) -> Result<u64> {
        let sent = Self::load_all(home)?;
        let before = sent.iter().filter(|s| s.conversation == conversation);
        let count = (before.count() as u64 + 1).min(0xffff);
        Ok((now.0 << 16).saturating_add(count).min(MAX_DECIMAL))
    }

    /// All of them, oldest first.
    pub(crate) fn load_all(home: &Home) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        let entries = match fs::read_dir(home.path(FOLDER)) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context("cannot read the answers kept here"),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.context("cannot read the answers kept here")?.path();
            let number = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".json")?.parse().ok());
            if let Some(number) = number {
                let damaged = || format!("{} is damaged: move it away", path.display());
                let bytes = fs::read(&path).with_context(damaged)?;
                let sent: Self = serde_json::from_slice(&bytes).with_context(damaged)?;
                all.push(Self { number, ..sent });
            }
        }
        all.sort_by_key(|sent| sent.number);
        Ok(all)
    }

    /// Notes that these slips are in the segment of a window.
    pub(crate) fn are_out(home: &Home, digests: &[String], window: Window) -> Result<()> {
        let digests: HashSet<&String> = digests.iter().collect();
        Self::change(home, |slip| {
            let is_new = digests.contains(&slip.digest) && slip.window.is_none();
            if is_new {
                slip.window = Some(window.0);
            }
            is_new
        })
    }

    /// Notes that another machine has these slips, and in which window's segment they are, as far as it says so.
    pub(crate) fn were_carried(home: &Home, carried: &BTreeMap<String, Option<u64>>) -> Result<()> {
        Self::change(home, |slip| {
            let Some(&window) = carried.get(&slip.digest) else {
                return false;
            };
            let is_new = !slip.carried || (slip.window.is_none() && window.is_some());
            slip.carried = true;
            slip.window = slip.window.or(window);
            is_new
        })
    }

    fn change(home: &Home, mut change: impl FnMut(&mut SentSlip) -> bool) -> Result<()> {
        for mut sent in Self::load_all(home)? {
            let changed = sent.slips.iter_mut().map(&mut change);
            if changed.filter(|is_changed| *is_changed).count() > 0 {
                sent.save(home)?;
            }
        }
        Ok(())
    }

    /// How far it has come.
    pub(crate) fn progress(&self, outbox: &Outbox<'_>) -> Progress {
        let (waiting, posted) = (outbox.waiting(), outbox.on_their_way());
        let left = |slip: &&SentSlip| waiting.contains(&slip.digest);
        let left = self.slips.iter().filter(left).count() as u64;
        if left > 0 {
            return Progress::Waiting(left);
        }
        let windows: Option<Vec<(bool, Window)>> = self
            .slips
            .iter()
            .map(|slip| match slip.window {
                Some(window) => Some((true, Window(window))),
                None => posted.get(&slip.digest).map(|window| (false, *window)),
            })
            .collect();
        let Some(windows) = windows.filter(|windows| !windows.is_empty()) else {
            let is_known = |slip: &SentSlip| slip.carried || slip.window.is_some();
            let is_carried = self.slips.iter().all(is_known);
            return if is_carried {
                Progress::Carried
            } else {
                Progress::Lost
            };
        };
        let last = windows.iter().map(|(_, window)| *window).max();
        let last = last.unwrap_or(Window(0));
        if windows.iter().all(|(is_out, _)| *is_out) {
            Progress::Out(last)
        } else {
            Progress::Posted(last)
        }
    }

    /// What it says. `None` if no identity here opens it, or it is damaged.
    pub(crate) fn open(
        &self,
        home: &Home,
        identities: &[Identity],
        rosters: &Rosters,
    ) -> Result<Option<Opened>> {
        let mut assembly: Option<Assembly> = None;
        for part in self.parts(home, identities, rosters)?.unwrap_or_default() {
            match &mut assembly {
                Some(assembly) => drop(assembly.add(part)),
                None => assembly = Some(Assembly::new(part)),
            }
        }
        Ok(assembly.and_then(|assembly| {
            let said = assembly.message()?.ok()?;
            Some(Opened {
                kind: assembly.envelope.kind,
                member: assembly.envelope.member,
                said,
            })
        }))
    }

    /// Its parts. `None` if no identity here opens them all, or they are damaged.
    fn parts(
        &self,
        home: &Home,
        identities: &[Identity],
        rosters: &Rosters,
    ) -> Result<Option<Vec<Part>>> {
        let bytes = home.read(slips_path(self.number))?.unwrap_or_default();
        let voice = |part: &Part| {
            let roster = rosters.get(part.epoch)?;
            let mut members = roster.members().iter();
            let member = members.find(|member| member.name == part.member)?;
            Some(member.voice.key().clone())
        };
        let open = |slip: Box<Slip>| {
            let part = identities
                .iter()
                .find_map(|identity| open_slip(&slip, identity, voice).ok())?;
            (hex(&part.message) == self.message).then_some(part)
        };
        Ok(cut(&bytes)
            .unwrap_or_default()
            .into_iter()
            .map(open)
            .collect())
    }

    /// Seals the copy anew, to `own`. `identities` open it as it is.
    pub(crate) fn reseal(
        &self,
        home: &Home,
        identities: &[Identity],
        rosters: &Rosters,
        own: &Recipient,
        voice: &SecretKey<VoiceRole>,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let parts = self.parts(home, identities, rosters)?;
        let parts = parts.context("an answer that is kept here does not open any more")?;
        home.write(slips_path(self.number), &copies(&parts, own, voice, rng))
    }

    fn save(&self, home: &Home) -> Result<()> {
        home.write_json(format!("{FOLDER}/{:06}.json", self.number), self)
    }
}

/// Answers by the hex of their conversation id, oldest first.
pub(crate) type Answers = BTreeMap<String, Vec<Sent>>;

/// All answers.
pub(crate) fn by_conversation(home: &Home) -> Result<Answers> {
    let mut all = Answers::new();
    for sent in Sent::load_all(home)? {
        all.entry(sent.conversation.clone()).or_default().push(sent);
    }
    Ok(all)
}

/// Copies of parts, sealed to the member's `own` recipient.
fn copies(
    parts: &[Part],
    own: &Recipient,
    voice: &SecretKey<VoiceRole>,
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    let mut clue = [0; 32];
    rng.fill_bytes(&mut clue);
    // Nobody looks for these by their clues.
    let to = Reporter {
        recipient: own.clone(),
        clue,
        voice: voice.to_public(),
    };
    let copies: Vec<_> = parts
        .iter()
        .map(|part| slip::seal(part, &to, voice, rng))
        .collect();
    copies.concat_bytes()
}

fn slips_path(number: u64) -> String {
    format!("{FOLDER}/{number:06}.slips")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_machine_of_a_member_goes_on_counting_where_the_first_was() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = Home::create(one.path()).unwrap();
        let other = Home::create(other.path()).unwrap();
        let first = Sent::next_number(&one, "c", Window(5)).unwrap();
        let later = Sent::next_number(&other, "c", Window(6)).unwrap();
        assert!(first > 0 && later > first + 60_000);
        let far = Sent::next_number(&other, "c", Window(u64::MAX >> 17)).unwrap();
        assert_eq!(far, MAX_DECIMAL);
    }
}
