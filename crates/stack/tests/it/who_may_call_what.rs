//! Every operation of the descriptors by every kind of caller: let in or kept out as the rule at the rpc says.
//!
//! A request carries a parameter no operation knows. Whoever is let in is told so (422) before anything is done; so the
//! walk ends no session and deletes nothing. That the parameter is refused only behind the door, is what the walk of
//! those kept out shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use gateway::edge::descriptors::{self, Operation};
use jiff::SignedDuration;
use proto::edge::Auth;
use serde_json::{Value, json};
use stack::load::api::text;
use stack::load::people;

use crate::company::Company;
use crate::tokens;
use crate::world::World;

const SCOPES: [&str; 9] = [
    "events:write",
    "usage:write",
    "customers:read",
    "customers:write",
    "flow:write",
    "content:read",
    "analytics:read",
    "redemptions:write",
    "privacy:write",
];
const GRANTS: [&str; 3] = ["product_upload_permitted", "publish_live", "see_personal_data"];

#[derive(Clone)]
enum Kind {
    Nobody,
    /// A credential that is no good, and the code it is refused with.
    Bad(&'static str),
    Person {
        role: &'static str,
        grants: Vec<&'static str>,
    },
    /// An operator, who has every permission: whether they name a company, and why.
    Operator {
        company: bool,
        reason: bool,
    },
    Key {
        scope: &'static str,
    },
    Widget,
}

#[derive(Clone)]
struct Caller {
    what: String,
    kind: Kind,
    headers: Vec<(&'static str, String)>,
}

fn caller(what: impl Into<String>, kind: Kind, token: &str) -> Caller {
    Caller { what: what.into(), kind, headers: vec![("authorization", format!("Bearer {token}"))] }
}

/// What the rule says of a caller: let in (none), or the status and code.
fn expected(op: &Operation, kind: &Kind) -> Option<(u16, &'static str)> {
    let (rule, public) = (&op.rule, op.auth() == Auth::Public);
    let unless = |allowed: bool, status: u16, code: &'static str| (!allowed).then_some((status, code));
    let named = |role: &str, grants: &[&str]| {
        let fits = |entry: &String| entry == role || grants.iter().any(|g| *entry == format!("{role}+{g}"));
        rule.roles.iter().any(fits) || role == "kale_admin" && rule.roles.iter().any(|r| r == "ret_admin")
    };
    match kind {
        Kind::Bad(code) => Some((401, code)),
        Kind::Nobody => unless(public, 401, "unauthenticated"),
        _ if public => None,
        Kind::Person { role, grants } => unless(named(role, grants), 403, "forbidden").or_else(|| {
            let may_upload = !rule.product_upload || grants.contains(&"product_upload_permitted");
            unless(may_upload, 403, "upload_not_permitted")
        }),
        Kind::Operator { company, reason } => unless(named("kale_admin", &[]), 403, "forbidden")
            .or_else(|| unless(rule.platform || *company, 400, "company_required"))
            .or_else(|| unless(rule.platform || *reason, 400, "reason_required")),
        Kind::Key { scope } => {
            let code = if rule.product_upload { "upload_not_permitted" } else { "scope_missing" };
            unless(rule.scopes.iter().any(|s| s == scope), 403, code)
        }
        Kind::Widget => unless(op.auth() == Auth::Widget || rule.widget, 403, "forbidden"),
    }
}

async fn walk(world: &World, operations: &[Arc<Operation>], callers: &[Caller]) -> usize {
    let http = reqwest::Client::new();
    let calls = operations.iter().flat_map(|op| callers.iter().map(move |caller| (op, caller)));
    let answers = futures_util::stream::iter(calls).map(|(op, caller)| {
        let path = op.template.description().replace(['{', '}'], "");
        let mut request =
            http.request(op.method.clone(), format!("{}{path}?no_such_parameter=1", world.gateway));
        for (name, value) in &caller.headers {
            request = request.header(*name, value);
        }
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let problem: Value = answer.json().await.unwrap();
            let got = (status, problem["code"].as_str().unwrap_or_default().to_owned());
            let wanted = expected(op, &caller.kind).unwrap_or((422, "invalid_request"));
            let place = format!("{} {} by {}", op.method, op.template.description(), caller.what);
            (got != (wanted.0, wanted.1.to_owned())).then(|| format!("{place}: {got:?}, not {wanted:?}"))
        }
    });
    let wrong: Vec<_> = answers.buffer_unordered(16).filter_map(|w| async { w }).collect().await;
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    operations.len() * callers.len()
}

/// A person of a company with these permissions and no others.
async fn person(of: &Company, role: &'static str, grants: &[&'static str]) -> Caller {
    let company = text(&of.noted, "/slug").unwrap_or_else(|_| "demo".into());
    let email = format!("{}-{}@{company}.example", role.replace('_', "-"), grants.concat().replace('_', "-"));
    people::join(&of.public, &of.admin, &of.mailbox, (&email, "Somebody", role)).await.unwrap();
    let users = of.admin.all("/v1/users").await.unwrap();
    let user = users.iter().find(|u| u["email"] == email.as_str()).unwrap();
    let permissions: BTreeMap<_, _> = GRANTS.iter().map(|g| (*g, grants.contains(g))).collect();
    let path = format!("/v1/users/{}/permissions", user["id"].as_str().unwrap());
    of.admin.put(&path, json!({ "permissions": permissions })).await.unwrap();
    let token = people::access_token(&of.public, &of.mailbox, &email).await.unwrap();
    caller(
        format!("{role} of {company} with {grants:?}"),
        Kind::Person { role, grants: grants.to_vec() },
        &token,
    )
}

async fn keys(of: &Company, modes: &[&str], scopes: &[&'static str]) -> Vec<Caller> {
    let company = text(&of.noted, "/company_id").unwrap();
    let mut made = Vec::new();
    for mode in modes {
        for scope in scopes {
            let body = json!({ "name": scope, "mode": mode, "scopes": [scope] });
            let key = of.admin.post(&format!("/v1/companies/{company}/api-keys"), body).await.unwrap();
            let what = format!("a {mode} key of {company} with {scope}");
            made.push(caller(what, Kind::Key { scope }, &text(&key, "/secret").unwrap()));
        }
    }
    made
}

async fn operators(of: &Company) -> Vec<Caller> {
    let token = people::access_token(&of.public, &of.mailbox, "operator@example.com").await.unwrap();
    let mut all = Vec::new();
    for (company, reason) in [(true, true), (true, false), (false, true), (false, false)] {
        let what = format!("an operator (company: {company}, reason: {reason})");
        let mut operator = caller(what, Kind::Operator { company, reason }, &token);
        if company {
            operator.headers.push(("retention-company", text(&of.noted, "/company_id").unwrap()));
        }
        if reason {
            operator.headers.push(("retention-reason", "a walk".into()));
        }
        all.push(operator);
    }
    all
}

/// Credentials nobody may get in with, made from a good token.
async fn bad(world: &World, of: &Company, good: &str) -> Vec<Caller> {
    let key_set = of.public.get("/.well-known/jwks.json").await.unwrap();
    let inner_key = &world.settings["RETENTION_INNER_KEY"];
    let tokens = [
        ("who sends garbage", "garbage".to_owned()),
        ("with a key nobody was given", "rsk_live_0123456789abcdef0123456789abcdef".to_owned()),
        ("who forged a token", tokens::forged(good)),
        ("with a token that says it needs no signature", tokens::unsigned(good)),
        ("who signed with the public key", tokens::confused(good, &key_set)),
        ("with an inner token", tokens::inner(good, inner_key)),
    ];
    tokens
        .into_iter()
        .map(|(what, t)| caller(format!("one {what}"), Kind::Bad("unauthenticated"), &t))
        .collect()
}

#[tokio::test]
async fn every_operation_lets_in_whom_its_rule_names_and_nobody_else() {
    let world = World::start_with([("RETENTION_RATE_SCALE", "100000".to_owned())]).await;
    let (ours, theirs) = (Company::demo(&world).await, Company::bare(&world).await);
    let operations = descriptors::load().unwrap();

    let mut callers = vec![Caller { what: "nobody".into(), kind: Kind::Nobody, headers: Vec::new() }];
    for company in [&ours, &theirs] {
        callers.push(person(company, "ret_admin", &[]).await);
        callers.push(person(company, "ret_admin", &["product_upload_permitted"]).await);
        callers.push(person(company, "ret_exp", &[]).await);
        callers.push(person(company, "ret_exp", &GRANTS).await);
    }
    for grant in &GRANTS {
        callers.push(person(&ours, "ret_exp", &[*grant]).await);
    }
    callers.extend(keys(&ours, &["live", "test"], &SCOPES).await);
    callers.extend(keys(&theirs, &["live"], &["customers:write"]).await);
    callers.extend(operators(&ours).await);
    let (screen, _) = ours.enter().await;
    callers.push(caller("a customer in a flow", Kind::Widget, screen["session_token"].as_str().unwrap()));

    let address = text(&ours.noted, "/users/ret_admin").unwrap();
    let good = people::access_token(&ours.public, &ours.mailbox, &address).await.unwrap();
    callers.extend(bad(&world, &ours, &good).await);
    let ended = people::access_token(&ours.public, &ours.mailbox, &address).await.unwrap();
    ours.public.with_token(&ended).call("DELETE", "/v1/sessions/current", None).await.unwrap();
    let gone = caller("one who signed out", Kind::Bad("unauthenticated"), &ended);
    testkit::eventually("the end of the session", async || {
        let me = reqwest::Client::new().get(format!("{}/v1/users/me", world.gateway)).bearer_auth(&ended);
        (me.send().await.unwrap().status() == 401).then_some(())
    })
    .await;
    callers.push(gone);

    let calls = walk(&world, &operations, &callers).await;
    assert!(operations.len() > 150 && callers.len() > 40, "{} × {}", operations.len(), callers.len());

    // Somebody else's flow session is not there.
    let widget = screen["session_token"].as_str().unwrap();
    for op in operations.iter().filter(|op| op.auth() == Auth::Widget) {
        let path =
            op.template.description().replace("{id}", "fls_of_somebody_else").replace("{oid}", "off_1");
        let request = reqwest::Client::new().request(op.method.clone(), format!("{}{path}", world.gateway));
        let request = if op.is_read() { request } else { request.json(&json!({})) };
        let status = request.bearer_auth(widget).send().await.unwrap().status().as_u16();
        assert!(status == 404 || status == 422 && !op.is_read(), "{} {path}: {status}", op.method);
    }

    world.clock.advance(SignedDuration::from_mins(30));
    let old = caller("one whose token is old", Kind::Bad("token_expired"), &good);
    let calls = calls + walk(&world, &operations, &[old]).await;
    println!("{calls} calls");
    tokio::time::timeout(Duration::from_secs(20), world.stack.stop()).await.unwrap().unwrap();
}
