//! The project's own commands: `cargo xtask <command>`. Start at [`test::all`] and [`tools`].

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod fuzz;
mod step;
mod test;
mod tools;

const USAGE: &str = "\
Usage: cargo xtask <command>

  test [--strict]      formatting, clippy, every test and cargo-deny; --strict fails on what is skipped
  tools                only fetch what the tests need: Debian and npm parts, Go age, cargo-deny
  fuzz [--seconds N] [TARGET…]
                       fuzz each parser of remote bytes for N seconds (default 60); needs a nightly toolchain
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
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
