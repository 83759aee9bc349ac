/**
 * Shapes of vehicles, drawn once into a texture: the red channel holds the body, the green one body and rim.
 *
 * Cells from left to right: arrow, dot, hollow arrow, hollow dot. An arrow has a heading; a hollow shape is old news.
 */
export const CELLS = 4;
const CELL = 64;

export function drawShapes(): HTMLCanvasElement {
  const body = layer((pen, hollow) => (hollow ? pen.stroke() : pen.fill()));
  const rim = layer((pen, hollow) => {
    if (!hollow) pen.fill();
    pen.lineWidth += hollow ? 10 : 9;
    pen.stroke();
  });
  return channels(body, rim);
}

function layer(paint: (pen: CanvasRenderingContext2D, hollow: boolean) => void): ImageData {
  const canvas = new OffscreenCanvas(CELL * CELLS, CELL);
  const pen = canvas.getContext("2d") as unknown as CanvasRenderingContext2D;
  pen.fillStyle = pen.strokeStyle = "#fff";
  pen.lineJoin = "round";
  for (let cell = 0; cell < CELLS; cell += 1) {
    pen.save();
    pen.translate((cell + 0.5) * CELL, CELL / 2);
    const hollow = cell >= 2;
    pen.lineWidth = hollow ? 6 : 0.01;
    if (cell % 2 === 0) arrow(pen);
    else dot(pen, hollow);
    paint(pen, hollow);
    pen.restore();
  }
  return pen.getImageData(0, 0, CELL * CELLS, CELL);
}

function arrow(pen: CanvasRenderingContext2D): void {
  pen.beginPath();
  pen.moveTo(0, -24);
  pen.lineTo(16, 18);
  pen.lineTo(0, 10);
  pen.lineTo(-16, 18);
  pen.closePath();
}

function dot(pen: CanvasRenderingContext2D, hollow: boolean): void {
  pen.beginPath();
  pen.arc(0, 0, hollow ? 12 : 14, 0, 2 * Math.PI);
}

function channels(body: ImageData, rim: ImageData): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = body.width;
  canvas.height = body.height;
  const mixed = new ImageData(body.width, body.height);
  for (let at = 0; at < mixed.data.length; at += 4) {
    mixed.data[at] = body.data[at + 3]!;
    mixed.data[at + 1] = rim.data[at + 3]!;
    mixed.data[at + 3] = 255;
  }
  canvas.getContext("2d")?.putImageData(mixed, 0, 0);
  return canvas;
}
