//! Vectors of docs/protocol.md, "Recovery". The shares come from a field written here from the specification, and not from the crate that programs use.

use sealdrop_core::encoding::{base64, hex};
use sealdrop_core::recovery::{Share, ShareError, Split};

use crate::vector::{self, SUCCESS, Vector};
use crate::world;

/// The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        let carry = a & 0x80 != 0;
        a <<= 1;
        if carry {
            a ^= 0x1b;
        }
        b >>= 1;
    }
    product
}

/// Each byte of the box key's seed plus two others times x and x squared.
fn point(x: u8) -> [u8; 32] {
    let [key, one, two] = ["box", "recovery 1", "recovery 2"].map(world::seed);
    std::array::from_fn(|i| key[i] ^ times(one[i], x) ^ times(two[i], times(x, x)))
}

fn share(number: u64) -> Share {
    let split = Split {
        box_key: world::box_secret().to_public(),
        id: world::seed("split")[..16].try_into().unwrap(),
        made: world::NOW,
        need: 3,
        of: 5,
    };
    Share::new(split, number, &point(number as u8))
}

fn outcome(vector: &Vector) -> String {
    match Share::parse(&vector.body) {
        Ok(share) => {
            assert_eq!(share.split.box_key.to_string(), vector.field("box"));
            assert_eq!(hex(&share.split.id), vector.field("split"));
            assert_eq!(share.number, vector.number("number"));
            assert_eq!(share.expose(), &vector.hex::<32>("share"));
            SUCCESS.into()
        }
        Err(ShareError::Malformed) => "malformed".into(),
        Err(ShareError::NotSigned) => "not signed".into(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn vectors() {
    let good = |number: u64| {
        let share = share(number);
        let text = share.to_text(&world::box_secret());
        let name = format!("share-{number}");
        let comment = format!("share {number} of 5, of which any 3 make the seed of `box`");
        Vector::new(&name, SUCCESS, &comment, text.as_bytes())
            .with("box", &share.split.box_key)
            .with("split", hex(&share.split.id))
            .with("number", number)
            .with("share", hex(share.expose()))
    };
    let (first, second) = (good(1), base64(share(2).expose()));
    let line = |vector: &Vector, name: &str| {
        let mut lines = vector.text().lines();
        lines
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    let bad = |name: &str, expect: &str, comment: &str, from: &str, to: &str| {
        first.twin(name, expect, comment).replace(from, to)
    };
    let forged = share(1).to_text(&world::secret("another box"));
    let vectors = [
        good(3),
        good(5),
        bad(
            "changed",
            "not signed",
            "another share under this signature",
            &line(&first, "share"),
            &format!("share: {second}"),
        ),
        bad(
            "renumbered",
            "not signed",
            "another number under this signature",
            "number: 1",
            "number: 2",
        ),
        first
            .twin("forged", "not signed", "signed by the key of another box")
            .body(forged.as_bytes()),
        bad(
            "one-needed",
            "malformed",
            "one share alone would be the key",
            "need: 3",
            "need: 1",
        ),
        bad(
            "beyond",
            "malformed",
            "number 6 of 5",
            "number: 1",
            "number: 6",
        ),
        bad(
            "none",
            "malformed",
            "number 0 is the key itself",
            "number: 1",
            "number: 0",
        ),
        bad(
            "more-needed",
            "malformed",
            "more needed than there are",
            "need: 3",
            "need: 6",
        ),
        bad(
            "first-line",
            "malformed",
            "another version",
            "recovery/v1",
            "recovery/v2",
        ),
        bad(
            "order",
            "malformed",
            "of before need",
            "need: 3\nof: 5",
            "of: 5\nneed: 3",
        ),
        bad(
            "short",
            "malformed",
            "a share of 31 bytes",
            &line(&first, "share"),
            &format!("share: {}", base64(&[0; 31])),
        ),
        first
            .twin("tail", "malformed", "a line more")
            .body(format!("{}x-more: 1\n", first.text())),
        first.clone(),
    ];
    vector::run("recovery", &vectors, outcome);
}
