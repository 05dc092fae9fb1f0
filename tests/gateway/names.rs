//! A provider by its name: resolved apart from the cores, for many callers at once.

use crate::caller::{Caller, request};
use crate::setup::{ANSWER, ASK, CHAT, config, ok, on_both};
use crate::support::node::Node;
use crate::support::upstream::Upstream;

#[test]
fn callers_of_a_name_that_is_not_yet_known_are_all_served() {
    on_both(|driver| {
        let upstream = Upstream::answering(ok(ANSWER));
        let mut config = config(upstream.address);
        config["providers"]["openai"]["network_config"]["base_url"] =
            format!("http://localhost:{}", upstream.address.port()).into();
        let node = Node::start(&config.to_string(), driver);
        let mut callers: Vec<Caller> = (0..16).map(|_| Caller::new(&node)).collect();
        for caller in &mut callers {
            caller.send(request(CHAT, "", ASK));
        }
        for mut caller in callers {
            assert_eq!(caller.answer().status, 200);
        }
        assert_eq!(upstream.last().value("host"), format!("localhost:{}", upstream.address.port()));
    });
}
