import { describe, expect, it } from 'vitest';

import { Newest } from '../src/newest';
import type { Suggestion } from '../src/protocol';

/** Numbers that look random, and are the same each time. */
function* chances(seed: number): Generator<number> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

const answer = (id: string): Suggestion => ({ id, text: `of ${id}`, state: 'ready', note: '', spent: 0 });

describe('Newest', () => {
  it('shows none of 1,000 stale answers, in whatever order they come, and closes their requests', async () => {
    const newest = new Newest();
    const chance = chances(20261129);
    const next = (): number => chance.next().value as number;
    const travelling: string[] = [];
    const closed: string[] = [];
    const shown: { id: string; text: string; wanted: string }[] = [];
    let wanted = '';
    let stale = 0;
    for (let number = 0; stale < 1000; number++) {
      const id = `page.${number}`;
      wanted = id;
      void newest
        .wait(id, () => closed.push(id))
        .then(got => got && shown.push({ id, text: got.text, wanted }));
      travelling.push(id);
      for (let arrived = Math.floor(next() * 3); arrived > 0 && travelling.length; arrived--) {
        const [late = ''] = travelling.splice(Math.floor(next() * travelling.length), 1);
        stale += Number(late !== wanted);
        newest.take(answer(late));
        await Promise.resolve();
      }
    }
    expect(shown.length).toBeGreaterThan(50);
    expect(shown.filter(({ id, text, wanted: now }) => id !== now || text !== `of ${id}`)).toEqual([]);
    const answered = new Set(shown.map(({ id }) => id));
    expect(new Set(closed).size).toBe(closed.length);
    expect(closed.filter(id => answered.has(id))).toEqual([]);
  });

  it('drops what it waits for, and only that', async () => {
    const newest = new Newest();
    const first = newest.wait('1', () => undefined);
    const second = newest.wait('2', () => undefined);
    expect(await first).toBeNull();
    newest.drop('1');
    newest.take(answer('2'));
    expect(await second).toEqual(answer('2'));
    newest.take(answer('2'));
    newest.drop();
  });
});
