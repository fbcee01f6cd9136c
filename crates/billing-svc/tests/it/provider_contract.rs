//! One suite for every provider: what an adapter promises, seen from outside. A provider passes all of it or is not one.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use billing_svc::providers::{
    Act, Change, Cursor, Cut, ExternalId, IdempotencyKey, Keep, PauseKind, Provider, ProviderError, Snapshot,
    State, SwitchAt, Term,
};
use jiff::SignedDuration;
use kit::clock::{Clock, MovedClock};
use kit::{Currency, Money, Timestamp};

use crate::provider_contract_money::{
    a_credit_is_given_once_read_back_and_taken_away,
    a_refund_is_part_of_the_last_payment_given_once_and_read_back,
};
use crate::provider_contract_told::{
    a_call_is_believed_when_signed_and_fresh, what_never_arrived_can_be_asked_for,
};

/// A provider with something in it. Prices are monthly, in EUR.
#[async_trait]
pub trait Rig: Send + Sync {
    fn provider(&self) -> Arc<dyn Provider>;
    fn clock(&self) -> &MovedClock;
    /// A new customer with one active subscription at 20.00.
    async fn subscription(&self) -> ExternalId;
    /// The same in a trial that ends in 14 days.
    async fn trial(&self) -> ExternalId;
    /// A new customer whose only subscription began with its trial: nothing was paid yet.
    async fn trial_from_the_start(&self) -> ExternalId;
    /// Another price, 10.00, of the same plan.
    fn other_price(&self) -> String;
    /// Gives the subscription a discount of 10 % for ever that is not ours.
    async fn foreign_discount(&self, subscription: &ExternalId);
    /// A signed call about the subscription: headers and body.
    async fn delivery(&self, subscription: &ExternalId) -> (Vec<(String, String)>, Vec<u8>);
    /// Writes that reached the provider without a key.
    fn writes_without_key(&self) -> usize;
    /// Whether calls are signed over their bytes and their age; else they come with credentials only.
    fn signs(&self) -> bool {
        true
    }
}

pub fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(format!("{name}_{}", kit::id::new("rdm")))
}

fn quarter_off() -> Act {
    Act::Discount { cut: Cut::percent(25), term: Term::Months(3), keep: Keep::All }
}

pub fn in_days(clock: &MovedClock, days: i64) -> Timestamp {
    kit::time::add_days(clock.now(), days)
}

pub async fn read(p: &Arc<dyn Provider>, id: &ExternalId) -> Snapshot {
    p.subscription(id).await.unwrap()
}

pub async fn act(p: &Arc<dyn Provider>, id: &ExternalId, act: Act) -> Snapshot {
    p.apply(id, &act, &key(act.name())).await.unwrap();
    read(p, id).await
}

pub async fn a_new_subscription_reads_as_it_is(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let s = read(&p, &id).await;
    assert_eq!((s.state, s.mrr.minor, s.price.minor, s.quantity), (State::Active, 2_000, 2_000, 1));
    assert_eq!((s.item_count, s.schedule_attached, s.pending_change.clone()), (1, false, None));
    assert!(s.period_start.unwrap() <= rig.clock().now() && s.period_end.unwrap() > rig.clock().now());
    let customer = p.customer(&s.customer).await.unwrap();
    assert!(customer.email.unwrap().contains('@') && !customer.deleted);
    let account = p.test().await.unwrap();
    assert!(!account.id.is_empty() && !account.name.is_empty());
}

pub async fn what_is_not_there_is_not_found(rig: impl Rig) {
    let p = rig.provider();
    for id in ["sub_none", "../customers", "sub_1/../x", ""] {
        let gone = p.subscription(&ExternalId::new(id)).await;
        assert!(matches!(gone, Err(ProviderError::NotFound(_))), "{id}: {gone:?}");
    }
    assert!(matches!(p.customer(&"cus_none".into()).await, Err(ProviderError::NotFound(_))));
    let act = p.apply(&"sub_none".into(), &Act::Resume, &key("none")).await;
    assert!(matches!(act, Err(ProviderError::NotFound(_))));
}

pub async fn a_discount_is_there_and_runs_out(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let receipt = p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    let s = read(&p, &id).await;
    assert_eq!((s.mrr.minor, s.discounts.len()), (1_500, 1));
    let d = &s.discounts[0];
    assert_eq!((d.cut, d.term, d.retention), (Cut::BasisPoints(2_500), Term::Months(3), true));
    assert_eq!(receipt.made.as_ref(), Some(&d.id));
    rig.clock().advance(SignedDuration::from_hours(24 * 100));
    let later = read(&p, &id).await;
    assert_eq!((later.mrr.minor, later.state), (2_000, State::Active));
    assert!(later.provider_version > s.provider_version, "a change is a newer version");
}

pub async fn an_amount_comes_off_and_a_single_invoice_is_no_lower_price(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let five = Money::new(500, Currency::parse("EUR").unwrap());
    let off = Act::Discount { cut: Cut::Amount(five), term: Term::Forever, keep: Keep::All };
    assert_eq!(act(&p, &id, off).await.mrr.minor, 1_500);
    let once = Act::Discount { cut: Cut::percent(50), term: Term::Once, keep: Keep::All };
    let s = act(&p, &id, once).await;
    assert_eq!((s.mrr.minor, s.discounts.len()), (1_500, 2));
    rig.clock().advance(SignedDuration::from_hours(24 * 32));
    assert_eq!(read(&p, &id).await.discounts.len(), 1, "the next invoice uses it up");
}

pub async fn discounts_already_there_are_kept(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.foreign_discount(&id).await;
    let foreign = read(&p, &id).await.discounts[0].clone();
    assert!(!foreign.retention);
    let s = act(&p, &id, quarter_off()).await;
    assert_eq!(s.discounts.len(), 2);
    assert!(s.discounts.contains(&foreign), "as it was, not given anew");
    assert_eq!(s.mrr.minor, 1_350);

    // Ours give way, the company's own stays.
    let half = Act::Discount { cut: Cut::percent(50), term: Term::Months(1), keep: Keep::Foreign };
    let s = act(&p, &id, half).await;
    let cuts: HashSet<_> = s.discounts.iter().map(|d| d.cut).collect();
    assert_eq!(cuts, HashSet::from([Cut::percent(10), Cut::percent(50)]));

    let ours = s.discounts.iter().find(|d| d.retention).unwrap().id.clone();
    let s = act(&p, &id, Act::RemoveDiscount { discount: ours.clone() }).await;
    assert_eq!(s.discounts, std::slice::from_ref(&foreign));
    let s = act(&p, &id, Act::RemoveDiscount { discount: ours }).await;
    assert_eq!(s.discounts, [foreign], "taking away what is not there is no error");
}

pub async fn the_same_key_acts_once(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let once = key("once");
    let first = p.apply(&id, &quarter_off(), &once).await.unwrap();
    let before = read(&p, &id).await;
    let second = p.apply(&id, &quarter_off(), &once).await.unwrap();
    assert!(second.replayed && !first.replayed);
    assert_eq!(second.made, first.made);
    assert_eq!(read(&p, &id).await.discounts, before.discounts);
    let other = Act::Discount { cut: Cut::percent(90), term: Term::Forever, keep: Keep::All };
    let reused = p.apply(&id, &other, &once).await;
    assert!(matches!(reused, Err(ProviderError::KeyReused)), "{reused:?}");
    assert_eq!(read(&p, &id).await.mrr.minor, 1_500);
    assert_eq!(rig.writes_without_key(), 0);
}

pub async fn the_same_key_at_the_same_time_acts_once(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let once = key("once");
    let act = quarter_off();
    let all = (0..8).map(|_| p.apply(&id, &act, &once));
    let done = futures_util::future::join_all(all).await;
    assert!(done.iter().any(Result::is_ok));
    for failed in done.into_iter().filter_map(Result::err) {
        assert!(failed.is_passing(), "{failed:?}");
    }
    assert_eq!(read(&p, &id).await.discounts.len(), 1);
}

pub async fn a_pause_ends_on_its_day_or_when_told(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    if p.abilities().pause.condition() == Some("at_next_renewal") {
        return a_pause_begins_at_the_renewal(&rig, &p, &id).await;
    }
    let back = in_days(rig.clock(), 60);
    let back = Timestamp::from_second(back.as_second()).unwrap();
    let pause = Act::Pause { months: 2, resumes_at: back };
    let s = act(&p, &id, pause.clone()).await;
    assert_eq!((s.state, s.resumes_at), (State::Paused, Some(back)));
    assert!(matches!(s.pause_kind, Some(PauseKind::Collection | PauseKind::Subscription)));
    let s = act(&p, &id, Act::Resume).await;
    assert_eq!((s.state, s.resumes_at, s.pause_kind), (State::Active, None, None));
    let s = act(&p, &id, Act::Resume).await;
    assert_eq!(s.state, State::Active, "one that is not paused is no error");
    act(&p, &id, pause).await;
    rig.clock().advance(SignedDuration::from_hours(24 * 61));
    assert_eq!(read(&p, &id).await.state, State::Active);
}

/// Where a pause waits for the next renewal it shows at once, begins then, and is over so many cycles later.
async fn a_pause_begins_at_the_renewal(rig: &impl Rig, p: &Arc<dyn Provider>, id: &ExternalId) {
    let pause = Act::Pause { months: 2, resumes_at: in_days(rig.clock(), 60) };
    let before = read(p, id).await;
    let s = act(p, id, pause.clone()).await;
    assert_eq!((s.state, s.paused_at, s.mrr), (State::Active, before.period_end, before.mrr));
    let back = s.resumes_at.unwrap();
    assert!(back > kit::time::add_days(before.period_end.unwrap(), 55), "{back}: two whole cycles");
    assert_eq!(s.pause_kind, Some(PauseKind::Subscription));
    p.apply(id, &pause, &key("again")).await.unwrap();
    assert_eq!(read(p, id).await.resumes_at, Some(back), "asking twice makes it no longer");
    let s = act(p, id, Act::Resume).await;
    assert_eq!((s.state, s.paused_at, s.resumes_at, s.pause_kind), (State::Active, None, None, None));
    let s = act(p, id, Act::Resume).await;
    assert_eq!(s.state, State::Active, "one that is not paused is no error");

    act(p, id, pause.clone()).await;
    rig.clock().advance(SignedDuration::from_hours(24 * 32));
    let s = read(p, id).await;
    assert_eq!((s.state, s.paused_at, s.resumes_at), (State::Paused, before.period_end, Some(back)));
    let s = act(p, id, Act::Resume).await;
    assert_eq!((s.state, s.paused_at, s.resumes_at), (State::Active, None, None));
    act(p, id, pause).await;
    let s = read(p, id).await;
    rig.clock()
        .advance(s.paused_at.unwrap().duration_since(rig.clock().now()) + SignedDuration::from_mins(1));
    assert_eq!(read(p, id).await.state, State::Paused);
    rig.clock()
        .advance(s.resumes_at.unwrap().duration_since(rig.clock().now()) + SignedDuration::from_mins(1));
    let s = read(p, id).await;
    assert_eq!((s.state, s.paused_at), (State::Active, None));
}

pub async fn a_cancellation_is_set_taken_back_and_carried_out(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let cancel = Act::CancelAtPeriodEnd { feedback: Some("too_expensive".into()) };
    let s = act(&p, &id, cancel.clone()).await;
    assert_eq!((s.state, s.cancel_at), (State::NonRenewing, s.period_end));
    let s = act(&p, &id, cancel.clone()).await;
    assert_eq!(s.state, State::NonRenewing, "asking twice changes nothing");
    let s = act(&p, &id, Act::UndoCancel).await;
    assert_eq!((s.state, s.cancel_at, s.mrr.minor), (State::Active, None, 2_000));
    assert_eq!(act(&p, &id, Act::UndoCancel).await.state, State::Active);
    let own_words = Act::CancelAtPeriodEnd { feedback: Some("moving to the countryside".into()) };
    act(&p, &id, own_words).await;
    rig.clock().advance(SignedDuration::from_hours(24 * 32));
    let s = read(&p, &id).await;
    assert_eq!((s.state, s.mrr.minor), (State::Ended, 0));
    assert!(s.ended_at.is_some());
    p.apply(&id, &cancel, &key("late")).await.unwrap();
    let late = p.apply(&id, &quarter_off(), &key("late")).await;
    assert!(matches!(late, Err(ProviderError::Refused { .. })), "{late:?}");
    let late = p.apply(&id, &Act::UndoCancel, &key("late")).await;
    assert!(matches!(late, Err(ProviderError::Refused { .. })), "what has ended does not come back");
}

pub async fn a_cancellation_of_a_paused_subscription_shows(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let s = act(&p, &id, Act::Pause { months: 1, resumes_at: in_days(rig.clock(), 30) }).await;
    if p.abilities().pause.condition() == Some("at_next_renewal") {
        rig.clock().advance(SignedDuration::from_hours(24 * 32));
        assert_eq!(read(&p, &id).await.state, State::Paused);
    } else {
        assert_eq!(s.state, State::Paused);
    }
    let s = act(&p, &id, Act::CancelAtPeriodEnd { feedback: None }).await;
    assert_eq!(s.state, State::NonRenewing);
}

pub async fn a_plan_switch_changes_the_price_and_nothing_else(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.foreign_discount(&id).await;
    let to = rig.other_price();
    let now = Act::SwitchPlan { price_id: to.clone(), at: SwitchAt::Now { prorate: true } };
    let before = read(&p, &id).await;
    let s = act(&p, &id, now.clone()).await;
    assert_eq!((&s.price_id, s.price.minor, s.mrr.minor, s.item_count), (&to, 1_000, 900, 1));
    assert_eq!((s.discounts, s.period_end), (before.discounts, before.period_end));
    p.apply(&id, &now, &key("again")).await.unwrap();
    let nowhere = Act::SwitchPlan { price_id: "price_none".into(), at: SwitchAt::Now { prorate: false } };
    let refused = p.apply(&id, &nowhere, &key("nowhere")).await;
    assert!(matches!(refused, Err(ProviderError::Refused { .. })), "{refused:?}");
    assert_eq!(read(&p, &id).await.price_id, to);
}

pub async fn a_trial_is_extended_and_ends_on_its_day(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.trial().await);
    let before = read(&p, &id).await;
    assert_eq!(before.state, State::Trialing);
    let until = kit::time::add_days(before.trial_end.unwrap(), 7);
    let s = act(&p, &id, Act::ExtendTrial { until }).await;
    assert_eq!((s.state, s.trial_end, s.item_count), (State::Trialing, Some(until), 1));
    assert!(s.period_end.unwrap() >= until, "no invoice before the trial ends");
    p.apply(&id, &Act::ExtendTrial { until }, &key("again")).await.unwrap();
    let s = act(&p, &id, Act::ExtendTrial { until: before.trial_end.unwrap() }).await;
    assert_eq!(s.trial_end, before.trial_end, "and taken back");
    rig.clock().advance(SignedDuration::from_hours(24 * 15));
    let s = read(&p, &id).await;
    assert_eq!((s.state, s.mrr.minor), (State::Active, 2_000));
    let late = p.apply(&id, &Act::ExtendTrial { until }, &key("late")).await;
    assert!(matches!(late, Err(ProviderError::Refused { .. })), "{late:?}");
}

pub async fn a_term_is_extended_where_that_is_possible(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let before = read(&p, &id).await;
    let end = before.period_end.unwrap();
    let until = kit::time::add_days(end, 10);
    if !p.abilities().term_extension.is_possible() {
        let refused = p.apply(&id, &Act::ExtendTerm { until }, &key("term")).await;
        assert!(matches!(refused, Err(ProviderError::NotOffered("term_extension"))), "{refused:?}");
        return;
    }
    let s = act(&p, &id, Act::ExtendTerm { until }).await;
    assert_eq!((s.state, s.period_end, s.mrr.minor), (State::Active, Some(until), 2_000));
    let s = act(&p, &id, Act::ExtendTerm { until: end }).await;
    assert_eq!(s.period_end, Some(end), "and taken back");
    act(&p, &id, Act::ExtendTerm { until }).await;
    let cancel = Act::CancelAtPeriodEnd { feedback: None };
    assert_eq!(act(&p, &id, cancel).await.cancel_at, Some(until), "what was given is kept to the end");
    act(&p, &id, Act::UndoCancel).await;
    rig.clock().advance(until.duration_since(rig.clock().now()) + SignedDuration::from_hours(1));
    let s = read(&p, &id).await;
    assert_eq!((s.state, s.period_start), (State::Active, Some(until)), "the next period begins there");
}

pub async fn a_cancellation_at_once_ends_it_and_stays(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let now = || Act::CancelNow { feedback: Some("too_expensive".into()) };
    let once = key("now");
    p.apply(&id, &now(), &once).await.unwrap();
    let s = read(&p, &id).await;
    assert_eq!((s.state, s.mrr.minor), (State::Ended, 0));
    assert!(
        s.ended_at.is_some_and(|at| at <= rig.clock().now())
            && s.cancel_at.is_none_or(|at| at <= rig.clock().now())
    );
    p.apply(&id, &now(), &once).await.unwrap();
    p.apply(&id, &now(), &key("again")).await.unwrap();
    assert_eq!(read(&p, &id).await.ended_at, s.ended_at, "asking again changes nothing");
    let undone = p.apply(&id, &Act::UndoCancel, &key("undo")).await;
    assert!(matches!(undone, Err(ProviderError::Refused { .. })), "{undone:?}");

    let leaving = rig.subscription().await;
    act(&p, &leaving, Act::CancelAtPeriodEnd { feedback: None }).await;
    let own_words = Act::CancelNow { feedback: Some("moving to the countryside".into()) };
    assert_eq!(act(&p, &leaving, own_words).await.state, State::Ended, "also one that is leaving anyway");
    assert_eq!(rig.writes_without_key(), 0);
}

/// What is said to be possible works, what is not is refused as not offered, without a call that changes anything.
pub async fn abilities_agree_with_behaviour(rig: impl Rig) {
    let p = rig.provider();
    let acts = [
        quarter_off(),
        Act::Pause { months: 1, resumes_at: in_days(rig.clock(), 30) },
        Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::Now { prorate: false } },
        Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::PeriodEnd },
        Act::ExtendTerm { until: in_days(rig.clock(), 45) },
        Act::CancelAtPeriodEnd { feedback: None },
        Act::CancelNow { feedback: None },
    ];
    for act in acts {
        let id = rig.subscription().await;
        let before = read(&p, &id).await;
        let done = p.apply(&id, &act, &key(act.name())).await;
        let after = read(&p, &id).await;
        let changed = Snapshot { provider_version: 0, ..after } != Snapshot { provider_version: 0, ..before };
        assert_eq!(p.abilities().of(&act).is_possible(), done.is_ok(), "{}: {done:?}", act.name());
        assert_eq!(changed, done.is_ok(), "{}", act.name());
        if let Err(e) = done {
            assert!(matches!(e, ProviderError::NotOffered(_)), "{e:?}");
        }
    }
    let rows: HashSet<_> = p.abilities().rows().into_iter().map(|(name, _)| name).collect();
    assert_eq!(rows.len(), 10);
}

pub async fn everything_there_is_comes_once_and_then_what_changed(rig: impl Rig) {
    let p = rig.provider();
    let mut ids = HashSet::new();
    for _ in 0..235 {
        ids.insert(rig.subscription().await);
    }
    let ended = ids.iter().next().unwrap().clone();
    act(&p, &ended, Act::CancelAtPeriodEnd { feedback: None }).await;
    rig.clock().advance(SignedDuration::from_hours(24 * 32));

    let (mut seen, mut people) = (HashSet::new(), HashSet::new());
    let mut at = Cursor::start();
    let mut pages = 0;
    loop {
        // The cursor survives as text: a process that starts anew goes on from it.
        let page = p.changes(&Cursor::new(at.as_str())).await.unwrap();
        pages += 1;
        for change in page.changes {
            match change {
                Change::Customer(c) => assert!(people.insert(c.id), "a customer twice"),
                Change::Subscription(s) => {
                    assert!(people.contains(&s.customer), "customers come first");
                    assert_eq!(s.state == State::Ended, s.id == ended);
                    assert!(seen.insert(s.id), "a subscription twice");
                }
            }
        }
        at = page.next;
        if page.done {
            break;
        }
    }
    assert_eq!((seen, people.len()), (ids.clone(), 235));
    assert!(pages > 3, "{pages} pages");

    let touched = ids.iter().find(|id| **id != ended).unwrap();
    rig.clock().advance(SignedDuration::from_mins(30));
    act(&p, touched, quarter_off()).await;
    let mut changed = Vec::new();
    loop {
        let page = p.changes(&at).await.unwrap();
        changed.extend(page.changes);
        at = page.next;
        if page.done {
            break;
        }
    }
    let subscriptions: Vec<_> = changed
        .iter()
        .filter_map(|c| match c {
            Change::Subscription(s) => Some(s),
            Change::Customer(_) => None,
        })
        .collect();
    let newest = subscriptions.iter().rev().find(|s| s.id == *touched).unwrap();
    assert_eq!(newest.mrr.minor, 1_500);
}

/// Runs every test of the suite on one rig.
macro_rules! contract {
    ($module:ident, $rig:expr) => {
        mod $module {
            contract!(@tests $rig;
                a_new_subscription_reads_as_it_is
                what_is_not_there_is_not_found
                a_discount_is_there_and_runs_out
                an_amount_comes_off_and_a_single_invoice_is_no_lower_price
                discounts_already_there_are_kept
                the_same_key_acts_once
                the_same_key_at_the_same_time_acts_once
                a_pause_ends_on_its_day_or_when_told
                a_cancellation_is_set_taken_back_and_carried_out
                a_cancellation_of_a_paused_subscription_shows
                a_plan_switch_changes_the_price_and_nothing_else
                a_trial_is_extended_and_ends_on_its_day
                a_term_is_extended_where_that_is_possible
                a_credit_is_given_once_read_back_and_taken_away
                a_refund_is_part_of_the_last_payment_given_once_and_read_back
                a_cancellation_at_once_ends_it_and_stays
                abilities_agree_with_behaviour
                everything_there_is_comes_once_and_then_what_changed
                what_never_arrived_can_be_asked_for
                a_call_is_believed_when_signed_and_fresh);
        }
    };
    (@tests $rig:expr; $($test:ident)*) => {
        $(#[tokio::test]
        async fn $test() {
            super::$test($rig.await).await;
        })*
    };
}

contract!(recurly, crate::recurly::RecurlyRig::start());
contract!(stripe, crate::stripe::StripeRig::start());
contract!(chargebee, crate::chargebee::ChargebeeRig::start(testkit::chargebee::Catalogue::Items));
contract!(chargebee_plans, crate::chargebee::ChargebeeRig::start(testkit::chargebee::Catalogue::Plans));
contract!(simulated, crate::simulated::SimulatedRig::start());
