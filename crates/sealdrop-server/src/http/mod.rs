//! The requests and their answers. docs/protocol.md, "HTTP".

mod boxes;
mod drops;
mod feed;
mod log;
mod member;
mod nonces;
mod pace;
mod policy;
mod sink;
mod uploads;
mod windows;

pub(crate) use policy::Pages;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, head, patch, post, put};
use sealdrop_core::encoding::from_decimal;
use sealdrop_core::key::BoxKey;
use sealdrop_core::time::Time;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::config::Limits;
use crate::error::Error;
use crate::places::Places;
use crate::store::Store;
use crate::system::Clock;
use nonces::Nonces;
use uploads::Uploads;

/// The most bytes of a body that is not a drop: a roster and its policy, in JSON.
const MAX_BODY: u64 = 1_048_576;
/// How many bodies of members, and how many rosters, are received at a time. Each may be of [`MAX_BODY`] bytes, in memory.
const BODIES: usize = 16;

/// What every request has at hand.
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) box_key: BoxKey,
    pub(crate) clock: Clock,
    /// When this process started: it knows no member's request from before.
    pub(crate) started: Time,
    pub(crate) limits: Limits,
    pub(crate) uploads: Uploads,
    pub(crate) nonces: Nonces,
    /// For bodies of drops that are not of the smallest size, and of uploads.
    pub(crate) receiving: Arc<Places>,
    /// For bodies of members' requests; who waits here has signed.
    pub(crate) bodies: Semaphore,
    /// For bodies of `PUT /v1/box`, which anybody may begin.
    pub(crate) publishing: Arc<Places>,
}

type Answer = Result<Response, Error>;

impl App {
    pub(crate) fn new(
        store: Arc<Store>,
        box_key: BoxKey,
        clock: Clock,
        limits: Limits,
    ) -> std::io::Result<Self> {
        Ok(Self {
            started: clock(),
            uploads: Uploads::open(store.uploads(), &store)?,
            nonces: Nonces::open(store.nonces())?,
            receiving: Places::new(limits.max_uploads),
            bodies: Semaphore::new(BODIES),
            publishing: Places::new(BODIES),
            store,
            box_key,
            clock,
            limits,
        })
    }

    /// Closes and expires what is over.
    pub(crate) async fn tick(&self) {
        self.store.tick().await;
        if let Some(rosters) = self.store.rosters() {
            let window = self.store.open_window();
            let now = (self.clock)();
            self.uploads.forget_before(window, now, &self.store);
            self.nonces
                .turn(window, rosters.current.window_length(), now);
        }
    }
}

/// Every request that is answered: method, path, handler. `openapi.yaml` is held against it by a test.
fn routes() -> Vec<(Method, &'static str, MethodRouter<Arc<App>>)> {
    vec![
        (Method::GET, "/v1/box", get(boxes::current)),
        (Method::PUT, "/v1/box", put(boxes::publish)),
        (Method::GET, "/v1/box/{epoch}", get(boxes::of_epoch)),
        (Method::POST, "/v1/drops", post(drops::accept)),
        (Method::POST, "/v1/uploads", post(uploads::begin)),
        (Method::HEAD, "/v1/uploads/{id}", head(uploads::look)),
        (Method::PATCH, "/v1/uploads/{id}", patch(uploads::append)),
        (Method::DELETE, "/v1/uploads/{id}", delete(uploads::forget)),
        (Method::GET, "/v1/windows", get(windows::list)),
        (
            Method::GET,
            "/v1/windows/{window}/drops",
            get(windows::drops),
        ),
        (
            Method::GET,
            "/v1/windows/{window}/drops/{digest}",
            get(windows::body),
        ),
        (
            Method::POST,
            "/v1/windows/{window}/release",
            post(windows::release),
        ),
        (Method::POST, "/v1/slips", post(feed::post)),
        (Method::GET, "/v1/feed", get(feed::list)),
        (Method::GET, "/v1/feed/{window}", get(feed::segment)),
        (Method::GET, "/log/vkey", get(log::vkey)),
        (Method::GET, "/log/checkpoint", get(log::checkpoint)),
        (
            Method::GET,
            "/log/tile/entries/{*number}",
            get(log::entries),
        ),
        (Method::GET, "/log/tile/{level}/{*number}", get(log::tile)),
        (Method::POST, "/log/cosign", post(log::cosign)),
        (Method::GET, "/log/cosigned", get(log::cosigned)),
        (Method::GET, "/SECURITY.md", get(policy::security_md)),
        (
            Method::GET,
            "/.well-known/security.txt",
            get(policy::security_txt),
        ),
    ]
}

/// Methods and paths of all requests, for the test of the OpenAPI file.
#[must_use]
pub fn route_table() -> Vec<(String, String)> {
    routes()
        .into_iter()
        .map(|(method, path, _)| (method.to_string(), path.to_owned()))
        .collect()
}

/// The service behind the public listener.
pub(crate) fn router(app: Arc<App>) -> Router {
    routes()
        .into_iter()
        .fold(Router::new(), |router, (_, path, handler)| {
            router.route(path, handler)
        })
        .method_not_allowed_fallback(async || Error::NoSuchMethod)
        .fallback(async || Error::NotFound)
        .layer(middleware::from_fn(frame))
        .with_state(app)
}

/// The service behind the operator's listener.
pub(crate) fn ops_router(app: Arc<App>) -> Router {
    async fn healthz(State(app): State<Arc<App>>) -> axum::http::StatusCode {
        let healthy = app.store.is_healthy() && !app.store.is_full_for(1);
        if healthy {
            axum::http::StatusCode::OK
        } else {
            axum::http::StatusCode::SERVICE_UNAVAILABLE
        }
    }
    Router::new()
        .route("/healthz", get(healthz))
        .with_state(app)
}

/// Around every request: its form and the bounds of its body before it, the record of its answer after it.
///
/// What is recorded is method, matched route and status class. Never the path, a header, a size or an address.
async fn frame(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let mut response = match check(&request, route) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    let class = response.status().as_u16() / 100;
    if response.status() == axum::http::StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%method, route, "500");
    } else {
        tracing::debug!(%method, route, "{class}xx");
    }
    response
}

/// Refuses a query, as no path has one: two readings of what a member signed would be one too many. Refuses HTTP/1.1 without one `Host` (RFC 9112,
/// section 3.2); HTTP/1.0 is what some proxies speak. Refuses a body without a length, or one beyond the bound, before anything of it is read.
fn check(request: &Request, route: &str) -> Result<(), Error> {
    if request.uri().query().is_some() {
        return Err(Error::BadRequest);
    }
    let host = text_header(request, header::HOST.as_str())?;
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err(Error::BadRequest);
    }
    let has_body = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH
    );
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        return Err(Error::LengthRequired);
    }
    match content_length(request)? {
        None if has_body => Err(Error::LengthRequired),
        None | Some(0) => Ok(()),
        Some(_) if !has_body => Err(Error::BadRequest),
        // Their bounds are the roster's and the upload's.
        Some(_) if matches!(route, "/v1/drops" | "/v1/uploads/{id}") => Ok(()),
        Some(length) if length > MAX_BODY => Err(Error::TooLarge),
        Some(_) => Ok(()),
    }
}

/// `Content-Length`, if there is one.
fn content_length(request: &Request) -> Result<Option<u64>, Error> {
    decimal_header(request, header::CONTENT_LENGTH.as_str())
}

/// A header that is a decimal. More than one of a name is malformed.
fn decimal_header(request: &Request, name: &str) -> Result<Option<u64>, Error> {
    text_header(request, name)?
        .map(|text| from_decimal(text).ok_or(Error::BadRequest))
        .transpose()
}

fn text_header<'a>(request: &'a Request, name: &str) -> Result<Option<&'a str>, Error> {
    let mut values = request.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Error::BadRequest),
        (Some(_), Some(_)) => Err(Error::BadRequest),
    }
}

/// Segment `index` of the path, from 0; the router has seen that it is there. Nothing is percent-decoded: no path here needs it.
fn segment(request: &Request, index: usize) -> &str {
    request
        .uri()
        .path()
        .split('/')
        .nth(index + 1)
        .unwrap_or_default()
}

fn text(body: impl Into<Body>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        body.into(),
    )
        .into_response()
}

fn json(value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|_| Error::Internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
