//! How a client reaches its server: proxy, trust roots, patience.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand_core::Rng as _;
use sealdrop_core::encoding;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};
use ureq::{Proxy as UreqProxy, ProxyProtocol};

use crate::system;

/// How a client reaches its server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The SOCKS proxy that everything goes through, if any.
    pub proxy: Option<Proxy>,
    /// Who may certify the server's name.
    pub roots: Roots,
    /// How long making a connection may take, TLS and proxy included.
    pub connect: Duration,
    /// How long nothing may move on a connection.
    pub idle: Duration,
    /// How long a short answer may take to arrive as a whole: a server that drips must not hold a client for ever.
    pub answer: Duration,
    /// How often a broken upload is tried again without having got further.
    pub attempts: u32,
    /// The first pause before trying again; it doubles each time, up to 30 s.
    pub pause: Duration,
    /// Set by the program, for instance on Ctrl-C: the operation under way ends with [`ClientError::Cancelled`](crate::ClientError::Cancelled).
    pub cancelled: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            proxy: None,
            roots: Roots::default(),
            connect: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            answer: Duration::from_secs(300),
            attempts: 6,
            pause: Duration::from_secs(1),
            cancelled: Arc::default(),
        }
    }
}

impl Options {
    /// Everything through `proxy`, with the patience that Tor needs to build a circuit.
    #[must_use]
    pub fn through(proxy: Proxy) -> Self {
        Self {
            proxy: Some(proxy),
            connect: Duration::from_secs(120),
            ..Self::default()
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A SOCKS5 proxy that resolves names itself: `socks5h://[user:password@]host:port`.
///
/// Without credentials of its own every operation gets fresh random ones, which Tor answers with a circuit of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
}

/// Why a text is not a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// `socks5://` and the like.
    #[error(
        "socks5:// would look up the server's name on this machine, outside the proxy, and give you away; \
         write socks5h:// so that the proxy looks it up"
    )]
    ResolvesLocally,
    /// Another scheme.
    #[error("only socks5h:// proxies are supported, for instance socks5h://127.0.0.1:9050")]
    Scheme,
    /// Not `host:port` with a port.
    #[error("not a proxy; write socks5h://host:port, for instance socks5h://127.0.0.1:9050")]
    Malformed,
}

impl Proxy {
    /// Tor on this machine: `socks5h://127.0.0.1:9050`.
    #[must_use]
    pub fn tor() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 9050,
            credentials: None,
        }
    }

    /// Reads `socks5h://[user:password@]host:port`.
    ///
    /// # Errors
    /// As [`ProxyError`] says.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = text.split_once("://").ok_or(ProxyError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "socks5h" => {}
            "socks5" | "socks4" | "socks" => return Err(ProxyError::ResolvesLocally),
            _ => return Err(ProxyError::Scheme),
        }
        // ureq reads this again from a URI, so what it would read otherwise is refused here.
        let parsed = UreqProxy::new(text).map_err(|_| ProxyError::Malformed)?;
        let authority = rest
            .strip_suffix('/')
            .unwrap_or(rest)
            .rsplit('@')
            .next()
            .unwrap_or_default();
        let port = authority
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .filter(|&port| port > 0);
        let credentials = parsed
            .username()
            .map(|user| (user.into(), parsed.password().unwrap_or_default().into()));
        if parsed.host().is_empty() || authority.contains('/') {
            return Err(ProxyError::Malformed);
        }
        Ok(Self {
            host: parsed.host().into(),
            port: port.ok_or(ProxyError::Malformed)?,
            credentials,
        })
    }

    /// The same with credentials that stay: fresh random ones, unless it has its own.
    pub(crate) fn pinned(&self) -> Self {
        Self {
            credentials: Some(self.credentials()),
            ..self.clone()
        }
    }

    fn credentials(&self) -> (String, String) {
        let own = self.credentials.clone();
        own.unwrap_or_else(|| (random_word(), random_word()))
    }

    /// For one request: with fresh random credentials unless it has its own.
    pub(crate) fn isolated(&self) -> Result<UreqProxy, ureq::Error> {
        let (user, password) = self.credentials();
        UreqProxy::builder(ProxyProtocol::Socks5h)
            .host(&self.host)
            .port(self.port)
            .username(&user)
            .password(&password)
            .resolve_target(false)
            .build()
    }
}

/// Without the credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Without the credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

fn random_word() -> String {
    let mut bytes = [0; 16];
    system::rng().fill_bytes(&mut bytes);
    encoding::hex(&bytes)
}

/// Who may certify a server's name.
#[derive(Clone, Debug, Default)]
pub struct Roots(Trusted);

#[derive(Clone, Debug, Default)]
enum Trusted {
    #[default]
    Web,
    Only(Arc<Vec<Certificate<'static>>>),
}

/// The file holds no PEM certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no PEM certificate in it")]
pub struct RootsError;

impl Roots {
    /// Only these certificate authorities, instead of the web's: for a server with a certificate of its own.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let mut certificates = Vec::new();
        for item in parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                Ok(_) => {}
                Err(_) => return Err(RootsError),
            }
        }
        if certificates.is_empty() {
            return Err(RootsError);
        }
        Ok(Self(Trusted::Only(Arc::new(certificates))))
    }

    pub(crate) fn to_ureq(&self) -> RootCerts {
        match &self.0 {
            Trusted::Web => RootCerts::WebPki,
            Trusted::Only(certificates) => RootCerts::Specific(certificates.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, ProxyError>) {
        assert_eq!(
            Proxy::parse(text).map(|p| p.to_string()),
            expected.map(str::to_owned)
        );
    }

    #[test]
    fn reporter_on_socks5_is_refused() {
        check("socks5://127.0.0.1:9050", Err(ProxyError::ResolvesLocally));
        check("SOCKS5://127.0.0.1:9050", Err(ProxyError::ResolvesLocally));
        check("socks4://127.0.0.1:9050", Err(ProxyError::ResolvesLocally));
        check("http://127.0.0.1:8080", Err(ProxyError::Scheme));
        check("127.0.0.1:9050", Err(ProxyError::Scheme));
    }

    #[test]
    fn a_proxy_reads_and_hides_its_password() {
        check("socks5h://127.0.0.1:9050", Ok("127.0.0.1:9050"));
        check("socks5h://[::1]:9050", Ok("[::1]:9050"));
        check(
            "socks5h://user:secret@proxy.example:1080",
            Ok("proxy.example:1080"),
        );
        check("socks5h://127.0.0.1", Err(ProxyError::Malformed));
        check("socks5h://127.0.0.1:0", Err(ProxyError::Malformed));
        check("socks5h://127.0.0.1:9050/path", Err(ProxyError::Malformed));
        check("socks5h://", Err(ProxyError::Malformed));
        let proxy = Proxy::parse("socks5h://user:secret@proxy.example:1080").unwrap();
        assert!(!format!("{proxy:?}").contains("secret"));
    }

    #[test]
    fn each_operation_has_other_credentials() {
        let proxy = Proxy::tor();
        let [a, b] = [proxy.isolated().unwrap(), proxy.isolated().unwrap()];
        assert_ne!(a.username(), b.username());
        assert!(!a.resolve_target());
        // Requests of one operation share them, and those of another have others.
        let (one, other) = (proxy.pinned(), proxy.pinned());
        let [a, b, c] = [&one, &one, &other].map(|proxy| proxy.isolated().unwrap());
        assert_eq!((a.username(), a.password()), (b.username(), b.password()));
        assert_ne!(a.username(), c.username());
    }
}
