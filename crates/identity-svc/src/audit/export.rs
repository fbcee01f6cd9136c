//! The trail as a file: CSV or JSON lines, oldest first, read and sent page by page.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use kit::{Caller, PageRequest, Scope};
use serde_json::{Value, json};
use store::Stored;

use super::model::{Entry, Search};
use super::ops::{Audit, scope};
use crate::error::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180.
    Csv,
    JsonLines,
}

const COLUMNS: [&str; 16] = [
    "id",
    "position",
    "occurred_at",
    "company_id",
    "mode",
    "actor_kind",
    "actor_id",
    "role",
    "resource",
    "resource_id",
    "action",
    "before",
    "after",
    "reason",
    "request_id",
    "hash",
];

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::JsonLines => "application/jsonl",
        }
    }

    fn head(self) -> String {
        match self {
            Self::Csv => line(COLUMNS.into_iter().map(str::to_owned)),
            Self::JsonLines => String::new(),
        }
    }

    fn entry(self, entry: &Stored<Entry>) -> String {
        let values = values(entry);
        match self {
            Self::Csv => line(values.into_iter().map(|value| match value {
                Value::String(text) => text,
                Value::Null => String::new(),
                other => other.to_string(),
            })),
            Self::JsonLines => {
                let object: serde_json::Map<_, _> =
                    COLUMNS.into_iter().map(str::to_owned).zip(values).collect();
                Value::Object(object).to_string() + "\n"
            }
        }
    }
}

fn values(stored: &Stored<Entry>) -> [Value; 16] {
    let Stored { id, scope, body: e, .. } = stored;
    let json = |text: &Option<String>| match text {
        Some(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        None => Value::Null,
    };
    [
        json!(id),
        json!(e.position),
        json!(e.occurred_at.to_string()),
        json!(scope.company),
        json!(scope.mode.as_str()),
        json!(e.actor_kind),
        json!(e.actor_id),
        json!(e.role),
        json!(e.resource),
        json!(e.resource_id),
        json!(e.action),
        json(&e.before),
        json(&e.after),
        json!(e.reason),
        json!(e.request_id),
        json!(e.hash),
    ]
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(",") + "\r\n"
}

/// A cell of RFC 4180. One that a spreadsheet would take for a formula gets an apostrophe before it.
fn quoted(cell: &str) -> String {
    let guarded = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{guarded}{}\"", cell.replace('"', "\"\""))
    } else {
        format!("{guarded}{cell}")
    }
}

impl Audit {
    /// The matching entries as pieces of a file.
    pub fn export(
        &self,
        caller: &Caller,
        search: Search,
        format: Format,
    ) -> impl Stream<Item = Result<String, Error>> + Send + 'static + use<> {
        let (store, scope) = (self.store.clone(), scope(caller));
        let first = PageRequest::new(kit::page::MAX_LIMIT, "");
        let pages = stream::try_unfold(Some(first), move |page| {
            let (store, scope, search) = (store.clone(), scope.clone(), search.clone());
            async move {
                let Some(page) = page else { return Ok::<_, Error>(None) };
                let found = store.list_oldest(&scope, &search, &page).await?;
                let text: String = found.items.iter().map(|e| format.entry(e)).collect();
                let next = found.next_cursor.map(|c| PageRequest::new(kit::page::MAX_LIMIT, c));
                Ok(Some((text, next)))
            }
        });
        stream::once(async move { Ok(format.head()) }).chain(pages).try_filter(|text| {
            let any = !text.is_empty();
            async move { any }
        })
    }
}

/// Whose trail it is, for the name of the file.
pub fn file_name(scope: Option<&Scope>, format: Format) -> String {
    let end = if format == Format::Csv { "csv" } else { "jsonl" };
    format!("audit-{}.{end}", scope.map_or("platform", |s| s.company.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_cell_and_no_formula() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(quoted("=cmd()"), "'=cmd()");
        assert_eq!(line(["a".to_owned(), "b\nc".to_owned()].into_iter()), "a,\"b\nc\"\r\n");
    }
}
