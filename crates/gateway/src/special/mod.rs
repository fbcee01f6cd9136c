//! What an annotation cannot say. Each file says why it is here.

pub mod audit;
pub mod bootstrap;
pub mod docs;
pub mod hosted;
pub mod inbound;
pub mod live;
pub mod scan;
pub mod sso;
pub mod ui;
pub mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::MethodRouter;

use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::around;

/// The special routes.
pub fn routes(edge: &Arc<Edge>) -> Router {
    Router::new()
        .merge(audit::routes(edge))
        .merge(bootstrap::routes(edge))
        .merge(docs::routes(edge))
        .merge(hosted::routes(edge))
        .merge(inbound::routes(edge))
        .merge(live::routes(edge))
        .merge(sso::routes(edge))
}

/// A method the path does not have answers as every other path does.
pub fn only(route: &'static str, allow: &'static str, methods: MethodRouter) -> MethodRouter {
    methods.fallback(move |request: Request| {
        around(route.to_owned(), request, move |_, _| async move {
            Err(Problem {
                allow: Some(allow.into()),
                ..Problem::new(405, "method_not_allowed", "this path has no such method")
            })
        })
    })
}
