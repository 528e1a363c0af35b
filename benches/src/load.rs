//! The load: so many clients, each sending one drop after another, each drop on a connection of its own, as the protocol has it.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::process::Server;
use crate::site::Supply;

/// What one round saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Processor time of the server for each drop. It swings less than the rest when others use the machine.
    pub(crate) cpu: Duration,
}

/// Drives a server from one thread. Drops of the first quarter of the time are not counted.
pub(crate) fn drive(
    server: &Server,
    supply: &Supply,
    clients: usize,
    time: Duration,
) -> Result<Seen> {
    let (addr, cpu) = (server.addr, server.cpu().unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let start = Instant::now();
    let (count_from, end) = (start + time / 4, start + time + time / 4);
    let next = Rc::new(Cell::new(0));
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let client = || {
            let (next, latencies, supply) = (next.clone(), latencies.clone(), supply.clone());
            tokio::task::spawn_local(async move {
                while Instant::now() < end {
                    let number = next.replace(next.get() + 1);
                    let sent = Instant::now();
                    send(addr, &supply, number).await?;
                    let done = Instant::now();
                    if sent >= count_from && done <= end {
                        latencies.borrow_mut().push(done - sent);
                    }
                }
                io::Result::Ok(())
            })
        };
        let clients: Vec<_> = (0..clients).map(|_| client()).collect();
        for client in clients {
            client.await??;
        }
        anyhow::Ok(())
    })?;
    let cpu = server.cpu().unwrap_or_default() - cpu;
    let mut latencies = latencies.take();
    latencies.sort();
    let at = |part: f64| {
        let index = (latencies.len() as f64 * part) as usize;
        latencies
            .get(index)
            .copied()
            .context("nothing was accepted")
    };
    Ok(Seen {
        rate: latencies.len() as f64 / time.as_secs_f64(),
        p50: at(0.5)?,
        p99: at(0.99)?,
        cpu: cpu.div_f64(next.get() as f64),
    })
}

/// Leaves drop `number`; an error unless it is accepted.
async fn send(server: SocketAddr, supply: &Supply, number: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut head = format!(
        "POST /v1/drops HTTP/1.1\r\nhost: {server}\r\ncontent-length: {}\r\n\r\n",
        supply.len()
    )
    .into_bytes();
    head.extend_from_slice(&supply.before);
    head.extend_from_slice(&number.to_be_bytes());
    stream.write_all(&head).await?;
    stream.write_all(&supply.after).await?;
    let mut answer = [0; 4096];
    let mut len = 0;
    while !is_whole(&answer[..len]) {
        match stream.read(&mut answer[len..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => len += n,
        }
    }
    if answer.starts_with(b"HTTP/1.1 201 ") {
        Ok(())
    } else {
        let answer = String::from_utf8_lossy(&answer[..len]);
        Err(io::Error::other(format!("not accepted: {answer}")))
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.is_none_or(|length: usize| answer.len() >= end + 4 + length)
}
