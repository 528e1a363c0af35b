//! What a member writes: from a flag, a file, standard input, or an editor.

use std::fs;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use rand_core::Rng as _;
use sealdrop_client::system;
use sealdrop_core::encoding::hex;
use sealdrop_core::slip::message::MAX_MESSAGE;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::context::usage;
use crate::home::new_file;

/// Where the text comes from.
#[derive(clap::Args)]
pub(crate) struct Words {
    /// The text
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Read the text from FILE; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    from: Option<PathBuf>,
    /// Write in $VISUAL or $EDITOR; what --text or --from gives is there to begin with, for texts that you send often
    #[arg(long)]
    edit: bool,
}

impl Words {
    /// The text, which may be empty.
    pub(crate) fn optional(&self) -> Result<String> {
        let given = self.given()?;
        if self.edit { edit(&given) } else { Ok(given) }
    }

    fn given(&self) -> Result<String> {
        let text = match (&self.text, &self.from) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) if path == Path::new("-") => {
                read(&mut io::stdin().lock()).context("cannot read standard input")?
            }
            (None, Some(path)) => fs::File::open(path)
                .and_then(|mut file| read(&mut file))
                .with_context(|| format!("cannot read {}", path.display()))?,
            (None, None) => String::new(),
        };
        Ok(tidy(&text))
    }

    /// The text, which there must be: if none was given, what stands on standard input or is written in an editor.
    pub(crate) fn required(&self) -> Result<String> {
        let text = if self.edit || self.text.is_some() || self.from.is_some() {
            self.optional()?
        } else if io::stdin().is_terminal() {
            edit("")?
        } else {
            tidy(&read(&mut io::stdin().lock()).context("cannot read standard input")?)
        };
        if text.is_empty() {
            usage!("there is no text: nothing was queued");
        }
        Ok(text)
    }
}

/// Without white space at its end or empty lines at its beginning.
fn tidy(text: &str) -> String {
    let text = text.trim_end();
    text.trim_start_matches(['\n', '\r']).to_owned()
}

/// At most one byte more than a message can have, so that a longer one is refused and not cut.
fn read(from: &mut impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MAX_MESSAGE as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Lets the person write in their editor. The text is in a folder of their own, in memory where the system has such a place, and gone afterwards.
fn edit(text: &str) -> Result<String> {
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| {
        let value = std::env::var(name).ok();
        value.filter(|value| !value.trim().is_empty())
    });
    let Some(editor) = editor else {
        usage!(
            "there is no text: give it with --text or --from, or set EDITOR, for instance EDITOR=nano"
        );
    };
    // From before there is anything to remove until it is removed, no signal ends this program.
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))
            .context("cannot prepare for the editor")?;
    }
    crate::stop::stand_down();
    let folder = PrivateFolder::create()?;
    let path = folder.0.join("answer.txt");
    new_file(&path)
        .and_then(|mut file| writeln!(file, "{text}"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or_default();
    let status = Command::new(program).args(words).arg(&path).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => bail!("the editor {program} ended with an error: nothing was queued"),
        Err(error) => usage!("the editor {program} cannot be run ({error}): set EDITOR to another"),
    }
    if stopped.load(Ordering::SeqCst) {
        bail!("stopped: nothing was queued");
    }
    // Editors may write another file under the name; so it is opened anew.
    fs::File::open(&path)
        .and_then(|mut file| read(&mut file))
        .map(|text| tidy(&text))
        .with_context(|| format!("cannot read {}", path.display()))
}

/// A folder that nobody else can enter, removed with all that an editor leaves in it.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn create() -> Result<Self> {
        let in_memory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let mut random = [0; 8];
        system::rng().fill_bytes(&mut random);
        let path = in_memory
            .filter(|path| path.is_dir())
            .unwrap_or_else(std::env::temp_dir)
            .join(format!("sealdrop-desk-{}", hex(&random)));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
