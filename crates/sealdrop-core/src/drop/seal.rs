//! Sealing: a report and its attachments become the bytes of a drop. docs/protocol.md, "Drop".

use std::io::{self, BufRead, Read};
use std::ops::Range;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::payload::{PayloadKey, SEALED_CHUNK};
use super::size::{self, CHUNK, TAG};
use super::{FileKey, archive, header};
use crate::key::{SecretKey, VoiceRole};
use crate::report::{Report, ReportError};
use crate::roster::Roster;

/// Chunks that go through the stages together: 2 MiB, three times.
const BATCH: usize = 32;

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
            signer: Signer::new(self),
            next_chunk: 0,
            left: self.padded,
            read: Batch::default(),
            hashed: Batch::default(),
            ready,
            taken: 0,
            failed: false,
        }
    }
}

/// A drop being sealed; reading it gives its bytes.
///
/// Three batches are under way side by side: one is read, the one before it hashed, the one before that encrypted.
pub struct Sealed<'a, F> {
    sealer: &'a Sealer<'a>,
    plain: Plaintext<'a, F>,
    signer: Signer<'a>,
    next_chunk: u64,
    /// Plaintext not yet read into a batch.
    left: u64,
    /// Read, and not yet hashed.
    read: Batch,
    /// Hashed, and not yet encrypted.
    hashed: Batch,
    /// Bytes of the drop not yet taken: `ready[taken..]`.
    ready: Vec<u8>,
    taken: usize,
    /// An error came; whoever reads on must not take what follows for the end.
    failed: bool,
}

/// Chunks in slots of [`SEALED_CHUNK`] bytes, with room for the tags, and what the signature needs to know of them.
#[derive(Default)]
struct Batch {
    slots: Vec<u8>,
    pieces: Vec<(Piece, Range<usize>)>,
}

impl<F> Sealed<'_, F>
where
    F: FnMut(usize) -> io::Result<Box<dyn Read + Send>> + Send,
{
    fn is_done(&self) -> bool {
        self.left == 0
            && self.read.slots.is_empty()
            && self.hashed.slots.is_empty()
            && self.taken == self.ready.len()
    }

    /// Moves every batch on by one stage.
    fn refill(&mut self) -> io::Result<()> {
        let mut next = Batch {
            slots: std::mem::take(&mut self.ready),
            pieces: std::mem::take(&mut self.hashed.pieces),
        };
        let (key, first) = (&self.sealer.payload_key, self.next_chunk);
        let last = self.left == 0 && self.read.slots.is_empty();
        let ((), ((), read)) = rayon::join(
            || self.signer.hash(&mut self.read),
            || {
                rayon::join(
                    || key.seal(&mut self.hashed.slots, first, last),
                    || next.read(&mut self.plain, &mut self.left),
                )
            },
        );
        read?;
        self.next_chunk += self.hashed.slots.len().div_ceil(SEALED_CHUNK) as u64;
        let hashed = std::mem::replace(&mut self.read, next);
        self.ready = std::mem::replace(&mut self.hashed, hashed).slots;
        Ok(())
    }
}

impl Batch {
    /// Takes up to [`BATCH`] chunks of the `left` bytes of plaintext.
    fn read<F>(&mut self, plain: &mut Plaintext<'_, F>, left: &mut u64) -> io::Result<()>
    where
        F: FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
    {
        let len = (*left).min(BATCH as u64 * CHUNK);
        let slots = len + len.div_ceil(CHUNK) * TAG;
        self.slots.resize(slots as usize, 0);
        for (index, slot) in self.slots.chunks_mut(SEALED_CHUNK).enumerate() {
            let (mut at, room) = (0, slot.len() - TAG as usize);
            while at < room {
                let (piece, n) = plain.read(&mut slot[at..room])?;
                let begin = index * SEALED_CHUNK + at;
                self.pieces.push((piece, begin..begin + n));
                at += n;
            }
        }
        *left -= len;
        Ok(())
    }
}

impl<F> BufRead for Sealed<'_, F>
where
    F: FnMut(usize) -> io::Result<Box<dyn Read + Send>> + Send,
{
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.taken == self.ready.len() && !self.is_done() {
            if std::mem::replace(&mut self.failed, true) {
                return Err(io::Error::other("sealing failed before"));
            }
            self.taken = 0;
            self.refill()?;
            self.failed = false;
        }
        Ok(&self.ready[self.taken..])
    }

    fn consume(&mut self, n: usize) {
        self.taken = self.ready.len().min(self.taken + n);
    }
}

impl<F> Read for Sealed<'_, F>
where
    F: FnMut(usize) -> io::Result<Box<dyn Read + Send>> + Send,
{
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

/// The padded archive: members, end marker and zeros without end. Where the signature goes it has room for it.
struct Plaintext<'a, F> {
    sealer: &'a Sealer<'a>,
    open: F,
    next: usize,
    /// What comes before the content: a header, or a small member whole.
    block: Vec<u8>,
    at: usize,
    content: Option<Content>,
}

/// What some bytes of the plaintext are to the [`Signer`].
#[derive(Clone, Copy)]
enum Piece {
    /// Nothing to it.
    Frame,
    /// Content of an attachment.
    Content,
    /// The attachment ended; there are no bytes.
    End,
    /// Here the signature goes.
    Signature,
}

/// The attachment being read.
struct Content {
    reader: Box<dyn Read + Send>,
    left: u64,
    len: u64,
}

impl<'a, F> Plaintext<'a, F>
where
    F: FnMut(usize) -> io::Result<Box<dyn Read + Send>>,
{
    fn new(sealer: &'a Sealer<'a>, open: F) -> Self {
        let report = &sealer.report;
        let mut block = member_header(archive::REPORT, report.len() as u64);
        block.extend_from_slice(report);
        block.resize(block.len() + padding(report.len() as u64), 0);
        Self {
            sealer,
            open,
            next: 0,
            block,
            at: 0,
            content: None,
        }
    }

    /// The next bytes, put at the beginning of `out`, and what they are.
    fn read(&mut self, out: &mut [u8]) -> io::Result<(Piece, usize)> {
        loop {
            if self.at < self.block.len() {
                let n = (&self.block[self.at..]).read(out)?;
                self.at += n;
                return Ok((Piece::Frame, n));
            }
            if let Some(content) = &mut self.content {
                if content.left > 0 {
                    return Ok((Piece::Content, content.read(out)?));
                }
                content.expect_end()?;
                let padding = padding(content.len);
                self.content = None;
                self.put(vec![0; padding]);
                return Ok((Piece::End, 0));
            }
            let index = self.next;
            self.next += 1;
            match index.checked_sub(self.sealer.attachments.len()) {
                None => {
                    let (name, len) = &self.sealer.attachments[index];
                    self.put(member_header(name, *len));
                    let reader = (self.open)(index)?;
                    self.content = Some(Content {
                        reader,
                        left: *len,
                        len: *len,
                    });
                }
                Some(0) => self.put(member_header(archive::SIGNATURE, archive::SIGNATURE_LEN)),
                Some(1) => {
                    self.put(vec![0; padding(archive::SIGNATURE_LEN)]);
                    // Chunks and blocks of the archive begin together, so there is room for it in one piece.
                    return Ok((Piece::Signature, archive::SIGNATURE_LEN as usize));
                }
                // The end marker and the padding are zeros alike; the caller knows how many it wants.
                Some(_) => {
                    out.fill(0);
                    return Ok((Piece::Frame, out.len()));
                }
            }
        }
    }

    fn put(&mut self, block: Vec<u8>) {
        self.block = block;
        self.at = 0;
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

/// Hashes each member, and signs when all are hashed. docs/protocol.md, "report.sig".
struct Signer<'a> {
    voice: &'a SecretKey<VoiceRole>,
    /// SHA-256 of the attachment so far.
    hash: Sha256,
    /// What report.sig signs, so far.
    signed: Vec<u8>,
}

impl<'a> Signer<'a> {
    fn new(sealer: &Sealer<'a>) -> Self {
        let mut signed = archive::SIGNED_PREFIX.to_vec();
        signed.extend_from_slice(&Sha256::digest(&*sealer.report));
        Self {
            voice: sealer.voice,
            hash: Sha256::new(),
            signed,
        }
    }

    fn hash(&mut self, batch: &mut Batch) {
        for (piece, range) in batch.pieces.drain(..) {
            let bytes = &mut batch.slots[range];
            match piece {
                Piece::Frame => {}
                Piece::Content => self.hash.update(bytes),
                Piece::End => self.signed.extend(self.hash.finalize_reset()),
                Piece::Signature => bytes.copy_from_slice(&self.voice.sign(&self.signed)),
            }
        }
    }
}

fn changed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn member_header(name: &str, len: u64) -> Vec<u8> {
    archive::member_header(name, len)
        .expect("our own names are short, and the sizes were checked against 8 GiB")
        .to_vec()
}

/// Zeros that follow a member of `len` bytes.
fn padding(len: u64) -> usize {
    (len.next_multiple_of(archive::BLOCK as u64) - len) as usize
}
