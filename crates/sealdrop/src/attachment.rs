//! Attachments: looked at before anything is sealed, read while it is.

use std::fs::{self, File, Metadata};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealdrop_core::drop::archive::MAX_ATTACHMENTS;
use sealdrop_core::report;

use crate::failure::Failure;
use crate::files::{self, reason};
use crate::metadata::{self, Finding};

/// The largest image that is stripped: it is done in memory.
const MAX_STRIP: u64 = 256 << 20;

/// A file to send along.
pub(crate) struct Attachment {
    path: PathBuf,
    /// What it is called in the report: never more than the file's own name.
    pub(crate) name: String,
    pub(crate) size: u64,
    content: Content,
    /// What in it may unmask.
    pub(crate) findings: Vec<Finding>,
    /// What was taken out of it.
    pub(crate) stripped: bool,
}

enum Content {
    /// Read when it is its turn, and held against what it was when it was looked at.
    File(Metadata),
    /// An image without its metadata.
    Memory(Arc<[u8]>),
}

impl Attachment {
    /// Looks at a file; with `strip` an image gives up its metadata.
    pub(crate) fn look_at(path: &Path, strip: bool) -> Result<Self, Failure> {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if metadata.is_dir() {
            return Err(unreadable(path, &io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            return Err(Failure::usage(format!("{} is not a file", path.display()))
                .hint("attach a file; nothing was sealed or sent"));
        }
        let Some(name) = path.file_name().unwrap_or_default().to_str() else {
            return Err(Failure::usage(format!(
                "the attachment {} has a name that is not UTF-8, and a report can hold no other",
                path.display()
            ))
            .hint("nothing was sealed or sent: attach a link or a copy with another name, for instance: ln -s FILE attachment.bin"));
        };
        let name = name.to_owned();
        if !(1..=255).contains(&name.len()) {
            return Err(Failure::usage(format!(
                "{} has no name, or one of more than 255 bytes",
                path.display()
            ))
            .hint("rename a copy and attach that"));
        }
        let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let inspected = metadata::inspect(&mut file, metadata.len())
            .map_err(|error| unreadable(path, &error))?;
        let mut attachment = Self {
            path: path.into(),
            size: metadata.len(),
            content: Content::File(metadata),
            findings: inspected.findings,
            stripped: false,
            name,
        };
        if strip && inspected.kind.is_strippable() && attachment.size <= MAX_STRIP {
            attachment.strip(inspected.kind)?;
        }
        if let Some(finding) = metadata::name_finding(&attachment.name) {
            attachment.findings.push(finding);
        }
        Ok(attachment)
    }

    /// All of a command line's.
    pub(crate) fn look_at_all(paths: &[PathBuf], strip: bool) -> Result<Vec<Self>, Failure> {
        if paths.len() > MAX_ATTACHMENTS {
            return Err(Failure::usage(format!(
                "{} attachments are too many: {MAX_ATTACHMENTS} is the most",
                paths.len()
            ))
            .hint("pack them into one file first, for instance with tar"));
        }
        paths
            .iter()
            .map(|path| Self::look_at(path, strip))
            .collect()
    }

    /// As the report lists it.
    pub(crate) fn listed(&self) -> report::Attachment {
        report::Attachment {
            name: self.name.clone(),
            size: self.size,
        }
    }

    /// The content, whole and as it was; otherwise an error that names the file.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let seen = match &self.content {
            Content::Memory(bytes) => return Ok(Box::new(Cursor::new(bytes.clone()))),
            Content::File(seen) => seen,
        };
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("{} cannot be read: {}", self.path.display(), reason(&error)),
            )
        };
        let file = File::open(&self.path).map_err(named)?;
        let now = file.metadata().map_err(named)?;
        if now.len() != seen.len() || now.modified().ok() != seen.modified().ok() {
            return Err(changed(&self.path));
        }
        Ok(Box::new(Whole {
            file,
            left: self.size,
            path: self.path.clone(),
        }))
    }

    fn strip(&mut self, kind: metadata::Kind) -> Result<(), Failure> {
        let bytes = fs::read(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        let Some(stripped) = metadata::strip(kind, &bytes) else {
            return Err(Failure::usage(format!(
                "{} is not a whole image, so nothing can be removed from it",
                self.path.display()
            ))
            .hint("attach it without --strip, or save it again with an image program"));
        };
        self.stripped = stripped.len() != bytes.len();
        self.findings = metadata::inspect(&mut Cursor::new(&stripped), stripped.len() as u64)
            .map(|i| i.findings)
            .unwrap_or_default();
        self.size = stripped.len() as u64;
        self.content = Content::Memory(stripped.into());
        Ok(())
    }
}

/// Exactly as many bytes as the file had when it was looked at.
struct Whole {
    file: File,
    left: u64,
    path: PathBuf,
}

impl Read for Whole {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(out).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{} cannot be read: {}", self.path.display(), reason(&error)),
            )
        })?;
        let ended_early = n == 0 && !out.is_empty() && self.left > 0;
        match self.left.checked_sub(n as u64) {
            Some(left) if !ended_early => self.left = left,
            _ => return Err(changed(&self.path)),
        }
        Ok(n)
    }
}

fn changed(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} changed while it was being sealed", path.display()),
    )
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let mut failure = files::cannot_read(path, error);
    if error.kind() == io::ErrorKind::IsADirectory {
        failure = failure.hint("pack it into one file first, for instance with tar");
    }
    failure.message = format!("the attachment {}", failure.message);
    failure
}
