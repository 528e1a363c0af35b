//! Places for connections and for large bodies. There are so many, and when all are taken the slowest gives way. docs/protocol.md, "Limits".
//!
//! Were a newcomer turned away instead, whoever takes all places and then says nothing would shut everybody out for next to nothing. As it is,
//! shutting somebody out takes a flood that is faster, in every place at once, than they are, or than [`FAST`]. docs/threat-model.md, "A
//! stranger who uses the public interface".

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Whoever keeps up this pace, in bytes per second since they came, gives way to nobody.
const FAST: f64 = 65_536.0;
/// Bytes that everybody is taken to have sent when they come, so that one whose first bytes are on their way is not the slowest.
const CREDIT: u64 = 8_192;

/// A number of places.
pub(crate) struct Places {
    most: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by: HashMap<u64, Arc<Holder>>,
}

struct Holder {
    since: Instant,
    bytes: AtomicU64,
    lost: Notify,
}

/// A place, until it is dropped. Its holder must watch [`Place::lost`] wherever it waits for its client.
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    holder: Arc<Holder>,
}

/// Counts the bytes of the holder of a place.
#[derive(Clone)]
pub(crate) struct Meter(Arc<Holder>);

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A place that is free, or that of the slowest; `None` if all are taken by such as are [`FAST`].
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        self.take_at(Instant::now())
    }

    fn take_at(self: &Arc<Self>, now: Instant) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.by.len() >= self.most {
            let (number, slowest) = taken
                .by
                .iter()
                .map(|(number, holder)| (*number, holder.pace(now)))
                .min_by(|(_, a), (_, b)| a.total_cmp(b))?;
            if slowest >= FAST {
                return None;
            }
            if let Some(holder) = taken.by.remove(&number) {
                holder.lost.notify_one();
            }
        }
        let number = taken.next;
        taken.next += 1;
        let holder = Arc::new(Holder {
            since: now,
            bytes: CREDIT.into(),
            lost: Notify::new(),
        });
        taken.by.insert(number, holder.clone());
        Some(Place {
            places: self.clone(),
            number,
            holder,
        })
    }

    /// Waits until a place is given up. One may have become slow meanwhile, which nobody tells.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Holder {
    /// Bytes per second since it came.
    fn pace(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.since);
        let age = age.as_secs_f64().max(0.001);
        self.bytes.load(Ordering::Relaxed) as f64 / age
    }
}

impl Place {
    /// Waits until the place is another's. It says so once.
    pub(crate) async fn lost(&self) {
        self.holder.lost.notified().await;
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter(self.holder.clone())
    }
}

impl Meter {
    pub(crate) fn count(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if taken.by.remove(&self.number).is_some() {
            self.places.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn is_lost(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.lost())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn when_all_places_are_taken_the_slowest_gives_way_and_the_fast_do_not() {
        let places = Places::new(3);
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let take = |now| places.take_at(now);
        let [idle, slow, fast] = [(); 3].map(|()| take(began).unwrap());
        slow.meter().count(20_000);
        fast.meter().count(1 << 20);
        let first = take(after(10)).unwrap();
        assert!(is_lost(&idle).await && !is_lost(&slow).await && !is_lost(&fast).await);
        std::mem::drop(idle);
        let second = take(after(10)).unwrap();
        assert!(is_lost(&slow).await && !is_lost(&fast).await);
        assert!(take(after(10)).is_none(), "two have only just come");
        second.meter().count(1 << 20);
        let third = take(after(11)).unwrap();
        assert!(is_lost(&first).await && !is_lost(&second).await);
        third.meter().count(1 << 20);
        assert!(take(after(12)).is_none());
        std::mem::drop(second);
        assert!(take(after(12)).is_some());
    }
}
