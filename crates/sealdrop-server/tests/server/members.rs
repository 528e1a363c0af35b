//! Requests of members: signed, and accepted once. docs/protocol.md, "Requests of members".

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::request::{HEADER, Request};
use sealdrop_core::time::Time;

use crate::support::*;

const PATH: &str = "/v1/windows";

async fn get(world: &World, signed: &str) -> u16 {
    send(world.addr(), "GET", PATH, &[(HEADER, signed)], b"")
        .await
        .status
}

#[tokio::test]
async fn a_members_request_is_accepted_once_also_across_a_restart() {
    let mut world = World::new().await;
    let signed = world.signed("GET", PATH, b"");
    assert_eq!(get(&world, &signed).await, 200);
    assert_eq!(get(&world, &signed).await, 401);
    // A member's clock may be ahead, so that the server's start is not later than what it signed.
    let mut ahead = world.request("GET", PATH, b"");
    ahead.time = Time(NOON + 119);
    let member = &world.team.members[0];
    let ahead = ahead.sign(&member.device, &member.access).unwrap();
    assert_eq!(get(&world, &ahead).await, 200);
    world.restart().await;
    assert_eq!(get(&world, &ahead).await, 401);
    assert_eq!(get(&world, &signed).await, 401);
    world.hands.set(NOON + 60);
    let unused = world.signed("GET", PATH, b"");
    world.hands.set(NOON + 61);
    world.restart().await;
    assert_eq!(
        get(&world, &unused).await,
        401,
        "signed before the server's start"
    );
    let fresh = world.signed("GET", PATH, b"");
    assert_eq!(get(&world, &fresh).await, 200);
}

#[tokio::test]
async fn members_requests_that_are_not_exactly_what_was_signed_are_refused() {
    let world = World::new().await;
    world.leave(&small(1)).await;
    let member = &world.team.members[0];
    let good = world.request("GET", PATH, b"");
    let stranger = TeamMember::new("member-0", &mut ChaCha20Rng::seed_from_u64(77));
    let by = |request: &Request| request.sign(&member.device, &member.access).unwrap();
    let rows = [
        (
            "another origin",
            by(&Request {
                origin: "https://other.example.org".into(),
                ..good.clone()
            }),
        ),
        (
            "another method",
            by(&Request {
                method: "POST".into(),
                ..good.clone()
            }),
        ),
        (
            "another path",
            by(&Request {
                path: "/v1/windows?x".into(),
                ..good.clone()
            }),
        ),
        (
            "another body",
            by(&Request {
                body: [1; 32],
                ..good.clone()
            }),
        ),
        (
            "too old",
            by(&Request {
                time: Time(NOON - 121),
                ..good.clone()
            }),
        ),
        (
            "before the start",
            by(&Request {
                time: Time(NOON - 1),
                ..good.clone()
            }),
        ),
        (
            "too far ahead",
            by(&Request {
                time: Time(NOON + 121),
                ..good.clone()
            }),
        ),
        (
            "another key of the name",
            good.sign(&member.device, &stranger.access).unwrap(),
        ),
        (
            "another name of the key",
            good.sign("member-0/phone", &member.access).unwrap(),
        ),
        ("no base64", "%%%".into()),
        ("nothing", String::new()),
    ];
    for (what, signed) in rows {
        assert_eq!(get(&world, &signed).await, 401, "{what}");
    }
    // Two headers are none.
    let (one, two) = (
        world.signed("GET", PATH, b""),
        world.signed("GET", PATH, b""),
    );
    assert_eq!(
        send(
            world.addr(),
            "GET",
            PATH,
            &[(HEADER, &one), (HEADER, &two)],
            b""
        )
        .await
        .status,
        401
    );
    // None of these used up the nonce.
    assert_eq!(get(&world, &by(&good)).await, 200);
}

#[tokio::test]
async fn former_member_keeps_keys_and_cannot_fetch() {
    let mut world = World::with(2, |_| {}).await;
    let drop = drop_of(2, 65_536, 1);
    world.leave(&drop).await;
    let former = world.team.members.remove(1);
    let signed = world.signed_by(&former, "GET", PATH, b"");
    assert_eq!(get(&world, &signed).await, 200);
    world.publish(2).await;
    let signed = world.signed_by(&former, "GET", PATH, b"");
    assert_eq!(get(&world, &signed).await, 401);
    assert_eq!(world.fetch(FIRST, &drop).await.status, 200);
}

#[tokio::test]
async fn a_member_asks_for_what_is_not_there() {
    let world = World::new().await;
    world.leave(&small(1)).await;
    let none = "00".repeat(32);
    for (path, status) in [
        (format!("/v1/windows/{}/drops", FIRST + 1), 404),
        ("/v1/windows/x/drops".into(), 404),
        (format!("/v1/windows/{FIRST}/drops/{none}"), 404),
        (format!("/v1/windows/{FIRST}/drops/xyz"), 404),
        (format!("/v1/windows/{}/drops/{none}", FIRST - 1), 404),
        ("/log/tile/entries/000".into(), 404),
    ] {
        assert_eq!(
            world.member("GET", &path, b"").await.status,
            status,
            "{path}"
        );
    }
    for (path, status) in [
        (format!("/v1/windows/{FIRST}/release"), 409),
        (format!("/v1/windows/{}/release", FIRST + 1), 409),
        ("/log/cosign".into(), 403),
    ] {
        assert_eq!(
            world.member("POST", &path, b"").await.status,
            status,
            "{path}"
        );
    }
}
