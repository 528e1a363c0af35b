//! Reading bodies: only as much as was announced, and not from senders slower than the limits. docs/protocol.md, "Limits".

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use super::content_length;
use crate::config::Limits;
use crate::error::Error;
use crate::places::Place;

/// Pieces below this are put together.
const SMALL_PIECE: usize = 4_096;

/// A body of known length that must keep up a pace.
pub(super) struct Incoming<'a> {
    body: Body,
    left: u64,
    limits: &'a Limits,
    place: Option<&'a Place>,
    /// When the rate was last taken, and the bytes since.
    since: Instant,
    bytes: u64,
}

impl<'a> Incoming<'a> {
    /// The body of a request that has a `Content-Length`.
    pub(super) fn new(request: Request, limits: &'a Limits) -> Result<Self, Error> {
        let left = content_length(&request)?.unwrap_or(0);
        Ok(Self {
            body: request.into_body(),
            left,
            limits,
            place: None,
            since: Instant::now(),
            bytes: 0,
        })
    }

    /// The same body, which has taken a place and may lose it to another: then [`Incoming::next`] says [`Error::Busy`].
    pub(super) fn at(self, place: &'a Place) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// [`Error::TooSlow`] if none came in time, [`Error::Busy`] if its place was needed, [`Error::BadRequest`] if the body ended early, which
    /// is when the client has gone.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            // A minute that began before the sender was heard must not end without the rate being looked at.
            let deadline =
                (Instant::now() + self.limits.idle_time).min(self.since + self.limits.rate_time);
            let frame = timeout_at(deadline, self.body.frame());
            let frame = match self.place {
                None => frame.await,
                Some(place) => tokio::select! {
                    biased;
                    () = place.lost() => return Err(Error::Busy),
                    frame = frame => frame,
                },
            };
            let Ok(frame) = frame else {
                if deadline < self.since + self.limits.rate_time {
                    return Err(Error::TooSlow);
                }
                self.take_rate()?;
                continue;
            };
            let Some(frame) = frame else {
                return if self.left == 0 {
                    Ok(None)
                } else {
                    Err(Error::BadRequest)
                };
            };
            let Ok(data) = frame.map_err(|_| Error::BadRequest)?.into_data() else {
                continue;
            };
            if data.is_empty() {
                continue;
            }
            let len = data.len() as u64;
            self.left = self.left.checked_sub(len).ok_or(Error::BadRequest)?;
            self.bytes += len;
            if let Some(place) = self.place {
                place.meter().count(len);
            }
            if self.since.elapsed() >= self.limits.rate_time {
                self.take_rate()?;
            }
            return Ok(Some(data));
        }
    }

    fn take_rate(&mut self) -> Result<(), Error> {
        let least = self
            .limits
            .min_rate
            .saturating_mul(self.limits.rate_time.as_secs());
        if self.bytes < least.max(1) {
            return Err(Error::TooSlow);
        }
        self.since = Instant::now();
        self.bytes = 0;
        Ok(())
    }

    /// Bytes that have not come yet.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    /// The whole body in the pieces in which it came, and its digest. Small pieces are put together, so that a body of many takes no
    /// more memory than one of few.
    pub(super) async fn pieces(mut self) -> Result<(Vec<Bytes>, [u8; 32]), Error> {
        let (mut pieces, mut small, mut hash) = (Vec::new(), Vec::new(), Sha256::new());
        while let Some(data) = self.next().await? {
            hash.update(&data);
            if data.len() < SMALL_PIECE {
                small.extend_from_slice(&data);
                continue;
            }
            if !small.is_empty() {
                pieces.push(std::mem::take(&mut small).into());
            }
            pieces.push(data);
        }
        if !small.is_empty() {
            pieces.push(small.into());
        }
        Ok((pieces, hash.finalize().into()))
    }

    /// The whole body, which the caller knows to be small.
    pub(super) async fn all(mut self) -> Result<Vec<u8>, Error> {
        let mut all = Vec::with_capacity(usize::try_from(self.left).map_err(|_| Error::TooLarge)?);
        while let Some(data) = self.next().await? {
            all.extend_from_slice(&data);
        }
        Ok(all)
    }
}
