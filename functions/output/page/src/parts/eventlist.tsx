// Events in a list; each opens to all that is known of it and to its raw form.

import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { useShared } from '../context.ts';
import { isText, printExact } from '../exact.ts';
import { NONE, SECTION_PARTS, shortNames } from '../format.ts';
import type { EventView, Finding } from '../types.ts';
import { Go } from './go.tsx';
import { At } from './show.tsx';

/** A text, or the id of an object. */
export function idOf(value: unknown): string | null {
  if (isText(value)) return value;
  if (typeof value !== 'object' || value === null) return null;
  const id = (value as Record<string, unknown>)['id'] ?? (value as Record<string, unknown>)['@id'];
  return isText(id) ? id : null;
}

function textOf(event: Record<string, unknown>, ...names: string[]): string | null {
  for (const name of names) {
    const value = event[name];
    if (isText(value)) return value;
  }
  return null;
}

/** When it happened, as far as it says so in a way that can be read. */
export function eventTime(view: EventView): string | null {
  const said = textOf(view.event, 'eventTime');
  return said !== null && !Number.isNaN(Date.parse(said)) ? said : null;
}

export function EventList({ events }: { events: EventView[] }): JSX.Element {
  const names = useMemo(
    () => new Map([
        ...shortNames(events.flatMap(({ event }) => idOf(event['actor']) ?? [])),
        ...shortNames(events.flatMap(({ event }) => idOf(event['group']) ?? []), SECTION_PARTS),
      ]),
    [events],
  );
  return (
    <ul class="events">
      {events.map((view) => (
        <li key={`${view.receipt} ${view.index}`}>
          <Item view={view} names={names} />
        </li>
      ))}
    </ul>
  );
}

function Item({ view, names }: { view: EventView; names: Map<string, string> }): JSX.Element {
  const { event } = view;
  const [actor, group] = [idOf(event['actor']), idOf(event['group'])];
  const short = (id: string | null) => (id === null ? NONE : (names.get(id) ?? id));
  const action = textOf(event, 'action');
  return (
    <details>
      <summary>
        <span class="when">
          <At at={eventTime(view) ?? view.received_at} />
        </span>
        <span class="what">
          <strong>{textOf(event, 'type', '@type') ?? (view.erased ? 'Erased' : 'No type')}</strong> {action}
        </span>
        <span class="actor" title={actor ?? undefined}>
          <span class="unseen">Actor </span>
          {short(actor)}
        </span>
        <span class="group" title={group ?? undefined}>
          <span class="unseen">Section </span>
          {short(group)}
        </span>
        <span class={`tag ${view.disposition}`}>{view.disposition}</span>
      </summary>
      <Details view={view} actor={actor} group={group} />
    </details>
  );
}

function Details({ view, actor, group }: { view: EventView; actor: string | null; group: string | null }): JSX.Element {
  const { me } = useShared();
  const id = textOf(view.event, 'id', '@id');
  return (
    <div class="event">
      <dl class="facts">
        <div>
          <dt>Received</dt>
          <dd>
            <At at={view.received_at} /> from {view.sensor}
          </dd>
        </div>
        <div>
          <dt>Receipt</dt>
          <dd>
            <code>{view.receipt}</code>, number {view.index}
          </dd>
        </div>
        <div>
          <dt>Disposition</dt>
          <dd>
            {view.disposition}
            {view.provisional ? ', not sealed yet' : ', sealed'}
          </dd>
        </div>
        {view.fingerprint !== null && (
          <div class="wide">
            <dt>Fingerprint</dt>
            <dd>
              <code>{view.fingerprint}</code>
            </dd>
          </div>
        )}
      </dl>
      <Findings title="Rejected because" findings={view.problems} />
      <Findings title="Let pass in lenient mode" findings={view.deviations} />
      <p class="actions">
        {id !== null && (
          <Go view="events" selection={{ filters: { id, disposition: 'all' }, range: { preset: '31d' } }}>
            All with this id
          </Go>
        )}
        {actor !== null && me.learner === null && (
          <Go view="events" selection={{ filters: { actor } }}>
            All of this actor
          </Go>
        )}
        {group !== null && (
          <Go view="events" selection={{ filters: { group } }}>
            All of this section
          </Go>
        )}
      </p>
      {Object.keys(view.event).length === 0 ? (
        <p class="note">Its text is that of the event which it repeats.</p>
      ) : (
        <pre tabIndex={0} aria-label="The event as it was sent">
          {printExact(view.event)}
        </pre>
      )}
    </div>
  );
}

function Findings({ title, findings }: { title: string; findings: Finding[] | undefined }): JSX.Element | null {
  if (!findings || findings.length === 0) return null;
  return (
    <div class="findings">
      <h3>{title}</h3>
      <ul>
        {findings.map((finding, at) => (
          <li key={at}>
            <code>{finding.rule}</code> {finding.pointer && <code>{finding.pointer}</code>} {finding.message}
          </li>
        ))}
      </ul>
    </div>
  );
}
