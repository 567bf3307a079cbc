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
