/// A QR code as shapes in an SVG element, without a string of markup anywhere.

import qrcode from 'qrcode-generator';

const SVG = 'http://www.w3.org/2000/svg';
/** Empty modules around the code, as its standard asks for. */
const QUIET = 4;

/** Draws the code of `text` into `svg`, in place of what was there. */
export function drawQr(svg: SVGSVGElement, text: string): void {
  const code = qrcode(0, 'M');
  code.addData(text, 'Byte');
  code.make();
  const count = code.getModuleCount();
  let path = '';
  for (let row = 0; row < count; row += 1) {
    for (let column = 0; column < count; column += 1) {
      if (code.isDark(row, column)) path += `M${column + QUIET} ${row + QUIET}h1v1h-1z`;
    }
  }
  const side = count + 2 * QUIET;
  svg.setAttribute('viewBox', `0 0 ${side} ${side}`);
  const shape = document.createElementNS(SVG, 'path');
  shape.setAttribute('d', path);
  shape.setAttribute('fill', '#000');
  svg.replaceChildren(shape);
}
