//! HTTP spoken by hand: one request on one connection, so that a test says every byte and sees every byte.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use sealdrop_tests::PATIENCE;

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Everything before the body, as it came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the answer is JSON")
    }

    /// The body as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is text")
    }
}

/// One request. An error is a server that went before its answer was whole.
pub(crate) fn call(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> io::Result<Reply> {
    exchange(TcpStream::connect(server)?, method, path, headers, body)
}

/// The same on a connection that the caller made.
pub(crate) fn exchange(
    mut stream: TcpStream,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> io::Result<Reply> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\n",
        stream.peer_addr()?
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    // A server may refuse before it has read all; its answer then tells more than the broken pipe.
    let sent = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.unwrap_or_default()));
    let mut answer = Vec::new();
    let received = stream.read_to_end(&mut answer);
    parse(&answer, method).ok_or_else(|| match (sent, received) {
        (Err(error), _) | (_, Err(error)) => error,
        _ => io::ErrorKind::UnexpectedEof.into(),
    })
}

/// `None` unless head and body are there to the last byte.
fn parse(answer: &[u8], method: &str) -> Option<Reply> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(answer[..end].to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let reply = Reply {
        status,
        body: answer[end..].to_vec(),
        head,
    };
    let expected = match reply.header("content-length") {
        _ if method == "HEAD" || status == 204 => 0,
        Some(length) => length.parse().ok()?,
        None => return None,
    };
    (reply.body.len() == expected).then_some(reply)
}
