//! Member cards: the public halves of someone's keys, on their way to whoever holds the box key.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use sealdrop_core::encoding;
use sealdrop_core::key::BoxKey;
use sealdrop_core::note::Vkey;
use sealdrop_core::recipient::Recipient;
use sealdrop_core::roster::{Device, Draft, Member};
use serde::{Deserialize, Serialize};

use crate::home::Profile;

/// The largest card that is read, in bytes.
const MAX_CARD: u64 = 1 << 20;

/// A member's keys, a device's, or both. Nothing in it is secret, and nothing in it proves itself: compare fingerprints.
#[derive(Clone)]
pub(crate) struct Card {
    /// Which box it is for.
    pub(crate) box_key: BoxKey,
    /// Who receives drops, if the card brings an identity.
    pub(crate) member: Option<Member>,
    /// Machines.
    pub(crate) devices: Vec<Device>,
}

impl Card {
    /// The card of the keys in a home folder.
    pub(crate) fn of(profile: &Profile) -> Self {
        let member = match (profile.recipients.first(), &profile.voice) {
            (Some(recipient), Some(voice)) => Some(Member {
                name: profile.member.clone(),
                role: profile.role.clone(),
                recipient: recipient.clone(),
                voice: voice.clone(),
            }),
            _ => None,
        };
        let device = |(access, witness): &(_, _)| Device {
            access: Clone::clone(access),
            witness: Clone::clone(witness),
        };
        Self {
            box_key: profile.box_key.clone(),
            member,
            devices: profile.device.iter().map(device).collect(),
        }
    }

    /// Reads a card that someone sent.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let len = std::fs::metadata(path)
            .with_context(|| format!("cannot read the card {}", path.display()))?
            .len();
        if len > MAX_CARD {
            bail!("{} is too large for a member card", path.display());
        }
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the card {}", path.display()))?;
        Self::parse(&bytes).with_context(|| {
            format!(
                "{} is not a member card: ask for the output of `sealdrop-desk keys --card`",
                path.display()
            )
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Wire>(bytes).ok()?.parse()
    }

    /// The card as text, ending in a newline.
    pub(crate) fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(&Wire::from(self)).expect("texts are always JSON");
        json.push('\n');
        json
    }

    /// Puts the card's member and devices into a roster that is to be signed. Someone who is there already gets the card's keys.
    pub(crate) fn apply(&self, draft: &mut Draft) -> Result<()> {
        if let Some(member) = &self.member {
            match draft.members.iter_mut().find(|m| m.name == member.name) {
                Some(there) => *there = member.clone(),
                None => draft.members.push(member.clone()),
            }
        }
        for device in &self.devices {
            if !draft.members.iter().any(|m| m.name == device.member()) {
                bail!(
                    "the card is for a machine of {}, who is not a member: add that member's own card first",
                    device.member()
                );
            }
            match draft.devices.iter_mut().find(|d| d.name() == device.name()) {
                Some(there) => *there = device.clone(),
                None => draft.devices.push(device.clone()),
            }
        }
        Ok(())
    }

    /// Whose keys it brings: the member's name and those of machines.
    pub(crate) fn names(&self) -> Vec<&str> {
        let member = self.member.as_ref().map(|member| member.name.as_str());
        let devices = self.devices.iter().map(Device::name);
        member.into_iter().chain(devices).collect()
    }

    /// One line for each key, with its fingerprint.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(member) = &self.member {
            lines.extend(member_lines(member));
        }
        lines.extend(self.devices.iter().map(device_line));
        lines
    }
}

/// A member as two lines.
pub(crate) fn member_lines(member: &Member) -> [String; 2] {
    [
        format!(
            "{} ({})  recipient {}",
            member.name,
            member.role,
            member.recipient.fingerprint()
        ),
        format!(
            "{}  voice {}",
            " ".repeat(member.name.len() + member.role.len() + 3),
            member.voice.key().fingerprint()
        ),
    ]
}

/// A device as one line.
pub(crate) fn device_line(device: &Device) -> String {
    let [access, witness] = [
        device.access.key().fingerprint(),
        device.witness.key().fingerprint(),
    ];
    format!("{}  access {access}  witness {witness}", device.name())
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "sealdrop-card")]
    version: u64,
    #[serde(rename = "box")]
    box_key: String,
    member: Option<WireMember>,
    devices: Vec<WireDevice>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMember {
    name: String,
    role: String,
    recipient: String,
    voice: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDevice {
    access: String,
    witness: String,
}

impl From<&Card> for Wire {
    fn from(card: &Card) -> Self {
        Self {
            version: 1,
            box_key: card.box_key.to_string(),
            member: card.member.as_ref().map(|m| WireMember {
                name: m.name.clone(),
                role: m.role.clone(),
                recipient: m.recipient.to_string(),
                voice: m.voice.to_string(),
            }),
            devices: card
                .devices
                .iter()
                .map(|d| WireDevice {
                    access: d.access.to_string(),
                    witness: d.witness.to_string(),
                })
                .collect(),
        }
    }
}

impl Wire {
    fn parse(self) -> Option<Card> {
        let member = match self.member {
            None => None,
            Some(wire) => Some(Member {
                recipient: Recipient::parse(&wire.recipient).ok()?,
                voice: Vkey::parse(&wire.voice).filter(|voice| voice.name() == wire.name)?,
                name: Some(wire.name).filter(|name| encoding::is_handle(name))?,
                role: Some(wire.role).filter(|role| encoding::is_handle(role))?,
            }),
        };
        let devices = self.devices.iter().map(|wire| {
            let device = Device {
                access: Vkey::parse(&wire.access)?,
                witness: Vkey::parse(&wire.witness)?,
            };
            let (member, name) = device.name().split_once('/')?;
            let fits = encoding::is_handle(member)
                && encoding::is_handle(name)
                && device.access.name() == device.witness.name();
            fits.then_some(device)
        });
        let devices = devices.collect::<Option<Vec<_>>>()?;
        let box_key = BoxKey::parse(&self.box_key).ok()?;
        (self.version == 1 && (member.is_some() || !devices.is_empty())).then_some(Card {
            box_key,
            member,
            devices,
        })
    }
}

impl Serialize for Card {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Card {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Wire::deserialize(deserializer)?
            .parse()
            .ok_or_else(|| serde::de::Error::custom("not a member card"))
    }
}
