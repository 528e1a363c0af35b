//! What files carry besides their content, and what of it may unmask the person who sends them.
//!
//! Found, not judged: a finding says what is there. What is not known to this module may hold more, which the review says too.

use std::io::{self, Read, Seek, SeekFrom};

mod jpeg;
mod office;
mod pdf;
mod png;
mod riff;
mod tiff;

/// Something in a file, or in its name, that may unmask: one phrase.
pub(crate) type Finding = String;

/// The most of a file that is read to look for metadata in it.
const MAX_LOOK: u64 = 64 << 20;

/// What a file is, as far as this module can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Jpeg,
    Png,
    WebP,
    Tiff,
    Pdf,
    Zip,
    Other,
}

impl Kind {
    fn of(head: &[u8]) -> Self {
        match head {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Self::WebP,
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Self::Tiff,
            [b'%', b'P', b'D', b'F', b'-', ..] => Self::Pdf,
            [b'P', b'K', 3, 4, ..] => Self::Zip,
            _ => Self::Other,
        }
    }

    /// Whether [`strip`] knows how.
    pub(crate) fn is_strippable(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png)
    }
}

pub(crate) struct Inspected {
    pub(crate) kind: Kind,
    pub(crate) findings: Vec<Finding>,
}

/// Looks for metadata in a file of `len` bytes.
pub(crate) fn inspect(file: &mut (impl Read + Seek), len: u64) -> io::Result<Inspected> {
    let mut head = Vec::new();
    file.by_ref().take(16).read_to_end(&mut head)?;
    let kind = Kind::of(&head);
    if kind == Kind::Other {
        return Ok(Inspected {
            kind,
            findings: Vec::new(),
        });
    }
    file.seek(SeekFrom::Start(0))?;
    if kind == Kind::Zip {
        return Ok(Inspected {
            kind,
            findings: office::inspect(file, len)?,
        });
    }
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_LOOK).read_to_end(&mut bytes)?;
    let mut findings = match kind {
        Kind::Jpeg => jpeg::inspect(&bytes),
        Kind::Png => png::inspect(&bytes),
        Kind::WebP => riff::inspect(&bytes),
        Kind::Tiff => tiff::inspect(&bytes),
        Kind::Pdf => pdf::inspect(&bytes),
        Kind::Zip | Kind::Other => Vec::new(),
    };
    if len > MAX_LOOK {
        findings.push("too large to look through to the end".into());
    }
    findings.dedup();
    Ok(Inspected { kind, findings })
}

/// An image without its metadata, its picture untouched: no pixel is encoded again. `None` if it is not a whole image.
pub(crate) fn strip(kind: Kind, bytes: &[u8]) -> Option<Vec<u8>> {
    match kind {
        Kind::Jpeg => jpeg::strip(bytes),
        Kind::Png => png::strip(bytes),
        _ => None,
    }
}

/// Whether a file's name holds the name of the person's account.
pub(crate) fn name_finding(file_name: &str) -> Option<Finding> {
    let user = ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())?;
    holds_name(file_name, &user).then(|| "your user name is in the file's name".into())
}

fn holds_name(file_name: &str, user: &str) -> bool {
    // Short names and those of system accounts stand in too many words.
    user.len() >= 3
        && !matches!(user, "root" | "user" | "admin")
        && file_name.to_lowercase().contains(&user.to_lowercase())
}

/// What a block of EXIF (a TIFF) tells, as findings. One that holds the orientation and not a byte more, as [`strip`] leaves it, tells nothing.
fn exif_findings(exif: &[u8], findings: &mut Vec<Finding>) {
    if tiff::orientation(exif).is_some_and(|way| tiff::only_orientation(way) == exif) {
        return;
    }
    let found = tiff::inspect(exif);
    if found.is_empty() {
        findings.push("EXIF".into());
    }
    findings.extend(found);
}

/// What a packet of XMP tells.
fn xmp_findings(xmp: &[u8], findings: &mut Vec<Finding>) {
    let has = |needle: &[u8]| xmp.windows(needle.len()).any(|window| window == needle);
    findings.push("XMP metadata".into());
    if has(b"GPSLatitude") {
        findings.push("the place where it was taken (XMP)".into());
    }
    if has(b"creator") || has(b"Artist") {
        findings.push("an author (XMP)".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_in_a_file_name_is_found() {
        assert!(holds_name("report-ada.pdf", "Ada"));
        assert!(!holds_name("report.pdf", "ada"));
        assert!(!holds_name("rootkit.bin", "root"));
        assert!(!holds_name("jo.txt", "jo"));
    }

    #[test]
    fn files_of_no_known_kind_have_no_findings() {
        let inspected = inspect(&mut io::Cursor::new(b"plain text".to_vec()), 10).unwrap();
        assert_eq!(inspected.kind, Kind::Other);
        assert!(inspected.findings.is_empty());
    }
}
