//! Markdown as far as an import needs it: sentences, items of lists, rows of tables, and what can be read off them.

use jiff::civil::Date;

/// A sentence, an item of a list, or a row of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Sentence {
    /// From 1; that on which it begins.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) lower: String,
    /// The heading above it, in lower case.
    pub(super) heading: String,
    pub(super) is_item: bool,
    /// An item that begins in lower case, in a list where others begin with a capital.
    pub(super) is_damaged: bool,
    /// What leads to the list that it is in, in lower case.
    pub(super) before: String,
}

impl Sentence {
    /// Whether one of these is in it, in lower case.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        words.iter().any(|words| self.lower.contains(words))
    }
}

/// Cuts prose into what can be read one by one. Headings are not among them.
pub(super) fn sentences(prose: &str) -> Vec<Sentence> {
    let mut found: Vec<Sentence> = Vec::new();
    let (mut heading, mut lead) = (String::new(), String::new());
    // Lines of a paragraph or an item, and where it begins.
    let mut open: Option<(usize, bool, String)> = None;
    let lines = prose.lines().chain([""]).enumerate();
    for (at, line) in lines {
        // Some editors put these where a plain one belongs.
        let line = line
            .replace(['\u{2011}', '\u{2010}'], "-")
            .replace('\u{2019}', "'");
        let trimmed = line.trim();
        let item = item_of(trimmed);
        let ends = trimmed.is_empty()
            || trimmed.starts_with('#')
            || trimmed.starts_with('|')
            || item.is_some();
        if ends && let Some((from, is_item, text)) = open.take() {
            if is_item {
                push(&mut found, from, &text, &heading, true, &lead);
            } else {
                for sentence in cut(&text) {
                    push(&mut found, from, sentence, &heading, false, "");
                }
                lead = text.to_lowercase();
            }
        }
        if let Some(head) = trimmed.strip_prefix('#') {
            heading = head.trim_start_matches('#').trim().to_lowercase();
            lead.clear();
        } else if trimmed.starts_with('|') {
            push(&mut found, at + 1, trimmed, &heading, false, "");
        } else if let Some(item) = item {
            open = Some((at + 1, true, item.to_owned()));
        } else if !trimmed.is_empty() {
            match &mut open {
                Some((_, _, text)) => {
                    text.push(' ');
                    text.push_str(trimmed);
                }
                None => open = Some((at + 1, false, trimmed.to_owned())),
            }
        }
    }
    mark_damaged(&mut found);
    found
}

fn push(
    found: &mut Vec<Sentence>,
    line: usize,
    text: &str,
    heading: &str,
    is_item: bool,
    lead: &str,
) {
    // Control characters have no place in a comment of TOML, nor on a terminal.
    let text = text
        .replace("**", "")
        .replace(char::is_control, " ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let is_link = text.starts_with('[') && text.contains("]: ");
    if text.is_empty() || is_link {
        return;
    }
    found.push(Sentence {
        line,
        lower: text.to_lowercase(),
        text,
        heading: heading.to_owned(),
        is_item,
        is_damaged: false,
        before: lead.to_owned(),
    });
}

/// The text of an item: `- …`, `* …`, `1. …`.
fn item_of(line: &str) -> Option<&str> {
    let numbered = line.split_once(". ").filter(|(number, _)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let bullet = line.strip_prefix("- ").or_else(|| line.strip_prefix("* "));
    bullet.or(numbered.map(|(_, text)| text)).map(str::trim)
}

/// Sentences end with a full stop and a space.
fn cut(paragraph: &str) -> impl Iterator<Item = &str> {
    let mut rest = paragraph;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.match_indices(". ").map(|(at, _)| at + 1).find(|at| {
            // Not after an abbreviation such as "e.g.".
            !rest[..*at].ends_with("e.g.") && !rest[..*at].ends_with("i.e.")
        });
        let (sentence, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.trim_start();
        Some(sentence)
    })
}

/// Of items that follow one another and of which some begin with a capital, those that do not have lost their beginning.
fn mark_damaged(found: &mut [Sentence]) {
    let begins =
        |sentence: &Sentence, is: fn(char) -> bool| sentence.text.chars().next().is_some_and(is);
    let mut at = 0;
    while at < found.len() {
        let end = found[at..]
            .iter()
            .position(|sentence| !sentence.is_item)
            .map_or(found.len(), |len| at + len);
        let list = &mut found[at..end];
        if list.iter().any(|item| begins(item, char::is_uppercase)) {
            for item in list {
                item.is_damaged = begins(item, char::is_lowercase);
            }
        }
        at = end + 1;
    }
}

/// Addresses of e-mail, each once.
pub(super) fn mailboxes(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "@.-_+".contains(c);
    let words = text
        .split(|c: char| !is_part(c))
        .map(|word| word.trim_matches('.'));
    let mut found: Vec<String> = Vec::new();
    for word in words {
        let is_mailbox = word.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.contains('@') && !host.ends_with('.')
        });
        if is_mailbox && !found.iter().any(|other| other == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// The first web address.
pub(super) fn url(text: &str) -> Option<String> {
    let rest = &text[text.find("https://")?..];
    let end = rest
        .find(|c: char| c.is_whitespace() || ")>]\"'".contains(c))
        .unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches(['.', ',']).to_owned())
}

/// How long: the first number and its unit, as a clock has it.
pub(super) fn length(lower: &str) -> Option<String> {
    let mut words = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let number: u16 = words.by_ref().find_map(|word| word.parse().ok())?;
    match (words.next()?, words.next()) {
        ("business" | "working", Some(day)) if day.starts_with("day") => {
            Some(format!("{number}bd"))
        }
        (unit, _) if unit.starts_with("hour") => Some(format!("{number}h")),
        (unit, _) if unit.starts_with("day") => Some(format!("{number}d")),
        (unit, _) if unit.starts_with("week") => Some(format!("{}d", number.checked_mul(7)?)),
        _ => None,
    }
}

/// A day as people write it: `22 december 2023`, `December 22, 2023`, `2023-12-22`.
pub(super) fn date(lower: &str) -> Option<Date> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .collect();
    if let Some(day) = words.iter().find_map(|word| word.parse::<Date>().ok()) {
        return Some(day);
    }
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.windows(3).find_map(|three| {
        let (day, month, year) = match three[0].parse::<i8>() {
            Ok(day) => (day, three[1], three[2]),
            Err(_) => (three[1].parse().ok()?, three[0], three[2]),
        };
        let month = MONTHS.iter().position(|name| month.starts_with(name))?;
        Date::new(year.parse().ok()?, i8::try_from(month + 1).ok()?, day).ok()
    })
}
