import type { CompletionHandler, IInlineCompletionContext } from '@jupyterlab/completer';
import { Text } from '@jupyterlab/coreutils';
import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { Kernel } from '@jupyterlab/services';

import { request } from './link';
import { listen } from './listen';
import { isCode } from './magic';
import { Newest } from './newest';
import { type Suggestion, dropRequest, suggestRequest } from './protocol';

/** What becomes of suggestions at the moment. `unloaded`: the kernel has not loaded codex_magic. */
export type State = Suggestion['state'] | 'asking' | 'unloaded';

export type Settings = { model: string; tokens: number; timeout: number };

/** Asks the kernel of a notebook how the code at its cursor may continue. */
export class Suggestions {
  /** `show` is told each state, with the answer that led to it. */
  constructor(private readonly show: (state: State, suggestion?: Suggestion) => void) {
    NotebookActions.executed.connect(() => this.unloaded.clear());
  }

  /** Return the text to insert, empty where nothing fits or somebody has typed on meanwhile. */
  async at(
    { text, offset }: CompletionHandler.IRequest,
    { widget, session }: IInlineCompletionContext,
    settings: Settings
  ): Promise<string> {
    const kernel = session?.kernel;
    const at = Text.charIndexToJsIndex(offset, text);
    const [before, after] = [text.slice(0, at), text.slice(at)];
    const panel = widget instanceof NotebookPanel ? widget : null;
    const cell = panel?.content.activeCell;
    const editor = cell?.editor;
    const isPython = cell?.model.type === 'code' && panel?.content.codeMimetype.includes('python');
    const isHere = (): boolean => editor?.model.sharedModel.getSource() === text && at === cursor(editor);
    if (!panel || !kernel || !editor || !isPython || !isCode(before) || !isHere()) {
      return '';
    }
    if (this.unloaded.has(kernel.id)) {
      this.show('unloaded');
      return '';
    }
    const cells = panel.content.widgets.slice(0, panel.content.activeCellIndex + 1).map(({ model }) => ({
      id: model.sharedModel.getId(),
      kind: model.type as 'code' | 'markdown' | 'raw',
      source: model.sharedModel.getSource()
    }));
    const { model, tokens: budget } = settings;
    const id = `${kernel.clientId}.${++this.count}`;
    const asked = suggestRequest(cells, { id, before, after, model, budget });
    const answer = await this.ask(kernel, editor, asked, settings.timeout);
    return isHere() ? (answer?.text ?? '') : '';
  }

  private async ask(
    kernel: Kernel.IKernelConnection,
    editor: CodeEditor.IEditor,
    content: ReturnType<typeof suggestRequest>,
    timeout: number
  ): Promise<Suggestion | null> {
    const { id } = content;
    const listening = listen(kernel, {
      suggestion: suggestion => this.newest.take(suggestion),
      ended: () => this.newest.drop(id)
    });
    const drop = (): void => this.newest.drop(id);
    const answer = this.newest.wait(id, () => void request(kernel, dropRequest(id)));
    const late = window.setTimeout(drop, timeout);
    editor.model.sharedModel.changed.connect(drop);
    this.show('asking');
    void request(kernel, content).then(reply => {
      if (reply && !reply.ok) {
        this.unloaded.add(kernel.id);
        this.newest.drop(id);
      }
    });
    const suggestion = await answer;
    window.clearTimeout(late);
    editor.model.sharedModel.changed.disconnect(drop);
    listening.dispose();
    if (id.endsWith(`.${this.count}`)) {
      this.show(
        this.unloaded.has(kernel.id) ? 'unloaded' : (suggestion?.state ?? 'ready'),
        suggestion ?? undefined
      );
    }
    return suggestion;
  }

  private count = 0;
  private readonly newest = new Newest();
  /** Kernels that know no suggestions; they may once a cell has run. */
  private readonly unloaded = new Set<string>();
}

function cursor(editor: CodeEditor.IEditor): number {
  return editor.getOffsetAt(editor.getCursorPosition());
}
