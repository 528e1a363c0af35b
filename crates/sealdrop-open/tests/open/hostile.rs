//! Drops that an attacker would send: each is quarantined, with its reason, and none panics.

use std::io::Write as _;

use sealdrop_core::drop::archive;
use sealdrop_core::recipient::Recipient;
use sealdrop_open::{Keys, NoAttachments, OpenError, Quarantine};

use crate::byhand::{Tar, age_file};
use crate::maker::{Collected, TestBox, file_key};

/// A drop with any plaintext, sealed correctly, for these.
pub(crate) fn seal_plaintext(recipients: &[Recipient], plaintext: &[u8]) -> Vec<u8> {
    age_file(&file_key(), recipients, plaintext)
}

pub(crate) fn recipients(team: &TestBox) -> Vec<Recipient> {
    team.roster
        .members()
        .iter()
        .map(|m| m.recipient.clone())
        .collect()
}

#[track_caller]
fn check(team: &TestBox, plaintext: &[u8], expected: Quarantine) {
    team.check_quarantined(&seal_plaintext(&recipients(team), plaintext), expected);
}

#[test]
fn the_attackers_writer_is_right_when_it_wants_to_be() {
    let team = TestBox::new(2);
    let json = team.report("Fine.", &[("a", b"abc")]).to_json().unwrap();
    let tar = Tar::new()
        .member(archive::REPORT, &json)
        .member("attachments/001-a", b"abc")
        .signed(&team.keys.voice)
        .padded();
    team.open(
        &seal_plaintext(&recipients(&team), &tar),
        &mut NoAttachments,
    )
    .unwrap();
}

#[test]
fn a_tar_with_dot_dot_links_devices_and_nuls_is_not_a_drop() {
    let team = TestBox::new(1);
    let json = team.report("x", &[("a", b"abc")]).to_json().unwrap();
    let start = || Tar::new().member(archive::REPORT, &json);
    for name in [
        "../escape",
        "/etc/passwd",
        "attachments/001-b",
        "attachments/../../x",
        "report.json",
    ] {
        check(
            &team,
            &start()
                .member(name, b"abc")
                .signed(&team.keys.voice)
                .padded(),
            Quarantine::BadReport,
        );
    }
    for kind in *b"123456xgLKS\0" {
        let mut header = archive::member_header("attachments/001-a", 3).unwrap();
        header[156] = kind;
        check(
            &team,
            &start()
                .raw(&header, b"abc")
                .signed(&team.keys.voice)
                .padded(),
            Quarantine::NotADrop,
        );
    }
    let mut header = archive::member_header("attachments/001-a", 3).unwrap();
    header[14] = 0;
    check(
        &team,
        &start()
            .raw(&header, b"abc")
            .signed(&team.keys.voice)
            .padded(),
        Quarantine::NotADrop,
    );
}

#[test]
fn sizes_that_lie_are_not_a_drop() {
    let team = TestBox::new(1);
    let json = team.report("x", &[("a", b"abc")]).to_json().unwrap();
    let start = || Tar::new().member(archive::REPORT, &json);
    check(
        &team,
        &start()
            .member("attachments/001-a", b"abcd")
            .signed(&team.keys.voice)
            .padded(),
        Quarantine::BadReport,
    );
    let huge = archive::member_header("attachments/001-a", (1 << 33) - 1).unwrap();
    check(
        &team,
        &start().raw(&huge, b"abc").signed(&team.keys.voice).padded(),
        Quarantine::BadReport,
    );
    let huge = archive::member_header(archive::REPORT, 1 << 32).unwrap();
    check(
        &team,
        &Tar::new().raw(&huge, b"{}").padded(),
        Quarantine::NotADrop,
    );
    check(
        &team,
        &start().signed(&team.keys.voice).padded(),
        Quarantine::BadReport,
    );
    check(&team, &Tar::new().padded(), Quarantine::NotADrop);
    check(
        &team,
        &Tar::bare(b"not json", &team.keys.voice),
        Quarantine::BadReport,
    );
    check(
        &team,
        &Tar::new()
            .member(archive::REPORT, &b"[".repeat(65_000))
            .padded(),
        Quarantine::BadReport,
    );
}

#[test]
fn bytes_after_the_end_are_not_a_drop() {
    let team = TestBox::new(1);
    let json = team.report("x", &[]).to_json().unwrap();
    let tar = Tar::bare(&json, &team.keys.voice);
    for at in [tar.len() - 1, tar.len() - 1000, 4096] {
        let mut tar = tar.clone();
        tar[at] = 1;
        check(&team, &tar, Quarantine::NotADrop);
    }
    let mut wide = tar.clone();
    wide.resize(131_072, 0);
    check(&team, &wide, Quarantine::BadPadding);
}

#[test]
fn stranger_forges_a_follow_up_into_a_conversation() {
    let team = TestBox::new(1);
    let stranger = TestBox::with_seed(1, 1);
    let json = team.report("Forged.", &[]).to_json().unwrap();
    let forged =
        sealdrop_core::phrase::Phrase::from_entropy(&[66; 16]).keys(stranger.roster.box_key());
    let tar = Tar::new().member(archive::REPORT, &json);
    check(
        &team,
        &tar.signed(&forged.voice).padded(),
        Quarantine::BadSignature,
    );
    // His own voice key, but the other's conversation.
    let mut report = team.report("Forged.", &[]);
    report.reporter.voice = forged.voice.to_public();
    let text = String::from_utf8(json).unwrap();
    let mine = sealdrop_core::encoding::base64(report.reporter.voice.as_bytes());
    let theirs = sealdrop_core::encoding::base64(team.keys.voice.to_public().as_bytes());
    let tar = Tar::new().member(archive::REPORT, text.replace(&theirs, &mine).as_bytes());
    check(
        &team,
        &tar.signed(&forged.voice).padded(),
        Quarantine::BadSignature,
    );
}

#[test]
fn server_relays_another_boxs_drops_into_this_one() {
    let (team, other) = (TestBox::new(1), TestBox::with_seed(1, 40));
    let json = other.report("For them.", &[]).to_json().unwrap();
    let tar = Tar::bare(&json, &other.keys.voice);
    check(&team, &tar, Quarantine::AnotherBox);
    team.check_quarantined(
        &other.seal(&other.report("For them.", &[]), &[]),
        Quarantine::NotAddressedToYou,
    );
}

#[test]
fn reporter_seals_so_that_only_some_members_can_open_then_proves_delivery() {
    let team = TestBox::new(3);
    let json = team.report("Only for you.", &[]).to_json().unwrap();
    let tar = Tar::bare(&json, &team.keys.voice);
    let mut fewer = recipients(&team);
    fewer.truncate(2);
    let expect = |names: &[&str]| {
        Quarantine::NotAddressedTo(names.iter().map(|n| (*n).to_owned()).collect())
    };
    let drop = seal_plaintext(&fewer, &tar);
    team.check_quarantined(&drop, expect(&["member2"]));
    // A stanza for somebody else in a member's place, and one with other randomness than the file key gives.
    let mut wrong = recipients(&team);
    wrong[1] = TestBox::with_seed(1, 60).roster.members()[0]
        .recipient
        .clone();
    let drop = seal_plaintext(&wrong, &tar);
    team.check_quarantined(&drop, expect(&["member1"]));
    // Whoever holds the file key sees it too: the proof fails.
    let (file_key, _) = file_key();
    let verdict = team.open_with(&drop, Keys::FileKey(&file_key), &mut NoAttachments);
    assert!(matches!(
        verdict,
        Err(OpenError::Quarantine(Quarantine::NotAddressedTo(_)))
    ));
    wrong = recipients(&team);
    wrong.swap(1, 2);
    team.check_quarantined(
        &seal_plaintext(&wrong, &tar),
        expect(&["member1", "member2"]),
    );
}

#[test]
fn a_swapped_or_missing_byte_is_damage() {
    let team = TestBox::new(1);
    let drop = team.seal(&team.report("x", &[]), &[]);
    let header = 70 + 1557;
    for at in [header + 3, header + 16 + 5, drop.len() - 1] {
        let mut bad = drop.clone();
        bad[at] ^= 1;
        team.check_quarantined(&bad, Quarantine::Damaged);
    }
    // In the MAC.
    let mut bad = drop.clone();
    bad[header - 10] = if bad[header - 10] == b'A' { b'B' } else { b'A' };
    team.check_quarantined(&bad, Quarantine::Damaged);
    team.check_quarantined(&drop[..drop.len() - 1], Quarantine::NotADrop);
    team.check_quarantined(b"", Quarantine::NotADrop);
    team.check_quarantined(b"age-encryption.org/v1\n", Quarantine::NotADrop);
}

#[test]
fn low_order_points_in_a_stanza_are_refused() {
    let team = TestBox::new(1);
    let drop = team.seal(&team.report("x", &[]), &[]);
    let text = String::from_utf8(drop[22..22 + 1557].to_vec()).unwrap();
    let enc = text.split([' ', '\n']).nth(2).unwrap();
    let mut bytes = sealdrop_core::encoding::from_raw_base64(enc.as_bytes()).unwrap();
    bytes[1088..].fill(0);
    let mut bad = drop.clone();
    (&mut bad[22 + 18..])
        .write_all(sealdrop_core::encoding::raw_base64(&bytes).as_bytes())
        .unwrap();
    team.check_quarantined(&bad, Quarantine::NotADrop);
}

#[test]
fn a_compressed_bomb_or_another_age_file_is_not_a_drop() {
    let team = TestBox::new(1);
    let mut gzip = vec![0x1f, 0x8b, 8, 0];
    gzip.resize(67_195, 0);
    team.check_quarantined(&gzip, Quarantine::NotADrop);
    let armored = b"-----BEGIN AGE ENCRYPTED FILE-----\nAAAA\n-----END AGE ENCRYPTED FILE-----\n";
    team.check_quarantined(armored, Quarantine::NotADrop);
}

#[test]
fn attachments_stay_untrusted_until_the_signature_has_been_read() {
    let team = TestBox::new(1);
    let json = team.report("x", &[("a", b"abc")]).to_json().unwrap();
    let tar = Tar::new()
        .member(archive::REPORT, &json)
        .member("attachments/001-a", b"abc");
    let tar = tar.member(archive::SIGNATURE, &[1; 64]).padded();
    let mut collected = Collected::default();
    assert!(
        team.open(&seal_plaintext(&recipients(&team), &tar), &mut collected)
            .is_err()
    );
    assert_eq!(
        collected.0[0].1, b"abc",
        "the sink has the bytes; `open` says that they are not to be believed"
    );
}
