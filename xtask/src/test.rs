//! `cargo xtask test`: everything that must hold before a change is merged, on a clean clone, without a terminal.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::step::{self, Outcome, Steps, cargo, on_path};
use crate::{fuzz, tools};

/// Tests say here what they could not do. `tests/lib.rs` writes it.
const SKIPS: &str = "SEALDROP_TEST_SKIPS";

/// Tells the tests that the programs are built: to look for newer ones, each would wait for cargo's lock in turn.
pub(crate) const BUILT: &str = "SEALDROP_TEST_BUILT";

/// Runs it all; true if nothing failed and, with `strict`, nothing was skipped.
pub(crate) fn all(strict: bool) -> Result<bool> {
    let skips = crate::target().join("xtask/skips");
    fs::create_dir_all(crate::target().join("xtask"))?;
    fs::write(&skips, "")?;

    let mut steps = Steps::default();
    let mut counts = Counts::default();
    fetch(&mut steps);
    steps.step("cargo-deny", || deny("bans licenses sources"));
    steps.step("advisories", advisories);
    steps.step("formatting", || {
        quiet("fmt", "fmt --all --check -- -l --color never")?;
        quiet(
            "fmt-fuzz",
            "fmt --manifest-path fuzz/Cargo.toml --check -- -l --color never",
        )
    });
    let built = steps.step("build", || {
        quiet("build", "build --quiet --locked --workspace --bins")
    });
    if built {
        steps.step("clippy", || {
            quiet(
                "clippy",
                "clippy --quiet --locked --keep-going --workspace --all-targets -- -D warnings",
            )
        });
        steps.step("fuzz targets", fuzz::smoke);
        steps.step("doc tests", || {
            let mut tests = cargo("test --locked --workspace --doc --no-fail-fast");
            counts.step("doctest", &mut tests)
        });
        let mut tests = if on_path("cargo-nextest") {
            cargo("nextest run --locked --workspace --no-fail-fast --status-level fail")
        } else {
            cargo("test --locked --workspace --all-targets --no-fail-fast")
        };
        tests.env(SKIPS, &skips).env(BUILT, "1");
        steps.step("tests", || counts.step("tests", &mut tests));
    }

    for skip in fs::read_to_string(&skips)?.lines() {
        steps.skipped.push(format!("test {skip}"));
    }
    println!();
    for skip in &steps.skipped {
        println!("SKIPPED {skip}");
    }
    if steps.failed > 0 {
        let logs = crate::target().join("xtask");
        println!(
            "{} steps failed; their whole output is in {}",
            steps.failed,
            logs.display()
        );
    }
    // A step that failed without a failed test, as formatting does, is a failure of its own.
    let failed = counts.failed + (steps.failed - counts.failed_steps);
    println!("{} passed, {failed} failed", counts.passed);
    let complete = steps.skipped.is_empty() || !strict;
    Ok(failed == 0 && complete)
}

/// `cargo xtask tools`: only what the tests need from elsewhere.
pub(crate) fn tools_only() -> Result<bool> {
    let mut steps = Steps::default();
    fetch(&mut steps);
    steps.step("cargo-deny", || {
        Ok(Outcome::Ok(tools::cargo_deny()?.display().to_string()))
    });
    Ok(steps.failed == 0)
}

fn fetch(steps: &mut Steps) {
    steps.step("Debian parts", tools::debian);
    steps.step("npm parts", tools::npm);
    steps.step("Go age", tools::go_age);
    steps.step("sectxt", tools::sectxt);
}

fn quiet(log: &str, arguments: &str) -> Result<Outcome> {
    run_cargo(log, &mut cargo(arguments))
}

fn run_cargo(log: &str, command: &mut Command) -> Result<Outcome> {
    step::run(log, command).map(|_| Outcome::Ok(String::new()))
}

fn deny(checks: &str) -> Result<Outcome> {
    let mut command = Command::new(tools::cargo_deny()?);
    command
        .current_dir(crate::root())
        .args(["--locked", "--color", "never", "check"])
        .args(checks.split(' '));
    run_cargo("deny", &mut command)
}

/// The advisory database is a git repository; machines that reach only a registry skip it, and say so.
fn advisories() -> Result<Outcome> {
    let mut command = Command::new(tools::cargo_deny()?);
    command.current_dir(crate::root()).args([
        "--locked",
        "--color",
        "never",
        "check",
        "advisories",
    ]);
    let (success, output) = step::output("advisories", &mut command)?;
    if success {
        return Ok(Outcome::Ok(String::new()));
    }
    if output.contains("failed to fetch advisory database") {
        return Ok(Outcome::Skipped(
            "the advisory database cannot be reached from here".into(),
        ));
    }
    bail!("{}", step::tail(&output, 120))
}

/// Tests that passed and failed, as cargo test and nextest count them.
#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    /// Steps of which the failed tests are counted above.
    failed_steps: usize,
}

impl Counts {
    fn step(&mut self, log: &str, command: &mut Command) -> Result<Outcome> {
        let (success, output) = step::output(log, command)?;
        let (passed, failed) = count(&output);
        self.passed += passed;
        self.failed += failed;
        if !success {
            self.failed_steps += usize::from(failed > 0);
            bail!("{}\n{command:?} failed", step::tail(&output, 200));
        }
        Ok(Outcome::Ok(format!("{passed} passed")))
    }
}

/// Passed and failed tests in the summary lines of cargo test (`test result: ok. 5 passed; 0 failed; …`) and
/// nextest (`Summary [ 0.1s] 5 tests run: 4 passed (1 slow), 1 failed, 1 timed out, 0 skipped`).
fn count(output: &str) -> (usize, usize) {
    let (mut passed, mut failed) = (0, 0);
    for line in output.lines().map(str::trim_start) {
        if !line.starts_with("test result:") && !line.starts_with("Summary [") {
            continue;
        }
        for part in line.split([',', ';', ':', '.']) {
            let mut words = part.split_whitespace();
            let Some(number) = words.next().and_then(|word| word.parse::<usize>().ok()) else {
                continue;
            };
            match words.next() {
                Some("passed") => passed += number,
                Some("failed" | "timed") => failed += number,
                _ => {}
            }
        }
    }
    (passed, failed)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn both_runners_are_counted() {
        let cargo = "test result: ok. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(count(&cargo.repeat(2)), (10, 2));
        let nextest = "     Summary [   0.213s] 7 tests run: 4 passed (1 slow), 2 failed, 1 timed out, 3 skipped\n";
        assert_eq!(count(nextest), (4, 3));
        assert_eq!(count("5 passed\n"), (0, 0));
    }
}
