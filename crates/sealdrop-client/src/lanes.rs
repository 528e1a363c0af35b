//! Requests of one operation side by side, so that a feed of hundreds of segments does not take hundreds of round trips one after another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// How many requests are under way at once, each on a connection of its own. The same for every client and every box: another number would mark
/// whoever uses it.
pub(crate) const LANES: usize = 8;

/// Runs `request` for 0 to `count`, [`LANES`] of them at once, and gives what they gave, in order. `arrived` is told of each as it comes.
///
/// Request n is the lane's of n modulo [`LANES`]: which lane makes which requests, in which order, follows from `count` alone. Memory is bounded by
/// what [`LANES`] requests hold, and what `request` gives.
///
/// # Errors
/// The first failure. After it no further request begins, and `request`, which is given the flag that says so, need not try again.
pub(crate) fn side_by_side<T: Send, E: Send>(
    count: usize,
    request: impl Fn(usize, &AtomicBool) -> Result<T, E> + Sync,
    mut arrived: impl FnMut(&T),
) -> Result<Vec<T>, E> {
    let (request, failed) = (&request, &AtomicBool::new(false));
    thread::scope(|scope| {
        let (tell, told) = channel();
        for lane in 0..LANES.min(count) {
            let tell = tell.clone();
            scope.spawn(move || {
                for index in (lane..count).step_by(LANES) {
                    if failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let result = request(index, failed);
                    let is_err = result.is_err();
                    // Nobody has stopped listening while a lane is there. First, so that what fails because of it comes later.
                    drop(tell.send((index, result)));
                    failed.fetch_or(is_err, Ordering::Relaxed);
                }
            });
        }
        drop(tell);
        let arrived = |(index, result): (usize, Result<T, E>)| {
            let value = result?;
            arrived(&value);
            Ok((index, value))
        };
        let mut values: Vec<(usize, T)> =
            told.into_iter().map(arrived).collect::<Result<_, E>>()?;
        values.sort_by_key(|(index, _)| *index);
        Ok(values.into_iter().map(|(_, value)| value).collect())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn results_come_in_order_and_no_more_than_the_lanes_run_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut told = 0;
        let twice = |n, _: &AtomicBool| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, ()>(2 * n)
        };
        let all = side_by_side(100, twice, |_| told += 1).unwrap();
        assert_eq!(all, (0..200).step_by(2).collect::<Vec<_>>());
        assert_eq!(told, 100);
        assert!(most.into_inner() <= LANES);
        let none = side_by_side(0, |n, _| Ok::<usize, ()>(n), |_| ());
        assert_eq!(none, Ok(vec![]));
    }

    #[test]
    fn which_lane_makes_which_request_follows_from_the_number_alone() {
        let by_lane = Mutex::new(std::collections::HashMap::new());
        let note = |n: usize, _: &AtomicBool| {
            let mut by_lane = by_lane.lock().unwrap();
            let lane: &mut Vec<usize> = by_lane.entry(thread::current().id()).or_default();
            lane.push(n);
            Ok::<_, ()>(())
        };
        side_by_side(20, note, |()| ()).unwrap();
        for lane in by_lane.into_inner().unwrap().values() {
            let expected: Vec<usize> = (lane[0]..20).step_by(LANES).collect();
            assert!(lane[0] < LANES && *lane == expected, "{lane:?}");
        }
    }

    #[test]
    fn the_first_failure_ends_it() {
        let begun = AtomicUsize::new(0);
        let fails = |n, _: &AtomicBool| {
            begun.fetch_add(1, Ordering::SeqCst);
            if n % LANES == 3 { Err(n) } else { Ok(n) }
        };
        assert_eq!(side_by_side(1_000_000, fails, |_| ()), Err(3));
        assert!(begun.into_inner() < 1_000_000);
    }
}
