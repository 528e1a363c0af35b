//! Windows end, expire as a whole, and are released. docs/protocol.md, "Windows" and "Release".

use sealdrop_core::encoding::sha256;
use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::cosignature;
use sealdrop_core::note::Note;
use sealdrop_core::request::HEADER;
use sealdrop_core::time::Time;

use crate::support::*;
use crate::verifier::verify;

fn everything(world: &World) -> Vec<u8> {
    everything_in(&world.data())
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

pub(crate) async fn cosign(world: &World, member: usize) {
    let note = Note::parse(&world.get("/log/checkpoint").await.body).unwrap();
    let checkpoint = Checkpoint::verify(&note, &world.log_vkey()).unwrap();
    let member = &world.team.members[member];
    let mut note = Note::new(checkpoint.to_text()).unwrap();
    note.push(cosignature::cosign(
        &checkpoint,
        &member.device,
        &member.witness,
        Time(NOON),
    ));
    let body = note.to_string();
    let signed = world.signed_by(member, "POST", "/log/cosign", body.as_bytes());
    let reply = send(
        world.addr(),
        "POST",
        "/log/cosign",
        &[(HEADER, &signed)],
        body.as_bytes(),
    )
    .await;
    assert_eq!(reply.status, 204, "{reply:?}");
}

#[tokio::test]
async fn windows_expire_as_a_whole_and_their_bytes_are_gone_from_the_disk() {
    let mut world = World::new().await;
    let (first, body, second) = (small(1), large(2), small(3));
    world.leave(&first).await;
    world.leave(&body).await;
    world.next_window().await;
    world.leave(&second).await;
    let marks = [&first[30_000..30_064], &body[500_000..500_064]];
    assert!(marks.iter().all(|mark| holds(&everything(&world), mark)));

    world.hands.set((FIRST + 1) * LENGTH + RETENTION - 1);
    until("the window to turn", async || {
        world.member("GET", "/v1/windows", b"").await.json()["now"] == FIRST + 24
    })
    .await;
    assert!(
        world.fetch(FIRST, &first).await.body == first,
        "a second before its time"
    );
    world.hands.set((FIRST + 1) * LENGTH + RETENTION);
    until("the window to expire", async || {
        world.fetch(FIRST, &first).await.status == 410
    })
    .await;
    assert_eq!(world.fetch(FIRST, &body).await.status, 410);
    assert_eq!(
        world
            .member("GET", &format!("/v1/windows/{FIRST}/drops"), b"")
            .await
            .status,
        410
    );
    assert!(world.fetch(FIRST + 1, &second).await.body == second);
    let left = everything(&world);
    assert!(!marks.iter().any(|mark| holds(&left, mark)));
    assert!(!world.pack(FIRST).parent().unwrap().exists());
    world.restart().await;
    assert_eq!(world.fetch(FIRST, &first).await.status, 410);
    // The log keeps its leaves, and what comes again is a new drop.
    let log = verify(&world).await;
    assert_eq!(log.count("drop"), 3);
    assert_ne!(world.leave(&first).await.leaf().window.0, FIRST);
}

#[tokio::test]
async fn a_server_that_was_off_while_a_window_expired_removes_it_at_the_start() {
    let mut world = World::new().await;
    world.leave(&small(1)).await;
    world.stop().await;
    world.hands.set(NOON + 2 * LENGTH + RETENTION);
    world.start().await;
    assert_eq!(world.fetch(FIRST, &small(1)).await.status, 410);
    assert!(!world.pack(FIRST).exists());
    assert_eq!(verify(&world).await.count("drop"), 1);
}

#[tokio::test]
async fn a_window_is_released_once_every_member_has_it() {
    let mut world = World::with(2, |_| {}).await;
    let drop = drop_of(2, 65_536, 1);
    world.leave(&drop).await;
    let path = format!("/v1/windows/{FIRST}/release");
    let release = async |world: &World| world.member("POST", &path, b"").await.status;
    assert_eq!(release(&world).await, 409, "open");
    let now = world.next_window().await;
    assert_eq!(release(&world).await, 409, "collected by nobody");
    cosign(&world, 0).await;
    assert_eq!(release(&world).await, 409, "not by everyone");
    cosign(&world, 1).await;
    // A signed request that desks would not know as a release is none here either.
    for other in ["?x", "?", "/", "?/release"] {
        let reply = world.member("POST", &(path.clone() + other), b"").await;
        assert!([400, 404].contains(&reply.status), "{other} {reply:?}");
    }
    assert!(world.fetch(FIRST, &drop).await.body == drop);

    let signed = world.signed("POST", &path, b"");
    assert_eq!(
        send(world.addr(), "POST", &path, &[(HEADER, &signed)], b"")
            .await
            .status,
        204
    );
    assert_eq!(world.fetch(FIRST, &drop).await.status, 410);
    assert!(!world.pack(FIRST).exists());
    assert!(!holds(&everything(&world), &drop[40_000..40_064]));
    assert_eq!(release(&world).await, 204, "again changes nothing");

    for _ in 0..2 {
        let listing = world
            .member("GET", &format!("/v1/windows/{FIRST}/drops"), b"")
            .await
            .json();
        assert_eq!(listing["drops"].as_array().unwrap().len(), 1);
        let note = listing["released"].as_str().unwrap().to_owned();
        assert!(note.contains(&format!("path: {path}\n")));
        let windows = world.member("GET", "/v1/windows", b"").await.json();
        assert_eq!(
            windows,
            serde_json::json!({ "now": now, "windows": [], "posted": null })
        );
        world.restart().await;
        assert_eq!(world.fetch(FIRST, &drop).await.status, 410);
    }
    let listing = world
        .member("GET", &format!("/v1/windows/{FIRST}/drops"), b"")
        .await
        .json();
    let note = listing["released"].as_str().unwrap().to_owned();
    world.next_window().await;
    let log = verify(&world).await;
    assert_eq!(log.count("release"), 1);
    let digest = sealdrop_core::encoding::hex(&sha256(note.as_bytes()));
    assert!(
        log.entries
            .iter()
            .any(|entry| entry.contains("kind: release")
                && entry.contains(&digest)
                && entry.contains(&format!("window: {now}")))
    );
}
