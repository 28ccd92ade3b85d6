// The one place that talks to the API.

/** How long an answer may take: the gateway itself waits 29 seconds. */
const TIMEOUT_MILLIS = 32_000;

/** `{stage}/`, wherever the page lies: the page is `{stage}/insights`, or that with a slash at its end. */
export function apiBase(page = document.baseURI): URL {
  const { pathname } = new URL(page);
  return new URL(pathname.endsWith('/') ? '..' : '.', page);
}

/** A problem document (RFC 9457), or what stands for one when no answer came. */
export class Problem extends Error {
  /** 0 when there was no answer at all. */
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly findings: { pointer?: string; message?: string }[];
  readonly retryAfterSeconds: number | null;

  constructor(status: number, title: string, detail: string, findings: Problem['findings'] = [], retryAfter: number | null = null) {
    super(`${status} ${title}`);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.findings = findings;
    this.retryAfterSeconds = retryAfter;
  }
}

export type Parameters = Record<string, string | number | null | undefined>;

/** What the reader can do about a problem, in words. */
export function wayOut(problem: Problem): string {
  switch (problem.status) {
    case 0:
      return 'Check the connection and try again.';
    case 400:
      return 'Change what the message names (a shorter range often helps) and try again.';
    case 401:
      return 'Sign in with a token that is valid. Tokens are issued with “vernier token issue”.';
    case 403:
      return 'Ask whoever issued the token for one with the scope that is named.';
    case 404:
      return 'It may lie outside the range, or belong to somebody else. Check the id and the range.';
    case 429:
      return `Wait ${problem.retryAfterSeconds ?? 'a few'} seconds and try again.`;
    case 503:
      return `The service is busy. Try again in ${problem.retryAfterSeconds ?? 'a few'} seconds.`;
    default:
      return 'Try again. If it stays, tell the operator the time and what you asked for.';
  }
}

export class Api {
  readonly #token: string;
  readonly #base: URL;
  readonly #refused: (problem: Problem) => void;

  /** `refused` is told when the token is no longer one. */
  constructor(token: string, base: URL, refused: (problem: Problem) => void = () => {}) {
    this.#token = token;
    this.#base = base;
    this.#refused = refused;
  }

  async get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
    const answer = await this.#fetch(path, parameters, 'application/json', signal);
    try {
      return (await answer.json()) as T;
    } catch {
      throw new Problem(answer.status, 'The answer cannot be read', 'It is not the JSON that was asked for.');
    }
  }

  async csv(path: string, parameters: Parameters = {}): Promise<Blob> {
    const answer = await this.#fetch(path, parameters, 'text/csv');
    const type = answer.headers.get('content-type') ?? '';
    if (!type.startsWith('text/csv')) {
      throw new Problem(answer.status, 'The answer is no CSV', `Its type is “${type}”.`);
    }
    return answer.blob();
  }

  async #fetch(path: string, parameters: Parameters, accept: string, signal?: AbortSignal): Promise<Response> {
    const address = new URL(path, this.#base);
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== null && value !== undefined && value !== '') {
        address.searchParams.set(name, String(value));
      }
    }
    const ends = AbortSignal.timeout(TIMEOUT_MILLIS);
    let answer: Response;
    try {
      answer = await fetch(address, {
        headers: { Authorization: `Bearer ${this.#token}`, Accept: accept },
        credentials: 'omit',
        cache: 'no-store',
        referrerPolicy: 'no-referrer',
        signal: signal ? AbortSignal.any([signal, ends]) : ends,
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      const late = ends.aborted;
      throw new Problem(
        0,
        late ? 'The service took too long' : 'The service cannot be reached',
        late ? `No answer within ${TIMEOUT_MILLIS / 1000} seconds.` : 'The request got no answer.',
      );
    }
    if (!answer.ok) {
      const problem = await problemOf(answer);
      if (problem.status === 401) this.#refused(problem);
      throw problem;
    }
    return answer;
  }
}

/** The gateway's own refusals (throttling, time-outs) are no problem documents. */
async function problemOf(answer: Response): Promise<Problem> {
  const retry = Number(answer.headers.get('retry-after'));
  const retryAfter = Number.isFinite(retry) && retry > 0 ? retry : null;
  let body: unknown = null;
  try {
    body = await answer.json();
  } catch {
    // An answer without a document is still a problem.
  }
  const said = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
  return new Problem(
    answer.status,
    text(said['title']) ?? (answer.status === 429 ? 'Too many requests' : `The service answered ${answer.status}`),
    text(said['detail']) ?? text(said['message']) ?? '',
    Array.isArray(said['problems']) ? (said['problems'] as Problem['findings']) : [],
    retryAfter,
  );
}
