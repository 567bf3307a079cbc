import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { IOutput } from '@jupyterlab/nbformat';
import { isCodeCellModel } from '@jupyterlab/cells';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry, markdownRendererFactory } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Kernel } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

// eslint-disable-next-line jupyter/prefer-lazy-imports -- a factory of renderers can't wait
import { AnswerRenderer } from './answer';
import { type Bundle, type Facts, MIME } from './protocol';

function factsOf(data: unknown): Facts {
  return (data as Bundle | undefined)?.[MIME] ?? {};
}

/** Put this data into the output of that answer while it streams, in the notebook's file. */
function replace(panel: NotebookPanel | undefined, id: string, data: Bundle): void {
  for (const cell of panel?.content.model?.cells ?? []) {
    if (!isCodeCellModel(cell)) {
      continue;
    }
    for (let index = 0; index < cell.outputs.length; index++) {
      const output = cell.outputs.get(index);
      const facts = factsOf(output.data);
      if (facts.id === id && facts.state === 'streaming') {
        cell.outputs.set(index, { ...output.toJSON(), data: { ...output.data, ...data } } as IOutput);
      }
    }
  }
}

/** Answers are drawn here as they come, at a cost that does not grow with their length. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:answers',
  description: 'Draws the answers of Codex while they stream.',
  autoStart: true,
  requires: [IRenderMimeRegistry, INotebookTracker],
  optional: [ITranslator],
  activate: (_, registry: IRenderMimeRegistry, tracker: INotebookTracker, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    const lost = `<small style="opacity:.7">${trans.__('Interrupted: the kernel was restarted.')}</small>`;
    const live = new Set<AnswerRenderer>();

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
            kernel: async (): Promise<Kernel.IKernelConnection | null> => {
              const { sessionContext } = panel() ?? {};
              await sessionContext?.ready;
              return sessionContext?.session?.kernel ?? null;
            },
            keep: (id: string, bundle: Bundle): void => {
              replace(panel(), id, bundle);
            },
            block: (): IRenderMime.IRenderer =>
              markdownRendererFactory.createRenderer({ ...options, mimeType: 'text/markdown' })
          });
          live.add(renderer);
          renderer.disposed.connect(() => live.delete(renderer));
          return renderer;
        }
      },
      0
    );

    tracker.widgetAdded.connect((_, panel) => {
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
