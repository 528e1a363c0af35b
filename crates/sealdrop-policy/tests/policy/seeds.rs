//! The five policies of the seeds.

use std::fs;
use std::path::Path;

use jiff::civil::date;
use sealdrop_core::time::Time;
use sealdrop_policy::clock::Clock;
use sealdrop_policy::render::Served;
use sealdrop_policy::schema::{CveBy, SafeHarborMode};
use sealdrop_policy::{Policy, Surroundings};

/// A policy of `policies/`.
#[track_caller]
pub(crate) fn policy(name: &str) -> Policy {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let text = fs::read_to_string(root.join(format!("{name}.toml"))).unwrap();
    Policy::parse(&text).unwrap_or_else(|findings| panic!("{name}: {findings:#?}"))
}

#[test]
fn all_five_policies_are_taken() {
    let clocks = |name: &str| {
        let clocks = policy(name).clocks.clone();
        (clocks.ack, clocks.detail)
    };
    assert_eq!(clocks("pet-initiative").0, Clock::BusinessDays(5));
    assert_eq!(clocks("pallets").0, Clock::None);
    assert_eq!(clocks("pykour"), (Clock::Hours(48), Clock::Hours(48)));
    assert_eq!(clocks("unnamed-template").0, Clock::Hours(48));
    assert_eq!(clocks("pyflashbackup").0, Clock::Prompt);
    assert_eq!(policy("pallets").cve.by, CveBy::Team);
    let harbor = policy("unnamed-template").safe_harbor.clone();
    assert_eq!(
        (harbor.mode, harbor.conditions.len()),
        (SafeHarborMode::Conditions, 4)
    );
}

#[test]
fn a_policy_nobody_has_looked_at_for_a_year_is_stale() {
    let around = Surroundings {
        today: date(2026, 11, 20),
        address: None,
    };
    let findings = policy("pyflashbackup").lint(&around);
    let [stale] = &findings[..] else {
        panic!("{findings:#?}");
    };
    assert_eq!(
        stale.to_string(),
        "6:1: warning: nobody has gone through it since 2023-12-22; read it once, and write the day of today"
    );
}

/// Every promise of a seed is in what is published, in the words of the renderer.
#[track_caller]
fn publishes(name: &str, promises: &[&str]) {
    let page = policy(name).security_md(None);
    for promise in promises {
        assert!(page.contains(promise), "{promise} is not in\n{page}");
    }
}

#[test]
fn what_the_pet_initiative_promises_is_published() {
    publishes(
        "pet-initiative",
        &[
            "**Please do not open a public issue**",
            "[security@privacyenhancingtech.org](mailto:security@privacyenhancingtech.org)",
            "- What it allows, and to whom\n- How to reproduce it, with code and configuration",
            "the upstream maintainers of the dependency. We follow critical ones",
            "an issue in the repository, or the mailing list",
            "| main | yes |",
            "sometimes. Patches for older versions",
            "within 5 business days",
            "until the advisory is published.\n\nThe same binds everybody who contributes",
            "in the release notes and as a security advisory",
            "We name you in the advisory, if you say",
        ],
    );
}

#[test]
fn what_pallets_promises_is_published() {
    publishes(
        "pallets",
        &[
            "**Please do not open a public issue**",
            "- as a [draft security advisory](https://github.com/pallets) on GitHub\n- by e-mail",
            "- A minimal reproducible example\n- Why it is a security issue\n- A fix",
            "When in doubt, report it privately",
            "No time is promised",
            "We ask for the CVE id. Please do not ask for one yourself.",
            "| the current feature release | yes |",
            "on request. A backport",
            "The policy stands at <https://palletsprojects.com/security>",
        ],
    );
}

#[test]
fn what_pykour_promises_is_published() {
    publishes(
        "pykour",
        &[
            "no links, no attachments",
            "The lead maintainer will acknowledge your report within 48 hours",
            "within another 48 hours",
            "the person or team that maintains the module",
            "an alpha or beta release (pre-release) | no promise",
            "one person who coordinates it",
            "1. Confirm the issue, and determine the affected versions\n2. Look for similar",
            "3. Fixes for this maintained version (for every version concerned)",
            "We name you",
        ],
    );
}

#[test]
fn what_the_template_promises_is_published() {
    publishes(
        "unnamed-template",
        &[
            "| latest | yes |",
            "; or A proof of concept",
            "within 48 hours",
            "the owners of that project or system",
            "We pay no rewards.",
            "you or your organisation",
            "You may stay anonymous",
            "Please give us reasonable time",
            "- I did not exploit the vulnerability beyond what is necessary",
        ],
    );
}

#[test]
fn what_pyflashbackup_promises_is_published() {
    publishes(
        "pyflashbackup",
        &[
            "encrypted with [our key](https://github.com/schubarkrsk/pgp-keys/blob/main/public.txt) if you can",
            "promptly",
            "- Which versions are affected",
            "the maintainers of the package",
            "until we have reviewed and addressed it.\n\nOnce the report is confirmed we agree on a timeline",
            "case by case, by these criteria: Significant and impactful vulnerabilities.",
            "Those who act in good faith",
            "Last gone through on 2023-12-22.",
        ],
    );
}

#[test]
fn security_txt_has_every_contact_in_order_and_expires_once() {
    let served = Served {
        origin: "https://drop.example.org".into(),
        address: None,
        expires: Time(1_801_440_000),
    };
    assert_eq!(
        policy("pyflashbackup").security_txt(&served),
        "Contact: mailto:stas-chubar@yandex.ru\n\
         Expires: 2027-02-01T00:00:00Z\n\
         Encryption: https://github.com/schubarkrsk/pgp-keys/blob/main/public.txt\n\
         Preferred-Languages: en\n\
         Canonical: https://drop.example.org/.well-known/security.txt\n\
         Policy: https://drop.example.org/SECURITY.md\n"
    );
}
