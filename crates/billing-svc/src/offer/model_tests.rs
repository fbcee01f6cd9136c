use kit::Currency;
use proptest::prelude::*;

use super::*;
use crate::offer::add_months;
use crate::providers::{self, Act, Cut, ProviderKind, Term};
use crate::subscription::Subscription;
use crate::subscription::tests::{at, snapshot};

pub(crate) fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

pub(crate) fn subscription() -> Subscription {
    let snapshot = snapshot(providers::State::Active, 1);
    Subscription::seen(ProviderKind::Simulated, "cus_ours".into(), snapshot, at(1))
}

pub(crate) fn draft(terms: Terms) -> Draft {
    Draft {
        name: "Stay".into(),
        purpose: Purpose::Retain,
        terms,
        audience: Audience::default(),
        limits: Limits::default(),
        stacking: Stacking::Refuse,
        code_policy: CodePolicy::None,
        shared_code: String::new(),
        text: LocalText::of("en", "Stay with us"),
        terms_text: None,
        valid_from: None,
        valid_until: None,
    }
}

pub(crate) fn discount(percent: u32, months: u32) -> Terms {
    Terms::Discount { cut: Cut::percent(percent), term: Term::Months(months) }
}

pub(crate) fn switch(minor: i64) -> Terms {
    Terms::PlanSwitch {
        plan: "dsl".into(),
        price_id: "dsl_month".into(),
        price: eur(minor),
        interval: Interval::Month,
        interval_count: 1,
    }
}

#[test]
fn terms_cost_what_they_take_off_over_their_term() {
    let monthly = subscription();
    let yearly = Subscription { interval: Interval::Year, ..monthly.clone() };
    let once = Terms::Discount { cut: Cut::percent(50), term: Term::Once };
    let amount = Terms::Discount { cut: Cut::Amount(eur(5_000)), term: Term::Months(2) };
    assert_eq!(discount(20, 3).cost(&monthly), eur(1_200));
    assert_eq!(discount(20, 3).cost(&yearly), eur(400), "one invoice in three months of a yearly plan");
    assert_eq!(once.cost(&monthly), eur(1_000));
    assert_eq!(amount.cost(&monthly), eur(4_000), "never more than the invoice");
    assert_eq!(Terms::Pause { months: 2 }.cost(&monthly), eur(4_000));
    assert_eq!(switch(1_500).cost(&monthly), eur(6_000));
    assert_eq!(switch(9_900).cost(&monthly), eur(0), "a dearer plan costs us nothing");
    assert_eq!(Terms::TermExtension { days: 15 }.cost(&monthly), eur(1_000), "half a month");
    assert_eq!(Terms::TrialExtension { days: 73 }.cost(&yearly), eur(400), "a fifth of a year");
    let custom = |cost| Terms::Custom { reference: "box".into(), cost };
    assert_eq!((custom(None).cost(&monthly), custom(Some(eur(700))).cost(&monthly)), (eur(0), eur(700)));
}

#[test]
fn a_pause_ends_on_the_same_day_of_a_later_month() {
    let from: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
    assert_eq!(add_months(from, 1).to_string(), "2026-02-28T10:00:00Z");
    assert_eq!(
        Terms::Pause { months: 1 }.act(Stacking::Refuse, from, None),
        Some(Act::Pause { months: 1, resumes_at: add_months(from, 1) })
    );
}

#[test]
fn invariant_7_frozen_terms_change_only_as_a_new_version() {
    let offer = Offer { frozen: true, number: 3, ..draft(discount(20, 3)).offer().unwrap() };
    let renamed = offer.changed(Draft { name: "Other".into(), ..draft(discount(20, 3)) }).unwrap();
    assert_eq!((renamed.number, renamed.frozen, &renamed.terms_hash), (3, true, &offer.terms_hash));
    let deeper = offer.changed(draft(discount(30, 3))).unwrap();
    assert_eq!((deeper.number, deeper.frozen), (4, false));
    assert_ne!(deeper.terms_hash, offer.terms_hash);
    let reworded = Draft { terms_text: Some(LocalText::of("en", "Less")), ..draft(discount(20, 3)) };
    assert_eq!(offer.changed(reworded).unwrap().number, 4, "the words are part of what was shown");
    assert!(offer.changed(draft(Terms::Pause { months: 1 })).is_err());
}

#[test]
fn wrong_offers_name_their_fields() {
    let fields = |d: Draft| d.offer().unwrap_err().into_iter().map(|f| f.field).collect::<Vec<_>>();
    assert_eq!(fields(draft(discount(0, 3))), ["terms.discount.percent"]);
    assert_eq!(fields(draft(discount(101, 40))), ["terms.discount.percent", "terms.discount.months"]);
    let plain = draft(Terms::Pause { months: 1 });
    assert_eq!(fields(Draft { code_policy: CodePolicy::Shared, ..plain.clone() }), ["shared_code"]);
    let limits = Limits { monthly_budget: Some(eur(0)), ..Limits::default() };
    assert_eq!(fields(Draft { limits, ..plain.clone() }), ["limits.monthly_budget"]);
    let late = Draft { valid_from: Some(at(2)), valid_until: Some(at(1)), ..plain.clone() };
    assert_eq!(fields(late), ["valid_until"]);
    assert_eq!(fields(Draft { text: LocalText::default(), ..plain }), ["text"]);
}

proptest! {
    #[test]
    fn a_discount_never_costs_more_than_the_invoices_it_covers(
        percent in 1_u32..=100, months in 1_u32..=36, price in 0_i64..1_000_000, count in 1_u32..=12,
    ) {
        let s = Subscription { price: eur(price), interval_count: count, ..subscription() };
        let cost = discount(percent, months).cost(&s);
        prop_assert!(cost.minor >= 0);
        prop_assert!(cost.minor <= price * i64::from(months.div_ceil(count)));
    }
}

#[test]
fn only_pages_a_customer_may_be_sent_to_are_taken() {
    let faults = |url: &str| Terms::Redirect { url: url.into() }.faults().len();
    for good in ["https://shop.example/new?plan=1", "https://shop.example"] {
        assert_eq!(faults(good), 0, "{good}");
    }
    for bad in [
        "http://shop.example",
        "javascript:alert(1)",
        "https://",
        "https://user@shop.example/",
        "https://localhost/",
        "https://shop.example/a b",
        "https://shop.example/\"onclick",
        "//shop.example",
    ] {
        assert_eq!(faults(bad), 1, "{bad}");
    }
    assert!(Terms::Contact { url: String::new(), within_hours: 0 }.faults().is_empty());
}
