//! Attachments: unreadable, vanishing, changing, and telling more than they should.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::support::{Answer, LyingServer};
use crate::{Place, REPORT, open};

#[test]
fn an_unreadable_attachment_is_said_plainly_and_nothing_is_sent() {
    let server = LyingServer::start();
    let place = Place::new();
    fs::create_dir(place.path("folder")).unwrap();
    symlink("nowhere", place.path("dangling")).unwrap();
    for (name, pieces) in [
        (
            "absent.bin",
            [
                "the attachment absent.bin cannot be read: there is no such file",
                "check the spelling",
            ],
        ),
        (
            "folder",
            [
                "the attachment folder cannot be read: it is a folder",
                "pack it into one file first",
            ],
        ),
        (
            "dangling",
            [
                "the attachment dangling cannot be read: there is no such file",
                "check the spelling",
            ],
        ),
        ("/dev/zero", ["/dev/zero is not a file", "attach a file"]),
    ] {
        place
            .try_submit(&server, &["--attach", name])
            .refused(2, &pieces);
    }
    assert!(server.state().bodies.is_empty());
}

#[test]
#[cfg(target_os = "linux")]
fn an_attachment_is_never_renamed_because_its_name_is_not_utf_8() {
    let server = LyingServer::start();
    let place = Place::new();
    let name: &OsStr = OsStrExt::from_bytes(b"caf\xe9.txt");
    fs::write(place.folder.path().join(name), "x").unwrap();
    symlink(name, place.path("cafe.txt")).unwrap();
    let mut command = place.submit_command(&server, &REPORT);
    let output = command.arg("--attach").arg(name).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("has a name that is not UTF-8"), "{said}");
    assert!(said.contains("attach a link or a copy with another name"));
    assert_eq!(server.requests(), ["GET /v1/box"]);
    // As it was told to go on.
    place
        .try_submit(&server, &["--attach", "cafe.txt"])
        .succeeded(&["Sent."]);
    assert_eq!(open(&server, 0).0.report.attachments[0].name, "cafe.txt");
}

#[test]
fn a_vanishing_or_changing_attachment_stops_the_report() {
    type Change = fn(&std::path::Path);
    let changes: [(Change, &str); 3] = [
        (
            |path| fs::remove_file(path).unwrap(),
            "core.bin cannot be read: there is no such file",
        ),
        (
            |path| fs::write(path, vec![1; 9_000_001]).unwrap(),
            "core.bin changed while it was being sealed",
        ),
        (
            |path| fs::write(path, vec![2; 9_000_000]).unwrap(),
            "core.bin changed while it was being sealed",
        ),
    ];
    for (change, expected) in changes {
        let server = LyingServer::start();
        let place = Place::new();
        place.write("core.bin", vec![1; 9_000_000]);
        let path = place.path("core.bin");
        // It was looked at before the upload is made, and is read after.
        server.lie(move |request, _| {
            if request.path == "/v1/uploads" {
                change(&path);
            }
            None
        });
        let run = place.try_submit(&server, &["--attach", "core.bin", "--receipt", "r.json"]);
        run.refused(
            1,
            &[
                expected,
                "nothing was left with the server or on this machine",
            ],
        );
        let state = server.state();
        assert!(state.bodies.is_empty() && state.uploads.is_empty());
        assert!(!place.files().contains(&"r.json".to_owned()));
    }
}

#[test]
fn more_than_the_box_takes_is_refused_before_it_is_sent() {
    let server = LyingServer::start();
    server.publish(|draft| draft.max_drop = 200_000);
    let place = Place::new();
    place.write("big.bin", vec![0; 300_000]);
    let run = place.try_submit(&server, &["--attach", "big.bin"]);
    run.refused(
        1,
        &[
            "the attachments (300,000 bytes) are more than this box takes (200,000 bytes)",
            "leave some out",
        ],
    );
    assert_eq!(server.requests(), ["GET /v1/box"]);
}

#[test]
fn only_the_name_of_a_file_is_sent_never_its_path() {
    let server = LyingServer::start();
    let place = Place::new();
    fs::create_dir(place.path("secret-project")).unwrap();
    place.write("secret-project/poc.bin", "x");
    place
        .try_submit(
            &server,
            &["--attach", "./secret-project/../secret-project/poc.bin"],
        )
        .succeeded(&["Sent."]);
    let (opened, _) = open(&server, 0);
    assert_eq!(opened.report.attachments[0].name, "poc.bin");
    assert!(!format!("{:?}", opened.report).contains("secret-project"));
}

#[test]
fn what_unmasks_is_pointed_out_before_sealing() {
    let server = LyingServer::start();
    let place = Place::new();
    place
        .write("shot.png", png())
        .write(
            "paper.pdf",
            "%PDF-1.4\n<< /Author (Grace) /Producer (LaTeX) >>",
        )
        .write("notes-grace.txt", "x");
    let run = place.try_submit(
        &server,
        &["--attach", "shot.png", "paper.pdf", "notes-grace.txt"],
    );
    run.succeeded(&["Sent."]);
    for piece in [
        "shot.png (",
        "holds: an author\n",
        "paper.pdf (",
        "holds: the software that wrote it",
        "notes-grace.txt (1 byte)\n    holds: your user name is in the file's name",
        "--strip removes it from JPEG and PNG images",
    ] {
        assert!(run.err.contains(piece), "{piece:?} in {:?}", run.err);
    }
    assert_eq!(
        open(&server, 0).1[0].1,
        png(),
        "without --strip a file is sent as it is"
    );
}

#[test]
fn strip_takes_out_of_images_what_unmasks_and_leaves_the_file_alone() {
    let server = LyingServer::start();
    let place = Place::new();
    place
        .write("shot.png", png())
        .write("poc.bin", "Author\0Grace");
    let run = place.try_submit(&server, &["--strip", "--attach", "shot.png", "poc.bin"]);
    run.succeeded(&["Sent."]);
    assert!(run.err.contains("metadata removed"), "{}", run.err);
    let attachments = open(&server, 0).1;
    assert!(!attachments[0].1.windows(5).any(|window| window == b"Grace"));
    assert_eq!(
        attachments[1].1, b"Author\0Grace",
        "only images are changed"
    );
    assert_eq!(place.read("shot.png"), png());
}

#[test]
fn a_cut_image_cannot_be_stripped_and_is_not_sent() {
    let server = LyingServer::start();
    let place = Place::new();
    place.write("shot.png", &png()[..40]);
    place
        .try_submit(&server, &["--strip", "--attach", "shot.png"])
        .refused(
            2,
            &["shot.png is not a whole image", "attach it without --strip"],
        );
}

#[test]
fn a_refused_upload_is_said_plainly() {
    let server = LyingServer::start();
    server.lie(|request, _| (request.path == "/v1/uploads").then(|| Answer::new(413)));
    let place = Place::new();
    place.write("core.bin", vec![1; 9_000_000]);
    place
        .try_submit(&server, &["--attach", "core.bin"])
        .refused(1, &["the server takes nothing that large"]);
}

/// A PNG with an author.
fn png() -> Vec<u8> {
    let chunk = |kind: &[u8], content: &[u8]| {
        [
            &(content.len() as u32).to_be_bytes()[..],
            kind,
            content,
            &[0; 4],
        ]
        .concat()
    };
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0; 13]),
        chunk(b"tEXt", b"Author\0Grace"),
        chunk(b"IDAT", b"pixels"),
        chunk(b"IEND", b""),
    ]
    .concat()
}
