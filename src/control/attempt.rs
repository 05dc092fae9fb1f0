//! One attempt to bring a node to the config as its files have it now: read until it stands still, judged whole, made ready
//! for every core, handed over. Whatever is wrong, the node is left as it was. When to try is `reload`'s.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::adoption::{self, ADOPT_TIMEOUT};
use super::command::Reloaded;
use super::crew::Crew;
use super::machine;
use super::preflight::{Preflight, preflight};
use super::source::{Seen, Source};
use super::watch::Watch;
use crate::config::Loaded;
use crate::config::diff;
use crate::config::restart::{lost_values, needs_restart};
use crate::config::snapshot::{Pem, ServerTls, Snapshot, Whence};
use crate::gateway::Message;
use crate::net::listen_tls::Certified;
use crate::net::mailbox::Post;
use crate::net::tls::Roots;

/// Threads that an attempt needs: one for files, one for what is made of them.
pub(super) const THREADS_MAX: usize = 2;
/// Between the two readings that must agree.
const STEADY_INTERVAL: Duration = Duration::from_millis(50);
/// Pairs of readings; files that change between the two of each are being written to.
const READINGS_MAX: usize = 20;
/// One piece of an attempt's work: files on a file system that hangs must not hold the node's commands.
const WORK_TIMEOUT: Duration = Duration::from_secs(30);

/// What holds for every attempt of a node.
pub(super) struct Ground {
    /// Where the config is.
    pub(super) source: Source,
    /// The cores.
    pub(super) posts: Vec<Post<Message>>,
    /// Who fetches tokens; `None`: nobody does.
    pub(super) tokens: Option<Post<Message>>,
    /// Whom providers are trusted by.
    pub(super) roots: Roots,
    /// Whether a log was opened at the start.
    pub(super) has_log: bool,
    /// Warnings are faults.
    pub(super) is_strict: bool,
    /// The threads.
    pub(super) crews: Crews,
}

/// A thread for files, which may hang with their file system, and one for what needs none, a key's switch among it.
pub(super) struct Crews {
    files: Crew,
    making: Crew,
}

impl Crews {
    pub(super) fn new() -> Self {
        Self { files: Crew::new(1, 0), making: Crew::new(1, 0) }
    }
}

impl Ground {
    /// Makes what needs no file. Errors: a sentence.
    async fn make<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let place = self.crews.making.place().ok_or("an earlier config is still being made ready")?;
        let made = place.work(WORK_TIMEOUT, work).await;
        made.ok_or_else(|| "corelane met a fault of its own while it made a config ready".to_owned())?
    }

    /// Runs on the thread for files. Errors: a sentence.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let place = self
            .crews
            .files
            .place()
            .ok_or("the files of an earlier look still hang; is their file system there?")?;
        let done = tokio::time::timeout(WORK_TIMEOUT, place.work(WORK_TIMEOUT, work)).await;
        let done = done.map_err(|_| "reading the config took longer than 30 s; is its file system there?")?;
        done.ok_or_else(|| "corelane met a fault of its own while it read the config".to_owned())
    }
}

/// What a node runs.
#[derive(Clone)]
pub(super) struct Current {
    /// As the file has it.
    pub(super) file: Arc<Loaded>,
    /// As the cores have it: without the keys that an operator took out of service.
    pub(super) serving: Arc<Loaded>,
    /// When it was read.
    pub(super) loaded_at: Timestamp,
    /// What was seen of its files.
    pub(super) seen: Seen,
    /// Names of the keys that an operator took out of service.
    pub(super) disabled: BTreeSet<String>,
}

/// What goes from one attempt to the next.
pub(super) struct Hands {
    /// `None`: files are not watched.
    pub(super) watch: Option<Watch>,
    /// Who still tells a core whose mailbox was full.
    pub(super) tellers: JoinSet<()>,
    /// The certificates that such a core is told of.
    pub(super) owed: Option<Arc<Certified>>,
}

impl Hands {
    pub(super) fn new(watch: Option<Watch>) -> Self {
        Self { watch, tellers: JoinSet::new(), owed: None }
    }

    /// Whether every core has been told what it was to be told.
    fn have_told(&mut self) -> bool {
        while self.tellers.try_join_next().is_some() {}
        self.tellers.is_empty()
    }
}

/// What is to be brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// The files' config, whether or not they seem to have changed.
    Reload,
    /// The same, if they are no longer as they were last seen.
    Look(Seen),
    /// The same config with these keys out of service.
    Keys(BTreeSet<String>),
}

/// How an attempt ended.
pub(super) enum Ended {
    /// The files are as they were.
    Nothing,
    /// Every core runs the new config, but for those in `late`.
    Applied { current: Current, reloaded: Reloaded, late: Vec<usize> },
    /// What the files mean is what runs; the certificates may be new, on every core but for those in `late`.
    Unchanged { current: Current, reloaded: Reloaded, late: Vec<usize> },
    /// What was seen cannot be applied.
    Refused { faults: Vec<String>, seen: Option<Seen> },
    /// The files would not stand still, or a core is still being told of an earlier config.
    Unsteady(String),
}

/// Tries. Gives back the hands.
pub(super) async fn attempt(
    ground: Arc<Ground>,
    current: Current,
    aim: Aim,
    mut hands: Hands,
) -> (Ended, Hands) {
    let ended = match aim {
        Aim::Keys(disabled) => switch_keys(&ground, current, disabled, &mut hands).await,
        Aim::Reload => Box::pin(read(&ground, current, &mut hands)).await,
        Aim::Look(last) => {
            let before = last.clone();
            match ground.work(move || before.again()).await {
                Ok(now) if now == last => {
                    follow(&ground, &mut hands, now).await;
                    return (Ended::Nothing, hands);
                }
                Ok(_) => Box::pin(read(&ground, current, &mut hands)).await,
                Err(fault) => Err(Ended::Refused { faults: vec![fault], seen: None }),
            }
        }
    };
    (ended.unwrap_or_else(|ended| ended), hands)
}

/// From the files.
async fn read(ground: &Arc<Ground>, current: Current, hands: &mut Hands) -> Result<Ended, Ended> {
    let (judged, seen) = steady(ground, &current).await?;
    follow(ground, hands, seen.clone()).await;
    let judged = match judged {
        Ok(judged) => judged,
        Err(faults) => return Err(Ended::Refused { faults, seen: Some(seen) }),
    };
    let Judged { loaded, certified, mut warnings, is_same } = judged;
    let has_new_certificates = certified.is_some()
        && certificate_marks(&loaded.snapshot, &seen)
            != certificate_marks(&current.file.snapshot, &current.seen);
    let certified = certified.filter(|_| has_new_certificates);
    let mut changes = match is_same {
        true => Vec::new(),
        false => diff::changes(&current.file, &loaded),
    };
    if has_new_certificates {
        changes.push("the certificates of server.tls were read again; new connections have them".to_owned());
    }
    if is_same {
        // The same for cores; what an operator is shown of it (the digest of its secrets) may be another.
        let file = Arc::new(loaded);
        let serving = without(&file, &current.disabled);
        let current = Current { file, serving, ..current };
        return unchanged(ground, current, seen, certified, (changes, warnings), hands).await;
    }
    let disabled = still_there(&current.disabled, &loaded, &mut warnings);
    let next = Next { loaded, seen, disabled, certified };
    apply(ground, current, next, (changes, warnings), hands).await
}

async fn follow(ground: &Ground, hands: &mut Hands, seen: Seen) {
    if let Some(mut watch) = hands.watch.take() {
        let followed = ground.work(move || {
            watch.follow(&seen);
            watch
        });
        let lost = |why: &String| {
            tracing::warn!(why, "the config's files are watched no more; they are looked at every 15 s");
        };
        hands.watch = followed.await.inspect_err(lost).ok();
    }
}

/// A config that may serve.
struct Judged {
    loaded: Loaded,
    certified: Option<Certified>,
    warnings: Vec<String>,
    /// It is what runs, to the last value.
    is_same: bool,
}

/// Reads until two readings agree.
async fn steady(
    ground: &Arc<Ground>,
    current: &Current,
) -> Result<(Result<Judged, Vec<String>>, Seen), Ended> {
    let refused = |fault| Ended::Refused { faults: vec![fault], seen: None };
    for _ in 0..READINGS_MAX {
        let (shared, file) = (Arc::clone(ground), Arc::clone(&current.file));
        let read = ground.work(move || {
            let (loaded, seen) = shared.source.load_again();
            (loaded.and_then(|loaded| judge(&shared, &file, loaded)), seen)
        });
        let (judged, seen) = read.await.map_err(refused)?;
        tokio::time::sleep(STEADY_INTERVAL).await;
        let first = seen.clone();
        if ground.work(move || first.again()).await.map_err(refused)? == seen {
            return Ok((judged, seen));
        }
    }
    let name = ground.source.config.display();
    Err(Ended::Unsteady(format!(
        "{name}: it, or a file that it names, is being written to; try again when it is whole"
    )))
}

/// Everything that can be wrong with a config for this node, at once.
fn judge(ground: &Ground, file: &Loaded, mut loaded: Loaded) -> Result<Judged, Vec<String>> {
    loaded.snapshot.generation = file.snapshot.generation;
    let (old, new) = (&file.snapshot, &loaded.snapshot);
    let mut faults = needs_restart(old, new, ground.has_log);
    faults.extend(lost_values(old, new, ground.source.env_file.is_some()));
    let (certified, late_warnings) = match preflight(&loaded, ground.posts.len()) {
        Ok(Preflight { certified, warnings }) => (certified, warnings),
        Err(more) => {
            faults.extend(more);
            (None, Vec::new())
        }
    };
    let notices = loaded.warnings.iter().map(ToString::to_string);
    let unset = loaded.unusable_keys.iter().map(|key| match (&key.whence, &ground.source.env_file) {
        (Whence::Variable(variable), None) => format!(
            "env.{variable} is still unset: {key}; a process's environment never changes: put it into an --env-file, \
             write \"file:/path\", or restart"
        ),
        (Whence::Variable(variable), Some(path)) => {
            format!("env.{variable} is still unset: {key}; set it in {}", path.display())
        }
        _ => key.to_string(),
    });
    let warnings: Vec<String> = notices
        .chain(unset)
        .chain(late_warnings.iter().cloned())
        .chain(short_of_files(old, new, ground.posts.len()))
        .collect();
    if ground.is_strict {
        faults.splice(0..0, loaded.strict_faults().iter().map(ToString::to_string));
        faults.extend(late_warnings);
    }
    let is_same = old == new;
    match faults.is_empty() {
        true => Ok(Judged { loaded, certified, warnings, is_same }),
        false => Err(faults),
    }
}

/// A sentence when the limit of connections was raised over that of open files.
fn short_of_files(old: &Snapshot, new: &Snapshot, cores: usize) -> Option<String> {
    let (before, after) = (old.server.connections_per_core_max, new.server.connections_per_core_max);
    (after > before).then(|| machine::short_of_files(after, cores)).flatten()
}

/// What tells one set of certificates from another.
fn certificate_marks(snapshot: &Snapshot, seen: &Seen) -> Vec<(Pem, Option<[u8; 32]>)> {
    let Some(ServerTls { cert, key, client_ca }) = &snapshot.server.tls else { return Vec::new() };
    let mark = |pem: &Pem| match pem {
        Pem::File(path) => (pem.clone(), seen.of(path)),
        Pem::Text { .. } => (pem.clone(), None),
    };
    [Some(cert), Some(key), client_ca.as_ref()].into_iter().flatten().map(mark).collect()
}

/// The keys out of service that the config still has.
fn still_there(disabled: &BTreeSet<String>, loaded: &Loaded, warnings: &mut Vec<String>) -> BTreeSet<String> {
    let has = |name: &str| key_names(&loaded.snapshot).any(|key| key == name);
    let (kept, gone): (BTreeSet<String>, BTreeSet<String>) =
        disabled.iter().cloned().partition(|name| has(name));
    warnings.extend(gone.iter().map(|name| {
        format!("the key \"{name}\", which an operator had taken out of service, is gone from the config; forgotten")
    }));
    kept
}

/// Names of all keys.
pub(super) fn key_names(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    snapshot.providers.iter().flat_map(|provider| &provider.keys).map(|key| key.name.as_str())
}

/// The config as cores get it.
fn without(file: &Arc<Loaded>, disabled: &BTreeSet<String>) -> Arc<Loaded> {
    if disabled.is_empty() {
        return Arc::clone(file);
    }
    let mut serving = Loaded::clone(file);
    let keys = serving.snapshot.providers.iter_mut().flat_map(|provider| &mut provider.keys);
    keys.filter(|key| disabled.contains(&key.name)).for_each(|key| key.enabled = false);
    Arc::new(serving)
}

/// A sentence for each provider that could be asked and, from now on, can not: its last key is gone.
fn keyless(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let could = |name: &str| old.providers.iter().any(|provider| provider.name == name && provider.has_key());
    let lost = new.providers.iter().filter(|provider| provider.dialect.is_some() && !provider.has_key());
    let lost = lost.filter(|provider| could(&provider.name));
    lost.map(|provider| {
        format!("the provider {} has no usable key now: requests to it are refused", provider.name)
    })
    .collect()
}

/// A config to be applied.
struct Next {
    loaded: Loaded,
    seen: Seen,
    disabled: BTreeSet<String>,
    certified: Option<Certified>,
}

async fn apply(
    ground: &Arc<Ground>,
    current: Current,
    Next { mut loaded, seen, disabled, certified }: Next,
    (changes, mut warnings): (Vec<String>, Vec<String>),
    hands: &mut Hands,
) -> Result<Ended, Ended> {
    loaded.snapshot.generation = current.file.snapshot.generation + 1;
    let loaded_at = Timestamp::now();
    let owed = if hands.have_told() { None } else { hands.owed.clone() };
    let certified = certified.map(Arc::new).or(owed);
    let (shared, out_of_service, certificates) = (Arc::clone(ground), disabled.clone(), certified.clone());
    let made = ground.make(move || {
        let file = Arc::new(loaded);
        let serving = without(&file, &out_of_service);
        let snapshot = Some((&serving.snapshot, loaded_at));
        // One more, for who fetches tokens.
        let takers = shared.posts.len() + usize::from(shared.tokens.is_some());
        let mut shares = adoption::shares(snapshot, certificates.as_deref(), &shared.roots, takers)?;
        let clerk_share = if shared.tokens.is_some() { shares.pop() } else { None };
        Ok((file, serving, shares, clerk_share))
    });
    let refused = |fault| Ended::Refused { faults: vec![fault], seen: Some(seen.clone()) };
    let (file, serving, shares, clerk_share) = made.await.map_err(refused)?;
    warnings.extend(keyless(&current.serving.snapshot, &serving.snapshot));
    // What is still told of an older config must not come behind this one.
    hands.tellers = JoinSet::new();
    hands.owed = certified;
    // Before the cores: what their requests will wait for is begun.
    if let (Some(clerk), Some(share)) = (&ground.tokens, clerk_share) {
        adoption::tell_clerk(clerk, share);
    }
    let late = adoption::hand_over(&ground.posts, shares, &mut hands.tellers).await;
    let reloaded = Reloaded {
        generation: serving.snapshot.generation,
        digest: serving.snapshot.digest.clone(),
        changes,
        warnings,
    };
    let current = Current { file, serving, loaded_at, seen, disabled };
    Ok(Ended::Applied { current, reloaded, late })
}

/// The snapshot stays; certificates, where these are new, are handed out.
async fn unchanged(
    ground: &Arc<Ground>,
    current: Current,
    seen: Seen,
    certified: Option<Certified>,
    (changes, warnings): (Vec<String>, Vec<String>),
    hands: &mut Hands,
) -> Result<Ended, Ended> {
    let mut late = Vec::new();
    if let Some(certified) = certified {
        let (shared, certified) = (Arc::clone(ground), Arc::new(certified));
        let owed = Some(Arc::clone(&certified));
        let made = ground
            .make(move || adoption::shares(None, Some(&certified), &shared.roots, shared.posts.len()))
            .await;
        let refused = |fault| Ended::Refused { faults: vec![fault], seen: Some(seen.clone()) };
        let shares = made.map_err(refused)?;
        // Not before what is still told: it goes to the same cores by the same way.
        if !hands.have_told() {
            return Err(Ended::Unsteady(
                "a core still has to be told of an earlier config; try again".to_owned(),
            ));
        }
        hands.owed = owed;
        late = adoption::hand_over(&ground.posts, shares, &mut hands.tellers).await;
    }
    let snapshot = &current.serving.snapshot;
    let (generation, digest) = (snapshot.generation, snapshot.digest.clone());
    let reloaded = Reloaded { generation, digest, changes, warnings };
    Ok(Ended::Unchanged { current: Current { seen, ..current }, reloaded, late })
}

/// Why a reload that was handed over is not yet everywhere.
pub(super) fn late_cores(late: &[usize]) -> String {
    let cores: Vec<String> = late.iter().map(ToString::to_string).collect();
    format!(
        "it is handed over, but these cores do not run it after {} s: {}; they are told on; look at status",
        ADOPT_TIMEOUT.as_secs(),
        cores.join(", ")
    )
}

async fn switch_keys(
    ground: &Arc<Ground>,
    current: Current,
    disabled: BTreeSet<String>,
    hands: &mut Hands,
) -> Result<Ended, Ended> {
    let out = disabled.difference(&current.disabled).map(|name| format!("key {name}: taken out of service"));
    let back = current.disabled.difference(&disabled).map(|name| format!("key {name}: back in service"));
    let changes = out.chain(back).collect();
    let (loaded, seen) = (Loaded::clone(&current.file), current.seen.clone());
    let next = Next { loaded, seen, disabled, certified: None };
    apply(ground, current, next, (changes, Vec::new()), hands).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Driver;
    use crate::net::mailbox::mailbox;
    use tokio::sync::oneshot;

    fn certify(folder: &std::path::Path) {
        let made = rcgen::generate_simple_self_signed(["node.test".to_owned()]).unwrap();
        std::fs::write(folder.join("cert"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key"), made.signing_key.serialize_pem()).unwrap();
    }

    fn source(folder: &std::path::Path) -> Source {
        let shown = folder.display();
        let text = format!(
            r#"{{"server":{{"tls":{{"cert":"{shown}/cert","key":"{shown}/key"}}}},
            "providers":{{"openai":{{"keys":[{{"name":"only","value":"k","models":["*"],"weight":1}}]}}}}}}"#
        );
        std::fs::write(folder.join("config.json"), text).unwrap();
        Source { config: folder.join("config.json"), env_file: None, process: |_| None }
    }

    /// What comes behind a share that a core's full mailbox did not take has the certificates that were in it.
    #[test]
    fn a_core_that_is_told_late_has_the_newest_certificates() {
        let folder = tempfile::TempDir::new().unwrap();
        certify(folder.path());
        let source = source(folder.path());
        let (loaded, seen) = source.load_seen();
        let file = Arc::new(loaded.unwrap());
        let (serving, loaded_at) = (Arc::clone(&file), Timestamp::UNIX_EPOCH);
        let current = Current { file, serving, loaded_at, seen, disabled: BTreeSet::new() };
        let (post, mailbox) = mailbox().unwrap();
        while post.send(Message::Sample(oneshot::channel().0)).is_ok() {}
        let (roots, posts) = (Roots::bundled(), vec![post]);
        let ground = Ground {
            source,
            posts,
            tokens: None,
            roots,
            has_log: false,
            is_strict: false,
            crews: Crews::new(),
        };
        let ground = Arc::new(ground);
        certify(folder.path());
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let hands = Hands::new(None);
            let (ended, hands) = attempt(Arc::clone(&ground), current.clone(), Aim::Reload, hands).await;
            assert!(matches!(ended, Ended::Unchanged { late, .. } if late == [0]));
            let (sender, adoptions) = std::sync::mpsc::channel();
            let aim = Aim::Keys(BTreeSet::from(["only".to_owned()]));
            let switched = tokio::spawn(attempt(ground, current, aim, hands));
            tokio::time::sleep(Duration::from_secs(1)).await;
            std::thread::spawn(move || {
                let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
                let served = mailbox.serve(Driver::Epoll, move |message| {
                    if let Message::Adopt(adoption) = message {
                        let _ = sender.send((adoption.adopted.is_some(), adoption.certificates.is_some()));
                        let _ = adoption.reply.send(());
                    }
                    true
                });
                runtime.unwrap().block_on(served)
            });
            let (ended, _hands) = switched.await.unwrap();
            assert!(matches!(ended, Ended::Applied { late, .. } if late.is_empty()));
            assert_eq!(adoptions.recv(), Ok((true, true)));
        });
    }
}
