//! `policy`: a SECURITY.md that runs. docs/policy.md.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use sealdrop_client::{show, system};
use sealdrop_core::address::Address;
use sealdrop_core::roster::MAX_LIFE;
use sealdrop_core::time::Time;
use sealdrop_policy::import::import;
use sealdrop_policy::render::Served;
use sealdrop_policy::{Finding, MAX_POLICY, Policy, Severity, Surroundings};
use serde_json::json;

use crate::context::{Answer, Context};
use crate::home::{Home, check_free, unwritable};
use crate::interview::interview;
use crate::keys;

/// What to do with a policy.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Write a new policy from a few questions
    New {
        /// The file; one that is there is not replaced
        #[arg(default_value = "policy.toml")]
        file: PathBuf,
    },
    /// Check a policy: what cannot be kept, and what will disappoint somebody
    ///
    /// Every finding has a line, a column, a reason, and what mends it. Errors are what `publish --policy` refuses; warnings are not.
    Lint {
        /// The policy
        file: PathBuf,
    },
    /// Write SECURITY.md, security.txt (RFC 9116) and a code of the drop address from a policy
    Render(Box<Render>),
    /// Draft a policy from a SECURITY.md in prose
    ///
    /// Every line of the draft names the line that it was guessed from. What is damaged, missing or was not understood is listed, and never completed.
    Import {
        /// The prose, in Markdown
        file: PathBuf,
        /// The draft; without it it goes to standard output. A file that is there is not replaced
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// What a new policy says otherwise than an old one
    Diff {
        /// The old one
        before: PathBuf,
        /// The new one
        after: PathBuf,
    },
    /// The JSON Schema of policy.toml, for editors
    Schema,
}

/// What is written, and where.
#[derive(clap::Args)]
pub(crate) struct Render {
    /// The policy
    file: PathBuf,
    /// The folder; without it SECURITY.md goes to standard output. What is there and differs is not replaced without --force
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace what is there
    #[arg(long, requires = "out")]
    force: bool,
    /// Write nothing: fail if what is in DIR is not what would be written. For a project's tests
    #[arg(long, requires = "out", conflicts_with = "force")]
    check: bool,
    /// The drop address, if it is not that of this desk
    #[arg(long, value_name = "ADDRESS")]
    address: Option<Address>,
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<Answer> {
    // A policy can be worked on before there is a box.
    let address = || {
        let home = Home::open(&context.home).ok()?;
        home.profile().ok()?.address().ok()
    };
    match command {
        Command::New { file } => new(file, address()),
        Command::Lint { file } => lint(file, address()),
        Command::Render(args) => render(args, address()),
        Command::Import { file, out } => draft(file, out.as_deref()),
        Command::Diff { before, after } => diff(before, after),
        Command::Schema => {
            let schema = Policy::json_schema();
            let text = format!("{schema:#}");
            Ok(Answer::verbatim(schema, text))
        }
    }
}

/// A policy from a file, if nothing in it is refused.
pub(crate) fn read(file: &Path) -> Result<(String, Policy)> {
    let text = text_of(file)?;
    let policy = Policy::parse(&text).map_err(|findings| {
        anyhow::anyhow!(
            "{} is refused:\n{}",
            file.display(),
            listed(file, &findings)
        )
    })?;
    Ok((text, policy))
}

/// What `publish --policy` takes: a policy.toml that is not refused, or prose.
pub(crate) fn to_publish(file: &Path) -> Result<String> {
    let is_toml = file
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    if is_toml {
        return Ok(read(file)?.0);
    }
    let text = text_of(file)?;
    if text.len() > MAX_POLICY {
        bail!(
            "the policy {} is longer than 256 KiB: shorten it, or link to the rest",
            file.display()
        );
    }
    Ok(text)
}

fn text_of(file: &Path) -> Result<String> {
    let size = fs::metadata(file).map(|meta| meta.len());
    if size.is_ok_and(|size| size > 16 * MAX_POLICY as u64) {
        bail!(
            "the policy {} is longer than 256 KiB: shorten it, and link to the rest",
            file.display()
        );
    }
    fs::read_to_string(file)
        .with_context(|| format!("cannot read the policy {} as text", file.display()))
}

fn listed(file: &Path, findings: &[Finding]) -> String {
    let lines = findings
        .iter()
        .map(|finding| format!("{}:{finding}", file.display()));
    lines.collect::<Vec<_>>().join("\n")
}

fn lint(file: &Path, address: Option<Address>) -> Result<Answer> {
    let text = text_of(file)?;
    let around = Surroundings {
        today: show::day(system::now()).parse()?,
        address,
    };
    let findings = match Policy::parse(&text) {
        Ok(policy) => policy.lint(&around),
        Err(findings) => findings,
    };
    let of = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let count = |count, what| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let mut said = listed(file, &findings);
    if findings.is_empty() {
        said = format!("{}: nothing to say against it", file.display());
    } else {
        let line = format!(
            "\n{}, {}",
            count(errors, "error"),
            count(warnings, "warning")
        );
        said.push_str(&line);
    }
    let mut answer = Answer::verbatim(
        json!({ "errors": errors, "warnings": warnings, "findings": findings }),
        said,
    );
    answer.failed = errors > 0;
    Ok(answer)
}

fn new(file: &Path, address: Option<Address>) -> Result<Answer> {
    check_free(file)?;
    let address = address.map(|address| address.to_string());
    let (mut input, mut out) = (io::stdin().lock(), io::stderr().lock());
    let text = interview(address.as_deref(), &mut input, &mut out)?;
    fs::write(file, &text).map_err(|error| unwritable(file, error))?;
    let file = file.display();
    let said = format!(
        "{file} is written. docs/policy.md has what else can stand in it; then\n\n  sealdrop-desk policy lint {file}\n  sealdrop-desk publish --policy {file}"
    );
    Ok(Answer::verbatim(json!({ "file": file.to_string() }), said))
}

fn diff(before: &Path, after: &Path) -> Result<Answer> {
    let changes = read(before)?.1.changes(&read(after)?.1);
    let lines = changes
        .iter()
        .map(|change| match (&change.before, &change.after) {
            (None, Some(after)) => format!("{}: now {after}", change.path),
            (Some(before), None) => format!("{}: no longer {before}", change.path),
            (before, after) => {
                let text = |value: &Option<String>| value.clone().unwrap_or_default();
                format!("{}: {} -> {}", change.path, text(before), text(after))
            }
        });
    // It may be somebody else's policy.
    let lines: Vec<String> = lines.map(|line| show::line(&line)).collect();
    let said = if lines.is_empty() {
        "they say the same".to_owned()
    } else {
        lines.join("\n")
    };
    Ok(Answer::verbatim(json!({ "changes": changes }), said))
}

fn draft(file: &Path, out: Option<&Path>) -> Result<Answer> {
    let draft = import(&text_of(file)?);
    let json = json!({ "toml": draft.toml, "open": draft.open, "unread": draft.unread });
    let Some(path) = out else {
        return Ok(Answer::verbatim(json, draft.toml.trim_end()));
    };
    check_free(path)?;
    fs::write(path, &draft.toml).map_err(|error| unwritable(path, error))?;
    let said = format!(
        "{} is a draft: {} to decide, {} not read; they are listed at its end. Then `sealdrop-desk policy lint {}`",
        path.display(),
        draft.open.len(),
        draft.unread.len(),
        path.display()
    );
    Ok(Answer::verbatim(json, said))
}

fn render(args: &Render, ours: Option<Address>) -> Result<Answer> {
    let (_, policy) = read(&args.file)?;
    let address = args.address.clone().or(ours);
    let Some(dir) = &args.out else {
        let page = policy.security_md(address.as_ref());
        let json = json!({ "security_md": page });
        return Ok(Answer::verbatim(json, page.trim_end()));
    };
    let files = rendered(&policy, address.as_ref())?;
    if args.check {
        Ok(compare(dir, &files))
    } else {
        write(dir, &files, args.force, address.is_some())
    }
}

/// What is published, by name of the file.
fn rendered(policy: &Policy, address: Option<&Address>) -> Result<Vec<(&'static str, String)>> {
    let mut files = vec![("SECURITY.md", policy.security_md(address))];
    if let Some(address) = address {
        let served = Served {
            origin: address.origin.to_string(),
            address: Some(address.clone()),
            expires: Time(system::now().0 + MAX_LIFE),
        };
        files.push(("security.txt", policy.security_txt(&served)));
        files.push(("drop-address.svg", keys::svg(address)?));
    }
    Ok(files)
}

fn write(dir: &Path, files: &[(&str, String)], force: bool, is_whole: bool) -> Result<Answer> {
    fs::create_dir_all(dir).map_err(|error| unwritable(dir, error))?;
    for (name, text) in files {
        let there = fs::read(dir.join(name));
        if !force && there.is_ok_and(|there| there != text.as_bytes()) {
            bail!(
                "{} is there, and is another: look at what differs, then write with --force",
                dir.join(name).display()
            );
        }
    }
    let mut written = Vec::new();
    for (name, text) in files {
        // Readable by all: it is to be published.
        let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| unwritable(&path, error))?;
        written.push(path.display().to_string());
    }
    let mut said = written.join("\n");
    if !is_whole {
        said.push_str("\nno security.txt: there is no drop address; give one with --address, or publish the box first");
    }
    Ok(Answer::verbatim(json!({ "written": written }), said))
}

/// Only what follows from policy and address alone: security.txt has a day in it.
fn compare(dir: &Path, files: &[(&str, String)]) -> Answer {
    let is_other = |(name, text): &&(&str, String)| {
        *name != "security.txt" && fs::read(dir.join(name)).ok().as_deref() != Some(text.as_bytes())
    };
    let other: Vec<_> = files
        .iter()
        .filter(is_other)
        .map(|(name, _)| *name)
        .collect();
    let said = match other.as_slice() {
        [] => "as the policy has it".to_owned(),
        _ => format!(
            "not as the policy has it: {}; write again with `policy render -o {} --force`",
            other.join(", "),
            dir.display()
        ),
    };
    let mut answer = Answer::verbatim(json!({ "differ": other }), said);
    answer.failed = !other.is_empty();
    answer
}
