//! Text from strangers, made safe for a terminal. docs/protocol.md, "Opening": control characters are shown as escapes.

use std::fmt::Write as _;

use sealdrop_client::show::{is_hidden, push};

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
    use super::*;

    #[test]
    fn a_strangers_lines_cannot_pass_for_ours() {
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
}
