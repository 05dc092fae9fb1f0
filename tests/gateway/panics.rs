//! A panic inside a request is that request's alone. Provoked by a header that only a debug build knows.

use crate::caller::{Caller, request};
use crate::setup::{ASK, ASK_STREAM, CHAT, MESSAGES, STREAM_HEAD, chunk, config, event, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::{Gate, Upstream};

#[test]
fn a_panic_ends_one_request_and_no_stream() {
    on_both(|driver| {
        let gate = Gate::default();
        let next = gate.clone();
        let upstream = Upstream::start(move |line| {
            while let Some(request) = line.receive() {
                if !request.text().contains("\"stream\"") {
                    line.send(ok("{}"));
                    continue;
                }
                line.send(STREAM_HEAD);
                for number in 0..5 {
                    line.send(chunk(event(&format!("<{number}>"))));
                    if !next.pass() {
                        return;
                    }
                }
                line.send(chunk("data: [DONE]\n\n"));
                line.send("0\r\n\r\n");
            }
        });
        let node = Node::start_on(&config(upstream.address).to_string(), driver, 1);
        let mut stream = Caller::new(&node);
        stream.send(request(CHAT, "", ASK_STREAM));
        stream.until("<0>");
        let mut kept = Caller::new(&node);
        assert_eq!(kept.post(CHAT, ASK).status, 200);
        for (number, path) in [CHAT, MESSAGES, "/health", "/nowhere"].into_iter().enumerate() {
            let mut caller = Caller::new(&node);
            caller.send(request(path, "x-corelane-test-panic: 1\r\n", ASK));
            let answer = caller.answer();
            assert_eq!((answer.status, answer.is_whole), (500, true));
            assert!(answer.json()["error"]["message"].as_str().unwrap().contains("fault of its own"));
            assert!(caller.is_closed());
            gate.open();
            stream.until(format!("<{}>", number + 1));
        }
        gate.open();
        let answer = stream.answer();
        assert!(answer.is_whole && answer.text().ends_with("data: [DONE]\n\n"));
        assert_eq!((kept.post(CHAT, ASK).status, Caller::new(&node).post(CHAT, ASK).status), (200, 200));
        let metrics = Caller::new(&node).get("/metrics");
        assert!(metrics.text().contains("\ncorelane_panics_total 4\n"), "{}", metrics.text());
        let said = node.said();
        assert!(
            said.iter().any(|line| line.contains("\"message\":\"panic\"") && line.contains("place")),
            "{said:#?}"
        );
    });
}
