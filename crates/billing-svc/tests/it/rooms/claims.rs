//! Claims: limits that hold, one effect, everything given back where it failed.

use billing_svc::offer::{CodePolicy, Draft, Limits, Stacking, Terms};
use billing_svc::providers::Interval;
use billing_svc::redemption::State;
use futures_util::future::join_all;

use super::Fault;
use super::world::{World, draft, eur, percent};

fn limited(limits: Limits) -> Draft {
    Draft { limits, ..draft(percent(20, 3)) }
}

#[tokio::test]
async fn a_claim_ends_verified_and_shows_at_the_provider() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(Draft { code_policy: CodePolicy::SingleUse, ..draft(percent(20, 3)) }).await;
    let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!((done.body.state, done.body.cost), (State::Verified, Some(eur(1_200))));
    assert!(done.body.code.starts_with("STAY-"));
    let discounts = w.at_provider("sub_ada").await.discounts;
    assert!(discounts.len() == 1 && discounts[0].retention);
    let mirror = w.rooms.subscriptions.get(&w.scope, &s.id).await.unwrap().body;
    assert_eq!((mirror.discounts.len(), mirror.mrr), (1, eur(1_600)));
    let customer = w.rooms.customers.get(&w.scope, &s.body.customer_id).await.unwrap().body;
    assert_eq!(customer.state, billing_svc::customers::State::Saved);
    let told = w.told("redemptions").await;
    assert_eq!(told, ["redemption.presented", "redemption.claimed", "redemption.verified"]);
}

#[tokio::test]
async fn invariant_6_of_many_claims_at_once_on_a_limit_of_one_exactly_one_passes() {
    let w = World::start().await;
    let offer = w.offer(limited(Limits { total: 1, ..Limits::default() })).await;
    outcome_of_many(&w, &offer, "limit_reached").await;
}

#[tokio::test]
async fn invariant_6_of_many_claims_at_once_on_a_budget_for_one_exactly_one_passes() {
    let w = World::start().await;
    // One claim costs 12.00.
    let budget = Some(eur(2_000));
    let offer = w.offer(limited(Limits { monthly_budget: budget, ..Limits::default() })).await;
    outcome_of_many(&w, &offer, "budget_spent").await;
}

async fn outcome_of_many(w: &World, offer: &store::Stored<billing_svc::offer::Offer>, slug: &str) {
    let mut shown = Vec::new();
    for n in 0..12 {
        let s = w.subscriber(&format!("c{n}")).await;
        shown.push(w.present(offer, &s).await);
    }
    let outcomes = join_all(shown.iter().map(|r| w.claim(r))).await;
    let verified =
        outcomes.iter().filter(|o| o.as_ref().is_ok_and(|r| r.body.state == State::Verified)).count();
    assert_eq!(verified, 1);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(refused.slug(), slug);
    }
    let mut given = 0;
    for n in 0..12 {
        given += w.at_provider(&format!("sub_c{n}")).await.discounts.len();
    }
    assert_eq!(given, 1);
    assert_eq!(w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed, 1);
}

#[tokio::test]
async fn invariant_5_two_discounts_claimed_at_once_by_one_customer_leave_one() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let mut shown = Vec::new();
    for p in [10, 20, 30, 40] {
        shown.push(w.present(&w.offer(draft(percent(p, 3))).await, &s).await);
    }
    let outcomes = join_all(shown.iter().map(|r| w.claim(r))).await;
    let verified =
        outcomes.iter().filter(|o| o.as_ref().is_ok_and(|r| r.body.state == State::Verified)).count();
    assert_eq!((verified, w.at_provider("sub_ada").await.discounts.len()), (1, 1));
    let merging = w.offer(Draft { stacking: Stacking::Merge, ..draft(percent(5, 1)) }).await;
    let merged = w.claim(&w.present(&merging, &s).await).await.unwrap();
    assert_eq!((merged.body.state, w.at_provider("sub_ada").await.discounts.len()), (State::Verified, 2));
}

#[tokio::test]
async fn replacing_ends_the_retention_discount_that_runs() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    w.claim(&w.present(&w.offer(draft(percent(10, 3))).await, &s).await).await.unwrap();
    let offer = w.offer(Draft { stacking: Stacking::Replace, ..draft(percent(30, 3)) }).await;
    let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
    let discounts = w.at_provider("sub_ada").await.discounts;
    assert_eq!((done.body.state, discounts.len()), (State::Verified, 1));
    assert_eq!(discounts[0].cut, billing_svc::providers::Cut::percent(30));
}

#[tokio::test]
async fn invariant_9_the_same_claim_sent_again_and_again_acts_once_and_answers_the_same() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let shown = w.present(&w.offer(draft(percent(20, 3))).await, &s).await;
    let outcomes = join_all((0..6).map(|_| w.claim(&shown))).await;
    for outcome in outcomes {
        let state = outcome.unwrap().body.state;
        assert!(state == State::Verified || state.is_under_way(), "{state:?}");
    }
    assert_eq!(w.claim(&shown).await.unwrap().body.state, State::Verified);
    assert_eq!(w.at_provider("sub_ada").await.discounts.len(), 1);
    assert_eq!(w.faults.asked().len(), 1);
    assert_eq!(w.rooms.offers.used(&w.scope, &shown.body.offer_id).await.unwrap().claimed, 1);
}

#[tokio::test]
async fn a_refusal_of_the_provider_gives_limit_and_budget_and_the_customer_s_chance_back() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let limits = Limits { total: 1, per_customer: 1, cooldown_days: 90, monthly_budget: Some(eur(1_200)) };
    let offer = w.offer(limited(limits)).await;
    w.faults.next(&[Fault::Refuses]);
    let first = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!((first.body.state, first.body.failure.as_str()), (State::Reversed, "provider_refused"));
    let used = w.rooms.offers.used(&w.scope, &offer.id).await.unwrap();
    assert_eq!((used.claimed, used.spent.values().sum::<i64>()), (0, 0));
    let told = w.told("redemptions").await;
    assert_eq!(told[1..], ["redemption.claimed", "redemption.failed", "redemption.reversed"]);
    let second = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!(second.body.state, State::Verified);
    let third = w.rooms.redemptions.present(&w.caller, &offer.id, &s.id, "fls_3", vec![]).await.unwrap_err();
    assert_eq!(third.slug(), "discount_running");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_by_reading_back() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let shown = w.present(&w.offer(draft(percent(20, 3))).await, &s).await;
    w.faults.next(&[Fault::AnswerLost]);
    assert_eq!(w.claim(&shown).await.unwrap().body.state, State::Verified);
    assert_eq!(w.at_provider("sub_ada").await.discounts.len(), 1);
}

#[tokio::test]
async fn no_answer_waits_and_the_job_finishes_it_with_the_same_key() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let shown = w.present(&w.offer(draft(percent(20, 3))).await, &s).await;
    w.faults.next(&[Fault::NoAnswer]);
    assert_eq!(w.claim(&shown).await.unwrap().body.state, State::Applying);
    w.minutes_later(1);
    assert_eq!(w.rooms.redemptions.finish_stuck().await.unwrap(), 1);
    assert_eq!(w.redemption(&shown.id).await.state, State::Verified);
    let keys: Vec<_> = w.faults.asked().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, [shown.id.clone(), shown.id.clone()]);
}

#[tokio::test]
async fn invariant_3_what_the_provider_does_not_show_is_not_believed_and_given_up_after_ten_minutes() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(limited(Limits { total: 1, ..Limits::default() })).await;
    let shown = w.present(&offer, &s).await;
    w.faults.next(&[Fault::Forgets]);
    assert_eq!(w.claim(&shown).await.unwrap().body.state, State::Applied);
    w.minutes_later(5);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    assert_eq!(w.redemption(&shown.id).await.state, State::Applied);
    w.minutes_later(6);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    let given_up = w.redemption(&shown.id).await;
    assert_eq!((given_up.state, given_up.failure.as_str()), (State::Reversed, "not_confirmed"));
    assert_eq!(w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed, 0);
}

#[tokio::test]
async fn a_provider_that_is_down_holds_the_claim_and_then_gives_it_back() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let shown = w.present(&w.offer(draft(percent(20, 3))).await, &s).await;
    w.faults.down(true);
    assert_eq!(w.claim(&shown).await.unwrap().body.state, State::Claimed);
    w.minutes_later(11);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    assert_eq!(w.redemption(&shown.id).await.state, State::Reversed, "nothing was begun, nothing to undo");
    assert_eq!(w.faults.asked(), []);
}

#[tokio::test]
async fn invariant_7_the_terms_shown_are_the_terms_applied() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(draft(percent(20, 3))).await;
    let shown = w.present(&offer, &s).await;
    let other = w.rooms.redemptions.claim(&w.caller, &shown.id, "another").await.unwrap_err();
    assert_eq!(other.slug(), "terms_changed");
    let deeper =
        w.rooms.offers.update(&w.caller, &offer.id, offer.version, |_| Ok(draft(percent(50, 12)))).await;
    let deeper = deeper.unwrap();
    assert_ne!(deeper.body.terms_hash, shown.body.terms_hash);
    w.claim(&shown).await.unwrap();
    let discounts = w.at_provider("sub_ada").await.discounts;
    assert_eq!(discounts[0].cut, billing_svc::providers::Cut::percent(20));
    // Taken up in its new form, its terms are frozen: the next change is the next version.
    let t = w.subscriber("bob").await;
    w.claim(&w.present(&deeper, &t).await).await.unwrap();
    let frozen = w.rooms.offers.get(&w.scope, &offer.id).await.unwrap();
    assert!(frozen.body.frozen);
    let next =
        w.rooms.offers.update(&w.caller, &offer.id, frozen.version, |_| Ok(draft(percent(60, 1)))).await;
    assert_eq!(next.unwrap().body.number, frozen.body.number + 1);
}

#[tokio::test]
async fn invariant_2_no_provider_call_without_a_claim_a_lock_and_a_key() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(draft(percent(20, 3))).await;
    let shown = w.present(&offer, &s).await;
    assert_eq!(w.faults.asked(), [], "showing is free");
    let lock = billing_svc::request_lock::subscription(&s.id);
    let lease = w.rooms.leases.acquire(&lock, "somebody", "else").await.unwrap();
    assert_eq!(
        w.claim(&shown).await.unwrap().body.state,
        State::Claimed,
        "claimed, and waiting for the lock"
    );
    assert_eq!(w.faults.asked(), []);
    lease.release().await;
    assert_eq!(w.claim(&shown).await.unwrap().body.state, State::Verified);
    assert_eq!(w.faults.asked(), [("discount".to_owned(), shown.id.clone())]);
}

#[tokio::test]
async fn pauses_and_plan_switches_are_claimed_and_taken_back_alike() {
    let w = World::start().await;
    let switch = Terms::PlanSwitch {
        plan: "dsl".into(),
        price_id: "dsl_month".into(),
        price: eur(1_500),
        interval: Interval::Month,
        interval_count: 1,
    };
    for (n, terms) in [Terms::Pause { months: 2 }, switch, percent(20, 3)].into_iter().enumerate() {
        let name = format!("c{n}");
        let s = w.subscriber(&name).await;
        let before = w.at_provider(&format!("sub_{name}")).await;
        let offer = w.offer(draft(terms)).await;
        let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
        assert_eq!(done.body.state, State::Verified);
        let reversed = w.rooms.redemptions.reverse(&w.caller, &done.id, "by mistake").await.unwrap();
        assert_eq!(reversed.body.state, State::Reversed);
        let after = w.at_provider(&format!("sub_{name}")).await;
        assert_eq!(
            (after.state, after.price_id, after.discounts),
            (before.state, before.price_id, before.discounts)
        );
        assert_eq!(w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed, 0);
    }
    assert_eq!(w.told_times("redemptions", "audit.recorded").await, 3);
}

#[tokio::test]
async fn what_was_not_answered_lapses_and_what_was_declined_stays_so() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let (a, b) = (w.offer(draft(percent(20, 3))).await, w.offer(draft(Terms::Pause { months: 1 })).await);
    let show = async |offer: &str| {
        w.rooms.redemptions.present(&w.caller, offer, &s.id, "fls_1", vec![]).await.unwrap()
    };
    let (first, second) = (show(&a.id).await, show(&b.id).await);
    assert_eq!(show(&a.id).await.id, first.id, "the same session and offer are the same redemption");
    w.rooms.redemptions.decline(&w.caller, &first.id).await.unwrap();
    assert_eq!(w.rooms.redemptions.lapse(&w.caller, "fls_1").await.unwrap(), 1);
    assert_eq!(w.redemption(&second.id).await.state, State::Lapsed);
    for closed in [&first, &second] {
        assert_eq!(w.claim(closed).await.unwrap_err().slug(), "redemption_closed");
    }
    assert_eq!(w.rooms.redemptions.decline(&w.caller, &second.id).await.unwrap_err().slug(), "wrong_state");
}

#[tokio::test]
async fn an_effect_that_is_over_is_exhausted() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let done = w.claim(&w.present(&w.offer(draft(percent(20, 1))).await, &s).await).await.unwrap();
    assert_eq!(w.rooms.redemptions.exhaust().await.unwrap(), 0);
    w.minutes_later(60 * 24 * 40);
    assert_eq!(w.rooms.redemptions.exhaust().await.unwrap(), 1);
    assert_eq!(w.redemption(&done.id).await.state, State::Exhausted);
}
