//! Keys' values kept out of what is passed on and what is logged. It knows no key; the caller names the secret.

/// Overwrites every occurrence of `secret` with asterisks.
pub(super) fn mask(bytes: &mut [u8], secret: &[u8]) {
    if secret.is_empty() {
        return;
    }
    let starts: Vec<usize> = memchr::memmem::find_iter(bytes, secret).collect();
    for start in starts {
        bytes.iter_mut().skip(start).take(secret.len()).for_each(|byte| *byte = b'*');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let mut body = b"key sk-1 is wrong: sk-1".to_vec();
        mask(&mut body, b"sk-1");
        assert_eq!(body, b"key **** is wrong: ****");
        mask(&mut body, b"");
        assert_eq!(body, b"key **** is wrong: ****");
    }
}
