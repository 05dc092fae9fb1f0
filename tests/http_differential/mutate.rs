//! Mutations of heads, from a fixed seed: the same each time.

/// What is put into a head, or over a part of it.
const WORDS: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b":",
    b",",
    b";",
    b"/",
    b"%",
    b"#",
    b"?",
    b"*",
    b"+",
    b"-",
    b"_",
    b"=",
    b"\"",
    b"\\",
    b"@",
    b"[",
    b"{",
    b"|",
    b"~",
    b"\x7f",
    b"\x80",
    b"\xc3\xa4",
    b"0",
    b"5",
    b"9",
    b"a",
    b"0x",
    b"x",
    b"chunked",
    b"identity",
    b"gzip, ",
    b"close",
    b"keep-alive",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"GET ",
    b"http://",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"A: b\r\n c\r\n",
    b"99999999999999999999",
];

/// So many heads, each one of `bases` with one to three changes.
pub(crate) fn mutations(bases: &[Vec<u8>], count: usize) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(9112);
    (0..count)
        .map(|_| {
            let mut bytes = bases[random.usize(..bases.len())].clone();
            (0..random.usize(1..=3)).for_each(|_| change(&mut bytes, &mut random));
            bytes
        })
        .collect()
}

fn change(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    if bytes.len() < 2 {
        return;
    }
    // The head counts more than what is behind it.
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    let at = random.usize(..end.min(bytes.len() - 1));
    let word = WORDS[random.usize(..WORDS.len())];
    match random.u8(..6) {
        0 => {
            bytes.remove(at);
        }
        1 => {
            let other = random.usize(..bytes.len());
            bytes.swap(at, other);
        }
        2 => {
            let behind = bytes.len().min(at + word.len());
            bytes.splice(at..behind, word.iter().copied());
        }
        3 => {
            let line = line_start(bytes, at);
            bytes.splice(line..line, word.iter().copied());
        }
        4 => {
            let line = line_start(bytes, at);
            let behind = memchr::memchr(b'\n', &bytes[line..]).map_or(bytes.len(), |end| line + end + 1);
            let copy = bytes[line..behind].to_vec();
            bytes.splice(line..line, copy);
        }
        _ => {
            bytes.splice(at..at, word.iter().copied());
        }
    }
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |end| end + 1)
}
