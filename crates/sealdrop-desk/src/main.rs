//! The maintainer's program. Read first: [`run`], then `sync.rs` (what is checked before anything is cosigned), `judge.rs` (how a drop is opened),
//! `posting.rs` (how answers go out), `agent.rs` (when).

mod agent;
mod answer;
mod bodies;
mod bundle;
mod card;
mod certificate;
mod claim;
mod cli;
mod context;
mod destroy;
mod destroyed;
mod doctor;
mod epochs;
mod evidence;
mod filing;
mod home;
mod inbox;
mod init;
mod interview;
mod judge;
mod keyring;
mod keys;
mod ledger;
mod limits;
mod meant;
mod members;
mod outbox;
mod policy;
mod posting;
mod publish;
mod recovery;
mod release;
mod remote;
mod reseal;
mod rosters;
mod rotate;
mod schedule;
mod secret;
mod selftest;
mod sent;
mod shamir;
mod shares;
mod stop;
mod sync;
mod team;
mod text;
mod words;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, Parser as _};
use sealdrop_client::show;
use serde_json::json;

use crate::cli::{Bundle, Cli, Command, Keys, Member};
use crate::context::{Answer, Context, Usage};
use crate::home::Home;

fn main() -> ExitCode {
    sealdrop_client::system::no_core_dumps();
    std::panic::set_hook(Box::new(|panic| eprintln!("{}", fault(panic))));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let json = cli.json;
    match run(cli) {
        Ok(answer) => print(&answer, json),
        Err(error) => {
            let code = if error.is::<Usage>() { 2 } else { 1 };
            fail(&format!("{error:#}"), code, json)
        }
    }
}

/// What is said of a panic: where it was, and not what, which may hold text of a report, or whatever else was at hand.
fn fault(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let place = panic.location();
    let place = place.map(|place| format!(" at {}:{}", place.file(), place.line()));
    format!(
        "sealdrop-desk: a fault{}; please report it",
        place.unwrap_or_default()
    )
}

/// Says why nothing came of it. A program that asked for JSON reads one object from standard output, whatever happens.
fn fail(message: &str, code: u8, json: bool) -> ExitCode {
    if json {
        let object = format!("{:#}", json!({ "error": message, "exit": code }));
        let _ = writeln!(std::io::stdout(), "{}", show::json(&object));
    } else {
        let text = text::fit(&format!("sealdrop-desk: {message}"), &std::io::stderr());
        eprintln!("{text}");
    }
    ExitCode::from(code)
}

/// A command line that is not right, or one that asks for help.
fn not_understood(error: &clap::Error) -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).take_while(|arg| arg != "--");
    if !(arguments.any(|arg| arg == "--json") && error.use_stderr()) {
        error.exit();
    }
    let text = error.render().to_string();
    let words: Vec<&str> = text
        .split_whitespace()
        .skip_while(|word| *word == "error:")
        .collect();
    fail(&words.join(" "), 2, true)
}

fn run(cli: Cli) -> Result<Answer> {
    let context = Context {
        home: home_folder(cli.home)?,
        passphrase_file: cli.passphrase_file,
        proxy: if cli.tor {
            Some("socks5h://127.0.0.1:9050".into())
        } else {
            cli.proxy
        },
        roots: cli.ca,
        json: cli.json,
        cancelled: Arc::default(),
    };
    let home = || Home::open(&context.home);
    match cli.command {
        Command::Init(args) => init::run(&context, &args),
        Command::Publish(args) => publish::run(&context, &home()?, &args),
        Command::Member(Member::Add { card }) => members::add(&context, &home()?, &card),
        Command::Member(Member::Remove { name }) => members::remove(&context, &home()?, &name),
        Command::Member(Member::List) => members::list(&context, &home()?),
        Command::Address { svg } => keys::address(&home()?, svg.as_deref()),
        Command::Sync(args) => sync::run(&context, &home()?, &args),
        Command::Agent(args) => agent::run(&context, home()?, &args),
        Command::Inbox { all, again, from } => inbox::list(&context, &home()?, all, again, &from),
        Command::Open { case, from } => inbox::open(&context, &home()?, case, &from),
        Command::Attachments { case, out, from } => {
            inbox::attachments(&context, &home()?, case, &out, &from)
        }
        Command::Reply(args) => answer::reply(&context, &home()?, &args),
        Command::Ask(args) => answer::ask(&context, &home()?, &args),
        Command::ProposeDate(args) => answer::propose_date(&context, &home()?, &args),
        Command::Met(args) => answer::met(&context, &home()?, &args),
        Command::Status(args) => answer::status(&context, &home()?, &args),
        Command::Close(args) => answer::close(&context, &home()?, &args),
        Command::Ack(args) => answer::ack(&context, &home()?, &args),
        Command::VerifyClaim { file } => claim::verify(&home()?, &file),
        Command::Canned => words::list_canned(&home()?),
        Command::Outbox => answer::outbox(&home()?),
        Command::Reseal(args) => reseal::run(&context, &home()?, &args),
        Command::Keys { card, command } => match command {
            None => keys::run(&home()?, card),
            Some(Keys::ExportIdentity { out }) => keys::export_identity(&context, &home()?, &out),
        },
        Command::Rotate(args) => rotate::run(&context, &home()?, &args),
        Command::DestroyEpoch(args) => destroy::run(&context, &home()?, &args),
        Command::Recovery(command) => recovery::run(&context, &home()?, &command),
        Command::Release { window } => release::run(&context, &home()?, window),
        Command::Policy(command) => policy::run(&context, &command),
        Command::Doctor { no_report } => doctor::run(&context, &home()?, no_report),
        Command::Bundle(Bundle::Out(args)) => bundle::out(&context, &home()?, &args),
        Command::Bundle(Bundle::In { file }) => bundle::take_in(&home()?, &file),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sealdrop-desk", &mut out);
            Ok(plain(&out))
        }
        Command::Man { dir } => man(dir),
    }
}

fn home_folder(given: Option<PathBuf>) -> Result<PathBuf> {
    let default = || {
        let data = std::env::var_os("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let data =
            data.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
        data.map(|data| data.join("sealdrop-desk"))
    };
    given
        .or_else(default)
        .context("there is no home folder: name one with --home DIR")
}

fn man(dir: Option<PathBuf>) -> Result<Answer> {
    let command = Cli::command();
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(&dir)
                .and_then(|()| clap_mangen::generate_to(command, &dir))
                .with_context(|| format!("cannot write manual pages into {}", dir.display()))?;
            Ok(Answer::new(
                json!({ "dir": dir }),
                format!("manual pages are in {}", dir.display()),
            ))
        }
        None => {
            let mut out = Vec::new();
            clap_mangen::Man::new(command)
                .render(&mut out)
                .context("cannot write the manual page")?;
            Ok(plain(&out))
        }
    }
}

fn plain(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    Answer::verbatim(json!({ "text": text }), text.trim_end())
}

fn print(answer: &Answer, json: bool) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let text = if answer.json.is_null() {
        return answer.exit_code();
    } else if json {
        show::json(&format!("{:#}", answer.json))
    } else if answer.is_verbatim {
        answer.text.clone()
    } else {
        text::fit(&answer.text, &out)
    };
    // A reader that goes away, for instance `head`, is no failure of ours.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    answer.exit_code()
}
