//! Sealing and opening a large attachment, whole processes, beside age and rage.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sealdrop_core::report::Attachment;
use sealdrop_open::{Attachments, Context, Identity, Keys};

use crate::process::{Cost, measure, median, myself, program, scratch};
use crate::site::{ORIGIN, Site, box_file};

pub(crate) fn run(quick: bool) -> Result<()> {
    let (len, rounds) = if quick { (256 << 20, 3) } else { (1 << 30, 5) };
    let dir = scratch()?;
    let path = |name: &str| dir.path().join(name);
    make_input(&path("input"), len)?;
    let mut site = Site::new();
    let roster = site.unserved_roster()?;
    std::fs::write(path("box.json"), box_file(&roster))?;
    let mut sealed = BufWriter::new(File::create(path("drop.age"))?);
    site.seal(&roster, File::open(path("input"))?, len, &mut sealed)?;
    sealed.flush()?;

    let mut contest = Contest::default();
    let input = path("input");
    contest.add("seal", "sealdrop's sealer, to /dev/null", move || {
        let mut command = myself(&["seal-null"])?;
        command.arg(&input);
        Ok(command)
    });
    let address = format!("{ORIGIN}#{}", site.secret.to_public());
    let (input, box_json, out) = (path("input"), path("box.json"), path("out.drop"));
    contest.add("seal", "sealdrop seal, to a file", move || {
        std::fs::remove_file(&out).ok();
        let mut command = Command::new(program("sealdrop")?);
        command.args(["seal", &address, "--title", "t", "--description", "d"]);
        command.args([
            "--steps",
            "s",
            "--versions",
            "v",
            "--credit",
            "none",
            "--yes",
        ]);
        command
            .arg("--box")
            .arg(&box_json)
            .arg("--attach")
            .arg(&input);
        command.arg("--output").arg(&out);
        Ok(command)
    });
    let drop = path("drop.age");
    contest.add("open", "sealdrop's opener, to /dev/null", move || {
        let mut command = myself(&["open-null"])?;
        command.arg(&drop);
        Ok(command)
    });
    for other in others(dir.path(), &site, &path("input")) {
        let (name, tool) = (other.name, other.tool);
        let (input, recipient, sealer) = (path("input"), other.recipient, tool.clone());
        contest.add("seal", &format!("{name}, to /dev/null"), move || {
            let mut command = Command::new(&sealer);
            command.args(["-r", &recipient, "-o", "/dev/null"]);
            command.arg(&input);
            Ok(command)
        });
        contest.add("open", &format!("{name}, to /dev/null"), move || {
            let mut command = Command::new(&tool);
            command.arg("-d").arg("-i").arg(&other.identity);
            command.args(["-o", "/dev/null"]).arg(&other.sealed);
            Ok(command)
        });
    }
    println!(
        "An attachment of {} MiB, whole processes, medians of {rounds}, in turns",
        len >> 20
    );
    contest.run(rounds, len);
    println!("aim: sealing to /dev/null at least as fast as Go's age, at most 16 MB of memory");
    Ok(())
}

/// Another implementation of age, with what it opens.
struct Other {
    name: String,
    tool: PathBuf,
    recipient: String,
    identity: PathBuf,
    sealed: PathBuf,
}

/// Go's age and rage, where installed. Those that do not know hybrid recipients get a classic one: it changes the header alone.
fn others(dir: &Path, site: &Site, input: &Path) -> Vec<Other> {
    let me = std::env::current_exe().unwrap_or_default();
    let unpacked = me
        .ancestors()
        .nth(2)
        .map(|target| target.join("tools/age/usr/bin/age"));
    let tools = [unpacked, Some("age".into()), Some("rage".into())];
    let found = tools.into_iter().flatten().enumerate();
    found
        .filter_map(|(n, tool)| {
            let version = stdout(Command::new(&tool).arg("--version"))?;
            let program = tool.file_name()?.to_string_lossy().into_owned();
            let version = version.trim().trim_start_matches(&*program).trim();
            let (identity, sealed) = (
                dir.join(format!("identity{n}")),
                dir.join(format!("sealed{n}")),
            );
            let hybrid = site.identity.to_public().to_string();
            let seal = |recipient: &str| {
                let mut seal = Command::new(&tool);
                seal.args(["-r", recipient, "-o"]).arg(&sealed).arg(input);
                stdout(&mut seal).is_some()
            };
            let (kind, recipient) = if seal(&hybrid) {
                std::fs::write(&identity, format!("{}\n", &*site.identity.to_age())).ok()?;
                ("hybrid", hybrid)
            } else {
                let keygen = tool.with_file_name(format!("{program}-keygen"));
                let key = stdout(&mut Command::new(keygen))?;
                std::fs::write(&identity, &key).ok()?;
                let public = key
                    .lines()
                    .find_map(|line| line.strip_prefix("# public key: "))?;
                ("classic", public.to_owned())
            };
            (kind == "hybrid" || seal(&recipient)).then_some(Other {
                name: format!("{program} {version} ({kind})"),
                tool,
                recipient,
                identity,
                sealed,
            })
        })
        .collect()
}

/// What a command that succeeds prints.
fn stdout(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

type Make = Box<dyn Fn() -> Result<Command>>;

#[derive(Default)]
struct Contest(Vec<(&'static str, String, Make)>);

impl Contest {
    fn add(&mut self, what: &'static str, who: &str, make: impl Fn() -> Result<Command> + 'static) {
        self.0.push((what, who.to_owned(), Box::new(make)));
    }

    fn run(&self, rounds: usize, len: u64) {
        for what in ["seal", "open"] {
            let entrants: Vec<_> = self.0.iter().filter(|(w, ..)| *w == what).collect();
            let mut results = vec![Vec::new(); entrants.len()];
            let mut failures = vec![None; entrants.len()];
            for _ in 0..rounds {
                for (index, (_, _, make)) in entrants.iter().enumerate() {
                    match make().and_then(|mut command| measure(&mut command)) {
                        Ok(result) => results[index].push(result),
                        Err(error) => failures[index] = Some(error.to_string()),
                    }
                }
            }
            for (((_, who, _), results), failure) in entrants.iter().zip(results).zip(failures) {
                let of = |field: fn(&Cost) -> Duration| {
                    let values = results.iter().map(|cost| field(cost).as_secs_f64());
                    median(values.collect())
                };
                let peak = results.iter().map(|cost| cost.peak).max();
                match (of(|cost| cost.time), peak, failure) {
                    (Some(time), Some(peak), None) => println!(
                        "{what}  {who:<34} {time:>7.2} s  {:>6.0} MiB/s  {:>6.2} s of cpu  peak {:>6.1} MB",
                        len as f64 / f64::from(1 << 20) / time,
                        of(|cost| cost.cpu).unwrap_or(0.0),
                        peak as f64 / 1e6
                    ),
                    (_, _, failure) => {
                        let why = failure.unwrap_or_default();
                        let why = why.lines().nth(1).unwrap_or(&why);
                        println!("{what}  {who:<34} not measured: {why}");
                    }
                }
            }
        }
    }
}

/// Bytes that do not compress, and that stay in the page cache.
fn make_input(path: &Path, len: u64) -> Result<()> {
    let mut block = vec![0; 1 << 20];
    let mut state = 1_u64;
    for eight in block.chunks_exact_mut(8) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        eight.copy_from_slice(&state.to_le_bytes());
    }
    let mut file = File::create(path)?;
    for _ in 0..len >> 20 {
        file.write_all(&block)?;
    }
    Ok(())
}

/// The sealer alone, as `sealdrop submit` has it between a file and the network.
pub(crate) fn seal_to_nowhere(input: &str) -> Result<()> {
    let mut site = Site::new();
    let roster = site.unserved_roster()?;
    let file = File::open(input)?;
    let len = file.metadata()?.len();
    let mut out = File::options().write(true).open("/dev/null")?;
    site.seal(&roster, file, len, &mut out)
}

/// The opener alone, as `sealdrop-desk open` has it between a drop and the attachments' files.
pub(crate) fn open_to_nowhere(drop: &str) -> Result<()> {
    let mut site = Site::new();
    let roster = site.unserved_roster()?;
    let file = File::open(drop)?;
    let len = file.metadata()?.len();
    let identity = [Identity::new(&site.identity)];
    let context = Context {
        box_key: &site.secret.to_public(),
        roster: &|_| Some(roster.clone()),
    };
    let file = BufReader::new(file);
    let opened = sealdrop_open::open(
        file,
        len,
        Keys::Identities(&identity),
        &context,
        &mut Nowhere,
    )?;
    opened
        .report
        .attachments
        .first()
        .context("it has one")
        .map(drop_it)
}

fn drop_it(_: &Attachment) {}

struct Nowhere;

impl Attachments for Nowhere {
    fn writer(
        &mut self,
        _: usize,
        _: &str,
        _: &Attachment,
    ) -> io::Result<Option<Box<dyn Write + '_>>> {
        Ok(Some(Box::new(
            File::options().write(true).open("/dev/null")?,
        )))
    }
}
