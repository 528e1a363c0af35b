//! What both programs show to people: dates, sizes, and text from strangers.

use std::fmt::Write as _;

use sealdrop_core::time::Time;

/// Text from a stranger, made safe for a terminal (docs/protocol.md, "Opening"), as one line: every character that could move the cursor, change colours or reorder text is written as an escape, line ends too.
#[must_use]
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

/// The same for one character, for callers that keep some.
pub fn push(out: &mut String, c: char) {
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

/// The same JSON with every such character written as `\uXXXX`. They stand only within strings, where that means the same; of line ends there are none in them.
#[must_use]
pub fn json(json: &str) -> String {
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

/// Characters that show nothing and change how others are shown: marks and overrides of direction, separators of lines, invisible
/// spaces and tags. Joiners stay, because scripts and emoji need them.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    matches!(u32::from(c),
        0x061c | 0x180e | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
        || c.is_control()
}

/// Bytes for people: `12,345 bytes`.
#[must_use]
pub fn bytes(count: u64) -> String {
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

/// A date in UTC, as `2026-11-20`. Never in local time: where a reporter is says too much.
#[must_use]
pub fn day(time: Time) -> String {
    let (year, month, day) = civil(time.0 / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time in UTC, as `2026-11-20 14:05`.
#[must_use]
pub fn time(time: Time) -> String {
    let minutes = time.0 / 60 % 1_440;
    format!("{} {:02}:{:02}", day(time), minutes / 60, minutes % 60)
}

/// The same as `2026-11-20 14:05 UTC`.
#[must_use]
pub fn minute(at: Time) -> String {
    format!("{} UTC", time(at))
}

/// Year, month and day of the day number `days` since 1970-01-01, by the Gregorian calendar in eras of 400 years.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01: the leap day is then the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn json_means_the_same_and_moves_no_cursor() {
        let value = serde_json::json!({ "a": "\u{9b}31m\u{202e}\u{7f}\u{e0001}ä" });
        let safe = json(&value.to_string());
        assert_eq!(safe, r#"{"a":"\u009b31m\u202e\u007f\udb40\udc01ä"}"#);
        let read: serde_json::Value = serde_json::from_str(&safe).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn dates_of_the_calendar() {
        assert_eq!(minute(Time(0)), "1970-01-01 00:00 UTC");
        assert_eq!(time(Time(951_827_696)), "2000-02-29 12:34");
        assert_eq!(minute(Time(951_782_400 + 86_399)), "2000-02-29 23:59 UTC");
        assert_eq!(day(Time(4_107_542_400)), "2100-03-01");
        assert_eq!(minute(Time(1_795_183_500)), "2026-11-20 14:05 UTC");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(123), "123 bytes");
        assert_eq!(bytes(1_234_567), "1,234,567 bytes");
    }
}
