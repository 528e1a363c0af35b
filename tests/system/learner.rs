//! Somebody who tries to tell two things apart. From one half of what there is of each they learn the one thing that says most, out of every bit and some sums
//! over all bytes; on the other half they guess by that. Who cannot tell guesses as well as a coin.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// How often the learner was right.
#[derive(Debug)]
pub(crate) struct Score {
    guesses: usize,
    right: usize,
    #[expect(dead_code, reason = "it is for whoever reads a failure")]
    by: String,
}

impl Score {
    /// Whether this is more than luck: a coin is right so often once in some millions of times.
    pub(crate) fn tells_apart(&self) -> bool {
        let guesses = self.guesses as f64;
        self.right as f64 > guesses / 2.0 + 5.0 * guesses.sqrt() / 2.0
    }
}

/// Which kind each of so many trials is to be: all of them equally often, in an order that nobody chose.
pub(crate) fn kinds(trials: usize, kinds: usize, seed: u8) -> Vec<usize> {
    let mut order: Vec<usize> = (0..trials).map(|trial| trial % kinds).collect();
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    for i in (1..order.len()).rev() {
        order.swap(i, rng.next_u64() as usize % (i + 1));
    }
    order
}

/// Learns from every second one, and guesses the others. Of both there count as many as there are of the fewer, so that the number of them says nothing.
#[track_caller]
pub(crate) fn learn(one: &[&[u8]], other: &[&[u8]]) -> Score {
    let count = one.len().min(other.len());
    assert!(count >= 50, "{count} are too few to learn from");
    let half = |from| {
        let pairs = one.iter().zip(other).skip(from).step_by(2);
        pairs.flat_map(|(one, other)| [(false, *one), (true, *other)])
    };
    let known: Vec<(bool, &[u8])> = half(0).collect();

    let mut best: Option<(usize, String, Box<Feature>, bool)> = None;
    let mut consider = |by: String, feature: Box<Feature>| {
        let as_it_is = known
            .iter()
            .filter(|(is_other, bytes)| feature(bytes) == *is_other);
        let as_it_is = as_it_is.count();
        let (right, means_other) = (
            as_it_is.max(known.len() - as_it_is),
            2 * as_it_is >= known.len(),
        );
        if best.as_ref().is_none_or(|(before, ..)| right > *before) {
            best = Some((right, by, feature, means_other));
        }
    };
    for (name, sum) in SUMS {
        let mut sums: Vec<u64> = known.iter().map(|(_, bytes)| sum(bytes)).collect();
        sums.sort_unstable();
        for part in 1..10 {
            let least = sums[sums.len() * part / 10];
            let by = format!("{name} of at least {least}");
            consider(by, Box::new(move |bytes| sum(bytes) >= least));
        }
    }
    let longest = known.iter().map(|(_, bytes)| bytes.len()).max();
    for bit in 0..8 * longest.unwrap_or_default() {
        let is_set =
            move |bytes: &[u8]| bytes.get(bit / 8).is_some_and(|b| b >> (bit % 8) & 1 == 1);
        consider(format!("bit {bit}"), Box::new(is_set));
    }
    let (_, by, feature, means_other) = best.expect("there are sums");
    let asked = || half(1);
    let right = asked().filter(|(is_other, bytes)| (feature(bytes) == means_other) == *is_other);
    Score {
        guesses: asked().count(),
        right: right.count(),
        by,
    }
}

type Feature = dyn Fn(&[u8]) -> bool;
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

#[test]
fn the_learner_is_fooled_by_noise_and_finds_one_bit_that_leans() {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let mut noise = || {
        let mut slip = vec![0; 4_096];
        rng.fill_bytes(&mut slip);
        slip
    };
    let one: Vec<Vec<u8>> = (0..200).map(|_| noise()).collect();
    let other: Vec<Vec<u8>> = (0..200).map(|_| noise()).collect();
    let finds = |mark: fn(&mut Vec<u8>)| {
        let mut marked = other.clone();
        marked.iter_mut().for_each(mark);
        let view = |all: &[Vec<u8>]| learn(&borrow(&one), &borrow(all)).tells_apart();
        view(&marked)
    };
    assert!(!finds(|_| {}));
    // One bit in 32,768, which is set in all of one kind, and in half of the other.
    assert!(finds(|slip| slip[3_000] |= 0x10));
    assert!(finds(|slip| slip.push(7)));
    assert!(finds(|slip| slip[..800].fill(0)));
}

/// As [`learn`] takes them.
pub(crate) fn borrow(all: &[Vec<u8>]) -> Vec<&[u8]> {
    all.iter().map(Vec::as_slice).collect()
}
