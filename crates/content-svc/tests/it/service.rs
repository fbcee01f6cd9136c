//! The service as it runs: over gRPC, behind the inner token, in two replicas that hear of each other's publishing.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use kit::caller::{Minter, SigningKey};
use kit::client::Upstream;
use kit::{Caller, ExposeSecret, Mode, Role};
use proto::common::LocalText;
use proto::content as pb;
use proto::content::card_service_client::CardServiceClient;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::world::person;

const PATIENCE: Duration = Duration::from_secs(10);

struct Replica {
    up: Upstream,
    caller: Caller,
}

impl Replica {
    async fn start(data: &kit::config::Data, seed: &str, stop: CancellationToken) -> Self {
        let config = content_svc::Config::try_parse_from([
            "content-svc",
            // With `=`, as a key may begin with a dash.
            &format!("--inner-key={seed}"),
            "--mongo-uri",
            &data.mongo_uri,
            "--mongo-prefix",
            &data.mongo_prefix,
            "--nats-url",
            &data.nats_url,
            "--nats-prefix",
            &data.nats_prefix,
            "--objects-dir",
            &std::env::temp_dir().join(&data.nats_prefix).display().to_string(),
        ]);
        let clock = Arc::new(testkit::clock());
        let service = content_svc::build(config.unwrap(), clock.clone()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(kit::run::serve(service, listener, stop, Duration::from_secs(5)));
        let key = Arc::new(SigningKey::from_seed(&seed.to_owned().into()).unwrap());
        let minter = Minter::new("gateway", key, clock);
        let up = Upstream::new("content-svc", &address, minter).unwrap();
        Self { up, caller: person(Role::RetAdmin, "com_1", Mode::Live) }
    }

    fn client(&self) -> CardServiceClient<Channel> {
        CardServiceClient::new(self.up.channel())
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        self.up.request(&self.caller, PATIENCE, message).unwrap()
    }

    async fn published(&self, id: &str) -> Option<pb::Card> {
        let asked = pb::GetContentRequest { id: id.to_owned(), published: true, number: 0 };
        self.client().get_card(self.request(asked)).await.ok().map(tonic::Response::into_inner)
    }
}

fn content(words: &str) -> Option<pb::CardContent> {
    let texts = [("en".to_owned(), words.to_owned())].into();
    let text = Some(LocalText { default_locale: "en".into(), texts });
    let heading = pb::element::Props::Heading(pb::HeadingElement { text, level: 2 });
    Some(pb::CardContent {
        kind: pb::CardKind::Value.into(),
        elements: vec![pb::Element { props: Some(heading), ..Default::default() }],
        ..Default::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_publishes_every_replica_serves() {
    let test = testkit::mongo().await;
    let seed = SigningKey::new_seed();
    let stop = CancellationToken::new();
    let one = Replica::start(&test.data, seed.expose_secret(), stop.clone()).await;
    let other = Replica::start(&test.data, seed.expose_secret(), stop.clone()).await;

    let create = pb::CreateCardRequest { name: "Card".into(), content: content("one"), ..Default::default() };
    let made = one.client().create_card(one.request(create)).await.unwrap().into_inner();
    let publish = |id: String, version| pb::PublishContentRequest { id, version, note: String::new() };
    let first = one.client().publish_card(one.request(publish(made.id, made.version))).await;
    let first = first.unwrap().into_inner();
    assert_eq!(other.published(&first.id).await.unwrap().content, content("one"));

    let edit = pb::UpdateCardRequest {
        id: first.id.clone(),
        version: first.version,
        content: content("two"),
        ..Default::default()
    };
    let edited = one.client().update_card(one.request(edit)).await.unwrap().into_inner();
    one.client().publish_card(one.request(publish(first.id.clone(), edited.version))).await.unwrap();
    assert_eq!(one.published(&first.id).await.unwrap().content, content("two"), "at once where it was done");
    testkit::eventually("the other replica serves it", || async {
        (other.published(&first.id).await?.content == content("two")).then_some(())
    })
    .await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_broken_messages_do_not_reach_a_room() {
    let test = testkit::mongo().await;
    let seed = SigningKey::new_seed();
    let stop = CancellationToken::new();
    let one = Replica::start(&test.data, seed.expose_secret(), stop.clone()).await;
    let mut client = one.client();

    let bare = client.list_cards(pb::ListCardsRequest::default()).await.unwrap_err();
    assert_eq!(bare.code(), tonic::Code::Unauthenticated);

    let nameless = pb::CreateCardRequest { content: content("one"), ..Default::default() };
    let refused = client.create_card(one.request(nameless)).await.unwrap_err();
    let said = kit::error::said(&refused);
    assert_eq!((said.slug.as_str(), said.fields[0].field.as_str()), ("invalid_request", "name"));

    let too_many = pb::ListCardsRequest { limit: 201, ..Default::default() };
    assert_eq!(
        client.list_cards(one.request(too_many)).await.unwrap_err().code(),
        tonic::Code::InvalidArgument
    );
    let foreign = pb::ListCardsRequest { cursor: "bWFkZSB1cA".into(), ..Default::default() };
    assert_eq!(
        client.list_cards(one.request(foreign)).await.unwrap_err().code(),
        tonic::Code::InvalidArgument
    );
    stop.cancel();
}
