//! Pictures from their upload to a published page, and out of use again.

use bytes::Bytes;
use content_svc::Error;
use content_svc::card_elements::Props;
use content_svc::cards::{CardAccess, CardContent, CardHead, CardKind};
use content_svc::media::{Asked, Head, Media, Part, State};
use content_svc::versioned::Which;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::SignedDuration;
use kit::{Caller, Coded, Mode, PageRequest, Role};
use store::Stored;

use crate::world::{World, card, element, heading, person, template, text};

/// A PNG of one colour, by hand: what a decoder of somebody else's must read.
pub fn png(width: u32, height: u32, grey: u8) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let step = |crc: u32, byte: &u8| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
        };
        !bytes.iter().fold(u32::MAX, step)
    };
    let chunk = |kind: &[u8], body: &[u8]| {
        let named = [kind, body].concat();
        [&(body.len() as u32).to_be_bytes()[..], &named, &crc(&named).to_be_bytes()].concat()
    };
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let mut raw = Vec::new();
    for y in 0..height {
        raw.push(0);
        // Some noise, so that it does not pack away to nothing.
        raw.extend((0..width).map(|x| grey ^ (x.wrapping_mul(31) ^ y.wrapping_mul(17)) as u8));
    }
    // Stored, not packed (RFC 1950 and 1951).
    let mut packed = vec![0x78, 0x01];
    for (i, block) in raw.chunks(65_535).enumerate() {
        let last = (i + 1) * 65_535 >= raw.len();
        let length = block.len() as u16;
        packed.push(u8::from(last));
        packed.extend(length.to_le_bytes());
        packed.extend((!length).to_le_bytes());
        packed.extend(block);
    }
    let adler = raw.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    packed.extend(((adler.1 << 16) | adler.0).to_be_bytes());
    let body = [chunk(b"IHDR", &head), chunk(b"IDAT", &packed), chunk(b"IEND", b"")].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), body].concat()
}

fn head(name: &str, declared: &str) -> Head {
    Head { name: name.into(), declared: declared.into(), alt: Some(text("Our team")) }
}

fn parts(
    bytes: &[u8],
    last: Vec<Part>,
) -> impl futures_util::Stream<Item = Result<Part, tonic::Status>> + Unpin {
    let chunks = bytes.chunks(10_000).map(|c| Part::Chunk(Bytes::copy_from_slice(c))).collect::<Vec<_>>();
    stream::iter(chunks.into_iter().chain(last).map(Ok).collect::<Vec<_>>())
}

fn whole(bytes: &[u8]) -> impl futures_util::Stream<Item = Result<Part, tonic::Status>> + Unpin {
    parts(bytes, vec![Part::Scanning, Part::End])
}

async fn upload(w: &World, bytes: &[u8]) -> Stored<Media> {
    w.rooms.media.upload(&w.admin, head("team.png", "image/png"), whole(bytes)).await.unwrap()
}

async fn refused(w: &World, declared: &str, bytes: &[u8]) -> &'static str {
    let taken = w.rooms.media.upload(&w.admin, head("file", declared), whole(bytes)).await;
    taken.unwrap_err().code().1
}

fn picture(id: &str) -> CardContent {
    let image = Props::Image { url: String::new(), alt: None, media_id: Some(id.into()), picture: None };
    card(CardKind::Value, vec![heading("Hello"), element(image)])
}

async fn read(w: &World, hash: &str, asked: Asked) -> Result<Vec<u8>, Error> {
    let opened = w.rooms.media.open(hash, asked).await?;
    let body = opened.body.unwrap_or_else(|| stream::empty().boxed());
    Ok(body.try_collect::<Vec<_>>().await.unwrap().concat())
}

#[tokio::test]
async fn a_picture_is_kept_once_with_its_size_and_smaller_ones() {
    let w = World::new().await;
    let bytes = png(800, 400, 90);
    let media = upload(&w, &bytes).await;
    assert_eq!(media.body.state, State::Ready);
    assert_eq!(
        (media.body.width, media.body.height, media.body.content_type.as_str()),
        (800, 400, "image/png")
    );
    assert_eq!(media.body.bytes, bytes.len() as i64);
    let sizes: Vec<_> = media.body.variants.iter().map(|v| (v.width, v.height)).collect();
    assert_eq!(sizes, [(320, 160), (640, 320)]);
    let again = upload(&w, &bytes).await;
    assert_eq!((again.id.as_str(), again.version), (media.id.as_str(), media.version), "the same bytes");
    let small = png(40, 40, 1);
    let (a, b) = tokio::join!(upload(&w, &small), upload(&w, &small));
    assert_eq!(a.id, b.id, "at the same time, too");
    let other = person(Role::RetAdmin, "com_2", Mode::Live);
    let theirs = w.rooms.media.upload(&other, head("x", ""), whole(&bytes)).await.unwrap();
    assert_ne!(theirs.id, media.id, "another company's is another's");
    let page = w.rooms.media.list(&w.admin, None, &PageRequest::new(10, "")).await.unwrap();
    assert_eq!(page.items.len(), 2, "nothing is left of those that were there already");
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_written_down() {
    let w = World::new().await;
    let whole_png = png(20, 20, 0);
    assert_eq!(refused(&w, "image/svg+xml", b"<svg onload=\"alert(1)\"/>").await, "svg_not_accepted");
    assert_eq!(refused(&w, "text/html", b"<!doctype html>").await, "media_type_not_accepted");
    assert_eq!(refused(&w, "image/jpeg", &whole_png).await, "content_type_mismatch");
    assert_eq!(refused(&w, "image/png", &whole_png[..60]).await, "not_a_picture");
    let found = parts(&whole_png, vec![Part::Scanning, Part::Rejected("malware_found".into())]);
    let found = w.rooms.media.upload(&w.admin, head("x", ""), found).await.unwrap_err();
    assert_eq!(found.code().1, "malware_found");
    let rejected =
        w.rooms.media.list(&w.admin, Some(State::Rejected), &PageRequest::new(10, "")).await.unwrap();
    let mut why: Vec<_> = rejected.items.iter().map(|m| m.body.rejection.clone()).collect();
    why.sort();
    let expected = [
        "content_type_mismatch",
        "malware_found",
        "media_type_not_accepted",
        "not_a_picture",
        "svg_not_accepted",
    ];
    assert_eq!(why, expected);

    // What breaks off, or is too large, leaves nothing.
    let half = w.rooms.media.upload(&w.admin, head("x", ""), parts(&whole_png, vec![])).await.unwrap_err();
    assert_eq!(half.code().1, "incomplete_body");
    let unscanned = parts(&whole_png, vec![Part::Scanning]);
    assert!(w.rooms.media.upload(&w.admin, head("x", ""), unscanned).await.is_err());
    let large = vec![0_u8; 10 * 1024 * 1024 + 1];
    assert_eq!(refused(&w, "", &large).await, "too_large");
    let all = w.rooms.media.list(&w.admin, None, &PageRequest::new(10, "")).await.unwrap();
    assert_eq!(all.items.len(), expected.len());
    let pdf =
        w.rooms.media.upload(&w.admin, head("terms.pdf", "application/pdf"), whole(b"%PDF-1.7\n")).await;
    assert_eq!((pdf.unwrap().body.width, State::Ready), (0, State::Ready));
}

#[tokio::test]
async fn everybody_sees_it_once_it_is_published_and_nobody_before() {
    let w = World::new().await;
    let bytes = png(800, 400, 90);
    let media = upload(&w, &bytes).await;
    let hash = media.body.hash.clone();
    assert_eq!(read(&w, &hash, Asked::All).await.unwrap_err().code().1, "not_found");
    let looked = w.rooms.media.look_at(w.scope(), &hash, Asked::Nothing).await.unwrap();
    assert_eq!(looked.size, bytes.len() as u64, "a preview may look");
    let theirs = kit::Scope::new("com_2", Mode::Live);
    assert!(w.rooms.media.look_at(&theirs, &hash, Asked::Nothing).await.is_err());
    let shown = w.card(picture(&media.id)).await;
    assert_eq!(read(&w, &hash, Asked::All).await.unwrap(), bytes);
    assert_eq!(read(&w, &hash, Asked::From(10, Some(19))).await.unwrap(), bytes[10..20]);
    assert_eq!(read(&w, &hash, Asked::Suffix(5)).await.unwrap(), bytes[bytes.len() - 5..]);
    assert!(w.rooms.media.open(&hash, Asked::From(bytes.len() as u64, None)).await.unwrap().range.is_none());
    let smaller = &media.body.variants[0];
    assert_eq!(read(&w, &smaller.hash, Asked::All).await.unwrap().len() as i64, smaller.bytes);

    // What was frozen names the picture as it was.
    let card =
        w.rooms.cards.objects.get(&w.admin, &shown.id, Which::Published).await.unwrap().content.unwrap();
    let Props::Image { url, alt, picture, .. } = &card.elements[1].props else { panic!("no picture") };
    assert_eq!(*url, format!("/m/{hash}"));
    assert_eq!(alt.as_ref().unwrap().get("en"), "Our team", "what the media says");
    let picture = picture.as_ref().unwrap();
    assert_eq!((picture.width, picture.height), (800, 400));
    assert!(
        picture.srcset(url).ends_with(&format!("/m/{hash} 800w")) && picture.srcset(url).contains(" 320w, ")
    );
}

#[tokio::test]
async fn a_card_is_published_only_with_pictures_that_can_be_shown() {
    let w = World::new().await;
    let codes = async |content: CardContent| {
        let cards = &w.rooms.cards;
        let h = CardHead { access: CardAccess::Company, tags: vec![] };
        let made = cards.objects.create(&w.admin, "Card".into(), h, content).await.unwrap();
        match cards.publish(&w.admin, &made.id, made.version, String::new()).await {
            Err(Error::NotPublishable(found)) => found.iter().map(|f| f.code).collect::<Vec<_>>(),
            Err(other) => panic!("{other}"),
            Ok(_) => Vec::new(),
        }
    };
    assert_eq!(codes(picture("med_none")).await, ["media_missing"]);
    let other = person(Role::RetAdmin, "com_2", Mode::Live);
    let theirs = w.rooms.media.upload(&other, head("x", ""), whole(&png(9, 9, 9))).await.unwrap();
    assert_eq!(codes(picture(&theirs.id)).await, ["media_missing"]);
    let url = |url: String| {
        let image = Props::Image { url, alt: Some(text("A")), media_id: None, picture: None };
        card(CardKind::Value, vec![element(image)])
    };
    assert_eq!(codes(url(format!("/m/{}", theirs.body.hash))).await, ["media_missing"]);
    let silent = Head { alt: None, ..head("x", "") };
    let silent = w.rooms.media.upload(&w.admin, silent, whole(&png(8, 8, 8))).await.unwrap();
    assert_eq!(codes(picture(&silent.id)).await, ["alt_missing"]);
    let pdf = w.rooms.media.upload(&w.admin, head("t.pdf", ""), whole(b"%PDF-1.7\n")).await.unwrap();
    assert_eq!(codes(picture(&pdf.id)).await, ["media_not_a_picture"]);
    let own = upload(&w, &png(7, 7, 7)).await;
    assert!(codes(url(format!("/m/{}", own.body.hash))).await.is_empty(), "by its address, too");
    assert!(codes(url("https://example.com/a.png".into())).await.is_empty());
    assert!(read(&w, &own.body.hash, Asked::All).await.is_ok());
}

async fn delete(w: &World, id: &str) -> Result<Stored<Media>, Error> {
    let media = w.rooms.media.get(&w.admin, id).await?;
    w.rooms.uses().none(&w.admin, &media).await?;
    w.rooms.media.archive(&w.admin, &media).await
}

async fn uses(w: &World, media: &Stored<Media>) -> Vec<(&'static str, bool)> {
    let uses = w.rooms.uses().of(w.scope(), media).await.unwrap();
    uses.into_iter().map(|u| (u.kind, u.published)).collect()
}

#[tokio::test]
async fn a_picture_is_deleted_only_when_nothing_shows_it_any_more() {
    let w = World::new().await;
    let media = upload(&w, &png(64, 64, 3)).await;
    let image =
        || Props::Image { url: String::new(), alt: None, media_id: Some(media.id.clone()), picture: None };
    let piece = w.rooms.elements.create(&w.admin, "Team".into(), element(image()), false).await.unwrap();
    assert_eq!(uses(&w, &media).await, [("card_element", false)]);
    let holds = element(Props::Element { id: piece.id.clone(), copy: None });
    let shown = w.card(card(CardKind::Value, vec![holds])).await;
    w.rooms.elements.archive(&w.admin, &piece.id).await.unwrap();
    assert_eq!(uses(&w, &media).await, [("card", true)], "in the copy of a kept piece");
    let page = w.page("hello", &shown.id).await;
    assert_eq!(delete(&w, &media.id).await.unwrap_err().code(), (kit::Code::Refused, "media_in_use"));

    // The card shows something else now; the page still holds it as it was.
    let now = w.rooms.cards.objects.get(&w.admin, &shown.id, Which::Working).await.unwrap();
    let plain = card(CardKind::Value, vec![heading("Hello")]);
    let change = |object: &mut content_svc::versioned::Object<_, CardContent>| object.edit(plain);
    let edited = w.rooms.cards.objects.edit(&w.admin, &shown.id, now.version, change).await.unwrap();
    w.rooms.cards.publish(&w.admin, &shown.id, edited.version, String::new()).await.unwrap();
    assert_eq!(uses(&w, &media).await, [("template", true)]);
    assert_eq!(delete(&w, &media.id).await.unwrap_err().code().1, "media_in_use");
    let page = w.rooms.templates.objects.get(&w.admin, &page.id, Which::Working).await.unwrap();
    w.rooms.templates.publish(&w.admin, &page.id, page.version, String::new()).await.unwrap();
    assert!(uses(&w, &media).await.is_empty());

    let hash = media.body.hash.clone();
    assert!(read(&w, &hash, Asked::All).await.is_ok(), "visits under way still show it");
    assert_eq!(delete(&w, &media.id).await.unwrap().body.state, State::Archived);
    assert_eq!(delete(&w, &media.id).await.unwrap().body.state, State::Archived, "twice is once");
    assert_eq!(read(&w, &hash, Asked::All).await.unwrap_err().code().1, "not_found");
    let now = w.rooms.cards.objects.get(&w.admin, &shown.id, Which::Working).await.unwrap();
    let back = w.rooms.cards.rollback(&w.admin, &shown.id, now.version, 1, String::new()).await;
    assert_eq!(back.unwrap_err().code().1, "not_publishable", "an old version that showed it stays old");
    let again = upload(&w, &png(64, 64, 3)).await;
    assert_ne!(again.id, media.id, "sent again, it is a new one");
}

#[tokio::test]
async fn the_bytes_of_what_was_deleted_go_and_what_was_never_sent_whole_too() {
    let w = World::new().await;
    let (gone, kept) = (upload(&w, &png(64, 64, 3)).await, upload(&w, &png(64, 64, 4)).await);
    w.card(picture(&kept.id)).await;
    delete(&w, &gone.id).await.unwrap();
    let (room, admin) = (w.rooms.media.clone(), w.admin.clone());
    let parts = stream::pending::<Result<Part, tonic::Status>>();
    let silent = tokio::spawn(async move { room.upload(&admin, head("x", ""), parts).await.is_ok() });
    let list = async |state| {
        w.rooms.media.list(&w.admin, Some(state), &PageRequest::new(9, "")).await.unwrap().items.len()
    };
    testkit::eventually("the file beginning", async || (list(State::Uploading).await == 1).then_some(()))
        .await;
    // Its sender fell silent, and the call with it.
    silent.abort();
    assert_eq!(w.rooms.media.tidy().await.unwrap(), 0, "there is time");
    w.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(w.rooms.media.tidy().await.unwrap(), 2);
    assert_eq!(w.rooms.media.tidy().await.unwrap(), 0);
    assert_eq!(list(State::Uploading).await, 0);
    assert!(w.rooms.media.get(&w.admin, &gone.id).await.unwrap().body.emptied);
    assert!(read(&w, &kept.body.hash, Asked::All).await.is_ok());
}

#[tokio::test]
async fn a_name_and_what_is_said_in_its_place_are_changed_by_who_read_the_newest() {
    let w = World::new().await;
    let media = upload(&w, &png(30, 30, 3)).await;
    let room = &w.rooms.media;
    let changed = room.edit(&w.admin, &media.id, media.version, Some("Team".into()), None).await.unwrap();
    assert_eq!(changed.body.name, "Team");
    let stale = room.edit(&w.admin, &media.id, media.version, None, Some(None)).await;
    assert_eq!(stale.unwrap_err().code().1, "stale_version");
    let silent = room.edit(&w.admin, &media.id, changed.version, None, Some(None)).await.unwrap();
    assert_eq!(silent.body.alt, None);
    let other = person(Role::RetAdmin, "com_2", Mode::Live);
    let theirs = room.edit(&other, &media.id, 1, None, None).await;
    assert_eq!(theirs.unwrap_err().code().1, "not_found");
}

#[tokio::test]
async fn what_is_promoted_takes_its_pictures_along() {
    let w = World::new().await;
    let test = Caller { scope: Some(kit::Scope::new("com_1", Mode::Test)), ..w.admin.clone() };
    let media = w.rooms.media.upload(&test, head("team.png", ""), whole(&png(64, 64, 5))).await.unwrap();
    let h = CardHead { access: CardAccess::Company, tags: vec![] };
    let made = w.rooms.cards.objects.create(&test, "Card".into(), h, picture(&media.id)).await.unwrap();
    w.rooms.cards.publish(&test, &made.id, made.version, String::new()).await.unwrap();
    let page = w.rooms.templates.create(&test, "p".into(), "p".into(), template(&made.id)).await.unwrap();
    w.rooms.templates.publish(&test, &page.id, page.version, String::new()).await.unwrap();
    let how = content_svc::template::Promotion { publish: true, ..Default::default() };
    for _ in 0..2 {
        w.rooms.templates.promote(&w.admin, std::slice::from_ref(&page.id), &how).await.unwrap();
    }
    let live = w.rooms.media.list(&w.admin, None, &PageRequest::new(9, "")).await.unwrap().items;
    assert_eq!(live.len(), 1, "once, however often it is promoted");
    assert_eq!(live[0].body.hash, media.body.hash);
    assert!(live[0].body.published_at.is_some());
    assert_eq!(uses(&w, &live[0]).await, [("card", true), ("template", true)]);
}
