import type { CodeCell } from '@jupyterlab/cells';
import { Notification } from '@jupyterlab/apputils';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';

import { insist, load } from './link';
import { loadsCodex } from './magic';
import { aboutOf } from './notebook';
import { indexOf, isText } from './place';
import { type PageCell, type Ran, type Step, type Work, runRequest } from './protocol';

const MOST_CHARS = 1000;

/** Restart the kernel, run the cells up to the first that fails, and continue the answer that wanted it in its cell. */
export async function restart(
  panel: NotebookPanel,
  { cell: asking, steps, code }: Extract<Work, { kind: 'restart' }>,
  cells: () => (PageCell & { source: string })[]
): Promise<void> {
  const { sessionContext } = panel;
  await sessionContext.restartKernel();
  const kernel = sessionContext.session?.kernel;
  if (!kernel || panel.isDisposed) {
    return;
  }
  if (!steps.some(({ source }) => loadsCodex(source))) {
    await load(kernel);
  }
  const ran = await runSteps(panel, steps);
  await load(kernel); // the cell that does it may not have come to run
  const index = indexOf(panel, asking);
  if (panel.isDisposed || index < 0) {
    return;
  }
  const reply = await insist(kernel, { ...runRequest(cells(), index, aboutOf(panel)), restarted: ran });
  if (!reply?.ok) {
    const trans = panel.content.translator.load('codex_magic');
    const words = trans.__(
      'The kernel was restarted, and Codex can’t continue by itself. Run %load_ext codex_magic, then %codex continue.'
    );
    Notification.warning(words, { autoClose: false });
    return;
  }
  await continueIn(panel.content.widgets[index] as CodeCell, kernel, code);
}

/** Run cells as Run All does; those below one that the user has changed since are left. */
async function runSteps(panel: NotebookPanel, steps: readonly Step[]): Promise<Ran[]> {
  const ran: Ran[] = steps.map(({ name }) => ({ name, outcome: 'none', text: '' }));
  const widgets = steps.map(({ cell }) => panel.content.widgets[indexOf(panel, cell)]);
  const changed = widgets.findIndex((cell, at) => !cell || !isText(cell.model, steps[at]?.source ?? ''));
  const change = ran[changed];
  if (change && widgets[changed]) {
    change.outcome = 'changed';
  }
  const runs = widgets.slice(0, changed < 0 ? widgets.length : changed).filter(cell => cell !== undefined);
  const note: Parameters<typeof NotebookActions.executed.connect>[0] = (_, { cell, success, error }) => {
    const told = ran[runs.indexOf(cell)];
    // A run that an earlier error has cancelled has no error of its own.
    if (told && (success || error?.errorName)) {
      told.outcome = success ? 'ran' : 'failed';
      told.text = success ? '' : `${error?.errorName}: ${error?.errorValue}`.slice(0, MOST_CHARS);
    }
  };
  NotebookActions.executed.connect(note);
  try {
    await NotebookActions.runCells(panel.content, runs, panel.sessionContext);
  } finally {
    NotebookActions.executed.disconnect(note);
  }
  return ran;
}

/** Run code for a cell, and show below its outputs what that gives. */
async function continueIn(cell: CodeCell, kernel: Kernel.IKernelConnection, code: string): Promise<void> {
  const { model } = cell.outputArea;
  const before = model.toJSON();
  const future = kernel.requestExecute({ code, stop_on_error: true }, false, { cellId: cell.model.id });
  cell.outputArea.future = future; // which takes away what stands there
  model.fromJSON(before);
  cell.setPrompt('*');
  const { content }: KernelMessage.IExecuteReplyMsg = await future.done;
  if (!cell.isDisposed) {
    cell.model.executionCount = content.execution_count;
    cell.setPrompt(`${content.execution_count ?? ''}`);
  }
}
