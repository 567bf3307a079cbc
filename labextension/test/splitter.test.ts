import { describe, expect, it } from 'vitest';

import { Blocks, blockEnds } from '../src/splitter';

function blocks(text: string): string[] {
  const ends = blockEnds(text);
  return ends.map((end, index) => text.slice(ends[index - 1] ?? 0, end));
}

const TEXTS = [
  'One.\n\nTwo.\n',
  '```py\nx = 1\n\ny = 2\n```\n\nAfter.\n',
  '- a\n\n- b\n\n  more of b\n\nAfter the list.\n',
  '1. a\n\n2. b\n\n3. c\n',
  '$$\nx\n\n+ y\n$$\n\nAfter.\n',
  '<details><summary>Thought</summary><blockquote>\n\nOne.\n\n```\n</details>\n```\n\n</blockquote></details>\n\nAfter.\n',
  '| a | b |\n|---|---|\n| 1 | 2 |\n\nAfter.\n',
  '> quoted\n>\n> more\n\n***\n\nAfter `<details>` in code.\n\nEnd.',
  '````\n```\n\n````\n\n~~~\n\n~~~\n\nEnd',
  '\n\n\nLate.\n\n\n\nLater.\n\n',
  ''
];

describe('blockEnds', () => {
  it.each([
    [TEXTS[0], ['One.\n\n', 'Two.\n']],
    [TEXTS[1], ['```py\nx = 1\n\ny = 2\n```\n\n', 'After.\n']],
    [TEXTS[2], ['- a\n\n- b\n\n  more of b\n\n', 'After the list.\n']],
    [TEXTS[3], ['1. a\n\n2. b\n\n3. c\n']],
    [TEXTS[4], ['$$\nx\n\n+ y\n$$\n\n', 'After.\n']],
    [TEXTS[7], ['> quoted\n>\n> more\n\n', '***\n\n', 'After `<details>` in code.\n\n', 'End.']],
    [TEXTS[8], ['````\n```\n\n````\n\n', '~~~\n\n~~~\n\n', 'End']]
  ])('cuts %j', (text, expected) => {
    expect(blocks(text ?? '')).toEqual(expected);
  });
  it('keeps an element of ours with all within it', () => {
    expect(blocks(TEXTS[5] ?? '').at(-1)).toBe('After.\n');
    expect(blocks(TEXTS[5] ?? '')).toHaveLength(2);
  });
  it.each(TEXTS)('loses nothing of %j', text => {
    expect(blocks(text).join('')).toBe(text);
  });
});

describe('Blocks', () => {
  it('is the same however the text comes', () => {
    const text = TEXTS.join('\n\n');
    for (const size of [1, 2, 3, 7, 50]) {
      const grown = new Blocks();
      for (let at = 0; at < text.length; at += size) {
        grown.update(text.slice(0, at + size), at);
        const whole = new Blocks();
        whole.update(text.slice(0, at + size), 0);
        expect(grown.length).toBe(whole.length);
        expect(grown.at(grown.length - 1)).toBe(whole.at(whole.length - 1));
      }
    }
  });
  it('is the same after any change of the end', () => {
    const one = TEXTS.join('\n\n');
    for (let at = 0; at < one.length; at += 5) {
      const changed = one.slice(0, at) + 'another end\n\nand one more';
      const blocks = new Blocks();
      blocks.update(one, 0);
      const first = blocks.update(changed, at);
      const whole = new Blocks();
      whole.update(changed, 0);
      const all = (each: Blocks): string[] =>
        Array.from({ length: each.length }, (_, index) => each.at(index));
      expect(all(blocks)).toEqual(all(whole));
      expect(first).toBeLessThanOrEqual(blocks.length);
    }
  });
  it('reads a long text once', () => {
    const blocks = new Blocks();
    let text = '';
    for (let n = 0; n < 5000; n++) {
      const changed = text.length;
      text += `Paragraph ${n}.\n\n`;
      expect(blocks.update(text, changed)).toBeGreaterThanOrEqual(Math.max(0, n - 2));
    }
    expect(blocks.length).toBe(5000);
  });
});
