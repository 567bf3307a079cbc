import { Clipboard } from '@jupyterlab/apputils';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { element, keepKeys } from './element';
import { copyIcon, endIcon, goOnIcon, retryIcon, steerIcon, stopIcon } from './icon';
import { insist, newMark } from './link';
import { type Bundle, type Facts, MIME, steerRequest, stopRequest } from './protocol';

/** What a click runs in the notebook: the question once more, or what continues its answer. */
export type Rerun = 'retry' | 'continue';

const COPIED_MS = 2000;

/** The row of buttons below one answer: over a channel that a busy kernel reads while it streams, of the page after it. */
export class Actions extends Widget {
  /** `rerun` runs a cell, since somebody has clicked. */
  constructor(
    private readonly trans: TranslationBundle,
    private readonly rerun: (id: string, what: Rerun) => void
  ) {
    super();
    this.addClass('jp-codex-actions');
    keepKeys(this.node);
  }

  /** Offer what can be done with an answer that this kernel is writing. */
  live(kernel: Kernel.IKernelConnection, id: string): void {
    const { trans } = this;
    const stop = this.button(trans.__('Stop'), stopIcon, () => {
      row.focus(); // what is disabled keeps no focus
      stop.disabled = steer.disabled = true;
      stop.lastChild?.replaceWith(trans.__('Stopping …'));
      void insist(kernel, stopRequest(id)).then(reply => {
        if (!reply && !this.isDisposed) {
          this.live(kernel, id); // nobody has heard it
        }
      });
    });
    const steer = this.button(trans.__('Steer'), steerIcon, () => this.askWords(kernel, id, steer));
    const end = this.button(trans.__('Jump to end'), endIcon, () =>
      this.mark.scrollIntoView({ block: 'end' })
    );
    end.hidden = true;
    this.node.after(this.mark);
    this.view?.disconnect();
    this.view = new IntersectionObserver(([mark]) => (end.hidden = mark?.isIntersecting !== false));
    this.view.observe(this.mark);
    const row = this.show_(stop, steer, end);
  }

  /** Offer what can be done with an answer that is over; what runs code only where the notebook is trusted. */
  over(bundle: Bundle, isTrusted: boolean): void {
    const { trans } = this;
    const { id = '', state } = (bundle[MIME] ?? {}) as Facts;
    const hadFocus = this.node.contains(document.activeElement);
    this.none();
    const copy = this.button(trans.__('Copy'), copyIcon, () => {
      const text = bundle['text/plain'] as string | string[] | undefined;
      Clipboard.copyToSystem([text ?? ''].flat().join(''));
      copy.lastChild?.replaceWith(trans.__('Copied'));
      window.setTimeout(() => copy.lastChild?.replaceWith(trans.__('Copy')), COPIED_MS);
    });
    const retry = this.button(trans.__('Retry'), retryIcon, () => this.rerun(id, 'retry'));
    const goOn = this.button(trans.__('Continue'), goOnIcon, () => this.rerun(id, 'continue'));
    goOn.classList.add('jp-codex-strong');
    const runs = isTrusted && id ? [retry] : [];
    const row = this.show_(
      ...(state === 'interrupted' && runs.length ? [goOn, retry, copy] : [copy, ...runs])
    );
    if (hadFocus) {
      row.focus(); // on no button, which a second press of the key would take
    }
  }

  /** Offer nothing. */
  none(): void {
    this.view?.disconnect();
    this.mark.remove();
    this.node.replaceChildren();
  }

  /** Show these buttons below what somebody may be writing. */
  private show_(...buttons: Node[]): HTMLElement {
    const row = element('div', 'jp-codex-row', ...buttons);
    row.role = 'toolbar';
    row.ariaLabel = this.trans.__('Answer actions');
    row.tabIndex = -1;
    const before = this.node.querySelector<HTMLElement>('.jp-codex-row');
    const hadFocus = before?.contains(document.activeElement) ?? false;
    before?.remove();
    this.node.append(row);
    if (hadFocus) {
      row.focus();
    }
    return row;
  }

  private button(label: string, icon: LabIcon, action: () => void): HTMLButtonElement {
    const button = element('button', 'cdx-g', label);
    button.type = 'button';
    button.prepend(icon.element({ tag: 'span', className: 'jp-codex-icon' }));
    button.addEventListener('click', event => {
      if (event.isTrusted) {
        action();
      }
    });
    return button;
  }

  /** The end of the answer; the row stays in view above it. */
  private readonly mark = element('div', '');
  private view: IntersectionObserver | null = null;

  private askWords(kernel: Kernel.IKernelConnection, id: string, opener: HTMLElement): void {
    const { trans } = this;
    const field = element('input', 'jp-codex-field');
    field.ariaLabel = trans.__('Add to the running answer');
    const send = element('button', 'cdx-b cdx-pri', trans.__('Send'));
    const cancel = element('button', 'cdx-b', trans.__('Cancel'));
    const note = element('p', 'jp-codex-hint');
    const line = element('div', 'jp-codex-steer', field, element('div', '', send, cancel), note);
    const once = newMark();
    const close = (): void => {
      line.remove();
      if (document.activeElement === document.body) {
        opener.focus();
      }
    };
    const submit = async (): Promise<void> => {
      const text = field.value.trim();
      if (!text) {
        return;
      }
      send.disabled = field.disabled = true;
      const reply = await insist(kernel, steerRequest(id, text, once));
      if (reply?.ok) {
        close();
        return;
      }
      send.disabled = field.disabled = false;
      note.textContent = reply
        ? trans.__('This answer takes nothing more.')
        : trans.__('The kernel did not answer. Try again.');
    };
    send.addEventListener('click', event => event.isTrusted && void submit());
    cancel.addEventListener('click', close);
    field.addEventListener('keydown', event => {
      if (event.key === 'Enter' && !event.isComposing && event.isTrusted) {
        void submit();
      } else if (event.key === 'Escape') {
        close();
      }
    });
    this.node.querySelector('.jp-codex-steer')?.remove();
    this.node.prepend(line);
    field.focus();
  }
}

/** Run the cell at `index` once more, or one below it that continues its answer: a person has asked for it. */
export function rerun(panel: NotebookPanel, index: number, what: Rerun): void {
  const { content, sessionContext } = panel;
  content.deselectAll();
  content.activeCellIndex = index;
  if (what === 'continue') {
    NotebookActions.insertBelow(content);
    content.activeCell?.model.sharedModel.setSource('%codex continue');
  }
  void NotebookActions.run(content, sessionContext);
}
