//! PNG: chunks, each with a type of four letters.

use super::{Finding, exif_findings, tiff, xmp_findings};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Ancillary chunks that say how the picture looks, and nothing about who made it.
const KEPT: [&[u8; 4]; 13] = [
    b"tRNS", b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP", b"bKGD", b"hIST", b"sPLT", b"pHYs",
    b"acTL", b"fcTL", b"fdAT",
];

pub(super) fn inspect(bytes: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rest = read(bytes, |kind, content, _| match kind {
        b"eXIf" => exif_findings(content, &mut findings),
        b"tEXt" | b"zTXt" | b"iTXt" => {
            let keyword = content.split(|&b| b == 0).next().unwrap_or_default();
            match keyword {
                b"XML:com.adobe.xmp" => xmp_findings(content, &mut findings),
                b"Author" | b"Copyright" => findings.push("an author".into()),
                b"Software" | b"Source" => {
                    findings.push("the software or device that wrote it".into())
                }
                b"Creation Time" => findings.push("when it was made".into()),
                _ => findings.push("text inside the image".into()),
            }
        }
        b"tIME" => findings.push("when it was last changed".into()),
        _ => {}
    });
    if rest.is_some_and(|rest| !rest.is_empty()) {
        findings.push("data behind the picture".into());
    }
    findings
}

/// Without text, EXIF, times and what follows the end; with the colours, the animation, and the orientation if there was one.
pub(super) fn strip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = SIGNATURE.to_vec();
    let mut orientation = None;
    read(bytes, |kind, content, raw| {
        let is_critical = kind[0].is_ascii_uppercase();
        if is_critical || KEPT.contains(&kind) || kind == b"iCCP" {
            out.extend_from_slice(raw);
        }
        if kind == b"eXIf" {
            orientation = tiff::orientation(content);
        }
    })?;
    if let Some(orientation) = orientation.filter(|&orientation| orientation != 1) {
        // Right behind the header, which is 13 bytes in a chunk of 25.
        let chunk = chunk(b"eXIf", &tiff::only_orientation(orientation));
        out.splice(SIGNATURE.len() + 25..SIGNATURE.len() + 25, chunk);
    }
    Some(out)
}

/// Calls `tell` with the type, content and whole bytes of each chunk; gives what follows the last, if the image is whole.
fn read<'a>(
    bytes: &'a [u8],
    mut tell: impl FnMut(&'a [u8; 4], &'a [u8], &'a [u8]),
) -> Option<&'a [u8]> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    let mut is_first = true;
    loop {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let kind = rest.get(4..)?.first_chunk::<4>()?;
        let raw = rest.get(..length.checked_add(12)?)?;
        if is_first != (kind == b"IHDR") || (is_first && length != 13) {
            return None;
        }
        is_first = false;
        tell(kind, &raw[8..8 + length], raw);
        rest = &rest[raw.len()..];
        if kind == b"IEND" {
            return Some(rest);
        }
    }
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("only small chunks are made here");
    let typed = [&kind[..], content].concat();
    [
        &length.to_be_bytes()[..],
        &typed,
        &crc32(&typed).to_be_bytes(),
    ]
    .concat()
}

/// CRC-32 as PNG has it, bit by bit: it is only taken over a few dozen bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<u8>, Vec<u8>) {
        let [header, data, end] = [
            chunk(b"IHDR", &[0; 13]),
            chunk(b"IDAT", b"pixels"),
            chunk(b"IEND", b""),
        ];
        let exif = chunk(b"eXIf", &tiff::only_orientation(3));
        let gamma = chunk(b"gAMA", &[0, 0, 0xb1, 0x8f]);
        let with = [
            SIGNATURE,
            &header,
            &gamma,
            &chunk(b"tEXt", b"Author\0Ada"),
            &chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"),
            &chunk(b"tIME", &[7; 7]),
            &chunk(b"eXIf", &[&tiff::only_orientation(3)[..], b"more"].concat()),
            &chunk(b"prVt", b"private"),
            &data,
            &end,
            b"trailer",
        ]
        .concat();
        (
            with,
            [SIGNATURE, &header, &exif, &gamma, &data, &end].concat(),
        )
    }

    #[test]
    fn everything_that_unmasks_goes_and_the_picture_stays() {
        let (with, without) = sample();
        assert_eq!(strip(&with).unwrap(), without);
        assert_eq!(strip(&without).unwrap(), without);
        assert!(
            inspect(&without).is_empty(),
            "the orientation tells nothing"
        );
        let findings = inspect(&with).join("; ");
        for part in [
            "author",
            "XMP",
            "last changed",
            "EXIF",
            "behind the picture",
        ] {
            assert!(findings.contains(part), "{part} in {findings}");
        }
    }

    #[test]
    fn the_crc_is_that_of_png() {
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
    }

    #[test]
    fn a_cut_image_is_not_stripped() {
        let (with, _) = sample();
        for cut in 0..with.len() - b"trailer".len() {
            inspect(&with[..cut]);
            assert_eq!(strip(&with[..cut]), None, "cut at {cut}");
        }
    }
}
