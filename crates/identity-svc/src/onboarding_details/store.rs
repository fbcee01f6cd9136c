//! The queries of onboarding. An onboarding stands where its company does, in the installation's scope under the
//! company's id, so that operators can page through all of them.

use bson::{Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Onboarding, State};

impl Record for Onboarding {
    const COLLECTION: &'static str = "onboardings";
    const NOUN: &'static str = "onboarding";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.state", "-_id"]), Index::on(&["body.expert_id", "-_id"])]
    }
}

#[derive(Clone)]
pub struct OnboardingStore {
    onboardings: Repo<Onboarding>,
}

impl OnboardingStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { onboardings: Repo::open(db, clock).await? })
    }

    pub async fn find(&self, company: &str) -> Result<Option<Stored<Onboarding>>, store::Error> {
        self.onboardings.find(&Scope::platform(), doc! { "_id": company }).await
    }

    pub async fn insert(&self, company: &str, new: Onboarding) -> Result<Stored<Onboarding>, store::Error> {
        self.onboardings.insert(&Scope::platform(), company.to_owned(), new, Vec::new()).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Onboarding>,
        next: Onboarding,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Onboarding>, store::Error> {
        self.onboardings.replace(read, next, events).await
    }

    /// Newest company first.
    pub async fn list(
        &self,
        state: Option<State>,
        expert: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Onboarding>>, store::Error> {
        let mut filter = Document::new();
        if let Some(state) = state {
            filter.insert("body.state", state.as_str());
        }
        if let Some(expert) = expert {
            filter.insert("body.expert_id", expert);
        }
        self.onboardings.list(&Scope::platform(), filter, Sort::Newest, page).await
    }
}
