//! Vectors of docs/protocol.md, "Padding": the lengths that a drop can have.

use sealdrop_core::drop::size;

use crate::vector::{self, SUCCESS, Vector};

#[test]
fn vectors() {
    let lens = [
        ("line", 3_072, "a one-line report"),
        ("text", 54_272, "a report of 50 KiB"),
        ("chunk", 65_536, "exactly one chunk"),
        ("chunk-and-a-block", 66_048, "a block more"),
        ("mebibyte", 1_048_576, "the last power of two"),
        ("mebibyte-and-a-block", 1_049_088, "the first of Padmé"),
        ("hundred-megabytes", 100_000_256, "an attachment of 100 MB"),
        ("gibibyte", 1_073_741_824, "1 GiB"),
    ];
    let vectors: Vec<Vector> = lens
        .iter()
        .flat_map(|(name, len, comment)| {
            [1, 10, 20].map(|members| {
                let padded = size::padded(*len);
                Vector::new(&format!("{name}-{members}"), SUCCESS, comment, "")
                    .with("archive", len)
                    .with("members", members)
                    .with("padded", padded)
                    .with("file", size::file(members, padded))
            })
        })
        .chain([67_194, 67_196, 68_752, 0].map(|file| {
            Vector::new(
                &format!("not-{file}"),
                "length",
                "no drop for one member has this length",
                "",
            )
            .with("members", 1)
            .with("file", file)
        }))
        .collect();
    vector::run("size", &vectors, |vector| {
        let members = vector.number("members") as usize;
        match size::padded_of_file(members, vector.number("file")) {
            Some(padded) => {
                assert_eq!(padded, vector.number("padded"));
                assert_eq!(size::padded(vector.number("archive")), padded);
                assert_eq!(size::file(members, padded), vector.number("file"));
                SUCCESS.into()
            }
            None => "length".into(),
        }
    });
}
