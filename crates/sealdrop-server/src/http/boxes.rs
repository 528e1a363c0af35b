//! `/v1/box`: the roster and its policy. docs/protocol.md, "Roster" and "HTTP".

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use sealdrop_core::encoding::from_decimal;
use sealdrop_core::note::Note;
use sealdrop_core::roster::{Roster, Seen};
use serde::{Deserialize, Serialize};

use super::pace::Incoming;
use super::{Answer, App, json, segment};
use crate::error::Error;

#[derive(Serialize)]
struct BoxAnswer<'a> {
    roster: &'a str,
    policy: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    roster: String,
    policy: String,
}

pub(super) async fn current(State(app): State<Arc<App>>) -> Answer {
    let rosters = app.store.rosters().ok_or(Error::NotFound)?;
    json(&BoxAnswer {
        roster: &rosters.current.note().to_string(),
        policy: &rosters.policy,
    })
}

pub(super) async fn of_epoch(State(app): State<Arc<App>>, request: Request) -> Answer {
    let epoch = from_decimal(segment(&request, 2)).ok_or(Error::NotFound)?;
    let (roster, policy) = app.store.read(move |store| store.roster(epoch)).await?;
    json(&BoxAnswer {
        roster: &roster,
        policy: &policy,
    })
}

/// Takes a roster because the box key signed it; there is no other right to change it.
pub(super) async fn publish(State(app): State<Arc<App>>, request: Request) -> Answer {
    // Whose it is only the body says.
    let place = app.publishing.take().ok_or(Error::Busy)?;
    let body = Incoming::new(request, &app.limits)?.at(&place);
    let body = body.all().await?;
    let published: Published = serde_json::from_slice(&body).map_err(|_| Error::BadRequest)?;
    let note = Note::parse(published.roster.as_bytes()).map_err(|_| Error::Refused)?;
    // The writer compares epochs, because another roster may be on its way.
    let roster = Roster::verify(&note, &app.box_key, None, (app.clock)(), Seen::default())
        .map_err(|_| Error::Refused)?;
    if !roster.is_policy(published.policy.as_bytes()) {
        return Err(Error::Refused);
    }
    app.store.put_roster(roster, published.policy).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
