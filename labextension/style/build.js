/** Makes one short text of the style sheets, and a module of it: what loads CSS otherwise is larger than the panel's. */

import { writeFile } from 'node:fs/promises';

import { build } from 'esbuild';

const { outputFiles } = await build({
  entryPoints: ['style/index.css'],
  bundle: true,
  minify: true,
  write: false
});
await writeFile('lib/style.js', `export default ${JSON.stringify(outputFiles[0].text)};\n`);
