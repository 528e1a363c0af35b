//! Leaving a drop and fetching it.

use sealdrop_core::encoding::{hex, sha256};

use crate::support::*;

#[tokio::test]
async fn a_drop_is_accepted_listed_and_served_byte_for_byte() {
    let world = World::new().await;
    for drop in [small(1), drop_of(1, 262_144, 2), large(3), small(4)] {
        let promise = world.leave(&drop).await;
        assert_eq!(promise.leaf().window.0, FIRST);
        let reply = world.fetch(FIRST, &drop).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.body == drop);
    }
    let listed = world.listed(FIRST).await;
    let expected: Vec<_> = [small(1), drop_of(1, 262_144, 2), large(3), small(4)].iter().map(|d| (hex(&sha256(d)), d.len() as u64)).collect();
    assert_eq!(listed, expected);
    let windows = world.member("GET", "/v1/windows", b"").await.json();
    assert_eq!(windows, serde_json::json!({ "now": FIRST, "windows": [FIRST] }));
}
