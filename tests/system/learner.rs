//! Somebody who tries to tell things apart. From one half of the samples it learns the one thing that says most about their labels, out of every bit of them
//! and some sums over all of them; on the other half it guesses by that. Who cannot tell guesses as well as a coin.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Something that was seen, and what it was.
pub(crate) struct Sample {
    /// 0, 1, … below the number of kinds.
    pub(crate) label: usize,
    pub(crate) bytes: Vec<u8>,
}

/// How often the learner was right, and how often a coin would have been.
#[derive(Debug)]
#[expect(
    dead_code,
    reason = "what it guessed by is for whoever reads a failure"
)]
pub(crate) struct Score {
    guesses: usize,
    right: usize,
    by_chance: f64,
    /// What it guessed by.
    feature: String,
}

impl Score {
    /// Whether this is more than luck: once in some millions of trials a coin is right so often.
    pub(crate) fn tells_apart(&self) -> bool {
        let (n, p) = (self.guesses as f64, self.by_chance);
        self.right as f64 > n * p + 5.0 * (n * p * (1.0 - p)).sqrt()
    }
}

/// Labels for so many trials, each as often as the others, in an order that nobody chose.
pub(crate) fn labels(trials: usize, kinds: usize, seed: u8) -> Vec<usize> {
    let mut labels: Vec<usize> = (0..trials).map(|trial| trial % kinds).collect();
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    for i in (1..labels.len()).rev() {
        labels.swap(i, rng.next_u64() as usize % (i + 1));
    }
    labels
}

/// Learns from every second sample, and guesses the others.
#[track_caller]
pub(crate) fn learn(samples: &[Sample], kinds: usize) -> Score {
    let mut counts = vec![0; kinds];
    samples.iter().for_each(|sample| counts[sample.label] += 1);
    // A majority is no knowledge: how often the commonest comes is what a coin is right.
    let by_chance = *counts.iter().max().expect("there are kinds") as f64 / samples.len() as f64;
    let known: Vec<&Sample> = samples.iter().step_by(2).collect();
    let asked: Vec<&Sample> = samples.iter().skip(1).step_by(2).collect();
    assert!(known.len() >= 20 * kinds, "too few trials to learn from");
    let most = samples.iter().map(|sample| sample.bytes.len()).max();

    let mut best: Option<(usize, String, Box<Feature>, [usize; 2])> = None;
    let mut consider = |name: String, feature: Box<Feature>| {
        let (right, guess) = fit(&known, kinds, &*feature);
        if best.as_ref().is_none_or(|(before, ..)| right > *before) {
            best = Some((right, name, feature, guess));
        }
    };
    for (name, sum) in SUMS {
        let mut sums: Vec<u64> = known.iter().map(|sample| sum(&sample.bytes)).collect();
        sums.sort_unstable();
        for part in 1..10 {
            let threshold = sums[sums.len() * part / 10];
            let name = format!("{name} of at least {threshold}");
            consider(name, Box::new(move |bytes| sum(bytes) >= threshold));
        }
    }
    for bit in 0..8 * most.unwrap_or_default() {
        let is_set =
            move |bytes: &[u8]| bytes.get(bit / 8).is_some_and(|b| b >> (bit % 8) & 1 == 1);
        consider(format!("bit {bit}"), Box::new(is_set));
    }
    let (_, feature, is_set, guess) = best.expect("there are features");
    let is_right = |sample: &&&Sample| guess[usize::from(is_set(&sample.bytes))] == sample.label;
    Score {
        guesses: asked.len(),
        right: asked.iter().filter(is_right).count(),
        by_chance,
        feature,
    }
}

type Feature = dyn Fn(&[u8]) -> bool;

/// How many of the known samples a feature gets right, and what it says when it does not hold and when it does.
fn fit(known: &[&Sample], kinds: usize, feature: &Feature) -> (usize, [usize; 2]) {
    let mut counts = [[0_usize; 8]; 2];
    assert!(
        kinds <= counts[0].len(),
        "so many kinds were not thought of"
    );
    for sample in known {
        counts[usize::from(feature(&sample.bytes))][sample.label] += 1;
    }
    let best = counts.map(|of| {
        (0..kinds)
            .max_by_key(|label| of[*label])
            .unwrap_or_default()
    });
    (counts[0][best[0]] + counts[1][best[1]], best)
}

type Sum = fn(&[u8]) -> u64;

const SUMS: [(&str, Sum); 6] = [
    ("length", |bytes| bytes.len() as u64),
    ("sum", |bytes| {
        bytes.iter().map(|byte| u64::from(*byte)).sum()
    }),
    ("set bits", |bytes| {
        bytes.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }),
    ("zero bytes", |bytes| {
        bytes.iter().filter(|byte| **byte == 0).count() as u64
    }),
    ("unevenness", |bytes| {
        let mut counts = [0_u64; 256];
        bytes
            .iter()
            .for_each(|byte| counts[usize::from(*byte)] += 1);
        counts.iter().map(|count| count * count).sum()
    }),
    ("compressed length", |bytes| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).expect("a vector takes everything");
        encoder.finish().expect("a vector takes everything").len() as u64
    }),
];

/// Random bytes for so many trials, which `mark` may change for the trials of a kind.
fn noise(kinds: usize, mark: impl Fn(usize, &mut Vec<u8>)) -> Vec<Sample> {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let labels = labels(300, kinds, 1).into_iter();
    let make = |label| {
        let mut bytes = vec![0; 4_096];
        rng.fill_bytes(&mut bytes);
        mark(label, &mut bytes);
        Sample { label, bytes }
    };
    labels.map(make).collect()
}

#[test]
fn the_learner_is_fooled_by_noise_and_finds_one_bit_that_leans() {
    assert!(!learn(&noise(2, |_, _| {}), 2).tells_apart());
    assert!(!learn(&noise(3, |_, _| {}), 3).tells_apart());
    // One bit in 32,768, which is set in all trials of one kind, and in half of the others.
    let leans = noise(2, |label, bytes| bytes[3_000] |= 0x10 * label as u8);
    assert!(learn(&leans, 2).tells_apart());
    let says = noise(3, |label, bytes| {
        bytes[3_000] = bytes[3_000] & !1 | u8::from(label == 2);
    });
    assert!(learn(&says, 3).tells_apart());
    let longer = noise(2, |label, bytes| bytes.resize(4_096 + label, 7));
    assert!(learn(&longer, 2).tells_apart());
}
