//! `/log`: the transparency log. docs/protocol.md, "Log"; C2SP tlog-tiles.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::cosignature;
use sealdrop_core::log::tile::{BundleId, TileId, encode_bundle};
use sealdrop_core::note::Note;
use serde::Serialize;

use super::{Answer, App, json, member, text};
use crate::error::Error;

/// A tile never changes, not even a partial one: its width is in its path.
const FOREVER: &str = "public, max-age=31536000, immutable";

pub(super) async fn vkey(State(app): State<Arc<App>>) -> Response {
    text(format!("{}\n", app.store.log_vkey()))
}

pub(super) async fn checkpoint(State(app): State<Arc<App>>) -> Response {
    text(app.store.published().note.to_string())
}

pub(super) async fn tile(State(app): State<Arc<App>>, request: Request) -> Answer {
    let path = request
        .uri()
        .path()
        .strip_prefix("/log/")
        .ok_or(Error::NotFound)?;
    let tile = TileId::parse_path(path).map_err(|_| Error::NotFound)?;
    let bytes = app.store.read(move |store| store.tile(tile)).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, FOREVER),
    ];
    Ok((headers, bytes).into_response())
}

/// Entries say how many drops there are, so they are the members'.
pub(super) async fn entries(State(app): State<Arc<App>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    member::check(&app, &parts)?;
    let path = parts
        .uri
        .path()
        .strip_prefix("/log/")
        .ok_or(Error::NotFound)?;
    let bundle = BundleId::parse_path(path).map_err(|_| Error::NotFound)?;
    let leaves = app.store.read(move |store| store.bundle(bundle)).await?;
    let texts: Vec<_> = leaves.iter().map(|leaf| leaf.to_text()).collect();
    let bytes = encode_bundle(&texts).map_err(|_| Error::Internal)?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

/// Takes a cosignature by a witness key of the roster on a checkpoint that was published.
pub(super) async fn cosign(State(app): State<Arc<App>>, request: Request) -> Answer {
    let (_, body) = member::check_body(&app, request).await?;
    let rosters = app.store.rosters().ok_or(Error::NotAMember)?;
    let note = Note::parse(&body).map_err(|_| Error::Refused)?;
    let checkpoint = Checkpoint::parse_unverified(&note).map_err(|_| Error::Refused)?;
    // One line by a witness; the log's own may be there too, and nothing else is kept.
    let mut found = None;
    for device in rosters.current.devices() {
        let lines: Vec<_> = note.signatures_by(&device.witness).collect();
        match lines[..] {
            [] => {}
            [line] if found.is_none() => {
                cosignature::verify(&note, &device.witness).map_err(|_| Error::Refused)?;
                found = Some((device.witness.to_string(), line.to_string()));
            }
            _ => return Err(Error::Refused),
        }
    }
    let (witness, line) = found.ok_or(Error::Refused)?;
    let size = checkpoint.size;
    let known = app.store.read(move |store| store.checkpoint(size)).await?;
    let same = known
        .and_then(|known| Note::parse(known.as_bytes()).ok())
        .is_some_and(|known| known.text() == note.text());
    if !same {
        return Err(Error::Conflict);
    }
    app.store.cosign(size, witness, line).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Serialize)]
struct CosignedAnswer {
    checkpoints: Vec<String>,
}

pub(super) async fn cosigned(State(app): State<Arc<App>>) -> Answer {
    let cosigned = app.store.read(|store| store.cosigned()).await?;
    let with_lines = |(note, lines): (String, Vec<String>)| {
        lines
            .into_iter()
            .fold(note, |note, line| note + &line + "\n")
    };
    json(&CosignedAnswer {
        checkpoints: cosigned.into_iter().map(with_lines).collect(),
    })
}
