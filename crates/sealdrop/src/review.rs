//! What is shown before anything is sealed.

use sealdrop_client::{VerifiedBox, system};
use sealdrop_core::address::Address;
use sealdrop_core::report::Kind;
use sealdrop_core::roster::Roster;

use crate::attachment::Attachment;
use crate::form::Form;
use crate::output::{Output, Style, shown_lines};
use sealdrop_client::show;

pub(crate) fn show(
    (form, kind): (&Form, Kind),
    attachments: &[Attachment],
    size: u64,
    address: &Address,
    the_box: &VerifiedBox,
    output: &Output,
) {
    let bold = |text: &str| output.err(Style::Bold, text);
    let mut text = String::new();
    text.push_str(&format!("\n{}\n", bold("To")));
    text.push_str(&describe_box(address, the_box, &|text| {
        output.err(Style::Dim, text)
    }));
    let what = match kind {
        Kind::Report => "Report",
        Kind::FollowUp => "Reply",
        Kind::Withdraw => "Withdrawal",
    };
    text.push_str(&format!("\n{}\n", bold(what)));
    let parts = [
        ("title", &form.title),
        ("description", &form.description),
        ("steps", &form.steps),
        ("versions", &form.versions),
    ];
    for (name, part) in parts {
        match part.as_deref() {
            None => {}
            Some(part) if part.contains('\n') => {
                text.push_str(&format!("  {name}:\n{}", shown_lines(part, "    ")))
            }
            Some(part) => text.push_str(&format!("  {name}: {}\n", show::line(part))),
        }
    }
    match form.credited() {
        Some(name) => text.push_str(&format!("  credit: {}\n", show::line(name))),
        None if kind == Kind::Report => {
            text.push_str("  credit: none, you stay unnamed\n");
        }
        None => {}
    }
    if !attachments.is_empty() {
        text.push_str(&format!("\n{}\n", bold("Attachments")));
    }
    for attachment in attachments {
        let stripped = if attachment.stripped {
            ", metadata removed"
        } else {
            ""
        };
        text.push_str(&format!(
            "  {} ({}{stripped})\n",
            show::line(&attachment.name),
            show::bytes(attachment.size)
        ));
        for finding in &attachment.findings {
            text.push_str(&format!(
                "    {} {finding}\n",
                output.err(Style::Yellow, "holds:")
            ));
        }
    }
    if attachments
        .iter()
        .any(|attachment| !attachment.findings.is_empty())
    {
        text.push_str("  What files hold besides their content may say who you are. --strip removes it from JPEG and PNG images.\n");
    }
    text.push_str(&format!("\nThe drop will be {} long, as many others are; nobody but the members above can open it.\n", show::bytes(size)));
    output.note(&text);
}

/// The box and its members, one line each.
pub(crate) fn describe_box(
    address: &Address,
    the_box: &VerifiedBox,
    dim: &dyn Fn(&str) -> String,
) -> String {
    let roster = the_box.roster();
    let mut text = format!(
        "  {}\n  box {}\n  roster {}, issued {}, expires {}\n",
        address.origin,
        address.box_key.fingerprint(),
        roster.epoch(),
        show::day(roster.issued()),
        show::day(roster.expires()),
    );
    if system::now().0 > roster.issued().0 + 45 * 86_400 {
        text.push_str("  This roster is more than 45 days old: someone who left since then may still be on it.\n");
    }
    for member in roster.members() {
        // Handles and fingerprints are plain ASCII by the roster's own rules.
        text.push_str(&format!(
            "  {} ({})  {}\n",
            member.name,
            member.role,
            dim(&member.recipient.fingerprint())
        ));
    }
    text
}

/// `1 member`, `3 members`.
pub(crate) fn members_count(roster: &Roster) -> String {
    match roster.members().len() {
        1 => "1 member".into(),
        n => format!("{n} members"),
    }
}
