// A learner's performance in a section: each assignment with its attempts, and on demand how a
// score came to be.

import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { may, useAnswer, useShared } from '../context.ts';
import { count, duration, percent, sectionName, shortName, shortNames } from '../format.ts';
import { CsvButton } from '../parts/csv.tsx';
import { Go, Way } from '../parts/go.tsx';
import { HistoryPanel } from '../parts/history.tsx';
import { Score } from '../parts/score.tsx';
import { At, Show, Through } from '../parts/show.tsx';
import type { Selection } from '../place.ts';
import type { Assignment, Assignments, Attempt } from '../types.ts';
import { NoSection } from './grades.tsx';

export function LearnerView({ selection }: { selection: Selection }): JSX.Element {
  const { me } = useShared();
  const learner = me.learner ?? selection.learner;
  if (selection.section === undefined || learner === undefined) return <NoSection />;
  return <Performance section={selection.section} learner={learner} />;
}

function Performance({ section, learner }: { section: string; learner: string }): JSX.Element {
  const { api, me } = useShared();
  const own = me.learner !== null;
  const answer = useAnswer(`assignments ${section} ${learner}`, (signal) =>
    api.get<Assignments>('reports/assignments', { section, learner }, signal),
  );
  return (
    <>
      <Way selection={own ? {} : { section }} learnerOnly={own} />
      <div class="title">
        <h1 title={learner}>{own ? 'My performance' : shortName(learner)}</h1>
        <CsvButton path="reports/assignments" parameters={{ section, learner }} file="assignments.csv" />
      </div>
      <Through reach={answer.data} />
      <p class="sum">
        In section <span title={section}>{sectionName(section)}</span>.{' '}
        <Go view="activity" selection={{ section, learner }}>
          When {own ? 'I was' : 'this learner was'} active
        </Go>
        {may(me, 'events:read') && (
          <>
            {', '}
            <Go view="events" selection={{ filters: { actor: learner, group: section } }}>
              events
            </Go>
          </>
        )}
      </p>
      <Show
        of={answer}
        lines={10}
        empty={(data) =>
          data.assignments.length === 0 ? (
            <>
              <h2>No attempt yet</h2>
              <p>No event has told of an attempt of this learner at an assignment of this section.</p>
            </>
          ) : null
        }
      >
        {(data) => <List data={data} section={section} learner={learner} />}
      </Show>
    </>
  );
}

/** Of several attempts the one with the latest score counts; without a score, the latest. */
export function counting(attempts: readonly Attempt[]): Attempt | null {
  const scored = attempts.filter((attempt) => attempt.score !== null);
  const latest = (of: readonly Attempt[], at: (attempt: Attempt) => string | null) =>
    of.reduce<Attempt | null>((best, one) => (best === null || (at(one) ?? '') >= (at(best) ?? '') ? one : best), null);
  return scored.length > 0
    ? latest(scored, (attempt) => attempt.scored_at)
    : latest(attempts, (attempt) => attempt.submitted_at ?? attempt.started_at);
}

function List({ data, section, learner }: { data: Assignments; section: string; learner: string }): JSX.Element {
  const names = useMemo(() => shortNames(data.assignments.flatMap((one) => one.assignment ?? [])), [data]);
  const shares = data.assignments.flatMap((one) => counting(one.attempts)?.percent ?? []);
  const spent = data.assignments.flatMap((one) => one.attempts).reduce((sum, one) => sum + (one.time_spent_seconds ?? 0), 0);
  return (
    <>
      <dl class="tiles">
        <div>
          <dt>Assignments</dt>
          <dd>{count(data.assignments.length)}</dd>
        </div>
        <div>
          <dt>Mean score</dt>
          <dd>{shares.length === 0 ? '–' : percent(shares.reduce((sum, share) => sum + share, 0) / shares.length)}</dd>
        </div>
        <div>
          <dt>Time spent</dt>
          <dd>{spent === 0 ? '–' : duration(spent)}</dd>
        </div>
      </dl>
      <ul class="cards">
        {data.assignments.map((one) => (
          <Card
            key={one.assignment ?? ''}
            one={one}
            name={one.assignment === null ? 'Attempts at no named assignment' : (names.get(one.assignment) ?? one.assignment)}
            section={section}
            learner={learner}
          />
        ))}
      </ul>
    </>
  );
}

interface CardProps {
  one: Assignment;
  name: string;
  section: string;
  learner: string;
}

function Card({ one, name, section, learner }: CardProps): JSX.Element {
  const counts = counting(one.attempts);
  return (
    <li class="card">
      <div class="card-head">
        <h2 title={one.assignment ?? undefined}>{name}</h2>
        {counts && <Score given={counts.score} maximum={counts.maximum} share={counts.percent} />}
      </div>
      <ol class="attempts">
        {one.attempts.map((attempt, at) => (
          <AttemptItem
            key={attempt.attempt ?? at}
            attempt={attempt}
            label={`Attempt ${attempt.count ?? at + 1}`}
            note={one.attempts.length > 1 && attempt === counts ? 'counts' : null}
            of={{ section, learner, assignment: one.assignment }}
          />
        ))}
      </ol>
    </li>
  );
}

interface Of {
  section: string;
  learner: string;
  assignment: string | null;
}

function AttemptItem({
  attempt,
  label,
  note,
  of,
}: {
  attempt: Attempt;
  label: string;
  note: string | null;
  of: Of;
}): JSX.Element {
  const [open, setOpen] = useState(false);
  const parts = attempt.parts ?? [];
  return (
    <li>
      <div class="attempt-head">
        <h3>{label}</h3>
        {attempt.status !== null && <span class="tag">{attempt.status}</span>}
        {note !== null && <span class="tag strong">{note}</span>}
        <Score given={attempt.score} maximum={attempt.maximum} share={attempt.percent} />
      </div>
      <dl class="facts">
        <Fact name="Started">
          <At at={attempt.started_at} />
        </Fact>
        <Fact name="Submitted">
          <At at={attempt.submitted_at} />
        </Fact>
        <Fact name="Time spent">{attempt.time_spent_seconds === null ? '–' : duration(attempt.time_spent_seconds)}</Fact>
        <Fact name="Scored">
          <At at={attempt.scored_at} />
        </Fact>
        <Fact name="Scored by">
          {attempt.scored_by === null ? '–' : <span title={attempt.scored_by}>{shortName(attempt.scored_by)}</span>}
        </Fact>
      </dl>
      <div class="actions">
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? 'Hide the history' : 'History of this score'}
        </button>
      </div>
      {open && <HistoryPanel {...of} attempt={attempt.attempt} />}
      {parts.length > 0 && <Parts parts={parts} />}
    </li>
  );
}

function Fact({ name, children }: { name: string; children: JSX.Element | string }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Parts({ parts }: { parts: Attempt[] }): JSX.Element {
  const names = useMemo(() => shortNames(parts.flatMap((part) => part.attempt ?? [])), [parts]);
  return (
    <details class="parts">
      <summary>{parts.length === 1 ? '1 item' : `${count(parts.length)} items`}</summary>
      <ul>
        {parts.map((part, at) => (
          <li key={part.attempt ?? at}>
            <span title={part.attempt ?? undefined}>{names.get(part.attempt ?? '') ?? `Item ${at + 1}`}</span>
            <Score given={part.score} maximum={part.maximum} share={part.percent} />
          </li>
        ))}
      </ul>
    </details>
  );
}
