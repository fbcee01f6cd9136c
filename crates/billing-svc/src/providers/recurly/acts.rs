//! The verbs, each as the one call Recurly has for it. Every act is decided from how the subscription stands: Recurly
//! forgets a key after an hour, so that a repetition is told by what is there and not by its key.

use kit::Timestamp;
use reqwest::Method;

use super::client::{Client, encoded, plain};
use super::{discounts, map, money, refund, wire};
use crate::providers::{Act, ExternalId, IdempotencyKey, Interval, ProviderError, Receipt, SwitchAt};

const NOTHING: Option<&()> = None;

pub async fn read(client: &Client, id: &ExternalId) -> Result<wire::Subscription, ProviderError> {
    let path =
        format!("/subscriptions/{}", plain(id.as_str()).ok_or(ProviderError::NotFound("subscription"))?);
    match client.get("subscription.read", &path, &[]).await {
        Err(ProviderError::NotFound(_)) => Err(ProviderError::NotFound("subscription")),
        other => other,
    }
}

pub async fn apply(
    client: &Client,
    id: &ExternalId,
    act: &Act,
    key: &IdempotencyKey,
    at: Timestamp,
) -> Result<Receipt, ProviderError> {
    let now = read(client, id).await?;
    if map::is_over(&now) {
        // Ended is what a cancellation is after; everything else comes too late.
        return match act {
            Act::CancelAtPeriodEnd { .. } | Act::CancelNow { .. } => Ok(done_before()),
            _ => Err(refused("subscription_ended", "the subscription has ended")),
        };
    }
    match act {
        Act::Discount { cut, term, keep } => discounts::give(client, &now, *cut, *term, keep, key).await,
        Act::RemoveDiscount { discount } => discounts::take(client, &now, discount, key).await,
        Act::Pause { months, .. } => pause(client, &now, *months, key).await,
        Act::Resume if now.state == "paused" => {
            put(client, &now, "subscription.resume", "/resume", NOTHING, key).await
        }
        // None that waits, either.
        Act::Resume if now.paused_at.is_some() => {
            let body = wire::Cycles { remaining_pause_cycles: 0 };
            put(client, &now, "subscription.pause", "/pause", Some(&body), key).await
        }
        Act::Resume => Ok(done_before()),
        Act::SwitchPlan { price_id, at } => switch(client, &now, price_id, *at, key).await,
        Act::ExtendTrial { .. } if now.state != "active" || !map::in_trial(&now, at) => {
            Err(refused("not_in_trial", "there is no trial to extend"))
        }
        Act::ExtendTrial { until } if now.trial_ends_at == Some(*until) => Ok(done_before()),
        Act::ExtendTrial { until } if *until <= at => {
            put(client, &now, "subscription.end_trial", "/convert_trial", NOTHING, key).await
        }
        Act::ExtendTrial { until } => bill_on(client, &now, *until, key).await,
        Act::ExtendTerm { .. } if now.state != "active" || map::in_trial(&now, at) => {
            Err(refused("no_running_term", "there is no running term to extend"))
        }
        Act::ExtendTerm { until } if now.current_period_ends_at == Some(*until) => Ok(done_before()),
        Act::ExtendTerm { until } if *until <= at => {
            Err(refused("term_over", "the term would have ended by now"))
        }
        Act::ExtendTerm { until } => bill_on(client, &now, *until, key).await,
        Act::Credit { amount } => money::credit(client, &now, *amount, key).await,
        Act::TakeCredit { credit, amount } => money::take(client, &now, credit, *amount, key).await,
        Act::Refund { amount, not_before } => refund::give(client, &now, *amount, *not_before, key).await,
        Act::CancelAtPeriodEnd { .. } if now.state == "canceled" => Ok(done_before()),
        // The reason has no place there. `term_end`, their default, would go on billing for the rest of a longer term.
        Act::CancelAtPeriodEnd { feedback: _ } => {
            let body = wire::Cancel { timeframe: "bill_date" };
            put(client, &now, "subscription.cancel", "/cancel", Some(&body), key).await
        }
        Act::UndoCancel if now.state == "canceled" => {
            put(client, &now, "subscription.undo_cancel", "/reactivate", NOTHING, key).await
        }
        Act::UndoCancel => Ok(done_before()),
        // Nothing is paid back.
        Act::CancelNow { feedback: _ } => {
            let path = format!("/subscriptions/{}?refund=none", now.id);
            let call =
                client.write::<wire::Identified>("subscription.end", Method::DELETE, &path, NOTHING, key);
            call.await.map(|(_, receipt)| receipt)
        }
    }
}

/// From the next renewal on, so many cycles.
async fn pause(
    client: &Client,
    now: &wire::Subscription,
    months: u32,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let plan = client.plan(&now.plan.id).await?;
    let cycles = cycles(map::interval(&plan).map_err(ProviderError::Unreadable)?, months)
        .ok_or(ProviderError::NotOffered("whole_cycles"))?;
    if now.remaining_pause_cycles == Some(cycles) && now.paused_at.is_some() {
        return Ok(done_before());
    }
    let body = wire::Cycles { remaining_pause_cycles: cycles };
    put(client, now, "subscription.pause", "/pause", Some(&body), key).await
}

/// How many cycles make so many months; none where no whole number of them does, as a month of a yearly plan.
fn cycles((interval, count): (Interval, u32), months: u32) -> Option<u32> {
    match interval {
        // As near as weeks and days come to it, and at least one.
        Interval::Day => Some((months * 365 / (12 * count)).max(1)),
        Interval::Week => Some((months * 52 / (12 * count)).max(1)),
        Interval::Month if months.is_multiple_of(count) => Some(months / count),
        Interval::Year if months.is_multiple_of(12 * count) => Some(months / (12 * count)),
        Interval::Month | Interval::Year => None,
    }
}

async fn switch(
    client: &Client,
    now: &wire::Subscription,
    price_id: &str,
    at: SwitchAt,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let missing = || refused("price_not_found", "there is no such price");
    let (plan_code, currency) = price_id.rsplit_once(':').ok_or_else(missing)?;
    if !currency.eq_ignore_ascii_case(&now.currency) {
        return Err(refused("other_currency", "the price is of another currency"));
    }
    let several = now.add_ons.as_ref().is_some_and(|all| !all.is_empty());
    if several || now.ramp_intervals.as_ref().is_some_and(|ramp| !ramp.is_empty()) {
        return Err(ProviderError::NotOffered("single_item_without_schedule"));
    }
    let coming = now.pending_change.as_ref().map(|c| c.plan.as_ref().map_or("", |p| p.code.as_str()));
    let path = format!("/subscriptions/{}/change", now.id);
    match (now.plan.code == plan_code, coming) {
        (true, None) => return Ok(done_before()),
        // Back to what there is: what was to come is called off.
        (true, Some(_)) => {
            let call = client.write::<wire::Identified>("change.remove", Method::DELETE, &path, NOTHING, key);
            return call.await.map(|(_, receipt)| receipt);
        }
        (false, Some(coming)) if coming == plan_code && at == SwitchAt::PeriodEnd => return Ok(done_before()),
        // Somebody else's, which ours would replace.
        (false, Some(_)) => return Err(ProviderError::NotOffered("single_item_without_schedule")),
        (false, None) => {}
    }
    let target = format!("/plans/code-{}", encoded(plan_code));
    let plan: wire::Plan = match client.get("plan.read", &target, &[]).await {
        Err(ProviderError::NotFound(_)) => return Err(missing()),
        other => other?,
    };
    if !plan.currencies.iter().flatten().any(|p| p.currency.eq_ignore_ascii_case(currency)) {
        return Err(missing());
    }
    let settle = |how| Some(wire::Proration { charge: how, credit: how });
    let (timeframe, proration_settings) = match at {
        SwitchAt::Now { prorate: true } => ("now", settle("prorated_amount")),
        SwitchAt::Now { prorate: false } => ("now", settle("none")),
        SwitchAt::PeriodEnd => ("bill_date", None),
    };
    let body = wire::NewChange { timeframe, plan_code, proration_settings };
    let call = client.write::<wire::Change>("subscription.switch", Method::POST, &path, Some(&body), key);
    let (said, receipt) = call.await?;
    // A key that was used for another switch answers with that one.
    match said.and_then(|change| change.plan) {
        Some(plan) if plan.code != plan_code => Err(ProviderError::KeyReused),
        _ => Ok(receipt),
    }
}

/// The next invoice is written then: the end of a trial, or of a term that is made longer for nothing.
async fn bill_on(
    client: &Client,
    now: &wire::Subscription,
    until: Timestamp,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    put(client, now, "subscription.bill_on", "", Some(&wire::NextBill { next_bill_date: until }), key).await
}

async fn put<B: serde::Serialize + Sync>(
    client: &Client,
    now: &wire::Subscription,
    operation: &'static str,
    step: &str,
    body: Option<&B>,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let path = format!("/subscriptions/{}{step}", now.id);
    client.write::<wire::Identified>(operation, Method::PUT, &path, body, key).await.map(|(_, r)| r)
}

pub fn done_before() -> Receipt {
    Receipt { replayed: true, ..Receipt::default() }
}

pub fn refused(slug: &str, message: &str) -> ProviderError {
    ProviderError::Refused { slug: slug.into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_counted_in_cycles() {
        for (interval, months, expected) in [
            ((Interval::Month, 1), 3, Some(3)),
            ((Interval::Month, 3), 6, Some(2)),
            ((Interval::Month, 6), 3, None),
            ((Interval::Year, 1), 12, Some(1)),
            ((Interval::Year, 1), 1, None),
            ((Interval::Week, 1), 3, Some(13)),
            ((Interval::Week, 52), 1, Some(1)),
            ((Interval::Day, 30), 2, Some(2)),
        ] {
            assert_eq!(cycles(interval, months), expected, "{interval:?} {months}");
        }
    }
}
