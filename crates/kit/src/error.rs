//! Errors of the whole system: one small set of codes, mapped once to gRPC and to HTTP, and the form in which a code,
//! its stable slug and the wrong fields travel inside a gRPC status.

use std::time::Duration;

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// What went wrong, as far as a program must act differently. Slugs say the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request breaks a rule of its fields.
    Invalid,
    /// Nobody, or nobody we can name, is calling.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// Not there, or another company's: the two answer alike.
    NotFound,
    /// The caller read a version that is no longer the newest, or something of this name exists.
    Conflict,
    /// The request is well-formed, the state of things forbids it (`offer_on_cooldown`).
    Refused,
    /// More than may be sent.
    TooLarge,
    /// The caller calls too often, or a queue is full.
    Limited,
    /// Something we need is down.
    Unavailable,
    /// Something we need did not answer in time.
    Deadline,
    /// Not offered here.
    Unsupported,
    /// Our fault.
    Internal,
}

/// The one table: code ↔ gRPC ↔ HTTP.
const TABLE: [(Code, tonic::Code, u16); 12] = [
    (Code::Invalid, tonic::Code::InvalidArgument, 422),
    (Code::Unauthenticated, tonic::Code::Unauthenticated, 401),
    (Code::Forbidden, tonic::Code::PermissionDenied, 403),
    (Code::NotFound, tonic::Code::NotFound, 404),
    (Code::Conflict, tonic::Code::Aborted, 409),
    (Code::Refused, tonic::Code::FailedPrecondition, 409),
    (Code::TooLarge, tonic::Code::OutOfRange, 413),
    (Code::Limited, tonic::Code::ResourceExhausted, 429),
    (Code::Unavailable, tonic::Code::Unavailable, 503),
    (Code::Deadline, tonic::Code::DeadlineExceeded, 504),
    (Code::Unsupported, tonic::Code::Unimplemented, 501),
    (Code::Internal, tonic::Code::Internal, 500),
];

impl Code {
    pub fn grpc(self) -> tonic::Code {
        TABLE.iter().find(|row| row.0 == self).map_or(tonic::Code::Internal, |row| row.1)
    }

    pub fn http(self) -> u16 {
        TABLE.iter().find(|row| row.0 == self).map_or(500, |row| row.2)
    }

    /// The code a gRPC status stands for; what we never send counts as our fault.
    pub fn of_grpc(code: tonic::Code) -> Self {
        match code {
            tonic::Code::AlreadyExists => Self::Conflict,
            other => TABLE.iter().find(|row| row.1 == other).map_or(Self::Internal, |row| row.0),
        }
    }

    /// Whether the public may read the error's text. What is our own fault is logged, not told.
    pub fn is_public(self) -> bool {
        !matches!(self, Self::Internal | Self::Unavailable | Self::Deadline)
    }
}

/// One wrong field of a request, by its public path (`terms.percent`, `items[2].name`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FieldError {
    pub field: String,
    pub code: String,
    pub message: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), code: code.into(), message: message.into() }
    }
}

/// An error that knows its code, its slug and, where fields are wrong, which.
///
/// `Display` is what the caller reads when the code is public; causes belong into `source`.
pub trait Coded: std::error::Error {
    /// The code, and the stable slug programs match on (`stale_version`).
    fn code(&self) -> (Code, &'static str);

    /// The wrong fields, if that is what is wrong.
    fn fields(&self) -> Vec<FieldError> {
        Vec::new()
    }

    /// When trying again may help.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// A plain coded error, for places that need no enum of their own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    code: Code,
    slug: &'static str,
    message: String,
    fields: Vec<FieldError>,
    #[source]
    cause: Option<anyhow::Error>,
}

impl Fault {
    pub fn new(code: Code, slug: &'static str, message: impl Into<String>) -> Self {
        Self { code, slug, message: message.into(), fields: Vec::new(), cause: None }
    }

    /// The request's fields are wrong.
    pub fn invalid(fields: Vec<FieldError>) -> Self {
        let message = match fields.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            many => format!("{} fields are wrong", many.len()),
        };
        Self { fields, ..Self::new(Code::Invalid, "invalid_request", message) }
    }

    /// One field of the request is wrong.
    pub fn field(field: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(field, code, message)])
    }

    /// Nothing of that kind and id, or another company's.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, "not_found", format!("there is no such {what}"))
    }

    /// Our own fault, with its cause for the log.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(Code::Internal, "internal", "something failed on our side")
        }
    }

    /// Something we need is down, with its cause for the log.
    pub fn unavailable(slug: &'static str, cause: impl Into<anyhow::Error>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(Code::Unavailable, slug, "a part of the system does not answer")
        }
    }

    pub fn http(&self) -> u16 {
        self.code.http()
    }
}

impl Coded for Fault {
    fn code(&self) -> (Code, &'static str) {
        (self.code, self.slug)
    }

    fn fields(&self) -> Vec<FieldError> {
        self.fields.clone()
    }
}

/// The domain of our slugs inside `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "retention";

/// The status a coded error travels as. Causes of our own faults are logged here and do not travel.
pub fn status(error: &impl Coded) -> Status {
    let (code, slug) = error.code();
    let mut details = ErrorDetails::new();
    details.set_error_info(slug, DOMAIN, std::collections::HashMap::new());
    for f in error.fields() {
        // The description carries code and text in one, as `BadRequest` has no place for a code of its own.
        details.add_bad_request_violation(f.field, format!("{}: {}", f.code, f.message));
    }
    if let Some(after) = error.retry_after() {
        details.set_retry_info(Some(after));
    }
    let text = if code.is_public() {
        error.to_string()
    } else {
        tracing::error!(error.slug = slug, error = %chain(error), "{slug}: {}", chain(error));
        String::from("something failed on our side")
    };
    Status::with_error_details(code.grpc(), text, details)
}

/// What a status says, read back: the other direction of [`status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub code: Code,
    pub slug: String,
    pub message: String,
    pub fields: Vec<FieldError>,
    pub retry_after: Option<Duration>,
}

/// Reads code, slug and fields out of a status; one that is not ours gets the slug of its code.
pub fn said(status: &Status) -> Said {
    let details = status.get_error_details();
    let code = Code::of_grpc(status.code());
    let slug = details
        .error_info()
        .map(|info| info.reason.clone())
        .filter(|slug| !slug.is_empty())
        .unwrap_or_else(|| slug_of(code).to_owned());
    let fields = details
        .bad_request()
        .map(|bad| bad.field_violations.iter())
        .into_iter()
        .flatten()
        .map(|v| {
            let (code, message) = v.description.split_once(": ").unwrap_or(("invalid", &v.description));
            FieldError::new(v.field.clone(), code, message)
        })
        .collect();
    let retry_after = details.retry_info().and_then(|r| r.retry_delay);
    Said { code, slug, message: status.message().to_owned(), fields, retry_after }
}

/// The slug of a code that came without one.
pub fn slug_of(code: Code) -> &'static str {
    match code {
        Code::Invalid => "invalid_request",
        Code::Unauthenticated => "unauthenticated",
        Code::Forbidden => "forbidden",
        Code::NotFound => "not_found",
        Code::Conflict => "conflict",
        Code::Refused => "refused",
        Code::TooLarge => "too_large",
        Code::Limited => "rate_limited",
        Code::Unavailable => "unavailable",
        Code::Deadline => "deadline_exceeded",
        Code::Unsupported => "unsupported",
        Code::Internal => "internal",
    }
}

/// An error with everything below it, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_slug_survive_the_wire() {
        let fault = Fault::field("terms.percent", "number.lte", "must be at most 100");
        let read = said(&status(&fault));
        assert_eq!((read.code, read.slug.as_str()), (Code::Invalid, "invalid_request"));
        assert_eq!(read.fields, [FieldError::new("terms.percent", "number.lte", "must be at most 100")]);
    }

    #[test]
    fn our_own_faults_tell_nothing() {
        let fault = Fault::internal(anyhow::anyhow!("password=hunter2"));
        let sent = status(&fault);
        assert!(
            !sent.message().contains("hunter2")
                && !String::from_utf8_lossy(sent.details()).contains("hunter2")
        );
    }

    #[test]
    fn every_code_has_one_row() {
        for (code, grpc, http) in TABLE {
            assert_eq!((code.grpc(), code.http(), Code::of_grpc(grpc)), (grpc, http, code));
        }
    }
}
