//! What uploads take of the server's memory.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::scratch;
use crate::site::{Site, Supply};
use sealdrop_core::drop::size;

/// What one `PATCH` carries, as the client has it.
const PIECE: u64 = 64 << 20;

pub(crate) fn run(quick: bool) -> Result<()> {
    let (uploads, len) = if quick {
        (8, 64 << 20)
    } else {
        (32, 256 << 20)
    };
    let dir = scratch()?;
    let mut site = Site::new();
    let (server, roster) = site.serve(&dir.path().join("data"))?;
    let supply = site.supply(&roster, 1_000_000)?;
    let file_len = size::file(roster.members().len(), len);
    // One before, so that what is made once is there.
    upload_all(
        server.addr,
        &supply,
        1,
        size::file(roster.members().len(), 16 << 20),
    )?;
    server.reset_peak()?;
    let before = server.status("VmRSS").context("no /proc here")?;
    let begun = std::time::Instant::now();
    upload_all(server.addr, &supply, uploads, file_len)?;
    let elapsed = begun.elapsed().as_secs_f64();
    let peak = server.status("VmHWM").context("no /proc here")?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "Memory of the server, {uploads} uploads of {} MiB at the same time",
        len >> 20
    );
    println!(
        "before {:.1} MiB, peak {:.1} MiB: {:.2} MiB for each upload (aim: at most 1.00); {:.0} MiB/s",
        mib(before),
        mib(peak),
        mib(peak.saturating_sub(before)) / f64::from(uploads),
        mib(file_len) * f64::from(uploads) / elapsed,
    );
    Ok(())
}

fn upload_all(server: SocketAddr, supply: &Supply, uploads: u32, len: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..uploads)
            .map(|number| {
                let supply = supply.clone();
                let number = u64::from(number) + len;
                tokio::spawn(async move { upload(server, &supply, number, len).await })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

/// A drop of `len` bytes: a sealed one's header, and its payload over and over.
async fn upload(server: SocketAddr, supply: &Supply, number: u64, len: u64) -> io::Result<()> {
    let begun = exchange(
        server,
        &format!("POST /v1/uploads HTTP/1.1\r\nhost: {server}\r\nupload-length: {len}\r\nupload-complete: ?0\r\ncontent-length: 0\r\n\r\n"),
        &[],
    )
    .await?;
    let path = begun
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .ok_or_else(|| io::Error::other(begun.clone()))?
        .to_owned();
    let mut first = supply.before.to_vec();
    first.extend_from_slice(&number.to_be_bytes());
    let first = Bytes::from(first);
    let mut offset = 0;
    while offset < len {
        let size = PIECE.min(len - offset);
        let complete = if offset + size == len { "?1" } else { "?0" };
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/partial-upload\r\nupload-offset: {offset}\r\nupload-complete: {complete}\r\ncontent-length: {size}\r\n\r\n"
        );
        let mut pieces = Vec::new();
        let mut left = size;
        if offset == 0 {
            pieces.push(first.clone());
            left -= first.len() as u64;
        }
        while left > 0 {
            let n = left.min(supply.after.len() as u64);
            pieces.push(supply.after.slice(..usize::try_from(n).unwrap_or(0)));
            left -= n;
        }
        let answer = exchange(server, &head, &pieces).await?;
        let expected = if complete == "?1" {
            "HTTP/1.1 201 "
        } else {
            "HTTP/1.1 204 "
        };
        if !answer.starts_with(expected) {
            return Err(io::Error::other(answer));
        }
        offset += size;
    }
    Ok(())
}

async fn exchange(server: SocketAddr, head: &str, body: &[Bytes]) -> io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(head.as_bytes()).await?;
    for piece in body {
        stream.write_all(piece).await?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
