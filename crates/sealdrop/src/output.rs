//! What the program says: results on standard output, everything else on standard error; with `--json` one object on standard output.

use sealdrop_client::show;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use serde_json::{Map, Value};

use crate::failure::Failure;

/// Lines are no longer, on a terminal.
const MAX_WIDTH: usize = 80;
/// On less than that text is left to the terminal.
const MIN_WIDTH: usize = 20;

/// Where and how to say things.
pub(crate) struct Output {
    json: bool,
    colour_out: bool,
    colour_err: bool,
    /// Columns of text on a terminal.
    width_out: Option<usize>,
    width_err: Option<usize>,
}

/// How a piece of text is set, on a terminal.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Yellow,
    Green,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            json,
            colour_out: wanted && io::stdout().is_terminal(),
            colour_err: wanted && io::stderr().is_terminal(),
            width_out: width(&io::stdout()),
            width_err: width(&io::stderr()),
        }
    }

    /// Something to know on the way: a line on standard error.
    pub(crate) fn note(&self, text: &str) {
        // A closed terminal is no reason to stop half-way.
        let _ = writeln!(io::stderr(), "{}", wrapped(text, self.width_err));
    }

    /// The result: the text for people, or the object for programs.
    pub(crate) fn result(&self, text: &str, fields: Map<String, Value>) {
        self.verbatim(&wrapped(text, self.width_out), fields);
    }

    /// The same with a text that is for a program too, and stays as it is.
    pub(crate) fn verbatim(&self, text: &str, fields: Map<String, Value>) {
        let mut out = io::stdout();
        let written = if self.json {
            writeln!(out, "{}", show::json(&Value::Object(fields).to_string()))
        } else {
            write!(out, "{text}").and_then(|()| {
                if text.ends_with('\n') {
                    Ok(())
                } else {
                    writeln!(out)
                }
            })
        };
        let _ = written.and_then(|()| out.flush());
    }

    /// One of many things that happen: a line if there is something to say, or an object in a line.
    pub(crate) fn event(&self, text: Option<&str>, fields: Map<String, Value>) {
        if self.json || text.is_some() {
            self.result(text.unwrap_or_default(), fields);
        }
    }

    /// The text of a result that a failure follows. With `--json` the failure holds its fields, for there is one object only.
    pub(crate) fn before_failure(&self, text: &str) {
        if !self.json {
            self.result(text, Map::new());
        }
    }

    /// What went wrong, for people only: something is still being done about it.
    pub(crate) fn failure_note(&self, failure: &Failure) {
        self.note(&format!(
            "{} {}",
            self.err(Style::Red, "error:"),
            failure.message
        ));
        if let Some(hint) = &failure.hint {
            for line in hint.lines() {
                self.note(&format!("  {line}"));
            }
        }
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        self.failure_note(failure);
        if self.json {
            let mut fields = failure.fields.clone();
            fields.insert("error".into(), failure.message.clone().into());
            fields.insert("hint".into(), failure.hint.clone().into());
            fields.insert("exit".into(), failure.exit.into());
            self.result("", fields);
        }
    }

    /// Text that someone else wrote, of several lines, each behind `indent`, on a terminal also what does not fit: it never begins a line.
    pub(crate) fn shown(&self, text: &str, indent: &str) -> String {
        folded(&shown_lines(text, ""), indent, self.width_out)
    }

    /// For text that goes to standard error.
    pub(crate) fn err(&self, style: Style, text: &str) -> String {
        set(self.colour_err, style, text)
    }

    /// For text that goes to standard output.
    pub(crate) fn out(&self, style: Style, text: &str) -> String {
        set(self.colour_out, style, text)
    }
}

/// The columns for text, if it goes to a terminal: all of them, but no more than can be read well.
#[cfg(unix)]
fn width(stream: &(impl io::IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    stream.is_terminal().then(|| {
        let size = rustix::termios::tcgetwinsize(stream).ok();
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        // A terminal that does not know says 0.
        if columns < MIN_WIDTH {
            MAX_WIDTH
        } else {
            columns.min(MAX_WIDTH)
        }
    })
}

#[cfg(not(unix))]
fn width(stream: &impl io::IsTerminal) -> Option<usize> {
    stream.is_terminal().then_some(MAX_WIDTH)
}

/// Breaks lines between words. What has to be copied as it is stays whole: commands, and what stands further in.
fn wrapped(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else {
        return text.into();
    };
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let words = line.trim_start_matches(' ');
        let indent = &line[..line.len() - words.len()];
        let is_fixed = indent.len() >= 4 || words.starts_with("sealdrop ");
        let mut rest = words;
        out.push_str(indent);
        while let Some(at) = (!is_fixed)
            .then(|| break_at(rest, width - indent.len()))
            .flatten()
        {
            out.push_str(rest[..at].trim_end_matches(' '));
            out.push('\n');
            out.push_str(indent);
            rest = rest[at..].trim_start_matches(' ');
        }
        out.push_str(rest);
    }
    out
}

/// Where a line that is too long is broken: behind the last word that fits, or the first. What sets colours takes no room.
fn break_at(line: &str, width: usize) -> Option<usize> {
    let line = line.trim_end_matches(['\n', ' ']);
    let (mut column, mut last, mut is_code) = (0, None, false);
    for (at, c) in line.char_indices() {
        match c {
            '\x1b' => is_code = true,
            _ if is_code => is_code = c != 'm',
            _ => {
                if c == ' ' && (column <= width || last.is_none()) {
                    last = Some(at);
                }
                column += 1;
            }
        }
    }
    last.filter(|at| column > width && *at > 0)
}

/// Lines, each behind `indent`, in pieces that a terminal of this width breaks no further, whatever is in them.
fn folded(text: &str, indent: &str, width: Option<usize>) -> String {
    let room = width.map_or(usize::MAX, |width| {
        width.saturating_sub(indent.len()).max(2)
    });
    let mut out = String::new();
    for line in text.lines() {
        let mut rest = line;
        loop {
            let (piece, more) = rest.split_at(fit(rest, room));
            out.push_str(indent);
            out.push_str(piece);
            out.push('\n');
            if more.is_empty() {
                break;
            }
            rest = more;
        }
    }
    out
}

/// How many bytes of a line fit, if need be in the middle of a word: a space can be one that looks like another character. What is not ASCII may take two
/// columns, so it counts as that.
fn fit(line: &str, room: usize) -> usize {
    let (mut column, mut space) = (0, None);
    for (at, c) in line.char_indices() {
        column += if c.is_ascii() { 1 } else { 2 };
        if column > room {
            return space.unwrap_or(at);
        }
        if c == ' ' {
            space = Some(at + 1);
        }
    }
    line.len()
}

fn set(colour: bool, style: Style, text: &str) -> String {
    let code = match style {
        Style::Bold => "1",
        Style::Dim => "2",
        Style::Red => "1;31",
        Style::Yellow => "33",
        Style::Green => "32",
    };
    if colour {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.into()
    }
}

/// Text that someone else wrote, of several lines, each behind `indent`.
pub(crate) fn shown_lines(text: &str, indent: &str) -> String {
    text.lines()
        .map(|line| format!("{indent}{}\n", show::line(&line.replace('\t', "    "))))
        .collect()
}

/// A file's name as a word of a command that is shown to be typed.
pub(crate) fn word(path: &Path) -> String {
    let Some(path) = path.to_str() else {
        // Bytes that are no text, as bash, zsh and POSIX 2024 write them.
        let escape = |byte: &u8| match byte {
            b'\'' | b'\\' | 0..0x20 | 0x7f.. => format!("\\{byte:03o}"),
            byte => char::from(*byte).to_string(),
        };
        let bytes = path.as_os_str().as_encoded_bytes();
        return format!("$'{}'", bytes.iter().map(escape).collect::<String>());
    };
    // What begins with - would be an option.
    let path = if path.starts_with('-') {
        format!("./{path}")
    } else {
        path.to_owned()
    };
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

/// The fields of a JSON result.
#[macro_export]
macro_rules! fields {
    () => {
        ::serde_json::Map::new()
    };
    ($($name:literal: $value:expr),+ $(,)?) => {{
        let mut fields = ::serde_json::Map::new();
        $(fields.insert($name.into(), ::serde_json::json!($value));)+
        fields
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_commands_are_not() {
        let wrapped = |text| super::wrapped(text, Some(12));
        assert_eq!(wrapped("one two three four"), "one two\nthree four");
        assert_eq!(wrapped("exactly 12 c\nnext\n"), "exactly 12 c\nnext\n");
        assert_eq!(wrapped("  one two three\n"), "  one two\n  three\n");
        assert_eq!(wrapped("a-word-too-long and"), "a-word-too-long\nand");
        assert_eq!(
            wrapped("\x1b[1mone two\x1b[0m four"),
            "\x1b[1mone two\x1b[0m four"
        );
        for whole in [
            "  sealdrop check --receipt r.json\n",
            "    twelve words, or a promise\n",
        ] {
            assert_eq!(wrapped(whole), whole);
        }
        assert_eq!(super::wrapped("one two three", None), "one two three");
    }

    #[test]
    fn a_strangers_long_line_never_begins_a_line_of_the_terminal() {
        let folded = |text| super::folded(text, "    ", Some(14));
        assert_eq!(folded("one\n\ntwo\n"), "    one\n    \n    two\n");
        assert_eq!(folded("exactly 10"), "    exactly 10\n");
        assert_eq!(folded("one two three"), "    one two \n    three\n");
        // Words that do not end, and characters of two columns.
        assert_eq!(folded("abcdefghijklm"), "    abcdefghij\n    klm\n");
        assert_eq!(folded("ada\u{a0}writes"), "    ada\u{a0}write\n    s\n");
        assert_eq!(folded("漢字漢字漢字"), "    漢字漢字漢\n    字\n");
        assert_eq!(
            super::folded("one two three", "  ", None),
            "  one two three\n"
        );
        // It is as it is to stay.
        let text = folded("ok         2026-11-20 16:00 UTC  ben writes");
        assert_eq!(wrapped(&text, Some(14)), text);
        assert!(
            text.lines()
                .all(|line| line.starts_with("    ") && line.len() <= 14)
        );
    }

    #[test]
    fn a_name_in_a_command_is_one_word_of_a_shell() {
        let shown = |name: &str| word(Path::new(name));
        assert_eq!(shown("a/report-2.drop"), "a/report-2.drop");
        assert_eq!(shown("my report.drop"), "'my report.drop'");
        assert_eq!(shown("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(shown("-o"), "./-o");
        #[cfg(unix)]
        {
            let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"it's caf\xe9");
            assert_eq!(word(Path::new(name)), "$'it\\047s caf\\351'");
        }
    }
}
