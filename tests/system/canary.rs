//! The server cannot read (architecture, invariant 1), and keeps nothing of who sent what: reports full of canaries go through the real
//! server, and then everything that it wrote, said or has in memory is searched for them.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use memchr::memmem::Finder;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng as _;
use sealdrop_core::drop::FileKey;
use sealdrop_core::encoding::{base64, from_base64_array, hex, sha256};
use sealdrop_core::phrase::Phrase;
use sealdrop_core::report::{Attachment, Kind, Report};
use sealdrop_core::roster::Roster;
use sealdrop_tests::{command, scratch, succeed, wait_until};
use socket2::{Domain, Socket, Type};

use crate::site::{Site, note_of, rng, seal};
use crate::wire::{Reply, call, exchange};

const WINDOW: u64 = 1;
/// Where the submitter comes from: all of 127.0.0.0/8 is this machine.
const SUBMITTER: &str = "127.77.66.55";

#[test]
fn the_server_cannot_read() {
    let seen = Evidence::gather();
    for (name, forms) in &seen.secrets.0 {
        for (when, memory) in ["with the drops", "after a sync"].iter().zip(&seen.memory) {
            let there = forms.iter().any(|form| memory.contains(form));
            assert!(!there, "{name} is in memory {when}");
        }
        seen.on_disk_in_log_or_answers(name, forms);
    }
}

#[test]
fn a_stolen_disk_and_the_logs_hold_nothing_of_who_sent_what() {
    let seen = Evidence::gather();
    for (name, forms) in &seen.traces.0 {
        seen.on_disk_in_log_or_answers(name, forms);
    }
    // The disk has digests and sizes, because it has the drops; the log has not even those.
    for (digest, size) in &seen.drops {
        let log = seen.log.as_bytes();
        assert!(!contains(&forms(digest), log), "a digest is logged");
        assert!(
            !contains(&[size.to_string().into()], log),
            "a size is logged"
        );
    }
    for name in ["alice", "127.0.0.1", "/v1/uploads/", "/v1/windows/"] {
        let places = seen.log.matches(name).count();
        let routes = seen.log.matches(&format!("{name}{{")).count();
        // The ready message names the server's own address.
        let ready = seen.log.matches(&format!("ready on http://{name}")).count();
        assert_eq!(places, routes + ready, "{name} is logged:\n{}", seen.log);
    }
}

/// All that a server wrote, said and had in memory, and what was kept from it.
struct Evidence {
    /// What only reporters and members know.
    secrets: Canaries,
    /// What the server learns of a request, and forgets.
    traces: Canaries,
    drops: Vec<([u8; 32], u64)>,
    memory: [Memory; 2],
    files: Vec<(String, Vec<u8>)>,
    log: String,
    answers: Vec<Vec<u8>>,
}

impl Evidence {
    fn gather() -> &'static Self {
        static ONCE: OnceLock<Evidence> = OnceLock::new();
        ONCE.get_or_init(Self::new)
    }

    fn new() -> Self {
        let dir = scratch();
        let data = dir.path().join("data");
        let mut random = rng(4);
        let site = Site::new(&mut random);
        let mut command = site.server(&data);
        // The most that the server, and all that it is made of, will say.
        command
            .env("SEALDROP_LOG", "trace")
            .env("RUST_LOG", "trace");
        command.env("RUST_BACKTRACE", "1");
        let (running, server) = site.start(&mut command);
        let roster = site.publish(server, WINDOW);

        let mut secrets = Canaries::default();
        let (mut drops, mut replies) = (Vec::new(), Vec::new());
        for way in [Way::AtOnce, Way::InPieces] {
            let drop = report(&roster, &mut random, &mut secrets);
            drops.push((sha256(&drop), drop.len() as u64));
            replies.push(way.send(server, &drop));
        }
        let sent = submit_with_the_program(&site, server, dir.path(), &mut random, &mut secrets);
        drops.push((sha256(&sent), sent.len() as u64));
        secrets.add("identity", site.identity.expose());
        secrets.add("identity as text", site.identity.to_age().as_bytes());
        let traces = annoy(server, &mut random);

        let before = Memory::of(running.pid());
        sync(&site, server, drops.len());
        let memory = [before, Memory::of(running.pid())];
        replies.extend(public_answers(server));
        let answers = replies
            .iter()
            .map(|reply| [reply.head.as_bytes(), &reply.body].concat());
        let seen = Self {
            answers: answers.collect(),
            files: files_in(&data),
            log: running.output(),
            secrets,
            traces,
            drops,
            memory,
        };
        seen.check_that_searches_find(&site);
        assert!(running.terminate().success());
        seen
    }

    /// What must be there is found, or else nothing is proven by what is not.
    fn check_that_searches_find(&self, site: &Site) {
        let box_text = site.box_key.to_string();
        for memory in &self.memory {
            println!("{} bytes of memory", memory.len());
            assert!(memory.len() > 1 << 20, "hardly any memory was read");
            assert!(memory.contains(box_text.as_bytes()), "the box is in memory");
        }
        for (digest, _) in &self.drops {
            let digest = Finder::new(digest);
            let found = self
                .files
                .iter()
                .any(|(_, bytes)| digest.find(bytes).is_some());
            assert!(found, "a digest is in the index");
        }
        let routes = ["/v1/drops", "/v1/uploads/{id}"];
        let verbose = routes.iter().all(|route| self.log.contains(route));
        assert!(verbose, "the log is not verbose:\n{}", self.log);
    }

    #[track_caller]
    fn on_disk_in_log_or_answers(&self, name: &str, forms: &[Vec<u8>]) {
        for (path, bytes) in &self.files {
            assert!(!contains(forms, bytes), "{name} is in {path}");
            assert!(!contains(forms, path.as_bytes()), "{name} names {path}");
        }
        assert!(
            !contains(forms, self.log.as_bytes()),
            "{name} is in the log:\n{}",
            self.log
        );
        for answer in &self.answers {
            assert!(!contains(forms, answer), "{name} is in an answer");
        }
    }
}

/// Strings that must be nowhere, each in the forms that it might be there in.
#[derive(Default)]
struct Canaries(Vec<(String, Vec<Vec<u8>>)>);

impl Canaries {
    fn add(&mut self, name: &str, secret: &[u8]) {
        self.0.push((name.into(), forms(secret)));
    }

    /// A new one, of letters.
    fn make(&mut self, name: &str, random: &mut ChaCha20Rng) -> String {
        let letters = (0..24).map(|_| char::from(b'a' + (random.next_u32() % 26) as u8));
        let canary = format!("canary-{}", letters.collect::<String>());
        self.add(name, canary.as_bytes());
        canary
    }
}

/// Raw, hexadecimal, base64 wherever it begins in a longer text, and UTF-16.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), hex(secret).into_bytes()];
    forms.push(hex(secret).to_uppercase().into_bytes());
    for shift in 0..3 {
        let shifted = [&[0; 3][..shift], secret].concat();
        // The first and last characters depend on what is around.
        let (from, to) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        let base64 = &base64(&shifted)[from..to];
        forms.push(base64.as_bytes().to_vec());
        forms.push(base64.replace('+', "-").replace('/', "_").into_bytes());
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        forms.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    forms.sort();
    forms.dedup();
    forms
}

fn contains(forms: &[Vec<u8>], bytes: &[u8]) -> bool {
    forms
        .iter()
        .any(|form| Finder::new(form).find(bytes).is_some())
}

#[test]
fn the_search_for_canaries_finds_every_form() {
    let secret = b"the search must see this";
    let around = |middle: &[u8]| [b"??", middle, b"!"].concat();
    let text = "the search must see this".encode_utf16();
    for (name, bytes) in [
        ("raw", around(secret)),
        ("hex", around(hex(secret).as_bytes())),
        ("base64 at 0", base64(secret).into_bytes()),
        ("base64 at 1", base64(&around(secret)[1..]).into_bytes()),
        ("base64 at 2", base64(&around(secret)).into_bytes()),
        (
            "utf-16",
            around(&text.flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        ),
    ] {
        assert!(contains(&forms(secret), &bytes), "{name}");
    }
    assert!(!contains(&forms(secret), b"the search must see that"));
}

/// A sealed report of which every secret is noted.
fn report(roster: &Roster, random: &mut ChaCha20Rng, secrets: &mut Canaries) -> Vec<u8> {
    let mut entropy = [0; 16];
    random.fill_bytes(&mut entropy);
    let phrase = Phrase::from_entropy(&entropy);
    secrets.add("phrase, its bytes", &entropy);
    secrets.add("phrase", phrase.words().as_bytes());
    let keys = phrase.keys(roster.box_key());
    secrets.add("voice key", &*keys.voice.to_seed());
    secrets.add("reporter's identity", keys.identity.expose());
    secrets.add("conversation", &keys.conversation.0);
    let mut report = Report::new(Kind::Report, roster, &keys, random);
    secrets.add("message id", &report.message);
    for field in ["title", "description", "steps", "versions", "credit-name"] {
        report
            .form
            .insert(field.into(), secrets.make(field, random));
    }
    let content = secrets
        .make("attachment", random)
        .repeat(40_000)
        .into_bytes();
    report.attachments.push(Attachment {
        name: secrets.make("attachment's name", random),
        size: content.len() as u64,
    });
    let file_key = FileKey::generate(random);
    secrets.add("file key", file_key.expose());
    seal(roster, &report, &keys.voice, &file_key, content)
}

enum Way {
    AtOnce,
    InPieces,
}

impl Way {
    /// Leaves a drop; the answer.
    fn send(self, server: SocketAddr, drop: &[u8]) -> Reply {
        let reply = match self {
            Self::AtOnce => from_afar(server, "POST", "/v1/drops", &[], Some(drop)),
            Self::InPieces => {
                let length = drop.len().to_string();
                let headers = [("upload-length", &*length), ("upload-complete", "?0")];
                let begun = from_afar(server, "POST", "/v1/uploads", &headers, Some(b""));
                let path = begun.header("location").expect("an upload has a place");
                let headers = [
                    ("content-type", "application/partial-upload"),
                    ("upload-offset", "0"),
                    ("upload-complete", "?1"),
                ];
                from_afar(server, "PATCH", path, &headers, Some(drop))
            }
        };
        note_of(&reply);
        reply
    }
}

/// A request from the address that is searched for.
fn from_afar(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Reply {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
    let from = SocketAddrV4::new(SUBMITTER.parse().expect("it is an address"), 0);
    socket
        .bind(&SocketAddr::from(from).into())
        .expect("all of 127.0.0.0/8 is here");
    socket.connect(&server.into()).expect("the server listens");
    exchange(TcpStream::from(socket), method, path, headers, body).expect("the server answers")
}

/// Files one more report with the reporter's own program; the drop.
fn submit_with_the_program(
    site: &Site,
    server: SocketAddr,
    dir: &Path,
    random: &mut ChaCha20Rng,
    secrets: &mut Canaries,
) -> Vec<u8> {
    let path = |name: &str| dir.join(name);
    let attachment = secrets.make("name of a file", random);
    let content = secrets.make("content of a file", random);
    fs::write(path(&attachment), content.repeat(1000)).unwrap();
    let mut submit = command("sealdrop");
    submit
        .arg("submit")
        .arg(format!("http://{server}#{}", site.box_key));
    for field in ["title", "description", "steps", "versions", "credit"] {
        submit.arg(format!("--{field}"));
        submit.arg(secrets.make(&format!("{field} by the program"), random));
    }
    submit.arg("--attach").arg(path(&attachment));
    submit.arg("--receipt").arg(path("receipt"));
    submit.arg("--save").arg(path("drop"));
    let answer = succeed(submit.args(["--yes", "--json"]));
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("it is JSON");
    let phrase = answer["phrase"].as_str().expect("it says the phrase");
    secrets.add("phrase of the program", phrase.as_bytes());
    let key = fs::read(path("receipt.key")).expect("it keeps the file key");
    let key: serde_json::Value = serde_json::from_slice(&key).expect("it is JSON");
    let key = key["file_key"].as_str().and_then(from_base64_array::<16>);
    secrets.add("file key of the program", &key.expect("there is a key"));
    fs::read(path("drop")).expect("it keeps the drop")
}

/// Requests that leave as many traces as a request can; what must be in no file and no log.
fn annoy(server: SocketAddr, random: &mut ChaCha20Rng) -> Canaries {
    let mut traces = Canaries::default();
    traces.add("address", SUBMITTER.as_bytes());
    let header = traces.make("header", random);
    let agent = traces.make("user agent", random);
    let path = traces.make("path", random);
    let headers = [
        ("x-annoying", &*header),
        ("user-agent", &*agent),
        ("cookie", &*header),
        ("x-forwarded-for", SUBMITTER),
        ("range", &*header),
        ("sealdrop-request", &*header),
        ("upload-length", &*header),
    ];
    for (method, path) in [
        ("GET", format!("/{path}")),
        ("GET", format!("/v1/box?{path}")),
        ("GET", format!("/v1/box/{path}")),
        ("GET", format!("/v1/windows/{path}/drops/{path}")),
        ("POST", format!("/v1/drops?{path}")),
        ("POST", format!("/v1/uploads?{path}")),
        ("GET", format!("/log/tile/{path}/{path}")),
        ("BREW", format!("/{path}")),
    ] {
        let body = (method == "POST").then_some(path.as_bytes());
        let reply = from_afar(server, method, &path, &headers, body);
        assert!(reply.status < 500, "{method} {path}: {}", reply.status);
    }
    traces
}

/// What a member's machine does: lists, fetches all, and the log.
fn sync(site: &Site, server: SocketAddr, drops: usize) {
    let mut fetched = 0;
    for window in site.windows(server) {
        for (digest, _) in site.listing(server, window) {
            assert!(sha256(&site.body(server, window, &digest)) == digest);
            fetched += 1;
        }
    }
    assert_eq!(fetched, drops);
    wait_until("the log has the drops", || {
        let reply = call(server, "GET", "/log/checkpoint", &[], None).expect("the server answers");
        reply.text().lines().nth(1) >= Some("16")
    });
    let reply = site.get(server, "/log/tile/entries/000.p/16");
    assert_eq!(reply.expect("the server answers").status, 200);
}

fn public_answers(server: SocketAddr) -> Vec<Reply> {
    let paths = [
        "/v1/box",
        "/v1/box/1",
        "/v1/windows",
        "/log/vkey",
        "/log/checkpoint",
        "/log/cosigned",
        "/log/tile/0/000.p/16",
        "/log/tile/entries/000.p/16",
        "/",
    ];
    let get = |path| call(server, "GET", path, &[], None).expect("the server answers");
    paths.into_iter().map(get).collect()
}

/// All files below a folder, with their paths in it.
fn files_in(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            files.push((path.display().to_string(), Vec::new()));
            files.extend(files_in(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            files.push((path.display().to_string(), bytes));
        }
    }
    files
}

/// All that a process can read of its own memory.
struct Memory(Vec<Vec<u8>>);

impl Memory {
    fn of(pid: u32) -> Self {
        let stop = |signal: &str| succeed(Command::new("kill").args([signal, &pid.to_string()]));
        stop("-STOP");
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
        let mut memory = File::open(format!("/proc/{pid}/mem")).expect("it is a child of ours");
        let mut regions = Vec::new();
        for map in maps.lines() {
            let mut fields = map.split_whitespace();
            let (range, flags) = (fields.next().unwrap(), fields.next().unwrap());
            let (from, to) = range.split_once('-').unwrap();
            let from = u64::from_str_radix(from, 16).unwrap();
            let len = u64::from_str_radix(to, 16).unwrap() - from;
            if !flags.starts_with('r') || map.ends_with("[vvar]") || map.ends_with("[vsyscall]") {
                continue;
            }
            memory.seek(SeekFrom::Start(from)).unwrap();
            let mut region = Vec::new();
            // A region that cannot be read to its end is searched as far as it can.
            (&mut memory).take(len).read_to_end(&mut region).ok();
            regions.push(region);
        }
        stop("-CONT");
        Self(regions)
    }

    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    fn contains(&self, form: &[u8]) -> bool {
        let finder = Finder::new(form);
        self.0.iter().any(|region| finder.find(region).is_some())
    }
}
