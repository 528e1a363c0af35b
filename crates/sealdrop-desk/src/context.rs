//! What every command has at hand, and what it gives back.

use std::fmt;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::home::Home;
use crate::text;

/// The options that stand before or behind every command.
pub(crate) struct Context {
    /// The home folder.
    pub(crate) home: PathBuf,
    /// Where the passphrase is read from, if not from the terminal.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// How to reach the server.
    pub(crate) proxy: Option<String>,
    /// Who may certify the server's name, if not the web's authorities.
    pub(crate) roots: Option<PathBuf>,
    /// Print JSON, and nothing meant for eyes.
    pub(crate) json: bool,
    /// Set when what is under way with the server is to end.
    pub(crate) cancelled: Arc<AtomicBool>,
}

impl Context {
    /// Whether bars and remarks may be written to standard error.
    pub(crate) fn is_chatty(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// A remark that is no part of the answer: what is being waited for, a warning.
    pub(crate) fn remark(&self, text: impl fmt::Display) {
        if !self.json {
            let text = text::fit(&text.to_string(), &std::io::stderr());
            eprintln!("{text}");
        }
    }

    /// Asks before something that cannot be taken back; `yes` says that it was answered on the command line. Others may use `home` meanwhile
    /// ([`Home::aside`]).
    pub(crate) fn confirm(&self, home: &Home, question: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        if self.json || !std::io::stdin().is_terminal() {
            usage!("there is nobody to ask: say --yes if it is right; nothing was done");
        }
        let mut answer = String::new();
        let asked = home.aside(|| {
            eprint!("{question} [y/N] ");
            std::io::stdin().read_line(&mut answer)
        })?;
        asked.context("cannot read the answer")?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("stopped by you: nothing was done");
        }
        Ok(())
    }
}

/// What a command found or did: the same for programs and for people.
pub(crate) struct Answer {
    /// Printed with `--json`. Null if everything was printed before.
    pub(crate) json: Value,
    /// Printed otherwise.
    pub(crate) text: String,
    /// The command worked, and what it found asks for attention: exit code 1.
    pub(crate) failed: bool,
    /// The text is for another program, or to be copied: its lines are not broken on a terminal.
    pub(crate) is_verbatim: bool,
}

impl Answer {
    /// An answer that needs no attention.
    pub(crate) fn new(json: Value, text: impl Into<String>) -> Self {
        Self {
            json,
            text: text.into(),
            failed: false,
            is_verbatim: false,
        }
    }

    /// The same with lines that stay whole.
    pub(crate) fn verbatim(json: Value, text: impl Into<String>) -> Self {
        Self {
            is_verbatim: true,
            ..Self::new(json, text)
        }
    }
}

impl Answer {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.failed {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }
}

/// A mistake in what was typed: exit code 2, where everything else is 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// `anyhow::bail!` for [`Usage`].
macro_rules! usage {
    ($($arg:tt)*) => { return Err($crate::context::Usage(format!($($arg)*)).into()) };
}
pub(crate) use usage;

/// Bold on a terminal, plain elsewhere.
pub(crate) fn heading(text: &str) -> String {
    let colour = std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    if colour {
        format!("\x1b[1m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
