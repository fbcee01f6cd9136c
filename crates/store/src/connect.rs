//! The database of one service.

use std::time::Duration;

use anyhow::{Context, Result};
use bson::doc;
use kit::config::Data;
use mongodb::options::{ClientOptions, ReadConcern, WriteConcern};
use mongodb::{Client, Database};

/// Opens the database of a service (`billing-svc` → `{prefix}_billing`). Connects on first use; an address that cannot
/// be read fails here, a server that is down fails the first query and `/readyz`.
pub async fn connect(data: &Data, service: &str) -> Result<Database> {
    let mut options =
        ClientOptions::parse(&data.mongo_uri).await.context("failed to read RETENTION_MONGO_URI")?;
    options.app_name = Some(service.to_owned());
    options.server_selection_timeout = Some(Duration::from_secs(5));
    options.connect_timeout = Some(Duration::from_secs(3));
    options.max_pool_size = Some(64);
    options.retry_writes = Some(true);
    options.retry_reads = Some(true);
    options.write_concern = Some(WriteConcern::majority());
    options.read_concern = Some(ReadConcern::local());
    let client = Client::with_options(options)?;
    let name = format!("{}_{}", data.mongo_prefix, service.trim_end_matches("-svc"));
    Ok(client.database(&name))
}

/// Whether the database answers.
pub async fn ready(db: &Database) -> Result<()> {
    db.run_command(doc! { "ping": 1 }).await.context("the database does not answer")?;
    Ok(())
}
