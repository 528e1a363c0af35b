//! What the tests take from Debian, npm and crates.io, fetched into `target/tools`; only Debian's own packages are
//! installed on the machine, and only by root.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::step::{Outcome, cargo, on_path, run};

/// Programs that the tests call, and the Debian package of each.
const DEBIAN: [(&str, &str); 8] = [
    ("bsdtar", "libarchive-tools"),
    ("tar", "tar"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("tor", "tor"),
    ("strace", "strace"),
];

/// Fixed, so that a release of theirs does not change the outcome of our tests.
const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";
const SECTXT: &str = "0.9.8";

/// Where tools are unpacked.
fn tools() -> PathBuf {
    crate::target().join("tools")
}

/// Installs the missing Debian packages, if this is root's Debian; otherwise says which are missing.
pub(crate) fn debian() -> Result<Outcome> {
    let packages = missing_packages();
    if packages.is_empty() {
        return Ok(Outcome::Ok(String::new()));
    }
    let line = format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if !on_path("apt-get") {
        return Ok(Outcome::Skipped(format!(
            "not a Debian machine; it lacks what there is: {line}"
        )));
    }
    if !is_root()? {
        return Ok(Outcome::Skipped(format!("missing; as root: {line}")));
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        command
    };
    // The lists of a container are often empty or old; if they cannot be fetched the old ones may still do.
    run("apt-update", &mut apt(&["update"])).ok();
    let mut install = apt(&["install", "--yes", "--no-install-recommends"]);
    if let Err(error) = run("apt-install", install.args(&packages)) {
        return Ok(Outcome::Skipped(format!(
            "cannot install ({error:#}); as root: {line}"
        )));
    }
    let left = missing_packages();
    if !left.is_empty() {
        bail!(
            "installed, and still without a program on the path: {}",
            left.join(" ")
        );
    }
    Ok(Outcome::Ok(format!("installed {}", packages.join(" "))))
}

fn missing_packages() -> Vec<&'static str> {
    let missing = DEBIAN.iter().filter(|(program, _)| !on_path(program));
    missing.map(|(_, package)| *package).collect()
}

fn is_root() -> Result<bool> {
    Ok(run("id", Command::new("id").arg("-u"))?.trim() == "0")
}

/// The npm parts: typage and C2SP's age vectors, at the versions of `tests/node/package-lock.json`.
pub(crate) fn npm() -> Result<Outcome> {
    if !on_path("npm") {
        return Ok(Outcome::Skipped(
            "npm is missing: no test against typage, none of C2SP's age vectors".into(),
        ));
    }
    let dir = crate::root().join("tests/node");
    let stamp = dir.join("node_modules/.package-lock.json");
    let is_newer = || {
        Some(
            stamp.metadata().ok()?.modified().ok()?
                > dir
                    .join("package-lock.json")
                    .metadata()
                    .ok()?
                    .modified()
                    .ok()?,
        )
    };
    if is_newer() == Some(true) {
        return Ok(Outcome::Ok(String::new()));
    }
    let mut install = Command::new("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(dir);
    match run("npm", &mut install) {
        Ok(_) => Ok(Outcome::Ok("installed in tests/node/node_modules".into())),
        Err(error) => Ok(Outcome::Skipped(format!("npm ci: {error:#}"))),
    }
}

/// `sectxt` from PyPI, which validates security.txt.
pub(crate) fn sectxt() -> Result<Outcome> {
    let dir = tools().join("sectxt");
    let stamp = dir.join(format!("sectxt-{SECTXT}.dist-info"));
    if stamp.exists() {
        return Ok(Outcome::Ok(SECTXT.into()));
    }
    if !on_path("python3") {
        return Ok(Outcome::Skipped(
            "python3 is missing: security.txt is not validated".into(),
        ));
    }
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--root-user-action=ignore"])
        .arg("--target")
        .arg(&dir)
        .arg(format!("sectxt=={SECTXT}"));
    match run("pip", &mut pip) {
        Ok(_) => Ok(Outcome::Ok(format!("{SECTXT}, from PyPI"))),
        Err(error) => Ok(Outcome::Skipped(format!("pip: {error:#}"))),
    }
}

/// Go's age, 1.3 or later (the first with hybrid recipients): the one on the path, or Debian sid's package, whose
/// signature apt checks, unpacked and not installed.
pub(crate) fn go_age() -> Result<Outcome> {
    let unpacked = tools().join("age/usr/bin/age");
    for age in [PathBuf::from("age"), unpacked.clone()] {
        if let Some(version) = hybrid_age(&age) {
            return Ok(Outcome::Ok(version));
        }
    }
    for program in ["apt-get", "dpkg-deb", "dpkg"] {
        if !on_path(program) {
            return Ok(Outcome::Skipped(format!(
                "no age 1.3 on the path, and no {program} to fetch Debian's"
            )));
        }
    }
    if let Err(error) = fetch_age() {
        return Ok(Outcome::Skipped(format!(
            "no age 1.3 on the path, and Debian's cannot be had: {error:#}"
        )));
    }
    match hybrid_age(&unpacked) {
        Some(version) => Ok(Outcome::Ok(format!("{version}, unpacked from Debian sid"))),
        None => Ok(Outcome::Skipped(
            "Debian's newest age does not run here, or is older than 1.3".into(),
        )),
    }
}

/// The version of an `age` that knows hybrid recipients.
fn hybrid_age(program: &PathBuf) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout)
        .ok()?
        .trim()
        .trim_start_matches('v')
        .to_owned();
    let mut parts = version
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    ((parts.next()?, parts.next()?) >= (1, 3)).then_some(version)
}

/// Fetches Debian sid's age with an apt that has lists and caches of its own, so that the machine's stay as they are.
fn fetch_age() -> Result<()> {
    let dir = tools().join("apt");
    for sub in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir.join(sub))?;
    }
    let architecture = run("dpkg", Command::new("dpkg").arg("--print-architecture"))?;
    let source = format!(
        "deb [arch={} signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main\n",
        architecture.trim()
    );
    fs::write(dir.join("sources.list"), source)?;
    fs::write(dir.join("status"), "")?;
    let path = |name: &str| dir.join(name).display().to_string();
    let options = [
        format!("Dir::Etc::SourceList={}", path("sources.list")),
        "Dir::Etc::SourceParts=-".into(),
        format!("Dir::State={}", path("state")),
        format!("Dir::State::Status={}", path("status")),
        format!("Dir::Cache={}", path("cache")),
        "Acquire::Languages=none".into(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        "Acquire::Retries=2".into(),
        "APT::Sandbox::User=root".into(),
    ];
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(&dir);
        for option in &options {
            command.args(["-o", option]);
        }
        command.args(arguments);
        command
    };
    run("apt-sid-update", &mut apt(&["update", "--error-on=any"]))?;
    run("apt-sid-age", &mut apt(&["download", "age"]))?;
    let package = fs::read_dir(&dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let Some(package) = package else {
        bail!("apt-get download left no package")
    };
    run(
        "dpkg-deb",
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(package)
            .arg(tools().join("age")),
    )?;
    Ok(fs::remove_dir_all(dir)?)
}

/// cargo-deny: the one on the path, or built here; without optimisation, because it runs for a second and builds for minutes.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    cargo_tool("cargo-deny", CARGO_DENY)
}

/// cargo-fuzz, likewise.
pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    cargo_tool("cargo-fuzz", CARGO_FUZZ)
}

fn cargo_tool(name: &str, version: &str) -> Result<PathBuf> {
    if on_path(name) {
        return Ok(name.into());
    }
    let binary = tools().join("bin").join(name);
    if !binary.exists() {
        let build = tools().join("build");
        let mut install = cargo(&format!(
            "install --debug --locked --version {version} {name}"
        ));
        install
            .arg("--root")
            .arg(tools())
            .arg("--target-dir")
            .arg(&build);
        run(name, install.env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
        fs::remove_dir_all(build)?;
    }
    Ok(binary)
}
