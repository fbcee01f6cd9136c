//! The hosted page, as a browser without scripts goes through it.

use content_svc::flow_session::FlowSession;
use content_svc::hosted_page::rpc::Rpc;
use content_svc::render;
use proto::content as pb;
use proto::content::hosted_page_service_server::HostedPageService;
use tonic::Request;

use crate::flow::Flow;

struct Browser {
    flow: Flow,
    room: Rpc,
    at: String,
}

fn field(name: &str, value: &str) -> pb::FormField {
    pb::FormField { name: name.into(), value: value.into() }
}

/// The value of a hidden input.
fn hidden(html: &str, name: &str) -> String {
    let (_, rest) = html
        .split_once(&format!("name=\"{name}\" value=\""))
        .unwrap_or_else(|| panic!("no {name} in {html}"));
    rest.split('"').next().unwrap().to_owned()
}

impl Browser {
    async fn new() -> Self {
        let flow = Flow::new().await;
        let token = flow.token().await;
        let room = crate::verification::rpc(&flow, Vec::new()).await;
        Self { flow, room, at: token }
    }

    async fn show(&mut self) -> pb::HostedReply {
        let asked = pb::ShowHostedPageRequest {
            company: "com_1".into(),
            token: self.at.clone(),
            accept_language: "de-DE,de;q=0.9".into(),
        };
        let reply = self.room.show_hosted_page(Request::new(asked)).await.unwrap().into_inner();
        self.follow(&reply);
        reply
    }

    async fn submit(&mut self, fields: Vec<pb::FormField>) -> pb::HostedReply {
        let sent = pb::SubmitHostedPageRequest { company: "com_1".into(), token: self.at.clone(), fields };
        let reply = self.room.submit_hosted_page(Request::new(sent)).await.unwrap().into_inner();
        self.follow(&reply);
        reply
    }

    fn follow(&mut self, reply: &pb::HostedReply) {
        if reply.status == 303 {
            self.at = reply.location.rsplit('/').next().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn a_customer_is_saved_with_forms_alone() {
    let mut browser = Browser::new().await;
    assert_eq!(browser.show().await.status, 303, "the link leads to the visit's own address");
    let page = browser.show().await;
    assert_eq!(page.status, 200);
    assert!(page.html.contains("Why do you leave?") && !page.html.contains("<script"), "{}", page.html);
    assert!(page.content_security_policy.contains("default-src 'none'"));
    let step = hidden(&page.html, "step");
    let without = browser.submit(vec![field("step", &step), field("do", "next")]).await;
    assert_eq!(without.status, 422, "a required answer is missing");
    let sent =
        browser.submit(vec![field("step", &step), field("q.reason", "price"), field("do", "next")]).await;
    assert_eq!(sent.status, 303);
    let page = browser.show().await;
    assert!(page.html.contains("20 % less") && page.html.contains("20 % off for 3 months"), "{}", page.html);
    let (step, offer) = (hidden(&page.html, "step"), hidden(&page.html, "offer"));
    let fields = || vec![field("step", &step), field("offer", &offer), field("do", "accept")];
    assert_eq!(browser.submit(fields()).await.status, 303);
    assert_eq!(browser.submit(fields()).await.status, 303, "a second press leads to the same page");
    let page = browser.show().await;
    assert!(!page.html.contains("value=\"cancel\""), "nothing is left to cancel here: {}", page.html);
    assert_eq!(browser.flow.biller.take().iter().filter(|d| d.starts_with("claim")).count(), 1);
}

#[tokio::test]
async fn the_way_out_is_on_every_page_and_an_old_page_changes_nothing_else() {
    let mut browser = Browser::new().await;
    browser.show().await;
    let page = browser.show().await;
    assert!(page.html.contains("value=\"cancel\""), "{}", page.html);
    let step = hidden(&page.html, "step");
    browser.submit(vec![field("step", &step), field("q.reason", "price"), field("do", "next")]).await;
    // From the first page, which another tab still shows.
    browser.submit(vec![field("step", &step), field("q.reason", "unused"), field("do", "next")]).await;
    let page = browser.show().await;
    assert!(page.html.contains("20 % less"), "{}", page.html);
    assert!(page.html.contains("value=\"cancel\""), "{}", page.html);
    assert_eq!(browser.submit(vec![field("step", &step), field("do", "cancel")]).await.status, 303);
    let done = browser.flow.biller.take();
    assert!(done.last().unwrap().starts_with("cancel sub_1"), "{done:?}");
}

#[tokio::test]
async fn a_link_that_does_not_work_says_so_in_the_customers_language() {
    let mut browser = Browser::new().await;
    let link = browser.at.clone();
    browser.show().await;
    browser.at = link;
    let used = browser.show().await;
    assert_eq!(used.status, 410);
    assert!(used.html.contains("Dieser Link gilt nicht mehr"), "{}", used.html);
    browser.at = "nonsense".into();
    assert_eq!(browser.show().await.status, 410);
    assert_eq!(browser.submit(vec![field("do", "cancel")]).await.status, 410);
}

#[tokio::test]
async fn a_page_says_which_language_it_is_in_and_how_that_is_written() {
    let flow = Flow::new().await;
    let read = flow.flows.start(&flow.token().await, "ar-EG").await.unwrap();
    let page = flow.flows.page(&read).await.unwrap();
    // The company wrote in English only, and we speak Arabic.
    let theirs = render::screen(&read.body, page.as_ref(), &read.id);
    assert_eq!((theirs.locale.as_str(), theirs.direction), ("en", "ltr"));
    assert_eq!(
        theirs.cancel_label, "إلغاء الاشتراك الآن",
        "the way out is in the reader's language all the same"
    );
    let ours = render::screen(&read.body, None, &read.id);
    assert_eq!((ours.locale.as_str(), ours.direction), ("ar-EG", "rtl"));
    let html = render::html(&ours, None, "").unwrap();
    assert!(
        html.contains("<html lang=\"ar-EG\" dir=\"rtl\">") && html.contains("إلغاء الاشتراك الآن"),
        "{html}"
    );
    // Nor do we speak French: the words are English, and so is what the page says of itself.
    let nobody = FlowSession { locale: "fr".into(), ..read.body };
    assert_eq!(render::screen(&nobody, None, "").locale, "en");
}
