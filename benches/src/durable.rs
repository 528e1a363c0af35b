//! Durable drops per second, beside [`crate::reference`], in turns: a disk of a virtual machine swings several times over within minutes.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::load::{Seen, drive};
use crate::process::{Awake, Server, median, myself, scratch};
use crate::reference::WAYS;
use crate::site::Site;

/// Attachments that fill a drop of 64 KiB and of 256 KiB of plaintext.
const SIZES: [(&str, usize); 2] = [("66 KiB", 1_000), ("256 KiB", 250_000)];
const CLIENTS: [usize; 4] = [1, 8, 32, 128];

pub(crate) fn run(quick: bool) -> Result<()> {
    let (rounds, time) = length(quick);
    println!(
        "Durable drops, a fresh connection for each; medians of {rounds} rounds of {time:?}, in turns"
    );
    let _awake = Awake::new();
    let (p50, p99) = bare_sync(time)?;
    println!("The disk alone: 66 KiB appended and synced in {p50:.2?}, p99 {p99:.2?}");
    println!(
        "                   ------------- sealdrop -------------  ------------ reference -------------  -- ratio ---"
    );
    println!(
        "drop     clients     per s       p50       p99      cpu    per s       p50       p99      cpu   rate   p99"
    );
    for (name, attachment) in SIZES {
        for clients in CLIENTS {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                ours.push(sealdrop(attachment, clients, time)?);
                theirs.push(reference("append", attachment, clients, time)?);
            }
            // Of neighbours, since the disk of one moment is not that of another.
            let ratio = |of: fn(&Seen) -> f64| {
                let pairs = ours.iter().zip(&theirs);
                median(pairs.map(|(a, b)| of(a) / of(b)).collect()).unwrap_or(0.0)
            };
            println!(
                "{name:<8} {clients:>7}  {}  {}  {:>5.2} {:>5.2}",
                columns(&middle(&ours)),
                columns(&middle(&theirs)),
                ratio(|seen| seen.rate),
                ratio(|seen| seen.p99.as_secs_f64()),
            );
        }
    }
    println!("aim: a rate of at least 0.80 at 8 and 32 clients, a p99 of at most 2.00");
    Ok(())
}

/// The candidates for the store, each in the reference server, without anything else.
pub(crate) fn ways(quick: bool) -> Result<()> {
    let (rounds, time) = length(quick);
    println!(
        "Ways to store, each in the reference server; medians of {rounds} rounds of {time:?}, in turns"
    );
    println!("way      drop     clients     per s       p50       p99      cpu");
    let _awake = Awake::new();
    for (name, attachment) in SIZES {
        for clients in [8, 32] {
            let (mut seen, mut ours) = (WAYS.map(|_| Vec::new()), Vec::new());
            for _ in 0..rounds {
                ours.push(sealdrop(attachment, clients, time)?);
                for (way, seen) in WAYS.iter().zip(&mut seen) {
                    seen.push(reference(way, attachment, clients, time)?);
                }
            }
            for (way, seen) in WAYS.iter().zip(&seen) {
                println!(
                    "{way:<8} {name:<8} {clients:>7}  {}",
                    columns(&middle(seen))
                );
            }
            println!(
                "sealdrop {name:<8} {clients:>7}  {}",
                columns(&middle(&ours))
            );
        }
    }
    Ok(())
}

/// Rounds, and the time of each.
fn length(quick: bool) -> (usize, Duration) {
    if quick {
        (2, Duration::from_secs(1))
    } else {
        (5, Duration::from_secs(3))
    }
}

/// What one append of the smallest drop and one sync take, when nobody waits for anything else.
fn bare_sync(time: Duration) -> Result<(Duration, Duration)> {
    let dir = scratch()?;
    let mut file = File::create_new(dir.path().join("file"))?;
    let (body, end) = (vec![7; 67_195], Instant::now() + time);
    let mut times = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        file.write_all(&body)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Ok((at(0.5), at(0.99)))
}

fn sealdrop(attachment: usize, clients: usize, time: Duration) -> Result<Seen> {
    let dir = scratch()?;
    let mut site = Site::new();
    let (server, roster) = site.serve(&dir.path().join("data"))?;
    let supply = site.supply(&roster, attachment)?;
    drive(&server, &supply, clients, time)
}

fn reference(way: &str, attachment: usize, clients: usize, time: Duration) -> Result<Seen> {
    let dir = scratch()?;
    let mut site = Site::new();
    let roster = site.unserved_roster()?;
    let supply = site.supply(&roster, attachment)?;
    let server = Server::start(myself(&["reference", way])?.arg(dir.path()))?;
    drive(&server, &supply, clients, time)
}

fn middle(rounds: &[Seen]) -> Seen {
    let of = |field: fn(&Seen) -> f64| median(rounds.iter().map(field).collect()).unwrap_or(0.0);
    Seen {
        rate: of(|seen| seen.rate),
        p50: Duration::from_secs_f64(of(|seen| seen.p50.as_secs_f64())),
        p99: Duration::from_secs_f64(of(|seen| seen.p99.as_secs_f64())),
        cpu: Duration::from_secs_f64(of(|seen| seen.cpu.as_secs_f64())),
    }
}

fn columns(seen: &Seen) -> String {
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    format!(
        "{:>7.0} {:>9} {:>9} {:>4} µs",
        seen.rate,
        ms(seen.p50),
        ms(seen.p99),
        seen.cpu.as_micros()
    )
}
