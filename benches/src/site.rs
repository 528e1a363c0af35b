//! A box with one member, the server in front of it, and drops that it accepts.

use std::io::{BufRead as _, Cursor, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::drop::{FileKey, Sealer, size};
use sealdrop_core::encoding::sha256;
use sealdrop_core::key::{BoxSecret, LogRole, SecretKey, VoiceRole};
use sealdrop_core::log::checkpoint::log_vkey;
use sealdrop_core::note::Vkey;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::report::{Attachment, Kind, Report};
use sealdrop_core::roster::{Draft, Member, Roster};
use sealdrop_core::time::Time;

use crate::process::{Server, program};

pub(crate) const ORIGIN: &str = "http://127.0.0.1:8080";
pub(crate) const POLICY: &str = "Report here.";

/// The keys of a box.
pub(crate) struct Site {
    pub(crate) secret: BoxSecret,
    pub(crate) identity: IdentitySeed,
    rng: ChaCha20Rng,
}

impl Site {
    /// The same box every time: these are keys of nobody.
    pub(crate) fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        Self {
            secret: BoxSecret::generate(&mut rng),
            identity: IdentitySeed::generate(&mut rng),
            rng,
        }
    }

    /// The server, not started yet.
    pub(crate) fn command(&self, data: &Path) -> Result<Command> {
        let mut server = Command::new(program("sealdrop-server")?);
        server.arg("--data").arg(data);
        server.args(["--box", &self.secret.to_public().to_string()]);
        server.args(["--listen", "127.0.0.1:0"]);
        Ok(server)
    }

    /// The server with its first roster.
    pub(crate) fn serve(&mut self, data: &Path) -> Result<(Server, Roster)> {
        let server = Server::start(&mut self.command(data)?)?;
        let vkey = request(server.addr, "GET", "/log/vkey", b"")?;
        let log = Vkey::parse(vkey.trim_end()).context("not a vkey")?;
        let roster = self.roster(log)?;
        let body = box_file(&roster);
        request(server.addr, "PUT", "/v1/box", body.as_bytes())?;
        Ok((server, roster))
    }

    /// A roster for sealing alone.
    pub(crate) fn unserved_roster(&mut self) -> Result<Roster> {
        let log = SecretKey::<LogRole>::generate(&mut self.rng).to_public();
        self.roster(log_vkey(&self.secret.to_public(), &log))
    }

    fn roster(&mut self, log: Vkey<LogRole>) -> Result<Roster> {
        Ok(self.draft(log)?.sign(&self.secret)?)
    }

    /// What the roster says, for those who change it before they sign it.
    pub(crate) fn draft(&mut self, log: Vkey<LogRole>) -> Result<Draft> {
        let issued = now();
        let voice = SecretKey::<VoiceRole>::generate(&mut self.rng);
        Ok(Draft {
            box_key: self.secret.to_public(),
            origins: vec![ORIGIN.parse()?],
            epoch: 1,
            issued,
            expires: Time(issued.0 + 86_400),
            window: 21_600,
            retention: 7_776_000,
            slips: 8,
            max_drop: 2 << 30,
            policy: sha256(POLICY.as_bytes()),
            log,
            members: vec![Member {
                name: "alice".into(),
                role: "lead".into(),
                recipient: self.identity.to_public(),
                voice: Vkey::new("alice", voice.to_public()),
            }],
            devices: Vec::new(),
        })
    }

    /// A report with one attachment, sealed into `out`.
    pub(crate) fn seal(
        &mut self,
        roster: &Roster,
        attachment: impl Read + Send + 'static,
        len: u64,
        out: &mut impl std::io::Write,
    ) -> Result<()> {
        let keys = Phrase::generate(&mut self.rng).keys(roster.box_key());
        let mut report = Report::new(Kind::Report, roster, &keys, &mut self.rng);
        report.attachments.push(Attachment {
            name: "proof.bin".into(),
            size: len,
        });
        let file_key = FileKey::generate(&mut self.rng);
        let sealer = Sealer::new(roster, &report, &keys.voice, &file_key, [9; 16])?;
        let mut attachment = Some(attachment);
        // No digest: other sealers make none either, and the client makes its own.
        let mut sealed = sealer.seal(move |_| {
            let attachment = attachment.take().ok_or(std::io::ErrorKind::NotFound)?;
            Ok(Box::new(attachment) as Box<dyn Read + Send>)
        });
        loop {
            let piece = sealed.fill_buf()?;
            if piece.is_empty() {
                return Ok(());
            }
            out.write_all(piece)?;
            let n = piece.len();
            sealed.consume(n);
        }
    }

    /// Drops of one padded length.
    pub(crate) fn supply(&mut self, roster: &Roster, attachment: usize) -> Result<Supply> {
        let mut sealed = Vec::new();
        let content = Cursor::new(vec![7; attachment]);
        self.seal(roster, content, attachment as u64, &mut sealed)?;
        Ok(Supply::of(roster, sealed))
    }
}

/// Drops without end: one that was sealed, each time under another payload nonce, which makes another file of the same shape. A
/// server cannot tell, and making one costs the load nothing.
#[derive(Clone)]
pub(crate) struct Supply {
    /// Header, and what follows the eight bytes that differ.
    pub(crate) before: Bytes,
    pub(crate) after: Bytes,
}

impl Supply {
    fn of(roster: &Roster, sealed: Vec<u8>) -> Self {
        let at = usize::try_from(size::header(roster.members().len())).unwrap_or(usize::MAX);
        let sealed = Bytes::from(sealed);
        Self {
            before: sealed.slice(..at),
            after: sealed.slice(at + 8..),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.before.len() + 8 + self.after.len()
    }
}

/// The JSON of `/v1/box`.
pub(crate) fn box_file(roster: &Roster) -> String {
    serde_json::json!({ "roster": roster.note().to_string(), "policy": POLICY }).to_string()
}

/// One request of the set-up; the body of its answer.
fn request(server: SocketAddr, method: &str, path: &str, body: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(server)?;
    let length = match method {
        "GET" => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {server}\r\n{length}\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 20") {
        bail!("{method} {path}: {answer}");
    }
    let (_, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    Ok(body.to_owned())
}

pub(crate) fn now() -> Time {
    #[expect(
        clippy::disallowed_methods,
        reason = "a program beside the others, with the machine's clock"
    )]
    let now = SystemTime::now();
    Time(
        now.duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}
