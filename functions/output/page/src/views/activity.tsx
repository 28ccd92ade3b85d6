import type { JSX } from 'preact';
import { may, useAnswer, useShared } from '../context.ts';
import { count, hours, sectionName, shortName, weekday } from '../format.ts';
import { CsvButton } from '../parts/csv.tsx';
import { Go, SectionTabs, Way } from '../parts/go.tsx';
import { HeatMap } from '../parts/heatmap.tsx';
import { RangePicker, useRange } from '../parts/range.tsx';
import { Show, Through } from '../parts/show.tsx';
import { go, remember, type Selection } from '../place.ts';
import type { Range } from '../time.ts';
import type { Activity } from '../types.ts';

export function ActivityView({ selection }: { selection: Selection }): JSX.Element {
  const { api, me, zone } = useShared();
  const { section } = selection;
  const learner = me.learner ?? selection.learner;
  const own = me.learner !== null;
  const chosen = useRange(selection.range ?? { preset: '7d' });
  const { range } = chosen;
  const parameters = { ...range, section, learner, zone };
  const answer = useAnswer<Activity | null>(`activity ${JSON.stringify(parameters)}`, async (signal) =>
    range ? api.get<Activity>('reports/activity', parameters, signal) : null,
  );
  return (
    <>
      {(section !== undefined || selection.learner !== undefined) && (
        <Way selection={{ section, learner: selection.learner }} learnerOnly={own} />
      )}
      <div class="title">
        <h1>
          Activity
          <Whose section={section} learner={own ? undefined : learner} />
        </h1>
        {range && <CsvButton path="reports/activity" parameters={parameters} file="activity.csv" />}
      </div>
      <Through reach={answer.data} />
      {section !== undefined && learner === undefined && <SectionTabs section={section} view="activity" />}
      <RangePicker chosen={chosen} />
      <Show
        of={answer}
        lines={12}
        empty={(data) =>
          data?.total === 0 ? (
            <>
              <h2>No activity</h2>
              <p>No event of this range. Choose an earlier or a longer one.</p>
            </>
          ) : null
        }
      >
        {(data) => data && range && <Map data={data} range={range} selection={{ ...selection, range: chosen.choice }} />}
      </Show>
    </>
  );
}

export function Whose({ section, learner }: { section?: string | undefined; learner?: string | undefined }): JSX.Element {
  return (
    <>
      {learner !== undefined && <span title={learner}> of {shortName(learner)}</span>}
      {section !== undefined && <span title={section}> in {sectionName(section)}</span>}
    </>
  );
}

/** The busiest cell, in words. */
function busiest(events: number[][]): string {
  let best = { weekday: 0, hour: 0, value: -1 };
  events.forEach((row, day) => {
    row.forEach((value, hour) => {
      if (value > best.value) best = { weekday: day, hour, value };
    });
  });
  return `${weekday(best.weekday)} ${hours(best.hour)}, with ${count(best.value)}`;
}

function Map({ data, range, selection }: { data: Activity; range: Range; selection: Selection }): JSX.Element {
  const { me } = useShared();
  const { section, learner } = selection;
  const readable = may(me, 'events:read');
  const choose = (day: number, hour: number) => {
    // So that the way back leads to the same range.
    remember(selection);
    const events = data.events[day]?.[hour] ?? 0;
    go('events', { section, learner, cell: { weekday: day, hour, zone: data.zone, ...range, events } });
  };
  return (
    <>
      <p class="sum">
        {count(data.total)} events, most on {busiest(data.events)}. Hours in {data.zone.replaceAll('_', ' ')}.
        {readable && ' Choose a cell to see its events.'}
      </p>
      <HeatMap events={data.events} choose={readable ? choose : undefined} />
      {section === undefined && learner === undefined && me.learner === null && (
        <p class="note">
          Of all sections together. <Go view="sections">Choose a section</Go> for one alone.
        </p>
      )}
    </>
  );
}
