import type { TranslationBundle } from '@jupyterlab/translation';

import { element } from './element';

/** A region has to be there, and empty, before something in it is read aloud. */
const EMPTY_MS = 100;

/** Tells those who do not see the page that an answer has ended: once, and without interrupting what is read. */
export class Announcer {
  constructor(private readonly trans: TranslationBundle) {
    document.body.append(this.region);
  }

  announce(state: string, codeBlocks: number): void {
    this.region.textContent = '';
    window.setTimeout(() => (this.region.textContent = this.words(state, codeBlocks)), EMPTY_MS);
  }

  private words(state: string, codeBlocks: number): string {
    const { trans } = this;
    if (state === 'interrupted') {
      return trans.__('Codex was interrupted');
    }
    if (state === 'error') {
      return trans.__('Codex could not answer');
    }
    const many = trans._n(
      'Codex answered, %1 code block',
      'Codex answered, %1 code blocks',
      codeBlocks,
      codeBlocks
    );
    return codeBlocks ? many : trans.__('Codex answered');
  }

  private readonly region = element('div', { class: 'jp-codex-announcement', role: 'status' });
}
