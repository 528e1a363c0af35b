//! Passphrases: asked hidden on the terminal, or read from a file; never from the command line or the environment's values.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use zeroize::Zeroizing;

use crate::context::{Context, usage};
use crate::home::Home;

/// A shorter passphrase is refused: whoever copies the keyring tries them all.
const LEAST: usize = 8;
/// A shorter one is remarked upon.
const GOOD: usize = 16;

/// The passphrase of an existing file.
pub(crate) fn passphrase(context: &Context, prompt: &str) -> Result<Zeroizing<String>> {
    match &context.passphrase_file {
        Some(file) => read(file),
        None => ask(prompt),
    }
}

/// A passphrase for a new file: typed twice.
pub(crate) fn new_passphrase(context: &Context) -> Result<Zeroizing<String>> {
    let passphrase = match &context.passphrase_file {
        Some(file) => read(file)?,
        None => {
            let first = ask("New passphrase for the keyring, for instance six random words: ")?;
            if *first != *ask("The same again: ")? {
                bail!("the two passphrases differ: start again, nothing was written");
            }
            first
        }
    };
    if passphrase.is_empty() {
        bail!("the passphrase is empty: choose one, for instance six random words");
    }
    let length = passphrase.chars().count();
    if length < LEAST {
        bail!(
            "a passphrase this short ({length}) is soon guessed by whoever copies the keyring: choose a longer one, for instance six random words"
        );
    }
    if length < GOOD {
        context.remark("This passphrase is short. It is all that protects the keys from whoever copies the keyring: six random words are better.");
    }
    Ok(passphrase)
}

/// The first line of a file that holds a secret.
pub(crate) fn read(file: &Path) -> Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(file);
    let text = Zeroizing::new(
        text.with_context(|| format!("cannot read the passphrase file {}", file.display()))?,
    );
    Ok(Zeroizing::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

/// Asks on the terminal, without echo.
pub(crate) fn ask(prompt: &str) -> Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        usage!(
            "there is no terminal to ask for the passphrase: give it with --passphrase-file FILE"
        );
    }
    let typed = rpassword::prompt_password(prompt)
        .context("cannot ask for the passphrase on this terminal")?;
    Ok(Zeroizing::new(typed))
}

/// Goes on only if one of `accepted` is typed on the terminal. What is asked goes to standard error. Others may use `home` meanwhile ([`Home::aside`]).
pub(crate) fn confirm(home: &Home, question: &str, accepted: &[&str]) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        eprintln!("{question}");
        usage!("there is no terminal to ask on: if you are sure, run this again with --yes");
    }
    let mut typed = String::new();
    let asked = home.aside(|| {
        eprint!("{question}");
        std::io::stdin().read_line(&mut typed)
    })?;
    asked.context("cannot ask on this terminal")?;
    if !accepted.contains(&typed.trim()) {
        bail!("not confirmed: nothing was changed");
    }
    Ok(())
}
