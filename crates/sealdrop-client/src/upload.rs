//! Leaving a drop, in one request or by resumable upload. docs/protocol.md, "Resumable upload".

use std::fmt;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sealdrop_core::encoding;
use sealdrop_core::note::{MAX_NOTE, Note};
use sha2::{Digest as _, Sha256};
use ureq::Body;
use ureq::http::{Method, Response};

use crate::http::{Payload, header};
use crate::{Client, ClientError};

/// Up to so many bytes a drop goes in one request.
pub(crate) const MAX_SINGLE: u64 = 8_388_608;
/// The most bytes of one `PATCH`: what is lost when something between here and the server holds a body back until it is whole.
const PIECE: u64 = 64 << 20;
/// The bytes that are hashed together to notice a source that changes.
const BLOCK: usize = 1 << 20;
/// The longest pause before trying again.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The bytes of a drop, as often as they are needed.
pub trait Source {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// The bytes from the first on. The same each time: a drop whose bytes change is two ciphertexts under one nonce, so
    /// [`Client::send_again`] checks, block by block, before it sends anything again.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    fn open(&mut self) -> io::Result<Box<dyn Read + '_>>;
}

/// What the server made of a drop. The promise is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// SHA-256 of the bytes sent.
    pub digest: [u8; 32],
    /// How many they were.
    pub size: u64,
    /// What the server answered.
    pub promise: Note,
}

/// The name of an upload under way: 16 bytes in hex. Whoever knows it can go on with the upload, or delete it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadId(String);

impl UploadId {
    /// Reads an id; `None` unless it is 16 bytes in hex.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        encoding::from_hex::<16>(text).map(|_| Self(text.into()))
    }

    fn path(&self) -> String {
        format!("/v1/uploads/{}", self.0)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happens while a drop is being sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A resumable upload began or was taken up again.
    Upload(&'a UploadId),
    /// So many bytes of the drop have been handed to the connection, or are known to be with the server.
    Sent(u64),
    /// The connection broke; it is tried again after the pause.
    Retrying(&'a ClientError, Duration),
}

/// What becomes of a partial upload when sending fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is deleted: the bytes cannot be made again.
    Forget,
    /// It stays, to be resumed.
    Keep,
}

/// What a source gave so far, as a hash of each block: what holds its bytes to be the same the next time. Whoever sends one drop in more than
/// one try, and makes its bytes anew for each, keeps one of these for all of them.
#[derive(Debug, Default)]
pub struct Blocks(Vec<[u8; 32]>);

/// A [`Blocks`] in short, as text: how many there are, and a hash of them and of the length of the whole. Another run of a program knows by it
/// whether a file is still what was sent; it is made against accidents, not against an adversary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    blocks: usize,
    hash: [u8; 8],
}

impl Mark {
    /// Reads what [`Mark`] displays.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (blocks, hash) = text.split_once('-')?;
        Some(Self {
            blocks: usize::try_from(encoding::from_decimal(blocks)?).ok()?,
            hash: encoding::from_hex(hash)?,
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.blocks, encoding::hex(&self.hash))
    }
}

impl Blocks {
    /// What was read so far of a source of `size` bytes, to be known again.
    #[must_use]
    pub fn mark(&self, size: u64) -> Mark {
        let hash = Sha256::new()
            .chain_update(size.to_be_bytes())
            .chain_update(self.0.as_flattened())
            .finalize();
        Mark {
            blocks: self.0.len(),
            hash: *hash.first_chunk().expect("a hash has 32 bytes"),
        }
    }

    /// Reads as much of a source as was read of it when `mark` was made.
    ///
    /// # Errors
    /// Of kind [`io::ErrorKind::InvalidData`] if it has changed since; others if it cannot be read.
    pub fn known_by(mark: &Mark, source: &mut dyn Source) -> io::Result<Self> {
        let size = source.size();
        let mut blocks = Self::default();
        let len = (mark.blocks as u64).saturating_mul(BLOCK as u64).min(size);
        let mut reader = blocks.reader(source)?.take(len);
        io::copy(&mut reader, &mut io::sink())?;
        drop(reader);
        if blocks.mark(size) == *mark {
            Ok(blocks)
        } else {
            Err(changed())
        }
    }

    /// The bytes of a source, of which none are given out that differ from what it gave before: for what is made anew to be kept, after a part
    /// of it was sent.
    ///
    /// # Errors
    /// When the source cannot be opened; its reader's are of kind [`io::ErrorKind::InvalidData`] where it has changed.
    pub fn reader<'a>(&'a mut self, source: &'a mut dyn Source) -> io::Result<impl Read + 'a> {
        let size = source.size();
        Ok(Stream::new(source.open()?, size, &mut self.0))
    }
}

/// Why a drop was not left with the server.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SendError {
    /// The last failure.
    #[source]
    pub error: ClientError,
    /// The partial upload that can be resumed, if any.
    pub resume: Option<UploadId>,
    /// The server said that it took the drop, and what came with that is no promise: it may hold the drop.
    pub taken: bool,
}

impl Client {
    /// [`Client::send_again`] for a source whose bytes were never sent, or are on disk and stay the same.
    ///
    /// # Errors
    /// [`SendError`], as there.
    pub fn send(
        &self,
        source: &mut dyn Source,
        resume: Option<UploadId>,
        on_failure: OnFailure,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Sent, SendError> {
        self.send_again(source, &mut Blocks::default(), resume, on_failure, events)
    }

    /// Leaves a drop with the server. Up to 8 MiB go in one request, more by resumable upload; broken connections are tried again.
    ///
    /// `blocks` is what former tries read: if the source gives other bytes now, none of them are sent.
    ///
    /// `resume` takes up an upload that was kept. Verify the promise against the roster before believing it.
    ///
    /// # Errors
    /// [`SendError`]: the failure, and what can be resumed if `on_failure` is [`OnFailure::Keep`].
    pub fn send_again(
        &self,
        source: &mut dyn Source,
        blocks: &mut Blocks,
        resume: Option<UploadId>,
        on_failure: OnFailure,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Sent, SendError> {
        let mut sending = Sending {
            client: self,
            size: source.size(),
            blocks: &mut blocks.0,
            is_resumed: resume.is_some(),
            upload: resume,
            taken: false,
        };
        let result = if sending.size <= MAX_SINGLE && sending.upload.is_none() {
            sending.in_one(source, events)
        } else {
            sending.resumable(source, events)
        };
        result.map_err(|error| {
            let mut resume = sending.upload;
            if on_failure == OnFailure::Forget
                && let Some(id) = resume.take()
            {
                // Best effort: the server forgets it by itself at the end of the next window.
                self.forget(&id);
            }
            SendError {
                error,
                resume,
                taken: sending.taken,
            }
        })
    }

    /// Deletes an upload that will not be completed.
    pub fn forget(&self, id: &UploadId) {
        let mut patient = self.http.options.clone();
        patient.cancelled = Default::default();
        if let Ok(client) = Self::new(self.origin(), patient) {
            drop(
                client
                    .http
                    .run(Method::DELETE, &id.path(), &[], Payload::None),
            );
        }
    }

    /// Waits before trying again, twice as long the next time.
    pub(crate) fn pause(&self, pause: &mut Duration) -> Result<(), ClientError> {
        self.pause_unless(&AtomicBool::new(false), pause)
    }

    /// The same; it ends when it is `over`.
    pub(crate) fn pause_unless(
        &self,
        over: &AtomicBool,
        pause: &mut Duration,
    ) -> Result<(), ClientError> {
        const STEP: Duration = Duration::from_millis(100);
        let mut left = *pause;
        while !left.is_zero() && !over.load(Ordering::Relaxed) {
            if self.http.options.is_cancelled() {
                return Err(ClientError::Cancelled);
            }
            let step = left.min(STEP);
            thread::sleep(step);
            left -= step;
        }
        *pause = (*pause * 2).min(MAX_PAUSE);
        Ok(())
    }
}

/// One drop on its way.
struct Sending<'a> {
    client: &'a Client,
    size: u64,
    /// SHA-256 of each block that was read so far, to compare when it is read again.
    blocks: &'a mut Vec<[u8; 32]>,
    upload: Option<UploadId>,
    /// Whether the upload is one of another run.
    is_resumed: bool,
    /// Whether the server has answered that it took the drop.
    taken: bool,
}

impl Sending<'_> {
    fn in_one(
        &mut self,
        source: &mut dyn Source,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Sent, ClientError> {
        let size = self.size;
        self.retrying(events, |this, events, _| {
            let mut stream = Stream::open(source, size, this.blocks)?;
            let mut body = Reporting {
                stream: &mut stream,
                events,
            };
            let payload = Payload::Reader(&mut body, size);
            let response = this
                .client
                .http
                .run(Method::POST, "/v1/drops", &[], payload)?;
            let digest = stream.digest()?;
            this.accepted(response, digest)
        })
    }

    fn resumable(
        &mut self,
        source: &mut dyn Source,
        events: &mut dyn FnMut(Event<'_>),
    ) -> Result<Sent, ClientError> {
        let size = self.size;
        self.retrying(events, |this, events, progress| {
            let offset = match &this.upload {
                Some(id) => {
                    let offset = this.offset(id)?;
                    events(Event::Upload(id));
                    offset
                }
                None => {
                    let id = this.create()?;
                    events(Event::Upload(&id));
                    this.upload = Some(id);
                    0
                }
            };
            let id = this.upload.clone().expect("it was found or made just now");
            let mut stream = Stream::open(source, size, this.blocks)?;
            stream.skip_to(offset)?;
            events(Event::Sent(offset));
            *progress = (*progress).max(offset);
            loop {
                let start = stream.position;
                let len = PIECE.min(size - start);
                let is_last = start + len == size;
                let response = {
                    let mut body = Reporting {
                        stream: &mut stream,
                        events,
                    };
                    let mut body = (&mut body).take(len);
                    let headers = [
                        ("content-type", "application/partial-upload"),
                        ("upload-offset", &*start.to_string()),
                        ("upload-complete", if is_last { "?1" } else { "?0" }),
                    ];
                    this.client.http.run(
                        Method::PATCH,
                        &id.path(),
                        &headers,
                        Payload::Reader(&mut body, len),
                    )?
                };
                if is_last {
                    let digest = stream.digest()?;
                    return this.accepted(response, digest);
                }
                if number(&response, "upload-offset") != Some(start + len) {
                    return Err(ClientError::Malformed("another offset than was sent"));
                }
                *progress = start + len;
            }
        })
    }

    /// Runs `attempt` until it succeeds, fails for good, or has failed too often without getting further.
    fn retrying(
        &mut self,
        events: &mut dyn FnMut(Event<'_>),
        mut attempt: impl FnMut(
            &mut Self,
            &mut dyn FnMut(Event<'_>),
            &mut u64,
        ) -> Result<Sent, ClientError>,
    ) -> Result<Sent, ClientError> {
        let options = &self.client.http.options;
        let (mut pause, mut left, mut progress) = (options.pause, options.attempts, 0);
        loop {
            let before = progress;
            let error = match attempt(self, events, &mut progress) {
                Ok(sent) => return Ok(sent),
                Err(error) => error,
            };
            // An offset that is not the server's is asked for again, once for each attempt; an upload whose place was given away begins anew.
            let forgotten =
                error.status() == Some(404) && !self.is_resumed && self.upload.is_some();
            if forgotten {
                self.upload = None;
            }
            let again = forgotten
                || error.is_transient()
                || (error.status() == Some(409) && self.upload.is_some());
            if !again {
                return Err(error);
            }
            if progress > before {
                (pause, left) = (options.pause, options.attempts);
            }
            if left == 0 {
                return Err(error);
            }
            left -= 1;
            if let ClientError::Status {
                retry_after: Some(seconds),
                ..
            } = error
            {
                pause = pause.max(Duration::from_secs(seconds).min(MAX_PAUSE));
            }
            events(Event::Retrying(&error, pause));
            self.client.pause(&mut pause)?;
        }
    }

    /// `POST /v1/uploads`.
    fn create(&self) -> Result<UploadId, ClientError> {
        let headers = [
            ("upload-length", &*self.size.to_string()),
            ("upload-complete", "?0"),
        ];
        let response =
            self.client
                .http
                .run(Method::POST, "/v1/uploads", &headers, Payload::Bytes(b""))?;
        header(&response, "location")
            .and_then(|path| UploadId::parse(path.strip_prefix("/v1/uploads/")?))
            .filter(|_| response.status() == 201)
            .ok_or(ClientError::Malformed("no place for the upload"))
    }

    /// `HEAD /v1/uploads/{id}`: how far the server has come.
    fn offset(&self, id: &UploadId) -> Result<u64, ClientError> {
        let response = self
            .client
            .http
            .run(Method::HEAD, &id.path(), &[], Payload::None)?;
        let offset = number(&response, "upload-offset").filter(|&offset| offset <= self.size);
        match (offset, number(&response, "upload-length")) {
            (Some(offset), Some(size)) if size == self.size => Ok(offset),
            (_, Some(_)) if self.is_resumed => Err(ClientError::AnotherUpload),
            _ => Err(ClientError::Malformed("another upload than this one")),
        }
    }

    /// The answer to a complete drop: 201 and the promise.
    fn accepted(
        &mut self,
        response: Response<Body>,
        digest: [u8; 32],
    ) -> Result<Sent, ClientError> {
        if response.status() != 201 {
            return Err(ClientError::Malformed("no promise"));
        }
        self.taken = true;
        let bytes = self.client.http.read(response, MAX_NOTE)?;
        let promise = Note::parse(&bytes).map_err(|_| ClientError::Malformed("no promise"))?;
        Ok(Sent {
            digest,
            size: self.size,
            promise,
        })
    }
}

fn number(response: &Response<Body>, name: &str) -> Option<u64> {
    header(response, name).and_then(encoding::from_decimal)
}

/// Tells how far the reader has come.
struct Reporting<'a, 'b> {
    stream: &'a mut Stream<'b>,
    events: &'a mut dyn FnMut(Event<'_>),
}

impl Read for Reporting<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(out)?;
        (self.events)(Event::Sent(self.stream.position));
        Ok(n)
    }
}

/// The bytes of a source, of which none is given out before its whole block was compared with what it was the last time.
struct Stream<'a> {
    source: Box<dyn Read + 'a>,
    blocks: &'a mut Vec<[u8; 32]>,
    next_block: usize,
    block: Vec<u8>,
    taken: usize,
    size: u64,
    /// Bytes given out.
    position: u64,
    hash: Sha256,
}

impl<'a> Stream<'a> {
    fn open(
        source: &'a mut dyn Source,
        size: u64,
        blocks: &'a mut Vec<[u8; 32]>,
    ) -> Result<Self, ClientError> {
        let source = source.open().map_err(ClientError::Local)?;
        Ok(Self::new(source, size, blocks))
    }

    fn new(source: Box<dyn Read + 'a>, size: u64, blocks: &'a mut Vec<[u8; 32]>) -> Self {
        Self {
            source,
            blocks,
            next_block: 0,
            block: Vec::new(),
            taken: 0,
            size,
            position: 0,
            hash: Sha256::new(),
        }
    }

    fn skip_to(&mut self, offset: u64) -> Result<(), ClientError> {
        let skipped =
            io::copy(&mut self.take(offset), &mut io::sink()).map_err(ClientError::Local)?;
        if skipped == offset {
            Ok(())
        } else {
            Err(ClientError::Local(changed()))
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        let left = self.size - self.position;
        let want = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        self.block.resize(want, 0);
        self.source
            .read_exact(&mut self.block)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => changed(),
                _ => error,
            })?;
        if left == want as u64 && self.source.read(&mut [0])? != 0 {
            return Err(changed());
        }
        let digest = encoding::sha256(&self.block);
        match self.blocks.get(self.next_block) {
            Some(known) if *known != digest => return Err(changed()),
            Some(_) => {}
            None => self.blocks.push(digest),
        }
        self.hash.update(&self.block);
        self.next_block += 1;
        self.taken = 0;
        Ok(())
    }

    /// SHA-256 of all bytes, once all were given out.
    fn digest(self) -> Result<[u8; 32], ClientError> {
        if self.position == self.size {
            Ok(self.hash.finalize().into())
        } else {
            Err(ClientError::Malformed("an answer before the drop was sent"))
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.position == self.size || out.is_empty() {
            return Ok(0);
        }
        if self.taken == self.block.len() {
            self.block.clear();
            self.taken = 0;
            if let Err(error) = self.refill() {
                self.block.clear();
                return Err(error);
            }
        }
        let ready = &self.block[self.taken..];
        let n = ready.len().min(out.len());
        out[..n].copy_from_slice(&ready[..n]);
        self.taken += n;
        self.position += n as u64;
        Ok(n)
    }
}

fn changed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "what was being sent has changed since it was first read",
    )
}
