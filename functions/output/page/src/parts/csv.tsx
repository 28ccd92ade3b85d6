// A report as a file. A plain link cannot carry the token, so the page fetches and hands it over.

import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Parameters, Problem } from '../api.ts';
import { problemOf, useShared } from '../context.ts';
import { ProblemBox } from './show.tsx';

/** How long the browser may take to begin writing the file, milliseconds. */
const KEEP_MILLIS = 60_000;

export function CsvButton({ path, parameters, file }: { path: string; parameters: Parameters; file: string }): JSX.Element {
  const { api, announce } = useShared();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const save = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const address = URL.createObjectURL(await api.csv(path, parameters));
      const link = document.createElement('a');
      link.href = address;
      // A fixed name: files lie about, and an id in their names would too.
      link.download = file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), KEEP_MILLIS);
      announce(`${file} saved`);
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button type="button" onClick={save} disabled={busy}>
        {busy ? 'Saving…' : 'Save as CSV'}
      </button>
      {problem && <ProblemBox problem={problem} />}
    </>
  );
}
