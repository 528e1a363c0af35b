//! The project's own commands: `cargo xtask <command>`. Start at [`test::all`] and [`tools`].

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

mod fuzz;
mod step;
mod test;
mod tools;

const USAGE: &str = "\
Usage: cargo xtask <command>

  try [--keep DIR]     a box, a server, a report and its opening, in a temporary folder; --keep leaves them in DIR
  test [--strict]      formatting, clippy, every test and cargo-deny; --strict fails on what is skipped
  tools                only fetch what the tests need: Debian and npm parts, Go age, cargo-deny
  fuzz [--seconds N] [TARGET…]
                       fuzz each parser of remote bytes for N seconds (default 60); needs a nightly toolchain
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["try", rest @ ..] => try_it(rest),
        ["test"] => test::all(false),
        ["test", "--strict"] => test::all(true),
        ["tools"] => test::tools_only(),
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

/// Builds the programs and hands over to `tests/try`, which shows them at work.
fn try_it(arguments: &[&str]) -> Result<bool> {
    println!("Building; the first time this takes some minutes.");
    let mut build = step::cargo(
        "build --locked --bins -p sealdrop -p sealdrop-server -p sealdrop-desk -p sealdrop-tests",
    );
    if !build.status().context("cannot run cargo")?.success() {
        return Ok(false);
    }
    let mut story = Command::new(target().join("debug/sealdrop-try"));
    story.args(arguments).env("SEALDROP_TEST_BUILT", "1");
    Ok(story
        .status()
        .context("cannot run what was built")?
        .success())
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
