//! A private Tor network on loopback: three directory authorities, three more relays, an onion service and a client. It takes half a minute to
//! come up, and nothing of it leaves the machine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealdrop_tests::{scratch, succeed, wait_up_to};

const AUTHORITIES: [&str; 3] = ["authority0", "authority1", "authority2"];
const RELAYS: [&str; 3] = ["relay0", "relay1", "relay2"];
/// Authorities vote every 20 s; a slow machine may need a few rounds.
const PATIENCE: Duration = Duration::from_secs(180);

/// What every node has. The delays are those after which a node asks again, and Tor's own are made for the real network.
const COMMON: &str = "\
TestingTorNetwork 1
AssumeReachable 1
EnforceDistinctSubnets 0
ShutdownWaitLength 0
TestingServerDownloadInitialDelay 0
TestingClientDownloadInitialDelay 0
TestingServerConsensusDownloadInitialDelay 0
TestingClientConsensusDownloadInitialDelay 0
ClientBootstrapConsensusAuthorityDownloadInitialDelay 0
ClientBootstrapConsensusAuthorityOnlyDownloadInitialDelay 0
";

const AUTHORITY: &str = "\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
V3AuthVotingInterval 20
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
MinUptimeHidServDirectoryV2 0
";

pub(crate) struct TorNetwork {
    dir: tempfile::TempDir,
    directory: String,
    nodes: Vec<Child>,
    client: Option<Child>,
    socks: u16,
}

impl TorNetwork {
    /// Starts the relays, and waits until they have agreed on each other.
    pub(crate) fn start() -> Self {
        let mut network = Self {
            dir: scratch(),
            directory: String::new(),
            nodes: Vec::new(),
            client: None,
            socks: free_port(),
        };
        let ports: Vec<_> = AUTHORITIES
            .iter()
            .map(|name| (*name, free_port(), free_port()))
            .collect();
        for (name, or_port, dir_port) in &ports {
            let line = network.authority_line(name, *or_port, *dir_port);
            network.directory.push_str(&line);
        }
        for (name, or_port, dir_port) in &ports {
            let torrc = format!(
                "{}DirPort 127.0.0.1:{dir_port}\n{AUTHORITY}",
                relay(*or_port)
            );
            let node = network.run(name, &torrc);
            network.nodes.push(node);
        }
        for name in RELAYS {
            let node = network.run(name, &relay(free_port()));
            network.nodes.push(node);
        }
        let consensus = network
            .path(AUTHORITIES[0])
            .join("cached-microdesc-consensus");
        wait_up_to(PATIENCE, "the authorities list every relay", || {
            let consensus = fs::read_to_string(&consensus).unwrap_or_default();
            let listed = consensus.lines().filter(|line| line.starts_with("r "));
            listed.count() == AUTHORITIES.len() + RELAYS.len()
        });
        network
    }

    /// Puts an onion service in front of a port of this machine; its origin.
    pub(crate) fn publish(&mut self, port: u16) -> String {
        let service = self.path("service").join("onion");
        let torrc = format!(
            "SocksPort 0\nHiddenServiceDir {}\nHiddenServicePort 80 127.0.0.1:{port}\n",
            service.display()
        );
        let node = self.run("service", &torrc);
        self.nodes.push(node);
        self.wait_for("service");
        let name = fs::read_to_string(service.join("hostname")).expect("Tor has made its key");
        format!("http://{}", name.trim())
    }

    /// Starts the client, which has forgotten its circuits if it ran before. Its proxy.
    pub(crate) fn connect(&mut self) -> String {
        fs::remove_file(self.path("client").join("log")).ok();
        let torrc = format!("SocksPort 127.0.0.1:{}\n", self.socks);
        self.client = Some(self.run("client", &torrc));
        self.wait_for("client");
        format!("socks5h://127.0.0.1:{}", self.socks)
    }

    /// Kills the client, and every connection through it.
    pub(crate) fn disconnect(&mut self) {
        if let Some(mut client) = self.client.take() {
            client.kill().expect("it is ours to kill");
            client.wait().expect("it is ours to wait for");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn wait_for(&self, name: &str) {
        let log = self.path(name).join("log");
        wait_up_to(PATIENCE, &format!("{name} has a circuit"), || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("Bootstrapped 100%"))
        });
    }

    fn run(&self, name: &str, torrc: &str) -> Child {
        let dir = self.path(name);
        private(&dir);
        let torrc = format!(
            "{COMMON}{}Nickname {name}\nDataDirectory {}\nLog notice file {}\n{torrc}",
            self.directory,
            dir.display(),
            dir.join("log").display(),
        );
        let file = dir.join("torrc");
        fs::write(&file, torrc).expect("the folder is ours");
        let mut tor = Command::new("tor");
        tor.args(["--defaults-torrc", "/dev/null", "-f"]).arg(file);
        tor.stdout(Stdio::null()).stderr(Stdio::null());
        tor.spawn().expect("Tor starts")
    }

    /// Makes an authority's keys; the line by which everybody knows it.
    fn authority_line(&self, name: &str, or_port: u16, dir_port: u16) -> String {
        let dir = self.path(name);
        let keys = dir.join("keys");
        private(&dir);
        private(&keys);
        let passphrase = dir.join("passphrase");
        fs::write(&passphrase, "only for this test\n").expect("the folder is ours");
        let certificate = keys.join("authority_certificate");
        let mut gencert = Command::new("tor-gencert");
        gencert
            .args(["--create-identity-key", "--passphrase-fd", "0", "-a"])
            .arg(format!("127.0.0.1:{dir_port}"))
            .arg("-i")
            .arg(keys.join("authority_identity_key"))
            .arg("-s")
            .arg(keys.join("authority_signing_key"))
            .arg("-c")
            .arg(&certificate)
            .stdin(fs::File::open(&passphrase).expect("it was written just now"))
            .stderr(Stdio::null());
        succeed(&mut gencert);
        // Tor wants to know some authority before it makes its own keys.
        let nobody = format!("nobody 127.0.0.1:1 {}", "f".repeat(40));
        let mut list = Command::new("tor");
        list.args(["--list-fingerprint", "--quiet", "--ORPort", "1"])
            .arg("--ignore-missing-torrc")
            .args(["--defaults-torrc", "/dev/null", "-f", "/dev/null"])
            .args(["--DirAuthority", &nobody, "--Nickname", name])
            .arg("--DataDirectory")
            .arg(&dir);
        let listed = succeed(&mut list);
        let fingerprint = listed.lines().find_map(|line| line.strip_prefix(name));
        let fingerprint = fingerprint
            .expect("Tor says its fingerprint")
            .replace(' ', "");
        let certificate = fs::read_to_string(certificate).expect("it was made just now");
        let identity = certificate
            .lines()
            .find_map(|line| line.strip_prefix("fingerprint "));
        let identity = identity.expect("a certificate has a fingerprint");
        format!(
            "DirAuthority {name} orport={or_port} no-v2 v3ident={identity} 127.0.0.1:{dir_port} {fingerprint}\n"
        )
    }
}

impl Drop for TorNetwork {
    fn drop(&mut self) {
        for node in self.nodes.iter_mut().chain(&mut self.client) {
            node.kill().ok();
            node.wait().ok();
        }
    }
}

fn relay(or_port: u16) -> String {
    format!("ORPort 127.0.0.1:{or_port}\nAddress 127.0.0.1\nSocksPort 0\nExitRelay 0\n")
}

/// A folder for the owner alone, as Tor demands.
fn private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(dir).expect("the folder is ours");
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("the folder is ours");
}

/// A port that is free now: an authority's must be known to all before any of them starts.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    listener.local_addr().expect("it is bound").port()
}
