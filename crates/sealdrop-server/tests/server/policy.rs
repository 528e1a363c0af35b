//! What is published of the policy. docs/policy.md, "Published".

use sealdrop_core::encoding::sha256;

use crate::support::*;

const RUNS: &str = r#"schema = 1

[project]
name = "Plume"

[[channels]]
kind = "email"
uri = "mailto:security@plume.dev"

[clocks]
ack = "48h"
"#;

#[tokio::test]
async fn security_md_and_security_txt_follow_the_policy_in_force() {
    let mut world = World::still(1);
    world.start().await;
    let log = world.log().to_owned();
    let team = Team::new(1);
    let publish = |epoch, policy: &str| {
        let mut draft = team.draft(&log, epoch);
        draft.policy = sha256(policy.as_bytes());
        publication(
            &draft.sign(&team.secret).unwrap().note().to_string(),
            policy,
        )
    };
    for path in ["/SECURITY.md", "/.well-known/security.txt"] {
        assert_eq!(world.get(path).await.status, 404, "no roster yet");
    }
    assert_eq!(world.put("/v1/box", &publish(5, RUNS)).await.status, 204);
    let address = format!("{}#{}", team.draft(&log, 5).origins[0], team.box_key());
    let page = world.get("/SECURITY.md").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/markdown; charset=utf-8")
    );
    let text = page.text();
    assert!(
        text.contains(&format!("`{address}`")) && text.contains("within 48 hours"),
        "{text}"
    );
    let page = world.get("/.well-known/security.txt").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let text = page.text();
    let contacts = format!("Contact: {address}\nContact: mailto:security@plume.dev\nExpires: ");
    assert!(text.starts_with(&contacts), "{text}");
    assert_eq!(text.matches("Expires: ").count(), 1);

    // Prose is its author's to publish.
    assert_eq!(
        world
            .put("/v1/box", &publish(6, "Write to us."))
            .await
            .status,
        204
    );
    assert_eq!(world.get("/SECURITY.md").await.status, 404);
}
