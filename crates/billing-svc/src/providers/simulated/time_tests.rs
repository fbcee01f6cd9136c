use kit::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::providers::simulated::acts::Outcome;
use crate::providers::simulated::model::{Contract, Invoice, Payment, Tariff};
use crate::providers::{Act, Cut, Interval, Keep, State, SwitchAt};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-02-10T00:00:00Z")
}

fn days(n: i64) -> Timestamp {
    kit::time::add_days(now(), n)
}

fn eur(minor: i64) -> kit::Money {
    kit::Money::new(minor, kit::Currency::parse("EUR").unwrap())
}

fn contract() -> Contract {
    let start = at("2026-01-31T00:00:00Z");
    Contract {
        external_id: "sub_1".into(),
        customer: "c1".into(),
        plan: "fibre".into(),
        price_id: "fibre-month".into(),
        price: eur(2_000),
        quantity: 1,
        interval: Interval::Month,
        interval_count: 1,
        started_at: start,
        anchor: start,
        trial_end: None,
        trial_told: None,
        period_start: start,
        period_end: at("2026-02-28T00:00:00Z"),
        past_due_since: None,
        cancel_at: None,
        ended_at: None,
        paused_at: None,
        resumes_at: None,
        next: None,
        grants: Vec::new(),
        credits: Vec::new(),
        payment: Payment::Ok,
        invoices: Vec::new(),
        reason: None,
        due_at: None,
        done: Vec::new(),
        news: Vec::new(),
    }
}

fn trial(until: Timestamp) -> Contract {
    Contract { trial_end: Some(until), anchor: until, period_end: until, ..contract() }
}

fn tariff(interval: Interval) -> Tariff {
    Tariff {
        price_id: "lite".into(),
        plan: "lite".into(),
        name: "Lite".into(),
        amount: eur(1_000),
        interval,
        interval_count: 1,
    }
}

/// What was told, as `day name`, days counted from the first.
fn told(c: &Contract) -> Vec<String> {
    let day = |n: &News| n.at.duration_since(now()).as_hours().div_euclid(24);
    c.news.iter().map(|n| format!("{} {}", day(n), n.name)).collect()
}

/// What somebody does to a subscription.
#[derive(Clone, Debug)]
enum Doing {
    Act(Act),
    Pays(Payment),
}

fn doing() -> impl Strategy<Value = (i64, Doing)> {
    let term = prop_oneof![Just(Term::Once), Just(Term::Forever), (1_u32..6).prop_map(Term::Months)];
    let keep = prop_oneof![Just(Keep::All), Just(Keep::Foreign), Just(Keep::Only(Vec::new()))];
    let switch = |at| Act::SwitchPlan { price_id: "lite".into(), at };
    let act = prop_oneof![
        (1_u32..=100, term, keep).prop_map(|(percent, term, keep)| Act::Discount {
            cut: Cut::percent(percent),
            term,
            keep
        }),
        (1_i64..400).prop_map(|n| Act::Pause { months: 1, resumes_at: days(n) }),
        Just(Act::Resume),
        (1_i64..300).prop_map(|n| Act::ExtendTerm { until: days(n) }),
        (1_i64..300).prop_map(|n| Act::ExtendTrial { until: days(n) }),
        (1_i64..5_000).prop_map(|minor| Act::Credit { amount: eur(minor) }),
        Just(switch(SwitchAt::Now { prorate: true })),
        Just(switch(SwitchAt::PeriodEnd)),
        Just(Act::CancelAtPeriodEnd { feedback: None }),
        Just(Act::UndoCancel),
        Just(Act::CancelNow { feedback: None }),
    ];
    let payment = prop_oneof![
        Just(Payment::Ok),
        Just(Payment::Fails),
        (1_i64..400).prop_map(|n| Payment::FailsUntil(days(n))),
    ];
    let doing = prop_oneof![6 => act.prop_map(Doing::Act), 2 => payment.prop_map(Doing::Pays)];
    (0_i64..200, doing)
}

fn start() -> impl Strategy<Value = Contract> {
    prop_oneof![Just(contract()), (1_i64..60).prop_map(|n| trial(days(n)))]
}

/// Ids are random, whatever is done: they are left out where two ways are compared.
fn plain(c: &Contract) -> Contract {
    let mut c = c.clone();
    c.grants.iter_mut().for_each(|g| g.id.clear());
    c.credits.iter_mut().for_each(|g| g.id.clear());
    c.done.iter_mut().for_each(|d| d.grant = None);
    c
}

fn lives(mut c: Contract, doings: &[(i64, Doing)], looks: &[i64], until: i64) -> Contract {
    let mut moments: Vec<_> = doings.iter().map(|(day, doing)| (*day, Some(doing))).collect();
    moments.extend(looks.iter().map(|day| (*day, None)));
    moments.sort_by_key(|(day, _)| *day);
    for (n, (day, doing)) in moments.into_iter().enumerate() {
        c.settle(days(day));
        match doing {
            Some(Doing::Act(act)) => {
                let interval = if day % 2 == 0 { Interval::Month } else { Interval::Week };
                // The key says when, so that it is the same whoever looked between.
                let key = format!("{day}:{}", c.done.len());
                drop((n, c.carry_out(act, &key, Some(tariff(interval)), days(day))));
            }
            Some(Doing::Pays(payment)) => c.pays(*payment, days(day)),
            None => {}
        }
    }
    c.settle(days(until));
    c
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn time_passes_in_many_steps_as_in_one(
        begins in start(),
        doings in prop::collection::vec(doing(), 0..8),
        looks in prop::collection::vec(0_i64..900, 0..12),
    ) {
        let once = lives(begins.clone(), &doings, &[], 900);
        let often = lives(begins, &doings, &looks, 900);
        prop_assert_eq!(plain(&once), plain(&often), "also what was told, in its order");
        prop_assert!(once.due_at.is_none_or(|due| due > days(900)), "nothing due is left undone");
    }

    #[test]
    fn no_invoice_comes_twice_and_everything_is_told_once_and_in_order(
        begins in start(),
        doings in prop::collection::vec(doing(), 0..8),
    ) {
        let c = lives(begins, &doings, &[], 700);
        let ids = |ids: Vec<&str>| ids.len() == ids.iter().collect::<std::collections::HashSet<_>>().len();
        prop_assert!(ids(c.invoices.iter().map(|i| i.id.as_str()).collect()), "{:?}", c.invoices);
        prop_assert!(ids(c.news.iter().map(|n| n.id.as_str()).collect()), "{:?}", told(&c));
        prop_assert!(c.news.is_sorted_by_key(|n| n.at), "{:?}", told(&c));
        prop_assert!(c.invoices.is_sorted_by_key(|i| i.at));
        for i in &c.invoices {
            prop_assert!(i.credited <= i.amount.minor && i.attempts <= 4);
            prop_assert!(i.paid_at.is_none_or(|at| at >= i.at && i.retry_at.is_none()));
        }
        prop_assert!(c.credits.iter().all(|g| (0..=g.amount.minor).contains(&g.used)));
        let owes = c.invoices.iter().any(Invoice::is_open);
        prop_assert!(c.ended_at.is_some() || owes == c.past_due_since.is_some(), "{c:?}");
        let last = c.news.last();
        prop_assert!(c.ended_at.is_none_or(|end| last.is_none_or(|n| n.at <= end)), "{:?}", told(&c));
    }

    #[test]
    fn a_key_acts_once_whatever_it_does(begins in start(), (_, doing) in doing()) {
        let Doing::Act(act) = doing else { return Ok(()) };
        let mut c = begins;
        let month = Some(tariff(Interval::Month));
        let first = c.carry_out(&act, "k", month.clone(), now());
        let after = c.clone();
        let second = c.carry_out(&act, "k", month, days(1));
        prop_assert_eq!(&c, &after);
        match (first, second) {
            (Ok(Outcome::Done(a)), Ok(Outcome::Before(b))) => prop_assert_eq!(a, b),
            (Err(a), Err(b)) => prop_assert_eq!(a, b),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn a_trial_is_announced_ends_and_is_charged_and_renews_from_there() {
    let mut c = trial(days(14));
    c.settle(days(46));
    let expected = ["11 trial.will_end", "14 trial.ended", "14 payment.succeeded", "42 payment.succeeded"];
    assert_eq!(told(&c), expected);
    assert_eq!((c.state(), c.invoices.len(), c.period_end), (State::Active, 2, at("2026-04-24T00:00:00Z")));
}

#[test]
fn a_payment_that_fails_is_tried_on_days_3_5_and_7_and_then_the_subscription_ends() {
    let mut c = Contract { payment: Payment::Fails, ..contract() };
    c.settle(days(20));
    assert_eq!((c.state(), c.past_due_since), (State::PastDue, Some(days(18))));
    c.settle(days(60));
    let tries = [18, 21, 23, 25].map(|day| format!("{day} payment.failed"));
    assert_eq!(told(&c)[..4], tries);
    assert_eq!(told(&c)[4..], ["25 subscription.ended"]);
    assert_eq!(
        (c.ended_at, c.cancel_at, c.reason.as_deref()),
        (Some(days(25)), None, Some("payment_failed"))
    );
}

#[test]
fn a_card_that_works_again_pays_at_the_next_try_or_at_once_when_somebody_says_so() {
    let mut c = Contract { payment: Payment::FailsUntil(days(22)), ..contract() };
    let mut told_of = c.clone();
    c.settle(days(30));
    assert_eq!(told(&c), ["18 payment.failed", "21 payment.failed", "23 payment.recovered"]);
    assert_eq!((c.state(), c.past_due_since, c.invoices[0].paid_at), (State::Active, None, Some(days(23))));
    told_of.settle(days(19));
    told_of.pays(Payment::Ok, days(19));
    told_of.settle(days(30));
    assert_eq!(told(&told_of), ["18 payment.failed", "19 payment.recovered"]);
}

#[test]
fn credit_pays_invoices_first_and_a_card_is_not_asked_for_nothing() {
    let mut c = Contract { payment: Payment::Fails, ..contract() };
    c.carry_out(&Act::Credit { amount: eur(2_500) }, "k", None, now()).unwrap();
    c.settle(days(19));
    assert_eq!((c.state(), c.invoices[0].credited, c.credits[0].used), (State::Active, 2_000, 2_000));
    c.settle(days(50));
    assert_eq!((c.state(), c.invoices[1].credited, c.credits[0].used), (State::PastDue, 500, 2_500));
    let refund = Act::Refund { amount: eur(1), not_before: now() };
    assert!(c.carry_out(&refund, "r", None, days(50)).is_err(), "no money was paid that could go back");
}

#[test]
fn a_pause_costs_nothing_and_what_was_to_be_collected_waits_for_its_end() {
    let mut c = contract();
    c.carry_out(&Act::Pause { months: 2, resumes_at: days(70) }, "p", None, now()).unwrap();
    c.settle(days(75));
    assert_eq!(told(&c), ["70 subscription.resumed"]);
    assert_eq!(
        (c.state(), c.period_start, c.period_end),
        (State::Active, at("2026-03-31T00:00:00Z"), days(79))
    );

    let mut owing = Contract { payment: Payment::FailsUntil(days(30)), ..contract() };
    owing.settle(days(19));
    owing.carry_out(&Act::Pause { months: 1, resumes_at: days(40) }, "p", None, days(19)).unwrap();
    owing.settle(days(45));
    assert_eq!(told(&owing), ["18 payment.failed", "40 subscription.resumed", "40 payment.recovered"]);
}
