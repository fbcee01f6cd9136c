//! What can be done with cards.

use std::collections::HashMap;
use std::sync::Arc;

use kit::{Caller, Scope};

use super::model::CardContent;
use crate::card_elements::{CardElements, Element, Props, admitted};
use crate::error::Error;
use crate::media::MediaRoom;
use crate::offers::Offers;
use crate::questionnaire::Questionnaires;
use crate::text::Findings;
use crate::versioned::{Frozen, Objects, Pin, View, publishable};

/// The cards.
#[derive(Clone)]
pub struct Cards {
    /// What is the same for every kind of content: reading, editing, rolling back, archiving.
    pub objects: Objects<CardContent>,
    elements: CardElements,
    pub questionnaires: Questionnaires,
    pub media: MediaRoom,
    offers: Arc<dyn Offers>,
}

impl Cards {
    pub fn new(
        objects: Objects<CardContent>,
        elements: CardElements,
        questionnaires: Questionnaires,
        media: MediaRoom,
        offers: Arc<dyn Offers>,
    ) -> Self {
        Self { objects, elements, questionnaires, media, offers }
    }

    /// Content as it may be saved by this caller.
    pub fn admitted(&self, caller: &Caller, mut content: CardContent) -> Result<CardContent, Error> {
        let pieces = content.elements.into_iter().map(|e| match &e.props {
            Props::Element { .. } => Ok(e),
            _ => admitted(caller, e),
        });
        content.elements = pieces.collect::<Result<_, _>>()?;
        Ok(content)
    }

    /// Freezes the draft, with copies of the kept pieces it holds, and makes it the version in use.
    pub async fn publish(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        note: String,
    ) -> Result<View<CardContent>, Error> {
        let (read, mut content) = self.objects.to_publish(caller, id, version).await?;
        let mut found = Findings::default();
        self.copy_pieces(&read.scope, &mut content, &mut found).await?;
        let shown = self.fill_pictures(&read.scope, &mut content, &mut found).await?;
        let mut pins = Vec::new();
        let mut questionnaire = None;
        if let Some(asked) = &content.questionnaire_id {
            match self.questionnaires.newest(&read.scope, asked).await? {
                Some(published) => {
                    pins.push(Pin::of(&published));
                    questionnaire = Some(published.frozen);
                }
                None => found.error(
                    "questionnaire_not_published",
                    "questionnaire_id",
                    format!("questionnaire {asked} is not published"),
                ),
            }
        }
        if let Some(offer) = &content.offer_id
            && !self.offers.look_up(caller, &[offer]).await?.contains_key(offer)
        {
            found.error("offer_missing", "offer_id", format!("there is no offer {offer}"));
        }
        found.extend(content.check(questionnaire.as_ref().map(|q| &q.content)));
        let warnings = publishable(found)?;
        let frozen = Frozen::new(id, content, pins).map_err(kit::Fault::internal)?;
        self.media.publish(&read.scope, &shown).await?;
        let view = self.objects.publish(caller, &read, None, frozen, note).await?;
        Ok(View { warnings, ..view })
    }

    /// Makes a copy of an old version the one in use, if what it shows is still there.
    pub async fn rollback(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        number: u32,
        note: String,
    ) -> Result<View<CardContent>, Error> {
        let scope = caller.scope()?;
        let old = self.objects.numbered(scope, id, number).await?;
        self.show_pictures(scope, &old.content).await?;
        self.objects.rollback(caller, id, version, number, note).await
    }

    /// The working copy with copies of the kept pieces it holds, as publishing would freeze it today; nothing is kept.
    pub async fn as_it_stands(
        &self,
        scope: &Scope,
        id: &str,
        found: &mut Findings,
    ) -> Result<CardContent, Error> {
        let mut content = self.objects.working(scope, id).await?;
        self.copy_pieces(scope, &mut content, found).await?;
        self.fill_pictures(scope, &mut content, found).await?;
        Ok(content)
    }

    async fn copy_pieces(
        &self,
        scope: &Scope,
        content: &mut CardContent,
        found: &mut Findings,
    ) -> Result<(), Error> {
        let kept = self.elements.several(scope, &content.element_ids()).await?;
        let kept: HashMap<&str, &Element> = kept.iter().map(|k| (k.id.as_str(), &k.body.element)).collect();
        for (i, element) in content.elements.iter_mut().enumerate() {
            let Props::Element { id, copy } = &mut element.props else { continue };
            *copy = kept.get(id.as_str()).map(|e| Box::new(Element::clone(e)));
            if copy.is_none() {
                let message = format!("there is no card element {id}, or it is archived");
                found.error("element_missing", format!("elements[{i}].element.id"), message);
            }
        }
        Ok(())
    }

    /// A frozen version.
    pub async fn version(
        &self,
        scope: &Scope,
        id: &str,
        hash: &str,
    ) -> Result<Arc<Frozen<CardContent>>, Error> {
        self.objects.version(scope, id, hash).await
    }

    /// The cards whose working copy or version in use holds a kept piece: id and name.
    pub async fn holding_element(&self, caller: &Caller, id: &str) -> Result<Vec<(String, String)>, Error> {
        let found = self.objects.holding(caller.scope()?, "elements.props.element.id", id).await?;
        Ok(found.into_iter().map(|c| (c.id, c.body.name)).collect())
    }
}
