//! TIFF, which EXIF is too: directories of tags.

use super::Finding;

/// Directories followed at most: a file can link them in a circle.
const MAX_DIRECTORIES: usize = 32;
/// The tag that says which way up a picture is.
const ORIENTATION: u16 = 0x0112;

/// What the tags tell.
pub(super) fn inspect(bytes: &[u8]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut add = |text: &str| {
        if !findings.iter().any(|finding| finding == text) {
            findings.push(text.into());
        }
    };
    walk(bytes, |tag, _| match tag {
        0x8825 => add("the place where it was taken (GPS)"),
        0x010f | 0x0110 | 0xa433 | 0xa434 => add("the camera's make or model"),
        0xa430 | 0xa431 | 0xa435 => add("the camera's owner or serial number"),
        0x0131 => add("the software that wrote it"),
        0x0132 | 0x9003 | 0x9004 => add("when it was taken"),
        0x013b | 0x8298 | 0x9c9d => add("an author"),
        0x010e | 0x9286 | 0x9c9c => add("a comment"),
        0x013c => add("the name of the computer"),
        0x02bc => add("XMP metadata"),
        0x83bb => add("IPTC metadata"),
        0x927c => add("the camera maker's own notes"),
        _ => {}
    });
    findings
}

/// Which way up the picture is, 1 to 8, if the tags say so.
pub(super) fn orientation(bytes: &[u8]) -> Option<u8> {
    let mut found = None;
    walk(bytes, |tag, value| {
        if tag == ORIENTATION && found.is_none() {
            found = u8::try_from(value)
                .ok()
                .filter(|value| (1..=8).contains(value));
        }
    });
    found
}

/// A TIFF that says which way up a picture is, and nothing else.
pub(super) fn only_orientation(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x01".to_vec();
    tiff.extend_from_slice(&ORIENTATION.to_be_bytes());
    // One SHORT, left-aligned in its four bytes, and no next directory.
    tiff.extend_from_slice(&[0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);
    tiff
}

/// Calls `tell` with each tag and its value or offset (a short value as itself).
fn walk(bytes: &[u8], mut tell: impl FnMut(u16, u32)) {
    let big = match bytes.first_chunk() {
        Some(b"MM\0\x2a") => true,
        Some(b"II\x2a\0") => false,
        _ => return,
    };
    let short = |at: usize| -> Option<u16> {
        let raw = *bytes.get(at..)?.first_chunk()?;
        Some(if big {
            u16::from_be_bytes(raw)
        } else {
            u16::from_le_bytes(raw)
        })
    };
    let long = |at: usize| -> Option<u32> {
        let raw = *bytes.get(at..)?.first_chunk()?;
        Some(if big {
            u32::from_be_bytes(raw)
        } else {
            u32::from_le_bytes(raw)
        })
    };
    let mut queue: Vec<usize> = long(4).map(|offset| offset as usize).into_iter().collect();
    for _ in 0..MAX_DIRECTORIES {
        let Some(start) = queue.pop() else { return };
        let Some(count) = short(start) else { continue };
        for entry in 0..usize::from(count) {
            let at = start + 2 + entry * 12;
            let (Some(tag), Some(kind), Some(value)) = (short(at), short(at + 2), long(at + 8))
            else {
                break;
            };
            let value = if kind == 3 {
                short(at + 8).map_or(value, u32::from)
            } else {
                value
            };
            tell(tag, value);
            // EXIF and GPS have directories of their own.
            if matches!(tag, 0x8769 | 0x8825) && queue.len() < MAX_DIRECTORIES {
                queue.push(value as usize);
            }
        }
        if let Some(next) = long(start + 2 + usize::from(count) * 12).filter(|&next| next != 0) {
            queue.insert(0, next as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Little-endian, with a camera, an orientation and a GPS directory.
    fn sample() -> Vec<u8> {
        let mut tiff = b"II\x2a\0\x08\0\0\0\x03\0".to_vec();
        for (tag, kind, value) in [
            (0x010f_u16, 2_u16, 0_u32),
            (ORIENTATION, 3, 6),
            (0x8825, 4, 50),
        ] {
            tiff.extend_from_slice(&tag.to_le_bytes());
            tiff.extend_from_slice(&kind.to_le_bytes());
            tiff.extend_from_slice(&1_u32.to_le_bytes());
            tiff.extend_from_slice(&value.to_le_bytes());
        }
        tiff.extend_from_slice(&[0; 8]);
        tiff
    }

    #[test]
    fn tags_are_told() {
        assert_eq!(
            inspect(&sample()),
            [
                "the camera's make or model",
                "the place where it was taken (GPS)"
            ]
        );
        assert_eq!(orientation(&sample()), Some(6));
    }

    #[test]
    fn the_smallest_tiff_keeps_only_the_orientation() {
        let tiff = only_orientation(8);
        assert_eq!(orientation(&tiff), Some(8));
        assert!(inspect(&tiff).is_empty());
    }

    #[test]
    fn broken_and_circular_tiffs_end() {
        let sample = sample();
        for end in 0..sample.len() {
            inspect(&sample[..end]);
        }
        let mut circle = b"MM\0\x2a\0\0\0\x08\0\0".to_vec();
        circle.extend_from_slice(&8_u32.to_be_bytes());
        assert!(inspect(&circle).is_empty());
        assert!(inspect(b"MM\0\x2a\xff\xff\xff\xff").is_empty());
    }
}
