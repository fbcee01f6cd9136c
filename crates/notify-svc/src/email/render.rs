//! Templates: MJML with values put in by minijinja, HTML-escaped, in the reader's language; the text part is made from
//! the same content.

use std::collections::HashMap;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use mrml::prelude::render::RenderOptions;
use serde_json::Value;

use crate::error::{Error, Result};

/// The mails there are.
pub const TEMPLATES: [&str; 11] = [
    "Email_Notification_RA",
    "Email_Invitation_RE",
    "Offer_Code",
    "Segmentation_Data_Refresh",
    "sign_in_code",
    "hosted_code",
    "cancel_request_received",
    "recovery_retry_hint",
    "recovery_mail",
    "recovery_last_chance",
    "workflow_mail",
];

const LAYOUT: &str = include_str!("../../mails/layout.mjml");
const DEFAULT_LOCALE: &str = "en";

/// The languages: subjects, then one file per mail in the order of [`TEMPLATES`].
const LOCALES: [(&str, &str, [&str; 11]); 2] = [
    (
        "en",
        include_str!("../../mails/en/subjects.txt"),
        [
            include_str!("../../mails/en/Email_Notification_RA.mjml"),
            include_str!("../../mails/en/Email_Invitation_RE.mjml"),
            include_str!("../../mails/en/Offer_Code.mjml"),
            include_str!("../../mails/en/Segmentation_Data_Refresh.mjml"),
            include_str!("../../mails/en/sign_in_code.mjml"),
            include_str!("../../mails/en/hosted_code.mjml"),
            include_str!("../../mails/en/cancel_request_received.mjml"),
            include_str!("../../mails/en/recovery_retry_hint.mjml"),
            include_str!("../../mails/en/recovery_mail.mjml"),
            include_str!("../../mails/en/recovery_last_chance.mjml"),
            include_str!("../../mails/en/workflow_mail.mjml"),
        ],
    ),
    (
        "de",
        include_str!("../../mails/de/subjects.txt"),
        [
            include_str!("../../mails/de/Email_Notification_RA.mjml"),
            include_str!("../../mails/de/Email_Invitation_RE.mjml"),
            include_str!("../../mails/de/Offer_Code.mjml"),
            include_str!("../../mails/de/Segmentation_Data_Refresh.mjml"),
            include_str!("../../mails/de/sign_in_code.mjml"),
            include_str!("../../mails/de/hosted_code.mjml"),
            include_str!("../../mails/de/cancel_request_received.mjml"),
            include_str!("../../mails/de/recovery_retry_hint.mjml"),
            include_str!("../../mails/de/recovery_mail.mjml"),
            include_str!("../../mails/de/recovery_last_chance.mjml"),
            include_str!("../../mails/de/workflow_mail.mjml"),
        ],
    ),
];

/// A mail's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub subject: String,
    pub html: String,
    pub text: String,
}

/// All templates, read at start.
pub struct Templates {
    env: Environment<'static>,
    subjects: HashMap<String, &'static str>,
}

impl Templates {
    pub fn new() -> Result<Self> {
        let mut env = Environment::new();
        // A value that is not there shows as nothing; `if` asks for what may be missing.
        env.set_undefined_behavior(UndefinedBehavior::Lenient);
        env.set_auto_escape_callback(|name| {
            if name.ends_with(".mjml") { AutoEscape::Html } else { AutoEscape::None }
        });
        env.add_filter("link", link);
        env.add_filter("day", day);
        env.add_template("layout.mjml", LAYOUT).map_err(broken)?;
        let mut subjects = HashMap::new();
        for (locale, lines, bodies) in LOCALES {
            for (template, body) in TEMPLATES.into_iter().zip(bodies) {
                env.add_template_owned(format!("{locale}/{template}.mjml"), body).map_err(broken)?;
            }
            for (template, subject) in lines.lines().filter_map(|l| l.split_once(" = ")) {
                subjects.insert(format!("{locale}/{template}"), subject);
            }
        }
        Ok(Self { env, subjects })
    }

    /// A mail in the nearest language there is.
    pub fn render(&self, template: &str, locale: &str, values: &Value) -> Result<Rendered> {
        let language = locale.split('-').next().unwrap_or_default();
        let known = |l: &str| self.subjects.contains_key(&format!("{l}/{template}"));
        let language = [language, DEFAULT_LOCALE]
            .into_iter()
            .find(|l| known(l))
            .ok_or_else(|| Error::Template(template.to_owned()))?;
        let key = format!("{language}/{template}");
        let subject = self.subjects.get(&key).copied().unwrap_or_default();
        let shown = minijinja::Value::from(minijinja::value::Serde(values));
        let subject = self.env.render_named_str("subject.txt", subject, shown.clone()).map_err(broken)?;
        let body = self.env.get_template(&format!("{key}.mjml")).map_err(broken)?;
        let content = body.render(shown).map_err(broken)?;
        let layout = self.env.get_template("layout.mjml").map_err(broken)?;
        let company = values.get("company").and_then(Value::as_str).unwrap_or("Retention Stack");
        let inside = minijinja::value::Value::from_safe_string(content.clone());
        let whole =
            layout.render(minijinja::context! { content => inside, company, language }).map_err(broken)?;
        let parsed = mrml::parse(&whole).map_err(|e| Error::Render(e.to_string()))?;
        let html =
            parsed.element.render(&RenderOptions::default()).map_err(|e| Error::Render(e.to_string()))?;
        Ok(Rendered { subject, html, text: text_of(&content)? })
    }
}

/// An address for `href`: absolute and of the web, else a harmless one.
fn link(url: &str) -> String {
    let good = url.starts_with("https://") || url.starts_with("http://");
    if good && !url.chars().any(char::is_whitespace) { url.to_owned() } else { String::from("#") }
}

/// The day of a time in RFC 3339; what is none stays as it is.
fn day(time: &str) -> String {
    let parsed = time.parse::<kit::Timestamp>();
    parsed.map_or_else(|_| time.to_owned(), |t| t.strftime("%Y-%m-%d").to_string())
}

/// The text part: the same content, its blocks as plain HTML, laid out for 72 columns. Addresses stay whole, however
/// long they are: one over two lines leads nowhere.
fn text_of(content: &str) -> Result<String> {
    let plain = content
        .replace("<mj-text", "<p")
        .replace("</mj-text>", "</p>")
        .replace("<mj-button", "<p><a")
        .replace("</mj-button>", "</a></p>")
        .replace("<mj-table", "<table")
        .replace("</mj-table>", "</table>");
    html2text::config::plain()
        .no_link_wrapping()
        .string_from_read(plain.as_bytes(), 72)
        .map(|text| text.trim().to_owned() + "\n")
        .map_err(|e| Error::Render(e.to_string()))
}

fn broken(error: minijinja::Error) -> Error {
    Error::Render(format!("{error:#}"))
}
