//! Strict unpacking: the archive is exactly the one that a sealer writes, or it is not a drop. docs/protocol.md, "Plaintext".

use std::io::{self, Read, Write};

use sealdrop_core::drop::{archive, size};
use sealdrop_core::report::{Attachment, MAX_REPORT, Report, ReportError};
use sha2::{Digest as _, Sha256};

use crate::open::{OpenError, Quarantine};

/// Where attachments go while a drop is being opened.
pub trait Attachments {
    /// A writer for attachment `index` (from 0), or `None` to skip it.
    ///
    /// The signature stands at the end of the archive: what is written here must stay out of sight until [`open`](crate::open) has returned `Ok`.
    /// `member` is the safe name; `attachment.name` is not to be trusted and never a path.
    ///
    /// # Errors
    /// An error ends the opening, with this error.
    fn writer(
        &mut self,
        index: usize,
        member: &str,
        attachment: &Attachment,
    ) -> io::Result<Option<Box<dyn Write + '_>>>;
}

/// Skips every attachment: a drop is only being checked.
pub struct NoAttachments;

impl Attachments for NoAttachments {
    fn writer(
        &mut self,
        _: usize,
        _: &str,
        _: &Attachment,
    ) -> io::Result<Option<Box<dyn Write + '_>>> {
        Ok(None)
    }
}

/// The plaintext of a drop, taken member by member.
pub(crate) struct Unpack<R> {
    plain: R,
    taken: u64,
    signed: Vec<u8>,
}

impl<R: Read> Unpack<R> {
    pub(crate) fn new(plain: R) -> Self {
        Self {
            plain,
            taken: 0,
            signed: archive::SIGNED_PREFIX.to_vec(),
        }
    }

    /// The first member, and its length.
    pub(crate) fn report(&mut self) -> Result<(Report, u64), OpenError> {
        let (name, len) = self.header()?;
        if name != archive::REPORT || len > MAX_REPORT as u64 {
            return Err(Quarantine::NotADrop.into());
        }
        let mut json = Vec::new();
        self.content(len, &mut json)?;
        let report = Report::parse(&json).map_err(|error| match error {
            ReportError::Conversation => Quarantine::BadSignature,
            _ => Quarantine::BadReport,
        })?;
        Ok((report, len))
    }

    /// The attachments, as the report announces them.
    pub(crate) fn attachments(
        &mut self,
        report: &Report,
        sink: &mut dyn Attachments,
    ) -> Result<(), OpenError> {
        for (index, attachment) in report.attachments.iter().enumerate() {
            let member = archive::attachment_member(index, &attachment.name);
            let (name, len) = self.header()?;
            if name != member || len != attachment.size {
                return Err(Quarantine::BadReport.into());
            }
            match sink.writer(index, &member, attachment)? {
                Some(mut writer) => {
                    self.content(len, &mut writer)?;
                    writer.flush()?;
                }
                None => self.content(len, &mut io::sink())?,
            }
        }
        Ok(())
    }

    /// The signature, and then nothing but zero bytes up to `padded`.
    pub(crate) fn signature_and_end(
        mut self,
        report: &Report,
        padded: u64,
    ) -> Result<(), OpenError> {
        if self.header()? != (archive::SIGNATURE.to_owned(), archive::SIGNATURE_LEN) {
            return Err(Quarantine::NotADrop.into());
        }
        let signed = self.signed.clone();
        let mut signature = Vec::new();
        self.content(archive::SIGNATURE_LEN, &mut signature)?;
        let signature = signature.as_slice().try_into().expect("64 bytes were read");
        self.zeros(padded.saturating_sub(self.taken))?;
        if self.plain.read(&mut [0]).map_err(damaged)? != 0 {
            return Err(Quarantine::NotADrop.into());
        }
        if !report.reporter.voice.verify(&signed, signature) {
            return Err(Quarantine::BadSignature.into());
        }
        Ok(())
    }

    fn header(&mut self) -> Result<(String, u64), OpenError> {
        let mut block = [0; archive::BLOCK];
        self.plain.read_exact(&mut block).map_err(damaged)?;
        self.taken += archive::BLOCK as u64;
        let (name, len) = archive::parse_member_header(&block).ok_or(Quarantine::NotADrop)?;
        if len > size::MAX_DROP {
            return Err(Quarantine::NotADrop.into());
        }
        Ok((name.to_owned(), len))
    }

    /// Copies a member's content and checks that its padding is zero.
    fn content(&mut self, len: u64, out: &mut dyn Write) -> Result<(), OpenError> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; size::CHUNK as usize];
        let mut left = len;
        while left > 0 {
            let want = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = self.plain.read(&mut buffer[..want]).map_err(damaged)?;
            if n == 0 {
                return Err(Quarantine::Damaged.into());
            }
            hash.update(&buffer[..n]);
            out.write_all(&buffer[..n])?;
            left -= n as u64;
        }
        self.taken += len;
        self.signed.extend_from_slice(&hash.finalize());
        self.zeros(len.next_multiple_of(archive::BLOCK as u64) - len)
    }

    fn zeros(&mut self, mut left: u64) -> Result<(), OpenError> {
        let mut buffer = [0; 4096];
        self.taken += left;
        while left > 0 {
            let want = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            self.plain
                .read_exact(&mut buffer[..want])
                .map_err(damaged)?;
            if buffer[..want].iter().any(|&b| b != 0) {
                return Err(Quarantine::NotADrop.into());
            }
            left -= want as u64;
        }
        Ok(())
    }
}

/// The `age` crate reports a chunk that does not verify, or a file cut short, as one of these; anything else is the disk's own.
pub(crate) fn damaged(error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Quarantine::Damaged.into(),
        _ => OpenError::Io(error),
    }
}
