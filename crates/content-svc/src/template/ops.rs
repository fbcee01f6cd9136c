//! What can be done with templates.

use std::sync::Arc;

use kit::{Caller, Code, Fault, Scope};

use super::model::{TemplateContent, TemplateHead};
use crate::cards::Cards;
use crate::error::Error;
use crate::versioned::{Frozen, Objects, Pin, View, publishable};

/// The templates.
#[derive(Clone)]
pub struct Templates {
    /// What is the same for every kind of content: reading, editing, rolling back, archiving.
    pub objects: Objects<TemplateContent>,
    pub cards: Cards,
}

impl Templates {
    pub fn new(objects: Objects<TemplateContent>, cards: Cards) -> Self {
        Self { objects, cards }
    }

    /// A new template, in draft.
    pub async fn create(
        &self,
        caller: &Caller,
        key: String,
        name: String,
        content: TemplateContent,
    ) -> Result<View<TemplateContent>, Error> {
        if !content.kind.is_supported() {
            let message = "mail, Slack and ticket templates are not offered yet";
            return Err(Fault::new(Code::Unsupported, "kind_not_supported_yet", message).into());
        }
        self.objects.create(caller, name, TemplateHead { key }, content).await
    }

    /// Freezes the draft, pins its cards at their published versions, and makes it the version in use.
    pub async fn publish(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        note: String,
    ) -> Result<View<TemplateContent>, Error> {
        let (read, content) = self.objects.to_publish(caller, id, version).await?;
        let cards = self.cards.objects.newest(&read.scope, &content.card_ids()).await?;
        let found = content.check(|id| cards.iter().find(|c| c.id == id).map(|c| &c.frozen.content));
        let warnings = publishable(found)?;
        let mut pins: Vec<Pin> = cards.iter().map(Pin::of).collect();
        // The query answers in an order of its own; equal content must give an equal hash.
        pins.sort_by(|a, b| a.id.cmp(&b.id));
        let frozen = Frozen::new(id, content, pins).map_err(Fault::internal)?;
        let view = self.objects.publish(caller, &read, None, frozen, note).await?;
        Ok(View { warnings, ..view })
    }

    /// A frozen version.
    pub async fn version(
        &self,
        scope: &Scope,
        id: &str,
        hash: &str,
    ) -> Result<Arc<Frozen<TemplateContent>>, Error> {
        self.objects.version(scope, id, hash).await
    }
}
