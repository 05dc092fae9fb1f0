//! Runs tables of responses against the binary: a provider that sends what the table has, one request at a time, so that
//! the next one shows whether the connection is used again.

use std::sync::mpsc;

use serde_json::json;

use crate::answers::{self, Answer};
use crate::case::{CHAT, Case, ResponseSeen, body, cuts, expand, number};
use crate::client::Edge;
use crate::drive::{Cut, Faults};
use crate::provider::{Provider, Script, Wire};
use crate::support::node::{DRIVERS, Node};

/// Nodes that share the cases of one driver and edge.
const SHARDS: usize = 2;

/// Every case of the table on both drivers, plain and TLS; see the suite's opening for how each is cut.
pub(crate) fn check(cases: &[Case]) {
    let wires = [Wire::plain(), Wire::tls()];
    let mut faults = Faults::default();
    let (sender, found) = mpsc::channel();
    std::thread::scope(|scope| {
        for wire in &wires {
            for (driver, shard) in
                DRIVERS.into_iter().flat_map(|driver| (0..SHARDS).map(move |shard| (driver, shard)))
            {
                let sender = sender.clone();
                scope.spawn(move || {
                    for (what, cut) in check_on(cases, wire, driver, shard) {
                        sender.send((format!("{driver}, {}: {what}", wire.name()), cut)).unwrap();
                    }
                });
            }
        }
    });
    drop(sender);
    found.iter().for_each(|(what, cut)| faults.add(what, cut));
    faults.tell();
}

/// Cuts in which something was wrong, and what.
type Found = Vec<(String, Cut)>;

fn check_on(cases: &[Case], wire: &Wire, driver: &str, shard: usize) -> Found {
    let provider = Provider::start(wire);
    let node = Node::start_on(&config(&provider, wire), driver, 1);
    let mut found = Found::new();
    let mut before: Option<(&Job<'_>, usize)> = None;
    let jobs = jobs(cases, wire, shard);
    for job in &jobs {
        let (fault, connections) = run(job, &node, &provider);
        found.extend(fault.map(|what| (job.fault(&what), job.cut)));
        let (Some(first), Some(last)) = (connections.first(), connections.last()) else { continue };
        if let Some((before, connection)) = before
            && before.seen.kept != (connection == *first)
        {
            let what = if before.seen.kept { "was not used again" } else { "was used again" };
            found.push((before.fault(&format!("its connection {what}")), before.cut));
        }
        before = Some((job, *last));
    }
    found
}

fn config(provider: &Provider, wire: &Wire) -> String {
    let mut network = json!({ "base_url": format!("{}://{}", wire.scheme(), provider.address) });
    if let Some(ca) = wire.ca() {
        network["ca_cert_pem"] = ca.into();
    }
    json!({
        "providers": {
            "openai": {
                "keys": [{ "name": "k", "value": "env.OPENAI_API_KEY", "models": ["gpt-4o"], "weight": 1.0 }],
                "network_config": network
            }
        }
    })
    .to_string()
}

struct Job<'a> {
    name: &'a str,
    template: &'a [u8],
    seen: ResponseSeen,
    cut: Cut,
    run: usize,
}

impl Job<'_> {
    fn fault(&self, what: &str) -> String {
        let bytes = expand(self.template);
        format!("{}: {what}\n    {}", self.name, bytes[..bytes.len().min(200)].escape_ascii())
    }

    fn script(&self) -> Script {
        let bytes = number(self.template, self.run);
        let pieces = match self.cut {
            Cut::Whole => vec![bytes],
            Cut::Behind(cut) => vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()],
            Cut::Everywhere => bytes.chunks(1).map(<[u8]>::to_vec).collect(),
        };
        Script { pieces, ending: self.seen.ending }
    }
}

/// This shard's part of all cuts, and a sound answer at the end, which shows what became of the last connection.
fn jobs<'a>(cases: &'a [Case], wire: &Wire, shard: usize) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for (name, template, expected) in cases {
        let bytes = expand(template);
        for cut in wire.cuts(&bytes, cuts(&bytes)) {
            jobs.push(Job { name, template, seen: ResponseSeen::parse(expected), cut, run: jobs.len() });
        }
    }
    jobs.retain(|job| job.run % SHARDS == shard);
    let seen = ResponseSeen::parse("200 kept");
    let template = b"<200>Content-Length: 16\r\n\r\n<ok>";
    jobs.push(Job { name: "the last", template, seen, cut: Cut::Whole, run: 0xffffff });
    jobs
}

/// Asks once; what is wrong with the answer, and on which connections the provider was asked.
fn run(job: &Job<'_>, node: &Node, provider: &Provider) -> (Option<String>, Vec<usize>) {
    provider.play(job.script());
    let body = body('a', job.run);
    let length = body.len();
    let mut client = Edge::Plain.connect(node.address);
    client.send(
        format!(
            "POST {CHAT} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    );
    let (received, end) = client.read_to_end();
    let connections = provider.asked(job.run);
    let fault = match (end, answers::take_apart(&received, &[false])) {
        (Err(error), _) => Some(error.to_string()),
        (_, Err(what)) => Some(what),
        (Ok(()), Ok(answers)) => judge(job, &answers),
    };
    match connections.is_empty() {
        true => (Some("the provider was not asked".to_owned()), connections),
        false => (fault, connections),
    }
}

fn judge(job: &Job<'_>, answers: &[Answer]) -> Option<String> {
    let [answer] = answers else { return Some(format!("{} answers", answers.len())) };
    let ok = number(b"<ok>", job.run);
    let is_right = match answer.status {
        502 => answer.text().contains(r#""is_bifrost_error":true"#),
        200..=299 if job.seen.has_body => answer.body == ok,
        _ => answer.body.is_empty() != job.seen.has_body,
    };
    let is_in_pieces = job.cut != Cut::Whole && answer.status == job.seen.status_in_pieces;
    let is_seen = (answer.status == job.seen.status || is_in_pieces) && is_right;
    (!is_seen).then(|| {
        format!("{} {}", answer.status, answer.text().replace(&format!("{:06x}", job.run), "######"))
    })
}
