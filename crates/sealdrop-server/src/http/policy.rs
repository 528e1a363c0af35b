//! SECURITY.md and security.txt, from the policy of the roster in force. docs/policy.md, "Published".

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse as _;
use sealdrop_core::address::Address;
use sealdrop_core::roster::Roster;
use sealdrop_policy::Policy;
use sealdrop_policy::render::Served;

use super::{Answer, App};
use crate::error::Error;

/// What is published of one roster's policy.
pub(crate) struct Pages {
    security_md: String,
    security_txt: String,
}

impl Pages {
    /// `None` if the policy is prose, or of a version that is not known here: its author publishes it then.
    pub(crate) fn of(roster: &Roster, policy: &str) -> Option<Self> {
        let policy = Policy::parse(policy).ok()?;
        // Of the request nothing counts, its `Host` neither.
        let origin = roster.origins().first()?;
        let address = Address {
            origin: origin.clone(),
            box_key: roster.box_key().clone(),
        };
        let served = Served {
            origin: origin.to_string(),
            address: Some(address.clone()),
            expires: roster.expires(),
        };
        Some(Self {
            security_md: policy.security_md(Some(&address)),
            security_txt: policy.security_txt(&served),
        })
    }
}

pub(super) async fn security_md(State(app): State<Arc<App>>) -> Answer {
    page(&app, "text/markdown; charset=utf-8", |pages| {
        &pages.security_md
    })
}

pub(super) async fn security_txt(State(app): State<Arc<App>>) -> Answer {
    page(&app, "text/plain; charset=utf-8", |pages| {
        &pages.security_txt
    })
}

fn page(app: &App, kind: &'static str, of: impl Fn(&Pages) -> &String) -> Answer {
    let rosters = app.store.rosters().ok_or(Error::NotFound)?;
    let pages = rosters.pages().ok_or(Error::NotFound)?;
    Ok(([(header::CONTENT_TYPE, kind)], of(pages).clone()).into_response())
}
