//! A form's body as it comes in (RFC 7578, RFC 2046 §5.1): where its short fields stand, which of its parts are files, and
//! whether it has ended. It keeps a part's head and a short field's value, never a file. Strict where readers differ: what one
//! of them might read otherwise is refused.

use std::ops::Range;

use memchr::memmem;

use crate::error::{Error, Kind};

/// Longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;
/// Longest head of a part, bytes.
pub const PART_HEAD_BYTES_MAX: usize = 4 * 1024;
/// Longest value of a field that is looked for, bytes; of others nothing is kept.
pub const VALUE_BYTES_MAX: usize = 1024;
/// Most parts of one form.
pub const PARTS_MAX: usize = 1024;

/// The boundary that a `content-type` names. `None`: it is no form, or has no boundary that RFC 2046 allows.
pub fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    let (essence, parameters) = split_once(content_type, b';')?;
    if !essence.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data") {
        return None;
    }
    let value = parameter(parameters, b"boundary")?;
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    let is_sized = (1..=BOUNDARY_BYTES_MAX).contains(&value.len()) && value.last() != Some(&b' ');
    (is_sized && value.iter().all(is_legal)).then_some(value)
}

/// A field that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its value's place in the body.
    pub value: Range<usize>,
    /// Its part's, with its delimiter and without the next one's.
    pub part: Range<usize>,
    /// The value.
    pub text: Vec<u8>,
}

/// A form under way, taken in pieces, cut anywhere.
pub struct Form<const N: usize> {
    names: &'static [&'static str; N],
    /// `--boundary`.
    dash: Vec<u8>,
    /// `CRLF--boundary`.
    delimiter: Vec<u8>,
    /// What came and was not judged, and where in the body it begins.
    pending: Vec<u8>,
    offset: usize,
    state: State,
    part_start: usize,
    parts: usize,
    found: [Option<Field>; N],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first delimiter is due.
    Start,
    /// A delimiter's end: a line's, or the form's.
    Delimiter,
    /// A part's head.
    Head,
    /// The value of the field of this number.
    Value(usize),
    /// A value that nobody looks for; whether it is a file's.
    Skipped { is_file: bool },
    /// The last delimiter has come.
    Done,
}

impl<const N: usize> Form<N> {
    /// A form of which nothing has come; `names` are looked for.
    pub fn new(boundary: &[u8], names: &'static [&'static str; N]) -> Self {
        Self {
            names,
            dash: [b"--", boundary].concat(),
            delimiter: [b"\r\n--", boundary].concat(),
            pending: Vec::new(),
            offset: 0,
            state: State::Start,
            part_start: 0,
            parts: 0,
            found: [const { None }; N],
        }
    }

    /// Takes the next piece. Errors: it is no form, a part has no name, a field that is looked for stands twice or is too long.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.pending.extend_from_slice(piece);
        let mut at = 0;
        while let Some(taken) = self.step(at)? {
            at += taken;
        }
        self.pending.drain(..at);
        self.offset += at;
        Ok(())
    }

    /// The body is whole. Errors: the form is not.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Done => Ok(()),
            _ => Err(refused("the form ends before its last boundary")),
        }
    }

    /// What was found of the field of this number.
    pub fn field(&self, index: usize) -> Option<&Field> {
        self.found.get(index)?.as_ref()
    }

    /// Whether a file is coming in.
    pub fn is_in_file(&self) -> bool {
        matches!(self.state, State::Skipped { is_file: true })
    }

    /// Judges what stands at `at` of what is pending; how much of that is done with. `None`: more must come.
    fn step(&mut self, at: usize) -> Result<Option<usize>, Error> {
        let rest = self.pending.get(at..).unwrap_or_default();
        match self.state {
            State::Start => {
                let (dash, length) = (&self.dash, rest.len().min(self.dash.len()));
                if rest.get(..length) != dash.get(..length) {
                    return Err(refused("the body does not begin with its boundary"));
                }
                if rest.len() < dash.len() {
                    return Ok(None);
                }
                self.part_start = self.offset + at;
                self.state = State::Delimiter;
                Ok(Some(self.dash.len()))
            }
            State::Delimiter => match rest.get(..2) {
                None => Ok(None),
                Some(b"\r\n") => {
                    self.parts += 1;
                    if self.parts > PARTS_MAX {
                        return Err(refused("the form has over 1,024 parts"));
                    }
                    self.state = State::Head;
                    Ok(Some(2))
                }
                Some(b"--") => {
                    self.state = State::Done;
                    Ok(Some(2))
                }
                Some(_) => Err(refused("a boundary is not alone in its line")),
            },
            State::Head => {
                let end = memmem::find(rest, b"\r\n\r\n");
                if end.unwrap_or(rest.len().saturating_sub(3)) > PART_HEAD_BYTES_MAX {
                    return Err(refused("a part's head is over 4 KiB"));
                }
                let Some(end) = end else { return Ok(None) };
                let (name, is_file) = disposition(rest.get(..end).unwrap_or_default())?;
                let index = self.names.iter().position(|one| one.as_bytes() == name && !is_file);
                self.state = index.map_or(State::Skipped { is_file }, State::Value);
                Ok(Some(end + 4))
            }
            State::Value(index) => {
                let end = memmem::find(rest, &self.delimiter);
                if end.unwrap_or(rest.len().saturating_sub(self.delimiter.len())) > VALUE_BYTES_MAX {
                    return Err(refused("a field is over 1,024 bytes").with_param(self.name(index)));
                }
                let Some(end) = end else { return Ok(None) };
                self.take(index, at, end)?;
                Ok(Some(end + self.delimiter.len()))
            }
            State::Skipped { .. } => {
                if let Some(end) = memmem::find(rest, &self.delimiter) {
                    self.part_start = self.offset + at + end + 2;
                    self.state = State::Delimiter;
                    return Ok(Some(end + self.delimiter.len()));
                }
                let seen = rest.len().saturating_sub(self.delimiter.len() - 1);
                Ok((seen > 0).then_some(seen))
            }
            State::Done => Ok((!rest.is_empty()).then_some(rest.len())),
        }
    }

    fn name(&self, index: usize) -> &'static str {
        self.names.get(index).copied().unwrap_or_default()
    }

    /// The value of the field of this number ends `length` behind `at`.
    fn take(&mut self, index: usize, at: usize, length: usize) -> Result<(), Error> {
        let name = self.name(index);
        let start = self.offset + at;
        let text = self.pending.get(at..at + length).unwrap_or_default().to_vec();
        let next = start + length + 2;
        let field = Field { value: start..start + length, part: self.part_start..next, text };
        (self.part_start, self.state) = (next, State::Delimiter);
        let Some(slot) = self.found.get_mut(index) else { return Ok(()) };
        if slot.replace(field).is_some() {
            return Err(refused("a field stands twice in the form; send it once").with_param(name));
        }
        Ok(())
    }
}

/// A part's name, and whether it is a file (RFC 7578 §4.2).
fn disposition(head: &[u8]) -> Result<(Vec<u8>, bool), Error> {
    let mut found = None;
    for line in lines(head) {
        let is_plain = !line.contains(&b'\n') && !line.contains(&b'\r');
        let (name, value) = split_once(line, b':')
            .filter(|(name, _)| is_plain && !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
            .ok_or_else(|| refused("a part's head has a line that is no field"))?;
        if !name.eq_ignore_ascii_case(b"content-disposition") {
            continue;
        }
        if found.replace(value).is_some() {
            return Err(refused("a part has two Content-Dispositions"));
        }
    }
    let value = found.ok_or_else(|| refused("a part has no Content-Disposition"))?;
    let (kind, parameters) = split_once(value, b';').unwrap_or((value, b""));
    if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
        return Err(refused("a part is no form-data"));
    }
    let name = parameter(parameters, b"name").ok_or_else(|| refused("a part has no name, or several"))?;
    let has = |wanted| parameters_of(parameters).any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if has(b"name*".as_slice()) {
        // RFC 7578 section 4.2 has none; who reads it would read another name.
        return Err(refused("a part has a name*"));
    }
    Ok((name.to_vec(), has(b"filename".as_slice()) || has(b"filename*")))
}

/// The lines of a head without its end.
fn lines(mut head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_over = false;
    std::iter::from_fn(move || {
        let end = memmem::find(head, b"\r\n");
        let line = head.get(..end.unwrap_or(head.len()))?;
        let was_over = std::mem::replace(&mut is_over, end.is_none());
        head = end.and_then(|end| head.get(end + 2..)).unwrap_or_default();
        (!was_over).then_some(line)
    })
}

/// The one parameter of this name, without quotes. `None`: there is none, or two, or it holds an escape.
fn parameter<'a>(parameters: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut values = parameters_of(parameters).filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let (_, value) = values.next()?;
    let value = match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.strip_suffix(b"\"")?,
        None => value,
    };
    (values.next().is_none() && !value.contains(&b'\\')).then_some(value)
}

/// Names and values, these as they stand, with their quotes.
fn parameters_of(mut rest: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let mut is_quoted = false;
        let mut is_escaped = false;
        let end = rest.iter().position(|byte| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_quoted => is_escaped = true,
                b'"' => is_quoted = !is_quoted,
                b';' if !is_quoted => return true,
                _ => {}
            }
            false
        });
        if rest.is_empty() {
            return None;
        }
        let (one, behind) = match end {
            Some(end) => (rest.get(..end)?, rest.get(end + 1..)?),
            None => (rest, b"".as_slice()),
        };
        rest = behind;
        let (name, value) = split_once(one, b'=').unwrap_or((one, b""));
        Some((name.trim_ascii(), value.trim_ascii()))
    })
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(at, bytes)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

fn refused(message: &'static str) -> Error {
    Error::new(Kind::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["model", "stream"];

    fn form(body: &[u8], cut: usize) -> Result<Form<2>, Error> {
        let mut form = Form::new(b"x-y", &NAMES);
        form.push(&body[..cut])?;
        form.push(&body[cut..])?;
        form.finish()?;
        Ok(form)
    }

    #[test]
    fn a_boundary_is_read_as_clients_write_it() {
        for (kind, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;charset=utf-8; Boundary=\"a b:c\"", Some("a b:c")),
            ("multipart/form-data; boundary=----formdata-undici-012", Some("----formdata-undici-012")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; boundary=\"a", None),
            ("multipart/form-data; boundary=a\"b", None),
            ("multipart/mixed; boundary=a", None),
        ] {
            assert_eq!(boundary(kind.as_bytes()), expected.map(str::as_bytes), "{kind}");
        }
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        assert_eq!(boundary(long.as_bytes()), None);
    }

    #[test]
    fn fields_are_found_wherever_they_stand_and_however_the_body_is_cut() {
        let file = "--x-y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model; x.wav\"\r\n\
             content-type: audio/wav\r\n\r\n\r\n--x-\r\n--x-z\0bytes\r\n";
        let model = "--x-y\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n";
        let stream = "--x-y\r\nX: y\r\nContent-Disposition:form-data;name=stream\r\n\r\ntrue\r\n";
        for order in [[file, model, stream], [model, stream, file], [stream, file, model]] {
            let body = format!("{}--x-y--\r\n", order.concat());
            for cut in 0..=body.len() {
                let form = form(body.as_bytes(), cut).unwrap();
                let (found, other) = (form.field(0).unwrap(), form.field(1).unwrap());
                assert_eq!(
                    (found.text.as_slice(), other.text.as_slice()),
                    (b"whisper-1".as_slice(), b"true".as_slice())
                );
                assert_eq!(&body[found.value.clone()], "whisper-1");
                assert_eq!(&body[found.part.clone()], model);
                assert_eq!(&body[other.part.clone()], stream);
            }
        }
    }

    #[test]
    fn what_readers_might_read_otherwise_is_refused() {
        let part = |head: &str| format!("--x-y\r\n{head}\r\n\r\na\r\n--x-y--");
        let model = "content-disposition: form-data; name=\"model\"\r\n\r\na\r\n--x-y\r\n";
        for body in [
            String::new(),
            "--x-y".to_owned(),
            "preamble\r\n--x-y--".to_owned(),
            "--x-y \r\n".to_owned(),
            part("content-type: a/b"),
            part("content-disposition: form-data"),
            part("content-disposition: attachment; name=\"a\""),
            part("content-disposition: form-data; name=\"a\"; name=\"b\""),
            part("content-disposition: form-data; name=\"a\\\"b\""),
            part("content-disposition: form-data; name=a\r\ncontent-disposition: form-data; name=model"),
            part("no colon"),
            part("content-disposition: form-data; name=a; name*=UTF-8''model"),
            part("content-disposition: form-data;\r\n name=a"),
            part("content-disposition : form-data; name=a"),
            part("x: y\ncontent-disposition: form-data; name=a"),
            format!("--x-y\r\n\r\n{model}"),
            format!("--x-y\r\n{model}{model}"),
            format!("--x-y\r\nx: {}", "a".repeat(PART_HEAD_BYTES_MAX)),
            format!(
                "--x-y\r\ncontent-disposition: form-data; name=model\r\n\r\n{}\r\n--x-y--",
                "a".repeat(1025)
            ),
            "--x-y\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nunended".to_owned(),
        ] {
            assert_eq!(
                form(body.as_bytes(), 0).err().map(|error| error.kind),
                Some(Kind::InvalidRequest),
                "{body}"
            );
        }
        assert!(form(part("content-disposition: form-data; name=a").as_bytes(), 9).is_ok());
    }

    #[test]
    fn a_file_is_not_kept() {
        let mut form = Form::new(b"x-y", &NAMES);
        form.push(b"--x-y\r\ncontent-disposition: form-data; name=f; filename=a\r\n\r\n").unwrap();
        for _ in 0..100 {
            form.push(&[b'a'; 4096]).unwrap();
            assert!(form.is_in_file() && form.pending.len() < 16);
        }
    }
}
