//! AWS's published vectors (<https://github.com/awslabs/aws-c-auth/tree/v0.9.0/tests/aws-signing-test-suite>, as `aws-sigv4`
//! carries them), in a shorter form: all but those of paths that we never send (normalised by the signer), of folded headers,
//! and of tokens that are left out of the signature.

use ring::digest::{SHA256, digest};

use super::*;

const EXAMPLE: Keys<'_> = Keys {
    access_key: "AKIDEXAMPLE",
    secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    session_token: None,
};
/// Of the one vector that came from elsewhere.
const OTHER: Keys<'_> =
    Keys { access_key: "ANOTREAL", secret_key: "notrealrnrELgWzOk3IfjzDKtFBhDby", session_token: None };
/// 2015-08-30T12:36:00Z.
const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "service", unix_s: 1_440_938_160 };

#[test]
fn every_published_vector_is_met() {
    let vectors: Vec<&str> = include_str!("vectors.txt").split("\n\n").collect();
    assert_eq!(vectors.len(), 30);
    for vector in vectors {
        let mut lines_of = vector.lines();
        let name = lines_of.next().unwrap();
        let (method, target) = lines_of.next().unwrap().split_once(' ').unwrap();
        let mut keys = if name.contains("double-encode") { OTHER } else { EXAMPLE };
        let (mut fields, mut body, mut expected) = (Vec::new(), "", "");
        for line in lines_of {
            if let Some(token) = line.strip_prefix("token=") {
                keys.session_token = Some(token);
            } else if let Some(text) = line.strip_prefix("body=") {
                body = text;
            } else if let Some(signature) = line.strip_prefix('=') {
                expected = signature;
            } else {
                let (name, value) = line.split_once(':').unwrap();
                fields.push((name.as_bytes(), value.as_bytes()));
            }
        }
        let request = Unsigned {
            method: method.as_bytes(),
            target: target.as_bytes(),
            fields: &fields,
            body: digest(&SHA256, body.as_bytes()),
        };
        let written = String::from_utf8(lines(keys, SCOPE, &request)).unwrap();
        assert!(written.ends_with(&format!(", Signature={expected}\r\n")), "{name}: {written}");
        assert!(written.starts_with("x-amz-date: 20150830T123600Z\r\n"), "{written}");
        let token = keys.session_token.map(|token| format!("x-amz-security-token: {token}\r\n"));
        assert_eq!(token.is_some_and(|line| written.contains(&line)), keys.session_token.is_some());
    }
}

#[test]
fn whatever_is_signed_there_are_two_or_three_lines() {
    let random = &mut fastrand::Rng::with_seed(7);
    for _ in 0..2_000 {
        let bytes = |random: &mut fastrand::Rng| {
            (0..random.usize(0..40))
                .map(|_| *random.choice(b"%aF/?&=+ .:~\xff{").unwrap())
                .collect::<Vec<u8>>()
        };
        let (target, value) = (bytes(random), bytes(random));
        let request = Unsigned {
            method: b"POST",
            target: &target,
            fields: &[(b"host", b"h"), (b"x-amz-odd", &value)],
            body: digest(&SHA256, &value),
        };
        let scope = Scope { unix_s: random.i64(..), ..SCOPE };
        let written = lines(EXAMPLE, scope, &request);
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
