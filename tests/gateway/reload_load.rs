//! 200 reloads under load: no request fails, no stream is cut, nothing piles up.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::caller::{Caller, request};
use crate::reload::{changed, file, health, replace, runs, value, values};
use crate::setup::{ANSWER, ASK, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, ok};
use crate::support::node::{DRIVERS, Node, eventually, pause};
use crate::support::upstream::Upstream;

const RELOADS: u64 = 200;
const CALLERS: usize = 4;
const STREAMS: usize = 3;
/// Reloads after which memory is looked at for the first time.
const WARM_UP: u64 = 40;
/// What the allocator may keep beside; 160 configs that were not freed are more.
const GROWTH_KIB_MAX: u64 = 12 * 1024;
/// A config of about so many KiB, so that one that is kept is seen.
const MODELS: usize = 2_000;

/// Streams run until they are told to end; whatever else is answered at once.
fn provider(ends: &Arc<AtomicBool>) -> Upstream {
    let ends = Arc::clone(ends);
    Upstream::start(move |line| {
        while let Some(request) = line.receive() {
            if !request.text().contains("\"stream\"") {
                line.send(ok(ANSWER));
                continue;
            }
            line.send(STREAM_HEAD);
            let mut count = 0;
            while !ends.load(Ordering::SeqCst) {
                line.send(chunk(event(&format!("number-{count}-"))));
                count += 1;
                (0..5).for_each(|_| pause());
            }
            line.send(chunk(event(&format!("total-{count}-"))));
            line.send(chunk("data: [DONE]\n\n"));
            line.send("0\r\n\r\n");
        }
    })
}

fn resident_kib(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Begins a stream, and reads its first event.
fn stream(node: &Node) -> Caller {
    let mut stream = Caller::new(node);
    stream.send(request(CHAT, "", ASK_STREAM));
    stream.until("number-0-");
    stream
}

/// Whether every event of a stream came, once and in order, and its end.
fn is_whole(stream: &mut Caller) -> bool {
    let answer = stream.answer();
    let text = answer.text();
    let total = text.split("total-").nth(1).and_then(|rest| rest.split('-').next()).unwrap();
    let numbers: Vec<&str> =
        text.split("number-").skip(1).map(|rest| rest.split('-').next().unwrap()).collect();
    let expected: Vec<String> = (0..total.parse::<u64>().unwrap()).map(|number| number.to_string()).collect();
    answer.is_whole && text.ends_with("data: [DONE]\n\n") && numbers == expected
}

fn reload_under_load(driver: &str) {
    let (ends, rests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let upstream = provider(&ends);
    let mut config = config(upstream.address);
    let models: Vec<String> = (0..MODELS).map(|number| format!("a-model-with-a-name-{number}")).collect();
    config["providers"]["anthropic"]["keys"][0]["models"] = models.into();
    let node = Node::start(&config.to_string(), driver);
    let served = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (mut caller, rests, served) = (Caller::new(&node), Arc::clone(&rests), Arc::clone(&served));
            thread::spawn(move || {
                while !rests.load(Ordering::SeqCst) {
                    let answer = caller.post(CHAT, ASK);
                    assert!(answer.status == 200 && answer.text() == ANSWER, "{answer:?}");
                    served.fetch_add(1, Ordering::SeqCst);
                    pause();
                }
            })
        })
        .collect();
    let mut streams: Vec<Caller> = (0..STREAMS).map(|_| stream(&node)).collect();
    let mut resident = 0;
    for number in 1..=RELOADS {
        replace(&file(&node), &changed(&config, 1 + number));
        node.signal("HUP");
        eventually("a reload", || (health(&node)["generation"] == number + 1).then_some(()));
        if number == WARM_UP {
            resident = resident_kib(&node);
        }
        if number % 50 == 0 {
            streams.push(stream(&node));
        }
    }
    runs(&node, RELOADS + 1);
    let grown = resident_kib(&node).saturating_sub(resident);
    assert!(grown < GROWTH_KIB_MAX, "{resident} KiB grew by {grown} KiB");
    let cores = values(&node, "corelane_config_generation");
    assert_eq!(cores, [(RELOADS + 1) as f64; 2]);
    assert_eq!(value(&node, "corelane_config_reloads_total"), RELOADS);
    assert_eq!(value(&node, "corelane_config_reload_failures_total"), 0);
    // One for each stream, and on each core one for each caller at the most.
    assert!(upstream.connections() <= streams.len() + 2 * CALLERS, "{}", upstream.connections());
    // The first generation's streams, and the later ones' but for the last: on which cores they run decides how many.
    let old = value(&node, "corelane_config_old_snapshots");
    assert!((1..=(streams.len() as u64)).contains(&old), "{old}");
    ends.store(true, Ordering::SeqCst);
    assert!(streams.iter_mut().all(is_whole));
    rests.store(true, Ordering::SeqCst);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert!(served.load(Ordering::SeqCst) as u64 > RELOADS);
    eventually("old configs are freed", || {
        (value(&node, "corelane_config_old_snapshots") == 0).then_some(())
    });
}

#[test]
fn two_hundred_reloads_under_load_lose_nothing() {
    let both: Vec<_> = DRIVERS.map(|driver| thread::spawn(move || reload_under_load(driver))).into();
    both.into_iter().for_each(|driver| driver.join().unwrap());
}
