import type { TranslationBundle } from '@jupyterlab/translation';

import { button } from './element';

/** How the kernel's line on what went along begins, and the command it ends with. No text of a model is in such tags. */
const SENT = 'Sent: ';
const COMMAND = '%codex peek';

/** Put a button in the place of the command that shows what went along with a question, if this block names it. */
export function offerSent(block: HTMLElement, trans: TranslationBundle, show: (() => void) | null): void {
  const command = block.querySelector(':scope > small:only-child > code:last-child');
  if (!show || command?.textContent !== COMMAND || !block.textContent?.startsWith(SENT)) {
    return;
  }
  const made = button('cdx-lnk', trans.__('Show'), show);
  made.ariaLabel = made.title = trans.__('Show what was sent');
  command.replaceWith(made);
}
