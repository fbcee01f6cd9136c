//! Chargebee's JSON: only the fields we read. What a site does not use is left out of its answers, so most may be missing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// An answer is wrapped by type, and holds what else the request touched.
#[derive(Debug, Default, Deserialize)]
pub struct Wrapped {
    pub subscription: Option<Subscription>,
    pub customer: Option<Customer>,
    pub discount: Option<Discount>,
    pub coupon: Option<Coupon>,
    pub item: Option<Item>,
    pub item_price: Option<ItemPrice>,
    pub plan: Option<Plan>,
    pub promotional_credit: Option<PromotionalCredit>,
    pub invoice: Option<Invoice>,
    pub credit_note: Option<CreditNote>,
    pub event: Option<Event>,
}

#[derive(Debug, Deserialize)]
pub struct List {
    pub list: Vec<Wrapped>,
    pub next_offset: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Subscription {
    pub id: String,
    pub customer_id: String,
    pub status: String,
    pub currency_code: Option<String>,
    /// Product Catalog 2.0.
    #[serde(default)]
    pub subscription_items: Vec<SubscriptionItem>,
    /// Product Catalog 1.0, as are the other `plan_` fields and the add-ons.
    pub plan_id: Option<String>,
    pub plan_quantity: Option<u32>,
    pub plan_unit_price: Option<i64>,
    #[serde(default)]
    pub addons: Vec<Addon>,
    pub billing_period: Option<u32>,
    pub billing_period_unit: Option<String>,
    pub trial_end: Option<i64>,
    pub current_term_start: Option<i64>,
    pub current_term_end: Option<i64>,
    pub next_billing_at: Option<i64>,
    pub pause_date: Option<i64>,
    pub resume_date: Option<i64>,
    pub cancelled_at: Option<i64>,
    pub started_at: Option<i64>,
    pub created_at: Option<i64>,
    pub due_invoices_count: Option<u32>,
    pub due_since: Option<i64>,
    #[serde(default)]
    pub has_scheduled_changes: bool,
    pub changes_scheduled_at: Option<i64>,
    #[serde(default)]
    pub coupons: Vec<AppliedCoupon>,
    #[serde(default)]
    pub discounts: Vec<Discount>,
    pub resource_version: Option<i64>,
    #[serde(default)]
    pub deleted: bool,
}

#[derive(Debug, Deserialize)]
pub struct SubscriptionItem {
    pub item_price_id: String,
    /// `plan`, `addon`, `charge`.
    pub item_type: String,
    pub quantity: Option<u32>,
    pub unit_price: Option<i64>,
    pub billing_period: Option<u32>,
    pub billing_period_unit: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Addon {
    pub quantity: Option<u32>,
    pub unit_price: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct AppliedCoupon {
    pub coupon_id: String,
}

/// A discount that is applied: by a coupon, or by hand.
#[derive(Clone, Debug, Deserialize)]
pub struct Discount {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub percentage: Option<f64>,
    pub amount: Option<i64>,
    pub currency_code: Option<String>,
    pub duration_type: String,
    pub period: Option<u32>,
    pub period_unit: Option<String>,
    pub created_at: i64,
    pub apply_till: Option<i64>,
    pub coupon_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Coupon {
    pub id: String,
    pub name: Option<String>,
    pub discount_type: String,
    pub discount_percentage: Option<f64>,
    pub discount_amount: Option<i64>,
    pub currency_code: Option<String>,
    pub duration_type: String,
    pub period: Option<u32>,
    pub period_unit: Option<String>,
    /// What `period` was before it had a unit.
    pub duration_month: Option<u32>,
    pub valid_till: Option<i64>,
    pub status: Option<String>,
}

#[derive(Deserialize)]
pub struct Customer {
    pub id: String,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub preferred_currency_code: Option<String>,
    pub locale: Option<String>,
    pub billing_address: Option<Address>,
    pub created_at: Option<i64>,
    pub resource_version: Option<i64>,
    #[serde(default)]
    pub deleted: bool,
    #[serde(default)]
    pub meta_data: BTreeMap<String, Value>,
}

impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Customer").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
pub struct Address {
    pub country: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Item {
    pub id: String,
    pub name: Option<String>,
    pub status: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct ItemPrice {
    pub id: String,
    pub name: Option<String>,
    pub item_id: Option<String>,
    pub status: Option<String>,
    pub pricing_model: Option<String>,
    pub price: Option<i64>,
    pub currency_code: Option<String>,
    pub period: Option<u32>,
    pub period_unit: Option<String>,
}

/// Product Catalog 1.0: plan and price in one.
#[derive(Debug, Deserialize)]
pub struct Plan {
    pub id: String,
    pub name: Option<String>,
    pub status: Option<String>,
    pub pricing_model: Option<String>,
    pub price: Option<i64>,
    pub currency_code: Option<String>,
    pub period: Option<u32>,
    pub period_unit: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct PromotionalCredit {
    pub id: String,
    /// `increment`, `decrement`.
    #[serde(rename = "type")]
    pub kind: String,
    pub amount: i64,
    pub currency_code: String,
    pub reference: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Invoice {
    pub id: String,
    pub currency_code: Option<String>,
    pub paid_at: Option<i64>,
    #[serde(default)]
    pub linked_payments: Vec<Linked>,
}

/// A payment of an invoice, or a refund of a credit note.
#[derive(Debug, Deserialize)]
pub struct Linked {
    #[serde(default)]
    pub applied_amount: i64,
    pub txn_status: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct CreditNote {
    pub id: String,
    pub reference_invoice_id: Option<String>,
    /// `adjustment`, `refundable`, `store`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub status: Option<String>,
    pub total: Option<i64>,
    #[serde(default)]
    pub linked_refunds: Vec<Linked>,
    pub notes: Option<Vec<String>>,
    pub customer_notes: Option<String>,
}

impl CreditNote {
    /// Whether what it says holds: one that was voided, or whose money the bank did not move, says nothing.
    pub fn stands(&self) -> bool {
        let failed =
            |r: &Linked| matches!(r.txn_status.as_deref(), Some("failure" | "late_failure" | "voided"));
        let moved = self.linked_refunds.is_empty() || !self.linked_refunds.iter().all(failed);
        self.status.as_deref() != Some("voided") && moved
    }

    /// Whether it carries this note.
    pub fn says(&self, note: &str) -> bool {
        self.notes.iter().flatten().chain(&self.customer_notes).any(|n| n == note)
    }
}

#[derive(Debug, Deserialize)]
pub struct Event {
    pub id: String,
    pub occurred_at: i64,
    pub event_type: String,
    #[serde(default)]
    pub api_version: Option<String>,
    #[serde(default)]
    pub object: Option<String>,
    #[serde(default)]
    pub content: Content,
}

/// What an event is about: of each object only what names it.
#[derive(Debug, Default, Deserialize)]
pub struct Content {
    pub subscription: Option<Named>,
    pub customer: Option<Named>,
    pub invoice: Option<Named>,
    pub transaction: Option<Named>,
    pub credit_note: Option<Named>,
}

#[derive(Debug, Deserialize)]
pub struct Named {
    pub id: Option<String>,
    pub customer_id: Option<String>,
    pub subscription_id: Option<String>,
    pub resource_version: Option<i64>,
    pub amount: Option<i64>,
    pub currency_code: Option<String>,
    /// A transaction's.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// A credit note's.
    pub reason_code: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct ErrorBody {
    #[serde(default)]
    pub message: String,
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub api_error_code: String,
    pub param: Option<String>,
}
