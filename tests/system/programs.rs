//! A box made and served by the real programs, in one folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use sealdrop_tests::{Running, command, succeed};

/// `sealdrop-desk`, with its home and passphrase in `dir`.
pub(crate) fn desk(dir: &Path) -> Command {
    let mut desk = command("sealdrop-desk");
    desk.current_dir(dir)
        .args(["--home", "desk", "--passphrase-file", "passphrase"]);
    desk
}

/// Makes the keys of a box, `sdbox1…`, in `dir`.
#[track_caller]
pub(crate) fn make_box(dir: &Path) -> String {
    fs::write(dir.join("passphrase"), "correct horse\n").expect("the folder is ours");
    let made = succeed(desk(dir).args(["--json", "init", "--work-factor", "2", "--no-recovery"]));
    let made: serde_json::Value = serde_json::from_str(&made).expect("it is JSON");
    made["box"].as_str().expect("it names the box").into()
}

/// Starts a server for the box, with its data in `dir/data`.
#[track_caller]
pub(crate) fn serve(dir: &Path, data: &str, listen: &str, box_key: &str) -> Running {
    let mut server = command("sealdrop-server");
    server
        .current_dir(dir)
        .args(["--data", data, "--listen", listen, "--box", box_key]);
    Running::start(&mut server, "ready on ")
}
