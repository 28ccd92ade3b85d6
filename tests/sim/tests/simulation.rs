//! Simulation tier: seeded histories, planted bugs, named reproductions.

use vernier_sim::{Bug, campaign, generate};

/// Seeds of `make test`; `make sim` plays as many as it is told.
const SEEDS: u64 = 2_000;

#[test]
fn no_seed_breaks_an_invariant() {
    let report = campaign::run(0..SEEDS, None, generate::script);
    assert_eq!(report.violations, 0, "{report}");
}

/// Long histories of `make test`, of up to so many tenants and days each; `make sim DAYS=7 TENANTS=20` plays longer ones.
const LONG_SEEDS: u64 = 4;
const TENANTS_MAX: u16 = 6;
const DAYS_MAX: u16 = 2;

#[test]
fn no_long_history_breaks_an_invariant() {
    let script_of = |seed| generate::long_script(seed, TENANTS_MAX, DAYS_MAX);
    let report = campaign::run(0..LONG_SEEDS, None, script_of);
    assert_eq!(report.violations, 0, "{report}");
}

#[test]
fn a_seed_plays_the_same_history_every_time() {
    for seed in 0..40 {
        let script = generate::script(seed);
        let again = script.to_string().parse().expect("scripts read back");
        let (one, other) = (
            vernier_sim::play(&script, None),
            vernier_sim::play(&again, None),
        );
        assert_eq!(one.fingerprint, other.fingerprint, "seed {seed}");
    }
}

/// Once only the newest windows were looked at: what the trigger went past later than that stayed lost.
#[test]
fn a_record_that_is_lost_after_an_outage_is_brought_back() {
    let script = "seed 904; send 0 7; outage 51; skip 0 1; send 0 11";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// What a crashed try left lies where its events were received, not where it was written.
#[test]
fn what_a_late_crashed_try_left_is_swept() {
    let script = "seed 10064; send 0 3; send 0 1b; deliver 0 1; outage 15; crash 7; deliver 0 1; \
                  skip 0 1";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// The window was complete and not sealed yet when an envelope without an answer was claimed in it.
#[test]
fn a_claim_in_a_complete_window_does_not_keep_it_from_its_seal() {
    let script = "seed 32672; send 0 1h; copy 2 5; send 0 6b; send 0 7b; \
                  fault acknowledge * before; send 0 1b; jump 1; deliver 0 2; jump 203; deliver 0 2; \
                  park 14; run 1; crash 6; deliver 0 1; skip 0 1";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// Once a nudge made an entry due that the stream function relied on for its next commits: a worker removed it, and what
/// came then was sealed a day later.
#[test]
fn a_nudge_leaves_an_entry_that_others_rely_on_its_time() {
    let script = "seed 64656; send 0 1b; fault acknowledge * before; send 0 0; jump 219; \
                  deliver 0 1; nudge 1; run 1";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// A worker looks for what the trigger went past while the trigger has not come further, and once waited for an hour then,
/// longer than the window is held.
#[test]
fn what_can_be_had_is_brought_back_before_its_hold_ends() {
    let script = "seed 203696; send 0 7b; crash 0; send 0 9; skip 0 1";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// A batch of a closed shard that the trigger gave up, and of which another record may still bring something.
#[test]
fn a_failed_batch_that_waits_for_its_trigger_lets_everything_else_end() {
    let script = "seed 122000; plan; work 0 30; send 0 7r; reslice 0 2; giveup 2 1; send 0 4h; jump 222; run 7; \
                  deliver 0 1; run 1; deliver 0 1; skip 0 1";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// What a playback sends goes through the stream like anything else, and its segment can be lost.
#[test]
fn what_a_playback_sent_can_be_missing() {
    let script = "seed 1040; send 0 7; jump 239; deliver 0 1; run 1; replay 0 stream; run 1; deliver 0 1; lose 5";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// The trigger went past a record and has not come to another since, so that the window is held while the stream has it.
#[test]
fn evidence_of_a_held_window_waits_for_its_seal() {
    let script =
        "seed 640; send 0 8x; jump 171; skip 0 1; merge 0; fault acknowledge * before; send 0 2b";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// An oversize event goes when the archive has it, also while the history goes on.
#[test]
fn an_oversize_event_that_is_sealed_may_be_swept() {
    let script = "seed 900014; tenants 4; send 0 137O; live 855";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// What comes late for a day that was merged is a seal alone, and stays as it is until there is a second one.
#[test]
fn one_seal_behind_its_merged_day_stays() {
    let script = "seed 900023; tenants 16; live 262; crash 0; send 11 74x; live 670; live 126; send 12 41x; live 51; \
                  send 12 25g; live 504; live 384; replay 12 stream; run 10; skip 0 1; live 243; outage 2";
    assert_eq!(vernier_sim::replay(script), Ok(()));
}

/// Seeds that a planted bug may take to be caught.
const HUNT_SEEDS: u64 = 2_000;

/// The hunt begins at a seed: the first, or one just before a history that catches the bug, where few do and those
/// before it would take half a minute. When histories change, it goes on from there.
fn is_caught(bug: Bug, first_seed: u64) {
    let found = campaign::hunt(bug, first_seed..first_seed + HUNT_SEEDS);
    let (runs, finding) = found.unwrap_or_else(|| panic!("{bug:?}: not in {HUNT_SEEDS} runs"));
    let script = finding.script.to_string();
    assert!(
        vernier_sim::replay_with(&script, Some(bug)).is_err(),
        "{script}"
    );
    assert_eq!(
        vernier_sim::replay(&script),
        Ok(()),
        "without the bug: {script}"
    );
    eprintln!("{bug:?}: caught in run {runs}: {finding}");
}

macro_rules! caught {
    ($($name:ident: $bug:ident from $first_seed:literal),* $(,)?) => {$(
        #[test]
        fn $name() {
            is_caught(Bug::$bug, $first_seed);
        }
    )*};
}

caught! {
    a_skipped_claim_is_caught: SkipClaim from 0,
    a_dropped_origin_check_is_caught: DropOriginCheck from 0,
    a_forgotten_claim_is_caught: ForgetOwnClaim from 0,
    a_stale_claim_that_swallows_a_playback_is_caught: StaleClaimSwallowsPlayback from 0,
    a_cursor_before_its_segment_is_caught: CursorBeforeSegment from 0,
    a_crashed_try_that_counts_twice_is_caught: CommitUnconditionally from 0,
    an_ignored_failed_entry_is_caught: IgnoreFailedEntry from 0,
    a_skipped_fence_is_caught: SkipFence from 0,
    a_lost_acknowledgement_is_caught: LoseAcknowledgement from 0,
    a_swapped_last_writer_is_caught: LastArrivalWins from 0,
    a_seal_without_comparing_is_caught: SealUncompared from 0,
    a_seal_before_its_grace_is_caught: SealBeforeGrace from 14,
    a_forgotten_look_back_is_caught: ForgetEarlierWindows from 0,
    an_overwritten_seal_is_caught: OverwriteSeal from 0,
    a_chain_that_moves_from_anywhere_is_caught: MoveChainUnconditionally from 5_071,
    a_forgotten_backfill_is_caught: ForgetBackfills from 30,
    a_healing_without_a_fence_is_caught: HealWithoutFence from 940,
    a_swept_segment_that_is_not_sealed_is_caught: SweepUnsealed from 110,
    a_playback_that_moves_first_is_caught: MovePlaybackFirst from 60,
    a_held_window_that_nobody_hears_of_is_caught: KeepSilent from 430,
    an_entry_after_the_first_append_is_caught: EntryAfterAppend from 1_550,
    a_reader_that_begins_late_is_caught: BeginLate from 0,
    an_idle_run_over_a_backed_off_window_is_caught: IdleOverBackedOff from 14,
    evidence_that_leaves_receipts_out_is_caught: LeaveOutOfEvidence from 0,
    a_hold_that_is_not_signed_is_caught: ForgetHolds from 0,
    a_clock_that_a_recovery_resets_is_caught: ResetClocks from 320,
    a_shortfall_that_names_too_little_is_caught: ForgetLostSlices from 0,
    a_shortfall_that_counts_too_much_is_caught: OverlookSegments from 0,
    a_filter_with_a_false_no_is_caught: DenyIdentities from 0,
    an_index_that_leaves_actors_out_is_caught: LeaveActorsOut from 0,
    a_page_that_ends_too_early_is_caught: EndPagesEarly from 0,
}

/// What a roll-up has in the place of filters is not theirs by its hash, so that no answer changes.
#[test]
fn a_roll_up_with_false_filters_changes_no_answer() {
    let mut rolled_up = 0;
    for seed in 0..100 {
        let script = generate::script(seed);
        let played = vernier_sim::play(&script, Some(Bug::RollUpDenials));
        assert_eq!(played.violation, None, "{script}");
        rolled_up += played.counts.rolled_up;
    }
    assert!(rolled_up > 100, "{rolled_up}");
}

/// The bug shows in a history for some number in the place of `{k}`: after how many polls somebody stands still or
/// dies, or how many seconds pass.
fn is_caught_somewhere(bug: Bug, history: &str) {
    for polls in 1..=250 {
        let script = history.replace("{k}", &polls.to_string());
        if let Err(finding) = vernier_sim::replay_with(&script, Some(bug)) {
            assert_eq!(
                vernier_sim::replay(&script),
                Ok(()),
                "without the bug: {script}"
            );
            eprintln!("{bug:?}: caught with {polls}: {finding}");
            return;
        }
    }
    panic!("{bug:?} is not caught: {history}");
}

/// A seal that its worker did not write before it died is one that the chain names and nobody has.
#[test]
fn a_chain_before_its_seal_is_caught() {
    let history =
        "seed 1; send 0 1; deliver 0 4; deliver 1 4; jump 250; plan; crash {k}; work 1 30";
    is_caught_somewhere(Bug::ChainBeforeSeal, history);
}

/// An envelope that got no answer, and whose batch the trigger gave up, is brought back when its day is over and swept: no
/// seal has its oversize event until then.
#[test]
fn a_sweep_of_what_is_named_late_is_caught() {
    let history = "seed {k}; outage 250; outage 250; outage 250; fault acknowledge * before; send 0 1O; giveup 0 4; \
                   giveup 1 4; outage 130; plan; work 1 60; plan; work 0 60; plan; work 0 60; deliver 0 4; deliver 1 4";
    is_caught_somewhere(Bug::SweepNamedLate, history);
}

/// An envelope whose receipt is of just before its window's end, and which is sent just after it.
#[test]
fn an_entry_remembered_too_long_is_caught() {
    let history = "seed {k}; jump 174; send 0 1; deliver 0 4; deliver 1 4; run 30";
    is_caught_somewhere(Bug::RememberEntriesTooLong, history);
}

/// What comes late for a window while a worker looks at what came late before.
#[test]
fn a_removed_entry_that_was_put_again_is_caught() {
    let history = "seed 1; send 0 1; deliver 0 4; deliver 1 4; \
                   fault acknowledge * before; send 0 2; fault acknowledge * before; send 0 3; \
                   jump 250; run 30; deliver 0 1; jump 250; jump 250; jump 60; plan; \
                   park {k}; work 1 30; deliver 0 1; deliver 1 1; resume 0";
    is_caught_somewhere(Bug::RemoveWhateverIsThere, history);
}

/// Of two envelopes of a shard that the trigger went past, the stream does not keep the first any more.
#[test]
fn a_recovery_that_stops_at_what_is_gone_is_caught() {
    let history = "seed {k}; send 0 1; send 0 2; send 0 3; skip 0 3; skip 1 3; expire 0 1; expire 1 1; \
                   send 0 4; send 0 5; send 0 6; send 0 7; deliver 0 9; deliver 0 9; jump 250; run 30";
    is_caught_somewhere(Bug::StopAtGone, history);
}

/// What the stream function fails on each time is kept raw, is named, and holds nothing else up.
#[test]
fn a_poisonous_frame_ends_in_quarantine() {
    for seed in 1..6 {
        let script = format!(
            "seed {seed}; send 0 1 2; send 0 3; poison 0; deliver 0 9; deliver 1 9; send 1 4; live 300"
        );
        assert_eq!(vernier_sim::replay(&script), Ok(()), "{script}");
    }
}

/// A queue may lose what it was sent.
#[test]
fn a_nudge_that_is_sent_once_is_caught() {
    let history = "seed 1; send 0 1; deliver 0 4; deliver 1 4; jump 250; plan; queue lose; run 30";
    is_caught_somewhere(Bug::NudgeOnce, history);
}

/// A worker looks between the two writes of a playback's entry.
#[test]
fn an_index_item_that_goes_before_its_entry_comes_is_caught() {
    let history = "seed 104912; park {k}; replay 0 stream; run 1";
    is_caught_somewhere(Bug::RemoveLoneAtOnce, history);
}

/// A worker looks at a window between a late block's entry and its commit.
#[test]
fn a_late_entry_that_is_due_at_once_is_caught() {
    let history = "seed 1; send 0 1; deliver 0 4; deliver 1 4; \
                   fault acknowledge * before; send 0 2; jump 250; run 30; \
                   park {k}; deliver 0 1; run 30; resume 0";
    is_caught_somewhere(Bug::LateEntryDueAtOnce, history);
}

/// A window is closed before its envelope comes to the stream function, which is away for longer than receipts are kept;
/// then the trigger goes past it.
#[test]
fn an_expired_receipt_that_is_taken_for_none_is_caught() {
    let away = "outage 255; ".repeat(176);
    let history = format!("seed 1; send 0 1; jump 250; run 30; {away}skip 0 1");
    let finding = vernier_sim::replay_with(&history, Some(Bug::ForgetWrittenDown));
    assert!(finding.is_err(), "not caught");
    assert_eq!(vernier_sim::replay(&history), Ok(()), "without the bug");
}

/// A copy of a frame is given up by the trigger when the frame's receipt has expired, and is brought back then.
#[test]
fn an_old_frame_that_is_stored_twice_is_caught() {
    let away = "outage 255; ".repeat(176);
    let history = format!(
        "seed {{k}}; send 0 1; deliver 0 4; deliver 1 4; jump 250; run 30; {away}copy 0 0; copy 1 0; \
         giveup 0 4; giveup 1 4; playback 0; playback 1; deliver 0 4; deliver 1 4"
    );
    is_caught_somewhere(Bug::AskReceiptsAlone, &history);
}

/// A window is sealed without an envelope that is gone for good, and another one of the same window comes late.
#[test]
fn a_backfill_that_forgets_what_remains_is_caught() {
    let history = "seed {k}; send 0 1; skip 0 3; skip 1 3; expire 0 1; expire 1 1; \
                   fault acknowledge * before; send 0 2; jump 250; run 30; outage 6; run 30; outage 6; run 30; \
                   outage 6; run 30; deliver 0 1; deliver 1 1; outage 6; run 30; outage 6; run 30";
    is_caught_somewhere(Bug::ForgetRemaining, history);
}
