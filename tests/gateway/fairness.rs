//! One core, many connections: how long a small stream's event takes while another connection is moved as fast as it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK_STREAM, CHAT, STREAM_HEAD, chunk, config, event, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::{Line, Upstream};

const EVENTS: usize = 250;
const PACE: Duration = Duration::from_millis(4);
/// A body that keeps a core for seconds when nothing makes it let go.
const BODY_BYTES: usize = 32 * 1024 * 1024;
/// Far above what is measured, and of the median: the machine that runs this is busy with other things, which hold up one
/// event in a hundred for longer than any neighbour.
const LATE_MAX: Duration = Duration::from_secs(10);

/// What the other connection does meanwhile.
#[derive(Clone, Copy, Debug)]
enum Beside {
    Nothing,
    Download,
    Upload,
}

/// A provider with a slow stream whose events it notes the times of, an endless one, and one that takes long bodies.
fn provider(sent: mpsc::Sender<Instant>, over: Arc<AtomicBool>) -> Upstream {
    Upstream::start(move |line| {
        while let Some(asked) = line.receive() {
            match asked.body.get(..200).map(String::from_utf8_lossy) {
                Some(text) if text.contains("upload") => line.send(ok(ANSWER)),
                _ if asked.text().contains("download") => flood(line, &over),
                _ => {
                    line.send(STREAM_HEAD);
                    for _ in 0..EVENTS {
                        std::thread::sleep(PACE);
                        sent.send(Instant::now()).unwrap();
                        line.send(chunk(event("tick")));
                    }
                    line.send(chunk("data: [DONE]\n\n"));
                    line.send("0\r\n\r\n");
                }
            }
        }
    })
}

fn flood(line: &mut Line, over: &AtomicBool) {
    let piece = chunk(event(&"y".repeat(500)).repeat(100));
    line.send(STREAM_HEAD);
    while !over.load(Ordering::Relaxed) {
        line.send(&piece);
    }
    line.send("0\r\n\r\n");
}

/// Moves bytes until the other stream is over; how many.
fn busy(mut caller: Caller, beside: Beside, over: &AtomicBool) -> usize {
    let mut moved = 0;
    match beside {
        Beside::Nothing => {}
        Beside::Download => {
            caller.send(request(CHAT, "", ASK_STREAM.replace("hi", "download")));
            moved = caller.rest_of_answer();
        }
        Beside::Upload => {
            let filling = "z".repeat(BODY_BYTES);
            let body = format!(r#"{{"model":"openai/gpt-4o","what":"upload","messages":["{filling}"]}}"#);
            while !over.load(Ordering::Relaxed) {
                assert_eq!(caller.post(CHAT, &body).status, 200);
                moved += body.len();
            }
        }
    }
    moved
}

/// How late each event was, sorted, and how many bytes the other connection moved in a second.
fn lateness(driver: &str, beside: Beside) -> (Vec<Duration>, f64) {
    let (sender, sent) = mpsc::channel();
    let over = Arc::new(AtomicBool::new(false));
    let upstream = provider(sender, Arc::clone(&over));
    let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
    std::thread::scope(|scope| {
        let (neighbour, over) = (Caller::new(&node), &over);
        let other = scope.spawn(move || busy(neighbour, beside, over));
        let began = Instant::now();
        let mut caller = Caller::new(&node);
        caller.send(request(CHAT, "", ASK_STREAM));
        let mut late: Vec<Duration> = (0..EVENTS)
            .map(|_| {
                caller.take_until("tick");
                sent.recv().unwrap().elapsed()
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        let moved = other.join().unwrap();
        late.sort();
        (late, moved as f64 / began.elapsed().as_secs_f64())
    })
}

#[test]
fn a_small_stream_does_not_wait_for_a_large_neighbour() {
    on_both(|driver| {
        for beside in [Beside::Nothing, Beside::Download, Beside::Upload] {
            let (late, rate) = lateness(driver, beside);
            let at = |share: usize| late[(late.len() - 1) * share / 100];
            println!(
                "{driver}, beside {beside:?} ({:.0} MB/s): p50 {:?}, p99 {:?}, max {:?}",
                rate / 1e6,
                at(50),
                at(99),
                at(100)
            );
            assert!(at(50) < LATE_MAX, "{driver} {beside:?}: {late:?}");
        }
    });
}
