//! What a file is looked at for on its way through: that its bytes are what it says it is, and, where a scanner is set
//! up, that there is no malware in it. Neither holds the file: the first looks at its beginning, the second is sent
//! every piece (clamd's INSTREAM) and asked at the end, before the service is told that the file is whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::Config;
use crate::edge::problem::Problem;

/// So much of a file is looked at.
const BEGINNING: usize = 512;
const CONNECT: Duration = Duration::from_secs(5);
/// How long the scanner may take over a piece, and over its verdict.
const PIECE: Duration = Duration::from_secs(20);
const VERDICT: Duration = Duration::from_secs(60);
/// The longest verdict we read.
const LONGEST: u64 = 1024;

/// What no text begins with.
const BINARIES: [&[u8]; 9] = [
    b"PK\x03\x04",
    b"PAR1",
    b"\x1f\x8b",
    b"%PDF-",
    b"\x7fELF",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF8",
    b"\xd0\xcf\x11\xe0",
];

/// What a file says it is, as far as its bytes can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Declared {
    Text,
    JsonLines,
    Parquet,
    /// One of the pictures and documents that are taken in, or any of them.
    Media(Option<&'static [u8]>),
    /// The service decides.
    Unknown,
}

fn declared(content_type: &str) -> Declared {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        // Undeclared files are taken as CSV; and browsers on Windows call a .csv so: a real workbook is a ZIP or OLE file.
        "" | "application/octet-stream" | "application/vnd.ms-excel" => Declared::Text,
        "text/csv" | "text/plain" | "application/csv" => Declared::Text,
        "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => Declared::JsonLines,
        "application/vnd.apache.parquet" => Declared::Parquet,
        _ => Declared::Unknown,
    }
}

/// What pictures and documents begin with. WebP says so only after its length: the service looks closer.
const MEDIA: [(&str, &[u8]); 6] = [
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/jpg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF8"),
    ("image/webp", b"RIFF"),
    ("application/pdf", b"%PDF-"),
];

fn agrees(declared: Declared, beginning: &[u8]) -> bool {
    let text = || !beginning.contains(&0) && !BINARIES.iter().any(|magic| beginning.starts_with(magic));
    match declared {
        Declared::Unknown => true,
        Declared::Media(Some(magic)) => beginning.starts_with(magic),
        Declared::Media(None) => MEDIA.iter().any(|(_, magic)| beginning.starts_with(magic)),
        Declared::Text => text(),
        Declared::Parquet => beginning.starts_with(b"PAR1"),
        Declared::JsonLines => {
            let plain = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
            text() && plain.iter().find(|b| !b.is_ascii_whitespace()).is_none_or(|b| *b == b'{')
        }
    }
}

/// Holds back a file's beginning until it can be looked at.
pub struct Sniff {
    declared: Declared,
    held: Option<BytesMut>,
}

impl Sniff {
    pub fn new(content_type: &str) -> Self {
        Self { declared: declared(content_type), held: Some(BytesMut::new()) }
    }

    /// Of a picture or a document, of a type that is taken in.
    pub fn media(content_type: &str) -> Result<Self, Problem> {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let magic = match kind.as_str() {
            "" | "application/octet-stream" => None,
            "image/svg+xml" => {
                let text = "SVG holds scripts; send PNG, JPEG, GIF or WebP";
                return Err(Problem::new(415, "svg_not_accepted", text));
            }
            kind => match MEDIA.iter().find(|(known, _)| *known == kind) {
                Some((_, magic)) => Some(*magic),
                None => {
                    let text = "send PNG, JPEG, GIF, WebP or PDF";
                    return Err(Problem::new(415, "media_type_not_accepted", text));
                }
            },
        };
        Ok(Self { declared: Declared::Media(magic), held: Some(BytesMut::new()) })
    }

    /// The bytes that may go on, if any.
    pub fn pass(&mut self, chunk: Bytes) -> Result<Option<Bytes>, Problem> {
        let Some(held) = &mut self.held else { return Ok(Some(chunk)) };
        held.extend_from_slice(&chunk);
        if held.len() < BEGINNING { Ok(None) } else { self.end() }
    }

    /// There is no more: what was held back.
    pub fn end(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(held) = self.held.take() else { return Ok(None) };
        if !agrees(self.declared, &held[..held.len().min(BEGINNING)]) {
            let text = "the file is not what its content type says";
            return Err(Problem::new(415, "content_type_mismatch", text));
        }
        Ok((!held.is_empty()).then(|| held.freeze()))
    }
}

/// A file under way to the scanner; without one, or after one that failed and may, nothing is done.
pub struct Scan {
    stream: Option<TcpStream>,
    may_fail: bool,
}

impl Scan {
    pub async fn begin(config: &Config) -> Result<Self, Problem> {
        let mut scan = Self { stream: None, may_fail: config.clamd_optional };
        let Some(address) = &config.clamd_addr else { return Ok(scan) };
        let opened = timed(CONNECT, async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"zINSTREAM\0").await?;
            Ok(stream)
        });
        match opened.await {
            Ok(stream) => scan.stream = Some(stream),
            Err(why) => scan.failed(&why)?,
        }
        Ok(scan)
    }

    /// Sends a piece along.
    pub async fn pass(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let sent = timed(PIECE, async {
            // A piece's length stands before it, in four bytes.
            for piece in chunk.chunks(1 << 20) {
                stream.write_all(&u32::try_from(piece.len()).unwrap_or_default().to_be_bytes()).await?;
                stream.write_all(piece).await?;
            }
            Ok(())
        });
        match sent.await {
            Ok(()) => Ok(()),
            // It may have hung up because it knows enough.
            Err(_) => self.verdict().await,
        }
    }

    /// Asks what it found.
    pub async fn end(&mut self) -> Result<(), Problem> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let ended = timed(PIECE, async { stream.write_all(&[0; 4]).await }).await;
        match ended {
            Ok(()) | Err(_) => self.verdict().await,
        }
    }

    async fn verdict(&mut self) -> Result<(), Problem> {
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let mut said = Vec::new();
        let read = timed(VERDICT, async { stream.take(LONGEST).read_to_end(&mut said).await }).await;
        let text = String::from_utf8_lossy(&said);
        let text = text.trim_end_matches(['\0', '\n']);
        if text.ends_with(" FOUND") {
            tracing::warn!(verdict = text, "a file with malware was refused");
            return Err(Problem::new(422, "malware_found", "the scanner found malware in the file"));
        }
        match read {
            Ok(_) if text.ends_with(": OK") => Ok(()),
            Ok(_) => self.failed(if text.is_empty() { "it said nothing" } else { text }),
            Err(why) => self.failed(&why),
        }
    }

    /// A file nobody looked at does not go through, unless the settings say so.
    fn failed(&mut self, why: &str) -> Result<(), Problem> {
        self.stream = None;
        tracing::warn!(error = why, "the malware scanner failed: {why}");
        if self.may_fail {
            return Ok(());
        }
        Err(Problem {
            retry_after: Some(Duration::from_secs(30)),
            ..Problem::new(503, "scan_unavailable", "files cannot be scanned right now; try again later")
        })
    }
}

async fn timed<T>(most: Duration, work: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(most, work).await {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_something_else_are_told_apart() {
        let cases: [(&str, &[u8], bool); 10] = [
            ("text/csv", b"external_id,n\na,1\n", true),
            ("text/csv; charset=utf-8", "\u{feff}name\nÄrger\n".as_bytes(), true),
            ("text/csv", b"", true),
            ("text/csv", b"PK\x03\x04rest", false),
            ("text/csv", b"a,b\n\x00\x00", false),
            ("application/vnd.ms-excel", b"\xd0\xcf\x11\xe0\xa1", false),
            ("application/x-ndjson", b" {\"a\":1}\n", true),
            ("application/x-ndjson", b"a,b\n", false),
            ("application/vnd.apache.parquet", b"PAR1....", true),
            ("application/vnd.apache.parquet", b"a,b\n", false),
        ];
        for (kind, bytes, right) in cases {
            let mut sniff = Sniff::new(kind);
            let passed = sniff.pass(Bytes::copy_from_slice(bytes)).and_then(|_| sniff.end());
            assert_eq!(passed.is_ok(), right, "{kind} {bytes:?}");
        }
    }

    #[test]
    fn the_beginning_is_found_in_small_pieces_and_nothing_is_lost() {
        let file = b"PK\x03\x04".repeat(400);
        let mut sniff = Sniff::new("text/csv");
        let refused = file.chunks(1).find_map(|b| sniff.pass(Bytes::copy_from_slice(b)).err());
        assert_eq!(refused.unwrap().status, 415);
        let (mut sniff, mut out) = (Sniff::new("text/csv"), Vec::new());
        let text = "a,1\n".repeat(1000);
        for piece in text.as_bytes().chunks(7) {
            out.extend(sniff.pass(Bytes::copy_from_slice(piece)).unwrap().unwrap_or_default());
        }
        out.extend(sniff.end().unwrap().unwrap_or_default());
        assert_eq!(out, text.as_bytes());
    }
}
