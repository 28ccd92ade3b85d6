import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Api, apiBase, type Problem } from '../api.ts';
import { problemOf } from '../context.ts';
import { ProblemBox } from '../parts/show.tsx';
import type { Me } from '../types.ts';

export function SignIn({
  kept,
  why,
  onSignedIn,
  onForget,
}: {
  /** The token of before the reload. */
  kept: string | null;
  /** Why the last one is not signed in any more. */
  why: Problem | null;
  onSignedIn: (token: string, me: Me) => void;
  onForget: (why: Problem) => void;
}): JSX.Element {
  const [busy, setBusy] = useState(kept !== null);
  const [problem, setProblem] = useState<Problem | null>(why);
  const field = useRef<HTMLInputElement>(null);

  const enter = async (token: string) => {
    setBusy(true);
    setProblem(null);
    try {
      const me = await new Api(token, apiBase()).get<Me>('me');
      onSignedIn(token, me);
    } catch (error) {
      const found = problemOf(error);
      setBusy(false);
      setProblem(found);
      // A token that is none is not kept; without an answer nothing is known of it.
      if (found.status === 401) onForget(found);
      field.current?.focus();
    }
  };

  useEffect(() => {
    document.title = 'Sign in · Insights';
    if (kept !== null) void enter(kept);
  }, []);
  useEffect(() => {
    if (why) setProblem(why);
  }, [why]);

  const submit = (event: Event) => {
    event.preventDefault();
    const token = field.current?.value.trim() ?? '';
    if (token === '') {
      field.current?.focus();
      return;
    }
    void enter(token);
  };

  return (
    <main id="main" class="signin" tabIndex={-1}>
      <h1>Insights</h1>
      <p>What your sections do and how they score, from the events that Vernier keeps.</p>
      <form onSubmit={submit}>
        <label for="token">Token</label>
        <input
          id="token"
          ref={field}
          type="password"
          required
          autoComplete="off"
          autoCapitalize="none"
          spellcheck={false}
          aria-describedby="token-note"
          disabled={busy}
        />
        <p id="token-note" class="note">
          It begins with vrn_. It stays in this tab, and is forgotten when you sign out or close the tab.
        </p>
        <button type="submit" class="main" disabled={busy}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
      </form>
      {problem && <ProblemBox problem={problem} />}
    </main>
  );
}
