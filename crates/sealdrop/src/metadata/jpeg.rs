//! JPEG: segments, each behind a marker, and the picture's data between them.

use super::{Finding, exif_findings, tiff, xmp_findings};

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/x";
const IPTC: &[u8] = b"Photoshop 3.0\0";
const ICC: &[u8] = b"ICC_PROFILE\0";

/// One part of a file.
enum Part<'a> {
    /// A marker with its content, and both as they stand in the file.
    Segment {
        marker: u8,
        content: &'a [u8],
        raw: &'a [u8],
    },
    /// Compressed picture data.
    Data(&'a [u8]),
    /// What follows the end of the picture.
    Trailer,
}

pub(super) fn inspect(bytes: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    read(bytes, |part| match part {
        Part::Segment {
            marker: 0xe1,
            content,
            ..
        } if content.starts_with(EXIF) => exif_findings(&content[EXIF.len()..], &mut findings),
        Part::Segment {
            marker: 0xe1,
            content,
            ..
        } if content.starts_with(XMP) => xmp_findings(content, &mut findings),
        Part::Segment {
            marker: 0xed,
            content,
            ..
        } if content.starts_with(IPTC) => findings.push("IPTC metadata".into()),
        Part::Segment { marker: 0xfe, .. } => findings.push("a comment".into()),
        Part::Trailer => {
            findings.push("data behind the picture, such as a thumbnail or another picture".into())
        }
        _ => {}
    });
    findings
}

/// Without EXIF, XMP, IPTC, comments, makers' segments and trailers; with the colour profile, and with the orientation if there was one.
pub(super) fn strip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0xff, 0xd8];
    let mut orientation = None;
    let mut kept = Vec::new();
    let complete = read(bytes, |part| match part {
        Part::Segment {
            marker,
            content,
            raw,
        } => {
            if marker == 0xe1 && content.starts_with(EXIF) {
                orientation = orientation.or(tiff::orientation(&content[EXIF.len()..]));
            }
            if is_needed(marker, content) {
                kept.extend_from_slice(raw);
            }
        }
        Part::Data(data) => kept.extend_from_slice(data),
        Part::Trailer => {}
    });
    if !complete {
        return None;
    }
    if let Some(orientation) = orientation.filter(|&orientation| orientation != 1) {
        let content = [EXIF, &tiff::only_orientation(orientation)].concat();
        let length = u16::try_from(content.len() + 2).expect("it is a few dozen bytes");
        out.extend_from_slice(&[0xff, 0xe1]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&content);
    }
    out.extend_from_slice(&kept);
    Some(out)
}

/// Whether a decoder needs the segment: all but the application's own and comments; of those JFIF, the colour profile and Adobe's transform.
fn is_needed(marker: u8, content: &[u8]) -> bool {
    match marker {
        0xe0 => content.starts_with(b"JFIF\0"),
        0xe2 => content.starts_with(ICC),
        0xee => content.starts_with(b"Adobe"),
        0xe1..=0xef | 0xfe => false,
        _ => true,
    }
}

/// Calls `tell` for each part behind the start marker; whether the end marker was reached.
fn read<'a>(bytes: &'a [u8], mut tell: impl FnMut(Part<'a>)) -> bool {
    let mut at = 2;
    loop {
        // Any number of fill bytes may precede a marker.
        let Some(start) = (at..bytes.len()).find(|&i| bytes[i] != 0xff) else {
            return false;
        };
        if start == at {
            return false;
        }
        let marker = bytes[start];
        let after = start + 1;
        match marker {
            0xd9 => {
                tell(Part::Segment {
                    marker,
                    content: &[],
                    raw: &bytes[start - 1..after],
                });
                let trailer = &bytes[after..];
                if trailer.iter().any(|&b| b != 0) {
                    tell(Part::Trailer);
                }
                return true;
            }
            0x01 | 0xd0..=0xd8 => {
                tell(Part::Segment {
                    marker,
                    content: &[],
                    raw: &bytes[start - 1..after],
                });
                at = after;
                continue;
            }
            _ => {}
        }
        let Some(length) = bytes
            .get(after..)
            .and_then(|rest| rest.first_chunk())
            .map(|raw| usize::from(u16::from_be_bytes(*raw)))
        else {
            return false;
        };
        let end = after + length;
        let Some(content) = bytes.get(after + 2..end).filter(|_| length >= 2) else {
            return false;
        };
        tell(Part::Segment {
            marker,
            content,
            raw: &bytes[start - 1..end],
        });
        at = end;
        if marker == 0xda {
            // Picture data runs to the next marker that is neither a stuffed byte nor a restart.
            let rest = &bytes[end..];
            let stop = rest
                .windows(2)
                .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff));
            let Some(stop) = stop else { return false };
            tell(Part::Data(&rest[..stop]));
            at = end + stop;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        let mut segment = vec![0xff, marker];
        segment.extend_from_slice(&(content.len() as u16 + 2).to_be_bytes());
        segment.extend_from_slice(content);
        segment
    }

    /// A file with everything in it that may unmask, and what must stay of it.
    fn sample() -> (Vec<u8>, Vec<u8>) {
        let exif = [EXIF, &tiff::only_orientation(6)].concat();
        let jfif = segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let icc = segment(0xe2, b"ICC_PROFILE\0\x01\x01profile");
        let tables = segment(0xdb, &[1; 65]);
        let scan = [
            segment(0xda, &[1, 1, 0, 0, 63, 0]),
            vec![1, 2, 0xff, 0, 3, 0xff, 0xd0, 4],
        ]
        .concat();
        let with = [
            vec![0xff, 0xd8],
            jfif.clone(),
            segment(0xe1, &[&exif[..], b"more"].concat()),
            segment(
                0xe1,
                b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta exif:GPSLatitude='1'/>",
            ),
            icc.clone(),
            segment(0xed, b"Photoshop 3.0\0byline"),
            segment(0xfe, b"by Ada"),
            tables.clone(),
            scan.clone(),
            segment(0xc4, &[2; 20]),
            scan.clone(),
            vec![0xff, 0xd9],
            b"a whole other picture".to_vec(),
        ]
        .concat();
        let without = [
            vec![0xff, 0xd8],
            segment(0xe1, &exif),
            jfif,
            icc,
            tables,
            scan.clone(),
            segment(0xc4, &[2; 20]),
            scan,
            vec![0xff, 0xd9],
        ]
        .concat();
        (with, without)
    }

    #[test]
    fn everything_that_unmasks_goes_and_the_picture_stays() {
        let (with, without) = sample();
        let stripped = strip(&with).unwrap();
        assert_eq!(stripped, without);
        assert!(
            inspect(&stripped).is_empty(),
            "the orientation tells nothing"
        );
        assert_eq!(strip(&stripped).unwrap(), stripped);
    }

    #[test]
    fn findings_name_what_is_there() {
        let findings = inspect(&sample().0).join("; ");
        for part in [
            "EXIF",
            "XMP",
            "place",
            "IPTC",
            "comment",
            "behind the picture",
        ] {
            assert!(findings.contains(part), "{part} in {findings}");
        }
    }

    #[test]
    fn a_cut_image_is_not_stripped() {
        let (with, _) = sample();
        let end = with.len() - b"a whole other picture".len();
        for cut in 3..end {
            inspect(&with[..cut]);
            assert_eq!(strip(&with[..cut]), None, "cut at {cut}");
        }
    }
}
