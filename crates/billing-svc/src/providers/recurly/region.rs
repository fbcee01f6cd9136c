//! Where a site's data is kept: a key of one region is refused in the other.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    #[default]
    Us,
    Eu,
}

impl Region {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Eu => "eu",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Us, Self::Eu].into_iter().find(|region| region.as_str() == text)
    }

    /// Where the region's API answers.
    pub fn base(self) -> &'static str {
        match self {
            Self::Us => "https://v3.recurly.com",
            Self::Eu => "https://v3.eu.recurly.com",
        }
    }
}
