//! What content must know of offers before it promises them: whether they may be had at all.

use std::collections::HashMap;

use async_trait::async_trait;
use kit::locale::LocalText;
use kit::{Caller, Fault};

/// An offer, as far as a page that shows it is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferFacts {
    /// Customers can have it.
    pub active: bool,
    /// Such as `discount`.
    pub kind: String,
    /// A connected provider can carry it out.
    pub supported: bool,
    pub name: String,
    /// What a customer reads first,
    pub text: LocalText,
    /// the terms in plain words,
    pub terms_text: LocalText,
    /// and their hash.
    pub terms_hash: String,
}

/// Where offers are known.
#[async_trait]
pub trait Offers: Send + Sync {
    /// The offers of these ids; unknown ones are left out.
    async fn look_up(&self, caller: &Caller, ids: &[&str]) -> Result<HashMap<String, OfferFacts>, Fault>;
}
