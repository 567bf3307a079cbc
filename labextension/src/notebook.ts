import type { IOutput } from '@jupyterlab/nbformat';
import { type ICellModel, type ICodeCellModel, isCodeCellModel } from '@jupyterlab/cells';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';

import { Errands } from './errands';
import { answers, attach, request } from './link';
import { listen } from './listen';
import {
  type About,
  type AttachReply,
  type Bundle,
  type Facts,
  METADATA,
  MIME,
  type PageCell,
  keptRequest
} from './protocol';

export function factsOf(data: unknown): Facts {
  return (data as Bundle | undefined)?.[MIME] ?? {};
}

/** The outputs of that answer, with the cells they stand in. */
export function* outputsOf(
  panel: NotebookPanel | undefined,
  id: string
): Generator<[ICodeCellModel, number, Facts]> {
  for (const cell of panel?.content.model?.cells ?? []) {
    for (let index = 0; isCodeCellModel(cell) && index < cell.outputs.length; index++) {
      const facts = factsOf(cell.outputs.get(index).data);
      if (facts.id === id) {
        yield [cell, index, facts];
      }
    }
  }
}

/** The turns whose answers stand in a cell. */
export function turnsIn(cell: ICellModel): string[] {
  const turns: string[] = [];
  for (let index = 0; isCodeCellModel(cell) && index < cell.outputs.length; index++) {
    const { turn } = factsOf(cell.outputs.get(index).data);
    if (typeof turn === 'string') {
      turns.push(turn);
    }
  }
  return turns;
}

/** The cells as they stand in the page. */
export function cellsOf(panel: NotebookPanel): (PageCell & { source: string })[] {
  return panel.content.widgets.map(({ model }) => ({
    id: model.sharedModel.getId(),
    kind: model.type as PageCell['kind'],
    source: model.sharedModel.getSource(),
    turns: turnsIn(model)
  }));
}

/** The kernel's word for this notebook, which its metadata keeps. */
export function nameOf(panel: NotebookPanel): string | null {
  return (panel.model?.getMetadata(METADATA) as { notebook?: string } | undefined)?.notebook ?? null;
}

/** Return what is said of a notebook along with its cells. */
export function aboutOf(
  panel: NotebookPanel,
  executor: About['executor'] = 'browser',
  selection = ''
): About {
  return { path: panel.context.localPath, notebook: nameOf(panel), executor, selection };
}

/** Put this data into the output of that answer while it streams, in the notebook's file. */
export function replace(panel: NotebookPanel | undefined, id: string, data: Bundle): void {
  for (const [{ outputs }, index, { state }] of outputsOf(panel, id)) {
    if (state === 'streaming') {
      const output = outputs.get(index);
      outputs.set(index, { ...output.toJSON(), data: { ...output.data, ...data } } as IOutput);
    }
  }
}

/** The output of this page's own cell may come later than what the kernel says of it; it is lost only after so long. */
const OWN_MS = 3000;

/** In a shared document the server or another page may write the same; only after so long one page does. */
const SHARED_MS = 3000;

/**
 * The answers in the cells of one notebook: each ends there whole, once, whatever has become of the page.
 *
 * An output comes to the page that sent its request. A page that was loaded again, or whose cells a server runs,
 * asks the kernel which answers there are, and puts those it lacks into their cells itself.
 */
export class NotebookAnswers {
  constructor(private readonly panel: NotebookPanel) {
    this.errands = new Errands(panel, () => cellsOf(panel));
    const { sessionContext } = panel;
    sessionContext.kernelChanged.connect((_, { newValue }) => this.listen(newValue));
    this.listen(sessionContext.session?.kernel ?? null);
    panel.disposed.connect(() => this.listen(null));
  }

  /** Put the end of an answer into its output, unless it is there. */
  async keep(id: string, bundle: Bundle): Promise<void> {
    if (await this.isWriter()) {
      replace(this.panel, id, bundle);
    }
  }

  private listen(kernel: Kernel.IKernelConnection | null): void {
    this.listening?.dispose();
    this.listening = null;
    if (!kernel) {
      return;
    }
    this.listening = listen(kernel, {
      delta: ({ id, bundle, notebook, errand, ran, failed, go }) => {
        this.notice(kernel, id);
        if (errand !== undefined && !outputsOf(this.panel, id).next().done) {
          void this.errands.run(kernel, errand);
        }
        if (ran !== undefined) {
          this.errands.ran(ran, failed ?? false);
        }
        if (bundle !== undefined) {
          this.ending = this.end(kernel, id, bundle, notebook);
        }
        if (go !== undefined) {
          void this.ending.then(() => this.errands.go(go));
        }
      },
      output: (data, session) => {
        const { id } = factsOf(data);
        if (id !== undefined && session === kernel.clientId) {
          this.own.add(id);
          this.known.add(id);
        } else if (id !== undefined) {
          this.notice(kernel, id);
        }
      },
      reconnected: () => void this.look(kernel),
      ended: () => this.errands.end()
    });
    void this.look(kernel);
  }

  private notice(kernel: Kernel.IKernelConnection, id: string): void {
    if (!this.known.has(id)) {
      this.known.add(id);
      void this.look(kernel);
    }
  }

  /** Ask which answers there are, and take in what the notebook lacks of them. */
  private async look(kernel: Kernel.IKernelConnection): Promise<void> {
    await this.panel.context.ready;
    for (const { id, cell } of (await answers(kernel))?.answers ?? []) {
      this.known.add(id);
      const answer = await attach(kernel, id);
      if (!answer) {
        this.known.delete(id); // what comes of it next is a reason to ask once more
      }
      if (!answer?.ok || this.panel.isDisposed) {
        continue;
      }
      if (answer.client === kernel.clientId && !this.own.has(id)) {
        await new Promise(resolve => window.setTimeout(resolve, OWN_MS));
      }
      if (!this.own.has(id)) {
        await this.adopt(id, cell, answer);
      }
      if (answer.bundle) {
        await this.end(kernel, id, answer.bundle, answer.notebook);
      }
    }
  }

  /** Give an answer an output, where its cell has none of it. */
  private async adopt(id: string, cellId: string, { text = '', bundle }: AttachReply): Promise<void> {
    if (!outputsOf(this.panel, id).next().done || !(await this.isWriter())) {
      return;
    }
    const data = bundle ?? { [MIME]: { v: 1, id, state: 'streaming' }, 'text/markdown': text };
    for (const cell of this.panel.content.model?.cells ?? []) {
      const isLacking = outputsOf(this.panel, id).next().done;
      if (isLacking && isCodeCellModel(cell) && cell.sharedModel.getId() === cellId) {
        cell.outputs.add({ output_type: 'display_data', data, metadata: {} } as unknown as IOutput);
      }
    }
  }

  /** Take the end of an answer, which is asked for where it came without; the kernel hears that it is kept. */
  private async end(
    kernel: Kernel.IKernelConnection,
    id: string,
    bundle: Bundle | null,
    notebook: string | null | undefined
  ): Promise<void> {
    if (!(await this.isWriter())) {
      return;
    }
    const isStreaming = (): boolean =>
      [...outputsOf(this.panel, id)].some(([, , { state }]) => state === 'streaming');
    const last = bundle ?? (isStreaming() ? (await attach(kernel, id))?.bundle : null);
    if (last) {
      replace(this.panel, id, last);
    }
    if (!isStreaming() && !outputsOf(this.panel, id).next().done) {
      this.name(notebook);
      await request(kernel, keptRequest(id));
    }
  }

  /** Keep the kernel's word for this notebook in its file, which goes with it wherever it is moved. */
  private name(notebook: string | null | undefined): void {
    const { model } = this.panel.content;
    const ours = model?.getMetadata(METADATA) as { notebook?: string } | undefined;
    if (notebook && model && !model.readOnly && ours?.notebook !== notebook) {
      model.setMetadata(METADATA, { ...ours, notebook });
    }
  }

  /** Whether this page is the one that writes; of a shared document, once others have had time to. */
  private async isWriter(): Promise<boolean> {
    const { model } = this.panel.content;
    if (!model?.collaborative) {
      return !this.panel.isDisposed;
    }
    await new Promise(resolve => window.setTimeout(resolve, SHARED_MS));
    const { awareness } = model.sharedModel as unknown as { awareness: Awareness };
    // The server is no user.
    const pages = [...awareness.getStates()].filter(([, { user }]) => user).map(([page]) => page);
    return !this.panel.isDisposed && Math.min(awareness.clientID, ...pages) === awareness.clientID;
  }

  private readonly errands: Errands;
  private listening: IDisposable | null = null;
  /** What takes in the end that came last. */
  private ending = Promise.resolve();
  /** Those whose output comes by itself. */
  private readonly own = new Set<string>();
  private readonly known = new Set<string>();
}

/** Who has a shared document open, as Yjs tells it. */
type Awareness = { clientID: number; getStates(): Map<number, { user?: unknown }> };
