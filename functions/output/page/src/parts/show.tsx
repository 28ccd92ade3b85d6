// The states that every answer goes through: loading, a problem, nothing there, the data.

import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type Problem, wayOut } from '../api.ts';
import { type Answer, useShared } from '../context.ts';
import { exactTime, time } from '../format.ts';
import type { Reach } from '../types.ts';

export function Show<T>({
  of,
  lines = 6,
  empty,
  children,
}: {
  of: Answer<T>;
  /** How much room to keep while it loads, so that nothing jumps. */
  lines?: number;
  /** What to say of an answer that holds nothing; none when it holds something. */
  empty?: (data: T) => ComponentChildren | null;
  children: (data: T) => ComponentChildren;
}): JSX.Element {
  if (of.problem) return <ProblemBox problem={of.problem} again={of.reload} />;
  if (of.data === null) return <Loading lines={lines} />;
  const nothing = empty?.(of.data) ?? null;
  return <div aria-busy={of.loading}>{nothing === null ? children(of.data) : <Empty>{nothing}</Empty>}</div>;
}

/** Said only when it takes long enough to be noticed. */
const SAY_AFTER_MILLIS = 400;

export function Loading({ lines }: { lines: number }): JSX.Element {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), SAY_AFTER_MILLIS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="loading" role="status" aria-live="polite">
      <span class={late ? '' : 'unseen'}>Loading…</span>
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} class="bone" aria-hidden="true" />
      ))}
    </div>
  );
}

export function Empty({ children }: { children: ComponentChildren }): JSX.Element {
  return <div class="notice empty">{children}</div>;
}

export function ProblemBox({ problem, again }: { problem: Problem; again?: () => void }): JSX.Element {
  return (
    <div class="notice problem" role="alert">
      <h2>{problem.title}</h2>
      {problem.detail !== '' && <p class="detail">{problem.detail}</p>}
      {problem.findings.length > 0 && (
        <ul>
          {problem.findings.slice(0, 10).map((finding, at) => (
            <li key={at}>
              <code>{finding.pointer}</code> {finding.message}
            </li>
          ))}
        </ul>
      )}
      <p>{wayOut(problem)}</p>
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function At({ at, none = '–' }: { at: string | number | null | undefined; none?: string }): JSX.Element {
  const { zone } = useShared();
  if (at === null || at === undefined) return <span class="none">{none}</span>;
  const instant = new Date(at);
  return (
    <time dateTime={instant.toISOString()} title={exactTime(at, zone)}>
      {time(at, zone)}
    </time>
  );
}

/** What every view says of its data: up to when it is complete, and whether it may still change. */
export function Through({ reach }: { reach: Reach | null }): JSX.Element {
  return (
    <p class="through" data-testid="through">
      {reach === null ? (
        '\u00a0'
      ) : (
        <>
          <span>
            Complete through{' '}
            <strong>
              <At at={reach.complete_through} none="– (nothing is sealed yet)" />
            </strong>
          </span>
          {reach.live_through !== undefined && reach.live_through !== null && (
            <span>
              , live through <At at={reach.live_through} />
            </span>
          )}
          {reach.provisional === true && <span title="What is not sealed yet is provisional">; may still change</span>}
          {reach.resends_counted === true && (
            <span title="So much is not sealed yet that it was added up from counts">; events sent again count again until they are sealed</span>
          )}
          .
        </>
      )}
    </p>
  );
}
