//! From who is there to who may: company, mode and the access rule of the rpc.

use http::request::Parts;
use http::{HeaderMap, Method};
use kit::Caller;
use kit::caller::{Actor, Mode, Role, Scope};
use prost_reflect::DynamicMessage;
use proto::edge::Auth;

use super::auth::Who;
use crate::edge::descriptors::Operation;
use crate::edge::problem::Problem;

/// Which company an operator acts for, and why.
pub const COMPANY: &str = "retention-company";
pub const REASON: &str = "retention-reason";
/// `live` or `test`, for people; a key's mode is its own.
pub const MODE: &str = "retention-mode";

/// The caller an operation runs as, or why it does not.
pub fn caller(op: &Operation, who: &Who, parts: &Parts, request_id: &str) -> Result<Caller, Problem> {
    let mut caller = match who {
        Who::Nobody => nobody(op)?,
        // Where nobody need say who they are, saying it takes nothing away.
        Who::Key(_) | Who::Widget(_) if op.auth() == Auth::Public => nobody(op)?,
        Who::Person(person) => {
            let mut caller = person_caller(op, person, &parts.headers)?;
            caller.session = Some(person.session.clone());
            caller
        }
        Who::Key(key) => {
            if !op.rule.scopes.iter().any(|s| key.scopes.contains(s)) {
                if op.rule.product_upload {
                    return Err(upload_not_permitted());
                }
                return Err(Problem::forbidden(
                    "scope_missing",
                    "the key has none of the scopes this operation asks for",
                ));
            }
            if key.company_status == "closed" {
                return Err(Problem::unauthenticated());
            }
            let scope = Scope::new(key.company.clone(), key.mode);
            plain(Role::Machine, Actor::new("api_key", key.id.clone()), Some(scope), key.scopes.clone())
        }
        Who::Widget(session) => {
            if op.auth() != Auth::Widget && !op.rule.widget {
                return Err(Problem::forbidden("forbidden", "a flow session may not do this"));
            }
            let scope = Scope::new(session.company.clone(), session.mode);
            plain(Role::Widget, Actor::new("flow_session", session.id.clone()), Some(scope), Vec::new())
        }
    };
    caller.request_id = request_id.to_owned();
    caller.address = super::address(parts).map(|a| a.to_string());
    if caller.role == Role::Public {
        let agent = parts.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok());
        caller.device = agent.map(|text| text.chars().take(200).collect());
    }
    Ok(caller)
}

/// Whoever calls without saying who: allowed where the operation checks what it is given itself.
fn nobody(op: &Operation) -> Result<Caller, Problem> {
    match op.auth() {
        Auth::Public => Ok(plain(Role::Public, Actor::new("public", ""), None, Vec::new())),
        Auth::Signed => Ok(plain(Role::Provider, Actor::new("provider", ""), None, Vec::new())),
        _ => Err(Problem::unauthenticated()),
    }
}

fn plain(role: Role, actor: Actor, scope: Option<Scope>, grants: Vec<String>) -> Caller {
    Caller {
        role,
        actor,
        scope,
        grants,
        session: None,
        reason: None,
        request_id: String::new(),
        address: None,
        device: None,
    }
}

fn person_caller(
    op: &Operation,
    person: &super::auth::Person,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    if op.auth() == Auth::Public {
        return nobody(op);
    }
    if !may(op, person) {
        return Err(Problem::forbidden("forbidden", "your role may not do this"));
    }
    if op.rule.product_upload && !person.grants.iter().any(|g| g == "product_upload_permitted") {
        return Err(upload_not_permitted());
    }
    let text =
        |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim).filter(|v| !v.is_empty());
    let mode = mode(person, text(MODE))?;
    let mut reason = None;
    let scope = if person.role == Role::KaleAdmin {
        let company = text(COMPANY).map(str::to_owned).or_else(|| person.company.clone());
        if company.is_some() {
            reason = text(REASON).map(str::to_owned);
        }
        match company {
            // What an operator does to a company's data is audited with a reason.
            Some(_) if reason.is_none() && !op.rule.platform => {
                return Err(Problem::bad_request("reason_required", "say why in Retention-Reason"));
            }
            None if !op.rule.platform => {
                return Err(Problem::bad_request(
                    "company_required",
                    "name the company in Retention-Company",
                ));
            }
            company => company.map(|c| Scope::new(c, mode)),
        }
    } else {
        let company = person.company.clone();
        let changes = op.method != Method::GET && !op.rule.always;
        match person.company_status.as_str() {
            "suspended" if changes => {
                let text = "the company is suspended; reading still works";
                return Err(Problem::forbidden("company_suspended", text));
            }
            "closing" | "closed" if changes => {
                let text = "the company is closing; reading and exporting still work";
                return Err(Problem::forbidden("company_closing", text));
            }
            _ => {}
        }
        company.map(|c| Scope::new(c, mode))
    };
    let mut caller =
        plain(person.role, Actor::new("user", person.user.clone()), scope, person.grants.clone());
    caller.reason = reason;
    Ok(caller)
}

/// The mode a person asks for; live, or the one there is, when they ask for none.
fn mode(person: &super::auth::Person, asked: Option<&str>) -> Result<Mode, Problem> {
    let invalid = || Problem::bad_request("invalid_mode", "Retention-Mode is `live` or `test`");
    let asked = asked.map(|text| Mode::parse(text).ok_or_else(invalid)).transpose()?;
    // Operators look at whatever there is.
    if person.role == Role::KaleAdmin || asked.is_some_and(|mode| person.modes.contains(&mode)) {
        return Ok(asked.unwrap_or(Mode::Live));
    }
    match asked {
        Some(_) => Err(Problem::forbidden("mode_disabled", "the company has not enabled this mode")),
        None if person.modes.contains(&Mode::Live) => Ok(Mode::Live),
        None => Ok(person.modes.first().copied().unwrap_or(Mode::Live)),
    }
}

/// Whether a person's role, or role and grant, stands in the rule.
fn may(op: &Operation, person: &super::auth::Person) -> bool {
    let role = person.role.as_str();
    op.rule.roles.iter().any(|entry| match entry.split_once('+') {
        None => entry == role || (role == "kale_admin" && entry == "ret_admin"),
        Some((of, grant)) => of == role && person.grants.iter().any(|g| g == grant),
    })
}

fn upload_not_permitted() -> Problem {
    let text = "uploading takes the company's switch and the permission product_upload_permitted, or a key with usage:write";
    Problem::forbidden("upload_not_permitted", text)
}

/// A flow session's token opens that session and no other; another one's id is not there.
pub fn check_subject(op: &Operation, who: &Who, message: &DynamicMessage) -> Result<(), Problem> {
    let Who::Widget(session) = who else { return Ok(()) };
    if op.auth() != Auth::Widget || !op.template.variables().contains(&"id") {
        return Ok(());
    }
    let id = message.get_field_by_name("id").and_then(|v| v.as_str().map(str::to_owned));
    if id.as_deref() == Some(session.id.as_str()) { Ok(()) } else { Err(Problem::not_found()) }
}

/// Whom a rate limit counts: the key, person or session; the address of everybody else.
pub fn rate_key(caller: &Caller, parts: &Parts) -> String {
    match caller.role {
        Role::Public | Role::Provider => {
            super::address(parts).map_or_else(|| "unknown".into(), |a| a.to_string())
        }
        _ => format!("{}:{}", caller.actor.kind, caller.actor.id),
    }
}
