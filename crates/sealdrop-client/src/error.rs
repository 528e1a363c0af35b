//! What can go wrong between a client and its server, each with what to do next.

use std::io;

use sealdrop_core::roster::RosterError;

/// Why an operation failed. Nothing in it comes from the server but numbers, so that it can be shown as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// An onion service, and no proxy to reach it.
    #[error(
        "this address is an onion service, which only Tor reaches: start Tor and add --tor (or --proxy socks5h://host:port)"
    )]
    OnionWithoutProxy,
    /// The server's name has no address.
    #[error(
        "there is no server called {host}: check the address and your connection to the network"
    )]
    Name {
        /// The host that was asked for.
        host: String,
    },
    /// Nobody listens there.
    #[error(
        "{host} refuses the connection: the server is down, or the port in the address is wrong; try again later"
    )]
    Refused {
        /// The host that was asked for.
        host: String,
    },
    /// The proxy itself does not answer.
    #[error(
        "the proxy {proxy} cannot be reached: is it running? For Tor, start it or give its port with --proxy socks5h://127.0.0.1:PORT"
    )]
    ProxyDown {
        /// The proxy, without credentials.
        proxy: String,
    },
    /// The proxy answered that it cannot connect.
    #[error(
        "the proxy {proxy} cannot reach {host} ({reason}): the server may be down, or the address wrong; try again in a minute"
    )]
    ProxyFailed {
        /// The proxy, without credentials.
        proxy: String,
        /// The host that was asked for.
        host: String,
        /// What the proxy said, in ureq's words.
        reason: String,
    },
    /// No answer in time.
    #[error("{host} does not answer in time: try again later, or from another network")]
    Timeout {
        /// The host that was asked for.
        host: String,
    },
    /// The certificate does not belong to the host, or another failure of TLS.
    #[error(
        "the connection to {host} is not secure ({reason}): something between you and the server may be listening; nothing was sent"
    )]
    Tls {
        /// The host that was asked for.
        host: String,
        /// What rustls says.
        reason: String,
    },
    /// The server's certificate is an authority's, as plain `openssl req -x509` makes them.
    #[error(
        "the certificate of {host} is one for an authority (CA:TRUE), which a server must not use as its own; nothing was sent. \
         Whoever runs the server makes another, for instance: {}", own_certificate(.host)
    )]
    CaAsServer {
        /// The host that was asked for.
        host: String,
    },
    /// The connection ended in the middle.
    #[error("the connection to {host} broke: try again")]
    Lost {
        /// The host that was asked for.
        host: String,
    },
    /// The server answered with an error of docs/protocol.md, "HTTP".
    #[error("{}", status_text(*.status, *.retry_after, *.problem))]
    Status {
        /// The HTTP status.
        status: u16,
        /// Seconds after which to try again, if the server said so.
        retry_after: Option<u64>,
        /// Which of the problems of one status it is, if the server said so.
        problem: Option<Problem>,
    },
    /// An answer that the protocol does not have: not JSON, a wrong length, a redirect.
    #[error(
        "the server's answer is not one of Sealdrop's ({0}): check that the address is a drop address"
    )]
    Malformed(&'static str),
    /// The upload that was to be gone on with is of another length than what is sent now.
    #[error("the upload was begun with something of another length than what is sent now")]
    AnotherUpload,
    /// More bytes than such an answer can have.
    #[error("the server's answer is longer than it can be; it was not read to the end")]
    TooLong,
    /// The bytes served have another hash than was asked for.
    #[error("the server served other bytes than those asked for")]
    ChangedBody,
    /// The roster is refused. Programs add what to do.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The policy is not the one that the roster names.
    #[error(
        "the policy that the server shows is not the one that the box key signed; do not use this server, and tell the project"
    )]
    Policy,
    /// Reading what was to be sent, or writing what was received, failed on this machine.
    #[error(transparent)]
    Local(io::Error),
    /// The program asked to stop.
    #[error("stopped")]
    Cancelled,
}

impl ClientError {
    /// The HTTP status, if the server answered with an error.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same may work a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            error if error.is_unreached() => true,
            Self::Timeout { .. } | Self::Lost { .. } => true,
            // There is no room until drops expire or somebody makes some: that takes longer than anybody waits.
            Self::Status {
                problem: Some(Problem::Full | Problem::NoRoster),
                ..
            } => false,
            Self::Status { status, .. } => matches!(status, 408 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether the server was never spoken to: no name, no connection, no proxy.
    pub(crate) fn is_unreached(&self) -> bool {
        matches!(
            self,
            Self::Name { .. }
                | Self::Refused { .. }
                | Self::ProxyDown { .. }
                | Self::ProxyFailed { .. }
        )
    }
}

/// The command that makes a certificate which is its own authority and yet a server's.
fn own_certificate(host: &str) -> String {
    let host = host.trim_matches(['[', ']']);
    let kind = match host.parse::<std::net::IpAddr>() {
        Ok(_) => "IP",
        Err(_) => "DNS",
    };
    format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -keyout server.key -out server.pem \
         -subj /CN={host} -addext subjectAltName={kind}:{host} -addext basicConstraints=critical,CA:FALSE"
    )
}

/// Why a server serves nobody at the moment: what it says of status 503. docs/protocol.md, "HTTP".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Its store has no room for a drop of this size.
    Full,
    /// It has too much to do.
    Busy,
    /// No roster was published yet.
    NoRoster,
}

impl Problem {
    /// Reads a problem body (RFC 9457); `None` for any type that is not of these.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Wire {
            r#type: String,
        }
        let wire: Wire = serde_json::from_slice(body).ok()?;
        match wire.r#type.strip_prefix("urn:sealdrop:error:")? {
            "full" => Some(Self::Full),
            "busy" => Some(Self::Busy),
            "no-roster" => Some(Self::NoRoster),
            _ => None,
        }
    }
}

fn status_text(status: u16, retry_after: Option<u64>, problem: Option<Problem>) -> String {
    let text = match status {
        300..=399 => {
            "the server redirects elsewhere, which is not followed: ask the project for its current drop address"
        }
        401 => {
            "the server does not accept this device's requests: its clock may be off, or the roster no longer names it"
        }
        403 => "the server refuses it: not signed by a key that it knows",
        404 => {
            "there is nothing at this address yet: check the path, or ask the project whether its box is published"
        }
        408 => "the server gave up waiting: the connection is too slow; try again",
        409 => "the server's state is another than expected: fetch it again and repeat",
        410 => "these bytes have expired or were released",
        413 => {
            "the server takes nothing that large: leave out attachments, or put them where you can link to them"
        }
        422 => {
            "the server does not take this drop: it was sealed to an older roster; seal it again to the current one"
        }
        503 => match (problem, retry_after) {
            (Some(Problem::Full), _) => {
                "the box is full: its server has no room for a drop of this size; try again later or with fewer attachments, and tell the project if it stays so"
            }
            (Some(Problem::Busy), Some(seconds)) => {
                return format!(
                    "the server is busy: try again in {} s",
                    seconds.clamp(1, 3600)
                );
            }
            (Some(Problem::Busy), None) => "the server is busy: try again in a minute",
            (Some(Problem::NoRoster), _) => {
                "the box has no roster yet: ask the project whether it is published"
            }
            (None, _) => "the server is full or busy: try again later",
        },
        _ => {
            return format!(
                "the server failed with status {status}: try again later, and tell the project if it stays so"
            );
        }
    };
    text.into()
}
