//! PDF: an information dictionary and XMP, in the clear or inside compressed objects.

use super::Finding;

pub(super) fn inspect(bytes: &[u8]) -> Vec<Finding> {
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let mut findings: Vec<Finding> = Vec::new();
    let mut add = |found: bool, text: &str| {
        if found {
            findings.push(text.into());
        }
    };
    add(has(b"/Author") || has(b"dc:creator"), "an author");
    add(
        has(b"/Producer") || has(b"/Creator") || has(b"xmp:CreatorTool"),
        "the software that wrote it",
    );
    add(
        has(b"/CreationDate") || has(b"/ModDate") || has(b"xmp:CreateDate"),
        "when it was made or changed",
    );
    // The dictionary may stand inside one of these, where it is not looked for.
    add(
        findings_missing(bytes),
        "compressed objects, which may name an author or software",
    );
    findings
}

fn findings_missing(bytes: &[u8]) -> bool {
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    has(b"/ObjStm") && !has(b"/Author")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_information_dictionary_is_told() {
        let pdf = b"%PDF-1.4\n1 0 obj << /Author (Ada) /Producer (LaTeX) /CreationDate (D:2026) >>";
        assert_eq!(
            inspect(pdf),
            [
                "an author",
                "the software that wrote it",
                "when it was made or changed"
            ]
        );
        assert!(inspect(b"%PDF-1.4\n1 0 obj << >>").is_empty());
        assert_eq!(inspect(b"%PDF-1.7 /Type /ObjStm").len(), 1);
    }
}
