//! Forms: the same however they arrive, and each field that is found stands where it is said to stand.

use corelane::error::Kind;
use corelane::http::multipart::{Field, Form, VALUE_BYTES_MAX};

use super::cut::ways;

const NAMES: [&str; 2] = ["model", "stream"];
/// `CRLF--boundary`.
const DELIMITER: &[u8] = b"\r\n--b";

type Found = [Option<Field>; 2];

/// A body whose boundary is `b`.
pub fn form(bytes: &[u8]) {
    let whole = read(bytes, &[bytes.len()]);
    for ends in ways(bytes) {
        assert_eq!(read(bytes, &ends), whole, "arriving by {ends:?}");
    }
    match whole {
        Err(kind) => assert_eq!(kind, Kind::InvalidRequest),
        Ok(found) => {
            let fields = found.iter().enumerate();
            fields.for_each(|(index, field)| field.iter().for_each(|field| check(bytes, index, field)));
        }
    }
}

fn read(bytes: &[u8], ends: &[usize]) -> Result<Found, Kind> {
    let mut form = Form::new(b"b", &NAMES);
    let mut from = 0;
    for end in ends {
        form.push(bytes.get(from..*end).unwrap_or_default()).map_err(|error| error.kind)?;
        from = *end;
    }
    form.finish().map_err(|error| error.kind)?;
    Ok([form.field(0).cloned(), form.field(1).cloned()])
}

fn check(bytes: &[u8], index: usize, field: &Field) {
    let value = bytes.get(field.value.clone()).expect("a value inside");
    assert!(value == field.text && value.len() <= VALUE_BYTES_MAX);
    assert!(bytes.get(..field.value.start).is_some_and(|before| before.ends_with(b"\r\n\r\n")));
    assert!(bytes.get(field.value.end..).is_some_and(|behind| behind.starts_with(DELIMITER)));
    let part = bytes.get(field.part.clone()).expect("a part inside");
    assert!(part.starts_with(b"--b\r\n") && part.ends_with(b"\r\n"));
    // Without its part it is a form still, and the field is not there.
    let mut cut = bytes.to_vec();
    cut.drain(field.part.clone());
    let left = read(&cut, &[cut.len()]).expect("a form");
    assert!(left.get(index).is_some_and(Option::is_none));
}
