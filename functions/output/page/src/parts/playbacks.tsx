// Playbacks with their progress.

import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { useAnswer, useShared } from '../context.ts';
import { count, dollars, percent } from '../format.ts';
import type { Playback, Playbacks } from '../types.ts';
import { At, Show } from './show.tsx';

/** How often a playback under way is asked for, milliseconds. */
const WATCH_MILLIS = 5_000;

const OPEN = ['queued', 'running', 'paused'];

export function PlaybacksPanel(): JSX.Element {
  const { api } = useShared();
  const answer = useAnswer('playbacks', (signal) => api.get<Playbacks>('playbacks', {}, signal));
  const open = answer.data?.playbacks.some((one) => OPEN.includes(one.state)) ?? false;
  useEffect(() => {
    if (!open) return;
    const timer = setInterval(() => document.visibilityState === 'visible' && answer.reload(), WATCH_MILLIS);
    return () => clearInterval(timer);
  }, [open, answer.reload]);
  return (
    <section class="panel">
      <h2>Playbacks</h2>
      <Show
        of={answer}
        lines={3}
        empty={(data) =>
          data.playbacks.length === 0 ? (
            <p>
              Nothing was played back yet. <code>vernier playback start</code> begins one.
            </p>
          ) : null
        }
      >
        {(data) => (
          <ul class="cards">
            {data.playbacks.map((one) => (
              <Item key={one.id} one={one} />
            ))}
          </ul>
        )}
      </Show>
    </section>
  );
}

/** How much of it is done, from 0 to 100; what holds no events is done when it has ended. */
export function done({ state, progress }: Pick<Playback, 'state' | 'progress'>): number {
  if (progress.events === 0) return state === 'done' ? 100 : 0;
  return Math.min(100, (progress.events_passed / progress.events) * 100);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function Item({ one }: { one: Playback }): JSX.Element {
  const { progress, diff, request } = one;
  const share = done(one);
  const label = `Playback of ${textOf(request['source'] ?? 'archive')} into ${textOf(request['target'] ?? 'results')}`;
  return (
    <li class="card">
      <div class="card-head">
        <h3>
          {label}
          {request['dry_run'] === true && ' (dry run)'}
        </h3>
        <span class={`tag ${one.state === 'failed' ? 'rejected' : one.state === 'done' ? 'stored' : ''}`}>{one.state}</span>
      </div>
      <div class="progress">
        <progress max={100} value={share} aria-label={label} />
        <span>{percent(share)}</span>
      </div>
      <p class="note">
        {count(progress.events_passed)} of {count(progress.events)} events passed, {count(progress.events_played)} played;{' '}
        {count(progress.seals_done)} of {count(progress.seals)} seals. {count(one.cost.write_units)} write units,{' '}
        {dollars(one.cost.usd)}. Begun <At at={one.created_at} />, last step <At at={one.updated_at} />.
      </p>
      {one.reason !== null && <p class="bad">{one.reason}</p>}
      {diff && (
        <p class="note">
          Results: {count(diff.created)} new, {count(diff.changed)} changed, {count(diff.same)} the same.
        </p>
      )}
    </li>
  );
}
