//! No query on a hot path scans a collection.

use bson::{Bson, Document, doc};

use crate::world::World;

/// The names of the stages of the winning plan.
fn stages(plan: &Document, into: &mut Vec<String>) {
    if let Ok(stage) = plan.get_str("stage") {
        into.push(stage.to_owned());
    }
    for (_, value) in plan {
        if let Bson::Document(inner) = value {
            stages(inner, into);
        }
    }
}

#[tokio::test]
async fn hot_queries_use_an_index() {
    let world = World::new().await;
    let own = |more: Document| {
        let mut query = doc! { "company_id": "com_1", "mode": "live" };
        query.extend(more);
        query
    };
    let date = bson::DateTime::from_millis(0);
    let queries = [
        ("customers", own(doc! { "_id": "cus_1" })),
        ("customers", own(doc! { "body.external_id": "ext-1" })),
        ("customers", own(doc! { "body.personas.persona": "per_1" })),
        (
            "user_events",
            own(doc! { "customer": { "$in": ["a", "b"] }, "name": "login", "occurred_at": { "$gte": date } }),
        ),
        ("user_events", own(doc! { "occurred_at": { "$gte": date } })),
        ("personas", own(doc! { "body.status": "active" })),
        ("usage_rows", own(doc! { "_id": { "$gte": "dst_1/", "$lt": "dst_10" } })),
        ("usage_uploads", own(doc! { "body.same_as": "features/00" })),
        ("flow_sessions", own(doc! { "body.started_at": { "$gte": date } })),
        ("redemptions", doc! { "body.session": "fls_1" }),
        ("jobs", doc! { "state": "queued", "run_at": { "$lte": date } }),
    ];
    for (collection, filter) in queries {
        // A collection that is not there is never scanned.
        world.db.create_collection(collection).await.ok();
        let find = doc! { "find": collection, "filter": filter.clone() };
        let command = doc! { "explain": find, "verbosity": "queryPlanner" };
        let told = world.db.run_command(command).await.unwrap();
        let mut found = Vec::new();
        stages(told.get_document("queryPlanner").unwrap().get_document("winningPlan").unwrap(), &mut found);
        let good =
            found.iter().any(|s| s == "IXSCAN" || s == "IDHACK") && !found.contains(&"COLLSCAN".into());
        assert!(good, "{collection} {filter}: {found:?}");
    }
}
