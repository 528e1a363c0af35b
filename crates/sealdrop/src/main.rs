//! `sealdrop`, the reporter's program: seal a security report, leave it with a server that cannot read it, and prove that it arrived.
//!
//! Read first: `cli.rs`, all that it can be asked; `submit.rs`, its main job. What it says is said in `output.rs`, and every failure
//! is a [`Failure`](failure::Failure): one sentence, what to do next, and an exit code.

use std::process::ExitCode;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;
use sealdrop_client::{show, system};

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::output::Output;

mod answers;
mod attachment;
mod boxes;
mod check;
mod claim;
mod cli;
mod conversation;
mod failure;
mod files;
mod form;
mod help;
mod interrupt;
mod keep;
mod letter;
mod metadata;
mod network;
mod output;
mod phrase;
mod post;
mod progress;
mod prompt;
mod reading;
mod receipt;
mod record;
mod review;
mod seal;
mod state;
mod submit;
mod verify;
mod watch;

fn main() -> ExitCode {
    system::no_core_dumps();
    let parsed = cli::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let output = Output::new(cli.global.json);
    match run(&cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}

/// A command line that is not right, or one that asks for help. A program that asked for JSON gets that here too.
fn not_understood(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os()
        .skip(1)
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json");
    if let Some(failure) = swallowed_address(error) {
        Output::new(wants_json).failure(&failure);
        return ExitCode::from(failure.exit);
    }
    if !(wants_json && error.use_stderr()) {
        error.exit();
    }
    let text = error.render().to_string();
    let (message, hint) = text.split_once("\n\n").unwrap_or((&text, ""));
    let message: Vec<&str> = message
        .trim_start_matches("error: ")
        .split_whitespace()
        .collect();
    let failure = Failure::usage(message.join(" ")).hint(hint.trim());
    Output::new(true).failure(&failure);
    ExitCode::from(failure.exit)
}

/// `--attach` takes all names up to the next option, an address behind them too.
fn swallowed_address(error: &clap::Error) -> Option<Failure> {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return None;
    }
    let args = std::env::args_os().skip(1);
    let address = args
        .skip_while(|arg| arg != "--attach")
        .filter_map(|arg| arg.into_string().ok())
        .find(|arg| arg.contains("#sdbox1"))?;
    Some(
        Failure::usage("the address was taken for one of the files of --attach").hint(format!(
            "put the address first: sealdrop submit '{}' --attach FILE…",
            show::line(&address)
        )),
    )
}

fn run(cli: &Cli, output: &Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Submit(args) => submit::run(args, &cli.global, output),
        Command::Box(args) => boxes::run(args, &cli.global, output),
        Command::Seal(args) => seal::run(args, output),
        Command::Post(args) => post::run(args, &cli.global, output),
        Command::Check(args) => check::run(args, &cli.global, output),
        Command::Watch(args) => watch::run(args, &cli.global, output),
        Command::Reply(args) => letter::reply(args, &cli.global, output),
        Command::Withdraw(args) => letter::withdraw(args, &cli.global, output),
        Command::Claim(args) => claim::run(args, output),
        Command::Verify(args) => verify::run(args, output),
        Command::Completions(args) => cli::completions(args, output),
        Command::Man(args) => cli::man(args, output),
    }
}
