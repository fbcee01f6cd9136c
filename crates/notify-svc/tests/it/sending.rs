//! Mails on their way out: tried again where that helps, given up where it does not, over real SMTP.

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use kit::PageRequest;
use notify_svc::email::{Draft, Envelope, Files, From, SendError, Sender, Smtp, State, Templates};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

fn draft(key: &str) -> Draft {
    Draft {
        template: "sign_in_code".into(),
        to: "ada@telco.example".into(),
        locale: "en".into(),
        from_name: String::new(),
        values: json!({ "code": "111222", "name": "Ada", "minutes": 10 }),
        dedupe_key: key.into(),
        customer_id: None,
        about: None,
        recovery_of: None,
    }
}

async fn states(world: &World) -> Vec<(State, u32, String)> {
    let mails = world.rooms.mails.deliveries(&world.person("usr_ada"), None, &PageRequest::new(50, "")).await;
    mails.unwrap().items.into_iter().map(|m| (m.body.state, m.body.attempts, m.body.values)).collect()
}

#[tokio::test]
async fn what_may_work_later_is_tried_later_and_what_never_will_is_given_up() {
    let world = World::new().await;
    world.mailbox.refusals.lock().unwrap().push_back(SendError::Transient("451".into()));
    world.rooms.mails.queue(&world.scope, draft("a")).await.unwrap();
    assert!(world.sent("sign_in_code").await.is_empty());
    assert_eq!(states(&world).await[0].0, State::Retrying);
    world.clock.advance(SignedDuration::from_secs(6));
    assert_eq!(world.sent("sign_in_code").await.len(), 1);
    assert_eq!(states(&world).await[0], (State::Sent, 2, String::new()), "what is done keeps no code");
    world.mailbox.refusals.lock().unwrap().push_back(SendError::Permanent("550".into()));
    world.rooms.mails.queue(&world.scope, draft("b")).await.unwrap();
    world.sent("sign_in_code").await;
    assert_eq!(states(&world).await[0], (State::Dead, 1, String::new()));
    let (ada, page) = (world.person("usr_ada"), PageRequest::new(50, ""));
    let dead = world.rooms.mails.deliveries(&ada, Some(State::Dead), &page);
    assert_eq!(dead.await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_mail_whose_replica_died_is_taken_over() {
    let world = World::new().await;
    world.rooms.mails.queue(&world.scope, draft("a")).await.unwrap();
    let mails = world.db.collection::<bson::Document>("mails");
    let until = bson::DateTime::from_millis(
        (kit::Clock::now(&world.clock) + SignedDuration::from_secs(120)).as_millisecond(),
    );
    let taken = bson::doc! { "$set": { "body.state": "sending", "body.next_at": until } };
    mails.update_many(bson::doc! {}, taken).await.unwrap();
    assert!(world.sent("sign_in_code").await.is_empty(), "somebody has it");
    world.clock.advance(SignedDuration::from_secs(121));
    assert_eq!(world.sent("sign_in_code").await.len(), 1);
}

fn envelope() -> Envelope {
    let values = json!({ "code": "111222", "name": "Ada", "minutes": 10 });
    let rendered = Templates::new().unwrap().render("sign_in_code", "en", &values).unwrap();
    let from = From::parse("Retention Stack <no-reply@stack.example>").unwrap();
    let at = kit::Timestamp::from_second(1_700_000_000).unwrap();
    notify_svc::email::build(&from, "", "ada@telco.example", "mal_1", "sign_in_code", at, rendered).unwrap()
}

/// A mail server that speaks what RFC 5321 asks for; `answer` is its word on the data.
async fn server(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("smtp://{}", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = taken.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(converse(socket, answer, kept.clone()));
        }
    });
    (address, taken)
}

async fn converse(socket: TcpStream, answer: &'static str, kept: Arc<Mutex<Vec<String>>>) {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
    let mut data: Option<String> = None;
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match &mut data {
            Some(text) if line == "." => {
                kept.lock().unwrap().push(std::mem::take(text));
                data = None;
                answer
            }
            Some(text) => {
                text.push_str(line.strip_prefix('.').unwrap_or(&line));
                text.push('\n');
                continue;
            }
            None => match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => "250-mail.example\r\n250 8BITMIME",
                "DATA" => {
                    data = Some(String::new());
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            },
        };
        let said = write.write_all(format!("{reply}\r\n").as_bytes()).await;
        if said.is_err() || line == "QUIT" {
            break;
        }
    }
}

#[tokio::test]
async fn a_mail_goes_out_over_smtp() {
    kit::run::crypto();
    let (address, taken) = server("250 taken").await;
    let smtp = Smtp::new(&address.into()).unwrap();
    smtp.ready().await.unwrap();
    smtp.send(&envelope()).await.unwrap();
    let mail = taken.lock().unwrap().remove(0);
    assert!(
        mail.contains("To: ada@telco.example") && mail.contains("111222") && mail.contains("text/html"),
        "{mail}"
    );
}

#[tokio::test]
async fn a_server_that_says_no_is_understood_and_not_quoted() {
    kit::run::crypto();
    for (answer, permanent) in
        [("550 ada@telco.example is unknown", true), ("451 ada@telco.example: later", false)]
    {
        let (address, _) = server(answer).await;
        let refused = Smtp::new(&address.into()).unwrap().send(&envelope()).await.unwrap_err();
        assert_eq!(matches!(refused, SendError::Permanent(_)), permanent, "{answer}");
        assert!(!refused.to_string().contains("ada@"), "{refused}");
    }
    let nobody = Smtp::new(&"smtp://127.0.0.1:1".into()).unwrap();
    assert!(matches!(nobody.send(&envelope()).await.unwrap_err(), SendError::Transient(_)));
}

#[tokio::test]
async fn without_a_server_mails_are_files_and_the_same_mail_is_the_same_file() {
    let folder = std::env::temp_dir().join(kit::id::new("mails"));
    let files = Files::open(folder.clone()).await.unwrap();
    for _ in 0..2 {
        files.send(&envelope()).await.unwrap();
    }
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names, ["20231114T221320-sign_in_code-mal_1.eml"]);
    std::fs::remove_dir_all(folder).unwrap();
}
