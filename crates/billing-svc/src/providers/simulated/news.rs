//! What the simulated provider has to tell: what time did to its subscriptions, as its webhooks would say it.

use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::model::Contract;
use crate::providers::{ExternalId, Fact, FactKind, Heard, Said};

/// One piece of news. Its id follows from what happened, so that it is the same however often that is worked out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct News {
    pub id: String,
    /// Such as `payment.failed`.
    pub name: String,
    pub customer: String,
    pub subscription: String,
    #[serde(default)]
    pub invoice: Option<String>,
    #[serde(default)]
    pub amount: Option<Money>,
    #[serde(with = "store::time")]
    pub at: Timestamp,
}

/// The body of a call that tells it.
#[derive(Serialize, Deserialize)]
pub struct Notice {
    pub id: String,
    #[serde(rename = "type")]
    pub name: String,
    pub customer: Option<String>,
    pub subscription: Option<String>,
    pub occurred_at: Timestamp,
    #[serde(default)]
    pub version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
}

impl News {
    pub fn of(contract: &Contract, id: String, name: &str, at: Timestamp) -> Self {
        Self {
            id,
            name: name.to_owned(),
            customer: contract.customer.clone(),
            subscription: contract.external_id.clone(),
            invoice: None,
            amount: None,
            at,
        }
    }

    /// Whether it is about a payment that failed, or one that had.
    pub fn is_about_trouble(&self) -> bool {
        matches!(self.name.as_str(), "payment.failed" | "payment.recovered" | "subscription.ended")
    }

    /// The news as a call would have told it.
    pub fn heard(self) -> Heard {
        let Self { id, name, customer, subscription, invoice, amount, at } = self;
        let notice = Notice {
            id,
            name,
            customer: Some(customer),
            subscription: Some(subscription),
            occurred_at: at,
            // What happened is read anew: these do not say how old they are.
            version: 0,
            invoice,
            amount,
        };
        let raw = serde_json::to_string(&notice).unwrap_or_default();
        Heard { fact: notice.into(), raw }
    }
}

impl From<Notice> for Fact {
    fn from(notice: Notice) -> Self {
        let Notice { id, name, customer, subscription, occurred_at, version, invoice, amount: _ } = notice;
        let kind = match name.as_str() {
            "payment.failed" => FactKind::PaymentFailed,
            "payment.succeeded" | "payment.recovered" => FactKind::PaymentSucceeded,
            _ if subscription.is_some() => FactKind::Subscription,
            _ if customer.is_some() => FactKind::Customer,
            _ => FactKind::Other,
        };
        Self {
            id,
            kind,
            name,
            customer: customer.map(ExternalId::from),
            subscription: subscription.map(ExternalId::from),
            occurred_at,
            provider_version: version,
            live: None,
            said: Said { invoice: invoice.map(ExternalId::from), ..Said::default() },
        }
    }
}
