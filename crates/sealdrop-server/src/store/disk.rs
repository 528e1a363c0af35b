//! What the store asks of a disk for the bytes that it promises to keep, behind a trait so that tests can hold a sync back, make it fail, or fill
//! the disk. What needs no promise goes past it: reading, times, removals, nonces, the bytes of uploads before their sync. SQLite, and what a
//! start makes, syncs by itself; `tests/system/durable.rs` watches those.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What makes bytes durable.
///
/// When `sync` returns without error, everything written to the file before is on the disk and survives a loss of power. Nothing
/// is promised about bytes written and not synced, not even their order.
pub trait Disk: Send + Sync {
    /// Writes all of `slices`, one after another, from `at` on. After an error any part of them may have been written.
    ///
    /// # Errors
    /// What the system says; `StorageFull` is told to clients as such.
    fn write(&self, file: &File, at: u64, slices: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Makes the file's data durable, with as much of its metadata as reading it needs (fdatasync).
    ///
    /// # Errors
    /// What the system says. Whether earlier writes are durable is then unknown.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The bytes of the file system of `path` that are free to this user.
    ///
    /// # Errors
    /// What the system says.
    fn free(&self, path: &Path) -> io::Result<u64>;
}

/// A write goes on to about this many bytes. For one of many MiB the kernel takes its page cache in blocks of as much, which a virtual machine
/// may have to get from its host: a drop of 256 KiB then cost four times as much (docs/design.md, "The store, measured").
const WRITE: usize = 131_072;

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn write(&self, file: &File, mut at: u64, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Skips empty slices, so that a write of nothing is not taken for a full disk.
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let mut bytes = 0;
            let some = slices.iter().take_while(|slice| {
                let more = bytes < WRITE;
                bytes += slice.len();
                more
            });
            let some = &slices[..some.take(1024).count()];
            match rustix::io::pwritev(file, some, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    IoSlice::advance_slices(&mut slices, n);
                    at += n as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Reads as many bytes as there are, up to the length of `out`, from `at` on.
pub(crate) fn read_up_to(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < out.len() {
        match file.read_at(&mut out[read..], at + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
