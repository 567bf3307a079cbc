import type { JupyterFrontEnd } from '@jupyterlab/application';
import { PageConfig } from '@jupyterlab/coreutils';

const NBMODEL = '@datalayer/jupyter-server-nbmodel:notebook-cell-executor';

/** Return who sends the cells of this page to their kernel. */
export function executorOf(app: JupyterFrontEnd): 'browser' | 'server' {
  const isServer = PageConfig.getOption('serverSideExecution') === 'true' || app.hasPlugin(NBMODEL);
  return isServer ? 'server' : 'browser';
}
