//! Text from strangers, made safe for a terminal. docs/protocol.md, "Opening": control characters are shown as escapes.

use std::fmt::Write as _;

/// One line of it: every character that could move the cursor, change colours or reorder text is written as an escape, line ends too.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

/// A text of several lines, each indented by two spaces, so that none of them can pass for one of ours.
pub(crate) fn block(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for each in text.split('\n') {
        out.push_str("  ");
        for c in each.strip_suffix('\r').unwrap_or(each).chars() {
            if c == '\t' {
                out.push(c)
            } else {
                push(&mut out, c)
            }
        }
        out.push('\n');
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_control() && u32::from(c) < 0x100 => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c if is_hidden(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// Characters that show nothing and change how others are shown: marks and overrides of direction, separators of lines, invisible
/// spaces and tags. Joiners stay, because scripts and emoji need them.
fn is_hidden(c: char) -> bool {
    matches!(u32::from(c),
        0x061c | 0x180e | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
        || c.is_control()
}

/// The same JSON with every such character written as `\uXXXX`. They stand only within strings, where that means the same.
pub(crate) fn json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Bytes for people: `12,345 bytes`.
pub(crate) fn bytes(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + if count == 1 { " byte" } else { " bytes" }
}

/// A time as `2026-11-20 09:29` (UTC).
pub(crate) fn time(time: sealdrop_core::time::Time) -> String {
    // Days to a civil date, by the usual algorithm over eras of 400 years that begin in March.
    let (days, second) = (time.0 / 86_400, time.0 % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        second / 3600,
        second / 60 % 60
    )
}

/// A number of days, rounded down: `in 12 days`, `today`.
pub(crate) fn in_days(from: sealdrop_core::time::Time, until: sealdrop_core::time::Time) -> String {
    match until.0.saturating_sub(from.0) / 86_400 {
        0 => "in less than a day".into(),
        1 => "in 1 day".into(),
        days => format!("in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use sealdrop_core::time::Time;

    use super::*;

    #[test]
    fn terminal_escapes_are_shown_as_text() {
        assert_eq!(
            line("\x1b[31mred\x07\x7f\u{9b}2J"),
            "\\x1b[31mred\\x07\\x7f\\x9b2J"
        );
        assert_eq!(line("a\rb\nc\td"), "a\\rb\\nc\\td");
        assert_eq!(
            line("safe\u{202e}exe.txt\u{2066}"),
            "safe\\u{202e}exe.txt\\u{2066}"
        );
        assert_eq!(line("plain – äöü 漢字 👩‍💻"), "plain – äöü 漢字 👩‍💻");
        assert_eq!(
            block("one\r\n\ttwo\x1b]0;x\n"),
            "  one\n  \ttwo\\x1b]0;x\n  \n"
        );
    }

    #[test]
    fn json_means_the_same_and_moves_no_cursor() {
        let value = serde_json::json!({ "a": "\u{9b}31m\u{202e}\u{7f}\u{e0001}ä" });
        let safe = json(&value.to_string());
        assert_eq!(safe, r#"{"a":"\u009b31m\u202e\u007f\udb40\udc01ä"}"#);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }

    #[test]
    fn times_and_sizes_read_well() {
        assert_eq!(time(Time(0)), "1970-01-01 00:00");
        assert_eq!(time(Time(951_827_696)), "2000-02-29 12:34");
        assert_eq!(time(Time(1_795_166_999)), "2026-11-20 09:29");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1_234_567), "1,234,567 bytes");
        assert_eq!(bytes(123), "123 bytes");
    }
}
