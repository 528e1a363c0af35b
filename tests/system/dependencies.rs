//! Who may depend on whom (ARCHITECTURE.md, "Invariants"), read from what cargo resolves.

use std::collections::BTreeSet;
use std::process::Command;
use std::{env, fs};

use sealdrop_tests::{root, rust_files, succeed};

/// Our crates, and those of ours that each may depend on.
const DIRECTION: [(&str, &[&str]); 7] = [
    ("sealdrop-core", &[]),
    ("sealdrop-policy", &["sealdrop-core"]),
    ("sealdrop-open", &["sealdrop-core"]),
    ("sealdrop-client", &["sealdrop-core"]),
    (
        "sealdrop",
        &["sealdrop-core", "sealdrop-client", "sealdrop-open"],
    ),
    (
        "sealdrop-desk",
        &[
            "sealdrop-core",
            "sealdrop-client",
            "sealdrop-open",
            "sealdrop-policy",
        ],
    ),
    ("sealdrop-server", &["sealdrop-core", "sealdrop-policy"]),
];

#[test]
fn dependencies_point_one_way() {
    for (name, allowed) in DIRECTION {
        let mut ours = depends(name, &["--depth", "1"]);
        ours.retain(|dependency| dependency.starts_with("sealdrop") && dependency != name);
        let wrong: Vec<&String> = ours
            .iter()
            .filter(|d| !allowed.contains(&d.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{name} depends on {wrong:?}");
    }
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let crate_name = entry.unwrap().file_name();
        let known = DIRECTION.iter().any(|(name, _)| *name == crate_name);
        assert!(
            known,
            "{} needs its place in DIRECTION",
            crate_name.display()
        );
    }
}

#[test]
fn the_server_cannot_open() {
    let closure = depends("sealdrop-server", &[]);
    for forbidden in [
        "sealdrop-open",
        "sealdrop-client",
        "sealdrop-desk",
        "sealdrop",
        "age",
        "age-core",
    ] {
        assert!(
            !closure.contains(forbidden),
            "sealdrop-server depends on {forbidden}"
        );
    }
    assert!(
        closure.contains("sealdrop-core"),
        "the graph was read wrongly"
    );
}

#[test]
fn the_core_is_pure() {
    let closure = depends("sealdrop-core", &[]);
    // Networks, runtimes, files and databases, and the crates that read clocks or the system's randomness.
    for forbidden in [
        "async-std",
        "axum",
        "chrono",
        "getrandom",
        "hyper",
        "jiff",
        "mio",
        "nix",
        "rand",
        "reqwest",
        "rusqlite",
        "rustix",
        "rustls",
        "smol",
        "socket2",
        "tempfile",
        "time",
        "tokio",
        "ureq",
    ] {
        assert!(
            !closure.contains(forbidden),
            "sealdrop-core depends on {forbidden}"
        );
    }
    for file in rust_files(&root().join("crates/sealdrop-core/src")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod").next().unwrap();
        for name in [
            "TcpStream",
            "UdpSocket",
            "ToSocketAddrs",
            "std::fs",
            "std::process",
            "std::env",
            "SystemTime",
            "Instant",
            "println!",
        ] {
            let used = code
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(name));
            assert!(!used, "{} uses {name}", file.display());
        }
    }
}

#[test]
fn the_building_blocks_are_used() {
    let direct: BTreeSet<String> = DIRECTION
        .iter()
        .flat_map(|(name, _)| depends(name, &["--depth", "1"]))
        .collect();
    for name in [
        "age",
        "x25519-dalek",
        "chacha20poly1305",
        "axum",
        "tokio",
        "zeroize",
        "base64",
    ] {
        assert!(direct.contains(name), "no crate of ours depends on {name}");
    }
}

/// The names of what a package depends on when it runs (not when it is built or tested), on any machine, itself included.
fn depends(package: &str, more: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "tree",
        "--locked",
        "--package",
        package,
        "--edges",
        "normal",
        "--all-features",
        "--target",
        "all",
    ]);
    cargo
        .args(["--prefix", "none", "--format", "{p}"])
        .args(more);
    let tree = succeed(cargo.current_dir(root()));
    tree.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}
