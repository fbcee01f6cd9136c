//! Pages of a list: a limit, and a cursor the service made and only it can read.

/// How many items a page holds when the caller does not say.
pub const DEFAULT_LIMIT: u32 = 50;
/// The most items a page may hold.
pub const MAX_LIMIT: u32 = 200;

/// Which page is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    limit: u32,
    /// What the page before gave as `next_cursor`.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// A limit of 0 means the default; a larger one than allowed is cut to the most there is.
    pub fn new(limit: u32, cursor: impl Into<String>) -> Self {
        let cursor = Some(cursor.into()).filter(|c| !c.is_empty());
        Self { limit, cursor }
    }

    pub fn limit(&self) -> u32 {
        if self.limit == 0 { DEFAULT_LIMIT } else { self.limit.min(MAX_LIMIT) }
    }
}

/// One page and the cursor of the next, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }
}
