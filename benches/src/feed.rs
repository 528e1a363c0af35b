//! Looking for one's slips in the feed: against the number of slips, by the clue and without it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rayon::prelude::*;
use sealdrop_core::key::SecretKey;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::Reporter;
use sealdrop_core::slip::clue::Seeker;
use sealdrop_core::slip::message::{Envelope, Message};
use sealdrop_core::slip::{self, PartKind, Slip};
use sealdrop_open::{Identity, open_slip};

use crate::process::median;

/// 2,880 is a full feed: 8 slips a window, 4 windows a day, 90 days.
const SLIPS: [usize; 6] = [100, 1_000, 2_880, 10_000, 30_000, 100_000];
/// So many different decoys; a feed of more repeats them, which costs a search the same.
const DECOYS: usize = 500;

pub(crate) fn run(quick: bool) -> Result<()> {
    let rounds = if quick { 3 } else { 7 };
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let box_key = SecretKey::generate(&mut rng).to_public();
    let keys = Phrase::generate(&mut rng).keys(&box_key);
    let identity = Identity::new(&keys.identity);
    let envelope = Envelope {
        box_key: box_key.clone(),
        epoch: 1,
        conversation: keys.conversation,
        message: [1; 16],
        number: 1,
        member: "ana".into(),
        kind: PartKind::Note,
    };
    let message = Message {
        text: "hello".into(),
        ..Message::default()
    };
    let reporter = Reporter {
        recipient: keys.identity.to_public(),
        clue: keys.clue.to_public(),
        voice: keys.voice.to_public(),
    };
    let voice = SecretKey::generate(&mut rng);
    let part = envelope.parts(&message)?.pop().context("one part")?;
    let ours = slip::seal(&part, &reporter, &voice, &mut rng);
    let begun = Instant::now();
    let decoys: Vec<Box<Slip>> = (0..DECOYS)
        .map(|_| slip::decoy(&box_key, &mut rng))
        .collect();
    let decoy = begun.elapsed() / DECOYS as u32;

    let seeker = Seeker::new(&keys.clue, &box_key);
    let by_clue = |slip: &&Slip| seeker.finds(slip::split(slip).0);
    let by_opening = |slip: &&Slip| open_slip(slip, &identity, |_| Some(voice.to_public())).is_ok();
    println!(
        "Finding one slip among so many; medians of {rounds}, of opening above 1,000 one round. A decoy takes {decoy:.1?} to make"
    );
    println!("   slips     size    by clue    on all cores    by opening each, on all cores");
    for count in SLIPS {
        let others = decoys.iter().cycle().take(count - 1);
        let feed: Vec<&Slip> = others.chain([&ours]).map(|slip| &**slip).collect();
        let time = |rounds: usize, search: &dyn Fn() -> usize| -> Result<Duration> {
            let mut times = Vec::new();
            for _ in 0..rounds {
                let begun = Instant::now();
                anyhow::ensure!(search() == 1, "the slip was not found");
                times.push(begun.elapsed());
            }
            median(times).context("there are rounds")
        };
        let one = time(rounds, &|| feed.iter().filter(|slip| by_clue(slip)).count())?;
        let all = time(rounds, &|| {
            feed.par_iter().filter(|slip| by_clue(slip)).count()
        })?;
        // Of many it takes minutes, and is as steady as it is slow.
        let opening = if count > 10_000 && quick {
            "-".into()
        } else {
            let rounds = if count > 1_000 { 1 } else { rounds };
            let search = || feed.par_iter().filter(|slip| by_opening(slip)).count();
            format!("{:.0} ms", time(rounds, &search)?.as_secs_f64() * 1e3)
        };
        println!(
            "{count:>8} {:>5.1} MB {:>7.0} ms {:>12.0} ms {opening:>20}",
            (count * slip::SLIP) as f64 / 1e6,
            one.as_secs_f64() * 1e3,
            all.as_secs_f64() * 1e3,
        );
    }
    println!("aim: 2,880 slips in under 500 ms of processor time, 10,000 in under a second");
    Ok(())
}
