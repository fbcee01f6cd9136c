//! Stripe's JSON, as of the version we pin: only the fields we read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub has_more: bool,
}

/// A reference: the id, or the whole object where it was asked to be expanded.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Ref<T> {
    Id(String),
    Whole(Box<T>),
}

#[derive(Debug, Deserialize)]
pub struct Identified {
    pub id: String,
}

impl<T> Ref<T> {
    pub fn whole(&self) -> Option<&T> {
        match self {
            Self::Id(_) => None,
            Self::Whole(object) => Some(object),
        }
    }
}

impl Ref<Identified> {
    pub fn id(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Whole(object) => &object.id,
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct Invoice {
    pub id: String,
    #[serde(default)]
    pub status_transitions: Option<StatusTransitions>,
    #[serde(default)]
    pub parent: Option<Parent>,
}

#[derive(Debug, Deserialize)]
pub struct StatusTransitions {
    pub paid_at: Option<i64>,
}

/// What an invoice was paid with.
#[derive(Debug, Deserialize)]
pub struct InvoicePayment {
    pub amount_paid: Option<i64>,
    pub currency: String,
    pub payment: Payment,
    #[serde(default)]
    pub invoice: Option<Ref<Invoice>>,
}

/// A payment by card or the like, as disputes name it.
#[derive(Debug, Deserialize)]
pub struct Charge {
    #[serde(default)]
    pub customer: Option<Ref<Identified>>,
    #[serde(default)]
    pub payment_intent: Option<Ref<Identified>>,
}

#[derive(Debug, Deserialize)]
pub struct Payment {
    #[serde(default)]
    pub payment_intent: Option<Ref<Identified>>,
    #[serde(default)]
    pub charge: Option<Ref<Identified>>,
}

#[derive(Debug, Deserialize)]
pub struct Refund {
    pub id: String,
    pub amount: i64,
    pub status: Option<String>,
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// A change of a customer's balance.
#[derive(Debug, Deserialize)]
pub struct BalanceTransaction {
    pub id: String,
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
pub struct Account {
    pub id: String,
    pub country: Option<String>,
    #[serde(default)]
    pub settings: Option<AccountSettings>,
    #[serde(default)]
    pub business_profile: Option<BusinessProfile>,
}

#[derive(Debug, Deserialize)]
pub struct AccountSettings {
    pub dashboard: Option<Dashboard>,
}

#[derive(Debug, Deserialize)]
pub struct Dashboard {
    pub display_name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct BusinessProfile {
    pub name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Customer {
    pub id: String,
    #[serde(default)]
    pub deleted: bool,
    pub email: Option<String>,
    pub name: Option<String>,
    pub currency: Option<String>,
    pub created: Option<i64>,
    pub address: Option<Address>,
    #[serde(default)]
    pub preferred_locales: Option<Vec<String>>,
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
pub struct Address {
    pub country: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Subscription {
    pub id: String,
    pub customer: Ref<Identified>,
    pub status: String,
    pub items: List<Item>,
    #[serde(default)]
    pub discounts: Vec<Ref<Discount>>,
    pub cancel_at: Option<i64>,
    #[serde(default)]
    pub cancel_at_period_end: bool,
    pub ended_at: Option<i64>,
    pub pause_collection: Option<PauseCollection>,
    pub trial_end: Option<i64>,
    pub start_date: Option<i64>,
    pub created: i64,
    pub schedule: Option<Ref<Schedule>>,
    /// Present while a change waits for its payment.
    pub pending_update: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub struct PauseCollection {
    pub resumes_at: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Item {
    pub id: String,
    pub price: Price,
    pub quantity: Option<u32>,
    pub current_period_start: Option<i64>,
    pub current_period_end: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Price {
    pub id: String,
    pub product: Ref<Identified>,
    pub currency: String,
    pub unit_amount: Option<i64>,
    pub recurring: Option<Recurring>,
    #[serde(default)]
    pub active: bool,
    pub nickname: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Recurring {
    pub interval: String,
    pub interval_count: u32,
}

#[derive(Debug, Deserialize)]
pub struct Product {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub active: bool,
}

#[derive(Debug, Deserialize)]
pub struct Discount {
    pub id: String,
    pub source: Source,
    pub start: i64,
    pub end: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Source {
    pub coupon: Option<Ref<Coupon>>,
}

#[derive(Debug, Deserialize)]
pub struct Coupon {
    pub id: String,
    pub name: Option<String>,
    pub percent_off: Option<f64>,
    pub amount_off: Option<i64>,
    pub currency: Option<String>,
    pub duration: String,
    pub duration_in_months: Option<u32>,
    pub redeem_by: Option<i64>,
    #[serde(default)]
    pub valid: bool,
}

#[derive(Debug, Deserialize)]
pub struct Schedule {
    #[serde(default)]
    pub phases: Vec<Phase>,
}

#[derive(Debug, Deserialize)]
pub struct Phase {
    pub start_date: i64,
    #[serde(default)]
    pub items: Vec<PhaseItem>,
}

#[derive(Debug, Deserialize)]
pub struct PhaseItem {
    pub price: Ref<Identified>,
}

#[derive(Debug, Deserialize)]
pub struct Event {
    pub id: String,
    pub object: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub created: i64,
    #[serde(default)]
    pub livemode: bool,
    /// The version the endpoint was set up with.
    #[serde(default)]
    pub api_version: Option<String>,
    pub data: EventData,
}

#[derive(Debug, Deserialize)]
pub struct EventData {
    pub object: EventObject,
    /// Of what changed, what it was before.
    #[serde(default)]
    pub previous_attributes: Option<PreviousAttributes>,
}

#[derive(Debug, Deserialize)]
pub struct PreviousAttributes {
    pub amount_refunded: Option<i64>,
}

/// Whatever an event is about. Its shape follows the endpoint's version, which may be older than ours, so both places
/// of a reference are read, and little but references.
#[derive(Debug, Deserialize)]
pub struct EventObject {
    pub id: Option<String>,
    #[serde(default)]
    pub object: String,
    pub customer: Option<Ref<Identified>>,
    pub subscription: Option<Ref<Identified>>,
    pub parent: Option<Parent>,
    /// Of refunds and disputes; a refunded charge says it in `amount_refunded`.
    pub amount: Option<i64>,
    pub amount_refunded: Option<i64>,
    pub currency: Option<String>,
    pub invoice: Option<Ref<Identified>>,
    /// What a refund or a dispute is of.
    pub charge: Option<Ref<Identified>>,
}

#[derive(Debug, Deserialize)]
pub struct Parent {
    pub subscription_details: Option<SubscriptionDetails>,
}

#[derive(Debug, Deserialize)]
pub struct SubscriptionDetails {
    pub subscription: Option<Ref<Identified>>,
}

#[derive(Debug, Deserialize)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Debug, Deserialize)]
pub struct ErrorDetail {
    #[serde(rename = "type", default)]
    pub kind: String,
    pub code: Option<String>,
    pub decline_code: Option<String>,
    #[serde(default)]
    pub message: String,
}
