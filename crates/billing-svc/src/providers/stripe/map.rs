//! Stripe's objects in our words. Pure: what was read, and when, goes in.

use anyhow::{Context, bail};
use kit::{Currency, Money, Timestamp};

use super::wire;
use crate::providers::{
    Coupon, CustomerSnapshot, Cut, Discount, ExternalId, Interval, PauseKind, PendingChange, Plan, Price,
    Snapshot, State, Term, mrr,
};

/// The coupons we make begin with this; so a discount tells whether it is ours.
pub const OURS: &str = "retention-";

/// The state (§10.1). A cancellation that is set comes before a pause and before past due: it is what was asked for
/// last, and what a read-back after cancelling must show.
pub fn state(s: &wire::Subscription) -> anyhow::Result<(State, Option<PauseKind>)> {
    let ending = s.cancel_at_period_end || s.cancel_at.is_some();
    let pause = match s.status.as_str() {
        "paused" => Some(PauseKind::Subscription),
        _ => s.pause_collection.as_ref().map(|_| PauseKind::Collection),
    };
    let state = match s.status.as_str() {
        "incomplete" => State::Pending,
        "canceled" | "incomplete_expired" => State::Ended,
        "trialing" | "active" | "past_due" | "unpaid" | "paused" if ending => State::NonRenewing,
        "past_due" | "unpaid" => State::PastDue,
        "trialing" | "active" | "paused" if pause.is_some() => State::Paused,
        "trialing" => State::Trialing,
        "active" => State::Active,
        other => bail!("a subscription has the status {other}, which we do not know"),
    };
    let over = matches!(state, State::Pending | State::Ended);
    Ok((state, pause.filter(|_| !over)))
}

/// A subscription read at `at`, discounts and schedule expanded.
pub fn subscription(s: &wire::Subscription, at: Timestamp) -> anyhow::Result<Snapshot> {
    let first = s.items.data.first().context("a subscription without items")?;
    let discounts: Vec<Discount> =
        s.discounts.iter().filter_map(wire::Ref::whole).map(discount).collect::<anyhow::Result<_>>()?;
    let (state, pause_kind) = state(s)?;
    let (price, interval, interval_count) = terms(&first.price)?;
    let amount_free: Vec<_> =
        discounts.iter().filter(|d| matches!(d.cut, Cut::BasisPoints(_))).cloned().collect();
    let mut total = Money::zero(price.currency);
    for (n, item) in s.items.data.iter().enumerate() {
        let (price, interval, interval_count) = terms(&item.price)?;
        // An amount is taken off the invoice once, not off every item.
        let discounts = if n == 0 { &discounts } else { &amount_free };
        let quantity = item.quantity.unwrap_or(1);
        let billing = mrr::Billing { state, price, quantity, interval, interval_count, discounts };
        total = total.checked_add(mrr::monthly(billing, at)).context("items of several currencies")?;
    }
    let resumes_at = s.pause_collection.as_ref().and_then(|p| p.resumes_at);
    let period_start = instant(first.current_period_start)?;
    Ok(Snapshot {
        id: ExternalId::new(&s.id),
        customer: ExternalId::new(s.customer.id()),
        state,
        plan: first.price.product.id().to_owned(),
        price_id: first.price.id.clone(),
        price,
        quantity: first.quantity.unwrap_or(1),
        interval,
        interval_count,
        mrr: total,
        started_at: second(s.start_date.unwrap_or(s.created))?,
        trial_end: instant(s.trial_end)?,
        period_start,
        period_end: instant(first.current_period_end)?,
        cancel_at: match (s.cancel_at, s.cancel_at_period_end) {
            (None, true) => instant(first.current_period_end)?,
            (at, _) => instant(at)?,
        },
        ended_at: instant(s.ended_at)?,
        // Stripe does not say since when.
        paused_at: None,
        resumes_at: instant(resumes_at)?,
        pause_kind,
        pending_change: pending_change(s, &first.price.id, at)?,
        discounts,
        schedule_attached: s.schedule.is_some(),
        item_count: u32::try_from(s.items.data.len()).unwrap_or(u32::MAX),
        // The invoice that is not paid is the one written when the period began.
        past_due_since: if state == State::PastDue { period_start } else { None },
        provider_version: at.as_millisecond(),
    })
}

fn pending_change(
    s: &wire::Subscription,
    price: &str,
    at: Timestamp,
) -> anyhow::Result<Option<PendingChange>> {
    let phases = s.schedule.as_ref().and_then(wire::Ref::whole).map_or(&[][..], |schedule| &schedule.phases);
    for phase in phases.iter().filter(|p| p.start_date > at.as_second()) {
        let other = phase.items.iter().map(|i| i.price.id()).find(|id| *id != price);
        if let Some(other) = other {
            let at = Some(second(phase.start_date)?);
            return Ok(Some(PendingChange { kind: "plan_switch".into(), price_id: Some(other.into()), at }));
        }
    }
    let waits = s.pending_update.as_ref().is_some_and(|p| !p.is_null());
    Ok(waits.then(|| PendingChange { kind: "payment_awaited".into(), price_id: None, at: None }))
}

fn terms(price: &wire::Price) -> anyhow::Result<(Money, Interval, u32)> {
    let recurring = price.recurring.as_ref().context("a price that does not recur")?;
    // Tiers have no amount of their own; what they come to is not known before the invoice.
    let amount = Money::new(price.unit_amount.unwrap_or(0), currency(&price.currency)?);
    Ok((amount, interval(&recurring.interval)?, recurring.interval_count))
}

fn discount(d: &wire::Discount) -> anyhow::Result<Discount> {
    let coupon = d.source.coupon.as_ref().and_then(wire::Ref::whole).context("a discount without coupon")?;
    let (cut, term) = coupon_terms(coupon)?;
    Ok(Discount {
        id: ExternalId::new(&d.id),
        coupon: coupon.id.clone(),
        cut,
        term,
        start: second(d.start)?,
        end: instant(d.end)?,
        retention: coupon.id.starts_with(OURS),
    })
}

fn coupon_terms(c: &wire::Coupon) -> anyhow::Result<(Cut, Term)> {
    let cut = match (c.percent_off, c.amount_off, &c.currency) {
        // 25.5 % is 2 550; Stripe knows two digits behind the point.
        (Some(percent), None, _) if (0.0..=100.0).contains(&percent) =>
        {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10 000")]
            Cut::BasisPoints((percent * 100.0).round() as u32)
        }
        (None, Some(amount), Some(code)) => Cut::Amount(Money::new(amount, currency(code)?)),
        _ => bail!("the coupon {} takes off neither a share nor an amount", c.id),
    };
    let term = match (c.duration.as_str(), c.duration_in_months) {
        ("once", _) => Term::Once,
        ("forever", _) => Term::Forever,
        ("repeating", Some(months)) => Term::Months(months),
        (other, _) => bail!("the coupon {} has the duration {other}, which we do not know", c.id),
    };
    Ok((cut, term))
}

/// A customer read at `at`.
pub fn customer(c: &wire::Customer, at: Timestamp) -> anyhow::Result<CustomerSnapshot> {
    let country = c.address.as_ref().and_then(|a| a.country.as_deref());
    Ok(CustomerSnapshot {
        id: ExternalId::new(&c.id),
        email: c.email.clone(),
        name: c.name.clone(),
        currency: c.currency.as_deref().map(str::to_uppercase),
        locale: c.preferred_locales.as_ref().and_then(|l| l.first().cloned()),
        country: country.map(str::to_uppercase),
        created_at: instant(c.created)?.unwrap_or(at),
        deleted: c.deleted,
        metadata: c.metadata.clone().unwrap_or_default(),
        provider_version: at.as_millisecond(),
    })
}

pub fn plan(p: &wire::Product) -> Plan {
    Plan { id: p.id.clone(), name: p.name.clone(), active: p.active }
}

/// A price of the catalogue; none when it does not recur.
pub fn price(p: &wire::Price) -> anyhow::Result<Option<Price>> {
    let Some(recurring) = &p.recurring else { return Ok(None) };
    let currency = currency(&p.currency)?;
    Ok(Some(Price {
        id: p.id.clone(),
        plan: p.product.id().to_owned(),
        name: p.nickname.clone().unwrap_or_default(),
        amount: p.unit_amount.map(|minor| Money::new(minor, currency)),
        interval: interval(&recurring.interval)?,
        interval_count: recurring.interval_count,
        active: p.active,
    }))
}

pub fn coupon(c: &wire::Coupon) -> anyhow::Result<Coupon> {
    let (cut, term) = coupon_terms(c)?;
    Ok(Coupon {
        id: c.id.clone(),
        name: c.name.clone().unwrap_or_else(|| c.id.clone()),
        cut,
        term,
        redeem_by: instant(c.redeem_by)?,
        valid: c.valid,
    })
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

    fn subscription_with(changes: Value) -> wire::Subscription {
        let mut whole = json!({
            "id": "sub_1", "customer": "cus_1", "status": "active", "created": 1_760_000_000, "cancel_at": null,
            "cancel_at_period_end": false, "ended_at": null, "pause_collection": null, "trial_end": null,
            "start_date": 1_760_000_000, "schedule": null, "pending_update": null, "discounts": [],
            "items": {"data": [{
                "id": "si_1", "quantity": 2, "current_period_start": 1_790_000_000, "current_period_end": 1_792_000_000,
                "price": {"id": "price_1", "product": "prod_1", "currency": "eur", "unit_amount": 1_000, "active": true,
                          "nickname": null, "recurring": {"interval": "month", "interval_count": 1}},
            }]},
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
        let end = json!({"cancel_at_period_end": true});
        let date = json!({"cancel_at": 1_792_000_000});
        let hold = json!({"pause_collection": {"behavior": "void", "resumes_at": null}});
        let rows = [
            ("incomplete", json!({}), Pending, None),
            ("trialing", json!({}), Trialing, None),
            ("trialing", end.clone(), NonRenewing, None),
            ("active", json!({}), Active, None),
            ("active", end.clone(), NonRenewing, None),
            ("active", date, NonRenewing, None),
            ("active", hold.clone(), Paused, Some(PauseKind::Collection)),
            ("past_due", json!({}), PastDue, None),
            ("past_due", end.clone(), NonRenewing, None),
            ("unpaid", json!({}), PastDue, None),
            ("paused", json!({}), Paused, Some(PauseKind::Subscription)),
            ("paused", end, NonRenewing, Some(PauseKind::Subscription)),
            ("canceled", hold, Ended, None),
            ("incomplete_expired", json!({}), Ended, None),
        ];
        for (status, mut changes, expected, kind) in rows {
            changes["status"] = json!(status);
            let got = state(&subscription_with(changes.clone())).unwrap();
            assert_eq!(got, (expected, kind), "{changes}");
        }
        assert!(state(&subscription_with(json!({"status": "dormant"}))).is_err());
    }

    #[test]
    fn discounts_and_price_make_the_revenue() {
        let s = subscription_with(json!({"discounts": [
            {"id": "di_1", "start": 1_790_000_000, "end": 1_799_000_000, "source": {"type": "coupon", "coupon":
                {"id": "retention-x", "percent_off": 25.5, "duration": "repeating", "duration_in_months": 3, "valid": true}}},
            {"id": "di_2", "start": 1_790_000_000, "end": null, "source": {"type": "coupon", "coupon":
                {"id": "PARTNER", "amount_off": 90, "currency": "eur", "duration": "forever", "valid": true}}},
        ]}));
        let got = subscription(&s, at()).unwrap();
        assert_eq!(got.mrr.minor, 1_400);
        assert_eq!((got.discounts[0].cut, got.discounts[0].retention), (Cut::BasisPoints(2_550), true));
        assert_eq!((got.discounts[1].term, got.discounts[1].retention), (Term::Forever, false));
        assert_eq!((got.item_count, got.quantity, got.provider_version), (1, 2, 1_791_000_000_000));
    }

    #[test]
    fn a_schedule_s_next_phase_is_the_pending_change() {
        let phase = |start: i64, price: &str| json!({"start_date": start, "items": [{"price": price}]});
        let schedule = json!({"phases": [phase(1_790_000_000, "price_1"), phase(1_792_000_000, "price_2")]});
        let got = subscription(&subscription_with(json!({"schedule": schedule})), at()).unwrap();
        assert!(got.schedule_attached);
        assert_eq!(got.pending_change.unwrap().price_id.as_deref(), Some("price_2"));
    }
}
