//! What a member writes: from a flag, a file, a text that is sent often, standard input, or an editor. While it waits for a person, the home
//! folder is not locked: what an agent sends, and when, must not depend on whether somebody writes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use rand_core::Rng as _;
use sealdrop_client::{show, system};
use sealdrop_core::encoding::{hex, is_handle};
use sealdrop_core::slip::message::MAX_MESSAGE;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::context::{Answer, usage};
use crate::home::{Home, new_file};

/// Where the text comes from.
#[derive(clap::Args)]
pub(crate) struct Words {
    /// The text
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Read the text from FILE; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    from: Option<PathBuf>,
    /// A text that you send often: `canned` lists those that you have
    #[arg(long, value_name = "NAME", conflicts_with_all = ["text", "from"])]
    canned: Option<String>,
    /// Write in $VISUAL or $EDITOR; what --text, --from or --canned gives is there to begin with
    #[arg(long)]
    edit: bool,
}

impl Words {
    /// The text, which may be empty.
    pub(crate) fn optional(&self, home: &Home) -> Result<String> {
        let given = self.given(home)?.unwrap_or_default();
        if self.edit {
            home.aside(|| edit(&given))?
        } else {
            Ok(given)
        }
    }

    /// The text, which there must be: if none was given, what stands on standard input or is written in an editor.
    pub(crate) fn required(&self, home: &Home) -> Result<String> {
        let text = match self.given(home)? {
            Some(text) if !self.edit => text,
            None if !self.edit && !io::stdin().is_terminal() => {
                let read = home.aside(|| read(&mut io::stdin().lock()))?;
                tidy(&read.context("cannot read standard input")?)
            }
            given => home.aside(|| edit(&given.unwrap_or_default()))??,
        };
        if text.is_empty() {
            usage!("there is no text: nothing was queued");
        }
        Ok(text)
    }

    /// The text of a flag.
    fn given(&self, home: &Home) -> Result<Option<String>> {
        let text = match (&self.text, &self.from, &self.canned) {
            (Some(text), ..) => text.clone(),
            (_, Some(path), _) if path == Path::new("-") => home
                .aside(|| read(&mut io::stdin().lock()))?
                .context("cannot read standard input")?,
            (_, Some(path), _) => fs::File::open(path)
                .and_then(|mut file| read(&mut file))
                .with_context(|| format!("cannot read {}", path.display()))?,
            (.., Some(name)) => canned(home, name)?,
            (None, None, None) => return Ok(None),
        };
        Ok(Some(tidy(&text)))
    }
}

/// The folder of the home folder with texts that are sent often, each in a file `NAME.txt`.
const CANNED: &str = "canned";

/// A text that is sent often.
fn canned(home: &Home, name: &str) -> Result<String> {
    let path = home.path(CANNED).join(format!("{name}.txt"));
    if !is_handle(name) {
        usage!(
            "--canned {}: one word of a-z, 0-9 and -, as `sealdrop-desk canned` lists them",
            show::line(name)
        );
    }
    match fs::File::open(&path) {
        Ok(mut file) => read(&mut file).with_context(|| format!("cannot read {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            usage!(
                "there is no text called {name}: write it to {}, or see `sealdrop-desk canned`",
                path.display()
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// `canned`: the texts that are sent often, each with its first line.
pub(crate) fn list_canned(home: &Home) -> Result<Answer> {
    let folder = home.path(CANNED);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", folder.display()));
        }
    };
    let mut texts = BTreeMap::new();
    for entry in entries.into_iter().flatten() {
        let file = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let file = file.file_name();
        let name = file.to_str().and_then(|name| name.strip_suffix(".txt"));
        if let Some(name) = name.filter(|name| is_handle(name)) {
            texts.insert(name.to_owned(), tidy(&canned(home, name)?));
        }
    }
    let widest = texts.keys().map(String::len).max().unwrap_or(0);
    let mut lines: Vec<String> = texts
        .iter()
        .map(|(name, text)| {
            let first = show::line(text.lines().next().unwrap_or_default());
            format!("{name:widest$}  {first}")
        })
        .collect();
    if texts.is_empty() {
        lines.push(format!(
            "There is none. Write one to {}, and send it with `reply N --canned thanks`.",
            folder.join("thanks.txt").display()
        ));
    }
    let json = json!({ "folder": folder, "texts": texts });
    Ok(Answer::new(json, lines.join("\n")))
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
