//! Drop addresses: an origin and the box key behind a `#`. docs/protocol.md, "Address".

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::key::{BoxKey, BoxKeyError};

/// Where a box is served and which box it is: `https://host[:port][/path]#sdbox1…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where requests go.
    pub origin: Origin,
    /// The key that must have signed the roster.
    pub box_key: BoxKey,
}

/// Why a text is not an address. docs/protocol.md, "Address".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// `missing box`: there is no fragment.
    #[error("the address has no box: it must end in `#sdbox1…`")]
    MissingBox,
    /// `scheme`.
    #[error(
        "the address must begin with https:// (http:// only for an onion service or this machine)"
    )]
    Scheme,
    /// `origin`: host, port or path break the rules.
    #[error("the part of the address before `#` is not one that a box can have")]
    Origin,
    /// The fragment is not a box.
    #[error(transparent)]
    Box(#[from] BoxKeyError),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (origin, fragment) = text.split_once('#').ok_or(AddressError::MissingBox)?;
        let origin = origin.strip_suffix('/').unwrap_or(origin).parse()?;
        if fragment.is_empty() {
            return Err(AddressError::MissingBox);
        }
        Ok(Self {
            origin,
            box_key: BoxKey::parse(fragment)?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.origin, self.box_key)
    }
}

/// The part of an address that a server sees, in its one spelling: `https://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The text; the paths of docs/protocol.md, "HTTP" are appended to it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, without port; an IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let (_, rest) = self.0.split_once("://").expect("an origin has a scheme");
        split_authority(rest).0
    }

    /// Whether the host is an onion service, which only Tor reaches.
    #[must_use]
    pub fn is_onion(&self) -> bool {
        is_onion(self.host())
    }

    /// Whether the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }
}

impl FromStr for Origin {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(AddressError::Scheme),
        };
        let (host, port, path) = split_authority(rest);
        if !is_host(host) || !is_path(path) {
            return Err(AddressError::Origin);
        }
        if scheme == "http" && !is_onion(host) && !is_loopback(host) {
            return Err(AddressError::Scheme);
        }
        let port = match port {
            None => None,
            Some(digits) => {
                let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
                let port: u16 = digits
                    .parse()
                    .ok()
                    .filter(|_| plain)
                    .ok_or(AddressError::Origin)?;
                Some(port).filter(|&port| port != default_port)
            }
        };
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        Ok(Self(format!("{scheme}://{host}{port}{path}")))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `host[:port][/path]` into its parts; the path keeps its slash.
fn split_authority(rest: &str) -> (&str, Option<&str>, &str) {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host_end = if authority.starts_with('[') {
        authority.find(']').map_or(authority.len(), |end| end + 1)
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(host_end);
    match port.strip_prefix(':') {
        Some(port) => (host, Some(port), path),
        // Anything else behind a bracket becomes part of the host, which then is none.
        None => (if port.is_empty() { host } else { authority }, None, path),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner
            .parse::<Ipv6Addr>()
            .is_ok_and(|ip| ip.to_string() == inner);
    }
    if host.ends_with(|c: char| c.is_ascii_digit()) {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    (1..=253).contains(&host.len())
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

fn is_path(path: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    path.is_empty()
        || path.len() <= 1024
            && path[1..].split('/').all(|segment| {
                !matches!(segment, "" | "." | "..") && segment.bytes().all(unreserved)
            })
}

fn is_onion(host: &str) -> bool {
    host.ends_with(".onion")
}

fn is_loopback(host: &str) -> bool {
    let ip = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origin: &str, expected: Result<&str, AddressError>) {
        assert_eq!(
            origin.parse::<Origin>().as_ref().map(Origin::as_str),
            expected.as_ref().map(|s| *s)
        );
    }

    #[test]
    fn an_origin_has_one_spelling() {
        check("https://drop.example.org", Ok("https://drop.example.org"));
        check(
            "https://drop.example.org:443/a/b",
            Ok("https://drop.example.org/a/b"),
        );
        check(
            "https://drop.example.org:8443",
            Ok("https://drop.example.org:8443"),
        );
        check("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080"));
        check("http://[::1]:80", Ok("http://[::1]"));
        check("http://abcdef.onion", Ok("http://abcdef.onion"));
    }

    #[test]
    fn plain_http_is_for_onions_and_loopback_only() {
        check("http://drop.example.org", Err(AddressError::Scheme));
        check("http://127.0.0.1.example.org", Err(AddressError::Scheme));
        check("ftp://drop.example.org", Err(AddressError::Scheme));
        check("drop.example.org", Err(AddressError::Scheme));
    }

    #[test]
    fn odd_origins_are_refused() {
        for odd in [
            "https://",
            "https://user@drop.example.org",
            "https://Drop.example.org",
            "https://drop.example.org/",
            "https://drop.example.org//a",
            "https://drop.example.org/../a",
            "https://drop.example.org/a?b",
            "https://drop.example.org/ä",
            "https://drop.example.org:0",
            "https://drop.example.org:080",
            "https://drop.example.org:65536",
            "https://drop.example.org:",
            "https://-drop.example.org",
            "https://drop..org",
            "https://1.2.3",
            "https://01.2.3.4",
            "https://[::1",
            "https://[::1]x",
            "https://[0:0:0:0:0:0:0:1]",
        ] {
            check(odd, Err(AddressError::Origin));
        }
    }
}
