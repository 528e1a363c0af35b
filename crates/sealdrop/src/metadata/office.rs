//! Office documents (OOXML and ODF): zip files with a member that names authors.

use std::io::{self, Read, Seek, SeekFrom};

use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::Finding;

/// The longest end record with its comment.
const MAX_END: u64 = 22 + 65_535;
/// The largest list of members that is read.
const MAX_DIRECTORY: u64 = 16 << 20;
/// The largest member that is looked into.
const MAX_MEMBER: usize = 1 << 20;

/// What the document's properties tell; nothing for any other zip file, or one that is not whole.
pub(super) fn inspect(file: &mut (impl Read + Seek), len: u64) -> io::Result<Vec<Finding>> {
    let mut findings: Vec<Finding> = Vec::new();
    for entry in directory(file, len)? {
        let known = match entry.name.as_slice() {
            b"docProps/core.xml" | b"meta.xml" => true,
            b"docProps/app.xml" => {
                findings.push("the software that wrote it".into());
                false
            }
            b"docProps/thumbnail.jpeg" | b"Thumbnails/thumbnail.png" => {
                findings.push("a picture of its first page".into());
                false
            }
            name if name.starts_with(b"word/comments") || name.ends_with(b"people.xml") => {
                findings.push("comments or the names of people who wrote in it".into());
                false
            }
            _ => false,
        };
        if known && let Some(text) = member(file, &entry)? {
            properties(&text, &mut findings);
        }
    }
    findings.dedup();
    Ok(findings)
}

fn properties(text: &[u8], findings: &mut Vec<Finding>) {
    let filled = |tags: &[&str]| tags.iter().any(|tag| is_filled(text, tag));
    if filled(&[
        "dc:creator",
        "cp:lastModifiedBy",
        "meta:initial-creator",
        "meta:printed-by",
    ]) {
        findings.push("an author, or who changed it last".into());
    }
    if filled(&["meta:generator"]) {
        findings.push("the software that wrote it".into());
    }
    if filled(&[
        "dcterms:created",
        "dcterms:modified",
        "meta:creation-date",
        "dc:date",
    ]) {
        findings.push("when it was made or changed".into());
    }
}

/// Whether `<tag …>` is followed by text.
fn is_filled(text: &[u8], tag: &str) -> bool {
    let open = format!("<{tag}");
    let found = text
        .windows(open.len())
        .position(|window| window == open.as_bytes());
    let after = found.map(|at| &text[at + open.len()..]).unwrap_or_default();
    let content = after
        .iter()
        .position(|&b| b == b'>')
        .map(|at| (&after[..at], &after[at + 1..]));
    content.is_some_and(|(attributes, text)| {
        !attributes.ends_with(b"/") && text.first().is_some_and(|&b| b != b'<')
    })
}

/// A member as the central directory lists it.
struct Entry {
    name: Vec<u8>,
    method: u16,
    compressed: u32,
    offset: u32,
}

fn directory(file: &mut (impl Read + Seek), len: u64) -> io::Result<Vec<Entry>> {
    let start = len.saturating_sub(MAX_END);
    let tail = read_at(file, start, MAX_END)?;
    let Some(end) = tail
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")
        .map(|at| &tail[at..])
    else {
        return Ok(Vec::new());
    };
    let (Some(size), Some(offset)) = (long(end, 12), long(end, 16)) else {
        return Ok(Vec::new());
    };
    let bytes = read_at(file, offset.into(), u64::from(size).min(MAX_DIRECTORY))?;
    let mut entries = Vec::new();
    let mut rest = &bytes[..];
    while rest.starts_with(b"PK\x01\x02") {
        let Some(entry) = parse_entry(rest) else {
            break;
        };
        let extra =
            usize::from(short(rest, 30).unwrap_or(0)) + usize::from(short(rest, 32).unwrap_or(0));
        rest = rest
            .get(46 + entry.name.len() + extra..)
            .unwrap_or_default();
        entries.push(entry);
    }
    Ok(entries)
}

fn parse_entry(record: &[u8]) -> Option<Entry> {
    let name_len = usize::from(short(record, 28)?);
    Some(Entry {
        name: record.get(46..46 + name_len)?.into(),
        method: short(record, 10)?,
        compressed: long(record, 20)?,
        offset: long(record, 42)?,
    })
}

fn member(file: &mut (impl Read + Seek), entry: &Entry) -> io::Result<Option<Vec<u8>>> {
    let head = read_at(file, entry.offset.into(), 30)?;
    let (Some(name), Some(extra)) = (short(&head, 26), short(&head, 28)) else {
        return Ok(None);
    };
    let start = u64::from(entry.offset) + 30 + u64::from(name) + u64::from(extra);
    let bytes = read_at(
        file,
        start,
        u64::from(entry.compressed).min(MAX_MEMBER as u64),
    )?;
    Ok(match entry.method {
        0 => Some(bytes),
        8 => decompress_to_vec_with_limit(&bytes, MAX_MEMBER).ok(),
        _ => None,
    })
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, limit: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.by_ref().take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|raw| u16::from_le_bytes(*raw))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|raw| u32::from_le_bytes(*raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;

    /// A zip file of one member.
    fn zip(name: &str, content: &[u8], deflated: bool) -> Vec<u8> {
        let stored = if deflated {
            compress_to_vec(content, 6)
        } else {
            content.to_vec()
        };
        let method = if deflated { 8_u16 } else { 0 };
        let mut bytes = b"PK\x03\x04\x14\0\0\0".to_vec();
        bytes.extend_from_slice(&method.to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&stored);
        let offset = bytes.len() as u32;
        let mut record = b"PK\x01\x02\x14\0\x14\0\0\0".to_vec();
        record.extend_from_slice(&method.to_le_bytes());
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        record.extend_from_slice(&(content.len() as u32).to_le_bytes());
        record.extend_from_slice(&(name.len() as u16).to_le_bytes());
        record.extend_from_slice(&[0; 16]);
        record.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&record);
        bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes
    }

    fn findings(bytes: &[u8]) -> Vec<Finding> {
        inspect(&mut io::Cursor::new(bytes), bytes.len() as u64).unwrap()
    }

    #[test]
    fn authors_are_told() {
        let core = b"<cp:coreProperties><dc:creator>Ada</dc:creator><dcterms:created x='y'>2026</dcterms:created></cp:coreProperties>";
        let expected = [
            "an author, or who changed it last",
            "when it was made or changed",
        ];
        assert_eq!(findings(&zip("docProps/core.xml", core, true)), expected);
        assert_eq!(findings(&zip("docProps/core.xml", core, false)), expected);
        let meta =
            b"<office:meta><meta:generator>LibreOffice</meta:generator><dc:creator/></office:meta>";
        assert_eq!(
            findings(&zip("meta.xml", meta, true)),
            ["the software that wrote it"]
        );
        assert!(findings(&zip("poc.bin", b"x", true)).is_empty());
    }

    #[test]
    fn broken_zips_end() {
        let whole = zip("docProps/core.xml", b"<dc:creator>Ada</dc:creator>", true);
        for cut in 0..whole.len() {
            findings(&whole[..cut]);
        }
    }
}
