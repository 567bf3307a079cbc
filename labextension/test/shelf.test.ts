import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import type { Status, ThreadRow } from '../src/protocol';
import { HEIGHTS, type Item, ago, barItem, itemsOf, leftWords, marked, seen, topsOf } from '../src/shelf';

const STATUS = JSON.parse(
  readFileSync(new URL('../fixtures/status.json', import.meta.url), 'utf8')
) as Status;

const trans = {
  __: (text: string, ...values: (string | number)[]): string =>
    text.replace(/%(\d)/g, (_, n: string) => String(values[Number(n) - 1]))
};

function words(change: Partial<Status>): string | undefined {
  const item = barItem('ready', { ...STATUS, ...change }, trans);
  return item ? [item.words, item.left].filter(Boolean).join(' | ') : undefined;
}

describe('barItem', () => {
  const idle = { waiting: [], running: [] };
  const [week, hours] = STATUS.limits;
  const low = week && hours ? { ...week, left: 8 } : undefined;

  it('says the first that holds', () => {
    expect(words({})).toBe('1 approval waiting');
    expect(words({ waiting: [...STATUS.waiting, ...STATUS.waiting] })).toBe('2 approvals waiting');
    expect(words({ waiting: [] })).toBe('Codex is answering · 14 s');
    expect(words(idle)).toBe('gpt-5.5 · medium | 69 % left');
    expect(words({ ...idle, account: { kind: 'none', text: '' } })).toBe('Sign in to Codex');
    expect(words({ ...idle, limits: [] })).toBe('gpt-5.5 · medium');
    expect(words({ ...idle, limits: [], effort: '' })).toBe('gpt-5.5');
    expect(words({ ...idle, limits: [], effort: '', model: '' })).toBe('Codex: default model');
  });
  it('says in full what is little, and that nothing is left', () => {
    expect(words({ ...idle, limits: low ? [low] : [] })).toBe('gpt-5.5 | 8 % of the week left');
    const none = low && { ...low, left: 0 };
    expect(words({ waiting: [], limits: none ? [none] : [] })).toBe(
      'Codex: limit reached until Sat 5 Dec, 17:54'
    );
  });
  it('says that no kernel runs', () => {
    expect(barItem('no kernel', null, trans)?.words).toBe('Codex: no kernel');
  });
  it('is nothing where codex_magic is not loaded', () => {
    for (const state of ['none', 'unloaded', 'asking'] as const) {
      expect(barItem(state, null, trans)).toBeNull();
    }
  });
});

describe('words', () => {
  it('name the window that is meant', () => {
    expect(leftWords({ name: '5 hours', left: 9, resets: '' }, trans)).toBe('9 % of 5 hours left');
    expect(leftWords({ name: 'Limit', left: 9, resets: '' }, trans)).toBe('9 % left');
  });
  it.each([
    [-5, 'just now'],
    [59, 'just now'],
    [60, '1 min ago'],
    [7200, '2 h ago'],
    [86_400, 'yesterday'],
    [3 * 86_400, '3 days ago']
  ])('%i seconds ago is %j', (seconds, expected) => {
    expect(ago(1000, 1000 + seconds, trans)).toBe(expected);
  });
  it('are marked where the search stands, and stay the same', () => {
    expect(marked('Explain the Tax, tax', 'tAX ')).toEqual(['Explain the ', 'Tax', ', ', 'tax', '']);
    expect(marked('none', 'tax')).toEqual(['none']);
    expect(marked('İstanbul', 'i')).toEqual(['İstanbul']);
    expect(marked('all', '')).toEqual(['all']);
  });
});

function thread(id: string, from: string | null = null): ThreadRow {
  const about = { name: id, about: '', used: 0, archived: false, turns: 1, notebook: '' };
  return { id, forked_from: from, forked_at: from ? 1 : null, ...about };
}

function names(items: Item[]): string[] {
  return items.map(item =>
    item.kind === 'head' ? item.title : `${item.isFork ? '-' : ''}${item.thread.id}`
  );
}

describe('itemsOf', () => {
  const titles = { here: 'Here', others: 'Others' };
  it('puts forks below what they were forked from, and no thread in twice', () => {
    const here = [thread('fork', 'old'), thread('other', 'elsewhere'), thread('old')];
    const items = itemsOf(here, [thread('old'), thread('far')], titles);
    expect(names(items)).toEqual(['Here', 'other', 'old', '-fork', 'Others', 'far']);
  });
  it('has no head without lines', () => {
    expect(names(itemsOf([], [thread('far')], titles))).toEqual(['Others', 'far']);
    expect(itemsOf([], [], titles)).toEqual([]);
  });
});

describe('seen', () => {
  const rows = Array.from({ length: 10_000 }, (_, n) => thread(String(n)));
  const tops = topsOf(itemsOf([], rows, { here: '', others: 'Others' }));
  it('is what stands between the edges, and a few lines around', () => {
    expect(tops.at(-1)).toBe(HEIGHTS.head + 10_000 * HEIGHTS.row);
    expect(seen(tops, 0, 460, 0)).toEqual([0, 11]);
    const [first, end] = seen(tops, 5000 * HEIGHTS.row, 460, 2);
    expect(tops[first + 2]).toBeLessThanOrEqual(5000 * HEIGHTS.row);
    expect(tops[end - 2]).toBeGreaterThanOrEqual(5000 * HEIGHTS.row + 460);
    expect(end - first).toBeLessThan(20);
  });
  it('ends with the last line', () => {
    expect(seen(tops, 1e9, 460)).toEqual([9997, 10_001]);
    expect(seen([0], 0, 460)).toEqual([0, 0]);
  });
});
