//! Recurly's objects in our words. Pure: what was read, and when, goes in.

use anyhow::{Context, bail};
use kit::{Currency, Money, Timestamp};

use super::wire;
use crate::providers::{
    Coupon, CustomerSnapshot, Cut, Discount, ExternalId, Interval, PauseKind, PendingChange, Plan, Price,
    Snapshot, State, Term, mrr,
};

/// The codes of the coupons we make begin with this; so a discount tells whether it is ours.
pub const OURS: &str = "retention-";

/// A subscription with what stands elsewhere about it.
pub struct Read<'a> {
    pub subscription: &'a wire::Subscription,
    pub plan: &'a wire::Plan,
    /// The active ones, of the subscription and of its whole account.
    pub redemptions: &'a [wire::Redemption],
    /// Since when an invoice of it is past due.
    pub past_due_since: Option<Timestamp>,
}

/// Whether it is over: nothing brings it back.
pub fn is_over(s: &wire::Subscription) -> bool {
    matches!(s.state.as_str(), "expired" | "failed")
}

/// Whether a trial runs: Recurly has dates for it, and no state.
pub fn in_trial(s: &wire::Subscription, at: Timestamp) -> bool {
    s.trial_started_at.is_none_or(|start| start <= at) && s.trial_ends_at.is_some_and(|end| end > at)
}

/// The state (§10.1). A pause that waits for the renewal is none yet.
pub fn state(s: &wire::Subscription, past_due: bool, at: Timestamp) -> anyhow::Result<State> {
    Ok(match s.state.as_str() {
        "future" => State::Pending,
        "active" if in_trial(s, at) => State::Trialing,
        "active" if past_due => State::PastDue,
        "active" => State::Active,
        "paused" => State::Paused,
        // Runs on until `expires_at`.
        "canceled" => State::NonRenewing,
        "expired" | "failed" => State::Ended,
        other => bail!("a subscription has the state {other}, which we do not know"),
    })
}

/// A subscription read at `at`.
pub fn subscription(read: &Read<'_>, at: Timestamp) -> anyhow::Result<Snapshot> {
    let s = read.subscription;
    let currency = currency(&s.currency)?;
    let amount = |d: &Option<super::decimal::Decimal>| {
        d.as_ref().map_or(Ok(Money::zero(currency)), |d| d.money(currency))
    };
    let state = state(s, read.past_due_since.is_some(), at)?;
    let (interval, interval_count) = interval(read.plan)?;
    let discounts: Vec<Discount> = read
        .redemptions
        .iter()
        .filter(|r| r.is_active() && holds_for(r, s))
        .filter_map(|r| discount(r, currency).transpose())
        .collect::<anyhow::Result<_>>()?;
    let (price, quantity) = (amount(&s.unit_amount)?, s.quantity.unwrap_or(1));
    let billing = mrr::Billing { state, price, quantity, interval, interval_count, discounts: &discounts };
    let shares: Vec<_> = discounts.iter().filter(|d| matches!(d.cut, Cut::BasisPoints(_))).cloned().collect();
    let add_ons = mrr::Billing {
        price: amount(&s.add_ons_total)?,
        quantity: 1,
        // An amount is taken off the invoice once, not off every line.
        discounts: &shares,
        ..billing
    };
    let mrr = mrr::monthly(billing, at).checked_add(mrr::monthly(add_ons, at));
    let over = state == State::Ended;
    let more = s.add_ons.as_ref().map_or(0, Vec::len);
    Ok(Snapshot {
        id: ExternalId::new(&s.id),
        customer: ExternalId::new(&s.account.id),
        state,
        plan: s.plan.code.clone(),
        price_id: price_id(&s.plan.code, currency),
        price,
        quantity,
        interval,
        interval_count,
        mrr: mrr.context("more than can be counted")?,
        started_at: s.activated_at.unwrap_or(s.created_at),
        trial_end: s.trial_ends_at,
        period_start: s.current_period_started_at,
        period_end: s.current_period_ends_at,
        cancel_at: s.expires_at.filter(|_| matches!(state, State::NonRenewing | State::Ended)),
        ended_at: over.then(|| s.expires_at.unwrap_or(s.updated_at)),
        paused_at: s.paused_at.filter(|_| !over),
        resumes_at: s.resume_at.filter(|_| !over),
        pause_kind: s.paused_at.filter(|_| !over).map(|_| PauseKind::Subscription),
        pending_change: s.pending_change.as_ref().map(|c| PendingChange {
            kind: "plan_switch".into(),
            price_id: c.plan.as_ref().map(|p| price_id(&p.code, currency)),
            at: c.activate_at,
        }),
        discounts,
        schedule_attached: s.ramp_intervals.as_ref().is_some_and(|ramp| !ramp.is_empty()),
        item_count: 1 + u32::try_from(more).unwrap_or(u32::MAX - 1),
        past_due_since: read.past_due_since.filter(|_| state == State::PastDue),
        provider_version: s.updated_at.as_millisecond(),
    })
}

/// A plan has one price per currency, and no id of it: a plan's code holds no colon.
pub fn price_id(plan: &str, currency: Currency) -> String {
    format!("{plan}:{currency}")
}

fn holds_for(r: &wire::Redemption, s: &wire::Subscription) -> bool {
    match &r.subscription_id {
        Some(of) => *of == s.id,
        None => {
            let named = || r.coupon.plans.iter().flatten().any(|p| p.code == s.plan.code);
            r.coupon.applies_to_all_plans != Some(false) || named()
        }
    }
}

/// None for a coupon that lowers no invoice of this currency.
fn discount(r: &wire::Redemption, currency: Currency) -> anyhow::Result<Option<Discount>> {
    let Some(cut) = cut(&r.coupon, Some(currency))? else { return Ok(None) };
    Ok(Some(Discount {
        id: ExternalId::new(&r.id),
        coupon: r.coupon.code.clone(),
        cut,
        term: term(&r.coupon)?,
        start: r.created_at,
        end: r.remaining_duration.as_ref().and_then(|left| left.expires_at),
        retention: r.coupon.code.starts_with(OURS),
    }))
}

fn cut(c: &wire::Coupon, of: Option<Currency>) -> anyhow::Result<Option<Cut>> {
    let Some(discount) = &c.discount else { return Ok(None) };
    Ok(match (discount.kind.as_str(), discount.percent) {
        ("percent", Some(percent)) if percent <= 100 => Some(Cut::percent(percent)),
        ("fixed", _) => {
            let amounts = discount.currencies.iter().flatten();
            let amount = |c: &wire::CouponAmount| currency(&c.currency).and_then(|code| c.amount.money(code));
            let fits = |m: &Money| of.is_none_or(|of| m.currency == of);
            let all = amounts.map(amount).collect::<anyhow::Result<Vec<_>>>()?;
            all.into_iter().find(fits).map(Cut::Amount)
        }
        // Days for nothing lower no price.
        ("free_trial", _) => None,
        _ => bail!("the coupon {} takes off neither a share nor an amount", c.code),
    })
}

fn term(c: &wire::Coupon) -> anyhow::Result<Term> {
    let amount = c.temporal_amount.unwrap_or(1);
    Ok(match (c.duration.as_deref(), c.temporal_unit.as_deref()) {
        (Some("single_use"), _) => Term::Once,
        (Some("forever") | None, _) => Term::Forever,
        (Some("temporal"), Some("month")) => Term::Months(amount),
        (Some("temporal"), Some("year")) => Term::Months(amount.saturating_mul(12)),
        // We count in months: a part of one is a month, and the day it ends stands beside it.
        (Some("temporal"), Some("week")) => Term::Months(amount.saturating_mul(7).div_ceil(31).max(1)),
        (Some("temporal"), Some("day")) => Term::Months(amount.div_ceil(31).max(1)),
        (Some("temporal" | "billing_periods"), _) => Term::Months(amount),
        (Some(other), _) => bail!("the coupon {} has the duration {other}, which we do not know", c.code),
    })
}

/// A customer.
pub fn customer(a: &wire::Account) -> CustomerSnapshot {
    let names = [a.first_name.as_deref(), a.last_name.as_deref()];
    let name = names.into_iter().flatten().filter(|n| !n.is_empty()).collect::<Vec<_>>().join(" ");
    let fields = a.custom_fields.iter().flatten();
    let noted = fields.filter_map(|f| Some((f.name.clone(), f.value.clone()?)));
    CustomerSnapshot {
        id: ExternalId::new(&a.id),
        email: a.email.clone().filter(|e| !e.is_empty()),
        name: Some(name).filter(|n| !n.is_empty()).or(a.company.clone()),
        // Subscriptions have one, accounts have none.
        currency: None,
        locale: a.preferred_locale.clone(),
        country: a.address.as_ref().and_then(|a| a.country.as_deref()).map(str::to_uppercase),
        created_at: a.created_at,
        deleted: a.state.as_deref() == Some("inactive"),
        metadata: std::iter::once(("code".to_owned(), a.code.clone())).chain(noted).collect(),
        provider_version: a.updated_at.as_millisecond(),
    }
}

pub fn plan(p: &wire::Plan) -> Plan {
    Plan { id: p.code.clone(), name: p.name.clone(), active: p.state.as_deref() != Some("inactive") }
}

/// The prices of a plan, one per currency.
pub fn prices(p: &wire::Plan) -> anyhow::Result<Vec<Price>> {
    let (interval, interval_count) = interval(p)?;
    let price = |of: &wire::PlanPrice| {
        let currency = currency(&of.currency)?;
        Ok(Price {
            id: price_id(&p.code, currency),
            plan: p.code.clone(),
            name: p.name.clone(),
            amount: of.unit_amount.as_ref().map(|d| d.money(currency)).transpose()?,
            interval,
            interval_count,
            active: p.state.as_deref() != Some("inactive"),
        })
    };
    p.currencies.iter().flatten().map(price).collect()
}

/// A coupon of the catalogue; none for one that lowers no price, and for one we made for a single customer.
pub fn coupon(c: &wire::Coupon) -> anyhow::Result<Option<Coupon>> {
    let Some(cut) = cut(c, None)?.filter(|_| !c.code.starts_with(OURS)) else { return Ok(None) };
    Ok(Some(Coupon {
        id: c.code.clone(),
        name: c.name.clone().unwrap_or_else(|| c.code.clone()),
        cut,
        term: term(c)?,
        redeem_by: c.redeem_by,
        valid: c.state.as_deref() == Some("redeemable"),
    }))
}

/// How often a plan bills. Recurly counts days and months; a week and a year are made of those.
pub fn interval(p: &wire::Plan) -> anyhow::Result<(Interval, u32)> {
    let length = p.interval_length.unwrap_or(1).max(1);
    Ok(match p.interval_unit.as_deref().unwrap_or("months") {
        "days" if length.is_multiple_of(7) => (Interval::Week, length / 7),
        "days" => (Interval::Day, length),
        "months" if length.is_multiple_of(12) => (Interval::Year, length / 12),
        "months" => (Interval::Month, length),
        other => bail!("the plan {} bills in {other}, which we do not know", p.code),
    })
}

pub fn currency(code: &str) -> anyhow::Result<Currency> {
    Currency::parse(code).with_context(|| format!("{code} is no currency we know"))
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
