//! The log. docs/protocol.md, "Log".

use sealdrop_core::log::checkpoint::Checkpoint;
use sealdrop_core::log::cosignature;
use sealdrop_core::note::Note;
use sealdrop_core::time::Time;

use crate::support::*;
use crate::verifier::{field, verify};

#[tokio::test]
async fn an_outside_verifier_accepts_the_log_as_it_grows() {
    let mut world = World::new().await;
    let vkey = world.log().to_owned();
    let mut earlier = vec![world.get("/log/checkpoint").await.text()];
    let addr = world.addr();
    let tasks: Vec<_> = (0..250u64)
        .map(|seed| {
            tokio::spawn(async move {
                send(addr, "POST", "/v1/drops", &[], &small(seed))
                    .await
                    .status
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 201);
    }
    world.next_window().await;
    for window in 0..5 {
        let log = verify(&world).await;
        for note in &earlier {
            log.extends(note, &vkey);
        }
        earlier.push(world.get("/log/checkpoint").await.text());
        world.leave(&small(1_000 + window)).await;
        if window == 2 {
            world.restart().await;
        }
        world.next_window().await;
    }
    let log = verify(&world).await;
    assert_eq!((log.count("roster"), log.count("drop")), (1, 255));
    assert!(log.leaves.len() > 256);
    // A window without a drop has a checkpoint like any other.
    let size = log.leaves.len();
    world.next_window().await;
    assert_eq!(verify(&world).await.leaves.len(), size + 16);
}

#[tokio::test]
async fn outsider_counts_or_times_drops_by_the_log_and_sees_the_same_for_one_drop_as_for_none() {
    let (one, none) = (World::new().await, World::new().await);
    let before = one.get("/log/checkpoint").await.body;
    one.leave(&small(1)).await;
    // Within a window nothing of the log moves.
    assert_eq!(one.get("/log/checkpoint").await.body, before);
    for path in [
        "/log/tile/0/000.p/1",
        "/log/tile/0/000.p/2",
        "/log/tile/0/000",
    ] {
        assert_eq!(one.get(path).await.status, 404);
    }
    one.next_window().await;
    none.next_window().await;
    let size = async |world: &World| {
        world
            .get("/log/checkpoint")
            .await
            .text()
            .lines()
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!(size(&one).await, size(&none).await);
    assert_eq!(size(&one).await, "16");
    // The pads differ from each other, so they cannot be recognised.
    let log = verify(&none).await;
    let mut digests: Vec<_> = log
        .entries
        .iter()
        .map(|entry| field(entry, "digest"))
        .collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 16);
}

#[tokio::test]
async fn partial_tiles_are_served_in_every_width_that_was_published() {
    let world = World::new().await;
    world.next_window().await;
    for width in 1..=16 {
        assert_eq!(
            world
                .get(&format!("/log/tile/0/000.p/{width}"))
                .await
                .body
                .len(),
            width * 32
        );
    }
    for path in [
        "000.p/17",
        "000.p/0",
        "000",
        "000.p/016",
        "001.p/1",
        "x000/000.p/1",
        "0.p/1",
    ] {
        assert_eq!(
            world.get(&format!("/log/tile/0/{path}")).await.status,
            404,
            "{path}"
        );
    }
    assert_eq!(world.get("/log/tile/1/000.p/1").await.status, 404);
}

#[tokio::test]
async fn a_window_left_open_by_a_crash_is_closed_at_the_start() {
    let mut world = World::new().await;
    world.leave(&small(1)).await;
    world.stop().await;
    // Three windows pass in which the server does not run.
    world.hands.set(NOON + 4 * LENGTH);
    world.start().await;
    let log = verify(&world).await;
    assert_eq!((log.leaves.len(), log.count("drop")), (16, 1));
    assert!(
        log.entries
            .iter()
            .all(|entry| field(entry, "window") == FIRST.to_string())
    );
    assert_eq!(world.leave(&small(2)).await.leaf().window.0, FIRST + 4);
}

#[tokio::test]
async fn server_back_dates_or_re_orders_and_a_clock_behind_the_log_accepts_nothing() {
    let mut world = World::new().await;
    world.leave(&small(1)).await;
    world.next_window().await;
    // Within the open window a step back changes nothing.
    world.hands.set((FIRST + 1) * LENGTH);
    assert_eq!(world.leave(&small(2)).await.leaf().window.0, FIRST + 1);
    // Behind it nothing is accepted: neither into a window that is closed nor into one that has not come. Large drops, uploads, and after a
    // restart too.
    world.hands.set((FIRST + 1) * LENGTH - 1);
    for again in 0..2 {
        for drop in [small(3), large(4)] {
            let reply = world.post("/v1/drops", &drop).await;
            assert_eq!(reply.status, 503, "{again}");
            assert!(reply.header("retry-after").is_some());
        }
        assert!(world.fetch(FIRST, &small(1)).await.body == small(1));
        world.restart().await;
    }
    // It passes when the clock is right.
    world.hands.set((FIRST + 1) * LENGTH + 20);
    assert_eq!(world.leave(&small(3)).await.leaf().window.0, FIRST + 1);
    world.next_window().await;
    assert_eq!(verify(&world).await.count("drop"), 3);
}

#[tokio::test]
async fn cosignatures_of_members_are_kept_and_served() {
    let world = World::with(2, |_| {}).await;
    world.leave(&drop_of(2, 65_536, 1)).await;
    world.next_window().await;
    assert_eq!(
        world.get("/log/cosigned").await.json(),
        serde_json::json!({ "checkpoints": [] })
    );
    let text = world.get("/log/checkpoint").await.text();
    let note = Note::parse(text.as_bytes()).unwrap();
    let checkpoint = Checkpoint::verify(&note, &world.log_vkey()).unwrap();
    let bare = Note::new(checkpoint.to_text()).unwrap();
    let cosigned = |by: usize, base: &Note| {
        let member = &world.team.members[by];
        let mut note = base.clone();
        note.push(cosignature::cosign(
            &checkpoint,
            &member.device,
            &member.witness,
            Time(NOON),
        ));
        note
    };
    let post = async |body: String| {
        world
            .member("POST", "/log/cosign", body.as_bytes())
            .await
            .status
    };

    let mut both = cosigned(0, &bare);
    both.push(cosigned(1, &bare).signatures()[0].clone());
    assert_eq!(post(both.to_string()).await, 403, "two witnesses in one");
    assert_eq!(post(text.clone()).await, 403, "no witness");
    assert_eq!(post("nonsense".into()).await, 403);
    let mut forged = bare.clone();
    forged.push(cosignature::cosign(
        &checkpoint,
        &world.team.members[0].device,
        &world.team.members[1].witness,
        Time(NOON),
    ));
    assert_eq!(post(forged.to_string()).await, 403, "the key of another");
    let fork = Checkpoint {
        root: [1; 32],
        ..checkpoint.clone()
    };
    let mut other = Note::new(fork.to_text()).unwrap();
    other.push(cosignature::cosign(
        &fork,
        &world.team.members[0].device,
        &world.team.members[0].witness,
        Time(NOON),
    ));
    assert_eq!(post(other.to_string()).await, 409, "no such checkpoint");

    assert_eq!(post(cosigned(0, &note).to_string()).await, 204);
    assert_eq!(post(cosigned(0, &bare).to_string()).await, 204, "again");
    assert_eq!(post(cosigned(1, &bare).to_string()).await, 204);
    let served = world.get("/log/cosigned").await.json();
    let served = Note::parse(served["checkpoints"][0].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(
        Checkpoint::verify(&served, &world.log_vkey()).unwrap(),
        checkpoint
    );
    assert_eq!(served.signatures().len(), 3);
    for device in world.team.roster(world.log(), 1).devices() {
        cosignature::verify(&served, &device.witness).unwrap();
    }
    assert_eq!(
        world.get("/log/checkpoint").await.text(),
        text,
        "the checkpoint itself stays as it was signed"
    );
}
