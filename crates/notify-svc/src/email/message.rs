//! A rendered mail as a message: headers through the typed builder only, so that nothing a company or customer wrote
//! makes a header of its own.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use kit::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

use super::render::Rendered;

/// Whom our mails are from.
#[derive(Clone, Debug)]
pub struct From {
    name: Option<String>,
    address: Address,
}

impl From {
    /// Reads `Retention Stack <no-reply@example.com>`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mailbox: Mailbox = text.parse().with_context(|| format!("{text} is no mail address"))?;
        Ok(Self { name: mailbox.name, address: mailbox.email })
    }
}

/// A message on its way out.
pub struct Envelope {
    pub message: Message,
    /// The mail's id; the Message-ID is made from it.
    pub id: String,
    pub template: String,
    pub created_at: Timestamp,
}

/// Puts a message together; an error says that it can never be sent.
pub fn build(
    from: &From,
    from_name: &str,
    to: &str,
    id: &str,
    template: &str,
    created_at: Timestamp,
    rendered: Rendered,
) -> anyhow::Result<Envelope> {
    let to: Address = to.trim().parse().context("the recipient's address cannot be read")?;
    let name = if from_name.is_empty() { from.name.clone() } else { Some(one_line(from_name)) };
    let sender = Mailbox::new(name, from.address.clone());
    let message_id = format!("<{id}@{}>", from.address.domain());
    let seconds = u64::try_from(created_at.as_second()).unwrap_or(0);
    let header = |name, value: &str| HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
    let message = Message::builder()
        .from(sender.clone())
        .reply_to(sender)
        .to(Mailbox::new(None, to))
        .subject(one_line(&rendered.subject))
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(message_id))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"))
        .multipart(MultiPart::alternative_plain_html(rendered.text, rendered.html))
        .context("the message cannot be put together")?;
    Ok(Envelope { message, id: id.to_owned(), template: template.to_owned(), created_at })
}

/// Text for a header: line ends and other controls become spaces.
fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(subject: &str, from_name: &str, to: &str) -> anyhow::Result<String> {
        let from = From::parse("Retention Stack <no-reply@mail.example>").unwrap();
        let rendered = Rendered { subject: subject.into(), html: "<p>hi</p>".into(), text: "hi".into() };
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let envelope = build(&from, from_name, to, "mal_1", "sign_in_code", at, rendered)?;
        Ok(String::from_utf8(envelope.message.formatted()).unwrap())
    }

    #[test]
    fn the_headers_are_ours() {
        let text = built("Hello", "", "ada@example.com").unwrap();
        for line in [
            "From: \"Retention Stack\" <no-reply@mail.example>",
            "To: ada@example.com",
            "Message-ID: <mal_1@mail.example>",
            "Auto-Submitted: auto-generated",
            "X-Auto-Response-Suppress: All",
            "MIME-Version: 1.0",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000",
        ] {
            assert!(text.contains(&format!("{line}\r\n")), "{line} in\n{text}");
        }
    }

    #[test]
    fn nobody_writes_headers_through_a_value() {
        let text =
            built("Hi\r\nBcc: spy@evil.example", "Evil\nBcc: spy@evil.example", "ada@example.com").unwrap();
        assert!(!text.lines().any(|l| l.to_ascii_lowercase().starts_with("bcc:")), "{text}");
        assert!(built("Hi", "", "ada@example.com\r\nBcc: spy@evil.example").is_err());
        assert!(built("Hi", "", "ada@example.com, spy@evil.example").is_err());
    }
}
