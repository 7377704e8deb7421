// The display's picture: 1,024 bytes, byte 128 * page + x, bit 0 on top, as the LCD's model gives them.

export const WIDTH = 128;
export const HEIGHT = 64;

const DOT = 8; // canvas pixels a dot, the gap between dots included
const LIT = "#1b281a";
const UNLIT = "#b4c79a";
const GHOST = "#abbe91";
const DARK_LIT = "#2a3028";
const DARK_UNLIT = "#59624f";

export class Lcd {
  constructor(canvas) {
    canvas.width = WIDTH * DOT;
    canvas.height = HEIGHT * DOT;
    this.context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.frame = new Uint8Array((WIDTH * HEIGHT) / 8);
    this.backlit = false;
    this.draw();
  }

  show(frame) {
    this.frame = frame;
    this.draw();
  }

  setBacklight(on) {
    if (on !== this.backlit) {
      this.backlit = on;
      this.draw();
    }
  }

  draw() {
    const { context, frame, backlit } = this;
    context.fillStyle = backlit ? UNLIT : DARK_UNLIT;
    context.fillRect(0, 0, WIDTH * DOT, HEIGHT * DOT);
    if (backlit) {
      this.fill((bit) => !bit, GHOST);
    }
    this.fill((bit) => bit, backlit ? LIT : DARK_LIT);
  }

  fill(wanted, colour) {
    const { context, frame } = this;
    context.fillStyle = colour;
    for (let page = 0; page < HEIGHT / 8; page++) {
      for (let x = 0; x < WIDTH; x++) {
        const byte = frame[page * WIDTH + x];
        for (let y = 0; y < 8; y++) {
          if (wanted((byte >> y) & 1)) {
            context.fillRect(x * DOT, (page * 8 + y) * DOT, DOT - 1, DOT - 1);
          }
        }
      }
    }
  }

  // What stands on the canvas now, dot by dot, read back from its pixels: 1,024 bytes.
  readBack() {
    const pixels = this.context.getImageData(0, 0, WIDTH * DOT, HEIGHT * DOT).data;
    const found = new Uint8Array((WIDTH * HEIGHT) / 8);
    for (let y = 0; y < HEIGHT; y++) {
      for (let x = 0; x < WIDTH; x++) {
        const at = ((y * DOT + DOT / 2) * WIDTH * DOT + x * DOT + DOT / 2) * 4;
        if (pixels[at] + pixels[at + 1] + pixels[at + 2] < 150) {
          found[(y >> 3) * WIDTH + x] |= 1 << (y & 7);
        }
      }
    }
    return found;
  }
}
