//! What an observer of the connection sees, and where connections go.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sealdrop_client::{Client, ClientError, OnFailure, Options, Proxy, Roots};

use crate::support::{LyingServer, Socks};
use crate::{Bytes, client, options};

/// A whole session: each operation once.
fn every_operation(client: &Client, server: &LyingServer) {
    let keys = server.keys();
    let _ = client.fetch_box_unverified();
    let _ = client.checkpoint();
    let _ = client.cosigned();
    client
        .send(&mut Bytes::new(1000), None, OnFailure::Keep, &mut |_| {})
        .unwrap();
    client
        .send(&mut Bytes::new(9 << 20), None, OnFailure::Keep, &mut |_| {})
        .unwrap();
    client.forget(&sealdrop_client::UploadId::parse(&"0".repeat(32)).unwrap());
    let name = keys.members[0].device();
    let _ = client.member(&name, &keys.members[0].access).windows();
}

#[test]
fn requests_have_the_headers_of_the_protocol_and_no_other() {
    let server = LyingServer::start();
    every_operation(&client(&server), &server);
    let allowed = BTreeSet::from([
        "host",
        "content-length",
        "content-type",
        "upload-length",
        "upload-offset",
        "upload-complete",
        "sealdrop-request",
    ]);
    for request in &server.state().requests {
        let sent: BTreeSet<String> = request
            .headers
            .iter()
            .map(|(name, _)| name.to_lowercase())
            .collect();
        let other: Vec<_> = sent
            .iter()
            .filter(|name| !allowed.contains(name.as_str()))
            .collect();
        assert!(
            other.is_empty(),
            "{} {} sends {other:?}",
            request.method,
            request.path
        );
        assert_eq!(sent.contains("content-type"), request.method == "PATCH");
        assert_eq!(
            sent.contains("content-length"),
            matches!(request.method.as_str(), "POST" | "PATCH")
        );
    }
}

#[test]
fn every_operation_runs_on_a_fresh_connection() {
    let server = LyingServer::start();
    every_operation(&client(&server), &server);
    let state = server.state();
    let used: BTreeSet<usize> = state
        .requests
        .iter()
        .map(|request| request.connection)
        .collect();
    assert_eq!(used.len(), state.requests.len());
}

#[test]
fn reporter_on_dns_outside_tor_is_impossible() {
    let onion = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx.onion";
    let server = LyingServer::with_origin(&format!("http://{onion}"));
    let socks = Socks::to(server.port());
    let proxy = Proxy::parse(&format!("socks5h://{}", socks.port)).unwrap();
    let options = Options {
        proxy: Some(proxy),
        ..options()
    };
    let client = Client::new(&server.address.origin, options).unwrap();
    every_operation(&client, &server);
    let asked = socks.asked();
    assert!(asked.len() >= 7);
    for asked in &asked {
        assert_eq!(
            (asked.address_type, asked.host.as_slice()),
            (3, onion.as_bytes()),
            "the name goes to the proxy as it is"
        );
    }
    let credentials: BTreeSet<_> = asked
        .iter()
        .map(|asked| (asked.user.clone(), asked.password.clone()))
        .collect();
    assert_eq!(
        credentials.len(),
        asked.len(),
        "each operation has a circuit of its own"
    );
}

#[test]
fn a_proxy_with_credentials_gets_them() {
    let server = LyingServer::start();
    let socks = Socks::to(server.port());
    let proxy = Proxy::parse(&format!("socks5h://ada:secret@{}", socks.port)).unwrap();
    let client = Client::new(
        &server.address.origin,
        Options {
            proxy: Some(proxy),
            ..options()
        },
    )
    .unwrap();
    client.checkpoint().unwrap();
    let asked = &socks.asked()[0];
    assert_eq!(
        (asked.user.as_slice(), asked.password.as_slice()),
        (b"ada".as_slice(), b"secret".as_slice())
    );
}

#[test]
fn an_onion_service_without_a_proxy_is_refused() {
    let server = LyingServer::with_origin("http://abcdef.onion");
    assert!(matches!(
        Client::new(&server.address.origin, options()),
        Err(ClientError::OnionWithoutProxy)
    ));
}

#[test]
fn nobody_there_is_said_plainly() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = Client::new(&format!("http://{free}").parse().unwrap(), options()).unwrap();
    assert!(matches!(
        client.checkpoint(),
        Err(ClientError::Refused { .. })
    ));

    let proxied = Options {
        proxy: Some(Proxy::parse(&format!("socks5h://{free}")).unwrap()),
        ..options()
    };
    let client = Client::new(&"http://abcdef.onion".parse().unwrap(), proxied).unwrap();
    assert!(matches!(
        client.checkpoint(),
        Err(ClientError::ProxyDown { .. })
    ));

    let client = Client::new(
        &"https://does-not-exist.invalid".parse().unwrap(),
        options(),
    )
    .unwrap();
    assert!(matches!(client.checkpoint(), Err(ClientError::Name { .. })));
}

#[test]
fn a_server_without_tls_is_not_spoken_to() {
    let server = LyingServer::start();
    let https = format!("https://{}", server.port()).parse().unwrap();
    let result = Client::new(&https, options()).unwrap().checkpoint();
    assert!(
        matches!(
            result,
            Err(ClientError::Tls { .. } | ClientError::Lost { .. })
        ),
        "{result:?}"
    );
    assert!(server.state().requests.is_empty());
}

fn pem(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

/// A TLS server that answers every request with an empty list, and its port.
fn tls_server(certificate: &str, key: &str) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(&pem(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&pem(key)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = Arc::new(
        config
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap(),
    );
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            let mut head = [0; 4096];
            if tls.read(&mut head).is_ok_and(|n| n > 0) {
                let _ = tls.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"checkpoints\":[]}",
                );
            }
        }
    });
    port
}

#[test]
fn a_certificate_counts_only_from_an_authority_that_is_trusted_and_for_this_name() {
    let port = tls_server("leaf.pem", "leaf.key");
    let ca = pem("ca.pem");
    let trusting = || Options {
        roots: Roots::from_pem(&ca).unwrap(),
        ..options()
    };
    let ask = |host: &str, options| {
        Client::new(&format!("https://{host}:{port}").parse().unwrap(), options)
            .unwrap()
            .cosigned()
    };
    assert!(ask("localhost", trusting()).unwrap().is_empty());
    assert!(ask("127.0.0.1", trusting()).unwrap().is_empty());
    assert!(
        matches!(ask("localhost", options()), Err(ClientError::Tls { .. })),
        "the web's authorities do not know it"
    );
    assert!(
        matches!(ask("127.0.0.2", trusting()), Err(ClientError::Tls { .. })),
        "it is for another name"
    );
}

#[test]
fn an_authoritys_certificate_on_a_server_is_said_plainly() {
    let ask = |certificate: &str| {
        let port = tls_server(certificate, "self.key");
        let trusting = Options {
            roots: Roots::from_pem(&pem(certificate)).unwrap(),
            ..options()
        };
        let origin = format!("https://localhost:{port}").parse().unwrap();
        Client::new(&origin, trusting).unwrap().cosigned()
    };
    let error = ask("self-ca.pem").unwrap_err();
    assert!(matches!(error, ClientError::CaAsServer { .. }), "{error:?}");
    let step = "-addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
    assert!(error.to_string().ends_with(step), "{error}");
    // The one that the command makes.
    assert!(ask("self.pem").unwrap().is_empty());
}

#[test]
fn a_silent_server_does_not_hold_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let impatient = Options {
        idle: Duration::from_millis(50),
        ..options()
    };
    let result = Client::new(&origin, impatient).unwrap().checkpoint();
    assert!(
        matches!(result, Err(ClientError::Timeout { .. })),
        "{result:?}"
    );
}

#[test]
fn a_server_that_drips_does_not_hold_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
        // Never silent for as long as a read may take, and never done.
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let impatient = Options {
        answer: Duration::from_millis(100),
        ..options()
    };
    let result = Client::new(&origin.parse().unwrap(), impatient)
        .unwrap()
        .checkpoint();
    assert!(
        matches!(result, Err(ClientError::Timeout { .. })),
        "{result:?}"
    );
}
