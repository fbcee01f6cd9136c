//! Pages as HTML: forms only, no script; everything a customer or a company wrote is escaped.

use std::sync::LazyLock;

use kit::Fault;
use minijinja::{Environment, context};

use super::screen::Screen;
use super::words::{direction, spoken, word};

/// Nothing but the page itself: no scripts, no frames, forms only to us.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' https:; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// The same for a page nobody was shown: its forms lead nowhere.
pub const PREVIEW_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' https:; \
    form-action 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox";

static PAGES: LazyLock<Result<Environment<'static>, minijinja::Error>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    // The name ends in .html: everything is escaped.
    pages.add_template("style.html", include_str!("style.html"))?;
    pages.add_template("page.html", include_str!("page.html"))?;
    pages.add_template("verify.html", include_str!("verify.html"))?;
    Ok(pages)
});

/// The page of a visit. `frame`: title and footer lines of the company's own frame; `action`: where forms go.
pub fn page(screen: &Screen, frame: Option<&Screen>, action: &str) -> Result<String, Fault> {
    let pages = PAGES.as_ref().map_err(|e| Fault::internal(anyhow::anyhow!("{e:#}")))?;
    let page = pages.get_template("page.html").map_err(Fault::internal)?;
    let theme = if screen.theme.is_empty() { frame.map(|f| &f.theme) } else { Some(&screen.theme) };
    let footer: Vec<&str> = frame
        .into_iter()
        .flat_map(|f| f.places.iter().filter(|p| p.name == "footer"))
        .flat_map(|p| p.cards.iter().flat_map(|c| c.pieces.iter()))
        .filter(|p| p.kind == "text")
        .map(|p| p.text.as_str())
        .collect();
    let values = context! {
        screen => minijinja::value::Serde(screen),
        theme => minijinja::value::Serde(theme.cloned().unwrap_or_default()),
        brand => frame.map(|f| f.title.as_str()),
        footer => minijinja::value::Serde(footer),
        action => action,
    };
    page.render(values).map_err(|e| Fault::internal(anyhow::anyhow!("{e:#}")))
}

/// Where somebody stands who shows who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Who is it?
    Who,
    /// Which code was mailed? `resend`: another one may be asked for; `wrong`: the last one was not it.
    Code { resend: bool, wrong: bool },
    /// People carry the wish out.
    Manual,
}

/// The page that asks who somebody is. `who`: what was said of it, by field.
pub fn verify(
    step: Step,
    company: &str,
    locale: &str,
    who: &[(&str, &str)],
    action: &str,
) -> Result<String, Fault> {
    let pages = PAGES.as_ref().map_err(|e| Fault::internal(anyhow::anyhow!("{e:#}")))?;
    let page = pages.get_template("verify.html").map_err(Fault::internal)?;
    let locale = spoken(locale);
    let say = |key: &str| word(key, locale);
    let (name, notice, again) = match step {
        Step::Who => ("who", "", ""),
        Step::Code { resend, wrong } => {
            let notice = if wrong { say("verify_wrong") } else { "" };
            ("code", notice, if resend { say("verify_again") } else { say("verify_manual") })
        }
        Step::Manual => ("manual", "", ""),
    };
    let who: Vec<_> = who.iter().map(|(name, value)| context! { name => *name, value => *value }).collect();
    let values = context! {
        step => name,
        company => company,
        locale => locale,
        direction => direction(locale),
        action => action,
        who => who,
        email => "",
        theme => context! {},
        say => context! {
            title => say(&format!("verify_{name}_title")),
            text => say(&format!("verify_{name}_text")),
            notice => notice,
            again => again,
            email => say("verify_email"),
            send => say("verify_send"),
            code => say("verify_code"),
            go => say("continue"),
        },
    };
    page.render(values).map_err(|e| Fault::internal(anyhow::anyhow!("{e:#}")))
}

/// The page for a link that does not work.
pub fn refusal(locale: &str) -> Result<String, Fault> {
    notice("refused", locale)
}

/// The page for a link to a preview that is over.
pub fn unshared(locale: &str) -> Result<String, Fault> {
    notice("unshared", locale)
}

fn notice(name: &str, locale: &str) -> Result<String, Fault> {
    let locale = spoken(locale);
    let say = |what: &str| word(&format!("{name}_{what}"), locale).to_owned();
    let piece = super::Piece { kind: "text", text: say("text"), ..super::Piece::default() };
    let card = super::CardView { id: String::new(), kind: "contact".into(), pieces: vec![piece] };
    let screen = Screen {
        locale: locale.to_owned(),
        direction: direction(locale),
        title: say("title"),
        notice: String::new(),
        places: vec![super::PlaceView { name: "main".into(), cards: vec![card] }],
        offer: None,
        can_cancel: false,
        cancel_label: String::new(),
        continue_url: String::new(),
        continue_label: String::new(),
        theme: Default::default(),
        node: String::new(),
    };
    page(&screen, None, "")
}
