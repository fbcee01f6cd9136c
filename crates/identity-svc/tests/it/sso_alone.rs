//! Standalone SSO: what a company's own identity provider says, and how far it is believed.

use proto::identity as pb;

use crate::rig::slug;
use crate::sso::Site;

#[tokio::test]
async fn a_companys_own_provider_vouches_for_its_own_domains_and_for_nobody_else() {
    let site = Site::start_with(&["--workos-sign-in=sso"]).await;
    site.fake.add_person(&site.directory, "dora@telco.example", &[&site.experts]);
    let grant = site.sign_in("dora@telco.example").await.unwrap();
    assert_eq!((grant.role(), &grant.company_id), (pb::UserRole::RetExp, &site.company.id));
    let dora = site.rig.resolve(&grant.session_id).await.unwrap().user_id;
    let again = site.sign_in("dora@telco.example").await.unwrap();
    assert_eq!(site.rig.resolve(&again.session_id).await.unwrap().user_id, dora);

    // Who was invited comes in as before: the domain is the company's.
    site.fake.add_user("ada@telco.example", false);
    assert_eq!(site.sign_in("ada@telco.example").await.unwrap().role(), pb::UserRole::RetAdmin);

    // Eve is a member, but whose her address is, this company's provider cannot say.
    site.rig.join(&site.ada, "eve@freelance.example", pb::UserRole::RetExp).await;
    site.fake.add_user("eve@freelance.example", true);
    site.fake.next_signs_in("eve@freelance.example");
    assert_eq!(slug(site.sign_in("anybody@telco.example").await), "sign_in_failed");

    let other = site.fake.add_organization("Other");
    site.fake.next_comes_from(&other);
    assert_eq!(slug(site.sign_in("ada@telco.example").await), "sign_in_failed", "another organization");

    let back = site.leave("ada@telco.example").await;
    assert!(site.come(back.clone()).await.is_ok());
    assert_eq!(slug(site.come(back).await), "sign_in_failed", "twice");
    assert!(site.fake.sessions().is_empty(), "nobody stays signed in at WorkOS");
    let trades = site.fake.seen().into_iter().filter(|s| s.path == "/sso/token");
    assert!(
        trades.map(|t| t.body).all(|b| b.get("code_verifier").is_none() && b["client_secret"].is_string())
    );
}
