//! The simulated provider's own doors.

use ::store::Stored;
use kit::{Caller, Coded, Fault, FieldError, Money, Timestamp};
use proto::billing::simulated_service_server::{SimulatedService, SimulatedServiceServer};
use proto::billing::{
    self as pb, GetSimulatedSubscriptionRequest, ImportFixturesRequest, ImportFixturesResponse,
    SetSimulatedPaymentRequest, SimulatedSubscription,
};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::import::{Fixture, FixturePrice, Fixtures};
use super::model::{Contract, Credit, Done, Invoice, Payment};
use super::store::Books;
use crate::events::Stamp;
use crate::providers::{Cut, Discount, Interval, Snapshot, State};

struct Rpc {
    books: Books,
}

/// The room's operations.
pub fn operations(books: Books) -> impl SimulatedService {
    Rpc { books }
}

/// The room.
pub fn server(books: Books) -> SimulatedServiceServer<impl SimulatedService> {
    SimulatedServiceServer::new(operations(books))
}

fn status(error: impl Coded) -> Status {
    kit::error::status(&error)
}

#[tonic::async_trait]
impl SimulatedService for Rpc {
    async fn import_fixtures(
        &self,
        request: Request<ImportFixturesRequest>,
    ) -> Result<Response<ImportFixturesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(status)?;
        let ImportFixturesRequest { rows, prices } = request.into_inner();
        let fixtures = Fixtures {
            rows: rows.into_iter().enumerate().map(row).collect::<Result<_, _>>().map_err(status)?,
            prices: prices.into_iter().enumerate().map(price).collect::<Result<_, _>>().map_err(status)?,
        };
        let now = self.books.now(scope).await.map_err(status)?;
        let stamp = Stamp { scope, subject: "simulated", sequence: 0, at: self.books.machine() };
        let size = json!({ "rows": fixtures.rows.len(), "prices": fixtures.prices.len() });
        let audit = stamp.audited(&caller, "connection", "simulated.import", None, Some(&size));
        let imported = self
            .books
            .import_telling(scope, fixtures, now, audit.into_iter().collect())
            .await
            .map_err(status)?;
        let errors = imported.errors.into_iter().map(|(index, FieldError { field, code, message })| {
            proto::common::ItemError { index, field, code, message }
        });
        let errors = errors.collect();
        Ok(Response::new(ImportFixturesResponse { rows: imported.rows, prices: imported.prices, errors }))
    }

    async fn get_simulated_subscription(
        &self,
        request: Request<GetSimulatedSubscriptionRequest>,
    ) -> Result<Response<SimulatedSubscription>, Status> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(status)?;
        let now = self.books.now(scope).await.map_err(status)?;
        let id = &request.get_ref().external_id;
        let read = self.books.contract(scope, id, now).await.map_err(status)?;
        let snapshot = read.body.snapshot(read.version, now);
        Ok(Response::new(to_proto(&read.body, snapshot)))
    }

    async fn set_simulated_payment(
        &self,
        request: Request<SetSimulatedPaymentRequest>,
    ) -> Result<Response<SimulatedSubscription>, Status> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(status)?;
        let SetSimulatedPaymentRequest { external_id, state, until } = request.into_inner();
        let said = pb::SimulatedPayment { state, until };
        let payment = payment(&said).ok_or_else(|| status(until_wrong("until")))?;
        let at = self.books.machine();
        let audit = |read: &Stored<Contract>| {
            let stamp = Stamp { scope, subject: &external_id, sequence: read.version + 1, at };
            let after = json!({ "payment": payment });
            stamp.audited(&caller, "simulated_subscription", "simulated.payment", None, Some(&after))
        };
        let read = self.books.set_payment(scope, &external_id, payment, audit).await.map_err(status)?;
        let now = self.books.now(scope).await.map_err(status)?;
        let snapshot = read.body.snapshot(read.version, now);
        Ok(Response::new(to_proto(&read.body, snapshot)))
    }
}

fn until_wrong(field: &str) -> Fault {
    Fault::field(field, "invalid", "must be given with fails_until, and only with it")
}

/// None where the time is missing, or one too many.
fn payment(said: &pb::SimulatedPayment) -> Option<Payment> {
    let until = said.until.as_ref().map(kit::time::from_proto);
    match (said.state(), until) {
        (pb::SimulatedPaymentState::Ok, None) => Some(Payment::Ok),
        (pb::SimulatedPaymentState::Fails, None) => Some(Payment::Fails),
        (pb::SimulatedPaymentState::FailsUntil, Some(Some(until))) => Some(Payment::FailsUntil(until)),
        _ => None,
    }
}

fn payment_to(payment: Payment) -> pb::SimulatedPayment {
    let (state, until) = match payment {
        Payment::Ok => (pb::SimulatedPaymentState::Ok, None),
        Payment::Fails => (pb::SimulatedPaymentState::Fails, None),
        Payment::FailsUntil(until) => (pb::SimulatedPaymentState::FailsUntil, Some(until)),
    };
    pb::SimulatedPayment { state: state.into(), until: until.map(kit::time::to_proto) }
}

fn row((n, row): (usize, pb::FixtureRow)) -> Result<Fixture, Fault> {
    let wrong = |field: &str, message: &str| Fault::field(format!("rows[{n}].{field}"), "invalid", message);
    let at = |at: &Option<prost_types::Timestamp>| at.as_ref().and_then(kit::time::from_proto);
    let some = |text: String| Some(text).filter(|t| !t.is_empty());
    let interval = interval(row.interval()).ok_or_else(|| wrong("interval", "is not known"))?;
    let started_at = at(&row.started_at).ok_or_else(|| wrong("started_at", "is no time"))?;
    let (ended_at, trial_end, past_due_since) =
        (at(&row.ended_at), at(&row.trial_end), at(&row.past_due_since));
    let payment = match &row.payment {
        None => None,
        Some(said) => Some(payment(said).ok_or_else(|| until_wrong(&format!("rows[{n}].payment.until")))?),
    };
    Ok(Fixture {
        external_id: row.external_id,
        email: some(row.email),
        name: some(row.name),
        locale: some(row.locale),
        country: some(row.country).map(|c| c.to_uppercase()),
        currency: row.currency,
        plan: row.plan,
        price_minor: row.price_minor,
        interval,
        started_at,
        ended_at,
        subscription_id: some(row.subscription_id),
        quantity: row.quantity,
        trial_end,
        past_due_since,
        payment,
        attributes: row.attributes.into_iter().collect(),
    })
}

fn price((n, price): (usize, pb::FixturePrice)) -> Result<FixturePrice, Fault> {
    let wrong = |field: &str, message: &str| Fault::field(format!("prices[{n}].{field}"), "invalid", message);
    let interval = interval(price.interval()).ok_or_else(|| wrong("interval", "is not known"))?;
    let money = price.price.ok_or_else(|| wrong("price", "is missing"))?;
    let currency = kit::Currency::parse(&money.currency)
        .ok_or_else(|| wrong("price.currency", "is no ISO 4217 currency"))?;
    Ok(FixturePrice {
        price_id: price.price_id,
        plan: price.plan,
        name: price.name,
        amount: Money::new(money.minor, currency),
        interval,
        interval_count: price.interval_count.max(1),
    })
}

fn interval(interval: pb::BillingInterval) -> Option<Interval> {
    Some(match interval {
        pb::BillingInterval::Unspecified => return None,
        pb::BillingInterval::Day => Interval::Day,
        pb::BillingInterval::Week => Interval::Week,
        pb::BillingInterval::Month => Interval::Month,
        pb::BillingInterval::Year => Interval::Year,
    })
}

fn to_proto(contract: &Contract, s: Snapshot) -> SimulatedSubscription {
    let money =
        |m: Money| Some(proto::common::Money { minor: m.minor, currency: m.currency.as_str().into() });
    let at = |at: Option<Timestamp>| at.map(kit::time::to_proto);
    let state = match s.state {
        State::Pending => pb::SubscriptionState::Pending,
        State::Trialing => pb::SubscriptionState::Trialing,
        State::Active => pb::SubscriptionState::Active,
        State::PastDue => pb::SubscriptionState::PastDue,
        State::Paused => pb::SubscriptionState::Paused,
        State::NonRenewing => pb::SubscriptionState::NonRenewing,
        State::Ended => pb::SubscriptionState::Ended,
    };
    let interval = match s.interval {
        Interval::Day => pb::BillingInterval::Day,
        Interval::Week => pb::BillingInterval::Week,
        Interval::Month => pb::BillingInterval::Month,
        Interval::Year => pb::BillingInterval::Year,
    };
    let discount = |d: Discount| {
        let (percent_off, amount_off) = match d.cut {
            Cut::BasisPoints(bp) => (bp / 100, None),
            Cut::Amount(amount) => (0, money(amount)),
        };
        pb::Discount {
            external_id: d.id.as_str().to_owned(),
            coupon: d.coupon,
            percent_off,
            amount_off,
            start: Some(kit::time::to_proto(d.start)),
            end: d.end.map(kit::time::to_proto),
            retention: d.retention,
        }
    };
    let act = |d: &Done| pb::SimulatedAct {
        key: d.key.clone(),
        name: d.act.name().to_owned(),
        at: Some(kit::time::to_proto(d.at)),
    };
    let credit = |c: &Credit| pb::SimulatedCredit {
        id: c.id.clone(),
        amount: money(c.amount),
        at: Some(kit::time::to_proto(c.at)),
        used: money(Money::new(c.used, c.amount.currency)),
    };
    let invoice = |i: &Invoice| pb::SimulatedInvoice {
        id: i.id.clone(),
        amount: money(i.amount),
        credited: money(Money::new(i.credited, i.amount.currency)),
        at: at(Some(i.at)),
        paid_at: at(i.paid_at),
        attempts: i.attempts,
        retry_at: at(i.retry_at),
    };
    SimulatedSubscription {
        external_id: s.id.as_str().to_owned(),
        customer_external_id: s.customer.as_str().to_owned(),
        state: state.into(),
        plan: s.plan,
        price_id: s.price_id,
        price: money(s.price),
        quantity: s.quantity,
        interval: interval.into(),
        interval_count: s.interval_count,
        mrr: money(s.mrr),
        started_at: Some(kit::time::to_proto(s.started_at)),
        period_end: s.period_end.map(kit::time::to_proto),
        cancel_at: s.cancel_at.map(kit::time::to_proto),
        ended_at: s.ended_at.map(kit::time::to_proto),
        resumes_at: s.resumes_at.map(kit::time::to_proto),
        next_price_id: s.pending_change.and_then(|p| p.price_id).unwrap_or_default(),
        discounts: s.discounts.into_iter().map(discount).collect(),
        provider_version: s.provider_version,
        acts: contract.done.iter().map(act).collect(),
        credits: contract.credits.iter().map(credit).collect(),
        trial_end: at(s.trial_end),
        past_due_since: at(s.past_due_since),
        payment: Some(payment_to(contract.payment)),
        invoices: contract.invoices.iter().map(invoice).collect(),
    }
}
