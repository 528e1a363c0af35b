//! The tar archive inside a drop. docs/protocol.md, "Plaintext" and "Attachment names".

use super::size;

/// Bytes of a tar block.
pub const BLOCK: usize = 512;
/// Bytes of the end marker.
pub const END: u64 = 1024;
/// The name of the first member.
pub const REPORT: &str = "report.json";
/// The name of the last member.
pub const SIGNATURE: &str = "report.sig";
/// Bytes of the last member.
pub const SIGNATURE_LEN: u64 = 64;
/// The most attachments.
pub const MAX_ATTACHMENTS: usize = 999;
/// The first line of what `report.sig` signs.
pub const SIGNED_PREFIX: &[u8] = b"sealdrop/drop/v1\n";

/// The 512-byte ustar header of a member. There is only one for each name and size: a reader rebuilds it and compares.
/// `None` if the name is longer than 100 bytes or the size is 8 GiB or more, which ustar cannot hold.
#[must_use]
pub fn member_header(name: &str, len: u64) -> Option<[u8; BLOCK]> {
    if name.len() > 100 || len >= 1 << 33 {
        return None;
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{len:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}

/// Name and size of a member, from its header; `None` unless the header is the one that [`member_header`] makes of them.
#[must_use]
pub fn parse_member_header(header: &[u8; BLOCK]) -> Option<(&str, u64)> {
    let name = &header[..header[..100].iter().position(|&b| b == 0).unwrap_or(100)];
    let name = std::str::from_utf8(name).ok()?;
    let digits = std::str::from_utf8(&header[124..135]).ok()?;
    let len = u64::from_str_radix(digits, 8).ok()?;
    (member_header(name, len)? == *header).then_some((name, len))
}

/// Bytes that a member of `len` bytes takes, header and padding to the next block included.
#[must_use]
pub fn member_len(len: u64) -> u64 {
    BLOCK as u64 + len.next_multiple_of(BLOCK as u64)
}

/// The length T of the archive with its end marker; `None` on overflow.
#[must_use]
pub fn archive_len(report_len: u64, attachments: impl IntoIterator<Item = u64>) -> Option<u64> {
    let mut len = member_len(report_len) + member_len(SIGNATURE_LEN) + END;
    for attachment in attachments {
        if attachment > size::MAX_DROP {
            return None;
        }
        len = len.checked_add(member_len(attachment))?;
    }
    (len <= size::MAX_DROP).then_some(len)
}

/// The member's name of attachment `index` (from 0) whose file was called `name`. docs/protocol.md, "Attachment names".
#[must_use]
pub fn attachment_member(index: usize, name: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let mut safe: String = name.chars().map(safe).collect();
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    let tail = &safe[safe.len().saturating_sub(64)..];
    format!("attachments/{:03}-{tail}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_no_other_does() {
        let header = member_header("attachments/001-poc.bin", 12_345).unwrap();
        assert_eq!(
            parse_member_header(&header),
            Some(("attachments/001-poc.bin", 12_345))
        );
        for at in 0..BLOCK {
            let mut bad = header;
            bad[at] ^= 1;
            assert_eq!(parse_member_header(&bad), None, "byte {at}");
        }
    }

    #[test]
    fn attachment_names_are_never_paths() {
        assert_eq!(attachment_member(0, "poc.bin"), "attachments/001-poc.bin");
        assert_eq!(
            attachment_member(1, "../../etc/passwd"),
            "attachments/002-_._.._etc_passwd"
        );
        assert_eq!(
            attachment_member(2, "/abs\0\x1b[31m"),
            "attachments/003-_abs__31m".replace("abs__31m", "abs___31m")
        );
        assert_eq!(
            attachment_member(998, &"ä".repeat(255)).len(),
            "attachments/999-".len() + 64
        );
        assert!(attachment_member(3, &format!("{}.tar.gz", "x".repeat(200))).ends_with("x.tar.gz"));
    }
}
