//! Master keys change under a running company.

use std::sync::Arc;

use billing_svc::connections::Keys;
use billing_svc::connections::rotate::rotate;
use billing_svc::providers::ProviderKind;
use billing_svc::secrets::Vault;
use kit::caller::SigningKey;
use kit::{Caller, Mode, Scope, SecretString};

use super::world::{World, webhook_secret};

async fn connect(w: &World, company: u32) {
    let scope = Scope::new(format!("com_{company}"), Mode::Live);
    let keys = Keys {
        provider: ProviderKind::Simulated,
        secret: Some("sk_1".into()),
        webhook_secret: Some(webhook_secret()),
        account_name: None,
        region: None,
        site: None,
    };
    let caller = Caller { scope: Some(scope), ..w.caller.clone() };
    w.rooms.connections.put(&caller, keys).await.unwrap();
}

fn vault(keys: &[&SecretString]) -> Vault {
    Vault::new(&keys.iter().map(|k| (*k).clone()).collect::<Vec<_>>()).unwrap()
}

#[tokio::test]
async fn a_master_key_is_replaced_while_everything_runs() {
    let (old, new, lost) = (SigningKey::new_seed(), SigningKey::new_seed(), SigningKey::new_seed());
    let mut w = World::start().await;
    let clock = Arc::new(w.clock.clone());
    // The world's own connection is under a key that is configured nowhere.
    w.serve_with(vault(&[&old])).await;
    for company in 2..252 {
        connect(&w, company).await;
    }
    // The new key comes in front; nothing that is there stops working.
    w.serve_with(vault(&[&new, &old])).await;
    let second = Scope::new("com_2", Mode::Live);
    w.rooms.connections.provider(&second, ProviderKind::Simulated).await.unwrap();

    let both = vault(&[&new, &old]);
    let mut said = Vec::new();
    let ended = rotate(&w.db, clock.clone(), &both, |p| said.push((p.done, p.left))).await.unwrap();
    assert_eq!((ended.done, ended.left, ended.broken.len()), (250, 1, 1), "the one of the lost key is named");
    assert!(said.len() >= 3 && said.is_sorted_by_key(|(done, _)| *done), "{said:?}");
    let again = rotate(&w.db, clock.clone(), &both, |_| ()).await.unwrap();
    assert_eq!((again.done, again.broken.len()), (0, 1), "what is done is done");

    // Without the old key everything opens but that one.
    w.serve_with(vault(&[&new])).await;
    w.rooms.connections.provider(&second, ProviderKind::Simulated).await.unwrap();
    let broken = w.rooms.connections.provider(&w.scope, ProviderKind::Simulated).await.err().unwrap();
    assert_eq!(broken.slug(), "secret_unreadable");
    let none = rotate(&w.db, clock, &vault(&[&lost]), |_| ()).await.unwrap();
    assert_eq!((none.done, none.broken.len()), (0, 251), "a key that opens nothing changes nothing");
    w.serve_with(vault(&[&new])).await;
    w.rooms.connections.provider(&second, ProviderKind::Simulated).await.unwrap();
}
