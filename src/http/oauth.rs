//! The answers of an OAuth 2.0 token endpoint (RFC 6749 §5): a token and its lifetime, or why there is none. Pure; who asks,
//! and by what proof, is not said here.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

/// Longest token, bytes: it stands in a header of every request.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Longest lifetime that is believed.
pub const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// The lifetime of a token whose endpoint says none (§5.1 only recommends it).
pub const LIFETIME_UNSAID: Duration = Duration::from_secs(300);
/// Longest part of an endpoint's own words that is repeated, characters.
pub const WORDS_CHARS_MAX: usize = 400;

/// A token, for `authorization: Bearer`. No `Debug`: it is a secret.
pub struct Bearer {
    /// Visible ASCII, 1 to [`TOKEN_BYTES_MAX`] bytes.
    pub token: Zeroizing<String>,
    /// From when it was given; over 0, at most [`LIFETIME_MAX`].
    pub lifetime: Duration,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Zeroizing<String>,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
}

/// Reads the answer of a status 200. Errors: a clause, never with the token.
pub fn token(body: &[u8]) -> Result<Bearer, String> {
    let no_answer = |_| "the answer is no JSON object with an access_token".to_owned();
    let Answer { access_token, token_type, expires_in } = serde_json::from_slice(body).map_err(no_answer)?;
    if token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("the token is no bearer token".to_owned());
    }
    if access_token.is_empty() || access_token.len() > TOKEN_BYTES_MAX {
        return Err(format!("the token is empty or longer than {TOKEN_BYTES_MAX} bytes"));
    }
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has a character that no header may have".to_owned());
    }
    let lifetime = match expires_in.as_ref() {
        None | Some(serde_json::Value::Null) => LIFETIME_UNSAID,
        Some(said) => seconds(said).ok_or("the token has expired, or its expires_in is no number")?,
    };
    Ok(Bearer { token: access_token, lifetime: lifetime.min(LIFETIME_MAX) })
}

/// A number, or one as text, as some endpoints write it; over 0.
fn seconds(said: &serde_json::Value) -> Option<Duration> {
    let seconds = said.as_f64().or_else(|| said.as_str()?.parse().ok())?;
    (seconds >= 1.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LIFETIME_MAX))
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// What the endpoint says of its refusal (§5.2): code, and description, on one line. `None`: it says nothing in that form.
pub fn refusal(body: &[u8]) -> Option<String> {
    let Refusal { error, error_description } = serde_json::from_slice(body).ok()?;
    let words = match error_description {
        Some(description) => format!("{error}: {description}"),
        None => error,
    };
    Some(line(&words))
}

/// The beginning of a text, on one line.
pub fn line(text: &str) -> String {
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|char| !char.is_control()).take(WORDS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(String, u64), String> {
        token(body.as_bytes()).map(|bearer| (bearer.token.to_string(), bearer.lifetime.as_secs()))
    }

    #[test]
    fn a_token_has_a_lifetime_within_bounds() {
        let token = |rest: &str| read(&format!(r#"{{"access_token":"ey.a-b_c"{rest}}}"#));
        for (rest, expected_s) in [
            ("", 300),
            (r#","expires_in":null"#, 300),
            (r#","token_type":"Bearer","expires_in":3599,"ext_expires_in":1"#, 3599),
            (r#","token_type":"bearer","expires_in":"60""#, 60),
            (r#","expires_in":1e300"#, 86_400),
            (r#","expires_in":1.5"#, 1),
        ] {
            assert_eq!(token(rest), Ok(("ey.a-b_c".to_owned(), expected_s)), "{rest}");
        }
        for rest in [r#","expires_in":0"#, r#","expires_in":-5"#, r#","expires_in":"soon""#] {
            assert!(token(rest).unwrap_err().contains("expires_in"), "{rest}");
        }
        assert!(token(r#","token_type":"mac""#).unwrap_err().contains("bearer"));
    }

    #[test]
    fn what_no_header_may_have_is_no_token() {
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        for token in ["", "a b", "a\\r\\nb: c", "ü", &long] {
            let fault = read(&format!(r#"{{"access_token":"{token}"}}"#)).unwrap_err();
            assert!(fault.starts_with("the token "), "{fault}");
        }
        let longest = "a".repeat(TOKEN_BYTES_MAX);
        assert!(read(&format!(r#"{{"access_token":"{longest}"}}"#)).is_ok());
        for body in ["", "[]", "{}", r#"{"access_token":1}"#, "<html>"] {
            assert!(read(body).unwrap_err().contains("no JSON object"), "{body}");
        }
    }

    #[test]
    fn a_refusal_is_one_line() {
        let refused = |body: &str| refusal(body.as_bytes());
        assert_eq!(refused(r#"{"error":"invalid_client"}"#), Some("invalid_client".to_owned()));
        let said = r#"{"error":"invalid_client","error_description":"AADSTS7000215: no.\r\nTrace ID: x","error_codes":[1]}"#;
        assert_eq!(refused(said), Some("invalid_client: AADSTS7000215: no. Trace ID: x".to_owned()));
        let long = format!(r#"{{"error":"{}"}}"#, "ü".repeat(9_999));
        assert_eq!(refused(&long).map(|words| words.chars().count()), Some(WORDS_CHARS_MAX));
        assert_eq!(refused("busy"), None);
    }
}
