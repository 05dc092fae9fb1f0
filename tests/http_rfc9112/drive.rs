//! Runs tables of requests against the binary: a provider behind it that notes who arrives, many callers before it. What
//! is sent is cut as `Edge` says; nothing that is checked depends on when a piece arrives.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::json;

use crate::answers::{self, Answer, Shape};
use crate::case::{Case, Numbered, PROBE, Seen, cuts, letter_and_run};
use crate::client::{Client, Edge};
use crate::support::node::{DRIVERS, Node};
use crate::support::upstream::{Received, Upstream};

/// Connections that one thread holds at once.
const BATCH: usize = 48;
/// Threads that drive one node.
const THREADS: usize = 3;
/// Between the two pieces of what is sent, so that they are read apart. When they are not, the case proves less and its
/// verdict is the same.
const APART: Duration = Duration::from_millis(3);
/// Failures that are told; the others are counted.
const TOLD_MAX: usize = 25;

/// Every case of the table on both drivers, plain and TLS; see the suite's opening for how each is cut.
pub(crate) fn check(cases: &[Case]) {
    let edges = [Edge::plain(), Edge::tls()];
    let mut faults = Faults::default();
    for edge in &edges {
        for driver in DRIVERS {
            check_on(cases, edge, driver, &mut faults);
        }
    }
    faults.tell();
}

/// What was wrong, and with which cuts.
#[derive(Default)]
pub(crate) struct Faults(BTreeMap<String, Vec<Cut>>);

impl Faults {
    pub(crate) fn add(&mut self, what: String, cut: Cut) {
        self.0.entry(what).or_default().push(cut);
    }
}

impl Faults {
    /// Fails the test, when there are any.
    pub(crate) fn tell(&self) {
        assert!(self.0.is_empty(), "{self}");
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} faults:", self.0.len())?;
        for (what, cuts) in self.0.iter().take(TOLD_MAX) {
            writeln!(f, "{what}\n    {} times, first {:?}", cuts.len(), cuts[0])?;
        }
        Ok(())
    }
}

/// What a provider saw, by run.
#[derive(Default)]
struct Arrivals {
    letters: Mutex<BTreeMap<usize, String>>,
    /// Requests that are none of the table's.
    strays: Mutex<Vec<String>>,
}

impl Arrivals {
    /// Notes a request; what the provider answers.
    fn note(&self, request: &Received) -> Vec<u8> {
        match letter_and_run(&request.body) {
            Some((letter, run)) if request.names() == FIELDS_SENT => {
                self.letters.lock().unwrap().entry(run).or_default().push(letter);
            }
            _ => {
                self.strays.lock().unwrap().push(format!("{}{:?}", request.head, request.body.escape_ascii()))
            }
        }
        let length = request.body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        [head.as_bytes(), &request.body].concat()
    }
}

/// What the gateway sends of every case: no field of a caller's crosses, none of a trailer's.
const FIELDS_SENT: [&str; 6] =
    ["host", "authorization", "user-agent", "accept-encoding", "content-type", "content-length"];

/// A case, read.
struct Read<'a> {
    name: &'a str,
    expected: &'a str,
    seen: Seen,
    numbered: Numbered,
    shape: Shape,
}

impl<'a> Read<'a> {
    fn of((name, template, expected): &'a Case) -> Self {
        let numbered = Numbered::of(template);
        let shape = shape_of(&numbered.bytes);
        Self { name, expected, seen: Seen::parse(expected), numbered, shape }
    }
}

/// One connection's case, and how it is sent.
struct Job<'a> {
    case: &'a Read<'a>,
    cut: Cut,
    run: usize,
}

/// How a case's bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All at once.
    Whole,
    /// In two pieces.
    Behind(usize),
    /// Each byte by itself.
    Everywhere,
}

fn jobs<'a>(cases: &'a [Read<'a>], edge: &Edge) -> Vec<Job<'a>> {
    let bytes = |case: &Read<'_>| edge.cuts(&case.numbered.bytes, cuts(&case.numbered.bytes));
    let jobs = cases.iter().flat_map(|case| bytes(case).into_iter().map(move |cut| (case, cut)));
    jobs.enumerate().map(|(run, (case, cut))| Job { case, cut, run }).collect()
}

fn check_on(cases: &[Case], edge: &Edge, driver: &str, faults: &mut Faults) {
    let arrivals = Arc::new(Arrivals::default());
    let noting = Arc::clone(&arrivals);
    let upstream = Upstream::start(move |line| {
        while let Some(request) = line.receive() {
            line.send(noting.note(&request));
        }
    });
    let node = Node::start(&config(&upstream, edge), driver);
    let address = node.address;
    let cases: Vec<Read<'_>> = cases.iter().map(Read::of).collect();
    let jobs = jobs(&cases, edge);
    let next = AtomicUsize::new(0);
    let (sender, found) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(batch) = batch(&jobs, &next) {
                    run(batch, address, edge, &arrivals)
                        .into_iter()
                        .for_each(|fault| sender.send(fault).unwrap());
                }
            });
        }
    });
    drop(sender);
    let place = format!("{driver}, {}", edge.name());
    found.iter().for_each(|(what, cut)| faults.add(format!("{place}: {what}"), cut));
    let mut add = |what: String| faults.add(format!("{place}: {what}"), Cut::Whole);
    let expected: usize = jobs.iter().map(|job| job.case.seen.letters().len()).sum();
    let arrived: usize = arrivals.letters.lock().unwrap().values().map(String::len).sum();
    if arrived != expected {
        add(format!("{arrived} requests reached the provider, {expected} should have"));
    }
    arrivals.strays.lock().unwrap().iter().for_each(|stray| add(format!("a stray request: {stray}")));
    upstream.scraps().iter().for_each(|scrap| add(format!("half a request: {}", scrap.escape_ascii())));
}

/// A node's config, before this provider.
pub(crate) fn config(upstream: &Upstream, edge: &Edge) -> String {
    let mut config = json!({
        "client": { "max_request_body_size_mb": 1 },
        "providers": {
            "openai": {
                "keys": [{ "name": "k", "value": "env.OPENAI_API_KEY", "models": ["gpt-4o"], "weight": 1.0 }],
                "network_config": { "base_url": format!("http://{}", upstream.address) }
            }
        }
    });
    if let Some(tls) = edge.server_tls() {
        config["server"] = json!({ "tls": tls });
    }
    config.to_string()
}

fn batch<'a, 'b>(jobs: &'a [Job<'b>], next: &AtomicUsize) -> Option<&'a [Job<'b>]> {
    let start = next.fetch_add(BATCH, Ordering::SeqCst);
    jobs.get(start..jobs.len().min(start + BATCH)).filter(|batch| !batch.is_empty())
}

/// Runs these at once; what is not as it should be.
fn run(jobs: &[Job<'_>], node: SocketAddr, edge: &Edge, arrivals: &Arrivals) -> Vec<(String, Cut)> {
    let mut clients: Vec<Client> = jobs.iter().map(|_| edge.connect(node)).collect();
    for (client, job) in clients.iter_mut().zip(jobs) {
        if let Cut::Behind(cut) = job.cut {
            client.send(&job.case.numbered.run(job.run)[..cut]);
        }
    }
    pause(APART);
    for (client, job) in clients.iter_mut().zip(jobs) {
        send_rest(client, job);
    }
    let verdicts = clients.into_iter().zip(jobs).map(|(client, job)| (judge(client, job, arrivals), job.cut));
    let verdicts = verdicts.map(|(verdict, cut)| verdict.map_err(|what| (what, cut)));
    verdicts.filter_map(Result::err).collect()
}

fn send_rest(client: &mut Client, job: &Job<'_>) {
    let bytes = job.case.numbered.run(job.run);
    let probe = if job.case.seen.eof { &[] } else { PROBE };
    match job.cut {
        Cut::Whole => client.send(&[&bytes, probe].concat()),
        Cut::Behind(cut) => client.send(&[&bytes[cut..], probe].concat()),
        Cut::Everywhere => client.send_bytewise(&[&bytes, probe].concat()),
    }
    if job.case.seen.eof {
        client.end();
    }
}

fn judge(client: Client, job: &Job<'_>, arrivals: &Arrivals) -> Result<(), String> {
    let (received, end) = client.read_to_end();
    let fault = |what: String| {
        let bytes = &job.case.numbered.bytes;
        format!("{}: {what}\n    {}", job.case.name, bytes[..bytes.len().min(200)].escape_ascii())
    };
    end.map_err(|error| fault(format!("the connection ended with {error}")))?;
    let to_head: Vec<bool> = job.case.seen.answers.iter().map(|answer| answer.to_head).collect();
    let answers = answers::take_apart(&received, &to_head);
    let answers = answers.map_err(|what| fault(format!("{what}: {}", received.escape_ascii())))?;
    let seen = words(&answers, job);
    let letters = arrivals.letters.lock().unwrap().get(&job.run).cloned().unwrap_or_default();
    if seen != job.case.expected {
        let last = answers
            .iter()
            .rfind(|answer| answer.status >= 400)
            .map(|answer| answer.text().to_owned())
            .unwrap_or_default();
        let last = last.get(..last.len().min(200)).unwrap_or_default();
        return Err(fault(format!("expected `{}`, saw `{seen}`: {last}", job.case.expected)));
    }
    if letters != job.case.seen.letters() {
        return Err(fault(format!("the provider got `{letters}`")));
    }
    check_close(&answers, &job.case.seen).and_then(|()| check_shapes(&answers, job.case.shape)).map_err(fault)
}

/// In whose words a case is refused: those of the paths that it asks for. No case mixes them.
fn shape_of(bytes: &[u8]) -> Shape {
    let asks_for = |path: &[u8]| memchr::memmem::find(bytes, path).is_some();
    match () {
        () if asks_for(b" /openai/") || asks_for(b"h/openai/") => Shape::OpenAi,
        () if asks_for(b" /anthropic/") || asks_for(b"h/anthropic/") => Shape::Anthropic,
        () => Shape::Native,
    }
}

fn check_shapes(answers: &[Answer], expected: Shape) -> Result<(), String> {
    let mut errors =
        answers.iter().filter(|answer| answer.status >= 400 && !answer.to_head && !is_probes(answer));
    match errors.find(|answer| answer.shape() != Some(expected)) {
        None => Ok(()),
        Some(answer) => Err(format!("not in {expected:?} words: {}", answer.text())),
    }
}

fn is_probes(answer: &Answer) -> bool {
    answer.status == 404 && answer.text().contains("/probe")
}

/// The answers in the words of the tables.
fn words(answers: &[Answer], job: &Job<'_>) -> String {
    let is_probed = answers.last().is_some_and(is_probes);
    let own = &answers[..answers.len() - usize::from(is_probed)];
    let mut words: Vec<String> = own.iter().map(|answer| word(answer, job.run)).collect();
    if job.case.seen.eof {
        words.insert(0, "eof".to_owned());
    }
    words.push(if is_probed { "open".to_owned() } else { "closed".to_owned() });
    words.join(" ")
}

fn word(answer: &Answer, run: usize) -> String {
    let status = answer.status;
    match letter_and_run(&answer.body) {
        _ if answer.to_head => format!("{status}-"),
        Some((letter, of)) if of == run => format!("{status}{letter}"),
        Some(_) => format!("{status}, another's"),
        None => status.to_string(),
    }
}

/// RFC 9112 §9.6: a server that closes says so in its last answer, and only there. One whose client has ended its sending
/// side need not.
fn check_close(answers: &[Answer], seen: &Seen) -> Result<(), String> {
    let Some((last, others)) = answers.split_last() else { return Ok(()) };
    if others.iter().any(Answer::closes) || !(last.closes() || seen.eof) {
        return Err("`Connection: close` does not stand in the last answer alone".to_owned());
    }
    Ok(())
}

/// Waits without looking at anything.
pub(crate) fn pause(duration: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(duration);
}
