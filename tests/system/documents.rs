//! What the documents promise is there: tests, and files that they link to.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use sealdrop_tests::{root, rust_files};

#[test]
fn every_test_that_the_documents_name_exists() {
    let mut tests = HashSet::new();
    for dir in ["crates", "tests/system"] {
        for file in rust_files(&root().join(dir)) {
            tests_of(&fs::read_to_string(file).unwrap(), &mut tests);
        }
    }
    assert!(tests.contains("every_test_that_the_documents_name_exists"));
    for (document, at_least) in [
        ("docs/threat-model.md", 50),
        ("docs/leakage.md", 5),
        ("docs/design.md", 0),
        ("docs/operations.md", 0),
    ] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let named: Vec<&str> = code(&text).filter(|code| is_test(code)).collect();
        assert!(named.len() >= at_least, "{document} was read wrongly");
        for name in named {
            assert!(tests.contains(name), "{document} names the test {name}");
        }
    }
}

#[test]
fn a_function_that_is_no_test_does_not_pass_for_one() {
    let source = "
#[test]
#[cfg(unix)]
/// It is one.
fn plain() {}

#[tokio::test(
    flavor = \"multi_thread\",
)]
async fn on_a_runtime() {}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn of_any_input(x in 0..9) {}
}

#[track_caller]
fn helper() {}
#[test]
fn another() {}
fn behind_it() {}
// fn commented() is no function
";
    let mut tests = HashSet::new();
    tests_of(source, &mut tests);
    let mut tests: Vec<_> = tests.into_iter().collect();
    tests.sort();
    assert_eq!(tests, ["another", "of_any_input", "on_a_runtime", "plain"]);
}

/// Adds the names of the functions that a test harness runs.
fn tests_of(source: &str, tests: &mut HashSet<String>) {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    for (at, line) in lines.iter().enumerate() {
        let Some(rest) = line
            .strip_prefix("async ")
            .unwrap_or(line)
            .strip_prefix("fn ")
        else {
            continue;
        };
        // Attributes and comments belong to what follows them; a statement, a block or an empty line ends them.
        let mut above = lines[..at]
            .iter()
            .rev()
            .take_while(|line| !(line.is_empty() || line.ends_with(['{', '}', ';'])));
        let is_run = |line: &&&str| **line == "#[test]" || line.starts_with("#[tokio::test");
        if above.any(|line| is_run(&line)) {
            let name = rest.split(['(', '<']).next().unwrap();
            tests.insert(name.to_owned());
        }
    }
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_source_file_that_the_documents_name_exists() {
    let mut named = 0;
    for document in markdown() {
        let text = fs::read_to_string(&document).unwrap();
        let paths = code(&text).filter(|code| code.contains('/') && code.ends_with(".rs"));
        for path in paths {
            named += 1;
            assert!(
                root().join(path).exists(),
                "{} names {path}",
                document.display()
            );
        }
    }
    assert!(named > 0, "the documents were read wrongly");
}

fn is_test(code: &str) -> bool {
    code.matches('_').count() >= 2
        && code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[test]
fn every_file_that_the_documents_link_to_exists() {
    for document in markdown() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || link.contains("://") {
                continue;
            }
            let target: &Path = document.parent().unwrap();
            assert!(
                target.join(file).exists(),
                "{} links to {link}",
                document.display()
            );
        }
    }
}

/// Every document of the repository.
fn markdown() -> Vec<PathBuf> {
    let mut documents = vec![
        root().join("testdata/vectors/README.md"),
        root().join("web/README.md"),
    ];
    for dir in [root(), root().join("docs")] {
        let entries = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        documents.extend(
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")),
        );
    }
    documents
}
