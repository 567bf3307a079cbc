import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry, markdownRendererFactory } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Kernel } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Announcer } from './announce';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- a factory of renderers can't wait
import { type Rerun, rerun } from './actions';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- a factory of renderers can't wait
import { AnswerRenderer } from './answer';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- and their blocks can't either
import { CodeBlocks } from './blocks';
import type { Decide } from './cards';
import type { CellEdit } from './edit';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- nor can a notebook that opens
import { NotebookAnswers, outputsOf, replace } from './notebook';
import { SENT } from './names';
import { indexOf } from './place';
import { type Bundle, type CellChange, MIME } from './protocol';

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
            propose: async (change: CellChange, decide: Decide): Promise<CellEdit | null> => {
              const { CellEdit } = await import(/* webpackChunkName: 'diff' */ './edit');
              const here = panel();
              const cell = here?.content.model?.cells.get(indexOf(here, change.cell));
              const asked = { change, decide };
              return here && cell
                ? new CellEdit({ trans, languages, panel: here, cell, text: change.text, asked })
                : null;
            },
            keep: (id: string, bundle: Bundle): void => {
              void notebooks.get(panel())?.keep(id, bundle);
            },
            announce: (state: string, codeBlocks: number): void => {
              if (isOn('announce')) {
                announcer.announce(state, codeBlocks);
              }
            },
            showSent: app.commands.hasCommand(SENT)
              ? (turn): void => void app.commands.execute(SENT, turn)
              : null,
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
