//! Discounts: a coupon of its own for each act, good for one redemption. Recurly remembers a key for an hour; a coupon whose
//! code names the act, and that is used up, remembers for ever, and a redemption tells by its code which act it came from.

use aws_lc_rs::digest;
use reqwest::Method;

use super::acts::{done_before, refused};
use super::client::{Client, plain};
use super::{decimal, map, wire};
use crate::providers::{Cut, ExternalId, IdempotencyKey, Keep, ProviderError, Receipt, Term};

/// The redemptions that lower the invoices of a subscription now: its own, and its account's.
pub async fn active(client: &Client, account: &str) -> Result<Vec<wire::Redemption>, ProviderError> {
    let account = plain(account).ok_or(ProviderError::NotFound("customer"))?;
    let path = format!("/accounts/{account}/coupon_redemptions/active");
    client.all("redemption.list_active", &path, &[]).await
}

pub async fn give(
    client: &Client,
    now: &wire::Subscription,
    cut: Cut,
    term: Term,
    keep: &Keep,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    if let Cut::Amount(money) = cut
        && !money.currency.as_str().eq_ignore_ascii_case(&now.currency)
    {
        return Err(refused("other_currency", "the discount is of another currency"));
    }
    let mark = mark(now, key);
    let terms = coupon(cut, term, &mark)?;
    let path = format!("/subscriptions/{}/coupon_redemptions", now.id);
    // Those that are over, too: one that ran out was given all the same.
    let given: Vec<wire::Redemption> = client.all("redemption.list", &path, &[]).await?;
    let known = given.iter().find(|r| r.coupon.code.starts_with(map::OURS) && r.coupon.code.ends_with(&mark));
    let (id, receipt) = match known {
        Some(known) if known.coupon.code != terms.code => return Err(ProviderError::KeyReused),
        Some(known) => (known.id.clone(), done_before()),
        None => redeem(client, now, &terms, key).await?,
    };
    let others: Vec<_> = active(client, &now.account.id).await?;
    for other in others.iter().filter(|r| r.id != id && goes(r, now, keep)) {
        remove(client, now, other, &key.part("replace")).await?;
    }
    Ok(Receipt { made: Some(ExternalId::new(id)), ..receipt })
}

/// Whether one that is there makes room for the new one. What holds for the whole account is not ours to end.
fn goes(r: &wire::Redemption, now: &wire::Subscription, keep: &Keep) -> bool {
    r.subscription_id.as_deref() == Some(now.id.as_str())
        && match keep {
            Keep::All => false,
            Keep::Foreign => r.coupon.code.starts_with(map::OURS),
            Keep::Only(ids) => !ids.iter().any(|kept| kept.as_str() == r.id),
        }
}

async fn redeem(
    client: &Client,
    now: &wire::Subscription,
    terms: &wire::NewCoupon,
    key: &IdempotencyKey,
) -> Result<(String, Receipt), ProviderError> {
    let coupon_id = make(client, terms, key).await?;
    let account = plain(&now.account.id).ok_or(ProviderError::NotFound("customer"))?;
    let path = format!("/accounts/{account}/coupon_redemptions/active");
    let body =
        wire::NewRedemption { coupon_id: &coupon_id, currency: &now.currency, subscription_id: &now.id };
    let call = client.write::<wire::Redemption>("discount.add", Method::POST, &path, Some(&body), key);
    let (said, receipt) = call.await?;
    match said {
        // The same key at the same address answers what it answered first, whatever is asked now.
        Some(made) if made.coupon.code != terms.code => Err(ProviderError::KeyReused),
        Some(made) => Ok((made.id, receipt)),
        None => Err(super::client::unreadable("a redemption without an answer")),
    }
}

/// The coupon's id.
async fn make(
    client: &Client,
    terms: &wire::NewCoupon,
    key: &IdempotencyKey,
) -> Result<String, ProviderError> {
    let key = key.part("coupon");
    let made = client.write::<wire::Coupon>("coupon.create", Method::POST, "/coupons", Some(terms), &key);
    match made.await {
        Ok((Some(coupon), _)) if coupon.code == terms.code => Ok(coupon.id),
        Ok((Some(_), _)) => Err(ProviderError::KeyReused),
        Ok((None, _)) => Err(super::client::unreadable("a coupon without an answer")),
        // An earlier try may have got this far.
        Err(no @ ProviderError::Refused { .. }) => {
            let path = format!("/coupons/code-{}", terms.code);
            match client.get::<wire::Coupon>("coupon.read", &path, &[]).await {
                Ok(coupon) => Ok(coupon.id),
                Err(ProviderError::NotFound(_)) => Err(no),
                Err(other) => Err(other),
            }
        }
        Err(other) => Err(other),
    }
}

pub async fn take(
    client: &Client,
    now: &wire::Subscription,
    discount: &ExternalId,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let there = active(client, &now.account.id).await?;
    match there.iter().find(|r| r.id == discount.as_str()) {
        None => Ok(done_before()),
        Some(r) => remove(client, now, r, key).await,
    }
}

async fn remove(
    client: &Client,
    now: &wire::Subscription,
    r: &wire::Redemption,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let path = match &r.subscription_id {
        Some(_) => format!("/subscriptions/{}/coupon_redemptions/{}", now.id, r.id),
        None => format!("/accounts/{}/coupon_redemptions/{}", now.account.id, r.id),
    };
    let call =
        client.write::<wire::Identified>("discount.remove", Method::DELETE, &path, None::<&()>, key).await;
    match call {
        // Gone meanwhile, which is all we want.
        Err(ProviderError::NotFound(_)) => Ok(done_before()),
        other => other.map(|(_, receipt)| receipt),
    }
}

/// What of a coupon's code says which act it was made for.
fn mark(now: &wire::Subscription, key: &IdempotencyKey) -> String {
    let text = format!("{}:{}", now.id, key.as_str());
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    format!("-{}", hex::encode(hash.as_ref().get(..8).unwrap_or_default()))
}

/// The coupon of these terms.
fn coupon(cut: Cut, term: Term, mark: &str) -> Result<wire::NewCoupon, ProviderError> {
    let (off, name, discount_type, discount_percent, currencies) = match cut {
        // Recurly's shares are whole.
        Cut::BasisPoints(bp) if bp % 100 != 0 => return Err(ProviderError::NotOffered("whole_percent")),
        Cut::BasisPoints(bp) => {
            let percent = bp / 100;
            (format!("{bp}bp"), format!("{percent}% off"), "percent", Some(percent), None)
        }
        Cut::Amount(money) => {
            let currency = money.currency.as_str().to_owned();
            let off = format!("{}{}", money.minor, currency.to_lowercase());
            let discount = decimal::Decimal::of(money);
            let amounts = [wire::NewCouponAmount { currency, discount }];
            (off, format!("{money} off"), "fixed", None, Some(amounts))
        }
    };
    let (long, duration, temporal_amount) = match term {
        Term::Once => ("once".to_owned(), "single_use", None),
        Term::Forever => ("forever".to_owned(), "forever", None),
        Term::Months(months) => (format!("{months}m"), "temporal", Some(months)),
    };
    Ok(wire::NewCoupon {
        code: format!("{}{off}-{long}{mark}", map::OURS),
        name,
        discount_type,
        discount_percent,
        currencies,
        duration,
        temporal_amount,
        temporal_unit: temporal_amount.map(|_| "month"),
        redemption_resource: "subscription",
        applies_to_all_plans: true,
        applies_to_non_plan_charges: false,
        max_redemptions: 1,
    })
}

#[cfg(test)]
mod tests {
    use kit::{Currency, Money};

    use super::*;

    #[test]
    fn a_coupon_says_its_terms_and_its_act() {
        let made = coupon(Cut::percent(25), Term::Months(3), "-0123456789abcdef").unwrap();
        assert_eq!(made.code, "retention-2500bp-3m-0123456789abcdef");
        let sent = serde_json::to_string(&made).unwrap();
        assert!(
            sent.contains("\"discount_percent\":25") && sent.contains("\"temporal_unit\":\"month\""),
            "{sent}"
        );
        let yen = Money::new(500, Currency::parse("JPY").unwrap());
        let made = coupon(Cut::Amount(yen), Term::Once, "-x").unwrap();
        let sent = serde_json::to_string(&made).unwrap();
        assert!(sent.contains(r#""currencies":[{"currency":"JPY","discount":500}]"#), "{sent}");
        let half = coupon(Cut::BasisPoints(2_550), Term::Once, "-x");
        assert!(matches!(half, Err(ProviderError::NotOffered("whole_percent"))));
    }
}
