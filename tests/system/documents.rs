//! What the documents promise is there: tests, and files that they link to.

use std::fs;
use std::path::Path;

use sealdrop_tests::{root, rust_files};

#[test]
fn every_test_that_the_documents_name_exists() {
    let mut sources = String::new();
    for dir in ["crates", "tests/system"] {
        for file in rust_files(&root().join(dir)) {
            sources.push_str(&fs::read_to_string(file).unwrap());
        }
    }
    for document in ["docs/threat-model.md", "docs/leakage.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let named: Vec<&str> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| is_test(code))
            .collect();
        assert!(named.len() > 5, "{document} was read wrongly");
        for name in named {
            assert!(
                sources.contains(&format!("fn {name}(")),
                "{document} names the test {name}"
            );
        }
    }
}

fn is_test(code: &str) -> bool {
    code.matches('_').count() >= 2
        && code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[test]
fn every_file_that_the_documents_link_to_exists() {
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
    for document in documents {
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
