//! What a failure calls for, and how long to wait before the same again. It counts nothing and chooses no key.

use std::time::Duration;

use super::plan::Class;
use crate::config::snapshot::Retry;
use crate::error::{Error, Kind};

/// A wait is as long as it is said to be, times a number in this range: callers that failed together do not return
/// together.
const JITTER: std::ops::Range<f64> = 0.8..1.2;

/// What a failure calls for, by its kind and status.
pub fn classify(error: &Error) -> Class {
    match error.kind {
        Kind::UpstreamUnreachable | Kind::UpstreamTimeout | Kind::UpstreamInvalidResponse => Class::Transient,
        Kind::UpstreamStatus if is_bad_key(error) => Class::Refused,
        // Another key has another token, or none.
        Kind::TokenUnavailable => Class::Refused,
        Kind::UpstreamStatus => classify_status(error.status()),
        // Ours, but a fallback needs other connections, and perhaps no translation.
        Kind::Overloaded
        | Kind::UpstreamAddressRefused
        | Kind::ClockSkew
        | Kind::RequestDropped
        | Kind::QueueTimeout
        | Kind::NoKeyForModel
        | Kind::ProviderNotSupported
        | Kind::UnsupportedParameter
        | Kind::UnsupportedOperation => Class::Elsewhere,
        _ => Class::Final,
    }
}

/// Google refuses a key that it does not know by a 400, and says so in its reason
/// (<https://cloud.google.com/apis/design/errors>).
fn is_bad_key(error: &Error) -> bool {
    let code = error.upstream.as_ref().and_then(|upstream| upstream.code.as_deref());
    error.status() == 400 && code == Some("API_KEY_INVALID")
}

fn classify_status(status: u16) -> Class {
    match status {
        500 | 502 | 503 | 504 | 529 => Class::Transient,
        429 => Class::Limited,
        401..=403 => Class::Refused,
        400 | 413 | 415 | 422 => Class::Final,
        _ => Class::Elsewhere,
    }
}

/// The wait before retry `number`, from 1: doubled each time, jittered by `chance` in [0, 1), raised to what the provider
/// asks for; never over `backoff_max`.
pub(super) fn wait(retry: &Retry, number: u32, chance: f64, retry_after: Option<Duration>) -> Duration {
    let factor = 2.0_f64.powi(i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX));
    let max_s = retry.backoff_max.as_secs_f64();
    let base_s = (retry.backoff_initial.as_secs_f64() * factor).min(max_s);
    let jittered_s = (base_s * (JITTER.start + chance * (JITTER.end - JITTER.start))).min(max_s);
    let backoff = Duration::try_from_secs_f64(jittered_s).unwrap_or(retry.backoff_max);
    backoff.max(retry_after.unwrap_or_default()).min(retry.backoff_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UpstreamError;

    const RETRY: Retry = Retry {
        retries_max: 9,
        backoff_initial: Duration::from_millis(100),
        backoff_max: Duration::from_secs(1),
    };

    #[test]
    fn a_wait_doubles_up_to_its_bound() {
        let waits = (1..=6).map(|number| wait(&RETRY, number, 0.5, None).as_millis());
        assert_eq!(waits.collect::<Vec<_>>(), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(wait(&RETRY, u32::MAX, 0.5, None), RETRY.backoff_max);
        assert_eq!(wait(&RETRY, 0, 0.5, None), Duration::from_millis(100));
    }

    #[test]
    fn jitter_is_a_fifth_either_way_and_never_over_the_bound() {
        assert_eq!(wait(&RETRY, 2, 0.0, None), Duration::from_millis(160));
        let latest = wait(&RETRY, 2, 0.999_999, None);
        assert!(latest > Duration::from_millis(239) && latest <= Duration::from_millis(240), "{latest:?}");
        assert_eq!(wait(&RETRY, 5, 0.999_999, None), RETRY.backoff_max);
        assert_eq!(wait(&RETRY, 5, 0.0, None), Duration::from_millis(800));
    }

    #[test]
    fn a_provider_may_ask_for_more_up_to_the_bound() {
        assert_eq!(wait(&RETRY, 1, 0.5, Some(Duration::from_millis(700))), Duration::from_millis(700));
        assert_eq!(wait(&RETRY, 1, 0.5, Some(Duration::from_millis(7))), Duration::from_millis(100));
        assert_eq!(wait(&RETRY, 1, 0.5, Some(Duration::from_secs(70))), RETRY.backoff_max);
    }

    #[test]
    fn each_status_has_its_class() {
        let class = |status| classify(&Error::upstream(UpstreamError { status, ..UpstreamError::default() }));
        for (statuses, wanted) in [
            (&[500, 502, 503, 504, 529][..], Class::Transient),
            (&[429], Class::Limited),
            (&[401, 402, 403], Class::Refused),
            (&[400, 413, 415, 422], Class::Final),
            (&[404, 405, 408, 409, 410, 418, 501, 505, 599], Class::Elsewhere),
        ] {
            for status in statuses {
                assert_eq!(class(*status), wanted, "{status}");
            }
        }
    }

    #[test]
    fn a_key_that_google_does_not_know_is_refused() {
        let class = |status, code: Option<&str>| {
            let code = code.map(str::to_owned);
            classify(&Error::upstream(UpstreamError { status, code, ..UpstreamError::default() }))
        };
        assert_eq!(class(400, Some("API_KEY_INVALID")), Class::Refused);
        assert_eq!(class(400, Some("INVALID_ARGUMENT")), Class::Final);
        assert_eq!(class(400, None), Class::Final);
        assert_eq!(class(503, Some("API_KEY_INVALID")), Class::Transient);
    }

    #[test]
    fn each_kind_has_its_class() {
        for (kinds, wanted) in [
            (
                &[Kind::UpstreamUnreachable, Kind::UpstreamTimeout, Kind::UpstreamInvalidResponse][..],
                Class::Transient,
            ),
            (
                &[Kind::UpstreamAddressRefused, Kind::RequestDropped, Kind::QueueTimeout, Kind::Overloaded],
                Class::Elsewhere,
            ),
            (
                &[
                    Kind::NoKeyForModel,
                    Kind::ProviderNotSupported,
                    Kind::UnsupportedOperation,
                    Kind::UnsupportedParameter,
                ],
                Class::Elsewhere,
            ),
            (&[Kind::TokenUnavailable], Class::Refused),
            (&[Kind::ClientGone, Kind::Internal, Kind::InvalidRequest], Class::Final),
        ] {
            for kind in kinds {
                assert_eq!(classify(&Error::new(*kind, "x")), wanted, "{kind:?}");
            }
        }
    }
}
