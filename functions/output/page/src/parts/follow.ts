// Following along: what comes in is asked for every few seconds, from where the last answer ended, and
// only while somebody can see it.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Problem } from '../api.ts';
import { problemOf } from '../context.ts';
import { iso } from '../time.ts';
import type { EventView } from '../types.ts';

/** Between an answer and the next question. */
export const FOLLOW_MILLIS = 5_000;
/** Questions begin so long before the newest event that is known: what was received together is stored one after the other. */
const OVERLAP_MILLIS = 60_000;
/** Events that are kept; at 10,000 a second nobody reads them all. */
const KEPT = 200;

export interface Followed {
  /** What came since, and what was there before, the newest first. */
  events: EventView[];
  /** How many of them came since. */
  fresh: number;
  problem: Problem | null;
}

const keyOf = (view: EventView) => `${view.receipt} ${view.index}`;

/** Events in one list, each once and as it was said last, the newest first. */
export function merged(known: EventView[], found: EventView[]): EventView[] {
  const all = new Map([...known, ...found].map((view) => [keyOf(view), view]));
  const newest = (a: EventView, b: EventView) =>
    Date.parse(b.received_at) - Date.parse(a.received_at) || b.receipt.localeCompare(a.receipt) || b.index - a.index;
  return [...all.values()].sort(newest).slice(0, KEPT);
}

/** Resolves once the page can be seen. */
function seen(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState === 'visible') resolve();
    };
    document.addEventListener('visibilitychange', look, { signal });
    look();
  });
}

function pause(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, millis);
    signal.addEventListener('abort', () => clearTimeout(timer));
  });
}

/**
 * Follows what `ask` finds from an instant on, beginning with the events of a first page; none while it is off.
 * A question that fails is asked again, after the time that the service names.
 */
export function useFollow(first: EventView[] | null, ask: (from: string, signal: AbortSignal) => Promise<EventView[]>): Followed | null {
  const [followed, setFollowed] = useState<Followed | null>(null);
  const asked = useRef(ask);
  asked.current = ask;
  const isOn = first !== null;
  useEffect(() => {
    if (first === null) {
      setFollowed(null);
      return;
    }
    const control = new AbortController();
    const { signal } = control;
    const known = new Set(first.map(keyOf));
    let now: Followed = { events: first, fresh: 0, problem: null };
    setFollowed(now);
    const began = Date.now();
    const run = async () => {
      for (;;) {
        await pause((now.problem?.retryAfterSeconds ?? 0) * 1_000 + FOLLOW_MILLIS, signal);
        await seen(signal);
        const newest = now.events[0] ? Date.parse(now.events[0].received_at) : began;
        try {
          const found = await asked.current(iso(newest - OVERLAP_MILLIS), signal);
          const events = merged(now.events, found);
          const fresh = now.fresh + found.filter((view) => !known.has(keyOf(view))).length;
          for (const view of found) known.add(keyOf(view));
          now = { events, fresh, problem: null };
        } catch (error) {
          if (signal.aborted) return;
          now = { ...now, problem: problemOf(error) };
        }
        if (signal.aborted) return;
        setFollowed(now);
      }
    };
    void run();
    return () => control.abort();
  }, [isOn]);
  return followed;
}
