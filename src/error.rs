//! What can go wrong with one request, as a value: whose fault it is, the status, the stable code.
//! It is not a wire format (`dialect` writes it in the caller's words) and it never holds a secret.

use std::borrow::Cow;
use std::fmt;

/// The closed set of faults that corelane itself reports, each with one status and one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The body is not the JSON or the shape that the operation needs.
    InvalidRequest,
    /// A top-level key that decides something stands twice in the body.
    DuplicateField,
    /// The body nests deeper, or holds more values, than the stated bounds.
    JsonTooComplex,
    /// A parameter that this version cannot honour and must not ignore.
    UnsupportedParameter,
    /// The model is missing, malformed, or no configured provider has it.
    ModelNotFound,
    /// The provider is configured, but none of its usable keys allows the model.
    NoKeyForModel,
    /// The model's prefix names a provider that the config does not have.
    ProviderNotConfigured,
    /// The provider or the pairing of dialects is known but not served by this version.
    ProviderNotSupported,
    /// The request pins a key by a name or an id that no key of the provider has.
    KeyNotFound,
    /// The config does not let this provider be asked for the operation (`allowed_requests`).
    UnsupportedOperation,
    /// The head is malformed or its framing is ambiguous (RFC 9112).
    BadHead,
    /// A cross-origin request from an origin that is not allowed.
    OriginNotAllowed,
    /// No route has this path.
    NotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// The peer did not send its request in time.
    RequestTimeout,
    /// The request says neither its body's length nor that it is chunked, and the operation needs a body.
    LengthRequired,
    /// The body is over its limit.
    BodyTooLarge,
    /// The request target is over its limit.
    TargetTooLong,
    /// A content type or content coding that the operation does not take.
    UnsupportedMediaType,
    /// An `Expect` other than `100-continue`.
    ExpectationFailed,
    /// The head or one of its parts is over its limit.
    HeadTooLarge,
    /// A transfer coding or method that we do not implement.
    NotImplemented,
    /// An HTTP version other than 1.0 and 1.1.
    VersionNotSupported,
    /// This core's byte budget is spent.
    Overloaded,
    /// This core serves as many connections as it may.
    TooManyConnections,
    /// The name did not resolve, or no connection could be made.
    UpstreamUnreachable,
    /// The provider's address is one that must not be connected to.
    UpstreamAddressRefused,
    /// The provider's answer breaks HTTP or its own dialect.
    UpstreamInvalidResponse,
    /// The provider answered with an error status; the details are in [`Error::upstream`].
    UpstreamStatus,
    /// The provider finds our signature out of its time: this node's clock, or the provider's, is wrong.
    ClockSkew,
    /// The key's token could not be fetched from where tokens are given (Entra ID, Google, AWS's STS).
    TokenUnavailable,
    /// Every key of the provider was refused by it (401, 402, 403): the config's fault, not the caller's.
    ProviderCredentialsExhausted,
    /// All places of the provider are taken and its queue is full (`concurrency_and_buffer_size`).
    RequestDropped,
    /// No place of the provider became free in time.
    QueueTimeout,
    /// A deadline towards the provider passed.
    UpstreamTimeout,
    /// The caller closed the connection before the answer was whole.
    ClientGone,
    /// The node ended while it served the request.
    ShuttingDown,
    /// A panic or a broken invariant of our own.
    Internal,
}

impl Kind {
    /// The HTTP status that answers this fault. `UpstreamStatus` carries its own instead.
    pub fn status(self) -> u16 {
        self.facts().0
    }

    /// The stable, documented `code` of this fault, also its label in metrics and log rows.
    pub fn code(self) -> &'static str {
        self.facts().1
    }

    fn facts(self) -> (u16, &'static str) {
        match self {
            Self::InvalidRequest => (400, "invalid_request"),
            Self::DuplicateField => (400, "duplicate_field"),
            Self::JsonTooComplex => (400, "json_too_complex"),
            Self::UnsupportedParameter => (400, "unsupported_parameter"),
            Self::ModelNotFound => (400, "model_not_found"),
            Self::NoKeyForModel => (400, "no_key_for_model"),
            Self::ProviderNotConfigured => (400, "provider_not_configured"),
            Self::ProviderNotSupported => (400, "provider_not_supported"),
            Self::KeyNotFound => (400, "key_not_found"),
            Self::UnsupportedOperation => (400, "unsupported_operation"),
            Self::BadHead => (400, "bad_request_head"),
            Self::OriginNotAllowed => (403, "origin_not_allowed"),
            Self::NotFound => (404, "not_found"),
            Self::MethodNotAllowed => (405, "method_not_allowed"),
            Self::RequestTimeout => (408, "request_timeout"),
            Self::LengthRequired => (411, "length_required"),
            Self::BodyTooLarge => (413, "request_too_large"),
            Self::TargetTooLong => (414, "target_too_long"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type"),
            Self::ExpectationFailed => (417, "expectation_failed"),
            Self::HeadTooLarge => (431, "head_too_large"),
            Self::ClientGone => (499, "client_gone"),
            Self::Internal => (500, "internal_error"),
            Self::NotImplemented => (501, "not_implemented"),
            Self::UpstreamUnreachable => (502, "upstream_unreachable"),
            Self::UpstreamAddressRefused => (502, "upstream_address_refused"),
            Self::UpstreamInvalidResponse => (502, "upstream_invalid_response"),
            Self::UpstreamStatus => (502, "upstream_status"),
            Self::ClockSkew => (502, "clock_skew"),
            Self::TokenUnavailable => (502, "token_unavailable"),
            Self::ProviderCredentialsExhausted => (502, "provider_credentials_exhausted"),
            Self::Overloaded => (503, "overloaded"),
            Self::TooManyConnections => (503, "too_many_connections"),
            Self::RequestDropped => (503, "request_dropped"),
            Self::QueueTimeout => (503, "queue_timeout"),
            Self::ShuttingDown => (503, "shutting_down"),
            Self::UpstreamTimeout => (504, "request_timed_out"),
            Self::VersionNotSupported => (505, "version_not_supported"),
        }
    }
}

/// An error as a provider worded it, decoded from its dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// The provider's HTTP status, 400 to 599 (a stream's error event: the status its type stands for).
    pub status: u16,
    /// The provider's `type`, such as `rate_limit_error`; empty when it sent none.
    pub kind: String,
    /// The provider's `code` as text; numbers are written in decimal.
    pub code: Option<String>,
    /// The provider's message, bounded to 4 KiB.
    pub message: String,
    /// The provider's `param`.
    pub param: Option<String>,
}

/// One request's failure. Compares by value, so that tests can name the exact error they expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which fault.
    pub kind: Kind,
    /// A sentence for the caller: what, where, what to do. Never a secret.
    pub message: Cow<'static, str>,
    /// The body's key or the header that is at fault.
    pub param: Option<Cow<'static, str>>,
    /// The provider's own words, with `Kind::UpstreamStatus`.
    pub upstream: Option<Box<UpstreamError>>,
}

impl Error {
    /// A fault with its sentence.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), param: None, upstream: None }
    }

    /// The same, naming the key or header at fault.
    pub fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// A provider's error answer, to be passed on in the caller's dialect.
    pub fn upstream(error: UpstreamError) -> Self {
        let message = Cow::Owned(error.message.clone());
        Self { kind: Kind::UpstreamStatus, message, param: None, upstream: Some(Box::new(error)) }
    }

    /// A provider's answer that breaks HTTP, its dialect, or a limit of ours.
    pub fn unusable_answer(reason: &str) -> Self {
        Self::new(Kind::UpstreamInvalidResponse, format!("the provider's answer cannot be used: {reason}"))
    }

    /// The HTTP status of the answer: the provider's own when it gave one.
    pub fn status(&self) -> u16 {
        self.upstream.as_ref().map_or(self.kind.status(), |upstream| upstream.status)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_status_wins_over_ours() {
        let error = Error::upstream(UpstreamError { status: 429, ..UpstreamError::default() });
        assert_eq!(error.status(), 429);
        assert_eq!(Error::new(Kind::BodyTooLarge, "x").status(), 413);
    }
}
