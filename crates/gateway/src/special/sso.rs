//! Single sign-on as a browser walks it, and the identity provider's webhook. Here because the first two answer
//! redirects and set cookies, and the third is signed over its raw bytes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use kit::caller::{Actor, Caller, Role};
use proto::edge::RateClass;
use proto::identity::workos_service_client::WorkosServiceClient;
use proto::identity::{BeginSsoRequest, FinishSsoRequest, ReceiveWorkosEventRequest};
use tonic::Code;

use super::only;
use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::{address, around, cookies, read};

const AUTHORIZE: &str = "/v1/sso/authorize";
const CALLBACK: &str = "/v1/sso/callback";
const INBOUND: &str = "/v1/inbound/workos";
/// Binds the way back to the browser that left. Lax: Strict would be lost on the return.
const STATE_COOKIE: &str = "__Host-oauth_state";
const STATE_SECONDS: u32 = 600;
/// Where a browser goes that is not signed in; the reason is said in `error`.
const SIGN_IN: &str = "/sign-in?error=";
/// The exchange of the code asks the provider several things.
const DEADLINE: Duration = Duration::from_secs(25);
/// The provider's events are some KiB.
const LARGEST: usize = 1024 * 1024;
/// The longest browser description that is passed on.
const DEVICE: usize = 300;

pub fn routes(edge: &Arc<Edge>) -> Router {
    let (leaving, coming, telling) = (edge.clone(), edge.clone(), edge.clone());
    let leave = move |request: Request| {
        let edge = leaving.clone();
        around(AUTHORIZE.to_owned(), request, move |request, id| async move {
            leave(&edge, &request.into_parts().0, id).await
        })
    };
    let come = move |request: Request| {
        let edge = coming.clone();
        around(CALLBACK.to_owned(), request, move |request, id| async move {
            come(&edge, &request.into_parts().0, id).await
        })
    };
    let tell = move |request: Request| {
        let edge = telling.clone();
        around(INBOUND.to_owned(), request, move |request, id| async move { tell(&edge, request, id).await })
    };
    Router::new()
        .route(AUTHORIZE, only(AUTHORIZE, "GET", get(leave)))
        .route(CALLBACK, only(CALLBACK, "GET", get(come)))
        .route(INBOUND, only(INBOUND, "POST", post(tell)))
}

fn caller(edge: &Edge, parts: &Parts, id: String, role: Role) -> Result<Caller, Problem> {
    let from = address(parts).map(|a| a.to_string());
    let (class, kind) = match role {
        Role::Provider => (RateClass::Intake, "provider"),
        _ => (RateClass::Sensitive, "public"),
    };
    edge.rates.check(class, &from.clone().unwrap_or_else(|| "unknown".into()))?;
    let device = parts.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok());
    Ok(Caller {
        role,
        actor: Actor::new(kind, if role == Role::Provider { "workos" } else { "" }),
        request_id: id,
        address: from,
        device: device.map(|d| d.chars().take(DEVICE).collect()),
        ..Caller::internal("gateway", None)
    })
}

/// A parameter of the address; one that comes twice is none.
fn parameter<'a>(parts: &'a Parts, name: &str) -> Cow<'a, str> {
    let query = parts.uri.query().unwrap_or_default();
    let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => value,
        _ => Cow::Borrowed(""),
    }
}

fn go(location: &str, set: Vec<HeaderValue>) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(location).map_err(|_| Problem::not_found())?;
    let mut response = (StatusCode::SEE_OTHER, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address held a code or a state: it must not travel on.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    set.into_iter().for_each(|cookie| {
        headers.append(header::SET_COOKIE, cookie);
    });
    Ok(response)
}

fn state_cookie(value: &str, seconds: u32) -> Vec<HeaderValue> {
    let cookie = format!("{STATE_COOKIE}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&cookie).into_iter().collect()
}

/// Sends the browser to the provider; where there is no single sign-on for the address, back to the sign-in page, with
/// one reason for all reasons.
async fn leave(edge: &Edge, parts: &Parts, id: String) -> Result<Response, Problem> {
    let caller = caller(edge, parts, id, Role::Public)?;
    let message = BeginSsoRequest {
        email: parameter(parts, "email").into_owned(),
        return_to: parameter(parts, "return_to").into_owned(),
    };
    let upstream = edge.upstreams.get("identity")?;
    let mut client = WorkosServiceClient::new(upstream.channel());
    let begun = client.begin_sso(upstream.request(&caller, DEADLINE, message)?).await?.into_inner();
    if begun.location.is_empty() {
        return go(&format!("{SIGN_IN}sso_unavailable"), Vec::new());
    }
    go(&begun.location, state_cookie(&begun.binding, STATE_SECONDS))
}

/// Signs the browser in that came back, if it is the one that left.
async fn come(edge: &Edge, parts: &Parts, id: String) -> Result<Response, Problem> {
    let caller = caller(edge, parts, id, Role::Public)?;
    let short = |text: Cow<'_, str>| text.chars().take(200).collect::<String>();
    let message = FinishSsoRequest {
        code: parameter(parts, "code").into_owned(),
        state: short(parameter(parts, "state")),
        error: short(parameter(parts, "error")),
        binding: short(cookies::cookie(&parts.headers, STATE_COOKIE).unwrap_or_default().into()),
    };
    let upstream = edge.upstreams.get("identity")?;
    let mut client = WorkosServiceClient::new(upstream.channel());
    let finished = client.finish_sso(upstream.request(&caller, DEADLINE, message)?).await;
    let mut set = state_cookie("", 0);
    match finished {
        Ok(finished) => {
            let finished = finished.into_inner();
            let mut grant = finished.grant.unwrap_or_default();
            set.extend(cookies::grant(edge, &mut grant));
            go(&finished.return_to, set)
        }
        Err(status) if matches!(status.code(), Code::Unauthenticated | Code::InvalidArgument) => {
            go(&format!("{SIGN_IN}sso_failed"), set)
        }
        Err(status) => Err(status.into()),
    }
}

/// Passes on what the provider tells, as it came.
async fn tell(edge: &Edge, request: Request, id: String) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let caller = caller(edge, &parts, id, Role::Provider)?;
    let body = read(body, LARGEST).await?;
    let signature = parts.headers.get("workos-signature").and_then(|v| v.to_str().ok());
    let signature = signature.unwrap_or_default().chars().take(1000).collect();
    let upstream = edge.upstreams.get("identity")?;
    let mut client = WorkosServiceClient::new(upstream.channel()).max_encoding_message_size(2 * LARGEST);
    let message = ReceiveWorkosEventRequest { body, signature };
    client.receive_workos_event(upstream.request(&caller, DEADLINE, message)?).await?;
    Ok(axum::Json(serde_json::json!({ "received": true })).into_response())
}
