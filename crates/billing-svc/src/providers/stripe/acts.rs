//! Acts as calls. Each reads the subscription first: what is to be sent depends on how it stands, never on what we
//! believe we did before.

use std::collections::HashSet;

use kit::{Money, Timestamp};

use super::client::{Client, Form, plain};
use super::{map, refunds, wire};
use crate::providers::{Act, Cut, ExternalId, IdempotencyKey, Keep, ProviderError, Receipt, SwitchAt, Term};

/// Reasons Stripe files; another one travels as a comment.
const FEEDBACK: [&str; 8] = [
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
];

/// What a credit and a refund note: the key it was given under, or the credit it takes away.
pub const NOTED: &str = "retention_key";
const TAKEN: &str = "retention_takes_back";

/// The most pages of a balance that are read, a hundred changes each.
const BALANCE_PAGES: usize = 50;

/// What must be expanded for `map::subscription`.
pub const EXPAND: [(&str, &str); 2] = [("expand[]", "discounts.source.coupon"), ("expand[]", "schedule")];

pub async fn read(client: &Client, id: &ExternalId) -> Result<wire::Subscription, ProviderError> {
    let path = format!("/v1/subscriptions/{}", plain(id).ok_or(ProviderError::NotFound("subscription"))?);
    match client.get("subscription.read", &path, &EXPAND).await {
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
    // A credit is the customer's: it can be taken away from one who left.
    if is_over(&now) && !matches!(act, Act::TakeCredit { .. }) {
        // Ended is what a cancellation is after; everything else comes too late.
        return match act {
            Act::CancelAtPeriodEnd { .. } | Act::CancelNow { .. } => Ok(done_before()),
            _ => Err(refused("subscription_ended", "the subscription has ended")),
        };
    }
    match act {
        Act::Discount { cut, term, keep } => discount(client, &now, *cut, *term, keep, key).await,
        Act::RemoveDiscount { discount } => {
            let there = present(&now);
            if !there.iter().any(|(id, _)| *id == discount.as_str()) {
                return Ok(done_before());
            }
            let kept = there.into_iter().map(|(id, _)| id).filter(|id| *id != discount.as_str());
            update(client, id, "discount.remove", discounts(kept, None), key).await.map(|(_, r)| r)
        }
        Act::Pause { resumes_at, .. } => {
            // Collecting stops rather than the subscription: this pause ends by itself on its day, the other one waits
            // for a call of ours.
            let form = form(&[
                ("pause_collection[behavior]", "void"),
                ("pause_collection[resumes_at]", &resumes_at.as_second().to_string()),
            ]);
            update(client, id, "subscription.pause", form, key).await.map(|(_, r)| r)
        }
        Act::Resume if now.status == "paused" => {
            let path = format!("/v1/subscriptions/{id}/resume");
            let form = form(&[("billing_cycle_anchor[type]", "now")]);
            let (_, receipt) =
                client.post::<wire::Identified>("subscription.resume", &path, &form, key).await?;
            Ok(receipt)
        }
        Act::Resume if now.pause_collection.is_none() => Ok(done_before()),
        Act::Resume => {
            let form = form(&[("pause_collection", "")]);
            update(client, id, "subscription.resume", form, key).await.map(|(_, r)| r)
        }
        Act::SwitchPlan { at: SwitchAt::PeriodEnd, .. } => {
            Err(ProviderError::NotOffered("plan_switch_at_period_end"))
        }
        Act::SwitchPlan { price_id, at: SwitchAt::Now { prorate } } => {
            let [item] = now.items.data.as_slice() else {
                return Err(ProviderError::NotOffered("single_item_without_schedule"));
            };
            if now.schedule.is_some() {
                return Err(ProviderError::NotOffered("single_item_without_schedule"));
            }
            if item.price.id == *price_id {
                return Ok(done_before());
            }
            let form = form(&[
                // Without the item's id a second one would be added.
                ("items[0][id]", &item.id),
                ("items[0][price]", price_id),
                ("items[0][quantity]", &item.quantity.unwrap_or(1).to_string()),
                ("proration_behavior", if *prorate { "create_prorations" } else { "none" }),
                // A switch whose payment fails is not half made.
                ("payment_behavior", "error_if_incomplete"),
            ]);
            update(client, id, "subscription.switch", form, key).await.map(|(_, r)| r)
        }
        Act::ExtendTrial { .. } if now.status != "trialing" => {
            Err(refused("not_in_trial", "there is no trial to extend"))
        }
        Act::ExtendTrial { until } if now.trial_end == Some(until.as_second()) => Ok(done_before()),
        Act::ExtendTrial { until } => {
            let past = until.as_second() <= at.as_second();
            let until = if past { "now".to_owned() } else { until.as_second().to_string() };
            let form = form(&[("trial_end", &until), ("proration_behavior", "none")]);
            update(client, id, "subscription.extend_trial", form, key).await.map(|(_, r)| r)
        }
        // A balance below zero is money of the customer's: the next invoices are paid from it first.
        Act::Credit { amount } => {
            balance(client, &now, -amount.minor, *amount, (NOTED, key.as_str()), key).await
        }
        Act::TakeCredit { credit, amount } => {
            balance(client, &now, amount.minor, *amount, (TAKEN, credit.as_str()), key).await
        }
        Act::Refund { amount, not_before } => refunds::give(client, id, *amount, *not_before, key).await,
        Act::ExtendTerm { .. } => Err(ProviderError::NotOffered("term_extension")),
        Act::CancelAtPeriodEnd { .. } if now.cancel_at_period_end => Ok(done_before()),
        Act::CancelAtPeriodEnd { feedback } => {
            let mut form = form(&[("cancel_at_period_end", "true")]);
            form.extend(filed(feedback.as_deref()));
            update(client, id, "subscription.cancel", form, key).await.map(|(_, r)| r)
        }
        Act::UndoCancel => {
            let form = match (now.cancel_at_period_end, now.cancel_at) {
                (true, _) => form(&[("cancel_at_period_end", "false")]),
                (false, Some(_)) => form(&[("cancel_at", "")]),
                (false, None) => return Ok(done_before()),
            };
            update(client, id, "subscription.undo_cancel", form, key).await.map(|(_, r)| r)
        }
        Act::CancelNow { feedback } => {
            let mut form = form(&[("invoice_now", "false"), ("prorate", "false")]);
            form.extend(filed(feedback.as_deref()));
            let path = format!("/v1/subscriptions/{id}");
            let ended = client.delete("subscription.cancel_now", &path, &form, key).await;
            // Sent again as an answer was lost, and ends have no key: what has ended is not there to be ended.
            if matches!(ended, Err(ProviderError::NotFound(_))) && is_over(&read(client, id).await?) {
                return Ok(done_before());
            }
            ended
        }
    }
}

fn is_over(s: &wire::Subscription) -> bool {
    matches!(s.status.as_str(), "canceled" | "incomplete_expired")
}

/// The customer's reason as Stripe files it.
fn filed(feedback: Option<&str>) -> Option<(String, String)> {
    let reason = feedback?;
    let field = if FEEDBACK.contains(&reason) { "feedback" } else { "comment" };
    Some((format!("cancellation_details[{field}]"), reason.to_owned()))
}

async fn balance(
    client: &Client,
    now: &wire::Subscription,
    minor: i64,
    amount: Money,
    (name, value): (&str, &str),
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let path = balance_of(now)?;
    let form = form(&[
        ("amount", &minor.to_string()),
        ("currency", &amount.currency.as_str().to_lowercase()),
        ("description", "Retention offer"),
        (&format!("metadata[{name}]"), value),
    ]);
    let (made, receipt) = client.post::<wire::Identified>("customer.balance", &path, &form, key).await?;
    Ok(Receipt { made: Some(made.id.into()), ..receipt })
}

fn balance_of(now: &wire::Subscription) -> Result<String, ProviderError> {
    let customer = ExternalId::new(now.customer.id());
    let customer = plain(&customer).ok_or(ProviderError::NotFound("customer"))?;
    Ok(format!("/v1/customers/{customer}/balance_transactions"))
}

/// The credit given under a key, unless it was taken away again. What was written last comes first, so that a page holds
/// it right after it was given; later it is looked for.
pub async fn credit(
    client: &Client,
    id: &ExternalId,
    key: &IdempotencyKey,
) -> Result<Option<ExternalId>, ProviderError> {
    let path = balance_of(&read(client, id).await?)?;
    let (mut taken, mut after) = (HashSet::new(), None::<String>);
    for _ in 0..BALANCE_PAGES {
        let limit = ("limit", "100");
        let query: Vec<_> =
            after.as_deref().map(|id| ("starting_after", id)).into_iter().chain([limit]).collect();
        let page: wire::List<wire::BalanceTransaction> =
            client.get("customer.balance.list", &path, &query).await?;
        for change in &page.data {
            let noted = |name: &str| change.metadata.as_ref().and_then(|m| m.get(name));
            if noted(NOTED).is_some_and(|noted| noted == key.as_str()) {
                return Ok(Some(&change.id).filter(|id| !taken.contains(*id)).map(ExternalId::new));
            }
            taken.extend(noted(TAKEN).cloned());
        }
        match page.data.last() {
            Some(last) if page.has_more => after = Some(last.id.clone()),
            _ => return Ok(None),
        }
    }
    Err(ProviderError::Unreadable(anyhow::anyhow!("a balance of more than {BALANCE_PAGES} pages")))
}

async fn discount(
    client: &Client,
    now: &wire::Subscription,
    cut: Cut,
    term: Term,
    keep: &Keep,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let (coupon, terms) = coupon(cut, term);
    // One coupon serves everybody who gets the same terms.
    let coupon_key = key.part("coupon");
    let made = client.post::<wire::Identified>("coupon.create", "/v1/coupons", &terms, &coupon_key);
    match made.await {
        Ok(_) => {}
        Err(ProviderError::Refused { slug, .. }) if slug == "resource_already_exists" => {}
        Err(e) => return Err(e),
    }
    let there = present(now);
    // The list is replaced as a whole: what is not sent again is gone. A discount of the same coupon gives way to the
    // new one, which also makes a repeated call say the same as the first.
    let kept = there.iter().filter(|(id, of)| {
        *of != coupon
            && match keep {
                Keep::All => true,
                Keep::Foreign => !of.starts_with(map::OURS),
                Keep::Only(ids) => ids.iter().any(|k| k.as_str() == *id),
            }
    });
    let form = discounts(kept.map(|(id, _)| *id), Some(&coupon));
    let id = ExternalId::new(&now.id);
    match update(client, &id, "discount.add", form, key).await {
        Ok((after, receipt)) => Ok(Receipt { made: given(&after, &coupon), ..receipt }),
        // Sent before, when other discounts stood beside it: done, if it is there.
        Err(ProviderError::KeyReused) => match given(now, &coupon) {
            Some(discount) => Ok(Receipt { made: Some(discount), ..done_before() }),
            None => Err(ProviderError::KeyReused),
        },
        Err(e) => Err(e),
    }
}

/// The coupon of these terms: its id says them, so the same terms are the same coupon.
fn coupon(cut: Cut, term: Term) -> (String, Form) {
    let (off, mut form) = match cut {
        Cut::BasisPoints(bp) => {
            let percent = format!("{}.{:02}", bp / 100, bp % 100);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            let pairs = [("percent_off", percent), ("name", &format!("{percent}% off"))];
            (format!("{bp}bp"), self::form(&pairs))
        }
        Cut::Amount(money) => {
            let currency = money.currency.as_str().to_lowercase();
            let pairs = [
                ("amount_off", money.minor.to_string().as_str()),
                ("currency", currency.as_str()),
                ("name", &format!("{money} off")),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
            (format!("{}{currency}", money.minor), pairs.to_vec())
        }
    };
    let long = match term {
        Term::Once => {
            form.push(("duration".into(), "once".into()));
            "once".to_owned()
        }
        Term::Forever => {
            form.push(("duration".into(), "forever".into()));
            "forever".to_owned()
        }
        Term::Months(months) => {
            form.push(("duration".into(), "repeating".into()));
            form.push(("duration_in_months".into(), months.to_string()));
            format!("{months}m")
        }
    };
    let id = format!("{}{off}-{long}", map::OURS);
    form.push(("id".into(), id.clone()));
    (id, form)
}

/// The discounts there are, by id and coupon.
fn present(s: &wire::Subscription) -> Vec<(&str, &str)> {
    let whole = s.discounts.iter().filter_map(wire::Ref::whole);
    whole
        .map(|d| {
            let of = match &d.source.coupon {
                Some(wire::Ref::Whole(coupon)) => coupon.id.as_str(),
                Some(wire::Ref::Id(id)) => id.as_str(),
                None => "",
            };
            (d.id.as_str(), of)
        })
        .collect()
}

fn given(s: &wire::Subscription, coupon: &str) -> Option<ExternalId> {
    present(s).into_iter().find(|(_, of)| *of == coupon).map(|(id, _)| ExternalId::new(id))
}

fn discounts<'a>(kept: impl Iterator<Item = &'a str>, added: Option<&str>) -> Form {
    let mut form = Form::new();
    for id in kept {
        form.push((format!("discounts[{}][discount]", form.len()), id.to_owned()));
    }
    if let Some(coupon) = added {
        form.push((format!("discounts[{}][coupon]", form.len()), coupon.to_owned()));
    }
    if form.is_empty() {
        form.push(("discounts".into(), String::new()));
    }
    form
}

async fn update(
    client: &Client,
    id: &ExternalId,
    operation: &'static str,
    mut form: Form,
    key: &IdempotencyKey,
) -> Result<(wire::Subscription, Receipt), ProviderError> {
    form.extend(EXPAND.map(|(k, v)| (k.to_owned(), v.to_owned())));
    client.post(operation, &format!("/v1/subscriptions/{id}"), &form, key).await
}

pub fn form(pairs: &[(&str, &str)]) -> Form {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub fn done_before() -> Receipt {
    Receipt { replayed: true, ..Receipt::default() }
}

pub fn refused(slug: &str, message: &str) -> ProviderError {
    ProviderError::Refused { slug: slug.into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use kit::Currency;

    use super::*;

    #[test]
    fn the_same_terms_are_the_same_coupon() {
        let (id, form) = coupon(Cut::BasisPoints(2_550), Term::Months(3));
        assert_eq!(id, "retention-2550bp-3m");
        assert!(form.contains(&("percent_off".into(), "25.5".into())));
        assert!(form.contains(&("duration_in_months".into(), "3".into())));
        let (_, whole) = coupon(Cut::percent(100), Term::Once);
        assert!(whole.contains(&("percent_off".into(), "100".into())), "{whole:?}");
        let five = Money::new(500, Currency::parse("EUR").unwrap());
        assert_eq!(coupon(Cut::Amount(five), Term::Forever).0, "retention-500eur-forever");
    }
}
