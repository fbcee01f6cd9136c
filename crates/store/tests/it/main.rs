mod cron;
mod grouped;
mod jobs;
mod lease;
mod outbox;
mod repo;
