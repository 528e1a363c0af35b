//! The figures that `cargo xtask bench` prints. Read first: [`durable`], the server beside a reference that does nothing but sync.
//!
//! Nothing here is asserted: a figure depends on the machine and the moment. Whatever is compared is run in turns, in one run.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

mod check;
mod durable;
mod feed;
mod load;
mod memory;
mod process;
mod reference;
mod seal;
mod site;
mod start;

const USAGE: &str = "\
Usage: cargo xtask bench [--quick] [PART…]

  durable    drops per second, beside a server that only appends and syncs
  ways       the same server with other ways to store: a file for each drop, SQLite
  seal       sealing and opening 1 GiB, beside age and rage where installed
  memory     the server's peak with 32 uploads of 256 MiB at the same time
  feed       finding one's slips in the feed, by the clue and without it
  check      the whole of `sealdrop check`, over a full feed
  start      from nothing to the ready message
  size       the programs' sizes
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["reference", way, dir] => reference::serve(way, dir),
        ["seal-null", file] => seal::seal_to_nowhere(file),
        ["open-null", file] => seal::open_to_nowhere(file),
        ["spin"] => process::spin(),
        ["help" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    let quick = arguments.contains(&"--quick");
    let mut parts: Vec<&str> = arguments
        .iter()
        .copied()
        .filter(|argument| *argument != "--quick")
        .collect();
    if parts.is_empty() {
        parts = vec![
            "size", "start", "feed", "check", "seal", "memory", "ways", "durable",
        ];
    }
    machine();
    for part in parts {
        println!();
        match part {
            "durable" => durable::run(quick)?,
            "ways" => durable::ways(quick)?,
            "seal" => seal::run(quick)?,
            "memory" => memory::run(quick)?,
            "feed" => feed::run(quick)?,
            "check" => check::run(quick)?,
            "start" => start::run(quick)?,
            "size" => start::sizes()?,
            _ => bail!("no part is called {part}\n{USAGE}"),
        }
    }
    Ok(())
}

/// What the figures were taken on.
fn machine() {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    println!("{cores} × {model}; load before {load}");
    let kernel = Command::new("uname").arg("-sr").output();
    if let Ok(kernel) = kernel {
        print!("{}", String::from_utf8_lossy(&kernel.stdout));
    }
}
