/** What the panel and the status bar make of the kernel's words: sentences, and the lines of a list. Pure. */

import type { Limit, Status, ThreadRow } from './protocol';
import type { State } from './tokens';

/** From so many percent on, what is left is said in full. */
const LOW = 20;

/** What the status bar shows: a sign, words, and percent for its gauge. `short`: where there is little room. */
export type BarItem = {
  sign: 'prompt' | 'waits' | 'warns' | 'runs';
  words: string;
  short: string;
  gauge?: number;
  /** Words after the gauge. */
  left?: string;
};

type Translate = { __(text: string, ...values: (string | number)[]): string };

/** Return the first that holds: no kernel, approvals, the limit, what runs, little left, nobody signed in; `null`: no item. */
export function barItem(state: State, status: Status | null, trans: Translate): BarItem | null {
  if (state === 'no kernel') {
    return { sign: 'prompt', words: trans.__('Codex: no kernel'), short: trans.__('Codex') };
  }
  if (state !== 'ready' || !status) {
    return null;
  }
  const { waiting, running, account, limits, effort } = status;
  const model = status.model || trans.__('Codex: default model');
  const [tightest] = limits;
  if (waiting.length) {
    const words =
      waiting.length === 1
        ? trans.__('1 approval waiting')
        : trans.__('%1 approvals waiting', waiting.length);
    return { sign: 'waits', words, short: String(waiting.length) };
  }
  if (tightest && tightest.left <= 0) {
    const until = tightest.resets.replace(/^resets /, '');
    const words = until ? trans.__('Codex: limit reached until %1', until) : trans.__('Codex: limit reached');
    return { sign: 'warns', words, short: '0 %' };
  }
  if (running.length) {
    const seconds = Math.max(...running.map(each => each.seconds));
    return {
      sign: 'runs',
      words: trans.__('Codex is answering · %1', duration(seconds)),
      short: duration(seconds)
    };
  }
  if (account.kind === 'none') {
    return { sign: 'prompt', words: trans.__('Sign in to Codex'), short: trans.__('Sign in') };
  }
  const words = effort ? `${model} · ${effort}` : model;
  if (!tightest) {
    return { sign: 'prompt', words, short: status.model || trans.__('Codex') };
  }
  const short = `${tightest.left} %`;
  if (tightest.left < LOW) {
    return { sign: 'warns', words: model, short, gauge: tightest.left, left: leftWords(tightest, trans) };
  }
  return { sign: 'prompt', words, short, gauge: tightest.left, left: trans.__('%1 % left', tightest.left) };
}

/** `8 % of the week left` */
export function leftWords({ name, left }: Limit, trans: Translate): string {
  if (name === 'Week') {
    return trans.__('%1 % of the week left', left);
  }
  return name === 'Limit' ? trans.__('%1 % left', left) : trans.__('%1 % of %2 left', left, name);
}

/** `14 s`, `3 min` */
export function duration(seconds: number): string {
  return seconds < 60
    ? `${seconds} s`
    : seconds < 3600
      ? `${Math.floor(seconds / 60)} min`
      : `${Math.floor(seconds / 3600)} h`;
}

/** How long ago that was; both in Unix seconds. */
export function ago(then: number, now: number, trans: Translate): string {
  const seconds = Math.max(0, Math.floor(now - then));
  const days = Math.floor(seconds / 86_400);
  if (seconds < 60) {
    return trans.__('just now');
  }
  if (days < 1) {
    return trans.__('%1 ago', duration(seconds));
  }
  return days === 1 ? trans.__('yesterday') : trans.__('%1 days ago', days);
}

/** What a thread is called in a list. */
export function titleOf(thread: { name: string; about: string }, trans: Translate): string {
  return thread.name || thread.about || trans.__('(empty)');
}

/** A line of the list. */
export type Item = { kind: 'head'; title: string } | { kind: 'row'; thread: ThreadRow; isFork: boolean };

/** Return the lines: this notebook's threads, forks below what they were forked from, then the others. */
export function itemsOf(
  here: readonly ThreadRow[],
  others: readonly ThreadRow[],
  titles: { here: string; others: string }
): Item[] {
  const ids = new Set(here.map(each => each.id));
  const forksOf = (id: string | null): ThreadRow[] =>
    here.filter(each => (ids.has(each.forked_from ?? '') ? each.forked_from : null) === id);
  const items: Item[] = here.length ? [{ kind: 'head', title: titles.here }] : [];
  const add = (thread: ThreadRow, isFork: boolean): void => {
    items.push({ kind: 'row', thread, isFork });
    forksOf(thread.id).forEach(each => add(each, true));
  };
  forksOf(null).forEach(each => add(each, false));
  const rest = others.filter(each => !ids.has(each.id));
  if (rest.length) {
    items.push({ kind: 'head', title: titles.others });
    rest.forEach(thread => items.push({ kind: 'row', thread, isFork: false }));
  }
  return items;
}

/** Pixels. */
export const HEIGHTS = { head: 32, row: 46 } as const;

/** The tops of all lines, and the bottom of the last one. */
export function topsOf(items: readonly Item[]): number[] {
  let top = 0;
  return [0, ...items.map(item => (top += HEIGHTS[item.kind]))];
}

/** Return the lines, from the first to before the last, that are seen there, and a few around them. */
export function seen(
  tops: readonly number[],
  scrolled: number,
  height: number,
  around = 4
): [number, number] {
  const count = tops.length - 1;
  const at = (y: number): number => {
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((tops[middle + 1] ?? 0) <= y) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  return [Math.max(0, at(scrolled) - around), Math.min(count, at(scrolled + height) + 1 + around)];
}

/** Split a text at where a search term stands in it, whatever the case; every second part is such a place. */
export function marked(text: string, term: string): string[] {
  const wanted = term.trim().toLowerCase();
  const lower = text.toLowerCase();
  if (!wanted || lower.length !== text.length) {
    return [text];
  }
  const parts: string[] = [];
  let from = 0;
  for (let at; (at = lower.indexOf(wanted, from)) >= 0; from = at + wanted.length) {
    parts.push(text.slice(from, at), text.slice(at, at + wanted.length));
  }
  return [...parts, text.slice(from)];
}
