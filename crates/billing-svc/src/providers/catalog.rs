//! What a provider sells: the material of offers.

use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::act::{Cut, Term};
use super::snapshot::Interval;

/// Plans, their prices, and coupons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    pub plans: Vec<Plan>,
    pub prices: Vec<Price>,
    pub coupons: Vec<Coupon>,
}

/// What is sold (Stripe: product).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub id: String,
    pub name: String,
    pub active: bool,
}

/// One recurring price of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub id: String,
    pub plan: String,
    pub name: String,
    /// Per interval and unit; none where tiers decide.
    pub amount: Option<Money>,
    pub interval: Interval,
    pub interval_count: u32,
    pub active: bool,
}

/// A discount to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    pub id: String,
    pub name: String,
    pub cut: Cut,
    pub term: Term,
    pub redeem_by: Option<Timestamp>,
    /// Can be applied now.
    pub valid: bool,
}
