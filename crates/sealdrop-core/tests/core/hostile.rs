//! Hostile bytes: whatever is sent, parsers refuse it or read it, and never panic.

use proptest::prelude::*;

use sealdrop_core::claim::Claim;
use sealdrop_core::log::leaf::Leaf;
use sealdrop_core::log::proof::{Receipt, TlogProof};
use sealdrop_core::log::saved::{SavedKey, SavedReceipt};
use sealdrop_core::log::tile::{BundleId, TileId};
use sealdrop_core::note::Note;
use sealdrop_core::request::UnverifiedRequest;

use crate::vector;
use crate::world;

fn parse_all(bytes: &[u8]) {
    let _ = Leaf::parse(bytes);
    let _ = SavedReceipt::parse(bytes);
    let _ = SavedKey::parse(bytes);
    if let Ok(proof) = TlogProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
    }
    if let Ok(receipt) = Receipt::parse(bytes) {
        assert_eq!(receipt.to_string().as_bytes(), bytes);
        let _ = receipt.verify(&world::box_secret().to_public());
    }
    if let Ok(note) = Note::parse(bytes) {
        let _ = Claim::verify(&note, &world::box_secret().to_public());
    }
    for width in [1, 16, 256] {
        let _ = BundleId { index: 0, width }.parse(bytes);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = UnverifiedRequest::parse(text);
        if let Ok(tile) = TileId::parse_path(text) {
            assert_eq!(tile.path(), text);
        }
        if let Ok(bundle) = BundleId::parse_path(text) {
            assert_eq!(bundle.path(), text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn bytes_of_any_kind(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        parse_all(&bytes);
    }

    #[test]
    fn paths_of_any_kind(path in "tile/(entries|[0-9]{1,3})(/x?[0-9]{1,4}){1,8}(\\.p/[0-9]{0,4})?") {
        parse_all(path.as_bytes());
    }

    /// A receipt that was changed anywhere proves what it proved before, or nothing.
    #[test]
    fn a_receipt_with_a_changed_byte(at: prop::sample::Index, byte: u8) {
        let vector = vector::read("receipt", "collected");
        let mut bytes = vector.body.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let box_key = world::box_secret().to_public();
        if let Ok(proven) = Receipt::parse(&bytes).and_then(|receipt| receipt.verify(&box_key)) {
            prop_assert_eq!(proven.leaf().digest, vector.hex("digest"));
            prop_assert_eq!(proven.roster(), &world::roster());
            prop_assert_eq!(proven.logged().checkpoint().size, 32);
            // A cosignature whose key ID was changed is a stranger's. None is gained.
            for member in proven.logged().members() {
                prop_assert!(vector.field("members").contains(member));
            }
        }
    }

    #[test]
    fn a_request_with_a_changed_byte(at: prop::sample::Index, byte: u8) {
        let vector = vector::read("request", "good");
        let mut bytes = vector.body.clone();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(()) };
        let key = world::device("alice/desk").access;
        let verified = UnverifiedRequest::parse(text).and_then(|request| request.verify(&key));
        prop_assert!(verified.is_err());
    }

    /// Whatever is changed in a claim, it no longer names anybody.
    #[test]
    fn a_claim_with_a_changed_byte(at: prop::sample::Index, byte: u8) {
        let vector = vector::read("claim", "good");
        let mut bytes = vector.body.clone();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let box_key = world::box_secret().to_public();
        let verified = Note::parse(&bytes).map(|note| Claim::verify(&note, &box_key).is_ok());
        prop_assert!(verified != Ok(true));
    }
}
