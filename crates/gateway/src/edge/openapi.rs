//! The API description: OpenAPI 3.1, made from the same operations the router is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost_reflect::{FieldDescriptor, Kind};
use proto::edge::Auth;
use serde_json::{Map, Value, json};

use super::descriptors::{Body, Operation};
use super::schema::{Comments, Schemas, is_required};

/// The document.
pub fn document(operations: &[Arc<Operation>]) -> Value {
    let comments = Comments::read();
    let mut schemas = Schemas::new(&comments);
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    // Paths that differ only in the names of variables are one path, under the first spelling.
    let mut spelling: BTreeMap<String, String> = BTreeMap::new();
    for op in operations {
        let path = spelling.entry(op.template.route()).or_insert_with(|| op.template.description()).clone();
        let described = operation(op, &path, &comments, &mut schemas);
        paths.entry(path).or_default().insert(op.method.as_str().to_lowercase(), described);
    }
    special(&mut paths);
    schemas.made.insert("Problem".into(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Retention Stack",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Keeps subscription customers, fairly.",
            "description": "Money is in whole minor units of the currency, times are RFC 3339 in UTC, lists page by `cursor`. Errors are `application/problem+json` with a stable `code`. In a body, a field that is `null` is as good as one that is left out.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags(operations, &comments),
        "paths": paths,
        "components": { "schemas": schemas.made, "securitySchemes": security_schemes() },
    })
}

fn tags(operations: &[Arc<Operation>], comments: &Comments) -> Value {
    let mut tags = BTreeMap::new();
    for op in operations {
        let service = op.rpc.parent_service();
        let comment = comments.of(service.parent_file().name(), service.path()).to_owned();
        tags.insert(service.name().trim_end_matches("Service").to_owned(), comment);
    }
    tags.into_iter().map(|(name, description)| json!({ "name": name, "description": description })).collect()
}

fn operation(op: &Operation, path: &str, comments: &Comments, schemas: &mut Schemas<'_>) -> Value {
    let comment = comments.of(op.rpc.parent_service().parent_file().name(), op.rpc.path());
    let summary = comment.split(". ").next().unwrap_or_default().replace('\n', " ");
    let bound = op.template.variables();
    let mut parameters: Vec<Value> = Vec::new();
    // Named as the shared path names them, place by place.
    let shared = path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}'));
    for (name, shown) in bound.iter().zip(shared) {
        if let Some(field) = op.input.get_field_by_name(name) {
            let rules = schemas.field_rules(&field);
            let schema = schemas.field(&field, rules.as_ref());
            parameters.push(json!({ "name": shown, "in": "path", "required": true, "schema": schema }));
        }
    }
    if matches!(op.body, Body::None) {
        for field in op.input.fields().filter(|f| !bound.contains(&f.name())) {
            parameters.extend(query(&field, "", schemas));
        }
    }
    if op.rule.idempotency_key {
        parameters.push(json!({ "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "minLength": 1, "maxLength": 200 }, "description": "The same key and body get the same answer for 24 hours; another body gets 409." }));
    }
    let mut described = json!({
        "operationId": op.id(),
        "tags": [op.rpc.parent_service().name().trim_end_matches("Service")],
        "summary": summary,
        "description": comment,
        "parameters": parameters,
        "responses": responses(op, schemas),
        "security": security(op),
        "x-rate-class": op.rate().as_str_name().trim_start_matches("RATE_CLASS_").to_lowercase(),
    });
    if !op.rule.roles.is_empty() {
        described["x-roles"] = json!(op.rule.roles);
    }
    if !op.rule.scopes.is_empty() {
        described["x-scopes"] = json!(op.rule.scopes);
    }
    let body = match &op.body {
        Body::None => None,
        Body::Whole => Some(schemas.object(&op.input, &bound)),
        Body::Field(field) => match field.kind() {
            Kind::Message(inner) => Some(schemas.reference(&inner)),
            _ => None,
        },
    };
    if let Some(mut schema) = body {
        let mut media = json!({});
        if let Some(example) = schemas.example_of(&op.input) {
            media["example"] = example;
        }
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("examples");
        }
        let required = schema.get("required").is_some();
        media["schema"] = schema;
        described["requestBody"] = json!({ "required": required, "content": { "application/json": media } });
    }
    described
}

/// Query parameters of a field; a nested message's fields go by dotted names.
fn query(field: &FieldDescriptor, prefix: &str, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let name = format!("{prefix}{}", field.name());
    if field.is_map() {
        return Vec::new();
    }
    match field.kind() {
        Kind::Message(inner) if !inner.full_name().starts_with("google.protobuf.") => {
            inner.fields().flat_map(|f| query(&f, &format!("{name}."), schemas)).collect()
        }
        _ => {
            let rules = schemas.field_rules(field);
            let mut schema = schemas.field(field, rules.as_ref());
            let description =
                schema.as_object_mut().and_then(|s| s.remove("description")).unwrap_or_default();
            // Zero is what is not said; it cannot be asked for.
            if let Some(known) = schema.get_mut("enum").and_then(Value::as_array_mut) {
                known.retain(|v| v != "unspecified");
            }
            let mut parameter =
                json!({ "name": name, "in": "query", "schema": schema, "description": description });
            if prefix.is_empty() && rules.is_some_and(|r| is_required(field, &r)) {
                parameter["required"] = json!(true);
            }
            vec![parameter]
        }
    }
}

fn responses(op: &Operation, schemas: &mut Schemas<'_>) -> Value {
    let ok = if op.replies_raw() {
        json!({ "description": "The bytes, with their own content type.", "content": { "*/*": { "schema": {} } } })
    } else {
        let schema = schemas.reference(&op.output);
        json!({ "description": "Done.", "content": { "application/json": { "schema": schema } } })
    };
    let mut all = Map::from_iter([("200".to_owned(), ok)]);
    // A page for people says in a page, too, that there is nothing.
    let page = op.replies_raw() && op.auth() == Auth::Public;
    let mut add = |status: u16, text: &str| {
        let mut content =
            json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        if page {
            content["text/html"] = json!({ "schema": { "type": "string" } });
        }
        all.insert(status.to_string(), json!({ "description": text, "content": content }));
    };
    add(400, "The request cannot be read.");
    // Where nobody need say who they are, too: a credential that is there and not good is refused, and so is a code or link.
    add(401, "Nobody we know.");
    add(403, "Known, but not allowed.");
    add(404, "Not there, or another company's.");
    add(409, "The state of things, or a newer version, stands against it.");
    if !op.is_read() && op.input.get_field_by_name("version").is_some() {
        add(412, "It was changed since the version in If-Match, which may be sent instead of `version`.");
    }
    if !matches!(op.body, Body::None) {
        add(413, "More than this operation takes.");
        add(415, "Not the content type this operation takes.");
    }
    add(422, "Fields of the request are wrong.");
    add(429, "Too many requests; see Retry-After.");
    add(500, "Our fault.");
    add(503, "A part of the system does not answer; see Retry-After.");
    add(504, "A part of the system did not answer in time.");
    if op.is_read() && op.version.is_some() {
        all.insert(
            "304".into(),
            json!({ "description": "The version in If-None-Match is the present one." }),
        );
    }
    Value::Object(all)
}

fn security(op: &Operation) -> Value {
    let mut any = Vec::new();
    match op.auth() {
        Auth::Public | Auth::Signed => return json!([]),
        Auth::Widget => any.push(json!({ "flow_session": [] })),
        Auth::Machine => {}
        _ => any.push(json!({ "person": [] })),
    }
    if !op.rule.scopes.is_empty() {
        any.push(json!({ "api_key": [] }));
    }
    if op.rule.widget {
        any.push(json!({ "flow_session": [] }));
    }
    json!(any)
}

fn security_schemes() -> Value {
    json!({
        "person": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The access token of a signed-in person (`POST /v1/sessions`). Which roles may call stands at each operation as `x-roles`." },
        "api_key": { "type": "http", "scheme": "bearer", "description": "An API key, `rsk_live_…` or `rsk_test_…`, with one of the operation's `x-scopes`." },
        "flow_session": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The token of one cancel-flow session, from `POST /v1/flow/sessions`." },
    })
}

/// What no annotation can say (`special/`), described by hand.
fn special(paths: &mut BTreeMap<String, Map<String, Value>>) {
    let problem = json!({ "description": "See `code`.", "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } });
    let mut add = |path: &str, method: &str, described: Value| {
        let mut described = described;
        for status in ["400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503", "504"] {
            if described["responses"].get(status).is_none() {
                described["responses"][status] = problem.clone();
            }
        }
        paths.entry(path.into()).or_default().insert(method.into(), described);
    };
    let path_parameter =
        |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    add(
        "/v1/inbound/{provider}/{company_key}",
        "post",
        json!({
            "operationId": "Inbound_Receive", "tags": ["Inbound"], "security": [],
            "summary": "A provider's webhook, signed over the raw body.",
            "parameters": [path_parameter("provider"), path_parameter("company_key")],
            "requestBody": { "required": true, "content": { "application/json": { "schema": {} } } },
            "responses": { "200": { "description": "Stored; work follows.", "content": { "application/json": { "schema": {
                "type": "object", "required": ["received"], "properties": { "received": { "type": "boolean" } } } } } } },
        }),
    );
    add(
        "/v1/versions",
        "get",
        json!({
            "operationId": "Versions_List", "tags": ["Gateway"], "security": [],
            "summary": "The versions of this API.",
            "responses": { "200": { "description": "Newest last.", "content": { "application/json": { "schema": {
                "type": "object", "required": ["items"], "properties": { "items": { "type": "array", "items": { "type": "object" } } } } } } } },
        }),
    );
    let release = json!({ "version": { "type": "string" }, "path": { "type": "string" }, "integrity": { "type": "string" },
        "bytes": { "type": "integer" } });
    add(
        "/widget/v1/manifest.json",
        "get",
        json!({
            "operationId": "Gateway_WidgetManifest", "tags": ["Gateway"], "security": [],
            "summary": "The widget's files: the newest, and every version with the hash for `integrity`.",
            "responses": { "200": { "description": "Newest last.", "content": { "application/json": { "schema": {
                "type": "object", "required": ["version", "path", "integrity", "bytes", "versions"], "properties": {
                    "version": { "type": "string" }, "path": { "type": "string" }, "integrity": { "type": "string" },
                    "bytes": { "type": "integer" },
                    "versions": { "type": "array", "items": { "type": "object", "properties": release } } } } } } } },
        }),
    );
    add(
        "/v1/me/bootstrap",
        "get",
        json!({
            "operationId": "Gateway_Bootstrap", "tags": ["Gateway"], "security": [{ "person": [] }],
            "x-roles": ["kale_admin", "ret_admin", "ret_exp"],
            "summary": "What a dashboard needs to start: the user, the company acted for, grants, unread notifications.",
            "responses": { "200": { "description": "All of it.", "content": { "application/json": { "schema": {
                "type": "object", "required": ["user", "company", "mode", "grants", "unread"], "properties": {
                    "user": { "$ref": "#/components/schemas/identity.User" },
                    "company": { "anyOf": [{ "$ref": "#/components/schemas/identity.Company" }, { "type": "null" }] },
                    "mode": { "type": ["string", "null"] }, "grants": { "type": "array", "items": { "type": "string" } },
                    "unread": { "type": ["integer", "null"] } } } } } } },
        }),
    );
    let text = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string" } });
    let time = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string", "format": "date-time" } });
    let file = json!({ "schema": { "type": "string" } });
    add(
        "/v1/audit/export",
        "get",
        json!({
            "operationId": "AuditService_ExportAuditEntries", "tags": ["Audit"],
            "security": [{ "person": [] }], "x-roles": ["ret_admin"],
            "summary": "All audit entries that match, oldest first, as a file.",
            "parameters": [
                { "name": "format", "in": "query", "required": true, "schema": { "type": "string", "enum": ["csv", "jsonl"] } },
                text("actor_id"), text("resource"), text("resource_id"), text("action"), time("from"), time("to"),
            ],
            "responses": { "200": { "description": "The file.", "content": { "text/csv": file.clone(), "application/jsonl": file } } },
        }),
    );
    add(
        "/v1/notifications/stream",
        "get",
        json!({
            "operationId": "NotificationService_StreamNotifications", "tags": ["Notification"],
            "security": [{ "person": [] }], "x-roles": ["ret_admin", "ret_exp"],
            "summary": "The own notifications as they come, as server-sent events; it ends with the session or its access token, and a browser comes back.",
            "parameters": [{ "name": "Last-Event-ID", "in": "header", "schema": { "type": "string" },
                "description": "The last notification that arrived; those since come first, at most 200." }],
            "responses": { "200": { "description": "Events `notification`, each with the notification's `id` and itself as JSON in `data`; a comment at least every 15 seconds.",
                "content": { "text/event-stream": { "schema": { "type": "string" } } } } },
        }),
    );
    add(
        "/v1/inbound/workos",
        "post",
        json!({
            "operationId": "Workos_Receive", "tags": ["Workos"], "security": [],
            "summary": "The identity provider's webhook, signed over the raw body in `WorkOS-Signature`.",
            "requestBody": { "required": true, "content": { "application/json": { "schema": {} } } },
            "responses": { "200": { "description": "Stored; work follows." } },
        }),
    );
    let query = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string" } });
    add(
        "/v1/sso/authorize",
        "get",
        json!({
            "operationId": "Workos_Authorize", "tags": ["Workos"], "security": [],
            "summary": "Sends a browser to the identity provider of the address's company, or back to the sign-in page.",
            "parameters": [query("email"), query("return_to")],
            "responses": { "303": { "description": "To the identity provider, with the cookie `__Host-oauth_state`; to `/sign-in?error=sso_unavailable` where there is none." } },
        }),
    );
    add(
        "/v1/sso/callback",
        "get",
        json!({
            "operationId": "Workos_Callback", "tags": ["Workos"], "security": [],
            "summary": "Where the identity provider sends a browser back to; signs it in with cookies.",
            "parameters": [query("code"), query("state"), query("error")],
            "responses": { "303": { "description": "To `return_to`, signed in; to `/sign-in?error=sso_failed` otherwise." } },
        }),
    );
    add(
        "/v1/customer-data/imports",
        "post",
        json!({
            "operationId": "CustomerImport_Upload", "tags": ["CustomerImport"],
            "security": [{ "person": [] }, { "api_key": [] }], "x-roles": ["ret_admin"], "x-scopes": ["customers:write"],
            "summary": "Imports a file of customers, CSV or JSON lines, at most 200 MB, streamed.",
            "requestBody": { "required": true, "content": { "multipart/form-data": { "schema": { "type": "object", "required": ["file"], "properties": {
                "mapping": { "type": "string", "description": "A JSON object of column to `external_id`, `email`, …, `attributes.<key>`; an empty text leaves a column out. Before the file." },
                "file": { "type": "string", "contentMediaType": "application/octet-stream" } } } } } },
            "responses": { "200": { "description": "The import.", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/billing.CustomerImport" } } } } },
        }),
    );
    add(
        "/v1/customer-data/exports/{id}/file",
        "get",
        json!({
            "operationId": "CustomerExport_Download", "tags": ["CustomerExport"],
            "security": [{ "person": [] }], "x-roles": ["ret_admin"],
            "summary": "The file of an export that is ready.",
            "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }],
            "responses": { "200": { "description": "The customers.", "content": { "text/csv": {}, "application/x-ndjson": {} } } },
        }),
    );
    add(
        "/v1/privacy/requests/{id}/file",
        "get",
        json!({
            "operationId": "Privacy_Download", "tags": ["Privacy"],
            "security": [{ "person": [] }, { "api_key": [] }], "x-roles": ["ret_admin"], "x-scopes": ["privacy:write"],
            "summary": "What every service keeps of the customer of a completed request for access: service → kind of record → records.",
            "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }],
            "responses": { "200": { "description": "The records.", "content": { "application/json": {} } } },
        }),
    );
    let page = json!({ "description": "A page that says so.", "content": { "text/html": { "schema": { "type": "string" } } } });
    add(
        "/v1/hosted/{company}/verify",
        "get",
        json!({
            "operationId": "HostedPageService_ShowVerifyPage", "tags": ["HostedPage"], "security": [],
            "summary": "The same as a page with a form, which is posted here as `application/x-www-form-urlencoded`.",
            "parameters": [path_parameter("company")],
            "responses": {
                "200": { "description": "The page.", "content": { "text/html": { "schema": { "type": "string" } } } },
                "404": page },
        }),
    );
    add(
        "/v1/media",
        "post",
        json!({
            "operationId": "Media_Upload", "tags": ["Media"],
            "security": [{ "person": [] }], "x-roles": ["ret_admin", "ret_exp"],
            "summary": "Uploads a picture (PNG, JPEG, GIF, WebP) or a document (PDF), at most 10 MB. The same bytes again are the same media.",
            "requestBody": { "required": true, "content": { "multipart/form-data": { "schema": { "type": "object", "required": ["file"], "properties": {
                "name": { "type": "string", "description": "The file's own name when left out. Before the file." },
                "alt": { "type": "string", "description": "A JSON object `{default_locale, texts}`: what a reader who does not see it is told. Before the file." },
                "file": { "type": "string", "contentMediaType": "application/octet-stream" } } } } } },
            "responses": { "200": { "description": "The media, ready.", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/content.Media" } } } } },
        }),
    );
    add(
        "/m/{hash}",
        "get",
        json!({
            "operationId": "Media_Serve", "tags": ["Media"], "security": [],
            "summary": "The bytes of a picture or document that something published shows; a part of them with `Range`.",
            "parameters": [
                { "name": "hash", "in": "path", "required": true, "schema": { "type": "string" } },
                { "name": "Range", "in": "header", "schema": { "type": "string" }, "description": "One range of bytes; several are answered with the whole." },
                { "name": "If-None-Match", "in": "header", "schema": { "type": "string" } } ],
            "responses": {
                "200": { "description": "The whole.", "content": { "*/*": { "schema": {} } } },
                "206": { "description": "The part, named in `Content-Range`.", "content": { "*/*": { "schema": {} } } },
                "304": { "description": "The caller has it." },
                "416": { "description": "None of the bytes asked for is there." } },
        }),
    );
    add(
        "/v1/usage/uploads",
        "post",
        json!({
            "operationId": "ProductUsage_Upload", "tags": ["ProductUsage"],
            "security": [{ "person": [] }, { "api_key": [] }], "x-roles": ["ret_admin", "ret_exp"], "x-scopes": ["usage:write"],
            "summary": "Uploads a product-usage file, at most 200 MB, streamed.",
            "requestBody": { "required": true, "content": { "multipart/form-data": { "schema": { "type": "object", "required": ["file"], "properties": {
                "dataset": { "type": "string" }, "auto_confirm": { "type": "boolean" }, "file": { "type": "string", "contentMediaType": "application/octet-stream" } } } } } },
            "responses": { "200": { "description": "The upload job.", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/analytics.UsageUpload" } } } } },
        }),
    );
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457. `code` is stable; match on it.",
        "required": ["type", "title", "status", "code", "request_id"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string" },
            "request_id": { "type": "string" },
            "errors": { "type": "array", "items": { "type": "object", "properties": {
                "field": { "type": "string" }, "code": { "type": "string" }, "message": { "type": "string" } } } },
        },
    })
}
