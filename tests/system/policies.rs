//! The policies of `policies/`, published.

use std::fs;
use std::process::Command;

use sealdrop_tests::{command, root, scratch, sectxt, skip, succeed};

const ADDRESS: &str =
    "https://drop.plume.dev#sdbox1f493sp30s5p9nr0qgh98k60svl6elya3dca0sue6nz9dcg6p7hyqzec9fp";
const VALIDATE: &str = "
import sectxt, sys
for path in sys.argv[2:]:
    parsed = sectxt.Parser(open(path, 'rb').read(), urls=sys.argv[1])
    print(path, parsed.errors, [n['code'] for n in parsed.notifications])
    assert parsed.is_valid()
";

/// Of the validator's recommendations none is an error: to sign the file, and to offer a key for mail.
#[test]
fn the_validator_of_pypi_finds_nothing_wrong_with_security_txt() {
    let Some(packages) = sectxt() else {
        return skip(
            "the_validator_of_pypi_finds_nothing_wrong_with_security_txt",
            "needs sectxt from PyPI",
        );
    };
    let folder = scratch();
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("policies")).unwrap() {
        let policy = entry.unwrap().path();
        if policy
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let out = folder.path().join(policy.file_stem().unwrap());
            let mut render = command("sealdrop-desk");
            render
                .args(["--home", "nowhere", "policy", "render"])
                .arg(policy);
            succeed(render.arg("-o").arg(&out).args(["--address", ADDRESS]));
            files.push(out.join("security.txt"));
        }
    }
    assert_eq!(files.len(), 5);
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).args(["-c", VALIDATE]);
    python.arg("https://drop.plume.dev/.well-known/security.txt");
    let said = succeed(python.args(&files));
    assert_eq!(said.matches("[] []").count(), 5, "{said}");
}
