//! A company: its settings, their rules, and the way between its states.

use kit::{Currency, FieldError, Mode, Timestamp};
use serde::{Deserialize, Serialize};

use crate::user_profiles::Permissions;

/// Where a company stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Active,
    Suspended,
    Closing,
    Closed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }

    /// Whether people may sign in: a suspended company's dashboard is read-only, not shut.
    pub fn admits(self) -> bool {
        !matches!(self, Self::Closed)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Company {
    pub name: String,
    pub slug: String,
    pub status: Status,
    pub public_key: String,
    pub domain: String,
    pub logo_url: String,
    pub plan: String,
    pub default_currency: String,
    pub time_zone: String,
    pub locales: Vec<String>,
    pub regions: Vec<String>,
    pub widget_origins: Vec<String>,
    pub product_upload_enabled: bool,
    pub raw_data_days: u32,
    /// In other modes no key works and no person acts.
    #[serde(default = "both_modes")]
    pub modes: Vec<Mode>,
    /// The most an expert may be permitted here, whatever their own permissions say.
    #[serde(default = "Permissions::all")]
    pub expert_rights: Permissions,
    /// When a closing company is closed for good.
    #[serde(default, with = "store::time::option")]
    pub closes_at: Option<Timestamp>,
    /// Sessions that began before this are over.
    #[serde(default, with = "store::time::option")]
    pub sessions_since: Option<Timestamp>,
    /// Nobody is let in but by single sign-on; set with its settings.
    #[serde(default)]
    pub sso_required: bool,
    /// Rises whenever an admin may get lost, so that two of them cannot remove each other at once.
    pub admins_epoch: i64,
}

fn both_modes() -> Vec<Mode> {
    vec![Mode::Live, Mode::Test]
}

/// What a caller wants changed; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub name: Option<String>,
    pub domain: Option<String>,
    pub logo_url: Option<String>,
    pub plan: Option<String>,
    pub default_currency: Option<String>,
    pub time_zone: Option<String>,
    pub locales: Option<Vec<String>>,
    pub regions: Option<Vec<String>>,
    pub widget_origins: Option<Vec<String>>,
    pub product_upload_enabled: Option<bool>,
    pub raw_data_days: Option<u32>,
    pub modes: Option<Vec<Mode>>,
    pub expert_rights: Option<Permissions>,
}

impl Company {
    /// A company as it is created: pending until its first admin is there.
    pub fn new(name: String, slug: String, public_key: String) -> Self {
        let slug = if slug.is_empty() { slug_of(&name) } else { slug };
        Self {
            name,
            slug,
            status: Status::Pending,
            public_key,
            domain: String::new(),
            logo_url: String::new(),
            plan: String::new(),
            default_currency: String::from("USD"),
            time_zone: String::from("UTC"),
            locales: vec![String::from("en")],
            regions: Vec::new(),
            widget_origins: Vec::new(),
            product_upload_enabled: false,
            raw_data_days: 400,
            modes: both_modes(),
            expert_rights: Permissions::all(),
            closes_at: None,
            sessions_since: None,
            sso_required: false,
            admins_epoch: 0,
        }
    }

    /// The company with the wanted changes.
    pub fn with(&self, wanted: Wanted) -> Self {
        let mut c = self.clone();
        let Wanted {
            name,
            domain,
            logo_url,
            plan,
            default_currency,
            time_zone,
            locales,
            regions,
            widget_origins,
            product_upload_enabled,
            raw_data_days,
            modes,
            expert_rights,
        } = wanted;
        c.name = name.unwrap_or(c.name);
        c.domain = domain.unwrap_or(c.domain);
        c.logo_url = logo_url.unwrap_or(c.logo_url);
        c.plan = plan.unwrap_or(c.plan);
        c.default_currency = default_currency.unwrap_or(c.default_currency);
        c.time_zone = time_zone.unwrap_or(c.time_zone);
        c.locales = locales.unwrap_or(c.locales);
        c.regions = regions.unwrap_or(c.regions);
        c.widget_origins = widget_origins.unwrap_or(c.widget_origins);
        c.product_upload_enabled = product_upload_enabled.unwrap_or(c.product_upload_enabled);
        c.raw_data_days = raw_data_days.unwrap_or(c.raw_data_days);
        c.modes = modes.unwrap_or(c.modes);
        c.expert_rights = expert_rights.unwrap_or(c.expert_rights);
        c
    }

    /// Everything that is wrong with the settings.
    pub fn wrong(&self) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        if self.slug.is_empty() {
            wrong.push(FieldError::new("slug", "slug.empty", "give a slug: the name has no letters for one"));
        }
        if Currency::parse(&self.default_currency).is_none() {
            wrong.push(FieldError::new("default_currency", "currency.unknown", "is no ISO 4217 currency"));
        }
        if !is_time_zone(&self.time_zone) {
            wrong.push(FieldError::new("time_zone", "time_zone.unknown", "is no IANA time zone"));
        }
        if self.locales.is_empty() {
            wrong.push(FieldError::new("locales", "repeated.min_items", "name at least one"));
        }
        for (i, origin) in self.widget_origins.iter().enumerate().filter(|(_, o)| !is_origin(o)) {
            let text = format!("{origin} is no origin such as https://www.example.com");
            wrong.push(FieldError::new(format!("widget_origins[{i}]"), "origin", text));
        }
        if self.modes.is_empty() {
            wrong.push(FieldError::new("modes", "repeated.min_items", "enable at least one"));
        }
        if !self.logo_url.is_empty() && !self.logo_url.starts_with("https://") {
            wrong.push(FieldError::new("logo_url", "url.https", "must begin with https://"));
        }
        wrong
    }

    /// Kept out of service until reactivated; none where that is no way from here.
    pub fn suspended(&self) -> Option<Self> {
        (self.status == Status::Active).then(|| Self { status: Status::Suspended, ..self.clone() })
    }

    /// In service again, from a suspension or out of a closing's time of grace.
    pub fn reactivated(&self) -> Option<Self> {
        matches!(self.status, Status::Suspended | Status::Closing).then(|| Self {
            status: Status::Active,
            closes_at: None,
            ..self.clone()
        })
    }

    /// On the way out: every session ends now, the company itself after the time of grace, in which the closing can be
    /// taken back and the data exported.
    pub fn closing(&self, now: Timestamp, grace_days: i64) -> Option<Self> {
        (!matches!(self.status, Status::Closing | Status::Closed)).then(|| Self {
            status: Status::Closing,
            closes_at: Some(kit::time::add_days(now, grace_days)),
            sessions_since: Some(now),
            ..self.clone()
        })
    }

    /// Closed for good, when its time of grace is over.
    pub fn closed(&self, now: Timestamp) -> Option<Self> {
        let over = self.status == Status::Closing && self.closes_at.is_some_and(|at| at <= now);
        over.then(|| Self { status: Status::Closed, ..self.clone() })
    }
}

/// `Telco Demo, Inc.` → `telco-demo-inc`.
fn slug_of(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    let mut slug = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
    slug.truncate(60);
    slug.trim_end_matches('-').to_owned()
}

/// By shape: the machine a service runs on may have no table of zones.
pub fn is_time_zone(name: &str) -> bool {
    let word = |w: &str| {
        !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    name == "UTC" || (name.contains('/') && name.split('/').all(word))
}

/// Scheme, host and perhaps a port, nothing more; plain HTTP on the own machine only.
fn is_origin(origin: &str) -> bool {
    let host = |text: &str| {
        let (name, port) = text.split_once(':').unwrap_or((text, "443"));
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
            && port.parse::<u16>().is_ok()
    };
    match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(rest), _) => host(rest),
        (_, Some(rest)) => host(rest) && (rest.starts_with("localhost") || rest.starts_with("127.0.0.1")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_comes_from_the_name() {
        let c = Company::new("Telco Demo, Inc.".into(), String::new(), "cpk_1".into());
        assert_eq!((c.slug.as_str(), c.status), ("telco-demo-inc", Status::Pending));
        assert!(c.wrong().is_empty());
        assert_eq!(Company::new("日本".into(), String::new(), "cpk_1".into()).wrong()[0].field, "slug");
    }

    #[test]
    fn wrong_settings_are_named() {
        let wanted = Wanted {
            default_currency: Some("XQX".into()),
            time_zone: Some("Berlin; drop".into()),
            locales: Some(vec![]),
            widget_origins: Some(vec!["https://ok.example".into(), "http://evil.example".into()]),
            logo_url: Some("javascript:alert(1)".into()),
            ..Wanted::default()
        };
        let wrong = Company::new("A".into(), String::new(), "k".into()).with(wanted).wrong();
        let fields: Vec<_> = wrong.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["default_currency", "time_zone", "locales", "widget_origins[1]", "logo_url"]);
    }

    #[test]
    fn only_an_active_company_can_be_suspended() {
        let pending = Company::new("A".into(), String::new(), "k".into());
        assert!(pending.suspended().is_none() && pending.reactivated().is_none());
        let active = Company { status: Status::Active, ..pending };
        assert_eq!(active.suspended().and_then(|c| c.reactivated()), Some(active));
    }

    #[test]
    fn a_closing_company_can_come_back_for_fourteen_days() {
        let at = |days| kit::time::add_days(Timestamp::from_second(1_700_000_000).unwrap(), days);
        let active =
            Company { status: Status::Active, ..Company::new("A".into(), String::new(), "k".into()) };
        let closing = active.suspended().unwrap().closing(at(0), 14).unwrap();
        assert_eq!((closing.closes_at, closing.sessions_since), (Some(at(14)), Some(at(0))));
        assert!(closing.closing(at(1), 14).is_none() && closing.suspended().is_none());
        assert!(closing.closed(at(13)).is_none());
        assert_eq!(closing.reactivated().unwrap().status, Status::Active);
        let closed = closing.closed(at(14)).unwrap();
        assert!(closed.reactivated().is_none() && !closed.status.admits());
    }
}
