/** Everything codex_magic adds to JupyterLab and Jupyter Notebook, one plugin a file. */

import answers from './answers';
import ask from './ask';
import errors from './errors';
import handshake from './handshake';
import menus from './menus';
import prose from './prose';
import run from './run';
import status from './status';
import suggest from './suggest';
import workbench from './workbench';

export default [handshake, answers, prose, ask, menus, errors, run, suggest, status, workbench];
