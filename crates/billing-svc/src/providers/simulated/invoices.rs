//! What a subscription is charged, and whether the money comes in.

use kit::{Money, Timestamp};

use super::acts::{No, refused};
use super::model::{Contract, Invoice, Payment, Refund};
use super::news::News;
use crate::providers::mrr;

/// How many invoices a subscription remembers.
const INVOICES: usize = 24;
/// How many days after a try the next one comes: on days 3, 5 and 7. When the last fails, too, the subscription ends.
const RETRIES: [i64; 3] = [3, 2, 2];

impl Contract {
    /// Writes the invoice of the period that begins then: from credit, and what is left is collected.
    pub fn charge(&mut self, at: Timestamp) {
        let running = self.grants.iter().filter(|g| g.end.is_none_or(|end| end > at)).map(|g| g.cut);
        let amount = mrr::invoice(self.price, self.quantity, running);
        let id = match self.invoices.iter().filter(|i| i.at == at).count() {
            0 => format!("in_{}_{}", self.external_id, at.as_second()),
            n => format!("in_{}_{}_{}", self.external_id, at.as_second(), n + 1),
        };
        let mut invoice = Invoice { at, ..Invoice::new(id, amount) };
        invoice.credited = self.take_from_credit(amount.minor);
        self.invoices.push(invoice);
        if self.invoices.len() > INVOICES {
            self.invoices.remove(0);
        }
        self.collect(self.invoices.len() - 1, at);
    }

    /// Takes up to so much from what the customer was given, oldest first.
    fn take_from_credit(&mut self, amount: i64) -> i64 {
        let mut left = amount;
        for credit in &mut self.credits {
            let taken = left.min(credit.amount.minor - credit.used).max(0);
            credit.used += taken;
            left -= taken;
        }
        amount - left
    }

    /// Tries to collect one invoice.
    fn collect(&mut self, nth: usize, at: Timestamp) {
        let works = self.payment.works_at(at);
        let Some(invoice) = self.invoices.get_mut(nth) else { return };
        let first = invoice.attempts == 0;
        invoice.attempts += 1;
        let goes = works || invoice.amount.minor <= invoice.credited;
        if goes {
            (invoice.paid_at, invoice.retry_at) = (Some(at), None);
        } else {
            let tried = usize::try_from(invoice.attempts).unwrap_or(usize::MAX) - 1;
            invoice.retry_at = RETRIES.get(tried).map(|days| kit::time::add_days(at, *days));
        }
        let name = match (goes, first) {
            (true, true) => "payment.succeeded",
            (true, false) => "payment.recovered",
            (false, _) => "payment.failed",
        };
        let given_up = !goes && invoice.retry_at.is_none();
        let told =
            (format!("{name}:{}:{}", invoice.id, invoice.attempts), invoice.id.clone(), invoice.amount);
        if goes {
            self.past_due_since = self.past_due_since.filter(|_| self.invoices.iter().any(Invoice::is_open));
        } else {
            self.past_due_since.get_or_insert(at);
        }
        let (id, invoice, amount) = told;
        let news = News::of(self, id, name, at);
        self.news.push(News { invoice: Some(invoice), amount: Some(amount), ..news });
        if given_up {
            self.reason = Some("payment_failed".into());
            self.end(at);
        }
    }

    /// Tries the first payment that is to be tried again then.
    pub fn retry(&mut self, at: Timestamp) {
        if let Some(nth) = self.invoices.iter().position(|i| i.retry_at.is_some_and(|retry| retry <= at)) {
            self.collect(nth, at);
        }
    }

    /// Payments go like this from now on. Where they go well, what is open is collected at once.
    pub fn pays(&mut self, payment: Payment, now: Timestamp) {
        self.payment = payment;
        if self.ended_at.is_none() && self.payment.works_at(now) {
            let open = (0..self.invoices.len()).filter(|n| self.invoices[*n].is_open()).collect::<Vec<_>>();
            open.into_iter().for_each(|nth| self.collect(nth, now));
            self.past_due_since = self.past_due_since.filter(|_| self.invoices.iter().any(Invoice::is_open));
        }
        self.due_at = self.due();
    }

    /// An invoice that was in arrears when we began to keep these books: unpaid since then, and tried again by the days
    /// that are still to come.
    pub fn owes(&mut self, since: Timestamp, tried_again: bool, now: Timestamp) {
        self.past_due_since = Some(since);
        for invoice in &mut self.invoices {
            (invoice.paid_at, invoice.attempts) = (None, 1);
            invoice.retry_at = None;
            let mut at = since;
            for days in RETRIES.iter().filter(|_| tried_again) {
                at = kit::time::add_days(at, *days);
                if at > now {
                    invoice.retry_at = Some(at);
                    break;
                }
                invoice.attempts += 1;
            }
        }
    }

    pub fn refund(
        &mut self,
        amount: Money,
        not_before: Timestamp,
        key: &str,
        now: Timestamp,
    ) -> Result<String, No> {
        let paid = |i: &&mut Invoice| i.paid_at.is_some_and(|at| at >= not_before);
        let newest = self.invoices.iter_mut().rev().find(|i| i.paid_at.is_some()).filter(paid);
        let fits = |i: &&mut Invoice| {
            i.amount.currency == amount.currency && amount.minor > 0 && i.left() >= amount.minor
        };
        let Some(invoice) = newest.filter(fits) else {
            return Err(refused("nothing_to_refund", "no invoice was paid of which so much is left"));
        };
        let id = kit::id::new("re");
        invoice.refunds.push(Refund { id: id.clone(), key: key.into(), amount, at: now });
        Ok(id)
    }
}
