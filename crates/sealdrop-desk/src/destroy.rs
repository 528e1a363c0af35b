//! `destroy-epoch`: the end of a recipient epoch. docs/protocol.md, "Recipient epochs".
//!
//! Whatever is to stay readable is put into order first: copies of answers are sealed anew, what becomes unreadable is noted. Then the identity goes from the
//! recovery file and the keyring, each written whole. So a crash leaves it in both, in the keyring alone, or nowhere; running it again goes on.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use sealdrop_client::{show, system};
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::time::Time;
use sealdrop_open::Identity;
use serde_json::json;

use crate::context::{Answer, Context, usage};
use crate::destroyed::{Destroyed, sweep};
use crate::epochs::{Epoch, State, epochs};
use crate::home::{Home, Profile};
use crate::inbox::{Desk, From};
use crate::keyring::Keyring;
use crate::ledger::{Known, Ledger};
use crate::rosters::Rosters;
use crate::secret;
use crate::sent::{Sent, by_conversation};

/// Which epochs to end.
#[derive(clap::Args)]
pub(crate) struct DestroyEpoch {
    /// The fingerprint of the identity, from `keys` [default: each that is due]
    fingerprint: Option<String>,
    /// Destroy it although reports may still come that only it opens
    #[arg(long, requires = "fingerprint")]
    before_time: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// What is to be destroyed, as this home tells of it.
struct Seen {
    rosters: Rosters,
    epochs: Vec<Epoch>,
    /// Positions in the keyring.
    chosen: BTreeSet<usize>,
    loss: Loss,
}

/// What is lost with an identity, and what has to be done so that no more is.
#[derive(Default)]
struct Loss {
    /// Drops that open now, and with nothing that stays.
    drops: Vec<Known>,
    /// Cases of which no message stays readable.
    cases: Vec<u64>,
    /// Cases of which some do.
    in_part: Vec<u64>,
    /// Drops that are not on this machine and may be on another: nobody can say whether they need the identity.
    elsewhere: usize,
    /// Answers whose copies are lost with their case.
    answers: u64,
    /// Answers whose copies are to be sealed to the present recipient first.
    reseal: Vec<Sent>,
}

/// Shows what becomes unreadable, asks, and destroys.
pub(crate) fn run(context: &Context, home: &Home, args: &DestroyEpoch) -> Result<Answer> {
    let mut unlocked = Keyring::unlock_to_change(context, home)?;
    let profile = home.profile()?;
    if profile.recipients.is_empty() {
        bail!(
            "there is no identity on this machine, so there is nothing to destroy: it was made with --device-only"
        );
    }
    let now = system::now();
    let mut seen = look(context, home, &unlocked.keyring, &profile, args, now)?;
    if seen.chosen.is_empty() {
        let lines: Vec<String> = seen
            .epochs
            .iter()
            .map(|epoch| format!("  {}  {}", epoch.recipient.fingerprint(), epoch.line(now)))
            .collect();
        return Ok(Answer::new(
            json!({ "destroyed": [] }),
            format!("No identity is due to be destroyed:\n{}", lines.join("\n")),
        ));
    }
    let fingerprints: Vec<String> = seen.chosen().map(|e| e.recipient.fingerprint()).collect();
    if !args.yes {
        let shown = seen.what_is_lost(now);
        let question = format!(
            "{shown}\nType {} to destroy {} for good: ",
            match fingerprints.as_slice() {
                [one] => format!("`{one}`, or `yes`,"),
                _ => "`yes`".into(),
            },
            if fingerprints.len() == 1 {
                "it"
            } else {
                "them"
            },
        );
        let mut accepted = vec!["yes"];
        if let [one] = fingerprints.as_slice() {
            accepted.push(one);
        }
        secret::confirm(home, &question, &accepted)?;
        // An agent may have fetched reports meanwhile that are lost too.
        let changed = "something changed here while you were asked: nothing was destroyed; run this again, and look at what is lost now";
        if !unlocked.is_current(home)? {
            bail!(changed);
        }
        let again = look(context, home, &unlocked.keyring, &profile, args, now)?;
        if again.what_is_lost(now) != shown || again.loss.drops != seen.loss.drops {
            bail!(changed);
        }
        seen = again;
    }

    let Seen {
        rosters,
        epochs,
        chosen,
        loss,
    } = seen;
    let keyring = &mut unlocked.keyring;
    let voice = keyring.voice.as_ref();
    let current = profile.recipients.first().context("an identity is here")?;
    for sent in &loss.reseal {
        let voice = voice.context("the voice key is not here: restore the keyring first")?;
        let all = keyring.identities();
        sent.reseal(home, &all, &rosters, current, voice, &mut system::rng())?;
    }
    let gone: Vec<_> = chosen
        .iter()
        .map(|position| epochs[*position].recipient.clone())
        .collect();
    Destroyed::load(home, &profile)?.note(home, &gone, &loss.drops)?;
    let identities = std::mem::take(&mut keyring.identities).into_iter();
    keyring.identities = (0..)
        .zip(identities)
        .filter(|(position, _)| !chosen.contains(position))
        .map(|(_, identity)| identity)
        .collect();
    let recovery = unlocked.save(home)?;
    let removed = sweep(home)?;

    let mut lines = vec![format!(
        "destroyed: {}; not readable here any more:",
        fingerprints.join(", ")
    )];
    lines.extend(loss.lines().iter().map(|line| format!("  {line}")));
    if removed > 0 {
        lines.push(format!("The ciphertext of {removed} of these drops is gone from this machine too: their windows had expired."));
    }
    if let Some(path) = &recovery {
        lines.push(format!(
            "{} has it no longer. Put this file in the place of every copy that you keep elsewhere: the code on paper still opens the old ones.",
            path.display()
        ));
    }
    lines.push("Whatever else has a copy of the identity still opens those reports: backups of keyring.age, files of `keys export-identity`, other machines of yours; and so does every other member to whom they were sealed. A member who reseals these cases later gives you their keys again. A solid-state disk may keep the old keyring for a while, sealed with its passphrase.".into());
    let json = json!({
        "destroyed": fingerprints,
        "drops": loss.drops.len(),
        "drops_elsewhere": loss.elsewhere,
        "cases": loss.cases,
        "cases_in_part": loss.in_part,
        "answers": loss.answers,
        "answers_resealed": loss.reseal.len(),
        "removed": removed,
        "recovery": recovery,
    });
    Ok(Answer::new(json, lines.join("\n")))
}

fn look(
    context: &Context,
    home: &Home,
    keyring: &Keyring,
    profile: &Profile,
    args: &DestroyEpoch,
    now: Time,
) -> Result<Seen> {
    let rosters = Rosters::load(home, &profile.box_key)?;
    let epochs = epochs(&profile.recipients, &rosters, &Ledger::load_all(home)?);
    let chosen = choose(&epochs, args, now)?;
    let mut loss = Loss::default();
    if !chosen.is_empty() {
        let mut desk = Desk::with_keys(home, &From::here(), keyring.identities(), None)?;
        let staying = |(position, identity): (usize, &IdentitySeed)| {
            (!chosen.contains(&position)).then(|| Identity::new(identity))
        };
        let identities = keyring.identities.iter().enumerate();
        let staying: Vec<Identity> = identities.filter_map(staying).collect();
        loss = find_loss(context, home, &mut desk, &rosters, &staying)?;
    }
    Ok(Seen {
        rosters,
        epochs,
        chosen,
        loss,
    })
}

impl Seen {
    fn chosen(&self) -> impl Iterator<Item = &Epoch> {
        self.chosen.iter().map(|position| &self.epochs[*position])
    }

    /// What is asked about: what becomes unreadable, and what may still come.
    fn what_is_lost(&self, now: Time) -> String {
        let fingerprints: Vec<String> = self.chosen().map(|e| e.recipient.fingerprint()).collect();
        let mut lines = vec![format!(
            "Without {} nothing on this machine opens any more:",
            fingerprints.join(" and ")
        )];
        lines.extend(self.loss.lines().iter().map(|line| format!("  {line}")));
        lines.extend(self.chosen().filter_map(|epoch| match epoch.state {
            State::Ends(from) if from > now => Some(format!(
                "Until {} reports may still come that only {} opens here.",
                show::minute(from),
                epoch.recipient.fingerprint()
            )),
            _ => None,
        }));
        lines.join("\n")
    }
}

/// Positions in the keyring.
fn choose(all: &[Epoch], args: &DestroyEpoch, now: Time) -> Result<BTreeSet<usize>> {
    let Some(fingerprint) = &args.fingerprint else {
        let due = all.iter().enumerate().skip(1);
        return Ok(due
            .filter(|(_, epoch)| epoch.is_due(now))
            .map(|(position, _)| position)
            .collect());
    };
    let position = all
        .iter()
        .position(|epoch| epoch.recipient.fingerprint() == *fingerprint);
    let Some(position) = position else {
        usage!(
            "there is no identity {} here: `sealdrop-desk keys` shows the ones there are",
            show::line(fingerprint)
        );
    };
    let epoch = &all[position];
    if position == 0 {
        bail!(
            "{fingerprint} is your present identity: `sealdrop-desk rotate` begins a new one; this one can go when it is due"
        );
    }
    match epoch.state {
        State::InUse => bail!(
            "reports are sealed to {fingerprint} until a roster names the new recipient: publish that first"
        ),
        _ if epoch.is_due(now) || args.before_time => {}
        State::Ends(from) => bail!(
            "{fingerprint} is not due: until {} the server may take or hold reports that only it opens here; --before-time destroys it all the same",
            show::time(from)
        ),
        State::Waits | State::Unnamed => bail!(
            "{fingerprint} may stand on a card that no roster has taken in yet: reports would be sealed to it then, and nobody here could read them; if you know better, --before-time destroys it"
        ),
    }
    Ok(BTreeSet::from([position]))
}

fn find_loss(
    context: &Context,
    home: &Home,
    desk: &mut Desk<'_>,
    rosters: &Rosters,
    staying: &[Identity],
) -> Result<Loss> {
    let inbox = desk.sort(context)?;
    let readable = desk.readable(staying)?;
    let is_lost = |drop: &Known| readable.lost.iter().any(|lost| lost.digest == drop.digest);
    let mut loss = Loss {
        elsewhere: readable.elsewhere,
        ..Loss::default()
    };
    let mut fates = BTreeMap::new();
    for (number, messages) in &inbox.cases {
        let stays = |drop: &Known| readable.staying.contains(&drop.digest);
        let stays = messages.iter().any(|message| stays(&message.drop));
        fates.insert(*number, stays);
        if messages.iter().any(|message| is_lost(&message.drop)) {
            let list = if stays {
                &mut loss.in_part
            } else {
                &mut loss.cases
            };
            list.push(*number);
        }
    }
    let identities = desk.identities();
    for (conversation, answers) in by_conversation(home)? {
        // Its drops may all be gone, and what was said stays all the same.
        let number = desk.case_number(&conversation);
        let stays = number.is_none_or(|number| fates.get(&number).copied().unwrap_or(true));
        for sent in answers {
            if sent.open(home, staying, rosters)?.is_some()
                || sent.open(home, identities, rosters)?.is_none()
            {
                continue;
            }
            if stays {
                loss.reseal.push(sent);
            } else {
                loss.answers += 1;
            }
        }
    }
    loss.drops = readable.lost;
    Ok(loss)
}

impl Loss {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let list = |cases: &[u64]| {
            let cases: Vec<String> = cases.iter().map(ToString::to_string).collect();
            cases.join(", ")
        };
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let drops = self.drops.len() as u64;
        lines.push(match drops {
            0 => "nothing that is on this machine".into(),
            _ => format!("{drops} drop{}", plural(drops)),
        });
        if !self.cases.is_empty() {
            lines.push(format!("whole cases: {}", list(&self.cases)));
        }
        if !self.in_part.is_empty() {
            lines.push(format!(
                "cases that go on, but for what is old in them: {}",
                list(&self.in_part)
            ));
        }
        if self.elsewhere > 0 {
            lines.push(format!(
                "perhaps {} that {} not on this machine: bring here first what there is",
                match self.elsewhere {
                    1 => "a drop".to_owned(),
                    count => format!("{count} drops"),
                },
                if self.elsewhere == 1 { "is" } else { "are" }
            ));
        }
        if self.answers > 0 {
            lines.push(format!(
                "{} answer{} of yours, with the case",
                self.answers,
                plural(self.answers)
            ));
        }
        lines
    }
}
