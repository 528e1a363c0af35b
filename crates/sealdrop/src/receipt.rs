//! The promise that comes back, and what is kept of it.

use std::path::Path;

use sealdrop_client::{ClientError, Sent, VerifiedBox, system};
use sealdrop_core::address::Address;
use sealdrop_core::log::promise::{Promise, PromiseError};
use sealdrop_core::log::saved::SavedReceipt;
use sealdrop_core::note::Note;

use crate::failure::Failure;
use crate::output::{Output, Style, shown_lines};
use sealdrop_client::show;

/// Believes a promise: signed by the roster's log key, for the bytes sent, for now. docs/protocol.md, "Promise".
///
/// A clock may be wrong by a day, so a promise for another time within one is believed, and said to be one.
pub(crate) fn verify_promise(
    sent: &Sent,
    the_box: &VerifiedBox,
    output: &Output,
) -> Result<Promise, Failure> {
    let (roster, now) = (the_box.roster(), system::now());
    let length = roster.window_length();
    let verified = Promise::verify(&sent.promise, roster.log_key()).and_then(|promise| {
        match promise.check(&sent.digest, sent.size, roster.window(now)) {
            Err(PromiseError::BackDated) if promise.is_near(length, now) => {
                output.note(&format!(
                    "{} the promise is for the window that ends on {}, and this machine's clock says {}. Set the clock; if it is right, the server dates \
                     its promises wrongly: tell the project.",
                    output.err(Style::Yellow, "Another time:"),
                    due(&promise, length),
                    show::minute(now),
                ));
                Ok(promise)
            }
            checked => checked.map(|()| promise),
        }
    });
    verified.map_err(|error| {
        let failure = Failure::refused(format!("the server took the drop, but what it answered is no promise for it: {error}"));
        match error {
            PromiseError::BackDated => failure.hint(format!(
                "if this drop was posted before, check it with the receipt of then; otherwise set this machine's clock (it says {}), \
                 or tell the project that its server back-dates",
                show::minute(system::now())
            )),
            _ => failure.hint("do not count on it: tell the project, by another way than this server, what it answered"),
        }
    })
}

/// What it means that the server took the drop, and that nothing came with that which could be a promise.
pub(crate) fn no_promise(error: &ClientError) -> Failure {
    Failure::refused(format!(
        "the server took the drop, but what it answered is no promise for it: {error}"
    ))
    .hint("do not count on it: tell the project, by another way than this server")
}

/// The receipt file of a drop.
pub(crate) fn saved(address: &Address, sent: &Sent, the_box: &VerifiedBox) -> SavedReceipt {
    SavedReceipt {
        address: address.to_string(),
        promise: sent.promise.clone(),
        roster: the_box.roster().note().clone(),
    }
}

/// The most bytes that a receipt to this roster is going to need: two notes as JSON, of which the promise is a short one.
pub(crate) fn room(the_box: &VerifiedBox) -> usize {
    2 * the_box.roster().note().to_string().len() + (16 << 10)
}

/// What an answer is when it is in no file.
pub(crate) fn shown_promise(promise: &Note) -> String {
    format!(
        "\nWhat the server answered, which is the evidence; keep it:\n\n{}",
        shown_lines(&promise.to_string(), "    ")
    )
}

/// The phrase with its warning, shown once.
pub(crate) fn phrase_text(words: &str, output: &Output) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let lines: String = words
        .chunks(6)
        .map(|line| format!("    {}\n", output.out(Style::Bold, &line.join(" "))))
        .collect();
    format!(
        "Your phrase, shown this once:\n\n{lines}\n\
         Write it down and keep it from others. It is the only key to this conversation:\n\
         whoever has it can read the answers and write as you, and without it nobody can,\n\
         you included. It is stored nowhere and cannot be recovered.\n"
    )
}

/// Where the file key is, and what it is for.
pub(crate) fn key_text(path: &Path) -> String {
    format!(
        "Its secret part: {} (whoever has it can read this report; keep it apart)\n",
        path.display()
    )
}

/// What a window is to people.
pub(crate) fn due(promise: &Promise, window_length: u64) -> String {
    show::minute(promise.leaf().window.end(window_length))
}
