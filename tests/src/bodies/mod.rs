//! Test bodies: what must hold on the fakes and on the deployed stack alike.

pub mod access;
pub mod accounting;
pub mod documented;
pub mod doors;
pub mod grades;
pub mod offboarding;
pub mod playbacks;
pub mod quarantine;
pub mod rates;
pub mod reading;
pub mod refusals;
pub mod reports;
pub mod results;
pub mod schemas;
pub mod sealing;
pub mod times;
pub mod walls;

use crate::world::{Answer, Call, Member, World, eventually};
use serde_json::Value;

/// All bodies by name; a tier instantiates them with its world.
#[macro_export]
macro_rules! for_each_body {
    ($instantiate:ident) => {
        $instantiate! {
            accounting::an_envelope_is_acknowledged_and_every_event_gets_its_disposition,
            accounting::the_official_example_envelopes_are_stored,
            accounting::a_resent_envelope_becomes_duplicates,
            accounting::the_same_id_with_other_content_is_a_conflict,
            accounting::rejected_events_travel_with_their_reasons,
            accounting::an_envelope_over_one_frame_is_stored_whole,
            accounting::an_event_over_one_frame_is_stored_by_reference,
            accounting::an_undecodable_record_is_quarantined_and_holds_nothing_up,
            accounting::an_error_that_quotes_a_line_feed_is_quarantined,
            accounting::compressed_bodies_are_the_same_events,
            refusals::bad_requests_are_answered_with_problem_documents,
            refusals::bad_queries_are_answered_with_problem_documents,
            refusals::lists_are_not_taken_for_objects,
            refusals::nothing_of_a_refused_envelope_is_kept,
            refusals::refused_envelopes_are_counted_by_sensor_and_rule,
            refusals::what_get_offers_post_takes,
            refusals::an_event_with_an_endless_key_is_rejected_and_kept,
            rates::a_tenant_over_its_rate_waits_and_its_neighbour_does_not,
            rates::requests_and_bytes_have_rates_of_their_own,
            offboarding::a_closed_tenant_is_read_and_not_written,
            offboarding::a_tenants_use_is_told_by_day,
            access::tenants_are_walls,
            access::a_revoked_token_stops_working,
            access::a_token_does_only_what_its_scopes_say,
            access::the_endpoint_configuration_needs_a_token,
            walls::every_route_asks_for_its_scope,
            walls::no_route_shows_another_tenants_data,
            walls::a_learners_token_opens_no_other_door,
            walls::a_learners_token_reads_its_own_events,
            doors::verdicts_are_preferred_in_any_line_and_spelling,
            doors::an_empty_encoding_is_none,
            doors::an_id_is_found_however_its_path_is_spelled,
            doors::a_type_is_found_however_its_path_is_spelled,
            doors::an_id_that_ends_like_a_route_is_found,
            doors::an_empty_answer_is_not_called_json,
            doors::who_accepts_json_alone_gets_json,
            doors::an_allowed_page_is_answered_its_preflight,
            doors::an_allowed_page_may_send_and_read,
            doors::another_page_is_told_nothing,
            doors::every_path_answers_every_method,
            doors::a_slash_at_the_end_changes_nothing,
            doors::a_bad_body_is_called_what_it_is,
            documented::parameters_are_as_described,
            documented::ranges_are_as_described,
            documented::injections_find_nothing_and_break_nothing,
            schemas::a_registered_type_is_judged_by_its_schema,
            schemas::an_unregistered_type_is_opaque_in_lenient_mode,
            schemas::schemas_are_versioned_and_grow_compatibly,
            schemas::schemas_are_refused_for_what_is_wrong_with_them,
            schemas::schemas_are_behind_scopes_and_walls,
            reading::pages_hold_every_event_once_in_either_order,
            reading::filters_select_by_column,
            reading::an_event_is_found_by_its_id,
            reading::one_uuid_is_one_event_in_any_spelling,
            reading::numbers_come_back_digit_by_digit,
            reading::health_needs_no_token,
            reading::what_needs_no_token_is_compressed_and_sent_once,
            reading::nothing_behind_a_token_is_stored_on_its_way,
            results::grades_reach_their_results,
            results::merging_gives_the_same_in_any_order,
            results::results_are_found_by_learner_and_by_section,
            grades::a_score_of_nothing_is_out_of_its_assignments_maximum,
            grades::a_teams_submission_counts_for_its_section,
            grades::a_grade_without_a_score_takes_it_back,
            grades::open_edx_tries_meet_in_one_assignment,
            grades::canvas_submissions_join_their_grades,
            reports::a_learners_assignments_are_reported,
            reports::a_sections_grades_are_reported,
            reports::events_are_reported_live_and_sealed,
            reports::formulas_in_ids_stay_text,
            reports::a_learners_token_reports_on_its_learner,
            reports::bad_report_requests_are_refused,
            sealing::what_is_received_is_sealed_and_checks_offline,
            times::an_event_dated_never_is_sealed_like_any_other,
            times::events_of_the_future_are_found_without_a_range,
            times::a_grade_from_the_future_is_corrected_by_the_next,
            times::times_in_the_forms_of_sensors_are_read,
            times::a_send_time_of_another_form_is_taken_leniently,
            times::unreadable_times_of_registered_types_are_deviations,
            quarantine::rejected_events_are_listed_by_sensor_and_rule,
            playbacks::a_playback_to_the_stream_changes_nothing,
            playbacks::the_quarantine_is_judged_by_the_schemas_of_today,
        }
    };
}

/// Posts an envelope and gives back its receipt's id.
///
/// # Panics
/// When it is not acknowledged with 200 and an empty body.
pub async fn post<W: World>(world: &W, member: &Member, body: Vec<u8>) -> String {
    let answer = world.call(Call::post(body).token(&member.secret)).await;
    assert_eq!(
        (answer.status, answer.body.len()),
        (200, 0),
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    answer.header("vernier-receipt").to_owned()
}

/// Waits until every event of a receipt has its disposition.
pub async fn settled<W: World>(world: &W, member: &Member, receipt: &str) -> Value {
    let call = Call::get("/receipts/{id}")
        .id(receipt)
        .token(&member.secret);
    eventually(world, call, |a| a.json()["state"] == "complete")
        .await
        .json()
}

/// Waits until all windows of the last hour add up, and gives back their sums: received,
/// stored, duplicate, conflict, rejected.
pub async fn balanced<W: World>(world: &W, member: &Member, received: u64) -> [u64; 5] {
    let call = Call::get("/windows").token(&member.secret);
    let answer = eventually(world, call, |answer| {
        all_complete(answer) && sums(&answer.json())[0] == received
    })
    .await;
    let sums = sums(&answer.json());
    assert_eq!(
        sums[0],
        sums[1..].iter().sum::<u64>(),
        "invariant 3: received = stored + duplicate + conflict + rejected"
    );
    sums
}

fn all_complete(answer: &Answer) -> bool {
    let json = answer.json();
    json["windows"]
        .as_array()
        .is_some_and(|windows| windows.iter().all(|w| w["complete"] == true))
}

/// Sums over an answer of GET /windows: received, stored, duplicate, conflict, rejected.
#[must_use]
pub fn sums(json: &Value) -> [u64; 5] {
    let empty = Vec::new();
    let windows = json["windows"].as_array().unwrap_or(&empty);
    let sum = |pointer: &str| {
        windows
            .iter()
            .filter_map(|w| w.pointer(pointer)?.as_u64())
            .sum()
    };
    [
        sum("/received/events"),
        sum("/accounted/stored"),
        sum("/accounted/duplicate"),
        sum("/accounted/conflict"),
        sum("/accounted/rejected"),
    ]
}
