import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

import {
  type AnswersReply,
  type AttachReply,
  type Bundle,
  DELTA,
  type Delta,
  PROTOCOL,
  REQUEST,
  type Reply,
  type Request,
  SUGGESTION,
  type Suggestion,
  answersRequest
} from './protocol';

/** A request can be lost where a server stands between, and a busy kernel can be late. */
const ANSWER_MS = 5000;

/** The reply and the kernel's word that it is done with the request come over two channels. */
const DONE_MS = 1000;

/**
 * Send one request over the control channel, which a busy kernel reads too; `null` where nothing comes back.
 *
 * A kernel without codex_magic takes the request and replies nothing, which is a refusal.
 */
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
  let late = window.setTimeout(() => future.dispose(), ANSWER_MS);
  let isTaken = false;
  future.onIOPub = (update): void => {
    if (KernelMessage.isStatusMsg(update) && update.content.execution_state === 'idle') {
      isTaken = true;
      window.clearTimeout(late);
      late = window.setTimeout(() => future.dispose(), DONE_MS);
    }
  };
  try {
    return (await future.done).content as unknown as R;
  } catch {
    return isTaken ? ({ ok: false } as R) : null; // disposed, or the kernel has ended
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

/** Ask which answers no page is known to have whole. */
export function answers(kernel: Kernel.IKernelConnection): Promise<AnswersReply | null> {
  return request<AnswersReply>(kernel, answersRequest());
}

/** What there is to hear of a kernel. */
export interface IHearer {
  delta?(delta: Delta): void;
  suggestion?(suggestion: Suggestion): void;
  /** An output was shown or updated for a request of that session. */
  output?(data: Bundle, session: string): void;
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
