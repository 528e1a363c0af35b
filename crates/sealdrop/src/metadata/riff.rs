//! WebP: chunks of RIFF.

use super::{Finding, exif_findings, xmp_findings};

pub(super) fn inspect(bytes: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let (kind, length) = head.split_at(4);
        let length =
            u32::from_le_bytes(length.try_into().expect("the other half of eight")) as usize;
        let content = after.get(..length).unwrap_or(after);
        match kind {
            b"EXIF" => exif_findings(
                content.strip_prefix(b"Exif\0\0").unwrap_or(content),
                &mut findings,
            ),
            b"XMP " => xmp_findings(content, &mut findings),
            _ => {}
        }
        rest = after
            .get(length.saturating_add(length % 2)..)
            .unwrap_or_default();
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_told() {
        let webp = b"RIFF\0\0\0\0WEBPVP8 \x03\0\0\0abc\0EXIF\x02\0\0\0MMXMP \x04\0\0\0<x/>";
        assert_eq!(inspect(webp), ["EXIF", "XMP metadata"]);
        for cut in 0..webp.len() {
            inspect(&webp[..cut]);
        }
        assert!(inspect(b"RIFF\0\0\0\0WEBPVP8 \xff\xff\xff\xffabc").is_empty());
    }
}
