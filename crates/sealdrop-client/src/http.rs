//! One HTTP operation: one connection, and only the headers that docs/protocol.md, "HTTP" names.

use std::io::{self, Read};

use sealdrop_core::address::Origin;
use ureq::http::{Method, Request, Response};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, SendBody};

use crate::error::Problem;
use crate::{ClientError, Options};

/// The largest head of an answer, in bytes.
const MAX_HEAD: usize = 16_384;
/// The largest body of an error that is read, in bytes.
const MAX_PROBLEM: u64 = 4_096;
/// What goes with a request.
pub(crate) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// Exactly so many bytes of a reader.
    Reader(&'a mut dyn Read, u64),
}

pub(crate) struct Http {
    pub(crate) origin: Origin,
    pub(crate) options: Options,
}

impl Http {
    pub(crate) fn new(origin: &Origin, options: Options) -> Result<Self, ClientError> {
        if origin.is_onion() && options.proxy.is_none() {
            return Err(ClientError::OnionWithoutProxy);
        }
        Ok(Self {
            origin: origin.clone(),
            options,
        })
    }

    /// Runs one operation and gives the answer, if its status is one of success.
    pub(crate) fn run(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> Result<Response<Body>, ClientError> {
        self.run_on(self.agent(true)?, method, path, headers, payload)
    }

    /// The same for an answer that may take as long as it likes, as long as it moves.
    pub(crate) fn run_long(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> Result<Response<Body>, ClientError> {
        self.run_on(self.agent(false)?, method, path, headers, payload)
    }

    fn run_on(
        &self,
        agent: Agent,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> Result<Response<Body>, ClientError> {
        if self.options.is_cancelled() {
            return Err(ClientError::Cancelled);
        }
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut empty, mut slice);
        let mut tracked = match payload {
            Payload::None => {
                let request = request
                    .body(())
                    .map_err(|_| ClientError::Malformed("a request that HTTP cannot carry"))?;
                return self.answer(agent.run(request), None);
            }
            Payload::Bytes(bytes) => {
                slice = bytes;
                request = request.header("content-length", bytes.len());
                Tracked::new(&mut slice, self)
            }
            Payload::Reader(reader, len) => {
                request = request.header("content-length", len);
                if len == 0 {
                    empty = io::empty();
                    Tracked::new(&mut empty, self)
                } else {
                    Tracked::new(reader, self)
                }
            }
        };
        let request = request
            .body(SendBody::from_reader(&mut tracked))
            .map_err(|_| ClientError::Malformed("a request that HTTP cannot carry"))?;
        let result = agent.run(request);
        self.answer(result, tracked.failed)
    }

    /// The bytes of an answer, at most `limit`.
    pub(crate) fn read(
        &self,
        mut response: Response<Body>,
        limit: usize,
    ) -> Result<Vec<u8>, ClientError> {
        // ureq counts the read that finds the end, so a body of exactly its limit is too long for it.
        let bytes = response
            .body_mut()
            .with_config()
            .limit(limit as u64 + 1)
            .read_to_vec()
            .map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(_) => ClientError::TooLong,
                error => self.error(error),
            })?;
        if bytes.len() > limit {
            return Err(ClientError::TooLong);
        }
        Ok(bytes)
    }

    /// An agent for one operation: it keeps no connection, no session ticket, nothing.
    fn agent(&self, is_short: bool) -> Result<Agent, ClientError> {
        let Options {
            proxy,
            roots,
            connect,
            idle,
            answer,
            ..
        } = &self.options;
        let proxy = proxy
            .as_ref()
            .map(|proxy| proxy.isolated())
            .transpose()
            .map_err(|error| self.error(error))?;
        let config = Agent::config_builder()
            .proxy(proxy)
            .tls_config(TlsConfig::builder().root_certs(roots.to_ureq()).build())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("")
            .accept("")
            .accept_encoding("")
            .max_response_header_size(MAX_HEAD)
            .max_idle_connections(0)
            .timeout_connect(Some(*connect))
            .timeout_send_request(Some(*idle))
            .timeout_recv_body(is_short.then_some(*answer))
            .timeout_recv_response(Some(*idle))
            .timeout_per_read(Some(*idle))
            .timeout_per_write(Some(*idle))
            .build();
        Ok(config.new_agent())
    }

    fn answer(
        &self,
        result: Result<Response<Body>, ureq::Error>,
        failed: Option<io::Error>,
    ) -> Result<Response<Body>, ClientError> {
        if let Some(error) = failed {
            return Err(if self.options.is_cancelled() {
                ClientError::Cancelled
            } else {
                ClientError::Local(error)
            });
        }
        let mut response = result.map_err(|error| self.error(error))?;
        let status = response.status().as_u16();
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let retry_after =
            header(&response, "retry-after").and_then(sealdrop_core::encoding::from_decimal);
        let is_problem =
            status == 503 && header(&response, "content-type") == Some("application/problem+json");
        // What cannot be read is a problem that says nothing.
        let problem = is_problem
            .then(|| response.body_mut().with_config().limit(MAX_PROBLEM))
            .and_then(|body| body.read_to_vec().ok())
            .and_then(|body| Problem::parse(&body));
        Err(ClientError::Status {
            status,
            retry_after,
            problem,
        })
    }

    /// What a failure of ureq means to the person in front of the program.
    pub(crate) fn error(&self, error: ureq::Error) -> ClientError {
        let host = self.origin.host().to_owned();
        let proxy = self.options.proxy.as_ref().map(ToString::to_string);
        match error {
            ureq::Error::Timeout(_) => ClientError::Timeout { host },
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => match proxy {
                Some(proxy) => ClientError::ProxyDown { proxy },
                None => ClientError::Name { host },
            },
            ureq::Error::Rustls(error) => tls_error(host, &error),
            ureq::Error::Tls(reason) => ClientError::Tls {
                host,
                reason: reason.into(),
            },
            ureq::Error::Io(error) => self.io_error(error, host, proxy),
            ureq::Error::LargeResponseHeader(..) => ClientError::TooLong,
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => ClientError::Malformed("not HTTP"),
            _ => ClientError::Lost { host },
        }
    }

    fn io_error(&self, error: io::Error, host: String, proxy: Option<String>) -> ClientError {
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls {
            return tls_error(host, tls);
        }
        // The standard library has no kind for this one.
        let is_lookup = error
            .to_string()
            .starts_with("failed to lookup address information");
        match (error.kind(), proxy) {
            (_, None) if is_lookup => ClientError::Name { host },
            (_, Some(proxy)) if is_lookup => ClientError::ProxyDown { proxy },
            (io::ErrorKind::ConnectionRefused, None) => ClientError::Refused { host },
            (io::ErrorKind::ConnectionRefused, Some(proxy)) => ClientError::ProxyDown { proxy },
            // The proxy's own refusals come as these, with its reason as text.
            (io::ErrorKind::Other | io::ErrorKind::PermissionDenied, Some(proxy)) => {
                ClientError::ProxyFailed {
                    proxy,
                    host,
                    reason: error.to_string(),
                }
            }
            (io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock, _) => {
                ClientError::Timeout { host }
            }
            _ => ClientError::Lost { host },
        }
    }
}

fn tls_error(host: String, error: &rustls::Error) -> ClientError {
    let reason = error.to_string();
    // It has no value of its own in rustls, only a name of its verifier's.
    if reason.contains("CaUsedAsEndEntity") {
        ClientError::CaAsServer { host }
    } else {
        ClientError::Tls { host, reason }
    }
}

/// A header of an answer, if it is plain text.
pub(crate) fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Remembers an error of the reader, so that it is not taken for one of the connection, and ends it when the program asks to stop.
struct Tracked<'a> {
    reader: &'a mut dyn Read,
    http: &'a Http,
    failed: Option<io::Error>,
}

impl<'a> Tracked<'a> {
    fn new(reader: &'a mut dyn Read, http: &'a Http) -> Self {
        Self {
            reader,
            http,
            failed: None,
        }
    }
}

impl Read for Tracked<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let result = if self.http.options.is_cancelled() {
            Err(io::Error::other("stopped"))
        } else {
            self.reader.read(out)
        };
        result.map_err(|error| {
            self.failed = Some(error);
            io::Error::other("what was to be sent cannot be read")
        })
    }
}
