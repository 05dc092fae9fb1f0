//! The list of models, and one of it: those that the config names, and for a key that allows all, those that its provider lists, asked
//! for when the list is.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::exchange::Exchange;
use super::mask::mask_all;
use super::{Core, outgoing, reply};
use crate::config::snapshot::{Key, Models, Provider, Snapshot};
use crate::dialect::{self, Dialect, ModelEntry, Operation};
use crate::error::{Error, Kind};
use crate::http::Method;
use crate::net::client::{self, Progress};
use crate::net::server::{Downstream, Gone};
use crate::net::{Raced, race, until};

/// How long a provider's list serves.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long all providers together have to answer; one that fails is left out.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest list that is read, bytes.
const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Lists kept by one core.
const LISTS_MAX: usize = 1024;

struct Cached {
    generation: u64,
    /// `provider/key`.
    key: String,
    models: Rc<Vec<String>>,
    until: Instant,
}

/// The lists that providers gave to one core.
#[derive(Default)]
pub struct ModelsCache {
    lists: RefCell<Vec<Cached>>,
}

impl ModelsCache {
    fn find(&self, generation: u64, key: &str, now: Instant) -> Option<Rc<Vec<String>>> {
        let lists = self.lists.borrow();
        let fresh = |list: &&Cached| list.generation == generation && list.key == key && now < list.until;
        lists.iter().find(fresh).map(|list| Rc::clone(&list.models))
    }

    fn keep(&self, cached: Cached) {
        let mut lists = self.lists.borrow_mut();
        lists.retain(|list| list.key != cached.key && list.generation == cached.generation);
        if lists.len() < LISTS_MAX {
            lists.push(cached);
        }
    }
}

/// Answers with the list in `shape`, or with the one model of it that `wanted` names. Errors: none is so named (404).
pub(super) async fn serve(
    core: &Core,
    downstream: &mut Downstream,
    exchange: &mut Exchange<'_>,
    shape: Dialect,
    wanted: Option<String>,
) -> Result<(), Error> {
    let snapshot = exchange.snapshot.clone();
    let before = exchange.now();
    let lists: Vec<Listing<'_>> =
        open_keys(&snapshot).map(|(provider, key)| list(core, &snapshot, provider, key)).collect();
    let lists = match race(join(lists), downstream.gone()).await {
        Raced::First(lists) => lists,
        Raced::Second(()) => return Err(Gone.into()),
    };
    exchange.waited_since(before);
    let entries = entries(&snapshot, &lists, exchange.created_s());
    let body = match wanted {
        None => dialect::encode_models(shape, &entries),
        Some(name) => {
            let home = exchange.home;
            let entry = named(&entries, &name, home).ok_or_else(|| not_listed(&name))?;
            dialect::encode_model(shape, entry)
        }
    };
    reply::send(downstream, exchange, 200, "application/json", &body).await
}

/// The model of this name: `provider/model`, or a bare one of `home`, or else of the only provider that lists it.
fn named<'a>(entries: &'a [ModelEntry], name: &str, home: Option<&str>) -> Option<&'a ModelEntry> {
    let exact = entries.iter().find(|entry| entry.id == name);
    exact.or_else(|| {
        let is_meant = |entry: &&ModelEntry| {
            let bare = entry.id.strip_prefix(&*entry.owned_by).and_then(|rest| rest.strip_prefix('/'));
            bare == Some(name) && home.is_none_or(|home| home == entry.owned_by)
        };
        let mut meant = entries.iter().filter(is_meant);
        meant.next().filter(|_| meant.next().is_none())
    })
}

fn not_listed(name: &str) -> Error {
    let name: String = name.chars().take(200).collect();
    let message = format!("model \"{name}\": the list of models has none, or several, of this name");
    Error::new(Kind::NotFound, message).with_param("model")
}

fn usable_keys(snapshot: &Snapshot) -> impl Iterator<Item = (&Provider, &Key)> {
    let served = snapshot.providers.iter().filter(|provider| provider.dialect.is_some());
    let keys = served.flat_map(|provider| provider.keys.iter().map(move |key| (provider, key)));
    keys.filter(|(_, key)| key.is_usable())
}

fn open_keys(snapshot: &Snapshot) -> impl Iterator<Item = (&Provider, &Key)> {
    usable_keys(snapshot).filter(|(_, key)| key.models == Models::All)
}

/// `provider/model` of every model, once, in the config's order.
fn entries(snapshot: &Snapshot, lists: &[Rc<Vec<String>>], created_s: u64) -> Vec<ModelEntry> {
    let named = usable_keys(snapshot).flat_map(|(provider, key)| {
        let listed = match &key.models {
            Models::Only(models) => models.as_slice(),
            Models::All => &[],
        };
        let aliases = key.aliases.iter().map(|(alias, _)| alias);
        listed.iter().chain(aliases).map(move |model| (provider, key, model.as_str()))
    });
    let open = open_keys(snapshot).zip(lists);
    let open = open
        .flat_map(|((provider, key), list)| list.iter().map(move |model| (provider, key, model.as_str())));
    let mut seen = std::collections::HashSet::new();
    let mut entries = Vec::new();
    for (provider, key, model) in named.chain(open) {
        let id = format!("{}/{model}", provider.name);
        if key.serves(model) && seen.insert(id.clone()) {
            entries.push(ModelEntry { id, owned_by: provider.name.clone(), created_s });
        }
    }
    entries
}

type Listing<'a> = Pin<Box<dyn Future<Output = Rc<Vec<String>>> + 'a>>;

/// One key's list: remembered, or asked for. A provider that fails has none.
fn list<'a>(core: &'a Core, snapshot: &'a Snapshot, provider: &'a Provider, key: &'a Key) -> Listing<'a> {
    Box::pin(async move {
        let now = Instant::now();
        let name = format!("{}/{}", provider.name, key.name);
        if let Some(models) = core.models.find(snapshot.generation, &name, now) {
            return models;
        }
        match until(now + TIMEOUT, fetch(core, provider, key)).await {
            Some(Ok(models)) => {
                let models = Rc::new(models);
                let cached = Rc::clone(&models);
                let generation = snapshot.generation;
                core.models.keep(Cached { generation, key: name, models: cached, until: now + LIFETIME });
                models
            }
            Some(Err(error)) => left_out(&name, &error),
            None => left_out(&name, &"no answer in 5 s"),
        }
    })
}

fn left_out(name: &str, reason: &dyn std::fmt::Display) -> Rc<Vec<String>> {
    tracing::warn!(key = name, %reason, "a provider's models are left out of the list");
    Rc::default()
}

async fn fetch(core: &Core, provider: &Provider, key: &Key) -> Result<Vec<String>, Error> {
    let dialect = provider.dialect.unwrap_or(Dialect::OpenAi);
    let Some(path) = provider.targets.of(Operation::ListModels) else { return Ok(Vec::new()) };
    let head = outgoing::head(Method::Get, path, provider, Some(key), dialect, None);
    let mut outgoing = outgoing::bodyless(head);
    let (mut upstream, head) =
        client::exchange(&core.net, provider.origin_of(Some(key)), &mut outgoing, Instant::now()).await?;
    let mut body = Vec::new();
    while upstream.read_body(&mut body).await? == Progress::More {
        if body.len() > LIST_BYTES_MAX {
            return Err(Error::new(Kind::UpstreamInvalidResponse, "the list is over 1 MiB"));
        }
    }
    // What follows is decoded into errors, which are logged.
    mask_all(&mut body, Some(provider), Some(key));
    if upstream.is_reusable() {
        core.net.pool.release(upstream, Instant::now(), provider.keep_alive_timeout);
    }
    match head.status {
        200 => dialect::decode_models(dialect, &body),
        status => Err(Error::upstream(dialect::decode_error(dialect, status, &body))),
    }
}

/// Awaits all, in order.
async fn join(listings: Vec<Listing<'_>>) -> Vec<Rc<Vec<String>>> {
    let mut listings: Vec<(Option<Listing<'_>>, Rc<Vec<String>>)> =
        listings.into_iter().map(|listing| (Some(listing), Rc::default())).collect();
    poll_fn(|context| {
        for (waiting, result) in &mut listings {
            if let Some(listing) = waiting
                && let Poll::Ready(models) = listing.as_mut().poll(context)
            {
                *result = models;
                *waiting = None;
            }
        }
        if listings.iter().any(|(waiting, _)| waiting.is_some()) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    listings.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_one_model_of_the_list() {
        let ids = ["anthropic/claude", "groq/a/b", "openai/a/b", "openai/gpt", "openai/groq/a/b"];
        let entries = ids.map(|id| {
            let owned_by = id.split('/').next().unwrap_or_default().to_owned();
            ModelEntry { id: id.to_owned(), owned_by, created_s: 0 }
        });
        let named = |name, home| named(&entries, name, home).map(|entry| entry.id.as_str());
        assert_eq!(named("gpt", None), Some("openai/gpt"));
        assert_eq!(named("gpt", Some("openai")), Some("openai/gpt"));
        assert_eq!(named("gpt", Some("anthropic")), None);
        assert_eq!(named("openai/gpt", Some("anthropic")), Some("openai/gpt"));
        assert_eq!(named("groq/a/b", Some("openai")), Some("groq/a/b"), "a prefix before a bare name");
        assert_eq!(named("a/b", None), None, "two list it");
        assert_eq!(named("a/b", Some("openai")), Some("openai/a/b"));
        for none in ["", "claud", "penai/gpt", "/gpt"] {
            assert_eq!(named(none, None), None, "{none}");
        }
    }
}
