//! The pictures of a card: which of the company's media they are, and what is frozen of them.

use kit::Scope;
use kit::locale::LocalText;
use store::Stored;

use super::model::CardContent;
use super::ops::Cards;
use crate::card_elements::{Picture, PictureSize, Props};
use crate::error::Error;
use crate::media::{Media, address};
use crate::text::Findings;

impl Cards {
    /// Puts the pictures of a card into it as they are now, and says which media they are. Kept pieces must have been
    /// copied in.
    pub(super) async fn fill_pictures(
        &self,
        scope: &Scope,
        content: &mut CardContent,
        found: &mut Findings,
    ) -> Result<Vec<Stored<Media>>, Error> {
        let (ids, urls) = named(content);
        let kept = self.media.ready(scope, &ids, &urls).await?;
        let locales = content.locales.clone();
        for (i, element) in content.elements.iter_mut().enumerate() {
            fill(element.resolved_mut(), &kept, &locales, &format!("elements[{i}].image"), found);
        }
        Ok(kept)
    }

    /// Makes the pictures of frozen content public, if all of them can be used.
    pub(super) async fn show_pictures(&self, scope: &Scope, content: &CardContent) -> Result<(), Error> {
        let mut content = content.clone();
        let mut found = Findings::default();
        let shown = self.fill_pictures(scope, &mut content, &mut found).await?;
        let missing =
            found.into_vec().into_iter().filter(|f| f.code.starts_with("media_")).collect::<Vec<_>>();
        if !missing.is_empty() {
            return Err(Error::NotPublishable(missing));
        }
        self.media.publish(scope, &shown).await
    }
}

/// The ids and addresses of a card's pictures.
fn named(content: &CardContent) -> (Vec<&str>, Vec<&str>) {
    let (mut ids, mut urls) = (Vec::new(), Vec::new());
    for piece in content.pieces() {
        match &piece.props {
            Props::Image { media_id: Some(id), .. } => ids.push(id.as_str()),
            Props::Image { url, .. } => urls.push(url.as_str()),
            _ => {}
        }
    }
    (ids, urls)
}

fn fill(props: &mut Props, kept: &[Stored<Media>], locales: &[String], field: &str, found: &mut Findings) {
    let Props::Image { url, alt, media_id, picture } = props else { return };
    match media_id {
        Some(id) => {
            let Some(media) = kept.iter().find(|m| m.id == *id) else {
                let message = format!("there is no media {id} that can be shown");
                found.error("media_missing", format!("{field}.media_id"), message);
                return;
            };
            if !media.body.is_picture() {
                let message = format!("{id} is a document: link to it with a button");
                found.error("media_not_a_picture", format!("{field}.media_id"), message);
                return;
            }
            *url = address(&media.body.hash);
            *picture = Some(frozen(&media.body));
            *alt = told(alt.take(), media.body.alt.as_ref(), locales);
        }
        None => {
            *picture = None;
            let hash = crate::media::hash_in(url);
            if url.starts_with("/m/")
                && !kept.iter().any(|m| m.body.hashes.iter().any(|h| Some(h.as_str()) == hash))
            {
                let message = format!("nothing of the company's is at {url}");
                found.error("media_missing", format!("{field}.url"), message);
            }
        }
    }
    if alt.is_none() {
        let message =
            "neither the element nor the media says what a reader is told who does not see the picture";
        found.error("alt_missing", format!("{field}.alt"), message);
    }
}

fn frozen(media: &Media) -> Picture {
    let sizes = media.variants.iter();
    Picture {
        width: media.width,
        height: media.height,
        sizes: sizes.map(|v| PictureSize { url: address(&v.hash), width: v.width }).collect(),
    }
}

/// What the element says; in the languages of the card where it says nothing, what the media says.
fn told(own: Option<LocalText>, of_media: Option<&LocalText>, locales: &[String]) -> Option<LocalText> {
    let Some(mut own) = own else { return of_media.cloned() };
    let Some(of_media) = of_media else { return Some(own) };
    for locale in locales {
        if !own.covers(locale) && of_media.covers(locale) {
            own.texts.insert(locale.clone(), of_media.get(locale).to_owned());
        }
    }
    Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_speaks_first_and_the_media_where_it_is_silent() {
        let mut media = LocalText::of("en", "Our team");
        media.texts.insert("de".into(), "Unser Team".into());
        let locales = ["en", "de", "fr"].map(String::from);
        let own = told(Some(LocalText::of("en", "We")), Some(&media), &locales).unwrap();
        assert_eq!((own.get("en"), own.get("de"), own.covers("fr")), ("We", "Unser Team", false));
        assert_eq!(told(None, Some(&media), &locales), Some(media));
        assert_eq!(told(None, None, &locales), None);
    }
}
