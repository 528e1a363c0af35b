//! Vectors of docs/protocol.md, "Address".

use sealdrop_core::address::{Address, AddressError};
use sealdrop_core::bech32;
use sealdrop_core::key::BoxKeyError;

use crate::vector::{self, SUCCESS, Vector};
use crate::world;

fn outcome(vector: &Vector) -> String {
    match vector.text().parse::<Address>() {
        Ok(address) => {
            assert_eq!(address.origin.as_str(), vector.field("origin"));
            assert_eq!(address.box_key.to_string(), vector.field("box"));
            SUCCESS.into()
        }
        Err(AddressError::MissingBox) => "missing box".into(),
        Err(AddressError::Scheme) => "scheme".into(),
        Err(AddressError::Origin) => "origin".into(),
        Err(AddressError::Box(BoxKeyError::NotABox)) => "not a box".into(),
        Err(AddressError::Box(BoxKeyError::Checksum)) => "box checksum".into(),
        Err(AddressError::Box(BoxKeyError::Length)) => "box length".into(),
        Err(AddressError::Box(BoxKeyError::Key)) => "box key".into(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn vectors() {
    let key = world::box_secret().to_public();
    let sdbox = key.to_string();
    let address = format!("{}#{sdbox}", world::ORIGIN);
    let good = Vector::new("good", SUCCESS, "an address", &address)
        .with("box", &sdbox)
        .with("origin", world::ORIGIN);
    let at = |name: &str, comment: &str, before: &str, origin: &str| {
        good.twin(name, SUCCESS, comment)
            .with("origin", origin)
            .body(format!("{before}#{sdbox}"))
    };
    let bad = |name: &str, expect: &str, comment: &str, body: String| {
        good.twin(name, expect, comment).body(body)
    };
    let before = |name: &str, expect: &str, comment: &str, before: &str| {
        bad(name, expect, comment, format!("{before}#{sdbox}"))
    };
    let boxed = |name: &str, expect: &str, comment: &str, fragment: String| {
        bad(
            name,
            expect,
            comment,
            format!("{}#{fragment}", world::ORIGIN),
        )
    };
    // One character of the data part swapped for another of the alphabet.
    let typo = sdbox.replacen(
        &sdbox[20..21],
        if &sdbox[20..21] == "q" { "p" } else { "q" },
        1,
    );
    let vectors = [
        at(
            "slash",
            "a slash before the # is dropped",
            "https://drop.example/",
            "https://drop.example",
        ),
        at(
            "default-port",
            "the default port is dropped",
            "https://drop.example:443",
            "https://drop.example",
        ),
        at(
            "port-and-path",
            "both stay",
            "https://drop.example:8443/a/b",
            "https://drop.example:8443/a/b",
        ),
        at(
            "onion",
            "an onion service needs no TLS",
            "http://example.onion",
            "http://example.onion",
        ),
        at(
            "loopback",
            "nor does this machine",
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8080",
        ),
        at(
            "loopback-v6",
            "nor by IPv6",
            "http://[::1]:8080",
            "http://[::1]:8080",
        ),
        bad(
            "no-fragment",
            "missing box",
            "nothing behind the origin",
            world::ORIGIN.into(),
        ),
        bad(
            "empty-fragment",
            "missing box",
            "nothing behind the #",
            format!("{}#", world::ORIGIN),
        ),
        boxed(
            "other-prefix",
            "not a box",
            "a Bech32 of another kind",
            bech32::encode("sdlog", key.as_bytes()),
        ),
        boxed(
            "upper-case",
            "not a box",
            "Bech32 in upper case",
            sdbox.to_uppercase(),
        ),
        boxed("typo", "box checksum", "one character is another", typo),
        boxed(
            "cut",
            "box checksum",
            "the last character is missing",
            sdbox[..sdbox.len() - 1].into(),
        ),
        boxed(
            "short",
            "box length",
            "31 bytes",
            bech32::encode("sdbox", &key.as_bytes()[..31]),
        ),
        boxed(
            "long",
            "box length",
            "33 bytes",
            bech32::encode("sdbox", &[&key.as_bytes()[..], &[0]].concat()),
        ),
        boxed(
            "low-order",
            "box key",
            "the point of order one",
            bech32::encode("sdbox", &{
                let mut one = [0; 32];
                one[0] = 1;
                one
            }),
        ),
        boxed(
            "not-a-point",
            "box key",
            "no point has this encoding",
            bech32::encode("sdbox", &{
                let mut two = [0; 32];
                two[0] = 2;
                two
            }),
        ),
        before(
            "plain-http",
            "scheme",
            "http to a host that is neither onion nor loopback",
            "http://drop.example",
        ),
        before("ftp", "scheme", "another scheme", "ftp://drop.example"),
        before("no-scheme", "scheme", "no scheme", "drop.example"),
        before("user", "origin", "a user name", "https://me@drop.example"),
        before(
            "upper-host",
            "origin",
            "a host in upper case",
            "https://Drop.example",
        ),
        before(
            "dot-dot",
            "origin",
            "a path with ..",
            "https://drop.example/a/../b",
        ),
        before("query", "origin", "a query", "https://drop.example/?a"),
        before("port-zero", "origin", "port 0", "https://drop.example:0"),
        good,
    ];
    vector::run("address", &vectors, outcome);
}
