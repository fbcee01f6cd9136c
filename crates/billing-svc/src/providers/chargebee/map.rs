//! Chargebee's objects in our words. Pure: what was read, and when, goes in.

use anyhow::{Context, bail};
use kit::{Currency, Money, Timestamp};

use super::wire;
use crate::providers::{
    Coupon, CustomerSnapshot, Cut, Discount, ExternalId, Interval, PauseKind, PendingChange, Plan, Price,
    Snapshot, State, Term, mrr,
};

/// The coupons we make begin with this; so a discount tells whether it is ours.
pub const OURS: &str = "retention-";

/// What must be known beside a subscription to read it.
#[derive(Debug, Default)]
pub struct Beside {
    /// The item its price belongs to.
    pub plan: String,
    /// Every discount applied, by coupon or by hand.
    pub discounts: Vec<wire::Discount>,
    /// The price it will have after the change that is scheduled.
    pub next_price: Option<String>,
}

/// The state (§10.1). A cancellation that is set comes before a pause and a trial: it is what was asked for last, and
/// what a read-back after cancelling must show.
pub fn state(s: &wire::Subscription) -> anyhow::Result<State> {
    let ending = s.cancelled_at.is_some();
    Ok(match s.status.as_str() {
        _ if s.deleted => State::Ended,
        "cancelled" | "transferred" => State::Ended,
        "future" => State::Pending,
        "non_renewing" => State::NonRenewing,
        "in_trial" | "paused" if ending => State::NonRenewing,
        "in_trial" => State::Trialing,
        "paused" => State::Paused,
        "active" if s.due_invoices_count.unwrap_or(0) > 0 => State::PastDue,
        "active" => State::Active,
        other => bail!("a subscription has the status {other}, which we do not know"),
    })
}

/// What is charged again and again: price per unit, quantity, period.
struct Line {
    price: i64,
    quantity: u32,
    interval: Interval,
    count: u32,
}

/// The price of a subscription's plan, in either catalogue.
pub fn price_of(s: &wire::Subscription) -> Option<&str> {
    let plan = s.subscription_items.iter().find(|i| i.item_type == "plan");
    plan.map(|i| i.item_price_id.as_str()).or(s.plan_id.as_deref())
}

/// The lines, the plan first. What is charged once is none.
fn lines(s: &wire::Subscription) -> anyhow::Result<Vec<Line>> {
    let own = (s.billing_period.unwrap_or(1), s.billing_period_unit.as_deref().unwrap_or("month"));
    let line = |price: Option<i64>, quantity: Option<u32>, (count, unit): (u32, &str)| {
        let interval = interval(unit)?;
        // Tiers have no amount of their own; what they come to is not known before the invoice.
        anyhow::Ok(Line { price: price.unwrap_or(0), quantity: quantity.unwrap_or(1), interval, count })
    };
    let mut lines = Vec::new();
    if s.plan_id.is_some() {
        lines.push(line(s.plan_unit_price, s.plan_quantity, own)?);
        for addon in &s.addons {
            lines.push(line(addon.unit_price, addon.quantity, own)?);
        }
    }
    for kind in ["plan", "addon"] {
        for item in s.subscription_items.iter().filter(|i| i.item_type == kind) {
            let period = match (item.billing_period, item.billing_period_unit.as_deref()) {
                (Some(count), Some(unit)) => (count, unit),
                _ => own,
            };
            lines.push(line(item.unit_price, item.quantity, period)?);
        }
    }
    Ok(lines)
}

/// How many lines recur.
pub fn line_count(s: &wire::Subscription) -> usize {
    let items = s.subscription_items.iter().filter(|i| i.item_type != "charge").count();
    items + s.plan_id.iter().len() + s.addons.len()
}

/// A subscription read at `at`.
pub fn subscription(s: &wire::Subscription, beside: &Beside, at: Timestamp) -> anyhow::Result<Snapshot> {
    let price_id = price_of(s).context("a subscription without a plan")?;
    let currency = currency(s.currency_code.as_deref().context("a subscription without a currency")?)?;
    let discounts: Vec<Discount> =
        beside.discounts.iter().map(|d| discount(s, d, currency)).collect::<anyhow::Result<_>>()?;
    let state = state(s)?;
    let all = lines(s)?;
    let first = all.first().context("a subscription without a plan")?;
    let shares: Vec<_> = discounts.iter().filter(|d| matches!(d.cut, Cut::BasisPoints(_))).cloned().collect();
    let mut total = Money::zero(currency);
    for (n, line) in all.iter().enumerate() {
        // An amount is taken off the invoice once, not off every line.
        let discounts = if n == 0 { &discounts } else { &shares };
        let billing = mrr::Billing {
            state,
            price: Money::new(line.price, currency),
            quantity: line.quantity,
            interval: line.interval,
            interval_count: line.count,
            discounts,
        };
        total = total.checked_add(mrr::monthly(billing, at)).context("too large a revenue")?;
    }
    let trial_end = instant(s.trial_end)?;
    let term_end = instant(s.current_term_end.or(s.next_billing_at))?;
    let period_end = if s.status == "in_trial" { trial_end.max(term_end) } else { term_end };
    let set_to_end = instant(s.cancelled_at)?;
    let paused = state == State::Paused;
    let pending_change = s.has_scheduled_changes.then(|| -> anyhow::Result<_> {
        let price_id = beside.next_price.clone().filter(|next| next != price_id);
        let kind = if price_id.is_some() { "plan_switch" } else { "change" };
        let at = instant(s.changes_scheduled_at)?.or(period_end);
        Ok(PendingChange { kind: kind.into(), price_id, at })
    });
    Ok(Snapshot {
        id: ExternalId::new(&s.id),
        customer: ExternalId::new(&s.customer_id),
        state,
        plan: beside.plan.clone(),
        price_id: price_id.to_owned(),
        price: Money::new(first.price, currency),
        quantity: first.quantity,
        interval: first.interval,
        interval_count: first.count,
        mrr: total,
        started_at: instant(s.started_at.or(s.created_at))?.unwrap_or(at),
        trial_end,
        period_start: instant(s.current_term_start)?,
        period_end,
        cancel_at: match state {
            State::NonRenewing => set_to_end.or(period_end),
            State::Ended => set_to_end,
            _ => None,
        },
        ended_at: if state == State::Ended { set_to_end } else { None },
        paused_at: if paused { instant(s.pause_date)? } else { None },
        resumes_at: if paused { instant(s.resume_date)? } else { None },
        pause_kind: paused.then_some(PauseKind::Subscription),
        pending_change: pending_change.transpose()?,
        discounts,
        schedule_attached: s.has_scheduled_changes,
        item_count: u32::try_from(all.len()).unwrap_or(u32::MAX),
        past_due_since: if state == State::PastDue { instant(s.due_since)? } else { None },
        provider_version: s.resource_version.unwrap_or_else(|| at.as_millisecond()),
    })
}

/// A discount. One by a coupon goes by the coupon's name, which a subscription holds once at most; one made by hand has
/// a name of its own.
fn discount(s: &wire::Subscription, d: &wire::Discount, currency: Currency) -> anyhow::Result<Discount> {
    let coupon = d.coupon_id.as_deref().unwrap_or(&d.id);
    let by_coupon = s.coupons.iter().any(|c| c.coupon_id == coupon);
    let cut = match (d.kind.as_str(), d.percentage, d.amount) {
        ("percentage", Some(percent), _) => share(percent)?,
        ("fixed_amount", _, Some(amount)) => {
            let currency = d.currency_code.as_deref().map_or(Ok(currency), self::currency)?;
            Cut::Amount(Money::new(amount, currency))
        }
        _ => bail!("the discount {} takes off neither a share nor an amount", d.id),
    };
    Ok(Discount {
        id: ExternalId::new(if by_coupon { coupon } else { &d.id }),
        coupon: coupon.to_owned(),
        cut,
        term: term(&d.duration_type, d.period, d.period_unit.as_deref())?,
        start: second(d.created_at)?,
        end: instant(d.apply_till)?,
        retention: by_coupon && coupon.starts_with(OURS),
    })
}

fn share(percent: f64) -> anyhow::Result<Cut> {
    if !(0.0..=100.0).contains(&percent) {
        bail!("a discount takes off {percent} per cent");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10 000")]
    Ok(Cut::BasisPoints((percent * 100.0).round() as u32))
}

/// Days and weeks are shown as the months that hold them.
fn term(kind: &str, period: Option<u32>, unit: Option<&str>) -> anyhow::Result<Term> {
    Ok(match (kind, period, unit.unwrap_or("month")) {
        ("one_time", ..) => Term::Once,
        ("forever", ..) => Term::Forever,
        ("limited_period", Some(n), "month") => Term::Months(n),
        ("limited_period", Some(n), "year") => Term::Months(n.saturating_mul(12)),
        ("limited_period", Some(n), "week") => Term::Months(n.saturating_mul(7).div_ceil(30)),
        ("limited_period", Some(n), "day") => Term::Months(n.div_ceil(30)),
        (other, ..) => bail!("a discount has the duration {other}, which we do not know"),
    })
}

/// A customer read at `at`.
pub fn customer(c: &wire::Customer, at: Timestamp) -> anyhow::Result<CustomerSnapshot> {
    let names = [&c.first_name, &c.last_name].into_iter().flatten().map(|n| n.trim());
    let name = names.filter(|n| !n.is_empty()).collect::<Vec<_>>().join(" ");
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(CustomerSnapshot {
        id: ExternalId::new(&c.id),
        email: c.email.clone(),
        name: Some(name).filter(|n| !n.is_empty()).or_else(|| c.company.clone()),
        currency: c.preferred_currency_code.as_deref().map(str::to_uppercase),
        locale: c.locale.clone(),
        country: c.billing_address.as_ref().and_then(|a| a.country.as_deref()).map(str::to_uppercase),
        created_at: instant(c.created_at)?.unwrap_or(at),
        deleted: c.deleted,
        metadata: c.meta_data.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
        provider_version: c.resource_version.unwrap_or_else(|| at.as_millisecond()),
    })
}

fn active(status: Option<&String>) -> bool {
    status.is_none_or(|s| s == "active")
}

pub fn item(i: &wire::Item) -> Plan {
    let name = i.name.clone().unwrap_or_else(|| i.id.clone());
    Plan { id: i.id.clone(), name, active: active(i.status.as_ref()) }
}

/// What a price charges for a unit; tiers have no such thing.
fn per_unit(model: Option<&String>, price: Option<i64>, currency: Currency) -> Option<Money> {
    let plain = model.is_none_or(|m| matches!(m.as_str(), "flat_fee" | "per_unit"));
    price.filter(|_| plain).map(|minor| Money::new(minor, currency))
}

pub fn item_price(p: &wire::ItemPrice) -> anyhow::Result<Price> {
    let currency = currency(p.currency_code.as_deref().context("a price without a currency")?)?;
    Ok(Price {
        id: p.id.clone(),
        plan: p.item_id.clone().unwrap_or_else(|| p.id.clone()),
        name: p.name.clone().unwrap_or_default(),
        amount: per_unit(p.pricing_model.as_ref(), p.price, currency),
        interval: interval(p.period_unit.as_deref().unwrap_or("month"))?,
        interval_count: p.period.unwrap_or(1),
        active: active(p.status.as_ref()),
    })
}

/// A plan of the old catalogue is its own price.
pub fn plan(p: &wire::Plan) -> anyhow::Result<(Plan, Price)> {
    let currency = currency(p.currency_code.as_deref().context("a plan without a currency")?)?;
    let name = p.name.clone().unwrap_or_else(|| p.id.clone());
    let active = active(p.status.as_ref());
    let price = Price {
        id: p.id.clone(),
        plan: p.id.clone(),
        name: name.clone(),
        amount: per_unit(p.pricing_model.as_ref(), p.price, currency),
        interval: interval(p.period_unit.as_deref().unwrap_or("month"))?,
        interval_count: p.period.unwrap_or(1),
        active,
    };
    Ok((Plan { id: p.id.clone(), name, active }, price))
}

/// A coupon; none for one that gives units rather than money.
pub fn coupon(c: &wire::Coupon) -> anyhow::Result<Option<Coupon>> {
    let cut = match (c.discount_type.as_str(), c.discount_percentage, c.discount_amount, &c.currency_code) {
        ("percentage", Some(percent), ..) => share(percent)?,
        ("fixed_amount", _, Some(amount), Some(code)) => Cut::Amount(Money::new(amount, currency(code)?)),
        _ => return Ok(None),
    };
    Ok(Some(Coupon {
        id: c.id.clone(),
        name: c.name.clone().unwrap_or_else(|| c.id.clone()),
        cut,
        term: term(&c.duration_type, c.period.or(c.duration_month), c.period_unit.as_deref())?,
        redeem_by: instant(c.valid_till)?,
        valid: active(c.status.as_ref()),
    }))
}

fn interval(text: &str) -> anyhow::Result<Interval> {
    Ok(match text {
        "day" => Interval::Day,
        "week" => Interval::Week,
        "month" => Interval::Month,
        "year" => Interval::Year,
        other => bail!("a price recurs every {other}, which we do not know"),
    })
}

pub fn currency(code: &str) -> anyhow::Result<Currency> {
    Currency::parse(code).with_context(|| format!("{code} is no currency we know"))
}

pub fn second(at: i64) -> anyhow::Result<Timestamp> {
    Timestamp::from_second(at).context("a time outside the calendar")
}

fn instant(at: Option<i64>) -> anyhow::Result<Option<Timestamp>> {
    at.map(second).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(changes: Value) -> wire::Subscription {
        let mut whole = json!({
            "id": "sub_1", "customer_id": "cus_1", "status": "active", "currency_code": "EUR",
            "billing_period": 1, "billing_period_unit": "month", "created_at": 1_760_000_000,
            "current_term_start": 1_790_000_000, "current_term_end": 1_792_000_000,
            "resource_version": 1_790_000_000_123_i64,
            "subscription_items": [
                {"item_price_id": "fibre-eur", "item_type": "plan", "quantity": 2, "unit_price": 1_000}],
        });
        for (key, value) in changes.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    fn at() -> Timestamp {
        Timestamp::from_second(1_791_000_000).unwrap()
    }

    #[test]
    fn states_follow_the_table() {
        use State::*;
        let end = json!({"cancelled_at": 1_792_000_000});
        let rows = [
            ("future", json!({}), Pending),
            ("in_trial", json!({}), Trialing),
            ("in_trial", end.clone(), NonRenewing),
            ("active", json!({}), Active),
            ("active", json!({"due_invoices_count": 0}), Active),
            ("active", json!({"due_invoices_count": 1}), PastDue),
            ("paused", json!({}), Paused),
            ("paused", end.clone(), NonRenewing),
            ("non_renewing", end.clone(), NonRenewing),
            ("cancelled", end, Ended),
            ("transferred", json!({}), Ended),
            ("active", json!({"deleted": true}), Ended),
        ];
        for (status, mut changes, expected) in rows {
            changes["status"] = json!(status);
            assert_eq!(state(&read(changes.clone())).unwrap(), expected, "{changes}");
        }
        assert!(state(&read(json!({"status": "dormant"}))).is_err());
    }

    #[test]
    fn both_catalogues_read_alike() {
        let beside = Beside { plan: "fibre".into(), ..Beside::default() };
        let two = subscription(&read(json!({})), &beside, at()).unwrap();
        let plans = json!({"subscription_items": [], "plan_id": "fibre-eur", "plan_quantity": 2,
            "plan_unit_price": 1_000});
        let one = subscription(&read(plans), &beside, at()).unwrap();
        assert_eq!(one, two);
        assert_eq!((two.mrr.minor, two.quantity, two.item_count), (2_000, 2, 1));
        assert_eq!(two.provider_version, 1_790_000_000_123);
    }

    #[test]
    fn discounts_and_add_ons_make_the_revenue() {
        let s = read(json!({"coupons": [{"coupon_id": "retention-x", "applied_count": 0}],
            "subscription_items": [
                {"item_price_id": "installation", "item_type": "charge", "quantity": 1, "unit_price": 9_000},
                {"item_price_id": "tv", "item_type": "addon", "quantity": 1, "unit_price": 500},
                {"item_price_id": "fibre-eur", "item_type": "plan", "quantity": 2, "unit_price": 1_000}]}));
        let discount = |changes: Value| {
            let mut whole = json!({"id": "d", "duration_type": "forever", "created_at": 1_790_000_000});
            changes.as_object().unwrap().iter().for_each(|(k, v)| whole[k] = v.clone());
            serde_json::from_value::<wire::Discount>(whole).unwrap()
        };
        let beside = Beside {
            discounts: vec![
                discount(json!({"type": "percentage", "percentage": 25.5, "coupon_id": "retention-x",
                    "duration_type": "limited_period", "period": 3, "period_unit": "month",
                    "apply_till": 1_799_000_000})),
                discount(
                    json!({"id": "hand", "type": "fixed_amount", "amount": 90, "coupon_id": "retention-y"}),
                ),
            ],
            ..Beside::default()
        };
        let got = subscription(&s, &beside, at()).unwrap();
        assert_eq!((got.mrr.minor, got.item_count, got.price_id.as_str()), (1_773, 2, "fibre-eur"));
        assert_eq!((got.discounts[0].id.as_str(), got.discounts[0].retention), ("retention-x", true));
        assert_eq!(got.discounts[0].cut, Cut::BasisPoints(2_550));
        let by_hand = &got.discounts[1];
        assert_eq!((by_hand.id.as_str(), by_hand.retention), ("hand", false), "only a coupon can be ours");
    }
}
