//! A box with fixed keys, and a small server of it in memory that can be told to lie. Written from docs/protocol.md, without a line of the
//! real server; the tests of `sealdrop` share it.

#![allow(dead_code, reason = "each test binary uses another part of it")]

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use rand_core::Rng as _;
use sealdrop_client::{BoxFile, system};
use sealdrop_core::address::{Address, Origin};
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::key::{
    AccessRole, BoxSecret, LogRole, SecretKey, VoiceRole, WitnessRole, device_keys,
};
use sealdrop_core::log::checkpoint::{Checkpoint, log_name, log_vkey};
use sealdrop_core::log::cosignature::cosign;
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::promise::Promise;
use sealdrop_core::log::tile::{self, TileId};
use sealdrop_core::log::tree;
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::phrase::Phrase;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::report::Reporter;
use sealdrop_core::roster::{Device, Draft, Member, Roster};
use sealdrop_core::slip::message::{Envelope, Message};
use sealdrop_core::slip::{self, PartKind, Slip};
use sealdrop_core::time::{Time, Window};

/// The window length of the fixture's rosters.
pub(crate) const WINDOW: u64 = 3600;
pub(crate) const POLICY: &str = "We answer within three days.\n";

/// The keys of a box with `ada` and `ben`, each with one machine.
pub(crate) struct Keys {
    pub(crate) box_secret: BoxSecret,
    pub(crate) log: SecretKey<LogRole>,
    pub(crate) members: Vec<MemberKeys>,
}

pub(crate) struct MemberKeys {
    pub(crate) name: &'static str,
    pub(crate) identity: IdentitySeed,
    pub(crate) voice: SecretKey<VoiceRole>,
    pub(crate) access: SecretKey<AccessRole>,
    pub(crate) witness: SecretKey<WitnessRole>,
}

impl Keys {
    pub(crate) fn new(seed: u8) -> Self {
        let member = |name, n: u8| {
            let (access, witness) = device_keys(&[seed ^ (n + 3); 32]);
            MemberKeys {
                name,
                identity: IdentitySeed::from_bytes(&[seed ^ n; 32]),
                voice: SecretKey::from_seed(&[seed ^ (n + 1); 32]),
                access,
                witness,
            }
        };
        Self {
            box_secret: SecretKey::from_seed(&[seed; 32]),
            log: SecretKey::from_seed(&[seed ^ 1; 32]),
            members: vec![member("ada", 16), member("ben", 32)],
        }
    }

    /// A roster of now; change it before signing it.
    pub(crate) fn draft(&self, origin: &Origin) -> Draft {
        let box_key = self.box_secret.to_public();
        let now = system::now();
        Draft {
            origins: vec![origin.clone()],
            epoch: 3,
            issued: Time(now.0 - 1000),
            expires: Time(now.0 + 1_000_000),
            window: WINDOW,
            retention: 7_776_000,
            slips: 8,
            max_drop: 1 << 30,
            policy: sha256(POLICY.as_bytes()),
            log: log_vkey(&box_key, &self.log.to_public()),
            members: self
                .members
                .iter()
                .map(|member| Member {
                    name: member.name.into(),
                    role: "lead".into(),
                    recipient: member.identity.to_public(),
                    voice: Vkey::new(member.name, member.voice.to_public()),
                })
                .collect(),
            devices: self
                .members
                .iter()
                .map(|member| Device {
                    access: Vkey::new(member.device(), member.access.to_public()),
                    witness: Vkey::new(member.device(), member.witness.to_public()),
                })
                .collect(),
            box_key,
        }
    }

    pub(crate) fn sign(&self, draft: &Draft) -> Roster {
        draft.sign(&self.box_secret).unwrap()
    }

    pub(crate) fn log_name(&self) -> String {
        log_name(&self.box_secret.to_public(), &self.log.to_public())
    }

    /// A checkpoint over these leaves, cosigned by the machines of the members named.
    pub(crate) fn checkpoint(&self, leaves: &[Leaf], cosigners: &[&str]) -> Note {
        let hashes: Vec<_> = leaves.iter().map(Leaf::hash).collect();
        let checkpoint = Checkpoint {
            origin: self.log_name(),
            size: leaves.len() as u64,
            root: tree::root(&hashes),
        };
        let mut note = checkpoint.sign(&self.log);
        for member in self
            .members
            .iter()
            .filter(|member| cosigners.contains(&member.name))
        {
            note.push(cosign(
                &checkpoint,
                &member.device(),
                &member.witness,
                system::now(),
            ));
        }
        note
    }
}

impl MemberKeys {
    pub(crate) fn device(&self) -> String {
        format!("{}/desk", self.name)
    }
}

/// The leaf of a segment.
pub(crate) fn segment_leaf(window: Window, bytes: &[u8]) -> Leaf {
    Leaf {
        kind: LeafKind::Segment,
        digest: sha256(bytes),
        size: bytes.len() as u64,
        window,
    }
}

/// What a member says, on its way to a reporter. Tests change it as they like before it is sealed.
pub(crate) struct Saying {
    pub(crate) envelope: Envelope,
    pub(crate) message: Message,
    reporter: Reporter,
    voice: SecretKey<VoiceRole>,
}

impl Saying {
    /// Something that `ada` says in words to the conversation of `phrase`, under the roster in force.
    pub(crate) fn new(server: &LyingServer, phrase: &Phrase, text: &str) -> Self {
        let roster = server.state().roster.clone();
        let keys = phrase.keys(roster.box_key());
        let mut message = [0; 16];
        system::rng().fill_bytes(&mut message);
        Self {
            envelope: Envelope {
                box_key: roster.box_key().clone(),
                epoch: roster.epoch(),
                conversation: keys.conversation,
                message,
                number: 1,
                member: "ada".into(),
                kind: PartKind::Note,
            },
            message: Message {
                text: text.into(),
                ..Message::default()
            },
            reporter: Reporter {
                recipient: keys.identity.to_public(),
                clue: keys.clue.to_public(),
                voice: keys.voice.to_public(),
            },
            voice: SecretKey::from_seed(&server.keys().members[0].voice.to_seed()),
        }
    }

    pub(crate) fn kind(mut self, kind: PartKind, change: impl FnOnce(&mut Message)) -> Self {
        self.envelope.kind = kind;
        change(&mut self.message);
        self
    }

    /// Signed by another key than the member's.
    pub(crate) fn forged(mut self) -> Self {
        self.voice = SecretKey::from_seed(&[200; 32]);
        self
    }

    pub(crate) fn seal(&self) -> Vec<Box<Slip>> {
        let parts = self.envelope.parts(&self.message).unwrap();
        let seal = |part| slip::seal(part, &self.reporter, &self.voice, &mut system::rng());
        parts.iter().map(seal).collect()
    }
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in the spelling of the wire.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, counted from 0.
    pub(crate) connection: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Ends the connection before anything is answered.
    pub(crate) cut: bool,
    /// Ends it after so many bytes of the body.
    pub(crate) cut_body: Option<usize>,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            body: bytes.into(),
            ..Self::new(200)
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn cut() -> Self {
        Self {
            cut: true,
            ..Self::default()
        }
    }
}

/// What the server holds. Tests change it as they like.
pub(crate) struct State {
    pub(crate) keys: Arc<Keys>,
    pub(crate) roster: Roster,
    /// Those before it.
    pub(crate) older: Vec<Roster>,
    pub(crate) policy: String,
    /// The feed.
    pub(crate) segments: BTreeMap<Window, Vec<u8>>,
    pub(crate) leaves: Vec<Leaf>,
    /// How many of them are under the newest checkpoint.
    pub(crate) closed: usize,
    pub(crate) cosigned: Vec<Note>,
    pub(crate) bodies: HashMap<[u8; 32], Vec<u8>>,
    pub(crate) uploads: HashMap<String, Upload>,
    pub(crate) requests: Vec<Request>,
    pub(crate) connections: usize,
    /// Says of a body's head whether the connection is cut after so many bytes of the body.
    pub(crate) cut_patch_after: Vec<usize>,
}

#[derive(Default)]
pub(crate) struct Upload {
    pub(crate) length: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) complete: bool,
}

impl State {
    /// Closes the window: pads, and puts everything under a checkpoint.
    pub(crate) fn close_window(&mut self) {
        let window = system::now().window(WINDOW);
        loop {
            let n = self.leaves.len() as u8;
            self.leaves.push(Leaf::pad([n; 32], window));
            if self.leaves.len().is_multiple_of(16) {
                break;
            }
        }
        self.closed = self.leaves.len();
    }

    pub(crate) fn cosign(&mut self, members: &[&str]) {
        let note = self.keys.checkpoint(&self.leaves[..self.closed], members);
        self.cosigned.insert(0, note);
    }

    /// Puts the segment of a window into the feed and the log: these slips, and decoys for the rest.
    pub(crate) fn add_segment(&mut self, window: Window, slips: &[Box<Slip>]) {
        let mut slips = slips.to_vec();
        while slips.len() < 8 {
            slips.push(slip::decoy(self.roster.box_key(), &mut system::rng()));
        }
        slips.sort();
        let bytes: Vec<u8> = slips.iter().flat_map(|slip| slip.iter().copied()).collect();
        self.leaves.push(segment_leaf(window, &bytes));
        self.segments.insert(window, bytes);
        self.close_window();
    }

    fn feed(&self, window: Option<&str>) -> Answer {
        let Some(window) = window else {
            let segment = |(window, bytes): (&Window, &Vec<u8>)| {
                let leaf = segment_leaf(*window, bytes);
                serde_json::json!({"window": window.0, "digest": hex(&leaf.digest), "size": leaf.size})
            };
            let segments: Vec<_> = self.segments.iter().map(segment).collect();
            return Answer::bytes(serde_json::json!({ "segments": segments }).to_string());
        };
        let segment = window
            .parse()
            .ok()
            .and_then(|w| self.segments.get(&Window(w)));
        segment.map_or(Answer::new(404), |bytes| Answer::bytes(bytes.clone()))
    }

    fn accept(&mut self, bytes: &[u8]) -> Answer {
        let window = system::now().window(WINDOW);
        let digest = sha256(bytes);
        if self.bodies.insert(digest, bytes.to_vec()).is_none() {
            self.leaves.push(Leaf {
                kind: LeafKind::Drop,
                digest,
                size: bytes.len() as u64,
                window,
            });
        }
        let promise = Promise::new(digest, bytes.len() as u64, window)
            .sign(&self.keys.log_name(), &self.keys.log);
        Answer {
            body: promise.to_string().into_bytes(),
            ..Answer::new(201)
        }
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.path.as_str();
        match (request.method.as_str(), path) {
            ("GET", "/v1/box") => self.box_answer(&self.roster),
            ("GET", path) if path.starts_with("/v1/box/") => {
                let epoch = path["/v1/box/".len()..].parse().ok();
                let mut rosters = self.older.iter().chain([&self.roster]);
                rosters
                    .find(|roster| Some(roster.epoch()) == epoch)
                    .map_or(Answer::new(404), |roster| self.box_answer(roster))
            }
            ("GET", "/v1/feed") => self.feed(None),
            ("GET", path) if path.starts_with("/v1/feed/") => {
                self.feed(Some(&path["/v1/feed/".len()..]))
            }
            ("POST", "/v1/drops") => self.accept(&request.body),
            ("POST", "/v1/uploads") => {
                let id = hex(&[self.uploads.len() as u8 + 1; 16]);
                let length = request
                    .header("upload-length")
                    .and_then(|length| length.parse().ok())
                    .unwrap();
                self.uploads.insert(
                    id.clone(),
                    Upload {
                        length,
                        ..Upload::default()
                    },
                );
                Answer::new(201).header("location", format!("/v1/uploads/{id}"))
            }
            (method, path) if path.starts_with("/v1/uploads/") => {
                self.upload(method, &path["/v1/uploads/".len()..], request)
            }
            ("GET", "/log/checkpoint") => Answer::bytes(
                self.keys
                    .checkpoint(&self.leaves[..self.closed], &[])
                    .to_string(),
            ),
            ("GET", "/log/cosigned") => {
                let notes: Vec<String> = self.cosigned.iter().map(ToString::to_string).collect();
                Answer::bytes(serde_json::json!({ "checkpoints": notes }).to_string())
            }
            ("GET", path) if path.starts_with("/log/tile/") => {
                match TileId::parse_path(&path["/log/".len()..]) {
                    Ok(id) if id.level == 0 => {
                        let start = id.index as usize * 256;
                        let hashes = self
                            .leaves
                            .get(start..start + usize::from(id.width))
                            .map(|l| l.iter().map(Leaf::hash).collect::<Vec<_>>());
                        hashes.map_or(Answer::new(404), |hashes| {
                            Answer::bytes(tile::encode(&hashes))
                        })
                    }
                    _ => Answer::new(404),
                }
            }
            _ => Answer::new(404),
        }
    }

    fn box_answer(&self, roster: &Roster) -> Answer {
        let file = BoxFile {
            roster: roster.note().clone(),
            policy: self.policy.clone(),
        };
        Answer::bytes(file.to_json())
    }

    fn upload(&mut self, method: &str, id: &str, request: &Request) -> Answer {
        if method == "DELETE" {
            return Answer::new(if self.uploads.remove(id).is_some() {
                204
            } else {
                404
            });
        }
        let Some(upload) = self.uploads.get_mut(id) else {
            return Answer::new(404);
        };
        let offset = upload.bytes.len();
        if method == "PATCH" {
            if request.header("upload-offset") != Some(&offset.to_string()) {
                return Answer::new(409);
            }
            upload.bytes.extend_from_slice(&request.body);
            if request.header("upload-complete") == Some("?1")
                && upload.bytes.len() as u64 == upload.length
            {
                upload.complete = true;
                let bytes = upload.bytes.clone();
                return self.accept(&bytes);
            }
        }
        let upload = &self.uploads[id];
        Answer::new(204)
            .header("upload-offset", upload.bytes.len())
            .header("upload-length", upload.length)
            .header("upload-complete", if upload.complete { "?1" } else { "?0" })
    }
}

/// What the server answers instead of the truth; `None` for the truth.
pub(crate) type Lie = Box<dyn FnMut(&Request, &mut State) -> Option<Answer> + Send>;

/// What is done before each request is answered, while others are answered too.
pub(crate) type Before = Arc<dyn Fn(&Request) + Send + Sync>;

/// A server on a port of this machine, until it is dropped.
pub(crate) struct LyingServer {
    pub(crate) address: Address,
    port: SocketAddr,
    state: Arc<Mutex<State>>,
    lie: Arc<Mutex<Option<Lie>>>,
    before: Arc<Mutex<Option<Before>>>,
}

impl LyingServer {
    /// An honest one.
    pub(crate) fn start() -> Self {
        Self::with_keys(Keys::new(7))
    }

    pub(crate) fn with_keys(keys: Keys) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap();
        let origin: Origin = format!("http://{port}").parse().unwrap();
        Self::serve(keys, listener, origin)
    }

    /// One that is known by another origin, as behind a proxy.
    pub(crate) fn with_origin(origin: &str) -> Self {
        Self::serve(
            Keys::new(7),
            TcpListener::bind("127.0.0.1:0").unwrap(),
            origin.parse().unwrap(),
        )
    }

    fn serve(keys: Keys, listener: TcpListener, origin: Origin) -> Self {
        let port = listener.local_addr().unwrap();
        let roster = keys.sign(&keys.draft(&origin));
        let address = Address {
            origin,
            box_key: keys.box_secret.to_public(),
        };
        let state = State {
            keys: Arc::new(keys),
            roster,
            older: Vec::new(),
            policy: POLICY.into(),
            segments: BTreeMap::new(),
            leaves: Vec::new(),
            closed: 0,
            cosigned: Vec::new(),
            bodies: HashMap::new(),
            uploads: HashMap::new(),
            requests: Vec::new(),
            connections: 0,
            cut_patch_after: Vec::new(),
        };
        let server = Self {
            address,
            port,
            state: Arc::new(Mutex::new(state)),
            lie: Arc::default(),
            before: Arc::default(),
        };
        let (state, lie) = (server.state.clone(), server.lie.clone());
        let before = server.before.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, lie, before) = (state.clone(), lie.clone(), before.clone());
                let Ok(stream) = stream else { return };
                thread::spawn(move || drop(connection(&stream, &state, &lie, &before)));
            }
        });
        server
    }

    pub(crate) fn port(&self) -> SocketAddr {
        self.port
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.state().keys.clone()
    }

    /// From here on it lies.
    pub(crate) fn lie(
        &self,
        lie: impl FnMut(&Request, &mut State) -> Option<Answer> + Send + 'static,
    ) {
        *self.lie.lock().unwrap() = Some(Box::new(lie));
    }

    /// From here on this is done before each answer.
    pub(crate) fn before(&self, before: impl Fn(&Request) + Send + Sync + 'static) {
        *self.before.lock().unwrap() = Some(Arc::new(before));
    }

    /// Answers one path with these bytes.
    pub(crate) fn lie_at(&self, path: &'static str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.lie(move |request, _| (request.path == path).then(|| Answer::bytes(bytes.clone())));
    }

    /// The requests so far, as `METHOD path`, in the order in which they came. Segments, and tiles, are asked for side by side, and stand in the order of their
    /// paths: which of them comes first is the network's doing.
    pub(crate) fn requests(&self) -> Vec<String> {
        let state = self.state();
        let kind = |request: &Request| {
            ["/v1/feed/", "/log/tile/"]
                .into_iter()
                .position(|kind| request.path.starts_with(kind))
        };
        let mut all = Vec::new();
        for run in state.requests.chunk_by(|a, b| kind(a) == kind(b)) {
            let mut run: Vec<String> = run
                .iter()
                .map(|request| format!("{} {}", request.method, request.path))
                .collect();
            if run[0].contains("/v1/feed/") || run[0].contains("/log/tile/") {
                run.sort();
            }
            all.extend(run);
        }
        all
    }

    /// Publishes another roster.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Draft)) {
        let keys = self.keys();
        let mut draft = self.state().roster.draft().clone();
        change(&mut draft);
        let mut state = self.state();
        let older = std::mem::replace(&mut state.roster, keys.sign(&draft));
        state.older.push(older);
    }

    pub(crate) fn window(&self) -> Window {
        system::now().window(WINDOW)
    }

    /// Puts the segment of the window so many before the one of now into the feed and the log.
    pub(crate) fn segment(&self, ago: u64, slips: &[Box<Slip>]) -> Window {
        let window = Window(self.window().0 - ago);
        self.state().add_segment(window, slips);
        window
    }
}

fn connection(
    stream: &TcpStream,
    state: &Mutex<State>,
    lie: &Mutex<Option<Lie>>,
    before: &Mutex<Option<Before>>,
) -> io::Result<()> {
    let number = {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        state.connections - 1
    };
    let mut reader = BufReader::new(stream);
    loop {
        let Some(mut request) = read_head(&mut reader, number)? else {
            return Ok(());
        };
        let length: usize = request
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let cut = match request.method.as_str() {
            "PATCH" => state.lock().unwrap().cut_patch_after.pop(),
            _ => None,
        };
        request.body = vec![0; cut.unwrap_or(length).min(length)];
        reader.read_exact(&mut request.body)?;
        let first = before.lock().unwrap().clone();
        if let Some(first) = first {
            first(&request);
        }
        let lied = {
            let mut lie = lie.lock().unwrap();
            let mut state = state.lock().unwrap();
            let answer = lie.as_mut().and_then(|lie| lie(&request, &mut state));
            state.requests.push(request.clone());
            answer
        };
        let mut answer = match lied {
            Some(answer) => answer,
            None => state.lock().unwrap().answer(&request),
        };
        answer.cut |= cut.is_some();
        if answer.cut {
            return Ok(());
        }
        write_answer(stream, &request, &answer)?;
        if answer.cut_body.is_some() {
            return Ok(());
        }
    }
}

fn read_head(reader: &mut BufReader<&TcpStream>, connection: usize) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default().to_owned(),
        words.next().unwrap_or_default().to_owned(),
    );
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => {
                return Ok(Some(Request {
                    method,
                    path,
                    headers,
                    body: Vec::new(),
                    connection,
                }));
            }
        }
    }
}

fn write_answer(mut stream: &TcpStream, request: &Request, answer: &Answer) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Answer\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !answer
        .headers
        .iter()
        .any(|(name, _)| *name == "content-length")
        && answer.status != 204
    {
        head.push_str(&format!("content-length: {}\r\n", answer.body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body[..answer.cut_body.unwrap_or(answer.body.len())])?;
    }
    stream.flush()
}

/// A SOCKS5 proxy that connects everything to one port and remembers what it was asked.
pub(crate) struct Socks {
    pub(crate) port: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What a client asked of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
    /// 1 for an IPv4 address, 3 for a name, 4 for an IPv6 address.
    pub(crate) address_type: u8,
    pub(crate) host: Vec<u8>,
}

impl Socks {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socks = Self {
            port: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let asked = socks.asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let asked = asked.clone();
                thread::spawn(move || drop(relay(stream, target, &asked)));
            }
        });
        socks
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn relay(client: TcpStream, target: SocketAddr, asked: &Mutex<Vec<Asked>>) -> io::Result<()> {
    let methods = take(&client, 2)?[1];
    let offers_password = take(&client, methods.into())?.contains(&2);
    let (mut user, mut password) = (Vec::new(), Vec::new());
    if offers_password {
        (&client).write_all(&[5, 2])?;
        let length = take(&client, 2)?[1];
        user = take(&client, length.into())?;
        let length = take(&client, 1)?[0];
        password = take(&client, length.into())?;
        (&client).write_all(&[1, 0])?;
    } else {
        (&client).write_all(&[5, 0])?;
    }
    let address_type = take(&client, 4)?[3];
    let length = match address_type {
        1 => 4,
        4 => 16,
        _ => usize::from(take(&client, 1)?[0]),
    };
    let host = take(&client, length)?;
    take(&client, 2)?;
    asked.lock().unwrap().push(Asked {
        user,
        password,
        address_type,
        host,
    });
    (&client).write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let server = TcpStream::connect(target)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut &from_client, &mut &to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    io::copy(&mut &server, &mut &client)?;
    client.shutdown(std::net::Shutdown::Both)
}

fn take(mut stream: &TcpStream, n: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; n];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
