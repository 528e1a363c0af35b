//! From the command line to a client, and from a roster that is refused to a sentence that helps.

use sealdrop_client::{BoxFile, Client, ClientError, Options, Proxy, Roots, VerifiedBox, system};
use sealdrop_core::address::{Address, AddressError, Origin};
use sealdrop_core::key::BoxKey;
use sealdrop_core::note::Note;
use sealdrop_core::roster::{Roster, RosterError, Seen};

use crate::cli::Global;
use crate::failure::Failure;
use crate::files;
use crate::interrupt::Interrupt;
use sealdrop_client::show;

/// Reads a drop address; a failure names the check that failed.
pub(crate) fn address(text: &str) -> Result<Address, Failure> {
    text.trim().parse().map_err(|error: AddressError| {
        let failure = Failure::usage(format!("this is not a drop address: {error}"));
        match error {
            AddressError::MissingBox => failure.hint(
                "copy all of it, the part behind the # too, and put it in quotes: a shell takes # for the beginning of a comment",
            ),
            AddressError::Box(_) => failure.hint("copy the address again from the project's SECURITY.md, whole"),
            _ => failure.hint("it looks like https://drop.example.org#sdbox1…"),
        }
    })
}

/// How to reach a server, from the command line.
pub(crate) fn options(global: &Global) -> Result<Options, Failure> {
    let proxy = match (&global.proxy, global.tor) {
        (Some(text), _) => {
            Some(Proxy::parse(text).map_err(|error| Failure::usage(format!("--proxy: {error}")))?)
        }
        (None, true) => Some(Proxy::tor()),
        (None, false) => None,
    };
    let mut options = proxy.map_or_else(Options::default, Options::through);
    if let Some(path) = &global.ca {
        let pem = files::read(path, 1 << 20)?;
        options.roots = Roots::from_pem(&pem).map_err(|error| {
            Failure::usage(format!("--ca: {}: {error}", path.display()))
                .hint("give a PEM file with BEGIN CERTIFICATE")
        })?;
    }
    Ok(options)
}

/// A client for the server of an address.
pub(crate) fn client(
    origin: &Origin,
    mut options: Options,
    interrupt: Option<&Interrupt>,
) -> Result<Client, Failure> {
    if let Some(interrupt) = interrupt {
        options.cancelled = interrupt.flag();
    }
    Client::new(origin, options).map_err(|error| match error {
        ClientError::OnionWithoutProxy => Failure::usage(error.to_string()),
        error => error.into(),
    })
}

/// Fetches roster and policy and believes them, or says why not.
pub(crate) fn fetch_box(client: &Client, address: &Address) -> Result<VerifiedBox, Failure> {
    verify_box(client.fetch_box_unverified()?, address, true)
}

/// Believes a roster for reading, which one that has expired does not forbid: nothing is sealed to it, and what members signed they signed. With it comes
/// what is to be said of one.
pub(crate) fn believe_to_read(
    file: BoxFile,
    address: &Address,
    seen: Seen,
) -> Result<(VerifiedBox, Option<String>), Failure> {
    let note = file.roster.clone();
    let refused = |error| match error {
        ClientError::Roster(error) => roster_failure(error, &note, address, true),
        error => error.into(),
    };
    let now = system::now();
    let verified = file
        .clone()
        .verify(&address.box_key, Some(&address.origin), now, seen);
    if !matches!(verified, Err(ClientError::Roster(RosterError::Expired))) {
        return Ok((verified.map_err(refused)?, None));
    }
    let the_box = file
        .verify_ignoring_expiry(&address.box_key)
        .map_err(refused)?;
    let roster = the_box.roster();
    roster
        .check_seen(seen)
        .map_err(|error| refused(ClientError::Roster(error)))?;
    let expired = format!(
        "The box's roster expired on {}, and nobody may seal to it any more. If the date is not past, set this machine's clock: it says {}.",
        show::minute(roster.expires()),
        show::minute(now),
    );
    Ok((the_box, Some(expired)))
}

/// Believes roster and policy by the box key of an address, or says why not.
pub(crate) fn verify_box(
    file: BoxFile,
    address: &Address,
    from_server: bool,
) -> Result<VerifiedBox, Failure> {
    let note = file.roster.clone();
    file.verify(
        &address.box_key,
        Some(&address.origin),
        system::now(),
        Seen::default(),
    )
    .map_err(|error| match error {
        ClientError::Roster(error) => roster_failure(error, &note, address, from_server),
        error => error.into(),
    })
}

/// What a refused roster means, and what to do.
fn roster_failure(
    error: RosterError,
    note: &Note,
    address: &Address,
    from_server: bool,
) -> Failure {
    let whose = if from_server {
        "the server shows"
    } else {
        "the file holds"
    };
    let roster = Roster::verify_ignoring_expiry(note, &address.box_key).ok();
    let dates = roster.as_ref().map(|roster| {
        (
            show::minute(roster.issued()),
            show::minute(roster.expires()),
        )
    });
    let clock = show::minute(system::now());
    match (error, dates) {
        (RosterError::NotSigned, _) => {
            let expected = address.box_key.fingerprint();
            let shown = shown_box(note).map_or("none that can be read".into(), |key| key.fingerprint());
            Failure::refused(format!("the roster that {whose} is not signed by the box key of this address")).hint(format!(
                "the address names the box with fingerprint {expected}, the roster that with {shown}\n\
                 nothing was sealed or sent: ask the project, by another way than this server, which address is right"
            ))
        }
        (RosterError::Expired, Some((_, expires))) => {
            Failure::refused(format!("the roster that {whose} expired on {expires}: nobody may seal to it any more")).hint(format!(
                "ask the project to publish a new one (sealdrop-desk publish); if the date is not past, set this machine's clock (it says {clock})"
            ))
        }
        (RosterError::NotYetIssued, Some((issued, _))) => {
            Failure::refused(format!("the roster that {whose} was issued on {issued}, which is ahead of this machine's clock"))
                .hint(format!("set the clock of this machine: it says {clock}"))
        }
        (RosterError::AnotherOrigin, _) => {
            let origins: Vec<String> = roster.iter().flat_map(|r| r.origins()).map(ToString::to_string).collect();
            Failure::refused(format!("the roster that {whose} is for {}, not for {}", origins.join(" and "), address.origin))
                .hint("copy the address again from the project's SECURITY.md; this server may be relaying another box")
        }
        (RosterError::Rollback | RosterError::TwoOfOneEpoch, _) => {
            Failure::refused(format!("the roster that {whose} is not the one that was seen before: {error}"))
                .hint("nothing was read or sent: tell the project, by another way than this server")
        }
        (error, _) => Failure::refused(format!("the roster that {whose} is refused: {error}"))
            .hint("nothing was sealed or sent: tell the project, by another way than this server"),
    }
}

/// The box that a roster says it is of, whoever signed it.
fn shown_box(note: &Note) -> Option<BoxKey> {
    note.text()
        .lines()
        .find_map(|line| line.strip_prefix("box: "))
        .and_then(|text| BoxKey::parse(text).ok())
}
