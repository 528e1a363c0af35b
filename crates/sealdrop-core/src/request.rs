//! Requests of members: signed, and accepted once. docs/protocol.md, "Requests of members".

use crate::encoding;
use crate::fields::Fields;
use crate::key::{AccessRole, SecretKey};
use crate::note::{Note, Vkey};
use crate::time::{Time, Window};

/// The header that carries a request.
pub const HEADER: &str = "Sealdrop-Request";
/// How far, in seconds, a request's time may be from the server's.
pub const MAX_SKEW: u64 = 120;
/// How long, in seconds, a server must remember a nonce: twice [`MAX_SKEW`], as a time may be ahead and then behind.
pub const NONCE_MEMORY: u64 = 240;
/// The longest header value; with the other headers it must stay under the limit of a request's head.
pub const MAX_HEADER: usize = 8_192;

const FIRST_LINE: &str = "sealdrop/request/v1";

/// What a member asks, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// One of the roster's origins, the one that the request goes to.
    pub origin: String,
    /// The HTTP method, in capitals.
    pub method: String,
    /// Path and query as sent, from `/v1/` or `/log/`.
    pub path: String,
    /// SHA-256 of the body.
    pub body: [u8; 32],
    /// When it was made.
    pub time: Time,
    /// 16 bytes, random and never used again.
    pub nonce: [u8; 16],
}

/// A request whose signature is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedRequest {
    note: Note,
}

/// What the server has before it, to be compared with a request.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The method of the HTTP request.
    pub method: &'a str,
    /// Its path and query, from `/v1/` or `/log/`.
    pub path: &'a str,
    /// SHA-256 of its body.
    pub body: &'a [u8; 32],
    /// The server's clock.
    pub now: Time,
    /// When the server started: it has forgotten the nonces seen before.
    pub started: Time,
}

/// Why a request is refused. The server answers 401 to all of these, and does not say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not the base64 of a note with one signature, or its text is not a request.
    #[error("not a request")]
    Malformed,
    /// Not signed by the key asked for.
    #[error("not signed by this key")]
    Signature,
    /// For another server.
    #[error("for another origin")]
    Origin,
    /// Another method, path or body.
    #[error("for another request")]
    Content,
    /// More than [`MAX_SKEW`] from the server's clock, or before its start.
    #[error("the time is off")]
    Time,
}

impl Request {
    /// The note's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!(
            "{FIRST_LINE}\norigin: {}\nmethod: {}\npath: {}\nbody: {}\ntime: {}\nnonce: {}\n",
            self.origin,
            self.method,
            self.path,
            encoding::hex(&self.body),
            self.time,
            encoding::base64(&self.nonce)
        )
    }

    /// The value of the header, signed by the device called `name` (`<member>/<device>`).
    ///
    /// # Errors
    /// [`RequestError::Malformed`] if a field is not one that a server would read, for instance a path with a space.
    pub fn sign(&self, name: &str, key: &SecretKey<AccessRole>) -> Result<String, RequestError> {
        let text = self.to_text();
        if Self::parse_text(&text).as_ref() != Some(self) {
            return Err(RequestError::Malformed);
        }
        let note = Note::new(text).map_err(|_| RequestError::Malformed)?;
        let value = encoding::base64(note.sign(name, key).to_string().as_bytes());
        if value.len() > MAX_HEADER {
            return Err(RequestError::Malformed);
        }
        Ok(value)
    }

    /// Checks that this is the request that the server of `origins` received, made now. That its nonce is new is the server's to
    /// check, last, under the lock by which it remembers it for [`NONCE_MEMORY`].
    ///
    /// # Errors
    /// [`RequestError::Origin`], [`RequestError::Content`] or [`RequestError::Time`].
    pub fn check<S: AsRef<str>>(
        &self,
        origins: impl IntoIterator<Item = S>,
        received: &Received<'_>,
    ) -> Result<(), RequestError> {
        if !origins.into_iter().any(|o| o.as_ref() == self.origin) {
            return Err(RequestError::Origin);
        }
        if self.method != received.method
            || self.path != received.path
            || self.body != *received.body
        {
            return Err(RequestError::Content);
        }
        if self.time.0.abs_diff(received.now.0) > MAX_SKEW || self.time < received.started {
            return Err(RequestError::Time);
        }
        Ok(())
    }

    /// The window that this request releases, if it is one for that. docs/protocol.md, "Release".
    #[must_use]
    pub fn releases(&self) -> Option<Window> {
        let window = self
            .path
            .strip_prefix("/v1/windows/")?
            .strip_suffix("/release")?;
        let window = Window(encoding::from_decimal(window)?);
        (self.method == "POST").then_some(window)
    }

    fn parse_text(text: &str) -> Option<Self> {
        let mut fields = Fields::new(text, FIRST_LINE)?;
        let request = Self {
            origin: fields.take("origin").filter(|s| is_plain(s))?.into(),
            method: fields.take("method").filter(|s| is_method(s))?.into(),
            path: fields.take("path").filter(|s| is_path(s))?.into(),
            body: encoding::from_hex(fields.take("body")?)?,
            time: Time(encoding::from_decimal(fields.take("time")?)?),
            nonce: encoding::from_base64_array(fields.take("nonce")?)?,
        };
        fields.end()?;
        Some(request)
    }
}

impl UnverifiedRequest {
    /// Reads the value of the header.
    ///
    /// # Errors
    /// [`RequestError::Malformed`].
    pub fn parse(value: &str) -> Result<Self, RequestError> {
        if value.len() > MAX_HEADER {
            return Err(RequestError::Malformed);
        }
        let bytes = encoding::from_base64(value).ok_or(RequestError::Malformed)?;
        let note = Note::parse(&bytes).map_err(|_| RequestError::Malformed)?;
        Self::from_note(note)
    }

    /// A request from its note, as the body of a `release` leaf has it.
    ///
    /// # Errors
    /// [`RequestError::Malformed`] unless the note has exactly one signature and is a request.
    pub fn from_note(note: Note) -> Result<Self, RequestError> {
        if note.signatures().len() != 1 || Request::parse_text(note.text()).is_none() {
            return Err(RequestError::Malformed);
        }
        Ok(Self { note })
    }

    /// The name of the key that is said to have signed, by which the server finds the device in its roster.
    #[must_use]
    pub fn key_name(&self) -> &str {
        self.note.signatures()[0].name()
    }

    /// The note, which becomes the body of a `release` leaf.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The request, if `key` signed it. Then [`Request::check`] it.
    ///
    /// # Errors
    /// [`RequestError::Signature`].
    pub fn verify(&self, key: &Vkey<AccessRole>) -> Result<Request, RequestError> {
        let text = self.note.verify(key).map_err(|_| RequestError::Signature)?;
        Request::parse_text(text).ok_or(RequestError::Malformed)
    }
}

/// Printable ASCII without a space, and not empty.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_method(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase())
}

fn is_path(text: &str) -> bool {
    is_plain(text) && (text.starts_with("/v1/") || text.starts_with("/log/"))
}
