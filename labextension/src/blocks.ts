import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard } from '@jupyterlab/apputils';
import { type Cell, type ICellModel, isCodeCellModel } from '@jupyterlab/cells';
import type { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { PathExt } from '@jupyterlab/coreutils';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Menu } from '@lumino/widgets';

import type { AnswerRenderer } from './answer';
import { cellKind, isOfKernel, languageOf, notebookOf, unseenIn } from './code';
import type { CellEdit } from './edit';
import { button, element, keepKeys } from './element';
import { drawn, type Stroke } from './icon';
import { indexOf, insertAt, runCell, Runs } from './place';
import { type Facts, MIME } from './protocol';

/** How long a button says what it has done. */
const DONE_MS = 2000;

/** What the tools of a block need of their page. */
export interface IPage {
  app: JupyterFrontEnd;
  trans: TranslationBundle;
  languages: IEditorLanguageRegistry | null;
}

/** A block of code in an answer. `panel`: the notebook that shows it, at the moment it is asked. */
type Block = {
  frame: HTMLElement;
  pre: HTMLElement;
  answer: AnswerRenderer;
  panel: () => NotebookPanel | undefined;
};

/** The rows of tools above the blocks of code in answers. All of them act on the notebook the block stands in. */
export class CodeBlocks {
  constructor(private readonly page: IPage) {}

  /** Give each block of code its frame, and its tools once nothing more of it comes. */
  dress(node: HTMLElement, answer: AnswerRenderer, isWhole: boolean, panel: Block['panel']): void {
    for (const code of node.querySelectorAll<HTMLElement>('pre > code')) {
      const pre = code.parentElement as HTMLElement;
      // What is folded away is the work of the agent: commands and their outputs.
      if (pre.closest('details')) {
        continue;
      }
      const frame = pre.closest<HTMLElement>('.cdx-cb') ?? this.framed(pre);
      this.name(frame, languageOf(code.className));
      if (isWhole) {
        this.equip({ frame, pre, answer, panel });
      } else if (frame.dataset.trusted) {
        strip(frame);
      }
    }
  }

  private framed(pre: HTMLElement): HTMLElement {
    const bar = element('div', { class: 'cdx-bar', role: 'toolbar' }, element('span', 'cdx-lang'));
    bar.addEventListener('keydown', event => moveFocus(bar, event));
    const frame = element('div', 'cdx-cb', bar);
    keepKeys(bar);
    pre.replaceWith(frame);
    pre.tabIndex = 0;
    frame.append(pre);
    return frame;
  }

  /** Name the language of a frame, which is not whole as long as its letters come one by one. */
  private name(frame: HTMLElement, language: string): void {
    if (frame.dataset.language === language) {
      return;
    }
    const { trans } = this.page;
    strip(frame);
    frame.dataset.language = language;
    const bar = frame.firstElementChild as HTMLElement;
    bar.ariaLabel = language ? trans.__('Code block, %1', language) : trans.__('Code block');
    (bar.firstElementChild as HTMLElement).textContent = language;
  }

  /** Put the tools into a frame, and all of them once the notebook is trusted. */
  private equip(block: Block): void {
    const { frame, answer } = block;
    const { language = '' } = frame.dataset;
    const { trans } = this.page;
    const isTrusted = answer.origin.isTrusted || this.runs.include(this.owner(block));
    if (frame.dataset.trusted === String(isTrusted)) {
      return;
    }
    strip(frame);
    frame.dataset.trusted = String(isTrusted);
    const unseen = unseenIn(codeOf(block));
    if (unseen.length) {
      const words = trans.__('This code has characters that do not show: %1', unseen.join(', '));
      frame.append(element('div', { class: 'cdx-quietline' }, words));
    }

    const tools = [this.tool('copy', trans.__('Copy'), () => copy(codeOf(block)), trans.__('Copied'))];
    if (isTrusted) {
      const insert = (): boolean => this.insert(block) !== undefined;
      tools.push(this.tool('insert', trans.__('Insert below'), insert, trans.__('Inserted')));
      if (isOfKernel(language)) {
        tools.push(this.tool('edit', trans.__('Replace next'), () => this.replace(block)));
        tools.push(this.tool('run', trans.__('Run below'), () => this.runBelow(block)));
      }
      tools.push(this.more(block));
    } else {
      frame.append(this.distrust(block));
    }
    tools.forEach((each, index) => (each.tabIndex = index ? -1 : 0));
    frame.querySelector('.cdx-bar')?.append(...tools);
  }

  /** Make a button, which says for a moment what it has done. */
  private tool(icon: Stroke, name: string, act: () => unknown, done?: string): HTMLButtonElement {
    const show = (words: string, stroke: Stroke): void => {
      made.replaceChildren(drawn(stroke), element('span', { class: 'cdx-lb' }, words));
    };
    const press = async (): Promise<void> => {
      if ((await act()) && done) {
        show(done, 'check');
        window.setTimeout(() => show(name, icon), DONE_MS);
      }
    };
    const made = button('cdx-g', name, () => void press(), drawn(icon));
    made.title = name;
    return made;
  }

  private more(block: Block): HTMLButtonElement {
    const { trans } = this.page;
    const made = this.tool('more', trans.__('More'), () => {
      const commands = new CommandRegistry();
      commands.addCommand('open', {
        label: trans.__('Open as a New Notebook'),
        describedBy: { args: { type: 'object', properties: {} } },
        execute: () => this.open(block)
      });
      this.menu?.dispose();
      const menu = (this.menu = new Menu({ commands }));
      menu.addItem({ command: 'open' });
      const { left, bottom } = made.getBoundingClientRect();
      menu.open(left, bottom);
    });
    made.classList.add('cdx-icon');
    made.setAttribute('aria-haspopup', 'menu');
    return made;
  }

  /** Say why there are no more tools, and offer to trust the notebook. */
  private distrust({ panel }: Block): HTMLElement {
    const { trans } = this.page;
    const sentence = trans.__('This notebook is not trusted. %1 to insert or run code.', '\n');
    const [before = '', after = ''] = sentence.split('\n');
    const trust = button('cdx-lnk', trans.__('Trust it'), () => {
      const owner = panel();
      void (owner && NotebookActions.trust(owner.content));
    });
    return element('div', { class: 'cdx-quietline' }, before, trust, after);
  }

  /** Return the cell that has the answer: the one whose output this is, else the first with the same answer. */
  private owner({ frame, answer, panel }: Block): ICellModel | undefined {
    const cells = panel()?.content.widgets ?? [];
    const around = cells.find(cell => cell.node.contains(frame))?.model;
    return around ?? cells.map(cell => cell.model).find(model => hasAnswer(model, answer.origin.id));
  }

  /** Insert the code below its answer, and below what came from earlier blocks of it. */
  private insert(block: Block): Cell | undefined {
    const { frame, answer } = block;
    const panel = block.panel();
    if (!panel) {
      return undefined;
    }
    const owner = this.owner(block);
    const place = [...answer.node.querySelectorAll('.cdx-cb')].indexOf(frame);
    const { widgets } = panel.content;
    let index = owner ? indexOf(panel, owner.id) + 1 : widgets.length;
    for (let from; (from = this.inserted.get(widgets[index]?.model.id ?? '')); index++) {
      if (from.answer !== answer.origin.id || from.place > place) {
        break;
      }
    }
    const cell = insertAt(panel, index, codeOf(block), cellKind(frame.dataset.language ?? ''));
    if (cell) {
      this.inserted.set(cell.model.id, { answer: answer.origin.id, place });
    }
    return cell;
  }

  private runBelow(block: Block): void {
    const [cell, panel] = [this.insert(block), block.panel()];
    if (cell && panel) {
      void runCell(panel, cell);
    }
  }

  /** Propose the code for the cell below its answer; where there is none, insert it. */
  private async replace(block: Block): Promise<void> {
    const { frame, answer } = block;
    const panel = block.panel();
    const owner = this.owner(block);
    const next = owner && panel?.content.widgets[indexOf(panel, owner.id) + 1]?.model;
    if (!panel || !next || !isCodeCellModel(next)) {
      this.insert(block);
      return;
    }
    const { CellEdit } = await import(/* webpackChunkName: 'diff' */ './edit');
    this.edits.get(frame)?.dispose();
    const edit = new CellEdit({
      ...this.page,
      panel,
      cell: next,
      text: codeOf(block),
      insert: (): unknown => this.insert(block)
    });
    this.edits.set(frame, edit);
    answer.disposed.connect(() => edit.dispose());
    frame.after(edit.node);
    edit.node.focus();
  }

  /** Make a notebook of the code beside this one, for the same kernel, and open it; nothing in it runs. */
  private async open(block: Block): Promise<void> {
    const panel = block.panel();
    if (!panel) {
      return;
    }
    const { app } = this.page;
    const { contents } = app.serviceManager;
    const kind = cellKind(block.frame.dataset.language ?? '');
    const content = notebookOf(codeOf(block), kind, panel.content.model?.sharedModel.metadata ?? {});
    const folder = PathExt.dirname(panel.context.path);
    const { path } = await contents.newUntitled({ path: folder, type: 'notebook' });
    await contents.save(path, { type: 'notebook', format: 'json', content });
    await app.commands.execute('docmanager:open', { path });
  }

  private menu: Menu | null = null;
  private readonly runs = new Runs();
  private readonly inserted = new Map<string, { answer: string; place: number }>();
  private readonly edits = new WeakMap<HTMLElement, CellEdit>();
}

/** Take the tools away, and what is said of the code. */
function strip(frame: HTMLElement): void {
  delete frame.dataset.trusted;
  frame.querySelectorAll('.cdx-bar > button, .cdx-quietline').forEach(each => each.remove());
}

/** The code exactly as it stands in the block; JupyterLab adds an end to the last line where it knows no language. */
function codeOf({ frame, pre }: Block): string {
  const text = pre.textContent ?? '';
  return frame.dataset.language ? text : text.replace(/\n$/, '');
}

function hasAnswer(model: ICellModel, id: string): boolean {
  if (!isCodeCellModel(model)) {
    return false;
  }
  const { outputs } = model;
  const ids = Array.from({ length: outputs.length }, (_, index) => outputs.get(index).data[MIME]);
  return ids.some(facts => (facts as Facts | undefined)?.id === id);
}

/** Copy a text by the way of the copy command, which works over plain http too. */
function copy(text: string): boolean {
  Clipboard.copyToSystem(text);
  return true;
}

/** Move along a row of tools with the arrows, Home and End: the row is one stop of the Tab key. */
function moveFocus(bar: HTMLElement, event: KeyboardEvent): void {
  const tools = [...bar.querySelectorAll<HTMLButtonElement>('button')];
  const at = tools.indexOf(document.activeElement as HTMLButtonElement);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: -1 }[event.key];
  if (to === undefined || at < 0) {
    return;
  }
  event.preventDefault();
  const next = tools.at(to % tools.length);
  tools.forEach(each => (each.tabIndex = each === next ? 0 : -1));
  next?.focus();
}
