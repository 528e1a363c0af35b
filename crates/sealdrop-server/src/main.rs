//! `sealdrop-server`, the program: command line, ready message, signals, exit code. Everything else is in the library.

mod cli;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use rustix::process::{Resource, Rlimit, setrlimit};
use sealdrop_server::Server;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Command};

/// The command line cannot be understood.
const USAGE: u8 = 2;
/// It can, and it is refused.
const REFUSED: u8 = 1;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            let _ = writeln!(io::stderr(), "sealdrop-server: {error:#}");
            ExitCode::from(code)
        }
    }
}

fn run(cli: Cli) -> Result<(), (u8, anyhow::Error)> {
    let refused = |error: anyhow::Error| (REFUSED, error);
    match cli.command {
        Some(Command::Completions { shell }) => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "sealdrop-server",
                &mut io::stdout(),
            );
            return Ok(());
        }
        Some(Command::Man) => {
            return clap_mangen::Man::new(Cli::command())
                .render(&mut io::stdout())
                .map_err(|error| refused(error.into()));
        }
        None => {}
    }
    let json = cli.serve.json;
    let config = cli.serve.into_config().map_err(|error| (USAGE, error))?;
    keep_to_ourselves();
    keep_memory();
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| refused(error.into()))?;
    runtime.block_on(serve(config, json)).map_err(refused)?;
    // What still blocks on a disk after the time for stopping is not waited for.
    runtime.shutdown_background();
    Ok(())
}

async fn serve(config: sealdrop_server::Config, json: bool) -> anyhow::Result<()> {
    // Before the ready message: whoever waits for it may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::bind(config).await?;
    let (url, log) = (server.url(), server.log_vkey());
    let mut out = io::stdout();
    let told = if json {
        writeln!(
            out,
            "{}",
            serde_json::json!({ "ready": true, "url": url, "log": log })
        )
    } else {
        writeln!(out, "sealdrop-server ready on {url}\nlog: {log}")
    };
    // Nobody may be listening, and that is no reason not to serve.
    let _ = told.and_then(|()| out.flush());
    server
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}

/// No file that this process makes is for others, and no memory of it goes to the disk by itself.
fn keep_to_ourselves() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
}

/// Lets glibc keep up to 8 MiB of freed memory in each arena for the next drops, instead of giving it back and faulting it in again for each: it takes
/// the size of a large block that was freed as a measure of what the program does. What lies below a block that is still in use is kept too: after a flood the
/// process keeps what the flood took. It is bounded by the places for bodies (docs/protocol.md, "Limits").
fn keep_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
}

/// Quiet unless something is wrong; see docs/operations.md for all that can be recorded. A panic's message could hold anything, so only its place is.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SEALDROP_LOG")
        .unwrap_or_else(|_| "sealdrop_server=warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            tracing::error!(
                "a fault at {}:{}; please report it",
                place.file(),
                place.line()
            );
        }
    }));
}
