//! Helpers for whole-system tests: the real binaries, folders that vanish, servers that are ready, and the tools
//! of others. [`bin`], [`Running::start`] and [`skip`] are the ones to know.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long anything may take before a test calls it hung.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests is a folder of the workspace")
        .into()
}

/// Where this build's files go.
fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The built binary of one of the workspace's programs, `sealdrop`, `sealdrop-server` or `sealdrop-desk`.
///
/// It is built first, unless `cargo xtask test` has done so and says so.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if std::env::var_os("SEALDROP_TEST_BUILT").is_some() {
            return;
        }
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([
            "build",
            "--quiet",
            "--bins",
            "-p",
            "sealdrop",
            "-p",
            "sealdrop-server",
            "-p",
            "sealdrop-desk",
        ]);
        let status = cargo.current_dir(root()).status().expect("cargo runs");
        assert!(status.success(), "the programs do not build");
    });
    let path = target().join("debug").join(name);
    assert!(path.exists(), "{} is not built", path.display());
    path
}

/// A command for [`bin`], without the caller's environment except `PATH`, `HOME` and `TMPDIR`.
#[must_use]
pub fn command(name: &str) -> Command {
    let mut command = Command::new(bin(name));
    command.env_clear().stdin(Stdio::null());
    for variable in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    command
}

/// Runs a command to its end and gives its standard output.
///
/// # Panics
/// With both outputs if it does not succeed.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}

/// A folder that vanishes with the value.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("sealdrop-test-")
        .tempdir()
        .expect("the temporary folder is writable")
}

/// Polls `condition` until it holds.
///
/// # Panics
/// Naming `what`, if it does not within [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_up_to(PATIENCE, what, condition);
}

/// Polls `condition` until it holds.
///
/// # Panics
/// Naming `what`, if it does not within `patience`.
#[track_caller]
pub fn wait_up_to(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < patience, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program in the background, killed when dropped.
pub struct Running {
    child: Child,
    output: Arc<Mutex<String>>,
    ready: String,
}

impl Running {
    /// Starts `command` and waits for a line of its standard output that contains `ready`.
    ///
    /// # Panics
    /// With all that it wrote, if it ends before, or takes longer than [`PATIENCE`].
    #[track_caller]
    pub fn start(command: &mut Command, ready: &str) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        let output = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let copy = output.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                append(&copy, &line);
                sender.send(line).ok();
            }
        });
        let copy = output.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                append(&copy, &line);
            }
        });
        let ready = wait_for_line(&lines, ready);
        let mut running = Self {
            child,
            output,
            ready: String::new(),
        };
        match ready {
            Ok(line) => running.ready = line,
            Err(why) => {
                running.child.kill().ok();
                let status = running.child.wait();
                assert!(
                    why.is_empty(),
                    "{command:?} {why}, {status:?}:\n{}",
                    running.output()
                );
            }
        }
        running
    }

    /// The line that said that it is ready.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.ready
    }

    /// The first `http://` or `https://` word of the ready line.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn origin(&self) -> String {
        let word = self
            .ready
            .split_whitespace()
            .find(|word| word.starts_with("http"));
        word.expect("the ready line names the origin")
            .trim_end_matches(['/', '.', ','])
            .into()
    }

    /// Everything written so far, standard output and error as they came.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().expect("no writer panics").clone()
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `SIGKILL`, and waits for the end.
    pub fn kill(mut self) {
        self.child.kill().expect("it is ours to kill");
        self.child.wait().expect("it is ours to wait for");
    }

    /// `SIGTERM`, and waits for the end.
    ///
    /// # Panics
    /// If it has not ended after [`PATIENCE`].
    #[track_caller]
    pub fn terminate(mut self) -> ExitStatus {
        succeed(Command::new("kill").args(["-TERM", &self.pid().to_string()]));
        let mut status = None;
        wait_until("the program stops on SIGTERM", || {
            status = self.child.try_wait().expect("it is ours to wait for");
            status.is_some()
        });
        status.expect("the loop ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn append(output: &Mutex<String>, line: &str) {
    let mut output = output.lock().expect("no writer panics");
    output.push_str(line);
    output.push('\n');
}

fn wait_for_line(lines: &Receiver<String>, ready: &str) -> Result<String, &'static str> {
    let end = Instant::now() + PATIENCE;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(ready) => return Ok(line),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return Err("is not ready"),
            Err(RecvTimeoutError::Disconnected) => return Err("ended before it was ready"),
        }
    }
}

/// A program of the machine, if it is on the path.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Go's age, 1.3 or later, which knows hybrid recipients: the one on the path, or what `cargo xtask tools` unpacked.
/// `age-keygen` lies beside it.
#[must_use]
pub fn go_age() -> Option<PathBuf> {
    let unpacked = target().join("tools/age/usr/bin/age");
    tool("age").into_iter().chain([unpacked]).find(|age| {
        let output = Command::new(age).arg("--version").output();
        let version = output
            .ok()
            .and_then(|output| String::from_utf8(output.stdout).ok())
            .unwrap_or_default();
        let mut parts = version
            .trim()
            .trim_start_matches('v')
            .split(['.', '-'])
            .map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 3)
    })
}

/// The folder with typage and C2SP's vectors in its `node_modules`, if Node and they are there.
#[must_use]
pub fn node() -> Option<PathBuf> {
    let dir = root().join("tests/node");
    (tool("node").is_some() && dir.join("node_modules/age-encryption").is_dir()).then_some(dir)
}

/// The folder with Python's `sectxt`, if `cargo xtask tools` unpacked it.
#[must_use]
pub fn sectxt() -> Option<PathBuf> {
    let dir = target().join("tools/sectxt");
    (tool("python3").is_some() && dir.join("sectxt").is_dir()).then_some(dir)
}

/// Says, loudly, that a test could not do its work on this machine. `cargo xtask test` counts and prints it at the end.
pub fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    if let Some(path) = std::env::var_os("SEALDROP_TEST_SKIPS") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("xtask made the file");
        writeln!(file, "{test}: {why}").expect("xtask made the file");
    }
}

/// The Rust files in a folder and below.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder is readable").path());
    let files = paths.flat_map(|path| {
        if path.is_dir() {
            rust_files(&path)
        } else {
            vec![path]
        }
    });
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
