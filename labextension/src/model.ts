import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { type Kernel, KernelMessage } from '@jupyterlab/services';
import type { IDisposable } from '@lumino/disposable';
import { type ISignal, Signal } from '@lumino/signaling';

import { request } from './link';
import { listen } from './listen';
import { aboutOf, cellsOf } from './notebook';
import {
  type PanelRequest,
  type Reply,
  type Status,
  type StatusReply,
  hereRequest,
  misfit,
  panelRequest
} from './protocol';
import type { ICodexModel, State } from './tokens';

/** How long a store that others write to, or a service, may take. */
const PATIENCE_MS = 30_000;

/** Seconds are counted, and questions come that no page draws: what runs is asked about so often. */
const POLL_MS = 2000;

function send<R extends Reply>(kernel: Kernel.IKernelConnection, content: PanelRequest): Promise<R | null> {
  return request<R>(kernel, panelRequest(content), PATIENCE_MS);
}

/** Asks the kernel of the current notebook, when something may have changed there. */
export class CodexModel implements ICodexModel {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly executor: 'browser' | 'server'
  ) {
    tracker.currentChanged.connect(this.follow, this);
    this.follow();
  }

  get panel(): NotebookPanel | null {
    return this.panel_;
  }

  get state(): State {
    return this.state_;
  }

  get status(): Status | null {
    return this.status_;
  }

  get changed(): ISignal<ICodexModel, void> {
    return this.changed_;
  }

  get threadsChanged(): ISignal<ICodexModel, void> {
    return this.threadsChanged_;
  }

  async ask<R extends Reply>(content: PanelRequest): Promise<R | null> {
    const { kernel } = this;
    return kernel && this.state_ === 'ready' ? await send<R>(kernel, content) : null;
  }

  async refresh(): Promise<void> {
    if (this.isAsking) {
      this.isStale = true;
      return;
    }
    this.isAsking = true;
    try {
      do {
        this.isStale = false;
        await this.look();
      } while (this.isStale);
    } finally {
      this.isAsking = false;
    }
  }

  private readonly follow = (): void => {
    const panel = this.tracker.currentWidget;
    if (panel === this.panel_) {
      return;
    }
    this.panel_?.sessionContext.kernelChanged.disconnect(this.hear, this);
    this.panel_?.sessionContext.statusChanged.disconnect(this.onStatus, this);
    this.panel_ = panel;
    panel?.sessionContext.kernelChanged.connect(this.hear, this);
    panel?.sessionContext.statusChanged.connect(this.onStatus, this);
    this.hear();
  };

  /** No kernel is there: one is on its way, or none. */
  private readonly onStatus = (): void => {
    const context = this.panel_?.sessionContext;
    if (context && !context.session?.kernel) {
      const isOnItsWay = ['initializing', 'starting'].includes(context.kernelDisplayStatus);
      this.set(isOnItsWay ? 'asking' : 'no kernel', null);
    }
  };

  /** Hear the kernel that the notebook has now. */
  private readonly hear = (): void => {
    this.listening?.dispose();
    this.listening = null;
    const kernel = this.panel_?.sessionContext.session?.kernel ?? null;
    this.kernel?.iopubMessage.disconnect(this.onMessage, this);
    this.kernel = kernel;
    if (!kernel) {
      if (this.panel_) {
        this.onStatus();
      } else {
        this.set('none', null);
      }
      return;
    }
    this.set('asking', null);
    kernel.iopubMessage.connect(this.onMessage, this);
    this.listening = listen(kernel, {
      delta: ({ id, bundle, asks }) => {
        if (bundle !== undefined || asks !== undefined || !this.heard.has(id)) {
          this.heard.add(id);
          void this.refresh();
        }
      },
      reconnected: () => void this.refresh(),
      ended: () => this.set(kernel.status.endsWith('restarting') ? 'unloaded' : 'no kernel', null)
    });
    void this.refresh();
  };

  /** What runs a command of ours changes what there is to say, once it has run. */
  private readonly onMessage = (_: unknown, message: KernelMessage.IIOPubMessage): void => {
    const { msg_id: parent } = message.parent_header as { msg_id?: string };
    if (KernelMessage.isExecuteInputMsg(message) && message.content.code.includes('codex')) {
      this.commands.add(parent);
      void this.refresh();
    } else if (
      KernelMessage.isStatusMsg(message) &&
      message.content.execution_state === 'idle' &&
      this.commands.delete(parent)
    ) {
      void this.refresh();
    }
  };

  private async look(): Promise<void> {
    const { kernel, panel_: panel } = this;
    if (!kernel || !panel) {
      return;
    }
    window.clearTimeout(this.timer);
    if (this.state_ !== 'ready') {
      await panel.context.ready;
      const here = await request(kernel, hereRequest(cellsOf(panel), aboutOf(panel, this.executor)));
      if (kernel !== this.kernel) {
        return;
      }
      if (!here?.ok) {
        this.set(here ? (misfit(here) ?? 'unloaded') : 'asking', null);
        this.timer = here ? 0 : window.setTimeout(() => void this.refresh(), POLL_MS);
        return;
      }
    }
    const status = await send<StatusReply>(kernel, { op: 'status' });
    if (kernel !== this.kernel) {
      return;
    }
    if (status?.ok) {
      this.set('ready', status as Status & Reply);
    } else if (status && status.protocol === undefined) {
      this.set('unloaded', null);
      return;
    }
    if (!status || this.status_?.running.length || this.status_?.waiting.length) {
      this.timer = window.setTimeout(() => void this.refresh(), POLL_MS);
    }
  }

  private set(state: State, status: Status | null): void {
    const turns = (of: Status | null): string =>
      JSON.stringify([of?.thread, of?.newest, of?.running.map(({ id, thread }) => [id, thread])]);
    const areOthers = state !== this.state_ || turns(status) !== turns(this.status_);
    this.state_ = state;
    this.status_ = status;
    this.changed_.emit();
    if (areOthers) {
      this.threadsChanged_.emit();
    }
  }

  private panel_: NotebookPanel | null = null;
  private kernel: Kernel.IKernelConnection | null = null;
  private state_: State = 'none';
  private status_: Status | null = null;
  private listening: IDisposable | null = null;
  /** Answers that have begun. */
  private readonly heard = new Set<string>();
  private readonly commands = new Set<string | undefined>();
  private isAsking = false;
  private isStale = false;
  private timer = 0;
  private readonly changed_ = new Signal<this, void>(this);
  private readonly threadsChanged_ = new Signal<this, void>(this);
}
