//! Who uses a picture: drafts, what is published, and what that was published with. A page keeps the card as it was when
//! the page was published, and a workflow its pages: so the picture of a card's older version may still be seen.

use std::collections::HashSet;

use kit::{Caller, Code, Fault, Scope};
use store::Stored;

use super::model::{Media, Use, address};
use crate::card_elements::CardElements;
use crate::cards::Cards;
use crate::error::Error;
use crate::template::Templates;
use crate::versioned::{Content, StoredObject};
use crate::workflow::Workflows;

/// Where an element of a card names a picture, and where the copy of a kept piece does.
const PLACES: [&str; 2] = ["elements.props.image", "elements.props.element.copy.props.image"];

/// The rooms that can use a picture.
#[derive(Clone)]
pub struct Uses {
    pub elements: CardElements,
    pub cards: Cards,
    pub templates: Templates,
    pub workflows: Workflows,
}

impl Uses {
    /// Every place, drafts first.
    pub async fn of(&self, scope: &Scope, media: &Stored<Media>) -> Result<Vec<Use>, Error> {
        let urls: Vec<String> = media.body.hashes.iter().map(|hash| address(hash)).collect();
        let named = |place: &str| {
            [(format!("{place}.media_id"), vec![media.id.clone()]), (format!("{place}.url"), urls.clone())]
        };
        let in_card: Vec<_> = PLACES.iter().flat_map(|place| named(place)).collect();
        let mut uses = Vec::new();
        for element in self.elements.naming(scope, &named("body.element.props.image")).await? {
            uses.push(Use {
                kind: "card_element",
                id: element.id,
                name: element.body.name,
                published: false,
            });
        }
        let versions = self.cards.objects.frozen_naming(scope, &in_card).await?;
        for card in self.cards.objects.naming(scope, &in_card).await? {
            let published = is_live(&card, &versions);
            uses.push(Use { kind: "card", id: card.id, name: card.body.name, published });
        }
        let pages = self.templates.objects.frozen_pinning(scope, &versions).await?;
        for page in self.templates.objects.live_as(scope, &pages).await? {
            uses.push(Use { kind: "template", id: page.id, name: page.body.name, published: true });
        }
        let flows = self.workflows.objects.frozen_pinning(scope, &pages).await?;
        for flow in self.workflows.objects.live_as(scope, &flows).await? {
            uses.push(Use { kind: "workflow", id: flow.id, name: flow.body.name, published: true });
        }
        Ok(uses)
    }

    /// Refuses where it is used.
    pub async fn none(&self, caller: &Caller, media: &Stored<Media>) -> Result<(), Error> {
        let uses = self.of(caller.scope()?, media).await?;
        let Some(first) = uses.first() else { return Ok(()) };
        let more = match uses.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let text = format!("{} {} uses it{more}", first.kind, first.id);
        Err(Fault::new(Code::Refused, "media_in_use", text).into())
    }
}

fn is_live<C: Content>(object: &StoredObject<C>, hashes: &HashSet<String>) -> bool {
    object.body.release().is_some_and(|r| hashes.contains(&r.hash))
}
