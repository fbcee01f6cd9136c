//! Pieces on the wire.

use kit::Fault;
use kit::time::{from_proto, to_proto};
use proto::content as pb;
use proto::content::element::Props as Wired;

use super::model::{Action, Element, Picture, PictureSize, PlanColumn, Props};
use crate::rule::rpc::maybe_rule;
use crate::text::Format;
use crate::text::rpc::{maybe_text, text, to_text};
use crate::wire::{Wire, enum_of, enum_or, mirror, some};

mirror!(Action => pb::ButtonAction { Next, Accept, Decline, Cancel, Close, Link });

/// Reads a piece.
pub fn element(field: &str, given: pb::Element) -> Result<Element, Fault> {
    let pb::Element { key, visible_if, style, props } = given;
    let props = props.ok_or_else(|| Fault::field(field, "required", "a piece says what it is"))?;
    Ok(Element {
        key,
        props: read(field, props)?,
        visible_if: maybe_rule(&format!("{field}.visible_if"), visible_if)?,
        style: style.into_iter().collect(),
    })
}

fn read(field: &str, props: Wired) -> Result<Props, Fault> {
    let at = |name: &str| format!("{field}.{name}");
    Ok(match props {
        Wired::Heading(pb::HeadingElement { text: words, level }) => Props::Heading {
            text: text(&at("heading.text"), words)?,
            level: if level == 0 { 2 } else { level },
        },
        Wired::Text(pb::TextElement { text: words }) => Props::Text { text: text(&at("text.text"), words)? },
        // What is sent as a picture is not read: only publishing makes one.
        Wired::Image(pb::ImageElement { url, alt, media_id, picture: _ }) => {
            let alt = maybe_text(&at("image.alt"), alt)?;
            if media_id.is_empty() && (url.is_empty() || alt.is_none()) {
                let message = "a picture is one of the media, or has an address and words in its place";
                return Err(Fault::field(at("image"), "one_of", message));
            }
            let url = if media_id.is_empty() { url } else { String::new() };
            Props::Image { url, alt, media_id: some(media_id), picture: None }
        }
        Wired::Button(pb::ButtonElement { label, action, url }) => Props::Button {
            label: text(&at("button.label"), label)?,
            action: enum_of(&at("button.action"), action)?,
            url,
        },
        Wired::List(pb::ListElement { items, ordered }) => {
            let items = items.into_iter().enumerate();
            let items = items.map(|(i, t)| text(&at(&format!("list.items[{i}]")), Some(t)));
            Props::List { items: items.collect::<Result<_, _>>()?, ordered }
        }
        Wired::Divider(pb::DividerElement {}) => Props::Divider {},
        Wired::Countdown(pb::CountdownElement { label, until, attribute }) => {
            let until = until.as_ref().and_then(from_proto);
            if until.is_some() != attribute.is_empty() {
                let message = "a countdown has either an instant or an attribute";
                return Err(Fault::field(at("countdown"), "one_of", message));
            }
            Props::Countdown { label: text(&at("countdown.label"), label)?, until, attribute }
        }
        Wired::UsageStat(pb::UsageStatElement { attribute, format, label, fallback, min }) => {
            Props::UsageStat {
                attribute,
                format: enum_or(format, Format::Number),
                label: text(&at("usage_stat.label"), label)?,
                fallback: maybe_text(&at("usage_stat.fallback"), fallback)?,
                min,
            }
        }
        Wired::Testimonial(pb::TestimonialElement { quote, author, role }) => Props::Testimonial {
            quote: text(&at("testimonial.quote"), quote)?,
            author,
            role: maybe_text(&at("testimonial.role"), role)?,
        },
        Wired::OfferSlot(pb::OfferSlotElement { accept_label, decline_label }) => Props::OfferSlot {
            accept_label: maybe_text(&at("offer_slot.accept_label"), accept_label)?,
            decline_label: maybe_text(&at("offer_slot.decline_label"), decline_label)?,
        },
        Wired::QuestionSlot(pb::QuestionSlotElement { question }) => Props::QuestionSlot { question },
        Wired::PlanCompare(pb::PlanCompareElement { plans }) => {
            let plans = plans.into_iter().enumerate();
            let plans = plans.map(|(i, p)| column(&at(&format!("plan_compare.plans[{i}]")), p));
            Props::PlanCompare { plans: plans.collect::<Result<_, _>>()? }
        }
        Wired::Html(pb::HtmlElement { html }) => Props::Html { html: text(&at("html.html"), html)? },
        // What is sent as a copy is not read: only publishing makes one.
        Wired::Element(reference) => Props::Element { id: reference.id, copy: None },
    })
}

fn column(field: &str, given: pb::PlanColumn) -> Result<PlanColumn, Fault> {
    let pb::PlanColumn { name, price, features, current } = given;
    let features = features.into_iter().enumerate();
    Ok(PlanColumn {
        name: text(&format!("{field}.name"), name)?,
        price: maybe_text(&format!("{field}.price"), price)?,
        features: features
            .map(|(i, t)| text(&format!("{field}.features[{i}]"), Some(t)))
            .collect::<Result<_, _>>()?,
        current,
    })
}

impl From<Element> for pb::Element {
    fn from(element: Element) -> Self {
        let Element { key, props, visible_if, style } = element;
        Self {
            key,
            props: Some(props.into()),
            visible_if: visible_if.map(Into::into),
            style: style.into_iter().collect(),
        }
    }
}

impl From<Picture> for pb::Picture {
    fn from(picture: Picture) -> Self {
        let Picture { width, height, sizes } = picture;
        let sizes = sizes.into_iter().map(|PictureSize { url, width }| pb::PictureSize { url, width });
        Self { width, height, sizes: sizes.collect() }
    }
}

impl From<Props> for Wired {
    fn from(props: Props) -> Self {
        let all = |texts: Vec<_>| texts.into_iter().map(to_text).collect::<Vec<_>>();
        match props {
            Props::Heading { text, level } => {
                Self::Heading(pb::HeadingElement { text: Some(to_text(text)), level })
            }
            Props::Text { text } => Self::Text(pb::TextElement { text: Some(to_text(text)) }),
            Props::Image { url, alt, media_id, picture } => Self::Image(pb::ImageElement {
                url,
                alt: alt.map(to_text),
                media_id: media_id.unwrap_or_default(),
                picture: picture.map(Into::into),
            }),
            Props::Button { label, action, url } => {
                Self::Button(pb::ButtonElement { label: Some(to_text(label)), action: action.to_wire(), url })
            }
            Props::List { items, ordered } => Self::List(pb::ListElement { items: all(items), ordered }),
            Props::Divider {} => Self::Divider(pb::DividerElement {}),
            Props::Countdown { label, until, attribute } => Self::Countdown(pb::CountdownElement {
                label: Some(to_text(label)),
                until: until.map(to_proto),
                attribute,
            }),
            Props::UsageStat { attribute, format, label, fallback, min } => {
                Self::UsageStat(pb::UsageStatElement {
                    attribute,
                    format: format.to_wire(),
                    label: Some(to_text(label)),
                    fallback: fallback.map(to_text),
                    min,
                })
            }
            Props::Testimonial { quote, author, role } => Self::Testimonial(pb::TestimonialElement {
                quote: Some(to_text(quote)),
                author,
                role: role.map(to_text),
            }),
            Props::OfferSlot { accept_label, decline_label } => Self::OfferSlot(pb::OfferSlotElement {
                accept_label: accept_label.map(to_text),
                decline_label: decline_label.map(to_text),
            }),
            Props::QuestionSlot { question } => Self::QuestionSlot(pb::QuestionSlotElement { question }),
            Props::PlanCompare { plans } => {
                let plans = plans.into_iter().map(|PlanColumn { name, price, features, current }| {
                    let (name, price) = (Some(to_text(name)), price.map(to_text));
                    pb::PlanColumn { name, price, features: all(features), current }
                });
                Self::PlanCompare(pb::PlanCompareElement { plans: plans.collect() })
            }
            Props::Html { html } => Self::Html(pb::HtmlElement { html: Some(to_text(html)) }),
            Props::Element { id, copy } => {
                let copy = copy.map(|c| Box::new(pb::Element::from(*c)));
                Self::Element(Box::new(pb::ElementRef { id, copy }))
            }
        }
    }
}
