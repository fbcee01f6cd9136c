//! The hosted cancel page. Here because it speaks HTML and forms to a browser without scripts, and answers redirects.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderName, HeaderValue, StatusCode, header};
use kit::caller::{Actor, Caller, Role};
use proto::content::hosted_page_service_client::HostedPageServiceClient;
use proto::content::{FormField, HostedReply, ShowHostedPageRequest, SubmitHostedPageRequest};
use proto::edge::RateClass;

use super::only;
use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::{address, around, read};

const ROUTE: &str = "/v1/hosted/{company}/{token}";
const LARGEST: usize = 64 * 1024;
const DEADLINE: Duration = Duration::from_secs(15);

pub fn routes(edge: &Arc<Edge>) -> Router {
    let (show_edge, submit_edge) = (edge.clone(), edge.clone());
    let show = move |request: Request| {
        let edge = show_edge.clone();
        around(ROUTE.to_owned(), request, move |request, id| async move { show(&edge, request, id).await })
    };
    let submit = move |request: Request| {
        let edge = submit_edge.clone();
        around(ROUTE.to_owned(), request, move |request, id| async move { submit(&edge, request, id).await })
    };
    Router::new().route(ROUTE, only(ROUTE, "GET, HEAD, POST", get(show).post(submit)))
}

/// Company and token of the path.
fn names(path: &str) -> (String, String) {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut names = path.rsplit('/');
    let token = names.next().map(decoded).unwrap_or_default();
    (names.next().map(decoded).unwrap_or_default(), token)
}

fn customer(edge: &Edge, parts: &http::request::Parts, id: String) -> Result<Caller, Problem> {
    let from = address(parts).map(|a| a.to_string());
    edge.rates.check(RateClass::Write, &from.clone().unwrap_or_default())?;
    Ok(Caller {
        role: Role::Public,
        actor: Actor::new("public", ""),
        request_id: id,
        address: from,
        ..Caller::internal("gateway", None)
    })
}

async fn show(edge: &Edge, request: Request, id: String) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let caller = customer(edge, &parts, id)?;
    let (company, token) = names(parts.uri.path());
    let language = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
    let accept_language = language.unwrap_or_default().chars().take(500).collect();
    let upstream = edge.upstreams.get("content")?;
    let mut client = HostedPageServiceClient::new(upstream.channel());
    let message = ShowHostedPageRequest { company, token, accept_language };
    Ok(answer(client.show_hosted_page(upstream.request(&caller, DEADLINE, message)?).await?.into_inner()))
}

async fn submit(edge: &Edge, request: Request, id: String) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // A page of another origin must not post here in the customer's name.
    let site = parts.headers.get("sec-fetch-site").and_then(|v| v.to_str().ok());
    if site.is_some_and(|s| s != "same-origin" && s != "none") {
        return Err(Problem::forbidden("foreign_origin", "this form belongs to another page"));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(Problem::new(
            415,
            "unsupported_media_type",
            "send the form as application/x-www-form-urlencoded",
        ));
    }
    let caller = customer(edge, &parts, id)?;
    let (company, token) = names(parts.uri.path());
    let body = read(body, LARGEST).await?;
    let pairs = form_urlencoded::parse(&body);
    let fields =
        pairs.map(|(name, value)| FormField { name: name.into_owned(), value: value.into_owned() }).collect();
    let upstream = edge.upstreams.get("content")?;
    let mut client = HostedPageServiceClient::new(upstream.channel());
    let message = SubmitHostedPageRequest { company, token, fields };
    Ok(answer(client.submit_hosted_page(upstream.request(&caller, DEADLINE, message)?).await?.into_inner()))
}

fn answer(reply: HostedReply) -> Response {
    let HostedReply { status, location, html, content_security_policy } = reply;
    let status =
        u16::try_from(status).ok().and_then(|s| StatusCode::from_u16(s).ok()).unwrap_or(StatusCode::OK);
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")],
        html,
    )
        .into_response();
    let mut set = |name: HeaderName, text: &str| {
        if let Some(value) = HeaderValue::from_str(text).ok().filter(|v| !v.is_empty()) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::LOCATION, &location);
    set(header::CONTENT_SECURITY_POLICY, &content_security_policy);
    // The address holds the session's token: it must not travel on.
    set(header::REFERRER_POLICY, "no-referrer");
    response
}
