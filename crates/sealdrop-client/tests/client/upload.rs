//! Leaving a drop over connections that break, with servers that lie about how far they have come.

use std::io::{ErrorKind, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealdrop_client::{Blocks, Client, ClientError, Event, OnFailure, Options, UploadId};
use sealdrop_core::encoding::sha256;
use sealdrop_core::log::promise::Promise;

use crate::support::{Answer, LyingServer};
use crate::{Bytes, client, options};

const BIG: usize = (9 << 20) + 12_345;

/// Sends, and checks that the promise is for these bytes.
#[track_caller]
fn check_sent(server: &LyingServer, source: &mut Bytes) {
    let sent = client(server)
        .send(source, None, OnFailure::Forget, &mut |_| {})
        .unwrap();
    assert_eq!(sent.digest, sha256(&source.bytes));
    let state = server.state();
    let promise = Promise::verify(&sent.promise, state.roster.log_key()).unwrap();
    promise
        .check(&sent.digest, source.bytes.len() as u64, server.window())
        .unwrap();
    assert_eq!(state.bodies[&sent.digest], source.bytes);
}

#[test]
fn a_small_drop_goes_in_one_request() {
    let server = LyingServer::start();
    check_sent(&server, &mut Bytes::new(67_195));
    assert_eq!(server.requests(), ["POST /v1/drops"]);
    check_sent(&server, &mut Bytes::new(8 << 20));
    assert_eq!(server.requests()[1..], ["POST /v1/drops"]);
}

#[test]
fn a_small_drop_is_sent_again_when_the_answer_is_lost() {
    let server = LyingServer::start();
    let mut lost = false;
    server.lie(move |request, state| {
        if std::mem::replace(&mut lost, true) {
            return None;
        }
        state
            .bodies
            .insert(sha256(&request.body), request.body.clone());
        Some(Answer::cut())
    });
    check_sent(&server, &mut Bytes::new(67_195));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_broken_upload_goes_on_where_it_broke() {
    let server = LyingServer::start();
    server.state().cut_patch_after = vec![2 << 20, 3 << 20, 1_000_001];
    let mut cuts = Vec::new();
    let mut source = Bytes::new(BIG);
    server.lie(move |request, state| {
        // A PATCH that was cut off keeps what arrived.
        if request.method == "PATCH"
            && request.body.len() < request.header("content-length").unwrap().parse().unwrap()
        {
            let upload = state.uploads.values_mut().next().unwrap();
            upload.bytes.extend_from_slice(&request.body);
            cuts.push(upload.bytes.len());
            return Some(Answer::cut());
        }
        None
    });
    check_sent(&server, &mut source);
    assert_eq!(source.opened, 4);
    let state = server.state();
    let offsets: Vec<_> = state
        .requests
        .iter()
        .filter_map(|request| request.header("upload-offset"))
        .collect();
    assert_eq!(offsets, ["0", "1000001", "4145729", "6242881"]);
    // What was sent again is only what had not arrived.
    let bytes: usize = state
        .requests
        .iter()
        .filter(|r| r.method == "PATCH")
        .map(|r| r.body.len())
        .sum();
    assert_eq!(bytes, BIG);
}

#[test]
fn an_upload_whose_place_was_given_away_begins_anew() {
    let server = LyingServer::start();
    let mut first = true;
    server.lie(move |request, state| {
        if request.method != "PATCH" || !std::mem::replace(&mut first, false) {
            return None;
        }
        state.uploads.clear();
        Some(Answer::cut())
    });
    check_sent(&server, &mut Bytes::new(BIG));
    let begun = server.requests();
    let begun = begun.iter().filter(|r| *r == "POST /v1/uploads");
    assert_eq!(begun.count(), 2);
}

#[test]
fn an_upload_whose_promise_was_lost_gets_it() {
    let server = LyingServer::start();
    let mut lost = false;
    server.lie(move |request, state| {
        if request.method != "PATCH" || std::mem::replace(&mut lost, true) {
            return None;
        }
        let upload = state.uploads.values_mut().next().unwrap();
        upload.bytes.extend_from_slice(&request.body);
        upload.complete = true;
        Some(Answer::cut())
    });
    check_sent(&server, &mut Bytes::new(BIG));
}

#[test]
fn a_kept_upload_is_resumed_by_its_id() {
    let server = LyingServer::start();
    server.lie(|request, state| {
        let upload = state.uploads.values_mut().next()?;
        if request.method == "PATCH" && upload.bytes.is_empty() {
            upload.bytes.extend_from_slice(&request.body[..5_000_000]);
            return Some(Answer::new(500));
        }
        None
    });
    let mut source = Bytes::new(BIG);
    let failed = client(&server)
        .send(&mut source, None, OnFailure::Keep, &mut |_| {})
        .unwrap_err();
    let id = failed.resume.expect("it can be resumed");
    assert_eq!(UploadId::parse(&id.to_string()), Some(id.clone()));
    let mut offsets = Vec::new();
    let mut events = |event: Event<'_>| {
        if let Event::Sent(bytes) = event {
            offsets.push(bytes)
        }
    };
    let sent = client(&server)
        .send(&mut source, Some(id), OnFailure::Keep, &mut events)
        .unwrap();
    assert_eq!(sent.digest, sha256(&source.bytes));
    assert_eq!(
        (offsets.first(), offsets.last()),
        (Some(&5_000_000), Some(&(BIG as u64)))
    );
}

#[test]
fn a_failed_upload_is_deleted() {
    let server = LyingServer::start();
    server.lie(|request, _| (request.method == "PATCH").then(|| Answer::new(422)));
    let failed = client(&server)
        .send(&mut Bytes::new(BIG), None, OnFailure::Forget, &mut |_| {})
        .unwrap_err();
    assert_eq!((failed.error.status(), failed.resume), (Some(422), None));
    assert!(server.state().uploads.is_empty());
}

#[test]
fn a_stopped_upload_is_deleted() {
    let server = LyingServer::start();
    let cancelled = Arc::new(AtomicBool::new(false));
    let stop = cancelled.clone();
    let client = Client::new(
        &server.address.origin,
        Options {
            cancelled,
            ..options()
        },
    )
    .unwrap();
    let mut events = |event: Event<'_>| match event {
        Event::Sent(bytes) if bytes > 1 << 20 => stop.store(true, Ordering::Relaxed),
        _ => {}
    };
    let failed = client
        .send(&mut Bytes::new(BIG), None, OnFailure::Forget, &mut events)
        .unwrap_err();
    assert!(
        matches!(failed.error, ClientError::Cancelled),
        "{:?}",
        failed.error
    );
    assert!(
        server
            .requests()
            .last()
            .unwrap()
            .starts_with("DELETE /v1/uploads/")
    );
}

#[test]
fn an_attachment_that_changes_is_never_sent_twice_under_one_nonce() {
    // The server says that nothing arrived, and would get the same place of the drop a second time.
    let server = LyingServer::start();
    server.lie(|request, _| (request.method == "PATCH").then(|| Answer::new(503)));
    let mut source = Bytes::new(BIG);
    source.change = Box::new(|opened, bytes| {
        if opened == 1 {
            bytes[3_000_000] ^= 1;
        }
    });
    let failed = client(&server)
        .send(&mut source, None, OnFailure::Forget, &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(failed.error, ClientError::Local(_)),
        "{:?}",
        failed.error
    );
    let state = server.state();
    let patches: Vec<_> = state
        .requests
        .iter()
        .filter(|request| request.method == "PATCH")
        .collect();
    assert_eq!(
        patches.len(),
        1,
        "the second one broke off before its changed block, and never became a request"
    );
}

#[test]
fn a_source_that_grows_or_shrinks_is_not_sent() {
    for change in [-1_isize, 1] {
        let server = LyingServer::start();
        let mut source = Bytes::new(100_000);
        source.change = Box::new(move |_, bytes| {
            bytes.resize(bytes.len().checked_add_signed(change).unwrap(), 0)
        });
        let failed = client(&server)
            .send(&mut source, None, OnFailure::Forget, &mut |_| {})
            .unwrap_err();
        assert!(matches!(failed.error, ClientError::Local(_)));
        assert!(server.state().bodies.is_empty());
    }
}

#[test]
fn a_server_that_lies_about_the_offset_gets_nothing_out_of_it() {
    for (offset, length) in [(BIG as u64 + 1, BIG as u64), (0, 5), (u64::MAX, BIG as u64)] {
        let server = LyingServer::start();
        server.lie(move |request, _| {
            let lie = || {
                Answer::new(204)
                    .header("upload-offset", offset)
                    .header("upload-length", length)
                    .header("upload-complete", "?0")
            };
            match request.method.as_str() {
                "PATCH" => Some(Answer::new(503)),
                "HEAD" => Some(lie()),
                _ => None,
            }
        });
        let failed = client(&server)
            .send(&mut Bytes::new(BIG), None, OnFailure::Forget, &mut |_| {})
            .unwrap_err();
        assert!(
            matches!(failed.error, ClientError::Malformed(_)),
            "{:?}",
            failed.error
        );
    }
}

#[test]
fn an_upload_is_never_sent_to_another_place() {
    for place in [
        "/v1/uploads/../drops",
        "https://elsewhere.example/v1/uploads/00",
        "/v1/uploads/",
        "/v1/windows",
    ] {
        let server = LyingServer::start();
        server.lie(move |request, _| {
            (request.path == "/v1/uploads").then(|| Answer::new(201).header("location", place))
        });
        let failed = client(&server)
            .send(&mut Bytes::new(BIG), None, OnFailure::Forget, &mut |_| {})
            .unwrap_err();
        assert!(matches!(failed.error, ClientError::Malformed(_)));
        assert_eq!(server.requests(), ["POST /v1/uploads"]);
    }
}

#[test]
fn a_busy_server_is_asked_again_and_then_left_alone() {
    let server = LyingServer::start();
    server.lie(|_, _| Some(Answer::new(503)));
    let mut pauses = 0;
    let mut events = |event: Event<'_>| {
        if let Event::Retrying(..) = event {
            pauses += 1
        }
    };
    let failed = client(&server)
        .send(&mut Bytes::new(1000), None, OnFailure::Forget, &mut events)
        .unwrap_err();
    assert_eq!(failed.error.status(), Some(503));
    assert_eq!((pauses, server.requests().len()), (3, 4));
}

#[test]
fn an_attachment_that_changes_between_two_tries_is_never_sent_under_one_nonce() {
    for size in [100_000, BIG] {
        let server = LyingServer::start();
        server.lie(|request, _| {
            (request.method == "PATCH" || request.path == "/v1/drops").then(|| Answer::new(503))
        });
        let mut source = Bytes::new(size);
        let mut blocks = Blocks::default();
        let mut send = |source: &mut Bytes| {
            client(&server)
                .send_again(source, &mut blocks, None, OnFailure::Forget, &mut |_| {})
                .unwrap_err()
                .error
        };
        assert_eq!(send(&mut source).status(), Some(503));
        let sent = |server: &LyingServer| {
            let bodies = |r: &&crate::support::Request| !r.body.is_empty();
            server.state().requests.iter().filter(bodies).count()
        };
        let before = sent(&server);
        source.bytes[50_000] ^= 1;
        assert!(matches!(send(&mut source), ClientError::Local(_)));
        assert_eq!(sent(&server), before, "not a byte of it was sent");
    }
}

#[test]
fn a_drop_that_was_taken_without_a_promise_is_told_from_one_that_was_not_taken() {
    for status in [200, 201, 503] {
        let server = LyingServer::start();
        server.lie(move |_, _| {
            Some(Answer {
                status,
                ..Answer::bytes("Thank you!")
            })
        });
        let failed = client(&server)
            .send(&mut Bytes::new(1000), None, OnFailure::Forget, &mut |_| {})
            .unwrap_err();
        assert_eq!(failed.taken, status == 201);
    }
}

#[test]
fn an_attachment_that_changes_after_a_part_was_sent_is_never_kept_under_one_nonce() {
    let server = LyingServer::start();
    let mut source = Bytes::new(BIG);
    let mut blocks = Blocks::default();
    server.lie(|request, _| (request.method == "PATCH").then(|| Answer::new(500)));
    let failed = client(&server).send_again(
        &mut source,
        &mut blocks,
        None,
        OnFailure::Forget,
        &mut |_| {},
    );
    assert_eq!(failed.unwrap_err().error.status(), Some(500));
    let mut kept = Vec::new();
    let mut read = |source: &mut Bytes| {
        kept.clear();
        let result = blocks
            .reader(source)
            .and_then(|mut reader| reader.read_to_end(&mut kept));
        (result.map_err(|error| error.kind()), kept.len())
    };
    assert_eq!(read(&mut source), (Ok(BIG), BIG));
    source.bytes[5 << 20] ^= 1;
    let changed = Err(ErrorKind::InvalidData);
    assert_eq!(read(&mut source), (changed, 5 << 20));
}
