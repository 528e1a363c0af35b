//! Forms: what they ask, and what they refuse.

use std::collections::BTreeMap;

use sealdrop_policy::form::{Need, Violation};

use crate::seeds::policy;

fn violations(name: &str, texts: &[(&str, &str)], attachments: usize) -> Vec<Violation> {
    let texts: BTreeMap<String, String> = texts
        .iter()
        .map(|(field, text)| ((*field).to_owned(), (*text).to_owned()))
        .collect();
    policy(name).violations(&texts, attachments)
}

fn missing(one_of: &[&str]) -> Violation {
    let one_of = one_of.iter().map(|field| (*field).to_owned()).collect();
    Violation::Missing { one_of }
}

#[test]
fn the_pet_initiative_asks_for_description_impact_and_steps() {
    let policy = policy("pet-initiative");
    let questions: Vec<_> = policy
        .questions("en")
        .iter()
        .map(|question| question.field)
        .collect();
    assert_eq!(questions, ["title", "description", "impact", "steps"]);
    assert_eq!(
        violations(
            "pet-initiative",
            &[("description", "d"), ("steps", " \n")],
            1
        ),
        [missing(&["impact"]), missing(&["steps"])]
    );
}

#[test]
fn pallets_asks_for_more_and_requires_only_a_description() {
    let policy = policy("pallets");
    let questions = policy.questions("en");
    let required = questions
        .iter()
        .filter(|question| question.need == Need::Required);
    let required: Vec<_> = required.map(|question| question.field).collect();
    assert_eq!(required, ["title", "description"]);
    let why = questions
        .iter()
        .find(|question| question.field == "why")
        .unwrap();
    assert_eq!(why.asks, "Why it is a security issue");
    assert_eq!(violations("pallets", &[("description", "d")], 3), []);
}

#[test]
fn pykour_takes_no_links_and_no_attachments() {
    assert_eq!(
        violations("pykour", &[("description", "d")], 1),
        [Violation::Attachment]
    );
    for linked in [
        "see https://evil.org/x",
        "(HTTP://a.b)",
        "www.example.org",
        "\nftp://a",
    ] {
        let link = Violation::Link {
            field: "description".into(),
        };
        assert_eq!(
            violations("pykour", &[("description", linked)], 0),
            [link],
            "{linked}"
        );
    }
    for plain in [
        "the scheme https:// is checked",
        "awww.no",
        "a.b",
        "xhttps://y",
    ] {
        assert_eq!(
            violations("pykour", &[("description", plain)], 0),
            [],
            "{plain}"
        );
    }
}

#[test]
fn the_template_takes_steps_or_a_proof_of_concept() {
    let name = "unnamed-template";
    let policy = policy(name);
    let steps = policy
        .questions("en")
        .into_iter()
        .find(|question| question.field == "steps")
        .unwrap();
    assert!(matches!(steps.need, Need::OneOf(several) if several.len() == 3));
    let neither = violations(name, &[("description", "d")], 0);
    assert_eq!(neither, [missing(&["steps", "poc", "attachment"])]);
    assert_eq!(
        violations(name, &[("description", "d"), ("poc", "p")], 0),
        []
    );
    assert_eq!(violations(name, &[("description", "d")], 1), []);
}

#[test]
fn pyflashbackup_requires_the_version() {
    let missing_version = violations("pyflashbackup", &[("description", "d"), ("steps", "s")], 0);
    assert_eq!(missing_version, [missing(&["versions"])]);
}

#[test]
fn choices_days_and_lines_are_held_to_what_they_take() {
    let says = |field: &str, text: &str| {
        let found = violations("pallets", &[("description", "d"), (field, text)], 0);
        match &found[..] {
            [] => String::new(),
            [Violation::Malformed { takes, .. }] => takes.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(says("exploited", "perhaps"), "no, suspected, evidence");
    assert_eq!(says("exploited", "evidence"), "");
    assert_eq!(says("disclosure", "2026-02-30"), "a day, 2026-12-31");
    assert_eq!(says("disclosure", "2026-02-28"), "");
    assert_eq!(says("versions", "1\n2"), "one line");
    assert_eq!(says("title", &"x".repeat(257)), "at most 256 characters");
}

#[test]
fn what_is_too_long_is_said_in_bytes() {
    let found = violations(
        "pallets",
        &[("description", &"x".repeat(1 << 20)), ("why", "y")],
        0,
    );
    let most = 1 << 20;
    assert_eq!(
        found,
        [Violation::TooLong {
            bytes: most + 1,
            most
        }]
    );
}
