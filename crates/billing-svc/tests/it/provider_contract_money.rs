//! The part of the providers' suite that is about money given and paid back.

use billing_svc::providers::{Act, ProviderError};
use jiff::SignedDuration;
use kit::{Currency, Money};

use crate::provider_contract::{Rig, in_days, key, read};

pub async fn a_credit_is_given_once_read_back_and_taken_away(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let before = read(&p, &id).await;
    let five = Money::new(500, Currency::parse("EUR").unwrap());
    let (credit, once) = (Act::Credit { amount: five }, key("credit"));
    assert_eq!(p.given(&id, &once).await.unwrap(), None);
    let first = p.apply(&id, &credit, &once).await.unwrap();
    let second = p.apply(&id, &credit, &once).await.unwrap();
    assert!(second.replayed && first.made.is_some() && first.made == second.made);
    assert_eq!(p.given(&id, &once).await.unwrap(), first.made);
    assert_eq!(p.given(&id, &key("other")).await.unwrap(), None, "another key gave nothing");
    let after = read(&p, &id).await;
    assert_eq!((after.mrr, after.discounts), (before.mrr, before.discounts), "a credit is no lower price");
    for n in 0..101 {
        p.apply(&id, &credit, &key(&format!("later_{n}"))).await.unwrap();
    }
    assert_eq!(p.given(&id, &once).await.unwrap(), first.made, "also behind many others");
    let take = Act::TakeCredit { credit: first.made.unwrap(), amount: five };
    p.apply(&id, &take, &key("take")).await.unwrap();
    assert_eq!(p.given(&id, &once).await.unwrap(), None);
    let yen = Act::Credit { amount: Money::new(500, Currency::parse("JPY").unwrap()) };
    let foreign = p.apply(&id, &yen, &key("foreign")).await;
    assert!(matches!(foreign, Err(ProviderError::Refused { .. })), "{foreign:?}");
}

pub async fn a_refund_is_part_of_the_last_payment_given_once_and_read_back(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let eur = |minor| Money::new(minor, Currency::parse("EUR").unwrap());
    let before = read(&p, &id).await;
    let today = in_days(rig.clock(), -1);
    let (part, once) = (Act::Refund { amount: eur(1_500), not_before: today }, key("refund"));
    if !p.abilities().refund.is_possible() {
        let refused = p.apply(&id, &part, &once).await;
        assert!(matches!(refused, Err(ProviderError::NotOffered("refund"))), "{refused:?}");
        return;
    }
    assert_eq!(p.given(&id, &once).await.unwrap(), None);
    let first = p.apply(&id, &part, &once).await.unwrap();
    let second = p.apply(&id, &part, &once).await.unwrap();
    assert!(second.replayed && !first.replayed && first.made.is_some() && first.made == second.made);
    assert_eq!(p.given(&id, &once).await.unwrap(), first.made);
    assert_eq!(p.given(&id, &key("other")).await.unwrap(), None, "another key gave nothing");
    let after = read(&p, &id).await;
    assert_eq!((after.mrr, after.discounts, after.state), (before.mrr, before.discounts, before.state));

    let nothing = async |amount, not_before, name| {
        let refused = p.apply(&id, &Act::Refund { amount, not_before }, &key(name)).await;
        let slug = match &refused {
            Err(ProviderError::Refused { slug, .. }) => slug.as_str(),
            _ => "",
        };
        assert_eq!(slug, "nothing_to_refund", "{name}: {refused:?}");
    };
    nothing(eur(501), today, "more than is left").await;
    nothing(Money::new(500, Currency::parse("JPY").unwrap()), today, "other currency").await;
    nothing(eur(500), in_days(rig.clock(), 1), "paid too long ago").await;
    let rest = Act::Refund { amount: eur(500), not_before: today };
    p.apply(&id, &rest, &key("rest")).await.unwrap();
    nothing(eur(1), today, "all is paid back").await;

    // Another invoice is another payment; what was given before is still known by its key.
    rig.clock().advance(SignedDuration::from_hours(24 * 32));
    p.apply(&id, &part, &key("next")).await.unwrap();
    assert_eq!(p.given(&id, &once).await.unwrap(), first.made);
    let trial = rig.trial_from_the_start().await;
    let unpaid = p.apply(&trial, &rest, &key("trial")).await;
    assert!(matches!(unpaid, Err(ProviderError::Refused { .. })), "{unpaid:?}");
}
