//! Whether a request is signed as it says, judged by AWS's own signer: of the pair of keys that AWS's documents use as their
//! example, whose secret everybody knows. Pure but for the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderMap, Method};

use super::super::call::Refusal;

/// The pair's id; no other's signatures are verified.
const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// How far a signature's time may be from ours.
const SKEW_MAX: Duration = Duration::from_secs(300);

/// Errors: the signature is another, or of another time.
pub(super) fn check(
    (method, path): (&Method, &str),
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let words: Vec<&str> = text("authorization").split([' ', ',', '/', '=']).collect();
    // AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, SignedHeaders=A;B, Signature=HEX
    let [_, _, access_key, date, region, service, _, _, _, names, _, _, signature] = words[..] else {
        return Err(refused("The authorization header is incomplete."));
    };
    if access_key != ACCESS_KEY {
        return Ok(());
    }
    let at = text("x-amz-date");
    let time = time(at).ok_or_else(|| refused("The date is none."))?;
    let now = SystemTime::now();
    if now.duration_since(time).is_ok_and(|age| age > SKEW_MAX) {
        return Err(refused(&format!(
            "Signature expired: {at} is now earlier than the server's time - 5 min."
        )));
    }
    if time.duration_since(now).is_ok_and(|ahead| ahead > SKEW_MAX) {
        return Err(refused(&format!(
            "Signature not yet current: {at} is still later than the server's time + 5 min."
        )));
    }
    let expected = signed((method, path), headers, body, (names, region, time));
    let is_ours = service == "bedrock" && at.starts_with(date) && expected.as_deref() == Some(signature);
    if is_ours {
        return Ok(());
    }
    Err(refused(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
         and signing method. Consult the service documentation for details.",
    ))
}

fn refused(message: &str) -> Refusal {
    Refusal::new(403, "InvalidSignatureException", message)
}

/// `None`: it cannot be signed.
fn signed(
    (method, path): (&Method, &str),
    headers: &HeaderMap,
    body: &[u8],
    (names, region, time): (&str, &str, SystemTime),
) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = text("x-amz-security-token").map(str::to_owned);
    let identity = Credentials::new(ACCESS_KEY, SECRET_KEY, token, None, "mock").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("bedrock")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    // The signer adds the others itself.
    let own = ["host", "x-amz-date", "x-amz-security-token"];
    let given =
        names.split(';').filter(|name| !own.contains(name)).filter_map(|name| Some((name, text(name)?)));
    let url = format!("https://{}{path}", text("host")?);
    let request = SignableRequest::new(method.as_str(), url, given, SignableBody::Bytes(body)).ok()?;
    Some(sign(request, &params).ok()?.into_parts().1)
}

/// Of `20150830T123600Z`, by Howard Hinnant's `days_from_civil`.
fn time(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u64>().ok());
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)?;
    let seconds = number(9, 11)? * 3_600 + number(11, 13)? * 60 + number(13, 15)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read() {
        assert_eq!(time("20150830T123600Z"), Some(UNIX_EPOCH + Duration::from_secs(1_440_938_160)));
        assert_eq!(time("20000229T000000Z"), Some(UNIX_EPOCH + Duration::from_secs(951_782_400)));
        assert_eq!(time("2015"), None);
    }
}
