//! `sealdrop check` from nothing over a feed: the whole program, the download included.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::{StatusCode, Uri};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::key::SecretKey;
use sealdrop_core::log::checkpoint::{Checkpoint, log_name, log_vkey};
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::tile::{self, TileId};
use sealdrop_core::log::tree;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::slip::{self, Slip};
use sealdrop_core::time::{Time, Window};
use serde_json::json;

use crate::process::{Cost, measure, median, program, scratch};
use crate::site::{Site, box_file, now};

/// 90 days of four windows a day.
const SEGMENTS: u64 = 360;
/// Slips of a window: the default, and what makes 10,000 and more of them.
const SLIPS: [u64; 3] = [8, 28, 64];

pub(crate) fn run(quick: bool) -> Result<()> {
    let rounds = if quick { 3 } else { 7 };
    println!(
        "sealdrop check with a phrase, from nothing, {SEGMENTS} segments from this machine; medians of {rounds}"
    );
    println!("   slips     size     time    processor time    peak of memory");
    for slips in SLIPS {
        let dir = scratch()?;
        fs::write(
            dir.path().join("phrase"),
            Phrase::generate(&mut rng(9)).words().as_bytes(),
        )?;
        let address = serve(slips)?;
        let mut costs: Vec<Cost> = Vec::new();
        for _ in 0..rounds {
            let mut check = Command::new(program("sealdrop")?);
            check.current_dir(dir.path());
            check.args(["--json", "check", &address, "--phrase-file", "phrase"]);
            costs.push(measure(&mut check)?);
        }
        let of = |value: fn(&Cost) -> u128| {
            median(costs.iter().map(value).collect()).unwrap_or_default()
        };
        let count = slips * SEGMENTS;
        println!(
            "{count:>8} {:>5.1} MB {:>5} ms {:>14} ms {:>14.1} MB",
            (count * slip::SLIP as u64) as f64 / 1e6,
            of(|cost| cost.time.as_millis()),
            of(|cost| cost.cpu.as_millis()),
            of(|cost| cost.peak.into()) as f64 / 1e6,
        );
    }
    println!(
        "aim: 2,880 slips in under 500 ms of processor time beside the download, 10,000 in under a second"
    );
    Ok(())
}

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// A box of which the feed is full, as files that a server gives out; the drop address.
fn serve(slips: u64) -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let mut site = Site::new();
    let files = files(&mut site, addr, slips)?;
    listener.set_nonblocking(true)?;
    std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let files = Arc::new(files);
            let answer = move |uri: Uri| {
                let file = files.get(uri.path()).cloned();
                async move { file.ok_or(StatusCode::NOT_FOUND) }
            };
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, Router::new().fallback(answer)).await?;
            Ok(())
        })
    });
    Ok(format!("http://{addr}#{}", site.secret.to_public()))
}

fn files(site: &mut Site, addr: SocketAddr, slips: u64) -> Result<HashMap<String, Bytes>> {
    let mut rng = rng(3);
    let box_key = site.secret.to_public();
    let log = SecretKey::generate(&mut rng);
    let mut draft = site.draft(log_vkey(&box_key, &log.to_public()))?;
    draft.origins = vec![format!("http://{addr}").parse()?];
    draft.slips = slips;
    // A roster is good for 90 days, and the first window began before.
    let now = now();
    let first = now.0 - SEGMENTS * draft.window;
    (draft.issued, draft.expires) = (Time(first - draft.window), Time(now.0 - draft.window));
    let older = draft.sign(&site.secret)?;
    (draft.epoch, draft.issued, draft.expires) = (2, Time(now.0 - 60), Time(now.0 + 3_600));
    let roster = draft.sign(&site.secret)?;
    let mut files = HashMap::from([
        ("/v1/box".into(), Bytes::from(box_file(&roster))),
        ("/v1/box/1".into(), Bytes::from(box_file(&older))),
    ]);

    // Repeated decoys cost a search the same.
    let decoys: Vec<Box<Slip>> = (0..100).map(|_| slip::decoy(&box_key, &mut rng)).collect();
    let mut decoys = decoys.iter().cycle();
    let leaf = |kind, bytes: &[u8], window| Leaf {
        kind,
        digest: sha256(bytes),
        size: bytes.len() as u64,
        window,
    };
    let mut leaves = Vec::new();
    let mut listing = Vec::new();
    for at in 0..SEGMENTS {
        let window = Window(Time(first).window(roster.window_length()).0 + at);
        let count = usize::try_from(slips)?;
        let slips: Vec<&[u8]> = decoys.by_ref().take(count).map(|slip| &slip[..]).collect();
        let bytes = slips.concat();
        let segment = leaf(LeafKind::Segment, &bytes, window);
        listing.push(
            json!({ "window": window.0, "digest": hex(&segment.digest), "size": segment.size }),
        );
        leaves.push(segment);
        while !leaves.len().is_multiple_of(16) {
            leaves.push(Leaf::pad(sha256(&leaves.len().to_be_bytes()), window));
        }
        files.insert(format!("/v1/feed/{window}"), bytes.into());
    }
    files.insert(
        "/v1/feed".into(),
        json!({ "segments": listing }).to_string().into(),
    );

    let hashes: Vec<_> = leaves.iter().map(Leaf::hash).collect();
    let checkpoint = Checkpoint {
        origin: log_name(&box_key, &log.to_public()),
        size: leaves.len() as u64,
        root: tree::root(&hashes),
    };
    files.insert(
        "/log/checkpoint".into(),
        checkpoint.sign(&log).to_string().into(),
    );
    files.insert(
        "/log/cosigned".into(),
        json!({ "checkpoints": [] }).to_string().into(),
    );
    for (index, tile) in hashes.chunks(256).enumerate() {
        let id = TileId {
            level: 0,
            index: index as u64,
            width: u16::try_from(tile.len()).context("a tile has at most 256 hashes")?,
        };
        files.insert(format!("/log/{}", id.path()), tile::encode(tile).into());
    }
    Ok(files)
}
