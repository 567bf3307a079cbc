/** The work of an agent in a rendered text: diffs in colours, outputs that scroll, and a dot at what runs. */

import { languageOf } from './code';
import { element } from './element';

/** The kernel's words for a step that has not ended. */
export const RUNNING: ReadonlySet<string> = new Set([
  'Running',
  'Reading',
  'Calling',
  'Adding',
  'Deleting',
  'Changing',
  'Moving',
  'Restarting',
  'Interrupting'
]);

/** Add this to what JupyterLab has rendered, before it is in the page; texts stay what they are. */
export function drawSteps(node: HTMLElement): void {
  for (const code of node.querySelectorAll<HTMLElement>('pre > code')) {
    if (languageOf(code.className) === 'diff') {
      code.replaceChildren(...diffLines(code.textContent ?? ''));
    }
  }
  for (const pre of node.querySelectorAll<HTMLElement>('details pre')) {
    pre.tabIndex = 0;
    // What a command prints is unfolded while it runs and where it failed, and of that the end matters.
    pre.classList.toggle('jp-codex-tail', pre.matches('details[open] pre:not(:has(> .language-diff))'));
  }
  for (const verb of node.querySelectorAll('summary > b, p > strong')) {
    const isStep = verb.nextElementSibling?.localName === 'code' && verb.nextSibling?.textContent === ' ';
    verb.classList.toggle('jp-codex-running', isStep && RUNNING.has(verb.textContent ?? ''));
  }
}

/** Make an element of each line, with its end. */
function diffLines(text: string): HTMLElement[] {
  const lines = text.split(/(?<=\n)/);
  return lines.map((line, index) => {
    const isHead =
      (line.startsWith('--- ') && lines[index + 1]?.startsWith('+++ ')) ||
      (line.startsWith('+++ ') && lines[index - 1]?.startsWith('--- '));
    const tag = isHead ? undefined : { '+': 'ins' as const, '-': 'del' as const }[line.charAt(0)];
    return tag
      ? element(tag, {}, element('b', {}, line.charAt(0)), line.slice(1))
      : element('span', {}, line);
  });
}
