//! What the ports promise: one suite for each, run on the fakes and on the AWS adapters, so that
//! the fakes cannot lie.
//!
//! A body takes the port that it tests and names of its own, so that a store with other data in it
//! serves as well. A new port gets a file here and its lines in [`for_each_contract!`](crate::for_each_contract).

#![allow(missing_docs)] // a body is named by what it shows

pub mod accounts;
pub mod blocks;
pub mod chains;
pub mod checkpoints;
pub mod commits;
pub mod directory;
pub mod frame_stream;
pub mod given_up;
pub mod notices;
pub mod objects;
pub mod offboarding;
pub mod playbacks;
pub mod rates;
pub mod receipts;
pub mod refused;
pub mod roll_ups;
pub mod scalings;
pub mod seal_key;
pub mod spreads;
pub mod sweeps;
pub mod work;

use uuid::Uuid;
use vernier_ledger::digest::Digest;
use vernier_ledger::frame::Tally;
use vernier_ledger::ids::{Sequence, Shard, TenantId};
use vernier_ledger::receipt::Origin;

/// All bodies: the subject that a tier hands in (`stream`, `table`, `queue`, `key`, `objects` or `notices`), then
/// the body's place.
#[macro_export]
macro_rules! for_each_contract {
    ($instantiate:ident) => {
        $instantiate! {
            stream frame_stream::every_record_has_an_origin_of_its_own,
            stream frame_stream::a_partition_key_has_one_shard,
            stream frame_stream::no_records_have_no_answers,
            stream frame_stream::more_records_than_one_call_takes,
            stream frame_stream::more_bytes_than_one_call_takes,
            stream frame_stream::a_record_over_the_limit_is_refused_for_good,
            stream frame_stream::partition_keys_of_any_script_up_to_256_characters,
            stream frame_stream::records_are_read_again_from_a_place,
            stream frame_stream::every_shard_that_takes_records_is_listed,
            table receipts::what_nobody_wrote_is_not_there,
            table receipts::the_halves_come_in_either_order,
            table receipts::acknowledging_again_changes_nothing,
            table receipts::a_claim_belongs_to_the_first_record,
            table receipts::a_higher_attempt_takes_a_claim_over,
            table receipts::slices_are_claimed_one_by_one,
            table receipts::concurrent_claims_have_one_winner,
            table receipts::a_receipt_is_its_tenants_alone,
            table receipts::a_minute_and_lane_list_their_receipts_oldest_first,
            table receipts::more_receipts_than_one_page_holds,
            table commits::a_new_shard_has_no_cursor,
            table commits::a_commit_moves_the_cursor_and_keeps_the_record,
            table commits::a_stale_commit_writes_nothing,
            table commits::concurrent_commits_have_one_winner,
            table commits::a_shards_records_are_found_by_sequence_number,
            table commits::more_records_than_one_page_holds,
            table blocks::a_commits_items_are_listed_for_their_tenants,
            table blocks::a_stale_commit_lists_nothing,
            table blocks::a_commit_has_as_many_items_as_it_may,
            table blocks::a_records_items_are_found_by_what_it_says_of_them,
            table blocks::listing_again_changes_nothing,
            table blocks::how_far_the_listing_is_is_kept,
            table directory::unknown_names_are_not_there,
            table directory::a_tenant_is_created_once,
            table directory::a_tenants_settings_change_on_condition,
            table directory::tenants_are_listed_in_order,
            table directory::a_token_is_found_by_its_hash_and_in_its_tenants_list,
            table directory::a_tokens_hash_and_id_are_its_own,
            table directory::the_first_revocation_counts,
            table directory::a_token_is_revoked_by_its_own_tenant,
            table directory::more_tokens_than_one_page_holds,
            table offboarding::a_tenants_items_are_counted_and_removed,
            table accounts::an_account_is_kept_under_its_window,
            table accounts::accounts_are_listed_by_their_beginning,
            table accounts::the_last_account_counts,
            table accounts::an_account_computed_earlier_takes_no_ones_place,
            table accounts::an_account_names_as_many_receipts_as_it_may,
            table chains::a_chain_begins_and_moves_with_its_seals,
            table chains::a_chain_that_was_moved_by_another_stays,
            table chains::seals_are_listed_by_window,
            table chains::days_are_listed_by_themselves,
            table chains::held_windows_become_items_with_the_step,
            table chains::a_hold_is_changed_by_whoever_saw_it,
            table playbacks::a_playback_is_its_tenants_and_moves_by_revision,
            table playbacks::of_two_that_move_a_playback_one_wins,
            table playbacks::what_has_not_ended_is_listed_for_all_tenants,
            table sweeps::the_last_mark_of_a_sweep_counts,
            table sweeps::leftovers_are_read_page_by_page_until_they_are_forgotten,
            table sweeps::the_time_without_knowledge_is_kept_until_it_is_over,
            table given_up::slices_that_were_given_up_are_found_by_when_they_were_received,
            table roll_ups::roll_ups_are_found_by_their_five_minutes,
            table roll_ups::the_last_roll_up_of_five_minutes_counts,
            table checkpoints::the_newest_checkpoint_never_goes_back,
            table checkpoints::how_far_a_shard_was_checked_is_kept,
            table scalings::the_last_scaling_log_of_a_stream_counts,
            table rates::rates_are_charged_on_condition_and_together,
            table rates::of_concurrent_charges_each_counts,
            table spreads::a_spread_grows_from_what_was_seen,
            table spreads::of_concurrent_growths_one_counts,
            table refused::counts_of_refused_envelopes_add_up,
            table refused::counts_of_refused_envelopes_are_read_by_whole_hours,
            table work::an_entry_is_put_moved_and_removed_with_its_index_item,
            table work::an_entry_that_was_put_again_stays,
            table work::of_concurrent_adds_one_counts,
            table work::a_list_is_its_owners_and_in_the_order_of_causes,
            table work::index_items_are_due_at_their_instant,
            table work::an_index_item_says_since_when_it_is_alone,
            queue work::an_owner_has_one_nudge_under_way,
            queue work::the_same_nudge_comes_once,
            queue work::more_nudges_than_one_call_takes,
            key seal_key::what_it_signs_its_public_half_verifies,
            objects objects::an_object_is_written_once,
            objects objects::concurrent_writers_have_one_winner,
            objects objects::ranges_are_cut_at_the_end,
            objects objects::a_range_behind_the_end_has_no_bytes,
            objects objects::what_is_not_there_is_none,
            objects objects::an_empty_object_is_an_object,
            objects objects::keys_of_any_script_up_to_1024_bytes,
            objects objects::any_note_is_taken,
            objects objects::large_objects_come_back_whole,
            objects objects::keys_are_listed_in_order_page_by_page,
            objects objects::an_object_is_listed_with_its_size_and_time_until_it_is_removed,
            objects objects::what_is_removed_is_gone_and_may_be_removed_again,
            objects objects::many_objects_are_removed_by_one_request,
            notices notices::notices_are_published_again_and_again,
            notices notices::a_notice_over_the_limit_is_refused_for_good,
        }
    };
}

/// A name that nobody else uses.
fn unique(what: &str) -> String {
    format!("{what}-{}", Uuid::new_v4().simple())
}

fn tenant_id() -> TenantId {
    unique("c").parse().expect("a tenant's name")
}

fn shard() -> Shard {
    Shard::new(&unique("contract"), "shardId-000000000000").expect("a shard")
}

fn sequence(n: u64) -> Sequence {
    format!("4968512047302518736401925837465019283746{n:016}")
        .parse()
        .expect("digits")
}

fn origin(shard: &Shard, n: u64) -> Origin {
    Origin {
        shard: shard.clone(),
        sequence: sequence(n),
    }
}

fn tally(events: u64) -> Tally {
    let mut digest = [0xA5; 32];
    digest[..8].copy_from_slice(&events.to_be_bytes());
    Tally {
        events,
        rejected: events / 2,
        digest: Digest::from_bytes(digest),
    }
}

/// Text of several scripts, with what keys and expressions are made of.
const ANY_SCRIPT: &str = "Zwölf #:~ schöne {Größen} 数学 \"ε\" 'x' 🎓 \\ \u{7f} ";

fn long_text(bytes: usize) -> String {
    ANY_SCRIPT
        .chars()
        .cycle()
        .scan(0, |sum, c| {
            *sum += c.len_utf8();
            (*sum <= bytes).then_some(c)
        })
        .collect()
}
