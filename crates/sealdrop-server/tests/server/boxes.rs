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
