//! Each table of requests against the binary, and what holds of the tables themselves.

use std::collections::HashSet;

use crate::case::{PROBE, Seen, body, expand, letter_and_run, number};
use crate::cases::{self, REQUESTS};
use crate::drive::check;

/// A test for each table.
macro_rules! sections {
    ($($section:ident)*) => { $(
        #[test]
        fn $section() {
            check(cases::$section::CASES);
        }
    )* };
}

sections! {
    message_format versions request_line target host fields body_length transfer_coding chunked persistence pipelining close
    expect limits smuggling dialects
}

#[test]
fn the_tables_are_sound() {
    let mut names = HashSet::new();
    let mut bytes = HashSet::new();
    for (section, cases) in REQUESTS {
        for (name, template, expected) in cases {
            assert!(names.insert((section, name)), "{section}: {name} stands twice");
            let seen = Seen::parse(expected);
            bytes.insert((expand(template), seen.eof));
        }
    }
    assert!(bytes.len() >= 200, "{} cases that differ", bytes.len());
}

#[test]
fn the_shorthand_stands_for_what_it_says() {
    assert_eq!(body('a', 0x12ab).len(), 32);
    assert_eq!(letter_and_run(body('q', 0x12ab).as_bytes()), Some(('q', 0x12ab)));
    assert_eq!(letter_and_run(b"{\"model\":\"gpt-4o\",\"n\":\"a000000\"} "), None);
    assert_eq!(number(b"<a>", 255), body('a', 255).into_bytes());
    let request = number(b"<A>", 7);
    assert_eq!(request.len(), 99);
    assert!(
        request.ends_with(body('a', 7).as_bytes())
            && request.starts_with(b"POST /v1/chat/completions HTTP/1.1\r\n")
    );
    assert_eq!(expand(b"[<ab*3>]"), b"[ababab]");
    assert!(PROBE.ends_with(b"\r\n\r\n"));
}
