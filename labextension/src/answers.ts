import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry, markdownRendererFactory } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Kernel } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

// eslint-disable-next-line jupyter/prefer-lazy-imports -- a factory of renderers can't wait
import { AnswerRenderer } from './answer';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- nor can a notebook that opens
import { NotebookAnswers, replace } from './notebook';
import { type Bundle, MIME } from './protocol';

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
    const notebooks = new Map<NotebookPanel | undefined, NotebookAnswers>();

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
              void notebooks.get(panel())?.keep(id, bundle);
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
      notebooks.set(panel, new NotebookAnswers(panel));
      panel.disposed.connect(() => notebooks.delete(panel));
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
