// The events of one cell of the heat map: a weekday's hour, in every week of its range.
//
// The heat map counts stored events that were received in the range by the hour in which they
// happened, on the clock of its zone, and the service is asked for the same events here: also those
// that came late are found, and the count must come to the cell's.

import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Problem } from '../api.ts';
import { problemOf, useShared } from '../context.ts';
import { count, hours, time, weekday } from '../format.ts';
import { EventList, eventTime } from '../parts/eventlist.tsx';
import { Way } from '../parts/go.tsx';
import { Loading, ProblemBox, Through } from '../parts/show.tsx';
import type { Cell, Selection } from '../place.ts';
import { dayIn } from '../time.ts';
import type { Events, EventView, Reach } from '../types.ts';
import { Whose } from './activity.tsx';

const PAGE = 1000;
/** Pages that are read before the reader is asked whether to go on. */
const PAGES_MAX = 10;
/** The days of the week by the names that the service knows, from Monday. */
const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];

interface Search {
  found: EventView[];
  cursor: string | null;
  reach: Reach | null;
  /** Running, waiting to be told to go on, or at its end. */
  state: 'running' | 'waiting' | 'done';
  problem: Problem | null;
}

const BEGINNING: Search = { found: [], cursor: null, reach: null, state: 'running', problem: null };

/** Reads page after page until all of the cell are there: in a section, or of a learner, mostly one. */
function useCellSearch(selection: Selection, cell: Cell): [Search, () => void] {
  const { api, me } = useShared();
  const [search, setSearch] = useState(BEGINNING);
  const latest = useRef(search);
  latest.current = search;
  const [round, setRound] = useState(0);
  useEffect(() => {
    const control = new AbortController();
    const run = async () => {
      let now: Search = { ...latest.current, state: 'running', problem: null };
      for (let page = 0; page < PAGES_MAX; page += 1) {
        const answer: Events = await api.events<Events>(
          'events',
          {
            from: cell.from,
            to: cell.to,
            weekday: WEEKDAYS[cell.weekday],
            hour: cell.hour,
            zone: cell.zone,
            group: selection.section,
            actor: me.learner === null ? selection.learner : undefined,
            limit: PAGE,
            cursor: now.cursor,
          },
          control.signal,
        );
        const found = [...now.found, ...answer.events];
        const done = answer.next_cursor === null;
        const { complete_through, live_through, provisional } = answer;
        now = {
          found,
          cursor: answer.next_cursor,
          reach: { complete_through, live_through: live_through ?? null, provisional: provisional ?? true },
          state: done ? 'done' : 'running',
          problem: null,
        };
        setSearch(now);
        if (done) return;
      }
      setSearch({ ...now, state: 'waiting' });
    };
    run().catch((error: unknown) => {
      if (!control.signal.aborted) setSearch({ ...latest.current, state: 'waiting', problem: problemOf(error) });
    });
    return () => control.abort();
  }, [round]);
  return [search, () => setRound(round + 1)];
}

export function CellEvents({ selection, cell }: { selection: Selection; cell: Cell }): JSX.Element {
  const { me, zone } = useShared();
  const [search, goOn] = useCellSearch(selection, cell);
  const days = useMemo(() => byDay(search.found, cell.zone), [search.found, cell.zone]);
  const { section, learner } = selection;
  return (
    <>
      <Way selection={{ section, learner }} learnerOnly={me.learner !== null} />
      <div class="title">
        <h1>
          {weekday(cell.weekday)} {hours(cell.hour)}
          <Whose section={section} learner={learner} />
        </h1>
        <button type="button" onClick={() => history.back()}>
          Back to the heat map
        </button>
      </div>
      <Through reach={search.reach} />
      <p class="sum" aria-live="polite">
        <span data-testid="found">{count(search.found.length)}</span> of {count(cell.events)} events found. Hours in{' '}
        {cell.zone.replaceAll('_', ' ')}; received from {time(cell.from, zone)} to {time(cell.to, zone)}.
      </p>
      {search.state === 'done' && search.found.length !== cell.events && (
        <p class="note">Events were stored or sealed since the heat map was made: it counts anew when it is opened again.</p>
      )}
      {search.found.length === 0 && search.state === 'running' && <Loading lines={8} />}
      {days.map(([day, events]) => (
        <section key={day}>
          <h2 class="day">
            {new Intl.DateTimeFormat(undefined, { timeZone: 'UTC', dateStyle: 'full' }).format(new Date(day))}{' '}
            <span class="figure">{count(events.length)}</span>
          </h2>
          <EventList events={events} />
        </section>
      ))}
      {search.problem && <ProblemBox problem={search.problem} again={goOn} />}
      {search.state === 'waiting' && search.problem === null && (
        <p class="actions">
          <button type="button" onClick={goOn}>
            Read more
          </button>
        </p>
      )}
    </>
  );
}

/** Events by the day in the zone on which they happened, the latest first. */
function byDay(events: EventView[], zone: string): [string, EventView[]][] {
  const days = new Map<string, EventView[]>();
  const at = (view: EventView) => Date.parse(eventTime(view) ?? view.received_at);
  for (const view of [...events].sort((a, b) => at(b) - at(a))) {
    const day = dayIn(at(view), zone);
    days.set(day, [...(days.get(day) ?? []), view]);
  }
  return [...days].sort(([a], [b]) => b.localeCompare(a));
}
