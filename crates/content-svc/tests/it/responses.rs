//! Answers to questionnaires: kept with the visits, read page by page, counted in the database.

use content_svc::engine::Answer;
use content_svc::questionnaire::{Asked, Question, QuestionType, QuestionnaireKind, Response, Summary};
use content_svc::versioned::Which;
use kit::{Actor, Caller, Coded, Mode, PageRequest, Role};

use crate::flow::Flow;
use crate::world::{person, questionnaire, text};

fn widget(session: &str) -> Caller {
    Caller { actor: Actor::new("flow_session", session), ..person(Role::Widget, "com_1", Mode::Live) }
}

fn words(key: &str) -> Question {
    Question {
        key: key.into(),
        kind: QuestionType::Text,
        text: text("What else?"),
        required: false,
        choices: vec![],
        ..questionnaire().questions[0].clone()
    }
}

/// The survey with a question for free words and a scale beside the reason; its id.
async fn survey(flow: &Flow, kind: QuestionnaireKind) -> String {
    let (room, admin) = (&flow.world.rooms.questionnaires, &flow.world.admin);
    let mut content = questionnaire();
    content.kind = kind;
    content.questions.push(words("more"));
    content.questions.push(Question { kind: QuestionType::Scale, scale_max: 10, ..words("score") });
    let made = room.objects.create(admin, "More".into(), (), content).await.unwrap();
    room.publish(admin, &made.id, made.version, String::new()).await.unwrap();
    made.id
}

async fn answer(
    flow: &Flow,
    who: &Caller,
    id: &str,
    given: Vec<(&str, Answer)>,
) -> Result<Response, content_svc::Error> {
    let room = &flow.world.rooms.questionnaires;
    let given = given.into_iter().map(|(key, answer)| (key.to_owned(), answer)).collect();
    room.responses.answer(&room.objects, who, id, |_| Ok(given)).await
}

async fn list(flow: &Flow, who: &Caller, id: &str, question: Option<&str>) -> Vec<Response> {
    let room = &flow.world.rooms.questionnaires;
    let asked = Asked { question: question.map(str::to_owned), ..Asked::default() };
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = PageRequest::new(2, cursor);
        let page = room.responses.list(&room.objects, who, id, &asked, &page).await.unwrap();
        found.extend(page.items);
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return found,
        }
    }
}

async fn summary(flow: &Flow, who: &Caller, id: &str) -> Summary {
    let room = &flow.world.rooms.questionnaires;
    room.responses.summary(&room.objects, who, id, &Asked::default()).await.unwrap()
}

fn one(key: &str) -> Answer {
    Answer::Choices(vec![key.into()])
}

#[tokio::test]
async fn what_is_answered_on_a_page_is_a_response_and_is_counted() {
    let flow = Flow::new().await;
    let (admin, id) = (flow.world.admin.clone(), flow.pages.questionnaire.clone());
    assert_eq!(summary(&flow, &admin, &id).await.responses, 0);
    for (n, reason) in ["price", "price", "unused"].iter().enumerate() {
        let caller = person(Role::Machine, "com_1", Mode::Live);
        let subscription = format!("sub_{n}");
        let customer = format!("cus_{n}");
        let token =
            flow.flows.issue(&caller, &customer, &subscription, "en".into(), String::new()).await.unwrap().0;
        let visit = flow.flows.start(&token, "").await.unwrap();
        flow.because(&visit.id, reason).await;
    }
    // A visit in which nothing was answered is no response.
    flow.start().await;
    let counted = summary(&flow, &admin, &id).await;
    assert_eq!((counted.responses, counted.complete), (3, 3));
    let reason = &counted.questions[0];
    let counts: Vec<_> = reason.counts.iter().map(|c| (c.key.as_str(), c.count, c.share)).collect();
    assert_eq!(
        (reason.answered, counts),
        (3, vec![("price", 2, None), ("unused", 1, None)]),
        "three are no rate"
    );
    assert_eq!(reason.counts[0].reason_category.as_deref(), Some("too_expensive"));

    let all = list(&flow, &admin, &id, None).await;
    let customers: Vec<_> = all.iter().map(|r| r.customer_id.clone().unwrap()).collect();
    assert_eq!(customers, ["cus_2", "cus_1", "cus_0"], "newest first, over pages of two");
    assert!(all.iter().all(|r| r.complete && r.number == 1));

    for other in [person(Role::RetAdmin, "com_2", Mode::Live), person(Role::RetAdmin, "com_1", Mode::Test)] {
        let room = &flow.world.rooms.questionnaires;
        let seen = room.responses.summary(&room.objects, &other, &id, &Asked::default()).await;
        assert_eq!(seen.unwrap_err().code().1, "not_found");
    }
}

#[tokio::test]
async fn a_partial_answer_is_kept_and_completed_later_and_the_later_one_counts() {
    let flow = Flow::new().await;
    let id = survey(&flow, QuestionnaireKind::Feedback).await;
    let admin = flow.world.admin.clone();
    let visit = flow.start().await;
    let who = widget(&visit.id);
    let first = answer(&flow, &who, &id, vec![("more", Answer::Text("too slow".into()))]).await.unwrap();
    assert!(!first.complete && first.answers.len() == 1);
    let whole =
        answer(&flow, &who, &id, vec![("reason", one("price")), ("score", Answer::Scale(3))]).await.unwrap();
    assert!(whole.complete && whole.answers.len() == 3);
    answer(&flow, &who, &id, vec![("score", Answer::Scale(7))]).await.unwrap();
    let counted = summary(&flow, &admin, &id).await;
    assert_eq!((counted.responses, counted.complete), (1, 1));
    let score = counted.questions.iter().find(|q| q.key == "score").unwrap();
    assert_eq!((score.counts[0].key.as_str(), score.counts.len(), score.mean), ("7", 1, None));
    let more = counted.questions.iter().find(|q| q.key == "more").unwrap();
    assert_eq!((more.answered, more.counts.len()), (1, 0), "free words are not told apart");
    assert_eq!(list(&flow, &admin, &id, Some("more")).await.len(), 1);
    assert!(list(&flow, &admin, &id, Some("nothing")).await.is_empty());

    let wrong = answer(&flow, &who, &id, vec![("reason", one("nothing"))]).await.unwrap_err();
    assert_eq!(wrong.code().1, "invalid_request");
    let stranger = Caller { scope: Some(kit::Scope::new("com_2", Mode::Live)), ..who };
    let refused = answer(&flow, &stranger, &id, vec![("score", Answer::Scale(1))]).await.unwrap_err();
    assert_eq!(refused.code().1, "not_found");
}

#[tokio::test]
async fn the_company_answers_its_intake_and_customers_do_not() {
    let flow = Flow::new().await;
    let id = survey(&flow, QuestionnaireKind::OnboardingIntake).await;
    let admin = flow.world.admin.clone();
    answer(&flow, &admin, &id, vec![("score", Answer::Scale(3))]).await.unwrap();
    let whole = answer(&flow, &admin, &id, vec![("reason", one("price"))]).await.unwrap();
    assert!(whole.complete && whole.customer_id.is_none());
    assert_eq!(list(&flow, &admin, &id, None).await, [whole]);
    assert_eq!(summary(&flow, &admin, &id).await.responses, 1);
    let visit = flow.start().await;
    let refused = answer(&flow, &widget(&visit.id), &id, vec![("score", Answer::Scale(3))]).await;
    assert_eq!(refused.unwrap_err().code().1, "not_for_customers");
    let refused = answer(&flow, &admin, &flow.pages.questionnaire, vec![("reason", one("price"))]).await;
    assert_eq!(refused.unwrap_err().code().1, "only_for_customers");
}

#[tokio::test]
async fn answers_to_a_question_that_is_asked_no_more_are_not_lost() {
    let flow = Flow::new().await;
    let id = survey(&flow, QuestionnaireKind::Feedback).await;
    let (room, admin) = (&flow.world.rooms.questionnaires, &flow.world.admin);
    let visit = flow.start().await;
    answer(&flow, &widget(&visit.id), &id, vec![("score", Answer::Scale(9))]).await.unwrap();
    let read = room.objects.get(admin, &id, Which::Working).await.unwrap();
    let edited = room.objects.edit(admin, &id, read.version, |o| {
        let mut content = questionnaire();
        content.kind = QuestionnaireKind::Feedback;
        o.edit(content)
    });
    let version = edited.await.unwrap().version;
    room.publish(admin, &id, version, String::new()).await.unwrap();
    let counted = summary(&flow, admin, &id).await;
    let keys: Vec<_> = counted.questions.iter().map(|q| (q.key.as_str(), q.answered)).collect();
    assert_eq!(keys, [("reason", 0), ("more", 0), ("score", 1)]);
    assert_eq!((counted.responses, counted.complete), (1, 0));
}
