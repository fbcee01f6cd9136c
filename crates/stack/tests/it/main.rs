//! Journeys through the whole system, over real gRPC and HTTP, on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

mod a_clock_is_moved;
mod a_customer_cancels;
mod a_customer_is_saved;
mod a_customer_shows_who_they_are;
mod a_payment_fails;
mod a_person_is_forgotten;
mod a_picture_is_published;
mod a_promise_is_kept_by_hand;
mod a_service_is_slow_or_talks_nonsense;
mod a_trace_holds_every_hop;
mod a_workflow_runs_in_the_background;
mod any_service_may_die;
mod browser;
mod companies_do_not_see_each_other;
mod company;
mod content_is_made;
mod customer;
mod customers_become_one;
mod faults;
mod ids_of_others;
mod loading;
mod people_come_and_go;
mod people_come_by_single_sign_on;
mod processes;
mod secrets_stay_secret;
mod sink;
mod stripe_tells_of_a_change;
mod the_hosted_page_in_a_browser;
mod the_hosted_page_needs_no_scripts;
mod the_starter_library;
mod the_widget_in_a_browser;
mod tokens;
mod who_may_call_what;
mod world;
