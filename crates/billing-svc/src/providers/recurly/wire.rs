//! Recurly's JSON, as of the version we pin: only the fields we read, and the bodies we send.

use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decimal::Decimal;

#[derive(Debug, Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub has_more: bool,
    /// Where the next page is, cursor and all.
    #[serde(default)]
    pub next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Identified {
    pub id: String,
}

#[derive(Debug, Deserialize)]
pub struct Site {
    pub id: String,
    pub subdomain: String,
    /// `development`, `sandbox`, `production`.
    pub mode: String,
    pub address: Option<Address>,
}

#[derive(Debug, Deserialize)]
pub struct Address {
    pub country: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Account {
    pub id: String,
    pub code: String,
    pub state: Option<String>,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub preferred_locale: Option<String>,
    pub address: Option<Address>,
    #[serde(default)]
    pub custom_fields: Option<Vec<CustomField>>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub struct CustomField {
    pub name: String,
    pub value: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Subscription {
    pub id: String,
    pub account: Identified,
    pub plan: PlanMini,
    pub state: String,
    pub currency: String,
    pub unit_amount: Option<Decimal>,
    pub quantity: Option<u32>,
    #[serde(default)]
    pub add_ons: Option<Vec<Value>>,
    pub add_ons_total: Option<Decimal>,
    #[serde(default)]
    pub ramp_intervals: Option<Vec<Value>>,
    pub current_period_started_at: Option<Timestamp>,
    pub current_period_ends_at: Option<Timestamp>,
    pub trial_started_at: Option<Timestamp>,
    pub trial_ends_at: Option<Timestamp>,
    /// Also while the pause waits for the renewal, as the two fields after it.
    pub remaining_pause_cycles: Option<u32>,
    pub paused_at: Option<Timestamp>,
    pub resume_at: Option<Timestamp>,
    pub pending_change: Option<Change>,
    /// The end of one that is `canceled`, the day it ended of one that is `expired`.
    pub expires_at: Option<Timestamp>,
    pub activated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub struct PlanMini {
    pub id: String,
    pub code: String,
}

#[derive(Debug, Deserialize)]
pub struct Change {
    pub plan: Option<PlanMini>,
    pub activate_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Plan {
    pub code: String,
    pub name: String,
    pub state: Option<String>,
    /// `days`, `months`.
    pub interval_unit: Option<String>,
    pub interval_length: Option<u32>,
    #[serde(default)]
    pub currencies: Option<Vec<PlanPrice>>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct PlanPrice {
    pub currency: String,
    pub unit_amount: Option<Decimal>,
}

#[derive(Debug, Deserialize)]
pub struct Coupon {
    pub id: String,
    pub code: String,
    pub name: Option<String>,
    /// `redeemable`, `maxed_out`, `expired`.
    pub state: Option<String>,
    /// `forever`, `single_use`, `temporal`, `billing_periods`.
    pub duration: Option<String>,
    pub temporal_amount: Option<u32>,
    pub temporal_unit: Option<String>,
    pub discount: Option<CouponDiscount>,
    pub applies_to_all_plans: Option<bool>,
    #[serde(default)]
    pub plans: Option<Vec<PlanMini>>,
    pub redeem_by: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct CouponDiscount {
    /// `percent`, `fixed`, `free_trial`.
    #[serde(rename = "type")]
    pub kind: String,
    pub percent: Option<u32>,
    #[serde(default)]
    pub currencies: Option<Vec<CouponAmount>>,
}

#[derive(Debug, Deserialize)]
pub struct CouponAmount {
    pub currency: String,
    pub amount: Decimal,
}

#[derive(Debug, Deserialize)]
pub struct Redemption {
    pub id: String,
    /// None where it holds for the whole account.
    pub subscription_id: Option<String>,
    pub coupon: Coupon,
    /// `active`, `inactive`.
    pub state: Option<String>,
    pub remaining_duration: Option<Remaining>,
    pub created_at: Timestamp,
}

impl Redemption {
    pub fn is_active(&self) -> bool {
        self.state.as_deref() == Some("active")
    }
}

#[derive(Debug, Deserialize)]
pub struct Remaining {
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub struct Invoice {
    pub id: String,
    #[serde(default)]
    pub subscription_ids: Option<Vec<String>>,
    pub state: Option<String>,
    pub currency: Option<String>,
    pub total: Option<Decimal>,
    /// By payments; what was paid with credits is not in it.
    pub paid: Option<Decimal>,
    pub refundable_amount: Option<Decimal>,
    pub customer_notes: Option<String>,
    pub due_at: Option<Timestamp>,
    /// When it was paid.
    pub closed_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
}

impl Invoice {
    /// An amount of it.
    pub fn money(&self, amount: Option<&Decimal>) -> anyhow::Result<Option<Money>> {
        let (Some(amount), Some(code)) = (amount, &self.currency) else { return Ok(None) };
        amount.money(super::map::currency(code)?).map(Some)
    }
}

#[derive(Debug, Deserialize)]
pub struct Transaction {
    #[serde(default)]
    pub subscription_ids: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub struct LineItem {
    pub id: String,
    /// `pending` until an invoice takes it in.
    pub state: Option<String>,
    pub product_code: Option<String>,
    pub currency: Option<String>,
    pub unit_amount: Option<Decimal>,
}

/// A JSON notification: what happened to which object, and none of its fields.
#[derive(Debug, Deserialize)]
pub struct Notification {
    /// The object's id; the notification itself has none.
    pub id: Option<String>,
    pub object_type: String,
    pub event_type: String,
    pub event_time: Timestamp,
    pub uuid: Option<String>,
    pub account_code: Option<String>,
    pub invoice_number: Option<String>,
    pub subscription_uuid: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub transaction_error: Option<TransactionError>,
}

#[derive(Debug, Deserialize)]
pub struct TransactionError {
    pub code: Option<String>,
    pub decline_code: Option<String>,
}

/// An error as it comes: within `error`, or, as the description has it, bare.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ErrorBody {
    Within { error: Problem },
    Bare(Problem),
}

impl ErrorBody {
    pub fn problem(self) -> Problem {
        match self {
            Self::Within { error } | Self::Bare(error) => error,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct NewCoupon {
    pub code: String,
    pub name: String,
    pub discount_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currencies: Option<[NewCouponAmount; 1]>,
    pub duration: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temporal_amount: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temporal_unit: Option<&'static str>,
    pub redemption_resource: &'static str,
    pub applies_to_all_plans: bool,
    pub applies_to_non_plan_charges: bool,
    pub max_redemptions: u32,
}

#[derive(Debug, Serialize)]
pub struct NewCouponAmount {
    pub currency: String,
    pub discount: Decimal,
}

#[derive(Debug, Serialize)]
pub struct NewRedemption<'a> {
    pub coupon_id: &'a str,
    pub currency: &'a str,
    pub subscription_id: &'a str,
}

#[derive(Debug, Serialize)]
pub struct NewLineItem<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub currency: &'a str,
    pub unit_amount: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_reason_code: Option<&'static str>,
    pub description: &'static str,
    pub product_code: String,
}

#[derive(Debug, Serialize)]
pub struct NewRefund {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub amount: Decimal,
    pub refund_method: &'static str,
    pub credit_customer_notes: String,
}

#[derive(Debug, Serialize)]
pub struct NewChange<'a> {
    pub timeframe: &'static str,
    pub plan_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proration_settings: Option<Proration>,
}

#[derive(Debug, Serialize)]
pub struct Proration {
    pub charge: &'static str,
    pub credit: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Cycles {
    pub remaining_pause_cycles: u32,
}

#[derive(Debug, Serialize)]
pub struct NextBill {
    pub next_bill_date: Timestamp,
}

#[derive(Debug, Serialize)]
pub struct Cancel {
    pub timeframe: &'static str,
}
