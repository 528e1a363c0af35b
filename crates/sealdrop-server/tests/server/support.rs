//! A server in the test's own process, a box with members, drops, and a client that can misbehave.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sealdrop_core::drop::{FileKey, header, size};
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::key::{
    AccessRole, BoxKey, BoxSecret, LogRole, SecretKey, WitnessRole, device_keys,
};
use sealdrop_core::log::promise::Promise;
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::request::{HEADER, Request};
use sealdrop_core::roster::{Device, Draft, Member, Roster};
use sealdrop_core::time::Time;
use sealdrop_server::{Clock, Config, Limits, Server, StartError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const LENGTH: u64 = 3_600;
pub(crate) const RETENTION: u64 = 86_400;
pub(crate) const ORIGIN: &str = "https://drop.example.org";
pub(crate) const POLICY: &str = "We answer within a week.\n";
/// A second in the middle of a window.
pub(crate) const NOON: u64 = 1_800_000_000 / LENGTH * LENGTH + 1_000;
/// The window of [`NOON`].
pub(crate) const FIRST: u64 = NOON / LENGTH;
pub(crate) const MAX_DROP: u64 = 4 << 20;

/// A box of one member or more, each with one device.
pub(crate) struct Team {
    pub(crate) secret: BoxSecret,
    pub(crate) members: Vec<TeamMember>,
    /// Slips per window.
    pub(crate) slips: u64,
}

pub(crate) struct TeamMember {
    pub(crate) device: String,
    pub(crate) access: SecretKey<AccessRole>,
    pub(crate) witness: SecretKey<WitnessRole>,
    member: Member,
}

impl Team {
    pub(crate) fn new(size: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(size as u64);
        let secret = BoxSecret::generate(&mut rng);
        let members = (0..size)
            .map(|i| TeamMember::new(&format!("member-{i}"), &mut rng))
            .collect();
        Self {
            secret,
            members,
            slips: 1,
        }
    }

    pub(crate) fn box_key(&self) -> BoxKey {
        self.secret.to_public()
    }

    pub(crate) fn draft(&self, log: &str, epoch: u64) -> Draft {
        Draft {
            box_key: self.box_key(),
            origins: vec![ORIGIN.parse().unwrap()],
            epoch,
            issued: Time(NOON - 100),
            expires: Time(NOON - 100 + 7_776_000),
            window: LENGTH,
            retention: RETENTION,
            slips: self.slips,
            max_drop: MAX_DROP,
            policy: sha256(POLICY.as_bytes()),
            log: Vkey::<LogRole>::parse(log).unwrap(),
            members: self.members.iter().map(|m| m.member.clone()).collect(),
            devices: self.members.iter().map(TeamMember::device).collect(),
        }
    }

    pub(crate) fn roster(&self, log: &str, epoch: u64) -> Roster {
        self.draft(log, epoch).sign(&self.secret).unwrap()
    }
}

impl TeamMember {
    pub(crate) fn new(name: &str, rng: &mut ChaCha20Rng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let (access, witness) = device_keys(&seed);
        let voice = SecretKey::generate(rng);
        Self {
            device: format!("{name}/laptop"),
            access,
            witness,
            member: Member {
                name: name.into(),
                role: "triage".into(),
                recipient: IdentitySeed::generate(rng).to_public(),
                voice: Vkey::new(name, voice.to_public()),
            },
        }
    }

    fn device(&self) -> Device {
        Device {
            access: Vkey::new(&self.device, self.access.to_public()),
            witness: Vkey::new(&self.device, self.witness.to_public()),
        }
    }
}

/// The JSON of `PUT /v1/box`.
pub(crate) fn publication(roster: &str, policy: &str) -> Vec<u8> {
    serde_json::json!({ "roster": roster, "policy": policy })
        .to_string()
        .into_bytes()
}

/// A drop for `members` members with `padded` bytes of plaintext; `seed` makes it differ. Nobody can open it, which a server cannot tell.
pub(crate) fn drop_of(members: usize, padded: u64, seed: u64) -> Vec<u8> {
    static HEADERS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let headers = HEADERS.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(99);
        let recipients: Vec<_> = (0..3)
            .map(|_| IdentitySeed::generate(&mut rng).to_public())
            .collect();
        (0..=3)
            .map(|n| header::seal(&FileKey::from_bytes([7; 16]), &recipients[..n]))
            .collect()
    });
    let mut drop = headers[members].clone();
    let start = drop.len();
    drop.resize(size::file(members, padded) as usize, 0);
    ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut drop[start..]);
    drop
}

/// The smallest drop for one member.
pub(crate) fn small(seed: u64) -> Vec<u8> {
    drop_of(1, 65_536, seed)
}

/// A drop that is streamed to a file of its own.
pub(crate) fn large(seed: u64) -> Vec<u8> {
    drop_of(1, 1 << 20, seed)
}

pub(crate) fn limits() -> Limits {
    Limits {
        tick: Duration::from_millis(10),
        heartbeat: Duration::from_millis(50),
        reserve: 0,
        stop_time: Duration::from_secs(5),
        ..Limits::default()
    }
}

/// A clock that the test moves.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicU64>);

impl Hands {
    pub(crate) fn at(seconds: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seconds)))
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let hands = self.0.clone();
        Arc::new(move || Time(hands.load(Ordering::SeqCst)))
    }
}

/// A folder, a team and a clock, with a server that can be stopped and started.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) team: Team,
    pub(crate) hands: Hands,
    pub(crate) config: Config,
    pub(crate) running: Option<Running>,
}

pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) ops: Option<SocketAddr>,
    pub(crate) log: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl World {
    /// A world whose server does not run yet.
    pub(crate) fn still(members: usize) -> Self {
        let (folder, team, hands) = (
            tempfile::tempdir().unwrap(),
            Team::new(members),
            Hands::at(NOON),
        );
        let mut config = Config::new(folder.path().join("data"), team.box_key());
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.limits = limits();
        config.clock = hands.clock();
        Self {
            folder,
            team,
            hands,
            config,
            running: None,
        }
    }

    /// A world with a running server and a roster of one member.
    pub(crate) async fn new() -> Self {
        Self::with(1, |_| {}).await
    }

    pub(crate) async fn with(members: usize, change: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::still(members);
        change(&mut world.config);
        world.start().await;
        world.publish(1).await;
        world
    }

    pub(crate) async fn publish(&self, epoch: u64) {
        let roster = self.team.roster(self.log(), epoch).note().to_string();
        let reply = self.put("/v1/box", &publication(&roster, POLICY)).await;
        assert_eq!(reply.status, 204, "{reply:?}");
    }

    pub(crate) async fn try_start(&mut self) -> Result<(), StartError> {
        let server = Server::bind(self.config.clone()).await?;
        let (stop, stopped) = oneshot::channel();
        let (addr, ops, log) = (server.addr(), server.ops_addr(), server.log_vkey());
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        self.running = Some(Running {
            addr,
            ops,
            log,
            stop,
            task,
        });
        Ok(())
    }

    pub(crate) async fn start(&mut self) {
        self.try_start().await.unwrap();
    }

    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        let _ = running.stop.send(());
        running.task.await.unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.config.data.clone()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.running.as_ref().unwrap().addr
    }

    pub(crate) fn log(&self) -> &str {
        &self.running.as_ref().unwrap().log
    }

    pub(crate) fn log_vkey(&self) -> Vkey<LogRole> {
        Vkey::parse(self.log()).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.addr(), "GET", path, &[], b"").await
    }

    pub(crate) async fn put(&self, path: &str, body: &[u8]) -> Reply {
        send(self.addr(), "PUT", path, &[], body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Reply {
        send(self.addr(), "POST", path, &[], body).await
    }

    /// Leaves a drop, and checks its promise.
    pub(crate) async fn leave(&self, drop: &[u8]) -> Promise {
        let reply = self.post("/v1/drops", drop).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        self.promise(&reply, drop)
    }

    #[track_caller]
    pub(crate) fn promise(&self, reply: &Reply, drop: &[u8]) -> Promise {
        let promise =
            Promise::verify(&Note::parse(&reply.body).unwrap(), &self.log_vkey()).unwrap();
        assert_eq!(promise.leaf().digest, sha256(drop));
        assert_eq!(promise.leaf().size, drop.len() as u64);
        promise
    }

    /// A request that the first member's device signs now.
    pub(crate) fn signed(&self, method: &str, path: &str, body: &[u8]) -> String {
        self.signed_by(&self.team.members[0], method, path, body)
    }

    pub(crate) fn signed_by(
        &self,
        member: &TeamMember,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> String {
        self.request(method, path, body)
            .sign(&member.device, &member.access)
            .unwrap()
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8]) -> Request {
        static NONCES: AtomicU64 = AtomicU64::new(0);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&NONCES.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        Request {
            origin: ORIGIN.into(),
            method: method.into(),
            path: path.into(),
            body: sha256(body),
            time: Time(self.hands.now()),
            nonce,
        }
    }

    /// Sends a request that the first member's device signs.
    pub(crate) async fn member(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let signed = self.signed(method, path, body);
        send(self.addr(), method, path, &[(HEADER, &signed)], body).await
    }

    /// Sends a request that this member's device signs.
    pub(crate) async fn as_member(
        &self,
        member: usize,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Reply {
        let signed = self.signed_by(&self.team.members[member], method, path, body);
        send(self.addr(), method, path, &[(HEADER, &signed)], body).await
    }

    pub(crate) async fn fetch(&self, window: u64, drop: &[u8]) -> Reply {
        let path = format!("/v1/windows/{window}/drops/{}", hex(&sha256(drop)));
        self.member("GET", &path, b"").await
    }

    /// The digests and sizes listed for a window.
    pub(crate) async fn listed(&self, window: u64) -> Vec<(String, u64)> {
        let reply = self
            .member("GET", &format!("/v1/windows/{window}/drops"), b"")
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let drops = &reply.json()["drops"];
        drops
            .as_array()
            .unwrap()
            .iter()
            .map(|d| {
                (
                    d["digest"].as_str().unwrap().to_owned(),
                    d["size"].as_u64().unwrap(),
                )
            })
            .collect()
    }

    /// Moves the clock to the next window, and waits for the checkpoint of the one that ended.
    pub(crate) async fn next_window(&self) -> u64 {
        let before = self.get("/log/checkpoint").await.text();
        self.hands
            .set((self.hands.now() / LENGTH + 1) * LENGTH + 10);
        until("the window to close", async || {
            self.get("/log/checkpoint").await.text() != before
        })
        .await;
        self.hands.now() / LENGTH
    }

    /// The pack of a window.
    pub(crate) fn pack(&self, window: u64) -> PathBuf {
        self.data().join(format!("packs/{window}/pack"))
    }
}

/// Every byte below a folder.
pub(crate) fn everything_in(root: &Path) -> Vec<u8> {
    files(root)
        .into_iter()
        .filter(|path| path.is_file())
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// How often `part` stands in `bytes`.
pub(crate) fn count_of(bytes: &[u8], part: &[u8]) -> usize {
    bytes
        .windows(part.len())
        .filter(|window| *window == part)
        .count()
}

/// Polls a condition.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..1_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..split]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
            .collect();
        Some(Self {
            status,
            headers,
            body: bytes[split + 4..].to_vec(),
        })
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        write!(f, "{} {:?} {body}", self.status, self.headers)
    }
}

/// The head of a request with a body of `len` bytes, which is not announced if `len` is `None`.
pub(crate) fn head(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    len: Option<usize>,
) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: drop.example.org\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(len) = len {
        head += &format!("Content-Length: {len}\r\n");
    }
    head + "\r\n"
}

pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let has_body = !matches!(method, "GET" | "HEAD" | "DELETE");
    let mut bytes = head(method, path, headers, has_body.then_some(body.len())).into_bytes();
    bytes.extend_from_slice(body);
    send_raw(addr, &bytes).await
}

/// Sends bytes as they are, and reads the answer to its end.
pub(crate) async fn send_raw(addr: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may answer and stop reading before it has everything.
    let _ = stream.write_all(bytes).await;
    answer(&mut stream).await
}

pub(crate) async fn answer(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes))
        .await
        .expect("an answer in time");
    Reply::parse(&bytes)
        .unwrap_or_else(|| panic!("no answer: {read:?}, {:?}", String::from_utf8_lossy(&bytes)))
}

/// All files below a folder, as paths relative to it.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Leaves a drop with a server that may die at any moment.
pub(crate) async fn try_send(addr: SocketAddr, drop: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    stream
        .write_all(head("POST", "/v1/drops", &[], Some(drop.len())).as_bytes())
        .await
        .ok()?;
    stream.write_all(drop).await.ok()?;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    Reply::parse(&bytes)
}
