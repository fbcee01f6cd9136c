//! Time that passes: by a clock of test mode that is moved, and by the machine's.

use std::collections::BTreeSet;

use billing_svc::inbound::Filter;
use billing_svc::providers::simulated::{Contract, Fixture, Fixtures, Payment};
use billing_svc::providers::{Act, ProviderKind};
use billing_svc::recovery::{CaseFilter, State as CaseState};
use billing_svc::subscription::{Reading, State, Subscription};
use billing_svc::test_clock::To;
use jiff::SignedDuration;
use kit::{Caller, Clock as _, Coded, Mode, PageRequest, Scope, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::Stored;
use tokio_util::sync::CancellationToken;

use super::crashes::killed_after;
use super::recovery::{campaign, step};
use super::world::{World, row};

impl World {
    /// The same company in test mode, connected.
    pub async fn in_test_mode(self) -> Self {
        self.in_test_mode_of("com_1").await
    }

    async fn in_test_mode_of(mut self, company: &str) -> Self {
        self.scope = Scope::new(company, Mode::Test);
        self.caller = Caller { scope: Some(self.scope.clone()), ..self.caller.clone() };
        self.connect(&self.caller).await;
        self
    }

    async fn sends(&self, days: i64) {
        let to = To::Later(SignedDuration::from_hours(24 * days));
        self.rooms.test_clocks.advance(&self.caller, to).await.unwrap();
    }

    async fn arrives(&self) {
        while Box::pin(self.rooms.passing.round(&CancellationToken::new())).await.unwrap() {}
        let shown = self.rooms.test_clocks.get(&self.scope).await.unwrap();
        assert_eq!(shown.clock.moving_to, None);
    }

    async fn advance(&self, days: i64) {
        self.sends(days).await;
        self.arrives().await;
    }

    async fn subscription(&self, s: &Stored<Subscription>) -> Subscription {
        self.rooms.subscriptions.get(&self.scope, &s.id).await.unwrap().body
    }

    async fn contract(&self, id: &str) -> Contract {
        let now = self.books.now(&self.scope).await.unwrap();
        self.books.contract(&self.scope, id, now).await.unwrap().body
    }

    async fn payment(&self, id: &str, payment: Payment) {
        self.books.set_payment(&self.scope, id, payment, |_| None).await.unwrap();
    }

    /// What the provider told of one subscription, oldest first, as the inbox has it.
    async fn heard(&self, id: &str) -> Vec<String> {
        let page = PageRequest::new(200, "");
        let all = self.rooms.inbound.list(&self.caller, &Filter::default(), &page).await.unwrap();
        let of = all.items.into_iter().map(|e| e.body).filter(|e| e.subscription.as_deref() == Some(id));
        let mut of: Vec<_> = of.map(|e| (e.occurred_at, e.name)).collect();
        of.sort();
        of.into_iter().map(|(_, name)| name).collect()
    }

    async fn mirror_is_true(&self, s: &Stored<Subscription>) {
        let mirror = self.subscription(s).await;
        let read = mirror.read(self.at_provider(&mirror.external_id).await, self.clock.now());
        assert!(matches!(read, Reading::Same), "{mirror:?} is not {read:?}");
    }
}

#[tokio::test]
async fn a_month_of_test_mode_passes_at_once_and_live_mode_s_does_not() {
    let live = World::start().await;
    let own = live.subscriber("ada").await;
    let live_end = own.body.period_end;
    let live_scope = live.scope.clone();
    let w = live.in_test_mode().await;
    let s = w.subscriber("ada").await;
    let before = w.rooms.test_clocks.get(&w.scope).await.unwrap().now;
    w.advance(31).await;
    let after = w.rooms.test_clocks.get(&w.scope).await.unwrap();
    assert!(after.now >= kit::time::add_days(before, 31) && after.now < kit::time::add_days(before, 32));
    let mirror = w.subscription(&s).await;
    assert!(mirror.period_end > s.body.period_end && mirror.period_end.unwrap() > after.now);
    assert_eq!(w.heard("sub_ada").await, ["payment.succeeded"]);
    assert_eq!(w.told_times("subscriptions", "payment.recovered").await, 0, "nothing had failed");
    w.mirror_is_true(&s).await;
    let untouched = w.rooms.subscriptions.refresh(&live_scope, &own.id).await.unwrap().body;
    assert_eq!((untouched.state, untouched.period_end), (State::Active, live_end));
}

#[tokio::test]
async fn the_machine_s_time_renews_in_live_mode() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    w.payment("sub_ada", Payment::Fails).await;
    for _ in 0..35 {
        w.minutes_later(24 * 60);
        w.rooms.passing.round(&CancellationToken::new()).await.unwrap();
        w.rooms.worker.round().await.unwrap();
    }
    let heard = w.heard("sub_ada").await;
    assert!(heard.starts_with(&["payment.failed".to_owned()]), "{heard:?}");
    assert_eq!(w.told_times("subscriptions", "payment.failed").await, heard.len().min(4));
    w.mirror_is_true(&s).await;
}

#[tokio::test]
async fn a_clock_goes_forward_only_at_most_two_years_and_only_in_test_mode() {
    let w = World::start().await;
    let clocks = w.rooms.test_clocks.clone();
    let hour = To::Later(SignedDuration::from_hours(1));
    assert_eq!(clocks.advance(&w.caller, hour).await.unwrap_err().code().1, "test_mode_only");
    assert_eq!(clocks.get(&w.scope).await.unwrap_err().code().1, "test_mode_only");

    let w = w.in_test_mode().await;
    let code = async |to| {
        let error = clocks.advance(&w.caller, to).await.unwrap_err();
        error.fields().first().map_or(error.code().1.to_owned(), |f| f.code.clone().to_string())
    };
    let now = clocks.get(&w.scope).await.unwrap().now;
    let day = |n| To::Until(kit::time::add_days(now, n));
    assert_eq!(code(day(-1)).await, "clock.backwards");
    assert_eq!(code(day(733)).await, "clock.too_far");
    let there = clocks.advance(&w.caller, day(10)).await.unwrap();
    assert_eq!(clocks.advance(&w.caller, day(10)).await.unwrap().clock, there.clock);
    assert_eq!(code(day(11)).await, "clock_moving");
    w.arrives().await;
    let arrived = clocks.get(&w.scope).await.unwrap();
    assert_eq!(clocks.advance(&w.caller, day(10)).await.unwrap().clock, arrived.clock, "sent there before");
    assert_eq!(code(day(9)).await, "clock.backwards");
    assert_eq!(w.told_times("test_clocks", "audit.recorded").await, 1);
}

#[tokio::test]
async fn a_trial_is_announced_ends_and_pays() {
    let w = World::start().await.in_test_mode().await;
    let now = w.clock.now();
    let trial = Fixture { started_at: now, trial_end: Some(kit::time::add_days(now, 14)), ..row("ada") };
    w.import(Fixtures { rows: vec![trial], prices: Vec::new() }).await;
    let s = w.mirrored("sub_ada").await;
    assert_eq!((s.body.state, s.body.period_end), (State::Trialing, s.body.trial_end));
    w.advance(15).await;
    assert_eq!(w.heard("sub_ada").await, ["trial.will_end", "payment.succeeded", "trial.ended"]);
    assert_eq!(w.subscription(&s).await.state, State::Active);
    w.mirror_is_true(&s).await;
}

#[tokio::test]
async fn a_failed_payment_is_asked_for_day_by_day_although_the_clock_is_moved_once() {
    use billing_svc::recovery::StepKind::{InAppNotice, Mail, RetryHint};
    let w = World::start().await.in_test_mode().await;
    let (leaves, pays) = (w.subscriber("ada").await, w.subscriber("ben").await);
    w.active(campaign(vec![step(RetryHint, 0), step(InAppNotice, 2), step(Mail, 4)])).await;
    let ends = w.contract("sub_ben").await.period_end;
    w.payment("sub_ada", Payment::Fails).await;
    w.payment("sub_ben", Payment::FailsUntil(kit::time::add_days(ends, 4))).await;
    w.advance(60).await;

    let heard = w.heard("sub_ada").await;
    assert_eq!(heard[..4], ["payment.failed", "payment.failed", "payment.failed", "payment.failed"]);
    assert_eq!(heard[4..], ["subscription.ended"]);
    assert_eq!(w.subscription(&leaves).await.state, State::Ended);
    let paid = w.heard("sub_ben").await;
    assert_eq!(paid[..3], ["payment.failed", "payment.failed", "payment.recovered"]);
    assert_eq!(w.subscription(&pays).await.state, State::Active);
    assert_eq!(w.told_times("subscriptions", "payment.failed").await, 6);
    assert_eq!(w.told_times("subscriptions", "payment.recovered").await, 1);

    let of = async |s: &Stored<Subscription>| {
        let filter = CaseFilter { subscription_id: Some(s.id.clone()), ..CaseFilter::default() };
        let cases = w.rooms.cases.list(&w.caller, &filter, &PageRequest::new(9, "")).await.unwrap().items;
        assert_eq!(cases.len(), 1, "{cases:?}");
        let case = cases.into_iter().next().unwrap().body;
        (case.state, case.reason, case.mails)
    };
    assert_eq!(of(&leaves).await, (CaseState::Exhausted, "subscription_ended".into(), 2));
    assert_eq!(of(&pays).await, (CaseState::Recovered, "paid".into(), 2));
    for s in [&leaves, &pays] {
        w.mirror_is_true(s).await;
    }
}

#[tokio::test]
async fn what_time_ends_of_offers_and_pauses_ends_by_the_test_clock() {
    use billing_svc::redemption::State as Redeemed;
    let w = World::start().await.in_test_mode().await;
    let (ada, ben) = (w.subscriber("ada").await, w.subscriber("ben").await);
    w.advance(400).await;
    // Given long after the machine's time: a pause of a month counted from there would be over before it began.
    let quarter = w.offer(super::world::draft(super::world::percent(25, 2))).await;
    let discount = w.claim(&w.present(&quarter, &ada).await).await.unwrap();
    let pause = w.offer(super::world::draft(billing_svc::offer::Terms::Pause { months: 1 })).await;
    let paused = w.claim(&w.present(&pause, &ben).await).await.unwrap();
    assert_eq!((discount.body.state, paused.body.state), (Redeemed::Verified, Redeemed::Verified));
    assert_eq!(w.subscription(&ben).await.state, State::Paused);
    w.advance(70).await;
    assert_eq!(w.subscription(&ben).await.state, State::Active);
    assert_eq!(w.subscription(&ada).await.mrr.minor, 2_000);
    assert_eq!(w.redemption(&discount.id).await.state, Redeemed::Exhausted);
    assert!(w.heard("sub_ada").await.contains(&"discount.ended".to_owned()));
    assert!(w.heard("sub_ben").await.contains(&"subscription.resumed".to_owned()));
    for s in [&ada, &ben] {
        w.mirror_is_true(s).await;
    }
}

/// Two years of a company: failing cards, trials, cancellations, each by another customer.
async fn two_years(w: &World) -> Vec<Stored<Subscription>> {
    let start = w.clock.now();
    let (mut rows, mut mirrors) = (Vec::new(), Vec::new());
    for n in 0..6 {
        let started_at = kit::time::add_days(start, -100 - n);
        rows.push(Fixture { started_at, ..row(&format!("c{n}")) });
    }
    rows[1].payment = Some(Payment::FailsUntil(kit::time::add_days(start, 36)));
    rows[2].payment = Some(Payment::Fails);
    (rows[3].started_at, rows[3].trial_end) = (start, Some(kit::time::add_days(start, 20)));
    rows[4].ended_at = Some(kit::time::add_days(start, 200));
    w.import(Fixtures { rows, prices: Vec::new() }).await;
    for n in 0..6 {
        mirrors.push(w.mirrored(&format!("sub_c{n}")).await);
    }
    mirrors
}

/// What two histories of the same two years share: days, no instants, as they did not begin at the same one.
async fn standing(w: &World, mirrors: &[Stored<Subscription>]) -> Vec<(State, usize, Vec<String>)> {
    let mut all = Vec::new();
    for s in mirrors {
        w.mirror_is_true(s).await;
        let mirror = w.subscription(s).await;
        let contract = w.contract(&mirror.external_id).await;
        let ids: BTreeSet<_> = contract.invoices.iter().map(|i| &i.id).collect();
        assert_eq!(ids.len(), contract.invoices.len(), "no invoice twice");
        all.push((mirror.state, contract.invoices.len(), w.heard(&mirror.external_id).await));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_years_at_once_are_two_years_by_the_month_and_by_a_process_that_is_killed_all_the_way() {
    let w = World::start().await.in_test_mode_of("com_once").await;
    let once = two_years(&w).await;
    w.advance(720).await;
    let expected = standing(&w, &once).await;
    let told = w.told_times("subscriptions", "payment.failed").await;
    assert!(told >= 5, "{told}");

    let w = w.in_test_mode_of("com_often").await;
    let often = two_years(&w).await;
    for _ in 0..24 {
        w.advance(30).await;
    }
    assert_eq!(standing(&w, &often).await, expected, "by the month");
    assert_eq!(w.told_times("subscriptions", "payment.failed").await, 2 * told);

    let w = w.in_test_mode_of("com_killed").await;
    let killed = two_years(&w).await;
    w.sends(720).await;
    let mut steps = 7;
    let stop = CancellationToken::new();
    loop {
        match killed_after(steps, w.rooms.passing.round(&stop)).await {
            Some(Ok(true)) => {}
            // What the dead held is free after its lease.
            Some(Ok(false) | Err(_)) | None => w.minutes_later(1),
        }
        // Longer each time, or nothing would ever be finished.
        steps += steps / 5;
        if w.rooms.test_clocks.get(&w.scope).await.unwrap().clock.moving_to.is_none() {
            break;
        }
    }
    w.arrives().await;
    while w.rooms.worker.round().await.unwrap() > 0 {}
    assert_eq!(standing(&w, &killed).await, expected, "killed all the way");
    assert_eq!(w.told_times("subscriptions", "payment.failed").await, 3 * told);
}

/// What a customer does, and by how many days the clock is moved before.
fn acts() -> impl Strategy<Value = Vec<(i64, Act)>> {
    let act = prop_oneof![
        Just(Act::CancelAtPeriodEnd { feedback: None }),
        Just(Act::UndoCancel),
        Just(Act::Resume),
        (1_i64..40).prop_map(|days| Act::Pause {
            months: 1,
            // Counted from when it is done.
            resumes_at: Timestamp::from_second(days * 86_400).unwrap()
        }),
    ];
    prop::collection::vec((1_i64..50, act), 1..4)
}

#[test]
fn a_clock_moved_in_many_steps_leaves_books_and_mirror_as_one_moved_in_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(Box::pin(async { World::start().await.in_test_mode_of("com_0").await }));
    let (world, nth) = (std::cell::RefCell::new(Some(world)), std::cell::Cell::new(1));
    let mut runner = TestRunner::new(Config { cases: 10, failure_persistence: None, ..Config::default() });
    let cases = (acts(), prop::collection::vec(1_i64..20, 1..4), any::<bool>());
    let outcome = runner.run(&cases, |(acts, pieces, fails)| {
        let mut stood = Vec::new();
        for pieces in [&[][..], &pieces[..]] {
            let company = format!("com_{}", nth.replace(nth.get() + 1));
            let w = world.take().unwrap();
            let (w, standing) = runtime.block_on(Box::pin(async {
                let w = w.in_test_mode_of(&company).await;
                // Boxed, as a test's thread has a small stack.
                let standing = Box::pin(lives(&w, &acts, pieces, fails)).await;
                (w, standing)
            }));
            world.replace(Some(w));
            stood.push(standing);
        }
        prop_assert_eq!(&stood[0], &stood[1]);
        Ok(())
    });
    outcome.unwrap();
}

async fn lives(
    w: &World,
    acts: &[(i64, Act)],
    pieces: &[i64],
    fails: bool,
) -> Vec<(State, usize, Vec<String>)> {
    let s = w.subscriber("ada").await;
    if fails {
        let until = kit::time::add_days(w.clock.now(), 60);
        w.payment("sub_ada", Payment::FailsUntil(until)).await;
    }
    let provider = w.rooms.connections.provider(&w.scope, ProviderKind::Simulated).await.unwrap();
    for (n, (days, act)) in acts.iter().enumerate() {
        let mut left = *days;
        for piece in pieces {
            let piece = (*piece).min(left);
            if piece > 0 {
                w.advance(piece).await;
            }
            left -= piece;
        }
        if left > 0 {
            w.advance(left).await;
        }
        let now = w.books.now(&w.scope).await.unwrap();
        let act = match act {
            Act::Pause { months, resumes_at } => {
                let by = resumes_at.duration_since(Timestamp::UNIX_EPOCH);
                Act::Pause { months: *months, resumes_at: now.checked_add(by).unwrap() }
            }
            other => other.clone(),
        };
        let key = billing_svc::providers::IdempotencyKey::new(format!("act-{n}"));
        // Refused where it does not fit: that is the same, too.
        provider.apply(&"sub_ada".into(), &act, &key).await.ok();
        w.mirrored("sub_ada").await;
    }
    w.advance(40).await;
    standing(w, &[s]).await
}
