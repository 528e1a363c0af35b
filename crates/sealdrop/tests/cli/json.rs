//! What `--json` prints, for scripts.

use std::collections::BTreeMap;

use sealdrop_core::phrase::Phrase;
use serde_json::Value;

use crate::support::{Answer, LyingServer, Saying};
use crate::{Place, REPORT};

/// Runs commands with `--json`, and notes the fields of what they print under the command's name.
struct Noting<'a> {
    place: &'a Place,
    fields: BTreeMap<String, Vec<String>>,
}

impl Noting<'_> {
    #[track_caller]
    fn run(&mut self, code: i32, args: &[&str]) -> Value {
        let run = self.place.run(&[args, &["--json"]].concat());
        assert_eq!(run.code, Some(code), "{args:?}: {}", run.err);
        let json = run.json();
        let fields = json.as_object().unwrap().keys().cloned();
        let known = self.fields.entry(args[0].into()).or_default();
        known.extend(fields);
        json
    }
}

#[test]
fn every_field_of_the_json_is_in_the_help() {
    let server = LyingServer::start();
    let place = Place::new();
    let address = server.address.to_string();
    let mut noting = Noting {
        place: &place,
        fields: BTreeMap::new(),
    };
    let with_report = |args: &[&'static str]| [args, &REPORT].concat();
    noting.run(0, &["box", &address, "-o", "box.json"]);
    noting.run(0, &["box", &address, "--since", "box.json"]);
    let seal = with_report(&["--box", "box.json", "-o", "r.drop", "--key", "r.key"]);
    noting.run(0, &[&["seal", &address], &seal[..]].concat());
    noting.run(0, &["post", &address, "r.drop", "--receipt", "r.json"]);
    let submit = with_report(&["--receipt", "s.json", "--save", "s.drop"]);
    noting.run(0, &[&["submit", &address], &submit[..]].concat());
    noting.run(0, &["check", "--receipt", "s.json"]);
    server.state().close_window();
    server.state().cosign(&["ada"]);
    noting.run(0, &["check", "--receipt", "s.json"]);
    let opened = ["--key", "s.json.key", "--drop", "s.drop"];
    noting.run(0, &[&["verify", "s.json.tlog-proof"], &opened[..]].concat());
    let phrase = Phrase::from_entropy(&[1; 16]);
    place.write("phrase", phrase.words().as_bytes());
    let with_phrase = |command, args: &[&'static str]| {
        let address: &'static str = address.clone().leak();
        [&[command, address, "--phrase-file", "phrase"], args].concat()
    };
    noting.run(0, &with_phrase("check", &[]));
    noting.run(0, &with_phrase("watch", &["--once", "--state", "w.state"]));
    noting.run(0, &with_phrase("claim", &["--name", "Jane", "--yes"]));
    let said = Saying::new(&server, &phrase, "Thanks").seal();
    server.segment(0, &said);
    noting.run(0, &with_phrase("check", &["-o", "files"]));
    noting.run(0, &with_phrase("reply", &["--text", "T", "--yes"]));
    noting.run(0, &with_phrase("withdraw", &["--yes"]));
    noting.run(2, &["verify", "absent"]);
    noting.run(0, &["man"]);
    noting.run(0, &["man", "-o", "pages"]);
    noting.run(0, &["completions", "fish"]);
    noting.run(2, &["completions", "tcsh"]);

    server.lie(|request, _| (request.method == "PATCH").then(|| Answer::new(500)));
    place.write("big.bin", vec![7; 9_000_000]);
    let seal = with_report(&["--box", "box.json", "-o", "b.drop", "--attach", "big.bin"]);
    noting.run(0, &[&["seal", &address], &seal[..]].concat());
    noting.run(1, &["post", &address, "b.drop"]);
    let submit = with_report(&["--save", "b2.drop", "--attach", "big.bin"]);
    noting.run(1, &[&["submit", &address], &submit[..]].concat());

    let program = place.run(&["--help"]).out;
    for (command, fields) in noting.fields {
        let help = place.run(&[&command, "--help"]).out;
        for field in fields {
            let line = format!("\n  {field} ");
            let is_there = help.contains(&line) || program.contains(&line);
            assert!(is_there, "{command} does not say what {field} is");
        }
    }
}
