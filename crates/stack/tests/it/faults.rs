//! What holds when a service dies.

use proto::billing::connection_service_client::ConnectionServiceClient;
use proto::billing::{Connection, ListConnectionsRequest, PutConnectionRequest};

use crate::world::{DEADLINE, World};

async fn connections(world: &World) -> Result<Vec<Connection>, tonic::Status> {
    let billing = world.upstream("billing-svc");
    let ask = billing.request(&world.admin("com_1"), DEADLINE, ListConnectionsRequest::default())?;
    let answer = ConnectionServiceClient::new(billing.channel()).list_connections(ask).await?;
    Ok(answer.into_inner().items)
}

#[tokio::test]
async fn a_killed_service_is_gone_at_once_and_comes_back_at_its_address_with_everything() {
    let mut world = World::start().await;
    let billing = world.upstream("billing-svc");
    let put = PutConnectionRequest { provider: "simulated".into(), ..Default::default() };
    let ask = billing.request(&world.admin("com_1"), DEADLINE, put).unwrap();
    ConnectionServiceClient::new(billing.channel()).put_connection(ask).await.unwrap();
    let before = connections(&world).await.unwrap();
    assert_eq!(before.len(), 1);

    world.stack.kill("billing-svc").await.unwrap();
    assert!(connections(&world).await.is_err());
    assert!(world.stack.kill("billing-svc").await.is_err(), "it does not run");
    // The others go on.
    for name in world.stack.names().into_iter().filter(|name| *name != "billing-svc") {
        world.until_ready(name).await;
    }

    world.stack.restart("billing-svc").await.unwrap();
    world.until_ready("billing-svc").await;
    assert_eq!(connections(&world).await.unwrap(), before);
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_stack_with_a_missing_setting_does_not_start() {
    let options = stack::Options {
        settings: Default::default(),
        listen: Default::default(),
        clock: std::sync::Arc::new(testkit::clock()),
        drain: DEADLINE,
    };
    let refused = stack::start(options).await.err().unwrap();
    assert!(format!("{refused:#}").contains("inner-key"), "{refused:#}");
}
