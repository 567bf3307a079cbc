import type { Cell, ICellModel } from '@jupyterlab/cells';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';

/** Return the place of a cell in its notebook, -1 where it is there no more. A cell that is moved keeps its id alone. */
export function indexOf(panel: NotebookPanel, id: string): number {
  return [...(panel.content.model?.cells ?? [])].findIndex(cell => cell.id === id);
}

/** Make a cell the active one and bring it into view. */
export async function show(panel: NotebookPanel, index: number): Promise<void> {
  const { content: notebook } = panel;
  notebook.activeCellIndex = index;
  notebook.deselectAll();
  await notebook.scrollToItem(index, 'smart');
}

/** Insert a cell that somebody has asked for, bring it into view, and return it. */
export function insertAt(
  panel: NotebookPanel,
  index: number,
  source: string,
  kind: 'code' | 'markdown' = 'code'
): Cell | undefined {
  const cell = insertQuietly(panel, index, source, kind);
  void show(panel, index);
  return cell;
}

/** Insert a cell as one step that can be undone, and leave the user where they are; return it. */
export function insertQuietly(
  panel: NotebookPanel,
  index: number,
  source: string,
  kind: 'code' | 'markdown'
): Cell | undefined {
  const metadata = kind === 'code' ? { trusted: true } : {}; // as a cell that is typed
  const notebook = panel.content.model?.sharedModel;
  asOneStep(notebook, () => notebook?.insertCell(index, { cell_type: kind, source, metadata }));
  return panel.content.widgets[index];
}

/** Change a notebook or a cell, apart from what was done just before and after. */
export function asOneStep(shared: unknown, change: () => void): void {
  // The types of shared models do not say that they have a history.
  const { undoManager: history } = (shared ?? {}) as { undoManager?: History | null };
  history?.stopCapturing();
  change();
  history?.stopCapturing();
}

type History = { stopCapturing(): void };

/** Set the text of a cell as one step that can be undone. */
export function write(cell: ICellModel | null, text: string): void {
  asOneStep(cell?.sharedModel, () => cell?.sharedModel.setSource(text));
}

/** Whether a cell holds this text, as the kernel has it: without empty lines at its end. */
export function isText(cell: ICellModel, text: string): boolean {
  return cell.sharedModel.getSource().replace(/\n+$/, '') === text;
}

/** How a run ended; `none` where nothing ran. */
export type Outcome = 'ran' | 'failed' | 'none';

/** Run a cell of that notebook, whichever is the active one. */
export async function runCell(panel: NotebookPanel, cell: Cell): Promise<Outcome> {
  let outcome: Outcome = 'none';
  const note: Parameters<typeof NotebookActions.executed.connect>[0] = (_, run) => {
    if (run.cell === cell) {
      // A run that an earlier error has cancelled has no error of its own.
      outcome = run.success ? 'ran' : run.error?.errorName ? 'failed' : 'none';
    }
  };
  NotebookActions.executed.connect(note);
  try {
    await NotebookActions.runCells(panel.content, [cell], panel.sessionContext);
  } finally {
    NotebookActions.executed.disconnect(note);
  }
  return outcome;
}

/** The cells that were run in this page: whoever runs a cell trusts it, also where a server runs it and trusts none. */
export class Runs {
  constructor() {
    NotebookActions.executionScheduled.connect((_, { cell }) => this.cells.add(cell.model));
  }

  include(cell: ICellModel | undefined): boolean {
    return cell !== undefined && this.cells.has(cell);
  }

  private readonly cells = new WeakSet<ICellModel>();
}

/** Return the number of a cell as the notebook shows it: `[3]`, and `[ ]` before it has run. */
export function numberOf(model: ICellModel): string {
  const { execution_count: count } = model.sharedModel as { execution_count?: number | null };
  return `[${count ?? ' '}]`;
}
