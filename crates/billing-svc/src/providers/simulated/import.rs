//! Rows into the books: how a demo, a test or a company trying things out gets its customers there.

use std::collections::BTreeMap;

use kit::{Currency, FieldError, Money, Outgoing, Scope, Timestamp};

use super::model::{Account, Contract, Payment, Tariff};
use super::period::period;
use super::store::{Books, id_of};
use crate::providers::{Cut, Interval, Term};

/// One customer with one subscription.
#[derive(Clone, Debug)]
pub struct Fixture {
    pub external_id: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub locale: Option<String>,
    pub country: Option<String>,
    pub currency: String,
    pub plan: String,
    pub price_minor: i64,
    pub interval: Interval,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub subscription_id: Option<String>,
    pub quantity: u32,
    pub trial_end: Option<Timestamp>,
    pub past_due_since: Option<Timestamp>,
    /// How payments go; well, where it is not said.
    pub payment: Option<Payment>,
    pub attributes: BTreeMap<String, String>,
}

/// A price to switch to.
#[derive(Clone, Debug)]
pub struct FixturePrice {
    pub price_id: String,
    pub plan: String,
    pub name: String,
    pub amount: Money,
    pub interval: Interval,
    pub interval_count: u32,
}

/// What is to be put into the books.
#[derive(Clone, Debug, Default)]
pub struct Fixtures {
    pub rows: Vec<Fixture>,
    pub prices: Vec<FixturePrice>,
}

/// What was written, and which rows were not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub rows: u32,
    pub prices: u32,
    pub errors: Vec<(u32, FieldError)>,
}

impl Books {
    /// Writes rows and prices. Rows with wrong values are named, the others written.
    pub async fn import(&self, scope: &Scope, fixtures: Fixtures, now: Timestamp) -> store::Result<Imported> {
        self.import_telling(scope, fixtures, now, Vec::new()).await
    }

    /// The same with events, which ride with the first record.
    pub async fn import_telling(
        &self,
        scope: &Scope,
        fixtures: Fixtures,
        now: Timestamp,
        events: Vec<Outgoing>,
    ) -> store::Result<Imported> {
        let Fixtures { rows, prices } = fixtures;
        let mut imported = Imported::default();
        // Of rows about the same customer or subscription the last one counts, and is the one written.
        let (mut accounts, mut contracts, mut own) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (n, row) in (0..).zip(rows) {
            match read(row, now) {
                Err(error) => imported.errors.push((n, error)),
                Ok((account, contract)) => {
                    own.entry(contract.price_id.clone()).or_insert_with(|| tariff(&contract));
                    accounts.insert(id_of(scope, "customer", &account.external_id), account);
                    contracts.insert(id_of(scope, "subscription", &contract.external_id), contract);
                    imported.rows += 1;
                }
            }
        }
        let given: Vec<_> = prices
            .into_iter()
            .map(|p| {
                let FixturePrice { price_id, plan, name, amount, interval, interval_count } = p;
                let tariff = Tariff { price_id, plan, name, amount, interval, interval_count };
                (id_of(scope, "price", &tariff.price_id), tariff)
            })
            .collect();
        imported.prices = u32::try_from(given.len()).unwrap_or(u32::MAX);
        // The first row of a plan says its price in the catalogue; what is there already stays.
        let own = own.into_values().map(|t| (id_of(scope, "price", &t.price_id), t, Vec::new())).collect();
        for answer in self.tariffs.insert_many(scope, own).await? {
            match answer {
                Ok(()) | Err(store::Error::Duplicate(_)) => {}
                Err(e) => return Err(e),
            }
        }
        let (with_prices, with_rows) =
            if accounts.is_empty() { (events, Vec::new()) } else { (Vec::new(), events) };
        Self::write(&self.tariffs, scope, given, with_prices).await?;
        Self::write(&self.accounts, scope, accounts.into_iter().collect(), with_rows).await?;
        Self::write(&self.contracts, scope, contracts.into_iter().collect(), Vec::new()).await?;
        Ok(imported)
    }

    /// Gives a subscription a discount that is none of ours, as the company itself would.
    pub async fn grant_foreign(
        &self,
        scope: &Scope,
        subscription: &str,
        coupon: &str,
        cut: Cut,
        now: Timestamp,
    ) -> store::Result<()> {
        let read = self.contract(scope, subscription, now).await?;
        let mut body = read.body.clone();
        let id = kit::id::new("di");
        let (coupon, term) = (coupon.to_owned(), Term::Forever);
        body.grants.push(super::model::Grant { id, coupon, cut, term, start: now, end: None });
        self.contracts.replace(&read, body, Vec::new()).await?;
        Ok(())
    }
}

fn tariff(contract: &Contract) -> Tariff {
    Tariff {
        price_id: contract.price_id.clone(),
        plan: contract.plan.clone(),
        name: contract.plan.clone(),
        amount: contract.price,
        interval: contract.interval,
        interval_count: contract.interval_count,
    }
}

fn read(row: Fixture, now: Timestamp) -> Result<(Account, Contract), FieldError> {
    let currency = Currency::parse(&row.currency)
        .ok_or_else(|| FieldError::new("currency", "currency.unknown", "is no ISO 4217 currency"))?;
    if row.started_at > now {
        return Err(FieldError::new("started_at", "started_at.future", "must not lie in the future"));
    }
    if row.ended_at.is_some_and(|end| end < row.started_at) {
        return Err(FieldError::new("ended_at", "ended_at.before_start", "must not lie before started_at"));
    }
    let ended_at = row.ended_at.filter(|at| *at <= now);
    let (period_start, period_end) = period(row.started_at, row.interval, 1, ended_at.unwrap_or(now));
    let interval = match row.interval {
        Interval::Day => "day",
        Interval::Week => "week",
        Interval::Month => "month",
        Interval::Year => "year",
    };
    let account = Account {
        external_id: row.external_id.clone(),
        email: row.email,
        name: row.name,
        currency: Some(currency.as_str().to_owned()),
        locale: row.locale,
        country: row.country,
        since: row.started_at,
        attributes: row.attributes,
    };
    let mut contract = Contract {
        external_id: row.subscription_id.unwrap_or_else(|| format!("sub_{}", row.external_id)),
        customer: row.external_id,
        price_id: format!("{}-{interval}", row.plan),
        plan: row.plan,
        price: Money::new(row.price_minor, currency),
        quantity: row.quantity.max(1),
        interval: row.interval,
        interval_count: 1,
        started_at: row.started_at,
        anchor: row.started_at,
        trial_end: row.trial_end,
        trial_told: None,
        period_start,
        period_end,
        past_due_since: row.past_due_since,
        cancel_at: row.ended_at,
        ended_at,
        paused_at: None,
        resumes_at: None,
        next: None,
        grants: Vec::new(),
        credits: Vec::new(),
        payment: Payment::Ok,
        invoices: Vec::new(),
        reason: None,
        due_at: None,
        done: Vec::new(),
        news: Vec::new(),
    };
    // The first invoice comes when the trial ends.
    if let Some(end) = contract.trial_end.filter(|end| *end > now) {
        (contract.anchor, contract.period_end) = (end, end);
    }
    // What the running period was charged. Nothing is yet in a trial, and what is in arrears is not paid.
    if contract.trial_end.is_none_or(|end| end <= period_start) {
        contract.charge(period_start);
    }
    if let Some(since) = row.past_due_since {
        contract.owes(since, row.payment.is_some(), now);
    }
    contract.payment = row.payment.unwrap_or_default();
    contract.settle(now);
    // How it stands is told by the row; nobody was to hear of what led there.
    contract.news.clear();
    Ok((account, contract))
}
