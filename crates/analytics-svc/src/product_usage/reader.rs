//! Rows of a CSV file, one after the other, each read as its dataset says or told wrong. Bytes come from a stream;
//! at most one row is held.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use csv_async::{AsyncReader, AsyncReaderBuilder, ByteRecord};
use tokio::io::{AsyncRead, ReadBuf};

use super::model::{Column, Guess, JoinKey, Layout, MAX_KEY, RowError, cell};
use crate::rules::Value;

/// The longest row that is read. An opening quote that is never closed makes the rest of the file one row.
const MAX_ROW: usize = 1024 * 1024;
const BUFFER: usize = 64 * 1024;
/// The longest period.
const MAX_PERIOD: usize = 32;

/// Why a file cannot be read any further; a slug.
#[derive(Debug)]
pub enum Unreadable {
    /// The file is at fault: `unreadable`, `no_key_column`.
    File(&'static str),
    /// We are.
    Io(io::Error),
}

impl From<csv_async::Error> for Unreadable {
    fn from(e: csv_async::Error) -> Self {
        match e.into_kind() {
            csv_async::ErrorKind::Io(e) if e.kind() != io::ErrorKind::InvalidData => Self::Io(e),
            _ => Self::File("unreadable"),
        }
    }
}

/// A row that can be kept: values stand in the order of the columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub key: String,
    /// Empty where the file has no periods.
    pub period: String,
    pub values: Vec<Option<Value>>,
}

/// A row and its number, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    pub number: u64,
    pub row: Result<Row, Vec<RowError>>,
}

/// The rows of one file.
pub struct Rows<R> {
    csv: AsyncReader<Bounded<R>>,
    since_row: Arc<AtomicUsize>,
    record: ByteRecord,
    number: u64,
    pub layout: Layout,
    pub join: JoinKey,
    /// Place in the file and column, as far as the dataset knows it.
    columns: Vec<(usize, Column)>,
}

impl<R: AsyncRead + Unpin + Send> Rows<R> {
    /// Reads the header. `columns` are the dataset's; without a dataset none are known yet: see [`Self::infer`].
    pub async fn open(
        file: R,
        mapping: &BTreeMap<String, String>,
        join: Option<JoinKey>,
        columns: &[Column],
    ) -> Result<Self, Unreadable> {
        let since_row = Arc::new(AtomicUsize::new(0));
        let bounded = Bounded { inner: file, since_row: since_row.clone() };
        let mut csv = AsyncReaderBuilder::new().flexible(true).buffer_capacity(BUFFER).create_reader(bounded);
        let header = csv.byte_headers().await?.clone();
        let names: Result<Vec<_>, _> = header.iter().map(std::str::from_utf8).collect();
        let names = names.map_err(|_| Unreadable::File("unreadable"))?;
        let names: Vec<_> = names.iter().map(|n| n.trim_start_matches('\u{feff}')).collect();
        if names.is_empty() {
            return Err(Unreadable::File("unreadable"));
        }
        let (layout, join) = Layout::read(&names, mapping, join).map_err(Unreadable::File)?;
        let mut rows =
            Self { csv, since_row, record: ByteRecord::new(), number: 0, layout, join, columns: Vec::new() };
        rows.columns = rows.known(columns);
        Ok(rows)
    }

    fn known(&self, columns: &[Column]) -> Vec<(usize, Column)> {
        let find =
            |(at, name): &(usize, String)| columns.iter().find(|c| c.name == *name).map(|c| (*at, c.clone()));
        self.layout.columns.iter().filter_map(find).collect()
    }

    /// The columns rows are read into.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|(_, c)| c)
    }

    /// Looks at the first rows and says the columns with the narrowest types that fit. What it looked at is gone: open
    /// the file again to read it.
    pub async fn infer(mut self, rows: u64) -> Result<(Vec<Column>, JoinKey, bool), Unreadable> {
        let mut guesses = vec![Guess::default(); self.layout.columns.len()];
        while self.number < rows && self.advance().await? {
            if self.record.len() != self.layout.width {
                continue;
            }
            for ((at, _), guess) in self.layout.columns.iter().zip(&mut guesses) {
                if let Some(Ok(text)) = self.record.get(*at).map(std::str::from_utf8) {
                    guess.see(text);
                }
            }
        }
        let columns = self.layout.columns.iter().zip(guesses).map(|((_, name), guess)| Column {
            name: name.clone(),
            kind: guess.kind(),
            meaning: String::new(),
        });
        Ok((columns.collect(), self.join, self.layout.period.is_some()))
    }

    async fn advance(&mut self) -> Result<bool, Unreadable> {
        self.since_row.store(0, Ordering::Relaxed);
        let more = self.csv.read_byte_record(&mut self.record).await?;
        self.number += u64::from(more);
        Ok(more)
    }

    /// The next row; none at the end of the file.
    pub async fn next(&mut self) -> Result<Option<Read>, Unreadable> {
        if !self.advance().await? {
            return Ok(None);
        }
        Ok(Some(Read { number: self.number, row: self.row() }))
    }

    fn row(&self) -> Result<Row, Vec<RowError>> {
        let wrong =
            |column: &str, code: &str, message: String| RowError::new(self.number, column, code, message);
        if self.record.len() != self.layout.width {
            let text = format!("{} fields where the header has {}", self.record.len(), self.layout.width);
            return Err(vec![wrong("", "ragged", text)]);
        }
        let text = |at: usize| std::str::from_utf8(self.record.get(at).unwrap_or_default()).map(str::trim);
        let key = match text(self.layout.key) {
            Ok("") => return Err(vec![wrong("key", "key_missing", "the key is empty".into())]),
            Ok(key) if key.len() > MAX_KEY => {
                return Err(vec![wrong("key", "too_long", format!("more than {MAX_KEY} bytes"))]);
            }
            Ok(key) if self.join == JoinKey::Email => key.to_lowercase(),
            Ok(key) => key.to_owned(),
            Err(_) => return Err(vec![wrong("key", "not_utf8", "not UTF-8".into())]),
        };
        let period = match self.layout.period.map(text) {
            None => "",
            Some(Ok(period)) if is_period(period) => period,
            Some(_) => return Err(vec![wrong("period", "period", "not a period such as 2031-04".into())]),
        };
        let mut values = Vec::with_capacity(self.columns.len());
        let mut errors = Vec::new();
        for (at, column) in &self.columns {
            match text(*at).map(|t| cell(column.kind, t)) {
                Ok(Ok(value)) => values.push(value),
                Ok(Err(expected)) => {
                    let code = if expected.starts_with("more") { "too_long" } else { "type" };
                    errors.push(wrong(&column.name, code, expected));
                }
                Err(_) => errors.push(wrong(&column.name, "not_utf8", "not UTF-8".into())),
            }
        }
        if errors.is_empty() { Ok(Row { key, period: period.to_owned(), values }) } else { Err(errors) }
    }
}

fn is_period(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':' | b'.' | b'_' | b'+');
    !text.is_empty() && text.len() <= MAX_PERIOD && text.bytes().all(plain)
}

/// Refuses to bring more than a row may hold without a row in between.
struct Bounded<R> {
    inner: R,
    since_row: Arc<AtomicUsize>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let got = buf.filled().len() - before;
        if self.since_row.fetch_add(got, Ordering::Relaxed) + got > MAX_ROW + BUFFER {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the row is too long")));
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::ColumnType;
    use super::*;

    fn columns() -> Vec<Column> {
        let column = |name: &str, kind| Column { name: name.into(), kind, meaning: String::new() };
        vec![column("minutes", ColumnType::Integer), column("plan", ColumnType::Text)]
    }

    async fn read(file: &[u8]) -> Result<Vec<Read>, Unreadable> {
        let mut rows = Rows::open(file, &BTreeMap::new(), None, &columns()).await?;
        let mut all = Vec::new();
        while let Some(read) = rows.next().await? {
            all.push(read);
        }
        Ok(all)
    }

    fn codes(all: &[Read]) -> Vec<String> {
        let code = |r: &Read| match &r.row {
            Ok(row) => row.key.clone(),
            Err(errors) => errors.iter().map(|e| format!("{}:{}", e.column, e.code)).collect(),
        };
        all.iter().map(code).collect()
    }

    #[tokio::test]
    async fn a_wrong_row_is_told_and_the_next_is_read() {
        let file = "\u{feff}external_id,minutes,plan\n\
            a,1,x\n\
            b,many,x\n\
            c,1\n\
            ,1,x\n\
            \"d\",2,\"two\nlines, \"\"quoted\"\"\"\n";
        let all = read(file.as_bytes()).await.unwrap();
        assert_eq!(codes(&all), ["a", "minutes:type", ":ragged", "key:key_missing", "d"]);
        let last = all[4].row.clone().unwrap();
        assert_eq!(last.values, [Some(Value::Number(2.0)), Some("two\nlines, \"quoted\"".into())]);
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_wrong_where_they_stand() {
        let all = read(b"external_id,minutes,plan\na,1,\xff\xfe\n\xff,1,x\nb,2,y\n").await.unwrap();
        assert_eq!(codes(&all), ["plan:not_utf8", "key:not_utf8", "b"]);
        assert!(matches!(read(b"external_id,\xff\n").await, Err(Unreadable::File("unreadable"))));
    }

    #[tokio::test]
    async fn a_quote_that_never_ends_does_not_fill_memory() {
        let mut file = b"external_id,minutes,plan\na,1,\"".to_vec();
        file.extend(std::iter::repeat_n(b'x', 3 * MAX_ROW));
        assert!(matches!(read(&file).await, Err(Unreadable::File("unreadable"))));
        let long = format!("external_id,minutes,plan\na,1,{}\nb,2,y\n", "x".repeat(5_000));
        assert_eq!(codes(&read(long.as_bytes()).await.unwrap()), ["plan:too_long", "b"]);
    }

    #[tokio::test]
    async fn an_empty_file_and_one_without_a_key_are_refused() {
        assert!(matches!(read(b"").await, Err(Unreadable::File("unreadable"))));
        assert!(matches!(read(b"minutes,plan\n1,x\n").await, Err(Unreadable::File("no_key_column"))));
    }
}
