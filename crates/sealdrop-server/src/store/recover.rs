//! Opening the store: what a crash left half done is finished or taken back.
//!
//! The packs are the truth. Records that the index lacks are added to it; a torn record at the end of a pack is cut off; bodies that no
//! record names are removed; so are the packs of windows that the index says are gone. A window that was left open is closed if its
//! time is over, by the same code as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, RwLock};

use sealdrop_core::encoding;
use sealdrop_core::key::{BoxKey, LogRole};
use sealdrop_core::log::checkpoint::{self, Checkpoint};
use sealdrop_core::log::leaf::LeafKind;
use sealdrop_core::log::tile::{self, TileError, TileId};
use sealdrop_core::log::tree::Frontier;
use sealdrop_core::note::{Note, Vkey};
use sealdrop_core::roster::Roster;

use super::disk::read_up_to;
use super::folder::{self, Folder, owner_only};
use super::index::{Index, WindowRow};
use super::pack::{self, Record};
use super::writer::{OpenWindow, Writer};
use super::{Held, Options, Published, Rosters, Shared};
use crate::error::StartError;

/// Opens the store; the second value is a connection for readers.
pub(super) fn open(options: Options) -> Result<(Writer, Index), StartError> {
    let folder = Folder::open(&options.data)?;
    make_private(&folder)?;
    let mut index = Index::open(&folder.index())?;
    check_box(&mut index, &options.box_key)?;
    let latest = index.latest_checkpoint()?;
    let log_key_path = folder.root().join("log.key");
    if latest.is_some() && !log_key_path.exists() {
        return Err(StartError::BadLogKey(log_key_path));
    }
    let log_key = folder.log_key()?;
    let log_vkey = checkpoint::log_vkey(&options.box_key, &log_key.to_public());

    replay(&folder, &mut index, &options.box_key)?;
    let windows = index.windows()?;
    let held = hold(&folder, &index, &windows)?;
    let rosters = rosters(&folder, &index, &options.box_key)?;
    let last_closed = windows.iter().rev().find(|row| row.closed);
    let last_closed = last_closed.map(|row| row.number);
    let (published, frontier) = match latest {
        None => {
            let note = Checkpoint::empty(log_vkey.name())
                .sign(&log_key)
                .to_string();
            index.durably(|w| w.checkpoint(0, None, &note))?;
            (
                Published {
                    size: 0,
                    window: None,
                    note: note.into(),
                },
                Frontier::new(),
            )
        }
        Some((size, note)) => {
            let frontier = frontier(&folder, &index, &log_vkey, size, &note)?;
            (
                Published {
                    size,
                    window: last_closed,
                    note: note.into(),
                },
                frontier,
            )
        }
    };
    let used = folder
        .bytes_used()
        .map_err(|error| StartError::io("read", folder.root(), error))?;
    let window_length = rosters
        .as_ref()
        .map(|rosters| rosters.current.window_length());
    let left_open = windows
        .iter()
        .rev()
        .find(|row| !row.closed && !row.gone && window_length.is_some());
    let open = left_open.map(|row| reopen(&folder, row)).transpose()?;
    let next = index.next_leaf()?;
    let segments = index.segments(last_closed.unwrap_or(0))?;
    let segments: BTreeSet<u64> = segments.iter().map(|row| row.window).collect();
    let reader = Index::open_reader(&folder.index())?;
    let shared = Shared {
        disk: options.disk,
        clock: options.clock,
        log_key,
        log_vkey,
        max_store: options.max_store,
        reserve: options.reserve,
        rosters: RwLock::new(rosters.map(Arc::new)),
        published: RwLock::new(published),
        held: RwLock::new(held),
        used: AtomicU64::new(used),
        used_before: AtomicU64::new(used),
        failed: AtomicBool::new(false),
        open_window: AtomicU64::new(open.as_ref().map_or(0, |open| open.number)),
        folder,
    };
    let mut writer = Writer {
        shared: Arc::new(shared),
        box_key: options.box_key,
        index,
        segments,
        untidy: true,
        next,
        frontier,
        window_length,
        open,
        last_closed,
        heartbeat: options.heartbeat,
    };
    // A full disk or a clock behind the log are no reason not to serve what is here.
    let _ = writer.turn();
    writer.expire();
    Ok((writer, reader))
}

/// Makes the index for the owner alone; SQLite gives its other files the same mode.
fn make_private(folder: &Folder) -> Result<(), StartError> {
    let path = folder.index();
    owner_only()
        .create(true)
        .truncate(false)
        .open(&path)
        .map(drop)
        .map_err(|error| StartError::io("write", &path, error))
}

fn check_box(index: &mut Index, box_key: &BoxKey) -> Result<(), StartError> {
    match index.meta("box")? {
        Some(known) if known == box_key.to_string() => Ok(()),
        Some(known) => Err(StartError::AnotherBox(known)),
        // Synced with the checkpoint of size 0, which follows.
        None => Ok(index.quickly(|w| w.set_meta("box", &box_key.to_string()))?),
    }
}

/// Brings the index up to the packs, and cuts off what is torn.
fn replay(folder: &Folder, index: &mut Index, box_key: &BoxKey) -> Result<(), StartError> {
    let broken = |what| StartError::Inconsistent(folder.root().into(), what);
    let mut next = index.next_leaf()?;
    for window in window_dirs(folder)? {
        let row = index.window(window)?;
        let dir = folder.window(window);
        if row.as_ref().is_some_and(|row| row.closed || row.gone) {
            continue;
        }
        let at = |error| StartError::io("read", &dir, error);
        let pack = match owner_only().open(dir.join("pack")) {
            Ok(pack) => pack,
            // The window was about to be opened.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && row.is_none() => continue,
            Err(error) => return Err(at(error)),
        };
        let len = pack.metadata().map_err(at)?.len();
        let from = row.as_ref().map_or(0, |row| row.indexed);
        if len < from {
            return Err(broken("a pack is shorter than it was"));
        }
        let (records, end) = whole_records(&pack, &dir, from).map_err(at)?;
        if len > from {
            // What a killed process wrote may not be on the disk yet, and the index is about to build on it.
            pack.set_len(end)
                .and_then(|()| pack.sync_all())
                .map_err(at)?;
        }
        if records.first().is_some_and(|first| first.number != next)
            || records
                .windows(2)
                .any(|pair| pair[1].number != pair[0].number + 1)
            || records.iter().any(|record| record.leaf.window.0 != window)
        {
            return Err(broken("leaves are missing"));
        }
        if row.is_none() && records.is_empty() {
            // The window was about to be opened; `hold` removes its folder.
            continue;
        }
        let rosters = roster_bodies(&pack, &records, box_key)
            .map_err(at)?
            .ok_or_else(|| broken("a roster is unreadable"))?;
        let releases = releases(&pack, &records).map_err(at)?;
        let segments = segments(&pack, &records).map_err(at)?;
        index.durably(|w| {
            w.open_window(window, next)?;
            for record in &records {
                let at =
                    (record.leaf.kind == LeafKind::Drop && !record.apart).then_some(record.body_at);
                w.leaf(record.number, &record.leaf, at)?;
            }
            for (roster, note, policy) in &rosters {
                w.roster(roster.epoch(), note, policy)?;
                w.set_meta("window", &roster.window_length().to_string())?;
            }
            for (released, note) in &releases {
                w.remove_window(*released, Some(note))?;
            }
            for (digest, segment) in &segments {
                w.segment(window, digest, segment)?;
            }
            w.indexed(window, end)
        })?;
        next += records.len() as u64;
    }
    Ok(())
}

/// The releases among the records: which window, and the request. They were verified when they were written down.
fn releases(pack: &File, records: &[Record]) -> std::io::Result<Vec<(u64, String)>> {
    let mut releases = Vec::new();
    for record in records
        .iter()
        .filter(|record| record.leaf.kind == LeafKind::Release)
    {
        let note = String::from_utf8(read_body(pack, record)?).unwrap_or_default();
        let path = note.lines().find_map(|line| {
            line.strip_prefix("path: /v1/windows/")?
                .strip_suffix("/release")
        });
        if let Some(window) = path.and_then(encoding::from_decimal) {
            releases.push((window, note));
        }
    }
    Ok(releases)
}

/// The segment among the records: a window that was about to be closed has the one that was made for it, and gets no other.
fn segments(pack: &File, records: &[Record]) -> std::io::Result<Vec<([u8; 32], Vec<u8>)>> {
    records
        .iter()
        .filter(|record| record.leaf.kind == LeafKind::Segment)
        .map(|record| Ok((record.leaf.digest, read_body(pack, record)?)))
        .collect()
}

/// The whole records from `from` on, and where they end.
fn whole_records(pack: &File, dir: &Path, from: u64) -> std::io::Result<(Vec<Record>, u64)> {
    let (mut records, mut at) = (Vec::new(), from);
    while let Some(record) = pack::read(pack, at)? {
        if !pack::body_is_whole(pack, &record, dir)? {
            break;
        }
        at = record.end();
        records.push(record);
    }
    Ok((records, at))
}

/// The rosters among the records, with note and policy; `None` if one cannot be read.
fn roster_bodies(
    pack: &File,
    records: &[Record],
    box_key: &BoxKey,
) -> std::io::Result<Option<Vec<(Roster, String, String)>>> {
    let mut rosters = Vec::new();
    for record in records
        .iter()
        .filter(|record| record.leaf.kind == LeafKind::Roster)
    {
        let body = read_body(pack, record)?;
        let Some(roster) = read_roster(&body, record.leaf.size, box_key) else {
            return Ok(None);
        };
        rosters.push(roster);
    }
    Ok(Some(rosters))
}

fn read_roster(body: &[u8], note_len: u64, box_key: &BoxKey) -> Option<(Roster, String, String)> {
    let (note, policy) = body.split_at_checked(usize::try_from(note_len).ok()?)?;
    let roster = Roster::verify_ignoring_expiry(&Note::parse(note).ok()?, box_key).ok()?;
    Some((
        roster,
        String::from_utf8(note.into()).ok()?,
        String::from_utf8(policy.into()).ok()?,
    ))
}

fn read_body(pack: &File, record: &Record) -> std::io::Result<Vec<u8>> {
    let mut body = vec![0; record.body_len as usize];
    let n = read_up_to(pack, &mut body, record.body_at)?;
    body.truncate(n);
    Ok(body)
}

/// The windows whose bodies are here. What is of no window that is held, and of no leaf of the open one, is removed.
fn hold(
    folder: &Folder,
    index: &Index,
    windows: &[WindowRow],
) -> Result<BTreeMap<u64, Held>, StartError> {
    let mut held = BTreeMap::new();
    let dirs = window_dirs(folder)?;
    for (position, row) in windows.iter().enumerate().filter(|(_, row)| !row.gone) {
        if !dirs.contains(&row.number) {
            return Err(StartError::Inconsistent(
                folder.root().into(),
                "a pack is missing",
            ));
        }
        let end = windows
            .get(position + 1)
            .map_or_else(|| index.next_leaf(), |next| Ok(next.first))?;
        let has = |leaf: &sealdrop_core::log::leaf::Leaf| leaf.kind == LeafKind::Drop;
        let leaves = index.leaves(row.first, end)?;
        held.insert(
            row.number,
            Held {
                drops: leaves.iter().any(has),
            },
        );
        if row.closed {
            continue;
        }
        let dir = folder.window(row.number);
        let at = |error| StartError::io("read", &dir, error);
        for entry in fs::read_dir(&dir).map_err(at)? {
            let name = entry.map_err(at)?.file_name();
            let digest = name.to_str().and_then(encoding::from_hex::<32>);
            let named = digest
                .is_some_and(|digest| leaves.iter().any(|leaf| has(leaf) && leaf.digest == digest));
            if name != "pack" && !named {
                fs::remove_file(dir.join(&name)).map_err(at)?;
            }
        }
    }
    for window in dirs.iter().filter(|window| !held.contains_key(window)) {
        let dir = folder.window(*window);
        fs::remove_dir_all(&dir).map_err(|error| StartError::io("remove", &dir, error))?;
    }
    Ok(held)
}

fn window_dirs(folder: &Folder) -> Result<Vec<u64>, StartError> {
    let at = |error| StartError::io("read", &folder.packs(), error);
    let mut windows = Vec::new();
    for entry in fs::read_dir(folder.packs()).map_err(at)? {
        windows.extend(
            entry
                .map_err(at)?
                .file_name()
                .to_str()
                .and_then(encoding::from_decimal),
        );
    }
    windows.sort_unstable();
    Ok(windows)
}

fn rosters(
    folder: &Folder,
    index: &Index,
    box_key: &BoxKey,
) -> Result<Option<Rosters>, StartError> {
    let mut latest = index.latest_rosters(2)?.into_iter().map(|(note, policy)| {
        let roster = Note::parse(note.as_bytes())
            .ok()
            .and_then(|note| Roster::verify_ignoring_expiry(&note, box_key).ok());
        Ok::<_, StartError>((
            roster.ok_or_else(|| {
                StartError::Inconsistent(folder.root().into(), "a roster is unreadable")
            })?,
            policy,
        ))
    });
    let Some((current, policy)) = latest.next().transpose()? else {
        return Ok(None);
    };
    let previous = latest.next().transpose()?.map(|(roster, _)| roster);
    Ok(Some(Rosters::new(current, previous, policy)))
}

/// The edge of the published tree, which must be the one that the last checkpoint signs.
fn frontier(
    folder: &Folder,
    index: &Index,
    vkey: &Vkey<LogRole>,
    size: u64,
    note: &str,
) -> Result<Frontier, StartError> {
    let broken = |what| StartError::Inconsistent(folder.root().into(), what);
    let checkpoint = Note::parse(note.as_bytes())
        .ok()
        .and_then(|note| Checkpoint::verify(&note, vkey).ok())
        .ok_or_else(|| broken("another log key signed the last checkpoint"))?;
    let fetch = |id: TileId| -> Result<_, TileError> {
        let bytes = index
            .tile(id.level, id.index)
            .ok()
            .flatten()
            .ok_or(TileError::OutOfRange)?;
        id.parse(&bytes)
    };
    Frontier::read(size, tile::nodes_from(size, fetch))
        .ok()
        .filter(|frontier| frontier.root() == checkpoint.root && checkpoint.size == size)
        .ok_or_else(|| broken("the tiles are not those of the last checkpoint"))
}

fn reopen(folder: &Folder, row: &WindowRow) -> Result<OpenWindow, StartError> {
    let path = folder.window(row.number).join("pack");
    let at = |error| StartError::io("open", &path, error);
    let pack = owner_only().open(&path).map_err(at)?;
    let len = pack.metadata().map_err(at)?.len();
    folder::sync_dir(&folder.packs()).map_err(at)?;
    Ok(OpenWindow {
        number: row.number,
        pack,
        len,
        segment: None,
    })
}
