//! Looking a drop up in logs that are honest, late, forked and forged.

use sealdrop_client::{ClientError, LookupError};
use sealdrop_core::key::SecretKey;
use sealdrop_core::log::checkpoint::{Checkpoint, log_vkey};
use sealdrop_core::log::leaf::{Leaf, LeafKind};
use sealdrop_core::log::proof::State;

use crate::client;
use crate::support::{Answer, Keys, LyingServer};

fn leaf(server: &LyingServer, n: u8) -> Leaf {
    Leaf {
        kind: LeafKind::Drop,
        digest: [n; 32],
        size: 67_195,
        window: server.window(),
    }
}

/// A server with 40 drops in the log, of which number 20 is looked for.
fn with_drops() -> (LyingServer, Leaf) {
    let server = LyingServer::start();
    let leaves: Vec<_> = (0..40).map(|n| leaf(&server, n)).collect();
    server.state().leaves = leaves;
    server.state().close_window();
    let wanted = leaf(&server, 20);
    (server, wanted)
}

#[test]
fn a_drop_is_promised_then_logged_then_collected() {
    let server = LyingServer::start();
    let wanted = leaf(&server, 1);
    let roster = server.state().roster.clone();
    let look_up = || client(&server).look_up(&wanted, &roster, &[]).unwrap();
    assert!(look_up().is_none());
    server.state().leaves.push(wanted);
    assert!(
        look_up().is_none(),
        "a leaf under no checkpoint is not in the log"
    );
    server.state().close_window();
    let logged = look_up().unwrap();
    assert_eq!(logged.proven.logged().state(), State::Logged);
    server.state().cosign(&["ben"]);
    assert_eq!(look_up().unwrap().proven.logged().members(), ["ben"]);
    server.state().cosign(&["ada", "ben"]);
    server.state().close_window();
    server.state().cosign(&["ada"]);
    let found = look_up().unwrap();
    assert_eq!(
        found.proven.logged().members(),
        ["ada", "ben"],
        "the checkpoint that most have cosigned"
    );
}

#[test]
fn the_server_does_not_learn_which_leaf_is_looked_for() {
    let (server, _) = with_drops();
    let roster = server.state().roster.clone();
    let mut asked = Vec::new();
    for n in [0, 39] {
        server.state().requests.clear();
        client(&server)
            .look_up(&leaf(&server, n), &roster, &[])
            .unwrap()
            .unwrap();
        asked.push(server.requests());
    }
    assert_eq!(asked[0], asked[1]);
}

#[test]
fn server_forks_the_log_two_views() {
    let (server, wanted) = with_drops();
    // The members were shown another log, and cosigned it.
    let keys = server.keys();
    let mut other = server.state().leaves.clone();
    other[20] = leaf(&server, 200);
    let cosigned = keys.checkpoint(&other[..32], &["ada"]);
    server.state().cosigned.push(cosigned.clone());
    let roster = server.state().roster.clone();
    match client(&server).look_up(&wanted, &roster, &[]) {
        Err(LookupError::Fork { one, .. }) => assert_eq!(*one, cosigned),
        other => panic!("{other:?}"),
    }
}

#[test]
fn server_hides_the_members_view_and_an_older_proof_shows_it() {
    let (server, wanted) = with_drops();
    let roster = server.state().roster.clone();
    let found = client(&server)
        .look_up(&wanted, &roster, &[])
        .unwrap()
        .unwrap();
    // The log rolls back, and grows again without the drop.
    server.state().leaves.remove(20);
    server.state().close_window();
    let again = client(&server).look_up(&wanted, &roster, &[found.receipt.checkpoint().clone()]);
    assert!(matches!(again, Err(LookupError::Fork { .. })));
}

#[test]
fn a_log_that_rolled_back_is_seen_by_an_older_proof() {
    let (server, wanted) = with_drops();
    let roster = server.state().roster.clone();
    let found = client(&server)
        .look_up(&wanted, &roster, &[])
        .unwrap()
        .unwrap();
    server.state().leaves.truncate(16);
    server.state().closed = 16;
    let again = client(&server).look_up(&wanted, &roster, &[found.receipt.checkpoint().clone()]);
    assert!(matches!(again, Err(LookupError::Fork { .. })), "{again:?}");
}

#[test]
fn a_log_with_another_key_is_not_the_one_that_promised() {
    let (server, wanted) = with_drops();
    let roster = server.state().roster.clone();
    let box_key = roster.box_key().clone();
    server.lie(move |request, _| {
        let other = SecretKey::from_seed(&[99; 32]);
        let note = Checkpoint::empty(log_vkey(&box_key, &other.to_public()).name()).sign(&other);
        (request.path == "/log/checkpoint").then(|| Answer::bytes(note.to_string()))
    });
    let result = client(&server).look_up(&wanted, &roster, &[]);
    assert!(matches!(result, Err(LookupError::AnotherLog)));
}

#[test]
fn tiles_that_do_not_lead_to_the_checkpoint_are_refused() {
    let (server, wanted) = with_drops();
    let roster = server.state().roster.clone();
    server.lie(|request, state| {
        if request.path.starts_with("/log/tile/") {
            state.leaves[3].size += 1;
        }
        None
    });
    let result = client(&server).look_up(&wanted, &roster, &[]);
    assert!(
        matches!(result, Err(LookupError::Client(ClientError::Malformed(_)))),
        "{result:?}"
    );
}

#[test]
fn a_forged_cosignature_is_refused() {
    let (server, wanted) = with_drops();
    let roster = server.state().roster.clone();
    server.state().cosign(&["ada"]);
    // A line under the name and ID of ada's key, with the signature of another checkpoint.
    let leaves = server.state().leaves.clone();
    let stranger = server.keys().checkpoint(&leaves[..16], &["ada"]);
    let line = stranger
        .signatures()
        .iter()
        .find(|line| line.name() == "ada/desk")
        .unwrap()
        .clone();
    let mut forged = server.keys().checkpoint(&leaves[..32], &[]);
    forged.push(line);
    server.state().cosigned = vec![forged];
    let result = client(&server).look_up(&wanted, &roster, &[]);
    assert!(matches!(result, Err(LookupError::Receipt(_))), "{result:?}");
}

#[test]
fn a_cosignature_by_a_key_that_the_roster_does_not_name_counts_for_nothing() {
    let (server, wanted) = with_drops();
    let roster = server.state().roster.clone();
    let strangers = Keys {
        log: SecretKey::from_seed(&[7 ^ 1; 32]),
        box_secret: SecretKey::from_seed(&[7; 32]),
        ..Keys::new(8)
    };
    let leaves = server.state().leaves.clone();
    server.state().cosigned = vec![strangers.checkpoint(&leaves, &["ada", "ben"])];
    let found = client(&server)
        .look_up(&wanted, &roster, &[])
        .unwrap()
        .unwrap();
    assert_eq!(found.proven.logged().state(), State::Logged);
}
