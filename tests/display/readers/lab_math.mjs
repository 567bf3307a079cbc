// What JupyterLab does to mathematics around its Markdown parser (rendermime's latex.ts), told in our words:
// formulas are cut out of the source before it is parsed, and put into the HTML afterwards as they stood.

const MARKS = /(\$\$?|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]|(?:\n\s*)+|@@\d+@@|\\\\[()[\]])/i;
const FENCE = /^(?<fence>`{3,}|(~T){3,})[^`\n]*\n([\s\S]*?)^\k<fence>`*$/gm;
const CODE_SPAN = /(^|[^\\])(`+)([^\n]*?[^`\n])\2(?!`)/gm;

const hideDollars = code => code.replace(/\$/g, '~D');
const showDollars = text => text.replace(/~([TD])/g, (_, mark) => (mark === 'T' ? '~' : '$'));
const escapeHtml = text => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

function closerOf(mark) {
  if (mark === '$' || mark === '$$') return mark;
  if (mark === '\\\\(' || mark === '\\\\[') return mark === '\\\\(' ? '\\\\)' : '\\\\]';
  return mark.slice(1, 6) === 'begin' ? '\\end' + mark.slice(6) : null;
}

export function cutMath(source) {
  const hasCode = source.includes('`') || source.includes('~~~');
  const back = hasCode ? showDollars : text => text;
  let text = source;
  if (hasCode) text = text.replace(/~/g, '~T').replace(FENCE, hideDollars).replace(CODE_SPAN, hideDollars);
  const parts = text.replace(/\r\n?/g, '\n').split(MARKS);
  const math = [];
  const take = (from, to) => {
    const formula = escapeHtml(parts.slice(from, to + 1).join(''));
    parts.fill('', from + 1, to + 1);
    parts[from] = `@@${math.length}@@`;
    math.push(back(formula));
  };
  let start = null, closer = null, last = null, braces = 0;
  const reset = () => { start = closer = last = null; };
  for (let i = 1; i < parts.length; i += 2) {
    const mark = parts[i];
    if (mark[0] === '@') {
      parts[i] = `@@${math.length}@@`;
      math.push(mark);
    } else if (start === null) {
      closer = closerOf(mark);
      if (closer !== null) { start = i; braces = 0; }
    } else if (mark === closer) {
      if (braces) last = i;
      else { take(start, i); reset(); }
    } else if (/\n.*\n/.test(mark)) {
      if (last !== null) { i = last; take(start, i); }
      reset();
      braces = 0;
    } else if (mark === '{') braces++;
    else if (mark === '}' && braces) braces--;
  }
  if (start !== null && last !== null) take(start, last);
  return { text: back(parts.join('')), math };
}

export function putMath(html, math) {
  return html.replace(/@@(\d+)@@/g, (_, index) => {
    const formula = math[index];
    if (formula === undefined) return 'undefined';
    const bracket = /^\\\\\(([\s\S]*)\\\\\)$/.exec(formula) ? '()' : /^\\\\\[([\s\S]*)\\\\\]$/.exec(formula) ? '[]' : null;
    return bracket ? `\\${bracket[0]}${formula.slice(3, -3)}\\${bracket[1]}` : formula;
  });
}
