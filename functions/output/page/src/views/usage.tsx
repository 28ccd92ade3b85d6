import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useAnswer, useShared } from '../context.ts';
import { clock, count, day } from '../format.ts';
import type { Trend } from '../parts/chart.ts';
import { CsvButton } from '../parts/csv.tsx';
import { SectionTabs, Way } from '../parts/go.tsx';
import { type Chosen, RangePicker, useRange } from '../parts/range.tsx';
import { ProblemBox, Show, Through } from '../parts/show.tsx';
import type { Selection } from '../place.ts';
import { Problem } from '../api.ts';
import type { Usage, UsageBucket } from '../types.ts';
import { Whose } from './activity.tsx';

type Bucket = 'hour' | 'day';

export function UsageView({ selection }: { selection: Selection }): JSX.Element {
  const { api, zone } = useShared();
  const { section } = selection;
  const chosen = useRange({ preset: '7d' });
  const { range } = chosen;
  const [bucket, setBucket] = useState<Bucket>('day');
  const parameters = { ...range, section, zone, bucket };
  const answer = useAnswer<Usage | null>(`usage ${JSON.stringify(parameters)}`, async (signal) =>
    range ? api.get<Usage>('reports/usage', parameters, signal) : null,
  );
  return (
    <>
      {section !== undefined && <Way selection={{}} learnerOnly={false} />}
      <div class="title">
        <h1>
          Usage
          <Whose section={section} />
        </h1>
        {range && <CsvButton path="reports/usage" parameters={parameters} file="usage.csv" />}
      </div>
      <Through reach={answer.data} />
      {section !== undefined && <SectionTabs section={section} view="usage" />}
      <Controls chosen={chosen} bucket={bucket} setBucket={setBucket} />
      <Show
        of={answer}
        lines={12}
        empty={(data) =>
          data && totals(data.buckets).length === 0 ? (
            <>
              <h2>No events</h2>
              <p>No event of this range. Choose an earlier or a longer one.</p>
            </>
          ) : null
        }
      >
        {(data) => data && <Shown data={data} />}
      </Show>
    </>
  );
}

function Controls({
  chosen,
  bucket,
  setBucket,
}: {
  chosen: Chosen;
  bucket: Bucket;
  setBucket: (bucket: Bucket) => void;
}): JSX.Element {
  return (
    <div class="controls">
      <RangePicker chosen={chosen} />
      <div class="range">
        <label for="bucket">By</label>
        <select id="bucket" value={bucket} onChange={(event) => setBucket(event.currentTarget.value as Bucket)}>
          <option value="hour">hour</option>
          <option value="day">day</option>
        </select>
      </div>
    </div>
  );
}

/** Events by type, the most frequent first. */
export function totals(buckets: readonly UsageBucket[]): { type: string; events: number }[] {
  const sums = new Map<string, number>();
  for (const bucket of buckets) {
    for (const [type, events] of Object.entries(bucket.events)) sums.set(type, (sums.get(type) ?? 0) + events);
  }
  return [...sums]
    .map(([type, events]) => ({ type, events }))
    .filter(({ events }) => events > 0)
    .sort((a, b) => b.events - a.events || a.type.localeCompare(b.type));
}

/** Types with a colour of their own; the others share one. */
const COLOURS = 6;
const OTHER = 'Other types';

/** What is drawn: the most frequent types each, the rest together. */
export function seriesOf(buckets: readonly UsageBucket[]): { name: string; events: number; values: number[] }[] {
  const all = totals(buckets);
  const own = all.length > COLOURS + 1 ? all.slice(0, COLOURS) : all;
  const rest = all.slice(own.length);
  const values = (types: string[]) =>
    buckets.map((bucket) => types.reduce((sum, type) => sum + (bucket.events[type] ?? 0), 0));
  const drawn = own.map(({ type, events }) => ({ name: type, events, values: values([type]) }));
  if (rest.length === 0) return drawn;
  const events = rest.reduce((sum, one) => sum + one.events, 0);
  return [...drawn, { name: OTHER, events, values: values(rest.map((one) => one.type)) }];
}

function Shown({ data }: { data: Usage }): JSX.Element {
  const { zone } = useShared();
  const series = useMemo(() => seriesOf(data.buckets), [data]);
  const label = useMemo(() => {
    const hourly = data.bucket === 'hour';
    return (start: string) => (hourly ? `${day(start, zone)}, ${clock(start, zone)}` : day(start, zone));
  }, [data, zone]);
  const all = series.reduce((sum, one) => sum + one.events, 0);
  return (
    <>
      <p class="sum">{count(all)} events</p>
      <Drawn data={data} series={series} label={label} all={all} />
      <ul class="legend">
        {series.map((one, at) => (
          <li key={one.name}>
            <span class={`swatch type-${at}`} aria-hidden="true" />
            {one.name} <span class="figure">{count(one.events)}</span>
          </li>
        ))}
        <li>
          <span class="swatch line" aria-hidden="true" />
          Active learners (line, right scale)
        </li>
      </ul>
      <Figures data={data} series={series} label={label} />
    </>
  );
}

interface Parts {
  data: Usage;
  series: ReturnType<typeof seriesOf>;
  label: (start: string) => string;
}

/** Colours are the style sheet's, so that light and dark are decided in one place. */
function trendOf({ data, series, label }: Parts, style: CSSStyleDeclaration): Trend {
  const colour = (name: string) => style.getPropertyValue(name).trim();
  return {
    labels: data.buckets.map((bucket) => label(bucket.start)),
    types: series.map(({ name, values }, at) => ({ name, values, colour: colour(`--type-${at}`) })),
    learners: {
      name: 'Active learners',
      values: data.buckets.map((bucket) => bucket.active_learners),
      colour: colour('--line'),
    },
    ink: colour('--soft'),
    grid: colour('--edge'),
  };
}

function Drawn({ data, series, label, all }: Parts & { all: number }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [failed, setFailed] = useState(false);
  const [dark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches);
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)');
    const change = () => setDark(query.matches);
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  useEffect(() => {
    let gone = false;
    let remove = () => {};
    import('../parts/chart.ts').then(
      ({ draw }) => {
        if (gone || !canvas.current) return;
        remove = draw(canvas.current, trendOf({ data, series, label }, getComputedStyle(document.documentElement)));
      },
      () => setFailed(true),
    );
    return () => {
      gone = true;
      remove();
    };
  }, [data, series, label, dark]);
  if (failed) {
    return <ProblemBox problem={new Problem(0, 'The chart cannot be loaded', 'Its figures are in the table below.')} />;
  }
  const name = `${count(all)} events by ${data.bucket} and type, with active learners. The table below has the figures.`;
  return (
    <div class="chart">
      <canvas ref={canvas} role="img" aria-label={name} />
    </div>
  );
}

function Figures({ data, series, label }: Parts): JSX.Element {
  return (
    <details class="figures-table">
      <summary>The figures as a table</summary>
      <div class="scroll tall" tabIndex={0} role="region" aria-label="Usage in figures">
        <table>
          <caption class="unseen">Events by {data.bucket} and type</caption>
          <thead>
            <tr>
              <th scope="col">{data.bucket === 'hour' ? 'Hour' : 'Day'}</th>
              {series.map((one) => (
                <th key={one.name} scope="col" class="number">
                  {one.name}
                </th>
              ))}
              <th scope="col" class="number">
                Active learners
              </th>
            </tr>
          </thead>
          <tbody>
            {data.buckets.map((bucket, at) => (
              <tr key={bucket.start}>
                <th scope="row">{label(bucket.start)}</th>
                {series.map((one) => (
                  <td key={one.name} class="number">
                    {count(one.values[at] ?? 0)}
                  </td>
                ))}
                <td class="number">{count(bucket.active_learners)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
