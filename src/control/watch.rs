//! When to look whether the config changed: something happened in a directory where one of its files stands, or time has
//! passed. It says only "look"; what is in the files decides. Directories are watched and not files, since files are
//! replaced: by a rename, by a temporary file, by a symbolic link that is swapped (Kubernetes' `..data`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::source::Seen;

/// Between two looks where nothing was heard of: for file systems that tell nothing (NFS).
const POLL_INTERVAL: Duration = Duration::from_secs(15);
/// After something happened, for what is written in several steps to be whole.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Between two looks, however much happens.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Directories that are watched; files in others are polled.
const DIRECTORIES_MAX: usize = 64;

/// The directories that are watched.
pub(super) struct Watch {
    bell: mpsc::Sender<()>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// What was said already.
    complaint: Option<String>,
}

/// What rings when to look.
pub(super) struct Bell {
    rings: mpsc::Receiver<()>,
    /// The next look for want of a ring.
    poll: Instant,
    /// No look before this.
    rest: Instant,
}

/// A watch of nothing yet, and its bell.
pub(super) fn watch() -> (Watch, Bell) {
    let (bell, rings) = mpsc::channel(1);
    let now = Instant::now();
    let watch = Watch { bell, watcher: None, watched: BTreeSet::new(), complaint: None };
    (watch, Bell { rings, poll: now + POLL_INTERVAL, rest: now })
}

impl Bell {
    /// Waits until it is time to look. May be dropped.
    pub(super) async fn rung(&mut self) {
        let heard = tokio::select! {
            rung = self.rings.recv() => rung.is_some(),
            () = sleep_until(self.poll) => false,
        };
        let at = if heard { (Instant::now() + DEBOUNCE).max(self.rest) } else { self.poll };
        // Dropped here, the look is due none the later.
        self.poll = self.poll.min(at);
        sleep_until(at.max(self.rest)).await;
        let now = Instant::now();
        (self.poll, self.rest) = (now + POLL_INTERVAL, now + LOOK_INTERVAL);
        let _one_look_for_all = self.rings.try_recv();
    }
}

impl Watch {
    /// Watches where these files stand, and nothing else. What cannot be watched is said once, and polled. Makes system
    /// calls: not for the control plane's own thread.
    pub(super) fn follow(&mut self, seen: &Seen) {
        let mut wanted: BTreeSet<PathBuf> = seen.files().flat_map(directories).collect();
        let too_many = wanted.len().saturating_sub(DIRECTORIES_MAX);
        while wanted.len() > DIRECTORIES_MAX {
            wanted.pop_last();
        }
        let mut complaint = (too_many > 0).then(|| format!("{too_many} directories too many"));
        if let Err(error) = self.watch_all(wanted) {
            complaint = Some(error);
        }
        if complaint != self.complaint {
            if let Some(why) = &complaint {
                tracing::warn!(
                    why,
                    "a directory of the config cannot be watched; its files are looked at every 15 s"
                );
            }
            self.complaint = complaint;
        }
    }

    /// Those that are watched already are watched anew: one may have been replaced since.
    fn watch_all(&mut self, wanted: BTreeSet<PathBuf>) -> Result<(), String> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            None => self.watcher.insert(watcher(self.bell.clone()).map_err(|error| error.to_string())?),
        };
        for gone in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        let mut failed = None;
        for directory in &wanted {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                failed = Some(format!("{}: {error}", directory.display()));
            }
        }
        self.watched = wanted;
        failed.map_or(Ok(()), Err)
    }
}

fn watcher(bell: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) {
            // A bell that is full is ringing already.
            let _ = bell.try_send(());
        }
    })
}

/// Reading is none, or every look would ring for the next.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Where a file's name stands, and where the file itself does, if that is elsewhere.
fn directories(path: &Path) -> impl Iterator<Item = PathBuf> {
    let real = path.canonicalize().ok();
    [Some(path.to_owned()), real].into_iter().flatten().filter_map(|path| {
        let parent = path.parent()?;
        Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_are_watched_where_they_stand() {
        let folder = tempfile::TempDir::new().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::fs::write(root.join("real/c.json"), "{}").unwrap();
        std::os::unix::fs::symlink("real/c.json", root.join("c.json")).unwrap();
        let found: Vec<PathBuf> = directories(&root.join("c.json")).collect();
        assert_eq!(found, [root.clone(), root.join("real")]);
        assert_eq!(directories(&root.join("absent")).collect::<Vec<_>>(), [root]);
        assert_eq!(directories(Path::new("absent.json")).collect::<Vec<_>>(), [PathBuf::from(".")]);
    }

    #[test]
    fn reading_rings_no_bell() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_change(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_change(EventKind::Modify(notify::event::ModifyKind::Any)));
        assert!(is_change(EventKind::Other));
    }

    #[test]
    fn however_often_it_rings_looks_are_apart_and_no_ring_is_lost() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (watch, mut bell) = watch();
            let began = Instant::now();
            watch.bell.try_send(()).unwrap();
            bell.rung().await;
            assert!(began.elapsed() >= DEBOUNCE);
            watch.bell.try_send(()).unwrap();
            bell.rung().await;
            assert!(began.elapsed() >= DEBOUNCE + LOOK_INTERVAL);
            assert!(bell.poll > Instant::now() + LOOK_INTERVAL, "the next look for want of a ring is far");
            // A wait that is dropped in its midst forgets no ring.
            watch.bell.try_send(()).unwrap();
            assert!(tokio::time::timeout(Duration::from_millis(20), bell.rung()).await.is_err());
            assert!(bell.poll <= Instant::now() + LOOK_INTERVAL);
            bell.rung().await;
            assert!(began.elapsed() < POLL_INTERVAL);
        });
    }
}
