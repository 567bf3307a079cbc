import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { IError } from '@jupyterlab/nbformat';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { errorRendererFactory, type IOutputModel, IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { Panel, Widget } from '@lumino/widgets';

import { button, element, keepKeys } from './element';
import { drawn } from './icon';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- every page has it, for its answers
import { load, request } from './link';
import { LOAD, errorQuestion, loadsCodex, mentionOf } from './magic';
import { indexOf, insertAt, runCell, Runs } from './place';
import { type FailureReply, failureRequest } from './protocol';

const STDERR = 'application/vnd.jupyter.stderr';

/** Nothing is wrong with the code of a cell that ended so. */
const NO_FAULTS = new Set(['KeyboardInterrupt', 'CellFailed', 'CellStopped']);

/** A kernel that has loaded codex_magic answers sooner. */
const ANSWER_MS = 1000;

const MOST_CHARS = 1000;

/** What IPython prints where a kernel, such as one that was restarted, has not loaded codex_magic. */
const NOT_LOADED = /^UsageError: (Line|Cell) magic (function )?`%%?codex` not found/m;

/** An error output, with a line that sends it to Codex, or loads it. */
class ErrorRenderer extends Panel implements IRenderMime.IRenderer {
  constructor(
    options: IRenderMime.IRendererOptions,
    private readonly trans: TranslationBundle,
    private readonly runs: Runs,
    private readonly panel: () => NotebookPanel | undefined
  ) {
    super();
    this.text = errorRendererFactory.createRenderer(options);
    this.addWidget(this.text);
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    await this.text.renderModel(model);
    const output = model as IOutputModel;
    this.error = output.type === 'error' ? (output.toJSON() as unknown as IError) : null;
    this.isNotLoaded = output.type === 'stream' && NOT_LOADED.test(plain(model.data[STDERR] as string));
    this.isTrusted = model.trusted;
    this.offer();
  }

  protected override onAfterAttach(): void {
    this.offer();
  }

  /** Offer help with an error of the user's own Python code, in a cell that is trusted. */
  private offer(): void {
    const panel = this.panel();
    const cell = panel?.content.widgets.find(each => each.node.contains(this.node))?.model;
    const isPython = panel?.content.codeMimetype.includes('python') ?? false;
    const isFault = this.error !== null && !NO_FAULTS.has(this.error.ename);
    const isOurs = (isFault || this.isNotLoaded) && isPython;
    const isOffered = isOurs && cell !== undefined && (this.isTrusted || this.runs.include(cell));
    if (isOffered && this.widgets.length === 1) {
      this.addWidget(new Widget({ node: this.isNotLoaded ? this.loadLine() : this.line() }));
    } else if (!isOffered) {
      this.widgets[1]?.dispose();
    }
  }

  private line(): HTMLElement {
    const { trans } = this;
    const line = element(
      'div',
      { class: 'cdx-fix' },
      button('cdx-b', trans.__('Fix with Codex'), () => void this.ask('fix'), drawn('prompt')),
      button('cdx-g', trans.__('Explain'), () => void this.ask('explain')),
      element('span', { class: 'cdx-quietline' }, trans.__('sends this cell and its error'))
    );
    keepKeys(line);
    return line;
  }

  private loadLine(): HTMLElement {
    const { trans } = this;
    const line = element(
      'div',
      { class: 'cdx-fix' },
      button('cdx-b', trans.__('Load Codex and run again'), () => void this.load(), drawn('prompt')),
      element('span', { class: 'cdx-quietline' }, trans.__('this kernel has not loaded codex_magic yet'))
    );
    keepKeys(line);
    return line;
  }

  /** Load codex_magic, in a new cell above where no cell of the notebook does, and run this cell again. */
  private async load(): Promise<void> {
    const panel = this.panel();
    const cells = panel?.content.widgets ?? [];
    const cell = cells.find(each => each.node.contains(this.node));
    const kernel = panel?.sessionContext.session?.kernel;
    if (!panel || !cell || !kernel) {
      return;
    }
    if (cells.some(each => loadsCodex(each.model.sharedModel.getSource()))) {
      await load(kernel);
    } else {
      const above = insertAt(panel, indexOf(panel, cell.model.id), LOAD);
      if (!above || (await runCell(panel, above)) !== 'ran') {
        return;
      }
    }
    await runCell(panel, cell);
  }

  /** Ask in a new cell below, about exactly this error. */
  private async ask(what: 'fix' | 'explain'): Promise<void> {
    const panel = this.panel();
    const cell = panel?.content.widgets.find(each => each.node.contains(this.node))?.model;
    if (!panel || !cell || !this.error) {
      return;
    }
    const { ename, evalue } = this.error;
    const number = (cell.sharedModel as { execution_count?: number | null }).execution_count ?? 0;
    const reply = await failure(panel, cell.id, number);
    const ids = panel.content.widgets.map(each => each.model.id);
    const source = errorQuestion(what, {
      number,
      mention: mentionOf('cell', cell.id, ids),
      message: plain(evalue ? `${ename}: ${evalue}` : ename),
      failure: reply?.failure ?? null
    });
    const at = indexOf(panel, cell.id) + 1;
    const question = insertAt(panel, at, source);
    const load = reply ? undefined : insertAt(panel, at, LOAD);
    for (const each of [load, question]) {
      if (each && (await runCell(panel, each)) !== 'ran') {
        return;
      }
    }
  }

  private readonly text: IRenderMime.IRenderer;
  private error: IError | null = null;
  private isNotLoaded = false;
  private isTrusted = false;
}

/** Ask the kernel what it knows of that failure; `null` where it has not loaded codex_magic. */
function failure(panel: NotebookPanel, cell: string, number: number): Promise<FailureReply | null> {
  const kernel = panel.sessionContext.session?.kernel;
  const late = new Promise<null>(resolve => window.setTimeout(() => resolve(null), ANSWER_MS));
  const asked = kernel && request<FailureReply>(kernel, failureRequest(cell, number));
  return asked ? Promise.race([asked, late]) : Promise.resolve(null);
}

/** Return a message without the colours of a terminal. */
function plain(message: string): string {
  // eslint-disable-next-line no-control-regex -- they are what is taken away
  return message.replace(/\x1b\[[0-9;]*m/g, '').slice(0, MOST_CHARS);
}

/** Error outputs can be sent to Codex with one click. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:errors',
  description: 'Offers help by Codex below error outputs.',
  autoStart: true,
  requires: [IRenderMimeRegistry, INotebookTracker],
  optional: [ITranslator],
  activate: (_, registry: IRenderMimeRegistry, tracker: INotebookTracker, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    const runs = new Runs();
    registry.addFactory(
      {
        safe: true,
        mimeTypes: [STDERR],
        defaultRank: 10,
        createRenderer: options => {
          const renderer: ErrorRenderer = new ErrorRenderer(options, trans, runs, () =>
            tracker.find(each => each.node.contains(renderer.node))
          );
          return renderer;
        }
      },
      10
    );
  }
};

export default plugin;
