//! Blocking work in bounded number: so much runs, so much waits for its turn, and beyond that none is taken. Names and long
//! work have a crew each, so that neither fills the other's queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module.
pub(super) struct Crew {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// The right to one piece of work, now or in turn.
pub(super) struct Place {
    place: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
}

/// The right to work now. To be held as long as the work lasts, whoever went away meanwhile.
pub(super) struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Crew {
    /// `running_max` pieces at a time, each on a blocking thread of the runtime, which must have as many; `waiting_max`
    /// beside.
    pub(super) fn new(running_max: usize, waiting_max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(running_max + waiting_max)),
            turns: Arc::new(Semaphore::new(running_max)),
        }
    }

    /// `None`: all places are taken.
    pub(super) fn place(&self) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { place, turns: Arc::clone(&self.turns) })
    }
}

impl Place {
    /// Waits for its turn. `None`: it did not come within `wait`.
    pub(super) async fn turn(self, wait: Duration) -> Option<Turn> {
        let turn = tokio::time::timeout(wait, self.turns.acquire_owned()).await.ok()?.ok()?;
        Some(Turn { _place: self.place, _turn: turn })
    }

    /// Runs `work` on a blocking thread when its turn comes. `None`: it did not within `wait`, or the work panicked.
    pub(super) async fn work<T: Send + 'static>(
        self,
        wait: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.turn(wait).await?.work(work).await
    }
}

impl Turn {
    /// Runs `work` on a blocking thread. `None`: it panicked.
    pub(super) async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let done = tokio::task::spawn_blocking(move || {
            let _held = self;
            work()
        });
        done.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn what_does_not_get_its_turn_in_time_is_not_run() {
        run(async {
            let crew = Crew::new(1, 1);
            let (open, gate) = std::sync::mpsc::channel::<()>();
            let first = crew.place().unwrap();
            let first = tokio::spawn(first.work(Duration::from_secs(9), move || gate.recv().is_ok()));
            tokio::task::yield_now().await;
            let second = crew.place().unwrap();
            assert!(crew.place().is_none(), "one runs, one waits");
            assert_eq!(second.work(Duration::from_millis(20), || ()).await, None);
            open.send(()).unwrap();
            assert_eq!(first.await.unwrap(), Some(true));
            assert_eq!(crew.place().unwrap().work(Duration::from_secs(9), || 5).await, Some(5));
        });
    }

    #[test]
    fn a_panic_frees_its_place() {
        run(async {
            let crew = Crew::new(1, 0);
            let panicked = crew.place().unwrap().work(Duration::from_secs(9), || panic!("provoked")).await;
            assert_eq!(panicked, None::<()>);
            assert_eq!(crew.place().unwrap().work(Duration::from_secs(9), || 5).await, Some(5));
        });
    }
}
