//! Asking for the twelve words, which are never shown, never an argument, and never written down by the program.

use std::io::Read as _;
use std::path::Path;

use sealdrop_core::phrase::{Phrase, PhraseError};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files;
use crate::output::Output;
use crate::prompt;

/// The longest file that holds a phrase: twelve words and much white space.
const MAX_PHRASE: usize = 4_096;
const WORDS: usize = 12;

/// The phrase from a file or standard input (`-`), or from the person in front of the program.
pub(crate) fn get(file: Option<&Path>, output: &Output) -> Result<Phrase, Failure> {
    match file {
        Some(path) => read(path),
        None if prompt::is_possible() => ask(prompt::ask_hidden, output),
        None => Err(
            Failure::usage("there is no terminal to ask for the phrase on").hint(
                "give a file with --phrase-file, or - for standard input; never as an argument, which others on this machine can read",
            ),
        ),
    }
}

fn read(path: &Path) -> Result<Phrase, Failure> {
    let bytes = Zeroizing::new(if path == Path::new("-") {
        let mut bytes = Vec::with_capacity(MAX_PHRASE + 1);
        let read = std::io::stdin()
            .lock()
            .take(MAX_PHRASE as u64 + 1)
            .read_to_end(&mut bytes);
        read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
        bytes
    } else {
        files::read(path, MAX_PHRASE)?
    });
    let name = if path == Path::new("-") {
        "standard input".into()
    } else {
        path.display().to_string()
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Phrase::parse(text).map_err(|error| {
        Failure::usage(format!("{name} holds no phrase: {error}"))
            .hint("it is to hold the twelve words and nothing else; compare them with what you wrote down")
    })
}

/// Asks until there are twelve words that belong together: one by one, or any number at once, as a paste of several lines comes.
fn ask(
    mut hidden: impl FnMut(&str) -> Result<Zeroizing<String>, Failure>,
    output: &Output,
) -> Result<Phrase, Failure> {
    output.note("Your phrase: type or paste the twelve words, one by one or all at once. They are not shown.");
    let mut words: Vec<Zeroizing<String>> = Vec::with_capacity(WORDS);
    loop {
        let typed = hidden(&format!("Word {} of {WORDS}:", words.len() + 1))?;
        for word in typed.split_whitespace() {
            if let Some(nearest) = unknown(word) {
                output.note(&format!(
                    "Word {} is not in the word list; the nearest is \u{201c}{nearest}\u{201d}. Type it again.",
                    words.len() + 1
                ));
                break;
            }
            words.push(Zeroizing::new(word.to_owned()));
        }
        if words.len() < WORDS {
            continue;
        }
        let joined: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
        match Phrase::parse(&Zeroizing::new(joined.join(" "))) {
            Ok(phrase) => return Ok(phrase),
            Err(error) => output.note(&format!(
                "That is not a phrase: {error}. Once more, from the first word."
            )),
        }
        words.clear();
    }
}

/// The nearest word of the list, for one that is not in it.
fn unknown(word: &str) -> Option<&'static str> {
    match Phrase::parse(&Zeroizing::new([word; WORDS].join(" "))) {
        Err(PhraseError::UnknownWord { nearest, .. }) => Some(nearest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "legal winner thank year wave sausage worth useful legal winner thank yellow";

    /// What is asked for, in order, when this is typed.
    fn asked(typed: &[&str]) -> Vec<String> {
        let (mut asked, mut typed) = (Vec::new(), typed.iter());
        let hidden = |question: &str| {
            asked.push(question.to_owned());
            let next = typed.next().ok_or_else(|| Failure::refused("no more"))?;
            Ok(Zeroizing::new((*next).to_owned()))
        };
        let phrase = ask(hidden, &Output::new(false)).unwrap();
        assert_eq!(*phrase.words(), GOOD);
        asked
    }

    #[test]
    fn a_phrase_is_typed_word_by_word_or_pasted_in_any_pieces() {
        let words: Vec<&str> = GOOD.split(' ').collect();
        assert_eq!(asked(&words)[11], "Word 12 of 12:");
        assert_eq!(asked(&[&GOOD.to_uppercase()]).len(), 1);
        let (first, second) = GOOD.split_at(GOOD.find("worth").unwrap());
        assert_eq!(asked(&[first, "", second])[2], "Word 7 of 12:");
    }

    #[test]
    fn a_wrong_word_is_asked_for_again_and_a_wrong_checksum_from_the_first() {
        let (before, after) = GOOD.split_once("sausage").unwrap();
        let typed = [&format!("{before} sausge {after}"), "sausage", after];
        assert_eq!(asked(&typed)[1], "Word 6 of 12:");
        assert_eq!(unknown("sausge"), Some("sausage"));
        let swapped = GOOD.replace("yellow", "year");
        assert_eq!(asked(&[&swapped, GOOD])[1], "Word 1 of 12:");
        assert_eq!(asked(&[&format!("{GOOD} year"), GOOD])[1], "Word 1 of 12:");
    }
}
