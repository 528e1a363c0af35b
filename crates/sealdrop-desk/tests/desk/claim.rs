//! Claims that reporters, and others, hand to the maintainers.

use sealdrop_core::claim::Claim;
use sealdrop_core::key::{BoxRole, SecretKey};
use sealdrop_core::report::Kind;

use crate::bench::{Bench, Reporter};

/// A box with one case of the reporter, sorted.
fn with_case() -> (Bench, Reporter) {
    let bench = Bench::new();
    let roster = bench.server.roster();
    let mut reporter = Reporter::new(1, roster.box_key());
    let drop = reporter.drop(&roster, Kind::Report, "a bug");
    bench.server.accept(&drop, bench.past(9));
    bench.server.close(bench.past(9));
    bench.desk("ana", &["sync"]).ok();
    bench.desk("ana", &["inbox"]).ok();
    (bench, reporter)
}

/// Writes a claim of this reporter to a file, and gives its name.
fn claim(bench: &Bench, reporter: &Reporter, name: &str) -> String {
    let roster = bench.server.roster();
    let note = Claim::sign(&reporter.keys, roster.box_key(), name, Some("It was me.")).unwrap();
    std::fs::write(bench.path("claim"), note.to_string()).unwrap();
    bench.arg("claim")
}

#[test]
fn a_claim_names_its_case_without_a_passphrase() {
    let (bench, reporter) = with_case();
    let file = claim(&bench, &reporter, "Jane\u{202e} Doe");
    // There is no passphrase to be had.
    std::fs::remove_file(bench.path("passphrase")).unwrap();
    let conversation = reporter.keys.conversation.to_string();
    let text = bench.desk("ana", &["verify-claim", &file]).ok();
    for part in [
        "Case 1  conversation ",
        &conversation,
        "  statement: It was me.",
        "name: Jane\\u{202e} Doe",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let json = bench.json("ana", &["verify-claim", &file]);
    assert_eq!(
        (&json["case"], &json["conversation"]),
        (&1.into(), &conversation.into())
    );

    let file = claim(
        &bench,
        &Reporter::new(2, bench.server.roster().box_key()),
        "Eve",
    );
    let text = bench.desk("ana", &["verify-claim", &file]).ok();
    assert!(
        text.contains("No case of that conversation is on this machine"),
        "{text}"
    );
    assert!(bench.json("ana", &["verify-claim", &file])["case"].is_null());
}

#[test]
fn a_claim_that_is_none_is_refused_with_its_reason() {
    let (bench, reporter) = with_case();
    let file = claim(&bench, &reporter, "Jane");
    let good = std::fs::read_to_string(&file).unwrap();
    let refused = |text: &str, reason: &str| {
        std::fs::write(&file, text).unwrap();
        bench
            .desk("ana", &["verify-claim", &file])
            .fails(1, &[reason]);
    };
    refused(&good.replace("name: Jane", "name: Eve"), "bad signature: ");
    refused("Jane did it\n", "is not a claim");
    refused(&"x".repeat(300_000), "is not a claim");
    // Somebody else signs for the conversation, under its name and with a key of their own.
    let eve = Reporter::new(2, bench.server.roster().box_key());
    let theirs = std::fs::read_to_string(claim(&bench, &eve, "Eve")).unwrap();
    let line = |text: &str| {
        text.lines()
            .find(|l| l.starts_with("conversation: "))
            .unwrap()
            .to_owned()
    };
    let text = theirs.replace(&line(&theirs), &line(&good));
    let text = text.split("\n\n").next().unwrap().to_owned() + "\n";
    let note = sealdrop_core::note::Note::new(text).unwrap();
    let note = note.sign(&eve.keys.conversation.to_string(), &eve.keys.voice);
    refused(
        &note.to_string(),
        "does not follow from the key that signed it",
    );

    let other = SecretKey::<BoxRole>::from_seed(&[9; 32]).to_public();
    let elsewhere = Reporter::new(1, &other);
    let note = Claim::sign(&elsewhere.keys, &other, "Jane", None).unwrap();
    refused(&note.to_string(), "with another box than this one");
    bench
        .desk("ana", &["verify-claim", &bench.arg("nothing")])
        .fails(1, &["cannot read "]);
}
