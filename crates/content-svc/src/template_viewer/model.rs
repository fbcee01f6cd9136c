//! How a page is looked at, and the links to it.

use aws_lc_rs::digest;
use kit::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Known;

/// For how many days a link is good when nobody says.
pub const DAYS: u32 = 7;

/// In what frame a page is looked at; it fits itself to each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    Phone,
    Tablet,
    #[default]
    Desktop,
}

impl Device {
    /// Width and height in CSS pixels.
    pub fn size(self) -> (u32, u32) {
        match self {
            Self::Phone => (390, 844),
            Self::Tablet => (820, 1180),
            Self::Desktop => (1280, 800),
        }
    }
}

/// How a page is looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The customer's own, or English, when empty.
    pub locale: String,
    pub device: Device,
    /// The customer's own when empty.
    pub region: String,
    pub offer_id: Option<String>,
    /// The frame the page is hosted in; none: ours.
    pub hosted_template_id: Option<String>,
}

/// A link to a preview. The token itself is nowhere kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareLink {
    pub token_hash: String,
    pub template_id: String,
    /// 0: the working copy, as it is when the link is opened.
    pub version: u32,
    pub drafts: bool,
    pub look: Look,
    /// Somebody made up; what they answered is in it.
    pub known: Known,
    pub author: String,
    #[serde(with = "store::time")]
    pub expires_at: Timestamp,
    #[serde(default, with = "store::time::option")]
    pub revoked_at: Option<Timestamp>,
}

/// Whether a link leads anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    Over,
}

impl ShareLink {
    pub fn standing(&self, now: Timestamp) -> Standing {
        if self.revoked_at.is_none() && now < self.expires_at { Standing::Good } else { Standing::Over }
    }
}

/// What is kept of a token.
pub fn hash(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_as_its_hash() {
        let kept = hash("token");
        assert!(kept.len() == 64 && hash("token") == kept && hash("other") != kept);
    }

    #[test]
    fn a_link_is_good_until_its_time_is_over_or_it_is_revoked() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let link = ShareLink {
            token_hash: hash("token"),
            template_id: "tpl_1".into(),
            version: 0,
            drafts: false,
            look: Look::default(),
            known: Known::default(),
            author: "user:usr_1".into(),
            expires_at: kit::time::add_days(now, 1),
            revoked_at: None,
        };
        assert_eq!(link.standing(now), Standing::Good);
        assert_eq!(link.standing(link.expires_at), Standing::Over);
        assert_eq!(ShareLink { revoked_at: Some(now), ..link }.standing(now), Standing::Over);
    }
}
