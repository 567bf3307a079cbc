import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import {
  errorQuestion,
  isCode,
  isEmptyQuestion,
  isQuestion,
  lineKinds,
  mentionOf,
  toggled,
  wordsBegin
} from '../src/magic';

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

describe('isCode', () => {
  const text = readFileSync(new URL('../fixtures/code.json', import.meta.url), 'utf8');
  const { code, other } = JSON.parse(text) as { code: string[]; other: string[] };
  it.each(code)('takes %j for code that can be continued', before => {
    expect(isCode(before)).toBe(true);
  });
  it.each(other)('leaves %j alone', before => {
    expect(isCode(before)).toBe(false);
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

describe('wordsBegin', () => {
  it.each([
    ['%%codex\nWhy?', 8],
    ['\n %%codex --new\nWhy?', 16],
    ['%%codex', -1],
    ['x = 1\n', -1]
  ])('of %j is %j', (source, at) => {
    expect(wordsBegin(source)).toBe(at);
  });
});

describe('mentionOf', () => {
  const ids = ['4f2a9c01-aaaa', '4f2a9c01-bbbb', '12345678-cccc', 'short'];
  it.each([
    ['short', '@cell:short'],
    ['4f2a9c01-bbbb', '@cell:4f2a9c01-b'],
    ['12345678-cccc', '@cell:12345678-']
  ])('of %j is no more than tells it from the others, and no number', (id, mention) => {
    expect(mentionOf('cell', id, ids)).toBe(mention);
  });
});

describe('errorQuestion', () => {
  const error = { number: 5, mention: '@cell:4f2a9c01', message: 'KeyError: `a`' };
  it('takes the commands for what the kernel knows of', () => {
    expect(errorQuestion('fix', { ...error, failure: 'last' })).toBe('%codex fix');
    expect(errorQuestion('fix', { ...error, failure: 'earlier' })).toContain('@In[5]');
    expect(errorQuestion('explain', { ...error, failure: 'last' })).toBe('%codex explain 5');
    expect(errorQuestion('explain', { ...error, failure: 'earlier' })).toBe('%codex explain 5');
  });
  it.each(['fix', 'explain'] as const)('names the cell and quotes the error it has not seen: %s', what => {
    const question = errorQuestion(what, { ...error, message: 'E: ```\nb', failure: null });
    expect(isQuestion(question)).toBe(true);
    expect(question).toContain('@cell:4f2a9c01');
    expect(question).toMatch(/\n````text\nE: ```\nb\n````$/);
  });
});
