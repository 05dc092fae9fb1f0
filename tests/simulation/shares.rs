//! Shares of healthy keys over many requests, and over many sessions: within three standard deviations of their weights.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use corelane::config::snapshot::{Balance, KeyId};
use corelane::dialect::{Dialect, Operation};
use corelane::routing::plan::{Features, plan};
use corelane::routing::sticky::session_of;
use corelane::routing::view::View;
use fastrand::Rng;

use super::world;

const WORLDS: u64 = 60;
const REQUESTS: u64 = 2_000;

#[test]
fn shares_follow_weights() {
    let mut template = world::template();
    let (mut judged, mut outside) = (0_u32, Vec::new());
    for seed in 0..WORLDS {
        let mut random = Rng::with_seed(seed);
        let keys = &mut template.providers[0].keys;
        keys.iter_mut().for_each(|key| key.weight = [0.0, 0.5, 1.0, 2.0, 7.0][random.usize(..5)]);
        keys[0].weight = 1.0;
        let total: f64 = keys.iter().map(|key| key.weight).sum();
        let (is_by_session, began) = (seed % 2 == 0, Instant::now());
        template.providers[0].balance = Balance::Weighted;
        let view = View::new(&template);
        let mut counts: HashMap<KeyId, u32> = HashMap::new();
        for request in 0..REQUESTS {
            let features = Features {
                model: "p0/a",
                home: None,
                operation: Operation::Chat,
                dialect: Dialect::OpenAi,
                pin: None,
                session: is_by_session.then(|| session_of(format!("{seed} {request}").as_bytes())),
                fallbacks: None,
                deadline: began + Duration::from_secs(1),
                record: false,
            };
            let (_, attempt) = plan(&template, features, &view, began, random.u64(..)).unwrap();
            *counts.entry(attempt.key.unwrap()).or_default() += 1;
        }
        for (key, id) in template.providers[0].keys.iter().zip(0..) {
            let count = f64::from(counts.get(&KeyId(id)).copied().unwrap_or_default());
            let (share, requests) = (key.weight / total, REQUESTS as f64);
            let sigma = (requests * share * (1.0 - share)).sqrt();
            judged += 1;
            assert!(share > 0.0 || count == 0.0, "seed {seed}: a key without a weight");
            if (count - requests * share).abs() > 3.0 * sigma {
                outside.push((seed, id, count, requests * share, sigma));
            }
        }
    }
    // Of so many, one in 370 lies outside by chance alone.
    assert!(outside.len() <= 3, "{} of {judged}: {outside:?}", outside.len());
    assert!(
        outside.iter().all(|(_, _, count, wanted, sigma)| (count - wanted).abs() < 4.5 * sigma),
        "{outside:?}"
    );
}
