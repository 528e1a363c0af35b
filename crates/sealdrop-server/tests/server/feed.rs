//! Slips and the feed. docs/protocol.md, "Feed".

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealdrop_core::encoding::{hex, sha256};
use sealdrop_core::key::device_keys;
use sealdrop_core::note::Vkey;
use sealdrop_core::request::HEADER;
use sealdrop_core::roster::Device;
use sealdrop_core::slip::{self, SLIP, Slip};

use crate::support::*;
use crate::verifier::{field, verify};
use crate::windows::cosign;

/// A running server whose windows have this many slips. The heartbeat is off, so that nothing moves by itself.
pub(crate) async fn world(members: usize, slips: u64) -> World {
    let mut world = World::still(members);
    world.config.limits.heartbeat = std::time::Duration::from_secs(3_600);
    world.team.slips = slips;
    world.start().await;
    world.publish(1).await;
    world
}

/// `count` slips for nobody, falling, so that sorting changes their order.
pub(crate) fn slips(count: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let box_key = Team::new(1).box_key();
    let mut slips: Vec<_> = (0..count)
        .map(|_| slip::decoy(&box_key, &mut rng))
        .collect();
    slips.sort_by(|a, b| b.cmp(a));
    slips.iter().flat_map(|slip| slip.to_vec()).collect()
}

fn chunks(bytes: &[u8]) -> &[Slip] {
    let (slips, rest) = bytes.as_chunks::<SLIP>();
    assert!(rest.is_empty());
    slips
}

async fn post(world: &World, member: usize, slips: &[u8]) -> Reply {
    world.as_member(member, "POST", "/v1/slips", slips).await
}

/// Posts, and is told the window.
pub(crate) async fn accepted(world: &World, member: usize, slips: &[u8]) -> u64 {
    let reply = post(world, member, slips).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = reply.json();
    assert_eq!(answer, serde_json::json!({ "window": answer["window"] }));
    answer["window"].as_u64().unwrap()
}

/// The segment of a window, held against the listing and the log, which has it once and before the pads.
pub(crate) async fn segment(world: &World, window: u64) -> Vec<u8> {
    let reply = world.get(&format!("/v1/feed/{window}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let segment = reply.body;
    let digest = hex(&sha256(&segment));
    let feed = world.get("/v1/feed").await.json();
    let listed: Vec<_> = feed["segments"].as_array().unwrap().clone();
    let row = serde_json::json!({ "window": window, "digest": digest, "size": segment.len() });
    assert!(listed.contains(&row), "{feed}");
    assert!(listed.is_sorted_by_key(|row| row["window"].as_u64()));

    let log = verify(world).await;
    let of_window: Vec<_> = log
        .entries
        .iter()
        .filter(|entry| field(entry, "window") == window.to_string())
        .collect();
    let kinds: Vec<_> = of_window.iter().map(|entry| field(entry, "kind")).collect();
    let at = kinds.iter().position(|kind| *kind == "segment").unwrap();
    assert!(kinds[at + 1..].iter().all(|kind| *kind == "pad"));
    assert!(kinds.len() > at + 1, "there is a pad");
    assert!(!kinds[..at].contains(&"pad"));
    assert_eq!(field(of_window[at], "digest"), digest);
    assert_eq!(field(of_window[at], "size"), segment.len().to_string());
    segment
}

#[track_caller]
fn check_holds(segment: &[u8], slips: &[u8]) {
    let found = chunks(segment);
    for slip in chunks(slips) {
        assert_eq!(found.iter().filter(|known| *known == slip).count(), 1);
    }
}

#[tokio::test]
async fn a_member_is_told_whether_their_share_was_posted_and_nobody_elses() {
    let world = world(2, 4).await;
    let told = async |member| {
        let reply = world.as_member(member, "GET", "/v1/windows", b"").await;
        reply.json()["posted"].clone()
    };
    assert_eq!(told(0).await, serde_json::Value::Null);
    accepted(&world, 0, &slips(2, 1)).await;
    assert_eq!(told(0).await, FIRST);
    assert_eq!(told(1).await, serde_json::Value::Null);
    world.next_window().await;
    assert_eq!(told(0).await, serde_json::Value::Null);
}

#[tokio::test]
async fn a_segment_holds_what_members_posted_sorted_and_decoys_for_the_rest() {
    let world = world(2, 5).await;
    let (one, two) = (slips(2, 1), slips(2, 2));
    assert_eq!(accepted(&world, 0, &one).await, FIRST);
    assert_eq!(accepted(&world, 1, &two).await, FIRST);
    let feed = world.get("/v1/feed").await;
    assert_eq!(feed.json(), serde_json::json!({ "segments": [] }));
    let path = format!("/v1/feed/{FIRST}");
    assert_eq!(world.get(&path).await.status, 404, "open");
    world.next_window().await;
    let segment = segment(&world, FIRST).await;
    check_holds(&segment, &one);
    check_holds(&segment, &two);
    let found = chunks(&segment);
    assert_eq!(found.len(), 5);
    assert!(found.is_sorted());
    assert!(found.iter().all(slip::is_shaped));
    for path in ["/v1/feed/x", "/v1/feed/01", "/v1/feed/1"] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_member_posts_once_a_window_with_any_device_and_the_same_again_is_answered_alike() {
    let mut world = world(2, 4).await;
    // A second device of the first member.
    let mut draft = world.team.draft(world.log(), 2);
    let (access, witness) = device_keys(&[9; 32]);
    let phone = "member-0/phone";
    draft.devices.push(Device {
        access: Vkey::new(phone, access.to_public()),
        witness: Vkey::new(phone, witness.to_public()),
    });
    let roster = draft.sign(&world.team.secret).unwrap().note().to_string();
    let reply = world.put("/v1/box", &publication(&roster, POLICY)).await;
    assert_eq!(reply.status, 204);
    let by_phone = async |world: &World, body: &[u8]| {
        let request = world.request("POST", "/v1/slips", body);
        let signed = request.sign(phone, &access).unwrap();
        let headers = [(HEADER, &*signed)];
        let reply = send(world.addr(), "POST", "/v1/slips", &headers, body).await;
        reply.status
    };

    let (mine, other) = (slips(2, 1), slips(2, 2));
    for _ in 0..2 {
        assert_eq!(accepted(&world, 0, &mine).await, FIRST);
        assert_eq!(by_phone(&world, &mine).await, 200);
        assert_eq!(post(&world, 0, &other).await.status, 409);
        assert_eq!(by_phone(&world, &other).await, 409);
        world.restart().await;
    }
    assert_eq!(accepted(&world, 1, &other).await, FIRST);
    world.next_window().await;
    let segment = segment(&world, FIRST).await;
    check_holds(&segment, &mine);
    check_holds(&segment, &other);
    // The next window is a new one.
    assert_eq!(accepted(&world, 0, &slips(2, 3)).await, FIRST + 1);
}

#[tokio::test]
async fn an_answer_lost_as_the_window_closed_does_not_put_slips_into_two_segments() {
    let world = world(1, 2).await;
    let posted = slips(2, 1);
    assert_eq!(accepted(&world, 0, &posted).await, FIRST);
    world.next_window().await;
    assert_eq!(accepted(&world, 0, &posted).await, FIRST);
    let next = slips(2, 2);
    assert_eq!(accepted(&world, 0, &next).await, FIRST + 1);
    assert_eq!(accepted(&world, 0, &posted).await, FIRST, "and in between");
    world.next_window().await;
    let after = segment(&world, FIRST + 1).await;
    check_holds(&after, &next);
    assert!(
        chunks(&posted)
            .iter()
            .all(|slip| !chunks(&after).contains(slip))
    );
}

#[tokio::test]
async fn what_is_not_a_members_share_of_slips_is_refused() {
    let world = world(2, 4).await;
    let good = slips(2, 1);
    let mut broken = good.clone();
    broken[SLIP + 48] ^= 1;
    let mut drop = small(1);
    drop.truncate(2 * SLIP);
    for (bad, why) in [
        (&[][..], "nothing"),
        (&good[..SLIP], "too few"),
        (&slips(3, 2)[..], "too many"),
        (&good[..2 * SLIP - 1], "cut"),
        (&broken[..], "no age file"),
        (&drop[..], "a piece of a drop"),
    ] {
        let reply = post(&world, 0, bad).await;
        assert_eq!(reply.status, 422, "{why}: {reply:?}");
        assert_eq!(reply.json()["type"], "urn:sealdrop:error:not-slips");
    }
    assert_eq!(world.post("/v1/slips", &good).await.status, 401);
    let signed = world.signed("POST", "/v1/slips", &good);
    let other = slips(2, 3);
    let headers = [(HEADER, &*signed)];
    let reply = send(world.addr(), "POST", "/v1/slips", &headers, &other).await;
    assert_eq!(reply.status, 401, "another body than was signed");
    assert_eq!(accepted(&world, 0, &good).await, FIRST);
}

#[tokio::test]
async fn outsider_compares_windows_with_no_some_and_all_slips_and_sees_the_same() {
    let world = world(3, 7).await;
    let mut seen = BTreeMap::new();
    for posting in [0, 1, 3, 0] {
        for member in 0..posting {
            let seed = (posting * 10 + member) as u64;
            accepted(&world, member, &slips(2, seed)).await;
        }
        let window = world.next_window().await - 1;
        let reply = world.get(&format!("/v1/feed/{window}")).await;
        assert!(chunks(&reply.body).is_sorted());
        assert!(chunks(&reply.body).iter().all(slip::is_shaped));
        let names: Vec<_> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
        let listing = world.get("/v1/feed").await.body.len();
        let checkpoint = world.get("/log/checkpoint").await.text();
        let size: usize = checkpoint.lines().nth(1).unwrap().parse().unwrap();
        seen.insert(
            window,
            (reply.status, names, reply.body.len(), listing, size),
        );
    }
    let rows: Vec<_> = seen.values().collect();
    for (before, after) in rows.iter().zip(&rows[1..]) {
        assert_eq!((before.0, &before.1, before.2), (200, &after.1, 7 * SLIP));
        assert_eq!(after.4, before.4 + 16, "the log grows by the same");
    }
    let grows: Vec<_> = rows.windows(2).map(|pair| pair[1].3 - pair[0].3).collect();
    assert!(grows.iter().all(|by| *by == grows[0]), "{grows:?}");
}

#[tokio::test]
async fn nothing_at_rest_after_a_window_says_which_member_posted_what() {
    let mut world = world(2, 5).await;
    let (one, two) = (slips(2, 1), slips(2, 2));
    accepted(&world, 0, &one).await;
    accepted(&world, 1, &two).await;
    let named = |member: &str, slips: &[u8]| [member.as_bytes(), &slips[..64]].concat();
    let marks = [named("member-0", &one), named("member-1", &two)];
    let found = everything_in(&world.data());
    for mark in &marks {
        assert!(
            count_of(&found, mark) > 0,
            "the test sees it while it is there"
        );
    }
    world.next_window().await;
    let segment = segment(&world, FIRST).await;
    let gone = |found: &[u8]| marks.iter().all(|mark| count_of(found, mark) == 0);
    for _ in 0..2 {
        until("who posted to be forgotten", async || {
            gone(&everything_in(&world.data()))
        })
        .await;
        let found = everything_in(&world.data());
        // Each slip stands in the segment, that is in the pack and in the index, and nowhere else.
        for slip in chunks(&segment) {
            assert_eq!(count_of(&found, &slip[..48]), 2);
        }
        world.restart().await;
    }
}

#[tokio::test]
async fn the_largest_segment_is_taken_in_one_post_and_served() {
    let world = world(1, 64).await;
    let posted = slips(64, 1);
    assert_eq!(accepted(&world, 0, &posted).await, FIRST);
    world.next_window().await;
    let segment = segment(&world, FIRST).await;
    check_holds(&segment, &posted);
    assert_eq!(segment.len(), 64 * SLIP);
}

#[tokio::test]
async fn members_beyond_the_slips_of_a_window_post_in_the_next() {
    let world = world(2, 1).await;
    let (one, two) = (slips(1, 1), slips(1, 2));
    assert_eq!(accepted(&world, 0, &one).await, FIRST);
    let late = post(&world, 1, &two).await;
    assert_eq!(late.status, 503);
    assert_eq!(late.json()["type"], "urn:sealdrop:error:full");
    assert!(late.header("retry-after").is_some());
    world.next_window().await;
    assert_eq!(accepted(&world, 1, &two).await, FIRST + 1);
    world.next_window().await;
    assert_eq!(segment(&world, FIRST).await, one);
    assert_eq!(segment(&world, FIRST + 1).await, two);
}

#[tokio::test]
async fn a_roster_with_fewer_slips_takes_none_back_and_counts_from_the_next_window() {
    let mut world = world(1, 3).await;
    let posted = slips(3, 1);
    accepted(&world, 0, &posted).await;
    world.team.slips = 1;
    world.publish(2).await;
    assert_eq!(accepted(&world, 0, &posted).await, FIRST, "the same again");
    world.restart().await;
    world.next_window().await;
    let held = segment(&world, FIRST).await;
    assert_eq!(held.len(), 3 * SLIP);
    check_holds(&held, &posted);
    assert_eq!(post(&world, 0, &slips(3, 2)).await.status, 422);
    world.next_window().await;
    assert_eq!(segment(&world, FIRST + 1).await.len(), SLIP);
    // What shrank at the same time as nobody had posted is the same for an outsider: the roster says it, not the members.
    world.team.slips = 2;
    world.publish(3).await;
    world.team.slips = 1;
    world.publish(4).await;
    world.next_window().await;
    assert_eq!(segment(&world, FIRST + 2).await.len(), 2 * SLIP);
}

#[tokio::test]
async fn a_segment_expires_with_its_window_and_its_bytes_are_gone() {
    let mut world = world(1, 2).await;
    let posted = slips(2, 1);
    accepted(&world, 0, &posted).await;
    world.next_window().await;
    let path = format!("/v1/feed/{FIRST}");
    let age = async |world: &World| {
        let reply = world.get(&path).await;
        assert_eq!(reply.status, 200);
        assert!(reply.header("etag").is_none());
        let cache = reply.header("cache-control").unwrap().to_owned();
        let age = cache.strip_prefix("public, max-age=").unwrap();
        let age = age.strip_suffix(", immutable").unwrap();
        age.parse::<u64>().unwrap()
    };
    let expiry = (FIRST + 1) * LENGTH + RETENTION;
    let whole = age(&world).await;
    assert!(whole > 0 && world.hands.now() + whole <= expiry);
    world.hands.set(world.hands.now() + 1_000);
    assert_eq!(age(&world).await, whole, "it says no time within a window");
    assert!(count_of(&everything_in(&world.data()), &posted[..64]) > 0);

    world.hands.set(expiry - 1);
    until("the window to turn", async || {
        world.member("GET", "/v1/windows", b"").await.json()["now"] == FIRST + 24
    })
    .await;
    assert_eq!(age(&world).await, 0, "a second before its time");
    world.hands.set(expiry);
    until("the segment to expire", async || {
        world.get(&path).await.status == 410
    })
    .await;
    let listed = async |world: &World| {
        let feed = world.get("/v1/feed").await.json();
        let segments = feed["segments"].as_array().unwrap().clone();
        segments.iter().any(|row| row["window"] == FIRST)
    };
    assert!(!listed(&world).await);
    world.restart().await;
    assert_eq!(world.get(&path).await.status, 410);
    assert!(!listed(&world).await);
    assert_eq!(count_of(&everything_in(&world.data()), &posted[..64]), 0);
    assert_eq!(verify(&world).await.count("segment"), 3);
}

#[tokio::test]
async fn a_release_keeps_the_segment_until_it_expires() {
    let mut world = world(1, 2).await;
    let posted = slips(2, 1);
    accepted(&world, 0, &posted).await;
    world.leave(&small(1)).await;
    world.next_window().await;
    let before = segment(&world, FIRST).await;
    cosign(&world, 0).await;
    let path = format!("/v1/windows/{FIRST}/release");
    assert_eq!(world.member("POST", &path, b"").await.status, 204);
    assert_eq!(world.fetch(FIRST, &small(1)).await.status, 410);
    assert!(!world.pack(FIRST).exists());
    for _ in 0..2 {
        assert!(segment(&world, FIRST).await == before);
        world.restart().await;
    }
    world.hands.set((FIRST + 1) * LENGTH + RETENTION);
    until("the segment to expire", async || {
        world.get(&format!("/v1/feed/{FIRST}")).await.status == 410
    })
    .await;
    let listing = format!("/v1/windows/{FIRST}/drops");
    let listing = world.member("GET", &listing, b"").await.json();
    assert!(listing["released"].is_string(), "the release stays known");
}

#[tokio::test]
async fn slips_answered_before_a_kill_are_in_the_segment_after_it() {
    let mut world = world(2, 4).await;
    let (one, two) = (slips(2, 1), slips(2, 2));
    accepted(&world, 0, &one).await;
    accepted(&world, 1, &two).await;
    // What is on the disk at this moment is what a kill leaves.
    let killed = world.folder.path().join("killed");
    copy_dir(&world.data(), &killed);
    world.stop().await;
    world.config.data = killed;
    // One comes back while the window is open, the other sends again. Then it is off until the window is over.
    world.start().await;
    assert_eq!(accepted(&world, 0, &one).await, FIRST);
    assert_eq!(post(&world, 1, &slips(2, 3)).await.status, 409);
    let killed = world.folder.path().join("killed-again");
    copy_dir(&world.data(), &killed);
    world.stop().await;
    world.config.data = killed;
    world.hands.set(NOON + 3 * LENGTH);
    world.start().await;
    let segment = segment(&world, FIRST).await;
    check_holds(&segment, &one);
    check_holds(&segment, &two);
    assert_eq!(segment.len(), 4 * SLIP);
}

#[tokio::test]
async fn a_close_torn_anywhere_makes_one_segment_with_all_that_was_promised() {
    let mut world = world(1, 2).await;
    let posted = slips(1, 1);
    // A member of two, so that one slip of the segment is random.
    world
        .team
        .members
        .extend(Team::new(2).members.into_iter().skip(1));
    world.publish(2).await;
    accepted(&world, 0, &posted).await;
    let before = world.folder.path().join("before");
    copy_dir(&world.data(), &before);
    let known = std::fs::metadata(world.pack(FIRST)).unwrap().len() as usize;
    world.next_window().await;
    let whole = segment(&world, FIRST).await;
    world.stop().await;
    let pack = std::fs::read(world.pack(FIRST)).unwrap();
    let body = pack
        .windows(whole.len())
        .position(|bytes| bytes == whole)
        .unwrap();
    let end = body + whole.len();
    assert!(known < body && end < pack.len());

    // Begun and cut, whole and not yet padded, padded in part, and padded; the index knows of none of it.
    let data = world.data();
    for cut in [known, known + 40, body, end - 1, end, end + 100, pack.len()] {
        for off in [0, 2] {
            std::fs::remove_dir_all(&data).unwrap();
            copy_dir(&before, &data);
            std::fs::write(world.pack(FIRST), &pack[..cut]).unwrap();
            world.hands.set((FIRST + 1 + off) * LENGTH + 10);
            world.start().await;
            let again = world.get(&format!("/v1/feed/{FIRST}")).await.body;
            assert_eq!(again == whole, cut >= end, "cut at {cut}");
            assert_eq!(again.len(), 2 * SLIP);
            check_holds(&again, &posted);
            assert_eq!(verify(&world).await.count("segment"), 1);
            // Nothing of the half that was thrown away, or of who posted.
            let found = everything_in(&data);
            let named = [&b"member-0"[..], &posted[..64]].concat();
            assert_eq!(count_of(&found, &named), 0, "cut at {cut}");
            assert_eq!(count_of(&found, &posted[..48]), 2, "cut at {cut}");
            world.stop().await;
        }
    }

    // The segment was made, the close cut off, and the clock went back: what came now would be in no segment.
    std::fs::remove_dir_all(&data).unwrap();
    copy_dir(&before, &data);
    std::fs::write(world.pack(FIRST), &pack[..end]).unwrap();
    world.hands.set(NOON);
    world.start().await;
    let reply = post(&world, 1, &slips(1, 2)).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["type"], "urn:sealdrop:error:busy");
    let path = format!("/v1/feed/{FIRST}");
    assert_eq!(world.get(&path).await.status, 404, "not yet logged");
    world.leave(&drop_of(2, 65_536, 1)).await;
    world.next_window().await;
    assert!(world.get(&path).await.body == whole);
    assert_eq!(verify(&world).await.count("segment"), 1);
}

#[tokio::test]
async fn a_window_in_which_nothing_came_has_a_segment_too() {
    let world = world(1, 1).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let window = world.next_window().await - 1;
        let segment = segment(&world, window).await;
        assert_eq!(segment.len(), SLIP);
        assert!(!seen.contains(&segment));
        seen.push(segment);
    }
    let feed = world.get("/v1/feed").await.json();
    assert_eq!(feed["segments"].as_array().unwrap().len(), 3);
}
