//! What can be done with questionnaires.

use std::sync::Arc;

use kit::{Caller, Scope};

use super::model::QuestionnaireContent;
use super::responses::Responses;
use crate::error::Error;
use crate::versioned::{Frozen, Objects, Published, View, publishable};

/// The questionnaires.
#[derive(Clone)]
pub struct Questionnaires {
    /// What is the same for every kind of content: reading, editing, rolling back, archiving.
    pub objects: Objects<QuestionnaireContent>,
    /// What was answered.
    pub responses: Responses,
}

impl Questionnaires {
    pub fn new(objects: Objects<QuestionnaireContent>, responses: Responses) -> Self {
        Self { objects, responses }
    }

    /// Freezes the draft and makes it the version in use.
    pub async fn publish(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        note: String,
    ) -> Result<View<QuestionnaireContent>, Error> {
        let (read, content) = self.objects.to_publish(caller, id, version).await?;
        let warnings = publishable(content.check())?;
        let frozen = Frozen::new(id, content, Vec::new()).map_err(kit::Fault::internal)?;
        let view = self.objects.publish(caller, &read, None, frozen, note).await?;
        Ok(View { warnings, ..view })
    }

    /// The version in use, read now.
    pub async fn newest(
        &self,
        scope: &Scope,
        id: &str,
    ) -> Result<Option<Published<QuestionnaireContent>>, Error> {
        Ok(self.objects.newest(scope, &[id]).await?.pop())
    }

    /// A frozen version.
    pub async fn version(
        &self,
        scope: &Scope,
        id: &str,
        hash: &str,
    ) -> Result<Arc<Frozen<QuestionnaireContent>>, Error> {
        self.objects.version(scope, id, hash).await
    }
}
