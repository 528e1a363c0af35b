//! The sizes that a drop can have. docs/protocol.md, "Padding".

/// Bytes of plaintext in a payload chunk (C2SP age, "Payload").
pub const CHUNK: u64 = 65_536;
/// Bytes that a chunk's tag adds.
pub const TAG: u64 = 16;
/// Bytes of the payload nonce.
pub const NONCE: u64 = 16;
/// Bytes of the version line (22) and of the MAC line (48).
pub const HEADER_FIXED: u64 = 70;
/// Bytes of one stanza.
pub const STANZA: u64 = 1_557;
/// The smallest padded plaintext.
pub const MIN_PADDED: u64 = CHUNK;
/// Up to here padding goes by powers of two, above by Padmé.
pub const MAX_POWER: u64 = 1 << 20;
/// The largest drop that any roster may allow: 8 GiB, which ustar's sizes can still hold.
pub const MAX_DROP: u64 = 8 << 30;

/// The padded length P of an archive of `len` bytes, its end marker included.
#[must_use]
pub fn padded(len: u64) -> u64 {
    if len <= MAX_POWER {
        return len.next_power_of_two().max(MIN_PADDED);
    }
    let exponent = len.ilog2();
    let significant = exponent.ilog2() + 1;
    let mask = (1 << (exponent - significant)) - 1;
    (len + mask) & !mask
}

/// The length of the header of a drop for `members` members.
#[must_use]
pub fn header(members: usize) -> u64 {
    HEADER_FIXED + STANZA * members as u64
}

/// The length of the file of a drop with padded length `padded` for `members` members.
#[must_use]
pub fn file(members: usize, padded: u64) -> u64 {
    header(members) + NONCE + padded + TAG * padded.div_ceil(CHUNK)
}

/// The padded length P of a file of `len` bytes for `members` members; `None` if the formula gives that length for no P.
#[must_use]
pub fn padded_of_file(members: usize, len: u64) -> Option<u64> {
    let payload = len.checked_sub(header(members) + NONCE)?;
    let plain = payload.checked_sub(TAG * payload.div_ceil(CHUNK + TAG))?;
    (len <= MAX_DROP + STANZA * members as u64
        && padded(plain) == plain
        && file(members, plain) == len)
        .then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_of_the_specification() {
        let table = [
            (1, [67_195, 132_747, 1_050_475]),
            (10, [81_208, 146_760, 1_064_488]),
            (20, [96_778, 162_330, 1_080_058]),
        ];
        for (members, expected) in table {
            assert_eq!(
                [65_536, 131_072, 1_048_576].map(|padded| file(members, padded)),
                expected
            );
        }
    }

    #[test]
    fn a_line_and_sixty_kibibytes_look_alike() {
        assert_eq!(padded(2_560), padded(60 * 1024));
        assert_eq!(padded(65_537), 131_072);
        assert_eq!(padded(MAX_POWER), MAX_POWER);
        assert_eq!(padded(MAX_POWER + 1), MAX_POWER + 32_768);
    }

    proptest! {
        #[test]
        fn padding_is_idempotent_and_bounded(len in 1_u64..MAX_DROP) {
            let p = padded(len);
            prop_assert!(p >= len && padded(p) == p && p.is_multiple_of(512));
            prop_assert!(len <= MAX_POWER || (p - len) * 1000 <= len * 32);
        }

        #[test]
        fn a_file_length_gives_back_its_padding(len in 1_u64..(MAX_DROP / 2), members in 1_usize..64) {
            let p = padded(len);
            prop_assert_eq!(padded_of_file(members, file(members, p)), Some(p));
            prop_assert_eq!(padded_of_file(members, file(members, p) + 1), None);
        }
    }
}
