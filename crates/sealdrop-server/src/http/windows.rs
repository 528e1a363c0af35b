//! `/v1/windows`: what members fetch. docs/protocol.md, "HTTP" and "Release".

use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use sealdrop_core::encoding::{from_decimal, from_hex, hex};
use sealdrop_core::time::Window;
use serde::Serialize;
use tokio::task::JoinHandle;

use super::{Answer, App, json, member, segment};
use crate::error::Error;
use crate::store::disk;

/// Bytes read from a pack at a time.
const CHUNK: usize = 65_536;

#[derive(Serialize)]
struct WindowsAnswer {
    now: u64,
    windows: Vec<u64>,
    posted: Option<u64>,
}

#[derive(Serialize)]
struct DropsAnswer {
    window: u64,
    drops: Vec<DropAnswer>,
    released: Option<String>,
}

#[derive(Serialize)]
struct DropAnswer {
    digest: String,
    size: u64,
}

pub(super) async fn list(State(app): State<Arc<App>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let member = member::check(&app, &parts)?.member;
    let store = app.store.clone();
    json(&WindowsAnswer {
        now: store.open_window(),
        windows: store.windows(),
        posted: store.read(move |store| store.posted_by(&member)).await?,
    })
}

pub(super) async fn drops(State(app): State<Arc<App>>, request: Request) -> Answer {
    let window = window(&request);
    let (parts, _) = request.into_parts();
    member::check(&app, &parts)?;
    let window = window?;
    let (leaves, released) = app.store.read(move |store| store.drops_of(window)).await?;
    let drops = leaves.into_iter().map(|leaf| DropAnswer {
        digest: hex(&leaf.digest),
        size: leaf.size,
    });
    json(&DropsAnswer {
        window,
        drops: drops.collect(),
        released,
    })
}

pub(super) async fn body(State(app): State<Arc<App>>, request: Request) -> Answer {
    let window = window(&request);
    let digest = from_hex::<32>(segment(&request, 4)).ok_or(Error::NotFound);
    let (parts, _) = request.into_parts();
    member::check(&app, &parts)?;
    let (window, digest) = (window?, digest?);
    let from = range(&parts)?;
    let (file, at, size) = app
        .store
        .read(move |store| store.body(window, &digest))
        .await?;
    let start = from.unwrap_or(0);
    if start > 0 && start >= size {
        return Err(Error::BadRequest);
    }
    let stored = Stored {
        file: Arc::new(file),
        at: at + start,
        left: size - start,
        reading: None,
    };
    let mut response = Response::new(Body::new(stored));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size - start));
    if from.is_some() {
        let range = format!("bytes {start}-{}/{size}", size.saturating_sub(1));
        headers.insert(
            header::CONTENT_RANGE,
            HeaderValue::try_from(range).map_err(|_| Error::Internal)?,
        );
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

pub(super) async fn release(State(app): State<Arc<App>>, request: Request) -> Answer {
    let window = window(&request);
    let (signed, _) = member::check_body(&app, request).await?;
    let window = window?;
    // What desks will read in the log.
    if signed.request.releases() != Some(Window(window)) {
        return Err(Error::BadRequest);
    }
    app.store.release(window, signed.note.to_string()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn window(request: &Request) -> Result<u64, Error> {
    from_decimal(segment(request, 2)).ok_or(Error::NotFound)
}

/// `Range: bytes=a-`; any other range is ignored, as HTTP allows.
fn range(parts: &Parts) -> Result<Option<u64>, Error> {
    let Some(range) = parts.headers.get(header::RANGE) else {
        return Ok(None);
    };
    let range = range.to_str().map_err(|_| Error::BadRequest)?;
    Ok(range
        .strip_prefix("bytes=")
        .and_then(|range| range.strip_suffix('-'))
        .and_then(from_decimal))
}

/// A body on its way from a pack to a client, one chunk in memory.
struct Stored {
    file: Arc<File>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<std::io::Result<BytesMut>>>,
}

impl http_body::Body for Stored {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let (file, at) = (self.file.clone(), self.at);
        let want = CHUNK.min(usize::try_from(self.left).unwrap_or(CHUNK));
        let reading = self.reading.get_or_insert_with(|| {
            tokio::task::spawn_blocking(move || {
                let mut chunk = BytesMut::zeroed(want);
                match disk::read_up_to(&file, &mut chunk, at)? {
                    n if n == want => Ok(chunk),
                    _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
                }
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(Some(match read {
            Ok(Ok(chunk)) => {
                self.at += chunk.len() as u64;
                self.left -= chunk.len() as u64;
                Ok(Frame::data(chunk.freeze()))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(std::io::ErrorKind::Other.into()),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
