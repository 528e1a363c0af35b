//! Prose becomes a draft, and nothing is completed that was not said.

use sealdrop_policy::Policy;
use sealdrop_policy::import::{Draft, import};

const PROSE: &str = "# Security

The project is at https://plume.dev/security, the canonical place of this policy.

## Versions

| Version | Supported |
| --- | --- |
| 2.x | :white_check_mark: |
| 1.x | :x: |

## Reporting

Please do not open a public issue. Send an email to security@plume.dev with the
following information:

1. A description of the problem and its impact.
2. Steps to reproduce it.

We will acknowledge your report within **3 working days**. Bring cake.

## Afterwards

This involves everybody, involving the following steps:

- Confirm it.
- ase a fix.

*Last updated: March 1, 2026*
";

/// A policy from the draft, with what only a person can know.
fn completed(draft: &Draft) -> Policy {
    let text = draft.toml.replace("name = \"\"", "name = \"Plume\"");
    Policy::parse(&text).unwrap_or_else(|findings| panic!("{findings:#?}\n{text}"))
}

fn lines(remarks: &[sealdrop_policy::import::Remark]) -> Vec<usize> {
    remarks.iter().map(|remark| remark.line).collect()
}

#[test]
fn a_draft_has_what_was_said_and_from_where() {
    let draft = import(PROSE);
    let policy = completed(&draft);
    assert_eq!(policy.channels[0].uri, "mailto:security@plume.dev");
    assert_eq!(policy.clocks.ack.to_string(), "3bd");
    let required: Vec<_> = policy
        .form
        .require
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(required, ["description", "impact", "steps"]);
    assert_eq!(policy.supported.len(), 2);
    assert_eq!(
        policy.project.canonical.as_deref(),
        Some("https://plume.dev/security")
    );
    assert_eq!(
        policy.project.last_updated.unwrap().0.to_string(),
        "2026-03-01"
    );
    assert!(
        draft
            .toml
            .contains("ack = \"3bd\" # line 20: We will acknowledge")
    );
}

#[test]
fn a_damaged_item_is_flagged_and_never_completed() {
    let draft = import(PROSE);
    let damaged = draft.open.iter().find(|remark| remark.line == 27).unwrap();
    assert!(
        damaged
            .message
            .contains("the item is damaged (\"ase a fix.\")")
    );
    let steps = &completed(&draft).process.steps;
    assert_eq!(steps.len(), 1);
    let taken = draft.toml.lines().filter(|line| !line.starts_with('#'));
    assert!(!taken.collect::<String>().contains("ase a fix"));
}

#[test]
fn what_nothing_was_made_of_is_listed() {
    assert!(
        import(PROSE)
            .unread
            .iter()
            .any(|remark| remark.line == 20 && remark.message == "Bring cake.")
    );
}

#[test]
fn mail_without_an_address_and_a_contact_elsewhere_are_flagged() {
    let draft = import(
        "Please email our security team.\n\nOr email the lead maintainer listed in the README.md file.\n",
    );
    let said: Vec<_> = draft
        .open
        .iter()
        .map(|remark| remark.message.as_str())
        .collect();
    assert!(said[0].contains("no address is given"));
    assert!(said[1].contains("said to stand elsewhere"));
    assert!(said[2].contains("no way to report was found"));
    Policy::parse(&draft.toml).unwrap_err();
}

#[test]
fn the_words_of_a_template_are_flagged() {
    let draft = import("Use this section to tell people about versions.\n");
    assert_eq!(lines(&draft.open)[0], 1);
    assert!(draft.open[0].message.contains("template"));
}

#[test]
fn any_bytes_are_prose() {
    for prose in [
        "",
        "\u{0}",
        "|",
        "|||",
        "- ",
        "1. ",
        "#",
        "# \n- \n-",
        "https://",
        "@",
        "a@b",
        "within",
        "within 99999999 hours acknowledge",
        "*Last updated: 99 smarch 2023*",
        "é".repeat(600_000).as_str(),
    ] {
        let draft = import(prose);
        toml::from_str::<toml::Table>(&draft.toml).unwrap();
    }
    let quoting =
        import("Write to \"a\\b\"@plume.dev.\n\nThis policy covers \"\"\" and \\ and \u{7f}.\n");
    toml::from_str::<toml::Table>(&quoting.toml).unwrap();
}
