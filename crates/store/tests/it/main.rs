mod outbox;
mod repo;
