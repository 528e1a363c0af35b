//! Children: started, waited for until they are ready, looked at, and never left behind.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// One of the programs, as built beside this one.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not built: use `cargo xtask bench`", path.display());
    }
    Ok(path)
}

/// This program again.
pub(crate) fn myself(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

/// A folder on the disk that the build is on, not in memory; it goes with the value.
pub(crate) fn scratch() -> Result<tempfile::TempDir> {
    let target = std::env::current_exe()?.with_file_name("");
    Ok(tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(target)?)
}

/// A server that is ready; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// From spawning to the ready line.
    pub(crate) start: Duration,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let begun = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().context("it is piped")?);
        stdout.read_line(&mut line)?;
        let start = begun.elapsed();
        let Some(addr) = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("http://"))
        else {
            child.kill().ok();
            child.wait().ok();
            bail!("the server did not start");
        };
        let addr = addr.parse()?;
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        Ok(Self { child, addr, start })
    }

    pub(crate) fn status(&self, field: &str) -> Option<u64> {
        status(self.child.id(), field)
    }

    /// The processor time that it took so far, its own and the kernel's for it.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        cpu(self.child.id())
    }

    /// Makes the peak begin at what is in use now.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(path, "5").context("the peak of memory cannot be reset here")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A field of `/proc/PID/status` in bytes.
fn status(pid: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().ok()?;
    Some(kib * 1024)
}

/// The processor time of a process.
fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces. Times are in ticks, of which Linux has 100 a second.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

/// What a command took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    /// Of all of its threads.
    pub(crate) cpu: Duration,
    /// The peak of memory, in bytes.
    pub(crate) peak: u64,
}

/// Runs a command to its end.
pub(crate) fn measure(command: &mut Command) -> Result<Cost> {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let mut cost = Cost::default();
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // Both only grow, so the last look is off by no more than what the last milliseconds added.
        let peak = status(child.id(), "VmHWM").unwrap_or(0);
        cost.peak = cost.peak.max(peak);
        cost.cpu = cpu(child.id()).unwrap_or(cost.cpu).max(cost.cpu);
        std::thread::sleep(Duration::from_millis(2));
    };
    cost.time = begun.elapsed();
    if !ended.success() {
        let mut text = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut text).ok();
        }
        bail!("{command:?}: {ended}\n{text}");
    }
    Ok(cost)
}

/// Keeps the cores from falling asleep, with work that everything else comes before: waking a virtual core takes longer than a sync.
pub(crate) struct Awake(Vec<Child>);

impl Awake {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let spin = || {
            let me = std::env::current_exe().ok()?;
            let mut idle = Command::new("chrt");
            let idle = idle.args(["--idle", "0"]).arg(&me).arg("spin").spawn();
            idle.or_else(|_| {
                Command::new("nice")
                    .arg("-n19")
                    .arg(&me)
                    .arg("spin")
                    .spawn()
            })
            .ok()
        };
        Self((0..cores).filter_map(|_| spin()).collect())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Spins until killed, or until whoever started it is gone.
pub(crate) fn spin() -> Result<()> {
    let parent = || fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let parent = || parent().split(' ').nth(3).map(str::to_owned);
    let born_to = parent();
    while parent() == born_to {
        let look_again = Instant::now() + Duration::from_secs(1);
        while Instant::now() < look_again {
            std::hint::spin_loop();
        }
    }
    Ok(())
}

/// The middle one.
pub(crate) fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}
