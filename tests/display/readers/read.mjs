// A line of JSON in (a Markdown text), a line of JSON out: what marked, and JupyterLab with marked, make of it.
import { createInterface } from 'node:readline';
import { Parser } from 'commonmark';
import { Marked } from 'marked';
import { gfmHeadingId } from 'marked-gfm-heading-id';
import { cutMath, putMath } from './lab_math.mjs';

const marked = new Marked(gfmHeadingId(), { gfm: true });

function read(source) {
  const found = { html: 0, images: 0, links: [], code: [] };
  const tokens = marked.lexer(source);
  marked.walkTokens(tokens, token => {
    if (token.type === 'html') found.html++;
    if (token.type === 'image') found.images++;
    if (token.type === 'link') found.links.push(token.href);
    if (token.type === 'code' || token.type === 'codespan') found.code.push(token.text);
  });
  return { ...found, page: marked.parser(tokens) };
}

// The code that the reference implementation of CommonMark sees.
function codes(source) {
  const walker = new Parser().parse(source).walker();
  const found = [];
  for (let step = walker.next(); step; step = walker.next()) {
    if (step.entering && ['code', 'code_block'].includes(step.node.type)) found.push(step.node.literal);
  }
  return found;
}

for await (const line of createInterface({ input: process.stdin })) {
  const source = JSON.parse(line);
  const { text, math } = cutMath(source);
  const lab = read(text);
  lab.page = putMath(lab.page, math);
  process.stdout.write(JSON.stringify({ marked: read(source), lab, codes: codes(source) }) + '\n');
}
