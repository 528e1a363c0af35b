//! Leaving a drop and fetching it.

use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::request::HEADER;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test]
async fn a_drop_is_accepted_listed_and_served_byte_for_byte() {
    let world = World::new().await;
    let drops = [small(1), drop_of(1, 262_144, 2), large(3), small(4)];
    for drop in &drops {
        let promise = world.leave(drop).await;
        assert_eq!(promise.leaf().window.0, FIRST);
        let reply = world.fetch(FIRST, drop).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.body == *drop);
    }
    let expected: Vec<_> = drops
        .iter()
        .map(|d| (hex(&sha256(d)), d.len() as u64))
        .collect();
    assert_eq!(world.listed(FIRST).await, expected);
    let windows = world.member("GET", "/v1/windows", b"").await.json();
    assert_eq!(
        windows,
        serde_json::json!({ "now": FIRST, "windows": [FIRST], "posted": null })
    );
}

#[tokio::test]
async fn stranger_replays_a_drop_and_there_is_one_leaf() {
    let world = World::new().await;
    for drop in [small(1), large(2)] {
        let first = world.leave(&drop).await;
        assert_eq!(world.leave(&drop).await, first);
    }
    // The same bytes many times at once.
    let drop = small(3);
    let addr = world.addr();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let drop = drop.clone();
            tokio::spawn(async move { send(addr, "POST", "/v1/drops", &[], &drop).await })
        })
        .collect();
    for task in tasks {
        world.promise(&task.await.unwrap(), &drop);
    }
    assert_eq!(world.listed(FIRST).await.len(), 3);
    assert_eq!(files(&world.data().join("uploads")).len(), 0);
    // Also in a later window, while the body is there.
    let later = world.next_window().await;
    assert_eq!(world.leave(&small(1)).await.leaf().window.0, FIRST);
    assert!(world.listed(later).await.is_empty());
}

#[tokio::test]
async fn what_is_not_shaped_as_a_drop_is_refused_before_it_is_stored() {
    let world = World::new().await;
    let good = small(1);
    let changed = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let mut rows: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a byte more", [&good[..], b"x"].concat()),
        ("a byte less", good[..good.len() - 1].to_vec()),
        ("not age", changed(0, b'b')),
        ("another stanza", changed(26, b'X')),
        ("no base64", changed(60, b'!')),
        ("for two members", drop_of(2, 65_536, 1)),
    ];
    let mut bad = large(1);
    bad[0] = b'b';
    rows.push(("a large one that is not age", bad));
    for (what, body) in rows {
        let reply = world.post("/v1/drops", &body).await;
        assert_eq!(reply.status, 422, "{what}: {reply:?}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
    }
    assert!(world.listed(FIRST).await.is_empty());
    assert_eq!(files(&world.data().join("uploads")).len(), 0);
}

#[tokio::test]
async fn a_drop_for_the_roster_before_is_taken_and_for_the_one_before_that_refused() {
    let mut world = World::with(1, |_| {}).await;
    let secret = std::mem::replace(&mut world.team, Team::new(2)).secret;
    world.team.secret = secret;
    world.publish(2).await;
    world.leave(&drop_of(2, 65_536, 1)).await;
    world.leave(&drop_of(1, 65_536, 2)).await;
    let secret = std::mem::replace(&mut world.team, Team::new(3)).secret;
    world.team.secret = secret;
    world.publish(3).await;
    assert_eq!(
        world.post("/v1/drops", &drop_of(1, 65_536, 3)).await.status,
        422
    );
    world.leave(&drop_of(2, 65_536, 4)).await;
    world.leave(&drop_of(3, 65_536, 5)).await;
    // A restart remembers both.
    world.restart().await;
    world.leave(&drop_of(2, 65_536, 6)).await;
    assert_eq!(
        world.post("/v1/drops", &drop_of(1, 65_536, 7)).await.status,
        422
    );
}

#[tokio::test]
async fn a_range_is_served_from_where_a_fetch_broke_off() {
    let world = World::new().await;
    for drop in [small(1), large(2)] {
        world.leave(&drop).await;
        let path = format!("/v1/windows/{FIRST}/drops/{}", hex(&sha256(&drop)));
        for start in [0, 1, 65_537, drop.len() - 1] {
            let signed = world.signed("GET", &path, b"");
            let range = format!("bytes={start}-");
            let reply = send(
                world.addr(),
                "GET",
                &path,
                &[(HEADER, &signed), ("Range", &range)],
                b"",
            )
            .await;
            assert_eq!(reply.status, 206, "{reply:?}");
            assert!(reply.body == drop[start..]);
            let range = format!("bytes {start}-{}/{}", drop.len() - 1, drop.len());
            assert_eq!(reply.header("content-range"), Some(range.as_str()));
        }
        let signed = world.signed("GET", &path, b"");
        let range = format!("bytes={}-", drop.len());
        assert_eq!(
            send(
                world.addr(),
                "GET",
                &path,
                &[(HEADER, &signed), ("Range", &range)],
                b""
            )
            .await
            .status,
            400
        );
    }
}

#[tokio::test]
async fn a_client_that_goes_away_never_harms_the_writer() {
    let world = World::new().await;
    for (drop, keep) in [
        (small(1), 10),
        (small(1), 67_000),
        (large(2), 10),
        (large(2), 1_000_000),
    ] {
        let mut stream = TcpStream::connect(world.addr()).await.unwrap();
        stream
            .write_all(head("POST", "/v1/drops", &[], Some(drop.len())).as_bytes())
            .await
            .unwrap();
        stream.write_all(&drop[..keep]).await.unwrap();
        std::mem::drop(stream);
    }
    // Gone after the last byte, before the answer: whether it is stored is open, but nothing may be half done.
    for seed in 10..20 {
        let drop = if seed % 2 == 0 {
            small(seed)
        } else {
            large(seed)
        };
        let mut stream = TcpStream::connect(world.addr()).await.unwrap();
        stream
            .write_all(head("POST", "/v1/drops", &[], Some(drop.len())).as_bytes())
            .await
            .unwrap();
        stream.write_all(&drop).await.unwrap();
        std::mem::drop(stream);
    }
    world.leave(&small(30)).await;
    world.leave(&large(31)).await;
    until("unfinished files to go", async || {
        files(&world.data().join("uploads")).is_empty()
    })
    .await;
    let possible: Vec<Vec<u8>> = (10..20)
        .map(|seed| {
            if seed % 2 == 0 {
                small(seed)
            } else {
                large(seed)
            }
        })
        .chain([small(30), large(31)])
        .collect();
    for (digest, _) in world.listed(FIRST).await {
        let drop = possible
            .iter()
            .find(|drop| hex(&sha256(drop)) == digest)
            .expect("a drop that was sent whole");
        assert!(world.fetch(FIRST, drop).await.body == *drop);
    }
}
