//! Rows of a file, CSV or JSON lines, one after the other. Bytes come from a stream; at most one row is held.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use csv_async::{AsyncReader, AsyncReaderBuilder, ByteRecord};
use kit::FieldError;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, ReadBuf};

use super::mapping::{Mapping, Target};
use super::model::Format;

/// The longest row that is read. An opening quote that is never closed makes the rest of the file one row.
const MAX_ROW: usize = 256 * 1024;
const BUFFER: usize = 64 * 1024;

/// Why a file cannot be read any further.
#[derive(Debug)]
pub enum Unreadable {
    /// The file is at fault; a slug: `unreadable`, `no_external_id`, `row_too_long`.
    File(&'static str),
    /// We are.
    Io(io::Error),
}

/// A row's cells, or what is wrong with it as a whole.
pub type Row = Result<Vec<(Target, Value)>, FieldError>;

/// The rows of one file.
pub enum Rows<R> {
    Csv(Box<Table<R>>),
    Lines(BufReader<R>),
}

/// A CSV file under way.
pub struct Table<R> {
    csv: AsyncReader<Bounded<R>>,
    since_row: Arc<AtomicUsize>,
    record: ByteRecord,
    targets: Vec<Option<Target>>,
}

impl<R: AsyncRead + Unpin + Send> Rows<R> {
    /// Reads the header, where there is one.
    pub async fn open(file: R, format: Format, mapping: &Mapping<'_>) -> Result<Self, Unreadable> {
        if format == Format::JsonLines {
            return Ok(Self::Lines(BufReader::with_capacity(BUFFER, file)));
        }
        let since_row = Arc::new(AtomicUsize::new(0));
        let bounded = Bounded { inner: file, since_row: since_row.clone() };
        let mut csv = AsyncReaderBuilder::new().flexible(true).buffer_capacity(BUFFER).create_reader(bounded);
        let header = csv.byte_headers().await.map_err(unreadable)?.clone();
        let names: Result<Vec<_>, _> = header.iter().map(std::str::from_utf8).collect();
        let names = names.map_err(|_| Unreadable::File("unreadable"))?;
        let target = |name: &&str| mapping.target(name.trim_start_matches('\u{feff}').trim());
        let targets: Vec<_> = names.iter().map(target).collect();
        if !targets.contains(&Some(Target::ExternalId)) {
            return Err(Unreadable::File("no_external_id"));
        }
        Ok(Self::Csv(Box::new(Table { csv, since_row, record: ByteRecord::new(), targets })))
    }

    /// The next row; none at the end of the file.
    pub async fn next(&mut self, mapping: &Mapping<'_>) -> Result<Option<Row>, Unreadable> {
        match self {
            Self::Csv(table) => table.next().await,
            Self::Lines(lines) => next_line(lines, mapping).await,
        }
    }
}

impl<R: AsyncRead + Unpin + Send> Table<R> {
    async fn next(&mut self) -> Result<Option<Row>, Unreadable> {
        self.since_row.store(0, Ordering::Relaxed);
        if !self.csv.read_byte_record(&mut self.record).await.map_err(unreadable)? {
            return Ok(None);
        }
        if self.record.len() != self.targets.len() {
            let text = format!("{} fields where the header has {}", self.record.len(), self.targets.len());
            return Ok(Some(Err(FieldError::new("", "ragged", text))));
        }
        let mut cells = Vec::with_capacity(self.targets.len());
        for (target, bytes) in self.targets.iter().zip(self.record.iter()) {
            let Some(target) = target else { continue };
            match std::str::from_utf8(bytes) {
                Ok(text) => cells.push((target.clone(), Value::String(text.to_owned()))),
                Err(_) => return Ok(Some(Err(FieldError::new("", "not_utf8", "is not UTF-8")))),
            }
        }
        Ok(Some(Ok(cells)))
    }
}

async fn next_line<R: AsyncRead + Unpin>(
    lines: &mut BufReader<R>,
    mapping: &Mapping<'_>,
) -> Result<Option<Row>, Unreadable> {
    loop {
        let mut line = Vec::new();
        let read = (&mut *lines).take(MAX_ROW as u64 + 1).read_until(b'\n', &mut line).await;
        if read.map_err(Unreadable::Io)? == 0 {
            return Ok(None);
        }
        if line.len() > MAX_ROW {
            return Err(Unreadable::File("row_too_long"));
        }
        let plain = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        if plain.is_empty() {
            continue;
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(plain) else {
            return Ok(Some(Err(FieldError::new("", "not_json", "is no JSON object"))));
        };
        let mut cells = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            match (mapping.target(&name), value) {
                (Some(target), value) => cells.push((target, value)),
                // What the API takes as an object may be one here, too.
                (None, Value::Object(inner)) if name == "attributes" || name == "provider_ids" => {
                    let inner = inner.into_iter().map(|(key, v)| (format!("{name}.{key}"), v));
                    for (path, value) in inner {
                        match mapping.target(&path) {
                            Some(target) => cells.push((target, value)),
                            None => {
                                let text = "is neither a provider nor a declared attribute";
                                return Ok(Some(Err(FieldError::new(path, "unknown_field", text))));
                            }
                        }
                    }
                }
                (None, _) => {}
            }
        }
        return Ok(Some(Ok(cells)));
    }
}

fn unreadable(e: csv_async::Error) -> Unreadable {
    match e.into_kind() {
        csv_async::ErrorKind::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
            Unreadable::File("row_too_long")
        }
        csv_async::ErrorKind::Io(e) => Unreadable::Io(e),
        _ => Unreadable::File("unreadable"),
    }
}

/// Refuses to bring more than a row may hold without a row in between.
pub struct Bounded<R> {
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
