//! Recovery on a real database: a payment fails at the provider, and what follows is asked for once and stops in time.

use billing_svc::offer::{CodePolicy, Draft as OfferDraft};
use billing_svc::providers::simulated::{Fixture, Fixtures};
use billing_svc::providers::{Act, IdempotencyKey, ProviderKind};
use billing_svc::recovery::{
    Campaign, CampaignFilter, Case, CaseFilter, Draft, Ears, Plan, State, Status, Step, StepKind, Variable,
};
use billing_svc::subscription::Subscription;
use bus::{Handler, Incoming, Outcome};
use futures_util::future::join_all;
use kit::locale::LocalText;
use kit::{Clock, Code, Coded, PageRequest, Role};
use prost::Message as _;
use proto::events as pb;
use proto::events::event::Data;
use store::Stored;

use super::world::{World, draft, percent, row};

pub fn step(kind: StepKind, day: u32) -> Step {
    let text = |words: &str| Some(LocalText::of("en", words));
    let texts = matches!(kind, StepKind::Mail | StepKind::LastChanceOffer);
    Step {
        kind,
        day,
        hour: None,
        subject: if texts { text("{{amount_due}} is open") } else { None },
        body: if texts { text("Dear {{name}}, please pay.") } else { None },
        offer_id: String::new(),
        link: String::new(),
    }
}

pub fn campaign(steps: Vec<Step>) -> Draft {
    let variable = |key: &str| Variable { key: key.into(), fallback: LocalText::of("en", "you") };
    let variables = vec![variable("name"), variable("amount_due")];
    let plan = Plan { steps, variables, ..Plan::default() };
    Draft { name: "Failed cards".into(), priority: 10, persona_ids: Vec::new(), plan }
}

/// What the clock does to recovery, and what others see of it.
impl World {
    pub async fn active(&self, draft: Draft) -> Stored<Campaign> {
        let made = self.rooms.campaigns.create(&self.caller, draft).await.unwrap();
        self.moved(&made, Status::Active).await.unwrap()
    }

    async fn moved(
        &self,
        read: &Stored<Campaign>,
        to: Status,
    ) -> billing_svc::error::Result<Stored<Campaign>> {
        self.rooms
            .campaigns
            .update(&self.caller, &read.id, read.version, |old| Ok(old.as_it_is(Some(to))))
            .await
    }

    /// A subscriber whose payment failed just now, as billing's own news tells recovery.
    async fn debtor(&self, id: &str) -> Stored<Subscription> {
        self.subscriber(id).await;
        self.fails(id).await
    }

    async fn fails(&self, id: &str) -> Stored<Subscription> {
        self.at_provider_due(id, true).await;
        let s = self.mirrored(&format!("sub_{id}")).await;
        self.rooms.cases.follow(&self.scope, &s.id).await.unwrap();
        s
    }

    /// The payment fails, or comes in, at the provider; nobody tells us.
    async fn at_provider_due(&self, id: &str, due: bool) {
        let started_at = kit::time::add_days(self.clock.now(), -100);
        let past_due_since = due.then(|| self.clock.now());
        let row = Fixture { started_at, past_due_since, ..row(id) };
        self.import(Fixtures { rows: vec![row], prices: Vec::new() }).await;
    }

    async fn cancels_at_provider(&self, id: &str) {
        let provider = self.rooms.connections.provider(&self.scope, ProviderKind::Simulated).await.unwrap();
        let key = IdempotencyKey::new("theirs");
        let id = format!("sub_{id}");
        provider.apply(&id.as_str().into(), &Act::CancelAtPeriodEnd { feedback: None }, &key).await.unwrap();
    }

    async fn cases(&self, filter: CaseFilter) -> Vec<Stored<Case>> {
        self.rooms.cases.list(&self.caller, &filter, &PageRequest::new(50, "")).await.unwrap().items
    }

    async fn case(&self, s: &Stored<Subscription>) -> Case {
        let filter = CaseFilter { subscription_id: Some(s.id.clone()), ..CaseFilter::default() };
        self.cases(filter).await.remove(0).body
    }

    async fn mails_asked(&self) -> usize {
        self.told_times("recovery_cases", "mail.requested").await
    }

    fn days_later(&self, days: i64) {
        self.minutes_later(days * 24 * 60);
    }

    async fn hear(&self, kind: &str, sequence: i64, data: Data) {
        let ears = Ears { cases: self.rooms.cases.clone(), campaigns: self.rooms.campaigns.clone() };
        let event = pb::Event { r#type: kind.into(), sequence, data: Some(data), ..Default::default() };
        let incoming = Incoming {
            id: kit::id::new("evt"),
            kind: kind.into(),
            scope: self.scope.clone(),
            subject: String::new(),
            occurred_at: self.clock.now(),
            body: event.encode_to_vec().into(),
            deliveries: 1,
            traceparent: None,
        };
        assert_eq!(ears.handle(&[incoming]).await, [Outcome::Done], "{kind}");
    }
}

fn failed(s: &Stored<Subscription>) -> Data {
    Data::PaymentChanged(pb::PaymentChanged { subscription_id: s.id.clone(), ..Default::default() })
}

fn membership(customer: &str, persona: &str) -> Data {
    Data::PersonaMembership(pb::PersonaMembership {
        persona_id: persona.into(),
        persona_name: "P".into(),
        customer_id: customer.into(),
    })
}

#[tokio::test]
async fn a_case_goes_its_way_day_by_day_until_the_customer_pays() {
    let w = World::start().await;
    let steps = vec![step(StepKind::RetryHint, 0), step(StepKind::InAppNotice, 1), step(StepKind::Mail, 3)];
    let campaign = w.active(campaign(steps)).await;
    let s = w.debtor("ada").await;
    let opened = w.case(&s).await;
    assert_eq!((opened.state, opened.amount_due.minor), (State::Open, 2_000));
    assert_eq!(opened.pin.unwrap().campaign_id, campaign.id);

    w.rooms.cases.step_due().await.unwrap();
    assert_eq!((w.mails_asked().await, w.case(&s).await.state), (1, State::Contacting));
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.mails_asked().await, 1, "nothing is due");
    w.days_later(1);
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.told_times("recovery_cases", "notification.requested").await, 1);
    w.days_later(2);
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!((w.mails_asked().await, w.case(&s).await.mails), (2, 2));

    w.at_provider_due("ada", false).await;
    w.mirrored("sub_ada").await;
    for _ in 0..2 {
        w.hear("payment.recovered", 9, failed(&s)).await;
    }
    let paid = w.case(&s).await;
    assert_eq!((paid.state, paid.reason.as_str(), paid.next_at), (State::Recovered, "paid", None));
    assert_eq!(paid.amount_paid, Some(paid.amount_due));
    w.days_later(40);
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.mails_asked().await, 2);
    let told = w.told("recovery_cases").await;
    assert_eq!(told.iter().filter(|k| k.starts_with("recovery.")).count(), 2, "{told:?}");
}

#[tokio::test]
async fn invariant_9_one_episode_is_one_case_however_often_and_in_whichever_order_it_is_told() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    w.at_provider_due("ada", true).await;
    w.mirrored("sub_ada").await;
    let told = (0..8).map(|_| w.hear("payment.failed", 3, failed(&s)));
    join_all(told).await;
    assert_eq!(w.cases(CaseFilter::default()).await.len(), 1);
    let no_campaign = w.case(&s).await;
    assert!(no_campaign.pin.is_none() && no_campaign.steps.is_empty(), "it only keeps count");
    // It gave up; the provider still tries the card, and says so each time.
    w.days_later(31);
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.case(&s).await.state, State::Exhausted);
    w.hear("payment.failed", 4, failed(&s)).await;
    assert_eq!(w.cases(CaseFilter::default()).await.len(), 1);
    // Paid late, and failed again: another episode. News of the first that comes late opens nothing.
    w.at_provider_due("ada", false).await;
    w.mirrored("sub_ada").await;
    w.hear("payment.recovered", 5, failed(&s)).await;
    w.hear("payment.failed", 3, failed(&s)).await;
    assert_eq!(w.cases(CaseFilter::default()).await.len(), 1);
    w.days_later(30);
    w.fails("ada").await;
    let all = w.cases(CaseFilter::default()).await;
    assert_eq!(all.iter().map(|c| c.body.state).collect::<Vec<_>>(), [State::Open, State::Exhausted]);
    let open = CaseFilter { state: Some(State::Open), ..CaseFilter::default() };
    assert_eq!(w.cases(open).await.len(), 1);
}

#[tokio::test]
async fn invariant_10_what_happened_at_the_provider_stops_the_next_mail_though_nobody_told_us() {
    let w = World::start().await;
    w.active(campaign(vec![step(StepKind::Mail, 0), step(StepKind::Mail, 2)])).await;
    let names = ["pays", "cancels", "pauses", "owes"];
    let mut all = Vec::new();
    for name in names {
        all.push(w.debtor(name).await);
    }
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.mails_asked().await, 4);
    w.days_later(2);
    // The webhooks of all this are still under way.
    w.at_provider_due("pays", false).await;
    w.cancels_at_provider("cancels").await;
    let provider = w.rooms.connections.provider(&w.scope, ProviderKind::Simulated).await.unwrap();
    let pause = Act::Pause { months: 1, resumes_at: kit::time::add_days(w.clock.now(), 30) };
    provider.apply(&"sub_pauses".into(), &pause, &IdempotencyKey::new("theirs")).await.unwrap();
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.mails_asked().await, 5, "only who still owes gets one");
    let mut states = Vec::new();
    for s in &all {
        states.push(w.case(s).await.state);
    }
    assert_eq!(states, [State::Recovered, State::CanceledByCustomer, State::Stopped, State::Contacting]);
}

#[tokio::test]
async fn invariant_10_a_wish_that_is_only_noted_stops_mails_as_well() {
    let w = World::start().await;
    w.active(campaign(vec![step(StepKind::Mail, 1)])).await;
    let s = w.debtor("ada").await;
    w.faults.down(true);
    let ask = billing_svc::subscription::Ask {
        action: billing_svc::subscription::Action::Cancel,
        months: 0,
        wished_at: None,
        key: "k".into(),
    };
    assert!(w.rooms.subscriptions.act(&w.caller, &s.id, ask).await.is_err(), "the provider is down");
    w.days_later(1);
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!((w.mails_asked().await, w.case(&s).await.state), (0, State::CanceledByCustomer));
}

#[tokio::test]
async fn invariant_10_on_old_news_nothing_is_sent() {
    let w = World::start().await;
    w.active(campaign(vec![step(StepKind::Mail, 1)])).await;
    let s = w.debtor("ada").await;
    w.days_later(1);
    w.faults.down(true);
    w.rooms.cases.step_due().await.unwrap();
    let waiting = w.case(&s).await;
    assert_eq!((w.mails_asked().await, waiting.state), (0, State::Open));
    assert!(!waiting.last_error.is_empty() && waiting.next_at > Some(w.clock.now()), "{waiting:?}");
    w.faults.down(false);
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.mails_asked().await, 0, "not before its time");
    w.minutes_later(11);
    w.rooms.cases.step_due().await.unwrap();
    let sent = w.case(&s).await;
    assert_eq!((w.mails_asked().await, sent.last_error.as_str()), (1, ""));
}

#[tokio::test]
async fn invariant_9_replicas_that_step_at_once_ask_for_each_mail_once() {
    let w = World::start().await;
    w.active(campaign(vec![step(StepKind::Mail, 0), step(StepKind::InAppNotice, 0)])).await;
    for n in 0..5 {
        w.debtor(&format!("c{n}")).await;
    }
    let runs = (0..4).map(|_| w.rooms.cases.step_due());
    for run in join_all(runs).await {
        run.unwrap();
    }
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.mails_asked().await, 5);
    assert_eq!(w.told_times("recovery_cases", "notification.requested").await, 5);
}

#[tokio::test]
async fn the_last_chance_is_given_once_with_a_code_and_only_to_who_may_have_it() {
    let w = World::start().await;
    let offer = w.offer(OfferDraft { code_policy: CodePolicy::SingleUse, ..draft(percent(20, 3)) }).await;
    let last = Step { offer_id: offer.id.clone(), ..step(StepKind::LastChanceOffer, 0) };
    w.active(campaign(vec![last])).await;
    let (s, other) = (w.debtor("ada").await, w.debtor("eve").await);
    // Eve has a retention discount already, and the offer does not stack.
    let shown = w.present(&w.offer(draft(percent(10, 3))).await, &other).await;
    w.claim(&shown).await.unwrap();
    // The first answer is lost after the provider did it: the next run finds what was given.
    w.faults.next(&[super::Fault::AnswerLost]);
    w.rooms.cases.step_due().await.unwrap();
    w.minutes_later(11);
    w.rooms.cases.step_due().await.unwrap();
    let case = w.case(&s).await;
    assert_eq!((case.state, case.mails), (State::LastChance, 1), "{case:?}");
    let given = w.redemption(&case.redemption_id).await;
    assert_eq!((given.state.as_str(), given.code.is_empty()), ("verified", false));
    assert_eq!(w.at_provider("sub_ada").await.discounts.len(), 1);
    assert_eq!(w.mails_asked().await, 0, "the code is mailed by the claim");
    let refused = w.case(&other).await;
    assert_eq!((refused.state, refused.steps[0].why.as_str()), (State::Open, "discount_running"));
}

#[tokio::test]
async fn an_offer_without_codes_is_told_of_with_a_link() {
    let w = World::start().await;
    let offer = w.offer(draft(percent(20, 3))).await;
    let last = Step { offer_id: offer.id.clone(), ..step(StepKind::LastChanceOffer, 0) };
    let made = w.rooms.campaigns.create(&w.caller, campaign(vec![last.clone()])).await.unwrap();
    let refused = w.moved(&made, Status::Active).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "plan.steps[0].link", "{refused}");
    w.active(campaign(vec![Step { link: "https://www.example.com/offer".into(), ..last }])).await;
    let s = w.debtor("ada").await;
    w.rooms.cases.step_due().await.unwrap();
    let case = w.case(&s).await;
    assert_eq!((case.state, w.mails_asked().await), (State::LastChance, 1));
    assert!(case.redemption_id.is_empty() && w.at_provider("sub_ada").await.discounts.is_empty());
}

#[tokio::test]
async fn of_each_persona_there_is_one_campaign_and_the_customer_gets_the_first_that_fits() {
    let w = World::start().await;
    let of = |personas: &[&str], priority: u32| Draft {
        persona_ids: personas.iter().map(|p| (*p).to_owned()).collect(),
        priority,
        ..campaign(vec![step(StepKind::Mail, 0)])
    };
    let everybody = w.active(of(&[], 50)).await;
    let fibre = w.active(of(&["per_fibre"], 20)).await;
    let loyal = w.active(of(&["per_loyal", "per_old"], 10)).await;
    let second = w.rooms.campaigns.create(&w.caller, of(&["per_old"], 1)).await.unwrap();
    let third = w.rooms.campaigns.create(&w.caller, of(&[], 1)).await.unwrap();
    for made in [&second, &third] {
        assert_eq!(w.moved(made, Status::Active).await.unwrap_err().slug(), "persona_taken");
    }
    let paused = w.moved(&loyal, Status::Paused).await.unwrap();
    let taking = w.moved(&second, Status::Active).await.unwrap();
    assert_eq!(w.moved(&paused, Status::Active).await.unwrap_err().slug(), "persona_taken");
    w.moved(&taking, Status::Archived).await.unwrap();
    w.moved(&paused, Status::Active).await.unwrap();

    let mut runs_by = Vec::new();
    for (name, personas) in [("a", vec![]), ("b", vec!["per_fibre"]), ("c", vec!["per_fibre", "per_loyal"])] {
        let customer = w.subscriber(name).await.body.customer_id;
        for persona in personas {
            w.hear("persona.entered", 5, membership(&customer, persona)).await;
        }
        // Left again later; told first, as order is not promised between families and repeats.
        w.hear("persona.left", 6, membership(&customer, "per_old")).await;
        w.hear("persona.entered", 5, membership(&customer, "per_old")).await;
        let s = w.fails(name).await;
        runs_by.push(w.case(&s).await.pin.unwrap().campaign_id);
    }
    assert_eq!(runs_by, [everybody.id, fibre.id, loyal.id]);
}

#[tokio::test]
async fn a_case_keeps_the_version_it_began_with_and_waits_while_its_campaign_is_paused() {
    let w = World::start().await;
    let first = w.active(campaign(vec![step(StepKind::Mail, 1)])).await;
    let old = w.debtor("old").await;
    let change = |old: &Campaign| {
        let mut change = old.as_it_is(None);
        change.draft.plan.steps = vec![step(StepKind::InAppNotice, 1)];
        Ok(change)
    };
    let changed = w.rooms.campaigns.update(&w.caller, &first.id, first.version, change).await.unwrap();
    assert_eq!((changed.body.number, changed.body.status), (2, Status::Active));
    let stale = w.rooms.campaigns.update(&w.caller, &first.id, first.version, change).await.unwrap_err();
    assert_eq!(stale.slug(), "stale_version");
    let new = w.debtor("new").await;
    let number = |case: Case| case.pin.unwrap().number;
    assert_eq!((number(w.case(&old).await), number(w.case(&new).await)), (1, 2));
    let paused = w.moved(&changed, Status::Paused).await.unwrap();
    let nobody = w.debtor("nobody").await;
    assert!(w.case(&nobody).await.pin.is_none(), "a paused campaign takes no cases");
    w.days_later(1);
    w.rooms.cases.step_due().await.unwrap();
    let asked =
        async || (w.mails_asked().await, w.told_times("recovery_cases", "notification.requested").await);
    assert_eq!(asked().await, (0, 0), "and its own wait");
    w.moved(&paused, Status::Active).await.unwrap();
    w.minutes_later(16);
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(asked().await, (1, 1));
}

#[tokio::test]
async fn a_case_is_stopped_with_a_reason_that_the_trail_keeps() {
    let w = World::start().await;
    w.active(campaign(vec![step(StepKind::Mail, 1)])).await;
    let s = w.debtor("ada").await;
    let case = w.cases(CaseFilter::default()).await.remove(0);
    for _ in 0..2 {
        let stopped = w.rooms.cases.stop(&w.caller, &case.id, "called us").await.unwrap();
        assert_eq!((stopped.body.state, stopped.body.reason.as_str()), (State::Stopped, "stopped_by_admin"));
    }
    w.days_later(2);
    w.rooms.cases.step_due().await.unwrap();
    assert_eq!(w.mails_asked().await, 0);
    let told = w.told("recovery_cases").await;
    assert_eq!(told, ["recovery.case_opened", "recovery.case_ended", "audit.recorded"]);
    w.hear("payment.failed", 4, failed(&s)).await;
    assert_eq!(w.cases(CaseFilter::default()).await.len(), 1, "the episode is the same");
    let other = kit::Caller { scope: Some(kit::Scope::new("com_2", kit::Mode::Live)), ..w.caller.clone() };
    assert_eq!(w.rooms.cases.stop(&other, &case.id, "x").await.unwrap_err().code().0, Code::NotFound);
}

#[tokio::test]
async fn an_expert_writes_and_only_with_the_grant_brings_it_to_customers() {
    let w = World::start().await;
    let expert = kit::Caller { role: Role::RetExp, ..w.caller.clone() };
    let made = w.rooms.campaigns.create(&expert, campaign(vec![step(StepKind::Mail, 1)])).await.unwrap();
    let activate = |caller: kit::Caller| {
        let (rooms, made) = (w.rooms.clone(), made.clone());
        async move {
            let change = |old: &Campaign| Ok(old.as_it_is(Some(Status::Active)));
            rooms.campaigns.update(&caller, &made.id, made.version, change).await
        }
    };
    assert_eq!(activate(expert.clone()).await.unwrap_err().code(), (Code::Forbidden, "forbidden"));
    let granted = kit::Caller { grants: vec!["publish_live".into()], ..expert };
    assert_eq!(activate(granted).await.unwrap().body.status, Status::Active);
    let audits = w.told_times("recovery_campaigns", "audit.recorded").await;
    assert_eq!(audits, 2);
    let ticket =
        w.rooms.campaigns.create(&w.caller, campaign(vec![step(StepKind::Ticket, 1)])).await.unwrap();
    assert_eq!(w.moved(&ticket, Status::Active).await.unwrap_err().slug(), "ticketing_not_connected");
    let drafts = CampaignFilter { status: Some(Status::Draft) };
    let page = w.rooms.campaigns.list(&w.caller, &drafts, &PageRequest::new(10, "")).await.unwrap();
    assert_eq!(page.items.into_iter().map(|c| c.id).collect::<Vec<_>>(), [ticket.id]);
}
