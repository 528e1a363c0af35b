//! The roster arrives signed by the box key; nothing else can change it. docs/protocol.md, "Roster".

use sealdrop_core::key::{LogRole, SecretKey};
use sealdrop_core::log::checkpoint;
use sealdrop_core::roster::Draft;
use sealdrop_core::time::Time;

use crate::support::*;

#[tokio::test]
async fn rosters_are_refused_unless_the_box_key_signed_a_newer_one() {
    let mut world = World::still(1);
    world.start().await;
    let log = world.log().to_owned();
    let team = Team::new(1);
    let published_by = |draft: Draft, team: &Team| {
        publication(
            &draft.sign(&team.secret).unwrap().note().to_string(),
            POLICY,
        )
    };
    let published = |draft: Draft| published_by(draft, &team);

    // Nothing may be taken as the first roster either.
    let other = Team::new(2);
    let mut draft = other.draft(&log, 1);
    draft.log = checkpoint::log_vkey(&other.box_key(), draft.log.key());
    assert_eq!(
        world
            .put("/v1/box", &published_by(draft, &other))
            .await
            .status,
        403,
        "another box key"
    );
    let good = team.roster(&log, 5).note().to_string();
    assert_eq!(
        world
            .put(
                "/v1/box",
                &publication(&good.replace("epoch: 5", "epoch: 6"), POLICY)
            )
            .await
            .status,
        403,
        "changed text"
    );
    assert_eq!(
        world
            .put("/v1/box", &publication(&good, "another policy"))
            .await
            .status,
        403,
        "another policy"
    );
    let stranger = SecretKey::<LogRole>::from_seed(&[9; 32]);
    let mut draft = team.draft(&log, 5);
    draft.log = checkpoint::log_vkey(&team.box_key(), &stranger.to_public());
    assert_eq!(
        world.put("/v1/box", &published(draft)).await.status,
        409,
        "another log"
    );
    let mut draft = team.draft(&log, 5);
    (draft.issued, draft.expires) = (Time(NOON - 200), Time(NOON - 100));
    assert_eq!(
        world.put("/v1/box", &published(draft)).await.status,
        403,
        "expired"
    );
    let mut draft = team.draft(&log, 5);
    (draft.issued, draft.expires) = (Time(NOON + 90_000), Time(NOON + 100_000));
    assert_eq!(
        world.put("/v1/box", &published(draft)).await.status,
        403,
        "not yet issued"
    );
    assert_eq!(world.get("/v1/box").await.status, 404);

    // The first.
    world.publish(5).await;
    let current = world.get("/v1/box").await;
    assert_eq!(
        current.json(),
        serde_json::json!({ "roster": good, "policy": POLICY })
    );

    // After it.
    assert_eq!(
        world
            .put("/v1/box", &publication(&good, POLICY))
            .await
            .status,
        204,
        "the same again changes nothing"
    );
    assert_eq!(
        world
            .put("/v1/box", &published(team.draft(&log, 4)))
            .await
            .status,
        409,
        "rollback"
    );
    let mut draft = team.draft(&log, 5);
    draft.slips = 2;
    assert_eq!(
        world.put("/v1/box", &published(draft)).await.status,
        409,
        "two rosters of one epoch"
    );
    let mut draft = team.draft(&log, 6);
    draft.window = LENGTH * 2;
    assert_eq!(
        world.put("/v1/box", &published(draft)).await.status,
        409,
        "another window length"
    );
    assert_eq!(world.get("/v1/box").await.body, current.body);

    world.publish(9).await;
    assert_eq!(
        world.get("/v1/box/5").await.body,
        current.body,
        "old ones stay readable"
    );
    assert_eq!(world.get("/v1/box/9").await.status, 200);
    assert_eq!(world.get("/v1/box/6").await.status, 404);
    world.restart().await;
    assert_eq!(world.get("/v1/box/5").await.body, current.body);
    assert_eq!(
        world
            .put("/v1/box", &published(team.draft(&log, 8)))
            .await
            .status,
        409,
        "rollback across a restart"
    );
}

/// What `GET path` says of an onion service to a request with this `Host`.
async fn onion_location(world: &World, path: &str, host: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let reply = send_raw(world.addr(), request.as_bytes()).await;
    assert_eq!(reply.status, 200, "{host}");
    reply.header("onion-location").map(str::to_owned)
}

#[tokio::test]
async fn an_onion_service_is_named_from_the_roster_alone_to_who_comes_another_way() {
    let mut world = World::still(1);
    world.start().await;
    let log = world.log().to_owned();
    let team = Team::new(1);
    world.publish(1).await;
    assert_eq!(onion_location(&world, "/v1/box", "127.0.0.1").await, None);

    let mut draft = team.draft(&log, 2);
    let onions = ["http://abcdefgh.onion/box", "http://second.onion"];
    draft.origins = [ORIGIN]
        .into_iter()
        .chain(onions)
        .map(|origin| origin.parse().unwrap())
        .collect();
    let roster = draft.sign(&team.secret).unwrap().note().to_string();
    let taken = world.put("/v1/box", &publication(&roster, POLICY)).await;
    assert_eq!(taken.status, 204);
    // Whatever the request says of itself, the answer is one of two.
    let there = Some("http://abcdefgh.onion/box/v1/box".to_owned());
    for host in [
        "127.0.0.1",
        "drop.example.org:443",
        "evil.example",
        "onion",
        "a.onion.example",
    ] {
        assert_eq!(
            onion_location(&world, "/v1/box", host).await,
            there,
            "{host}"
        );
    }
    for host in [
        "abcdefgh.onion",
        "ABCDEFGH.onion:80",
        "second.onion",
        "other.onion",
    ] {
        assert_eq!(
            onion_location(&world, "/v1/box", host).await,
            None,
            "{host}"
        );
    }
    // What no browser shows is not worth a header.
    for path in ["/v1/feed", "/log/vkey", "/log/checkpoint", "/v1/box/2"] {
        assert_eq!(
            onion_location(&world, path, "127.0.0.1").await,
            None,
            "{path}"
        );
    }
}
