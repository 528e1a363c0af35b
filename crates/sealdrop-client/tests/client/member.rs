//! A member's signed requests, and downloads that break or lie.

use sealdrop_client::system;
use sealdrop_client::{ClientError, Listed};
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::request::{HEADER, Received, UnverifiedRequest};
use sealdrop_core::time::{Time, Window};

use crate::client;
use crate::support::{Answer, LyingServer, Request};

fn body() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i % 253) as u8).collect()
}

/// Serves one drop, honestly unless `lie` answers first.
fn serve(
    server: &LyingServer,
    mut lie: impl FnMut(&Request) -> Option<Answer> + Send + 'static,
) -> Listed {
    let bytes = body();
    let drop = Listed {
        digest: sha256(&bytes),
        size: bytes.len() as u64,
    };
    let path = format!("/v1/windows/5/drops/{}", hex(&drop.digest));
    server.lie(move |request, _| {
        if request.path != path {
            return None;
        }
        let start = request.header("range").map(|range| {
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse::<usize>()
                .unwrap()
        });
        let honest = || Answer {
            status: if start.is_some() { 206 } else { 200 },
            ..Answer::bytes(&bytes[start.unwrap_or(0)..])
        };
        Some(lie(request).unwrap_or_else(honest))
    });
    drop
}

fn download(server: &LyingServer, drop: &Listed) -> Result<Vec<u8>, ClientError> {
    let keys = server.keys();
    let name = keys.members[0].device();
    let mut sink = Vec::new();
    client(server)
        .member(&name, &keys.members[0].access)
        .download(Window(5), drop, &mut sink)
        .map(|()| sink)
}

#[test]
fn a_request_is_signed_for_one_origin_method_path_body_and_time() {
    let server = LyingServer::start();
    let keys = server.keys();
    let name = keys.members[0].device();
    server.lie(|_, _| Some(Answer::bytes("")));
    client(&server)
        .member(&name, &keys.members[0].access)
        .request("POST", "/log/cosign", b"note", 10)
        .unwrap();
    let state = server.state();
    let sent = &state.requests[0];
    let request = UnverifiedRequest::parse(sent.header(HEADER).unwrap()).unwrap();
    assert_eq!(request.key_name(), "ada/desk");
    let request = request.verify(&state.roster.devices()[0].access).unwrap();
    let received = Received {
        method: "POST",
        path: "/log/cosign",
        body: &sha256(b"note"),
        now: system::now(),
        started: Time(0),
    };
    request
        .check([server.address.origin.as_str()], &received)
        .unwrap();
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let server = LyingServer::start();
    let mut cuts = vec![100_000, 70_001];
    let drop = serve(&server, move |request| {
        let start: usize = request.header("range").map_or(0, |range| {
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse()
                .unwrap()
        });
        let cut = cuts.pop()?;
        let status = if start > 0 { 206 } else { 200 };
        Some(Answer {
            cut_body: Some(cut),
            ..Answer {
                status,
                ..Answer::bytes(&body()[start..])
            }
        })
    });
    assert_eq!(download(&server, &drop).unwrap(), body());
    let state = server.state();
    let ranges: Vec<_> = state
        .requests
        .iter()
        .map(|request| request.header("range"))
        .collect();
    assert_eq!(ranges, [None, Some("bytes=70001-"), Some("bytes=170001-")]);
}

#[test]
fn swapped_bytes_are_refused() {
    let server = LyingServer::start();
    let drop = serve(&server, |_| {
        let mut bytes = body();
        bytes[5] ^= 1;
        Some(Answer::bytes(bytes))
    });
    assert!(matches!(
        download(&server, &drop),
        Err(ClientError::ChangedBody)
    ));
}

#[test]
fn more_bytes_than_listed_are_refused() {
    let server = LyingServer::start();
    let drop = serve(&server, |_| {
        Some(Answer::bytes([body(), vec![0; 1000]].concat()))
    });
    assert!(matches!(
        download(&server, &drop),
        Err(ClientError::TooLong)
    ));
}

#[test]
fn an_expired_drop_says_so() {
    let server = LyingServer::start();
    let drop = serve(&server, |_| Some(Answer::new(410)));
    assert_eq!(download(&server, &drop).unwrap_err().status(), Some(410));
}

#[test]
fn listings_that_are_none_are_refused() {
    let server = LyingServer::start();
    let keys = server.keys();
    let name = keys.members[0].device();
    let client = client(&server);
    let member = client.member(&name, &keys.members[0].access);
    for listing in [
        "{}",
        r#"{"window": 6, "drops": [], "released": null}"#,
        r#"{"window": 5, "drops": [{"digest": "00", "size": 1}], "released": null}"#,
        r#"{"window": 5, "drops": [], "released": "no note"}"#,
    ] {
        server.lie(move |_, _| Some(Answer::bytes(listing)));
        assert!(
            matches!(member.drops(Window(5)), Err(ClientError::Malformed(_))),
            "{listing}"
        );
    }
    server.lie(|_, _| Some(Answer::bytes(r#"{"now": 9, "windows": [5, 4]}"#)));
    assert!(matches!(member.windows(), Err(ClientError::Malformed(_))));
    server.lie(|_, _| Some(Answer::bytes(r#"{"now": 9, "windows": [4, 5]}"#)));
    let windows = member.windows().unwrap();
    assert_eq!(windows.windows, [Window(4), Window(5)]);
    assert_eq!(windows.posted, None, "an older server does not say");
    server.lie(|_, _| Some(Answer::bytes(r#"{"now": 9, "windows": [], "posted": 9}"#)));
    assert_eq!(member.windows().unwrap().posted, Some(Window(9)));
}

#[test]
fn slips_are_posted_as_they_are_and_the_window_is_a_number() {
    let server = LyingServer::start();
    let keys = server.keys();
    let name = keys.members[0].device();
    let client = client(&server);
    let member = client.member(&name, &keys.members[0].access);
    let body: Vec<u8> = (0..8192_u32).map(|i| (i % 251) as u8).collect();
    server.lie(|_, _| Some(Answer::bytes(r#"{"window": 7}"#)));
    assert_eq!(member.post_slips(&body).unwrap(), Window(7));
    {
        let state = server.state();
        let sent = &state.requests[0];
        assert_eq!(
            (sent.method.as_str(), sent.path.as_str()),
            ("POST", "/v1/slips")
        );
        assert_eq!(sent.body, body);
    }
    for answer in ["", "{}", "7", r#"{"window": -1}"#, r#"{"window": "7"}"#] {
        server.lie(move |_, _| Some(Answer::bytes(answer)));
        assert!(
            matches!(member.post_slips(&body), Err(ClientError::Malformed(_))),
            "{answer}"
        );
    }
    server.lie(|_, _| Some(Answer::bytes(vec![b' '; 5000])));
    assert!(matches!(
        member.post_slips(&body),
        Err(ClientError::TooLong)
    ));
    for status in [409, 422, 503] {
        server.lie(move |_, _| Some(Answer::new(status)));
        assert_eq!(member.post_slips(&body).unwrap_err().status(), Some(status));
    }
}
