//! Listening, and one connection from its first byte to its last.
//!
//! Every connection carries one request (docs/protocol.md, "Resumable upload": every operation runs on a fresh connection), so that nothing
//! ties two requests together here. HTTP/1.1 is driven by hyper itself rather than by a framework, so that the limits on heads and on slow
//! senders are real.

use std::fs;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Limits, Tls};
use crate::error::{Error, StartError};
use crate::http::{App, ops_router, router};
use crate::places::{Meter, Places};
use crate::store::{Options, Store};

/// The read and write buffers of a connection. Smaller than hyper's default, as there may be many connections.
pub(crate) const BUFFER: usize = 65_536;
/// How long the rest of a request is read and thrown away after its answer, so that a client that is still sending gets to read it: were the
/// connection closed at once, the system would drop the answer.
const LINGER: Duration = Duration::from_secs(5);
/// How soon to look again for what may have become free.
const PAUSE: Duration = Duration::from_millis(50);

/// A server that has its port and its data folder, and is about to [`run`](Server::run).
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    ops: Option<TcpListener>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    addr: SocketAddr,
    ops_addr: Option<SocketAddr>,
}

impl Server {
    /// Takes the port, opens the data folder, and finishes what a crash left half done. Connections that come from now on wait.
    ///
    /// # Errors
    /// As [`StartError`] says, in words for the operator. A port in use is noticed before the folder is touched.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let tls = config.tls.as_ref().map(acceptor).transpose()?;
        let (listener, addr) = listen(config.listen).await?;
        let (ops, ops_addr) = match config.ops_listen {
            Some(addr) => listen(addr)
                .await
                .map(|(ops, addr)| (Some(ops), Some(addr)))?,
            None => (None, None),
        };
        let limits = config.limits;
        let store = Store::open(Options {
            data: config.data.clone(),
            box_key: config.box_key.clone(),
            clock: config.clock.clone(),
            disk: config.disk,
            max_store: limits.max_store,
            reserve: limits.reserve,
            heartbeat: limits.heartbeat,
        })?;
        let app = App::new(
            Arc::new(store),
            config.box_key,
            config.clock,
            limits.clone(),
        )
        .map_err(|error| StartError::io("read", &config.data, error))?;
        Ok(Self {
            app: Arc::new(app),
            listener,
            ops,
            tls,
            limits,
            addr,
            ops_addr,
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the operator's listener is.
    #[must_use]
    pub fn ops_addr(&self) -> Option<SocketAddr> {
        self.ops_addr
    }

    /// `http://…` or `https://…` with the address.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The vkey of the log, which the first roster must name.
    #[must_use]
    pub fn log_vkey(&self) -> String {
        self.app.store.log_vkey().to_string()
    }

    /// Serves until `stop` is ready; then requests under way may end, within [`Limits::stop_time`].
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(false);
        let public = accept_all(
            self.listener,
            router(self.app.clone()),
            self.tls,
            self.limits.clone(),
            stopped.clone(),
        );
        let public = tokio::spawn(public);
        let ops = self.ops.map(|ops| {
            tokio::spawn(accept_all(
                ops,
                ops_router(self.app.clone()),
                None,
                self.limits.clone(),
                stopped,
            ))
        });
        let ticking = tokio::spawn(tick(self.app.clone(), self.limits.tick));
        stop.await;
        let _ = stopping.send(true);
        let _ = public.await;
        if let Some(ops) = ops {
            let _ = ops.await;
        }
        ticking.abort();
        self.app.store.stop().await;
    }
}

async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = TcpListener::bind(addr)
        .await
        .and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound
        .map(|(addr, listener)| (listener, addr))
        .map_err(|error| StartError::Listen { addr, error })
}

async fn tick(app: Arc<App>, every: Duration) {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        app.tick().await;
    }
}

async fn accept_all(
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Places::new(limits.max_connections);
    let limits = Arc::new(limits);
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            // The peer's address ends here: nothing below has it.
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors, most likely. Others will end.
                tokio::time::sleep(PAUSE).await;
                return None;
            };
            // Only now, so that nobody gives way before there is somebody to give way to.
            loop {
                if let Some(place) = places.take() {
                    return Some((place, stream));
                }
                let _ = timeout(PAUSE, places.freed()).await;
            }
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let Some((place, stream)) = accepted else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (router, tls, limits, stopped) =
            (router.clone(), tls.clone(), limits.clone(), stopped.clone());
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            tokio::select! {
                () = serve_stream(stream, router, tls, &limits, stopped, place.meter()) => {}
                () = place.lost() => {}
            }
        });
    }
    std::mem::drop(listener);
    let _ = timeout(limits.stop_time, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn serve_stream(
    stream: TcpStream,
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: &Limits,
    stopped: watch::Receiver<bool>,
    meter: Meter,
) {
    match tls {
        None => serve(stream, router, limits, stopped, meter).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(limits.head_time, tls.accept(stream)).await {
                serve(Box::new(stream), router, limits, stopped, meter).await;
            }
        }
    }
}

/// One request and its answer.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    limits: &Limits,
    mut stopped: watch::Receiver<bool>,
    meter: Meter,
) {
    let io = TokioIo::new(Patient::new(stream, limits.idle_time, meter));
    let service = TowerToHyperService::new(router);
    // Whatever succeeds has read its whole request.
    let refused = Arc::new(AtomicBool::new(true));
    let noted = refused.clone();
    let mut connection = http1::Builder::new()
        .keep_alive(false)
        .half_close(false)
        .max_headers(limits.head_count)
        .max_header_size(limits.head_bytes)
        .max_buf_size(BUFFER)
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .serve_connection(
            io,
            service_fn(move |request| {
                let answer = service.call(request);
                let refused = noted.clone();
                Box::pin(async move {
                    let answer = answer.await;
                    let status = answer.as_ref().map(|answer| answer.status());
                    refused.store(
                        !status.is_ok_and(|status| status.is_success()),
                        Ordering::Relaxed,
                    );
                    answer
                })
            }),
        );
    let mut stopping = pin!(async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    });
    let mut told = false;
    let result = poll_fn(|cx| {
        if !told && stopping.as_mut().poll(cx).is_ready() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;
    let mut stream = connection.into_parts().io.into_inner();
    if result.as_ref().is_err_and(hyper::Error::is_timeout) {
        let _ = timeout(LINGER, stream.write_all(raw(Error::TooSlow).as_bytes())).await;
    }
    // A client that has gone is not waited for.
    let here = match &result {
        Ok(()) => true,
        Err(error) => error.is_parse() || error.is_timeout() || error.is_user(),
    };
    if here && refused.load(Ordering::Relaxed) {
        let _ = timeout(LINGER, linger(&mut stream)).await;
    } else if here {
        let _ = timeout(LINGER, stream.shutdown()).await;
    }
}

async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut sink = vec![0; 16_384];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

/// An answer to what never became a request.
fn raw(error: Error) -> String {
    let (status, body) = (error.status(), error.body());
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A certificate without session resumption: a ticket would mark a client. docs/protocol.md, "HTTP".
fn acceptor(tls: &Tls) -> Result<TlsAcceptor, StartError> {
    let refuse = |path: &Path, reason: String| StartError::Tls {
        path: path.into(),
        reason,
    };
    let pem = |path: &Path| fs::read(path).map_err(|error| refuse(path, error.to_string()));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem(&tls.cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| refuse(&tls.cert, format!("{error:?}")))?;
    if chain.is_empty() {
        return Err(refuse(&tls.cert, "there is no certificate in it".into()));
    }
    let key = zeroize::Zeroizing::new(pem(&tls.key)?);
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| refuse(&tls.key, "there is no private key in it".into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(&tls.cert, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refuse(&tls.cert, error.to_string()))?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A stream that gives up on a peer who takes nothing for a while, and counts what goes either way. How patient to be with a peer who sends
/// nothing is decided above, by what it should be sending.
struct Patient<S> {
    stream: S,
    patience: Duration,
    meter: Meter,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: Unpin> Patient<S> {
    fn new(stream: S, patience: Duration, meter: Meter) -> Self {
        Self {
            stream,
            patience,
            meter,
            stalled: None,
        }
    }

    fn count_written(&self, poll: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(written)) = poll {
            self.meter.count(*written as u64);
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let deadline = Instant::now() + self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.meter.count((buf.filled().len() - before) as u64);
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count_written(&poll);
        self.watch(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.count_written(&poll);
        self.watch(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, poll)
    }
}
