//! The numbers of a roster as they are typed, and their bounds. docs/protocol.md, "Roster".

use std::ops::RangeInclusive;

use sealdrop_core::drop::size;

/// The length of a window, in seconds.
pub(crate) fn window(text: &str) -> Result<u64, String> {
    within(text.parse().ok(), 1..=604_800, "seconds (a week)")
}

/// How long drops are kept, in seconds. That it is no shorter than a window is for the whole roster to say.
pub(crate) fn retention(text: &str) -> Result<u64, String> {
    within(text.parse().ok(), 1..=31_622_400, "seconds (366 days)")
}

/// The largest drop.
pub(crate) fn max_drop(text: &str) -> Result<u64, String> {
    let smallest = size::file(1, size::MIN_PADDED);
    within(bytes(text), smallest..=size::MAX_DROP, "bytes (8G)")
}

fn within(number: Option<u64>, range: RangeInclusive<u64>, what: &str) -> Result<u64, String> {
    let (least, most) = (*range.start(), *range.end());
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("it must be from {least} to {most} {what}"))
}

/// Bytes, with `K`, `M` or `G` for powers of 1,024, as the server takes them.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_bounds() {
        for (text, count) in [
            ("67195", Some(67_195)),
            ("67194", None),
            ("10M", Some(10 << 20)),
            ("8GiB", Some(8 << 30)),
            ("9G", None),
            ("1.5G", None),
            ("M", None),
            ("10X", None),
            ("99999999999G", None),
        ] {
            assert_eq!(max_drop(text).ok(), count, "{text}");
        }
    }
}
