//! `sealdrop verify`: what a receipt or proof shows, without any network.

use std::path::Path;

use sealdrop_core::encoding;
use sealdrop_core::log::leaf::Leaf;
use sealdrop_core::log::proof::{Proven, State};
use sealdrop_core::log::saved::{MAX_SAVED, SavedError, SavedKey};
use sealdrop_core::report::Report;
use sealdrop_core::roster::Roster;
use sealdrop_open::{Context, Keys, NoAttachments, OpenError, Quarantine};
use sha2::{Digest as _, Sha256};

use crate::check::{Kept, Verified};
use crate::cli::VerifyArgs;
use crate::failure::Failure;
use crate::fields;
use crate::files;
use crate::network;
use crate::output::{Output, Style};
use crate::post::FileSource;
use sealdrop_client::Source as _;
use sealdrop_client::show;

pub(crate) fn run(args: &VerifyArgs, output: &Output) -> Result<(), Failure> {
    if args.key.is_some() && args.drop.is_none() {
        return Err(Failure::usage(
            "--key needs --drop: the file key opens the sealed drop, and the receipt does not hold that",
        )
        .hint(
            "give the file that `submit --save` or `seal -o` wrote; without it, leave out --key: that a drop was left can be shown, not what it says",
        ));
    }
    let kept = Kept::read(&args.file)?;
    let address = args.address.as_deref().map(network::address).transpose()?;
    let is_checked = address.is_some();
    let address = address.map_or_else(|| kept.own_address(), Ok)?;
    let Verified {
        roster,
        leaf,
        proven,
        ..
    } = kept.verify(&address, &args.file)?;
    let report = args
        .drop
        .as_deref()
        .map(|path| content(path, args.key.as_deref(), &leaf, &roster))
        .transpose()?
        .flatten();

    let mut text = state_text(&leaf, &roster, proven.as_ref(), output);
    if args.drop.is_some() {
        let what = if proven.is_some() {
            "logged"
        } else {
            "promised to be logged"
        };
        text.push_str(&format!("The drop is the one that was {what}.\n"));
    }
    if let Some(report) = &report {
        let title = report
            .form
            .get("title")
            .map_or("(no title)", String::as_str);
        let names: Vec<&str> = roster
            .members()
            .iter()
            .map(|member| member.name.as_str())
            .collect();
        let attachments = match report.attachments.len() {
            0 => "no attachments".into(),
            1 => "1 attachment".into(),
            n => format!("{n} attachments"),
        };
        text.push_str(&format!(
            "It is the report “{}” with {}, addressed to every member: {}.\n",
            show::line(title),
            attachments,
            names.join(", ")
        ));
    }
    let is_origin_named = roster.origins().contains(&address.origin);
    if is_checked && !is_origin_named {
        let named: Vec<String> = roster.origins().iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "\nThe box is the one of this address, but its roster is not for {}; it names {}.\nThe box may have moved since; if not, ask the project which address is right.\n",
            address.origin,
            named.join(", ")
        ));
    }
    if !is_checked {
        text.push_str(&format!(
            "\nThe box is the one that the file names itself: {}\nCompare it with the address in the project's SECURITY.md, or give that with --address.\n",
            address.box_key
        ));
    }
    output.result(
        &text,
        json(
            &leaf,
            &roster,
            proven.as_ref(),
            report.as_ref(),
            (is_checked, is_origin_named),
        ),
    );
    Ok(())
}

fn state_text(leaf: &Leaf, roster: &Roster, proven: Option<&Proven>, output: &Output) -> String {
    let length = roster.window_length();
    let (start, end) = (
        show::minute(leaf.window.start(length)),
        show::minute(leaf.window.end(length)),
    );
    let mut text = match proven.map(Proven::logged) {
        None => format!(
            "{}: the server of box {} promised to log this drop by {end}.\n",
            output.out(Style::Green, "Promised"),
            roster.box_key().fingerprint()
        ),
        Some(logged) => {
            let state = match logged.state() {
                State::Collected => format!(
                    "{} by {}",
                    output.out(Style::Green, "Collected"),
                    logged.members().join(", ")
                ),
                _ => output.out(Style::Green, "Logged"),
            };
            format!(
                "{state}: the log of box {} holds this drop.\n",
                roster.box_key().fingerprint()
            )
        }
    };
    for cosigner in proven.iter().flat_map(|proven| proven.logged().cosigners()) {
        text.push_str(&format!(
            "  {} on {}\n",
            cosigner.device,
            show::minute(cosigner.time)
        ));
    }
    text.push_str(&format!(
        "Left between {start} and {end}; {}, SHA-256 {}.\nRoster {}, issued {}, expires {}.\n",
        show::bytes(leaf.size),
        encoding::hex(&leaf.digest),
        roster.epoch(),
        show::day(roster.issued()),
        show::day(roster.expires())
    ));
    text
}

fn json(
    leaf: &Leaf,
    roster: &Roster,
    proven: Option<&Proven>,
    report: Option<&Report>,
    (is_checked, is_origin_named): (bool, bool),
) -> serde_json::Map<String, serde_json::Value> {
    let names: Vec<&str> = roster
        .members()
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    fields! {
        "state": proven.map_or(State::Promised, |proven| proven.logged().state()).as_str(),
        "address_checked": is_checked,
        "origin_in_roster": is_origin_named,
        "box": roster.box_key().to_string(),
        "epoch": roster.epoch(),
        "issued": roster.issued().0,
        "expires": roster.expires().0,
        "collected_by": proven.map(|proven| proven.logged().members()),
        "digest": encoding::hex(&leaf.digest),
        "size": leaf.size,
        "window": leaf.window.0,
        "title": report.and_then(|report| report.form.get("title")),
        "addressed_to": report.map(|_| names),
    }
}

/// That a drop is the one of the leaf and, with the file key, what it says and that every member can open it.
fn content(
    path: &Path,
    key: Option<&Path>,
    leaf: &Leaf,
    roster: &Roster,
) -> Result<Option<Report>, Failure> {
    let mut source = FileSource::open(path)?;
    let name = path.display().to_string();
    let mut hash = Sha256::new();
    {
        let mut reader = source
            .open()
            .map_err(|error| files::cannot_read(path, &error))?;
        std::io::copy(&mut reader, &mut HashWriter(&mut hash))
            .map_err(|error| files::cannot_read(path, &error))?;
    }
    if <[u8; 32]>::from(hash.finalize()) != leaf.digest || source.size != leaf.size {
        return Err(
            Failure::refused(format!("{name} is not the drop that this receipt is for"))
                .hint("give the file that was sent, or the receipt that belongs to it"),
        );
    }
    let Some(key_path) = key else { return Ok(None) };
    let saved =
        SavedKey::parse(&files::read(key_path, MAX_SAVED)?).map_err(|error| match error {
            SavedError::Version => Failure::usage(format!(
                "{} was written by a newer sealdrop",
                key_path.display()
            ))
            .hint("use that version, or a later one"),
            _ => Failure::usage(format!("{} is not a file key", key_path.display()))
                .hint("give the file that ends in .key"),
        })?;
    let known = |epoch: u64| (epoch == roster.epoch()).then(|| roster.clone());
    let context = Context {
        box_key: roster.box_key(),
        roster: &known,
    };
    let size = source.size;
    let reader = source
        .open()
        .map_err(|error| files::cannot_read(path, &error))?;
    match sealdrop_open::open(
        reader,
        size,
        Keys::FileKey(&saved.file_key),
        &context,
        &mut NoAttachments,
    ) {
        Ok(opened) => Ok(Some(opened.report)),
        Err(OpenError::Io(error)) => Err(files::cannot_read(path, &error)),
        Err(OpenError::Quarantine(Quarantine::NotAddressedTo(names))) => {
            Err(Failure::refused(format!(
                "NOT ADDRESSED TO {}: the drop was sealed so that they cannot open it",
                names.join(", ")
            ))
            .hint("it proves no delivery to them")
            .field("not_addressed_to", names))
        }
        Err(OpenError::Quarantine(Quarantine::Damaged)) => Err(Failure::refused(format!(
            "{} does not open {name}: it is the file key of another report, or the drop was sealed wrongly",
            key_path.display()
        ))
        .hint("give the one that was written beside this receipt")),
        Err(OpenError::Quarantine(why)) => Err(Failure::refused(format!(
            "{name} is logged, but proves no report: {why}"
        ))
        .hint(if why == Quarantine::UnknownRoster {
            "it was sealed to another roster than the receipt holds: repeat `post` with --box"
        } else {
            "the file key and the drop do not make a report"
        })),
        Err(error) => Err(Failure::refused(format!(
            "{name} cannot be opened: {error}"
        ))),
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
