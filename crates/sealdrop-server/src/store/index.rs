//! The index: SQLite beside the packs.
//!
//! A commit in the course of accepting drops is not synced, because the packs are, and the index is made whole from them after a crash. What the
//! packs do not hold for good (rosters, releases, segments, checkpoints, which windows are gone) or not at all (slips of the open window) is
//! committed with a sync ([`Index::durably`]), and so is all of a window before its packs are removed.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, Transaction, params};
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::time::Window;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- Every entry of the log. at: where the body of a drop begins in its window's pack; null if it is a file of its own.
CREATE TABLE IF NOT EXISTS leaf (
    number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL,
    window INTEGER NOT NULL, at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS drop_by_digest ON leaf (digest) WHERE kind = 0;
-- first: its first leaf. indexed: how much of its pack is in the index. gone: its packs are removed, or to be removed.
CREATE TABLE IF NOT EXISTS window (
    number INTEGER PRIMARY KEY, first INTEGER NOT NULL, indexed INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0, release TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS roster (epoch INTEGER PRIMARY KEY, note TEXT NOT NULL, policy TEXT NOT NULL) STRICT;
-- The tiles of the last checkpoint's tree, 32 bytes a node.
CREATE TABLE IF NOT EXISTS tile (
    level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (size INTEGER PRIMARY KEY, window INTEGER, note TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS cosignature (
    size INTEGER NOT NULL, witness TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;
-- What members posted for the open window. It goes as the window's segment comes.
CREATE TABLE IF NOT EXISTS slips (member TEXT PRIMARY KEY, slips BLOB NOT NULL) STRICT, WITHOUT ROWID;
-- The feed. bytes: null when the segment has expired.
CREATE TABLE IF NOT EXISTS segment (window INTEGER PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL, bytes BLOB) STRICT;
";

/// One connection to the index.
pub(super) struct Index {
    db: Connection,
}

/// A row of `window`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WindowRow {
    pub(crate) number: u64,
    pub(crate) first: u64,
    pub(crate) indexed: u64,
    pub(crate) closed: bool,
    pub(crate) gone: bool,
    pub(crate) release: Option<String>,
}

/// A drop as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DropRow {
    pub(crate) leaf: Leaf,
    /// Where its body begins in the pack; `None` if it is a file of its own.
    pub(crate) at: Option<u64>,
}

/// A segment of the feed, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub(crate) window: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) size: u64,
}

type Result<T> = rusqlite::Result<T>;

impl Index {
    /// The connection that writes; there is one.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(Duration::from_secs(5))?;
        // While there is nothing in it, there is nothing to lose.
        let new = std::fs::metadata(path).is_ok_and(|file| file.len() == 0);
        db.pragma_update(None, "synchronous", if new { "off" } else { "normal" })?;
        db.pragma_update(None, "journal_mode", "wal")?;
        // Checkpoints of the WAL are made between batches, not within one.
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "secure_delete", true)?;
        db.set_prepared_statement_cache_capacity(32);
        db.execute_batch(SCHEMA)?;
        db.pragma_update(None, "synchronous", "normal")?;
        Ok(Self { db })
    }

    /// A connection that only reads.
    pub(super) fn open_reader(path: &Path) -> Result<Self> {
        let db = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(Duration::from_secs(5))?;
        db.set_prepared_statement_cache_capacity(32);
        Ok(Self { db })
    }

    /// Runs `write` in one transaction, which survives a crash of the process but maybe not one of the machine.
    pub(super) fn quickly<T>(
        &mut self,
        write: impl FnOnce(&Writing<'_>) -> Result<T>,
    ) -> Result<T> {
        let transaction = self.db.transaction()?;
        let result = write(&Writing {
            transaction: &transaction,
        })?;
        transaction.commit()?;
        Ok(result)
    }

    /// The same, synced to the disk with all that was committed before.
    pub(super) fn durably<T>(
        &mut self,
        write: impl FnOnce(&Writing<'_>) -> Result<T>,
    ) -> Result<T> {
        self.db.pragma_update(None, "synchronous", "full")?;
        let result = self.quickly(write);
        self.db.pragma_update(None, "synchronous", "normal")?;
        result
    }

    /// Moves the WAL into the database as far as readers let it.
    pub(super) fn checkpoint(&self) -> Result<()> {
        self.db
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }

    /// The same to its end, and cuts the WAL off: of what was deleted nothing is left in it. Fails while somebody reads for long.
    pub(super) fn checkpoint_and_cut(&self) -> Result<()> {
        let busy: bool = self
            .db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                None,
            ));
        }
        Ok(())
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<String>> {
        self.db
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()
    }

    /// The number of the next leaf.
    pub(super) fn next_leaf(&self) -> Result<u64> {
        self.db
            .query_row("SELECT coalesce(max(number) + 1, 0) FROM leaf", [], |row| {
                number(row, 0)
            })
    }

    /// The leaves `[from, to)`.
    pub(super) fn leaves(&self, from: u64, to: u64) -> Result<Vec<Leaf>> {
        self.db
            .prepare_cached("SELECT kind, digest, size, window FROM leaf WHERE number >= ?1 AND number < ?2 ORDER BY number")?
            .query_map([signed(from), signed(to)], leaf)?
            .collect()
    }

    /// The latest drop with each of these digests, whether or not its body is still there.
    pub(super) fn find_drops<'a>(
        &self,
        digests: impl IntoIterator<Item = &'a [u8; 32]>,
    ) -> Result<HashMap<[u8; 32], Leaf>> {
        // One look at the database for all.
        let look = self.db.unchecked_transaction()?;
        // SQLite would prepare a statement with ORDER BY anew for each digest. Later leaves come later.
        let mut select = look.prepare_cached(
            "SELECT kind, digest, size, window, number FROM leaf WHERE kind = 0 AND digest = ?1",
        )?;
        let mut found = HashMap::new();
        for digest in digests {
            let mut rows = select.query([digest])?;
            let mut latest = 0;
            while let Some(row) = rows.next()? {
                let number = number(row, 4)?;
                if number >= latest {
                    latest = number;
                    found.insert(*digest, leaf(row)?);
                }
            }
        }
        Ok(found)
    }

    /// The drop of a window with this digest.
    pub(super) fn find_drop_in(&self, window: u64, digest: &[u8; 32]) -> Result<Option<DropRow>> {
        self.db
            .prepare_cached("SELECT kind, digest, size, window, at FROM leaf WHERE kind = 0 AND digest = ?1 AND window = ?2")?
            .query_row(params![digest, signed(window)], |row| Ok(DropRow { leaf: leaf(row)?, at: optional(row, 4)? }))
            .optional()
    }

    pub(super) fn window(&self, window: u64) -> Result<Option<WindowRow>> {
        self.db
            .prepare_cached("SELECT number, first, indexed, closed, gone, release FROM window WHERE number = ?1")?
            .query_row([signed(window)], window_row)
            .optional()
    }

    /// All windows, rising.
    pub(super) fn windows(&self) -> Result<Vec<WindowRow>> {
        self.db
            .prepare_cached(
                "SELECT number, first, indexed, closed, gone, release FROM window ORDER BY number",
            )?
            .query_map([], window_row)?
            .collect()
    }

    /// The first leaf of the window after this one, or the end of the log.
    pub(super) fn end_of_window(&self, window: u64) -> Result<u64> {
        let next = self
            .db
            .prepare_cached("SELECT first FROM window WHERE number > ?1 ORDER BY number LIMIT 1")?
            .query_row([signed(window)], |row| number(row, 0))
            .optional()?;
        next.map_or_else(|| self.next_leaf(), Ok)
    }

    /// Note and policy of a roster.
    pub(super) fn roster(&self, epoch: u64) -> Result<Option<(String, String)>> {
        self.db
            .query_row(
                "SELECT note, policy FROM roster WHERE epoch = ?1",
                [signed(epoch)],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
    }

    /// The notes of the latest `limit` rosters, latest first, with their policies.
    pub(super) fn latest_rosters(&self, limit: usize) -> Result<Vec<(String, String)>> {
        self.db
            .prepare("SELECT note, policy FROM roster ORDER BY epoch DESC LIMIT ?1")?
            .query_map([signed(limit as u64)], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }

    /// What each member posted for the open window.
    pub(super) fn slips(&self) -> Result<Vec<(String, Vec<u8>)>> {
        self.db
            .prepare("SELECT member, slips FROM slips")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }

    /// Whether a member posted for the open window.
    pub(super) fn has_slips_of(&self, member: &str) -> Result<bool> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM slips WHERE member = ?1)")?
            .query_row([member], |row| row.get(0))
    }

    /// The segments that have not expired, up to that of this window, rising.
    pub(super) fn segments(&self, up_to: u64) -> Result<Vec<SegmentRow>> {
        self.db
            .prepare_cached(
                "SELECT window, digest, size FROM segment WHERE window <= ?1 AND bytes IS NOT NULL ORDER BY window",
            )?
            .query_map([signed(up_to)], |row| {
                Ok(SegmentRow {
                    window: number(row, 0)?,
                    digest: row.get(1)?,
                    size: number(row, 2)?,
                })
            })?
            .collect()
    }

    /// The segment of a window: `None` if it has none, and no bytes if it has expired.
    pub(super) fn segment(&self, window: u64) -> Result<Option<Option<Vec<u8>>>> {
        self.db
            .prepare_cached("SELECT bytes FROM segment WHERE window = ?1")?
            .query_row([signed(window)], |row| row.get(0))
            .optional()
    }

    /// Whether a window has its segment.
    pub(super) fn has_segment(&self, window: u64) -> Result<bool> {
        self.db
            .prepare_cached("SELECT 1 FROM segment WHERE window = ?1")?
            .exists([signed(window)])
    }

    pub(super) fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        self.db
            .prepare_cached("SELECT hashes FROM tile WHERE level = ?1 AND number = ?2")?
            .query_row(params![level, signed(index)], |row| row.get(0))
            .optional()
    }

    /// The latest checkpoint.
    pub(super) fn latest_checkpoint(&self) -> Result<Option<(u64, String)>> {
        self.db
            .query_row(
                "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1",
                [],
                |row| Ok((number(row, 0)?, row.get(1)?)),
            )
            .optional()
    }

    pub(super) fn checkpoint_of(&self, size: u64) -> Result<Option<String>> {
        self.db
            .query_row(
                "SELECT note FROM checkpoint WHERE size = ?1",
                [signed(size)],
                |row| row.get(0),
            )
            .optional()
    }

    /// The latest `limit` checkpoints that have a cosignature, newest first: note, then its cosignature lines. A note may carry 64,
    /// the log's among them; when there are more, one of each member comes first.
    pub(super) fn cosigned(&self, limit: u32) -> Result<Vec<(String, Vec<String>)>> {
        let checkpoints: Vec<(u64, String)> = self.db
            .prepare_cached("SELECT size, note FROM checkpoint WHERE size IN (SELECT size FROM cosignature) ORDER BY size DESC LIMIT ?1")?
            .query_map([limit], |row| Ok((number(row, 0)?, row.get(1)?)))?
            .collect::<Result<_>>()?;
        let mut lines = self
            .db
            .prepare_cached("SELECT line FROM (SELECT line, witness, row_number() OVER (PARTITION BY substr(witness, 1, instr(witness, '/')) ORDER BY witness) AS turn
                FROM cosignature WHERE size = ?1) ORDER BY turn, witness LIMIT 63")?;
        checkpoints
            .into_iter()
            .map(|(size, note)| {
                Ok((
                    note,
                    lines
                        .query_map([signed(size)], |row| row.get(0))?
                        .collect::<Result<_>>()?,
                ))
            })
            .collect()
    }

    /// The witness vkeys that cosigned a checkpoint of this window or a later one.
    pub(super) fn witnesses_of(&self, window: u64) -> Result<Vec<String>> {
        self.db
            .prepare_cached("SELECT DISTINCT witness FROM cosignature JOIN checkpoint USING (size) WHERE window >= ?1")?
            .query_map([signed(window)], |row| row.get(0))?
            .collect()
    }
}

/// A transaction of the writing connection.
pub(super) struct Writing<'a> {
    transaction: &'a Transaction<'a>,
}

impl Writing<'_> {
    pub(super) fn set_meta(&self, name: &str, value: &str) -> Result<()> {
        self.run(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
            params![name, value],
        )
    }

    /// A leaf, and for a drop where its body begins in the pack.
    pub(super) fn leaf(&self, number: u64, leaf: &Leaf, at: Option<u64>) -> Result<()> {
        self.run(
            "INSERT INTO leaf VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                signed(number),
                kind_code(leaf.kind),
                leaf.digest,
                signed(leaf.size),
                signed(leaf.window.0),
                at.map(signed)
            ],
        )
    }

    pub(super) fn open_window(&self, window: u64, first: u64) -> Result<()> {
        self.run(
            "INSERT OR IGNORE INTO window (number, first) VALUES (?1, ?2)",
            [signed(window), signed(first)],
        )
    }

    pub(super) fn indexed(&self, window: u64, indexed: u64) -> Result<()> {
        self.run(
            "UPDATE window SET indexed = ?2 WHERE number = ?1",
            [signed(window), signed(indexed)],
        )
    }

    pub(super) fn close_window(&self, window: u64) -> Result<()> {
        self.run(
            "UPDATE window SET closed = 1 WHERE number = ?1",
            [signed(window)],
        )
    }

    pub(super) fn remove_window(&self, window: u64, release: Option<&str>) -> Result<()> {
        self.run(
            "UPDATE window SET gone = 1, release = ?2 WHERE number = ?1",
            params![signed(window), release],
        )
    }

    pub(super) fn roster(&self, epoch: u64, note: &str, policy: &str) -> Result<()> {
        self.run(
            "INSERT INTO roster VALUES (?1, ?2, ?3)",
            params![signed(epoch), note, policy],
        )
    }

    pub(super) fn tile(&self, level: u8, index: u64, hashes: &[u8]) -> Result<()> {
        self.run(
            "INSERT INTO tile VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET hashes = excluded.hashes",
            params![level, signed(index), hashes],
        )
    }

    pub(super) fn checkpoint(&self, size: u64, window: Option<u64>, note: &str) -> Result<()> {
        self.run(
            "INSERT INTO checkpoint VALUES (?1, ?2, ?3)",
            params![signed(size), window.map(signed), note],
        )
    }

    pub(super) fn post_slips(&self, member: &str, slips: &[u8]) -> Result<()> {
        self.run("INSERT INTO slips VALUES (?1, ?2)", params![member, slips])
    }

    /// A window's segment. Who posted what is forgotten with it.
    pub(super) fn segment(&self, window: u64, digest: &[u8; 32], bytes: &[u8]) -> Result<()> {
        self.run(
            "INSERT INTO segment VALUES (?1, ?2, ?3, ?4)",
            params![signed(window), digest, signed(bytes.len() as u64), bytes],
        )?;
        self.run("DELETE FROM slips", [])
    }

    pub(super) fn expire_segment(&self, window: u64) -> Result<()> {
        self.run(
            "UPDATE segment SET bytes = NULL WHERE window = ?1",
            [signed(window)],
        )
    }

    /// The first cosignature of a witness on a checkpoint stays.
    pub(super) fn cosignature(&self, size: u64, witness: &str, line: &str) -> Result<()> {
        self.run(
            "INSERT OR IGNORE INTO cosignature VALUES (?1, ?2, ?3)",
            params![signed(size), witness, line],
        )
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.transaction
            .prepare_cached(sql)?
            .execute(params)
            .map(drop)
    }
}

/// Kinds as the index has them; a drop is 0, which the schema knows.
fn kind_code(kind: LeafKind) -> u8 {
    match kind {
        LeafKind::Drop => 0,
        LeafKind::Roster => 1,
        LeafKind::Segment => 2,
        LeafKind::Release => 3,
        LeafKind::Pad => 4,
    }
}

fn leaf(row: &Row<'_>) -> Result<Leaf> {
    let kind = match row.get::<_, u8>(0)? {
        0 => LeafKind::Drop,
        1 => LeafKind::Roster,
        2 => LeafKind::Segment,
        3 => LeafKind::Release,
        4 => LeafKind::Pad,
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(0, other.into())),
    };
    Ok(Leaf {
        kind,
        digest: row.get(1)?,
        size: number(row, 2)?,
        window: Window(number(row, 3)?),
    })
}

fn window_row(row: &Row<'_>) -> Result<WindowRow> {
    Ok(WindowRow {
        number: number(row, 0)?,
        first: number(row, 1)?,
        indexed: number(row, 2)?,
        closed: row.get(3)?,
        gone: row.get(4)?,
        release: row.get(5)?,
    })
}

/// SQLite's integers are signed; all of ours are decimals below 2^53.
fn signed(number: u64) -> i64 {
    number.min(i64::MAX as u64) as i64
}

fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0) as u64)
}

fn optional(row: &Row<'_>, column: usize) -> Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|n| n.max(0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deleted_is_gone_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.db");
        let mut index = Index::open(&path).unwrap();
        let (slips, segment) = ([b's'; 40_000], [b'g'; 40_000]);
        let count = |byte: u8| {
            index_bytes(dir.path())
                .chunk_by(|a, b| a == b)
                .filter(|run| run[0] == byte && run.len() > 100)
                .count()
        };
        index.durably(|w| w.post_slips("alice", &slips)).unwrap();
        index.checkpoint_and_cut().unwrap();
        assert!(count(b's') > 0);
        index.durably(|w| w.segment(1, &[1; 32], &segment)).unwrap();
        index.checkpoint_and_cut().unwrap();
        assert_eq!(count(b's'), 0);
        assert!(count(b'g') > 0);
        index.durably(|w| w.expire_segment(1)).unwrap();
        index.checkpoint_and_cut().unwrap();
        assert_eq!(count(b'g'), 0);
    }

    #[test]
    fn a_note_never_carries_more_than_64_signatures_and_one_of_each_member_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = Index::open(&dir.path().join("index.db")).unwrap();
        index
            .durably(|w| {
                w.checkpoint(16, Some(1), "note")?;
                for device in 0..100 {
                    // The last member has one device, and their name is the last.
                    let member = if device == 99 { "z" } else { "a" };
                    w.cosignature(
                        16,
                        &format!("{member}/{device:02}+key"),
                        &device.to_string(),
                    )?;
                }
                Ok(())
            })
            .unwrap();
        let cosigned = index.cosigned(64).unwrap();
        let (_, lines) = &cosigned[0];
        assert_eq!(lines.len(), 63);
        assert_eq!(lines[..3], ["0", "99", "1"]);
    }

    fn index_bytes(dir: &Path) -> Vec<u8> {
        let files = std::fs::read_dir(dir).unwrap();
        files
            .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}
