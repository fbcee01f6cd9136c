//! Workflows that run in the background, on the real database, with a clock that is moved: what begins them, what they do
//! outside and how often, what ends them.

use std::sync::Arc;

use bus::{Handler, Incoming, Outcome};
use content_svc::workflow::{
    Action, EndOutcome, Limits, Mail, Node, NodeKind, Reentry, Tag, Trigger, Wait, WorkflowContent,
};
use content_svc::workflow_run::{Began, Listener, Occasions, RunState, WorkflowRun, WorkflowRuns};
use jiff::SignedDuration;
use kit::Scope;
use kit::clock::Clock as _;
use prost::Message as _;
use proto::events as ev;
use proto::events::event::Data;
use store::Stored;

use crate::flow::Biller;
use crate::world::{World, node, text};

/// Runs, and the biller they ask.
pub struct Background {
    pub world: World,
    pub runs: WorkflowRuns,
    pub occasions: Occasions,
    pub ears: Arc<Listener>,
    pub biller: Arc<Biller>,
}

pub fn tag(add: &str, next: &str) -> NodeKind {
    let tag = Some(Tag { add: vec![add.into()], remove: Vec::new() });
    NodeKind::Action(Action { action: "tag".into(), tag, mail: None, next: next.into() })
}

fn mail(next: &str) -> NodeKind {
    let mail = Mail {
        subject: text("Your payment"),
        body: text("Dear customer,\n\nplease pay."),
        link: "https://telco.example/billing".into(),
        variables: Vec::new(),
    };
    NodeKind::Action(Action { action: "mail".into(), tag: None, mail: Some(mail), next: next.into() })
}

pub fn wait(hours: u32, event: &str, next: &str) -> NodeKind {
    NodeKind::Wait(Wait { hours, event: event.into(), next: next.into(), late: None })
}

pub fn done() -> Node {
    node("done", NodeKind::End { outcome: EndOutcome::Kept, template_id: None })
}

pub fn background(trigger: Trigger, nodes: Vec<Node>) -> WorkflowContent {
    WorkflowContent {
        trigger,
        audience: None,
        start: nodes[0].id.clone(),
        nodes,
        limits: Limits::default(),
        reentry: Reentry::Always,
        hosted_template_id: None,
        locales: vec!["en".into()],
    }
}

/// A day, then a mail; a day, then a tag.
pub fn dunning() -> WorkflowContent {
    let nodes = vec![
        node("day", wait(24, "", "ask")),
        node("ask", mail("again")),
        node("again", wait(24, "", "late")),
        node("late", tag("owes", "done")),
        done(),
    ];
    background(Trigger::PaymentFailed, nodes)
}

pub fn failed(attempt: u32) -> Data {
    let (subscription_id, customer_id) = ("sub_1".into(), "cus_1".into());
    Data::PaymentChanged(ev::PaymentChanged { subscription_id, customer_id, attempt, ..Default::default() })
}

fn changed(state: &str, before: &str) -> ev::SubscriptionChanged {
    ev::SubscriptionChanged {
        subscription_id: "sub_1".into(),
        customer_id: "cus_1".into(),
        state: state.into(),
        previous_state: before.into(),
        ..Default::default()
    }
}

impl Background {
    pub async fn new() -> Self {
        let world = World::new().await;
        let biller = Arc::new(Biller::default());
        let (runs, occasions) = world.runs(biller.clone()).await;
        let ears = Listener::shared(runs.clone(), occasions.clone());
        Self { world, runs, occasions, ears, biller }
    }

    pub async fn publish(&self, name: &str, content: WorkflowContent) -> String {
        let (workflows, admin) = (&self.world.rooms.workflows, &self.world.admin);
        let made = workflows.create(admin, name.into(), content).await.unwrap();
        workflows.publish(admin, &made.id, made.version, String::new()).await.unwrap();
        made.id
    }

    pub fn scope(&self) -> &Scope {
        self.world.scope()
    }

    pub fn state(&self, state: &str) {
        *self.biller.state.lock().unwrap() = state.into();
    }

    fn incoming(&self, id: &str, kind: &str, data: Data) -> Incoming {
        let event = ev::Event { data: Some(data), ..Default::default() };
        Incoming {
            id: id.into(),
            kind: kind.into(),
            scope: self.scope().clone(),
            subject: "sub_1".into(),
            occurred_at: self.world.clock.now(),
            body: event.encode_to_vec().into(),
            deliveries: 1,
            traceparent: None,
        }
    }

    pub async fn hear(&self, id: &str, kind: &str, data: Data) {
        let incoming = self.incoming(id, kind, data);
        assert_eq!(self.ears.handle(&[incoming]).await, [Outcome::Done]);
    }

    pub async fn round(&self) {
        self.runs.round(&self.occasions).await.unwrap();
    }

    pub async fn later(&self, by: SignedDuration) {
        self.world.clock.advance(by);
        self.round().await;
    }

    /// All runs, oldest first.
    pub async fn all(&self) -> Vec<Stored<WorkflowRun>> {
        let collection = self.world.db.collection::<bson::Document>("workflow_runs");
        let found = collection.find(bson::doc! {}).sort(bson::doc! { "_id": 1 }).await.unwrap();
        let found: Vec<bson::Document> = futures_util::TryStreamExt::try_collect(found).await.unwrap();
        let mut runs = Vec::new();
        for id in found.iter().map(|d| d.get_str("_id").unwrap()) {
            runs.push(self.runs.get(&self.world.admin, id).await.unwrap());
        }
        runs
    }

    pub async fn only(&self) -> WorkflowRun {
        let mut all = self.all().await;
        assert_eq!(all.len(), 1);
        all.remove(0).body
    }

    /// The mails that were asked for, whether or not they have left yet.
    async fn mails(&self) -> Vec<ev::MailRequested> {
        let collection = self.world.db.collection::<bson::Document>("workflow_runs");
        let found = collection.find(bson::doc! {}).await.unwrap();
        let found: Vec<bson::Document> = futures_util::TryStreamExt::try_collect(found).await.unwrap();
        let mut mails = Vec::new();
        for entry in found.iter().filter_map(|d| d.get_array("_outbox").ok()).flatten() {
            let body = entry.as_document().unwrap().get_binary_generic("body").unwrap();
            let event = ev::Event::decode(body.as_slice()).unwrap();
            let Some(Data::MailRequested(mail)) = event.data else { panic!("{event:?}") };
            mails.push(mail);
        }
        mails
    }
}

pub const DAY: SignedDuration = SignedDuration::from_hours(24);

#[tokio::test]
async fn a_failed_payment_begins_a_run_that_waits_writes_and_ends_when_it_is_paid() {
    let b = Background::new().await;
    b.publish("Dunning", dunning()).await;
    b.state("past_due");
    for _ in 0..2 {
        b.hear("evt_1", "payment.failed", failed(1)).await;
    }
    b.hear("evt_2", "payment.failed", failed(2)).await;
    assert_eq!(b.only().await.state, RunState::Queued, "one subscription, one run");
    b.round().await;
    assert_eq!(b.only().await.state, RunState::Waiting);
    b.later(DAY - SignedDuration::from_secs(1)).await;
    assert!(b.mails().await.is_empty());
    b.later(SignedDuration::from_secs(2)).await;
    let mails = b.mails().await;
    let id = b.all().await[0].id.clone();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].dedupe_key, format!("workflow/{id}/ask/1"));
    assert_eq!((mails[0].template.as_str(), mails[0].recovery_of.as_str()), ("workflow_mail", "sub_1"));
    assert_eq!(mails[0].customer_id, "cus_1");
    b.round().await;
    assert_eq!(b.mails().await.len(), 1);

    b.hear("evt_3", "payment.recovered", failed(2)).await;
    let run = b.only().await;
    assert_eq!((run.state, run.reason.as_str()), (RunState::Canceled, "paid"));
    b.later(DAY * 3).await;
    assert_eq!((b.mails().await.len(), b.biller.take()), (1, Vec::new()));
    // The next payment that fails is another matter.
    b.hear("evt_4", "payment.failed", failed(1)).await;
    assert_eq!(b.all().await.len(), 2);
}

#[tokio::test]
async fn what_billing_shows_counts_when_nobody_told() {
    let b = Background::new().await;
    b.publish("Dunning", dunning()).await;
    b.state("past_due");
    b.hear("evt_1", "payment.failed", failed(1)).await;
    b.round().await;
    b.state("active");
    b.later(DAY).await;
    let run = b.only().await;
    assert_eq!((run.state, run.reason.as_str()), (RunState::Canceled, "paid"));
    assert!(b.mails().await.is_empty());

    let b = Background::new().await;
    b.publish("Dunning", dunning()).await;
    b.state("past_due");
    b.hear("evt_1", "payment.failed", failed(1)).await;
    *b.biller.gone.lock().unwrap() = true;
    b.round().await;
    assert_eq!(b.only().await.reason, "customer_unknown");
}

#[tokio::test]
async fn an_outage_is_waited_for_and_five_failures_are_the_end() {
    let b = Background::new().await;
    let tags = background(Trigger::PaymentFailed, vec![node("tag", tag("owes", "done")), done()]);
    b.publish("Tags", tags).await;
    b.hear("evt_1", "payment.failed", failed(1)).await;
    *b.biller.down.lock().unwrap() = true;
    b.round().await;
    let run = b.only().await;
    assert_eq!(
        (run.state, run.tries, run.last_error.as_str()),
        (RunState::Queued, 1, "upstream_unavailable")
    );
    b.round().await;
    assert_eq!(b.only().await.tries, 1, "not before its time");
    *b.biller.down.lock().unwrap() = false;
    b.later(SignedDuration::from_mins(1)).await;
    assert_eq!(b.only().await.state, RunState::Completed);
    assert_eq!(b.biller.take(), ["tag cus_1 +owes -"]);

    b.hear("evt_2", "payment.failed", failed(1)).await;
    *b.biller.down.lock().unwrap() = true;
    for _ in 0..6 {
        b.later(SignedDuration::from_hours(1)).await;
    }
    let dead = b.all().await.remove(1).body;
    assert_eq!((dead.state, dead.tries), (RunState::Dead, 5));
    assert_eq!(b.biller.take(), Vec::<String>::new());
}

#[tokio::test]
async fn a_worker_that_died_loses_its_run_and_the_next_one_does_the_rest_under_the_same_key() {
    let b = Background::new().await;
    b.publish("Dunning", dunning()).await;
    b.state("past_due");
    b.hear("evt_1", "payment.failed", failed(1)).await;
    b.round().await;
    b.world.clock.advance(DAY);
    // Taken up, and never heard of again.
    let read = b.all().await.remove(0);
    let repo = content_svc::workflow_run::RunStore::open(&b.world.db, Arc::new(b.world.clock.clone())).await;
    let repo = repo.unwrap();
    let taken = repo.replace(&read, read.body.taken(b.world.clock.now()), Vec::new()).await.unwrap();
    b.round().await;
    assert!(b.mails().await.is_empty(), "it is another's");
    b.later(SignedDuration::from_secs(61)).await;
    assert_eq!(b.mails().await.len(), 1);
    let mail = b.mails().await.remove(0).dedupe_key;
    // The dead one comes back: what it writes is refused.
    let late = repo.replace(&taken, taken.body.clone(), Vec::new()).await;
    assert!(matches!(late, Err(store::Error::Stale(_))));
    assert_eq!(mail, format!("workflow/{}/ask/1", read.id));
}

#[tokio::test]
async fn a_wait_is_ended_by_its_event_once_and_by_nobody_else_s() {
    let b = Background::new().await;
    let nodes = vec![
        node("ever", wait(0, "customer.tagged", "first")),
        node("first", tag("one", "more")),
        node("more", wait(0, "customer.tagged", "second")),
        node("second", tag("two", "done")),
        done(),
    ];
    b.publish("Waits", background(Trigger::PaymentFailed, nodes)).await;
    b.state("past_due");
    b.hear("evt_1", "payment.failed", failed(1)).await;
    b.round().await;
    let tagged = |customer: &str| {
        let customer_id = customer.to_owned();
        Data::CustomerTagged(ev::CustomerTagged { customer_id, ..Default::default() })
    };
    b.hear("evt_2", "customer.tagged", tagged("cus_2")).await;
    b.round().await;
    assert_eq!(b.biller.take(), Vec::<String>::new());
    for _ in 0..3 {
        b.hear("evt_3", "customer.tagged", tagged("cus_1")).await;
        b.round().await;
    }
    assert_eq!(b.biller.take(), ["tag cus_1 +one -"], "the same event ends one wait");
    // From long before the wait: not what it waits for.
    let mut old = b.incoming("evt_4", "customer.tagged", tagged("cus_1"));
    old.occurred_at -= SignedDuration::from_hours(1);
    assert_eq!(b.ears.handle(&[old]).await, [Outcome::Done]);
    b.round().await;
    assert_eq!(b.only().await.state, RunState::Waiting);
    // It never comes: the run is timed out.
    b.later(DAY * 31).await;
    let run = b.only().await;
    assert_eq!((run.state, run.reason.as_str()), (RunState::TimedOut, "max_days"));
}

#[tokio::test]
async fn audience_order_and_reentry_choose_who_goes_through_what() {
    let b = Background::new().await;
    let tags =
        |tag_name: &str| background(Trigger::PaymentFailed, vec![node("tag", tag(tag_name, "done")), done()]);
    let other = content_svc::rule::Rule::Persona("per_9".into());
    b.publish("Others", WorkflowContent { audience: Some(other), ..tags("others") }).await;
    let second = WorkflowContent { reentry: Reentry::AfterDays(10), ..tags("second") };
    let second = b.publish("Second", second).await;
    b.publish("Third", tags("third")).await;
    b.hear("evt_1", "payment.failed", failed(1)).await;
    b.round().await;
    assert_eq!(b.biller.take(), ["tag cus_1 +second -"]);
    assert_eq!(b.only().await.flow.id, second);
    b.hear("evt_2", "payment.failed", failed(1)).await;
    assert_eq!(b.all().await.len(), 1, "not again yet");
    b.later(DAY * 10).await;
    b.hear("evt_3", "payment.failed", failed(1)).await;
    assert_eq!(b.all().await.len(), 2);
    // News that were held up for days begin nothing.
    b.later(DAY * 10).await;
    let mut old = b.incoming("evt_4", "payment.failed", failed(1));
    old.occurred_at -= DAY * 3;
    assert_eq!(b.ears.handle(&[old]).await, [Outcome::Done]);
    assert_eq!(b.all().await.len(), 2);
}

#[tokio::test]
async fn the_end_of_a_trial_is_seen_coming_and_moves_with_it() {
    let b = Background::new().await;
    let tags = background(Trigger::TrialEnding, vec![node("tag", tag("trial", "done")), done()]);
    b.publish("Trial", tags).await;
    b.state("trialing");
    let ends = |days: i64| kit::time::add_days(b.world.clock.now(), days);
    let told =
        |at| ev::SubscriptionChanged { trial_end: Some(kit::time::to_proto(at)), ..changed("trialing", "") };
    let first = ends(10);
    let says = |at: kit::Timestamp| {
        b.biller.facts.lock().unwrap().insert("trial_end".into(), at.to_string());
    };
    says(first);
    b.hear("evt_1", "subscription.changed", Data::SubscriptionChanged(told(first))).await;
    b.later(DAY * 6).await;
    assert!(b.all().await.is_empty());
    // An offer made it longer, and no event said so.
    says(kit::time::add_days(first, 14));
    b.later(DAY * 2).await;
    assert!(b.all().await.is_empty());
    b.later(DAY * 13).await;
    b.round().await;
    let run = b.only().await;
    assert_eq!((run.began, run.state), (Began::By(Trigger::TrialEnding), RunState::Completed));
    b.hear("evt_2", "subscription.changed", Data::SubscriptionChanged(told(kit::time::add_days(first, 14))))
        .await;
    b.round().await;
    assert_eq!(b.all().await.len(), 1, "the same end begins one run");
    // Over: nothing is seen coming any more.
    b.hear("evt_3", "subscription.changed", Data::SubscriptionChanged(changed("active", "trialing"))).await;
    let occasions = b.world.db.collection::<bson::Document>("workflow_occasions");
    assert_eq!(occasions.count_documents(bson::doc! {}).await.unwrap(), 0);
}

#[tokio::test]
async fn the_end_of_a_subscription_begins_a_run_and_coming_back_ends_it() {
    let b = Background::new().await;
    let nodes = vec![node("week", wait(168, "", "tag")), node("tag", tag("gone", "done")), done()];
    b.publish("Gone", background(Trigger::SubscriptionEnded, nodes)).await;
    b.state("ended");
    b.hear("evt_1", "subscription.changed", Data::SubscriptionChanged(changed("ended", "active"))).await;
    b.round().await;
    assert_eq!(b.only().await.state, RunState::Waiting);
    let back = ev::SubscriptionChanged { subscription_id: "sub_2".into(), ..changed("active", "") };
    b.hear("evt_2", "subscription.changed", Data::SubscriptionChanged(back)).await;
    let run = b.only().await;
    assert_eq!((run.state, run.reason.as_str()), (RunState::Canceled, "reactivated"));
}

#[tokio::test]
async fn a_persona_that_is_entered_begins_the_workflow_that_names_it_and_leaving_it_ends_that() {
    let b = Background::new().await;
    let nodes = vec![node("week", wait(168, "", "done")), done()];
    let named = |persona: &str| WorkflowContent {
        audience: Some(content_svc::rule::Rule::Persona(persona.into())),
        ..background(Trigger::PersonaEntered, nodes.clone())
    };
    b.publish("One", named("per_1")).await;
    let membership = |persona: &str| {
        Data::PersonaMembership(ev::PersonaMembership {
            persona_id: persona.into(),
            customer_id: "cus_1".into(),
            ..Default::default()
        })
    };
    b.hear("evt_1", "persona.entered", membership("per_2")).await;
    assert!(b.all().await.is_empty(), "they were in per_1 anyway");
    b.hear("evt_2", "persona.entered", membership("per_1")).await;
    b.round().await;
    b.hear("evt_3", "persona.left", membership("per_2")).await;
    assert_eq!(b.only().await.state, RunState::Waiting);
    b.hear("evt_4", "persona.left", membership("per_1")).await;
    assert_eq!(b.only().await.reason, "persona_left");
}
