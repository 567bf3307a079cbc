import { type Cell, CodeCell } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';

import { insist, messageOf, newMark } from './link';
import { asOneStep, indexOf, insertQuietly, isText, write } from './place';
import {
  type ErrandDoneRequest,
  type ErrandReply,
  type Outcome,
  type PageCell,
  type Reply,
  type Work,
  errandDoneRequest,
  errandRequest
} from './protocol';

/** A change that somebody sees before it is made. */
export interface IShown {
  /** Make it, unless the cell has changed since it was compared. */
  make(): Outcome;
  /** The cell has run to its end. */
  ran(failed: boolean, seconds: number): void;
}

/** Those that are shown in this page, by `editKey`. */
export const shownEdits = new Map<string, IShown>();

export function editKey({ cell, base, text }: { cell: string; base: string; text: string }): string {
  return JSON.stringify([cell, base, text]);
}

/** What the kernel wants done in one notebook, with the user's yes; it is told what became of it. */
export class Errands {
  /** `cells`: as they stand in the page. */
  constructor(
    private readonly panel: NotebookPanel,
    private readonly cells: () => (PageCell & { source: string })[]
  ) {}

  /** Do this one, unless another page has it. */
  async run(kernel: Kernel.IKernelConnection, id: string): Promise<void> {
    const once = newMark();
    const reply = await insist<ErrandReply>(kernel, errandRequest(id, once));
    const { panel } = this;
    if (!reply?.ok || !reply.work || panel.isDisposed) {
      return;
    }
    const { work } = reply;
    const [tried, about] = this.do_(work);
    let outcome = tried;
    if (outcome === 'done' && work.kind === 'interrupt') {
      await kernel.interrupt().catch(() => (outcome = 'refused'));
    } else if (outcome === 'done' && work.kind === 'restart') {
      this.held.set(id, work);
    }
    const index = indexOf(panel, about);
    const cell = panel.content.widgets[index];
    const source = cell?.model.sharedModel.getSource() ?? '';
    const path = panel.context.localPath;
    const content = errandDoneRequest(id, once, { outcome, cell: about, source, path }, this.cells(), index);
    if (outcome === 'done' && work.runs && cell instanceof CodeCell) {
      this.showRun(kernel, content, cell, work.kind === 'edit' ? shownEdits.get(editKey(work)) : undefined);
    } else {
      await insist<Reply>(kernel, content);
    }
  }

  /** Restart the kernel for this errand, if it is held here. */
  async go(id: string): Promise<void> {
    const work = this.held.get(id);
    this.held.delete(id);
    if (work && !this.panel.isDisposed) {
      const { restart } = await import('./restart');
      await restart(this.panel, work, this.cells);
    }
  }

  /** The cell of this errand has run to its end. */
  ran(id: string, failed: boolean): void {
    this.running.get(id)?.(failed);
  }

  /** The kernel has ended, and nothing runs any more. */
  end(): void {
    for (const ended of [...this.running.values()]) {
      ended(true);
    }
  }

  /** Do it; return what became of it, and the id of the cell it was about. */
  private do_(work: Work): [Outcome, string] {
    const { panel } = this;
    const { model } = panel.content;
    if (!model || model.readOnly) {
      return ['refused', ''];
    }
    if (work.kind === 'look' || work.kind === 'interrupt') {
      return ['done', ''];
    }
    if (work.kind === 'restart') {
      const cells = work.steps.map(({ cell }) => panel.content.widgets[indexOf(panel, cell)]);
      const isAsIs = cells.every((cell, at) => cell && isText(cell.model, work.steps[at]?.source ?? ''));
      return [isAsIs ? 'done' : 'conflict', ''];
    }
    if (work.kind === 'add') {
      const above = indexOf(panel, work.below);
      const index = !work.below ? 0 : above < 0 ? model.cells.length : above + 1;
      const cell = insertQuietly(panel, index, work.text, work.cell_type);
      return cell ? ['done', cell.model.id] : ['refused', ''];
    }
    const index = indexOf(panel, work.cell);
    const cell = panel.content.widgets[index];
    return [cell ? this.change(work, cell, index) : 'gone', work.cell];
  }

  private change(work: Extract<Work, { base: string }>, { model }: Cell, index: number): Outcome {
    const { panel } = this;
    const notebook = panel.content.model?.sharedModel;
    const shown = work.kind === 'edit' ? shownEdits.get(editKey(work)) : undefined;
    if (!shown && !isText(model, work.base)) {
      return 'conflict';
    }
    switch (work.kind) {
      case 'edit':
        if (model.getMetadata('editable') === false) {
          return 'refused';
        }
        if (shown) {
          return shown.make();
        }
        write(model, work.text);
        return 'done';
      case 'move': {
        const above = work.below ? indexOf(panel, work.below) : -1;
        if (work.below && above < 0) {
          return 'gone';
        }
        asOneStep(notebook, () => notebook?.moveCell(index, index < above ? above : above + 1));
        return 'done';
      }
      case 'delete':
        if (model.getMetadata('deletable') === false) {
          return 'refused';
        }
        asOneStep(notebook, () => notebook?.deleteCell(index));
        return 'done';
      case 'run':
        return 'done';
    }
  }

  /** Tell the kernel that the cell is ready, and show there what that message leads to. */
  private showRun(
    kernel: Kernel.IKernelConnection,
    content: ErrandDoneRequest,
    cell: CodeCell,
    edit: IShown | undefined
  ): void {
    cell.model.clearExecution();
    cell.model.trusted = true; // the user has said yes to what it runs
    cell.outputHidden = false;
    const future = kernel.sendControlMessage(messageOf(kernel, content), true, false);
    cell.outputArea.future = future as unknown as CodeCell['outputArea']['future'];
    cell.setPrompt('*');
    const begun = performance.now();
    this.running.set(content.id, failed => {
      this.running.delete(content.id);
      future.dispose();
      if (!cell.isDisposed) {
        cell.setPrompt('');
      }
      edit?.ran(failed, (performance.now() - begun) / 1000);
    });
  }

  private readonly held = new Map<string, Extract<Work, { kind: 'restart' }>>();
  private readonly running = new Map<string, (failed: boolean) => void>();
}
