//! Sealing and opening a large attachment, whole processes, beside age and rage.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use sealdrop_core::report::Attachment;
use sealdrop_open::{Attachments, Context, Identity, Keys};

use crate::process::{measure, median, myself, program, scratch};
use crate::site::{ORIGIN, Site, box_file};

pub(crate) fn run(quick: bool) -> Result<()> {
    let (len, rounds) = if quick { (256 << 20, 3) } else { (1 << 30, 5) };
    let dir = scratch()?;
    let path = |name: &str| dir.path().join(name);
    make_input(&path("input"), len)?;
    let mut site = Site::new();
    let roster = site.unserved_roster()?;
    std::fs::write(path("box.json"), box_file(&roster))?;
    std::fs::write(path("identity"), format!("{}\n", &*site.identity.to_age()))?;
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
    let recipient = site.identity.to_public().to_string();
    for (name, tool) in others() {
        let (input, recipient, sealer) = (path("input"), recipient.clone(), tool.clone());
        contest.add("seal", &format!("{name}, to /dev/null"), move || {
            let mut command = Command::new(&sealer);
            command
                .args(["-r", &recipient, "-o", "/dev/null"])
                .arg(&input);
            Ok(command)
        });
        let (drop, identity) = (path("drop.age"), path("identity"));
        contest.add("open", &format!("{name}, to /dev/null"), move || {
            let mut command = Command::new(&tool);
            command
                .arg("-d")
                .arg("-i")
                .arg(&identity)
                .args(["-o", "/dev/null"])
                .arg(&drop);
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

/// Go's age where it knows hybrid recipients, and rage. A tool that does not is left out by failing.
fn others() -> Vec<(String, PathBuf)> {
    let target = std::env::current_exe().unwrap_or_default();
    let unpacked = target
        .ancestors()
        .nth(2)
        .map(|target| target.join("tools/age/usr/bin/age"));
    let mut found = Vec::new();
    for tool in [Some("age".into()), unpacked, Some("rage".into())]
        .into_iter()
        .flatten()
    {
        let Ok(version) = Command::new(&tool).arg("--version").output() else {
            continue;
        };
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let program = tool.file_name().unwrap_or_default().to_string_lossy();
        let version = version.trim_start_matches(&*program).trim();
        found.push((format!("{program} {version}"), tool));
    }
    found
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
                let time = median(results.iter().map(|(time, _)| time.as_secs_f64()).collect());
                let peak = results.iter().map(|(_, peak)| *peak).max();
                match (time, peak, failure) {
                    (Some(time), Some(peak), None) => println!(
                        "{what}  {who:<34} {time:>7.2} s  {:>6.0} MiB/s  peak {:>6.1} MB",
                        len as f64 / f64::from(1 << 20) / time,
                        peak as f64 / 1e6
                    ),
                    (_, _, failure) => {
                        let why = failure.unwrap_or_default();
                        let why = why.lines().nth(1).unwrap_or(&why).to_owned();
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
