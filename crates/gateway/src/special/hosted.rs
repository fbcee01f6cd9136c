//! The hosted cancel page. Here because it speaks HTML and forms to a browser without scripts, and answers redirects.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use kit::caller::{Actor, Caller, Role};
use proto::content::hosted_page_service_client::HostedPageServiceClient;
use proto::content::{
    FormField, HostedReply, ShowHostedPageRequest, ShowVerifyPageRequest, SubmitHostedPageRequest,
    SubmitVerifyPageRequest,
};
use proto::edge::RateClass;

use super::only;
use crate::Edge;
use crate::edge::descriptors::Operation;
use crate::edge::problem::Problem;
use crate::pipeline::{address, around, dispatch, read};

const ROUTE: &str = "/v1/hosted/{company}/{token}";
/// The same as the router has it: variables that stand at one place have one name.
const PATH: &str = "/v1/hosted/{p2}/{token}";
/// Where a customer shows who they are: for programs an operation of the descriptors, for browsers a page with a form.
pub const VERIFY: &str = "/v1/hosted/{p2}/verify";
const VERIFY_ROUTE: &str = "/v1/hosted/{company}/verify";
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
    Router::new().route(PATH, only(ROUTE, "GET, HEAD, POST", get(show).post(submit)))
}

/// The page and its form beside the operation that the descriptors have at the same path.
pub fn beside(edge: &Arc<Edge>, ops: Arc<[Arc<Operation>]>) -> MethodRouter {
    let edge = edge.clone();
    axum::routing::any(move |request: Request| {
        let (edge, ops) = (edge.clone(), ops.clone());
        async move {
            match *request.method() {
                Method::GET | Method::HEAD => {
                    around(VERIFY_ROUTE.to_owned(), request, move |request, id| async move {
                        ask_who(&edge, request, id).await
                    })
                    .await
                }
                Method::POST if is_form(request.headers()) => {
                    around(VERIFY_ROUTE.to_owned(), request, move |request, id| async move {
                        next_step(&edge, request, id).await
                    })
                    .await
                }
                _ => {
                    let mut response = dispatch(edge, ops, request).await;
                    // The descriptors do not know of the page.
                    if let Some(allow) = response.headers_mut().get_mut(header::ALLOW) {
                        *allow = HeaderValue::from_static("GET, HEAD, POST");
                    }
                    response
                }
            }
        }
    })
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/x-www-form-urlencoded")
}

fn language(headers: &HeaderMap) -> String {
    let language = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
    language.unwrap_or_default().chars().take(500).collect()
}

async fn ask_who(edge: &Edge, request: Request, id: String) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let caller = customer(edge, &parts, id, RateClass::Write)?;
    let (company, _) = names(parts.uri.path());
    let upstream = edge.upstreams.get("content")?;
    let mut client = HostedPageServiceClient::new(upstream.channel());
    let message = ShowVerifyPageRequest { company, accept_language: language(&parts.headers) };
    Ok(answer(client.show_verify_page(upstream.request(&caller, DEADLINE, message)?).await?.into_inner()))
}

/// From a company's own page, too: whoever posts here gets no more than whoever writes to the operation itself.
async fn next_step(edge: &Edge, request: Request, id: String) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let caller = customer(edge, &parts, id, RateClass::Sensitive)?;
    let (company, _) = names(parts.uri.path());
    let fields = fields(&read(body, LARGEST).await?);
    let upstream = edge.upstreams.get("content")?;
    let mut client = HostedPageServiceClient::new(upstream.channel());
    let message = SubmitVerifyPageRequest { company, accept_language: language(&parts.headers), fields };
    Ok(answer(client.submit_verify_page(upstream.request(&caller, DEADLINE, message)?).await?.into_inner()))
}

fn fields(body: &[u8]) -> Vec<FormField> {
    let pairs = form_urlencoded::parse(body);
    pairs.map(|(name, value)| FormField { name: name.into_owned(), value: value.into_owned() }).collect()
}

/// Company and token of the path.
fn names(path: &str) -> (String, String) {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut names = path.rsplit('/');
    let token = names.next().map(decoded).unwrap_or_default();
    (names.next().map(decoded).unwrap_or_default(), token)
}

fn customer(
    edge: &Edge,
    parts: &http::request::Parts,
    id: String,
    class: RateClass,
) -> Result<Caller, Problem> {
    let from = address(parts).map(|a| a.to_string());
    edge.rates.check(class, &from.clone().unwrap_or_default())?;
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
    let caller = customer(edge, &parts, id, RateClass::Write)?;
    let (company, token) = names(parts.uri.path());
    let accept_language = language(&parts.headers);
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
    if !is_form(&parts.headers) {
        return Err(Problem::new(
            415,
            "unsupported_media_type",
            "send the form as application/x-www-form-urlencoded",
        ));
    }
    let caller = customer(edge, &parts, id, RateClass::Write)?;
    let (company, token) = names(parts.uri.path());
    let fields = fields(&read(body, LARGEST).await?);
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
