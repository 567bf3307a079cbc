import { describe, expect, it } from 'vitest';

import { cellKind, isOfKernel, languageOf, notebookOf, unseenIn } from '../src/code';

describe('languageOf', () => {
  it.each([
    ['language-python', 'python'],
    ['language-Python title="a"', 'python'],
    ['language-{python}', 'python'],
    ['language-{.py .numberLines}', 'py'],
    ['hljs language-c++', 'c++'],
    ['', '']
  ])('of %j is %j', (className, language) => {
    expect(languageOf(className)).toBe(language);
  });
});

describe('a block', () => {
  it('can be run by the kernel if it is Python or says nothing', () => {
    expect(['', 'py', 'python'].every(isOfKernel)).toBe(true);
    expect(['bash', 'json', 'pycon', 'text'].some(isOfKernel)).toBe(false);
  });
  it('becomes a cell of its kind', () => {
    expect(['md', 'python', 'bash'].map(cellKind)).toEqual(['markdown', 'code', 'code']);
  });
  it('makes a notebook for the same kernel, without outputs', () => {
    const kernelspec = { name: 'python3', display_name: 'Python 3' };
    const made = notebookOf('x = 1', 'code', { kernelspec, codex_magic: { thread: 't' } });
    expect(made).toEqual({
      cells: [{ cell_type: 'code', metadata: {}, source: 'x = 1', execution_count: null, outputs: [] }],
      metadata: { kernelspec },
      nbformat: 4,
      nbformat_minor: 4
    });
  });
});

describe('unseenIn', () => {
  it('names what does not show, once', () => {
    expect(unseenIn('if a\u202e and \u2066b\u200b\u200b:\r\n\tpass\u0000')).toEqual([
      'U+202E',
      'U+2066',
      'U+200B',
      'U+000D',
      'U+0000'
    ]);
    expect(unseenIn('name\u200d = 1')).toEqual(['U+200D']);
  });
  it('finds nothing in ordinary text of any script', () => {
    expect(unseenIn("x = '✅️ 👩‍💻 1️⃣ größe 日本語 שלום नमस्ते'\n\ty\n")).toEqual([]);
  });
});
