//! `/v1/box`: the roster and its policy. docs/protocol.md, "Roster" and "HTTP".

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
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

/// Where else this is to be had. It is a header that Tor Browser knows, and no redirect.
const ONION_LOCATION: HeaderName = HeaderName::from_static("onion-location");

pub(super) async fn current(State(app): State<Arc<App>>, request: Request) -> Answer {
    let rosters = app.store.rosters().ok_or(Error::NotFound)?;
    let mut response = json(&BoxAnswer {
        roster: &rosters.current.note().to_string(),
        policy: &rosters.policy,
    })?;
    if let Some(onion) = onion_location(&rosters.current, &request) {
        response.headers_mut().insert(ONION_LOCATION, onion);
    }
    Ok(response)
}

/// The same at the box's onion service, for a request that came another way. Everything in it is the roster's and the route's; of the request
/// only counts whether its `Host` is an onion service.
fn onion_location(roster: &Roster, request: &Request) -> Option<HeaderValue> {
    let host = request.headers().get(header::HOST)?.as_bytes();
    let name = host.split(|&byte| byte == b':').next()?;
    if name.to_ascii_lowercase().ends_with(b".onion") {
        return None;
    }
    let onion = roster.origins().iter().find(|origin| origin.is_onion())?;
    HeaderValue::try_from(format!("{onion}/v1/box")).ok()
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
