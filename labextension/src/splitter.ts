/**
 * Cuts Markdown into top-level blocks that can be rendered one by one. Pure.
 *
 * The text is the kernel's own canonical Markdown. A block ends at an empty line, unless that line stands in a fence, a
 * formula or an HTML element of ours, or between what belongs to one list.
 */

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const ITEM = /^ {0,3}(?:[-+*]|\d{1,9}[.)])(?:[ \t]|$)/;
const OPEN = /<(details|blockquote|table|ul|ol|div)\b[^>]*>/gi;
const CLOSE = /<\/(?:details|blockquote|table|ul|ol|div)>/gi;

/** Where each block ends, one after the other; the last one is open. Its work is linear in the text. */
export function blockEnds(text: string, from = 0): number[] {
  const ends: number[] = [];
  const block = { fence: '', depth: 0, inFormula: false, isList: false, isEmpty: true };
  let blankAt = -1; // the end of the block before, if the next line begins another
  let at = from;
  while (at < text.length) {
    const stop = text.indexOf('\n', at);
    const end = stop < 0 ? text.length : stop + 1;
    const line = text.slice(at, stop < 0 ? end : stop);
    const isBlank = line.trim() === '';
    const isWithin = block.fence !== '' || block.inFormula || block.depth > 0;
    if (isBlank && !isWithin) {
      blankAt = block.isEmpty ? -1 : end;
    } else {
      const goesOn = block.isList && (ITEM.test(line) || /^(?: {2,}|\t)/.test(line));
      if (blankAt >= 0 && !isWithin && !goesOn) {
        ends.push(blankAt);
        Object.assign(block, { isList: false, isEmpty: true });
      }
      blankAt = -1;
      take(block, line);
    }
    at = end;
  }
  if (!block.isEmpty || at > (ends.at(-1) ?? from)) {
    ends.push(text.length);
  }
  return ends;
}

type Open = { fence: string; depth: number; inFormula: boolean; isList: boolean; isEmpty: boolean };

/** Note what a line opens and closes. */
function take(block: Open, line: string): void {
  const marker = FENCE.exec(line.trimStart())?.[1] ?? '';
  if (block.fence) {
    const closes = marker.startsWith(block.fence) && line.trim() === marker;
    block.fence = closes ? '' : block.fence;
    return;
  }
  if (block.isEmpty) {
    block.isList = ITEM.test(line);
    block.isEmpty = false;
  }
  if (block.inFormula) {
    block.inFormula = !line.includes('$$');
    return;
  }
  if (marker) {
    block.fence = marker;
    return;
  }
  const prose = line.replace(/`[^`]*`/g, '');
  block.depth = Math.max(0, block.depth + count(prose, OPEN) - count(prose, CLOSE));
  block.inFormula = count(prose, /\$\$/g) % 2 === 1;
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/** The blocks of a text that grows: those before a change stay as they are. */
export class Blocks {
  private text = '';
  private ends: number[] = [];

  get length(): number {
    return this.ends.length;
  }

  at(index: number): string {
    return this.text.slice(this.ends[index - 1] ?? 0, this.ends[index]);
  }

  /** Take the text, which is the same as before up to `changed`; return the first block that may be another. */
  update(text: string, changed: number): number {
    // What follows a block decides whether it ends there, so the one before the change is read again too.
    let kept = 0;
    while (kept < this.ends.length && (this.ends[kept] ?? 0) < changed) {
      kept++;
    }
    kept = Math.max(0, kept - 1);
    const from = this.ends[kept - 1] ?? 0;
    this.text = text;
    this.ends = [...this.ends.slice(0, kept), ...blockEnds(text, from)];
    return kept;
  }
}
