//! Reading the feed of servers that are honest, and of some that change, hide or invent.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use sealdrop_client::feed::{Feed, FeedError, Known, Listing};
use sealdrop_client::{Client, ClientError, Options, Proxy, Standing, system};
use sealdrop_core::encoding::hex;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::roster::Seen;
use sealdrop_core::slip::SLIP;
use sealdrop_core::slip::clue::Seeker;
use sealdrop_core::time::{Time, Window};
use serde_json::json;

use crate::client;
use crate::support::{Answer, LyingServer, Saying, Socks, WINDOW};

/// How long a request waits for others that do not come.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn phrase(n: u8) -> Phrase {
    Phrase::from_entropy(&[n; 16])
}

/// The window so many before the one of now.
pub(crate) fn ago(server: &LyingServer, windows: u64) -> Window {
    Window(server.window().0 - windows)
}

fn read(server: &LyingServer, phrase: &Phrase) -> Result<Feed, FeedError> {
    read_with(server, phrase, system::now(), None)
}

/// Reads the feed by a clock, of which something may be known from before.
pub(crate) fn read_with(
    server: &LyingServer,
    phrase: &Phrase,
    now: Time,
    known: Option<Known<'_>>,
) -> Result<Feed, FeedError> {
    read_on(&client(server), server, phrase, now, known, &mut |_| {})
}

fn read_on(
    client: &Client,
    server: &LyingServer,
    phrase: &Phrase,
    now: Time,
    known: Option<Known<'_>>,
    progress: &mut dyn FnMut(u64),
) -> Result<Feed, FeedError> {
    let box_key = &server.address.box_key;
    let listing = client.feed_listing()?;
    let the_box = client.fetch_box(box_key, system::now(), Seen::default())?;
    let keys = phrase.keys(box_key);
    let seeker = Seeker::new(&keys.clue, box_key);
    client.read_feed(&listing, &the_box, &seeker, now, known, progress)
}

/// A server with three segments, of which the second holds a message in two parts for `phrase(1)`.
fn with_mail() -> LyingServer {
    let server = LyingServer::start();
    let slips = Saying::new(&server, &phrase(1), &"x".repeat(2_500)).seal();
    assert_eq!(slips.len(), 2);
    let windows = [3, 2, 1].map(|n| ago(&server, n));
    for (window, slips) in windows.into_iter().zip([&[][..], &slips, &[]]) {
        server.state().add_segment(window, slips);
    }
    server
}

#[track_caller]
fn refused(server: &LyingServer) -> FeedError {
    match read(server, &phrase(1)) {
        Ok(_) => panic!("it was believed"),
        Err(error) => error,
    }
}

#[test]
fn slips_are_found_in_the_order_of_the_log_and_nobody_elses() {
    let server = with_mail();
    let feed = read(&server, &phrase(1)).unwrap();
    assert_eq!((feed.segments.len(), feed.found.len()), (3, 2));
    let middle = ago(&server, 2);
    assert!(feed.found.iter().all(|found| found.window == middle));
    assert!(feed.found[0].slip < feed.found[1].slip, "as in the segment");
    assert!(read(&server, &phrase(2)).unwrap().found.is_empty());
}

#[test]
fn an_empty_feed_is_read() {
    let server = LyingServer::start();
    server.state().close_window();
    assert!(read(&server, &phrase(1)).unwrap().segments.is_empty());
}

#[test]
fn requests_are_the_same_with_mail_and_without() {
    let server = with_mail();
    let mut asked = Vec::new();
    for n in [1, 2] {
        server.state().requests.clear();
        read(&server, &phrase(n)).unwrap();
        asked.push(server.requests());
        let requests = server.state().requests.clone();
        let mut connections: Vec<_> = requests.iter().map(|r| r.connection).collect();
        connections.dedup();
        assert_eq!(connections.len(), requests.len(), "a fresh one each");
    }
    assert_eq!(asked[0], asked[1]);
    let first: Vec<&str> = asked[0].iter().take(2).map(String::as_str).collect();
    assert_eq!(first, ["GET /v1/feed", "GET /v1/box"]);
    let segments = asked[0].iter().filter(|r| r.starts_with("GET /v1/feed/"));
    assert_eq!(segments.count(), 3, "every segment, whole");
}

#[test]
fn a_segment_that_was_changed_is_refused_and_named() {
    let server = with_mail();
    let window = ago(&server, 2);
    let path = format!("/v1/feed/{window}");
    for change in [
        |bytes: &mut Vec<u8>| bytes[5_000] ^= 1,
        |bytes: &mut Vec<u8>| bytes.truncate(SLIP),
        |bytes: &mut Vec<u8>| bytes.push(0),
    ] {
        let path = path.clone();
        server.lie(move |request, state| {
            let mut bytes = state.segments[&window].clone();
            change(&mut bytes);
            (request.path == path).then(|| Answer::bytes(bytes))
        });
        let error = refused(&server);
        assert!(
            matches!(error, FeedError::Changed(at) if at == window),
            "{error}"
        );
        assert!(error.to_string().contains(&window.to_string()), "{error}");
    }
    server.lie(move |request, _| (request.path == path).then(|| Answer::new(404)));
    let error = refused(&server);
    assert!(
        matches!(error, FeedError::Missing(at) if at == window),
        "{error}"
    );
}

#[test]
fn a_segment_that_the_log_does_not_hold_is_refused_and_named() {
    // Listed and served alike, but not what was logged: another feed than others are shown.
    let server = with_mail();
    let window = ago(&server, 2);
    server.state().segments.get_mut(&window).unwrap()[4_000] ^= 1;
    let error = refused(&server);
    assert!(
        matches!(error, FeedError::NotLogged(at) if at == window),
        "{error}"
    );

    // The bytes of another window's segment.
    let server = with_mail();
    let other = server.state().segments[&ago(&server, 3)].clone();
    server.state().segments.insert(window, other);
    let error = refused(&server);
    assert!(
        matches!(error, FeedError::NotLogged(at) if at == window),
        "{error}"
    );

    // Not under the newest checkpoint.
    let server = with_mail();
    let closed = server.state().closed;
    server.state().add_segment(server.window(), &[]);
    server.state().closed = closed;
    let error = refused(&server);
    assert!(
        matches!(error, FeedError::NotLogged(at) if at == server.window()),
        "{error}"
    );
}

#[test]
fn a_listing_that_no_honest_server_makes_is_refused() {
    let digest = hex(&[1; 32]);
    let segment =
        |window: u64, size: u64| json!({"window": window, "digest": digest, "size": size});
    let parse = |segments| Listing::parse(json!({ "segments": segments }).to_string().as_bytes());
    assert_eq!(
        parse(vec![segment(4, 4_096), segment(9, 262_144)])
            .unwrap()
            .len(),
        2
    );
    for (bad, at) in [
        (vec![segment(4, 4_096), segment(4, 4_096)], 4),
        (vec![segment(4, 4_096), segment(3, 4_096)], 3),
        (vec![segment(5, 4_095)], 5),
        (vec![segment(6, 0)], 6),
        (vec![segment(7, 65 * 4_096)], 7),
        (vec![segment(1 << 60, 4_096)], 1 << 60),
    ] {
        assert!(matches!(parse(bad), Err(FeedError::Listing(window)) if window.0 == at));
    }
    for bad in [
        "",
        "{}",
        "[]",
        r#"{"segments":[{"window":1,"digest":"00","size":4096}]}"#,
    ] {
        let error = Listing::parse(bad.as_bytes()).unwrap_err();
        assert!(
            matches!(error, FeedError::Client(ClientError::Malformed(_))),
            "{error}"
        );
    }
}

#[test]
fn more_segments_than_the_box_keeps_are_refused_before_any_is_fetched() {
    let server = LyingServer::start();
    let most = 7_776_000 / WINDOW + 48 + 3;
    let first = server.window().0 - most;
    let segment = |n| json!({"window": first + n, "digest": hex(&[1; 32]), "size": 4_096});
    let segments: Vec<_> = (0..most).map(segment).collect();
    server.lie_at("/v1/feed", json!({ "segments": segments }).to_string());
    assert!(matches!(refused(&server), FeedError::TooMany));
    assert_eq!(server.requests(), ["GET /v1/feed", "GET /v1/box"]);
}

#[test]
fn a_clock_may_be_wrong_by_a_day_and_not_by_more() {
    let server = with_mail();
    let client = client(&server);
    let box_key = &server.address.box_key;
    let the_box = client
        .fetch_box(box_key, system::now(), Seen::default())
        .unwrap();
    let keys = phrase(1).keys(box_key);
    let listing = client.feed_listing().unwrap();
    let found = |now| {
        let seeker = Seeker::new(&keys.clue, box_key);
        let feed = client.read_feed(&listing, &the_box, &seeker, now, None, &mut |_| {});
        feed.map(|feed| feed.found.len())
    };
    let now = system::now().0;
    assert_eq!(found(Time(now + 86_400)).unwrap(), 2);
    assert_eq!(found(Time(now - 80_000)).unwrap(), 2);
    let error = found(Time(now - 2 * 86_400)).unwrap_err();
    assert!(matches!(error, FeedError::Ahead(_)), "{error}");
}

#[test]
fn rosters_are_fetched_back_to_the_oldest_segment_and_must_be_the_boxs() {
    let server = with_mail();
    // The roster of the fixture, epoch 3, was issued after the oldest segment began; that before it, when what is kept now had not begun.
    let keys = server.keys();
    let mut draft = server.state().roster.draft().clone();
    let start = ago(&server, 3).start(WINDOW).0;
    let kept = system::now().0 - draft.retention;
    for (epoch, issued) in [(1, kept - 1_000_000), (2, kept - 10)] {
        draft.epoch = epoch;
        draft.issued = Time(issued);
        draft.expires = Time(issued + 1_000);
        draft.members.truncate(1);
        draft.devices.truncate(1);
        server.state().older.push(keys.sign(&draft));
    }
    let feed = read(&server, &phrase(1)).unwrap();
    assert_eq!(feed.begins, Window(Time(kept).window(WINDOW).0 + 1));
    let asked = server.requests();
    assert!(asked.contains(&"GET /v1/box/2".into()) && !asked.contains(&"GET /v1/box/1".into()));
    assert!(feed.rosters.voice(2, "ben").is_none() && feed.rosters.voice(3, "ben").is_some());
    // Who has joined since speaks for the team at once; who has left does not, under an older roster.
    assert_eq!(feed.rosters.standing(3, "ben", Time(start)), Standing::Team);
    assert_eq!(feed.rosters.standing(2, "ben", Time(start)), Standing::Left);

    let one = server.state().older[0].clone();
    server.state().older.clear();
    let policy = server.state().policy.clone();
    let file = sealdrop_client::BoxFile {
        roster: one.note().clone(),
        policy,
    };
    server.lie_at("/v1/box/2", file.to_json());
    assert!(matches!(refused(&server), FeedError::Roster(2)));
}

#[test]
fn a_request_for_a_segment_that_breaks_is_made_again() {
    let server = with_mail();
    let mut broken = 2;
    server.lie(move |request, _| {
        let breaks = request.path.starts_with("/v1/feed/") && broken > 0;
        broken -= u32::from(breaks);
        breaks.then(Answer::cut)
    });
    assert_eq!(read(&server, &phrase(1)).unwrap().found.len(), 2);
}

/// A server with 20 segments, of which one holds a message for `phrase(1)`.
fn with_twenty() -> LyingServer {
    let server = LyingServer::start();
    for n in (1..=20).rev() {
        let slips = match n {
            7 => Saying::new(&server, &phrase(1), "seven").seal(),
            _ => Vec::new(),
        };
        server.segment(n, &slips);
    }
    server
}

#[test]
fn segments_are_fetched_side_by_side_and_no_more_than_eight_at_once() {
    let server = with_twenty();
    // Each of the first sixteen waits until eight are under way at once.
    let seen = Arc::new((Mutex::new((0, 0, 0)), Condvar::new()));
    let shared = seen.clone();
    server.before(move |request| {
        if !request.path.starts_with("/v1/feed/") {
            return;
        }
        let (counts, changed) = &*shared;
        let mut now = counts.lock().unwrap();
        let (came, under_way, most) = *now;
        *now = (came + 1, under_way + 1, most.max(under_way + 1));
        changed.notify_all();
        let round = came / 8;
        let wait = |now: &mut (usize, usize, usize)| round < 2 && now.0 < 8 * (round + 1);
        now = changed.wait_timeout_while(now, PATIENCE, wait).unwrap().0;
        now.1 -= 1;
    });
    let mut progress = Vec::new();
    let mut told = |bytes| progress.push(bytes);
    let feed = read_on(
        &client(&server),
        &server,
        &phrase(1),
        system::now(),
        None,
        &mut told,
    );
    assert_eq!(feed.unwrap().found.len(), 1);
    assert_eq!(
        *seen.0.lock().unwrap(),
        (20, 0, 8),
        "requests, under way now, most at once"
    );
    let expected: Vec<u64> = (0..=20).map(|n| n * 8 * SLIP as u64).collect();
    assert_eq!(progress, expected, "it rises segment by segment");
}

#[test]
fn over_a_proxy_one_reading_has_one_circuit_and_another_another() {
    let server = with_twenty();
    let socks = Socks::to(server.port());
    let options = Options {
        proxy: Some(Proxy::parse(&format!("socks5h://{}", socks.port)).unwrap()),
        ..crate::options()
    };
    let client = Client::new(&server.address.origin, options).unwrap();
    let mut circuits = BTreeSet::new();
    for readings in 1..=2 {
        let before = socks.asked().len();
        read_on(
            &client.operation(),
            &server,
            &phrase(1),
            system::now(),
            None,
            &mut |_| {},
        )
        .unwrap();
        let asked = socks.asked();
        assert!(asked.len() - before > 24, "a connection for each request");
        circuits.extend(asked.into_iter().map(|asked| (asked.user, asked.password)));
        assert_eq!(circuits.len(), readings);
    }
}

#[test]
fn a_segment_that_is_refused_ends_those_that_would_try_again() {
    let server = with_twenty();
    // The seventh of the first eight is changed; all others find the server busy, for minutes.
    let changed = format!("/v1/feed/{}", ago(&server, 14));
    server.lie(move |request, _| {
        let is_segment = request.path.starts_with("/v1/feed/");
        is_segment.then(|| match request.path == changed {
            true => Answer::bytes(vec![7; 8 * SLIP]),
            false => Answer::new(503),
        })
    });
    let options = Options {
        pause: Duration::from_secs(30),
        ..crate::options()
    };
    let client = Client::new(&server.address.origin, options).unwrap();
    let start = Instant::now();
    let error = read_on(
        &client,
        &server,
        &phrase(1),
        system::now(),
        None,
        &mut |_| {},
    );
    let error = error.map(|_| ()).unwrap_err();
    let at = ago(&server, 14);
    assert!(
        matches!(error, FeedError::Changed(window) if window == at),
        "{error}"
    );
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// Nobody waits for a network that is not there: with this pause the test would not end.
#[test]
fn who_reaches_nothing_is_told_at_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let options = Options {
        pause: Duration::from_secs(3_600),
        ..crate::options()
    };
    let client = Client::new(&format!("http://{free}").parse().unwrap(), options).unwrap();
    assert!(matches!(
        client.feed_listing(),
        Err(FeedError::Client(ClientError::Refused { .. }))
    ));
}
