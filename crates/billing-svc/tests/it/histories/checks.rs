//! What must hold: at every write, and at the end of a history when everything that broke was mended.

use std::collections::BTreeMap;

use billing_svc::offer::{Kind, Stacking, Terms, hash};
use billing_svc::providers::State as AtProvider;
use billing_svc::redemption::State;
use billing_svc::subscription::{Reading, Subscription};
use kit::Timestamp;

use super::plan::{CUSTOMERS, Foreign, Step, TRIAL_DAYS, Task, Work};
use super::provider::TRIAL;
use super::pure::World;

/// At every write.
pub fn always(w: &World) {
    for (n, offer) in w.offers.iter().enumerate() {
        let used = &w.uses[n];
        let holders = w
            .redemptions
            .iter()
            .enumerate()
            .filter(|(of, r)| w.offer(*of) == n && r.body.state.holds_limits());
        let (mut claimed, mut spent) = (0, BTreeMap::<String, i64>::new());
        for (_, r) in holders {
            claimed += 1;
            if let (Some(month), Some(cost)) = (&r.body.budget_month, r.body.cost) {
                *spent.entry(month.clone()).or_default() += cost.minor;
            }
        }
        assert_eq!(used.claimed, claimed, "invariant 6: what is taken is what is held");
        assert!(
            offer.limits.total == 0 || claimed <= i64::from(offer.limits.total),
            "invariant 6: the limit"
        );
        for (month, minor) in &used.spent {
            assert_eq!(*minor, spent.get(month).copied().unwrap_or(0), "invariant 6: the budget of {month}");
            let budget = offer.limits.monthly_budget.map_or(0, |b| b.minor);
            assert!((0..=budget).contains(minor), "invariant 6: {minor} of {budget}");
        }
    }
    for customer in 0..CUSTOMERS {
        let mut held: Vec<_> =
            w.ledgers[customer].body.grants.iter().map(|g| g.redemption_id.clone()).collect();
        let mine = w.redemptions.iter().enumerate().filter(|(of, _)| w.customer(*of) == customer);
        let holding = mine.filter(|(_, r)| r.body.state.holds_limits());
        let mut holding: Vec<_> = holding.map(|(of, _)| format!("red_{of}")).collect();
        held.sort();
        holding.sort();
        assert_eq!(held, holding, "no chance is burnt and none is had twice");
        let merged = (0..w.redemptions.len())
            .any(|of| w.customer(of) == customer && w.redemptions[of].body.stacking == Stacking::Merge);
        let running = w
            .books
            .snapshot(customer, w.now)
            .discounts
            .iter()
            .filter(|d| d.retention && d.runs_at(w.now))
            .count();
        assert!(running <= 1 || merged, "invariant 5: {running} retention discounts");
    }
    for asked in &w.asked {
        let r = &w.redemptions[asked.redemption].body;
        assert!(asked.had_lease, "invariant 2: a lease");
        assert!(matches!(asked.state, State::Applying | State::Failed), "invariant 2: claimed before");
        assert!(asked.key.starts_with(&format!("red_{}", asked.redemption)), "invariant 2: a key of its own");
        assert!(asked.as_promised, "invariant 7: what was promised is what is asked for");
        assert_eq!(hash(&r.terms, &r.terms_text), r.terms_hash, "invariant 7: terms shown are terms applied");
    }
}

/// The provider answers again, and the job has had its rounds.
pub fn mend(w: &mut World) {
    w.books.down = false;
    w.books.troubles.clear();
    // A provider gives no days back while a subscription is paused; until it goes on, that reversal waits.
    for of in 0..w.redemptions.len() {
        let (r, customer) = (&w.redemptions[of].body, w.customer(of));
        let waits = r.state == State::Failed && r.kind == Kind::TermExtension;
        if waits && w.books.booked[customer].contract.paused_at.is_some() {
            w.step(&Step::Foreign { customer, what: Foreign::Resume }, &mut always);
        }
    }
    let sweep = [Task { work: Work::Sweep, dies: None }];
    for _ in 0..12 {
        if w.redemptions.iter().all(|r| !r.body.state.is_under_way()) && w.books.next_arrival().is_none() {
            break;
        }
        w.later(3 * 60);
        w.step(&Step::Together { tasks: sweep.to_vec(), turns: Vec::new() }, &mut always);
    }
    let sync = [Task { work: Work::Sync, dies: None }];
    w.step(&Step::Together { tasks: sync.to_vec(), turns: Vec::new() }, &mut always);
}

/// When all is mended.
pub fn finally(w: &mut World) {
    let standing = w.standing();
    for (of, r) in w.redemptions.iter().enumerate() {
        assert!(!r.body.state.is_under_way(), "red_{of} is stuck: {:?}", r.body);
        effect(w, of);
    }
    for customer in 0..CUSTOMERS {
        let mirror: &Subscription = &w.mirrors[customer].body;
        let read = mirror.read(w.books.snapshot(customer, w.now), w.now);
        assert_eq!(read, Reading::Same, "invariant 3: the mirror shows what the provider has");
    }
    trial(w);
    w.everything_again(&mut always);
    assert_eq!(w.standing(), standing, "invariant 9: everything once more changes nothing");
}

/// One effect where it stands, none where it does not.
fn effect(w: &World, of: usize) {
    let (r, customer) = (&w.redemptions[of].body, w.customer(of));
    let booked = &w.books.booked[customer];
    let id = format!("red_{of}");
    let done: Vec<_> = booked.contract.done.iter().filter(|d| d.key == id).collect();
    assert!(done.len() <= 1, "{id} acted twice");
    let made = done.first().and_then(|d| d.grant.clone());
    let stands = matches!(r.state, State::Verified | State::Exhausted);
    if !stands {
        // What was on a subscription ended with it.
        let runs = booked.contract.state() != AtProvider::Ended;
        let there = runs && booked.contract.grants.iter().any(|g| Some(&g.id) == made.as_ref())
            || booked.contract.credits.iter().any(|c| c.key == id);
        assert!(!there, "{id} is {:?} and its effect stands", r.state);
        if !matches!(r.state, State::Reversed) {
            assert!(done.is_empty(), "{id} is {:?} and acted", r.state);
        }
    } else if r.kind == Kind::Credit {
        assert!(booked.contract.credits.iter().any(|c| c.key == id), "{id} stands without its credit");
    } else if let Terms::Discount { cut, .. } = &r.terms {
        // Over by its term or its invoice, or another one took its place.
        let over =
            r.effect_ends_at.is_some_and(|at| at <= w.now) || booked.contract.state() == AtProvider::Ended;
        let replaced = w.redemptions.iter().enumerate().any(|(other, o)| {
            other != of
                && w.customer(other) == customer
                && o.body.stacking == Stacking::Replace
                && o.body.claimed_at.unwrap_or(Timestamp::MIN) >= r.claimed_at.unwrap_or(Timestamp::MIN)
        });
        let there = booked.contract.grants.iter().any(|g| g.cut == *cut);
        assert!(there || over || replaced || booked.disturbed, "{id} stands without its discount");
        let soon = kit::time::add_days(w.now, 1);
        let own = w.books.snapshot(customer, w.now).discounts;
        let own = own.iter().any(|d| r.effect.as_ref() == Some(&d.id) && d.end.is_none_or(|end| end > soon));
        let ledger = &w.ledgers[customer].body;
        assert!(
            !own || ledger.has_running_discount(w.now),
            "{id} runs, and our books say it does not: {ledger:?}"
        );
    }
}

/// A trial is as long as what stands says, while it lasts.
fn trial(w: &World) {
    let customer = CUSTOMERS - 1;
    let booked = &w.books.booked[customer];
    let Some(end) = booked.contract.trial_end.filter(|_| !booked.disturbed) else { return };
    let standing = w.redemptions.iter().enumerate().filter(|(of, r)| {
        w.customer(*of) == customer
            && r.body.kind == Kind::TrialExtension
            && matches!(r.body.state, State::Verified | State::Exhausted)
    });
    let days = TRIAL + i64::from(TRIAL_DAYS) * i64::try_from(standing.count()).unwrap();
    assert_eq!(end, kit::time::add_days(World::first_day(), days), "the trial ends as promised");
}
