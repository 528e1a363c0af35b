//! Shares of the box key, as they are at hand: in files that members gave, and in the keyring. docs/protocol.md, "Recovery".

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use sealdrop_client::show;
use sealdrop_core::encoding::hex;
use sealdrop_core::key::BoxKey;
use sealdrop_core::recovery::{FIRST_LINE, Share, Split};
use sealdrop_open::{Identity, open_share};
use serde_json::json;
use zeroize::Zeroizing;

use crate::keyring::Keyring;

/// The largest file that is looked at for a share, in bytes.
const MAX_FILE: u64 = 1 << 16;

/// The shares that are at hand, by split.
#[derive(Default)]
pub(crate) struct Collected {
    splits: BTreeMap<[u8; 16], BTreeMap<u64, (String, Share)>>,
    /// What is wrong with what was given.
    pub(crate) remarks: Vec<String>,
}

impl Collected {
    /// Takes a share that came from there.
    pub(crate) fn add(&mut self, from: &str, share: Share) {
        let shares = self.splits.entry(share.split.id).or_default();
        let (first, number) = (shares.get(&share.number), share.number);
        match first {
            Some((first, _)) => self.remarks.push(format!(
                "{from}: share {number} again, which came from {first}; it counts once"
            )),
            None => {
                shares.insert(number, (from.to_owned(), share));
            }
        }
    }

    /// As many shares of one split as it needs, of the newest split that has so many.
    pub(crate) fn enough(&self) -> Option<Vec<&Share>> {
        let complete = self.splits.values().filter_map(|shares| {
            let shares: Vec<&Share> = shares.values().map(|(_, share)| share).collect();
            let split = &shares.first()?.split;
            let need = usize::try_from(split.need).ok()?;
            (shares.len() >= need).then(|| (split.made, shares[..need].to_vec()))
        });
        let newest = complete.max_by_key(|(made, _)| *made);
        newest.map(|(_, shares)| shares)
    }

    /// What is wrong, and how much is missing.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut lines = self.remarks.clone();
        for shares in self.splits.values() {
            let Some((_, share)) = shares.values().next() else {
                continue;
            };
            let (split, here) = (&share.split, shares.len() as u64);
            let numbers: Vec<String> = shares.keys().map(ToString::to_string).collect();
            lines.push(format!(
                "split {} of {} needs {} of {} shares: {here} here (number {}), {} missing",
                short(split),
                &show::time(split.made)[..10],
                split.need,
                split.of,
                numbers.join(", "),
                split.need.saturating_sub(here)
            ));
        }
        if self.splits.is_empty() {
            lines.push("there is no recovery share here: ask members for theirs (`sealdrop-desk recovery give` on their machines)".into());
        } else if self.splits.len() > 1 {
            lines.push("Shares of two splits do not go together: ask for more of one.".into());
        } else {
            lines.push("Nothing was restored, and what is here says nothing about the box key: ask more members for theirs.".into());
        }
        lines
    }
}

/// The shares in a keyring.
pub(crate) fn kept(keyring: &Keyring) -> impl Iterator<Item = (Share, Zeroizing<String>)> {
    keyring.shares.iter().filter_map(|text| {
        let share = Share::parse(text.as_bytes()).ok()?;
        (share.split.box_key == keyring.box_key).then(|| (share, text.clone()))
    })
}

/// Reads a share: an age file sealed to one of these identities, or the text that the stock `age` made of one. An error says what is wrong with the file.
pub(crate) fn read(
    file: &Path,
    identities: &[Identity],
    box_key: &BoxKey,
) -> Result<(Share, Zeroizing<String>)> {
    // Room for all of it: a buffer that grows leaves its former bytes behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    fs::File::open(file)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .context("cannot be read")?;
    let is_text = bytes.starts_with(FIRST_LINE.as_bytes());
    let text = if is_text {
        bytes
    } else if bytes.starts_with(b"age-encryption.org/v1\n") {
        let Some(text) = open_share(&bytes, identities) else {
            let held: Vec<String> = identities
                .iter()
                .map(|identity| identity.to_public().fingerprint())
                .collect();
            bail!(
                "it is sealed to somebody else, or to an identity that was destroyed, or it is damaged; this machine holds {}",
                if held.is_empty() {
                    "no identity".into()
                } else {
                    held.join(", ")
                }
            );
        };
        text
    } else {
        bail!("it is not a recovery share");
    };
    let share = Share::parse(&text)?;
    if share.split.box_key != *box_key {
        bail!(
            "it is a share of another box ({}) than yours ({box_key})",
            share.split.box_key
        );
    }
    let text = String::from_utf8(text.to_vec()).context("it is not a recovery share")?;
    Ok((share, Zeroizing::new(text)))
}

/// A split, as people are told of it.
pub(crate) fn short(split: &Split) -> String {
    hex(&split.id[..4])
}

/// A share, as people are told of it.
pub(crate) fn named(share: &Share) -> String {
    let split = &share.split;
    format!(
        "share {} of {} (split {} of {}, {} needed)",
        share.number,
        split.of,
        short(split),
        &show::time(split.made)[..10],
        split.need
    )
}

/// The same for programs.
pub(crate) fn to_json(share: &Share) -> serde_json::Value {
    let split = &share.split;
    json!({ "split": short(split), "made": split.made.0, "number": share.number, "need": split.need, "of": split.of })
}
