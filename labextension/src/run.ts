import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { Cell } from '@jupyterlab/cells';
import { INotebookTracker, type Notebook, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';

import { executorOf } from './executor';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the cell runs at once
import { newMark, request } from './link';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- and the kernel may listen a moment before it
import { listen } from './listen';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- what stands in the page is read before the cell runs
import { aboutOf, cellsOf } from './notebook';
import { type RunRequest, asksCodex, runRequest } from './protocol';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- and what it names is sent before it does
import { regions } from './regions';
import { selections } from './selection';

/** What was selected last in a notebook, until that is undone in the same cell: to ask about it takes another one. */
type Selected = { text: string; cell: Element | null };

function said(
  panel: NotebookPanel,
  index: number,
  executor: RunRequest['executor'],
  selection: string
): RunRequest {
  const cells = cellsOf(panel);
  const asked = selections.get(cells[index]?.id ?? '') ?? selection;
  return runRequest(cells, index, aboutOf(panel, executor, asked.slice(0, 10_000)));
}

/** Before a cell that asks Codex runs, the kernel hears where it stands and what the page holds above it. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:run',
  description: 'Tells the kernel the order and text of the cells when one asks Codex.',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (app: JupyterFrontEnd, tracker: INotebookTracker) => {
    const executor = executorOf(app);
    const lastSelected = new WeakMap<NotebookPanel, Selected>();
    document.addEventListener('selectionchange', () => {
      const selection = document.getSelection();
      const node = selection?.anchorNode ?? null;
      const element = node instanceof Element ? node : (node?.parentElement ?? null);
      const panel = tracker.find(each => each.node.contains(element));
      if (!panel) {
        return;
      }
      const text = selection?.toString() ?? '';
      const cell = element?.closest('.jp-Cell') ?? null;
      if (text) {
        lastSelected.set(panel, { text, cell });
      } else if (lastSelected.get(panel)?.cell === cell) {
        lastSelected.delete(panel);
      }
    });

    /** What is to be sent for the cells that run in one go: Lab schedules all of them before it does anything else. */
    let scheduled: ((together: boolean) => void)[] = [];

    NotebookActions.executionScheduled.connect((_, { notebook, cell }) => {
      scheduled.push(prepared(notebook, cell));
      if (scheduled.length === 1) {
        queueMicrotask(() => {
          const sends = scheduled;
          scheduled = [];
          sends.forEach(send => send(sends.length > 1));
        });
      }
    });

    /** Read the page now, while the answers of the cells stand there; what is returned sends it. */
    function prepared(notebook: Notebook, cell: Cell): (together: boolean) => void {
      const panel = tracker.find(each => each.content === notebook);
      const kernel = panel?.sessionContext.session?.kernel;
      if (!panel || !kernel || !asksCodex(cell.model.sharedModel.getSource())) {
        return () => undefined;
      }
      const source = cell.model.sharedModel.getSource();
      const selected = lastSelected.get(panel)?.text ?? '';
      const content = said(panel, notebook.widgets.indexOf(cell), executor, selected);
      const once = newMark();
      return together => {
        const send = async (): Promise<void> => {
          regions.sendNamed(kernel, source);
          if ((await request(kernel, { ...content, together, once }))?.ok) {
            end();
          }
        };
        // A cell above it may be the one that loads codex_magic.
        const listening = listen(kernel, { ready: () => void send(), ended: () => end() });
        const onExecuted = (_: unknown, run: { cell: Cell }): void => {
          if (run.cell === cell) {
            end();
          }
        };
        const end = (): void => {
          listening.dispose();
          NotebookActions.executed.disconnect(onExecuted);
        };
        NotebookActions.executed.connect(onExecuted);
        void send();
      };
    }
  }
};

export default plugin;
