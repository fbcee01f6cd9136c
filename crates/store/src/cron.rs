//! What runs by the clock: one run per due time, however many replicas look at it. A time that passed while nobody was
//! there runs once, when somebody is. A run that died is begun again when its lease ends, so a run must bear that.

use std::time::Duration;

use anyhow::Context;
use bson::doc;
use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use jiff::SignedDuration;
use kit::{Scope, SharedClock, Timestamp};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Error, Record, Repo, Result, time};

/// How often the clock is looked at. The database is asked only when something is due.
const POLL: Duration = Duration::from_secs(1);
/// How long a run may be silent before another replica begins it again.
const TERM: SignedDuration = SignedDuration::from_secs(60);
/// How often the lease of a run is renewed.
const RENEW: Duration = Duration::from_secs(15);

/// A schedule as it is stored. Its id is its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Minute, hour, day of month, month, day of week and, if not UTC, a time zone.
    pub expression: String,
    /// When it runs next.
    #[serde(with = "time")]
    pub due_at: Timestamp,
    /// Nobody else may begin the due run before this.
    #[serde(with = "time")]
    pub leased_until: Timestamp,
    /// Rises with each run that is begun; only the last beginner may end it.
    pub token: i64,
    #[serde(default, with = "time::option")]
    pub last_run_at: Option<Timestamp>,
    pub last_error: Option<String>,
}

impl Record for Schedule {
    const COLLECTION: &'static str = "cron_jobs";
    const NOUN: &'static str = "cron job";
}

/// Reads an expression; without a zone it is UTC.
pub fn parse(expression: &str) -> anyhow::Result<Crontab> {
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::UTC;
    cronexpr::parse_crontab_with(expression, options)
        .map_err(|e| anyhow::anyhow!("failed to read the schedule {expression}: {e}"))
}

fn next(crontab: &Crontab, now: Timestamp) -> anyhow::Result<Timestamp> {
    let next = MakeTimestamp::from_millisecond(now.as_millisecond()).and_then(|at| crontab.find_next(at));
    Ok(next.map_err(|e| anyhow::anyhow!("a schedule without a next time: {e}"))?.timestamp())
}

/// Runs `work` at the times of `expression` until stopped; `work` gets the time it was due at. A task of the service.
pub async fn every<F, Fut>(
    db: Database,
    clock: SharedClock,
    key: &'static str,
    expression: &'static str,
    work: F,
    stop: CancellationToken,
) -> anyhow::Result<()>
where
    F: Fn(Timestamp) -> Fut + Send + Sync,
    Fut: Future<Output = anyhow::Result<()>> + Send,
{
    let crontab = parse(expression)?;
    let mut cron = Cron { repo: None, db, clock, key, expression, crontab };
    // Not known yet: the first look asks the database.
    let mut due = Timestamp::MIN;
    while !stop.is_cancelled() {
        if cron.clock.now() >= due {
            match cron.look(&work).await {
                Ok(next) => due = next,
                Err(e) => tracing::warn!(cron = key, error = %format!("{e:#}"), "{key} waits: {e:#}"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    Ok(())
}

struct Cron {
    repo: Option<Repo<Schedule>>,
    db: Database,
    clock: SharedClock,
    key: &'static str,
    expression: &'static str,
    crontab: Crontab,
}

impl Cron {
    /// Runs what is due, if nobody else does; answers when to look again.
    async fn look<F, Fut>(&mut self, work: &F) -> anyhow::Result<Timestamp>
    where
        F: Fn(Timestamp) -> Fut,
        Fut: Future<Output = anyhow::Result<()>>,
    {
        let repo = match &self.repo {
            Some(repo) => repo.clone(),
            None => self.repo.insert(Repo::open(&self.db, self.clock.clone()).await?).clone(),
        };
        let schedule = self.stored(&repo).await.context("failed to read the schedule")?;
        let now = self.clock.now();
        if schedule.due_at > now {
            return Ok(schedule.due_at);
        }
        let Some(begun) = self.begin(&repo, now).await? else {
            // Another replica runs it, and may die of it.
            return Ok(now);
        };
        let token = begun.token;
        let span = tracing::info_span!(parent: None, "cron", cron = self.key, due = %begun.due_at);
        let Some(outcome) = self.run(&repo, token, work(begun.due_at)).instrument(span).await else {
            return Ok(self.clock.now());
        };
        let error = outcome.err().map(|e| format!("{e:#}"));
        if let Some(error) = &error {
            // Not tried again before its next time: whoever cannot wait that long makes it a job.
            tracing::error!(cron = self.key, error, "{} failed: {error}", self.key);
        }
        // From now, not from when it was due: of several missed times one run is enough.
        let due = next(&self.crontab, self.clock.now())?;
        let set = doc! {
            "body.due_at": time::to_bson(due),
            "body.last_run_at": time::to_bson(now),
            "body.leased_until": time::to_bson(now),
            "body.last_error": error,
        };
        let guard = doc! { "body.token": token };
        repo.update(&Scope::platform(), self.key, guard, doc! { "$set": set }, Vec::new()).await?;
        Ok(due)
    }

    /// The schedule, made where it is missing and changed where its expression has.
    async fn stored(&self, repo: &Repo<Schedule>) -> anyhow::Result<Schedule> {
        let (scope, now) = (Scope::platform(), self.clock.now());
        let due_at = next(&self.crontab, now)?;
        let found = match repo.get(&scope, self.key).await {
            Ok(found) => found.body,
            Err(Error::NotFound(_)) => {
                let new = Schedule {
                    expression: self.expression.to_owned(),
                    due_at,
                    leased_until: now,
                    token: 0,
                    last_run_at: None,
                    last_error: None,
                };
                match repo.insert(&scope, self.key.to_owned(), new, Vec::new()).await {
                    Ok(made) => made.body,
                    // Another replica was first.
                    Err(Error::Duplicate(_)) => repo.get(&scope, self.key).await?.body,
                    Err(other) => return Err(other.into()),
                }
            }
            Err(other) => return Err(other.into()),
        };
        if found.expression == self.expression {
            return Ok(found);
        }
        let guard = doc! { "body.expression": &found.expression };
        let set =
            doc! { "$set": { "body.expression": self.expression, "body.due_at": time::to_bson(due_at) } };
        repo.update(&scope, self.key, guard, set, Vec::new()).await?;
        Ok(repo.get(&scope, self.key).await?.body)
    }

    async fn begin(&self, repo: &Repo<Schedule>, now: Timestamp) -> Result<Option<Schedule>> {
        let guard = doc! {
            "body.due_at": { "$lte": time::to_bson(now) },
            "body.leased_until": { "$lte": time::to_bson(now) },
        };
        let update =
            doc! { "$set": { "body.leased_until": self.leased(now) }, "$inc": { "body.token": 1_i64 } };
        let begun = repo.update(&Scope::platform(), self.key, guard, update, Vec::new()).await?;
        Ok(begun.map(|schedule| schedule.body))
    }

    /// Does the work, renewing the lease meanwhile; `None` when another replica has begun it again.
    async fn run(
        &self,
        repo: &Repo<Schedule>,
        token: i64,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> Option<anyhow::Result<()>> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = tokio::time::sleep(RENEW) => {
                    let update = doc! { "$set": { "body.leased_until": self.leased(self.clock.now()) } };
                    let guard = doc! { "body.token": token };
                    // A database that does not answer is asked again in the next round.
                    if let Ok(None) = repo.update(&Scope::platform(), self.key, guard, update, Vec::new()).await {
                        tracing::warn!(cron = self.key, "{} was begun again elsewhere; left off", self.key);
                        return None;
                    }
                }
            }
        }
    }

    fn leased(&self, now: Timestamp) -> bson::DateTime {
        time::to_bson(now.checked_add(TERM).unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_keeps_to_the_clock_of_its_zone() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let nightly = parse("30 2 * * * Europe/Berlin").unwrap();
        // In winter 02:30 there is 01:30 UTC, in summer 00:30.
        assert_eq!(next(&nightly, at("2026-01-10T12:00:00Z")).unwrap(), at("2026-01-11T01:30:00Z"));
        assert_eq!(next(&nightly, at("2026-07-10T12:00:00Z")).unwrap(), at("2026-07-11T00:30:00Z"));
        assert_eq!(
            next(&parse("*/5 * * * *").unwrap(), at("2026-01-10T12:00:00Z")).unwrap(),
            at("2026-01-10T12:05:00Z")
        );
        assert!(parse("every now and then").is_err());
    }
}
