//! What goes wrong: at the start, told to the operator; later, told to a client by one closed list of answers.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Why the server does not start. Each says what to do next; none changes anything.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The file system refused.
    #[error("cannot {what} {}: {error}. {}", path.display(), next_step(error))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something else than a folder is in its place.
    #[error("{} is not a folder. Give another path with --data.", .0.display())]
    NotAFolder(PathBuf),
    /// It belongs to another user.
    #[error("{} belongs to another user. Run the server as that user, or give another path with --data.", .0.display())]
    AnothersFolder(PathBuf),
    /// Others than the owner can read it.
    #[error("{path} can be read by others (mode {mode:o}). Run `chmod -R go= {path}`, then start again.", path = .0.display(), mode = .1)]
    OpenFolder(PathBuf, u32),
    /// It has files, and none of them is ours.
    #[error("{} has files in it and is not a folder of sealdrop-server. Give an empty or new folder with --data.", .0.display())]
    ForeignFolder(PathBuf),
    /// A newer program wrote it.
    #[error("{} was written by a newer sealdrop-server (layout {}, this program knows 1). Install the newer version; nothing was changed.", .0.display(), .1)]
    NewerFolder(PathBuf, u64),
    /// Another process has it.
    #[error("{} is in use by another sealdrop-server. Stop that one first, or give another folder with --data.", .0.display())]
    InUse(PathBuf),
    /// The log key cannot be read.
    #[error("{} is not a log key. Restore it from a backup; without it the log cannot go on under its name.", .0.display())]
    BadLogKey(PathBuf),
    /// The folder is another box's.
    #[error(
        "this data folder belongs to the box {0}. Start with --box {0}, or give another folder with --data."
    )]
    AnotherBox(String),
    /// The index does not go with the packs.
    #[error("the index in {path} does not go with its packs ({what}). Start anew, in a new folder, as docs/operations.md says under \"Backup and restore\": the box then takes a new log with `sealdrop-desk publish --new-log`. Nothing was changed.", path = .0.display(), what = .1)]
    Inconsistent(PathBuf, &'static str),
    /// The index cannot be opened.
    #[error(
        "cannot open the index of the data folder: {0}. If the disk is full, free some of it. If the file is damaged, start anew, in a new folder, as docs/operations.md says under \"Backup and restore\"."
    )]
    Index(rusqlite::Error),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {addr}: {error}. {}", listen_step(error))]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the TLS certificate {}: {reason}. Give a PEM chain with --tls-cert and its private key with --tls-key.", path.display())]
    Tls {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

// Without a source: its text stands in ours.
impl From<rusqlite::Error> for StartError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Index(error)
    }
}

impl StartError {
    pub(crate) fn io(what: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io {
            what,
            path: path.into(),
            error,
        }
    }
}

fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free some disk, then start again."
        }
        io::ErrorKind::PermissionDenied => "Give this user the right to it, or another path.",
        io::ErrorKind::ReadOnlyFilesystem => {
            "The file system is read-only; give a path on another."
        }
        _ => "Look at the path and the disk, then start again.",
    }
}

fn listen_step(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "Stop the program that uses this port, or give another with --listen."
        }
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need a right; give a higher one with --listen."
        }
        _ => "Give an address of this machine with --listen.",
    }
}

/// Every answer that is not a success. docs/protocol.md, "HTTP". Nothing of the request is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    BadRequest,
    NotAMember,
    Refused,
    NotFound,
    NoSuchMethod,
    TooSlow,
    Conflict,
    Gone,
    LengthRequired,
    TooLarge,
    NotADrop,
    NotSlips,
    NoRoster,
    Full,
    Busy,
    Internal,
}

impl Error {
    #[cfg(test)]
    const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::NotAMember,
        Self::Refused,
        Self::NotFound,
        Self::NoSuchMethod,
        Self::TooSlow,
        Self::Conflict,
        Self::Gone,
        Self::LengthRequired,
        Self::TooLarge,
        Self::NotADrop,
        Self::NotSlips,
        Self::NoRoster,
        Self::Full,
        Self::Busy,
        Self::Internal,
    ];

    pub(crate) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.parts().0).expect("they are constants between 400 and 503")
    }

    /// The whole body, RFC 9457.
    pub(crate) fn body(self) -> &'static str {
        self.parts().1
    }

    /// How long to wait before trying again, in seconds.
    fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::NoRoster | Self::Full => Some("300"),
            Self::Busy => Some("10"),
            _ => None,
        }
    }

    fn parts(self) -> (u16, &'static str) {
        macro_rules! problem {
            ($status:literal, $type:literal, $title:literal) => {
                (
                    $status,
                    concat!(
                        "{\"type\":\"urn:sealdrop:error:",
                        $type,
                        "\",\"title\":\"",
                        $title,
                        "\",\"status\":",
                        $status,
                        "}"
                    ),
                )
            };
        }
        match self {
            Self::BadRequest => problem!(
                400,
                "bad-request",
                "The request is not as the protocol says."
            ),
            Self::NotAMember => problem!(
                401,
                "not-a-member",
                "A member's request is missing or refused."
            ),
            Self::Refused => problem!(403, "refused", "The signature or what it signs is refused."),
            Self::NotFound => problem!(404, "not-found", "There is no such thing."),
            Self::NoSuchMethod => problem!(405, "no-such-method", "There is no such method here."),
            Self::TooSlow => problem!(408, "too-slow", "The request came too slowly."),
            Self::Conflict => problem!(
                409,
                "conflict",
                "This does not follow from what the server has."
            ),
            Self::Gone => problem!(410, "gone", "It was here, and has expired or was released."),
            Self::LengthRequired => problem!(411, "length-required", "Content-Length is missing."),
            Self::TooLarge => problem!(413, "too-large", "The body is larger than allowed here."),
            Self::NotADrop => problem!(
                422,
                "not-a-drop",
                "The body is not shaped as a drop for this box's roster. Fetch the roster again."
            ),
            Self::NotSlips => problem!(
                422,
                "not-slips",
                "The body is not a member's share of slips by this box's roster. Fetch the roster again."
            ),
            Self::NoRoster => problem!(503, "no-roster", "The box has no roster yet."),
            Self::Full => problem!(503, "full", "The server has no room left. Try again later."),
            Self::Busy => problem!(503, "busy", "The server is busy. Try again shortly."),
            Self::Internal => problem!(500, "internal", "The server has a fault."),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_json_with_type_title_and_status_and_nothing_else() {
        for error in Error::ALL {
            let value: serde_json::Value = serde_json::from_str(error.body()).unwrap();
            let object = value.as_object().unwrap();
            assert_eq!(
                object.keys().collect::<Vec<_>>(),
                ["status", "title", "type"]
            );
            assert_eq!(object["status"], error.status().as_u16());
        }
    }
}
