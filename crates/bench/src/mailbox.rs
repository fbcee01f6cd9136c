//! Signing in as a person: a code by mail, read from the folder where the stack under test leaves its mails.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::cases::ask;

/// The access token of a person.
pub async fn sign_in(gateway: &str, email: &str, mails: &str) -> Result<String> {
    let begun = SystemTime::now();
    ask(gateway, "POST", "/v1/sessions", "", Some(&json!({ "email": email }))).await?;
    let end = Instant::now() + Duration::from_secs(20);
    let code = loop {
        if let Some(code) = newest_code(Path::new(mails), email, begun)? {
            break code;
        }
        ensure!(Instant::now() < end, "no mail with a code came for {email}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let session =
        ask(gateway, "POST", "/v1/sessions", "", Some(&json!({ "email": email, "code": code }))).await?;
    session["access_token"].as_str().map(str::to_owned).context("a session without a token")
}

fn newest_code(mails: &Path, email: &str, since: SystemTime) -> Result<Option<String>> {
    for entry in std::fs::read_dir(mails)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().contains("-sign_in_code-")
            || entry.metadata()?.modified()? < since
        {
            continue;
        }
        let mail = std::fs::read_to_string(entry.path())?;
        let Some((_, body)) = mail.split_once("\r\n\r\n").filter(|(head, _)| head.contains(email)) else {
            continue;
        };
        let words = body.split(|c: char| !c.is_ascii_alphanumeric());
        let code =
            words.filter(|w| w.len() == 6 && w.bytes().all(|b| b.is_ascii_digit())).map(str::to_owned).next();
        if code.is_some() {
            return Ok(code);
        }
    }
    Ok(None)
}
