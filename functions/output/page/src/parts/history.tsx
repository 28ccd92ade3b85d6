// A score's history: each change with the event that caused it, in the order of cause.

import type { JSX } from 'preact';
import { may, useAnswer, useShared } from '../context.ts';
import { duration, shortName } from '../format.ts';
import { DAY, iso, RANGE_DAYS_MAX } from '../time.ts';
import type { Change, History } from '../types.ts';
import { Go } from './go.tsx';
import { Score } from './score.tsx';
import { At, Show } from './show.tsx';

export interface HistoryOf {
  section: string;
  learner: string;
  assignment: string | null;
  attempt: string | null;
}

/** As far back as one answer looks. */
function lookedThrough(): { from: string; to: string } {
  const now = Date.now();
  return { from: iso(now - RANGE_DAYS_MAX * DAY), to: iso(now) };
}

export function HistoryPanel({ section, learner, assignment, attempt }: HistoryOf): JSX.Element {
  const { api } = useShared();
  const answer = useAnswer(`history ${section} ${learner} ${assignment} ${attempt}`, (signal) =>
    api.get<History>('reports/history', { section, learner, assignment, attempt, ...lookedThrough() }, signal),
  );
  return (
    <div class="history">
      <Show
        of={answer}
        lines={3}
        empty={(data) => (data.changes.length === 0 ? <p>No event of the last {RANGE_DAYS_MAX} days changed it.</p> : null)}
      >
        {(data) => (
          <ol>
            {data.changes.map((change) => (
              <ChangeItem key={`${change.receipt} ${change.index}`} change={change} />
            ))}
          </ol>
        )}
      </Show>
    </div>
  );
}

function ChangeItem({ change }: { change: Change }): JSX.Element {
  const { me } = useShared();
  const scored = change.score !== null && change.score !== undefined;
  const cleared = !scored && change.changed.includes('score');
  const share = scored && change.maximum ? ((change.score ?? 0) / change.maximum) * 100 : null;
  return (
    <li>
      <p>
        <strong>
          {change.type} {change.action}
        </strong>{' '}
        <At at={change.event_time} />{' '}
        {change.disposition !== 'stored' && <span class="tag">{change.disposition}</span>}
      </p>
      {scored && <Score given={change.score ?? null} maximum={change.maximum ?? null} share={share} />}
      {cleared && <span class="none">score taken back</span>}
      <p class="note">
        {change.changed.length === 0 ? 'Later events said otherwise' : `Still holds: ${change.changed.join(', ')}`}
        {change.actor !== null && <span title={change.actor}>, by {shortName(change.actor)}</span>}
        {change.time_spent_seconds != null && <>, {duration(change.time_spent_seconds)} spent</>}, received{' '}
        <At at={change.received_at} />
        {change.id !== null && may(me, 'events:read') && (
          <>
            {', '}
            <Go view="events" selection={{ filters: { id: change.id }, range: { preset: '31d' } }}>
              the event itself
            </Go>
          </>
        )}
      </p>
    </li>
  );
}
