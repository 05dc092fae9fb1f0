//! AWS's Security Token Service: the form that takes a role, and the XML that answers it
//! (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>). Pure; the form is signed by `sigv4`.

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::form;
use super::oauth::{TOKEN_BYTES_MAX, line};

/// The name that the service signs by.
pub const SERVICE: &str = "sts";
/// How long the keys are asked for, seconds: AWS's default, and the longest for a role that is taken by another.
const DURATION_S: &str = "3600";
/// Most nodes of an answer's XML; one of AWS has some twenty.
const NODES_MAX: u32 = 1_000;

/// What a role is taken by.
#[derive(Clone, Copy, Debug)]
pub struct Assumed<'a> {
    /// The role's ARN.
    pub role_arn: &'a str,
    /// What AWS's trail calls the session.
    pub session_name: &'a str,
    /// What the role's trust policy may ask for.
    pub external_id: Option<&'a str>,
}

/// The body of the request.
pub fn query(assumed: Assumed<'_>) -> String {
    let Assumed { role_arn, session_name, external_id } = assumed;
    let mut pairs = vec![
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", role_arn),
        ("RoleSessionName", session_name),
        ("DurationSeconds", DURATION_S),
    ];
    pairs.extend(external_id.map(|id| ("ExternalId", id)));
    form::encode(&pairs)
}

/// Temporary access keys. No `Debug`: they are secrets.
pub struct Temporary {
    /// The pair's id: letters, digits and `_`.
    pub access_key: String,
    /// What signs; visible ASCII.
    pub secret_key: Zeroizing<String>,
    /// What is sent with each signature; visible ASCII.
    pub session_token: Zeroizing<String>,
    /// When they end, seconds since 1970, by AWS's clock.
    pub expires_s: i64,
}

/// Reads the answer of a status 200. Errors: a clause, never with a key.
pub fn temporary(body: &[u8]) -> Result<Temporary, String> {
    let text = std::str::from_utf8(body).map_err(|_| NO_ANSWER.to_owned())?;
    let options = roxmltree::ParsingOptions { nodes_limit: NODES_MAX, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(text, options).map_err(|_| NO_ANSWER.to_owned())?;
    let credentials = named(document.root_element(), "AssumeRoleResult")
        .and_then(|result| named(result, "Credentials"))
        .ok_or_else(|| NO_ANSWER.to_owned())?;
    let part = |name: &str| {
        let value = named(credentials, name).and_then(|node| node.text()).map(str::trim).unwrap_or_default();
        let is_right = !value.is_empty()
            && value.len() <= TOKEN_BYTES_MAX
            && value.bytes().all(|byte| byte.is_ascii_graphic());
        if is_right { Ok(value.to_owned()) } else { Err(format!("the answer's {name} is none")) }
    };
    let access_key = part("AccessKeyId")?;
    if !access_key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("the answer's AccessKeyId is none".to_owned());
    }
    let (secret_key, session_token) = (part("SecretAccessKey")?.into(), part("SessionToken")?.into());
    let expiration: Result<Timestamp, _> = part("Expiration")?.parse();
    let expires_s = expiration.map_err(|_| "the answer's Expiration is no time".to_owned())?.as_second();
    Ok(Temporary { access_key, secret_key, session_token, expires_s })
}

const NO_ANSWER: &str = "the answer is no AssumeRoleResponse with Credentials";

/// What STS says of its refusal: code and message, on one line. `None`: it says nothing in its form.
pub fn refusal(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let options = roxmltree::ParsingOptions { nodes_limit: NODES_MAX, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(text, options).ok()?;
    let error = named(document.root_element(), "Error")?;
    let part = |name: &str| named(error, name).and_then(|node| node.text()).unwrap_or_default().to_owned();
    Some(line(&format!("{}: {}", part("Code"), part("Message"))))
}

/// The child of this name, in whichever namespace: AWS has one for each version.
fn named<'a, 'i>(node: roxmltree::Node<'a, 'i>, name: &str) -> Option<roxmltree::Node<'a, 'i>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser><AssumedRoleId>A:b</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/b</Arn></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
      <SecretAccessKey>wJalr/XUtn+FEMI</SecretAccessKey>
      <SessionToken>
        AQoDYXdzEPT//////////wEXAMPLEtc764==
      </SessionToken>
      <Expiration>2019-11-09T13:34:41Z</Expiration>
    </Credentials>
  </AssumeRoleResult>
  <ResponseMetadata><RequestId>x</RequestId></ResponseMetadata>
</AssumeRoleResponse>"#;

    #[test]
    fn a_role_is_asked_for() {
        let role_arn = "arn:aws:iam::1:role/a/b";
        let assumed = Assumed { role_arn, session_name: "bifrost-session", external_id: Some("a=b") };
        let expected = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%2Fb&\
            RoleSessionName=bifrost-session&DurationSeconds=3600&ExternalId=a%3Db";
        assert_eq!(query(assumed), expected);
        assert!(!query(Assumed { external_id: None, ..assumed }).contains("ExternalId"));
    }

    #[test]
    fn its_keys_are_read() {
        let Ok(keys) = temporary(ANSWER.as_bytes()) else { panic!("it is an answer") };
        assert_eq!((keys.access_key.as_str(), keys.secret_key.as_str()), ("ASIAEXAMPLE", "wJalr/XUtn+FEMI"));
        assert_eq!(keys.session_token.as_str(), "AQoDYXdzEPT//////////wEXAMPLEtc764==");
        assert_eq!(keys.expires_s, 1_573_306_481);
    }

    #[test]
    fn what_is_no_answer_is_a_fault_without_a_key_in_it() {
        let fault = |body: &str| temporary(body.as_bytes()).err().unwrap();
        for (from, to, expected) in [
            ("ASIAEXAMPLE", "A B", "AccessKeyId"),
            ("wJalr/XUtn+FEMI", "", "SecretAccessKey"),
            ("AQoDYXdz", "a\u{fc}", "SessionToken"),
            ("2019-11-09T13:34:41Z", "soon", "Expiration"),
            ("Credentials>", "Other>", "no AssumeRoleResponse"),
            ("</AssumeRoleResponse>", "", "no AssumeRoleResponse"),
        ] {
            let said = fault(&ANSWER.replace(from, to));
            assert!(said.contains(expected) && !said.contains("wJalr"), "{said}");
        }
        let deep = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
        assert!(fault(deep).contains("no AssumeRoleResponse"), "entities are not read");
        assert!(fault(&format!("<a>{}</a>", "<b/>".repeat(2_000))).contains("no AssumeRoleResponse"));
    }

    #[test]
    fn a_refusal_is_one_line() {
        let body = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
            <Code>AccessDenied</Code><Message>User x is not\nauthorized</Message></Error></ErrorResponse>";
        assert_eq!(refusal(body.as_bytes()), Some("AccessDenied: User x is not authorized".to_owned()));
        assert_eq!(refusal(b"busy"), None);
        assert_eq!(refusal(b"<a/>"), None);
    }
}
