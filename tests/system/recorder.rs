//! Who sits between a client and the server, and keeps every byte: what an observer, and the server itself, has to tell people apart by.

use std::io::{Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A connection, whole, as it was used: every operation has one of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exchange {
    /// The request line and headers.
    pub(crate) head: String,
    /// The request's body.
    pub(crate) body: Vec<u8>,
    /// The answer, head and body.
    pub(crate) answer: Vec<u8>,
}

impl Exchange {
    /// `GET /v1/box`, for instance.
    pub(crate) fn request(&self) -> String {
        let line = self.head.lines().next().unwrap_or_default();
        line.rsplit_once(' ').unwrap_or_default().0.into()
    }

    /// What there is to see without looking into bodies: the head, and the sizes of both.
    pub(crate) fn shape(&self) -> (&str, usize, usize) {
        (&self.head, self.body.len(), self.answer.len())
    }

    /// Takes the server's clock out of the answer: the date, and how long a segment is kept from now.
    pub(crate) fn forget_clock(&mut self) {
        for header in [&b"\r\ndate: "[..], b"\r\ncache-control: "] {
            let head = split(&self.answer).0.len();
            if let Some(at) = memchr::memmem::find(&self.answer[..head], header) {
                let rest = memchr::memchr(b'\n', &self.answer[at + 2..]).unwrap_or_default();
                self.answer.drain(at + 2..=at + 2 + rest);
            }
        }
    }

    /// The body of the answer.
    pub(crate) fn answered(&self) -> &[u8] {
        split(&self.answer).1
    }
}

/// Passes everything on to a server, and records it.
pub(crate) struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Exchange>>>,
}

impl Recorder {
    /// Listens, before the server does: its origin is to be in the roster.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let at = {
                    // In the order of their connections, whichever ends first.
                    let mut seen = record.lock().expect("no recorder panics");
                    seen.push(Exchange::default());
                    seen.len() - 1
                };
                let record = Arc::clone(&record);
                thread::spawn(move || {
                    let exchange = pass(client, server);
                    let mut seen = record.lock().expect("no recorder panics");
                    if let Some(place) = seen.get_mut(at) {
                        *place = exchange;
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Where clients connect.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything since it was last asked, in the order of the connections. Whoever was recorded must have come to its end.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        sealdrop_tests::wait_until("every connection is recorded", || {
            let seen = self.seen.lock().expect("no recorder panics");
            seen.iter().all(|exchange| !exchange.answer.is_empty())
        });
        std::mem::take(&mut self.seen.lock().expect("no recorder panics"))
    }
}

/// Carries one connection in both directions to its end.
fn pass(mut client: TcpStream, server: SocketAddr) -> Exchange {
    let Ok(mut upstream) = TcpStream::connect(server) else {
        return Exchange::default();
    };
    let (from_client, to_server) = (client.try_clone(), upstream.try_clone());
    let (Ok(from_client), Ok(to_server)) = (from_client, to_server) else {
        return Exchange::default();
    };
    let asked = thread::spawn(move || copy(from_client, to_server));
    let answer = copy_on(&mut upstream, &mut client);
    client.shutdown(Shutdown::Both).ok();
    let sent = asked.join().expect("a copier does not panic");
    let (head, body) = split(&sent);
    Exchange {
        head: String::from_utf8_lossy(head).into_owned(),
        body: body.to_vec(),
        answer,
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> Vec<u8> {
    let seen = copy_on(&mut from, &mut to);
    to.shutdown(Shutdown::Write).ok();
    seen
}

fn copy_on(from: &mut TcpStream, to: &mut TcpStream) -> Vec<u8> {
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 65_536]);
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..len]);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    seen
}

/// Head and body.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    bytes.split_at(end)
}
