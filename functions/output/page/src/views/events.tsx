// The events explorer, and the events of one cell of the heat map.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { may, useAnswer, useShared } from '../context.ts';
import { count } from '../format.ts';
import { EventList } from '../parts/eventlist.tsx';
import { EventFilters, type Filters } from '../parts/filters.tsx';
import { useFollow } from '../parts/follow.ts';
import { RangePicker, useRange } from '../parts/range.tsx';
import { ProblemBox, Show, Through } from '../parts/show.tsx';
import { go, type Selection } from '../place.ts';
import { iso, parseLocal, type Range } from '../time.ts';
import type { Events } from '../types.ts';
import { CellEvents } from './cell.tsx';

export function EventsView({ selection }: { selection: Selection }): JSX.Element {
  const { me } = useShared();
  if (!may(me, 'events:read')) return <p>Events need the scope events:read.</p>;
  return selection.cell ? <CellEvents selection={selection} cell={selection.cell} /> : <Explorer selection={selection} />;
}

const PAGE = 50;

/** What the API is asked: the form's local times become instants. */
export function parametersOf(filters: Filters, range: Range, zone: string): Record<string, string> {
  const asked: Record<string, string> = { ...range };
  for (const [name, value] of Object.entries(filters)) {
    if (value === '') continue;
    const instant = name === 'event_from' || name === 'event_to' ? parseLocal(value, zone) : null;
    asked[name] = instant === null || Number.isNaN(instant) ? value : new Date(instant).toISOString();
  }
  return asked;
}

function Explorer({ selection }: { selection: Selection }): JSX.Element {
  const { api, zone } = useShared();
  const chosen = useRange(selection.range ?? { preset: '7d' });
  const { range } = chosen;
  const filters = selection.filters ?? {};
  // The cursors that led here: the way back needs no question to the API.
  const [cursors, setCursors] = useState<string[]>([]);
  const cursor = cursors.at(-1);
  const asked = range ? parametersOf(filters, range, zone) : null;
  const answer = useAnswer<Events | null>(`events ${JSON.stringify([asked, cursor])}`, async (signal) =>
    asked ? api.events<Events>('events', { ...asked, limit: PAGE, cursor }, signal) : null,
  );
  const [follows, setFollows] = useState(false);
  // Only what ends now can go on, from its first page.
  const canFollow = 'preset' in chosen.choice && cursors.length === 0 && answer.data !== null;
  const followed = useFollow(follows && canFollow ? (answer.data?.events ?? null) : null, async (from, signal) => {
    const parameters = { ...asked, from, to: iso(Date.now()), limit: PAGE };
    return (await api.events<Events>('events', parameters, signal)).events;
  });
  const search = (filters: Filters) => go('events', { filters, range: chosen.choice });
  return (
    <>
      <div class="title">
        <h1>Events</h1>
        <label class="follow">
          <input type="checkbox" checked={follows} disabled={!canFollow} onChange={(e) => setFollows(e.currentTarget.checked)} />
          Follow what comes in
        </label>
      </div>
      <Through reach={answer.data} />
      <RangePicker
        presets={['1h', '24h', '7d', '31d']}
        chosen={{
          ...chosen,
          choose: (choice) => {
            setCursors([]);
            chosen.choose(choice);
          },
        }}
      />
      <EventFilters filters={filters} search={search} />
      <Show
        of={answer}
        lines={10}
        empty={(data) =>
          data?.events.length === 0 && data.next_cursor === null && !followed?.events.length ? (
            <>
              <h2>No such event</h2>
              <p>No event of this range passes the filters. Take one away, or choose a longer range.</p>
            </>
          ) : null
        }
      >
        {(data) =>
          data && (
            <>
              {followed?.problem && <ProblemBox problem={followed.problem} />}
              <p class="sum" aria-live="polite">
                {followed ? `${count(followed.fresh)} came in since. ` : ''}Page {count(cursors.length + 1)}, {count((followed?.events ?? data.events).length)} events. The range is of the time of receipt.
              </p>
              <EventList events={followed?.events ?? data.events} />
              <Pager
                back={cursors.length > 0 ? () => setCursors(cursors.slice(0, -1)) : null}
                on={data.next_cursor === null ? null : () => setCursors([...cursors, data.next_cursor ?? ''])}
              />
            </>
          )
        }
      </Show>
    </>
  );
}

function Pager({ back, on }: { back: (() => void) | null; on: (() => void) | null }): JSX.Element | null {
  if (!back && !on) return null;
  const turn = (to: (() => void) | null) => () => {
    to?.();
    scrollTo(0, 0);
  };
  return (
    <nav class="pager" aria-label="Pages">
      <button type="button" disabled={!back} onClick={turn(back)}>
        Previous page
      </button>
      <button type="button" disabled={!on} onClick={turn(on)}>
        Next page
      </button>
    </nav>
  );
}
