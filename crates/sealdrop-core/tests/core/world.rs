//! A box with fixed keys, from which vectors are made. Every secret here is public: use none of it elsewhere.

use sealdrop_core::key::{
    AccessRole, BoxSecret, LogRole, Role, SecretKey, VoiceRole, WitnessRole, device_keys,
};
use sealdrop_core::log::checkpoint::log_vkey;
use sealdrop_core::note::Vkey;
use sealdrop_core::recipient::IdentitySeed;
use sealdrop_core::roster::{Device, Draft, Member, Roster};
use sealdrop_core::time::Time;

/// 2026-01-05 13:02:03 UTC, in window 81,834.
pub const NOW: Time = Time(1_767_618_123);
/// The length of a window.
pub const WINDOW: u64 = 21_600;
/// Where the box is.
pub const ORIGIN: &str = "https://drop.example";

/// The secret key of a role whose seed is SHA-256 of `label`.
pub fn secret<R: Role>(label: &str) -> SecretKey<R> {
    SecretKey::from_seed(&seed(label))
}

/// SHA-256 of `label`, wherever a vector needs 32 bytes.
pub fn seed(label: &str) -> [u8; 32] {
    sealdrop_core::encoding::sha256(label.as_bytes())
}

pub fn box_secret() -> BoxSecret {
    secret("box")
}

pub fn log_secret() -> SecretKey<LogRole> {
    secret("log")
}

pub fn log() -> Vkey<LogRole> {
    log_vkey(&box_secret().to_public(), &log_secret().to_public())
}

/// The access key of a device called `<member>/<device>`.
pub fn access(device: &str) -> SecretKey<AccessRole> {
    device_keys(&seed(device)).0
}

/// The witness key of a device called `<member>/<device>`.
pub fn witness(device: &str) -> SecretKey<WitnessRole> {
    device_keys(&seed(device)).1
}

/// The vkey of a secret key under a name.
pub fn vkey<R: Role>(name: &str, key: &SecretKey<R>) -> Vkey<R> {
    Vkey::new(name, key.to_public())
}

pub fn member(name: &str) -> Member {
    let voice = secret::<VoiceRole>(&format!("{name} voice"));
    Member {
        name: name.into(),
        role: "maintainer".into(),
        recipient: IdentitySeed::from_bytes(&seed(&format!("{name} identity"))).to_public(),
        voice: vkey(name, &voice),
    }
}

pub fn device(name: &str) -> Device {
    Device {
        access: vkey(name, &access(name)),
        witness: vkey(name, &witness(name)),
    }
}

/// A roster of alice, with two devices, and bob, with one.
pub fn draft() -> Draft {
    Draft {
        box_key: box_secret().to_public(),
        origins: vec![ORIGIN.parse().unwrap()],
        epoch: 1,
        issued: Time(NOW.0 - 86_400),
        expires: Time(NOW.0 + 30 * 86_400),
        window: WINDOW,
        retention: 7_776_000,
        slips: 4,
        max_drop: 1_073_741_824,
        policy: seed("policy"),
        log: log(),
        members: vec![member("alice"), member("bob")],
        devices: vec![
            device("alice/desk"),
            device("alice/laptop"),
            device("bob/laptop"),
        ],
    }
}

pub fn roster() -> Roster {
    draft().sign(&box_secret()).unwrap()
}
