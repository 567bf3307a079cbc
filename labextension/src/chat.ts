import type { NotebookPanel } from '@jupyterlab/notebook';
import { OutputArea, OutputAreaModel } from '@jupyterlab/outputarea';
import { type ISignal, Signal } from '@lumino/signaling';

import { request } from './link';
import { aboutOf, cellsOf, factsOf } from './notebook';
import { runRequest } from './protocol';
import type { ICodexModel } from './tokens';

/** What the panel has asked the kernel itself, and what it is shown of that: answers, a sign-in, errors. */
export class Chat {
  constructor(private readonly model: ICodexModel) {}

  /** What is shown now. */
  area: OutputArea | null = null;
  isRunning = false;

  get changed(): ISignal<Chat, void> {
    return this.changed_;
  }

  /** Ask in the notebook's thread, as a cell at its end would that nobody sees. Returns whether an answer came. */
  async ask(text: string): Promise<boolean> {
    const { panel } = this.model;
    const kernel = panel?.sessionContext.session?.kernel;
    if (!panel || !kernel) {
      return false;
    }
    const code = `%%codex\n${text}`;
    const id = `panel:${crypto.randomUUID()}`; // no notebook has a cell of such a name
    const cells = [...cellsOf(panel), { id, kind: 'code' as const, source: code }];
    await request(kernel, runRequest(cells, cells.length - 1, aboutOf(panel)));
    return await this.run(code, panel);
  }

  /** Run a line or cell of ours; nothing of it gets into the notebook. */
  async run(code: string, panel: NotebookPanel | null = this.model.panel): Promise<boolean> {
    const kernel = panel?.sessionContext.session?.kernel;
    if (!panel || !kernel || this.isRunning) {
      return false;
    }
    this.clear();
    const model = new OutputAreaModel({ trusted: true });
    const area = new OutputArea({ model, rendermime: panel.content.rendermime.clone() });
    const future = kernel.requestExecute({ code, allow_stdin: true, stop_on_error: false });
    area.future = future;
    this.area = area;
    this.isRunning = true;
    this.changed_.emit();
    try {
      await future.done;
    } catch {
      // The kernel has ended, or the area was cleared.
    }
    this.isRunning = false;
    const outputs = Array.from({ length: model.length }, (_, index) => factsOf(model.get(index).data));
    const isAnswer = outputs.length > 0 && outputs.every(({ state }) => state === 'done');
    await this.model.refresh();
    this.changed_.emit();
    return isAnswer;
  }

  /** Show nothing any more. */
  clear(): void {
    this.area?.dispose();
    this.area = null;
    this.changed_.emit();
  }

  private readonly changed_ = new Signal<this, void>(this);
}
