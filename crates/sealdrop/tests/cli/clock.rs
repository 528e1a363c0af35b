//! A machine whose clock is wrong. It is the server's world that is shifted here: to a client whose clock is a day behind, it is a day ahead.

use sealdrop_client::system;
use sealdrop_core::encoding::sha256;
use sealdrop_core::log::promise::Promise;
use sealdrop_core::phrase::Phrase;
use sealdrop_core::time::{Time, Window};

use crate::support::{Answer, LyingServer, Saying, WINDOW};
use crate::{Place, Run};

const DAY: i64 = 86_400;

fn phrase() -> Phrase {
    Phrase::from_entropy(&[1; 16])
}

fn shifted(shift: i64) -> Time {
    Time(system::now().0.checked_add_signed(shift).unwrap())
}

/// A server whose clock is so many seconds ahead of this machine's, with an answer from two windows ago.
fn server(shift: i64) -> LyingServer {
    let server = LyingServer::start();
    server.publish(|draft| {
        draft.epoch = 4;
        draft.issued = Time(shifted(shift).0 - 1_000);
        draft.expires = Time(shifted(shift).0 + 1_000_000);
    });
    server.lie(move |request, state| {
        let size = request.body.len() as u64;
        let window = shifted(shift).window(WINDOW);
        let promise = Promise::new(sha256(&request.body), size, window);
        let note = promise.sign(&state.keys.log_name(), &state.keys.log);
        (request.path == "/v1/drops").then(|| Answer {
            status: 201,
            ..Answer::bytes(note.to_string())
        })
    });
    let slips = Saying::new(&server, &phrase(), "Hello").seal();
    let window = Window(shifted(shift).window(WINDOW).0 - 2);
    server.state().add_segment(window, &slips);
    server
}

/// What a reporter does, in this order: checks, checks with a state twice, submits, replies.
fn every_command(server: &LyingServer) -> [Run; 5] {
    let place = Place::new();
    let reply = ["--phrase-file", "phrase", "--text", "T", "--yes"];
    place.write("phrase", phrase().words().as_bytes());
    [
        place.answers(server, &phrase(), &[]),
        place.answers(server, &phrase(), &["--state", "s"]),
        place.answers(server, &phrase(), &["--state", "s"]),
        place.try_submit(server, &[]),
        place.run_for(server, "reply", &reply),
    ]
}

#[test]
fn a_clock_that_is_wrong_by_a_day_works_and_is_said() {
    for shift in [DAY - 60, -DAY + 60] {
        let [check, first, again, submit, reply] = every_command(&server(shift));
        for run in [check, first, again] {
            run.succeeded(&["ada writes\n    Hello"]);
        }
        for run in [submit, reply] {
            run.succeeded(&["Sent."]);
            let said = [
                "Another time: the promise is for the window that ends on ",
                "Set the clock",
            ];
            assert!(
                said.iter().all(|said| run.err.contains(said)),
                "{}",
                run.err
            );
        }
    }
    // One that is right is not spoken of.
    let [.., submit, reply] = every_command(&server(0));
    assert!(!submit.err.contains("Another time") && !reply.err.contains("Another time"));
}

#[test]
fn a_clock_that_is_wrong_by_more_than_a_day_is_a_clear_error() {
    // Behind: nothing that the server shows has begun.
    for run in every_command(&server(DAY + 4 * 3_600)) {
        run.refused(
            1,
            &[
                "is ahead of this machine's clock",
                "set the clock of this machine: it says ",
            ],
        );
    }
    // A roster that is older does not hide it.
    let server_ahead = server(DAY + 4 * 3_600);
    server_ahead.publish(|draft| (draft.epoch, draft.issued) = (5, shifted(-1_000)));
    let [check, first, again, submit, reply] = every_command(&server_ahead);
    for run in [check, first, again] {
        run.refused(
            1,
            &[
                "more than a day ahead of this machine's clock",
                "set the clock of this machine (it says ",
            ],
        );
    }
    let back_dated = [
        "the promise is for another time than now",
        "set this machine's clock (it says ",
    ];
    submit.refused(1, &back_dated);
    reply.refused(1, &back_dated);

    // Ahead: what the server shows is old, and that there is nothing newer is said.
    let [check, first, again, submit, reply] = every_command(&server(-DAY - 3 * 3_600));
    for run in [check, first, again] {
        run.succeeded(&["Hello", "or the clock of this machine is wrong (it says "]);
    }
    submit.refused(1, &back_dated);
    reply.refused(1, &back_dated);
}
