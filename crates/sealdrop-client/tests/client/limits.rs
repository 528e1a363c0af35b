//! A server that answers too much, or what the protocol does not have.

use sealdrop_client::ClientError;
use sealdrop_core::log::tile::TileId;

use crate::client;
use crate::support::{Answer, LyingServer};

#[test]
fn an_endless_answer_is_not_read_to_the_end() {
    let server = LyingServer::start();
    server.lie(|_, _| Some(Answer::bytes(vec![b' '; 4 << 20])));
    let client = client(&server);
    assert!(matches!(
        client.fetch_box_unverified(),
        Err(ClientError::TooLong)
    ));
    assert!(matches!(client.checkpoint(), Err(ClientError::TooLong)));
    assert!(matches!(client.cosigned(), Err(ClientError::TooLong)));
    assert!(matches!(
        client.tile(TileId {
            level: 0,
            index: 0,
            width: 16
        }),
        Err(ClientError::TooLong)
    ));
}

#[test]
fn an_endless_head_is_not_read_to_the_end() {
    let server = LyingServer::start();
    server.lie(|_, _| Some(Answer::new(200).header("x", "y".repeat(100_000))));
    assert!(matches!(
        client(&server).checkpoint(),
        Err(ClientError::TooLong)
    ));
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = LyingServer::start();
    let server = LyingServer::start();
    let location = format!("{}/log/checkpoint", elsewhere.address.origin);
    server.lie(move |_, _| Some(Answer::new(302).header("location", &location)));
    let error = client(&server).checkpoint().unwrap_err();
    assert_eq!(error.status(), Some(302));
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn answers_that_are_none_are_refused() {
    let server = LyingServer::start();
    let client = client(&server);
    for garbage in [
        &b""[..],
        b"<html>",
        b"\xff\xfe",
        b"{}",
        b"{\"roster\":1,\"policy\":2}",
        b"[]",
    ] {
        let body = garbage.to_vec();
        server.lie(move |_, _| Some(Answer::bytes(body.clone())));
        assert!(matches!(
            client.fetch_box_unverified(),
            Err(ClientError::Malformed(_))
        ));
        assert!(matches!(
            client.checkpoint(),
            Err(ClientError::Malformed(_))
        ));
        assert!(matches!(client.cosigned(), Err(ClientError::Malformed(_))));
        assert!(matches!(client.log_vkey(), Err(ClientError::Malformed(_))));
    }
}

#[test]
fn errors_of_the_server_keep_their_status() {
    let server = LyingServer::start();
    for status in [400, 401, 404, 409, 413, 422, 431, 500, 503] {
        server.lie(move |_, _| Some(Answer::new(status).header("retry-after", 7)));
        match client(&server).checkpoint() {
            Err(ClientError::Status {
                status: seen,
                retry_after,
                problem: None,
            }) => assert_eq!((seen, retry_after), (status, Some(7))),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_full_store_is_told_from_a_busy_one() {
    let server = LyingServer::start();
    let ask = |name: &str| {
        let body = format!("{{\"type\":\"{name}\",\"title\":\"\\u001b\",\"status\":503}}");
        server.lie(move |_, _| {
            let answer = Answer {
                status: 503,
                ..Answer::bytes(body.clone())
            };
            let answer = answer.header("content-type", "application/problem+json");
            Some(answer.header("retry-after", 10))
        });
        client(&server).checkpoint().unwrap_err()
    };
    for (name, text, is_transient) in [
        ("urn:sealdrop:error:full", "the box is full: ", false),
        (
            "urn:sealdrop:error:busy",
            "the server is busy: try again in 10 s",
            true,
        ),
        (
            "urn:sealdrop:error:no-roster",
            "the box has no roster yet",
            false,
        ),
        (
            "urn:sealdrop:error:other",
            "the server is full or busy: ",
            true,
        ),
        (&"x".repeat(5000), "the server is full or busy: ", true),
    ] {
        let error = ask(name);
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(error.is_transient(), is_transient, "{name}");
    }
}
