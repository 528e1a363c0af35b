//! Whether the server's certificate is about to expire.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use sealdrop_core::address::Origin;
use sealdrop_core::time::Time;

use crate::context::Context;
use crate::doctor::Finding;

/// A certificate is worth a warning from here on: those that renew themselves have done so by then.
const SOON: u64 = 14 * 86_400;

/// How long connecting and the handshake may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the server's certificate is good now, and will be in two weeks.
pub(crate) fn check(context: &Context, origin: &Origin, now: Time) -> Result<Finding> {
    if !origin.as_str().starts_with("https://") {
        return Ok(Finding::Good(
            "none is needed for an onion service or this machine".into(),
        ));
    }
    if context.proxy.is_some() {
        return Ok(Finding::Good(
            "not looked at through a proxy; the requests below check that it is good now".into(),
        ));
    }
    let roots = Arc::new(roots(context)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .context("no certificate authorities are known")?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be used here")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = origin
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(host.clone())
        .context("the address has no name that a certificate could be for")?;
    let certificates = certificates(origin, &host, name.clone(), config).with_context(|| {
        format!("the certificate of {host} is not good, or the server cannot be reached")
    })?;
    let Some((own, others)) = certificates.split_first() else {
        anyhow::bail!("{host} shows no certificate");
    };
    let soon = UnixTime::since_unix_epoch(Duration::from_secs(now.0 + SOON));
    Ok(
        match verifier.verify_server_cert(own, others, &name, &[], soon) {
            Ok(_) => Finding::Good(format!("that of {host} is good for two weeks at least")),
            Err(_) => Finding::Warning(format!(
                "that of {host} expires within two weeks: whoever runs the server must renew it"
            )),
        },
    )
}

/// Shakes hands, with the certificate verified as of now, and gives the chain.
fn certificates(
    origin: &Origin,
    host: &str,
    name: ServerName<'static>,
    config: ClientConfig,
) -> io::Result<Vec<CertificateDer<'static>>> {
    let authority = origin
        .as_str()
        .trim_start_matches("https://")
        .split('/')
        .next()
        .unwrap_or_default();
    let port = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .unwrap_or(443);
    let address = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(connection
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|each| each.clone().into_owned())
        .collect())
}

fn roots(context: &Context) -> Result<RootCertStore> {
    let Some(path) = &context.roots else {
        return Ok(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        });
    };
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate
            .with_context(|| format!("{} is not a PEM file of certificates", path.display()))?;
        roots.add(certificate).with_context(|| {
            format!(
                "{} holds a certificate that cannot be trusted",
                path.display()
            )
        })?;
    }
    Ok(roots)
}
