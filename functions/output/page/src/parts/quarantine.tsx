// Rejected events: how many by rule and sensor, and the latest of them.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useAnswer, useShared } from '../context.ts';
import { count } from '../format.ts';
import { DAY, untilNow } from '../time.ts';
import type { Deviations, Events } from '../types.ts';
import { EventList } from './eventlist.tsx';
import { Show, Through } from './show.tsx';
import { Table } from './table.tsx';

interface RuleRow {
  rule: string;
  sensor: string;
  rejected: number;
  passed: number;
}

export function rulesOf(report: Deviations): RuleRow[] {
  return report.sensors.flatMap(({ sensor, rules }) =>
    rules.map(({ rule, problems, deviations }) => ({ rule, sensor, rejected: problems, passed: deviations })),
  );
}

export function QuarantinePanel(): JSX.Element {
  const { api } = useShared();
  const [rule, setRule] = useState<string | null>(null);
  const report = useAnswer('deviations', (signal) => api.get<Deviations>('deviations', untilNow(DAY), signal));
  return (
    <section class="panel">
      <h2>Quarantine</h2>
      <p class="sum">Of the last 24 hours, by rule and sensor. Nothing rejected is lost: it can be played back.</p>
      <Through reach={report.data} />
      <Show
        of={report}
        empty={(data) => (rulesOf(data).length === 0 ? <p>No event broke a rule.</p> : null)}
      >
        {(data) => (
          <>
            <p class="sum">
              {count(data.sensors.reduce((sum, sensor) => sum + sensor.rejected, 0))} of{' '}
              {count(data.sensors.reduce((sum, sensor) => sum + sensor.events, 0))} events rejected.
            </p>
            <Table
              caption="Rules that events broke"
              rows={rulesOf(data)}
              keyOf={(row) => `${row.sensor} ${row.rule}`}
              first={{ column: 2, ascending: false }}
              columns={[
                {
                  name: 'Rule',
                  head: true,
                  by: (row) => row.rule,
                  cell: (row) => (
                    <button type="button" class="link" onClick={() => setRule(row.rule)} title="Show such events">
                      {row.rule}
                    </button>
                  ),
                },
                { name: 'Sensor', by: (row) => row.sensor, cell: (row) => row.sensor },
                { name: 'Rejected for it', numeric: true, by: (row) => row.rejected, cell: (row) => count(row.rejected) },
                { name: 'Let pass', numeric: true, by: (row) => row.passed, cell: (row) => count(row.passed) },
              ]}
            />
          </>
        )}
      </Show>
      {report.data !== undefined && report.data !== null && report.data.refused.length > 0 && (
        <>
          <h3>Envelopes refused whole</h3>
          <p class="sum">Nothing of these is kept: their sensors have to send them again. Counted by the hour; at least so many.</p>
          <Table
            caption="Envelopes refused whole"
            rows={report.data.refused}
            keyOf={(row) => `${row.sensor} ${row.rule}`}
            first={{ column: 2, ascending: false }}
            columns={[
              { name: 'Rule', head: true, by: (row) => row.rule, cell: (row) => row.rule },
              { name: 'Sensor', by: (row) => row.sensor, cell: (row) => row.sensor },
              { name: 'Envelopes', numeric: true, by: (row) => row.envelopes, cell: (row) => count(row.envelopes) },
            ]}
          />
        </>
      )}
      {rule !== null && <Rejected rule={rule} />}
    </section>
  );
}

function Rejected({ rule }: { rule: string }): JSX.Element {
  const { api } = useShared();
  const answer = useAnswer(`quarantine ${rule}`, (signal) =>
    api.events<Events>('quarantine', { rule, limit: 10, ...untilNow(DAY) }, signal),
  );
  return (
    <div>
      <h3>The latest that broke {rule}</h3>
      <Show of={answer} empty={(data) => (data.events.length === 0 ? <p>None was rejected for it.</p> : null)}>
        {(data) => <EventList events={data.events} />}
      </Show>
    </div>
  );
}
