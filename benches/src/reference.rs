//! The reference: the least that a server with durable answers does. It checks nothing, hashes nothing, keeps no index; it
//! appends what comes to one file, syncs once for all that waits, and answers. The same server with other ways to store says what those cost.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use rusqlite::Connection;
use sealdrop_core::encoding::{base64, sha256};
use sealdrop_core::key::{LogRole, SecretKey};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// The most bodies for one sync.
const BATCH: usize = 512;

type Waiting = (Bytes, oneshot::Sender<bool>);

/// Ways to make a batch of drops durable. `signed` appends, and hashes and signs each drop as a promise does: what the protocol asks of any server.
pub(crate) const WAYS: [&str; 4] = ["append", "signed", "files", "sqlite"];

trait Keep: Send {
    fn keep(&mut self, drops: &[Waiting]) -> Result<()>;
}

/// One file for all, one sync for a batch.
struct Append(File);

/// A file for each drop, as a mail server has it; one sync of the folder for a batch.
struct Files(PathBuf, u64);

/// A row for each drop, one transaction for a batch, synced at its commit.
struct Sqlite(Connection);

pub(crate) fn serve(way: &str, dir: &str) -> Result<()> {
    let dir = Path::new(dir);
    let keep: Box<dyn Keep> = match way {
        "append" | "signed" => Box::new(Append(File::create_new(dir.join("drops"))?)),
        "files" => Box::new(Files(dir.into(), 0)),
        "sqlite" => {
            let db = Connection::open(dir.join("drops.sqlite"))?;
            db.pragma_update(None, "journal_mode", "wal")?;
            db.pragma_update(None, "synchronous", "full")?;
            db.execute_batch(
                "CREATE TABLE drops (number INTEGER PRIMARY KEY, body BLOB NOT NULL)",
            )?;
            Box::new(Sqlite(db))
        }
        other => bail!("no way to store is called {other}"),
    };
    let (sender, waiting) = mpsc::channel(1024);
    std::thread::spawn(move || write(keep, waiting));
    let router = Router::new()
        .route("/v1/drops", post(accept))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(Reference {
            writer: sender,
            key: (way == "signed").then(|| SecretKey::from_seed(&[7; 32])),
        }));
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("ready on http://{}", listener.local_addr()?);
            Ok(axum::serve(listener, router).await?)
        })
}

struct Reference {
    writer: mpsc::Sender<Waiting>,
    key: Option<SecretKey<LogRole>>,
}

async fn accept(State(reference): State<Arc<Reference>>, body: Bytes) -> (StatusCode, String) {
    let (answer, stored) = oneshot::channel();
    let digest = reference.key.as_ref().map(|_| sha256(&body));
    let sent = reference.writer.send((body, answer)).await.is_ok();
    if sent && stored.await == Ok(true) {
        let promise = reference.key.as_ref().zip(digest);
        let promise = promise.map(|(key, digest)| base64(&key.sign(&digest)));
        (
            StatusCode::CREATED,
            promise.unwrap_or_else(|| "stored".into()),
        )
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "not stored".into())
    }
}

/// Group commit.
fn write(mut keep: Box<dyn Keep>, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match waiting.try_recv() {
                Ok(next) => batch.push(next),
                Err(_) => break,
            }
        }
        let stored = keep.keep(&batch).is_ok();
        for (_, answer) in batch {
            answer.send(stored).ok();
        }
    }
}

impl Keep for Append {
    fn keep(&mut self, drops: &[Waiting]) -> Result<()> {
        for (body, _) in drops {
            self.0.write_all(body)?;
        }
        Ok(self.0.sync_data()?)
    }
}

impl Keep for Files {
    fn keep(&mut self, drops: &[Waiting]) -> Result<()> {
        for (body, _) in drops {
            self.1 += 1;
            let mut file = File::create_new(self.0.join(self.1.to_string()))?;
            file.write_all(body)?;
            file.sync_data()?;
        }
        Ok(File::open(&self.0)?.sync_all()?)
    }
}

impl Keep for Sqlite {
    fn keep(&mut self, drops: &[Waiting]) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO drops (body) VALUES (?1)")?;
            for (body, _) in drops {
                insert.execute([&body[..]])?;
            }
        }
        Ok(transaction.commit()?)
    }
}
