//! Large drops in pieces. docs/protocol.md, "Resumable upload".

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::*;

const PARTIAL: (&str, &str) = ("Content-Type", "application/partial-upload");

async fn begin(world: &World, length: usize) -> String {
    let length = length.to_string();
    let reply = send(
        world.addr(),
        "POST",
        "/v1/uploads",
        &[("Upload-Length", &length), ("Upload-Complete", "?0")],
        b"",
    )
    .await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.header("location").unwrap().to_owned()
}

async fn patch(world: &World, path: &str, from: usize, complete: &str, body: &[u8]) -> Reply {
    let from = from.to_string();
    send(
        world.addr(),
        "PATCH",
        path,
        &[
            PARTIAL,
            ("Upload-Offset", &from),
            ("Upload-Complete", complete),
        ],
        body,
    )
    .await
}

/// Offset, length and whether it is complete.
async fn look(world: &World, path: &str) -> (usize, usize, bool) {
    let reply = send(world.addr(), "HEAD", path, &[], b"").await;
    assert_eq!(reply.status, 204, "{reply:?}");
    let number = |name| reply.header(name).unwrap().parse().unwrap();
    (
        number("upload-offset"),
        number("upload-length"),
        reply.header("upload-complete") == Some("?1"),
    )
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off_also_across_a_restart() {
    let mut world = World::new().await;
    for drop in [small(1), large(2), drop_of(1, 3 << 20, 3)] {
        let path = begin(&world, drop.len()).await;
        assert_eq!(look(&world, &path).await, (0, drop.len(), false));
        // The first piece ends within the header.
        assert_eq!(
            patch(&world, &path, 0, "?0", &drop[..100]).await.status,
            204
        );
        // The second breaks off.
        let mut stream = TcpStream::connect(world.addr()).await.unwrap();
        let headers = [PARTIAL, ("Upload-Offset", "100"), ("Upload-Complete", "?1")];
        stream
            .write_all(head("PATCH", &path, &headers, Some(drop.len() - 100)).as_bytes())
            .await
            .unwrap();
        stream.write_all(&drop[100..50_000]).await.unwrap();
        std::mem::drop(stream);
        until("the bytes that arrived", async || {
            look(&world, &path).await == (50_000, drop.len(), false)
        })
        .await;
        world.restart().await;
        assert_eq!(look(&world, &path).await, (50_000, drop.len(), false));
        assert_eq!(
            patch(&world, &path, 49_999, "?0", &drop[49_999..])
                .await
                .status,
            409
        );
        assert_eq!(
            patch(&world, &path, 50_001, "?0", &drop[50_001..])
                .await
                .status,
            409
        );
        let reply = patch(&world, &path, 50_000, "?0", &drop[50_000..60_000]).await;
        assert_eq!(
            (reply.status, reply.header("upload-offset")),
            (204, Some("60000"))
        );
        let reply = patch(&world, &path, 60_000, "?1", &drop[60_000..]).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let promise = world.promise(&reply, &drop);
        assert!(world.fetch(FIRST, &drop).await.body == drop);
        // Completed again, it answers the same, also after a restart.
        world.restart().await;
        assert_eq!(look(&world, &path).await, (drop.len(), drop.len(), true));
        let reply = patch(&world, &path, drop.len(), "?1", b"").await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(world.promise(&reply, &drop), promise);
    }
    assert_eq!(world.listed(FIRST).await.len(), 3);
}

#[tokio::test]
async fn a_client_that_comes_back_takes_over_from_its_dead_connection() {
    let world = World::new().await;
    let drop = large(1);
    let path = begin(&world, drop.len()).await;
    let mut dead = TcpStream::connect(world.addr()).await.unwrap();
    let headers = [PARTIAL, ("Upload-Offset", "0"), ("Upload-Complete", "?1")];
    dead.write_all(head("PATCH", &path, &headers, Some(drop.len())).as_bytes())
        .await
        .unwrap();
    dead.write_all(&drop[..300_000]).await.unwrap();
    // The connection is open, and nothing more comes. What had arrived by now is kept.
    until("its bytes", async || {
        std::fs::read_dir(world.data().join("uploads"))
            .unwrap()
            .any(|entry| entry.unwrap().metadata().unwrap().len() > 0)
    })
    .await;
    let (offset, ..) = look(&world, &path).await;
    assert!(offset >= 131_072);
    let reply = patch(&world, &path, offset, "?1", &drop[offset..]).await;
    world.promise(&reply, &drop);
}

#[tokio::test]
async fn uploads_that_break_the_rules_are_refused() {
    let world = World::new().await;
    let drop = large(1);
    let path = begin(&world, drop.len()).await;
    let patch_with = async |headers: &[(&str, &str)], body: &[u8]| {
        send(world.addr(), "PATCH", &path, headers, body)
            .await
            .status
    };
    assert_eq!(
        patch_with(&[("Upload-Offset", "0"), ("Upload-Complete", "?0")], b"x").await,
        400,
        "no content type"
    );
    assert_eq!(
        patch_with(&[PARTIAL, ("Upload-Complete", "?0")], b"x").await,
        400,
        "no offset"
    );
    assert_eq!(
        patch_with(
            &[PARTIAL, ("Upload-Offset", "0"), ("Upload-Complete", "yes")],
            b"x"
        )
        .await,
        400,
        "no boolean"
    );
    assert_eq!(
        patch_with(
            &[PARTIAL, ("Upload-Offset", "0"), ("Upload-Complete", "?1")],
            b"x"
        )
        .await,
        400,
        "complete before its end"
    );
    assert_eq!(
        patch(&world, &path, 0, "?0", &[&drop[..], b"x"].concat())
            .await
            .status,
        413,
        "beyond its length"
    );
    assert_eq!(look(&world, &path).await.0, 0);
    // Not a drop: noticed as soon as the header is there, and forgotten.
    assert_eq!(
        patch(&world, &path, 0, "?0", &vec![b'x'; 5_000])
            .await
            .status,
        422
    );
    assert_eq!(
        send(world.addr(), "HEAD", &path, &[], b"").await.status,
        404
    );
    assert!(files(&world.data().join("uploads")).is_empty());
    // Forgotten on request.
    let path = begin(&world, drop.len()).await;
    assert_eq!(
        patch(&world, &path, 0, "?0", &drop[..5_000]).await.status,
        204
    );
    assert_eq!(
        send(world.addr(), "DELETE", &path, &[], b"").await.status,
        204
    );
    assert_eq!(
        send(world.addr(), "HEAD", &path, &[], b"").await.status,
        404
    );
    assert!(files(&world.data().join("uploads")).is_empty());
}

#[tokio::test]
async fn an_upload_is_forgotten_at_the_end_of_the_window_after_its_own() {
    let world = World::new().await;
    let drop = large(1);
    let (left, done) = (
        begin(&world, drop.len()).await,
        begin(&world, drop.len()).await,
    );
    assert_eq!(
        patch(&world, &left, 0, "?0", &drop[..5_000]).await.status,
        204
    );
    assert_eq!(patch(&world, &done, 0, "?1", &drop).await.status, 201);
    world.next_window().await;
    assert_eq!(look(&world, &left).await.0, 5_000);
    assert_eq!(look(&world, &done).await.0, drop.len());
    world.next_window().await;
    until("them to be forgotten", async || {
        files(&world.data().join("uploads")).is_empty()
    })
    .await;
    assert_eq!(
        send(world.addr(), "HEAD", &left, &[], b"").await.status,
        404
    );
    assert_eq!(
        send(world.addr(), "HEAD", &done, &[], b"").await.status,
        404
    );
    assert!(world.fetch(FIRST, &drop).await.body == drop);
}

#[tokio::test]
async fn an_upload_without_a_byte_is_forgotten_after_ten_minutes_and_at_a_restart() {
    let mut world = World::new().await;
    let drop = large(1);
    let (empty, begun) = (
        begin(&world, drop.len()).await,
        begin(&world, drop.len()).await,
    );
    assert_eq!(patch(&world, &begun, 0, "?0", &drop[..1]).await.status, 204);
    world.hands.set(NOON + 599);
    // Two looks at the clock later it is still there.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(look(&world, &empty).await.0, 0);
    world.hands.set(NOON + 600);
    until("it to be forgotten", async || {
        send(world.addr(), "HEAD", &empty, &[], b"").await.status == 404
    })
    .await;
    let empty = begin(&world, drop.len()).await;
    assert_eq!(look(&world, &begun).await.0, 1);
    world.restart().await;
    assert_eq!(
        send(world.addr(), "HEAD", &empty, &[], b"").await.status,
        404
    );
    let reply = patch(&world, &begun, 1, "?1", &drop[1..]).await;
    world.promise(&reply, &drop);
}

#[tokio::test]
async fn outsider_does_not_count_drops_by_what_still_fits() {
    let world = World::with(1, |config| config.limits.max_store = Some(3 << 20)).await;
    let drop = large(1);
    let path = begin(&world, drop.len()).await;
    let probe = async || {
        let reply = patch(&world, &path, 5, "?0", &drop[5..]).await.status;
        let other = begin(&world, drop.len()).await;
        let delete = send(world.addr(), "DELETE", &other, &[], b"").await.status;
        (reply, delete)
    };
    let before = probe().await;
    assert_eq!(before, (409, 204));
    world.leave(&large(2)).await;
    world.leave(&large(3)).await;
    // No large drop has room any more; who has sent no bytes is not told.
    assert_eq!(probe().await, before);
    assert_eq!(patch(&world, &path, 0, "?1", &drop).await.status, 503);
    assert_eq!(
        send(world.addr(), "DELETE", &path, &[], b"").await.status,
        204
    );
    // From the next window on it is refused before it is sent.
    world.next_window().await;
    let length = drop.len().to_string();
    let headers = [("Upload-Length", &*length), ("Upload-Complete", "?0")];
    until("it to be refused", async || {
        let reply = send(world.addr(), "POST", "/v1/uploads", &headers, b"").await;
        reply.status == 503
    })
    .await;
    world.leave(&small(4)).await;
}
