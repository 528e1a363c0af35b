//! What is sealed opens, for every member, whatever its size.

use sealdrop_core::drop::{FileKey, size};
use sealdrop_open::{Keys, NoAttachments};

use crate::maker::{Collected, TestBox};

#[test]
fn every_member_opens_what_was_sealed() {
    let team = TestBox::new(3);
    let big: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7) as u8).collect();
    let attachments: [(&str, &[u8]); 3] = [
        ("poc.bin", &big),
        ("empty", b""),
        ("../../etc/passwd", b"x"),
    ];
    let report = team.report("It breaks.", &attachments);
    let drop = team.seal(&report, &attachments);
    for identity in &team.identities {
        let mut collected = Collected::default();
        let opened = team
            .open_with(
                &drop,
                Keys::Identities(std::slice::from_ref(identity)),
                &mut collected,
            )
            .unwrap();
        assert_eq!(opened.report, report);
        let names: Vec<_> = collected.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "attachments/001-poc.bin",
                "attachments/002-empty",
                "attachments/003-_._.._etc_passwd"
            ]
        );
        assert!(
            collected
                .0
                .iter()
                .zip(&attachments)
                .all(|((_, got), (_, sent))| got == sent)
        );
    }
}

#[test]
fn the_saved_file_key_opens_it_too() {
    let team = TestBox::new(2);
    let report = team.report("It breaks.", &[]);
    let drop = team.seal(&report, &[]);
    let opened = team
        .open_with(
            &drop,
            Keys::FileKey(&FileKey::from_bytes([4; 16])),
            &mut NoAttachments,
        )
        .unwrap();
    assert_eq!(opened.report, report);
}

#[test]
fn sizes_around_every_chunk_and_batch_roundtrip() {
    let team = TestBox::new(1);
    for len in [
        0,
        1,
        511,
        512,
        513,
        60_000,
        65_536,
        1_048_576 - 4_096,
        1_048_576,
        1_100_000,
        2_097_152,
    ] {
        let content = vec![0xa5; len];
        let attachments: [(&str, &[u8]); 1] = [("a", &content)];
        let report = team.report("", &attachments);
        let mut collected = Collected::default();
        team.open(&team.seal(&report, &attachments), &mut collected)
            .unwrap();
        assert_eq!(collected.0[0].1, content, "{len}");
    }
}

#[test]
fn observer_compares_sizes_of_a_line_a_text_and_a_follow_up() {
    for members in [1, 10, 20] {
        let team = TestBox::new(members);
        let line = team.seal(&team.report("One line.", &[]), &[]);
        let text = team.seal(&team.report(&"x".repeat(50 * 1024), &[]), &[]);
        let mut follow_up = team.report("More.", &[]);
        follow_up.kind = sealdrop_core::report::Kind::FollowUp;
        let follow_up = team.seal(&follow_up, &[]);
        assert_eq!(
            [line.len(), text.len(), follow_up.len()],
            [size::file(members, 65_536) as usize; 3]
        );
    }
}
