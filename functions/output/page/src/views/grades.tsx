import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { useAnswer, useShared } from '../context.ts';
import { count, percent, score, sectionName, shortNames } from '../format.ts';
import { CsvButton } from '../parts/csv.tsx';
import { Go, SectionTabs, Way } from '../parts/go.tsx';
import { level } from '../parts/score.tsx';
import { Empty, Show, Through } from '../parts/show.tsx';
import { type Key, type Sorting, SortHead, sorted } from '../parts/table.tsx';
import type { Selection } from '../place.ts';
import type { Grade, GradeRow, Grades } from '../types.ts';

export function GradesView({ selection }: { selection: Selection }): JSX.Element {
  return selection.section === undefined ? <NoSection /> : <OfSection section={selection.section} />;
}

export function NoSection(): JSX.Element {
  return (
    <Empty>
      <h1>No section chosen</h1>
      <p>
        Addresses hold no ids, so this one does not say which section. <Go view="sections">Choose a section</Go>.
      </p>
    </Empty>
  );
}

function OfSection({ section }: { section: string }): JSX.Element {
  const { api } = useShared();
  const answer = useAnswer(`grades ${section}`, (signal) => api.get<Grades>('reports/grades', { section }, signal));
  return (
    <>
      <Way selection={{}} learnerOnly={false} />
      <div class="title">
        <h1 title={section}>{sectionName(section)}</h1>
        <CsvButton path="reports/grades" parameters={{ section }} file="grades.csv" />
      </div>
      <Through reach={answer.data} />
      <SectionTabs section={section} view="grades" />
      <Show
        of={answer}
        lines={10}
        empty={(data) =>
          data.learners.length === 0 ? (
            <>
              <h2>No grade yet</h2>
              <p>No event has told of an attempt or a score in this section.</p>
            </>
          ) : null
        }
      >
        {(data) => <GradeTable grades={data} section={section} />}
      </Show>
    </>
  );
}

/** The mean of what is scored, from 0 to 100; none where nothing is. */
export function mean(grades: readonly (Grade | null)[]): number | null {
  const shares = grades.flatMap((grade) => grade?.percent ?? []);
  return shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Columns before the assignments: the learner and the mean. */
const BEFORE = 2;

function keyOf(sorting: Sorting, names: Map<string, string>): (row: GradeRow) => Key {
  if (sorting.column === 0) return (row) => names.get(row.learner) ?? row.learner;
  if (sorting.column === 1) return (row) => mean(row.grades);
  return (row) => {
    const grade = row.grades[sorting.column - BEFORE];
    return grade?.percent ?? grade?.score ?? null;
  };
}

function GradeTable({ grades, section }: { grades: Grades; section: string }): JSX.Element {
  const [sorting, setSorting] = useState<Sorting>({ column: 0, ascending: true });
  const learners = useMemo(() => shortNames(grades.learners.map((row) => row.learner)), [grades]);
  const works = useMemo(() => shortNames(grades.assignments), [grades]);
  const rows = useMemo(
    () => sorted(grades.learners, keyOf(sorting, learners), sorting.ascending),
    [grades, sorting, learners],
  );
  return (
    <>
      <p class="sum">
        {count(grades.learners.length)} learners, {count(grades.assignments.length)} assignments
        {grades.more && '. There are more learners than one answer holds: these are the first'}
      </p>
      <div class="scroll tall" tabIndex={0} role="region" aria-label="Grades">
        <table class="grades">
          <caption class="unseen">Grades: a row for each learner, a column for each assignment</caption>
          <thead>
            <tr>
              <SortHead name="Learner" sorting={sorting} column={0} onSort={setSorting} class="corner" />
              <SortHead name="Mean" numeric sorting={sorting} column={1} onSort={setSorting} />
              {grades.assignments.map((assignment, at) => (
                <SortHead
                  key={assignment}
                  name={works.get(assignment) ?? assignment}
                  title={assignment}
                  numeric
                  sorting={sorting}
                  column={at + BEFORE}
                  onSort={setSorting}
                />
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <Row key={row.learner} row={row} name={learners.get(row.learner) ?? row.learner} section={section} />
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">Mean of the section</th>
              <MeanCell of={grades.learners.flatMap((row) => row.grades)} />
              {grades.assignments.map((assignment, at) => (
                <MeanCell key={assignment} of={grades.learners.map((row) => row.grades[at] ?? null)} />
              ))}
            </tr>
          </tfoot>
        </table>
      </div>
    </>
  );
}

function Row({ row, name, section }: { row: GradeRow; name: string; section: string }): JSX.Element {
  return (
    <tr>
      <th scope="row">
        <Go view="learner" selection={{ section, learner: row.learner }} title={row.learner}>
          {name}
        </Go>
      </th>
      <MeanCell of={row.grades} />
      {row.grades.map((grade, at) => (
        <td key={at} class="number">
          <GradeCell grade={grade} />
        </td>
      ))}
    </tr>
  );
}

function MeanCell({ of }: { of: readonly (Grade | null)[] }): JSX.Element {
  const share = mean(of);
  return <td class="number mean">{share === null ? <span class="none">–</span> : percent(share)}</td>;
}

function GradeCell({ grade }: { grade: Grade | null }): JSX.Element {
  if (grade === null) return <span class="none">–</span>;
  const attempts = grade.attempts > 1 && <span class="tries" title={`${grade.attempts} attempts`}>×{grade.attempts}</span>;
  if (grade.score === null) {
    return (
      <span class="unscored">
        {grade.status ?? 'no score'} {attempts}
      </span>
    );
  }
  return (
    <span class={`grade ${grade.percent === null ? '' : level(grade.percent)}`}>
      {score(grade.score)}
      {grade.maximum !== null && <span class="of"> / {score(grade.maximum)}</span>} {attempts}
    </span>
  );
}
