//! The project's own commands: `cargo xtask <command>`. Start at [`test::all`] and [`tools`].

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

mod fuzz;
mod step;
mod test;
mod tools;

const USAGE: &str = "\
Usage: cargo xtask <command>

  try [--keep DIR]     a box, a server, a report and its opening, in a temporary folder; --keep leaves them in DIR
  test [--strict]      formatting, clippy, every test and cargo-deny; --strict fails on what is skipped
  tools                only fetch what the tests need: Debian and npm parts, Go age, sectxt, cargo-deny
  fuzz [--seconds N] [TARGET…]
                       fuzz each parser of remote bytes for N seconds (default 60); needs a nightly toolchain
  soak [--rounds N]    the crash test, 200 rounds: kill -9 at random moments, then audit
  bench [PART…]        what it costs, beside others; `bench help` names the parts
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["try", rest @ ..] => try_it(rest),
        ["test"] => test::all(false),
        ["test", "--strict"] => test::all(true),
        ["tools"] => test::tools_only(),
        ["soak", rest @ ..] => soak(rest),
        ["bench", rest @ ..] => bench(rest),
        ["fuzz", rest @ ..] => fuzz::run_targets(rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(true)
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The programs, for `cargo build`.
const PROGRAMS: &str = "-p sealdrop -p sealdrop-server -p sealdrop-desk";

/// Hands over to `tests/try`, which shows the programs at work.
fn try_it(arguments: &[&str]) -> Result<bool> {
    println!("Building; the first time this takes some minutes.");
    let build = format!("build --locked --bins {PROGRAMS} -p sealdrop-tests");
    let mut story = Command::new(target().join("debug/sealdrop-try"));
    story.args(arguments).env(test::BUILT, "1");
    Ok(succeeds(&mut step::cargo(&build))? && succeeds(&mut story)?)
}

/// Many rounds of the crash test: the server is killed at random moments, and audited.
fn soak(arguments: &[&str]) -> Result<bool> {
    let rounds: u32 = match arguments {
        [] => 200,
        ["--rounds", rounds] => rounds.parse().context("--rounds takes a number")?,
        _ => bail!("Usage: cargo xtask soak [--rounds N]"),
    };
    let build = format!("build --locked --bins {PROGRAMS}");
    let mut test =
        step::cargo("test --locked -p sealdrop-tests --test system -- --nocapture crash::");
    test.env(test::BUILT, "1")
        .env("SEALDROP_CRASH_ROUNDS", rounds.to_string());
    Ok(succeeds(&mut step::cargo(&build))? && succeeds(&mut test)?)
}

/// Hands over to `benches`, with everything built as it is released.
fn bench(arguments: &[&str]) -> Result<bool> {
    let build = format!("build --locked --release --bins {PROGRAMS} -p sealdrop-bench");
    let mut bench = Command::new(target().join("release/sealdrop-bench"));
    bench.args(arguments);
    Ok(succeeds(&mut step::cargo(&build))? && succeeds(&mut bench)?)
}

/// Runs a command whose output is for the one who typed.
fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command.status();
    let status =
        status.with_context(|| format!("cannot run {}", command.get_program().display()))?;
    Ok(status.success())
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_path_buf()
}

/// Where builds go: `CARGO_TARGET_DIR`, or `target`.
fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}
