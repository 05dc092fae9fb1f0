//! The fields of a request's head that decide something before its body is read, found in one pass. It judges none.

use super::fields;
use crate::net::server::Request;

/// Where one field stands in the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nowhere.
    #[default]
    Never,
    /// Once: the field of this number.
    Once(u8),
    /// More than once.
    Again,
}

impl Seen {
    /// The value, when it stands there once.
    pub(super) fn value(self, request: &Request) -> Option<&[u8]> {
        match self {
            Self::Once(number) => request.fields().nth(usize::from(number)).map(|(_, value)| value),
            _ => None,
        }
    }

    fn see(&mut self, number: usize) {
        *self = match (*self, u8::try_from(number)) {
            (Self::Never, Ok(number)) => Self::Once(number),
            _ => Self::Again,
        };
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    /// `origin`
    pub(super) origin: Seen,
    /// `content-type`
    pub(super) content_type: Seen,
    /// `x-request-id`
    pub(super) request_id: Seen,
    /// `content-encoding`
    pub(super) content_encoding: Seen,
    /// `x-bf-api-key`
    pub(super) api_key: Seen,
    /// `x-bf-api-key-id`
    pub(super) api_key_id: Seen,
    /// `x-bf-session-id`
    pub(super) session_id: Seen,
    /// `x-bf-session-affinity`
    pub(super) session_affinity: Seen,
    /// `x-bf-passthrough-extra-params`
    pub(super) extra_params: Seen,
    /// Whether a `connection` nominates other headers as its own.
    pub(super) nominates: bool,
}

impl Noted {
    /// Looks at each field's length before its name.
    pub(super) fn of(request: &Request) -> Self {
        let mut noted = Self::default();
        for (number, (name, value)) in request.fields().enumerate() {
            match name.len() {
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    noted.nominates |= !fields::is_persistence(value);
                }
                6 if name.eq_ignore_ascii_case(b"origin") => noted.origin.see(number),
                12 if name.eq_ignore_ascii_case(b"content-type") => noted.content_type.see(number),
                12 if name.eq_ignore_ascii_case(b"x-request-id") => noted.request_id.see(number),
                16 if name.eq_ignore_ascii_case(b"content-encoding") => noted.content_encoding.see(number),
                12 if name.eq_ignore_ascii_case(b"x-bf-api-key") => noted.api_key.see(number),
                15 if name.eq_ignore_ascii_case(b"x-bf-api-key-id") => noted.api_key_id.see(number),
                15 if name.eq_ignore_ascii_case(b"x-bf-session-id") => noted.session_id.see(number),
                21 if name.eq_ignore_ascii_case(b"x-bf-session-affinity") => {
                    noted.session_affinity.see(number);
                }
                29 if name.eq_ignore_ascii_case(b"x-bf-passthrough-extra-params") => {
                    noted.extra_params.see(number);
                }
                _ => {}
            }
        }
        noted
    }
}
