import { type ICellModel, isCodeCellModel } from '@jupyterlab/cells';
import { type IEditorLanguageRegistry, jupyterHighlightStyle } from '@jupyterlab/codemirror';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { syntaxHighlighting } from '@codemirror/language';
import { unifiedMergeView } from '@codemirror/merge';
import { EditorState, type Extension } from '@codemirror/state';
import { EditorView, highlightSpecialChars, lineNumbers } from '@codemirror/view';
import type { IDisposable } from '@lumino/disposable';

import type { Decide } from './cards';
import { nameOf, UNSEEN } from './code';
import { type EditState, Proposal, replaced } from './diff';
import { button, element, keepKeys } from './element';
import { drawn, type Stroke } from './icon';
import { type IShown, editKey, shownEdits } from './errands';
import { indexOf, isText, numberOf, type Outcome as RunOutcome, runCell, show, write } from './place';
import type { CellChange, Outcome } from './protocol';

export interface IEdit {
  trans: TranslationBundle;
  languages: IEditorLanguageRegistry | null;
  panel: NotebookPanel;
  cell: ICellModel;
  /** What the cell should hold. */
  text: string;
  /** Put the text into a cell of its own, where the other is gone. */
  insert?(): unknown;
  /** Where the kernel asks: who hears what somebody says to it, and then has it made. */
  asked?: { change: CellChange; decide: Decide };
}

/** A change to one cell, shown as what it changes; the user applies or rejects it, and a line of that stays. */
export class CellEdit implements IDisposable, IShown {
  readonly node = element('div', { class: 'cdx-edit', tabindex: '-1' });

  constructor(private readonly edit: IEdit) {
    keepKeys(this.node);
    this.id = edit.cell.id;
    const current = edit.cell.sharedModel.getSource();
    const { change } = edit.asked ?? {};
    this.proposal = new Proposal(
      !change || isText(edit.cell, change.base) ? current : change.base,
      edit.text
    );
    if (change) {
      shownEdits.set(editKey(change), this);
    }
    edit.panel.content.model?.contentChanged.connect(this.update);
    this.update();
  }

  get isDisposed(): boolean {
    return this.isOver;
  }

  dispose(): void {
    if (this.isOver) {
      return;
    }
    this.isOver = true;
    const { change } = this.edit.asked ?? {};
    if (change && shownEdits.get(editKey(change)) === this) {
      shownEdits.delete(editKey(change));
    }
    this.edit.panel.content.model?.contentChanged.disconnect(this.update);
    this.view?.destroy();
    this.node.remove();
  }

  /** The cell as the notebook has it now: one that was moved is another object with the same id. */
  private get cell(): ICellModel | null {
    const { panel } = this.edit;
    return panel.content.model?.cells.get(indexOf(panel, this.id)) ?? null;
  }

  private readonly update = (): void => {
    const { cell } = this;
    this.number = cell ? numberOf(cell) : this.number;
    const state = this.proposal.state(cell?.sharedModel.getSource() ?? null);
    const key = `${state} ${this.number} ${this.outcome}`;
    if (key === this.drawn) {
      return;
    }
    this.drawn = key;
    const hadFocus = this.node.contains(document.activeElement);
    this.view?.destroy();
    this.view = null;
    this.node.removeAttribute('role');
    this.node.removeAttribute('aria-label');
    this.node.replaceChildren(...this.content(state));
    if (hadFocus) {
      this.node.focus();
    }
  };

  private content(state: EditState): HTMLElement[] {
    const { trans } = this.edit;
    const name = trans.__('cell %1', this.number);
    switch (state) {
      case 'proposed':
        return [this.card(trans.__('Change %1?', name), this.diff(), this.choices())];
      case 'changed': {
        const text = trans.__('You edited it after Codex read it. Nothing was overwritten.');
        const again = button('cdx-b cdx-pri', trans.__('Compare again'), () => this.compare());
        return [
          this.card(trans.__('Cell %1 has changed since', this.number), paragraph(text), [
            [this.reject()],
            this.again(this.cell?.sharedModel.getSource() ?? '') === null ? [] : [again]
          ])
        ];
      }
      case 'gone': {
        const isOurs = this.edit.insert !== undefined;
        const text = isOurs
          ? trans.__('Nothing was changed. The code can go into a new cell.')
          : trans.__('Nothing was changed.');
        const below = button('cdx-b cdx-pri', trans.__('Insert below'), () => {
          this.edit.insert?.();
          this.decide('inserted');
        });
        return [
          this.card(trans.__('Cell %1 was deleted', this.number), paragraph(text), [
            [this.reject()],
            isOurs ? [below] : []
          ])
        ];
      }
      case 'same':
        return [line('check', trans.__('Cell %1 has this code already', this.number))];
      case 'applied':
      case 'kept':
        return [this.applied(name, state)];
      case 'approved':
        return [line('edit', trans.__('Applying …'))];
      case 'conflict':
        return [line('no', trans.__('Not applied: cell %1 has changed since', this.number))];
      case 'rejected':
        return [line('no', trans.__('Not applied: rejected'))];
      case 'undone':
        return [line('no', trans.__('Not applied: undone'))];
      case 'inserted':
        return [line('check', trans.__('Inserted below'))];
    }
  }

  private card(title: string, body: HTMLElement, buttons: HTMLButtonElement[][]): HTMLElement {
    const head = element('div', { class: 'cdx-title' }, drawn('edit'), element('span', {}, title));
    const groups = buttons.map(group => element('div', { class: 'cdx-grp' }, ...group));
    this.node.setAttribute('role', 'group');
    this.node.setAttribute('aria-label', title);
    return element(
      'div',
      { class: 'cdx-card' },
      head,
      body,
      element('div', { class: 'cdx-acts' }, ...groups)
    );
  }

  private choices(): HTMLButtonElement[][] {
    const { trans, panel } = this.edit;
    const showCell = (): void => void show(panel, indexOf(panel, this.id));
    const run = isCodeCellModel(this.edit.cell)
      ? [this.choice('cdx-b', trans.__('Apply and run'), 'r', () => void this.applyAndRun())]
      : [];
    return [
      [this.reject(), button('cdx-b', trans.__('Show cell'), showCell)],
      [...run, this.choice('cdx-b cdx-pri', trans.__('Apply'), 'a', () => this.apply())]
    ];
  }

  private reject(): HTMLButtonElement {
    return this.choice('cdx-b', this.edit.trans.__('Reject'), 'd', () => this.decide('rejected'));
  }

  /** Make the button of an answer: it goes to who has asked, else it is done here. */
  private choice(
    look: 'cdx-b' | 'cdx-b cdx-pri',
    words: string,
    key: string,
    act: () => void
  ): HTMLButtonElement {
    const { asked } = this.edit;
    return button(look, words, event => (asked ? asked.decide(key, event) : act()));
  }

  private applied(name: string, state: EditState): HTMLElement {
    const { trans } = this.edit;
    const words = {
      none: trans.__('Applied to %1', name),
      ran: trans.__('Applied and ran %1', name),
      failed: trans.__('Applied to %1, which failed', name)
    };
    const done = line(this.outcome === 'failed' ? 'no' : 'check', words[this.outcome]);
    if (this.outcome !== 'none') {
      const seconds = this.edit.trans.__('%1 s', this.seconds.toFixed(1));
      done.append(element('span', { class: 'cdx-quietline' }, ` · ${seconds}`));
    }
    if (state === 'applied') {
      const undo = button('cdx-lnk', trans.__('Undo'), () => this.undo());
      done.append(element('span', { 'aria-hidden': 'true' }, ' · '), undo);
    }
    return done;
  }

  /** The whole change, however long; it scrolls. What does not show by itself is made visible. */
  private diff(): HTMLElement {
    const { trans, languages, cell } = this.edit;
    const fixed = [
      unifiedMergeView({ original: this.proposal.base, mergeControls: false, allowInlineDiffs: false }),
      EditorState.readOnly.of(true),
      EditorView.editable.of(false),
      EditorView.contentAttributes.of({ 'aria-label': trans.__('The cell with the change') }),
      EditorView.lineWrapping,
      lineNumbers(),
      highlightSpecialChars({ specialChars: UNSEEN, render: code => unseen(String.fromCodePoint(code)) }),
      syntaxHighlighting(jupyterHighlightStyle)
    ];
    const state = (extensions: Extension): EditorState =>
      EditorState.create({ doc: this.proposal.text, extensions });
    const view = new EditorView({ state: state(fixed) });
    this.view = view;
    const language = languages?.findByMIME(cell.mimeType);
    if (language) {
      void languages?.getLanguage(language).then(loaded => {
        if (this.view === view && loaded?.support) {
          view.setState(state([...fixed, loaded.support]));
        }
      });
    }
    const about = { class: 'cdx-diff', role: 'region', 'aria-label': trans.__('Diff'), tabindex: '0' };
    return element('div', about, view.dom);
  }

  private compare(): void {
    const current = this.cell?.sharedModel.getSource() ?? '';
    this.proposal.compare(current, this.again(current) ?? undefined);
    this.drawn = '';
    this.update();
  }

  /** Return what the cell should hold, now that it holds this; `null` where the change has no place in it. */
  private again(current: string): string | null {
    const { change } = this.edit.asked ?? {};
    return change ? replaced(current, change.old, change.new) : this.proposal.text;
  }

  /** Note what somebody said to it, here or elsewhere. */
  decide(end: Parameters<Proposal['decide']>[0]): void {
    this.proposal.decide(end);
    this.update();
  }

  make(): Outcome {
    const { cell } = this;
    const current = cell?.sharedModel.getSource() ?? null;
    if (!this.proposal.fits(current)) {
      this.decide('conflict');
      return current === null ? 'gone' : 'conflict';
    }
    write(cell, this.proposal.text);
    this.decide('applied');
    return 'done';
  }

  ran(failed: boolean, seconds: number): void {
    this.outcome = failed ? 'failed' : 'ran';
    this.seconds = seconds;
    this.update();
  }

  /** Change the cell, as one step that can be undone; not one that has changed since it was compared. */
  private apply(): boolean {
    const { cell } = this;
    if (this.proposal.state(cell?.sharedModel.getSource() ?? null) !== 'proposed') {
      this.update();
      return false;
    }
    write(cell, this.proposal.text);
    this.decide('applied');
    return true;
  }

  private async applyAndRun(): Promise<void> {
    const { panel } = this.edit;
    const cell = this.apply() && panel.content.widgets[indexOf(panel, this.id)];
    if (cell) {
      const begun = performance.now();
      this.outcome = await runCell(panel, cell);
      this.seconds = (performance.now() - begun) / 1000;
      this.update();
    }
  }

  private undo(): void {
    write(this.cell, this.proposal.base);
    this.decide('undone');
  }

  private readonly id: string;
  private readonly proposal: Proposal;
  private number = '';
  private outcome: RunOutcome = 'none';
  private seconds = 0;
  private drawn = '';
  private view: EditorView | null = null;
  private isOver = false;
}

function line(icon: Stroke, words: string): HTMLElement {
  return element('div', { class: 'cdx-line', role: 'status' }, drawn(icon), element('b', {}, words));
}

function unseen(char: string): HTMLElement {
  return element('span', { class: 'cdx-hidden' }, `[${nameOf(char)}]`);
}

function paragraph(words: string): HTMLElement {
  return element('p', {}, words);
}
