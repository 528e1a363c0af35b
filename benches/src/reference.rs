//! The reference: the least that a server with durable answers does. It checks nothing, hashes nothing, keeps no index; it
//! appends what comes to one file, syncs once for all that waits, and answers.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// The most bodies for one sync.
const BATCH: usize = 512;

type Waiting = (Bytes, oneshot::Sender<bool>);

pub(crate) fn serve(dir: &str) -> Result<()> {
    let file = File::create_new(Path::new(dir).join("drops"))?;
    let (sender, waiting) = mpsc::channel(1024);
    std::thread::spawn(move || write(file, waiting));
    let router = Router::new()
        .route("/v1/drops", post(accept))
        .layer(DefaultBodyLimit::disable())
        .with_state(sender);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("ready on http://{}", listener.local_addr()?);
            Ok(axum::serve(listener, router).await?)
        })
}

async fn accept(
    State(writer): State<mpsc::Sender<Waiting>>,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let (answer, stored) = oneshot::channel();
    let sent = writer.send((body, answer)).await.is_ok();
    if sent && stored.await == Ok(true) {
        (StatusCode::CREATED, "stored\n")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "not stored\n")
    }
}

/// Group commit.
fn write(mut file: File, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match waiting.try_recv() {
                Ok(next) => batch.push(next),
                Err(_) => break,
            }
        }
        let written = batch.iter().try_for_each(|(body, _)| file.write_all(body));
        let stored = written.and_then(|()| file.sync_data()).is_ok();
        for (_, answer) in batch {
            answer.send(stored).ok();
        }
    }
}
