//! Verdicts: each drop is opened once, whole, and what came of it is kept. No text of a report is kept. docs/protocol.md, "Opening".

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context as _, Result, bail};
use sealdrop_core::drop::FileKey;
use sealdrop_core::encoding::hex;
use sealdrop_core::key::BoxKey;
use sealdrop_core::report::{Attachment, Kind, Report};
use sealdrop_open::{
    Attachments, Context as OpenContext, Identity, Keys, NoAttachments, OpenError, Opened,
    Quarantine, open, peek,
};
use serde::{Deserialize, Serialize};

use crate::bodies::{Bodies, Hashing};
use crate::home::Home;
use crate::ledger::{Known, Ledger};
use crate::rosters::Rosters;
use crate::stop::{Stop, Stoppable};
use crate::team::{Event, Given, Grants};
use crate::{selftest, team};

const FILE: &str = "inbox.json";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is kept of the drops: no titles, no texts, no names.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Verdicts {
    /// By digest of the file, in hex.
    pub(crate) drops: BTreeMap<String, Verdict>,
    /// The number of a conversation, which is that of its case.
    pub(crate) cases: BTreeMap<String, u64>,
    /// What a bundle says of drops that nobody can open here. It is not signed: a machine with an identity opens for itself.
    #[serde(default)]
    pub(crate) said: BTreeMap<String, Verdict>,
    /// Drops that `doctor` filed on this machine, which may have no identity to know them by.
    #[serde(default)]
    pub(crate) synthetic: Vec<String>,
}

/// What came of opening a drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Verdict {
    /// Every check held.
    Opened {
        /// Hex of the conversation id.
        conversation: String,
        /// Hex of the message id.
        message: String,
        kind: Kind,
        epoch: u64,
        /// The machine whose `doctor` filed it, by that machine's signature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        self_test: Option<String>,
        /// The member whose team event it is, by that member's signature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        team_event: Option<String>,
        /// It did not open under an identity here, but with the file key that a member gave.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resealed: bool,
    },
    /// It stands apart, for this reason.
    Quarantined {
        reason: String,
        /// The identities that were tried, by fingerprint, if others might do better.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        held: Vec<String>,
        /// The version of this program, if the reason is what it made of the drop and not what the drop is: another may do better.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<String>,
    },
}

impl Verdict {
    /// Whether no identity that was tried opens the drop.
    fn is_not_addressed(&self) -> bool {
        matches!(self, Self::Quarantined { held, .. } if !held.is_empty())
    }

    /// What makes another drop with the same a replay: conversation and message.
    fn message(&self) -> Option<(String, String)> {
        match self {
            Self::Opened {
                conversation,
                message,
                ..
            } => Some((conversation.clone(), message.clone())),
            Self::Quarantined { .. } => None,
        }
    }
}

impl Verdicts {
    pub(crate) fn load(home: &Home) -> Result<Self> {
        home.read_json(FILE)
    }

    pub(crate) fn save(&self, home: &Home) -> Result<()> {
        home.write_json(FILE, self)
    }

    /// The verdict on a drop, if there is one that still stands: another identity may open what the ones held before could not.
    pub(crate) fn get(&self, drop: &Known, identities: &[Identity]) -> Option<&Verdict> {
        let digest = hex(&drop.digest);
        if identities.is_empty() {
            return self.drops.get(&digest).or_else(|| self.said.get(&digest));
        }
        let verdict = self.drops.get(&digest)?;
        let stands = match verdict {
            Verdict::Quarantined { held, .. } if !held.is_empty() => identities
                .iter()
                .all(|identity| held.contains(&identity.to_public().fingerprint())),
            Verdict::Quarantined {
                program: Some(version),
                ..
            } => version == VERSION,
            _ => true,
        };
        stands.then_some(verdict)
    }

    /// Forgets what was decided of these drops because this program failed at them.
    pub(crate) fn forget_failures<'d>(&mut self, drops: impl Iterator<Item = &'d Known>) {
        for drop in drops {
            let digest = hex(&drop.digest);
            if let Some(Verdict::Quarantined {
                program: Some(_), ..
            }) = self.drops.get(&digest)
            {
                self.drops.remove(&digest);
            }
        }
    }

    /// The messages of drops that were opened here and are none of `drops`: they came in a bundle, and in no log.
    fn messages_besides(&self, drops: &[Known]) -> HashSet<(String, String)> {
        let known: HashSet<String> = drops.iter().map(|drop| hex(&drop.digest)).collect();
        let besides = self
            .drops
            .iter()
            .filter(|(digest, _)| !known.contains(*digest));
        besides
            .filter_map(|(_, verdict)| verdict.message())
            .collect()
    }

    /// The number of a conversation's case; a new one if it is new.
    pub(crate) fn case(&mut self, conversation: &str) -> u64 {
        let next = self.cases.values().max().map_or(1, |last| last + 1);
        *self.cases.entry(conversation.to_owned()).or_insert(next)
    }
}

/// What opens and checks drops.
pub(crate) struct Opener<'a> {
    pub(crate) box_key: &'a BoxKey,
    pub(crate) rosters: &'a Rosters,
    pub(crate) identities: &'a [Identity],
    /// What is tried where no identity opens.
    pub(crate) grants: &'a Grants,
    pub(crate) bodies: &'a dyn Bodies,
}

/// A drop that every check held for.
pub(crate) struct Whole {
    pub(crate) report: Report,
    pub(crate) file_key: FileKey,
    /// The member who gave the file key; `None` if an identity here opened the drop.
    pub(crate) resealed_by: Option<String>,
}

impl Opener<'_> {
    /// The verdict on a drop, by opening it whole. `None` if its body is not here.
    ///
    /// The second value says whether to keep it: what a new roster or a repaired disk could change is looked at again.
    pub(crate) fn judge(&self, drop: &Known) -> Result<Option<(Verdict, bool)>> {
        let (verdict, keep) = match self.open_whole(drop, &mut NoAttachments)? {
            None => return Ok(None),
            Some(Ok(whole)) => (self.opened_verdict(&whole), true),
            Some(Err(reason)) => {
                let keep = !matches!(
                    reason,
                    Reason::Changed | Reason::Quarantine(Quarantine::UnknownRoster)
                );
                let held = match reason {
                    Reason::Quarantine(Quarantine::NotAddressedToYou) => self
                        .identities
                        .iter()
                        .map(|identity| identity.to_public().fingerprint())
                        .collect(),
                    _ => Vec::new(),
                };
                (
                    Verdict::Quarantined {
                        reason: reason.to_string(),
                        held,
                        program: None,
                    },
                    keep,
                )
            }
        };
        Ok(Some((verdict, keep)))
    }

    /// Opens a drop whole. The outer result is about this machine, the inner one about the drop.
    pub(crate) fn open_whole(
        &self,
        drop: &Known,
        sink: &mut dyn Attachments,
    ) -> Result<Option<Result<Whole, Reason>>> {
        let given = self.given(drop)?;
        let Some(body) = self.bodies.open(drop)? else {
            return Ok(None);
        };
        let mut body = Hashing::new(body);
        let rosters = |epoch| self.rosters.get(epoch).cloned();
        let context = OpenContext {
            box_key: self.box_key,
            roster: &rosters,
        };
        let opened = open(&mut body, drop.size, self.keys(given), &context, sink);
        if let Err(OpenError::Io(error)) = opened {
            return Err(error).with_context(|| format!("cannot open drop {}", hex(&drop.digest)));
        }
        // Opening stops at the first fault; the rest is read for the hash alone.
        io::copy(&mut body, &mut io::sink())
            .with_context(|| format!("cannot read drop {}", hex(&drop.digest)))?;
        if body.digest() != drop.digest {
            return Ok(Some(Err(Reason::Changed)));
        }
        Ok(Some(match opened {
            Ok(Opened {
                report, file_key, ..
            }) => Ok(Whole {
                report,
                file_key,
                resealed_by: given.map(|given| given.by.clone()),
            }),
            Err(OpenError::Quarantine(quarantine)) => Err(Reason::Quarantine(quarantine)),
            Err(error) => return Err(error.into()),
        }))
    }

    fn keys<'k>(&'k self, given: Option<&'k Given>) -> Keys<'k> {
        match given {
            Some(given) => Keys::FileKey(&given.file_key),
            None => Keys::Identities(self.identities),
        }
    }

    /// The grant that opens a drop which no identity here does. The first pieces of the file are enough to tell: its header holds a MAC under the file key.
    fn given(&self, drop: &Known) -> Result<Option<&Given>> {
        let given = self.grants.of(drop);
        if given.is_empty() || !self.is_refused(drop, Keys::Identities(self.identities))? {
            return Ok(None);
        }
        for given in given {
            if !self.is_refused(drop, Keys::FileKey(&given.file_key))? {
                return Ok(Some(given));
            }
        }
        Ok(None)
    }

    /// Whether these keys are not the ones of a drop, if its body is here.
    fn is_refused(&self, drop: &Known, keys: Keys<'_>) -> Result<bool> {
        let Some(body) = self.bodies.open(drop)? else {
            return Ok(false);
        };
        Ok(matches!(
            peek(body, drop.size, keys),
            Err(OpenError::Quarantine(
                Quarantine::NotAddressedToYou | Quarantine::Damaged
            ))
        ))
    }

    fn opened_verdict(&self, whole: &Whole) -> Verdict {
        let report = &whole.report;
        let roster = self.rosters.get(report.epoch);
        Verdict::Opened {
            conversation: report.conversation.to_string(),
            message: hex(&report.message),
            kind: report.kind,
            epoch: report.epoch,
            self_test: roster.and_then(|roster| selftest::made_by(report, roster)),
            team_event: roster
                .and_then(|roster| team::made_by(report, roster))
                .map(|(member, _)| member),
            resealed: whole.resealed_by.is_some(),
        }
    }

    /// The report of a drop whose verdict is [`Verdict::Opened`], from the beginning of its file: neither hash nor signature is checked again.
    pub(crate) fn report(&self, drop: &Known) -> Result<Option<Report>> {
        let Some(body) = self.bodies.open(drop)? else {
            return Ok(None);
        };
        let report = peek(body, drop.size, self.keys(self.given(drop)?));
        Ok(Some(report.with_context(|| format!("drop {} was good before and does not open now: the disk may be failing; delete the file and run `sealdrop-desk sync`", hex(&drop.digest)))?))
    }

    /// Whether an identity or a grant opens the drop, and its body is here. A disk that does not give it is an error, and no answer.
    pub(crate) fn is_readable(&self, drop: &Known) -> Result<bool> {
        let Some(body) = self.bodies.open(drop)? else {
            return Ok(false);
        };
        match peek(body, drop.size, self.keys(self.given(drop)?)) {
            Ok(_) => Ok(true),
            Err(OpenError::Io(error)) => {
                Err(error).with_context(|| format!("cannot read drop {}", hex(&drop.digest)))
            }
            Err(_) => Ok(false),
        }
    }
}

/// Why a drop stands apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error(transparent)]
    Quarantine(Quarantine),
    /// The file has another hash than its name.
    #[error("changed: not the bytes that the server listed")]
    Changed,
}

/// A message of a case.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) drop: Known,
    /// Hex of the message id.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) epoch: u64,
    /// Whether a member gave the file key, and no identity here opens it.
    pub(crate) resealed: bool,
}

/// Reports with what belongs to them, and what stands apart.
#[derive(Default)]
pub(crate) struct Inbox {
    /// By number; messages in the order of the log.
    pub(crate) cases: BTreeMap<u64, Vec<Message>>,
    /// Self-tests, and the machine that filed each. They have no case number.
    pub(crate) self_tests: Vec<(Known, String)>,
    /// Team events. They have no case number.
    pub(crate) events: Vec<Event>,
    /// What those give that counts.
    pub(crate) grants: Grants,
    /// Drops and the reason of each.
    pub(crate) quarantine: Vec<(Known, String)>,
    /// Drops that do not open here and were not meant to.
    pub(crate) for_others: Vec<Known>,
    /// Drops that are known, are not here, and were never opened here.
    pub(crate) missing: Vec<Known>,
    /// Those among them that a member gave the file key of.
    pub(crate) missing_resealed: Vec<Known>,
    /// The same, of windows that have expired.
    pub(crate) expired: Vec<Known>,
    /// Drops that nobody has looked into yet, because there is no identity here.
    pub(crate) unopened: u64,
}

/// Sorts drops into cases, opening those without a verdict. `drops` are in the order of the log, by which the first of two equal messages of a
/// conversation is the message and the second a replay. A message id alone says nothing: whoever writes a report chooses it.
///
/// Those for which `is_elsewhere` says so are not sorted: a bundle carries some, and of the others it counts what was found when they were here, so that
/// a replay in a later bundle is one.
pub(crate) fn sort(
    home: &Home,
    opener: &Opener<'_>,
    ledgers: &[Ledger],
    verdicts: &mut Verdicts,
    drops: &[Known],
    is_elsewhere: impl Fn(&Known) -> bool,
    mut opening: impl FnMut(&Known),
) -> Result<Inbox> {
    let guard = Guard {
        home,
        stop: Stop::watch()?,
    };
    let mut inbox = Inbox::default();
    let mut found = Vec::new();
    for drop in drops {
        let is_elsewhere = is_elsewhere(drop);
        let verdict = if is_elsewhere {
            verdicts.drops.get(&hex(&drop.digest))
        } else {
            verdicts.get(drop, opener.identities)
        };
        let verdict = match verdict {
            Some(verdict) => verdict.clone(),
            None if is_elsewhere => {
                inbox.missing.push(drop.clone());
                continue;
            }
            None if opener.identities.is_empty() => {
                inbox.unopened += 1;
                continue;
            }
            None => {
                opening(drop);
                let Some((verdict, keep)) = guard.judge(opener, drop)? else {
                    inbox.missing.push(drop.clone());
                    continue;
                };
                if keep {
                    verdicts.drops.insert(hex(&drop.digest), verdict.clone());
                }
                verdict
            }
        };
        found.push(Found {
            drop,
            verdict,
            is_elsewhere,
        });
    }
    if !opener.identities.is_empty() {
        let judged = found.iter().map(|found| (found.drop, &found.verdict));
        (inbox.grants, inbox.events) = team::read(home, opener, ledgers, drops, judged);
        let opener = Opener {
            grants: &inbox.grants,
            ..*opener
        };
        for found in found.iter_mut().filter(|found| found.asks_for(&opener)) {
            opening(found.drop);
            let Some((verdict, keep)) = guard.judge(&opener, found.drop)? else {
                inbox.missing.push(found.drop.clone());
                continue;
            };
            if keep {
                let digest = hex(&found.drop.digest);
                verdicts.drops.insert(digest, verdict.clone());
            }
            if verdict.is_not_addressed() {
                let given = opener.grants.of(found.drop).iter();
                let given: HashSet<_> = given.map(|given| given.event).collect();
                let events = inbox.events.iter_mut();
                for event in events.filter(|event| given.contains(&event.drop.digest)) {
                    let why = "the key does not open it";
                    event
                        .ignored
                        .push((hex(&found.drop.digest), why.to_owned()));
                }
            }
            found.verdict = verdict;
        }
    }
    let gone: HashSet<_> = inbox.missing.iter().map(|drop| drop.digest).collect();
    found.retain(|found| !gone.contains(&found.drop.digest));

    let events: HashSet<_> = inbox.events.iter().map(|event| event.drop.digest).collect();
    let mut messages = HashSet::new();
    let mut opened = Vec::new();
    let loose = verdicts.messages_besides(drops);
    for Found {
        drop,
        verdict,
        is_elsewhere,
    } in found
    {
        if is_elsewhere {
            messages.extend(verdict.message());
            continue;
        }
        // Behind what the log has come those that it does not have, in the order in which they came here.
        if drop.index.is_none()
            && verdict
                .message()
                .is_some_and(|message| loose.contains(&message))
        {
            inbox.quarantine.push((drop.clone(), "replay".into()));
            continue;
        }
        // What stands apart does so by a signature that nobody can check here: an unsigned word must not put a report out of sight.
        let is_said = opener.identities.is_empty()
            && !verdicts.drops.contains_key(&hex(&drop.digest))
            && !verdicts.synthetic.contains(&hex(&drop.digest));
        match verdict {
            Verdict::Quarantined { reason, .. } => inbox.quarantine.push((drop.clone(), reason)),
            Verdict::Opened {
                self_test: Some(_), ..
            } if is_said => {
                let reason = "a self-test, as a bundle says; without an identity that cannot be checked here";
                inbox.quarantine.push((drop.clone(), reason.into()));
            }
            Verdict::Opened {
                team_event: Some(_),
                ..
            } if is_said => {
                let reason = "a team event, as a bundle says; without an identity that cannot be checked here";
                inbox.quarantine.push((drop.clone(), reason.into()));
            }
            Verdict::Opened {
                conversation,
                message,
                ..
            } if !messages.insert((conversation.clone(), message.clone())) => {
                inbox.quarantine.push((drop.clone(), "replay".into()));
            }
            Verdict::Opened { .. } if events.contains(&drop.digest) => {}
            Verdict::Opened {
                conversation,
                message,
                kind,
                epoch,
                self_test,
                resealed,
                ..
            } => {
                let digest = hex(&drop.digest);
                let is_ours = || verdicts.synthetic.contains(&digest);
                let self_test = self_test.or_else(|| is_ours().then(|| "this machine".into()));
                let message = Message {
                    drop: drop.clone(),
                    id: message,
                    kind,
                    epoch,
                    resealed,
                };
                opened.push((conversation, message, self_test));
            }
        }
    }
    if guard.stop.is_asked() {
        bail!("stopped by you; what was opened before that is kept");
    }
    // A conversation that somebody writes into is a case, whatever it began with.
    let real: HashSet<String> = opened
        .iter()
        .filter(|(_, _, self_test)| self_test.is_none())
        .map(|(conversation, ..)| conversation.clone())
        .collect();
    for (conversation, message, self_test) in opened {
        match self_test.filter(|_| !real.contains(&conversation)) {
            Some(machine) => inbox.self_tests.push((message.drop, machine)),
            None => {
                let number = verdicts.case(&conversation);
                inbox.cases.entry(number).or_default().push(message);
            }
        }
    }
    Ok(inbox)
}

/// A drop with the verdict on it.
struct Found<'d> {
    drop: &'d Known,
    verdict: Verdict,
    is_elsewhere: bool,
}

impl Found<'_> {
    /// Whether what members gave, or gave no more, may change the verdict.
    fn asks_for(&self, opener: &Opener<'_>) -> bool {
        let is_given = !opener.grants.of(self.drop).is_empty();
        match &self.verdict {
            Verdict::Opened { resealed: true, .. } => !self.is_elsewhere && !is_given,
            verdict => !self.is_elsewhere && is_given && verdict.is_not_addressed(),
        }
    }
}

/// Remembers which drop is being opened, so that one that brings the program down cannot do so for ever.
struct Guard<'a> {
    home: &'a Home,
    stop: Stop,
}

impl Guard<'_> {
    /// The file with the digest of the drop being opened and how often that was begun. It is not there when nothing went wrong.
    const FILE: &'static str = "opening";
    /// How often the program may end in a drop: once may be the machine's own end. A Ctrl-C that it answers is none.
    const PATIENCE: u32 = 2;

    fn judge(&self, opener: &Opener<'_>, drop: &Known) -> Result<Option<(Verdict, bool)>> {
        let apart = |reason: String, keep: bool| {
            let verdict = Verdict::Quarantined {
                reason,
                held: Vec::new(),
                program: Some(VERSION.to_owned()),
            };
            Ok(Some((verdict, keep)))
        };
        let before = self.begun(drop)?;
        if before >= Self::PATIENCE {
            self.home.remove(Self::FILE)?;
            let reason = format!(
                "stopped this program {before} times while it was being opened; `inbox --again` tries again"
            );
            return apart(reason, true);
        }
        let path = self.home.path(Self::FILE);
        let mark = format!("{} {}", hex(&drop.digest), before + 1);
        // Not made durable: this is about the program's death, not the machine's.
        std::fs::write(&path, mark).with_context(|| format!("cannot write {}", path.display()))?;
        let bodies = Stoppable {
            bodies: opener.bodies,
            stop: &self.stop,
        };
        let opener = Opener {
            bodies: &bodies,
            ..*opener
        };
        let judged = catch_unwind(AssertUnwindSafe(|| opener.judge(drop)));
        self.home.remove(Self::FILE)?;
        if self.stop.is_asked() {
            bail!(
                "stopped by you; what was opened before that is kept, and nothing is held against the drop that was being opened"
            );
        }
        match judged {
            Ok(Ok(judged)) => Ok(judged),
            // A file that the disk does not give must not hide the others; it may be back next time.
            Ok(Err(error)) => apart(format!("cannot be read here: {error:#}"), false),
            Err(_) => {
                let reason = "makes this program fail; please tell its makers, with the digest; `inbox --again` tries again";
                apart(reason.into(), true)
            }
        }
    }

    fn begun(&self, drop: &Known) -> Result<u32> {
        let mark = self
            .home
            .read(Self::FILE)?
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default();
        let count = mark
            .split_once(' ')
            .filter(|(digest, _)| *digest == hex(&drop.digest))
            .and_then(|(_, count)| count.parse().ok());
        Ok(count.unwrap_or(0))
    }
}

/// A sink that writes every attachment where `open` says.
pub(crate) struct Sink<F>(pub(crate) F);

impl<F, W> Attachments for Sink<F>
where
    F: FnMut(usize, &str) -> io::Result<W>,
    W: Write + 'static,
{
    fn writer(
        &mut self,
        index: usize,
        member: &str,
        _: &Attachment,
    ) -> io::Result<Option<Box<dyn Write + '_>>> {
        Ok(Some(Box::new((self.0)(index, member)?)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sealdrop_core::key::BoxSecret;
    use sealdrop_core::time::Window;

    use super::*;

    /// Stands for a report that this program has a fault for.
    struct Faulty;

    impl Bodies for Faulty {
        fn open(&self, _: &Known) -> Result<Option<Box<dyn io::Read>>> {
            panic!("CANARY\x1b[2J is in this report");
        }
    }

    #[test]
    fn a_report_that_makes_the_desk_panic_is_quarantined_and_nothing_of_it_printed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path()).unwrap();
        let opener = Opener {
            box_key: &BoxSecret::from_seed(&[1; 32]).to_public(),
            rosters: &Rosters::default(),
            identities: &[],
            grants: &Grants::default(),
            bodies: &Faulty,
        };
        let drop = Known {
            digest: [1; 32],
            size: 67_195,
            window: Window(1),
            index: None,
            again: Vec::new(),
        };
        let stop = Stop::watch().unwrap();
        let guard = Guard { home: &home, stop };
        let said = Arc::new(Mutex::new(String::new()));
        let hook = Arc::clone(&said);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            hook.lock().unwrap().push_str(&crate::fault(panic));
        }));
        let judged = guard.judge(&opener, &drop);
        std::panic::set_hook(before);
        let (verdict, keep) = judged.unwrap().unwrap();
        assert!(keep);
        let Verdict::Quarantined {
            reason, program, ..
        } = verdict
        else {
            panic!("it was opened");
        };
        assert!(reason.contains("makes this program fail"), "{reason}");
        assert_eq!(program.as_deref(), Some(VERSION));
        let said = said.lock().unwrap();
        assert!(
            said.contains("judge.rs:") && !said.contains("CANARY"),
            "{said}"
        );
        assert!(home.read(Guard::FILE).unwrap().is_none());
    }
}
