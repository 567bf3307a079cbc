/** Everything codex_magic adds to JupyterLab and Jupyter Notebook, one plugin a file. */

import ask from './ask';
import prose from './prose';

export default [prose, ask];
