//! Each table of responses against the binary, and what holds of the tables themselves.

use std::collections::HashSet;

use crate::case::{ResponseSeen, expand};
use crate::cases::{self, RESPONSES};
use crate::drive_responses::check;

/// A test for each table.
macro_rules! sections {
    ($($section:ident)*) => { $(
        #[test]
        fn $section() {
            check(cases::$section::CASES);
        }
    )* };
}

sections! { status_line response_fields response_body }

#[test]
fn the_tables_are_sound() {
    let mut names = HashSet::new();
    let mut bytes = HashSet::new();
    for (section, cases) in RESPONSES {
        for (name, template, expected) in cases {
            assert!(names.insert((section, name)), "{section}: {name} stands twice");
            bytes.insert((expand(template), ResponseSeen::parse(expected).ending.is_some()));
        }
    }
    assert!(bytes.len() >= 40, "{} cases that differ", bytes.len());
    assert_eq!(expand(b"<ok>").len(), 16);
}
