//! `policy`: checked, and published.

use std::fs;

use crate::bench::Bench;

const POLICY: &str = r#"schema = 1

[project]
name = "Plume"

[[channels]]
kind = "email"
uri = "mailto:security@plume.dev"

[clocks]
ack = "5bd"
"#;

/// Keeps a policy in the bench's folder, and gives its path.
fn keep(bench: &Bench, name: &str, text: &str) -> String {
    let path = bench.dir.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn a_policy_is_linted_with_line_reason_and_mend_and_needs_no_desk() {
    let bench = Bench::new();
    let good = keep(&bench, "good.toml", POLICY);
    let bad = keep(&bench, "bad.toml", &POLICY.replace("ack =", "akc ="));
    let said = bench.desk("nobody", &["policy", "lint", &good]).ok();
    assert!(
        said.ends_with("good.toml: nothing to say against it\n"),
        "{said}"
    );
    bench.desk("nobody", &["policy", "lint", &bad]).fails(
        1,
        &[
            "bad.toml:11:1: error: unknown field `akc`; did you mean `ack`?",
            "1 error, 0 warnings",
        ],
    );
    // A desk knows which box the policy should name.
    let other =
        "https://other.dev#sdbox1f493sp30s5p9nr0qgh98k60svl6elya3dca0sue6nz9dcg6p7hyqzec9fp";
    let text = format!("{POLICY}\n[[channels]]\nkind = \"sealdrop\"\nuri = \"{other}\"\n");
    let wrong = keep(&bench, "wrong.toml", &text);
    bench.desk("nobody", &["policy", "lint", &wrong]).ok();
    bench.desk("ana", &["policy", "lint", &wrong]).fails(
        1,
        &["wrong.toml:15:1: error: it is the address of another box"],
    );
}

#[test]
fn security_md_security_txt_and_a_code_come_from_the_policy() {
    let bench = Bench::new();
    let policy = keep(&bench, "policy.toml", POLICY);
    let site = bench.dir.path().join("site");
    let out = site.to_str().unwrap();
    bench
        .desk("ana", &["policy", "render", &policy, "-o", out])
        .ok();
    let read = |name: &str| fs::read_to_string(site.join(name)).unwrap();
    let address = bench.desk("ana", &["--json", "address"]).ok();
    let address: serde_json::Value = serde_json::from_str(&address).unwrap();
    let address = address["address"].as_str().unwrap();
    assert!(read("SECURITY.md").contains(&format!("`{address}`")));
    assert!(read("SECURITY.md").contains("within 5 business days"));
    let first = format!("Contact: {address}\nContact: mailto:security@plume.dev\nExpires: ");
    assert!(read("security.txt").starts_with(&first));
    assert!(read("drop-address.svg").contains("<svg"));

    // What somebody changed is not replaced in silence, and is found by a project's tests.
    let check = ["policy", "render", &policy, "-o", out, "--check"];
    bench.desk("ana", &check).ok();
    fs::write(site.join("SECURITY.md"), "Mail us.").unwrap();
    bench
        .desk("ana", &check)
        .fails(1, &["not as the policy has it: SECURITY.md"]);
    let again = ["policy", "render", &policy, "-o", out];
    bench
        .desk("ana", &again)
        .fails(1, &["SECURITY.md is there, and is another", "--force"]);
    assert_eq!(read("SECURITY.md"), "Mail us.");
    bench.desk("ana", &[&again[..], &["--force"]].concat()).ok();
    bench.desk("ana", &check).ok();
}

#[test]
fn the_schema_for_editors_is_the_one_that_is_checked() {
    let bench = Bench::new();
    let schema = bench.desk("nobody", &["policy", "schema"]).ok();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["schema", "project"]));
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn a_policy_that_cannot_be_kept_is_not_published() {
    let bench = Bench::new();
    let bad = keep(&bench, "bad.toml", &POLICY.replace("5bd", "soon"));
    bench.desk("ana", &["publish", "--policy", &bad]).fails(
        1,
        &[
            "bad.toml is refused:",
            "bad.toml:11:7: error: `soon` is no time",
        ],
    );
    assert_eq!(bench.server.roster().epoch(), 1);
    let good = keep(&bench, "good.toml", POLICY);
    bench.desk("ana", &["publish", "--policy", &good]).ok();
    assert!(bench.server.roster().is_policy(POLICY.as_bytes()));
    // Prose is shown, and executes nothing.
    let prose = keep(&bench, "policy.md", "Write to us.");
    bench.desk("ana", &["publish", "--policy", &prose]).ok();
}
