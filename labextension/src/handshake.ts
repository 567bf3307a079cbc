import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

// eslint-disable-next-line jupyter/prefer-lazy-imports -- the first reply may tell
import { replied } from './link';
import { misfit } from './protocol';

/** Where page and kernel speak different versions of the messages, somebody is told what to update; once a kernel. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'codex-magic:handshake',
  description: 'Says when the codex_magic of a kernel does not fit the extension of the page.',
  autoStart: true,
  optional: [ITranslator],
  activate: (_: JupyterFrontEnd, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load('codex_magic');
    const notes = new Map<string, { version: string; note: string }>();
    replied.connect((_sender, { kernel, reply }) => {
      const how = misfit(reply);
      const { version = '?' } = reply;
      const told = notes.get(kernel.id);
      if (told && (!how || told.version !== version)) {
        Notification.dismiss(told.note);
        notes.delete(kernel.id);
      }
      if (!how || notes.has(kernel.id)) {
        return;
      }
      // A notification shows 140 characters.
      const words =
        how === 'newer'
          ? trans.__(
              'This page is too old for codex_magic %1 in the kernel: answers lack their buttons. Reload it, or update codex-magic for Jupyter.',
              version
            )
          : trans.__(
              'codex_magic %1 in the kernel is too old for this page: answers lack their buttons. Update it there, then restart the kernel.',
              version
            );
      const reload = { label: trans.__('Reload'), callback: (): void => window.location.reload() };
      const note = Notification.warning(words, {
        autoClose: false,
        actions: how === 'newer' ? [reload] : []
      });
      notes.set(kernel.id, { version, note });
    });
  }
};

export default plugin;
