//! `cargo xtask fuzz`: a cargo-fuzz target for each parser of remote bytes, from the corpora of the test vectors.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::step::{Outcome, Steps, on_path, run};
use crate::tools;

/// Runs the named targets, or all, for the given time each.
pub(crate) fn run_targets(arguments: &[&str]) -> Result<bool> {
    let (mut seconds, mut chosen) = (60, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(&argument) = arguments.next() {
        if argument == "--seconds" {
            let value = arguments.next().context("--seconds takes a number")?;
            seconds = value.parse().context("--seconds takes a number")?;
        } else {
            chosen.push(argument.to_owned());
        }
    }
    if !has_nightly() {
        bail!("fuzzing needs a nightly toolchain: rustup toolchain install nightly");
    }
    let all = targets()?;
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        bail!("no target {unknown}; there are {}", all.join(", "));
    }
    let mut steps = Steps::default();
    steps.step("build", || build().map(|()| Outcome::Ok(String::new())));
    for target in if chosen.is_empty() { all } else { chosen } {
        steps.step(&target, || fuzz(&target, seconds));
    }
    Ok(steps.failed == 0)
}

/// Builds every target and runs each on its corpus for a moment.
pub(crate) fn smoke() -> Result<Outcome> {
    if !has_nightly() {
        return Ok(Outcome::Skipped(
            "no nightly toolchain: rustup toolchain install nightly".into(),
        ));
    }
    let targets = targets()?;
    build()?;
    for target in &targets {
        fuzz(target, 1)?;
    }
    Ok(Outcome::Ok(format!("{} targets, 1 s each", targets.len())))
}

/// The targets, by their files.
fn targets() -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(crate::root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if let (Some(name), Some("rs")) =
            (path.file_stem(), path.extension().and_then(|e| e.to_str()))
        {
            targets.push(name.to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}

fn build() -> Result<()> {
    run("fuzz-build", &mut cargo_fuzz("build", &[])?).map(drop)
}

/// One target: from the test vectors, what is found new kept in `fuzz/corpus/<target>`.
fn fuzz(target: &str, seconds: u32) -> Result<Outcome> {
    let corpus = crate::root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let mut command = cargo_fuzz("run", &[target])?;
    command.arg(corpus).arg(seed(target)?);
    command.args([
        "--",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]);
    command.arg(format!("-max_total_time={seconds}"));
    let output = run(&format!("fuzz-{target}"), &mut command)?;
    let runs = output
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    Ok(Outcome::Ok(format!("{} runs", runs.unwrap_or("?").trim())))
}

/// Subjects of `testdata/vectors` from which a target starts.
const SEEDS: [(&str, &[&str]); 11] = [
    ("address", &["address"]),
    ("claim", &["claim"]),
    ("drop", &["drop"]),
    ("slip", &["slip"]),
    ("note", &["checkpoint", "cosignature", "promise", "roster"]),
    ("proof", &["receipt"]),
    ("recovery", &["recovery"]),
    ("request", &["request"]),
    ("roster", &["roster"]),
    ("team", &["team"]),
    ("tile", &["leaf", "tile"]),
];

/// Writes the bytes of a target's vectors, and what once crashed it, into a folder and gives the folder.
fn seed(target: &str) -> Result<PathBuf> {
    let seeds = crate::target().join("xtask/seeds").join(target);
    fs::create_dir_all(&seeds)?;
    let crashers = crate::root().join("fuzz/crashers").join(target);
    for entry in fs::read_dir(crashers).into_iter().flatten() {
        let entry = entry?;
        fs::copy(entry.path(), seeds.join(entry.file_name()))?;
    }
    let subjects = SEEDS.iter().find(|(name, _)| *name == target);
    for subject in subjects.map_or(&[][..], |(_, subjects)| subjects) {
        let vectors = crate::root().join("testdata/vectors").join(subject);
        // A subject may not have vectors yet.
        for entry in fs::read_dir(vectors).into_iter().flatten() {
            let path = entry?.path();
            let vector = fs::read(&path)?;
            let split = vector.windows(2).position(|two| two == b"\n\n");
            let split = split.with_context(|| format!("{}: no empty line", path.display()))?;
            let (fields, bytes) = (
                String::from_utf8_lossy(&vector[..split]),
                &vector[split + 2..],
            );
            let before: Vec<u8> = match target {
                // An odd first byte: the whole drop or slip follows.
                "drop" | "slip" => vec![1],
                "tile" => {
                    let path = fields.lines().find_map(|line| line.strip_prefix("path: "));
                    path.map_or_else(Vec::new, |path| format!("{path}\n").into_bytes())
                }
                _ => Vec::new(),
            };
            let name = path
                .file_name()
                .expect("an entry has a name")
                .to_string_lossy();
            fs::write(
                seeds.join(format!("{subject}-{name}")),
                [&before[..], bytes].concat(),
            )?;
        }
    }
    Ok(seeds)
}

fn cargo_fuzz(subcommand: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(tools::cargo_fuzz()?);
    // Ours has no unsafe code, so the address sanitizer would find little, and it halves the speed.
    command.args(["fuzz", subcommand, "--sanitizer", "none"]);
    command.args(arguments);
    command
        .current_dir(crate::root())
        .env("RUSTUP_TOOLCHAIN", "nightly");
    // Set by the cargo that runs this, which is not the nightly one.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "CARGO_TARGET_DIR"] {
        command.env_remove(variable);
    }
    Ok(command)
}

fn has_nightly() -> bool {
    let probe = || {
        Command::new("rustup")
            .args(["run", "nightly", "cargo", "--version"])
            .output()
    };
    on_path("rustup") && probe().is_ok_and(|output| output.status.success())
}
