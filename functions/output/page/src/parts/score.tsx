import type { JSX } from 'preact';
import { percent, score } from '../format.ts';

/** A score as a bar and in figures. A score beyond the maximum fills the bar. */
export function Score({
  given,
  maximum,
  share,
}: {
  given: number | null;
  maximum: number | null;
  /** From 0 to 100; none without a maximum. */
  share: number | null;
}): JSX.Element {
  if (given === null) return <span class="none">not scored</span>;
  return (
    <span class="score">
      <span class="figures">
        {score(given)}
        {maximum !== null && <span class="of"> / {score(maximum)}</span>}
      </span>
      {share !== null && (
        <>
          <span class="unseen">, </span>
          <span class="bar" aria-hidden="true">
            <span class={level(share)} style={{ width: `${Math.max(0, Math.min(100, share))}%` }} />
          </span>
          <span class="share">{percent(share)}</span>
        </>
      )}
    </span>
  );
}

/** Three steps, each also told by the bar's length and the figure. */
export function level(share: number): 'low' | 'middle' | 'high' {
  if (share < 50) return 'low';
  return share < 75 ? 'middle' : 'high';
}
