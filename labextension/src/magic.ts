/** What a cell's text says of itself: pure, and the same for every editor. */

/** How one line of a question is set. */
export type LineKind = 'magic' | 'prose' | 'code';

const MAGIC = /^%%codex(?=\s|$)/;
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;

/** The line a cell's own magic stands on: IPython skips empty lines before it. */
export const EMPTY_QUESTION = '%%codex\n';

/** Whether the cell asks Codex, however much of it is typed yet. */
export function isQuestion(source: string): boolean {
  return MAGIC.test(source.trimStart());
}

export const LOAD = '%load_ext codex_magic';

/** Whether the cell loads codex_magic. */
export function loadsCodex(source: string): boolean {
  return /^\s*%(re)?load_ext\s+codex_magic\b/m.test(source);
}

/** Magics with Python below them. */
const OF_PYTHON = /^%%(capture|time|timeit|prun|memit|mprun)\b/;

/** Whether the text before a cursor is Python that can be continued: no question, no other magic, no shell. */
export function isCode(before: string): boolean {
  const [first = '', ...rest] = before.trimStart().split('\n');
  if (!first || (first.startsWith('%%') && !(OF_PYTHON.test(first) && rest.length))) {
    return false;
  }
  return !/^\s*([\w., ]+=\s*)?[%!?]/.test(rest.at(-1) ?? first);
}

/** Return what each line of a question is; a fence and all within it is code. Linear in its length. */
export function lineKinds(source: string): LineKind[] {
  let fence = '';
  let started = false;
  return source.split('\n').map(line => {
    if (!started) {
      started = MAGIC.test(line);
      return started ? 'magic' : 'prose';
    }
    const mark = FENCE.exec(line);
    const [marker, rest] = [mark?.[1] ?? '', mark?.[2] ?? ''];
    if (fence) {
      const closes = marker.startsWith(fence) && !rest.trim();
      fence = closes ? '' : fence;
      return 'code';
    }
    // A backtick in the words after backticks makes it inline code.
    if (marker && !(marker.startsWith('`') && rest.includes('`'))) {
      fence = marker;
      return 'code';
    }
    return 'prose';
  });
}

/** Whether nothing is asked yet: the magic line stands alone, without options. */
export function isEmptyQuestion(source: string): boolean {
  return /^\s*%%codex[ \t]*\n[ \t]*$/.test(source);
}

/** Make a question of a cell, or a cell of a question again. */
export function toggled(source: string): string {
  if (!isQuestion(source)) {
    return EMPTY_QUESTION + source;
  }
  const [, ...rest] = source.trimStart().split('\n');
  return rest.join('\n');
}

/** Where the words of a question begin, below its magic line; -1 where there are none yet. */
export function wordsBegin(source: string): number {
  return isQuestion(source) ? source.indexOf('\n', source.indexOf('%%codex')) + 1 || -1 : -1;
}

const ID_CHARS = 8;

/** Return the mention of a cell, or of its output, by as much of its id as tells it from the others. */
export function mentionOf(what: 'cell' | 'output', id: string, others: readonly string[]): string {
  let chars = ID_CHARS;
  // A number would be taken for the place of a cell.
  while (
    chars < id.length &&
    (/^\d+$/.test(id.slice(0, chars)) ||
      others.some(each => each !== id && each.startsWith(id.slice(0, chars))))
  ) {
    chars++;
  }
  return `@${what}:${id.slice(0, chars)}`;
}

/** An error as a cell shows it. `failure`: what the kernel knows of that run, see `FailureReply`. */
export type CellError = { number: number; mention: string; message: string; failure: string | null };

/** Return the cell that asks about an error: exactly that one, whatever else has failed since. */
export function errorQuestion(what: 'fix' | 'explain', error: CellError): string {
  const { number, mention, message, failure } = error;
  if (what === 'explain' && failure) {
    return `%codex explain ${number}`;
  }
  if (failure === 'last') {
    return '%codex fix';
  }
  if (failure === 'earlier') {
    return `${EMPTY_QUESTION}Fix the error of @In[${number}].`;
  }
  const asks = what === 'fix' ? `Fix ${mention}. It` : `Explain why ${mention}`;
  const longest = Math.max(2, ...(message.match(/`+/g) ?? []).map(each => each.length));
  const fence = '`'.repeat(longest + 1);
  return `${EMPTY_QUESTION}${asks} failed with this error:\n\n${fence}text\n${message}\n${fence}`;
}
