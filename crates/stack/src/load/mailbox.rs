//! The local mailbox: mails as `.eml` files in a folder. The loader reads its own codes there, as a person would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

/// A folder of mails.
pub struct Mailbox {
    folder: PathBuf,
}

impl Mailbox {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Waits for a mail to this address that came after `since` and in which `find` finds something.
    pub async fn wait<T>(&self, to: &str, since: SystemTime, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if let Some(found) =
                self.newest_first(since)?.iter().find_map(|p| read(p, to).and_then(|text| find(&text)))
            {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("no mail for {to} came to {} within 30 s", self.folder.display())
    }

    fn newest_first(&self, since: SystemTime) -> Result<Vec<PathBuf>> {
        let entries =
            fs::read_dir(&self.folder).with_context(|| format!("failed to read {}", self.folder.display()));
        let mut mails: Vec<_> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "eml"))
            .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
            .filter(|(at, _)| *at >= since)
            .collect();
        mails.sort_by(|a, b| b.cmp(a));
        Ok(mails.into_iter().map(|(_, path)| path).collect())
    }
}

/// The mail's text when it is for this address, with the soft line breaks of quoted-printable undone.
fn read(path: &Path, to: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let for_them = text.lines().any(|l| l.to_ascii_lowercase().starts_with("to:") && l.contains(to));
    for_them.then(|| text.replace("=\r\n", "").replace("=\n", "").replace("=3D", "="))
}

/// The first six digits that stand alone in the text below the headers.
pub fn code(mail: &str) -> Option<String> {
    let body = mail.split_once("\r\n\r\n").or_else(|| mail.split_once("\n\n"))?.1;
    let words = body.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|w| w.len() == 6 && w.bytes().all(|b| b.is_ascii_digit())).map(str::to_owned).next()
}

/// What follows `marker` in a link, up to the next character that no token has.
pub fn token(mail: &str, marker: &str) -> Option<String> {
    let rest = mail.split_once(marker)?.1;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
    Some(rest[..end].to_owned()).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_a_token_are_found_in_quoted_printable() {
        let mail = "To: a@b.example\r\nDate: 20261123 101112\r\n\r\nYour code is 493021.\r\nhttp://x/i?token=3Dabc=\r\n_d-9 now";
        let folder = std::env::temp_dir().join(format!("retention-mail-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("1.eml"), mail).unwrap();
        let text = read(&folder.join("1.eml"), "a@b.example").unwrap();
        assert_eq!(code(&text).as_deref(), Some("493021"));
        assert_eq!(token(&text, "token=").as_deref(), Some("abc_d-9"));
        assert!(read(&folder.join("1.eml"), "c@b.example").is_none());
        fs::remove_dir_all(folder).unwrap();
    }
}
