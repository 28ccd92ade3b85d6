// The chain of seals: where it ends, what it holds, and how to check it without trust.

import type { JSX } from 'preact';
import type { Answer } from '../context.ts';
import { count } from '../format.ts';
import type { Seals } from '../types.ts';
import { At, Show } from './show.tsx';
import { Table } from './table.tsx';
import { instant } from './windows.tsx';

export function ChainPanel({ answer }: { answer: Answer<Seals | null> }): JSX.Element {
  return (
    <section class="panel">
      <h2>Seals</h2>
      <Show of={answer}>{(data) => data && <Chain seals={data} />}</Show>
    </section>
  );
}

function Chain({ seals }: { seals: Seals }): JSX.Element {
  const { chain } = seals;
  return (
    <>
      <dl class="tiles">
        <div>
          <dt>Seals in the chain</dt>
          <dd>{count(chain.seals)}</dd>
        </div>
        <div>
          <dt>Complete through</dt>
          <dd>
            <At at={chain.complete_through} none="nothing yet" />
          </dd>
        </div>
        <div>
          <dt>Held</dt>
          <dd class={chain.passed_over.length > 0 ? 'bad' : ''}>{count(chain.passed_over.length)}</dd>
        </div>
      </dl>
      {chain.passed_over.length > 0 && (
        <ul class="passed">
          {chain.passed_over.map((window) => (
            <li key={window.start}>
              <At at={instant(window.start)} /> to <At at={instant(window.end)} /> did not add up; later windows are sealed meanwhile, and it
              is when it does or when its hold is over.
            </li>
          ))}
        </ul>
      )}
      {chain.head !== null && (
        <p class="head">
          Head of the chain (SHA-256 of the last seal): <code>{chain.head}</code>
        </p>
      )}
      <p class="note">
        These are the service’s own words. To check them without trusting it, copy the archive and its seals and run{' '}
        <code>vernier verify</code>: it ends at this head when nothing was changed, dropped or cut off.
      </p>
      {seals.seals.length > 0 && (
        <details>
          <summary>The {count(seals.seals.length)} seals of the last 24 hours</summary>
          <Table
            caption="Seals of the last 24 hours"
            rows={seals.seals}
            keyOf={(seal) => String(seal.sequence)}
            first={{ column: 0, ascending: false }}
            columns={[
              { name: 'Seal', numeric: true, by: (seal) => seal.sequence, cell: (seal) => count(seal.sequence) },
              { name: 'Of', by: (seal) => seal.kind, cell: (seal) => seal.kind },
              { name: 'Begins', by: (seal) => seal.start, cell: (seal) => <At at={seal.start} /> },
              { name: 'Events', numeric: true, by: (seal) => seal.events, cell: (seal) => count(seal.events) },
              { name: 'Rejected', numeric: true, by: (seal) => seal.rejected, cell: (seal) => count(seal.rejected) },
              { name: 'Envelopes short', numeric: true, by: (seal) => seal.missing_count ?? 0, cell: (seal) => count(seal.missing_count ?? 0) },
              { name: 'Sealed', by: (seal) => seal.sealed_at, cell: (seal) => <At at={seal.sealed_at} /> },
              { name: 'SHA-256', cell: (seal) => <code title={seal.sha256}>{seal.sha256.slice(0, 12)}…</code> },
            ]}
          />
        </details>
      )}
    </>
  );
}
