import { describe, expect, it } from 'vitest';

import { isEmptyQuestion, isQuestion, lineKinds, toggled } from '../src/magic';

describe('isQuestion', () => {
  it.each(['%%codex', '%%codex --new\nWhy?', '\n\n  %%codex\nWhy?', '%%codex\tx'])(
    'takes %j for one',
    source => {
      expect(isQuestion(source)).toBe(true);
    }
  );
  it.each(['', 'x = 1', '%codex why', '%%codexes', '# %%codex', 'x\n%%codex'])('leaves %j alone', source => {
    expect(isQuestion(source)).toBe(false);
  });
});

describe('lineKinds', () => {
  it('tells code within fences from words', () => {
    const source = '%%codex --new\nWhy?\n```py\nx = 1\n\n```\nAnd `this`?';
    expect(lineKinds(source)).toEqual(['magic', 'prose', 'code', 'code', 'code', 'code', 'prose']);
  });
  it('closes a fence by one of its own kind and length alone', () => {
    const source = '%%codex\n````\n```\n~~~\n````\nwords';
    expect(lineKinds(source)).toEqual(['magic', 'code', 'code', 'code', 'code', 'prose']);
  });
  it('leaves inline code of three backticks in its words', () => {
    expect(lineKinds('%%codex\n```not a fence``` here\nwords')).toEqual(['magic', 'prose', 'prose']);
  });
  it('has one entry for each line', () => {
    for (const source of ['', '\n', '%%codex', '%%codex\n', '\n\n%%codex\n```\n']) {
      expect(lineKinds(source)).toHaveLength(source.split('\n').length);
    }
  });
});

describe('isEmptyQuestion', () => {
  it('is one with nothing below the magic line', () => {
    expect(isEmptyQuestion('%%codex\n')).toBe(true);
    expect(isEmptyQuestion('%%codex\nW')).toBe(false);
    expect(isEmptyQuestion('%%codex')).toBe(false);
    expect(isEmptyQuestion('%%codex --new\n')).toBe(false);
  });
});

describe('toggled', () => {
  it.each(['', 'x = 1', 'x = 1\ny = 2\n', '  indented\n'])('gives %j back after twice', source => {
    expect(isQuestion(toggled(source))).toBe(true);
    expect(toggled(toggled(source))).toBe(source);
  });
});
