import type { NotebookPanel } from '@jupyterlab/notebook';
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { PanelRequest, Reply, Status } from './protocol';

/**
 * What is known of the current notebook's kernel: `none`, there is no notebook; `asking`, nothing yet;
 * `unloaded`, it has not loaded codex_magic; `older`, `newer`: it has, of a version that does not fit this page.
 */
export type State = 'none' | 'no kernel' | 'unloaded' | 'older' | 'newer' | 'asking' | 'ready';

/** The current notebook's Codex, as its kernel tells it; panel and status bar only draw it. */
export interface ICodexModel {
  readonly panel: NotebookPanel | null;
  readonly state: State;
  /** What the kernel said last; `null` unless it is ready. */
  readonly status: Status | null;
  /** Emitted when one of these has changed. */
  readonly changed: ISignal<ICodexModel, void>;
  /** Emitted when threads or turns may be others than before. */
  readonly threadsChanged: ISignal<ICodexModel, void>;
  /** Ask the kernel once more. */
  refresh(): Promise<void>;
  /** Send one request to the kernel; `null` where nothing comes back. */
  ask<R extends Reply>(content: PanelRequest): Promise<R | null>;
}

export const ICodexModel = new Token<ICodexModel>(
  'codex-magic:ICodexModel',
  'What the kernel of the current notebook says of Codex: account, model, limits, turns and questions.'
);
