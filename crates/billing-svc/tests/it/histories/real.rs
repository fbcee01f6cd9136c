//! The same histories over the rooms themselves: a real database, its transactions and leases, the simulated provider
//! behind faults, requests dropped wherever they stand.

use std::collections::BTreeMap;

use billing_svc::inbound::{Call, Filter};
use billing_svc::offer::{Offer, State as OfferState};
use billing_svc::providers::simulated::{Contract, Fixture, Fixtures, SIGNATURE};
use billing_svc::providers::{IdempotencyKey, ProviderKind};
use billing_svc::redemption::{Redemption, State};
use billing_svc::subscription::{Reading, Subscription};
use futures_util::future::join_all;
use kit::clock::Clock as _;
use kit::{Caller, Mode, PageRequest, Scope};
use store::Stored;
use tokio_util::sync::CancellationToken;

use super::plan::{CUSTOMERS, Foreign, Plan, Step, Task, Trouble, Work};
use super::provider::{Change, TRIAL};
use crate::rooms::crashes::killed_after;
use crate::rooms::faults::Fault;
use crate::rooms::world::{World, row, webhook_secret};

/// One company and what it did so far.
struct Company<'a> {
    w: &'a World,
    key: String,
    offers: Vec<Stored<Offer>>,
    subscriptions: Vec<Stored<Subscription>>,
    redemptions: Vec<Stored<Redemption>>,
    /// Events that were not delivered yet, and the last one that was.
    waiting: Vec<Call>,
    last: Option<Call>,
    foreign: usize,
    events: usize,
}

/// The `nth` history of a world, in a company of its own.
pub async fn history(w: &mut World, nth: usize, plan: &Plan) {
    w.scope = Scope::new(format!("com_h{nth}"), Mode::Live);
    w.caller = Caller { scope: Some(w.scope.clone()), ..w.caller.clone() };
    w.connect(&w.caller).await;
    let mut c = Company::new(w, format!("cph_{nth}"), plan).await;
    for step in &plan.steps {
        c.step(step).await;
        c.limits_hold().await;
    }
    c.mend().await;
    let standing = c.finally().await;
    c.everything_again().await;
    assert_eq!(c.finally().await, standing, "invariant 9: everything once more changes nothing");
}

/// What stands: of the provider's books all, of redemptions their states, of offers what is taken.
type Standing = (Vec<Contract>, Vec<State>, Vec<(i64, BTreeMap<String, i64>)>);

impl<'a> Company<'a> {
    async fn new(w: &'a World, key: String, plan: &Plan) -> Self {
        let (now, mut rows) = (w.clock.now(), Vec::new());
        for customer in 0..CUSTOMERS {
            let trial_end = (customer + 1 == CUSTOMERS).then(|| kit::time::add_days(now, TRIAL));
            let started_at = kit::time::add_days(now, -100);
            rows.push(Fixture { started_at, trial_end, ..row(&format!("c{customer}")) });
        }
        let price = billing_svc::providers::simulated::FixturePrice {
            price_id: "dsl_month".into(),
            plan: "dsl".into(),
            name: "DSL".into(),
            amount: crate::rooms::world::eur(1_500),
            interval: billing_svc::providers::Interval::Month,
            interval_count: 1,
        };
        w.import(Fixtures { rows, prices: vec![price] }).await;
        let mut c = Self {
            w,
            key,
            offers: Vec::new(),
            subscriptions: Vec::new(),
            redemptions: Vec::new(),
            waiting: Vec::new(),
            last: None,
            foreign: 0,
            events: 0,
        };
        for customer in 0..CUSTOMERS {
            c.subscriptions.push(w.mirrored(&format!("sub_c{customer}")).await);
        }
        for offered in &plan.offers {
            let made = w.rooms.offers.create(&w.caller, offered.draft()).await.unwrap();
            c.offers.push(w.rooms.offers.set_state(&w.caller, &made.id, OfferState::Active).await.unwrap());
        }
        c
    }

    fn pick(&self, n: usize) -> Option<&Stored<Redemption>> {
        (!self.redemptions.is_empty()).then(|| &self.redemptions[n % self.redemptions.len()])
    }

    async fn step(&mut self, step: &Step) {
        let (w, rooms) = (self.w, &self.w.rooms);
        match step {
            Step::Show { customer, offer } => {
                let (offer, subscription) =
                    (&self.offers[offer % self.offers.len()].id, &self.subscriptions[*customer].id);
                let session = kit::id::new("fls");
                let shown = rooms.redemptions.present(&w.caller, offer, subscription, &session, vec![]).await;
                self.redemptions.extend(shown);
            }
            Step::Decline(n) => {
                if let Some(r) = self.pick(*n) {
                    rooms.redemptions.decline(&w.caller, &r.id).await.ok();
                }
            }
            Step::Fulfil { redemption, kept } => {
                if let Some(r) = self.pick(*redemption) {
                    match kept {
                        true => rooms.redemptions.fulfil(&w.caller, &r.id, "sent").await.ok(),
                        false => rooms.redemptions.reject(&w.caller, &r.id, "sold out").await.ok(),
                    };
                }
            }
            Step::Together { tasks, .. } => {
                let works: Vec<_> = tasks.iter().map(|t| self.work(*t)).collect();
                join_all(works).await;
            }
            Step::Trouble(troubles) => {
                let faults: Vec<_> = troubles.iter().map(|t| Fault::from(*t)).collect();
                w.faults.next(&faults);
            }
            Step::Down(down) => w.faults.down(*down),
            Step::Foreign { customer, what } => self.foreign(*customer, *what).await,
            Step::Again => self.waiting.extend(self.last.clone()),
            Step::Lost => drop(self.waiting.pop()),
            Step::Minutes(minutes) => {
                w.minutes_later(*minutes);
                // What time did is told, and worked on when its turn comes.
                rooms.passing.round(&CancellationToken::new()).await.unwrap();
            }
            Step::Exhaust => drop(rooms.redemptions.exhaust().await.unwrap()),
        }
    }

    /// Some work, in a process that may die of it.
    fn work(&mut self, task: Task) -> impl Future<Output = ()> + use<'a> {
        let (w, rooms) = (self.w, &self.w.rooms);
        let redemption = match task.work {
            Work::Claim(n) | Work::Reverse(n) => self.pick(n).cloned(),
            Work::Sweep | Work::Event { .. } | Work::Sync => None,
        };
        let event = match task.work {
            Work::Event { newest: true } => self.waiting.pop(),
            Work::Event { newest: false } if !self.waiting.is_empty() => Some(self.waiting.remove(0)),
            _ => None,
        };
        self.last = event.clone().or(self.last.take());
        // What goes wrong on the way is no failure of the history: it is what it is about.
        let done = async move {
            match (task.work, redemption, event) {
                (Work::Claim(_), Some(r), _) => drop(w.claim(&r).await),
                (Work::Reverse(_), Some(r), _) => {
                    drop(rooms.redemptions.reverse(&w.caller, &r.id, "a mistake").await);
                }
                (Work::Event { .. }, _, Some(call)) => {
                    drop(rooms.inbound.receive(&call).await);
                    drop(rooms.worker.round().await);
                }
                (Work::Sweep, ..) => drop(rooms.redemptions.finish_stuck().await),
                (Work::Sync, ..) => {
                    drop(rooms.connections.start_sync(&w.caller, ProviderKind::Simulated, None).await);
                    drop(rooms.syncs.round(&CancellationToken::new()).await);
                }
                _ => {}
            }
        };
        async move {
            killed_after(task.dies.map_or(usize::MAX, |n| 3 * n + 1), done).await;
        }
    }

    async fn foreign(&mut self, customer: usize, what: Foreign) {
        let w = self.w;
        self.foreign += 1;
        w.faults.aside(true);
        let provider = w.rooms.connections.provider(&w.scope, ProviderKind::Simulated).await.unwrap();
        let (id, key) = (format!("sub_c{customer}"), format!("theirs-{}", self.foreign));
        match what.change(w.clock.now()) {
            Change::Act(act) => {
                drop(provider.apply(&id.as_str().into(), &act, &IdempotencyKey::new(key)).await);
            }
            Change::Payment(payment) => {
                drop(w.books.set_payment(&w.scope, &id, payment, |_| None).await.unwrap());
            }
        }
        w.faults.aside(false);
        self.events += 1;
        let body = serde_json::json!({
            "id": format!("evt_{}", self.events), "type": "subscription.changed", "subscription": id,
            "occurred_at": w.clock.now().to_string(),
        });
        let body = body.to_string().into_bytes();
        let signature = connect::sign::sign_stripe(&webhook_secret(), w.clock.now(), &body);
        self.waiting.push(Call {
            provider: "simulated".into(),
            company_key: self.key.clone(),
            headers: vec![(SIGNATURE.into(), signature)],
            body: body.into(),
        });
    }

    async fn current(&self) -> Vec<Stored<Redemption>> {
        let of = |r: &Stored<Redemption>| {
            let (id, w) = (r.id.clone(), self.w);
            async move { w.rooms.redemptions.get(&w.scope, &id).await.unwrap() }
        };
        join_all(self.redemptions.iter().map(of)).await
    }

    async fn limits_hold(&self) {
        for offer in &self.offers {
            let used = self.w.rooms.offers.used(&self.w.scope, &offer.id).await.unwrap();
            let limits = &offer.body.limits;
            assert!(used.claimed >= 0, "invariant 6: {used:?}");
            assert!(limits.total == 0 || used.claimed <= i64::from(limits.total), "invariant 6: {used:?}");
            let budget = limits.monthly_budget.map_or(0, |b| b.minor);
            assert!(used.spent.values().all(|spent| (0..=budget).contains(spent)), "invariant 6: {used:?}");
        }
    }

    /// The provider answers again, and the jobs have their rounds.
    async fn mend(&mut self) {
        let w = self.w;
        w.faults.forget();
        for round in 0..10 {
            w.minutes_later(3);
            w.rooms.redemptions.finish_stuck().await.unwrap();
            let stuck: Vec<_> =
                self.current().await.into_iter().filter(|r| r.body.state.is_under_way()).collect();
            if stuck.is_empty() {
                break;
            }
            // A provider gives no days back while a subscription is paused; until it goes on, that waits.
            for r in stuck.iter().filter(|_| round == 4) {
                let customer =
                    self.subscriptions.iter().position(|s| s.id == r.body.subscription_id).unwrap();
                self.foreign(customer, Foreign::Resume).await;
            }
        }
        w.rooms.passing.round(&CancellationToken::new()).await.unwrap();
        self.sync().await;
    }

    async fn sync(&self) {
        let w = self.w;
        // One that was cut off goes on when it is due.
        for _ in 0..2 {
            w.minutes_later(16);
            w.rooms.connections.start_sync(&w.caller, ProviderKind::Simulated, None).await.unwrap();
            w.sync().await;
        }
    }

    async fn finally(&self) -> Standing {
        let w = self.w;
        let redemptions = self.current().await;
        let mut contracts = Vec::new();
        for (customer, subscription) in self.subscriptions.iter().enumerate() {
            let id = format!("sub_c{customer}");
            let mirror = w.rooms.subscriptions.get(&w.scope, &subscription.id).await.unwrap().body;
            let read = mirror.read(w.at_provider(&id).await, w.clock.now());
            assert!(
                matches!(read, Reading::Same),
                "invariant 3: the mirror shows what the provider has: {read:?}"
            );
            contracts.push(w.books.contract(&w.scope, &id, w.clock.now()).await.unwrap().body);
            let ledger = w.db.collection::<bson::Document>("customer_ledgers");
            let ledger = ledger.find_one(bson::doc! { "_id": &subscription.body.customer_id }).await.unwrap();
            let grants = ledger.map(|l| l.get_document("body").unwrap().get_array("grants").unwrap().clone());
            let held = grants.unwrap_or_default();
            let mut held: Vec<_> = held
                .iter()
                .map(|g| g.as_document().unwrap().get_str("redemption_id").unwrap().to_owned())
                .collect();
            let mine = redemptions.iter().filter(|r| r.body.subscription_id == subscription.id);
            let mut holding: Vec<_> =
                mine.filter(|r| r.body.state.holds_limits()).map(|r| r.id.clone()).collect();
            held.sort();
            holding.sort();
            assert_eq!(held, holding, "no chance is burnt and none is had twice");
        }
        let mut uses = Vec::new();
        for offer in &self.offers {
            let used = w.rooms.offers.used(&w.scope, &offer.id).await.unwrap();
            let holders =
                redemptions.iter().filter(|r| r.body.offer_id == offer.id && r.body.state.holds_limits());
            let (mut claimed, mut spent) = (0, 0);
            for r in holders {
                claimed += 1;
                spent += r.body.budget_month.as_ref().and(r.body.cost).map_or(0, |c| c.minor);
            }
            assert_eq!(used.claimed, claimed, "invariant 6: what is taken is what is held");
            assert_eq!(used.spent.values().sum::<i64>(), spent, "invariant 6: the budget");
            uses.push((used.claimed, used.spent));
        }
        for r in &redemptions {
            self.effect(r, &contracts);
        }
        (contracts, redemptions.into_iter().map(|r| r.body.state).collect(), uses)
    }

    /// One effect where it stands, none where it does not, and every request with a key of its own.
    fn effect(&self, r: &Stored<Redemption>, contracts: &[Contract]) {
        assert!(!r.body.state.is_under_way(), "{} is stuck: {:?}", r.id, r.body);
        let customer = self.subscriptions.iter().position(|s| s.id == r.body.subscription_id).unwrap();
        let contract = &contracts[customer];
        let done: Vec<_> = contract.done.iter().filter(|d| d.key == r.id).collect();
        assert!(done.len() <= 1, "{} acted twice", r.id);
        let made = done.first().and_then(|d| d.grant.clone());
        let discount =
            contract.ended_at.is_none() && contract.grants.iter().any(|g| Some(&g.id) == made.as_ref());
        let credit = contract.credits.iter().any(|c| c.key == r.id);
        let stands = matches!(r.body.state, State::Verified | State::Exhausted);
        assert!(stands || !(discount || credit), "{} is {:?} and its effect stands", r.id, r.body.state);
        let by_hand = r.body.terms.is_by_hand();
        assert!(
            !stands
                || by_hand
                || !done.is_empty()
                || !r.body.shows_in_subscriptions()
                || r.body.before.is_some()
        );
        if matches!(r.body.state, State::Presented | State::Declined | State::Lapsed | State::Rejected) {
            assert!(done.is_empty(), "invariant 2: {} is {:?} and acted", r.id, r.body.state);
        }
    }

    async fn everything_again(&mut self) {
        let w = self.w;
        for r in self.current().await {
            if r.body.state != State::Presented {
                w.claim(&r).await.ok();
            }
        }
        let events = w
            .rooms
            .inbound
            .list(&w.caller, &Filter::default(), &PageRequest::new(200, ""))
            .await
            .unwrap()
            .items;
        for event in events {
            w.rooms.inbound.replay(&w.caller, &event.id).await.unwrap();
        }
        while w.rooms.worker.round().await.unwrap() > 0 {}
        w.rooms.redemptions.finish_stuck().await.unwrap();
        self.sync().await;
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Busy | Trouble::NoAnswer => Self::NoAnswer,
            // What comes late is done at once here: nothing of the rooms tells the difference.
            Trouble::AnswerLost | Trouble::Html | Trouble::Late => Self::AnswerLost,
            Trouble::Refuses => Self::Refuses,
            Trouble::Forgets => Self::Forgets,
        }
    }
}
