//! Vectors of docs/protocol.md, "Requests of members".

use sealdrop_core::encoding::{base64, from_base64, hex, sha256};
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::request::{Received, Request, RequestError, UnverifiedRequest};
use sealdrop_core::time::{Time, Window};

use crate::vector::{self, SUCCESS, Vector};
use crate::world::{self, NOW, ORIGIN};

const DEVICE: &str = "alice/desk";

fn request() -> Request {
    Request {
        origin: ORIGIN.into(),
        method: "GET".into(),
        path: "/v1/windows/81834/drops".into(),
        body: sha256(b""),
        time: NOW,
        nonce: *world::seed("nonce").first_chunk().unwrap(),
    }
}

fn note() -> Note {
    let header = request().sign(DEVICE, &world::access(DEVICE)).unwrap();
    Note::parse(&from_base64(&header).unwrap()).unwrap()
}

fn header(note: &Note) -> String {
    base64(note.to_string().as_bytes())
}

#[test]
fn vectors() {
    let access = world::access(DEVICE);
    let good = Vector::new("good", SUCCESS, "a device lists a window", header(&note()))
        .with("key", world::device(DEVICE).access)
        .with("origin", ORIGIN)
        .with("method", "GET")
        .with("path", request().path)
        .with("body", hex(&sha256(b"")))
        .with("now", NOW)
        .with("started", NOW.0 - 86_400);
    let broken = |name: &str, expect: &str, comment: &str| good.twin(name, expect, comment);
    let retold = |name: &str, comment: &str, from: &str, to: &str| {
        let text = note().text().to_owned();
        assert!(text.contains(from));
        let note = Note::new(text.replacen(from, to, 1)).unwrap();
        good.twin(name, "malformed", comment)
            .body(header(&note.sign(DEVICE, &access)))
    };
    let key = |name: &str| world::device(name).access;
    let nonce = base64(&request().nonce);
    let vectors = [
        broken("behind", SUCCESS, "the server's clock is 120 s ahead").with("now", NOW.0 + 120),
        broken("ahead", SUCCESS, "the server's clock is 120 s behind").with("now", NOW.0 - 120),
        broken("at-start", SUCCESS, "made in the second of the start").with("started", NOW),
        broken("late", "time", "121 s old").with("now", NOW.0 + 121),
        broken("early", "time", "121 s ahead").with("now", NOW.0 - 121),
        broken("before-start", "time", "made before the server started").with("started", NOW.0 + 1),
        broken("another-origin", "origin", "for another server")
            .with("origin", "https://other.example"),
        broken("another-method", "content", "for another method").with("method", "POST"),
        broken("another-path", "content", "for another path")
            .with("path", "/v1/windows/81835/drops"),
        broken("query", "content", "the path was sent with a query")
            .with("path", "/v1/windows/81834/drops?a=1"),
        broken("another-body", "content", "the body is another")
            .with("body", hex(&sha256(b"body"))),
        broken("another-device", "signature", "another device's key")
            .with("key", key("alice/laptop")),
        broken(
            "another-name",
            "signature",
            "signed under another device's name",
        )
        .body(request().sign("alice/laptop", &access).unwrap()),
        broken(
            "text-changed",
            "signature",
            "the text was changed after signing",
        )
        .body(base64(
            note().to_string().replace("81834", "81835").as_bytes(),
        )),
        broken("two-signatures", "malformed", "two signatures").body(header(
            &note().sign("alice/laptop", &world::access("alice/laptop")),
        )),
        broken("not-base64", "malformed", "the note itself").body("sealdrop/request/v1"),
        broken("unpadded", "malformed", "base64 without padding").body({
            let header = header(&note());
            assert!(header.ends_with('='));
            header.trim_end_matches('=').to_owned()
        }),
        broken(
            "not-a-note",
            "malformed",
            "the base64 of text without signatures",
        )
        .body(base64(note().text().as_bytes())),
        retold(
            "long",
            "a header above 8,192 bytes",
            "drops",
            &"a".repeat(6_000),
        ),
        retold("version", "another first line", "/v1\n", "/v2\n"),
        retold("method-lower", "methods are capitals", ": GET", ": get"),
        retold(
            "path-elsewhere",
            "paths begin with /v1/ or /log/",
            "path: /v1/",
            "path: /v2/",
        ),
        retold("path-space", "a path with a space", "drops", "dr ops"),
        retold("time-zeroes", "leading zero", "time: ", "time: 0"),
        retold("time-missing", "no time", &format!("time: {NOW}\n"), ""),
        retold(
            "nonce-short",
            "a nonce of 12 bytes",
            &nonce,
            &base64(&request().nonce[..12]),
        ),
        retold("extra-line", "a line more", "nonce: ", "more: 1\nnonce: "),
        good.clone(),
    ];
    vector::run("request", &vectors, |v| {
        let key = Vkey::parse(v.field("key")).unwrap();
        let received = Received {
            method: v.field("method"),
            path: v.field("path"),
            body: &v.hex("body"),
            now: Time(v.number("now")),
            started: Time(v.number("started")),
        };
        let outcome = UnverifiedRequest::parse(v.text())
            .and_then(|unverified| unverified.verify(&key))
            .and_then(|request| request.check([v.field("origin")], &received));
        match outcome {
            Ok(()) => SUCCESS,
            Err(RequestError::Signature) => "signature",
            Err(RequestError::Origin) => "origin",
            Err(RequestError::Content) => "content",
            Err(RequestError::Time) => "time",
            Err(_) => "malformed",
        }
        .into()
    });
}

#[test]
fn a_request_names_its_key_and_keeps_its_note() {
    let header = request().sign(DEVICE, &world::access(DEVICE)).unwrap();
    let unverified = UnverifiedRequest::parse(&header).unwrap();
    assert_eq!(unverified.key_name(), DEVICE);
    assert_eq!(unverified.note(), &note());
    assert_eq!(UnverifiedRequest::from_note(note()), Ok(unverified));
}

#[test]
fn a_request_that_no_server_would_read_is_not_signed() {
    let key = world::access(DEVICE);
    let sign = |change: fn(&mut Request)| {
        let mut request = request();
        change(&mut request);
        request.sign(DEVICE, &key)
    };
    let refused = Err(RequestError::Malformed);
    assert_eq!(sign(|r| r.path = "/v1/a b".into()), refused);
    assert_eq!(sign(|r| r.path = "/v1/a\nbody: 00".into()), refused);
    assert_eq!(
        sign(|r| r.path = format!("/v1/{}", "a".repeat(8_000))),
        refused
    );
    assert_eq!(sign(|r| r.method = "get".into()), refused);
    assert_eq!(sign(|r| r.origin = String::new()), refused);
    assert_eq!(sign(|r| r.time = Time(u64::MAX)), refused);
}

#[test]
fn only_a_release_releases() {
    let release = |method: &str, path: &str| {
        let request = Request {
            method: method.into(),
            path: path.into(),
            ..request()
        };
        request.releases()
    };
    assert_eq!(
        release("POST", "/v1/windows/81834/release"),
        Some(Window(81_834))
    );
    assert_eq!(release("GET", "/v1/windows/81834/release"), None);
    assert_eq!(release("POST", "/v1/windows/081834/release"), None);
    assert_eq!(release("POST", "/v1/windows/81834/release?x"), None);
    assert_eq!(release("POST", "/v1/windows/81834/drops"), None);
}
