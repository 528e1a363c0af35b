//! `/v1/slips` and `/v1/feed`: what members answer with, and what reporters read. docs/protocol.md, "Feed".

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse as _;
use sealdrop_core::encoding::{from_decimal, hex};
use sealdrop_core::slip::{self, SLIP};
use sealdrop_core::time::Window;
use serde::Serialize;

use super::{Answer, App, json, member, segment as path_segment};
use crate::error::Error;

#[derive(Serialize)]
struct PostedAnswer {
    window: u64,
}

#[derive(Serialize)]
struct FeedAnswer {
    segments: Vec<SegmentAnswer>,
}

#[derive(Serialize)]
struct SegmentAnswer {
    window: u64,
    digest: String,
    size: u64,
}

/// Takes a member's share of slips. One post is the member's, whichever of their devices signs it.
pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Answer {
    let (signed, body) = member::check_body(&app, request).await?;
    let (slips, rest) = body.as_chunks::<SLIP>();
    if slips.is_empty() || !rest.is_empty() || !slips.iter().all(slip::is_shaped) {
        return Err(Error::NotSlips);
    }
    let window = app.store.post_slips(signed.member, body).await?;
    json(&PostedAnswer { window: window.0 })
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer {
    let rows = app.store.read(|store| store.segments()).await?;
    let segments = rows.iter().map(|row| SegmentAnswer {
        window: row.window,
        digest: hex(&row.digest),
        size: row.size,
    });
    json(&FeedAnswer {
        segments: segments.collect(),
    })
}

pub(super) async fn segment(State(app): State<Arc<App>>, request: Request) -> Answer {
    let window = from_decimal(path_segment(&request, 2)).ok_or(Error::NotFound)?;
    let bytes = app.store.read(move |store| store.segment(window)).await?;
    let headers = [
        (
            header::CACHE_CONTROL,
            format!("public, max-age={}, immutable", keep(&app, Window(window))),
        ),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

/// For how many seconds a cache may keep a window's segment: not beyond its expiry, and for everybody who asks within a window the same.
fn keep(app: &App, window: Window) -> u64 {
    app.store.rosters().map_or(0, |rosters| {
        let length = rosters.current.window_length();
        let expires = window
            .end(length)
            .0
            .saturating_add(rosters.current.retention());
        expires.saturating_sub((app.clock)().window(length).end(length).0)
    })
}
