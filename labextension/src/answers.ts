import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { IOutput } from '@jupyterlab/nbformat';
import { type ICodeCellModel, isCodeCellModel } from '@jupyterlab/cells';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry, markdownRendererFactory } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Kernel } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { IDisposable } from '@lumino/disposable';

import { Announcer } from './announce';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- a factory of renderers can't wait
import { type Rerun, rerun } from './actions';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- a factory of renderers can't wait
import { AnswerRenderer } from './answer';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- and their blocks can't either
import { CodeBlocks } from './blocks';
import { attach, listen } from './link';
import { type Bundle, type Facts, MIME } from './protocol';

function factsOf(data: unknown): Facts {
  return (data as Bundle | undefined)?.[MIME] ?? {};
}

/** The outputs of that answer, with the cells they stand in. */
function* outputsOf(panel: NotebookPanel | undefined, id: string): Generator<[ICodeCellModel, number]> {
  for (const cell of panel?.content.model?.cells ?? []) {
    for (let index = 0; isCodeCellModel(cell) && index < cell.outputs.length; index++) {
      if (factsOf(cell.outputs.get(index).data).id === id) {
        yield [cell, index];
      }
    }
  }
}

/** Put this data into the output of that answer while it streams, in the notebook's file. */
function replace(panel: NotebookPanel | undefined, id: string, data: Bundle): void {
  for (const [{ outputs }, index] of outputsOf(panel, id)) {
    const output = outputs.get(index);
    if (factsOf(output.data).state === 'streaming') {
      outputs.set(index, { ...output.toJSON(), data: { ...output.data, ...data } } as IOutput);
    }
  }
}

/** A page whose output is only late needs no second one. */
const ADOPT_MS = 1000;

/** Give an answer a place again that the page has lost: it was loaded again, and nothing had been saved. */
class Adoption {
  constructor(private readonly panel: NotebookPanel) {
    const { sessionContext } = panel;
    sessionContext.kernelChanged.connect((_, { newValue }) => this.listen(newValue));
    this.listen(sessionContext.session?.kernel ?? null);
    panel.disposed.connect(() => this.listen(null));
  }

  private listen(kernel: Kernel.IKernelConnection | null): void {
    this.listening?.dispose();
    this.listening = kernel && listen(kernel, { delta: ({ id }) => this.hear(kernel, id) });
  }

  private hear(kernel: Kernel.IKernelConnection, id: string): void {
    if (!this.known.has(id)) {
      this.known.add(id);
      window.setTimeout(() => void this.adopt(kernel, id), ADOPT_MS);
    }
  }

  private async adopt(kernel: Kernel.IKernelConnection, id: string): Promise<void> {
    if (this.panel.isDisposed || !outputsOf(this.panel, id).next().done) {
      return;
    }
    const reply = await attach(kernel, id);
    if (!reply?.ok || this.panel.isDisposed) {
      return;
    }
    const streaming = { [MIME]: { v: 1, id, state: 'streaming' }, 'text/markdown': reply.text ?? '' };
    for (const cell of this.panel.content.model?.cells ?? []) {
      if (isCodeCellModel(cell) && cell.sharedModel.getId() === reply.cell) {
        cell.outputs.add({
          output_type: 'display_data',
          data: reply.bundle ?? streaming,
          metadata: {}
        } as unknown as IOutput);
      }
    }
  }

  private listening: IDisposable | null = null;
  private readonly known = new Set<string>();
}

/** Answers are drawn here as they come, at a cost that does not grow with their length. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:answers',
  description: 'Draws the answers of Codex while they stream.',
  autoStart: true,
  requires: [IRenderMimeRegistry, INotebookTracker],
  optional: [ITranslator, IEditorLanguageRegistry, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    registry: IRenderMimeRegistry,
    tracker: INotebookTracker,
    translator: ITranslator | null,
    languages: IEditorLanguageRegistry | null,
    settings: ISettingRegistry | null
  ) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    const blocks = new CodeBlocks({ app, trans, languages });
    const lost = `<small style="opacity:.7">${trans.__('Interrupted: the kernel was restarted.')}</small>`;
    const live = new Set<AnswerRenderer>();
    const announcer = new Announcer(trans);
    let chosen: ISettingRegistry.ISettings | null = null;
    const isOn = (name: 'announce' | 'followEnd'): boolean => chosen?.get(name).composite !== false;
    void settings?.load(plugin.id).then(
      loaded => (chosen = loaded),
      () => undefined // a page without the schema: as by default
    );

    registry.addFactory(
      {
        safe: true,
        mimeTypes: [MIME],
        defaultRank: 0,
        createRenderer: (options: IRenderMime.IRendererOptions) => {
          // Each notebook renders with a resolver of its own.
          const panel = (): NotebookPanel | undefined =>
            tracker.find(each => each.context.urlResolver === options.resolver);
          const renderer = new AnswerRenderer({
            lost,
            trans,
            kernel: async (): Promise<Kernel.IKernelConnection | null> => {
              const { sessionContext } = panel() ?? {};
              await sessionContext?.ready;
              return sessionContext?.session?.kernel ?? null;
            },
            rerun: (id: string, what: Rerun): void => {
              const here = panel();
              const cells = new Set([...outputsOf(here, id)].map(([cell]) => cell.id));
              const index = here?.content.widgets.findIndex(({ model }) => cells.has(model.id)) ?? -1;
              if (here && index >= 0) {
                rerun(here, index, what);
              }
            },
            keep: (id: string, bundle: Bundle): void => {
              replace(panel(), id, bundle);
            },
            announce: (state: string, codeBlocks: number): void => {
              if (isOn('announce')) {
                announcer.announce(state, codeBlocks);
              }
            },
            look: {
              renderer: markdownRendererFactory.createRenderer({ ...options, mimeType: 'text/markdown' }),
              typesetter: options.latexTypesetter,
              followsEnd: (): boolean => isOn('followEnd')
            },
            // A notebook may be open in two views, which share what resolves its links.
            dress: (node: HTMLElement, answer: AnswerRenderer, isWhole: boolean): void =>
              blocks.dress(
                node,
                answer,
                isWhole,
                () => tracker.find(each => each.node.contains(node)) ?? panel()
              )
          });
          live.add(renderer);
          renderer.disposed.connect(() => live.delete(renderer));
          return renderer;
        }
      },
      0
    );

    tracker.widgetAdded.connect((_, panel) => {
      new Adoption(panel);
      // What is saved in mid-stream is what has streamed so far.
      panel.context.saveState.connect((_context, state) => {
        for (const { streaming } of state === 'started' ? live : []) {
          if (streaming) {
            replace(panel, streaming.id, { 'text/markdown': streaming.text });
          }
        }
      });
    });
  }
};

export default plugin;
