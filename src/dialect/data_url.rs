//! Data URLs in base64 (RFC 2397), taken apart and put together. It decodes no base64.

use std::borrow::Cow;

use crate::chat::Source;

/// A URL as it is, or a data URL taken apart; `None`: a data URL that is not base64, or of no media type.
pub(super) fn source(url: Cow<'_, str>) -> Option<Source<'_>> {
    match url {
        Cow::Borrowed(url) => {
            let Some(rest) = after_scheme(url) else { return Some(Source::Url(Cow::Borrowed(url))) };
            let (media_type, data) = split(rest)?;
            Some(Source::Base64 { media_type: Cow::Borrowed(media_type), data: Cow::Borrowed(data) })
        }
        Cow::Owned(url) => {
            let Some(rest) = after_scheme(&url) else { return Some(Source::Url(Cow::Owned(url))) };
            let (media_type, data) = split(rest)?;
            Some(Source::Base64 {
                media_type: Cow::Owned(media_type.to_owned()),
                data: Cow::Owned(data.to_owned()),
            })
        }
    }
}

/// The other way round.
pub(super) fn written(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

fn after_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_at_checked("data:".len())?;
    scheme.eq_ignore_ascii_case("data:").then_some(rest)
}

fn split(data_url: &str) -> Option<(&str, &str)> {
    let (head, data) = data_url.split_once(',')?;
    let (head, coding) = head.rsplit_once(';')?;
    let media_type = head.split(';').next().unwrap_or_default();
    (coding.eq_ignore_ascii_case("base64") && media_type.contains('/')).then_some((media_type, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_are_taken_apart_borrowed_or_not() {
        let expected = |media_type: &'static str, data: &'static str| {
            Some(Source::Base64 { media_type: media_type.into(), data: data.into() })
        };
        assert_eq!(source(Cow::Borrowed("data:image/png;base64,QUI=")), expected("image/png", "QUI="));
        let owned = Cow::Owned("DATA:image/png;name=a;BASE64,QUI=".into());
        assert_eq!(source(owned), expected("image/png", "QUI="));
        assert_eq!(source(written("a/b", "QUI=").into()), expected("a/b", "QUI="));
        assert_eq!(source(Cow::Borrowed("data:;base64,QUI=")), None);
        assert_eq!(source(Cow::Borrowed("data:")), None);
        assert_eq!(source(Cow::Borrowed("é")), Some(Source::Url("é".into())));
    }
}
