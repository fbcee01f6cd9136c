//! Indexes as a record names them. Company and mode come first in each, as in each query.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::IndexModel;
use mongodb::options::IndexOptions;

/// One index of a collection.
#[derive(Clone, Debug)]
pub struct Index {
    keys: Document,
    options: IndexOptions,
}

impl Index {
    /// Over fields within a company and mode; a leading `-` sorts downwards: `["body.customer_id", "-_id"]`.
    pub fn on(fields: &[&str]) -> Self {
        let mut keys = doc! { "company_id": 1, "mode": 1 };
        keys.extend(directions(fields));
        Self { keys, options: IndexOptions::default() }
    }

    /// Over fields of all companies: for jobs and look-ups that do not know the company yet.
    pub fn global(fields: &[&str]) -> Self {
        Self { keys: directions(fields), options: IndexOptions::default() }
    }

    pub fn unique(mut self) -> Self {
        self.options.unique = Some(true);
        self
    }

    /// Only documents that match.
    pub fn partial(mut self, filter: Document) -> Self {
        self.options.partial_filter_expression = Some(filter);
        self
    }

    /// Documents vanish this long after the (single, global) date field.
    pub fn ttl(mut self, after: Duration) -> Self {
        self.options.expire_after = Some(after);
        self
    }

    pub(crate) fn model(self) -> IndexModel {
        IndexModel::builder().keys(self.keys).options(self.options).build()
    }
}

fn directions(fields: &[&str]) -> Document {
    fields.iter().map(|f| f.strip_prefix('-').map_or(((*f).to_owned(), 1), |f| (f.to_owned(), -1))).fold(
        Document::new(),
        |mut keys, (field, way)| {
            keys.insert(field, way);
            keys
        },
    )
}
