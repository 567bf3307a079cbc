import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import { LOAD } from './magic';
import {
  type AnswersReply,
  type AttachReply,
  PROTOCOL,
  REPLY,
  REQUEST,
  type Reply,
  type Request,
  answersRequest
} from './protocol';

/** A request can be lost where a server stands between, and a busy kernel can be late. */
const ANSWER_MS = 5000;

/** The reply and the kernel's word that it is done with the request come over two channels. */
const DONE_MS = 1000;

/** Emitted with each reply of a kernel that says which version of the messages it speaks. */
export const replied = new Signal<object, { kernel: Kernel.IKernelConnection; reply: Reply }>({});

/** The kernels whose replies go to another client: those that share an identity lose them to the latest. */
const unheard = new WeakSet<Kernel.IKernelConnection>();

/**
 * Send one request over the control channel, which a busy kernel reads too; `null` where nothing comes back.
 *
 * Where the kernel takes it and no reply comes, it is sent again for a reply that all clients hear. A kernel without
 * codex_magic replies nothing at all, which is a refusal. `patienceMs`: how long the reply may take from when the
 * kernel has taken the request, which then is sent once.
 */
export async function request<R extends Reply>(
  kernel: Kernel.IKernelConnection,
  content: Request,
  patienceMs?: number
): Promise<R | null> {
  const reply = await ask<R>(kernel, content, patienceMs);
  if (reply?.protocol !== undefined) {
    replied.emit({ kernel, reply });
  }
  return reply;
}

async function ask<R extends Reply>(
  kernel: Kernel.IKernelConnection,
  content: Request,
  patienceMs: number | undefined
): Promise<R | null> {
  if (patienceMs !== undefined) {
    const reply = await send<R>(kernel, { ...content, aloud: unheard.has(kernel) }, patienceMs);
    return reply === 'taken' ? null : reply;
  }
  if (!unheard.has(kernel)) {
    const reply = await send<R>(kernel, content);
    if (reply !== 'taken') {
      return reply;
    }
  }
  const reply = await send<R>(kernel, { ...content, aloud: true });
  if (reply === 'taken') {
    return { ok: false } as R;
  }
  if (reply) {
    unheard.add(kernel);
  }
  return reply;
}

/** Return the message for a request: the types know Jupyter's own alone, and any other passes as it is. */
export function messageOf(
  kernel: Kernel.IKernelConnection,
  content: Request & { aloud?: boolean }
): KernelMessage.IDebugRequestMsg {
  return KernelMessage.createMessage({
    msgType: REQUEST,
    channel: 'control',
    session: kernel.clientId,
    username: kernel.username,
    content
  } as unknown as KernelMessage.IOptions<KernelMessage.IDebugRequestMsg>);
}

/** Send it once: `taken` says that the kernel is done with it, and `null` that nothing was heard. */
async function send<R extends Reply>(
  kernel: Kernel.IKernelConnection,
  content: Request & { aloud?: boolean },
  doneMs = DONE_MS
): Promise<R | 'taken' | null> {
  const future = kernel.sendControlMessage(messageOf(kernel, content), true, true);
  let late = window.setTimeout(() => future.dispose(), ANSWER_MS);
  let isTaken = false;
  let aloud: R | null = null;
  future.onIOPub = (update): void => {
    if ((update.header.msg_type as string) === REPLY) {
      aloud = update.content as unknown as R;
      future.dispose();
    } else if (KernelMessage.isStatusMsg(update) && update.content.execution_state === 'idle') {
      isTaken = true;
      window.clearTimeout(late);
      late = window.setTimeout(() => future.dispose(), doneMs);
    }
  };
  try {
    return (await future.done).content as unknown as R;
  } catch {
    return aloud ?? (isTaken ? 'taken' : null); // disposed, or the kernel has ended
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
  return insist(kernel, { op: 'attach', protocol: PROTOCOL, id });
}

/** Ask which answers no page is known to have whole. */
export function answers(kernel: Kernel.IKernelConnection): Promise<AnswersReply | null> {
  return insist(kernel, answersRequest());
}

/** Return what tells a message from others, so that it counts once however often it is sent. */
export function newMark(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-');
}

/** Load codex_magic; where it is loaded, nobody hears of it. */
export async function load(kernel: Kernel.IKernelConnection): Promise<void> {
  const content = { code: LOAD, silent: true, store_history: false, stop_on_error: false };
  await kernel.requestExecute(content).done.catch(() => undefined);
}
