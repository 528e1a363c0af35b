//! The requests of members, signed by a device's access key. docs/protocol.md, "Requests of members" and "HTTP".

use std::io::{self, Read as _, Write};

use rand_core::Rng as _;
use sealdrop_core::encoding;
use sealdrop_core::key::{AccessRole, SecretKey};
use sealdrop_core::log::tile::BundleId;
use sealdrop_core::note::Note;
use sealdrop_core::request::{HEADER, Request};
use sealdrop_core::time::Window;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use ureq::Body;
use ureq::http::{Method, Response};

use crate::http::Payload;
use crate::{Client, ClientError, system};

/// The largest listing of a window: about a hundred thousand drops.
const MAX_LISTING: usize = 16 << 20;
/// The largest entry bundle that the log of this protocol can have: 256 entries of at most 65,535 bytes, after their lengths.
const MAX_BUNDLE: usize = 256 * 65_537;
/// The answer to slips: one number.
const MAX_POSTED: usize = 4096;
/// Bytes read at once from a download.
const PIECE: usize = 65_536;

/// A member's device, as a client.
pub struct Member<'a> {
    client: &'a Client,
    name: &'a str,
    key: &'a SecretKey<AccessRole>,
}

/// The windows that the server holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The current one, by the server's clock.
    pub now: Window,
    /// Those that hold something, rising.
    pub windows: Vec<Window>,
    /// The open window, if this member's share of slips was taken for it, from whichever device.
    pub posted: Option<Window>,
}

/// What a window holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// In the order of the log.
    pub drops: Vec<Listed>,
    /// The request note by which the window was released, if it was.
    pub released: Option<Note>,
}

/// A drop in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listed {
    /// SHA-256 of the file.
    pub digest: [u8; 32],
    /// Bytes.
    pub size: u64,
}

impl<'a> Member<'a> {
    pub(crate) fn new(client: &'a Client, name: &'a str, key: &'a SecretKey<AccessRole>) -> Self {
        Self { client, name, key }
    }

    /// A signed request with a body of bytes; the answer has at most `limit`. `path` is from `/v1/` or `/log/` on.
    ///
    /// # Errors
    /// Those of the connection and the server: 401 if the roster does not name the device, or its clock is off.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let response = self.run(false, method, path, body, &[])?;
        self.client.http.read(response, limit)
    }

    /// The windows that the server holds.
    ///
    /// # Errors
    /// As [`Member::request`]; [`ClientError::Malformed`].
    pub fn windows(&self) -> Result<Windows, ClientError> {
        #[derive(Deserialize)]
        struct Wire {
            now: u64,
            windows: Vec<u64>,
            posted: Option<u64>,
        }
        let bytes = self.request("GET", "/v1/windows", b"", MAX_LISTING)?;
        let wire: Wire = serde_json::from_slice(&bytes)
            .map_err(|_| ClientError::Malformed("not a list of windows"))?;
        if !wire.windows.is_sorted_by(|a, b| a < b) {
            return Err(ClientError::Malformed(
                "a list of windows that does not rise",
            ));
        }
        Ok(Windows {
            now: Window(wire.now),
            windows: wire.windows.into_iter().map(Window).collect(),
            posted: wire.posted.map(Window),
        })
    }

    /// What a window holds.
    ///
    /// # Errors
    /// As [`Member::request`]; [`ClientError::Malformed`].
    pub fn drops(&self, window: Window) -> Result<Listing, ClientError> {
        let bytes = self.request(
            "GET",
            &format!("/v1/windows/{window}/drops"),
            b"",
            MAX_LISTING,
        )?;
        parse_listing(&bytes, window)
            .ok_or(ClientError::Malformed("not the list of a window's drops"))
    }

    /// Writes a drop to `sink`, going on after a broken connection. Only when this returns `Ok` are the bytes those of `drop`; until
    /// then `sink` holds bytes that nobody has checked.
    ///
    /// # Errors
    /// As [`Member::request`]: 404, and 410 when expired or released. [`ClientError::ChangedBody`] if the bytes have another hash.
    pub fn download(
        &self,
        window: Window,
        drop: &Listed,
        sink: &mut dyn Write,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/windows/{window}/drops/{}", encoding::hex(&drop.digest));
        let options = &self.client.http.options;
        let (mut hash, mut offset) = (Sha256::new(), 0);
        let (mut pause, mut left) = (options.pause, options.attempts);
        loop {
            let before = offset;
            match self.download_rest(&path, drop.size, &mut offset, &mut hash, sink) {
                Ok(()) => break,
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => {
                    if offset > before {
                        (pause, left) = (options.pause, options.attempts);
                    }
                    left = left.checked_sub(1).ok_or(error)?;
                    self.client.pause(&mut pause)?;
                }
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        if digest == drop.digest {
            Ok(())
        } else {
            Err(ClientError::ChangedBody)
        }
    }

    /// Asks the server to remove the bodies of a window.
    ///
    /// # Errors
    /// As [`Member::request`]; 409 unless every member has cosigned a checkpoint that covers it.
    pub fn release(&self, window: Window) -> Result<(), ClientError> {
        self.request("POST", &format!("/v1/windows/{window}/release"), b"", 0)
            .map(drop)
    }

    /// Posts this member's share of slips for the open window: whole slips, one behind the other. Gives the window whose segment will hold them.
    ///
    /// docs/protocol.md, "Feed". Once per window; after a failure the same bytes again, or the server sees which of them are decoys.
    ///
    /// # Errors
    /// As [`Member::request`]: 409 if other slips of this member are in the window already, 422 if these are not a share of slips, 503 if the
    /// segment is full. [`ClientError::Malformed`].
    pub fn post_slips(&self, body: &[u8]) -> Result<Window, ClientError> {
        #[derive(Deserialize)]
        struct Wire {
            window: u64,
        }
        let bytes = self.request("POST", "/v1/slips", body, MAX_POSTED)?;
        let wire: Wire = serde_json::from_slice(&bytes)
            .map_err(|_| ClientError::Malformed("not the window of the slips"))?;
        Ok(Window(wire.window))
    }

    /// The bytes of an entry bundle: [`BundleId::parse`] them, and check their hashes.
    ///
    /// # Errors
    /// As [`Member::request`].
    pub fn bundle(&self, id: BundleId) -> Result<Vec<u8>, ClientError> {
        self.request("GET", &format!("/log/{}", id.path()), b"", MAX_BUNDLE)
    }

    /// Hands in a checkpoint with one cosignature line by this device's witness key.
    ///
    /// # Errors
    /// As [`Member::request`]; 409 if the log has no such checkpoint.
    pub fn cosign(&self, note: &Note) -> Result<(), ClientError> {
        self.request("POST", "/log/cosign", note.to_string().as_bytes(), 0)
            .map(drop)
    }

    fn download_rest(
        &self,
        path: &str,
        size: u64,
        offset: &mut u64,
        hash: &mut Sha256,
        sink: &mut dyn Write,
    ) -> Result<(), ClientError> {
        let range = format!("bytes={offset}-");
        let headers: &[(&str, &str)] = if *offset > 0 {
            &[("range", &range)]
        } else {
            &[]
        };
        let mut response = self.run(true, "GET", path, b"", headers)?;
        if response.status() != if *offset > 0 { 206 } else { 200 } {
            return Err(ClientError::Malformed(
                "another part of the drop than was asked for",
            ));
        }
        let http = &self.client.http;
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut piece = [0; PIECE];
        loop {
            if http.options.is_cancelled() {
                return Err(ClientError::Cancelled);
            }
            let n = match body.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(http.error(error.into())),
            };
            *offset += n as u64;
            if *offset > size {
                return Err(ClientError::TooLong);
            }
            hash.update(&piece[..n]);
            sink.write_all(&piece[..n]).map_err(ClientError::Local)?;
        }
        if *offset < size {
            return Err(ClientError::Lost {
                host: http.origin.host().into(),
            });
        }
        Ok(())
    }

    fn run(
        &self,
        is_long: bool,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>, ClientError> {
        let mut nonce = [0; 16];
        system::rng().fill_bytes(&mut nonce);
        let request = Request {
            origin: self.client.origin().to_string(),
            method: method.into(),
            path: path.into(),
            body: encoding::sha256(body),
            time: system::now(),
            nonce,
        };
        let unsendable = ClientError::Malformed("a request that cannot be signed");
        let Ok(signed) = request.sign(self.name, self.key) else {
            return Err(unsendable);
        };
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            return Err(unsendable);
        };
        let headers: Vec<_> = [(HEADER, signed.as_str())]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        let takes_body = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let payload = if takes_body {
            Payload::Bytes(body)
        } else {
            Payload::None
        };
        let http = &self.client.http;
        if is_long {
            http.run_long(method, path, &headers, payload)
        } else {
            http.run(method, path, &headers, payload)
        }
    }
}

fn parse_listing(bytes: &[u8], window: Window) -> Option<Listing> {
    #[derive(Deserialize)]
    struct Wire {
        window: u64,
        drops: Vec<WireDrop>,
        released: Option<String>,
    }
    #[derive(Deserialize)]
    struct WireDrop {
        digest: String,
        size: u64,
    }
    let wire: Wire = serde_json::from_slice(bytes).ok()?;
    if wire.window != window.0 {
        return None;
    }
    let listed = |drop: &WireDrop| {
        Some(Listed {
            digest: encoding::from_hex(&drop.digest)?,
            size: drop.size,
        })
    };
    Some(Listing {
        drops: wire.drops.iter().map(listed).collect::<Option<_>>()?,
        released: wire
            .released
            .map(|note| Note::parse(note.as_bytes()))
            .transpose()
            .ok()?,
    })
}
