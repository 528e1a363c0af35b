//! Every refusal that needs no server, in its exact words.

use crate::support::LyingServer;
use crate::terminal::Terminal;
use crate::{Place, REPORT};

const BOX: &str = "sdbox1j89yt3j5m5stqywt0n203tu4p3vhw3257zmff67q3rcvlw06sgqsaa3nxg";

#[track_caller]
fn check(args: &[&str], code: i32, expected: &str) {
    let place = Place::new();
    let run = place.run(args);
    assert_eq!(run.err, expected);
    assert_eq!((run.code, run.out.as_str()), (Some(code), ""));
    assert_eq!(place.files(), [""; 0], "it changes nothing");
}

#[track_caller]
fn check_address(address: &str, expected: &str) {
    check(&["submit", address], 2, expected);
}

#[test]
fn an_address_with_a_typo_names_the_check_that_failed() {
    check_address(
        "https://drop.example.org",
        "error: this is not a drop address: the address has no box: it must end in `#sdbox1…`\n  \
         copy all of it, the part behind the # too, and put it in quotes: a shell takes # for the beginning of a comment\n",
    );
    check_address(
        &format!("https://drop.example.org#{}x", &BOX[..63]),
        "error: this is not a drop address: the checksum of the box does not match: a character is wrong or missing\n  \
         copy the address again from the project's SECURITY.md, whole\n",
    );
    check_address(
        "https://drop.example.org#age1abc",
        "error: this is not a drop address: not a box: it must begin with `sdbox1`, in lower case\n  \
         copy the address again from the project's SECURITY.md, whole\n",
    );
    check_address(
        &format!("http://drop.example.org#{BOX}"),
        "error: this is not a drop address: the address must begin with https:// (http:// only for an onion service or this machine)\n  \
         it looks like https://drop.example.org#sdbox1…\n",
    );
    check_address(
        &format!("https://user@drop.example.org#{BOX}"),
        "error: this is not a drop address: the part of the address before `#` is not one that a box can have\n  \
         it looks like https://drop.example.org#sdbox1…\n",
    );
}

#[test]
fn reporter_on_socks5_is_refused() {
    check(
        &[
            "--proxy",
            "socks5://127.0.0.1:9050",
            "submit",
            &format!("https://drop.example.org#{BOX}"),
        ],
        2,
        "error: --proxy: socks5:// would look up the server's name on this machine, outside the proxy, and give you away; \
         write socks5h:// so that the proxy looks it up\n",
    );
    check(
        &[
            "--proxy",
            "http://127.0.0.1:8080",
            "box",
            &format!("https://drop.example.org#{BOX}"),
        ],
        2,
        "error: --proxy: only socks5h:// proxies are supported, for instance socks5h://127.0.0.1:9050\n",
    );
}

#[test]
fn an_onion_address_without_a_proxy_is_refused() {
    check(
        &["submit", &format!("http://abcdef.onion#{BOX}"), "--yes"],
        2,
        "error: this address is an onion service, which only Tor reaches: start Tor and add --tor (or --proxy socks5h://host:port)\n",
    );
}

#[test]
fn a_server_that_is_not_there_is_said_plainly() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    check(
        &["submit", &format!("http://{free}#{BOX}"), "--yes"],
        1,
        "error: 127.0.0.1 refuses the connection: the server is down, or the port in the address is wrong; try again later\n",
    );
    check(
        &[
            "--proxy",
            &format!("socks5h://{free}"),
            "box",
            &format!("http://abcdef.onion#{BOX}"),
        ],
        1,
        &format!(
            "error: the proxy {free} cannot be reached: is it running? For Tor, start it or give its port with --proxy socks5h://127.0.0.1:PORT\n"
        ),
    );
}

#[test]
fn a_proxy_in_the_environment_decides_nothing() {
    let server = LyingServer::start();
    let address = server.address.to_string();
    let place = Place::new();
    let mut command = place.command(&["box", &address]);
    for name in ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"] {
        command.env(name, "http://127.0.0.1:9");
    }
    assert!(command.output().unwrap().status.success());
    assert_eq!(server.requests(), ["GET /v1/box"]);
}

#[test]
fn missing_and_foreign_files_are_said_plainly() {
    check(
        &["verify", "r.json"],
        2,
        "error: r.json cannot be read: there is no such file\n  check the spelling, and the folder you are in\n",
    );
    let server = LyingServer::start();
    let address = server.address.to_string();
    let place = Place::new();
    place
        .write("notes.txt", "hello")
        .write("notes.json", "{}")
        .write("newer.json", "{\"version\": 2}")
        .write("notes.pem", "no");
    for (args, expected) in [
        (
            vec!["verify", "notes.txt"],
            "error: notes.txt is neither a receipt nor a proof\n  give the file that --receipt wrote, or a .tlog-proof\n",
        ),
        (
            vec!["check", "--receipt", "notes.json"],
            "error: notes.json is not a receipt\n  give the file that --receipt wrote; the one that ends in .key is its secret part\n",
        ),
        (
            vec!["verify", "newer.json"],
            "error: newer.json was written by a newer sealdrop\n  use that version, or a later one\n",
        ),
        (
            vec!["post", &address, "notes.txt"],
            "error: notes.txt is not a drop\n  give the file that `sealdrop seal -o` wrote, whole and unchanged\n",
        ),
        (
            vec!["seal", &address, "--box", "notes.json", "-o", "r.drop"],
            "error: notes.json is not the roster and policy of a box\n  make it where there is a network: sealdrop box ADDRESS -o box.json\n",
        ),
        (
            vec!["post", &address, "notes.txt", "--resume", "xyz"],
            "error: --resume: not the id of an upload\n  copy it as `post` printed it: 32 characters of 0-9 and a-f, and what follows them\n",
        ),
        (
            vec!["--ca", "notes.pem", "box", &address],
            "error: --ca: notes.pem: no PEM certificate in it\n  give a PEM file with BEGIN CERTIFICATE\n",
        ),
        (
            vec!["submit", &address, "--yes", "--from", "absent.md"],
            "error: absent.md cannot be read: there is no such file\n  check the spelling, and the folder you are in\n",
        ),
        (
            vec!["submit", &address, "--receipt", "notes.txt"],
            "error: notes.txt cannot be made: it exists already\n  nothing is overwritten; give another name, or move that file away\n",
        ),
        (
            vec!["submit", &address, "--receipt", "absent/r.json"],
            "error: absent/r.json cannot be made: there is no such file\n  the folder does not exist; make it first\n",
        ),
    ] {
        let run = place.run(&args);
        assert_eq!(run.err, expected, "{args:?}");
        assert_eq!(run.code, Some(2), "{args:?}");
    }
    assert_eq!(
        place.files(),
        ["newer.json", "notes.json", "notes.pem", "notes.txt"]
    );
}

#[test]
fn a_report_that_lacks_something_says_what() {
    let server = LyingServer::start();
    let address = server.address.to_string();
    let place = Place::new();
    let long = "x".repeat(257);
    place
        .write("bad.toml", "titel = \"x\"")
        .write("binary.md", [0xff, 0xfe]);
    for (args, expected) in [
        (
            vec!["--yes"],
            "error: the report has no title and no description\n  \
             give --title and --description, a file with --from, or answer the questions on a terminal\n",
        ),
        (
            vec!["--yes", "--title", "T"],
            "error: the report has no description\n  give --description, a file with --from, or answer the questions on a terminal\n",
        ),
        (
            vec!["--yes", "--title", &long, "--description", "D"],
            "error: the title has 257 characters, and 256 is the most\n  shorten it; the description has room for the rest\n",
        ),
        (
            vec!["--yes", "--title", "one\ntwo", "--description", "D"],
            "error: the title has more than one line\n  put the rest into the description\n",
        ),
        (
            vec!["--yes", "--from", "binary.md"],
            "error: binary.md is not text in UTF-8\n  send it with --attach, and describe it in the report\n",
        ),
    ] {
        let run = place.run(&[&["submit", address.as_str()][..], &args].concat());
        assert_eq!(run.err, expected, "{args:?}");
        assert_eq!(run.code, Some(2), "{args:?}");
    }
    let run = place.run(&["submit", &address, "--yes", "--from", "bad.toml"]);
    run.refused(
        2,
        &[
            "bad.toml is not a report",
            "titel",
            "it has the keys title, description, steps, versions and credit",
        ],
    );
    assert!(server.state().bodies.is_empty());
}

#[test]
fn failures_are_one_json_object_too() {
    let run = Place::new().run(&["--json", "verify", "r.json"]);
    let json = run.json();
    assert_eq!(
        json["error"],
        "r.json cannot be read: there is no such file"
    );
    assert_eq!(
        json["hint"],
        "check the spelling, and the folder you are in"
    );
    assert_eq!((run.code, &json["exit"]), (Some(2), &2.into()));
    // The object is on standard output, where a script looks for it, and the sentence for people on standard error.
    assert!(run.err.starts_with("error: r.json cannot be read"));
    let help = Place::new().run(&["--help"]).out;
    for (field, _) in json.as_object().unwrap() {
        assert!(help.contains(&format!("\n  {field} ")), "{field}");
    }
}

#[test]
fn a_wrong_command_line_is_one_json_object_too() {
    let place = Place::new();
    for (args, expected) in [
        (
            &["--json", "verify"][..],
            "the following required arguments were not provided: <FILE>",
        ),
        (
            &["verify", "r.json", "--nonsense", "--json"],
            "unexpected argument '--nonsense' found",
        ),
        (
            &["--json"],
            "'sealdrop' requires a subcommand but one was not provided \
             [subcommands: submit, box, seal, post, check, watch, reply, withdraw, claim, verify, completions, man, help]",
        ),
    ] {
        let run = place.run(args);
        let json = run.json();
        assert_eq!(json["error"], expected, "{args:?}");
        assert_eq!(json["exit"], 2, "{args:?}");
        run.refused(2, &[expected]);
    }
    let run = place.run(&["verify", "--nonsense"]);
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
}

#[test]
fn pages_and_completions_are_one_json_object_too() {
    let place = Place::new();
    for (args, field) in [(&["man"][..], "page"), (&["completions", "bash"], "script")] {
        let text = place.run(args).out;
        let json = place.run(&[args, &["--json"]].concat()).json();
        assert_eq!(json[field], text);
    }
}

#[test]
fn help_completions_and_man_pages_are_there() {
    let place = Place::new();
    place
        .run(&["--help"])
        .succeeded(&["Examples:", "Exit codes:", "submit"]);
    place
        .run(&["submit", "--help"])
        .succeeded(&["twelve words", "## Steps", "--strip"]);
    for shell in ["bash", "zsh", "fish"] {
        place.run(&["completions", shell]).succeeded(&["sealdrop"]);
    }
    place.run(&["man"]).succeeded(&[".TH", "sealdrop"]);
    place
        .run(&["man", "-o", "man"])
        .succeeded(&["sealdrop-submit.1", "sealdrop-verify.1"]);
    assert!(
        String::from_utf8(place.read("man/sealdrop-check.1"))
            .unwrap()
            .contains("promised")
    );
}

#[test]
fn an_address_behind_the_attachments_is_recognised() {
    let server = LyingServer::start();
    let address = server.address.to_string();
    let run = Place::new().run(&["submit", "--attach", "p1", &address, "--json"]);
    let hint = format!("put the address first: sealdrop submit '{address}' --attach FILE…");
    run.refused(2, &["the address was taken for one of the files", &hint]);
    assert_eq!(run.json()["hint"], hint);
    let help = Place::new().run(&["submit", "--help"]);
    help.succeeded(&["sealdrop submit <ADDRESS> [OPTIONS]"]);
}

#[test]
fn a_file_that_is_no_report_yet_says_what_is_missing() {
    let server = LyingServer::start();
    let place = Place::new();
    place
        .write("bom.md", "\u{feff}# Title\n\nText.\n")
        .write("text.md", "Text.\n")
        .write("long.md", "x".repeat(3 << 20));
    let submit = |file| place.run_for(&server, "submit", &["--yes", "--from", file]);
    submit("bom.md").succeeded(&["Sent."]);
    submit("text.md").refused(
        2,
        &[
            "the report has no title",
            "begin the file with a line `# Title`",
        ],
    );
    submit("long.md").refused(
        2,
        &[
            "long.md is larger than such a file can be (",
            "shorten it, and send the longest part with --attach",
        ],
    );
}

#[test]
fn nothing_is_wider_than_a_terminal_but_what_is_to_be_copied() {
    let server = LyingServer::start();
    let place = Place::new();
    let args = [&REPORT[..], &["--receipt", "r.json"]].concat();
    let (code, shown) = Terminal::start(place.submit_command(&server, &args)).end();
    assert_eq!(code, Some(0), "{shown}");
    let is_command = |line: &&str| line.trim_start().starts_with("sealdrop ");
    // A bar of progress fills the line and is overwritten.
    let lines = shown.lines().map(|line| line.rsplit('\r').next().unwrap());
    for line in lines.filter(|line| !is_command(line) && !line.contains("sending")) {
        assert!(
            line.replace("\u{1b}[", "").chars().count() <= 90,
            "{line:?}"
        );
    }
}

#[test]
fn two_files_of_one_name_are_refused_before_anything_is_asked() {
    let server = LyingServer::start();
    let place = Place::new();
    for args in [
        ["--receipt", "same", "--save", "same"],
        ["--receipt", "a", "--save", "./a.key"],
        ["--receipt", "a.box", "--save", "a"],
    ] {
        let run = place.try_submit(&server, &args);
        run.refused(2, &["would both write", "give two names"]);
    }
    let args = ["-o", "r.drop", "--key", "r.drop"];
    place
        .seal(&server, &args)
        .refused(2, &["--output and --key would both write r.drop"]);
    assert!(server.requests().is_empty());
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_folder_in_place_of_a_file_is_said_to_be_one_once() {
    let server = LyingServer::start();
    let place = Place::new();
    std::fs::create_dir(place.path("folder")).unwrap();
    let run = place.run_for(&server, "submit", &["--from", "folder"]);
    assert_eq!(
        run.err,
        "error: folder cannot be read: it is a folder\n  give the name of a file in it\n"
    );
}

#[test]
fn what_needs_no_network_lists_no_options_for_it() {
    let place = Place::new();
    for command in ["seal", "verify", "completions", "man"] {
        let run = place.run(&[command, "--help"]);
        run.succeeded(&["--json"]);
        for option in ["--tor", "--proxy", "--ca"] {
            assert!(!run.out.contains(option), "{command} {option}");
        }
    }
    for command in ["submit", "box", "post", "check", "reply", "withdraw"] {
        place
            .run(&[command, "--help"])
            .succeeded(&["--tor", "--proxy", "--ca"]);
    }
    // They do no harm.
    for args in [["--tor", "man"], ["man", "--tor"]] {
        place.run(&args).succeeded(&[]);
    }
}
