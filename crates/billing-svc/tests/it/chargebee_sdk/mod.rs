//! The adapter beside Chargebee's own client: the same wish is the same request. `requests.json` holds what the client sent.

use std::collections::BTreeMap;

use billing_svc::providers::{Act, Cut, ExternalId, IdempotencyKey, Keep, SwitchAt, Term};
use kit::{Currency, Money, Timestamp};
use serde::Deserialize;
use testkit::chargebee::{Catalogue, Seen};

use crate::chargebee::ChargebeeRig;
use crate::provider_contract::Rig;

#[derive(Deserialize)]
struct Recorded {
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    operation: String,
    method: String,
    path: String,
    authorization: String,
    content_type: String,
    idempotency_key: Option<String>,
    form: Vec<(String, String)>,
}

fn recorded() -> BTreeMap<String, Request> {
    let all: Recorded = serde_json::from_str(include_str!("requests.json")).unwrap();
    all.requests.into_iter().map(|r| (r.operation.clone(), r)).collect()
}

/// Does an act and holds its last write but `back` against the recording; what is only known here takes the place of
/// the stand-ins.
async fn same(
    rig: &ChargebeeRig,
    id: &ExternalId,
    act: Act,
    operation: &str,
    back: usize,
    more: &[(&str, &str)],
) {
    let key = IdempotencyKey::new(format!("key-{operation}"));
    let customer = rig.provider().subscription(id).await.unwrap().customer;
    let before = rig.fake.seen().len();
    rig.provider().apply(id, &act, &key).await.unwrap();
    let seen = rig.fake.seen().split_off(before);
    let writes: Vec<&Seen> = seen.iter().filter(|s| s.method == "POST").collect();
    let sent = writes[writes.len() - 1 - back];
    let real = |text: &str| {
        let known = [("SUBSCRIPTION", id.as_str()), ("CUSTOMER", customer.as_str()), ("KEY", key.as_str())];
        let all = known.iter().chain(more);
        all.fold(text.to_owned(), |text, (stand_in, value)| text.replace(stand_in, value))
    };
    let asked = recorded().remove(operation).unwrap();
    assert_eq!((&sent.method, &sent.path), (&asked.method, &real(&asked.path)), "{operation}");
    // What is noted names the act; its last word is made from the key.
    let noted = |(name, value): (String, String)| match (name.as_str(), value.rsplit_once(' ')) {
        ("customer_notes", Some((note, _))) => (name, format!("{note} NOTE")),
        _ => (name, value),
    };
    let sorted = |form: Vec<(String, String)>| form.into_iter().map(noted).collect::<BTreeMap<_, _>>();
    let expected = asked.form.into_iter().map(|(name, value)| (name, real(&value)));
    assert_eq!(sorted(sent.params.clone()), sorted(expected.collect()), "{operation}");
    assert!(sent.authorization.as_deref() == Some(&asked.authorization), "{operation}");
    assert!(asked.content_type.starts_with(sent.content_type.as_deref().unwrap()), "{operation}");
    assert_eq!(
        (sent.idempotency_key.is_some(), asked.idempotency_key.is_some()),
        (true, true),
        "{operation}"
    );
}

#[tokio::test]
async fn the_adapter_asks_as_chargebee_s_own_client_does() {
    let rig = ChargebeeRig::start(Catalogue::Items).await;
    let id = rig.subscription().await;
    let at = Timestamp::from_second(1_900_000_000).unwrap();
    let discount = || Act::Discount { cut: Cut::percent(25), term: Term::Months(3), keep: Keep::All };
    same(&rig, &id, discount(), "coupon", 1, &[]).await;
    let gone = |discount: &str| Act::RemoveDiscount { discount: discount.into() };
    same(&rig, &id, gone("retention-2500bp-3m"), "remove_discount", 0, &[]).await;
    same(&rig, &id, discount(), "discount", 0, &[]).await;
    let by_hand = [
        ("discounts[operation_type][0]", "add"),
        ("discounts[apply_on][0]", "invoice_amount"),
        ("discounts[duration_type][0]", "forever"),
        ("discounts[percentage][0]", "10"),
    ];
    rig.fake.act(&format!("/subscriptions/{id}/update_for_items"), &by_hand);
    let there = rig.provider().subscription(&id).await.unwrap().discounts;
    let foreign = there.iter().find(|d| !d.retention).unwrap().id.clone();
    same(&rig, &id, gone(foreign.as_str()), "remove_discount_by_hand", 0, &[("DISCOUNT", foreign.as_str())])
        .await;

    same(&rig, &id, Act::Pause { months: 1, resumes_at: at }, "pause", 0, &[]).await;
    same(&rig, &id, Act::Resume, "resume", 0, &[]).await;
    same(&rig, &id, Act::ExtendTerm { until: at }, "extend_term", 0, &[]).await;
    let amount = Money::new(500, Currency::parse("EUR").unwrap());
    same(&rig, &id, Act::Credit { amount }, "credit", 0, &[]).await;
    let credit = rig.provider().given(&id, &IdempotencyKey::new("key-credit")).await.unwrap().unwrap();
    let take = Act::TakeCredit { credit: credit.clone(), amount };
    same(&rig, &id, take, "take_credit", 0, &[("CREDIT", credit.as_str())]).await;
    let part = Money::new(525, amount.currency);
    let invoice = rig.fake.all("invoice").pop().unwrap()["id"].as_str().unwrap().to_owned();
    let refund = Act::Refund { amount: part, not_before: Timestamp::UNIX_EPOCH };
    same(&rig, &id, refund, "refund", 0, &[("INVOICE", &invoice)]).await;
    let cancel = Act::CancelAtPeriodEnd { feedback: Some("too_expensive".into()) };
    same(&rig, &id, cancel, "cancel", 0, &[]).await;
    same(&rig, &id, Act::UndoCancel, "undo_cancel", 0, &[]).await;
    let switch = |at| Act::SwitchPlan { price_id: rig.other_price(), at };
    same(&rig, &id, switch(SwitchAt::Now { prorate: true }), "switch_now", 0, &[]).await;
    let id = rig.subscription().await;
    same(&rig, &id, switch(SwitchAt::PeriodEnd), "switch_at_period_end", 0, &[]).await;

    same(&rig, &id, Act::CancelNow { feedback: None }, "cancel_now", 0, &[]).await;
    let id = rig.trial().await;
    same(&rig, &id, Act::ExtendTrial { until: at }, "extend_trial", 0, &[]).await;
    same(&rig, &id, Act::ExtendTrial { until: Timestamp::UNIX_EPOCH }, "end_trial", 0, &[]).await;
}

#[tokio::test]
async fn and_with_the_old_catalogue() {
    let rig = ChargebeeRig::start(Catalogue::Plans).await;
    let id = rig.subscription().await;
    let discount = Act::Discount { cut: Cut::percent(25), term: Term::Months(3), keep: Keep::All };
    same(&rig, &id, discount, "plans_coupon", 1, &[]).await;
    same(&rig, &id, Act::CancelAtPeriodEnd { feedback: None }, "plans_cancel", 0, &[]).await;
    let switch = |at| Act::SwitchPlan { price_id: rig.other_price(), at };
    let id = rig.subscription().await;
    same(&rig, &id, switch(SwitchAt::PeriodEnd), "plans_switch_at_period_end", 0, &[]).await;
    let id = rig.subscription().await;
    same(&rig, &id, switch(SwitchAt::Now { prorate: true }), "plans_switch_now", 0, &[]).await;
    same(&rig, &id, Act::CancelNow { feedback: None }, "plans_cancel_now", 0, &[]).await;
}
