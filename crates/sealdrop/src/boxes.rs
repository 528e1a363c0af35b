//! `sealdrop box`: who receives what is sent to a box.

use sealdrop_client::show;
use sealdrop_core::encoding;
use sealdrop_core::roster::{Member, Roster};

use crate::cli::{BoxArgs, Global};
use crate::failure::Failure;
use crate::fields;
use crate::files::NewFile;
use crate::network;
use crate::output::{Output, Style, shown_lines};
use crate::review;
use crate::seal::read_box;

pub(crate) fn run(args: &BoxArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let address = network::address(&args.address)?;
    let client = network::client(&address.origin, network::options(global)?, None)?;
    let since = args.since.as_deref().map(read_box).transpose()?;
    let since = since
        .map(|file| file.verify_ignoring_expiry(&address.box_key))
        .transpose()?;
    let file = args.output.as_deref().map(NewFile::create).transpose()?;
    let the_box = network::fetch_box(&client, &address)?;
    let roster = the_box.roster();
    if let Some(since) = &since {
        check_order(since.roster(), roster)?;
    }
    let changes = since.as_ref().map(|since| changes(since.roster(), roster));
    let saved = match file {
        None => None,
        Some(mut file) => {
            file.write(the_box.to_file().to_json().as_bytes())?;
            Some(file.keep()?.display().to_string())
        }
    };
    let mut text = review::describe_box(&address, &the_box, &|text| output.out(Style::Dim, text));
    text.push_str(&format!(
        "  takes drops of up to {}\n",
        show::bytes(roster.max_drop())
    ));
    match &changes {
        None => {}
        Some(changes) if changes.is_empty() => {
            text.push_str("\nThe members are the same as in the file.\n")
        }
        Some(changes) => text.push_str(&format!(
            "\nChanged since the file was saved:\n{}",
            changes
                .iter()
                .map(|c| format!("  {c}\n"))
                .collect::<String>()
        )),
    }
    if args.policy {
        text = shown_lines(the_box.policy(), "");
    } else if saved.is_none() {
        text.push_str("\nThe policy: sealdrop box ADDRESS --policy\n");
    }
    if let Some(path) = &saved {
        text.push_str(&format!("\nSaved: {path}\n"));
    }
    let members: Vec<_> = roster
        .members()
        .iter()
        .map(|member| fields! {"name": member.name, "role": member.role, "fingerprint": member.recipient.fingerprint()})
        .collect();
    let fields = fields! {
        "box": address.box_key.to_string(),
        "fingerprint": address.box_key.fingerprint(),
        "epoch": roster.epoch(),
        "issued": roster.issued().0,
        "expires": roster.expires().0,
        "window": roster.window_length(),
        "max_drop": roster.max_drop(),
        "members": members,
        "policy": the_box.policy(),
        "policy_hash": encoding::hex(roster.policy_hash()),
        "changes": changes,
        "saved": saved,
    };
    output.result(&text, fields);
    Ok(())
}

/// An older roster than the one in hand is an attack, or a backup.
fn check_order(known: &Roster, shown: &Roster) -> Result<(), Failure> {
    let what = if shown.epoch() < known.epoch() {
        format!(
            "roster {}, which is older than the one in the file ({})",
            shown.epoch(),
            known.epoch()
        )
    } else if shown.epoch() == known.epoch() && shown.digest() != known.digest() {
        format!("another roster {} than the one in the file", shown.epoch())
    } else {
        return Ok(());
    };
    Err(Failure::refused(format!("the server shows {what}"))
        .hint("someone who left may be on it: do not send anything, and tell the project by another way than this server"))
}

/// The members added, removed and changed, with fingerprints.
fn changes(known: &Roster, shown: &Roster) -> Vec<String> {
    let find = |roster: &Roster, name: &str| {
        roster
            .members()
            .iter()
            .find(|member| member.name == name)
            .map(fingerprint)
    };
    let removed = known
        .members()
        .iter()
        .filter(|member| find(shown, &member.name).is_none())
        .map(|member| format!("removed: {} {}", member.name, fingerprint(member)));
    let added = shown
        .members()
        .iter()
        .filter_map(|member| match find(known, &member.name) {
            None => Some(format!("added: {} {}", member.name, fingerprint(member))),
            Some(old) if old != fingerprint(member) => Some(format!(
                "changed: {} {old} to {}",
                member.name,
                fingerprint(member)
            )),
            Some(_) => None,
        });
    removed.chain(added).collect()
}

fn fingerprint(member: &Member) -> String {
    member.recipient.fingerprint()
}
