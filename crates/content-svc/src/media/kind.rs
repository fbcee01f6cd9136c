//! What a file is, by its first bytes: what a sender says is not believed.

use kit::{Code, Fault};

/// What is taken in. SVG is not among it: it is a page with scripts, not a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Png,
    Jpeg,
    Gif,
    Webp,
    Pdf,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::Gif, Self::Webp, Self::Pdf];

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
        }
    }

    /// What these bytes are the beginning of.
    pub fn of(bytes: &[u8]) -> Result<Self, Fault> {
        let found = Self::ALL.into_iter().find(|kind| kind.begins(bytes));
        found.ok_or_else(|| {
            let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).to_ascii_lowercase();
            if beginning.contains("<svg") {
                return Fault::new(
                    Code::Invalid,
                    "svg_not_accepted",
                    "SVG holds scripts; send PNG, JPEG, GIF or WebP",
                );
            }
            Fault::new(Code::Invalid, "media_type_not_accepted", "send PNG, JPEG, GIF, WebP or PDF")
        })
    }

    /// Refuses a file that is not what its sender says; who says nothing in particular is asked nothing.
    pub fn agrees_with(self, declared: &str) -> Result<(), Fault> {
        let declared = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let declared = if declared == "image/jpg" { "image/jpeg" } else { declared.as_str() };
        if matches!(declared, "" | "application/octet-stream") || declared == self.content_type() {
            return Ok(());
        }
        let text = format!("the file is {}, not {declared}", self.content_type());
        Err(Fault::new(Code::Invalid, "content_type_mismatch", text))
    }

    fn begins(self, bytes: &[u8]) -> bool {
        match self {
            Self::Png => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
            Self::Jpeg => bytes.starts_with(b"\xff\xd8\xff"),
            Self::Gif => bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a"),
            Self::Webp => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
            Self::Pdf => bytes.starts_with(b"%PDF-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use kit::Coded;

    use super::*;

    #[test]
    fn a_file_is_known_by_its_bytes() {
        let of = |bytes: &[u8]| Kind::of(bytes).map_err(|e| e.code().1);
        assert_eq!(of(b"\x89PNG\r\n\x1a\n...."), Ok(Kind::Png));
        assert_eq!(of(b"\xff\xd8\xff\xe0"), Ok(Kind::Jpeg));
        assert_eq!(of(b"GIF89a"), Ok(Kind::Gif));
        assert_eq!(of(b"RIFF\x00\x00\x00\x00WEBPVP8 "), Ok(Kind::Webp));
        assert_eq!(of(b"RIFF\x00\x00\x00\x00WAVE"), Err("media_type_not_accepted"));
        assert_eq!(of(b"%PDF-1.7"), Ok(Kind::Pdf));
        assert_eq!(of(b"<?xml version=\"1.0\"?>\n<SVG xmlns="), Err("svg_not_accepted"));
        assert_eq!(of(b"<!doctype html>"), Err("media_type_not_accepted"));
        assert_eq!(of(b""), Err("media_type_not_accepted"));
    }

    #[test]
    fn who_says_another_thing_is_not_believed() {
        assert!(Kind::Jpeg.agrees_with("image/jpg").is_ok());
        assert!(Kind::Png.agrees_with("").is_ok());
        assert!(Kind::Png.agrees_with("application/octet-stream").is_ok());
        assert_eq!(Kind::Png.agrees_with("image/jpeg").unwrap_err().code().1, "content_type_mismatch");
    }
}
