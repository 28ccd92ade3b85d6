// A table that can be sorted by its heads.

import type { ComponentChildren, JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';

export type Key = string | number | null;

export interface Column<R> {
  name: string;
  /** What it is sorted by; what is none comes last either way. */
  by?: (row: R) => Key;
  cell: (row: R) => ComponentChildren;
  numeric?: boolean;
  /** Names the row for those who hear the table. */
  head?: boolean;
}

export interface Sorting {
  column: number;
  ascending: boolean;
}

export function compare(a: Key, b: Key): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

export function sorted<R>(rows: readonly R[], by: ((row: R) => Key) | undefined, ascending: boolean): R[] {
  if (!by) return [...rows];
  const keyed = rows.map((row) => ({ row, key: by(row) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return Number(a.key === null) - Number(b.key === null);
    return ascending ? compare(a.key, b.key) : compare(b.key, a.key);
  });
  return keyed.map(({ row }) => row);
}

export function SortHead({
  name,
  numeric = false,
  sorting,
  column,
  onSort,
  children,
  class: own = '',
  title,
}: {
  name: string;
  numeric?: boolean;
  sorting: Sorting | null;
  column: number;
  onSort: (sorting: Sorting) => void;
  children?: ComponentChildren;
  class?: string;
  title?: string;
}): JSX.Element {
  const mine = sorting?.column === column;
  const state = mine ? (sorting.ascending ? 'ascending' : 'descending') : 'none';
  // Numbers are looked at from the top, names from A.
  const press = () => onSort({ column, ascending: mine ? !sorting.ascending : !numeric });
  return (
    <th scope="col" aria-sort={state} class={`${numeric ? 'number' : ''} ${own}`}>
      <button type="button" class="sort" onClick={press} title={title}>
        {children ?? name}
        <span class="arrow" aria-hidden="true">
          {mine ? (sorting.ascending ? '▲' : '▼') : '↕'}
        </span>
      </button>
    </th>
  );
}

export function Table<R>({
  caption,
  columns,
  rows,
  first = null,
  keyOf,
}: {
  caption: string;
  columns: Column<R>[];
  rows: R[];
  first?: Sorting | null;
  keyOf: (row: R) => string;
}): JSX.Element {
  const [sorting, setSorting] = useState<Sorting | null>(first);
  const by = sorting ? columns[sorting.column]?.by : undefined;
  const shown = useMemo(() => sorted(rows, by, sorting?.ascending ?? true), [rows, sorting, by]);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column, at) =>
              column.by ? (
                <SortHead
                  key={column.name}
                  name={column.name}
                  numeric={column.numeric ?? false}
                  sorting={sorting}
                  column={at}
                  onSort={setSorting}
                />
              ) : (
                <th key={column.name} scope="col" class={column.numeric ? 'number' : ''}>
                  {column.name}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((column) =>
                column.head ? (
                  <th key={column.name} scope="row">
                    {column.cell(row)}
                  </th>
                ) : (
                  <td key={column.name} class={column.numeric ? 'number' : ''}>
                    {column.cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
