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

  // Draws what is different; the canvas tells by an event, "drawn".
  show(frame) {
    const before = this.frame;
    this.frame = frame;
    for (let at = 0; at < frame.length; at++) {
      if (frame[at] !== before[at]) {
        this.drawByte(at, frame[at] ^ before[at]);
      }
    }
    this.context.canvas.dispatchEvent(new Event("drawn"));
  }

  setBacklight(on) {
    if (on !== this.backlit) {
      this.backlit = on;
      this.draw();
      this.context.canvas.dispatchEvent(new Event("drawn"));
    }
  }

  draw() {
    this.context.fillStyle = this.backlit ? UNLIT : DARK_UNLIT;
    this.context.fillRect(0, 0, WIDTH * DOT, HEIGHT * DOT);
    for (let at = 0; at < this.frame.length; at++) {
      this.drawByte(at, 0xff);
    }
  }

  // The dots of a byte that are set in `wanted`.
  drawByte(at, wanted) {
    const { context, frame, backlit } = this;
    const x = at % WIDTH;
    const top = Math.floor(at / WIDTH) * 8;
    for (let y = 0; y < 8; y++) {
      if ((wanted >> y) & 1) {
        const lit = (frame[at] >> y) & 1;
        context.fillStyle = lit ? (backlit ? LIT : DARK_LIT) : backlit ? GHOST : DARK_UNLIT;
        context.fillRect(x * DOT, (top + y) * DOT, DOT - 1, DOT - 1);
      }
    }
  }

  // What stands on the canvas now, dot by dot, read back from its pixels: 1,024 bytes.
  readBack() {
    const found = new Uint8Array((WIDTH * HEIGHT) / 8);
    for (let y = 0; y < HEIGHT; y++) {
      const pixels = this.context.getImageData(0, y * DOT + DOT / 2, WIDTH * DOT, 1).data;
      for (let x = 0; x < WIDTH; x++) {
        const at = (x * DOT + DOT / 2) * 4;
        if (pixels[at] + pixels[at + 1] + pixels[at + 2] < 150) {
          found[(y >> 3) * WIDTH + x] |= 1 << (y & 7);
        }
      }
    }
    return found;
  }
}
