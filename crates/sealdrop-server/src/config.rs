//! What a server is told at its start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealdrop_core::key::BoxKey;

use crate::store::disk::{Disk, RealDisk};
use crate::system::{Clock, system_clock};

/// What a server is told at its start. [`Config::new`] has the defaults; set the fields that differ.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The data folder. Made if it does not exist.
    pub data: PathBuf,
    /// The box that is served. Its rosters must be signed by this key.
    pub box_key: BoxKey,
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the operator's `GET /healthz` is; nowhere by default.
    pub ops_listen: Option<SocketAddr>,
    /// Serve TLS with this certificate instead of plain HTTP.
    pub tls: Option<Tls>,
    /// The limits.
    pub limits: Limits,
    /// The clock; tests move it.
    pub clock: Clock,
    /// The disk; tests hold it up or fill it.
    pub disk: Arc<dyn Disk>,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// docs/protocol.md, "Limits".
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most bytes of drops and uploads in the data folder; `None` for as much as the disk has.
    pub max_store: Option<u64>,
    /// Bytes of the disk that always stay free.
    pub reserve: u64,
    /// Bodies being received at the same time.
    pub max_uploads: usize,
    /// Connections at the same time. More wait in the system's queue.
    pub max_connections: usize,
    /// Bytes of the head of a request.
    pub head_bytes: usize,
    /// Headers of a request.
    pub head_count: usize,
    /// How long the head, or a TLS handshake, may take.
    pub head_time: Duration,
    /// How long a body may pause, and a client may take nothing of an answer.
    pub idle_time: Duration,
    /// Over how long the rate of a body is taken.
    pub rate_time: Duration,
    /// The slowest body, in bytes per second over `rate_time`.
    pub min_rate: u64,
    /// How long requests under way may take to end once the server is told to stop.
    pub stop_time: Duration,
    /// How often the clock is looked at.
    pub tick: Duration,
    /// How often live files are stamped, whatever the traffic.
    pub heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_store: None,
            reserve: 64 << 20,
            max_uploads: 256,
            max_connections: 1024,
            head_bytes: 16_384,
            head_count: 32,
            head_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
            rate_time: Duration::from_secs(60),
            min_rate: 1_024,
            stop_time: Duration::from_secs(30),
            tick: Duration::from_millis(500),
            heartbeat: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Serves `box_key` from `data` on 127.0.0.1:8080.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, box_key: BoxKey) -> Self {
        Self {
            data: data.into(),
            box_key,
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            ops_listen: None,
            tls: None,
            limits: Limits::default(),
            clock: system_clock(),
            disk: Arc::new(RealDisk),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data", &self.data)
            .field("listen", &self.listen)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
