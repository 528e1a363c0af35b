//! Reading a feed of which something is known from before.

use sealdrop_client::feed::{Feed, FeedError, Known};
use sealdrop_client::{LookupError, system};
use sealdrop_core::key::SecretKey;
use sealdrop_core::log::checkpoint::log_vkey;
use sealdrop_core::state::State;
use sealdrop_core::time::{Time, Window};

use crate::feed::{ago, phrase, read_with};
use crate::support::{LyingServer, Saying, WINDOW};

const DAY: u64 = 86_400;

/// A server with segments of the fourth window before this one and the third, the third with a message for `phrase(1)`; and the state of a reading.
fn with_state() -> (LyingServer, State) {
    let server = LyingServer::start();
    server.segment(4, &[]);
    server.segment(3, &Saying::new(&server, &phrase(1), "before").seal());
    let state = state(&server, 1);
    (server, state)
}

fn state(server: &LyingServer, n: u8) -> State {
    let feed = read_with(server, &phrase(n), system::now(), None).unwrap();
    feed.to_state(&server.state().roster)
}

fn read(server: &LyingServer, n: u8, state: &State) -> Result<Feed, FeedError> {
    read_at(server, n, state, system::now())
}

fn read_at(server: &LyingServer, n: u8, state: &State, now: Time) -> Result<Feed, FeedError> {
    let known = Known {
        state,
        is_fetched_again: false,
    };
    read_with(server, &phrase(n), now, Some(known))
}

#[track_caller]
fn refused(server: &LyingServer, state: &State) -> FeedError {
    match read(server, 1, state) {
        Ok(_) => panic!("it was believed"),
        Err(error) => error,
    }
}

fn segments(server: &LyingServer) -> Vec<String> {
    let mut asked = server.requests();
    asked.retain(|request| request.starts_with("GET /v1/feed/"));
    asked
}

#[test]
fn with_a_state_only_new_segments_are_fetched_and_nothing_is_lost() {
    let (server, state) = with_state();
    assert_eq!((state.segments.len(), state.slips.len()), (2, 1));
    let new = server.segment(2, &Saying::new(&server, &phrase(1), "since").seal());
    server.state().requests.clear();
    let feed = read(&server, 1, &state).unwrap();
    assert_eq!(segments(&server), [format!("GET /v1/feed/{new}")]);
    assert_eq!((feed.segments.len(), feed.fetched), (3, 1));
    let windows: Vec<Window> = feed.found.iter().map(|found| found.window).collect();
    assert_eq!(windows, [ago(&server, 3), new], "in the order of the log");
    let whole = read_with(&server, &phrase(1), system::now(), None).unwrap();
    assert_eq!(whole.found, feed.found);
    let roster = server.state().roster.clone();
    assert_eq!(feed.to_state(&roster), whole.to_state(&roster));
    // For whoever wants the requests of a reading without a state, and its checks.
    server.state().requests.clear();
    let known = Known {
        state: &state,
        is_fetched_again: true,
    };
    read_with(&server, &phrase(1), system::now(), Some(known)).unwrap();
    assert_eq!(segments(&server).len(), 3);
}

#[test]
fn with_a_state_requests_follow_from_its_age_and_not_from_mail() {
    let (server, mail) = with_state();
    // Of the same age: one has had mail before, one gets some now, one never had any.
    let (later, none) = (state(&server, 2), state(&server, 3));
    assert_eq!(mail.slips.len() + later.slips.len() + none.slips.len(), 1);
    server.segment(2, &Saying::new(&server, &phrase(2), "for another").seal());
    server.segment(1, &[]);
    let mut asked = Vec::new();
    for (n, state) in [(1, &mail), (2, &later), (3, &none)] {
        server.state().requests.clear();
        let feed = read(&server, n, state).unwrap();
        assert_eq!(feed.found.len(), usize::from(n < 3));
        asked.push(server.requests());
    }
    assert_eq!(asked[0], asked[1]);
    assert_eq!(asked[0], asked[2]);
    // The rest is asked for as without one.
    server.state().requests.clear();
    read_with(&server, &phrase(1), system::now(), None).unwrap();
    let besides = |mut requests: Vec<String>| {
        requests.retain(|request| !request.starts_with("GET /v1/feed/"));
        requests
    };
    assert_eq!(besides(server.requests()), besides(asked.remove(0)));
}

#[test]
fn a_feed_that_shrank_is_refused_and_names_the_segment() {
    let (server, state) = with_state();
    server.segment(1, &[]);
    let window = ago(&server, 3);
    server.state().segments.remove(&window);
    let error = refused(&server, &state);
    assert!(
        matches!(error, FeedError::Shrank(at) if at == window),
        "{error}"
    );
    assert!(error.to_string().contains(&window.to_string()), "{error}");
    assert!(segments(&server).len() <= 2, "nothing was fetched before");
}

#[test]
fn a_feed_that_changed_is_refused_and_names_the_segment() {
    let (server, state) = with_state();
    // Listed, served and logged alike, as if it had always been so.
    let window = ago(&server, 3);
    server.state().add_segment(window, &[]);
    let error = refused(&server, &state);
    assert!(
        matches!(error, FeedError::Replaced(at) if at == window),
        "{error}"
    );
    assert!(error.to_string().contains(&window.to_string()), "{error}");
}

#[test]
fn a_segment_that_expired_may_go_by_a_clock_that_is_a_day_wrong() {
    let (server, state) = with_state();
    let (gone, stays) = (ago(&server, 4), ago(&server, 3));
    server.state().segments.remove(&gone);
    let expires = gone.end(WINDOW).0 + state.retention;
    let found = |now| read_at(&server, 1, &state, Time(now)).map(|feed| feed.segments);
    // The server's clock may be a day ahead of this one, or behind it.
    for now in [expires - DAY, expires, expires + DAY] {
        let here = found(now).unwrap();
        assert!(here.len() == 1 && here[0].window == stays, "{now}");
    }
    let error = found(expires - DAY - 1).unwrap_err();
    assert!(
        matches!(error, FeedError::Shrank(at) if at == gone),
        "{error}"
    );
    // A roster that keeps less lets it go sooner, and one that keeps more does not bring it back.
    server.publish(|draft| (draft.epoch, draft.retention) = (4, DAY));
    let sooner = gone.end(WINDOW).0 + DAY;
    assert!(found(sooner - DAY).is_ok());
    server.publish(|draft| (draft.epoch, draft.retention) = (5, 2 * state.retention));
    assert!(found(expires - DAY).is_ok());
    assert!(found(expires - DAY - 1).is_err());
}

#[test]
fn a_log_that_forked_or_rolled_back_since_is_refused() {
    let (server, state) = with_state();
    let leaves = server.state().leaves.clone();
    // Nothing that the state knows of is missing: only a leaf beside it was another.
    let at = leaves.iter().position(|leaf| leaf.size == 0).unwrap();
    server.state().leaves[at].digest = [99; 32];
    server.segment(1, &[]);
    let error = refused(&server, &state);
    assert!(
        matches!(error, FeedError::Log(LookupError::Fork { .. })),
        "{error}"
    );

    let (server, state) = with_state();
    server.state().closed -= 16;
    let error = refused(&server, &state);
    assert!(
        matches!(error, FeedError::Log(LookupError::Fork { .. })),
        "{error}"
    );
}

#[test]
fn a_log_that_the_box_names_anew_is_read_anew() {
    let (server, state) = with_state();
    // A server restored from a backup: another log key, and the segment of a window made a second time.
    let keys = crate::support::Keys::new(7);
    let box_key = server.address.box_key.clone();
    let log = SecretKey::from_seed(&[88; 32]);
    server.publish(|draft| {
        draft.epoch = 4;
        draft.log = log_vkey(&box_key, &log.to_public());
    });
    server.state().keys = std::sync::Arc::new(crate::support::Keys { log, ..keys });
    server.state().add_segment(ago(&server, 3), &[]);
    let feed = read(&server, 1, &state).unwrap();
    assert!(feed.is_another_log && feed.fetched == 2 && feed.found.is_empty());
    let roster = server.state().roster.clone();
    let again = read(&server, 1, &feed.to_state(&roster)).unwrap();
    assert!(!again.is_another_log && again.fetched == 0);
}
