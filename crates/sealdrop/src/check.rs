//! `sealdrop check`: what became of a drop.

use std::path::Path;

use sealdrop_client::{Client, Found, LookupError, system};
use sealdrop_core::address::Address;
use sealdrop_core::encoding;
use sealdrop_core::key::BoxKey;
use sealdrop_core::log::leaf::Leaf;
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::proof::{MAX_PROOF_FILE, Proven, Receipt, State};
use sealdrop_core::log::saved::{SavedError, SavedReceipt};
use sealdrop_core::note::Note;
use sealdrop_core::roster::{Roster, RosterError};

use crate::answers;
use crate::cli::{CheckArgs, Global};
use crate::failure::Failure;
use crate::fields;
use crate::files::{self, NewFile};
use crate::network;
use crate::output::{Output, Style};
use sealdrop_client::show;

/// What a reporter kept: the promise, or the proof that came of it. Nothing of it is verified.
pub(crate) struct Kept {
    roster: Note,
    /// The address in a receipt; a proof has none.
    address: Option<String>,
    promise: Option<Note>,
    proof: Option<Receipt>,
}

/// The same, verified by the box key.
pub(crate) struct Verified {
    /// The roster it was sealed to, which may have expired since.
    pub(crate) roster: Roster,
    pub(crate) leaf: Leaf,
    promise: Option<Promise>,
    pub(crate) proven: Option<Proven>,
}

impl Kept {
    /// Reads a receipt (JSON) or a proof.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = files::read(path, MAX_PROOF_FILE)?;
        let name = path.display();
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            let proof = Receipt::parse(&bytes).map_err(|_| {
                Failure::usage(format!("{name} is neither a receipt nor a proof"))
                    .hint("give the file that --receipt wrote, or a .tlog-proof")
            })?;
            return Ok(Self {
                roster: proof.roster().clone(),
                address: None,
                promise: None,
                proof: Some(proof),
            });
        }
        let saved = SavedReceipt::parse(&bytes).map_err(|error| match error {
            SavedError::Version => {
                Failure::usage(format!("{name} was written by a newer sealdrop"))
                    .hint("use that version, or a later one")
            }
            _ => Failure::usage(format!("{name} is not a receipt")).hint(
                "give the file that --receipt wrote; the one that ends in .key is its secret part",
            ),
        })?;
        Ok(Self {
            roster: saved.roster,
            address: Some(saved.address),
            promise: Some(saved.promise),
            proof: None,
        })
    }

    /// The address that a receipt, or the roster in a proof, names: it says which box, not that it is the right one.
    pub(crate) fn own_address(&self) -> Result<Address, Failure> {
        if let Some(address) = &self.address {
            return network::address(address);
        }
        let own = || {
            let box_key = BoxKey::parse(self.roster_line("box: ")?).ok()?;
            Some(Address {
                origin: self.roster_line("origin: ")?.parse().ok()?,
                box_key,
            })
        };
        own().ok_or_else(|| {
            Failure::refused("the proof holds no roster that names its box")
                .hint("it was changed, or was never true")
        })
    }

    /// What stands in the roster behind this, which nothing vouches for.
    fn roster_line(&self, name: &str) -> Option<&str> {
        let mut lines = self.roster.text().lines();
        lines.find_map(|line| line.strip_prefix(name))
    }

    /// Believes the roster by the box key, whatever its date, and the rest by the roster.
    pub(crate) fn verify(&self, address: &Address, path: &Path) -> Result<Verified, Failure> {
        let name = path.display();
        let changed = |what: String| {
            Failure::refused(what).hint("it was changed, or the server that made it lied")
        };
        let roster =
            Roster::verify_ignoring_expiry(&self.roster, &address.box_key).map_err(|error| {
                let is_named =
                    self.roster_line("box: ") == Some(address.box_key.to_string().as_str());
                match error {
                    RosterError::NotSigned if is_named => changed(format!(
                        "{name} holds a roster that is not the one its box signed"
                    )),
                    RosterError::NotSigned | RosterError::AnotherBox => Failure::refused(format!(
                        "{name} is a receipt of another box than this address ({})",
                        address.box_key.fingerprint()
                    ))
                    .hint(
                        "give the address that the report was sent to, or the receipt of this one",
                    ),
                    error => changed(format!("{name} holds a roster that is refused: {error}")),
                }
            })?;
        let promise = self
            .promise
            .as_ref()
            .map(|note| Promise::verify(note, roster.log_key()))
            .transpose();
        let promise = promise.map_err(|error| changed(format!("{name} is no receipt: {error}")))?;
        let proven = self
            .proof
            .as_ref()
            .map(|proof| proof.verify(&address.box_key))
            .transpose();
        let proven = proven.map_err(|error| changed(format!("{name} proves nothing: {error}")))?;
        let leaf = match (&promise, &proven) {
            (Some(promise), _) => *promise.leaf(),
            (None, Some(proven)) => *proven.leaf(),
            (None, None) => return Err(Failure::usage(format!("{name} is empty"))),
        };
        Ok(Verified {
            roster,
            leaf,
            promise,
            proven,
        })
    }
}

pub(crate) fn run(args: &CheckArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let Some(path) = &args.receipt else {
        return answers::run(args, global, output);
    };
    let kept = Kept::read(path)?;
    let address = match args.address.as_deref().or(kept.address.as_deref()) {
        Some(address) => network::address(address)?,
        None => {
            return Err(
                Failure::usage("a proof does not say which address it belongs to")
                    .hint("sealdrop check ADDRESS --receipt FILE"),
            );
        }
    };
    let Verified {
        roster,
        leaf,
        promise,
        proven,
    } = kept.verify(&address, path)?;
    let beside = older_proof(&files::proof_path(path), &leaf, &roster);
    let given = kept.proof.clone().zip(proven);
    let given = given.map(|(receipt, proven)| Found { receipt, proven });
    // What was proved before, the server can no longer take back: its log must still hold these checkpoints.
    let older: Vec<&Found> = given.iter().chain(&beside).collect();
    let known: Vec<Note> = older
        .iter()
        .map(|found| found.receipt.checkpoint().clone())
        .collect();
    let mut file = args.output.as_deref().map(NewFile::create).transpose()?;
    let client = network::client(&address.origin, network::options(global)?, None)?;
    let found = client
        .operation()
        .look_up(&leaf, &roster, &known)
        .map_err(|error| {
            let failure = unbelievable(error, &client, &address, &roster);
            match &beside {
                Some(_) => failure.also(format!(
                    "{} is from before, and is left as it is: keep it",
                    files::proof_path(path).display()
                )),
                None => failure,
            }
        })?;
    let Some(found) = found else {
        return not_found(&kept, promise.as_ref(), &roster, path, output);
    };
    let best = older.into_iter().chain([&found]).reduce(|best, other| {
        if members(other) > members(best) {
            other
        } else {
            best
        }
    });
    let found = best.unwrap_or(&found);
    let mut is_kept = false;
    let written = match &mut file {
        Some(new) => {
            new.write(found.receipt.to_string().as_bytes())?;
            file.map(NewFile::keep).transpose()?
        }
        // A proof given in place of a receipt is the one that the reader has already.
        None if kept.promise.is_none() => None,
        None => {
            is_kept = beside
                .as_ref()
                .is_some_and(|beside| members(beside) >= members(found));
            let path = files::proof_path(path);
            if !is_kept {
                write_beside(&path, &found.receipt, beside.is_some())?;
            }
            Some(path)
        }
    };
    let written = written.map(|path| path.display().to_string());
    output.result(
        &text(found, written.as_deref(), is_kept, output),
        fields(found, written.as_deref()),
    );
    Ok(())
}

/// The proof of an earlier check, if one is there and proves the same leaf in the same log.
pub(crate) fn older_proof(path: &Path, leaf: &Leaf, roster: &Roster) -> Option<Found> {
    let receipt = Receipt::parse(&files::read(path, MAX_PROOF_FILE).ok()?).ok()?;
    let proven = receipt.verify(roster.box_key()).ok()?;
    let is_ours = proven.leaf() == leaf && proven.roster().log_key() == roster.log_key();
    is_ours.then_some(Found { receipt, proven })
}

/// How many members a proof shows to have collected the drop.
pub(crate) fn members(found: &Found) -> usize {
    found.proven.logged().members().len()
}

/// Writes the proof beside the receipt, in the place of an older one of the same drop alone.
fn write_beside(path: &Path, proof: &Receipt, has_older: bool) -> Result<(), Failure> {
    if path.exists() && !has_older {
        return Err(Failure::usage(format!(
            "{} is not a proof of this drop, and is not overwritten",
            path.display()
        ))
        .hint("move it away, or say with -o where the proof goes"));
    }
    files::replace(path, proof.to_string().as_bytes())
}

fn text(found: &Found, written: Option<&str>, is_kept: bool, output: &Output) -> String {
    let logged = found.proven.logged();
    let mut text = match logged.state() {
        State::Collected => {
            let members = logged.members();
            format!(
                "{} by {}.\n",
                output.out(Style::Green, "Collected"),
                members.join(", ")
            )
        }
        _ => format!(
            "{}: it is in the log, and no member's machine has collected it yet.\n",
            output.out(Style::Green, "Logged")
        ),
    };
    for cosigner in logged.cosigners() {
        text.push_str(&format!(
            "  {} on {}\n",
            cosigner.device,
            show::minute(cosigner.time)
        ));
    }
    text.push_str(&format!(
        "Entry {} of {} in the log.\n",
        found.receipt.index(),
        logged.checkpoint().size
    ));
    if let Some(path) = written {
        let kept = if is_kept {
            " (kept as it was: the server shows none with more members)"
        } else {
            ""
        };
        text.push_str(&format!("Proof: {path}{kept}\n"));
    }
    text
}

fn fields(found: &Found, written: Option<&str>) -> serde_json::Map<String, serde_json::Value> {
    let logged = found.proven.logged();
    let cosigners: Vec<_> = logged
        .cosigners()
        .iter()
        .map(|cosigner| fields! {"member": cosigner.member, "device": cosigner.device, "time": cosigner.time.0})
        .collect();
    fields! {
        "state": logged.state().as_str(),
        "collected_by": logged.members(),
        "cosigners": cosigners,
        "index": found.receipt.index(),
        "log_size": logged.checkpoint().size,
        "digest": encoding::hex(&found.receipt.leaf().digest),
        "window": found.receipt.leaf().window.0,
        "proof": written,
    }
}

/// The log does not hold it: not yet, or never.
fn not_found(
    kept: &Kept,
    promise: Option<&Promise>,
    roster: &Roster,
    path: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let Some(promise) = promise else {
        return Err(Failure::refused("the log no longer holds what this proof shows that it held")
            .hint("the proof is the evidence: keep it, and tell the project by another way than this server"));
    };
    let length = roster.window_length();
    let due = show::minute(promise.leaf().window.end(length));
    if promise.is_overdue(length, system::now()) {
        return Err(Failure::refused(format!("BROKEN PROMISE: the server promised to log this drop by {due}, and its log does not hold it"))
            .hint(format!(
                "{} is the evidence: the server signed it. Keep it, tell the project by another way than this server, and send the report again,\n\
                 unless the clock of this machine is wrong: it says {}",
                path.display(),
                show::minute(system::now())
            ))
            .field("state", State::Broken.as_str())
            .field("promise", kept.promise.as_ref().map(ToString::to_string))
            .field("window", promise.leaf().window.0));
    }
    let is_due = system::now() >= promise.leaf().window.end(length);
    let advice = if is_due {
        "It should be there any moment; check again in a while."
    } else {
        "Check again after that."
    };
    let text = format!(
        "{}: the server promised to log it by {due}. {advice}\n",
        output.out(Style::Yellow, "Promised")
    );
    let fields = fields! {
        "state": State::Promised.as_str(),
        "digest": encoding::hex(&promise.leaf().digest),
        "window": promise.leaf().window.0,
        "due": promise.leaf().window.end(length).0,
    };
    output.result(&text, fields);
    Ok(())
}

/// Two checkpoints that contradict each other.
pub(crate) fn forked(one: &Note, other: &Note) -> Failure {
    Failure::refused("THE LOG HAS TWO HISTORIES: the server signed two checkpoints that contradict each other")
        .hint("the two checkpoints are the evidence (--json prints them): tell the project, by another way than this server")
        .field("checkpoints", vec![one.to_string(), other.to_string()])
}

fn unbelievable(
    error: LookupError,
    client: &Client,
    address: &Address,
    roster: &Roster,
) -> Failure {
    match error {
        LookupError::Client(error) => error.into(),
        LookupError::Fork { one, other } => forked(&one, &other),
        LookupError::AnotherLog => {
            let current = network::fetch_box(client, address).ok();
            let moved =
                current.is_some_and(|current| current.roster().log_key() != roster.log_key());
            let failure =
                Failure::refused("the server's log is not the one that made this promise");
            if moved {
                failure.hint(
                    "the box has a new log since, as after restoring a backup: what the old one promised may be lost.\n\
                     Ask the maintainers whether they have the report; otherwise send it again",
                )
            } else {
                failure.hint(
                    "no roster names this log: tell the project, by another way than this server",
                )
            }
        }
        error => Failure::refused(format!("the log cannot be believed: {error}"))
            .hint("tell the project, by another way than this server"),
    }
}
