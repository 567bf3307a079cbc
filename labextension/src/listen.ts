import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

import { type Bundle, DELTA, type Delta, READY, SUGGESTION, type Suggestion } from './protocol';

/** What there is to hear of a kernel. */
export interface IHearer {
  delta?(delta: Delta): void;
  suggestion?(suggestion: Suggestion): void;
  /** An output was shown or updated for a request of that session. */
  output?(data: Bundle, session: string): void;
  /** The kernel has loaded codex_magic: what it was told before is lost. */
  ready?(): void;
  /** Messages may have been lost meanwhile. */
  reconnected?(): void;
  /** The kernel has ended, or begins anew. */
  ended?(): void;
}

const ENDS: ReadonlySet<Kernel.Status> = new Set(['restarting', 'autorestarting', 'terminating', 'dead']);

/** Hear the pieces of all answers of a kernel, until what is returned is disposed. */
export function listen(kernel: Kernel.IKernelConnection, hearer: IHearer): IDisposable {
  const onMessage = (_: unknown, message: KernelMessage.IIOPubMessage): void => {
    const type = message.header.msg_type as string;
    if (type === DELTA) {
      hearer.delta?.(message.content as unknown as Delta);
    } else if (type === SUGGESTION) {
      hearer.suggestion?.(message.content as unknown as Suggestion);
    } else if (type === READY) {
      hearer.ready?.();
    } else if (KernelMessage.isDisplayDataMsg(message) || KernelMessage.isUpdateDisplayDataMsg(message)) {
      hearer.output?.(message.content.data, (message.parent_header as { session?: string }).session ?? '');
    }
  };
  const onStatus = (_: unknown, status: Kernel.Status): void => {
    if (ENDS.has(status)) {
      hearer.ended?.();
    }
  };
  const onConnection = (_: unknown, status: Kernel.ConnectionStatus): void => {
    if (status === 'connected') {
      hearer.reconnected?.();
    }
  };
  kernel.iopubMessage.connect(onMessage);
  kernel.statusChanged.connect(onStatus);
  kernel.connectionStatusChanged.connect(onConnection);
  return new DisposableDelegate(() => {
    kernel.iopubMessage.disconnect(onMessage);
    kernel.statusChanged.disconnect(onStatus);
    kernel.connectionStatusChanged.disconnect(onConnection);
  });
}
