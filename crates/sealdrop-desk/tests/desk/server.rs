//! A server of docs/protocol.md in memory, honest until a test changes what it has.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use sealdrop_client::BoxFile;
use sealdrop_core::encoding::{from_hex, hex, sha256};
use sealdrop_core::key::{BoxKey, LogRole, SecretKey};
use sealdrop_core::log::checkpoint::{Checkpoint, log_name, log_vkey};
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::tile::{BundleId, TileId, encode, encode_bundle};
use sealdrop_core::log::tree;
use sealdrop_core::note::Note;
use sealdrop_core::request::UnverifiedRequest;
use sealdrop_core::roster::{MAX_AHEAD, Roster};
use sealdrop_core::slip::SLIP;
use sealdrop_core::time::{Time, Window};

/// Length of a window in these tests. Real time is far beyond the first ones, so windows can be closed at will.
pub(crate) const WINDOW: u64 = 3600;

/// What the server has; tests change it to make it lie.
pub(crate) struct State {
    pub(crate) box_key: BoxKey,
    pub(crate) log_key: SecretKey<LogRole>,
    pub(crate) boxes: BTreeMap<u64, BoxFile>,
    /// What `GET /v1/box` shows: the newest, unless a test says otherwise.
    pub(crate) shown: Option<u64>,
    pub(crate) leaves: Vec<Leaf>,
    /// What entry bundles are made of; the leaves, unless a test says otherwise.
    pub(crate) entries: Option<Vec<Leaf>>,
    /// How many leaves the checkpoint covers.
    pub(crate) size: u64,
    /// By window: digest and size as listed.
    pub(crate) listed: BTreeMap<u64, Vec<([u8; 32], u64)>>,
    pub(crate) released: BTreeMap<u64, Note>,
    pub(crate) bodies: BTreeMap<[u8; 32], Vec<u8>>,
    /// Windows of which no body is given any more.
    pub(crate) expired: HashSet<u64>,
    /// Accepted and listed, or rosters that are shown, and left out of the log.
    pub(crate) hidden: HashSet<[u8; 32]>,
    pub(crate) cosigned: Vec<Note>,
    /// A file of a desk that is read when a cosignature comes, and what was in it then.
    pub(crate) watched: Option<PathBuf>,
    pub(crate) seen: Vec<String>,
    pub(crate) requests: Vec<String>,
    /// What its clock says: it dates its answers by it, and takes no roster from after it. `None`: right, and not said.
    pub(crate) clock: Option<u64>,
    /// No request of a member is good enough.
    pub(crate) refuses_members: bool,
    /// Not every member has cosigned.
    pub(crate) refuses_releases: bool,
    /// Slips posted, by window and member.
    pub(crate) slips: BTreeMap<(u64, String), Vec<u8>>,
    /// How many windows back from now slips are taken for.
    pub(crate) slips_ago: u64,
    /// What the posting of slips is answered with instead: a status, and whether they are taken all the same.
    pub(crate) refuses_slips: Option<(u16, bool)>,
    /// Windows that a lie about posted slips names.
    pub(crate) says_window: Option<u64>,
    /// No request is answered while this holds.
    pub(crate) stalls: bool,
    /// Whether it keeps to itself that a member has posted.
    pub(crate) hides_posted: bool,
    /// Every body of slips that came, taken or not.
    pub(crate) posts: Vec<Vec<u8>>,
    /// The segments of closed windows.
    pub(crate) segments: BTreeMap<u64, Vec<u8>>,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) origin: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start(box_key: BoxKey) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            box_key,
            log_key: SecretKey::from_seed(&[0x10; 32]),
            boxes: BTreeMap::new(),
            shown: None,
            leaves: Vec::new(),
            entries: None,
            size: 0,
            listed: BTreeMap::new(),
            released: BTreeMap::new(),
            bodies: BTreeMap::new(),
            expired: HashSet::new(),
            hidden: HashSet::new(),
            cosigned: Vec::new(),
            watched: None,
            seen: Vec::new(),
            requests: Vec::new(),
            clock: None,
            refuses_members: false,
            refuses_releases: false,
            slips: BTreeMap::new(),
            slips_ago: 0,
            refuses_slips: None,
            says_window: None,
            stalls: false,
            hides_posted: false,
            posts: Vec::new(),
            segments: BTreeMap::new(),
        };
        let server = Self {
            origin,
            state: Arc::new(Mutex::new(state)),
        };
        let answering = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = answering.clone();
                std::thread::spawn(move || server.answer(&stream));
            }
        });
        server
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The newest roster.
    pub(crate) fn roster(&self) -> Roster {
        let state = self.lock();
        let (_, file) = state.boxes.last_key_value().unwrap();
        Roster::verify_ignoring_expiry(&file.roster, &state.box_key).unwrap()
    }

    /// The window of now.
    pub(crate) fn now(&self) -> u64 {
        sealdrop_client::system::now().0 / WINDOW
    }

    /// A drop arrives in a window.
    pub(crate) fn accept(&self, body: &[u8], window: u64) -> [u8; 32] {
        self.lock().accept(body, window)
    }

    /// A window ends: padding and a checkpoint.
    pub(crate) fn close(&self, window: u64) {
        self.lock().close(window);
    }

    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let (mut words, mut length) = (line.split(' '), 0);
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut signed = None;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "sealdrop-request" => signed = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, answer) = self
            .lock()
            .respond(&method, &path, &body, signed.as_deref());
        while self.lock().stalls {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut stream = stream;
        let date = self.lock().clock.map_or(String::new(), |now| {
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(now);
            format!("date: {}\r\n", httpdate::fmt_http_date(at))
        });
        let kind = match status {
            400.. => "content-type: application/problem+json\r\n",
            _ => "",
        };
        write!(
            stream,
            "HTTP/1.1 {status} X\r\n{date}{kind}content-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        )
        .ok()?;
        stream.write_all(&answer).ok()
    }
}

impl State {
    fn accept(&mut self, body: &[u8], window: u64) -> [u8; 32] {
        let digest = sha256(body);
        self.bodies.insert(digest, body.to_vec());
        self.listed
            .entry(window)
            .or_default()
            .push((digest, body.len() as u64));
        digest
    }

    /// Pads and signs: everything listed for the window, and not hidden, is an entry then.
    pub(crate) fn close(&mut self, window: u64) {
        for file in self.boxes.values() {
            let note = file.roster.to_string();
            let digest = sha256(note.as_bytes());
            let is_known = self.leaves.iter().any(|leaf| leaf.digest == digest);
            if !is_known && !self.hidden.contains(&digest) {
                self.leaves.push(Leaf {
                    kind: LeafKind::Roster,
                    digest,
                    size: note.len() as u64,
                    window: Window(window),
                });
            }
        }
        for (digest, size) in self.listed.get(&window).cloned().unwrap_or_default() {
            if !self.hidden.contains(&digest) {
                self.push(LeafKind::Drop, digest, size, window);
            }
        }
        let mut segment: Vec<&[u8]> = Vec::new();
        for ((of, _), body) in &self.slips {
            if *of == window {
                segment.extend(body.chunks(SLIP));
            }
        }
        segment.sort_unstable();
        let segment = segment.concat();
        if !segment.is_empty() {
            self.push(
                LeafKind::Segment,
                sha256(&segment),
                segment.len() as u64,
                window,
            );
            self.segments.insert(window, segment);
        }
        loop {
            let random =
                sha256(&[&window.to_be_bytes()[..], &self.leaves.len().to_be_bytes()].concat());
            self.leaves.push(Leaf::pad(random, Window(window)));
            if self.leaves.len().is_multiple_of(16) {
                break;
            }
        }
        self.size = self.leaves.len() as u64;
    }

    pub(crate) fn push(&mut self, kind: LeafKind, digest: [u8; 32], size: u64, window: u64) {
        self.leaves.push(Leaf {
            kind,
            digest,
            size,
            window: Window(window),
        });
    }

    pub(crate) fn checkpoint(&self) -> Note {
        let hashes: Vec<_> = self.leaves[..self.size as usize]
            .iter()
            .map(Leaf::hash)
            .collect();
        let origin = log_name(&self.box_key, &self.log_key.to_public());
        Checkpoint {
            origin,
            size: self.size,
            root: tree::root(&hashes),
        }
        .sign(&self.log_key)
    }

    fn respond(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        signed: Option<&str>,
    ) -> (u16, Vec<u8>) {
        self.requests.push(format!("{method} {path}"));
        self.try_respond(method, path, body, signed)
            .unwrap_or((404, Vec::new()))
    }

    fn try_respond(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        signed: Option<&str>,
    ) -> Option<(u16, Vec<u8>)> {
        let ok = |bytes: Vec<u8>| Some((200, bytes));
        let newest = self
            .shown
            .or_else(|| self.boxes.keys().next_back().copied());
        if let Some(epoch) = path.strip_prefix("/v1/box/") {
            return ok(self.boxes.get(&epoch.parse().ok()?)?.to_json().into_bytes());
        }
        match (method, path) {
            ("GET", "/v1/box") => return ok(self.boxes.get(&newest?)?.to_json().into_bytes()),
            ("PUT", "/v1/box") => {
                let file = BoxFile::parse(body).ok()?;
                let Ok(roster) = Roster::verify_ignoring_expiry(&file.roster, &self.box_key) else {
                    return Some((403, Vec::new()));
                };
                let now = self
                    .clock
                    .unwrap_or_else(|| sealdrop_client::system::now().0);
                if roster.issued().0 > now + MAX_AHEAD || now >= roster.expires().0 {
                    return Some((403, Vec::new()));
                }
                if self.boxes.values().next_back() == Some(&file) {
                    return Some((204, Vec::new()));
                }
                if self
                    .boxes
                    .keys()
                    .next_back()
                    .is_some_and(|last| roster.epoch() <= *last)
                {
                    return Some((409, Vec::new()));
                }
                self.boxes.insert(roster.epoch(), file);
                return Some((204, Vec::new()));
            }
            ("GET", "/log/vkey") => {
                return ok(
                    format!("{}\n", log_vkey(&self.box_key, &self.log_key.to_public()))
                        .into_bytes(),
                );
            }
            ("GET", "/log/checkpoint") => return ok(self.checkpoint().to_string().into_bytes()),
            ("GET", path) if path.starts_with("/v1/feed/") => {
                let window = path.strip_prefix("/v1/feed/")?.parse().ok()?;
                return ok(self.segments.get(&window)?.clone());
            }
            ("POST", "/v1/drops") => {
                let window = sealdrop_client::system::now().0 / WINDOW;
                let digest = self.accept(body, window);
                let name = log_name(&self.box_key, &self.log_key.to_public());
                let promise = Promise::new(digest, body.len() as u64, Window(window))
                    .sign(&name, &self.log_key);
                return Some((201, promise.to_string().into_bytes()));
            }
            _ => {}
        }
        if let Some(id) = path
            .strip_prefix("/log/")
            .and_then(|rest| TileId::parse_path(rest).ok())
        {
            let hashes: Vec<_> = self.leaves[..self.size as usize]
                .iter()
                .map(Leaf::hash)
                .collect();
            let node = tree::nodes_of(&hashes);
            let first = id.index * 256;
            let nodes: Result<Vec<_>, _> = (first..first + u64::from(id.width))
                .map(|index| node(id.level * 8, index))
                .collect();
            return ok(encode(&nodes.ok()?));
        }
        self.check_member(method, path, body, signed)?
            .then_some(())
            .map_or(Some((401, Vec::new())), |()| {
                self.respond_to_member(method, path, body, signed)
            })
    }

    /// The same checks that the real server makes, but for time and nonces.
    fn check_member(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        signed: Option<&str>,
    ) -> Option<bool> {
        let Some(request) = signed.and_then(|value| UnverifiedRequest::parse(value).ok()) else {
            return Some(false);
        };
        if self.refuses_members {
            return Some(false);
        }
        let (_, file) = self.boxes.last_key_value()?;
        let roster = Roster::verify_ignoring_expiry(&file.roster, &self.box_key).ok()?;
        let Some(device) = roster
            .devices()
            .iter()
            .find(|d| d.name() == request.key_name())
        else {
            return Some(false);
        };
        let received = sealdrop_core::request::Received {
            method,
            path,
            body: &sha256(body),
            now: sealdrop_client::system::now(),
            started: Time(0),
        };
        let origins = roster.origins().iter().map(|origin| origin.as_str());
        Some(
            request
                .verify(&device.access)
                .is_ok_and(|request| request.check(origins, &received).is_ok()),
        )
    }

    fn respond_to_member(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        signed: Option<&str>,
    ) -> Option<(u16, Vec<u8>)> {
        let json = |value: serde_json::Value| Some((200, value.to_string().into_bytes()));
        if let Some(id) = path
            .strip_prefix("/log/")
            .and_then(|rest| BundleId::parse_path(rest).ok())
        {
            let leaves = self.entries.as_ref().unwrap_or(&self.leaves);
            let start = id.start() as usize;
            let entries: Vec<_> = leaves
                .get(start..start + usize::from(id.width))?
                .iter()
                .map(Leaf::to_text)
                .collect();
            return Some((200, encode_bundle(&entries).ok()?));
        }
        if (method, path) == ("POST", "/log/cosign") {
            let note = Note::parse(body).ok()?;
            if let Some(path) = &self.watched {
                self.seen.push(std::fs::read_to_string(path).unwrap());
            }
            if note.text() != self.checkpoint().text() {
                return Some((409, Vec::new()));
            }
            self.cosigned.push(note);
            return Some((204, Vec::new()));
        }
        if (method, path) == ("POST", "/v1/slips") {
            self.posts.push(body.to_vec());
            let (status, takes) = self.refuses_slips.unwrap_or((200, true));
            let window = sealdrop_client::system::now().0 / WINDOW - self.slips_ago;
            let machine = UnverifiedRequest::parse(signed?)
                .ok()?
                .key_name()
                .to_owned();
            if takes {
                let member = machine.split('/').next()?.to_owned();
                // The same bytes again, after their window has closed.
                if self.slips.get(&(window - 1, member.clone())) == Some(&body.to_vec()) {
                    return json(serde_json::json!({ "window": window - 1 }));
                }
                match self.slips.get(&(window, member.clone())) {
                    Some(before) if before != body => return Some((409, Vec::new())),
                    _ => self.slips.insert((window, member), body.to_vec()),
                };
            }
            if status == 503 {
                return Some((503, br#"{"type": "urn:sealdrop:error:full"}"#.to_vec()));
            }
            if status != 200 {
                return Some((status, Vec::new()));
            }
            return json(serde_json::json!({ "window": self.says_window.unwrap_or(window) }));
        }
        if path == "/v1/windows" {
            let windows: Vec<_> = self
                .listed
                .keys()
                .chain(self.released.keys())
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect();
            let now = sealdrop_client::system::now().0 / WINDOW;
            let machine = UnverifiedRequest::parse(signed?)
                .ok()?
                .key_name()
                .to_owned();
            let member = machine.split('/').next()?.to_owned();
            let open = now - self.slips_ago;
            let has_posted = self.slips.contains_key(&(open, member)) && !self.hides_posted;
            let posted = has_posted.then_some(open);
            return json(serde_json::json!({ "now": now, "windows": windows, "posted": posted }));
        }
        let parts: Vec<&str> = path.strip_prefix("/v1/windows/")?.split('/').collect();
        let window: u64 = parts[0].parse().ok()?;
        match (method, &parts[1..]) {
            ("GET", ["drops"]) => {
                let drops: Vec<_> = self
                    .listed
                    .get(&window)
                    .into_iter()
                    .flatten()
                    .map(|(d, s)| serde_json::json!({ "digest": hex(d), "size": s }))
                    .collect();
                let released = self.released.get(&window).map(ToString::to_string);
                json(serde_json::json!({ "window": window, "drops": drops, "released": released }))
            }
            ("GET", ["drops", _]) if self.expired.contains(&window) => Some((410, Vec::new())),
            ("GET", ["drops", digest]) => Some((200, self.bodies.get(&from_hex(digest)?)?.clone())),
            ("POST", ["release"]) if self.refuses_releases => Some((409, Vec::new())),
            ("POST", ["release"]) => {
                let note = UnverifiedRequest::parse(signed?).ok()?.note().clone();
                for (digest, _) in self.listed.insert(window, Vec::new()).unwrap_or_default() {
                    self.bodies.remove(&digest);
                }
                let text = note.to_string();
                self.push(
                    LeafKind::Release,
                    sha256(text.as_bytes()),
                    text.len() as u64,
                    window + 1,
                );
                self.released.insert(window, note);
                Some((204, Vec::new()))
            }
            _ => None,
        }
    }
}
