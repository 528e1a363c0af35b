//! Sealing: a report and its attachments become the bytes of a drop. docs/protocol.md, "Drop".

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::payload::{PayloadKey, SEALED_CHUNK};
use super::size::{self, CHUNK, TAG};
use super::{FileKey, archive, header};
use crate::key::{SecretKey, VoiceRole};
use crate::report::{Report, ReportError};
use crate::roster::Roster;

/// Chunks sealed together: 1 MiB, twice (one being sealed, one being read).
const BATCH: usize = 16;

/// A report about to be sealed. [`Sealer::seal`] may be called again: the same inputs give the same bytes, so that a broken upload
/// goes on without a copy on disk.
pub struct Sealer<'a> {
    header: Vec<u8>,
    payload_key: PayloadKey,
    nonce: [u8; 16],
    report: Zeroizing<Vec<u8>>,
    attachments: Vec<(String, u64)>,
    voice: &'a SecretKey<VoiceRole>,
    padded: u64,
    len: u64,
}

/// Why a report cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The report breaks a rule of docs/protocol.md, "report.json".
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The report was made for another box, roster or policy, or for another voice key.
    #[error("the report was made for another roster or conversation")]
    Mismatch,
    /// Larger than the roster allows.
    #[error("the report and its attachments are larger than this box takes")]
    TooLarge,
}

impl<'a> Sealer<'a> {
    /// Prepares to seal `report` to every member of `roster`.
    ///
    /// `file_key` and `nonce` must be fresh from a CSPRNG for each drop: two drops under one file key have the same stanzas, and two under one nonce too would
    /// be broken.
    ///
    /// # Errors
    /// As [`SealError`] says; nothing has been read from the attachments yet.
    pub fn new(
        roster: &Roster,
        report: &Report,
        voice: &'a SecretKey<VoiceRole>,
        file_key: &FileKey,
        nonce: [u8; 16],
    ) -> Result<Self, SealError> {
        let fits = report.box_key == *roster.box_key()
            && report.epoch == roster.epoch()
            && report.policy == *roster.policy_hash()
            && report.reporter.voice == voice.to_public();
        if !fits {
            return Err(SealError::Mismatch);
        }
        let json = Zeroizing::new(report.to_json()?);
        let attachments: Vec<_> = report
            .attachments
            .iter()
            .enumerate()
            .map(|(index, a)| (archive::attachment_member(index, &a.name), a.size))
            .collect();
        let archive_len =
            archive::archive_len(json.len() as u64, attachments.iter().map(|(_, len)| *len));
        let recipients: Vec<_> = roster
            .members()
            .iter()
            .map(|member| member.recipient.clone())
            .collect();
        let padded = size::padded(archive_len.ok_or(SealError::TooLarge)?);
        let len = size::file(recipients.len(), padded);
        if len > roster.max_drop() {
            return Err(SealError::TooLarge);
        }
        Ok(Self {
            header: header::seal(file_key, &recipients),
            payload_key: PayloadKey::new(file_key, &nonce),
            nonce,
            report: json,
            attachments,
            voice,
            padded,
            len,
        })
    }

    /// The length of the drop in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: a drop has a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The bytes of the drop, as a reader. `open` gives the content of attachment `index` (from 0), in order, when it is its turn.
    ///
    /// An attachment that is shorter or longer than the report says ends the reader with an error of kind
    /// [`io::ErrorKind::InvalidData`], before the drop is complete.
    pub fn seal<F>(&self, open: F) -> Sealed<'_, F>
    where
        F: FnMut(usize) -> io::Result<Box<dyn Read + Send>> + Send,
    {
        let mut ready = self.header.clone();
        ready.extend_from_slice(&self.nonce);
        Sealed {
            sealer: self,
            plain: Plaintext::new(self, open),
            next_chunk: 0,
            left: self.padded,
            ahead: Batch::default(),
            ready,
            taken: 0,
            failed: false,
        }
    }
}

/// A drop being sealed; reading it gives its bytes.
pub struct Sealed<'a, F> {
    sealer: &'a Sealer<'a>,
    plain: Plaintext<'a, F>,
    next_chunk: u64,
    /// Plaintext not yet read into `ahead`.
    left: u64,
    /// Plaintext read and not yet sealed.
    ahead: Batch,
    /// Bytes of the drop not yet taken: `ready[taken..]`.
    ready: Vec<u8>,
    taken: usize,
    /// An error came; whoever reads on must not take what follows for the end.
    failed: bool,
}

/// Chunks in slots of [`SEALED_CHUNK`] bytes, with room for the tags.
#[derive(Default)]
struct Batch {
    slots: Vec<u8>,
}

impl<F> Sealed<'_, F>
where
    F: FnMut(usize) -> io::Result<Box<dyn Read + Send>> + Send,
{
    fn is_done(&self) -> bool {
        self.left == 0 && self.ahead.slots.is_empty() && self.taken == self.ready.len()
    }

    /// Seals the batch that was read ahead while the next is being read.
    fn refill(&mut self) -> io::Result<()> {
        if self.next_chunk == 0 && self.ahead.slots.is_empty() {
            self.ahead.read(&mut self.plain, &mut self.left)?;
        }
        let mut batch = std::mem::take(&mut self.ahead);
        let mut next = Batch {
            slots: std::mem::take(&mut self.ready),
        };
        let (first, last) = (self.next_chunk, self.left == 0);
        let ((), read) = rayon::join(
            || self.sealer.payload_key.seal(&mut batch.slots, first, last),
            || next.read(&mut self.plain, &mut self.left),
        );
        read?;
        self.next_chunk += batch.slots.len().div_ceil(SEALED_CHUNK) as u64;
        self.ahead = next;
        self.ready = batch.slots;
        self.taken = 0;
        Ok(())
    }
}

impl Batch {
    /// Takes up to [`BATCH`] chunks of the `left` bytes of plaintext.
    fn read(&mut self, plain: &mut impl Read, left: &mut u64) -> io::Result<()> {
        let len = (*left).min(BATCH as u64 * CHUNK);
        let slots = len + len.div_ceil(CHUNK) * TAG;
        self.slots.resize(slots as usize, 0);
        for slot in self.slots.chunks_mut(SEALED_CHUNK) {
            let room = slot.len() - TAG as usize;
            plain.read_exact(&mut slot[..room])?;
        }
        *left -= len;
        Ok(())
    }
}

impl<F> Read for Sealed<'_, F>
where
    F: FnMut(usize) -> io::Result<Box<dyn Read + Send>> + Send,
{
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.ready.len() {
            if self.is_done() {
                return Ok(0);
            }
            if std::mem::replace(&mut self.failed, true) {
                return Err(io::Error::other("sealing failed before"));
            }
            self.refill()?;
            self.failed = false;
        }
        let ready = &self.ready[self.taken..];
        let n = ready.len().min(out.len());
        out[..n].copy_from_slice(&ready[..n]);
        self.taken += n;
        Ok(n)
    }
}

/// The padded archive as a reader: members, signature, end marker and zeros without end.
struct Plaintext<'a, F> {
    sealer: &'a Sealer<'a>,
    open: F,
    next: usize,
    /// What comes before the content: a header, or a small member whole.
    block: Vec<u8>,
    at: usize,
    content: Option<Content>,
    /// SHA-256 of each member so far: what report.sig signs.
    signed: Vec<u8>,
}

/// The attachment being read.
struct Content {
    reader: Box<dyn Read + Send>,
    left: u64,
    len: u64,
    hash: Sha256,
}

impl<'a, F> Plaintext<'a, F>
where
    F: FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
{
    fn new(sealer: &'a Sealer<'a>, open: F) -> Self {
        let mut signed = archive::SIGNED_PREFIX.to_vec();
        signed.extend_from_slice(&Sha256::digest(&*sealer.report));
        let block = whole_member(archive::REPORT, &sealer.report);
        Self {
            sealer,
            open,
            next: 0,
            block,
            at: 0,
            content: None,
            signed,
        }
    }

    /// Moves on when the block is used up: to the next attachment, or to the signature and the end.
    fn advance(&mut self) -> io::Result<()> {
        let index = self.next;
        self.next += 1;
        self.at = 0;
        match self.sealer.attachments.get(index) {
            Some((name, len)) => {
                let header = archive::member_header(name, *len)
                    .expect("the sizes were checked against 8 GiB");
                self.block = header.to_vec();
                let reader = (self.open)(index)?;
                self.content = Some(Content {
                    reader,
                    left: *len,
                    len: *len,
                    hash: Sha256::new(),
                });
            }
            None if index == self.sealer.attachments.len() => {
                self.block =
                    whole_member(archive::SIGNATURE, &self.sealer.voice.sign(&self.signed));
            }
            None => self.block.clear(),
        }
        Ok(())
    }
}

impl<F> Read for Plaintext<'_, F>
where
    F: FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
{
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.at < self.block.len() {
                let n = (self.block.len() - self.at).min(out.len());
                out[..n].copy_from_slice(&self.block[self.at..self.at + n]);
                self.at += n;
                return Ok(n);
            }
            if let Some(content) = &mut self.content {
                if content.left > 0 {
                    return content.read(out);
                }
                content.expect_end()?;
                self.signed
                    .extend_from_slice(&std::mem::take(&mut content.hash).finalize());
                let padding = content.len.next_multiple_of(archive::BLOCK as u64) - content.len;
                self.block = vec![0; padding as usize];
                self.at = 0;
                self.content = None;
            } else if self.next <= self.sealer.attachments.len() {
                self.advance()?;
            } else {
                // The end marker and the padding are zeros alike; the caller knows how many it wants.
                out.fill(0);
                return Ok(out.len());
            }
        }
    }
}

impl Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let want = out
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.reader.read(&mut out[..want])?;
        if n == 0 {
            return Err(changed(
                "an attachment became shorter while it was being sealed",
            ));
        }
        self.hash.update(&out[..n]);
        self.left -= n as u64;
        Ok(n)
    }

    fn expect_end(&mut self) -> io::Result<()> {
        match self.reader.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(changed(
                "an attachment became longer while it was being sealed",
            )),
        }
    }
}

fn changed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A small member with its header and padding.
fn whole_member(name: &str, content: &[u8]) -> Vec<u8> {
    let header = archive::member_header(name, content.len() as u64)
        .expect("our own names and sizes are small");
    let mut member = header.to_vec();
    member.extend_from_slice(content);
    member.resize(member.len().next_multiple_of(archive::BLOCK), 0);
    member
}
