//! Operations, read from the descriptor set. Everything that can be wrong in an annotation is refused here, at start.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use proto::edge::{Auth, RateClass, Rule};
use proto::google::api::{HttpRule, http_rule::Pattern};

use super::template::Template;

/// What of a request is the body.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    /// The whole message.
    Whole,
    /// One message field of it.
    Field(FieldDescriptor),
}

/// One HTTP operation: an rpc under one path.
#[derive(Clone, Debug)]
pub struct Operation {
    pub rpc: MethodDescriptor,
    /// `/package.Service/Method`.
    pub grpc: PathAndQuery,
    /// Which of our services owns it: `identity`, `billing`, ….
    pub service: String,
    pub method: Method,
    pub template: Template,
    pub body: Body,
    pub rule: Rule,
    pub input: MessageDescriptor,
    pub output: MessageDescriptor,
    /// The number of the reply's `version`, where it has one.
    pub version: Option<u32>,
}

impl Operation {
    pub fn auth(&self) -> Auth {
        self.rule.auth()
    }

    /// The class of its rate limit; what is unsaid follows from the method.
    pub fn rate(&self) -> RateClass {
        match self.rule.rate() {
            RateClass::Unspecified if self.method == Method::GET => RateClass::Read,
            RateClass::Unspecified => RateClass::Write,
            said => said,
        }
    }

    pub fn max_body(&self) -> usize {
        let kib = if self.rule.max_body_kib == 0 { 1024 } else { self.rule.max_body_kib };
        kib as usize * 1024
    }

    /// Whether the reply is bytes with a content type of their own.
    pub fn replies_raw(&self) -> bool {
        self.output.full_name() == "google.api.HttpBody"
    }

    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    /// A name without dots: `OfferService_GetOffer`.
    pub fn id(&self) -> String {
        format!("{}_{}", self.rpc.parent_service().name(), self.rpc.name())
    }
}

/// Who may be named in a rule.
const ROLES: [&str; 3] = ["kale_admin", "ret_admin", "ret_exp"];

/// Every operation of every service.
pub fn load() -> Result<Vec<Arc<Operation>>, String> {
    let pool = proto::pool();
    let extension = |name: &str| pool.get_extension_by_name(name).ok_or_else(|| format!("{name} is missing"));
    let (http, rule) = (extension("google.api.http")?, extension("edge.v1.rule")?);
    let (mut operations, mut seen) = (Vec::new(), BTreeSet::new());
    for rpc in pool.services().flat_map(|s| s.methods().collect::<Vec<_>>()) {
        let Some(path) = option::<HttpRule>(&rpc, &http)? else { continue };
        let rule = option::<Rule>(&rpc, &rule)?.unwrap_or_default();
        check_rule(&rpc, &rule)?;
        for binding in std::iter::once(&path).chain(&path.additional_bindings) {
            let operation = operation(&rpc, binding, &rule)?;
            let place = (operation.method.to_string(), operation.template.route());
            if !seen.insert(place) {
                return Err(format!(
                    "{}: {} {} stands twice",
                    rpc.full_name(),
                    operation.method,
                    operation.template.description()
                ));
            }
            operations.push(Arc::new(operation));
        }
    }
    Ok(operations)
}

fn option<T: prost::Message + Default>(
    rpc: &MethodDescriptor,
    which: &ExtensionDescriptor,
) -> Result<Option<T>, String> {
    let options: DynamicMessage = rpc.options();
    if !options.has_extension(which) {
        return Ok(None);
    }
    let value = options.get_extension(which);
    let message = value
        .as_message()
        .ok_or_else(|| format!("{}: {} is no message", rpc.full_name(), which.full_name()))?;
    message.transcode_to().map(Some).map_err(|e| format!("{}: {e}", rpc.full_name()))
}

fn check_rule(rpc: &MethodDescriptor, rule: &Rule) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{}: {why}", rpc.full_name()));
    match rule.auth() {
        Auth::Unspecified => return wrong("no edge.v1.rule.auth; who may call it must be said"),
        Auth::User if rule.roles.is_empty() => return wrong("AUTH_USER names no role"),
        Auth::Machine if rule.scopes.is_empty() => return wrong("AUTH_MACHINE names no scope"),
        Auth::Public | Auth::Widget | Auth::Signed if !rule.roles.is_empty() => {
            return wrong("roles mean nothing here");
        }
        _ => {}
    }
    for role in &rule.roles {
        let name = role.split('+').next().unwrap_or_default();
        if !ROLES.contains(&name) {
            return wrong(&format!("`{role}` is no role"));
        }
    }
    Ok(())
}

fn operation(rpc: &MethodDescriptor, http: &HttpRule, rule: &Rule) -> Result<Operation, String> {
    let wrong = |why: String| format!("{}: {why}", rpc.full_name());
    let (method, path) = match &http.pattern {
        Some(Pattern::Get(path)) => (Method::GET, path),
        Some(Pattern::Post(path)) => (Method::POST, path),
        Some(Pattern::Put(path)) => (Method::PUT, path),
        Some(Pattern::Patch(path)) => (Method::PATCH, path),
        Some(Pattern::Delete(path)) => (Method::DELETE, path),
        _ => return Err(wrong("no path".into())),
    };
    let (input, template) = (rpc.input(), Template::parse(path).map_err(wrong)?);
    for name in template.variables() {
        let field = input
            .get_field_by_name(name)
            .ok_or_else(|| wrong(format!("the path binds `{name}`, which the request has not")))?;
        if field.is_list() || field.is_map() || matches!(field.kind(), Kind::Message(_)) {
            return Err(wrong(format!("the path binds `{name}`, which is no plain value")));
        }
    }
    let body = match http.body.as_str() {
        "" => Body::None,
        "*" => Body::Whole,
        name => match input.get_field_by_name(name) {
            Some(field) if matches!(field.kind(), Kind::Message(_)) && !field.is_list() => Body::Field(field),
            _ => return Err(wrong(format!("the body is `{name}`, which is no message of the request"))),
        },
    };
    if method == Method::GET && !matches!(body, Body::None) {
        return Err(wrong("GET has no body".into()));
    }
    if rpc.is_client_streaming() || rpc.is_server_streaming() {
        return Err(wrong("a stream has no path; see special/".into()));
    }
    let service = rpc.parent_service();
    let package = service.package_name();
    let owner = package.strip_prefix("retention.").and_then(|p| p.split('.').next());
    let owner = owner.ok_or_else(|| wrong(format!("{package} is no package of ours")))?.to_owned();
    let grpc = format!("/{}/{}", service.full_name(), rpc.name());
    Ok(Operation {
        grpc: grpc.parse().map_err(|e| wrong(format!("{e}")))?,
        service: owner,
        method,
        template,
        body,
        rule: rule.clone(),
        input,
        output: rpc.output(),
        version: crate::pipeline::conditional::number(&rpc.output()),
        rpc: rpc.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_annotation_of_every_proto_is_sound() {
        let operations = load().unwrap();
        assert!(operations.len() > 40, "only {} operations", operations.len());
    }

    #[test]
    fn an_rpc_that_does_not_say_who_may_call_it_stops_the_start() {
        let rpc = load().unwrap()[0].rpc.clone();
        assert!(check_rule(&rpc, &Rule::default()).unwrap_err().contains("who may call it must be said"));
        let nobody = Rule { auth: Auth::User as i32, ..Default::default() };
        assert!(check_rule(&rpc, &nobody).is_err());
        let unknown = Rule { auth: Auth::User as i32, roles: vec!["root".into()], ..Default::default() };
        assert!(check_rule(&rpc, &unknown).is_err());
    }
}
