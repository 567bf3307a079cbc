import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { Debouncer } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

export interface IRowCount {
  readonly before: number;
  readonly after: number;
  lost(): number;
}

const REFRESH_MS = 250;

/** Counts the rows of every table that the active notebook shows. */
export class TableWatcher implements IRowCount {
  constructor(private readonly panel: NotebookPanel, options: Partial<TableWatcher.IOptions> = {}) {
    this._debouncer = new Debouncer(() => this.refresh(), options.interval ?? REFRESH_MS);
    panel.context.ready.then(() => {
      panel.content.model?.cells.changed.connect(this._onCellsChanged, this);
    });
  }

  get changed(): ISignal<this, IRowCount> {
    return this._changed;
  }

  lost(): number {
    return Math.max(0, this.before - this.after);
  }

  async refresh(): Promise<void> {
    const tables = this.panel.node.querySelectorAll<HTMLTableElement>('.jp-RenderedHTML table');
    const counts = Array.from(tables, table => table.tBodies[0]?.rows.length ?? 0);
    this.after = counts.reduce((sum, each) => sum + each, 0);
    this._changed.emit(this);
  }

  private _onCellsChanged = (): void => void this._debouncer.invoke();
  private readonly _changed = new Signal<this, IRowCount>(this);
  private readonly _debouncer: Debouncer<void>;
  before = 0;
  after = 0;
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'table-watcher:plugin',
  autoStart: true,
  requires: [INotebookTracker],
  activate: (app: JupyterFrontEnd, tracker: INotebookTracker) => {
    tracker.widgetAdded.connect((_, panel) => new TableWatcher(panel));
  }
};

export default plugin;
