//! Connections and cores: no core has many while another has few, whatever the kernel's hash says; no connection is lost
//! on its way from one to the other, in a drain either; a core that dies takes the node with it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, CHAT, config, ok, on_both};
use crate::support::node::{KEYS, Node, PATIENCE, eventually, pause};
use crate::support::upstream::Upstream;

const CORES: usize = 4;

fn start(driver: &str) -> (Upstream, Node) {
    let upstream = Upstream::answering(ok(ANSWER));
    let node = Node::start_on(&config(upstream.address).to_string(), driver, CORES);
    (upstream, node)
}

/// A metric of each core.
fn by_core(page: &str, name: &str) -> Vec<u64> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix("{core=\""));
    let values: BTreeMap<usize, u64> = lines
        .map(|line| line.split_once("\"} ").unwrap())
        .map(|(core, value)| (core.parse().unwrap(), value.parse().unwrap()))
        .collect();
    assert_eq!(values.len(), CORES, "{name} in {page}");
    values.into_values().collect()
}

/// Each core's connections once they are `count` together, as seen over one that is open already.
fn connections(watcher: &mut Caller, count: usize) -> Vec<u64> {
    eventually("every connection is counted", || {
        let page = watcher.get("/metrics");
        let connections = by_core(page.text(), "corelane_connections");
        (connections.iter().sum::<u64>() == count as u64).then_some(connections)
    })
}

/// No core has more than a sixteenth and a few beside what another has.
fn is_even(counts: &[u64]) -> bool {
    let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
    *most <= fewest + fewest / 16 + 3
}

#[test]
fn eight_connections_never_crowd_one_of_four_cores() {
    on_both(|driver| {
        let (_upstream, node) = start(driver);
        for _ in 0..25 {
            // The first of the eight is the one that looks.
            let mut callers: Vec<Caller> = (0..8).map(|_| Caller::new(&node)).collect();
            let connections = connections(&mut callers[0], 8);
            assert!(connections.iter().all(|count| *count <= 3), "{connections:?}");
            for caller in &mut callers {
                assert_eq!(caller.get("/health").status, 200);
            }
            drop(callers);
            let mut last = Caller::new(&node);
            eventually("they are gone", || {
                let page = last.get("/metrics");
                (by_core(page.text(), "corelane_connections").iter().sum::<u64>() == 1).then_some(())
            });
        }
        let page = Caller::new(&node).get("/metrics");
        let served: u64 = by_core(page.text(), "corelane_requests_total").iter().sum();
        assert!(served >= 25 * 9, "{served}");
        assert!(by_core(page.text(), "corelane_connections_handed_over_total").iter().sum::<u64>() > 0);
    });
}

#[test]
fn a_burst_is_spread_and_gaps_are_filled_first() {
    on_both(|driver| {
        let (_upstream, node) = start(driver);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let address = node.address;
                std::thread::spawn(move || {
                    (0..250).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut burst: Vec<TcpStream> =
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let mut watcher = Caller::new(&node);
        let full = connections(&mut watcher, 1001);
        assert!(is_even(&full), "{full:?}");
        // Every connection is open and answers, whichever core has it.
        for stream in &mut burst {
            stream.write_all(b"GET /health HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        }
        for stream in &mut burst {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
        }
        // Half go, unevenly.
        let mut number = 0;
        burst.retain(|_| {
            number += 1;
            number % 3 == 0 || number > 800
        });
        let left = connections(&mut watcher, burst.len() + 1);
        let fresh: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(node.address).unwrap()).collect();
        let filled = connections(&mut watcher, burst.len() + fresh.len() + 1);
        assert!(is_even(&filled), "{left:?} then {filled:?}");
    });
}

#[test]
fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = config(upstream.address);
        config["server"]["max_connections_per_core"] = 3.into();
        let node = Node::start_on(&config.to_string(), driver, CORES);
        let mut callers: Vec<Caller> = (0..3 * CORES).map(|_| Caller::new(&node)).collect();
        for caller in &mut callers {
            assert_eq!(caller.post(CHAT, ASK).status, 200);
        }
        for round in 0..3 {
            // It is told before it asks; what it sends all the same is read and dropped, so that the answer arrives.
            let mut refused = Caller::new(&node);
            if round > 0 {
                refused.try_send(request(CHAT, "", vec![b' '; round * 100_000]));
            }
            let answer = refused.answer();
            assert_eq!((answer.status, &*answer.code()), (503, "too_many_connections"));
            assert_eq!((answer.value("retry-after"), answer.value("connection")), (Some("1"), Some("close")));
            assert!(refused.is_closed());
        }
        // Refusals linger at a time up to a bound; whoever comes beyond it is closed, and nobody hangs.
        let mut flood: Vec<Caller> = (0..400).map(|_| Caller::new(&node)).collect();
        for caller in &mut flood {
            let rest = caller.rest();
            assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 503 "), "{}", rest.escape_ascii());
        }
        drop(flood);
        for caller in &mut callers {
            assert_eq!(caller.post(CHAT, ASK).status, 200);
        }
        callers.pop();
        let mut last = eventually("a place is free", || {
            let mut caller = Caller::new(&node);
            caller.try_send("GET /metrics HTTP/1.1\r\nhost: t\r\n\r\n");
            let answer = caller.answer();
            (answer.status == 200).then_some((caller, answer))
        });
        let refused: u64 = by_core(last.1.text(), "corelane_connections_refused_total").iter().sum();
        assert!(refused >= 403, "{refused}");
        assert!(last.1.text().contains(r#"status="503"} "#));
        assert_eq!(last.0.get("/health").status, 200);
    });
}

/// One core, and callers that never stop coming: who is there already has his turn, or this never ends.
#[test]
fn a_flood_of_connections_starves_nobody() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        let mut caller = Caller::new(&node);
        assert_eq!(caller.post(CHAT, ASK).status, 200);
        let (address, stops) = (node.address, Arc::new(AtomicBool::new(false)));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let stops = Arc::clone(&stops);
                std::thread::spawn(move || {
                    let mut count = 0;
                    while !stops.load(Ordering::SeqCst) {
                        count += usize::from(TcpStream::connect(address).is_ok());
                    }
                    count
                })
            })
            .collect();
        for _ in 0..40 {
            assert_eq!(caller.post(CHAT, ASK).status, 200);
        }
        stops.store(true, Ordering::SeqCst);
        let flood: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(flood > 100, "{flood}");
    });
}

/// Connections pour in while the drain begins: each one that was accepted is answered, or refused in order; none hangs,
/// and none is reset after its answer.
#[test]
fn what_a_drain_meets_at_the_door_is_answered() {
    on_both(|driver| {
        for round in 0..6 {
            let (_upstream, mut node) = start(driver);
            let address = node.address;
            let threads: Vec<_> = (0..3).map(|_| std::thread::spawn(move || pour(address))).collect();
            let wait = Instant::now() + Duration::from_millis(20 + 7 * round);
            while Instant::now() < wait {
                pause();
            }
            node.signal("TERM");
            let told = Instant::now();
            let poured: Vec<Poured> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(node.wait().code(), Some(0));
            assert!(told.elapsed() < Duration::from_secs(15), "{:?}", told.elapsed());
            let answered: usize = poured.iter().map(|poured| poured.answered).sum();
            let lost: usize = poured.iter().map(|poured| poured.lost).sum();
            assert!(answered > 0);
            // The kernel accepts for a listener until it is closed: what comes between the last accept and that moment,
            // microseconds on each core, is reset.
            assert!(lost <= CORES, "{lost} of {answered} lost");
        }
    });
}

#[derive(Default)]
struct Poured {
    answered: usize,
    lost: usize,
}

/// Connects and asks until nobody listens.
fn pour(address: SocketAddr) -> Poured {
    let mut poured = Poured::default();
    while let Ok(mut stream) = TcpStream::connect(address) {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        let asked = stream.write_all(b"GET /health HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
        match asked.and_then(|()| stream.read_to_end(&mut answer)) {
            Ok(_) if answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.1 503") => {
                poured.answered += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it hangs"),
            _ => poured.lost += 1,
        }
    }
    poured
}

#[test]
fn the_limit_of_open_files_is_raised_and_said() {
    for (soft, hard, is_short) in [(300, 900, true), (600, 2000, false)] {
        let folder = tempfile::TempDir::new().unwrap();
        let mut config = config(SocketAddr::from(([127, 0, 0, 1], 9)));
        config["server"]["max_connections_per_core"] = 250.into();
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let script = format!(r#"ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$0" serve --port 0 --workers 2"#);
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_corelane")]);
        command.current_dir(folder.path()).env_clear().envs(KEYS).env("RUNTIME_DIRECTORY", folder.path());
        command.stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said: Vec<Value> = Vec::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
            said.push(serde_json::from_str(&line).unwrap());
            if line.contains("\"serving\"") {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let start = said.last().unwrap();
        assert_eq!((&start["open_files_before"], &start["open_files"]), (&json!(soft), &json!(hard)));
        let warns = |line: &&Value| line["message"].to_string().contains("wants 1000 open files");
        let warned = said.iter().find(warns);
        assert_eq!(warned.is_some(), is_short, "{said:#?}");
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_core_that_dies_is_the_end_of_the_node() {
    on_both(|driver| {
        let (_upstream, mut node) = start(driver);
        let mut kept = Caller::new(&node);
        assert_eq!(kept.get("/health").status, 200);
        let began = Instant::now();
        let mut caller = Caller::new(&node);
        caller.send("GET /health HTTP/1.1\r\nhost: t\r\nx-corelane-test-panic: core\r\n\r\n");
        assert_eq!(node.wait().code(), Some(1));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(kept.is_closed());
        let said = eventually("it says why", || {
            let said = node.said();
            (!said.is_empty()).then_some(said)
        });
        assert!(said.iter().any(|line| line.contains("a core ended unasked")), "{said:#?}");
    });
}
