//! Running the programs, and showing it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::words;

/// The folder in which it all happens, and the number of the scene.
pub(crate) struct Stage {
    dir: PathBuf,
    scene: usize,
}

impl Stage {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        // Built here, before the first heading, since it may take a minute.
        for name in ["sealdrop", "sealdrop-server", "sealdrop-desk"] {
            let _ = sealdrop_tests::bin(name);
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            scene: 0,
        })
    }

    pub(crate) fn heading(&mut self, text: &str) {
        self.scene += 1;
        println!("\n{}. {text}\n", self.scene);
    }

    /// The reporter's program.
    pub(crate) fn reporter(&self, arguments: &[&str]) -> Result<String> {
        self.show("sealdrop", arguments)
    }

    /// The maintainer's program.
    pub(crate) fn desk(&self, arguments: &[&str]) -> Result<String> {
        self.show("sealdrop-desk", &desk(arguments))
    }

    /// The maintainer's program, for its answer.
    pub(crate) fn desk_json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let output = self.quiet(
            "sealdrop-desk",
            &[&desk(arguments)[..], &["--json"]].concat(),
        )?;
        serde_json::from_str(&output).with_context(|| format!("not JSON: {output}"))
    }

    /// Runs a program, shows the command and what it printed, and gives what it answered.
    fn show(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(program, arguments);
        println!("$ {}", words(&command));
        let output = command.output().context("cannot start it")?;
        let answer = String::from_utf8_lossy(&output.stdout);
        println!("{}{answer}", String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "that failed: {}", output.status);
        Ok(answer.into_owned())
    }

    /// Runs a program and gives what it printed.
    pub(crate) fn quiet(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(program, arguments);
        let output = command.output().context("cannot start it")?;
        if !output.status.success() {
            bail!(
                "{}: {}\n{}",
                words(&command),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = sealdrop_tests::command(program);
        command.args(arguments).current_dir(&self.dir);
        command
    }

    /// Starts the server in the background and waits until it is ready.
    pub(crate) fn serve(&self, box_key: &str) -> Result<Server> {
        let arguments = [
            "--data",
            "server",
            "--box",
            box_key,
            "--listen",
            "127.0.0.1:0",
        ];
        let mut command = self.command("sealdrop-server", &arguments);
        println!("$ {} &", words(&command));
        let log = self.dir.join("server.log");
        let file = File::create(&log)?;
        // A group of its own: Ctrl-C here is not meant for a server that is to stay.
        command
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        let child = command.spawn().context("cannot start the server")?;
        let mut server = Server {
            child: Some(child),
            origin: String::new(),
        };
        poll("the server is ready", || {
            let text = fs::read_to_string(&log)?;
            let origin = text
                .split_whitespace()
                .find(|word| word.starts_with("http://127.0.0.1:"));
            if let (Some(origin), true) = (origin, text.ends_with('\n')) {
                server.origin = origin.trim_end_matches(['/', '.', ',']).to_owned();
            } else if let Some(status) = server
                .child
                .as_mut()
                .and_then(|child| child.try_wait().transpose())
            {
                bail!("the server ended, {}:\n{text}", status?);
            }
            Ok(!server.origin.is_empty())
        })?;
        println!("{}", fs::read_to_string(&log)?);
        Ok(server)
    }
}

fn desk<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [
        &["--home", "desk", "--passphrase-file", "passphrase"],
        arguments,
    ]
    .concat()
}

/// A server in the background: ended with the value, unless it is to stay.
pub(crate) struct Server {
    child: Option<Child>,
    origin: String,
}

impl Server {
    /// Where it is, with the port that it was given.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Leaves it running; its process id.
    pub(crate) fn keep(mut self) -> u32 {
        self.child.take().map_or(0, |child| child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Asks again until it holds, for at most a minute.
pub(crate) fn poll(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !holds()? {
        if start.elapsed() > Duration::from_secs(60) {
            bail!("waited a minute in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
