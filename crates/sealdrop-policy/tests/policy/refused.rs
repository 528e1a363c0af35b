//! What is refused, with the line, the reason and the mend.

use jiff::civil::date;
use sealdrop_policy::{MAX_POLICY, Policy, Surroundings};

/// A policy that is taken, to be spoilt.
const GOOD: &str = r#"schema = 1

[project]
name = "P"

[[channels]]
kind = "email"
uri = "mailto:security@project.org"
"#;

#[track_caller]
fn refused(more: &str, expected: &[&str]) {
    let text = format!("{GOOD}{more}");
    let findings = Policy::parse(&text).expect_err("it should be refused");
    let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(said, expected);
}

#[test]
fn the_smallest_policy_is_taken() {
    Policy::parse(GOOD).unwrap();
}

#[test]
fn an_unknown_key_is_named_with_the_nearest() {
    refused(
        "[clocks]\nakc = \"48h\"\n",
        &["10:1: error: unknown field `akc`; did you mean `ack`?"],
    );
    refused(
        "[disclosure]\nuntil = \"advisori\"\n",
        &["10:9: error: unknown variant `advisori`; did you mean `advisory`?"],
    );
}

#[test]
fn contradictions_are_refused() {
    refused(
        "[form]\nattachments = false\nrequire = [\"description\", \"attachment\"]\n",
        &[
            "11:27: error: an attachment is required, and attachments are not allowed; set attachments = true, or require a field instead",
        ],
    );
    refused(
        "[safe_harbor]\nmode = \"conditions\"\n",
        &[
            "10:1: error: the safe harbour hangs on conditions, and there are none; list them in `conditions`, or write mode = \"good-faith\"",
        ],
    );
    refused(
        "[intake]\nreason = \"Holidays\"\n",
        &[
            "10:1: error: a reason is given for a pause that there is not; write paused_until, or take it out",
        ],
    );
}

#[test]
fn impossible_clocks_are_refused() {
    refused(
        "[clocks]\nack = \"soon\"\n",
        &[
            "10:7: error: `soon` is no time: write \"48h\" (hours), \"14d\" (days), \"5bd\" (business days), \"prompt\" or \"none\"; docs/policy.md has an example of every part",
        ],
    );
    refused(
        "[clocks]\ntz = \"Mars/Olympus\"\n",
        &[
            "10:1: error: `Mars/Olympus` is no time zone; write one of IANA's, such as Europe/Berlin",
        ],
    );
    refused(
        "[clocks]\nack_by = \"lead\"\n",
        &[
            "10:1: error: nobody has the role `lead`; add `lead = \"…\"` to [roles.names], or take ack_by out",
        ],
    );
    refused(
        "[clocks]\nholidays = [2026-02-30]\n",
        &[
            "10:13: error: invalid date, expected day between 01 and 28; docs/policy.md has an example of every part",
        ],
    );
}

#[test]
fn fields_that_no_client_can_ask_for_are_refused() {
    refused(
        "[form]\nrequire = [\"descripton\"]\n",
        &[
            "10:12: error: no client knows how to ask for `descripton`; did you mean `description`? A field of your own needs words: `descripton = \"…\"` in [form.prompt]",
        ],
    );
    let text = format!(
        "{GOOD}[form]\nrequire = [\"shoe-size\"]\nprompt = {{ shoe-size = \"Your shoe size\" }}\n"
    );
    Policy::parse(&text).unwrap();
}

#[test]
fn a_policy_without_a_way_to_report_is_refused() {
    let text = "schema = 1\n[project]\nname = \"P\"\n";
    let findings = Policy::parse(text).unwrap_err();
    assert!(
        findings[0]
            .to_string()
            .starts_with("2:2: error: the policy names no way to report; add one")
    );
}

#[test]
fn bombs_and_ten_megabytes_are_refused_at_once() {
    let long = format!("{GOOD}# {}", "x".repeat(10 << 20));
    assert!(
        Policy::parse(&long).unwrap_err()[0]
            .message
            .contains("longer than 256 KiB")
    );
    let nested = format!(
        "{GOOD}x = {}{}",
        "[".repeat(MAX_POLICY / 4),
        "]".repeat(MAX_POLICY / 4)
    );
    Policy::parse(&nested).unwrap_err();
    for text in [
        "",
        "\0",
        "schema = 1",
        "schema = 2\n[project]\nname = \"P\"\n",
        "[[[",
        "schema = 99999999999999999999",
    ] {
        Policy::parse(text).unwrap_err();
    }
}

#[test]
fn the_words_of_a_template_are_found() {
    let more = "[scope]\nin = [\"Use this section to tell people what is covered\"]\n";
    let policy = Policy::parse(&format!("{GOOD}{more}")).unwrap();
    let around = Surroundings {
        today: date(2026, 11, 20),
        address: None,
    };
    let findings = policy.lint(&around);
    assert_eq!(
        findings[0].to_string(),
        "10:7: error: it still has the words of a template (\"use this section to tell people\"); say what holds for this project, or take it out"
    );
}

#[test]
fn a_list_of_holidays_that_ends_is_found() {
    let more = "[clocks]\nack = \"5bd\"\nholidays = [2026-12-25, 2026-12-26]\n";
    let policy = Policy::parse(&format!("{GOOD}{more}")).unwrap();
    let on = |today| {
        let around = Surroundings {
            today,
            address: None,
        };
        policy
            .lint(&around)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert!(on(date(2026, 3, 1)).is_empty());
    assert!(
        on(date(2026, 11, 20))[0]
            .contains("11:1: warning: the list of holidays ends with 2026-12-26")
    );
    assert!(on(date(2027, 1, 2))[0].contains("error: the list of holidays ended with 2026-12-26"));
}

#[test]
fn a_contact_that_resolves_to_nothing_is_found() {
    for host in ["project.invalid", "example.org", "mail.example.com"] {
        let text = GOOD.replace("project.org", host);
        let around = Surroundings {
            today: date(2026, 11, 20),
            address: None,
        };
        let findings = Policy::parse(&text).unwrap().lint(&around);
        assert!(
            findings[0]
                .to_string()
                .starts_with("8:1: error: nobody is reached at "),
            "{findings:?}"
        );
    }
}

#[test]
fn a_diff_names_every_value_that_is_another() {
    let before = Policy::parse(&format!("{GOOD}[clocks]\nack = \"5bd\"\n")).unwrap();
    let after = GOOD.replace("security@", "help@");
    let after = format!("{after}[credit]\noffer = true\n");
    let changes = before.changes(&Policy::parse(&after).unwrap());
    let said: Vec<_> = changes
        .iter()
        .map(|c| {
            format!(
                "{}: {:?} {:?}",
                c.path,
                c.before.as_deref(),
                c.after.as_deref()
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "channels.0.uri: Some(\"mailto:security@project.org\") Some(\"mailto:help@project.org\")",
            "clocks.ack: Some(\"5bd\") Some(\"none\")",
            "credit.offer: Some(\"false\") Some(\"true\")",
        ]
    );
    assert_eq!(before.changes(&before), []);
}
