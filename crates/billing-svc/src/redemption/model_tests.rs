use std::collections::HashMap;

use kit::Currency;
use proptest::prelude::*;

use super::*;
use crate::offer::tests::{discount, switch};
use crate::providers::{Cut, Discount, Term};
use crate::subscription::tests::{at, snapshot};

fn shown(terms: Terms) -> Redemption {
    let terms_text = LocalText::of("en", &terms.in_words());
    Redemption {
        offer_id: "off_1".into(),
        offer_name: "Stay".into(),
        offer_number: 1,
        kind: terms.kind(),
        customer_id: "cus_1".into(),
        subscription_id: "sub_1".into(),
        flow_session_id: "fls_1".into(),
        persona_ids: vec![],
        state: State::Presented,
        terms_hash: "h".into(),
        terms,
        terms_text,
        stacking: Stacking::Refuse,
        provider: ProviderKind::Simulated,
        code: String::new(),
        cost: None,
        budget_month: None,
        presented_at: at(40),
        claimed_at: None,
        applied_at: None,
        verified_at: None,
        effect_ends_at: None,
        failure: String::new(),
        attempts: 0,
        asked_at: None,
        undos: 0,
        fence: 0,
        before: None,
        effect: None,
    }
}

fn claim() -> Claim {
    let cost = Money::new(1_200, Currency::parse("EUR").unwrap());
    Claim { cost, code: String::new(), budget_month: None, ends_at: None, at: at(40) }
}

/// A provider that does each key once.
#[derive(Default)]
struct Provider {
    done: HashMap<String, ()>,
    discounts: Vec<Discount>,
    price_id: String,
    paused: bool,
    /// The end of the present period, where it was put off.
    period_end: Option<Timestamp>,
    made: usize,
}

impl Provider {
    fn new() -> Self {
        Self { price_id: "fibre_month".into(), ..Self::default() }
    }

    fn read(&self) -> Snapshot {
        let state = if self.paused { providers::State::Paused } else { providers::State::Active };
        let read = Snapshot {
            discounts: self.discounts.clone(),
            price_id: self.price_id.clone(),
            ..snapshot(state, 1)
        };
        Snapshot { period_end: self.period_end.or(read.period_end), ..read }
    }

    fn apply(&mut self, act: &Act, key: &str) -> Receipt {
        if self.done.insert(key.to_owned(), ()).is_some() {
            return Receipt { replayed: true, ..Receipt::default() };
        }
        match act {
            Act::Discount { cut, term, .. } => {
                self.made += 1;
                self.discounts.push(Discount {
                    id: ExternalId::new(format!("di_{}", self.made)),
                    coupon: key.to_owned(),
                    cut: *cut,
                    term: *term,
                    start: at(40),
                    end: None,
                    retention: true,
                });
            }
            Act::RemoveDiscount { discount } => self.discounts.retain(|d| d.id != *discount),
            Act::Pause { .. } => (self.paused, self.made) = (true, self.made + 1),
            Act::Resume => self.paused = false,
            Act::SwitchPlan { price_id, .. } => {
                self.made += 1;
                self.price_id = price_id.clone();
            }
            Act::ExtendTerm { until } => (self.period_end, self.made) = (Some(*until), self.made + 1),
            Act::ExtendTrial { .. }
            | Act::Credit { .. }
            | Act::TakeCredit { .. }
            | Act::Refund { .. }
            | Act::CancelNow { .. }
            | Act::CancelAtPeriodEnd { .. }
            | Act::UndoCancel => {}
        }
        Receipt::default()
    }
}

/// What goes wrong at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    /// The process dies before the step's call.
    DiesBefore,
    /// The process dies after the call and before the write.
    DiesAfter,
    /// The provider says no.
    Refuses,
}

/// One step of the way, as `drive.rs` walks it, on what is stored.
fn step(stored: &mut Redemption, p: &mut Provider, trouble: Trouble, fence: i64) {
    if trouble == Trouble::DiesBefore {
        return;
    }
    let next = match stored.state {
        State::Claimed => match stored.collides_with(&p.read(), at(40)) {
            Some(why) => stored.failed(why),
            None => stored.applying(Before::of(&p.read()), fence, at(0)),
        },
        State::Applying if stored.shows_in(&p.read()).is_some() => {
            stored.applied(&Receipt::default(), at(40))
        }
        State::Applying if trouble == Trouble::Refuses => stored.failed("provider_refused"),
        State::Applying => {
            let receipt = p.apply(&stored.act().unwrap(), "red_1");
            stored.applied(&receipt, at(40))
        }
        State::Applied => match stored.shows_in(&p.read()) {
            Some(effect) => stored.verified(effect, at(40)),
            None => stored.failed("not_confirmed"),
        },
        State::Failed => {
            if let Some(act) = stored.undo(&p.read(), stored.shows_in(&p.read())) {
                p.apply(&act, "red_1:undo");
            }
            stored.reversed()
        }
        _ => return,
    };
    if trouble != Trouble::DiesAfter {
        *stored = next.unwrap();
    }
}

proptest! {
    /// Whatever dies or is refused where, in the end the redemption is verified with exactly one effect, or reversed
    /// with none.
    #[test]
    fn invariant_2_a_claim_ends_with_exactly_one_effect_or_none(
        terms in prop::sample::select(
            vec![discount(20, 3), Terms::Pause { months: 2 }, switch(1_500), Terms::TermExtension { days: 14 }]),
        troubles in prop::collection::vec(
            prop::sample::select(vec![Trouble::None, Trouble::DiesBefore, Trouble::DiesAfter, Trouble::Refuses]), 0..14),
    ) {
        let mut p = Provider::new();
        let untouched = p.read();
        let mut r = shown(terms).claimed(claim()).unwrap();
        let steps = troubles.into_iter().chain(std::iter::repeat_n(Trouble::None, 8));
        for (fence, trouble) in (1_i64..).zip(steps) {
            step(&mut r, &mut p, trouble, fence);
        }
        match r.state {
            State::Verified => prop_assert_eq!(p.made, 1),
            State::Reversed => {
                prop_assert_eq!(p.read(), untouched);
                prop_assert!(p.made <= 2, "an act and, for a plan switch or an extension, its way back");
            }
            other => prop_assert!(false, "still {}", other.as_str()),
        }
    }

    /// No sequence of steps leaves a final state.
    #[test]
    fn final_states_are_final(to in prop::collection::vec(prop::sample::select(State::ALL.to_vec()), 1..20)) {
        let mut state = State::Presented;
        for next in to {
            if state.leads_to(next) {
                prop_assert!(!matches!(state,
                    State::Declined | State::Lapsed | State::Reversed | State::Rejected | State::Exhausted));
                state = next;
            }
        }
    }
}

#[test]
fn a_discount_that_was_there_before_is_not_taken_for_ours() {
    let mut p = Provider::new();
    let term = Term::Months(3);
    p.apply(&Act::Discount { cut: Cut::percent(20), term, keep: Keep::All }, "somebody");
    let mut r = shown(discount(20, 3));
    r.stacking = Stacking::Merge;
    let r = r.claimed(claim()).unwrap().applying(Before::of(&p.read()), 1, at(0)).unwrap();
    assert_eq!(r.shows_in(&p.read()), None);
    p.apply(&r.act().unwrap(), "red_1");
    assert_eq!(r.shows_in(&p.read()), Some(Some(ExternalId::new("di_2"))));
    assert_eq!(
        r.undo(&p.read(), r.shows_in(&p.read())),
        Some(Act::RemoveDiscount { discount: ExternalId::new("di_2") })
    );
}

#[test]
fn invariant_5_a_running_retention_discount_at_the_provider_stops_the_gift() {
    let mut p = Provider::new();
    p.apply(&Act::Discount { cut: Cut::percent(10), term: Term::Forever, keep: Keep::All }, "somebody");
    let r = shown(discount(20, 3)).claimed(claim()).unwrap();
    assert_eq!(r.collides_with(&p.read(), at(40)), Some("discount_running"));
    let merging = Redemption { stacking: Stacking::Merge, ..r };
    assert_eq!(merging.collides_with(&p.read(), at(40)), None);
}

#[test]
fn the_first_reading_stays_the_truth_about_before() {
    let r = shown(Terms::Pause { months: 1 }).claimed(claim()).unwrap();
    let mut p = Provider::new();
    let begun = r.applying(Before::of(&p.read()), 1, at(0)).unwrap();
    p.apply(&begun.act().unwrap(), "red_1");
    let resumed = begun.applying(Before::of(&p.read()), 2, at(0)).unwrap();
    assert_eq!((resumed.before, resumed.attempts, resumed.fence), (begun.before, 2, 2));
}

#[test]
fn an_extension_counts_from_what_stood_before_and_is_taken_back_while_it_runs() {
    let trial = |end| Snapshot { trial_end: Some(end), ..snapshot(providers::State::Trialing, 1) };
    let r = shown(Terms::TrialExtension { days: 7 }).claimed(claim()).unwrap();
    assert_eq!(r.collides_with(&snapshot(providers::State::Active, 1), at(40)), Some("not_in_trial"));
    let r = r.applying(Before::of(&trial(at(45))), 1, at(0)).unwrap();
    assert_eq!(r.act(), Some(Act::ExtendTrial { until: at(52) }));
    assert_eq!(r.shows_in(&trial(at(45))), None);
    assert_eq!(r.shows_in(&trial(at(52))), Some(None));
    assert_eq!(r.undo(&trial(at(52)), r.shows_in(&trial(at(52)))), Some(Act::ExtendTrial { until: at(45) }));

    let mut p = Provider::new();
    let end = p.read().period_end.unwrap();
    let r = shown(Terms::TermExtension { days: 7 }).claimed(claim()).unwrap();
    let r = r.applying(Before::of(&p.read()), 1, at(0)).unwrap();
    p.apply(&r.act().unwrap(), "red_1");
    assert_eq!(p.read().period_end, Some(kit::time::add_days(end, 7)));
    assert_eq!(r.undo(&p.read(), r.shows_in(&p.read())), Some(Act::ExtendTerm { until: end }));
    p.period_end = Some(kit::time::add_days(end, 37));
    assert_eq!(r.undo(&p.read(), r.shows_in(&p.read())), None, "the days are used up");
}

#[test]
fn what_the_company_keeps_by_hand_asks_no_provider() {
    for terms in [
        Terms::Contact { url: String::new(), within_hours: 24 },
        Terms::Redirect { url: "https://shop.example/new".into() },
        Terms::Custom { reference: "gift-box".into(), cost: None },
    ] {
        let r = shown(terms).claimed(claim()).unwrap();
        assert_eq!(r.act(), None);
        let r = r.pending().unwrap();
        assert!(r.verified(None, at(41)).is_ok() && r.state.holds_limits() && !r.state.is_under_way());
        assert_eq!(r.rejected().unwrap().failure, "rejected_by_company");
        assert!(r.reversed().is_err() && r.failed("x").is_err());
    }
}

#[test]
fn single_use_codes_differ_and_read_well() {
    let (a, b) = (single_use_code().unwrap(), single_use_code().unwrap());
    assert_ne!(a, b);
    assert_eq!((a.len(), &a[..5]), (16, "STAY-"));
    assert!(!a[5..].contains(['0', '1', 'I', 'O']));
}
