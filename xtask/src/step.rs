//! Steps with a name, an outcome and a duration, one line each; a failed step shows the end of its output.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// How a step ended, unless it failed.
pub(crate) enum Outcome {
    /// As it should; the text, if any, stands beside it.
    Ok(String),
    /// Something that this machine lacks, and how to get it.
    Skipped(String),
}

/// The steps run so far.
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) failed: usize,
    pub(crate) skipped: Vec<String>,
}

impl Steps {
    /// Runs a step and prints its line. A failure is counted, shown, and answered with false.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) -> bool {
        print!("{name:<16} ");
        io::stdout().flush().ok();
        let start = Instant::now();
        let outcome = work();
        let success = outcome.is_ok();
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(Outcome::Ok(note)) => {
                println!("{}", format!("ok      {seconds:>6.1} s  {note}").trim_end())
            }
            Ok(Outcome::Skipped(why)) => {
                println!("SKIPPED {seconds:>6.1} s  {why}");
                self.skipped.push(format!("{name}: {why}"));
            }
            Err(error) => {
                println!("FAILED  {seconds:>6.1} s");
                println!("{error:#}\n");
                self.failed += 1;
            }
        }
        success
    }
}

/// Runs a command without standard input, keeps its output in `target/xtask/<log>.log` and gives it back.
///
/// # Errors
/// With the end of the output if the command does not succeed.
pub(crate) fn run(log: &str, command: &mut Command) -> Result<String> {
    let (success, output) = output(log, command)?;
    if !success {
        bail!("{}\n{command:?} failed", tail(&output, 120));
    }
    Ok(output)
}

/// As [`run`], with whether the command succeeded.
pub(crate) fn output(log: &str, command: &mut Command) -> Result<(bool, String)> {
    let path = crate::target().join("xtask").join(format!("{log}.log"));
    fs::create_dir_all(path.parent().expect("the path has a folder"))?;
    let file = File::create(&path)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let output = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    Ok((status.success(), output))
}

/// `cargo` with arguments that hold no spaces, in the root of the repository, without colours or progress.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments.split(' '))
        .current_dir(crate::root());
    command
        .env("CARGO_TERM_COLOR", "never")
        .env("CARGO_TERM_PROGRESS_WHEN", "never");
    command
}

/// Whether a program is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| is_file(&dir.join(program))))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// The last `count` lines, without those that say what cargo is at.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let is_progress =
        |line: &str| line.starts_with("   Compiling ") || line.starts_with("  Downloaded ");
    let lines: Vec<&str> = text.lines().filter(|line| !is_progress(line)).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
