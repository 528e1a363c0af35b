//! Limits, each with its refusal. docs/protocol.md, "Limits".

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test]
async fn stranger_sends_a_10_gib_body_and_is_refused_before_it_is_read() {
    let world = World::new().await;
    let announce = async |method: &str, path: &str, len: &str| {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n");
        send_raw(world.addr(), request.as_bytes()).await.status
    };
    assert_eq!(announce("POST", "/v1/drops", "10737418240").await, 413);
    assert_eq!(
        announce("POST", "/v1/drops", &(MAX_DROP + 1).to_string()).await,
        413
    );
    assert_eq!(announce("PUT", "/v1/box", "1048577").await, 413);
    assert_eq!(announce("POST", "/log/cosign", "1048577").await, 413);
    assert_eq!(announce("POST", "/v1/uploads", "1048577").await, 413);
    assert_eq!(announce("POST", "/nothing", "1048577").await, 413);
    assert_eq!(announce("POST", "/v1/drops", "-1").await, 400);
    assert_eq!(
        announce("POST", "/v1/drops", "18446744073709551616").await,
        400
    );
    let chunked = "POST /v1/drops HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(send_raw(world.addr(), chunked.as_bytes()).await.status, 411);
    assert_eq!(
        send_raw(
            world.addr(),
            head("POST", "/v1/drops", &[], None).as_bytes()
        )
        .await
        .status,
        411
    );
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let world = World::new().await;
    let status = async |head: &str| {
        let request = format!("GET /log/vkey {head}\r\n\r\n");
        send_raw(world.addr(), request.as_bytes()).await.status
    };
    assert_eq!(status("HTTP/1.1").await, 400);
    assert_eq!(status("HTTP/1.1\r\nHost: a\r\nHost: b").await, 400);
    assert_eq!(status("HTTP/1.1\r\nHost: a").await, 200);
    assert_eq!(status("HTTP/1.0").await, 200, "a proxy may speak it");
}

#[tokio::test]
async fn a_client_that_is_refused_while_it_still_sends_gets_to_read_why() {
    let world = World::new().await;
    // Larger than the buffers on the way, so that the server answers before the client is done.
    let body = vec![0; 30 << 20];
    assert_eq!(world.post("/v1/drops", &body).await.status, 413);
}

#[tokio::test]
async fn stranger_sends_a_million_headers() {
    let world = World::new().await;
    let with = |count: usize| {
        let headers: Vec<_> = (0..count)
            .map(|i| (format!("X-{i}"), "v".to_owned()))
            .collect();
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        head("GET", "/v1/box", &headers, None)
    };
    assert_eq!(
        send_raw(world.addr(), with(31).as_bytes()).await.status,
        200
    );
    assert_eq!(
        send_raw(world.addr(), with(32).as_bytes()).await.status,
        431
    );
    assert_eq!(
        send_raw(world.addr(), with(1_000_000).as_bytes())
            .await
            .status,
        431
    );
    let long = |len: usize| head("GET", "/v1/box", &[("X-Long", &"x".repeat(len))], None);
    assert_eq!(
        send_raw(world.addr(), long(16_000).as_bytes()).await.status,
        200
    );
    assert_eq!(
        send_raw(world.addr(), long(17_000).as_bytes()).await.status,
        431
    );
    assert_eq!(
        send_raw(world.addr(), b"NOT HTTP\r\n\r\n").await.status,
        400
    );
    assert_eq!(world.get("/v1/box").await.status, 200);
}

#[tokio::test]
async fn stranger_sends_a_slow_body_or_a_slow_head() {
    let world = World::with(1, |config| {
        config.limits.head_time = Duration::from_millis(200);
        config.limits.idle_time = Duration::from_millis(300);
        config.limits.rate_time = Duration::from_secs(1);
    })
    .await;
    // No head, and half of one.
    for part in [&b""[..], b"GET /v1/box HTTP/1.1\r\nHost"] {
        let mut stream = TcpStream::connect(world.addr()).await.unwrap();
        stream.write_all(part).await.unwrap();
        assert_eq!(answer(&mut stream).await.status, 408);
    }
    // A body that stops.
    let drop = small(1);
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    stream
        .write_all(head("POST", "/v1/drops", &[], Some(drop.len())).as_bytes())
        .await
        .unwrap();
    stream.write_all(&drop[..1_000]).await.unwrap();
    assert_eq!(answer(&mut stream).await.status, 408);
    // A body that trickles: never still for long, and under 1,024 bytes in each second.
    let stream = TcpStream::connect(world.addr()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    write
        .write_all(head("POST", "/v1/drops", &[], Some(drop.len())).as_bytes())
        .await
        .unwrap();
    let trickle = tokio::spawn(async move {
        for byte in drop {
            if write.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), read.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 408 "),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    trickle.abort();
    world.leave(&small(2)).await;
}

#[tokio::test]
async fn too_many_uploads_at_a_time_are_told_to_come_again() {
    let world = World::with(1, |config| config.limits.max_uploads = 2).await;
    let drop = large(1);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(world.addr()).await.unwrap();
        stream
            .write_all(head("POST", "/v1/drops", &[], Some(drop.len())).as_bytes())
            .await
            .unwrap();
        // Enough to be called fast for longer than this test takes.
        stream.write_all(&drop[..1_000_000]).await.unwrap();
        open.push(stream);
    }
    until("the places to be taken", async || {
        let reply = world.post("/v1/drops", &drop_of(1, 1 << 18, 2)).await;
        assert!(reply.status == 201 || reply.header("retry-after").is_some());
        reply.status == 503
    })
    .await;
    assert_eq!(
        world.get("/v1/box").await.status,
        200,
        "reading needs no place"
    );
    world.leave(&small(4)).await;
    std::mem::drop(open);
    until("a place", async || {
        world.post("/v1/drops", &large(3)).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn uploads_left_lying_with_little_give_way_and_those_with_much_do_not() {
    let world = World::with(1, |config| config.limits.max_uploads = 2).await;
    let drop = large(1);
    let length = drop.len().to_string();
    let begin = async || {
        let headers = [("Upload-Length", &*length), ("Upload-Complete", "?0")];
        send(world.addr(), "POST", "/v1/uploads", &headers, b"").await
    };
    let append = async |path: &str, bytes: &[u8]| {
        let headers = [
            ("Content-Type", "application/partial-upload"),
            ("Upload-Offset", "0"),
            ("Upload-Complete", "?0"),
        ];
        until("bytes to be taken", async || {
            let reply = send(world.addr(), "PATCH", path, &headers, bytes).await;
            reply.status == 204
        })
        .await;
    };
    let mut begun = Vec::new();
    for number in 0..34 {
        let reply = begin().await;
        assert_eq!(reply.status, 201, "the oldest with little gives way");
        let path = reply.header("location").unwrap().to_owned();
        // A flood of uploads of one byte is no better than one of none.
        append(&path, &drop[..number % 2]).await;
        begun.push(path);
    }
    for (position, path) in begun.iter().enumerate() {
        let look = send(world.addr(), "HEAD", path, &[], b"").await;
        assert_eq!(look.status, if position < 2 { 404 } else { 204 });
    }
    let files = || {
        std::fs::read_dir(world.data().join("uploads"))
            .unwrap()
            .count()
    };
    assert_eq!(files(), 16, "what gave way is gone from the disk");
    let mut much = Vec::new();
    for _ in 0..32 {
        let path = begin().await.header("location").unwrap().to_owned();
        append(&path, &drop[..1 << 20]).await;
        much.push(path);
    }
    assert_eq!(begin().await.status, 503, "one with much does not");
    for path in &much {
        let look = send(world.addr(), "HEAD", path, &[], b"").await;
        assert_eq!(look.header("upload-offset"), Some("1048576"));
    }
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_end() {
    let mut world = World::new().await;
    let drop = small(1);
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    stream
        .write_all(head("POST", "/v1/drops", &[], Some(drop.len())).as_bytes())
        .await
        .unwrap();
    stream.write_all(&drop[..1_000]).await.unwrap();
    // One that never says a word is not waited for.
    let silent = TcpStream::connect(world.addr()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let vkey = world.log().to_owned();
    let stopping = async { world.stop().await };
    let sending = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(&drop[1_000..]).await.unwrap();
        answer(&mut stream).await
    };
    let ((), reply) = tokio::join!(stopping, sending);
    assert_eq!(reply.status, 201);
    std::mem::drop(silent);
    world.start().await;
    assert_eq!(world.log(), vkey);
    assert!(world.fetch(FIRST, &drop).await.body == drop);
}

/// Sends the head of a request and the beginning of its body, and nothing more.
async fn begin_body(world: &World, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(world.addr()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

#[tokio::test]
async fn drops_are_accepted_while_idle_bodies_have_all_places() {
    let world = World::new().await;
    let drop = large(5);
    let head = head("POST", "/v1/drops", &[], Some(drop.len()));
    let mut idle = Vec::new();
    for _ in 0..256 {
        idle.push(begin_body(&world, &head, &drop[..10]).await);
    }
    // Those that have only just come are not slow yet.
    until("a place", async || {
        world.post("/v1/drops", &large(1)).await.status == 201
    })
    .await;
    assert_eq!(answer(&mut idle[0]).await.status, 503, "it gave way");
    world.leave(&small(2)).await;
    world.leave(&drop_of(1, 1 << 18, 3)).await;
    world.leave(&large(4)).await;
    let length = drop.len().to_string();
    let headers = [("Upload-Length", &*length), ("Upload-Complete", "?0")];
    let begun = send(world.addr(), "POST", "/v1/uploads", &headers, b"").await;
    let path = begun.header("location").unwrap().to_owned();
    let headers = [
        ("Content-Type", "application/partial-upload"),
        ("Upload-Offset", "0"),
        ("Upload-Complete", "?1"),
    ];
    let reply = send(world.addr(), "PATCH", &path, &headers, &drop).await;
    world.promise(&reply, &drop);
}

#[tokio::test]
async fn requests_are_answered_while_others_have_all_connections() {
    let world = World::with(1, |config| config.limits.max_connections = 20).await;
    let drop = small(1);
    let whole = head("POST", "/v1/drops", &[], Some(drop.len()));
    let taken: [(&str, &[u8]); 3] = [
        ("", b""),
        ("GET /v1/box HTTP/1.1\r\nHo", b""),
        (&whole, &drop[..1_000]),
    ];
    for (number, (head, body)) in taken.into_iter().enumerate() {
        let mut silent = Vec::new();
        for _ in 0..50 {
            silent.push(begin_body(&world, head, body).await);
        }
        let began = std::time::Instant::now();
        assert_eq!(world.get("/v1/box").await.status, 200);
        world.leave(&small(10 + number as u64)).await;
        world.leave(&large(20 + number as u64)).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{head:?}");
    }
}

#[tokio::test]
async fn completed_uploads_are_remembered_up_to_a_bound() {
    let world = World::with(1, |config| config.limits.max_uploads = 1).await;
    let drop = small(1);
    let length = drop.len().to_string();
    let mut done = Vec::new();
    // The same bytes again cost the store nothing.
    for _ in 0..20 {
        let headers = [("Upload-Length", &*length), ("Upload-Complete", "?0")];
        let begun = send(world.addr(), "POST", "/v1/uploads", &headers, b"").await;
        let path = begun.header("location").unwrap().to_owned();
        let headers = [
            ("Content-Type", "application/partial-upload"),
            ("Upload-Offset", "0"),
            ("Upload-Complete", "?1"),
        ];
        let reply = send(world.addr(), "PATCH", &path, &headers, &drop).await;
        world.promise(&reply, &drop);
        done.push(path);
    }
    for (position, path) in done.iter().enumerate() {
        let look = send(world.addr(), "HEAD", path, &[], b"").await;
        assert_eq!(look.status, if position < 4 { 404 } else { 204 });
    }
    assert_eq!(files(&world.data().join("uploads")).len(), 16);
}

#[tokio::test]
async fn a_strangers_body_is_refused_before_it_is_read() {
    let world = World::new().await;
    let path = format!("/v1/windows/{FIRST}/release");
    for path in ["/log/cosign", "/v1/slips", &path] {
        let old = world.signed("POST", "/log/vkey", b"");
        for headers in [&[][..], &[("Sealdrop-Request", &*old)]] {
            let head = head("POST", path, headers, Some(1 << 20));
            // Nothing of the body ever comes.
            let mut stream = begin_body(&world, &head, b"").await;
            assert_eq!(answer(&mut stream).await.status, 401, "{path}");
        }
    }
}

#[tokio::test]
async fn a_roster_is_taken_while_idle_bodies_have_all_its_places() {
    let world = World::new().await;
    let head = head("PUT", "/v1/box", &[], Some(1 << 20));
    let mut idle = Vec::new();
    for _ in 0..16 {
        idle.push(begin_body(&world, &head, b"{").await);
    }
    let roster = world.team.roster(world.log(), 2).note().to_string();
    let mut busy = 0;
    until("a place", async || {
        let reply = world.put("/v1/box", &publication(&roster, POLICY)).await;
        busy += usize::from(reply.status == 503);
        reply.status == 204
    })
    .await;
    assert_eq!(answer(&mut idle[0]).await.status, 503, "it gave way");
    assert!(busy > 0, "as long as all have only just come");
}
