where => {
  const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  /** Any colour of CSS as red, green, blue and opacity, each from 0 to 1. */
  const read = colour => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].map(each => each / 255);
  };
  const over = ([r, g, b, a], ground) => [r, g, b].map((each, index) => each * a + ground[index] * (1 - a));
  const light = colour => {
    const [r, g, b] = colour.map(each => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [less, more] = [light(one), light(other)].sort((a, b) => a - b);
    return (more + 0.05) / (less + 0.05);
  };
  const around = node => (node.parentElement ? [...around(node.parentElement), node.parentElement] : []);
  const faults = [];
  for (const root of document.querySelectorAll(where.join())) {
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode()); ) {
      const node = text.parentElement;
      const style = getComputedStyle(node);
      const isSeen = node.checkVisibility({ visibilityProperty: true }) && node.getClientRects().length;
      const isHidden = around(text).some(each => getComputedStyle(each).clipPath !== 'none');
      if (!text.data.trim() || !isSeen || isHidden || node.closest(':disabled, mjx-container, svg, style')) {
        continue;
      }
      // A group with an opacity is mixed with what lies below it, and so is the text in it.
      let ground = [1, 1, 1];
      let colour = null;
      const draw = chain => {
        const [first, ...rest] = chain;
        const { backgroundColor, opacity } = getComputedStyle(first);
        const below = ground;
        ground = over(read(backgroundColor), ground);
        if (rest.length) {
          draw(rest);
        } else {
          colour = over(read(style.color), ground);
        }
        colour = over([...colour, +opacity], below);
        ground = over([...ground, +opacity], below);
      };
      draw(around(text));
      const measured = contrast(colour, ground);
      const size = parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
      if (measured < (isLarge ? 3 : 4.5)) {
        faults.push([measured.toFixed(2), style.color, text.data.trim().slice(0, 60), node.outerHTML.slice(0, 120)]);
      }
    }
  }
  return faults;
}
