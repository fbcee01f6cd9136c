//! The `buf.validate` rules of the protos, applied to an encoded message. The gateway checks what comes from outside;
//! each service checks again, as not every caller passes the gateway.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::OnceLock;

use prost_protovalidate::{Error, Validator};
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(Validator::new)
}

/// Names the rules: two processes with the same name for them refuse the same messages.
pub fn rules() -> &'static str {
    static RULES: OnceLock<String> = OnceLock::new();
    RULES.get_or_init(|| {
        let mut hasher = DefaultHasher::new();
        hasher.write(crate::DESCRIPTORS);
        format!("{:016x}", hasher.finish())
    })
}

/// The rpc behind a gRPC path, `/retention.billing.v1.OfferService/GetOffer`.
pub fn method(path: &str) -> Option<&'static MethodDescriptor> {
    static METHODS: OnceLock<HashMap<String, MethodDescriptor>> = OnceLock::new();
    let methods = METHODS.get_or_init(|| {
        let all = crate::pool().services().flat_map(|s| s.methods().collect::<Vec<_>>());
        all.map(|m| (format!("/{}/{}", m.parent_service().full_name(), m.name()), m)).collect()
    });
    methods.get(path)
}

/// Whether the rpc takes exactly one message.
pub fn is_unary(path: &str) -> bool {
    method(path).is_some_and(|m| !m.is_client_streaming())
}

/// Refuses an encoded request that cannot be read or breaks a rule of its fields.
pub fn message(path: &str, encoded: &[u8]) -> Result<(), Status> {
    let Some(method) = method(path) else { return Ok(()) };
    let message = DynamicMessage::decode(method.input(), encoded)
        .map_err(|_| invalid("the message cannot be read", Vec::new()))?;
    let wrong = violations(&message).map_err(|cause| {
        tracing::error!(rpc = path, error = %cause, "the rules of {path} cannot be applied: {cause}");
        Status::internal("something failed on our side")
    })?;
    if wrong.is_empty() { Ok(()) } else { Err(invalid("the request breaks a rule of its fields", wrong)) }
}

/// Field path, rule and text of everything that is wrong with a message.
pub fn violations(message: &DynamicMessage) -> Result<Vec<(String, String, String)>, Error> {
    match validator().validate(message) {
        Ok(()) => Ok(Vec::new()),
        Err(Error::Validation(e)) => Ok(e
            .violations()
            .iter()
            .map(|v| (v.field_path(), v.rule_id().to_owned(), v.message().to_owned()))
            .collect()),
        Err(other) => Err(other),
    }
}

/// The same form as `kit::error` gives its own: a slug, and a violation per field as "rule: text".
fn invalid(text: &str, wrong: Vec<(String, String, String)>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("invalid_request", "retention", HashMap::new());
    for (field, rule, text) in wrong {
        details.add_bad_request_violation(field, format!("{rule}: {text}"));
    }
    Status::with_error_details(tonic::Code::InvalidArgument, text, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_every_rpc_can_be_applied() {
        for service in crate::pool().services() {
            for m in service.methods() {
                violations(&DynamicMessage::new(m.input()))
                    .unwrap_or_else(|e| panic!("{}: {e}", m.full_name()));
            }
        }
    }
}
