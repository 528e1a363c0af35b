//! `POST /v1/drops`: the one request that matters. docs/protocol.md, "Drop", "Promise" and "HTTP".

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use sealdrop_core::drop::{shape, size};
use sealdrop_core::log::leaf::Leaf;
use std::borrow::Cow;

use super::pace::Incoming;
use super::sink::Sink;
use super::{Answer, App, content_length, text};
use crate::error::Error;
use crate::places::Place;
use crate::store::{Body, Rosters};

/// Drops up to this size are taken in memory and share a sync; larger ones go to a file of their own as they come. A drop with 512 KiB of
/// plaintext for 64 members still fits.
const SMALL: u64 = 655_360;

pub(super) async fn accept(State(app): State<Arc<App>>, request: Request) -> Answer {
    let size = content_length(&request)?.ok_or(Error::LengthRequired)?;
    let rosters = app.store.rosters().ok_or(Error::NoRoster)?;
    check_size(&rosters, size)?;
    if app.store.is_full_for_announced(size) {
        return Err(Error::Full);
    }
    let (pieces, digest) = if is_smallest(&rosters, size) {
        Incoming::new(request, &app.limits)?.pieces().await?
    } else {
        let place = receive(&app)?;
        if size > SMALL {
            return accept_large(app, request, rosters, size, place).await;
        }
        let body = Incoming::new(request, &app.limits)?.at(&place);
        body.pieces().await?
    };
    check_shape(&rosters, &beginning(&pieces, head_len(&rosters)), size)?;
    let leaf = app.store.put(digest, size, Body::Here(pieces)).await?;
    Ok(promised(&app, &leaf))
}

/// The first `len` bytes of a body.
fn beginning(pieces: &[Bytes], len: usize) -> Cow<'_, [u8]> {
    match pieces.first() {
        Some(first) if first.len() >= len => Cow::Borrowed(first),
        _ => pieces.iter().flatten().copied().take(len).collect(),
    }
}

/// In a task of its own: when the client goes, hyper drops the future of its request, and the file must still be put away.
async fn accept_large(
    app: Arc<App>,
    request: Request,
    rosters: Arc<Rosters>,
    size: u64,
    place: Place,
) -> Answer {
    let task = tokio::spawn(async move {
        let mut body = Incoming::new(request, &app.limits)?.at(&place);
        let mut sink = Sink::temporary(&app.store).await?;
        while let Some(chunk) = sink.fill(&mut body).await? {
            if sink.len() == 0 {
                check_shape(&rosters, &chunk, size)?;
            }
            sink = sink.write(&app.store, chunk).await?;
        }
        let leaf = sink.store(&app.store).await?;
        Ok(promised(&app, &leaf))
    });
    task.await.map_err(|_| Error::Internal)?
}

/// A place among the bodies that are received at the same time.
pub(super) fn receive(app: &App) -> Result<Place, Error> {
    app.receiving.take().ok_or(Error::Busy)
}

/// Whether it is of the size that every short text has. Such a drop takes no place: as many as there are connections find room in memory.
fn is_smallest(rosters: &Rosters, len: u64) -> bool {
    members(rosters).any(|members| len <= size::file(members, size::MIN_PADDED))
}

/// The answer to an accepted drop.
pub(super) fn promised(app: &App, leaf: &Leaf) -> axum::response::Response {
    (StatusCode::CREATED, text(app.store.promise(leaf))).into_response()
}

/// Refuses a size that is over the roster's, or that no drop has.
pub(super) fn check_size(rosters: &Rosters, len: u64) -> Result<(), Error> {
    if len > rosters.current.max_drop() {
        return Err(Error::TooLarge);
    }
    let fits = members(rosters).any(|members| size::padded_of_file(members, len).is_some());
    if fits { Ok(()) } else { Err(Error::NotADrop) }
}

/// Refuses what is not shaped as a drop for the current roster or the one before. `head` is the beginning of the body.
pub(super) fn check_shape(rosters: &Rosters, head: &[u8], len: u64) -> Result<(), Error> {
    let fits = members(rosters).any(|members| shape::check(head, len, members).is_ok());
    if fits { Ok(()) } else { Err(Error::NotADrop) }
}

/// As many bytes as [`check_shape`] may need.
pub(super) fn head_len(rosters: &Rosters) -> usize {
    members(rosters).map(shape::header_len).max().unwrap_or(0)
}

fn members(rosters: &Rosters) -> impl Iterator<Item = usize> {
    std::iter::once(&rosters.current)
        .chain(&rosters.previous)
        .map(|roster| roster.members().len())
}
