//! The database handle, for writes of several records that must agree.

/// What `store::transaction` runs on; knows no collection.
#[derive(Clone)]
pub struct Db(mongodb::Database);

impl Db {
    pub fn new(db: mongodb::Database) -> Self {
        Self(db)
    }

    pub fn handle(&self) -> &mongodb::Database {
        &self.0
    }
}
