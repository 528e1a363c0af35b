//! `/v1/uploads`: large drops, in pieces. docs/protocol.md, "Resumable upload".
//!
//! An upload is a file in `uploads/` whose name says all that must outlive a restart: the window in which it began, its id, its length.
//! Once it is complete the file is a pack, and an empty file takes its place whose name says which leaf it became:
//!
//! ```text
//! <window>-<id>-<length>                        under way; the file's length is the offset. Made with the first byte
//! <window>-<id>-<length>-<digest>-<window>      complete
//! tmp-<id>                                      a large POST /v1/drops; removed at the next start
//! ```
//!
//! Memory does not grow with the size of an upload: one chunk, and the state of a hash.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sealdrop_core::encoding::{from_decimal, from_hex, hex};
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::time::{Time, Window};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedMutexGuard, watch};

use super::drops::{check_shape, check_size, head_len, promised, receive};
use super::pace::Incoming;
use super::sink::{CHUNK, ROOM, blocking, gather, told};
use super::{Answer, App, content_length, decimal_header, segment, text_header};
use crate::error::Error;
use crate::store::disk::read_up_to;
use crate::store::folder::{owner_only, stamp, stamp_file};
use crate::store::{Body, Rosters, Store};
use crate::system;

const UPLOAD_LENGTH: &str = "upload-length";
const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_COMPLETE: &str = "upload-complete";
const PARTIAL: &str = "application/partial-upload";

/// How many uploads may have begun and not ended, for each that may be received at the same time.
const BEGUN_PER_PLACE: usize = 16;
/// How many completed uploads are remembered, for each that may be received at the same time.
const COMPLETED_PER_PLACE: usize = 16;
/// For how many seconds an upload without a byte is remembered.
const EMPTY_TIME: u64 = 600;
/// An upload of fewer bytes gives way when its place is needed: it cost its client little to send, and costs little to send again.
const LITTLE: u64 = 1 << 20;
/// How long a request waits for the one before it on the same upload to let go.
const TAKE_OVER: Duration = Duration::from_secs(10);

type Id = [u8; 16];

/// The uploads that have begun.
pub(crate) struct Uploads {
    dir: PathBuf,
    begun: Mutex<HashMap<Id, Arc<Upload>>>,
    /// How many have begun since the start.
    count: AtomicU64,
}

struct Upload {
    began: u64,
    /// Which one since the start, and when: for those that give way. What is older than the start is the oldest.
    turn: u64,
    time: Time,
    length: u64,
    path: PathBuf,
    stage: Arc<tokio::sync::Mutex<Stage>>,
    /// Tells a request that still holds the upload that its client has come back.
    let_go: watch::Sender<()>,
    complete: AtomicBool,
}

/// The one request that may change an upload, and how it hears that another wants to.
type Held = (OwnedMutexGuard<Stage>, watch::Receiver<()>);

enum Stage {
    UnderWay {
        offset: u64,
        /// Over all bytes up to the offset; `None` after a restart, until it is needed.
        hash: Option<Sha256>,
        shaped: bool,
    },
    Complete(Leaf),
    Forgotten,
}

impl Uploads {
    pub(super) fn open(dir: PathBuf, store: &Store) -> io::Result<Self> {
        let mut begun = HashMap::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let len = entry.metadata()?.len();
            if let Some((id, upload)) = entry
                .file_name()
                .to_str()
                .and_then(|name| Upload::parse(name, &dir, len))
                .filter(|(_, upload)| len > 0 || upload.complete.load(Ordering::Relaxed))
            {
                begun.insert(id, Arc::new(upload));
            } else {
                fs::remove_file(entry.path())?;
                store.count_upload(-(len as i64));
            }
        }
        Ok(Self {
            dir,
            begun: Mutex::new(begun),
            count: AtomicU64::new(0),
        })
    }

    fn find(&self, id: &str) -> Result<(Id, Arc<Upload>), Error> {
        let id = from_hex(id).ok_or(Error::NotFound)?;
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun
            .get(&id)
            .cloned()
            .map(|upload| (id, upload))
            .ok_or(Error::NotFound)
    }

    /// Adds a new upload. When all places are taken, the oldest of fewer than [`LITTLE`] bytes that is not being received gives way.
    fn add(&self, id: Id, upload: Arc<Upload>, places: usize, store: &Store) -> Result<(), Error> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = begun
            .values()
            .filter(|upload| !upload.complete.load(Ordering::Relaxed))
            .count();
        if under_way >= places {
            let oldest = begun
                .iter()
                .filter(|(_, upload)| upload.has_fewer_than(LITTLE))
                .min_by_key(|(_, upload)| upload.turn)
                .map(|(id, _)| *id)
                .ok_or(Error::Busy)?;
            // More may be coming at this moment; then there is no room after all.
            if !begun[&oldest].forget_fewer_than(LITTLE, store) {
                return Err(Error::Busy);
            }
            begun.remove(&oldest);
        }
        begun.insert(id, upload);
        Ok(())
    }

    /// Forgets the completed uploads that began first, down to this many. Whoever completes one of them again has to send it again, and gets
    /// the same promise.
    fn keep_completed(&self, most: usize, store: &Store) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let mut completed: Vec<_> = begun
            .iter()
            .filter(|(_, upload)| upload.complete.load(Ordering::Relaxed))
            .map(|(id, upload)| (upload.turn, *id))
            .collect();
        let over = completed.len().saturating_sub(most);
        if over == 0 {
            return;
        }
        completed.sort_unstable();
        for (_, id) in completed.into_iter().take(over) {
            // One that is being asked about at this moment goes with a later one.
            if let Ok(mut stage) = begun[&id].stage.clone().try_lock_owned() {
                begun[&id].remove(&mut stage, store);
                begun.remove(&id);
            }
        }
    }

    /// Forgets what was not completed by the end of the window after the one it began in, and what was, likewise; and what has no byte
    /// after [`EMPTY_TIME`].
    pub(super) fn forget_before(&self, open: u64, now: Time, store: &Store) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|_, upload| {
            if upload.began + 1 >= open {
                let late = now.0 >= upload.time.0.saturating_add(EMPTY_TIME);
                return !(late && upload.forget_fewer_than(1, store));
            }
            // One that is being written to at this moment goes at a later look.
            let Ok(mut stage) = upload.stage.try_lock() else {
                return true;
            };
            upload.remove(&mut stage, store);
            false
        });
    }
}

impl Upload {
    fn new(dir: &Path, id: &Id, began: u64, length: u64) -> Self {
        Self {
            began,
            turn: 0,
            time: Time(0),
            length,
            path: dir.join(format!("{began}-{}-{length}", hex(id))),
            stage: Arc::new(tokio::sync::Mutex::new(Stage::UnderWay {
                offset: 0,
                hash: Some(Sha256::new()),
                shaped: false,
            })),
            let_go: watch::Sender::new(()),
            complete: false.into(),
        }
    }

    /// An upload from the name and length of its file.
    fn parse(name: &str, dir: &Path, len: u64) -> Option<(Id, Self)> {
        let mut parts = name.split('-');
        let began = from_decimal(parts.next()?)?;
        let id = from_hex(parts.next()?)?;
        let length = from_decimal(parts.next()?)?;
        let upload = Self::new(dir, &id, began, length);
        let stage = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) if len <= length => Stage::UnderWay {
                offset: len,
                hash: None,
                shaped: false,
            },
            (Some(digest), Some(window), None) => Stage::Complete(Leaf {
                kind: LeafKind::Drop,
                digest: from_hex(digest)?,
                size: length,
                window: Window(from_decimal(window)?),
            }),
            _ => return None,
        };
        let complete = matches!(stage, Stage::Complete(_)).into();
        Some((
            id,
            Self {
                stage: Arc::new(stage.into()),
                complete,
                ..upload
            },
        ))
    }

    /// Whether fewer bytes than these have come, and none is coming.
    fn has_fewer_than(&self, bytes: u64) -> bool {
        let stage = self.stage.try_lock();
        stage.is_ok_and(|stage| stage.is_under_way_before(bytes))
    }

    /// Forgets it if fewer bytes than these have come, and none is coming. A failed first write may have left a file.
    fn forget_fewer_than(&self, bytes: u64, store: &Store) -> bool {
        let Ok(mut stage) = self.stage.try_lock() else {
            return false;
        };
        let few = stage.is_under_way_before(bytes);
        if few {
            self.remove(&mut stage, store);
        }
        few
    }

    /// Waits for a request that still holds this upload: its client has broken it off, or it will end soon. The second value tells
    /// when to let go in turn.
    async fn take(&self) -> Result<Held, Error> {
        let stage = self.stage.clone();
        if let Ok(stage) = stage.clone().try_lock_owned() {
            return Ok((stage, self.let_go.subscribe()));
        }
        self.let_go.send_replace(());
        let wanted = self.let_go.subscribe();
        let stage = tokio::time::timeout(TAKE_OVER, stage.lock_owned()).await;
        Ok((stage.map_err(|_| Error::Conflict)?, wanted))
    }

    fn marker(&self, leaf: &Leaf) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!("-{}-{}", hex(&leaf.digest), leaf.window));
        name.into()
    }

    fn remove(&self, stage: &mut Stage, store: &Store) {
        match std::mem::replace(stage, Stage::Forgotten) {
            Stage::UnderWay { offset, .. } => {
                let _ = fs::remove_file(&self.path);
                store.count_upload(-(offset as i64));
            }
            Stage::Complete(leaf) => drop(fs::remove_file(self.marker(&leaf))),
            Stage::Forgotten => {}
        }
    }
}

pub(super) async fn begin(State(app): State<Arc<App>>, request: Request) -> Answer {
    let length = decimal_header(&request, UPLOAD_LENGTH)?.ok_or(Error::BadRequest)?;
    if text_header(&request, UPLOAD_COMPLETE)? != Some("?0") || content_length(&request)? != Some(0)
    {
        return Err(Error::BadRequest);
    }
    let rosters = app.store.rosters().ok_or(Error::NoRoster)?;
    check_size(&rosters, length)?;
    if app.store.is_full_for_announced(length) {
        return Err(Error::Full);
    }
    let id = system::random();
    let upload = Upload {
        turn: app.uploads.count.fetch_add(1, Ordering::Relaxed),
        time: (app.clock)(),
        ..Upload::new(&app.uploads.dir, &id, app.store.open_window(), length)
    };
    let places = app.limits.max_uploads.saturating_mul(BEGUN_PER_PLACE);
    app.uploads.add(id, Arc::new(upload), places, &app.store)?;
    let location =
        HeaderValue::try_from(format!("/v1/uploads/{}", hex(&id))).map_err(|_| Error::Internal)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

pub(super) async fn look(State(app): State<Arc<App>>, request: Request) -> Answer {
    let (_, upload) = app.uploads.find(segment(&request, 2))?;
    let (offset, complete) = match &*upload.take().await?.0 {
        Stage::UnderWay { offset, .. } => (*offset, false),
        Stage::Complete(_) => (upload.length, true),
        Stage::Forgotten => return Err(Error::NotFound),
    };
    let mut response = at_offset(offset);
    let headers = response.headers_mut();
    headers.insert(
        HeaderName::from_static(UPLOAD_LENGTH),
        HeaderValue::from(upload.length),
    );
    headers.insert(
        HeaderName::from_static(UPLOAD_COMPLETE),
        HeaderValue::from_static(if complete { "?1" } else { "?0" }),
    );
    Ok(response)
}

pub(super) async fn forget(State(app): State<Arc<App>>, request: Request) -> Answer {
    let (id, upload) = app.uploads.find(segment(&request, 2))?;
    upload.remove(&mut upload.take().await?.0, &app.store);
    app.uploads
        .begun
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn append(State(app): State<Arc<App>>, request: Request) -> Answer {
    let (id, upload) = app.uploads.find(segment(&request, 2))?;
    if text_header(&request, header::CONTENT_TYPE.as_str())? != Some(PARTIAL) {
        return Err(Error::BadRequest);
    }
    let from = decimal_header(&request, UPLOAD_OFFSET)?.ok_or(Error::BadRequest)?;
    let completes = match text_header(&request, UPLOAD_COMPLETE)? {
        Some("?1") => true,
        Some("?0") | None => false,
        Some(_) => return Err(Error::BadRequest),
    };
    let size = content_length(&request)?.ok_or(Error::LengthRequired)?;
    let end = from
        .checked_add(size)
        .filter(|&end| end <= upload.length)
        .ok_or(Error::TooLarge)?;
    if completes && end != upload.length {
        return Err(Error::BadRequest);
    }
    let rosters = app.store.rosters().ok_or(Error::NoRoster)?;
    let (stage, wanted) = upload.take().await?;
    // Before anything is said of room: with an offset that is not ours nothing is to be learned about others. Room was looked for when the
    // upload began, and is looked for again with each chunk that came.
    match &*stage {
        Stage::Complete(leaf) if completes && size == 0 && from == upload.length => {
            return Ok(promised(&app, leaf));
        }
        Stage::UnderWay { offset, .. } if *offset == from => {}
        Stage::Complete(_) | Stage::UnderWay { .. } => return Err(Error::Conflict),
        Stage::Forgotten => return Err(Error::NotFound),
    }
    let place = receive(&app)?;
    // In a task of its own, so that what arrived is kept when the client goes and hyper drops the future of its request.
    let task = tokio::spawn(async move {
        let body = Incoming::new(request, &app.limits)?.at(&place);
        let (stage, received) =
            receive_piece(&app, &upload, (stage, wanted), body, &rosters).await?;
        if matches!(*stage, Stage::Forgotten) {
            app.uploads
                .begun
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id);
        }
        received?;
        if !completes {
            return Ok(at_offset(end));
        }
        let leaf = complete(&app, &upload, stage, rosters).await?;
        Ok(promised(&app, &leaf))
    });
    task.await.map_err(|_| Error::Internal)?
}

/// Writes what comes. Whatever ends it, the stage is true to what is in the file.
async fn receive_piece(
    app: &Arc<App>,
    upload: &Arc<Upload>,
    (mut stage, mut wanted): Held,
    mut body: Incoming<'_>,
    rosters: &Arc<Rosters>,
) -> Result<(OwnedMutexGuard<Stage>, Result<(), Error>), Error> {
    let mut result = Ok(());
    loop {
        let mut chunk = Vec::with_capacity(ROOM.min(body.left().max(1)));
        let more = tokio::select! {
            more = gather(&mut body, &mut chunk) => more,
            _ = wanted.changed() => Err(Error::Conflict),
        };
        if !chunk.is_empty() {
            let (upload, store, rosters) = (upload.clone(), app.store.clone(), rosters.clone());
            let written;
            (stage, written) = blocking(move || {
                let written = stage.write(&upload, &store, &chunk, &rosters);
                Ok((stage, written))
            })
            .await?;
            if let Err(error) = written {
                result = Err(error);
                break;
            }
        }
        match more {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    let (upload, store) = (upload.clone(), app.store.clone());
    blocking(move || {
        if let Err(error) = stage.sync(&upload, &store) {
            // The system tells of bytes that it lost once, and the next sync would succeed without them.
            upload.remove(&mut stage, &store);
            result = Err(told(error));
        }
        Ok((stage, result))
    })
    .await
}

/// Makes a drop of an upload of which every byte is there.
async fn complete(
    app: &Arc<App>,
    upload: &Arc<Upload>,
    stage: OwnedMutexGuard<Stage>,
    rosters: Arc<Rosters>,
) -> Result<Leaf, Error> {
    let (file, length) = (upload.path.clone(), upload.length);
    let (mut stage, digest) = blocking(move || {
        let mut stage = stage;
        let file = File::open(&file)?;
        let Stage::UnderWay { hash, .. } = &mut *stage else {
            return Ok((stage, Err(Error::NotFound)));
        };
        let hash = match hash.take() {
            Some(hash) => hash,
            None => hash_up_to(&file, length)?,
        };
        let digest: [u8; 32] = hash.clone().finalize().into();
        let Stage::UnderWay { hash: kept, .. } = &mut *stage else {
            return Ok((stage, Err(Error::NotFound)));
        };
        *kept = Some(hash);
        let mut head = vec![0; head_len(&rosters)];
        let n = read_up_to(&file, &mut head, 0)?;
        let shaped = check_shape(&rosters, &head[..n], length);
        Ok((stage, shaped.map(|()| digest)))
    })
    .await?;
    let leaf = app
        .store
        .put(digest?, length, Body::Apart(upload.path.clone()))
        .await?;
    // A marker that is lost costs a client a second upload, which gets the same promise.
    if let Ok(marker) = owner_only()
        .create(true)
        .truncate(true)
        .open(upload.marker(&leaf))
    {
        stamp_file(&marker, app.store.stamp_time());
    }
    stamp(&app.store.uploads(), app.store.stamp_time());
    *stage = Stage::Complete(leaf);
    upload.complete.store(true, Ordering::Relaxed);
    let most = app.limits.max_uploads.saturating_mul(COMPLETED_PER_PLACE);
    app.uploads.keep_completed(most, &app.store);
    Ok(leaf)
}

impl Stage {
    fn is_under_way_before(&self, bytes: u64) -> bool {
        matches!(self, Self::UnderWay { offset, .. } if *offset < bytes)
    }

    /// Appends a chunk, and looks at the header as soon as it is there. What is no drop is removed.
    fn write(
        &mut self,
        upload: &Upload,
        store: &Store,
        chunk: &[u8],
        rosters: &Rosters,
    ) -> Result<(), Error> {
        let Self::UnderWay {
            offset,
            hash,
            shaped,
        } = self
        else {
            return Err(Error::NotFound);
        };
        if store.is_full_for(chunk.len() as u64) {
            return Err(Error::Full);
        }
        let file = owner_only()
            .create(*offset == 0)
            .truncate(false)
            .open(&upload.path)
            .map_err(told)?;
        if hash.is_none() {
            *hash = Some(hash_up_to(&file, *offset).map_err(told)?);
        }
        if let Err(error) = file.write_all_at(chunk, *offset) {
            let _ = file.set_len(*offset);
            return Err(told(error));
        }
        if let Some(hash) = hash {
            hash.update(chunk);
        }
        *offset += chunk.len() as u64;
        store.count_upload(chunk.len() as i64);
        let enough = head_len(rosters);
        if !*shaped && *offset >= enough as u64 {
            let mut head = vec![0; enough];
            let n = read_up_to(&file, &mut head, 0).map_err(told)?;
            if let Err(error) = check_shape(rosters, &head[..n], upload.length) {
                upload.remove(self, store);
                return Err(error);
            }
            *shaped = true;
        }
        Ok(())
    }

    /// Makes what came durable: the offset that the client is told is one that survives a loss of power.
    fn sync(&self, upload: &Upload, store: &Store) -> io::Result<()> {
        if !matches!(self, Self::UnderWay { offset: 1.., .. }) {
            return Ok(());
        }
        let file = File::open(&upload.path)?;
        stamp_file(&file, store.stamp_time());
        store.disk().sync(&file)?;
        stamp(&store.uploads(), store.stamp_time());
        store.disk().sync_dir(&store.uploads())
    }
}

fn hash_up_to(file: &File, end: u64) -> io::Result<Sha256> {
    let (mut hash, mut at, mut buffer) = (Sha256::new(), 0, vec![0; CHUNK]);
    while at < end {
        let want = CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK));
        if read_up_to(file, &mut buffer[..want], at)? < want {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hash.update(&buffer[..want]);
        at += want as u64;
    }
    Ok(hash)
}

fn at_offset(offset: u64) -> Response {
    (
        StatusCode::NO_CONTENT,
        [(
            HeaderName::from_static(UPLOAD_OFFSET),
            HeaderValue::from(offset),
        )],
    )
        .into_response()
}
