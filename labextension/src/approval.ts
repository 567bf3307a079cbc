/** What a card makes of a question and of the keys that answer it. Pure. */

import type { Choice } from './protocol';

/** A card answers nothing for so long: what comes so soon was meant for something else. */
export const UNREADY_MS = 500;

/** A run of lines of one kind, or a run of characters of one. */
export type Run<K> = { kind: K; text: string };

/** Group the lines of a diff by their sign; joined by line feeds, they are the text again. */
export function diffRuns(text: string): Run<'added' | 'removed' | 'same'>[] {
  const runs: Run<'added' | 'removed' | 'same'>[] = [];
  for (const line of text.split('\n')) {
    const kind = line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : 'same';
    const last = runs.at(-1);
    if (last?.kind === kind) {
      last.text += `\n${line}`;
    } else {
      runs.push({ kind, text: line });
    }
  }
  return runs;
}

/** Tell what stands for an invisible character from the rest; joined, it is the text again. */
export function seenRuns(text: string): Run<'seen' | 'hidden'>[] {
  return text
    .split(/(\[U\+[0-9A-F]+\])/)
    .map((part, index): Run<'seen' | 'hidden'> => ({ kind: index % 2 ? 'hidden' : 'seen', text: part }))
    .filter(run => run.text !== '');
}

/** Whether an address is a picture by itself, and nothing is fetched for it. */
export function isPicture(address: string): boolean {
  return /^data:image\/(png|jpeg);base64,[A-Za-z0-9+/=]*$/.test(address);
}

/** What a key event says. */
export type Key = Pick<KeyboardEvent, 'key' | 'shiftKey' | 'ctrlKey' | 'altKey' | 'metaKey' | 'repeat'>;

/** Return the answer that a key stands for: one that allows something needs Shift, and none that is folded away has one. */
export function chosen(key: Key, choices: readonly Choice[]): Choice | undefined {
  if (key.ctrlKey || key.altKey || key.metaKey || key.repeat) {
    return undefined;
  }
  const side = key.shiftKey ? 'yes' : 'no';
  return choices.find(choice => choice.side === side && choice.key === key.key.toLowerCase());
}

/** What the kernel sets quietly, in tags that no text of a model can have. */
const QUIET = '<small style="opacity:.7">';

/** Return the text of an answer whose kernel has ended: what still waited then waits no more, and nothing goes on. */
export function unanswered(text: string): string {
  const status = text.lastIndexOf(`\n\n${QUIET}`);
  const isLast = status >= 0 && /^[^\n]*<\/small>\s*$/.test(text.slice(status + 2));
  const items = isLast ? text.slice(0, status) : text;
  return items.replaceAll(`${QUIET}· waiting for your approval<`, `${QUIET}· not answered<`);
}
