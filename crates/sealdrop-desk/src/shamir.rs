//! The box key in shares, and from shares: Shamir's sharing, byte by byte. docs/protocol.md, "Recovery".

use anyhow::{Context as _, Result};
use rand_core::CryptoRng;
use sealdrop_core::key::BoxSecret;
use sealdrop_core::recovery::{Share, Split};
use sealdrop_core::time::Time;
use vsss_rs::Gf256;
use zeroize::{Zeroize as _, Zeroizing};

/// Splits a box key into `of` shares, of which any `need` restore it.
pub(crate) fn split(
    secret: &BoxSecret,
    need: u64,
    of: u64,
    made: Time,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Share>> {
    let mut id = [0; 16];
    rng.fill_bytes(&mut id);
    let split = Split {
        box_key: secret.to_public(),
        id,
        made,
        need,
        of,
    };
    let points = split_bytes(&secret.to_seed(), need, of, rng)?;
    let shares = points.iter().map(|(number, share)| {
        let number = u64::from(*number);
        Share::new(split.clone(), number, share)
    });
    Ok(shares.collect())
}

/// The box key from exactly as many shares of one split as it needs. `None` if what comes out is another key.
pub(crate) fn join(shares: &[&Share]) -> Option<BoxSecret> {
    let points: Vec<_> = shares
        .iter()
        .map(|share| Some((u8::try_from(share.number).ok()?, share.expose())))
        .collect::<Option<_>>()?;
    let secret = BoxSecret::from_seed(&*join_bytes(&points)?);
    let is_it = shares
        .iter()
        .all(|share| share.split.box_key == secret.to_public());
    is_it.then_some(secret)
}

type Point = (u8, Zeroizing<[u8; 32]>);

fn split_bytes(
    secret: &[u8; 32],
    need: u64,
    of: u64,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Point>> {
    let (need, of) = (usize::try_from(need)?, usize::try_from(of)?);
    let mut shares = Gf256::split_bytes(need, of, secret, rng)
        .map_err(|error| anyhow::anyhow!("the box key cannot be split so: {error}"))?;
    let points = shares.iter().map(|share| {
        let (number, share) = share.split_first()?;
        Some((*number, Zeroizing::new(share.try_into().ok()?)))
    });
    let points = points.collect::<Option<Vec<Point>>>();
    shares.zeroize();
    points.context("a share has another length than the box key")
}

fn join_bytes(points: &[(u8, &[u8; 32])]) -> Option<Zeroizing<[u8; 32]>> {
    let mut shares: Vec<Vec<u8>> = points
        .iter()
        .map(|(number, share)| {
            let mut bytes = Vec::with_capacity(33);
            bytes.push(*number);
            bytes.extend_from_slice(*share);
            bytes
        })
        .collect();
    let secret = Gf256::combine_bytes(&shares).map(Zeroizing::new);
    shares.zeroize();
    Some(Zeroizing::new(secret.ok()?.as_slice().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;
    use sealdrop_core::key::SecretKey;

    use super::*;

    fn rng(seed: u8) -> ChaCha20Rng {
        ChaCha20Rng::from_seed([seed; 32])
    }

    fn shares(need: u64, of: u64) -> (BoxSecret, Vec<Share>) {
        let secret: BoxSecret = SecretKey::from_seed(&[7; 32]);
        let shares = split(&secret, need, of, Time(1), &mut rng(1)).unwrap();
        (secret, shares)
    }

    #[test]
    fn any_three_of_five_shares_restore_the_box_key() {
        let (secret, shares) = shares(3, 5);
        let mut ways = 0;
        for a in 0..5 {
            for b in 0..5 {
                for c in 0..5 {
                    if a == b || b == c || a == c {
                        continue;
                    }
                    let joined = join(&[&shares[a], &shares[b], &shares[c]]).unwrap();
                    assert_eq!(*joined.to_seed(), *secret.to_seed());
                    ways += 1;
                }
            }
        }
        assert_eq!(ways, 60);
    }

    #[test]
    fn every_number_of_shares_that_the_protocol_allows_works() {
        for (need, of) in [(2, 2), (2, 64), (64, 64), (33, 64)] {
            let (secret, shares) = shares(need, of);
            let last: Vec<&Share> = shares.iter().rev().take(need as usize).collect();
            let joined = join(&last).unwrap();
            assert!(joined.to_public() == secret.to_public(), "{need} of {of}");
        }
    }

    #[test]
    fn fewer_shares_restore_nothing() {
        let (_, shares) = shares(3, 5);
        assert!(join(&[&shares[0], &shares[1]]).is_none());
        assert!(join(&[&shares[0]]).is_none());
        assert!(join(&[]).is_none());
        assert!(join(&[&shares[0], &shares[0], &shares[1]]).is_none());
    }

    #[test]
    fn fewer_shares_fit_every_box_key_alike() {
        // Two of three that are needed, and each value that a byte of the third may have: each gives another byte of the key, so
        // every key is as possible as any other.
        let points = split_bytes(&[0x5a; 32], 3, 5, &mut rng(2)).unwrap();
        let known = [(points[1].0, &*points[1].1), (points[4].0, &*points[4].1)];
        let mut seen = vec![HashSet::new(); 32];
        for value in 0..=255 {
            let third = (points[2].0, &[value; 32]);
            let key = join_bytes(&[known[0], known[1], third]).unwrap();
            for (seen, byte) in seen.iter_mut().zip(*key) {
                seen.insert(byte);
            }
        }
        assert!(seen.iter().all(|bytes| bytes.len() == 256));
    }

    #[test]
    fn a_single_share_has_every_value_whatever_the_box_key_is() {
        // A coefficient that was never zero would tell a holder what the key is not.
        for secret in [[0; 32], [0xff; 32]] {
            let (mut seen, mut rng) = (vec![HashSet::new(); 32], rng(3));
            for _ in 0..3_000 {
                let points = split_bytes(&secret, 2, 2, &mut rng).unwrap();
                for (seen, byte) in seen.iter_mut().zip(*points[0].1) {
                    seen.insert(byte);
                }
            }
            assert!(seen.iter().all(|bytes| bytes.len() == 256));
        }
    }

    #[test]
    fn shares_of_another_implementation_restore_the_box_key() {
        let shares = [1, 3, 5].map(|number| {
            let vector = format!(
                "{}/../../testdata/vectors/recovery/share-{number}",
                env!("CARGO_MANIFEST_DIR")
            );
            let vector = std::fs::read_to_string(vector).unwrap();
            let (_, text) = vector.split_once("\n\n").unwrap();
            Share::parse(text.as_bytes()).ok().unwrap()
        });
        let secret = join(&shares.each_ref()).unwrap();
        assert_eq!(*secret.to_seed(), sealdrop_core::encoding::sha256(b"box"));
    }
}
