//! Receipts, and the proofs in them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdrop_core::log::proof::{Receipt, TlogProof};
use sealdrop_core::log::tree::{verify_consistency, verify_inclusion};
use sealdrop_fuzz::{BOX, ROSTER};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(proof) = TlogProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes);
        let sizes = [
            proof.index,
            proof.index / 2,
            proof.index.saturating_add(1),
            u64::MAX,
        ];
        for size in sizes {
            let (leaf, root) = ([1; 32], [2; 32]);
            let _ = verify_inclusion(&leaf, proof.index, size, &proof.proof, &root);
            let _ = verify_consistency(proof.index, size, &proof.proof, &leaf, &root);
        }
    }
    if let Ok(receipt) = Receipt::parse(bytes) {
        assert_eq!(receipt.to_string().as_bytes(), bytes);
        let _ = receipt.verify(&BOX.to_public());
        let witnesses = ROSTER
            .devices()
            .iter()
            .map(|device| (device.member(), &device.witness));
        let _ = receipt.verify_logged(ROSTER.log_key(), witnesses);
    }
});
