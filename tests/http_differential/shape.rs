//! What stands in a head, read without either parser: for telling kinds of disagreements apart. It judges nothing, and
//! reads the doubtful as loosely as anybody may.

/// Behind empty lines, up to the first empty line, however lines end.
fn head(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let rest = &bytes[start..];
    let ends = [&b"\n\r\n"[..], b"\n\n"].into_iter().filter_map(|end| memchr::memmem::find(rest, end));
    &rest[..ends.min().map_or(rest.len(), |end| end + 1)]
}

/// Whether this is so of the head, or, of interim answers, of any head up to the final one.
pub(crate) fn some_head(bytes: &[u8], holds: impl Fn(&[u8]) -> bool) -> bool {
    let mut rest = bytes;
    loop {
        if holds(rest) {
            return true;
        }
        let head = head(rest);
        let end = memchr::memmem::find(rest, head).unwrap_or(0) + head.len();
        let behind = rest.get(end..).unwrap_or_default();
        if behind.is_empty() || !matches!(status(rest), 100..=199) {
            return false;
        }
        // Behind the empty line.
        rest = memchr::memchr(b'\n', behind).map_or(&[], |at| &behind[at + 1..]);
    }
}

/// The head's length with its empty line, bytes.
pub(crate) fn head_bytes(bytes: &[u8]) -> usize {
    head(bytes).len() + 2
}

/// The first line's length, bytes.
pub(crate) fn line_bytes(bytes: &[u8]) -> usize {
    first_line(bytes).len()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let line = head(bytes).split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn word(bytes: &[u8], index: usize) -> &[u8] {
    first_line(bytes).split(|byte| *byte == b' ').nth(index).unwrap_or_default()
}

/// The first word of a request line.
pub(crate) fn method(bytes: &[u8]) -> &[u8] {
    word(bytes, 0)
}

/// The second.
pub(crate) fn target(bytes: &[u8]) -> &[u8] {
    word(bytes, 1)
}

/// The third.
pub(crate) fn version(bytes: &[u8]) -> &[u8] {
    word(bytes, 2)
}

/// The second word of a status line; 0: no number.
pub(crate) fn status(bytes: &[u8]) -> u16 {
    std::str::from_utf8(word(bytes, 1)).ok().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The values of a field, white space cut away.
pub(crate) fn values(bytes: &[u8], name: &str) -> Vec<Vec<u8>> {
    let lines = head(bytes).split(|byte| *byte == b'\n').skip(1);
    let fields = lines.filter_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
    });
    let named = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|(_, value)| value.to_vec()).collect()
}

/// The elements of all Expect fields.
pub(crate) fn expectations(bytes: &[u8]) -> Vec<Vec<u8>> {
    let values = values(bytes, "expect");
    values
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|item| item.trim_ascii().to_vec())
        .collect()
}

/// Whether a line of the head, or before it, ends in LF alone.
pub(crate) fn bare_line_feed(bytes: &[u8]) -> bool {
    let end = memchr::memmem::find(bytes, head(bytes)).unwrap_or(0) + head_bytes(bytes);
    let end = bytes.len().min(end);
    let is_bare = |at: usize| at == 0 || bytes[at - 1] != b'\r';
    memchr::memchr_iter(b'\n', &bytes[..end]).any(is_bare)
}

/// Whether a percent sign begins no escape.
pub(crate) fn has_bad_escape(text: &[u8]) -> bool {
    let is_whole =
        |at: usize| text.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    !memchr::memchr_iter(b'%', text).all(is_whole)
}

/// Whether the target is of a form that our routes can have: a path, an http URL with a host, `*` with OPTIONS.
pub(crate) fn targets_path(bytes: &[u8]) -> bool {
    let target = target(bytes);
    let lower = target.to_ascii_lowercase();
    let rest = lower.strip_prefix(b"http://").or_else(|| lower.strip_prefix(b"https://"));
    let names_host = rest.is_some_and(|rest| {
        let authority = rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next().unwrap_or_default();
        let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
        !host.is_empty() && host_is_sound(host)
    });
    target.starts_with(b"/") || names_host || (target == b"*" && method(bytes) == b"OPTIONS")
}

/// RFC 3986 §3.2.2 and §3.2.3: `host [":" port]`.
pub(crate) fn host_is_sound(value: &[u8]) -> bool {
    let port_digits = value.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (front, _) = value.split_at(value.len() - port_digits);
    let host = front.strip_suffix(b":").unwrap_or(value);
    if let Some(address) = host.strip_prefix(b"[") {
        let address = address.strip_suffix(b"]").unwrap_or_default();
        return !address.is_empty()
            && address.iter().all(|byte| byte.is_ascii_hexdigit() || b":.v".contains(byte));
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
    host.iter().all(is_name) && !has_bad_escape(host)
}
