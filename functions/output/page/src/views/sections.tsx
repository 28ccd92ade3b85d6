import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { may, useAnswer, useShared } from '../context.ts';
import { count, NONE, SECTION_PARTS, shortNames } from '../format.ts';
import { CsvButton } from '../parts/csv.tsx';
import { Go } from '../parts/go.tsx';
import { RangePicker, useRange } from '../parts/range.tsx';
import { At, Show, Through } from '../parts/show.tsx';
import { Table } from '../parts/table.tsx';
import type { Events, Reach, SectionRow, Sections } from '../types.ts';

export function SectionsView(): JSX.Element {
  const { me } = useShared();
  return me.learner === null ? <AllSections /> : <OwnSections learner={me.learner} />;
}

function AllSections(): JSX.Element {
  const { api } = useShared();
  const chosen = useRange({ preset: '7d' });
  const { range } = chosen;
  const answer = useAnswer<Sections | null>(`sections ${range?.from} ${range?.to}`, async (signal) =>
    range ? api.get<Sections>('reports/sections', { ...range }, signal) : null,
  );
  return (
    <>
      <div class="title">
        <h1>Sections</h1>
        {range && <CsvButton path="reports/sections" parameters={{ ...range }} file="sections.csv" />}
      </div>
      <Through reach={answer.data} />
      <RangePicker chosen={chosen} />
      <Show
        of={answer}
        empty={(data) =>
          data?.sections.length === 0 ? (
            <>
              <h2>No section was active</h2>
              <p>No stored event was received in this range. Choose an earlier or a longer one.</p>
            </>
          ) : null
        }
      >
        {(data) => data && <SectionTable rows={data.sections} />}
      </Show>
    </>
  );
}

function SectionTable({ rows }: { rows: SectionRow[] }): JSX.Element {
  const names = useMemo(() => shortNames(rows.flatMap((row) => row.section ?? []), SECTION_PARTS), [rows]);
  const all = rows.reduce((sum, row) => sum + row.events, 0);
  return (
    <>
      <p class="sum">
        {count(rows.filter((row) => row.section !== null).length)} sections, {count(all)} events
      </p>
      <Table
        caption="Sections"
        rows={rows}
        keyOf={(row) => row.section ?? ''}
        first={{ column: 1, ascending: false }}
        columns={[
          {
            name: 'Section',
            head: true,
            by: (row) => row.section && (names.get(row.section) ?? row.section),
            cell: (row) =>
              row.section === null ? (
                <span class="none">Events of no section</span>
              ) : (
                <Go view="grades" selection={{ section: row.section }} title={row.section}>
                  {names.get(row.section)}
                </Go>
              ),
          },
          { name: 'Events', numeric: true, by: (row) => row.events, cell: (row) => count(row.events) },
          {
            name: 'Active learners',
            numeric: true,
            by: (row) => row.active_learners,
            cell: (row) => count(row.active_learners),
          },
          { name: 'Last event', by: (row) => row.last_event_at, cell: (row) => <At at={row.last_event_at} none={NONE} /> },
        ]}
      />
    </>
  );
}

/** Events that are looked through for a learner's sections: a learner makes some hundreds a week. */
const OWN_PAGES_MAX = 5;
const PAGE = 1000;

interface Own extends Reach {
  sections: SectionRow[];
  more: boolean;
}

/** A learner's token reads no list of sections, but its own events name theirs. */
function OwnSections({ learner }: { learner: string }): JSX.Element {
  const { api, me } = useShared();
  const chosen = useRange({ preset: '31d' });
  const { range } = chosen;
  const readable = may(me, 'events:read');
  const answer = useAnswer<Own | null>(`own ${range?.from} ${range?.to}`, async (signal) =>
    range && readable
      ? ownSections((cursor) => api.events<Events>('events', { ...range, limit: PAGE, cursor }, signal))
      : null,
  );
  return (
    <>
      <div class="title">
        <h1>My sections</h1>
      </div>
      <Through reach={answer.data} />
      {readable ? (
        <RangePicker chosen={chosen} />
      ) : (
        <p>The sections are found in your events, which needs the scope events:read.</p>
      )}
      {readable && (
        <Show
          of={answer}
          empty={(data) =>
            data?.sections.length === 0 ? (
              <>
                <h2>No section yet</h2>
                <p>None of your events in this range belongs to a section. Choose a longer one.</p>
              </>
            ) : null
          }
        >
          {(data) => data && <OwnTable own={data} learner={learner} />}
        </Show>
      )}
    </>
  );
}

async function ownSections(page: (cursor: string | null) => Promise<Events>): Promise<Own> {
  const found = new Map<string, SectionRow>();
  let cursor: string | null = null;
  let answer: Events | null = null;
  for (let read = 0; read < OWN_PAGES_MAX && (read === 0 || cursor !== null); read += 1) {
    answer = await page(cursor);
    for (const { event, received_at } of answer.events) {
      const section = groupOf(event);
      if (section === null) continue;
      const row = found.get(section) ?? { section, events: 0, active_learners: 1, last_event_at: '' };
      row.events += 1;
      if (received_at > row.last_event_at) row.last_event_at = received_at;
      found.set(section, row);
    }
    cursor = answer.next_cursor;
  }
  return {
    sections: [...found.values()],
    more: cursor !== null,
    complete_through: answer?.complete_through ?? null,
    live_through: answer?.live_through ?? null,
    provisional: answer?.provisional ?? true,
  };
}

/** An event's section: its group, or what stands for it. */
export function groupOf(event: Record<string, unknown>): string | null {
  const idOf = (value: unknown): string | null => {
    if (typeof value === 'string') return value;
    const id = (value as Record<string, unknown> | null | undefined)?.['id'];
    return typeof id === 'string' ? id : null;
  };
  const membership = event['membership'] as Record<string, unknown> | null | undefined;
  return idOf(event['group']) ?? (typeof membership === 'object' ? idOf(membership?.['organization']) : null);
}

function OwnTable({ own, learner }: { own: Own; learner: string }): JSX.Element {
  const names = useMemo(() => shortNames(own.sections.flatMap((row) => row.section ?? []), SECTION_PARTS), [own]);
  return (
    <>
      {own.more && <p class="note">Found in your latest {count(OWN_PAGES_MAX * PAGE)} events; there are more.</p>}
      <Table
        caption="My sections"
        rows={own.sections}
        keyOf={(row) => row.section ?? ''}
        first={{ column: 2, ascending: false }}
        columns={[
          {
            name: 'Section',
            head: true,
            by: (row) => row.section,
            cell: (row) => (
              <Go view="learner" selection={{ section: row.section ?? undefined, learner }} title={row.section ?? ''}>
                {names.get(row.section ?? '')}
              </Go>
            ),
          },
          { name: 'My events', numeric: true, by: (row) => row.events, cell: (row) => count(row.events) },
          { name: 'Last received', by: (row) => row.last_event_at, cell: (row) => <At at={row.last_event_at} /> },
        ]}
      />
    </>
  );
}
