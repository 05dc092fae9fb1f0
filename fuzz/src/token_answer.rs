//! Answers of token endpoints: whatever they say, a token that is taken may stand in a header, its life is within bounds, and
//! what is repeated of a refusal is one short line.

use corelane::http::oauth::{self, LIFETIME_MAX, TOKEN_BYTES_MAX, WORDS_CHARS_MAX};
use corelane::http::sts;

/// As OAuth's and as STS's.
pub fn token_answer(bytes: &[u8]) {
    if let Ok(bearer) = oauth::token(bytes) {
        check(&bearer.token);
        assert!(!bearer.lifetime.is_zero() && bearer.lifetime <= LIFETIME_MAX);
    }
    if let Ok(keys) = sts::temporary(bytes) {
        [keys.access_key.as_str(), keys.secret_key.as_str(), keys.session_token.as_str()]
            .into_iter()
            .for_each(check);
    }
    for said in [oauth::refusal(bytes), sts::refusal(bytes)].into_iter().flatten() {
        assert!(said.chars().count() <= WORDS_CHARS_MAX && !said.contains(char::is_control));
    }
}

fn check(text: &str) {
    assert!(!text.is_empty() && text.len() <= TOKEN_BYTES_MAX);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
}
