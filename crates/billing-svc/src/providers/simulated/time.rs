//! What time does to a subscription: everything that is due, one after the other in the order of its dates. Whether time
//! passes in one step or in many, the same happens, as each thing happens as of its own date.

use kit::Timestamp;

use super::model::Contract;
use super::news::News;
use super::period::period;
use crate::providers::Term;

/// How many days before its end a trial's end is announced.
const ANNOUNCED: i64 = 3;

/// When a trial's end is announced.
pub fn announced(trial_end: Timestamp) -> Timestamp {
    kit::time::add_days(trial_end, -ANNOUNCED)
}

/// What can be due. Of what is due at the same instant the first happens first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Resumes,
    DiscountEnds,
    TrialEndsSoon,
    Ends,
    TrialEnds,
    Renews,
    Retries,
}

impl Contract {
    /// Lets happen what was due by `now`. Looking more often changes nothing: it is the same as looking once.
    pub fn settle(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.first_due().filter(|(at, _)| *at <= now) {
            self.happen(due, at);
        }
        self.due_at = self.due();
    }

    /// When time next changes something.
    pub fn due(&self) -> Option<Timestamp> {
        self.first_due().map(|(at, _)| at)
    }

    fn first_due(&self) -> Option<(Timestamp, Due)> {
        if self.ended_at.is_some() {
            return None;
        }
        let soon = self.trial_end.filter(|end| self.trial_told != Some(*end)).map(announced);
        // A paused subscription has no periods, and nothing is collected for it. A trial has no period either.
        let runs = self.paused_at.is_none();
        let renews = Some(self.period_end).filter(|_| runs && self.trial_end.is_none());
        let retries = self.invoices.iter().filter_map(|i| i.retry_at).min().filter(|_| runs);
        let dates = [
            (self.resumes_at, Due::Resumes),
            (self.grants.iter().filter_map(|g| g.end).min(), Due::DiscountEnds),
            (soon, Due::TrialEndsSoon),
            (self.cancel_at, Due::Ends),
            (self.trial_end, Due::TrialEnds),
            (renews, Due::Renews),
            (retries, Due::Retries),
        ];
        dates.into_iter().filter_map(|(at, due)| Some((at?, due))).min()
    }

    fn happen(&mut self, due: Due, at: Timestamp) {
        match due {
            Due::Resumes => self.resume(at),
            Due::DiscountEnds => {
                self.grants.retain(|g| g.end.is_none_or(|end| end > at));
                self.tell("discount.ended", at);
            }
            Due::TrialEndsSoon => {
                self.trial_told = self.trial_end;
                self.tell("trial.will_end", at);
            }
            Due::Ends => {
                self.trial_end = self.trial_end.filter(|end| *end > at);
                self.end(at);
            }
            Due::TrialEnds => {
                self.trial_end = None;
                self.tell("trial.ended", at);
                // The first invoice, and the periods are counted from here; unless that invoice was put off further.
                if self.paused_at.is_none() && self.period_end <= at {
                    (self.anchor, self.period_end) = (at, at);
                    self.renew(at);
                }
            }
            Due::Renews => self.renew(at),
            Due::Retries => self.retry(at),
        }
    }

    /// The next period begins, with its invoice.
    fn renew(&mut self, at: Timestamp) {
        self.begin_period();
        self.charge(at);
        // The invoice that opens the period uses up what was for one invoice.
        self.grants.retain(|g| g.term != Term::Once);
    }

    fn begin_period(&mut self) {
        let begins = self.period_end;
        match self.next.take() {
            Some(tariff) => self.move_to(tariff, begins),
            None => {
                (self.period_start, self.period_end) =
                    period(self.anchor, self.interval, self.interval_count, begins);
            }
        }
    }

    /// Ends a pause. Periods that would have begun in it cost nothing; the next one to begin does.
    pub fn resume(&mut self, at: Timestamp) {
        self.resumes_at = None;
        if self.paused_at.take().is_none() {
            return;
        }
        while self.period_end <= at && self.cancel_at != Some(self.period_end) && self.trial_end.is_none() {
            self.begin_period();
        }
        for invoice in &mut self.invoices {
            invoice.retry_at = invoice.retry_at.map(|retry| retry.max(at));
        }
        self.tell("subscription.resumed", at);
    }

    /// It ends.
    pub fn end(&mut self, at: Timestamp) {
        self.ended_at = Some(at);
        self.tell("subscription.ended", at);
    }

    fn tell(&mut self, name: &'static str, at: Timestamp) {
        let id = format!("{name}:{}:{}", self.external_id, at.as_millisecond());
        let news = News::of(self, id, name, at);
        self.news.push(news);
    }
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
