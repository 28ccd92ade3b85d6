// What outlives a reload: the token, what is selected, the time zone.
//
// sessionStorage, not localStorage: it ends with the tab, no other tab reads it, and a forgotten
// machine in a class room gives nobody a token tomorrow.

const TOKEN = 'vernier.token';
const ZONE = 'vernier.zone';
const PLACE = 'vernier.place.';
/** Selections that are kept for the way back. */
const PLACES_MAX = 100;

export function readToken(): string | null {
  return sessionStorage.getItem(TOKEN);
}

export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN, token);
}

export function readZone(): string {
  return sessionStorage.getItem(ZONE) ?? Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'UTC';
}

export function keepZone(zone: string): void {
  sessionStorage.setItem(ZONE, zone);
}

export function readSelection(key: string): unknown {
  const text = sessionStorage.getItem(PLACE + key);
  return text === null ? null : JSON.parse(text);
}

export function keepSelection(key: string, selection: unknown): void {
  const kept = Object.keys(sessionStorage).filter((name) => name.startsWith(PLACE));
  for (const old of kept.sort().slice(0, Math.max(0, kept.length - PLACES_MAX + 1))) {
    sessionStorage.removeItem(old);
  }
  sessionStorage.setItem(PLACE + key, JSON.stringify(selection));
}

/** Signing out leaves nothing: neither the token nor an id. */
export function forget(): void {
  for (const name of Object.keys(sessionStorage)) {
    if (name.startsWith('vernier.') && name !== ZONE) sessionStorage.removeItem(name);
  }
}
