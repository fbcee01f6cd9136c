//! A person, and their place in a company: role, permissions, whether they are let in.

use kit::{Role, Timestamp};
use serde::{Deserialize, Serialize};

/// Somebody who can sign in. Belongs to the installation: one person may serve several companies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub email: String,
    /// The address as it is compared.
    pub email_key: String,
    pub name: String,
    pub avatar_url: String,
    pub locale: String,
    pub time_zone: String,
    /// Operates the installation.
    pub kale_admin: bool,
    #[serde(default, with = "store::time::option")]
    pub last_seen_at: Option<Timestamp>,
    /// The company of the last session, which the next one is for.
    pub last_company: Option<String>,
}

impl Person {
    pub fn new(email: &str, name: &str, locale: &str, time_zone: &str) -> Self {
        let or = |text: &str, default: &str| if text.is_empty() { default.into() } else { text.to_owned() };
        Self {
            email: email.trim().to_owned(),
            email_key: email_key(email),
            name: name.to_owned(),
            avatar_url: String::new(),
            locale: or(locale, "en"),
            time_zone: or(time_zone, "UTC"),
            kale_admin: false,
            last_seen_at: None,
            last_company: None,
        }
    }

    /// The profile with the wanted changes; what is none stays.
    pub fn with(&self, change: ProfileChange) -> Self {
        let mut p = self.clone();
        let ProfileChange { name, avatar_url, locale, time_zone } = change;
        p.name = name.unwrap_or(p.name);
        p.avatar_url = avatar_url.unwrap_or(p.avatar_url);
        p.locale = locale.unwrap_or(p.locale);
        p.time_zone = time_zone.unwrap_or(p.time_zone);
        p
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    pub name: Option<String>,
    pub avatar_url: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

/// Whether a person is let in to a company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Active,
    Suspended,
    Removed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
        }
    }
}

/// What a person may do beyond their role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    pub product_upload_permitted: bool,
    pub publish_live: bool,
    pub see_personal_data: bool,
}

impl Permissions {
    /// Whatever there is.
    pub fn all() -> Self {
        Self { product_upload_permitted: true, publish_live: true, see_personal_data: true }
    }

    /// What both allow.
    pub fn within(self, most: Self) -> Self {
        Self {
            product_upload_permitted: self.product_upload_permitted && most.product_upload_permitted,
            publish_live: self.publish_live && most.publish_live,
            see_personal_data: self.see_personal_data && most.see_personal_data,
        }
    }

    /// Those that are given, by name.
    pub fn names(self) -> Vec<String> {
        let Self { product_upload_permitted, publish_live, see_personal_data } = self;
        let all = [
            (product_upload_permitted, "product_upload_permitted"),
            (publish_live, "publish_live"),
            (see_personal_data, "see_personal_data"),
        ];
        all.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned()).collect()
    }

    /// What the audit trail keeps.
    pub fn shown(self) -> serde_json::Value {
        serde_json::json!({
            "product_upload_permitted": self.product_upload_permitted,
            "publish_live": self.publish_live, "see_personal_data": self.see_personal_data,
        })
    }
}

/// A person's place in one company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub user_id: String,
    pub role: Role,
    pub status: Status,
    pub permissions: Permissions,
    /// Since when role and status are what they are: sessions begun before are over.
    #[serde(default, with = "store::time::option")]
    pub since: Option<Timestamp>,
}

impl Member {
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// Whether the company counts on this one as its admin.
    pub fn is_admin(&self) -> bool {
        self.is_active() && self.role == Role::RetAdmin
    }

    /// The grants as tokens carry them. Uploading needs the company's switch as well, and an expert has no more than the
    /// company allows experts.
    pub fn grants(&self, uploads_enabled: bool, expert_rights: Permissions) -> Vec<String> {
        let most = if self.role == Role::RetExp { expert_rights } else { Permissions::all() };
        let mut permitted = self.permissions.within(most);
        permitted.product_upload_permitted &= uploads_enabled;
        permitted.names()
    }
}

/// An address as it is compared: without surrounding space, in lower case.
pub fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Whether a text can be an address of one person: nothing that would open a second header or a second recipient.
pub fn is_email(text: &str) -> bool {
    let text = text.trim();
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "<>(),;:\\\"[]".contains(c);
    match text.rsplit_once('@') {
        Some((local, domain)) => {
            let dotted = domain.split('.').all(|label| !label.is_empty());
            !local.is_empty()
                && local.len() <= 64
                && dotted
                && text.len() <= 254
                && !local.contains('@')
                && !text.chars().any(forbidden)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploading_needs_the_permission_and_the_switch() {
        let permissions = Permissions { product_upload_permitted: true, ..Permissions::default() };
        let status = Status::Active;
        let m = Member { user_id: "usr_1".into(), role: Role::RetExp, status, permissions, since: None };
        assert_eq!(m.grants(true, Permissions::all()), ["product_upload_permitted"]);
        assert!(m.grants(false, Permissions::all()).is_empty());
        assert!(m.grants(true, Permissions::default()).is_empty(), "the company allows experts nothing");
        let admin = Member { role: Role::RetAdmin, ..m };
        assert_eq!(admin.grants(true, Permissions::default()), ["product_upload_permitted"]);
    }

    #[test]
    fn an_address_is_one_address() {
        assert!(is_email("Ada@Example.com") && is_email("ops@localhost"));
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c.d", "a@b\r\nBcc: x@y", "<a@b>", "a@b,c@d", "a@b..c"]
        {
            assert!(!is_email(bad), "{bad}");
        }
        assert_eq!(email_key("  Ada@Example.com "), "ada@example.com");
    }
}
