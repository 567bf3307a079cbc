import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

import { type AttachReply, DELTA, type Delta, PROTOCOL, REQUEST, type Reply, type Request } from './protocol';

/** A kernel without codex_magic never answers. */
const ANSWER_MS = 5000;

/** Send one request over the control channel, which a busy kernel reads too; `null` where no answer comes. */
export async function request<R extends Reply>(
  kernel: Kernel.IKernelConnection,
  content: Request
): Promise<R | null> {
  // The types know Jupyter's own messages alone; any other passes as it is.
  const message = KernelMessage.createMessage({
    msgType: REQUEST,
    channel: 'control',
    session: kernel.clientId,
    username: kernel.username,
    content
  } as unknown as KernelMessage.IOptions<KernelMessage.IDebugRequestMsg>);
  const future = kernel.sendControlMessage(message, true, true);
  const late = window.setTimeout(() => future.dispose(), ANSWER_MS);
  try {
    return (await future.done).content as unknown as R;
  } catch {
    return null; // disposed, or the kernel has ended
  } finally {
    window.clearTimeout(late);
  }
}

/** Send a request that may come twice: once more where no answer comes. */
export async function insist<R extends Reply>(
  kernel: Kernel.IKernelConnection,
  content: Request
): Promise<R | null> {
  return (await request<R>(kernel, content)) ?? (await request<R>(kernel, content));
}

/** Ask for an answer, and to hear the rest of it. */
export function attach(kernel: Kernel.IKernelConnection, id: string): Promise<AttachReply | null> {
  return request(kernel, { op: 'attach', protocol: PROTOCOL, id });
}

/** What there is to hear of a kernel. */
export interface IHearer {
  delta(delta: Delta): void;
  /** Messages may have been lost meanwhile. */
  reconnected?(): void;
  /** The kernel has ended, or begins anew. */
  ended?(): void;
}

const ENDS: ReadonlySet<Kernel.Status> = new Set(['restarting', 'autorestarting', 'terminating', 'dead']);

/** Hear the pieces of all answers of a kernel, until what is returned is disposed. */
export function listen(kernel: Kernel.IKernelConnection, hearer: IHearer): IDisposable {
  const onMessage = (_: unknown, message: KernelMessage.IIOPubMessage): void => {
    if ((message.header.msg_type as string) === DELTA) {
      hearer.delta(message.content as unknown as Delta);
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
