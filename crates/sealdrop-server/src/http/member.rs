//! Who may read: requests that a device of the current roster signed. docs/protocol.md, "Requests of members".

use axum::extract;
use axum::http::request::Parts;
use sealdrop_core::encoding::sha256;
use sealdrop_core::note::Note;
use sealdrop_core::request::{HEADER, Received, Request, UnverifiedRequest};

use super::App;
use super::pace::Incoming;
use crate::error::Error;

/// What a member signed.
pub(super) struct Signed {
    /// The member's handle.
    pub(super) member: String,
    pub(super) request: Request,
    pub(super) note: Note,
}

/// Lets a member's request without a body pass, once. Every refusal is the same 401.
pub(super) fn check(app: &App, parts: &Parts) -> Result<Signed, Error> {
    check_head(app, parts, Some(&sha256(b"")))
}

/// Lets a member's request with a body pass, once. Of a stranger's body nothing is read, and of members' so many at a time.
pub(super) async fn check_body(
    app: &App,
    request: extract::Request,
) -> Result<(Signed, Vec<u8>), Error> {
    let (parts, body) = request.into_parts();
    let signed = check_head(app, &parts, None)?;
    let _place = app.bodies.acquire().await.map_err(|_| Error::Internal)?;
    let request = extract::Request::from_parts(parts, body);
    let body = Incoming::new(request, &app.limits)?.all().await?;
    if signed.request.body != sha256(&body) {
        return Err(Error::NotAMember);
    }
    Ok((signed, body))
}

/// Checks everything but the body, and that too if it is known; otherwise the caller must hold it against the one that was signed.
fn check_head(app: &App, parts: &Parts, body: Option<&[u8; 32]>) -> Result<Signed, Error> {
    let rosters = app.store.rosters().ok_or(Error::NotAMember)?;
    let roster = &rosters.current;
    let mut values = parts.headers.get_all(HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Error::NotAMember);
    };
    let unverified = value
        .to_str()
        .ok()
        .and_then(|value| UnverifiedRequest::parse(value).ok())
        .ok_or(Error::NotAMember)?;
    let device = roster
        .devices()
        .iter()
        .find(|device| device.name() == unverified.key_name())
        .ok_or(Error::NotAMember)?;
    let request = unverified
        .verify(&device.access)
        .map_err(|_| Error::NotAMember)?;
    let received = Received {
        method: parts.method.as_str(),
        path: parts.uri.path_and_query().map_or("", |path| path.as_str()),
        body: body.unwrap_or(&request.body),
        now: (app.clock)(),
        started: app.started,
    };
    let origins = roster.origins().iter().map(|origin| origin.as_str());
    request
        .check(origins, &received)
        .map_err(|_| Error::NotAMember)?;
    app.nonces
        .remember(request.nonce, app.store.open_window())?;
    Ok(Signed {
        member: device.member().to_owned(),
        request,
        note: unverified.note().clone(),
    })
}
