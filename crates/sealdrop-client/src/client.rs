//! The requests that anyone may make, one method for each. docs/protocol.md, "HTTP".

use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

use sealdrop_core::address::Origin;
use sealdrop_core::key::{AccessRole, BoxKey, LogRole, SecretKey};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::tile::{self, TileError, TileId};
use sealdrop_core::log::tree::Hash;
use sealdrop_core::note::{MAX_NOTE, Note, Vkey};
use sealdrop_core::roster::Seen;
use sealdrop_core::time::Time;
use serde::Deserialize;
use ureq::http::Method;

use crate::boxfile::MAX_BOX_FILE;
use crate::http::{Http, Payload, header};
use crate::{BoxFile, ClientError, Member, Options, Proxy, VerifiedBox, lanes};

/// The most cosigned checkpoints that `GET /log/cosigned` lists.
const MAX_COSIGNED: usize = 64;
/// The largest such answer: 64 notes of a checkpoint with 64 signatures each, with room.
const MAX_COSIGNED_BYTES: usize = 2 << 20;
/// The largest log that a client walks: 16 million leaves are 512 MiB of tiles.
const MAX_LEAVES: u64 = 1 << 24;

/// A client of one server. It keeps no connection and no state; two operations have nothing in common on the wire.
pub struct Client {
    pub(crate) http: Http,
}

impl Client {
    /// A client of the server at `origin`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::OnionWithoutProxy`].
    pub fn new(origin: &Origin, options: Options) -> Result<Self, ClientError> {
        Ok(Self {
            http: Http::new(origin, options)?,
        })
    }

    /// A client for one operation of many requests, such as reading the feed. Each still runs on a connection of its own; over a proxy they share their
    /// SOCKS credentials, and so over Tor their circuit: a circuit for each would take minutes to build, and time shows anyway that they belong together.
    #[must_use]
    pub fn operation(&self) -> Self {
        let mut options = self.http.options.clone();
        options.proxy = options.proxy.as_ref().map(Proxy::pinned);
        Self {
            http: Http {
                origin: self.http.origin.clone(),
                options,
            },
        }
    }

    /// Where requests go.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.http.origin
    }

    /// The roster and policy of now, not verified.
    ///
    /// # Errors
    /// Those of the connection and the server; 404 before the first roster.
    pub fn fetch_box_unverified(&self) -> Result<BoxFile, ClientError> {
        self.get_box("/v1/box")
    }

    /// The roster and policy of now, verified.
    ///
    /// # Errors
    /// Those of the connection and the server, [`ClientError::Roster`] and [`ClientError::Policy`].
    pub fn fetch_box(
        &self,
        box_key: &BoxKey,
        now: Time,
        seen: Seen,
    ) -> Result<VerifiedBox, ClientError> {
        self.fetch_box_unverified()?
            .verify(box_key, Some(self.origin()), now, seen)
    }

    /// The roster and policy of an epoch, not verified: [`BoxFile::verify_ignoring_expiry`] it.
    ///
    /// # Errors
    /// Those of the connection and the server.
    pub fn fetch_box_at(&self, epoch: u64) -> Result<BoxFile, ClientError> {
        self.get_box(&format!("/v1/box/{epoch}"))
    }

    /// Publishes a roster and its policy. The server checks the box key's signature, and that is all the permission there is.
    ///
    /// # Errors
    /// Those of the connection and the server: 403, 409.
    pub fn put_box(&self, file: &BoxFile) -> Result<(), ClientError> {
        let body = file.to_json();
        self.http
            .run(Method::PUT, "/v1/box", &[], Payload::Bytes(body.as_bytes()))
            .map(drop)
    }

    /// The vkey of the server's log, which a box's first roster takes over. Whoever runs the server chose it.
    ///
    /// # Errors
    /// Those of the connection and the server; [`ClientError::Malformed`].
    pub fn log_vkey(&self) -> Result<Vkey<LogRole>, ClientError> {
        let bytes = self.get("/log/vkey", 4096)?;
        std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| Vkey::parse(text.strip_suffix('\n')?))
            .ok_or(ClientError::Malformed("not the key of a log"))
    }

    /// What the server's clock says, if it dates its answers (RFC 9110, "Date"). Nobody vouches for it: good for a warning, and for no proof.
    ///
    /// # Errors
    /// Those of the connection and the server.
    pub fn server_time(&self) -> Result<Option<Time>, ClientError> {
        let response = self
            .http
            .run(Method::GET, "/log/vkey", &[], Payload::None)?;
        let date = header(&response, "date").and_then(|text| httpdate::parse_http_date(text).ok());
        let since = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
        Ok(since.map(|since| Time(since.as_secs())))
    }

    /// The newest checkpoint, not verified.
    ///
    /// # Errors
    /// Those of the connection and the server; [`ClientError::Malformed`].
    pub fn checkpoint(&self) -> Result<Note, ClientError> {
        let bytes = self.get("/log/checkpoint", MAX_NOTE)?;
        Note::parse(&bytes).map_err(|_| ClientError::Malformed("not a checkpoint"))
    }

    /// The checkpoints that have cosignatures, newest first, not verified. At most 64.
    ///
    /// # Errors
    /// Those of the connection and the server; [`ClientError::Malformed`].
    pub fn cosigned(&self) -> Result<Vec<Note>, ClientError> {
        #[derive(Deserialize)]
        struct Wire {
            checkpoints: Vec<String>,
        }
        let malformed = ClientError::Malformed("not a list of checkpoints");
        let bytes = self.get("/log/cosigned", MAX_COSIGNED_BYTES)?;
        let Ok(Wire { checkpoints }) = serde_json::from_slice(&bytes) else {
            return Err(malformed);
        };
        let notes: Result<Vec<Note>, _> = checkpoints
            .iter()
            .map(|note| Note::parse(note.as_bytes()))
            .collect();
        notes
            .ok()
            .filter(|notes| notes.len() <= MAX_COSIGNED)
            .ok_or(malformed)
    }

    /// The hashes of a tile. Nothing is verified but their number.
    ///
    /// # Errors
    /// Those of the connection and the server; [`ClientError::Malformed`].
    pub fn tile(&self, id: TileId) -> Result<Vec<Hash>, ClientError> {
        let bytes = self.get(&format!("/log/{}", id.path()), usize::from(id.width) * 32)?;
        id.parse(&bytes)
            .map_err(|_| ClientError::Malformed("not the tile asked for"))
    }

    /// All leaf hashes under a checkpoint that was verified, from whole tiles: which leaf a client looks for, the server does not learn.
    ///
    /// # Errors
    /// Those of the connection and the server; [`ClientError::Malformed`] if the tiles lead to another root.
    pub fn leaf_hashes(&self, checkpoint: &Checkpoint) -> Result<Vec<Hash>, ClientError> {
        if checkpoint.size > MAX_LEAVES {
            return Err(ClientError::TooLong);
        }
        let level_0 = |id: &TileId| id.level == 0;
        let ids: Vec<TileId> = tile::tiles(checkpoint.size).take_while(level_0).collect();
        let fetch =
            |index: usize, over: &AtomicBool| self.patiently(over, || self.tile(ids[index]));
        let mut tiles = lanes::side_by_side(ids.len(), fetch, |_| ())?.into_iter();
        let next = |_| Ok(tile::encode(&tiles.next().unwrap_or_default()));
        tile::leaf_hashes(checkpoint.size, &checkpoint.root, next).map_err(|_: TileError| {
            ClientError::Malformed("its tiles do not lead to its checkpoint")
        })
    }

    /// The requests of a member's device called `name` (`<member>/<device>`), signed by its access key.
    #[must_use]
    pub fn member<'a>(&'a self, name: &'a str, key: &'a SecretKey<AccessRole>) -> Member<'a> {
        Member::new(self, name, key)
    }

    /// Any GET without a signature, at most `limit` bytes.
    ///
    /// # Errors
    /// Those of the connection and the server.
    pub fn get(&self, path: &str, limit: usize) -> Result<Vec<u8>, ClientError> {
        let response = self.http.run(Method::GET, path, &[], Payload::None)?;
        if response.status() != 200 {
            return Err(ClientError::Malformed("another status than 200"));
        }
        self.http.read(response, limit)
    }

    fn get_box(&self, path: &str) -> Result<BoxFile, ClientError> {
        BoxFile::parse(&self.get(path, MAX_BOX_FILE)?)
            .map_err(|_| ClientError::Malformed("not the roster and policy of a box"))
    }
}
