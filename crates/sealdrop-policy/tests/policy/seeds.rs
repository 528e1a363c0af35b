//! The five policies of the seeds.

use std::fs;
use std::path::Path;

use jiff::civil::date;
use sealdrop_policy::clock::Clock;
use sealdrop_policy::schema::{CveBy, SafeHarborMode};
use sealdrop_policy::{Policy, Surroundings};

fn policy(name: &str) -> Policy {
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
