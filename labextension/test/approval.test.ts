import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { type Key, chosen, diffRuns, isPicture, seenRuns, unanswered } from '../src/approval';
import type { Card } from '../src/protocol';

function fixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8'));
}

const CARD = fixture('card') as Card;
const WAITING = fixture('waiting') as { asking: string; over: string };

const NO_KEY: Key = {
  key: '',
  shiftKey: false,
  ctrlKey: false,
  altKey: false,
  metaKey: false,
  repeat: false
};

function answer(key: Partial<Key>): string | undefined {
  return chosen({ ...NO_KEY, ...key }, CARD.choices)?.label;
}

describe('isPicture', () => {
  it('lets only what is a picture by itself onto a card', () => {
    expect(isPicture('data:image/png;base64,iVBORw0KGgo=')).toBe(true);
    expect(isPicture('https://example.com/a.png')).toBe(false);
    expect(isPicture('data:image/svg+xml;base64,PHN2Zz4=')).toBe(false);
    expect(isPicture('data:image/png;base64," onerror="alert(1)')).toBe(false);
  });
});

describe('chosen', () => {
  it('takes plain letters for what declines, and letters with Shift for what approves', () => {
    expect(answer({ key: 'd' })).toBe('Decline');
    expect(answer({ key: 'w' })).toBe('Decline and say why …');
    expect(answer({ key: 'S', shiftKey: true })).toBe('Approve for this session');
    expect(answer({ key: 'A', shiftKey: true })).toBe('Approve');
  });
  it.each<Partial<Key>>([
    { key: 'a' },
    { key: 's' },
    { key: 'x' },
    { key: 'X', shiftKey: true },
    { key: 'D', shiftKey: true },
    { key: 'A', shiftKey: true, ctrlKey: true },
    { key: 'A', shiftKey: true, altKey: true },
    { key: 'A', shiftKey: true, metaKey: true },
    { key: 'A', shiftKey: true, repeat: true },
    { key: 'Enter' },
    { key: ' ' }
  ])('takes %j for nothing', key => {
    expect(answer(key)).toBeUndefined();
  });
});

describe('diffRuns', () => {
  it.each(['', '@@ -1 +1 @@\n-a\n+b\n+c\n d\n', '+++\n---\n', '\n\n+\n', '+a\r+b\n\u2028-c'])(
    'loses nothing of %j',
    text => {
      expect(
        diffRuns(text)
          .map(run => run.text)
          .join('\n')
      ).toBe(text);
    }
  );
  it('is one run for a whole new file', () => {
    expect(diffRuns('+x\n'.repeat(1000).trimEnd())).toHaveLength(1);
  });
});

describe('unanswered', () => {
  it('says of nothing that it still waits', () => {
    expect(unanswered(WAITING.asking)).toBe(WAITING.over);
  });
  it.each(['', 'Words.', 'Words with **waiting for your approval** in them.\n\nEnd.'])(
    'leaves %j alone',
    text => {
      expect(unanswered(text)).toBe(text);
    }
  );
});

describe('seenRuns', () => {
  it('tells what stands for an invisible character from the rest', () => {
    const [passage] = CARD.passages;
    const runs = seenRuns(passage?.text ?? '');
    expect(runs.filter(run => run.kind === 'hidden').map(run => run.text)).toEqual(['[U+202E]']);
    expect(runs.map(run => run.text).join('')).toBe(passage?.text);
  });
  it('leaves alone what only looks like it', () => {
    expect(seenRuns('[U+005B]U+202E] [U+xyz]').filter(run => run.kind === 'hidden')).toHaveLength(1);
  });
});
