import css from '../lib/style.js';

const { document } = globalThis;
const node = document.createElement('style');
node.textContent = css;
document.head.append(node);
