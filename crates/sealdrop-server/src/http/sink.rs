//! Bodies on their way to a file, a chunk at a time. Memory does not grow with the size of a body.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use sealdrop_core::encoding::hex;
use sealdrop_core::log::leaf::Leaf;
use sha2::{Digest as _, Sha256};

use super::pace::Incoming;
use crate::error::Error;
use crate::store::folder::{owner_only, stamp, stamp_file};
use crate::store::{Body, Store};
use crate::system;

/// Bytes gathered before they are written.
pub(super) const CHUNK: usize = 131_072;
/// Room for a chunk: the last piece of it may be as long as a connection's buffer.
pub(super) const ROOM: usize = CHUNK + crate::serve::BUFFER;

/// A large drop on its way to a file of its own. The file goes with the sink, unless [`Sink::store`] has given it away.
pub(super) struct Sink {
    file: Arc<File>,
    path: PathBuf,
    store: Arc<Store>,
    hash: Sha256,
    len: u64,
    kept: bool,
}

impl Sink {
    pub(super) async fn temporary(store: &Arc<Store>) -> Result<Self, Error> {
        let path = store
            .uploads()
            .join(format!("tmp-{}", hex(&system::random::<16>())));
        let store = store.clone();
        blocking(move || {
            let file = Arc::new(owner_only().create_new(true).open(&path)?);
            Ok(Self {
                file,
                path,
                store,
                hash: Sha256::new(),
                len: 0,
                kept: false,
            })
        })
        .await
    }

    /// Bytes written so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The next chunk of a body; `None` at its end.
    pub(super) async fn fill(&self, body: &mut Incoming<'_>) -> Result<Option<Bytes>, Error> {
        let mut chunk = Vec::with_capacity(ROOM);
        gather(body, &mut chunk).await?;
        Ok((!chunk.is_empty()).then(|| chunk.into()))
    }

    pub(super) async fn write(mut self, store: &Store, chunk: Bytes) -> Result<Self, Error> {
        if store.is_full_for(chunk.len() as u64) {
            return Err(Error::Full);
        }
        blocking(move || {
            self.hash.update(&chunk);
            self.file.write_all_at(&chunk, self.len)?;
            self.len += chunk.len() as u64;
            self.store.count_upload(chunk.len() as i64);
            Ok(self)
        })
        .await
    }

    /// Makes the file durable, and a drop of it. The times that it shows are set before, so that the true ones do not reach the disk.
    pub(super) async fn store(self, store: &Arc<Store>) -> Result<Leaf, Error> {
        let mut sink = blocking(move || {
            stamp_file(&self.file, self.store.stamp_time());
            self.store.disk().sync(&self.file)?;
            Ok(self)
        })
        .await?;
        let digest = sink.hash.clone().finalize().into();
        let leaf = store
            .put(digest, sink.len, Body::Apart(sink.path.clone()))
            .await?;
        sink.kept = true;
        stamp(&store.uploads(), store.stamp_time());
        Ok(leaf)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
            self.store.count_upload(-(self.len as i64));
        }
    }
}

/// Gathers a chunk; `false` at the end of the body. What was gathered before an error stays in `chunk`.
pub(super) async fn gather(body: &mut Incoming<'_>, chunk: &mut Vec<u8>) -> Result<bool, Error> {
    while chunk.len() < CHUNK {
        match body.next().await? {
            Some(data) => chunk.extend_from_slice(&data),
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// What a client is told of an error of the disk.
pub(super) fn told(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::Full
        }
        _ => {
            tracing::error!(%error, "an upload cannot be written");
            Error::Internal
        }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Internal)?
        .map_err(told)
}
