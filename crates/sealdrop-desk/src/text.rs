//! Text from strangers, made safe for a terminal. docs/protocol.md, "Opening": control characters are shown as escapes.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use sealdrop_client::show::push;
use sealdrop_core::time::Time;
use terminal_size::Width;

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

/// The widest line on a terminal.
const WIDEST: usize = 80;

/// Text for this output: on a terminal broken between words, so that the terminal breaks none; elsewhere as it is.
pub(crate) fn fit(text: &str, output: &(impl IsTerminal + AsFd)) -> String {
    if !output.is_terminal() {
        return text.to_owned();
    }
    let width = terminal_size::terminal_size_of(output).map_or(WIDEST, |(Width(w), _)| w.into());
    wrap(text, width.min(WIDEST))
}

/// Breaks lines of more than `width` characters between words. What follows a break is indented, so that a stranger's text never begins a line.
pub(crate) fn wrap(text: &str, width: usize) -> String {
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| wrap_line(line, width))
        .collect();
    lines.join("\n")
}

fn wrap_line(line: &str, width: usize) -> String {
    // A picture of a code is no text.
    if columns(line) <= width || line.contains(['█', '▀', '▄']) {
        return line.to_owned();
    }
    let leading = line.len() - line.trim_start_matches(' ').len();
    let indent = " ".repeat(leading.max(2));
    let (mut out, mut column) = (line[..leading].to_owned(), leading);
    let mut is_first = true;
    // In our own lines a command stays whole, so that it can be copied. A stranger's text is always indented.
    for word in words(&line[leading..], leading == 0) {
        let wide = columns(word);
        if !is_first && column + 1 + wide > width && !word.is_empty() {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.push_str(&indent);
            column = indent.len();
        } else if !is_first {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += wide;
        is_first = false;
    }
    out
}

/// What stands between spaces; with `keeps_code` also what stands between backticks.
fn words(text: &str, keeps_code: bool) -> Vec<&str> {
    let (mut words, mut start, mut is_code) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '`' if keeps_code => is_code = !is_code,
            ' ' if !is_code => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words
}

/// The columns that a text takes, without the sequences that set it bold.
fn columns(text: &str) -> usize {
    let mut count = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            chars.by_ref().find(|c| *c == 'm');
        } else {
            count += 1;
        }
    }
    count
}

/// A number of days, rounded, so that a roster of 90 days has 90 a moment after it was signed: `in 12 days`.
pub(crate) fn in_days(from: Time, until: Time) -> String {
    const DAY: u64 = 86_400;
    let seconds = until.0.saturating_sub(from.0);
    match (seconds + DAY / 2) / DAY {
        _ if seconds < DAY => "in less than a day".into(),
        1 => "in 1 day".into(),
        days => format!("in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_lines_cannot_pass_for_ours() {
        assert_eq!(
            block("one\r\n\ttwo\x1b]0;x\n"),
            "  one\n  \ttwo\\x1b]0;x\n  \n"
        );
    }

    #[test]
    fn long_lines_break_between_words() {
        assert_eq!(wrap("one two three", 80), "one two three");
        assert_eq!(wrap("one two three\n", 8), "one two\n  three\n");
        assert_eq!(wrap("    one two three", 12), "    one two\n    three");
        // An address stays whole, and spaces within a line stay.
        assert_eq!(
            wrap("at https://a.example#sdbox1", 9),
            "at\n  https://a.example#sdbox1"
        );
        assert_eq!(wrap("ok  log   one two", 12), "ok  log\n  one two");
        assert_eq!(wrap("run `a b --c` now", 10), "run\n  `a b --c`\n  now");
        assert_eq!(wrap("  a `quote of words", 10), "  a `quote\n  of words");
        let bold = "\x1b[1mone two\x1b[0m";
        assert_eq!(wrap(bold, 7), bold);
        let picture = "█ ▀ ▄ █";
        assert_eq!(wrap(picture, 3), picture);
    }

    #[test]
    fn days_are_rounded() {
        let day = 86_400;
        for (seconds, said) in [
            (day - 1, "in less than a day"),
            (day, "in 1 day"),
            (90 * day - 5, "in 90 days"),
            (90 * day, "in 90 days"),
        ] {
            assert_eq!(in_days(Time(7), Time(7 + seconds)), said);
        }
    }

    #[test]
    fn json_means_the_same_and_moves_no_cursor() {
        let value = serde_json::json!({ "a": "\u{9b}31m\u{202e}\u{7f}\u{e0001}ä" });
        let safe = sealdrop_client::show::json(&value.to_string());
        assert_eq!(safe, r#"{"a":"\u009b31m\u202e\u007f\udb40\udc01ä"}"#);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }
}
