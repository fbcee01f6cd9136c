//! Subscriptions over gRPC.

use kit::{Caller, PageRequest};
use proto::billing as pb;
use proto::billing::subscription_service_server::SubscriptionService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::act::Ask;
use super::model::{Action, State, Subscription};
use super::ops::{Subject, Subscriptions};
use super::store::Filter;
use crate::error::Error;
use crate::events::money;
use crate::providers::{Cut, Discount, Interval, PauseKind};

pub(crate) struct Rpc(pub Subscriptions);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl SubscriptionService for Rpc {
    async fn list_subscriptions(
        &self,
        request: Request<pb::ListSubscriptionsRequest>,
    ) -> Reply<pb::ListSubscriptionsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListSubscriptionsRequest { limit, cursor, state, customer_id } = request.into_inner();
        let customer_id = Some(customer_id).filter(|c| !c.is_empty());
        let filter = Filter { state: state_from(state), customer_id };
        self.list(&caller, &filter, &PageRequest::new(limit, cursor)).await
    }

    async fn get_subscription(
        &self,
        request: Request<pb::GetSubscriptionRequest>,
    ) -> Reply<pb::Subscription> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let found = self.0.get(scope, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(subscription_to(found)))
    }

    async fn list_customer_subscriptions(
        &self,
        request: Request<pb::ListCustomerSubscriptionsRequest>,
    ) -> Reply<pb::ListSubscriptionsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListCustomerSubscriptionsRequest { id, limit, cursor } = request.into_inner();
        let found = self.0.of_customer(&caller, id, &PageRequest::new(limit, cursor)).await;
        Ok(listed(found.map_err(wrong)?))
    }

    async fn refresh_subscription(
        &self,
        request: Request<pb::RefreshSubscriptionRequest>,
    ) -> Reply<pb::Subscription> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let found = self.0.refresh(scope, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(subscription_to(found)))
    }

    async fn act_on_subscription(
        &self,
        request: Request<pb::ActOnSubscriptionRequest>,
    ) -> Reply<pb::Subscription> {
        let caller = Caller::of(&request)?;
        let pb::ActOnSubscriptionRequest { id, action, months, wished_at, key, when } = request.into_inner();
        let action = action_from(action, when).map_err(wrong)?;
        let wished_at = wished_at.as_ref().and_then(kit::time::from_proto);
        let ask = Ask { action, months, wished_at, key };
        let room = self.0.clone();
        let act = kit::task::to_the_end(async move { room.act(&caller, &id, ask).await });
        let done = act.await.map_err(|f| kit::error::status(&f))?.map_err(wrong)?;
        Ok(Response::new(subscription_to(done)))
    }

    async fn get_flow_subject(&self, request: Request<pb::GetFlowSubjectRequest>) -> Reply<pb::FlowSubject> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let pb::GetFlowSubjectRequest { customer, subscription } = request.get_ref();
        let subject = self.0.subject(scope, customer, subscription).await.map_err(wrong)?;
        Ok(Response::new(subject_to(subject)))
    }
}

impl Rpc {
    async fn list(
        &self,
        caller: &Caller,
        filter: &Filter,
        page: &PageRequest,
    ) -> Reply<pb::ListSubscriptionsResponse> {
        Ok(listed(self.0.list(caller, filter, page).await.map_err(wrong)?))
    }
}

/// What is asked for. Only a cancellation has a time to choose: for another act it would be a promise nobody keeps.
fn action_from(action: i32, when: i32) -> Result<Action, Error> {
    use pb::{CancelWhen, SubscriptionAction as Asked};
    let when = CancelWhen::try_from(when).unwrap_or_default();
    match (Asked::try_from(action).unwrap_or_default(), when) {
        (Asked::Cancel, CancelWhen::Now) => Ok(Action::CancelNow),
        (Asked::Cancel, CancelWhen::PeriodEnd | CancelWhen::Unspecified) => Ok(Action::Cancel),
        (Asked::Unspecified, _) => Err(Error::field("action", "required", "say what is to be done")),
        (_, CancelWhen::Now | CancelWhen::PeriodEnd) => {
            Err(Error::field("when", "when.cancel_only", "is for `cancel` only"))
        }
        (Asked::Undo, CancelWhen::Unspecified) => Ok(Action::Undo),
        (Asked::Pause, CancelWhen::Unspecified) => Ok(Action::Pause),
        (Asked::Resume, CancelWhen::Unspecified) => Ok(Action::Resume),
    }
}

fn listed(page: kit::Page<Stored<Subscription>>) -> Response<pb::ListSubscriptionsResponse> {
    let page = page.map(subscription_to);
    let next_cursor = page.next_cursor.unwrap_or_default();
    Response::new(pb::ListSubscriptionsResponse { items: page.items, next_cursor })
}

fn subject_to(subject: Subject) -> pb::FlowSubject {
    let Subject { customer, subscription, attributes } = subject;
    let hands_off = subscription.body.hands_off().unwrap_or_default().to_owned();
    pb::FlowSubject {
        customer_id: customer.id,
        external_id: customer.body.external_id,
        name: customer.body.name,
        locale: customer.body.locale,
        country: customer.body.country,
        hands_off,
        subscription: Some(subscription_to(subscription)),
        attributes: attributes.into_iter().collect(),
        restricted: customer.body.restricted,
    }
}

pub(crate) fn subscription_to(stored: Stored<Subscription>) -> pb::Subscription {
    let Stored { id, version, body, .. } = stored;
    let Subscription {
        provider,
        external_id,
        customer_id,
        state,
        plan,
        price_id,
        price,
        quantity,
        interval,
        interval_count,
        mrr,
        started_at,
        trial_end,
        period_start,
        period_end,
        cancel_at,
        ended_at,
        paused_at,
        resumes_at,
        pause_kind,
        pending_change,
        discounts,
        schedule_attached,
        item_count,
        past_due_since,
        provider_version: _,
        synced_at,
        reactivated: _,
        disputed: _,
        wish: _,
        acts: _,
        acting: _,
        told: _,
        failed_payments: _,
    } = body;
    let time = |at: Option<kit::Timestamp>| at.map(kit::time::to_proto);
    pb::Subscription {
        id,
        customer_id,
        provider: provider.as_str().into(),
        external_id,
        state: state_to(state).into(),
        plan,
        price_id,
        price: Some(money(price)),
        quantity,
        interval: interval_to(interval).into(),
        interval_count,
        mrr: Some(money(mrr)),
        started_at: time(Some(started_at)),
        trial_end: time(trial_end),
        period_start: time(period_start),
        period_end: time(period_end),
        cancel_at: time(cancel_at),
        ended_at: time(ended_at),
        paused_at: time(paused_at),
        resumes_at: time(resumes_at),
        pause_kind: pause_kind.map(PauseKind::as_str).unwrap_or_default().into(),
        pending_change: pending_change.map(|c| c.kind).unwrap_or_default(),
        discounts: discounts.into_iter().map(discount_to).collect(),
        schedule_attached,
        item_count,
        past_due_since: time(past_due_since),
        synced_at: time(Some(synced_at)),
        version,
    }
}

fn discount_to(discount: Discount) -> pb::Discount {
    let Discount { id, coupon, cut, term: _, start, end, retention } = discount;
    let (percent_off, amount_off) = match cut {
        Cut::BasisPoints(bp) => (bp.div_ceil(100), None),
        Cut::Amount(m) => (0, Some(money(m))),
    };
    pb::Discount {
        external_id: id.as_str().to_owned(),
        coupon,
        percent_off,
        amount_off,
        start: Some(kit::time::to_proto(start)),
        end: end.map(kit::time::to_proto),
        retention,
    }
}

fn state_to(state: State) -> pb::SubscriptionState {
    match state {
        State::Pending => pb::SubscriptionState::Pending,
        State::Trialing => pb::SubscriptionState::Trialing,
        State::Active => pb::SubscriptionState::Active,
        State::PastDue => pb::SubscriptionState::PastDue,
        State::Paused => pb::SubscriptionState::Paused,
        State::NonRenewing => pb::SubscriptionState::NonRenewing,
        State::Ended => pb::SubscriptionState::Ended,
        State::Unknown => pb::SubscriptionState::Unknown,
    }
}

/// A state from the wire; none where it is left out.
pub(crate) fn state_from(state: i32) -> Option<State> {
    State::ALL.into_iter().find(|s| i32::from(state_to(*s)) == state)
}

pub(crate) fn state_to_wire(state: State) -> i32 {
    state_to(state).into()
}

pub(crate) fn interval_to(interval: Interval) -> pb::BillingInterval {
    match interval {
        Interval::Day => pb::BillingInterval::Day,
        Interval::Week => pb::BillingInterval::Week,
        Interval::Month => pb::BillingInterval::Month,
        Interval::Year => pb::BillingInterval::Year,
    }
}

/// An interval from the wire; none where it is left out.
pub(crate) fn interval_from(interval: i32) -> Option<Interval> {
    let all = [Interval::Day, Interval::Week, Interval::Month, Interval::Year];
    all.into_iter().find(|i| i32::from(interval_to(*i)) == interval)
}

/// As events say it.
pub(crate) fn interval_name(interval: Interval) -> &'static str {
    match interval {
        Interval::Day => "day",
        Interval::Week => "week",
        Interval::Month => "month",
        Interval::Year => "year",
    }
}
